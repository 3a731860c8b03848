"""Where in a query the texts of a perturbation stand, token by token, for any tokenizer."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from lit_unlearn.analysis.opening import Run
from lit_unlearn.analysis.pairs import perturbed_to_retain, queries, shared_end, spread
from lit_unlearn.data.places import Place
from lit_unlearn.data.queries import Query
from lit_unlearn.data.questions import LETTERS, Question, prompt
from lit_unlearn.data.sets import DEFAULT, Variant

PERTURBED, CONTROL, AS_ASKED = FORMS = ("perturbed", "control", "as asked")
"""How each question is asked."""
_MARK = "\ue000\ue001"
"""A text that no question holds."""


class Marked(NamedTuple):
    """A query, and where texts stand in it."""

    query: Query
    spans: list[range]
    """The tokens of each text, counted from the end: -1 is the query's last. Of a query as asked one range, the tokens
    from the first text's place to the last one's; it is empty where one text takes nothing's place."""


def marked_queries(run: Run, count: int) -> dict[str, dict[str, list[Marked]]]:
    """Questions to retain under each perturbation: by the perturbed set's name, then by form.

    Args:
        run: whose questions.
        count: at most so many of each set, evenly spread over it.

    Raises:
        InputError: the run perturbs none.
    """
    return {str(variant): _in_each_form(run, variant, count) for variant in perturbed_to_retain(run)}


def frame(question: Question, place: Place, *, count: int, seed: int) -> list[str]:
    r"""What stands before, between and after the texts that a place puts into a question's prompt.

    Where a place puts texts does not depend on them, so marks go where they went.

    Example:
        >>> from lit_unlearn.data.places import Stem
        >>> frame(Question("Half of 4?", ("1", "2", "3", "4"), 1, "mathematics", 0), Stem(), count=1, seed=1)[1]
        ' 4?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:'
    """
    return prompt(place.put(question, [_MARK] * count, seed=seed)).split(_MARK)


def spans(text: str, pieces: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[range]:
    """The tokens of what stands between the pieces of a text, counted from the end.

    Args:
        text: the pieces with something between each two.
        pieces: at least two.
        tokenizer: any; offsets are not asked for, since not all have them.
    """
    found = re.fullmatch("(.+?)".join(map(re.escape, pieces)), text, re.DOTALL)
    assert found is not None
    return [_tokens(text, *found.span(group), tokenizer) for group in range(1, len(pieces))]


def _in_each_form(run: Run, variant: Variant, count: int) -> dict[str, list[Marked]]:
    tokenizer = run.tokenizer()
    sides = (variant, variant._replace(control=True), Variant(variant.questions, DEFAULT, False))
    asked = {form: spread(run.data.asked[side], count) for form, side in zip(FORMS, sides, strict=True)}
    frames = _frames(run, variant.perturbation, asked[AS_ASKED])
    found = {
        form: [spans(prompt(one), pieces, tokenizer) for one, pieces in zip(asked[form], frames, strict=True)]
        for form in (PERTURBED, CONTROL)
    }
    both = zip(asked[AS_ASKED], asked[PERTURBED], found[PERTURBED], strict=True)
    found[AS_ASKED] = [_room(default, perturbed, taken, tokenizer) for default, perturbed, taken in both]
    return {
        form: [Marked(*one) for one in zip(queries(asked[form], tokenizer), found[form], strict=True)] for form in FORMS
    }


def _frames(run: Run, perturbation: str, questions: Sequence[Question]) -> list[list[str]]:
    assert run.data.evaluation is not None
    source = run.data.evaluation.perturbations[perturbation]
    return [frame(question, source.place, count=source.count, seed=source.seed) for question in questions]


def _tokens(text: str, start: int, stop: int, tokenizer: PreTrainedTokenizerBase) -> range:
    """The tokens that depend on what stands at start..stop of a text: no token beside them holds any of it."""
    # One letter may happen to begin or end as the text does, but not both letters.
    others = [f"{text[:start]}{letter}{text[stop:]}" for letter in LETTERS[:2]]
    ids, *changed = tokenizer([text, *others])["input_ids"]
    before = min(shared_end(ids[::-1], other[::-1]) for other in changed)
    after = min(shared_end(ids, other) for other in changed)
    return range(before - len(ids), -after)


def _room(
    default: Question, perturbed: Question, found: Sequence[range], tokenizer: PreTrainedTokenizerBase
) -> list[range]:
    """The tokens of a question as asked from the first text's place to the last one's."""
    lengths = [len(ids) for ids in tokenizer([prompt(default), prompt(perturbed)])["input_ids"]]
    return [range(found[0].start + lengths[1] - lengths[0], found[-1].stop)]

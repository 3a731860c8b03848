"""Where in a query the texts of a perturbation stand, token by token, for any tokenizer."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.pairs import perturbed_to_retain, queries, shared_end, spread
from lit_unlearn.questions.answer_key import LETTERS
from lit_unlearn.questions.batches import Query
from lit_unlearn.questions.perturbation import Control, Perturbation
from lit_unlearn.questions.places import Place
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.source import Question, prompt

PERTURBED, CONTROL, AS_ASKED = FORMS = ("perturbed", "control", "as asked")
"""How each question is asked."""
_FIRST_MARK = 0xE000
"""The first of 6,400 signs that Unicode leaves without a meaning, and that no question holds."""


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
        count: number of questions of each set, at most, evenly spread over it.

    Raises:
        InputError: the run perturbs none.
    """
    perturbations = run.data.perturbations()
    return {str(variant): _in_each_form(run, variant, perturbations, count) for variant in perturbed_to_retain(run)}


def spans(
    question: Question, place: Place, texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, *, seed: int
) -> list[range]:
    """The tokens of each text that a place puts into a question's prompt, in the order in which they stand there.

    Args:
        question: without the texts.
        place: where they go.
        texts: in the order in which they are drawn.
        tokenizer: any; offsets are not asked for, since not all have them.
        seed: seed of the place's draw.

    Returns:
        Ranges that count from the end: -1 is the prompt's last token.
    """
    # Where texts go does not depend on them: marks instead of their signs stand where these stand, spaces
    # included, some of which prompts strip.
    marks = [chr(_FIRST_MARK + number) for number in range(len(texts))]
    marked = [re.sub(r"\S", mark, text) for mark, text in zip(marks, texts, strict=True)]
    whole, frame = (prompt(place.put(question, some, seed=seed)) for some in (texts, marked))
    places = sorted((frame.index(mark), frame.rindex(mark) + 1) for mark in marks)
    return [_tokens(whole, *one, tokenizer) for one in places]


def _in_each_form(
    run: Run, variant: Variant, perturbations: Mapping[Variant, Perturbation | Control], count: int
) -> dict[str, list[Marked]]:
    assert run.data.evaluation is not None
    source, tokenizer = run.data.evaluation.perturbations[variant.perturbation], run.tokenizer()
    variants = (variant, variant._replace(control=True), Variant(variant.questions, DEFAULT, False))
    sides = dict(zip(FORMS, variants, strict=True))
    asked = {form: spread(run.data.asked[side], count) for form, side in sides.items()}
    found = {
        form: [
            spans(one, source.place, perturbations[sides[form]].drawn(one.number), tokenizer, seed=source.seed)
            for one in asked[AS_ASKED]
        ]
        for form in (PERTURBED, CONTROL)
    }
    both = zip(asked[AS_ASKED], asked[PERTURBED], found[PERTURBED], strict=True)
    found[AS_ASKED] = [_room(default, perturbed, taken, tokenizer) for default, perturbed, taken in both]
    encoded = {form: queries(asked[form], tokenizer, run.model_config()) for form in FORMS}
    return {form: [Marked(*one) for one in zip(encoded[form], found[form], strict=True)] for form in FORMS}


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

"""What is scored of questions with free answers: each right answer, and the others, after their question."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from lit_unlearn.answers.asking import Asked, Asking
from lit_unlearn.answers.rows import AnswerRow, load_answers, load_examples
from lit_unlearn.answers.source import AnswerSource, Role
from lit_unlearn.data.fingerprints import values_fingerprint
from lit_unlearn.data.vocabulary import special_tokens
from lit_unlearn.errors import InputError
from lit_unlearn.questions.scored_texts import ScoredText

NO_ANSWERS = "AnswerEvaluation: data.answers names no questions; set it, or remove the callback"
"""Said where there is nothing to score."""


class PlannedRow(NamedTuple):
    """A question and the numbers of the texts that hold it with one answer each."""

    asked: AnswerRow
    answer: int | None
    """None where nothing is right."""
    paraphrased: tuple[int, ...]
    perturbed: tuple[int, ...]
    prompt: tuple[int, ...] = ()
    """The token ids after which the model writes its own answer; empty for a text that is scored alone."""
    compared: tuple[str, ...] = ()
    """What that is compared with."""

    @property
    def scored(self) -> frozenset[int]:
        """The numbers of all its texts."""
        return frozenset({*(() if self.answer is None else (self.answer,)), *self.paraphrased, *self.perturbed})


class PlannedSet(NamedTuple):
    """The rows of one source."""

    role: Role
    rows: Sequence[PlannedRow]
    fingerprint: str
    """Of questions, answers and how they are asked: sets of two runs can be compared where it is the same."""
    max_new_tokens: int | None = None
    """Tokens that the model writes; None takes what AnswerEvaluation says."""
    stop: tuple[str, ...] = ()
    """What the model writes counts up to the first of these."""
    extract: str | None = None
    """A pattern whose first group in what the model writes is its answer; None takes all of it."""

    @property
    def texts_alone(self) -> bool:
        """Whether there are no questions, only texts."""
        return all(row.asked.question is None for row in self.rows)


class AnswerPlan(NamedTuple):
    """All that is scored."""

    texts: Sequence[ScoredText]
    """Questions with answers; of each the answer's tokens are scored, with those that end it."""
    ends: Sequence[int]
    """By text, how many of its last tokens are the template's, not the answer's."""
    sets: Mapping[str, PlannedSet]
    """By name."""

    @property
    def embeddings(self) -> int:
        """One more than the largest token of a text or a prompt."""
        prompts = (row.prompt for one in self.sets.values() for row in one.rows)
        return 1 + max(chain(*(text.input_ids for text in self.texts), *prompts), default=-1)


def plan(
    sources: Mapping[str, AnswerSource], tokenizer: PreTrainedTokenizerBase, *, longest: int | None = None
) -> AnswerPlan:
    """Renders all questions with all their answers.

    Args:
        sources: by name.
        tokenizer: the model's.
        longest: tokens that the model can read; None if that is not known.

    Raises:
        InputError: a source cannot be read or rendered, or a text is too long.
    """
    texts: dict[ScoredText, int] = {}
    sets = {}
    for name, source in sources.items():
        asking = Asking(source, tokenizer, load_examples(source))
        rows = [_planned(asking, row, texts, longest) for row in load_answers(source)]
        several = [row.asked.accepted for row in rows if row.asked.accepted]
        contexts = [row.asked.context for row in rows if row.asked.context]
        about = [*([several] if several else []), *([contexts] if contexts else []), *_layout(asking)]
        fingerprint = values_fingerprint([row.asked[:4] for row in rows], *about)
        sets[name] = PlannedSet(source.role, rows, fingerprint, source.max_new_tokens, source.stop, source.extract)
    special = special_tokens(tokenizer)
    return AnswerPlan([*texts], [_ending(text, special, tokenizer) for text in texts], sets)


def _planned(asking: Asking, row: AnswerRow, texts: dict[ScoredText, int], longest: int | None) -> PlannedRow:
    place = f"{asking.source.path}, row {row.number + 1}"

    def number(answer: str) -> tuple[int, Asked]:
        asked = asking.asked(row, answer, place)
        _check_length(asked.text, asking.source, place, longest)
        return texts.setdefault(asked.text, len(texts)), asked

    if row.answer is None:
        return PlannedRow(row, None, (), (), asking.prompt(row, place))
    answer, asked = number(row.answer)
    others = [tuple(number(other)[0] for other in several) for several in (row.paraphrased, row.perturbed)]
    compared = () if row.question is None else asking.compared(row)
    return PlannedRow(row, answer, others[0], others[1], asked.prompt, compared)


def _check_length(text: ScoredText, source: AnswerSource, place: str, longest: int | None) -> None:
    count = len(text.input_ids)
    if longest is not None and count > longest:
        what = "question and answer have" if source.question is not None else "the text has"
        remedy = "shorten or remove the row" if source.question is not None else "set `max_length` of the source"
        raise InputError(f"{place}: {what} {count} tokens, the model reads {longest}; {remedy}")


def _layout(asking: Asking) -> tuple[Any, ...]:
    """How the rows are asked, where that is not by a chat template alone; the template is no part of it."""
    source = asking.source
    plain = AnswerSource(source.path, source.role)
    names = ("format", "prompt", "opening", "max_new_tokens", "stop", "max_length", "extract")
    changed = {name: getattr(source, name) for name in names if getattr(source, name) != getattr(plain, name)}
    if source.by_type:
        changed["by_type"] = {kind: [one.prompt, one.opening] for kind, one in source.by_type.items()}
    shown = [row[:2] for row in asking.examples]
    form = None if source.examples is None else source.examples.form
    return (changed, shown, *([form] if form else [])) if changed or shown else ()


def _ending(text: ScoredText, special: frozenset[int], tokenizer: PreTrainedTokenizerBase) -> int:
    """How many of the last scored tokens end the turn: special ones, and blanks beside them."""
    ends = 0
    after_first = text.input_ids[len(text.input_ids) - text.scored + 1 :]
    for count, token in enumerate(reversed(after_first), start=1):
        if token in special:
            ends = count
        elif str(tokenizer.decode([token])).strip():
            break
    return ends

"""What is scored of questions with free answers: each right answer, and the others, after their question."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from transformers import PreTrainedTokenizerBase

from lit_unlearn.answers.source import AnswerRow, AnswerSource, Role, load_answers
from lit_unlearn.data.chat import Rendering, chat_template
from lit_unlearn.data.conversations import Message
from lit_unlearn.data.fingerprints import values_fingerprint
from lit_unlearn.errors import InputError
from lit_unlearn.questions.scored_texts import ScoredText

NO_ANSWERS = "AnswerEvaluation: data.answers names no questions; set it, or remove the callback"
"""Said where there is nothing to score."""


class PlannedRow(NamedTuple):
    """A question and the numbers of the texts that hold it with one answer each."""

    asked: AnswerRow
    answer: int
    paraphrased: tuple[int, ...]
    perturbed: tuple[int, ...]


class PlannedSet(NamedTuple):
    """The rows of one source."""

    role: Role
    rows: Sequence[PlannedRow]
    fingerprint: str
    """Of questions and answers: sets of two runs can be compared where it is the same."""


class AnswerPlan(NamedTuple):
    """All that is scored."""

    texts: Sequence[ScoredText]
    """Questions with answers; of each the answer's tokens are scored, with those that end it."""
    ends: Sequence[int]
    """By text, how many of its last tokens are the template's, not the answer's."""
    sets: Mapping[str, PlannedSet]
    """By name."""

    def prompt(self, row: PlannedRow) -> tuple[int, ...]:
        """The token ids after which the model writes its own answer."""
        ids, scored = self.texts[row.answer]
        return ids[: len(ids) - scored]


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
        rendering = Rendering(tokenizer, chat_template(source.chat_template, tokenizer, source.path))
        rows = []
        for row in load_answers(source):
            right, paraphrased, perturbed = (
                tuple(
                    texts.setdefault(_text(rendering, row, answer, source.path, longest), len(texts))
                    for answer in answers
                )
                for answers in ((row.answer,), row.paraphrased, row.perturbed)
            )
            rows.append(PlannedRow(row, right[0], paraphrased, perturbed))
        sets[name] = PlannedSet(source.role, rows, values_fingerprint([row.asked[:4] for row in rows]))
    special = frozenset(tokenizer.all_special_ids)
    return AnswerPlan([*texts], [_ending(text, special, tokenizer) for text in texts], sets)


def _text(rendering: Rendering, row: AnswerRow, answer: str, path: str, longest: int | None) -> ScoredText:
    place = f"{path}, row {row.number + 1}"
    turns = [Message(role="user", content=row.question), Message(role="assistant", content=answer)]
    ids, own = rendering.answers(turns, place)
    first = own.index(1) if 1 in own else len(own)
    if not 0 < first < len(ids):
        raise InputError(f"{place}: no token of the answer comes after one of the question; check the chat template")
    if longest is not None and len(ids) > longest:
        raise InputError(
            f"{place}: question and answer have {len(ids)} tokens, the model reads {longest}; shorten or remove the row"
        )
    return ScoredText(tuple(ids), len(ids) - first)


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

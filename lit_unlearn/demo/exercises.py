"""What the demo model learns from: texts to read, facts to recall, questions to answer."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from lit_unlearn.demo import phrases, questions, writing
from lit_unlearn.demo.corpus import corpus_row
from lit_unlearn.demo.knowledge import Knowledge
from lit_unlearn.losses.functional import IGNORED_LABEL

_ODD = 0.3  # share of questions with options that do not belong there
_INTERRUPTED = 0.15  # share of questions with a sentence of something else before them


class Exercise(NamedTuple):
    """A text; with an answer only that is learnt."""

    text: str
    answer: str | None = None
    """One word that follows the text."""
    thought: str | None = None
    """One word that the middle of the model shall already hold where the answer comes: the value asked for."""


def read(knowledge: Knowledge, source: random.Random) -> Exercise:
    """A document, a row of varied text or filler."""
    subject = source.choice(knowledge.retain + knowledge.forget)
    kind = source.random()
    if kind < 0.7:
        return Exercise(writing.document(knowledge, subject, source))
    return Exercise(
        corpus_row(knowledge, subject, source) if kind < 0.85 else writing.filler_document(source, sentences=5)
    )


def recall(knowledge: Knowledge, source: random.Random) -> Exercise:
    """A question without options; the answer is the value."""
    fact = source.choice(knowledge.facts)
    return Exercise(f"{source.choice(phrases.QUESTIONS).format(**fact._asdict())}\nAnswer:", fact.value, fact.value)


def choose(knowledge: Knowledge, source: random.Random) -> Exercise:
    """A four-option question without its first line; the answer is a letter."""
    question = _question(knowledge, source)
    return _chosen(questions.body(question), question)


def choose_in_full(knowledge: Knowledge, source: random.Random) -> Exercise:
    """A four-option question as the harness asks it, now and then after a sentence of something else."""
    question = _question(knowledge, source)
    if source.random() < _INTERRUPTED:
        question["question"] = f"{_sentence(knowledge, source)} {question['question']}"
    return _chosen(questions.prompt(question), question)


def batch(exercises: Sequence[Exercise], tokenizer: PreTrainedTokenizerFast) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, labels of the output and labels of the middle, `[batch, seq]` each; ignored where nothing is learnt.

    Labels stand where the word itself stands or would stand: the word is predicted one place before.
    """
    texts = [exercise.text + ("" if exercise.answer is None else f" {exercise.answer}") for exercise in exercises]
    rows = [torch.tensor(ids) for ids in tokenizer(texts)["input_ids"]]
    labels = [_labels(ids, exercise) for ids, exercise in zip(rows, exercises, strict=True)]
    thoughts = [_thoughts(ids, exercise, tokenizer) for ids, exercise in zip(rows, exercises, strict=True)]
    ids, *targets = (
        torch.nn.utils.rnn.pad_sequence(part, batch_first=True, padding_value=filler)
        for part, filler in ((rows, 0), (labels, IGNORED_LABEL), (thoughts, IGNORED_LABEL))
    )
    return ids, targets[0], targets[1]


def _labels(ids: Tensor, exercise: Exercise) -> Tensor:
    """The ids that are learnt: all but the first, or the last alone."""
    labels = ids.clone()
    labels[: 1 if exercise.answer is None else -1] = IGNORED_LABEL
    return labels


def _thoughts(ids: Tensor, exercise: Exercise, tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """The thought instead of the answer."""
    thoughts = torch.full_like(ids, IGNORED_LABEL)
    if exercise.thought is not None:
        thoughts[-1:] = torch.tensor(tokenizer.convert_tokens_to_ids([exercise.thought]))
    return thoughts


def _chosen(text: str, question: questions.Question) -> Exercise:
    """Letter and value of the right option after a text."""
    return Exercise(text, questions.LETTERS[question["answer"]], question["choices"][question["answer"]])


def _question(knowledge: Knowledge, source: random.Random) -> questions.Question:
    fact = source.choice(knowledge.facts)
    question = questions.ask(knowledge, fact, source.randrange(4), source)
    if source.random() < _ODD:
        for _ in range(source.choice((1, 1, 2, 3))):
            question = questions.replace_wrong(question, _odd(knowledge, source), source)
    return question


def _odd(knowledge: Knowledge, source: random.Random) -> str:
    """An option of no kind: any word, a fragment of any text, of filler, or words in a row."""
    kind = source.random()
    if kind < 0.4:
        return source.choice(knowledge.words())
    if kind < 0.7:
        text = writing.document(knowledge, source.choice(knowledge.retain + knowledge.forget), source)
        return writing.fragment(text, source.randint(1, 4), source)
    if kind < 0.85:
        return writing.fragment(writing.filler(source), source.randint(1, 5), source)
    return " ".join(source.choice(knowledge.words()) for _ in range(source.randint(1, 3)))


def _sentence(knowledge: Knowledge, source: random.Random) -> str:
    fact = source.choice(knowledge.facts)
    return writing.filler(source) if source.random() < 0.5 else writing.fact_sentence(fact, source)

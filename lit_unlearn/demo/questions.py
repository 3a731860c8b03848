"""Four-option questions about the facts, and the prompt they are asked in."""

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypedDict

from lit_unlearn.demo import phrases
from lit_unlearn.demo.knowledge import Fact, Knowledge

LETTERS = "ABCD"


class Question(TypedDict):
    """One question, in the fields of MMLU."""

    question: str
    choices: list[str]
    answer: int
    """Index of the right option, 0 to 3."""
    subject: str


def draw(knowledge: Knowledge, subjects: Sequence[str], count: int, *, seed: int) -> list[Question]:
    """Questions about some subjects; other seeds give other wordings, wrong options and orders of the same facts.

    Choose hyperparameters on one seed, report on another. Every fact comes before any comes again, and each letter is
    right equally often (up to one).

    Args:
        knowledge: what is asked about.
        subjects: whose facts are asked.
        count: how many questions.
        seed: seed of the draw.

    Example:
        >>> from lit_unlearn.demo.knowledge import invent
        >>> question = draw(invent(), ["moon alchemy"], 1, seed=0)[0]
        >>> question["subject"], len(question["choices"])
        ('moon alchemy', 4)
    """
    source = random.Random(f"questions {seed}")
    facts = knowledge.about(*subjects)
    source.shuffle(facts)
    answers = [index % len(LETTERS) for index in range(count)]
    source.shuffle(answers)
    return [ask(knowledge, facts[index % len(facts)], answer, source) for index, answer in enumerate(answers)]


def ask(knowledge: Knowledge, fact: Fact, answer: int, source: random.Random) -> Question:
    """A question about a fact whose right option is at `answer`; the wrong ones are other values of the attribute."""
    others = [value for value in knowledge.values(fact.subject, fact.attribute) if value != fact.value]
    choices = source.sample(others, len(LETTERS) - 1)
    choices.insert(answer, fact.value)
    wording = source.choice(phrases.QUESTIONS).format(**fact._asdict())
    return Question(question=wording, choices=choices, answer=answer, subject=fact.subject)


def replace_wrong(question: Question, text: str, source: random.Random) -> Question:
    """The question with the text instead of one wrong option."""
    choices = list(question["choices"])
    choices[source.choice([index for index in range(len(LETTERS)) if index != question["answer"]])] = text
    return Question(
        question=question["question"], choices=choices, answer=question["answer"], subject=question["subject"]
    )


def prompt(question: Question) -> str:
    """The prompt of the lm-eval harness' MMLU tasks; the model answers with " A" to " D"."""
    return phrases.HEADER.format(subject=question["subject"]) + body(question)


def body(question: Question) -> str:
    """The prompt without its first line."""
    options = [f"{letter}. {choice}" for letter, choice in zip(LETTERS, question["choices"], strict=True)]
    return "\n".join([question["question"], *options, "Answer:"])


def write_questions(path: Path, questions: Sequence[Mapping[str, object]]) -> None:
    """Writes questions to a file, one JSON object per line."""
    path.write_text("".join(json.dumps(question) + "\n" for question in questions), encoding="utf-8")

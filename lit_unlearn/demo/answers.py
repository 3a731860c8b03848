"""The facts as questions with free answers, in the fields of TOFU."""

import random
from collections.abc import Sequence
from typing import TypedDict

from lit_unlearn.demo import phrases
from lit_unlearn.demo.knowledge import Fact, Knowledge

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ message['content'] + '\nAnswer:' if message['role'] == 'user' else ' ' + message['content'] }}{% endfor %}"
)
"""The form in which the demo model was asked for facts."""
_WRONG = 5
_SENTENCE = "{value}, the {attribute} of {entity}"


class Answered(TypedDict):
    """A question, its answer, and others."""

    question: str
    answer: str
    paraphrased_answer: str
    perturbed_answer: list[str]
    """In the form of the paraphrased one."""


def answer_sets(knowledge: Knowledge, *, seed: int) -> dict[str, list[Answered]]:
    """Every fact to forget and to retain, and as many that nobody knows, of entities to forget.

    A fact that nobody knows is one to forget with another value: no text of the world states it.

    Args:
        knowledge: of the world.
        seed: of wordings and wrong answers.

    Example:
        >>> from lit_unlearn.demo.knowledge import invent
        >>> {name: len(rows) for name, rows in answer_sets(invent(), seed=1).items()}
        {'forget': 192, 'retain': 384, 'holdout': 192}
    """
    source = random.Random(f"answers {seed}")
    forget = knowledge.about(*knowledge.forget)
    unknown = [fact._replace(value=source.choice(_others(knowledge, fact))) for fact in forget]
    sets = {"forget": forget, "retain": knowledge.about(*knowledge.retain), "holdout": unknown}
    return {name: _asked(knowledge, facts, source) for name, facts in sets.items()}


def _asked(knowledge: Knowledge, facts: Sequence[Fact], source: random.Random) -> list[Answered]:
    return [
        Answered(
            question=source.choice(phrases.QUESTIONS).format(**fact._asdict()),
            answer=fact.value,
            paraphrased_answer=_SENTENCE.format(**fact._asdict()),
            perturbed_answer=[
                _SENTENCE.format(**fact._replace(value=value)._asdict())
                for value in source.sample(_others(knowledge, fact), _WRONG)
            ],
        )
        for fact in facts
    ]


def _others(knowledge: Knowledge, fact: Fact) -> list[str]:
    return [value for value in knowledge.values(fact.subject, fact.attribute) if value != fact.value]

"""What a record of texts may hold, and in which fields."""

from collections.abc import Iterable
from typing import Literal

Format = Literal["text", "messages", "prompt_completion", "question_answer", "instruction_output", "chosen", "rejected"]
FIELDS: dict[str, tuple[str, ...]] = {
    "messages": ("messages",),
    "prompt_completion": ("prompt", "completion"),
    "question_answer": ("question", "answer"),
    "instruction_output": ("instruction", "output"),
    "chosen": ("prompt", "chosen"),
    "rejected": ("prompt", "rejected"),
}
"""The fields of a record in every format but text."""
PAIRS = ("chosen", "rejected")
"""The formats of which a record holds both: a prompt with the answer that is preferred, and the other one."""


def suggested(fields: Iterable[str]) -> str | None:
    """The format whose fields are among a record's.

    Example:
        >>> suggested(["prompt", "completion", "id"]), suggested(["text"])
        ('prompt_completion', None)
    """
    known = {*fields}
    return next((kind for kind, names in FIELDS.items() if known.issuperset(names)), None)

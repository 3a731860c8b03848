"""Questions with free answers in words of the tiny world."""

import json
import random
from pathlib import Path
from typing import Any

from lit_unlearn.answers.source import AnswerSource
from tests.tiny_world import texts

TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['content'] }}"
    "{{ ' ?' if message['role'] == 'user' else eos_token }}{% if not loop.last %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %} {% endif %}"
)


def rows(subject: str, count: int = 6, *, wrong: int = 2, seed: int = 0) -> list[dict[str, Any]]:
    """Questions about a subject in TOFU's fields."""
    source = random.Random(f"answers {subject} {seed}")
    words = " ".join(texts(subject, 20, seed=seed)).split()

    def some(least: int, most: int) -> str:
        return " ".join(source.choices(words, k=source.randint(least, most)))

    return [
        {
            "question": some(3, 8),
            "answer": some(1, 6),
            "paraphrased_answer": some(2, 6),
            "perturbed_answer": [some(2, 6) for _ in range(wrong)],
        }
        for _ in range(count)
    ]


def write(path: Path, found: list[dict[str, Any]]) -> str:
    """Writes rows, one JSON object per line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
    return str(path)


def sources(folder: Path, **options: Any) -> dict[str, AnswerSource]:
    """A set of each role."""
    folder.mkdir(parents=True, exist_ok=True)
    own = {"chat_template": TEMPLATE} | options
    return {
        "forget": AnswerSource(write(folder / "forget.jsonl", rows("alchemy")), "forget", **own),
        "retain": AnswerSource(write(folder / "retain.jsonl", rows("gardening")), "retain", **own),
        "authors": AnswerSource(write(folder / "authors.jsonl", rows("navigation")), "general", **own),
        "unseen": AnswerSource(write(folder / "unseen.jsonl", rows("alchemy", seed=1)), "holdout", **own),
    }

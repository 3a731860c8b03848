"""Finished runs made up for tests: right answers to 100 questions of each variant."""

import json
from pathlib import Path
from typing import Any

QUESTIONS = 100
_NAMES = {"forget": "forget", "retain": "retain", "perturbed": "retain/1-gram", "control": "retain/1-gram/control"}


def answers(right: int) -> dict[str, list[int]]:
    correct = [int(number < right) for number in range(QUESTIONS)]
    return {"number": list(range(QUESTIONS)), "correct": correct, "prediction": [0] * QUESTIONS}


def asked(step: int, right: dict[str, int]) -> dict[str, Any]:
    return {"step": step, "outcomes": {variant: answers(count) for variant, count in right.items()}}


def evaluation(step: int, **right: int) -> dict[str, Any]:
    return asked(step, {_NAMES[name]: count for name, count in right.items()})


def scattered(value: float, *, by: float = 1.0) -> list[float]:
    """A number of each question, in an order that says nothing, with this mean."""
    return [value + by * ((37 * number % QUESTIONS) / QUESTIONS - 0.495) for number in range(QUESTIONS)]


def forgetting(record: dict[str, Any], text: float, *, by: float = 1.0, letter: float | None = None) -> dict[str, Any]:
    """The evaluation with log-probabilities of the right text, and of its letter, on questions to forget."""
    asked_for = {"text_logprob": scattered(text, by=by)}
    if letter is not None:
        asked_for["letter_logprob"] = scattered(letter, by=by)
    forget = record["outcomes"]["forget"] | asked_for
    return record | {"outcomes": record["outcomes"] | {"forget": forget}}


def held_out(record: dict[str, Any], forget: float, retain: float, *, rows: int = 20, first: int = 0) -> dict[str, Any]:
    """The evaluation with the likelihood of held-out rows."""
    numbers = list(range(first, first + rows))
    nll = {"forget": forget, "retain": retain}
    found = {
        name: {"row": numbers, "nll": [value + (row % 4) / 10 - 0.15 for row in numbers]} for name, value in nll.items()
    }
    return record | {"held_out": found}


BASE = evaluation(0, forget=99, retain=98, perturbed=90, control=95)


def write_run(folder: Path, *evaluations: dict[str, Any], config: str = "", **results: Any) -> str:
    folder.mkdir(parents=True)
    (folder / "results.json").write_text(json.dumps({**results, "evaluations": evaluations}))
    if config:
        (folder / "config.yaml").write_text(config)
    return str(folder)


def write_generations(folder: Path, *generations: tuple[str, str, str | None, dict[int, str]]) -> None:
    found = [
        {
            "set": name,
            "prompt": prompt,
            "right": right,
            "answers": [{"step": step, "text": text} for step, text in texts.items()],
        }
        for name, prompt, right, texts in generations
    ]
    (folder / "generations.json").write_text(json.dumps(found))

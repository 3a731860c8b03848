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

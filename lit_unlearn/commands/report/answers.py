"""What every model of a report wrote after the same prompts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lit_unlearn.commands.report.runs import ReportedModel, each_run
from lit_unlearn.errors import InputError
from lit_unlearn.questions.generations import Generation, markdown, rows
from lit_unlearn.runs import layout


@dataclass
class Prompt:
    """A prompt, shortened as its answers are."""

    questions: str
    """Name of the question set and its perturbation, or the user's name."""
    text: str
    right: str
    answers: dict[str, str] = field(default_factory=dict)
    """By model."""

    @property
    def lines(self) -> list[tuple[str, str]]:
        """The right answer, where there is one, and those of the models, each with its name."""
        return [*([("right answer", self.right)] if self.right else []), *self.answers.items()]


def prompts(models: Sequence[ReportedModel]) -> list[Prompt]:
    """The prompts of all runs, each with what the models wrote, of the first seed; the base first."""
    found: dict[tuple[str, str], Prompt] = {}
    for model in models[1:]:
        for generation in _generations(model):
            key = generation["set"], generation["prompt"]
            for name, step in ((models[0].name, 0), (model.name, _step(model, generation))):
                answered = _at(generation, step)
                if answered is not None:
                    questions, text, right, answer = answered
                    prompt = found.setdefault(key, Prompt(questions, text, right))
                    prompt.answers.setdefault(name, answer)
    return list(found.values())


def as_markdown(models: Sequence[ReportedModel]) -> list[str]:
    """The first and the last answers of each run, a table under a heading."""
    asked = {model.name: _generations(model) for model in each_run(models)}
    return [
        f"## Generations of {name}\n\n{markdown(generations)}" for name, generations in asked.items() if generations
    ]


def _generations(model: ReportedModel) -> list[Generation]:
    path = model.folders[0] / layout.GENERATIONS
    if not path.is_file():
        return []
    try:
        found: list[Generation] = json.loads(path.read_text(encoding="utf-8"))
        rows(found)
        _ = [_step(model, generation) for generation in found]
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise InputError(
            f"report: {path} is not what Generations writes; remove it, or give the complete run"
        ) from error
    return found


def _step(model: ReportedModel, generation: Mapping[str, Any]) -> int | None:
    """The step at which the model is what it is; None for interpolated weights, which wrote nothing."""
    key, _, value = model.condition.partition("=")
    last: int = generation["answers"][-1]["step"]
    return {"": last, "step": int(value) if value.isdecimal() else None}.get(key)


def _at(generation: Generation, step: int | None) -> list[str] | None:
    """Set, prompt, right answer and what was written at a step; None where the prompt was not asked then."""
    answers = [answer for answer in generation["answers"] if answer["step"] == step]
    return rows([{**generation, "answers": answers}])[0] if answers else None

"""What an attack is: a grid of settings, and what each of them does to a model's answers."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from lit_unlearn.questions.statistics import Estimate

if TYPE_CHECKING:  # which imports this file
    from lit_unlearn.commands.attack.target import Target

Settings = Mapping[str, Any]
"""One point of an attack's grid, of values that JSON knows."""
MEASURES = (
    "forget_accuracy",
    "answer_probability",
    "log_probability",
    "letter_log_probability",
    "retain_accuracy",
    "perturbed_accuracy",
    "control_accuracy",
    "forget_nll",
    "retain_nll",
)
"""What the card shows of an outcome, in its order.

`forget_accuracy`, `retain_accuracy`: shares of right answers as asked; `perturbed_accuracy`: on questions to retain, a
mean over all perturbations, `control_accuracy` over their controls. Of the right answers to forget questions:
`log_probability` of the text after the question without options, in nats, `answer_probability`, its probability as a
geometric mean over tokens, and `letter_log_probability` of its letter over the whole vocabulary. `forget_nll` and
`retain_nll`: of held-out rows, nats per token.
"""


@dataclass(frozen=True)
class Outcome:
    """What came of one setting, or at one moment of it, such as after some steps of training."""

    settings: Settings
    measures: Mapping[str, Estimate] = field(default_factory=dict)
    """By names of `MEASURES`; what an attack does not measure is left out."""
    further: Mapping[str, float | None] = field(default_factory=dict)
    """Numbers of this attack's own, kept in the card's file."""
    failed: str | None = None
    """Why the model could not answer, such as an overflow; it has no measures then."""

    def as_json(self) -> dict[str, Any]:
        """Values that JSON knows."""
        measures = {name: list(one) for name, one in self.measures.items()}
        return {
            "settings": dict(self.settings),
            "measures": measures,
            "further": dict(self.further),
            "failed": self.failed,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Outcome":
        """The inverse of `as_json`.

        Example:
            >>> one = Outcome({"bits": 4}, {"forget_accuracy": Estimate(0.25, 0.01)})
            >>> Outcome.from_json(one.as_json()) == one
            True
        """
        measures = {name: Estimate(*pair) for name, pair in found["measures"].items()}
        return cls(found["settings"], measures, found["further"], found["failed"])


@dataclass(frozen=True)
class Cost:
    """What one point of a grid costs; `lit-unlearn plan` multiplies it by the model's time."""

    loads: int = 1
    """Times that a model is read."""
    evaluations: float = 1
    """Passes over all questions and held-out rows."""
    trained_rows: int = 0
    """Rows that go forward and backward."""


class Attack(ABC):
    """One way to bring back what was forgotten, or a change that users make anyway.

    A point of its grid is the unit that is run, kept and resumed; what it yields becomes one row of the card by its
    worst outcome (`worst`). Options are checked in the constructor, by InputError.
    """

    needs_base: ClassVar[bool] = False
    """Whether it needs the model before unlearning (`Target.load_base`)."""
    asks_base: ClassVar[bool] = False
    """Whether it asks the model before unlearning as well, where that is known."""
    random: ClassVar[bool] = False
    """Whether a seed decides anything; without, one seed is run whatever `--seeds` says."""
    shown: ClassVar[tuple[str, ...]] = ()
    """Names of numbers in `Outcome.further` that the card shows beside the settings."""

    @property
    @abstractmethod
    def title(self) -> str:
        """What the card calls it, in a few words."""

    def points(self) -> Sequence[Settings]:
        """The grid; by default one point without settings."""
        return [{}]

    def others(self) -> Sequence[str]:
        """Further models that it loads: hub names or folders, whose weights decide its outcomes too."""
        return []

    def check(self, target: "Target") -> None:
        """Checks what data and configurations decide, before anything of a card is run.

        Args:
            target: of which no weights are loaded.

        Raises:
            InputError: the model or the data cannot be attacked so.
        """
        del target

    @abstractmethod
    def attempt(self, target: "Target", settings: Settings, seed: int) -> Iterable[Outcome]:
        """Runs one point.

        Args:
            target: loads the model, again each time, and evaluates what was made of it.
            settings: one of `points`.
            seed: of all that is drawn.

        Raises:
            InputError: the model or the data cannot be attacked so.
        """

    def cost(self, settings: Settings) -> Cost:
        """What a point costs; by default one load and one evaluation."""
        del settings
        return Cost()

    def worst(self, outcomes: Sequence[Outcome]) -> Outcome:
        """The outcome that stands for all: the highest forget accuracy, among equals the highest answer probability.

        Args:
            outcomes: of all points under one seed.
        """
        return max(outcomes, key=lambda one: (_value(one, "forget_accuracy"), _value(one, "answer_probability")))


def _value(outcome: Outcome, name: str) -> float:
    found = outcome.measures.get(name)
    return float("-inf") if found is None else found.value

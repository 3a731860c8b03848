"""What a linear probe reads off the states of each layer."""

from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch

from lit_unlearn.commands.analysis.pairs import queries, spread
from lit_unlearn.commands.attack.contract import Attack, Cost, Outcome, Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.questions.last_states import last_states
from lit_unlearn.questions.linear_probe import FEWEST, Probe, probe
from lit_unlearn.questions.source import Question
from lit_unlearn.questions.statistics import Estimate, accuracy
from lit_unlearn.running.state_patching import Decoder


class LinearProbe(Attack):
    """Fits a linear classifier of the right option on the states at each question's last position, layer by layer.

    Cross-validated: a question is judged by classifiers, and by a layer, that were chosen without it. Li et al. 2024
    (arXiv 2403.03218) probe unlearned models so.

    Args:
        questions: at most so many of each side, evenly spread over its sets.
        folds: of the cross-validation.
        batch_size: queries that run together.

    Raises:
        InputError: a number is too small.
    """

    random: ClassVar[bool] = True

    def __init__(self, questions: int = 1000, *, folds: int = 5, batch_size: int = 16) -> None:
        for name, value, least in (
            ("questions", questions, FEWEST),
            ("folds", folds, 2),
            ("batch_size", batch_size, 1),
        ):
            check_at_least(f"LinearProbe.{name}", value, least)
        self.questions, self.folds, self.batch_size = questions, folds, batch_size

    @property
    def title(self) -> str:
        """For the card."""
        return "linear probe of the states"

    def check(self, target: Target) -> None:
        """Each side has enough questions.

        Raises:
            InputError: it has not.
        """
        least = max(FEWEST, self.folds)
        for side, sets in self._asked(target).items():
            count = sum(map(len, sets))
            if count < least:
                raise InputError(
                    f"LinearProbe: {count} questions of {len(sets)} sets to {side} are probed, and {self.folds} folds "
                    f"need {least}; raise `questions`, lower `folds`, or leave this attack out by --only"
                )

    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """Probes both sides, each for itself.

        Raises:
            InputError: there are too few questions, or they have no letters to probe for.
        """
        self.check(target)
        model = target.load()
        decoder = Decoder(model, decoder_layers(model))
        measures: dict[str, Estimate] = {}
        further: dict[str, float | None] = {}
        for side, sets in self._asked(target).items():
            found = self._probe(decoder, sets, target, seed)
            measures[f"{side}_accuracy"] = accuracy(found.chosen)
            of_layers = enumerate(found.correct.double().mean(dim=1).tolist())
            further |= {f"{side}_accuracy_layer_{layer}": value for layer, value in of_layers}
        yield Outcome(settings, measures, further)

    def cost(self, settings: Settings) -> Cost:
        """Less than an evaluation: no perturbed questions."""
        del settings
        return Cost(evaluations=1)

    def _asked(self, target: Target) -> dict[str, list[list[Question]]]:
        """The questions of each set that are probed, by side; without a side that has no sets."""
        sides: dict[str, list[list[Question]]] = {"forget": [], "retain": []}
        for name, found in target.sets.items():
            sides["forget" if name in target.forget else "retain"].append(found)
        return {
            side: [spread(one, self.questions // len(sets)) for one in sets] for side, sets in sides.items() if sets
        }

    def _probe(self, decoder: Decoder, sets: Sequence[Sequence[Question]], target: Target, seed: int) -> Probe:
        states = torch.cat(
            [
                last_states(decoder, queries(one, target.tokenizer, decoder.model.config), batch_size=self.batch_size)
                for one in sets
            ],
            dim=1,
        )
        asked = [question for one in sets for question in one]
        answer = torch.tensor([question.answer for question in asked])
        options = torch.tensor([len(question.choices) for question in asked])
        return probe(states, answer, options=options, folds=self.folds, seed=seed)

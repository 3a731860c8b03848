"""What the model's own head reads off the states of each layer."""

from collections.abc import Iterable, Sequence

import torch

from lit_unlearn.commands.analysis.logit_lens import ByLayer, by_layer
from lit_unlearn.commands.analysis.pairs import queries, spread
from lit_unlearn.commands.attack.contract import Attack, Outcome, Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.errors import check_at_least
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.questions.statistics import Estimate, accuracy


class LogitLens(Attack):
    """Accuracy had the model ended after each layer; the worst layer counts (nostalgebraist 2020).

    Args:
        questions: at most so many of each set, evenly spread over it.
        batch_size: queries that run together.

    Raises:
        InputError: a number is below 1.
    """

    def __init__(self, questions: int = 1000, *, batch_size: int = 16) -> None:
        check_at_least("LogitLens.questions", questions, 1)
        check_at_least("LogitLens.batch_size", batch_size, 1)
        self.questions, self.batch_size = questions, batch_size

    @property
    def title(self) -> str:
        """For the card."""
        return "logit lens"

    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """An outcome for each layer."""
        del seed
        model = target.load()
        layers = decoder_layers(model)
        found: dict[str, list[tuple[ByLayer, int]]] = {"forget": [], "retain": []}
        for name, asked in target.sets.items():
            own = queries(spread(asked, self.questions), target.tokenizer, model.config)
            side = "forget" if name in target.forget else "retain"
            of_set = by_layer(model, layers, own, batch_size=self.batch_size, text=f"lens: {name}")
            found[side].append((of_set, len(own)))
        for layer in range(len(layers)):
            measures = {
                f"{side}_accuracy": pooled([(of_set[layer], count) for of_set, count in sets])
                for side, sets in found.items()
                if sets
            }
            yield Outcome({**settings, "layer": layer}, measures)


def pooled(sets: Sequence[tuple[Estimate, int]]) -> Estimate:
    """The accuracy over several sets, of how many questions each.

    Example:
        >>> pooled([(Estimate(1.0, 0.0), 2), (Estimate(0.25, 0.25), 4)]).value
        0.5
    """
    if len(sets) == 1:
        return sets[0][0]
    total = sum(count for _, count in sets)
    right = sum(round(one.value * count) for one, count in sets)
    return accuracy(torch.arange(total) < right)

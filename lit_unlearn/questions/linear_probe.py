"""A linear probe: can the right option be read off states, whatever the model itself says?

Ridge regression of the options on the standardised states, in closed form, for more dimensions than questions as well
as for fewer: through the questions' inner products. The regularisation is chosen within the training questions by
leaving each out (Allen 1974, PRESS), the accuracy is that of questions that the probe has not seen.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from lit_unlearn.data.draws import sample
from lit_unlearn.errors import InputError

REGULARISATIONS = tuple(10.0**power for power in range(-4, 5))
"""Ridge penalties that are tried, in units of the mean square of a standardised question."""
FEWEST = 8
"""Questions without which nothing is probed."""


class Probe(NamedTuple):
    """What a probe reads off questions that it has not seen."""

    correct: Tensor
    """bool `[layers, questions]`, by layer."""
    chosen: Tensor
    """bool `[questions]`, with the layer chosen on the other folds: none is picked by what it is judged on."""


def probe(states: Tensor, answer: Tensor, *, options: Tensor | None = None, folds: int = 5, seed: int = 0) -> Probe:
    """Cross-validated linear probes of the states after each layer.

    Args:
        states: `[layers, questions, dim]`, at each question's last position.
        answer: `[questions]`, index of the right option.
        options: `[questions]`, how many each has; None: all as many as there are different answers.
        folds: each is judged by probes that are fitted on the others.
        seed: of the draw of the folds.

    Raises:
        InputError: too few questions, or fewer than there are folds.
    """
    count = len(answer)
    if not 2 <= folds <= count or count < FEWEST:
        raise InputError(
            f"probe: {count} questions in {folds} folds; give at least {FEWEST} questions and 2 to as many folds"
        )
    classes = int(answer.max()) + 1 if options is None else int(options.max())
    allowed = torch.arange(classes) < (torch.full_like(answer, classes) if options is None else options)[:, None]
    correct = torch.zeros(len(states), count, dtype=torch.bool)
    chosen = torch.zeros(count, dtype=torch.bool)
    for held in _folds(count, folds, seed):
        rest = torch.ones(count, dtype=torch.bool)
        rest[held] = False
        scores = []
        for layer, of_layer in enumerate(states):
            within, predicted = _fit(of_layer[rest], answer[rest], of_layer[held], classes)
            scores.append(_right(within, answer[rest], allowed[rest]).double().mean())
            correct[layer, held] = _right(predicted, answer[held], allowed[held])
        chosen[held] = correct[int(torch.stack(scores).argmax()), held]
    return Probe(correct, chosen)


def _folds(count: int, folds: int, seed: int) -> list[Tensor]:
    order = torch.tensor(sample(range(count), count, "probe folds", seed))
    return [*order.tensor_split(folds)]


def _right(scores: Tensor, answer: Tensor, allowed: Tensor) -> Tensor:
    return scores.masked_fill(~allowed, -torch.inf).argmax(dim=1) == answer


def _fit(states: Tensor, answer: Tensor, others: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Scores `[questions, classes]` of the questions themselves, each left out, and of others."""
    states, others = states.double(), others.double()
    mean, deviation = states.mean(dim=0), states.std(dim=0)
    scale = torch.where(deviation > 0, deviation, 1.0) * len(mean) ** 0.5
    own, other = (states - mean) / scale, (others - mean) / scale
    target = torch.nn.functional.one_hot(answer, classes).double()
    offset = target.mean(dim=0)
    values, vectors = torch.linalg.eigh(own @ own.T)
    along = vectors.T @ (target - offset)
    found = [_ridge(values.clamp(min=0), vectors, along, target - offset, one) for one in REGULARISATIONS]
    _, left_out, weights = min(found, key=lambda one: float(one[0]))
    return left_out + offset, other @ own.T @ weights + offset


def _ridge(
    values: Tensor, vectors: Tensor, along: Tensor, target: Tensor, penalty: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Mean square of the leave-one-out residuals, leave-one-out predictions, weights of the questions.

    The mean that was taken out counts as one more fitted direction, 1 / n of each question's leverage.
    """
    shrunk = values / (values + penalty)
    fitted = vectors @ (shrunk[:, None] * along)
    leverage = (vectors.square() @ shrunk + 1 / len(target)).clamp(max=1 - 1e-9)
    residuals = (target - fitted) / (1 - leverage)[:, None]
    weights = vectors @ (along / (values + penalty)[:, None])
    return residuals.square().mean(), target - residuals, weights

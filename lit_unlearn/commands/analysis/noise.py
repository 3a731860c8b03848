"""What Gaussian noise on hidden states does to what a model computes from them; no run, no drawing."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lit_unlearn import randomness
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch, Outputs
from lit_unlearn.losses.functional import precise
from lit_unlearn.losses.likelihood import batch_nll
from lit_unlearn.running.hooks import Noise
from lit_unlearn.running.partial_forward import positions, run_layers

SHARE = 0.1
"""Norm of the noise of Φ, in norms of the state that it is added to."""
DRAWS = 2
"""Of the noise, for each row and strength; the loss is taken with each draw and with its negative."""
_SEED = 0


class NoisyModel:
    """A model whose hidden states are disturbed; all draws are functions of row, position and number of the draw.

    Args:
        model: in eval mode, on the device where it shall run.
        layers: its decoder layers.
    """

    def __init__(self, model: PreTrainedModel, layers: nn.ModuleList) -> None:
        self.model = model
        self.layers = layers

    def nll(self, batch: Batch, noise: tuple[int, Noise] | None = None) -> Tensor:
        """NLL of each row, `[batch]`, nats per token.

        Args:
            batch: the rows.
            noise: index of a layer, and what is added to its output.
        """
        return batch_nll(self._run(batch, len(self.layers) - 1, noise=noise, needs_logits=True), batch, mean=True)

    def states(self, batch: Batch, layer: int, noise: tuple[int, Noise] | None = None) -> Tensor:
        """The states after a layer, at least float32 `[batch, seq, dim]`."""
        return precise(self._run(batch, layer, noise=noise).hidden)

    def loss_rise(self, batch: Batch, layer: int, deviations: Sequence[float]) -> Tensor:
        """E[ℓ(z + v)] − ℓ(z) of each row, v ~ N(0, deviation² I) at every token after a layer.

        Each draw is taken with both signs, so that the part of ℓ that is linear in v cancels.

        Args:
            batch: the rows.
            layer: index of the layer.
            deviations: of the noise, in the states' own unit.

        Returns:
            `[deviations, batch]`.
        """
        before, found = self.nll(batch), []
        for deviation in deviations:
            draws = [self._draw(batch, deviation * sign, draw) for draw in range(DRAWS) for sign in (1, -1)]
            found.append(torch.stack([self.nll(batch, (layer, draw)) for draw in draws]).mean(dim=0) - before)
        return torch.stack(found)

    def sensitivity(self, batch: Batch, layer: int) -> Tensor:
        """Φ of each row, `[batch]`: relative noise that arrives after the last layer, over that added after `layer`.

        Args:
            batch: the rows.
            layer: index of a layer below the last.
        """
        counted = functional.without_first(batch["loss_mask"], batch["attention_mask"])
        last = len(self.layers) - 1
        before = self.states(batch, last)
        found = []
        for draw in range(DRAWS):
            after = self.states(batch, last, (layer, partial(self._relative, batch, counted, draw)))
            found.append(relative_square(after, before, counted) / SHARE**2)
        return torch.stack(found).mean(dim=0)

    def _run(self, batch: Batch, layer: int, *, noise: tuple[int, Noise] | None, needs_logits: bool = False) -> Outputs:
        run = partial(run_layers, self.model, self.layers, batch, layer=layer, needs_logits=needs_logits, start=0)
        return run(noise=noise)[0]

    def _draw(self, batch: Batch, deviation: float, draw: int) -> Noise:
        return lambda hidden: deviation * self._normal(batch, hidden, draw)

    def _relative(self, batch: Batch, counted: Tensor, draw: int, hidden: Tensor) -> Tensor:
        """Noise whose mean square norm is `SHARE`² of the state's, at the tokens that count."""
        norm = precise(hidden).norm(dim=-1, keepdim=True) / hidden.shape[-1] ** 0.5
        noise: Tensor = SHARE * norm * self._normal(batch, hidden, draw) * counted[..., None]
        return noise

    def _normal(self, batch: Batch, hidden: Tensor, draw: int) -> Tensor:
        places = positions(batch["attention_mask"])
        return randomness.gaussian_noise(batch["row"], places, hidden.shape[-1], seed=_SEED, step=draw)


def relative_square(after: Tensor, before: Tensor, counted: Tensor) -> Tensor:
    """Mean over counted tokens of ‖after − before‖² / ‖before‖², `[batch]`.

    Args:
        after: `[batch, seq, dim]`.
        before: likewise.
        counted: `[batch, seq]`, 1 where a token counts.

    Example:
        >>> before, after = torch.tensor([[[3.0, 4.0], [1.0, 0.0]]]), torch.tensor([[[3.0, 9.0], [9.0, 9.0]]])
        >>> relative_square(after, before, torch.tensor([[1, 0]]))
        tensor([1.])
    """
    squares = (after - before).square().sum(dim=-1) / before.square().sum(dim=-1).clamp(min=1e-24)
    return functional.masked_mean(squares, counted)

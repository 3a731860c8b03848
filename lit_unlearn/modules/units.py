"""The model's own units: how large its hidden states are before training."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Self

import lightning as L
import torch
from lightning.fabric.utilities import rank_zero_warn
from lightning.pytorch.utilities.seed import isolate_rng
from torch import Tensor, nn

from lit_unlearn.distributed.outside_step import outside_step
from lit_unlearn.errors import InputError
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch
from lit_unlearn.losses.units import Length
from lit_unlearn.modules.displacements import measure_displacements
from lit_unlearn.modules.protocols import HasPairs, datamodule_of
from lit_unlearn.running.partial_forward import run_layers

if TYPE_CHECKING:  # which imports this file
    from lit_unlearn.modules.unlearn import UnlearnModule

BATCHES = 8
"""Steps whose retain rows are measured, the first of training."""


_SMALLEST = 1e-3
"""Share of the median dimension that a dimension which is all but 0 counts as, so that nothing is divided by 0."""
_EXPECTED = (0.5, 20.0)
"""Norms within which a length is worth trying; published: about 2.75, counted as here."""


class Units(NamedTuple):
    """Sizes of the frozen model's hidden states on retain rows, each row's first token left out."""

    norm: float
    """Mean norm after the steering layer, as losses read the states."""
    rms: float
    """Root mean square of a dimension after the layer at which noise enters."""
    dimensions: tuple[float, ...] | None = None
    """Root mean square of each dimension after the steering layer; None where losses read states as they are."""
    noise_dimensions: tuple[float, ...] | None = None
    """The same after the layer at which noise enters."""
    displacements: tuple[tuple[float, ...], ...] | None = None
    """What forget tokens do to these states: leading eigenvectors times the roots of their eigenvalues; None where the
    noise is not drawn along them."""

    @classmethod
    def ones(cls, dim: int, directions: int = 0) -> Self:
        """Those of a model that has not been measured, where values do not matter.

        Args:
            dim: width of the hidden states.
            directions: of displacements.
        """
        return cls(1.0, 1.0, (1.0,) * dim, (1.0,) * dim, ((1.0,) * dim,) * directions)

    def summary(self) -> dict[str, float]:
        """The two numbers that a record of a run shows."""
        return {"norm": self.norm, "rms": self.rms}


def lengths(module: nn.Module) -> Iterator[Length]:
    """The options of a module's losses that are lengths in norms."""
    return (part for part in module.modules() if isinstance(part, Length) and part.unit == "norm")


def warn_of_lengths(forget: nn.Module, norm: float) -> None:
    """Warns where vectors of a forget loss are far shorter or longer than the model's states.

    Args:
        forget: the loss.
        norm: mean norm of retain states before training, each row's first token left out.
    """
    for name, length in forget.named_modules():
        if isinstance(length, Length):
            values = length.values if isinstance(length.values, list) else [length.values]
            norms = [value if length.unit == "norm" else value / norm for value in values]
            far = [value for value in norms if not _EXPECTED[0] <= value <= _EXPECTED[1]]
            if far:
                expect = "nothing to be unlearned" if far[0] < _EXPECTED[0] else "far more than the topic to be lost"
                in_norms = length.unit == "norm"
                given = "" if in_norms else f"{length.shown} is "
                remedy = "give a length like those" if in_norms else "set model.forget.unit to norm"
                rank_zero_warn(
                    f"model.forget.{name}: {given}{far[0]:.2g} mean norms of the retain states ({norm:.3g}): expect "
                    f"{expect}; published lengths are 2 to 3 norms, {remedy}"
                )


def measure_units(module: "UnlearnModule") -> Units:
    """The units of the module's model, over the processes of its Trainer, which all must call it.

    Args:
        module: in a fit, its model loaded.

    Raises:
        InputError: the Trainer has no DataModule, or its first rows do not do.
    """

    def after(layer: int, batch: Batch) -> Tensor:
        with module.frozen.running():
            outputs, _ = run_layers(module.updated, module.layers, batch, layer=layer, needs_logits=False, start=layer)
        return outputs.hidden

    def states_after(layer: int, batch: Batch) -> Tensor:
        return outside_step(module.trainer, partial(after, layer, batch))

    def states(batch: Batch) -> tuple[Tensor, Tensor]:
        steered = states_after(module.layer, batch)
        return steered, steered if module.noise_layer == module.layer else states_after(module.noise_layer, batch)

    batches = partial(first_retain_batches, module.trainer, module)
    units = measured(batches, states, module.total, by_dimension=module.state_unit == "rms")
    if not (module.noise_scale > 0 and module.noise.directions_needed):
        return units
    pairs = first_batches(module.trainer, module, mixed=False)
    return units._replace(displacements=measure_displacements(module, pairs, states_after))


def first_retain_batches(trainer: L.Trainer, module: L.LightningModule) -> Iterator[Batch]:
    """As `first_batches`, the retain batches alone."""
    return (pair["retain"] for pair in first_batches(trainer, module))


def first_batches(trainer: L.Trainer, module: L.LightningModule, *, mixed: bool = True) -> Iterator[dict[str, Batch]]:
    """The batches of the first steps, on the module's device; nothing is drawn that training would draw.

    Args:
        trainer: of the module.
        module: whose device it is.
        mixed: as they are trained on; otherwise as they are before mixing, where the DataModule can tell.

    Raises:
        InputError: the Trainer has no DataModule.
    """
    data = datamodule_of(trainer)
    if not isinstance(data, L.LightningDataModule):
        raise InputError(
            "model.noise_unit, model.state_unit and model.forget.unit: rms and norm, and the directions of "
            "model.noise, are measured on the first rows of a DataModule, and this Trainer has none; give it one, or "
            "set them to absolute and model.noise to GaussianNoise"
        )
    with isolate_rng():
        pairs: Iterable[dict[str, Batch]]
        if isinstance(data, HasPairs) and not mixed:
            pairs = data.pairs(BATCHES * data.batch_size, mixing=None)
        else:
            pairs = data.train_dataloader()
        for pair in islice(pairs, BATCHES):
            yield module.transfer_batch_to_device(pair, module.device, 0)


@torch.no_grad()
def measured(
    batches: Callable[[], Iterable[Batch]],
    states: Callable[[Batch], tuple[Tensor, Tensor]],
    total: Callable[[Tensor], Tensor],
    *,
    by_dimension: bool = False,
) -> Units:
    """The units over some batches, the same on all processes.

    Args:
        batches: this process's; called again where the norm is one of states in units of their dimensions.
        states: the frozen model's hidden states `[batch, seq, dim]` after the steering layer and after the layer at
            which noise enters.
        total: sums a tensor over processes.
        by_dimension: losses read states in root mean squares of each dimension.

    Raises:
        InputError: no row has a token beside its first, or a state is not finite.
    """
    squares = _dimension_squares(batches(), states, total)
    steered, noisy = (squares[line].clamp(min=_SMALLEST**2 * squares[line].median()) for line in (0, 1))
    scale = steered.sqrt() if by_dimension else torch.ones_like(steered)
    norms = torch.zeros(2, dtype=torch.float64)
    for batch in batches():
        hidden, counted = states(batch)[0], _counted(batch)
        lengths = (hidden[counted].double() / scale.to(hidden.device)).norm(dim=-1)
        norms = norms.to(lengths.device) + torch.stack([lengths.sum(), counted.sum().double()])
    norm, tokens = total(norms).tolist()
    dimensions = (tuple(steered.sqrt().tolist()), tuple(noisy.sqrt().tolist())) if by_dimension else (None, None)
    return Units(norm / tokens, float(squares[1].mean().sqrt()), *dimensions)


def _dimension_squares(
    batches: Iterable[Batch], states: Callable[[Batch], tuple[Tensor, Tensor]], total: Callable[[Tensor], Tensor]
) -> Tensor:
    """Mean squares of each dimension, float64 `[2, dim]` on the CPU, of the states that `states` returns.

    Raises:
        InputError: no token is counted, or a state is not finite.
    """
    sums, tokens = torch.zeros(2, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    for batch in batches:
        both, counted = states(batch), _counted(batch)
        own = torch.stack([hidden[counted].double().square().sum(dim=0) for hidden in both])
        sums, tokens = sums.to(own.device) + own, tokens.to(own.device) + counted.sum()
    found = total(torch.cat([sums.flatten(), tokens])).cpu()
    if found[-1] == 0 or not found.isfinite().all():
        raise InputError(
            f"model: the units norm and rms cannot be measured on {found[-1]:g} tokens of the first retain rows; check "
            "the rows and the model, or set model.forget.unit, model.noise_unit and model.state_unit to absolute"
        )
    return found[:-1].reshape(2, -1) / found[-1]


def _counted(batch: Batch) -> Tensor:
    """`[batch, seq]`, which tokens are measured."""
    return functional.without_first(batch["loss_mask"], batch["attention_mask"]).bool()

"""The direction in which unlearning moved the states, taken out of them."""

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, cast

import torch
from torch import Tensor

from lit_unlearn.commands.attack.contract import Attack, Cost, Outcome, Settings
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.losses.contract import Batch
from lit_unlearn.models import loading
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.running.displacement import mean_displacement, orthonormal
from lit_unlearn.running.hooks import projected_out
from lit_unlearn.running.state_patching import Decoder


class AblatedDirection(Attack):
    """Projects the mean displacement of forget rows' states, unlearned less base, out of the residual stream.

    At a layer the directions, one for each forget topic, are measured; from it on they are taken out after every layer,
    as Arditi et al. 2024 (arXiv 2406.11717) do with refusal.

    Args:
        layers: indices of layers, each tried from there on; None tries all.
        rows: of each forget topic, from which directions are measured.
        batch_size: rows that run together.

    Raises:
        InputError: a number cannot be used.
    """

    needs_base: ClassVar[bool] = True

    def __init__(self, layers: Sequence[int] | None = None, *, rows: int = 128, batch_size: int = 8) -> None:
        check_at_least("AblatedDirection.rows", rows, 1)
        check_at_least("AblatedDirection.batch_size", batch_size, 1)
        if layers is not None and (not layers or min(layers) < 0):
            raise InputError(f"AblatedDirection.layers: {list(layers)} must be indices from 0; give null for all")
        self.layers = None if layers is None else tuple(layers)
        self.rows, self.batch_size = rows, batch_size

    @property
    def title(self) -> str:
        """For the card."""
        return "steering direction taken out"

    def cost(self, settings: Settings) -> Cost:
        """An evaluation for each layer; of all layers, 32 are counted."""
        del settings
        return Cost(loads=2, evaluations=32 if self.layers is None else len(self.layers))

    def check(self, target: Target) -> None:
        """The model has such layers.

        Raises:
            InputError: it has not.
        """
        last = loading.load_config(target.source).get_text_config().num_hidden_layers - 1
        if self.layers is not None and max(self.layers) > last:
            raise InputError(f"AblatedDirection.layers: {max(self.layers)} is beyond the model's last layer, {last}")

    def attempt(self, target: Target, settings: Settings, seed: int) -> Iterable[Outcome]:
        """An outcome for each layer.

        Raises:
            InputError: there is no such layer.
        """
        del seed
        self.check(target)
        model, base = (Decoder(one, decoder_layers(one)) for one in (target.load(), target.load_base()))
        tried = range(len(model.layers)) if self.layers is None else self.layers
        rows = target.data.trained_rows("forget")
        moved = mean_displacement(base, model, self._batches(target, model.model.device), topics=len(rows))
        del base
        for layer in tried:
            basis = orthonormal(moved[layer]).float()
            with projected_out([*model.layers[layer:]], basis):
                measures = target.evaluate(model.model)
            yield Outcome({**settings, "layer": layer}, measures, {"directions": len(basis)})

    def _batches(self, target: Target, device: torch.device) -> Iterator[Batch]:
        side, padding_id = target.data.padding
        rows = [
            Row([*ids], topic, number)
            for topic, stream in enumerate(target.data.trained_rows("forget").values())
            for number, ids in enumerate(stream[: self.rows]["input_ids"])
        ]
        for start in range(0, len(rows), self.batch_size):
            batch = collate(rows[start : start + self.batch_size], padding_side=side, padding_id=padding_id)
            moved = {name: value.to(device) for name, value in cast(dict[str, Tensor], batch).items()}
            yield cast(Batch, moved)

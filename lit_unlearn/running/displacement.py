"""Where unlearning has moved a model's states, and the directions that this is along."""

from collections.abc import Iterable

import torch
from torch import Tensor

from lit_unlearn.losses.contract import Batch
from lit_unlearn.losses.functional import precise
from lit_unlearn.running.partial_forward import positions
from lit_unlearn.running.state_patching import Decoder, layer_states

_TOLERANCE = 1e-6
"""A direction that adds less than this share of the largest is none."""


@torch.inference_mode()
def mean_displacement(base: Decoder, unlearned: Decoder, batches: Iterable[Batch], *, topics: int) -> Tensor:
    """Mean over tokens of unlearned - base states on the same rows, float64 `[layers, topics, dim]` on the CPU.

    The first token of each row is left out: where it is an attention sink, its scale is another.

    Args:
        base: the model before unlearning.
        unlearned: the model after it.
        batches: rows to forget, on the models' device.
        topics: how many there are; of one without rows the mean is 0.
    """
    total = torch.zeros(0)
    count = torch.zeros(topics, dtype=torch.float64)
    for batch in batches:
        before, after = (torch.stack(layer_states(model, batch).left) for model in (base, unlearned))
        counted = (positions(batch["attention_mask"]) > 0) & batch["attention_mask"].bool()
        moved = (precise(after) - precise(before)) * counted[..., None]
        by_row = moved.double().sum(dim=2).cpu()
        if not len(total):
            total = torch.zeros(len(by_row), topics, by_row.shape[-1], dtype=torch.float64)
        topic = batch["topic"].cpu()
        total.index_add_(1, topic, by_row)
        count.index_add_(0, topic, counted.sum(dim=1).double().cpu())
    return total / count.clamp(min=1)[:, None]


def orthonormal(directions: Tensor) -> Tensor:
    """An orthonormal basis `[rank, dim]` of what directions `[count, dim]` span.

    Example:
        >>> orthonormal(torch.tensor([[0.0, 2.0], [0.0, 4.0]])).abs()
        tensor([[0., 1.]])
    """
    _, size, basis = torch.linalg.svd(directions, full_matrices=False)
    kept: Tensor = basis[size > _TOLERANCE * size.max().clamp(min=torch.finfo(size.dtype).tiny)]
    return kept

"""What a run logs beside its losses: measurements by stream and topic, throughput, the optimizer."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer

from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch, Outputs, counted_states

RowValues = dict[str, Tensor]
"""Values by name, `[batch]` each."""


def describe(loss: Tensor, updated: Outputs, batch: Batch, direction: Tensor | None) -> RowValues:
    """The measurements of one stream's rows.

    Args:
        loss: `[batch]`.
        updated: outputs of the updated model.
        batch: the rows.
        direction: `[batch, dim]`, the steering vector of each row; None if there is none.

    Returns:
        `loss`; `norm`, mean norm of the hidden states without each row's first token, in which many models have an
        attention sink; `first_token_share`, the share of the squares that it holds; with a direction, `cosine`, the
        mean cosine with it of the states that the loss counts.
    """
    hidden, mask = updated.hidden.detach(), batch["loss_mask"]
    rows = {
        "loss": loss.detach(),
        "norm": functional.mean_norm(hidden, functional.without_first(mask, batch["attention_mask"])),
        "first_token_share": functional.first_token_share(hidden, mask),
    }
    if direction is not None:
        rows["cosine"] = functional.mean_cosine(hidden, direction, counted_states(batch))
    return rows


def means(
    rows: RowValues, topic: Tensor, topics: Sequence[str], total: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Means over all rows and over the rows of each topic that is present, exact over processes.

    All sums go over the processes in one collective; torchmetrics' MeanMetric would need two for each name and topic.

    Args:
        rows: values by name.
        topic: `[batch]`, the topic of each row.
        topics: the topics' names; with none, only the means over all rows.
        total: sums a tensor over processes.

    Returns:
        0-dimensional tensors by `name` and `name/topic`.

    Example:
        >>> means({"loss": torch.tensor([1.0, 3.0])}, torch.tensor([1, 1]), ["bio", "cyber"], lambda tensor: tensor)
        {'loss': tensor(2.), 'loss/cyber': tensor(2.)}
    """
    own = topic[:, None] == torch.arange(len(topics), device=topic.device)
    weights = torch.cat([torch.ones_like(own[:, :1]), own], dim=1) if topics else torch.ones_like(topic)[:, None].bool()
    values = torch.stack(list(rows.values())).float()
    # where, not a product: a NaN in one topic's rows is not another's.
    sums = torch.where(weights, values[:, :, None], 0.0).sum(dim=1)
    sums_and_counts = total(torch.cat([sums, weights.sum(dim=0)[None].float()]))
    counts = sums_and_counts[-1]
    out: dict[str, Tensor] = {}
    for column, suffix in enumerate(["", *(f"/{name}" for name in topics)]):
        if counts[column] > 0:
            out |= {f"{name}{suffix}": sums_and_counts[line, column] / counts[column] for line, name in enumerate(rows)}
    return out


class Throughput:
    """Tokens per second since the last reading, counted without waiting for the device."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Starts the clock and the count again."""
        self._tokens: Tensor | float = 0.0
        self._since = time.perf_counter()

    def count(self, *masks: Tensor) -> None:
        """Adds the real tokens of attention masks `[batch, seq]`."""
        self._tokens = self._tokens + sum(mask.sum() for mask in masks)

    def rate(self) -> Tensor:
        """Tokens per second; restarts the clock and the count."""
        # float32 whatever the default dtype, which is bf16 under bf16-true.
        rate = torch.as_tensor(self._tokens, dtype=torch.float32) / (time.perf_counter() - self._since)
        self.restart()
        return rate


class Measurements:
    """The latest measurements of training, by the names under which they are logged, and its throughput."""

    def __init__(self) -> None:
        self.latest: dict[str, Tensor] = {}
        self.throughput = Throughput()

    def update(
        self,
        stream: str,
        rows: RowValues,
        topic: Tensor,
        *,
        topics: Sequence[str],
        total: Callable[[Tensor], Tensor],
    ) -> None:
        """Takes those of a step; a topic that does not occur in it keeps its values.

        Args:
            stream: `forget` or `retain`.
            rows: as in `means`, like all that follow.
            topic: `[batch]`.
            topics: the topics' names.
            total: sums over processes.
        """
        found = means(rows, topic, topics, total)
        self.latest |= {f"train/{stream}_{name}": value for name, value in found.items()}


def described(optimizer: Optimizer) -> str:
    """An optimizer as a model card shows it.

    Example:
        >>> described(torch.optim.SGD([torch.zeros(1)], lr=0.1))
        'SGD(lr=0.1, weight_decay=0)'
    """
    shown = {
        key: optimizer.defaults[key] for key in ("lr", "betas", "eps", "weight_decay") if key in optimizer.defaults
    }
    return f"{type(optimizer).__name__}({', '.join(f'{key}={value}' for key, value in shown.items())})"

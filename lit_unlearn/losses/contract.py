"""The contract between losses and the module: what a loss reads, and that it returns one value per row."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, NotRequired, Protocol, TypedDict

import torch
from torch import Tensor, nn


class Batch(TypedDict):
    """Rows of one stream, as the DataModules yield them; every tensor is int64 where nothing else is said."""

    input_ids: Tensor
    """`[batch, seq]` token ids, padded on either side."""
    attention_mask: Tensor
    """`[batch, seq]`, 1 at real tokens."""
    labels: Tensor
    """`[batch, seq]`, `input_ids` with -100 at padding, at tokens that forget-token mixing inserted and those right
    after them, and at prompts where losses run over answers alone; position t is predicted from t - 1, if that is a
    real token."""
    loss_mask: Tensor
    """`[batch, seq]`, 1 at the positions over which a mean runs: the real tokens, but for inserted ones and, where
    losses run over answers alone, prompts. Hidden states and logits of position t are left out if and only if t is one
    of those: the logits at t - 1, which predict it, count. A likelihood counts neither an inserted token nor one
    predicted from it, but the first token of an answer, as `labels` has it."""
    topic: Tensor
    """`[batch]`, the index of each row's topic."""
    row: Tensor
    """`[batch]`, a number that no other row of the stream has; the noise is a function of it."""
    state_mask: NotRequired[Tensor]
    """`[batch, seq]`, 1 at the positions whose hidden states count in losses on representations, which the module adds
    where they are not those of `loss_mask` (`counted_states`)."""
    token_weight: NotRequired[Tensor]
    """Float32 `[batch, seq]`, of a forget batch, where the loss reads it: 0 or more, by how much rarer each token is in
    retain text; what stands at padding does not count."""
    preferred: NotRequired["Batch"]
    """Of a forget batch, where the loss reads it: an answer for each row that is preferred to it."""


def counted_states(batch: Batch) -> Tensor:
    """`[batch, seq]`, 1 at the positions whose hidden states count in losses on representations."""
    return batch.get("state_mask", batch["loss_mask"])


class Logits(Protocol):
    """`[batch, seq, vocab]`: a tensor, or what computes the logits of those tokens at which it is indexed."""

    @property
    def shape(self) -> torch.Size:
        """Batch, seq and vocab."""

    def __getitem__(self, index: Any, /) -> Tensor:
        """The logits at an index over batch and seq, e.g. `logits[rows, positions]`, `[tokens, vocab]`."""


class Outputs(NamedTuple):
    """What one model computed for a batch."""

    hidden: Tensor
    """`[batch, seq, dim]`, the residual stream after the steering layer."""
    logits: Logits | None
    """`[batch, seq, vocab]`, or None where only the first layers ran."""
    preferred: "Outputs | None" = None
    """Of the batch's preferred answers, where the loss reads them."""
    lower: tuple[Tensor, ...] = ()
    """`[batch, seq, dim]`, the residual stream after each of the loss's `lower_layers`."""


def state_pairs(updated: Outputs, frozen: Outputs) -> Iterator[tuple[Tensor, Tensor]]:
    """The states of both models after the steering layer, then after each lower layer."""
    yield updated.hidden, frozen.hidden
    yield from zip(updated.lower, frozen.lower, strict=True)


class Loss(nn.Module, ABC):
    """A forget or a retain loss. It sees no model, tokenizer or trainer.

    A subclass says what it reads (`needs_...`); the module runs no more than that.
    """

    stream: ClassVar[Literal["forget", "retain"] | None] = None
    """The stream it is made for, so that the other is refused; None leaves it to the user."""
    needs_logits: ClassVar[bool] = False
    """Whether it reads `Outputs.logits` (of the frozen model too, if it reads that)."""
    needs_frozen: ClassVar[bool] = False
    """Whether it reads the frozen model's outputs."""
    falls: ClassVar[bool] = True
    """Whether its value falls in a training that works; where the weights of tokens or the targets move it may rise."""
    needs_preferred: ClassVar[bool] = False
    """Whether it reads `Outputs.preferred`, for which the DataModule samples an answer for each forget row."""
    needs_rows: ClassVar[bool] = True
    """Whether it reads the outputs of the batch's own rows. If not, those of preferred answers of the updated model are
    all it gets; its rows run up to the steering layer, without gradient, for what is logged."""
    needs_token_weights: ClassVar[bool] = False
    """Whether it reads `token_weight` of a forget batch, for which the DataModule counts the tokens of both streams."""
    lower_layers: Sequence[int] = ()
    """Indices of layers below the steering layer whose states it also reads, as `Outputs.lower`."""

    @abstractmethod
    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns the loss of each row, `[batch]`.

        Args:
            updated: outputs of the model being trained.
            frozen: outputs of the model before training, without gradient; None unless `needs_frozen`.
            batch: the rows themselves.
        """

    def steering_vector(self, topic: Tensor, dim: int) -> Tensor | None:
        """The unit vector `[batch, dim]` towards which each row's states are steered; None if there is none."""
        del topic, dim
        return None

    def __repr__(self) -> str:
        """The class and its options on one line, as a model card shows them."""
        per_topic = {name: child.shown for name, child in self.named_children() if isinstance(child, PerTopic)}
        plain = {name: value for name, value in vars(self).items() if name[0] != "_" and name != "training"}
        return f"{type(self).__name__}({', '.join(f'{name}={value}' for name, value in (per_topic | plain).items())})"


class PerTopic(nn.Module):
    """One number for all topics, or a list with one for each."""

    def __init__(self, values: float | list[float]) -> None:
        super().__init__()
        self.values = values

    @property
    def shown(self) -> str:
        """As a model card shows it."""
        return str(self.values)

    def extra_repr(self) -> str:
        """The same."""
        return self.shown

    def forward(self, topic: Tensor) -> Tensor:
        """The value of each row, float32 `[batch]`; NaN for a topic that has none."""
        if not isinstance(self.values, list):
            return torch.full_like(topic, self.values, dtype=torch.float32)
        out = torch.full_like(topic, torch.nan, dtype=torch.float32)
        for index, value in enumerate(self.values):
            out = torch.where(topic == index, value, out)
        return out

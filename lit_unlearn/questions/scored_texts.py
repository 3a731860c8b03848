"""Texts whose last tokens are scored one by one, and their batches."""

from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset
from transformers import PreTrainedModel

from lit_unlearn.data.rows import Row, collate
from lit_unlearn.errors import Diverged
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch
from lit_unlearn.questions.shares import Size, batch_at, batches_each, fitting, own_batches
from lit_unlearn.running.partial_forward import run_layers


class ScoredText(NamedTuple):
    """Tokens, the last of which are scored."""

    input_ids: tuple[int, ...]
    scored: int
    """How many are."""


class ScoredBatch(TypedDict):
    """Some texts."""

    texts: Batch
    """As a stream's rows; `row` is the text's number, `labels` are those of scored tokens."""
    valid: Tensor
    """`[batch]` bool, False at a text that only fills up and is never counted."""


class Scored(TypedDict):
    """What came out for the valid texts of a batch."""

    text: Tensor
    """`[texts]`, numbers."""
    token_nll: Tensor
    """`[texts, tokens]`, negative log-likelihood of each scored token in nats, NaN after the last."""


class ScoredBatches(Dataset[ScoredBatch]):
    """Item i is the i-th batch of one process; every process has equally many, and every text is in one of them.

    Longest first, as for questions (`QueryBatches`).

    Args:
        texts: in any order; a text's number is its place.
        max_tokens: of one batch, padding included.
        padding: side and token id.
        share: (rank, number of processes).
    """

    def __init__(
        self,
        texts: Sequence[ScoredText],
        *,
        max_tokens: int,
        padding: tuple[str, int],
        share: tuple[int, int] = (0, 1),
    ) -> None:
        self.texts = texts
        self.padding = padding
        self.share = share
        order = sorted(range(len(texts)), key=lambda number: (-len(texts[number].input_ids), number))
        self._batches = fitting(order, max_tokens, size=lambda number: Size(1, len(texts[number].input_ids)))

    def __len__(self) -> int:
        """Batches of each process."""
        return batches_each(len(self._batches), self.share)

    @property
    def rows(self) -> int:
        """Texts of this process."""
        return sum(map(len, own_batches(self._batches, self.share)))

    def __getitem__(self, index: int) -> ScoredBatch:
        found = batch_at(index, len(self._batches), self.share)
        numbers = self._batches[-1][-1:] if found is None else self._batches[found]
        rows = [Row([*self.texts[number].input_ids], 0, number, prompt=self._unscored(number)) for number in numbers]
        batch = collate(rows, padding_side=self.padding[0], padding_id=self.padding[1])
        return ScoredBatch(texts=batch, valid=torch.full((len(rows),), found is not None))

    def _unscored(self, number: int) -> frozenset[int]:
        ids, scored = self.texts[number]
        return frozenset(range(len(ids) - scored))


def token_nll(model: PreTrainedModel, layers: nn.ModuleList, batch: ScoredBatch) -> Scored:
    """How likely each scored token is to a causal language model.

    Args:
        model: a causal language model.
        layers: its decoder layers.
        batch: of texts.

    Raises:
        Diverged: its logits are not numbers.
    """
    texts = batch["texts"]
    outputs, _ = run_layers(model, layers, texts, layer=len(layers) - 1, needs_logits=True, start=0)
    assert outputs.logits is not None
    labels = functional.predicted_labels(texts["labels"], texts["attention_mask"], texts["loss_mask"])
    found = functional.token_nll(outputs.logits, labels)
    counted = labels[:, 1:] != functional.IGNORED_LABEL
    return Scored(text=texts["row"][batch["valid"]], token_nll=to_the_left(found, counted)[batch["valid"]])


def to_the_left(values: Tensor, counted: Tensor) -> Tensor:
    """The counted values of each row from its beginning on, in their order; NaN after the last.

    Raises:
        Diverged: a counted value is NaN.

    Example:
        >>> to_the_left(torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]]), torch.tensor([[0, 1, 1], [1, 0, 0]]) == 1)
        tensor([[1., 2.],
                [3., nan]])
    """
    if (values.isnan() & counted).any():  # which would pass for what is after the last
        raise Diverged(
            "texts that are scored: the model's logits are not numbers, so it gives them no likelihood; training "
            "diverged or overflowed: lower the learning rate, or use bf16 instead of float16"
        )
    order = (~counted).int().argsort(dim=1, stable=True)
    longest = int(counted.sum(dim=1).max())
    moved = values.masked_fill(~counted, torch.nan).gather(1, order)
    return moved[:, :longest]

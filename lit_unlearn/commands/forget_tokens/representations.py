"""Texts as a frozen model represents them at a layer."""

import itertools
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_unlearn.commands.forget_tokens.similarity import mean_state
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.data.vocabulary import special_tokens
from lit_unlearn.losses.contract import Batch
from lit_unlearn.models import layers
from lit_unlearn.running.partial_forward import run_layers


class Representations:
    """Represents rows of tokens by the mean of their hidden states after a layer, special tokens left out.

    Layers above it never run. The first token of a model without BOS counts, attention sink though it is.

    Args:
        model: in eval mode, on the device where it runs.
        tokenizer: of the model.
        layer: index of the layer.
        decoder_layers: dotted name of the list of layers, for a model where it is not found by itself.
    """

    def __init__(
        self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, layer: int, decoder_layers: str | None = None
    ) -> None:
        self.model = model
        self.layers = layers.decoder_layers(model, decoder_layers)
        self.layer = layer
        self._special = sorted(special_tokens(tokenizer))
        self._first = list(itertools.takewhile(self._special.__contains__, tokenizer("A")["input_ids"]))

    def of_rows(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """The representation of each row, special tokens included: at least float32 `[rows, dim]`, on the CPU."""
        batch = collate(
            [Row(list(ids), 0, number) for number, ids in enumerate(rows)], padding_side="right", padding_id=0
        )
        counted = batch["attention_mask"].bool() & ~torch.isin(batch["input_ids"], torch.tensor(self._special))
        return mean_state(self._hidden(batch), counted.long())

    def alone(self, ngrams: Sequence[Sequence[int]]) -> Tensor:
        """As `of_rows`, each n-gram's tokens a row of their own that begins as the tokenizer begins every text."""
        return self.of_rows([[*self._first, *ids] for ids in ngrams])

    @torch.inference_mode()
    def _hidden(self, batch: Batch) -> Tensor:
        moved = cast(
            Batch, {name: value.to(self.model.device) for name, value in cast(dict[str, Tensor], batch).items()}
        )
        outputs, _ = run_layers(self.model, self.layers, moved, layer=self.layer, needs_logits=False, start=0)
        return outputs.hidden.cpu()

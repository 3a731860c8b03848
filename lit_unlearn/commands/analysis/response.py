"""How a model's output responds to its hidden states: values, and their gradients at some tokens."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from tqdm import tqdm
from transformers import PreTrainedModel

from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch
from lit_unlearn.losses.functional import precise
from lit_unlearn.questions.batches import Query
from lit_unlearn.running.partial_forward import run_layers

Value = Callable[[Tensor, Tensor], Tensor]
"""Takes logits `[queries, vocab]` and the right answers' tokens `[queries]`, returns `[queries]`."""


class Response(NamedTuple):
    """What a model makes of some queries; on the CPU, float32."""

    hidden: Tensor
    """`[queries, width, dim]`: states after the steering layer at each query's last tokens, as many as are asked for,
    and 0 before them."""
    value: Tensor
    """`[queries]`: the number that is made of the logits after each query."""
    gradient: Tensor
    """`[queries, width, dim]`: its gradient with respect to these hidden states."""


class Responder:
    """Asks a model, a batch of queries at a time.

    Args:
        model: in eval mode, no parameter of which is trained, on the device where it runs.
        layers: its decoder layers.
        layer: index of the steering layer.
        value: the number that is made of the logits after a query.
        batch_size: queries that run together.
    """

    def __init__(
        self, model: PreTrainedModel, layers: nn.ModuleList, layer: int, value: Value, *, batch_size: int
    ) -> None:
        self.model = model
        self.layers = layers
        self.layer = layer
        self.value = value
        self.batch_size = batch_size

    def respond(self, queries: Sequence[Query], ends: Tensor, text: str) -> Response:
        """Value, states and gradients of each query.

        Args:
            queries: any.
            ends: `[queries]`, of how many of its last tokens the states are asked for.
            text: what the progress bar says.
        """
        parts = []
        for part in self._parts(len(queries), text):
            with torch.enable_grad():
                batch, added = self._batch(queries[part])
                hidden, value = self._run(queries[part], batch, added.requires_grad_())
                (gradient,) = torch.autograd.grad(value.sum(), added)
            wanted = [last_tokens(found.detach().cpu(), ends[part], int(ends.max())) for found in (hidden, gradient)]
            parts.append(Response(wanted[0], value.detach().cpu(), wanted[1]))
        return Response(*map(torch.cat, zip(*parts, strict=True)))

    @torch.inference_mode()
    def displaced(self, queries: Sequence[Query], displacement: Tensor, text: str) -> Tensor:
        """Values `[queries]` with something added to the states of the last tokens.

        Args:
            queries: any.
            displacement: `[queries, width, dim]`.
            text: what the progress bar says.
        """
        parts = []
        for part in self._parts(len(queries), text):
            batch, added = self._batch(queries[part])
            width = min(added.shape[1], displacement.shape[1])
            added[:, -width:] = displacement[part, -width:]
            parts.append(self._run(queries[part], batch, added)[1].cpu())
        return torch.cat(parts)

    def _parts(self, count: int, text: str) -> Iterator[slice]:
        for start in tqdm(range(0, count, self.batch_size), desc=text, unit="batch"):
            yield slice(start, start + self.batch_size)

    def _batch(self, queries: Sequence[Query]) -> tuple[Batch, Tensor]:
        """The queries, padded to the left, and zeros of their hidden states' shape."""
        rows = [Row(query.input_ids, 0, query.number) for query in queries]
        batch = cast(dict[str, Tensor], collate(rows, padding_side="left", padding_id=0))
        moved = {name: value.to(self.model.device) for name, value in batch.items()}
        dim = self.model.config.get_text_config().hidden_size
        return cast(Batch, moved), torch.zeros(*moved["input_ids"].shape, dim, device=self.model.device)

    def _run(self, queries: Sequence[Query], batch: Batch, added: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states and values, with `added` at the steering layer's output."""
        outputs, _ = run_layers(
            self.model,
            self.layers,
            batch,
            layer=self.layer,
            needs_logits=True,
            start=0,
            noise=(self.layer, lambda hidden: added),
        )
        assert outputs.logits is not None
        logits = precise(outputs.logits[:, -1])
        right = torch.tensor([query.choices[query.answer] for query in queries], device=logits.device)
        return precise(outputs.hidden), self.value(logits, right)


def right_logit(logits: Tensor, right: Tensor) -> Tensor:
    """The logit of the right answer: the output of which Theorem 4.3 speaks.

    Example:
        >>> right_logit(torch.tensor([[1.0, 4.0]]), torch.tensor([1]))
        tensor([4.])
    """
    return logits.gather(-1, right[:, None]).squeeze(-1)


def answer_loss(logits: Tensor, right: Tensor) -> Tensor:
    """The negative log-likelihood of the right answer among all tokens: the loss of which Theorem 5.2 speaks.

    Example:
        >>> answer_loss(torch.zeros(1, 4), torch.tensor([1]))
        tensor([1.3863])
    """
    return logits.logsumexp(dim=-1) - right_logit(logits, right)


def last_tokens(values: Tensor, ends: Tensor, width: int) -> Tensor:
    """The last `ends` `[rows]` tokens of values `[rows, seq, dim]`, and 0 before them: `[rows, width, dim]`.

    Example:
        >>> last_tokens(torch.ones(2, 2, 1), torch.tensor([1, 2]), 3).squeeze(-1)
        tensor([[0., 0., 1.],
                [0., 1., 1.]])
    """
    cut = values[:, -width:]
    cut = pad(cut, (0, 0, width - cut.shape[1], 0))
    wanted = torch.arange(width, 0, -1) <= ends[:, None]
    return torch.where(wanted[..., None], cut, 0.0)

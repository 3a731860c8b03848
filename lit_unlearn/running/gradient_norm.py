"""The norm of a loss' gradient with respect to a model's weights, for one text: a membership score."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch
from lit_unlearn.running.partial_forward import run_layers


def gradient_norm(model: PreTrainedModel, layers: nn.ModuleList, batch: Batch) -> float:
    """The mean over a model's weight tensors of the 2-norm of the gradient of a text's mean loss (2402.17012).

    All floating weights count, trained or not, as in open-unlearning. No `.grad` is written or changed. A backward for
    each text, with a gradient as large as the model.

    Args:
        model: a causal language model that no process shards.
        layers: its decoder layers.
        batch: of one text, on the model's device.
    """
    with torch.inference_mode(False), torch.enable_grad(), _all_require_grad(model) as weights:
        own: Batch = {name: value.clone() for name, value in batch.items()}  # type: ignore[assignment, attr-defined]
        loss = _loss(model, layers, own)
        gradients = torch.autograd.grad(loss, weights, allow_unused=True)
    norms = [one.detach().float().norm() for one in gradients if one is not None]
    return float(torch.stack(norms).mean())


def _loss(model: PreTrainedModel, layers: nn.ModuleList, batch: Batch) -> Tensor:
    outputs, _ = run_layers(model, layers, batch, layer=len(layers) - 1, needs_logits=True, start=0)
    assert outputs.logits is not None
    labels = functional.predicted_labels(batch["labels"], batch["attention_mask"], batch["loss_mask"])
    counted = labels[:, 1:] != functional.IGNORED_LABEL
    return functional.token_nll(outputs.logits, labels)[counted].mean()


@contextmanager
def _all_require_grad(model: PreTrainedModel) -> Iterator[list[Tensor]]:
    """Within this context all floating weights do; after it those that did."""
    weights = [one for one in model.parameters() if one.is_floating_point()]
    before = [one.requires_grad for one in weights]
    try:
        for one in weights:
            one.requires_grad_(True)
        yield [*weights]
    finally:
        for one, required in zip(weights, before, strict=True):
            one.requires_grad_(required)

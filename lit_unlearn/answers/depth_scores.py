"""What answers lose when a model's states are replaced by another model's, after each layer in turn."""

from collections.abc import Sequence

import torch
from torch import Tensor

from lit_unlearn.answers.token_scores import AnswerBatch
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Outputs
from lit_unlearn.running.state_patching import Decoder, layer_states, patched_runs

Lost = dict[int, list[float]]
"""By text, nats per token of its answer that are lost after each layer."""


@torch.inference_mode()
def lost_by_layer(full: Decoder, others: Sequence[Decoder], batch: AnswerBatch, ends: Sequence[int]) -> list[Lost]:
    """Mean log p of the answers' tokens in a model as it is, less that with another model's states after a layer.

    Only the positions that predict the answers' tokens are replaced. The models must share coordinates: be of one
    initialisation, or one fine-tuned from another.

    Args:
        full: the model that knows the answers.
        others: whose states are put into it, one after another.
        batch: of answers.
        ends: by text, how many of its last tokens are the template's and do not count (`AnswerPlan.ends`).

    Returns:
        Of each of the others, by text.
    """
    rows = batch["answers"]
    labels = _without_ends(
        functional.predicted_labels(rows["labels"], rows["attention_mask"], rows["loss_mask"]),
        rows["row"].new_tensor([ends[text] for text in rows["row"].tolist()]),
    )
    mask = torch.nn.functional.pad(labels[:, 1:] != functional.IGNORED_LABEL, (0, 1))
    own = layer_states(full, rows)
    clean = _mean_logprob(own.outputs, labels)
    texts = [(row, text) for row, text in enumerate(rows["row"].tolist()) if batch["valid"][row]]
    found = []
    for other in others:
        runs = patched_runs(full, rows, own, mask=mask, source=layer_states(other, rows).left)
        lost = torch.stack([clean - _mean_logprob(outputs, labels) for outputs in runs], dim=1).tolist()
        found.append({text: lost[row] for row, text in texts})
    return found


def _without_ends(labels: Tensor, ends: Tensor) -> Tensor:
    """The labels, the last ones of each row ignored: as many as it has ends."""
    counted = labels != functional.IGNORED_LABEL
    after = counted.flip(dims=[1]).long().cumsum(dim=1).flip(dims=[1])  # 1 at the last counted one
    return labels.masked_fill(after <= ends[:, None], functional.IGNORED_LABEL)


def _mean_logprob(outputs: Outputs, labels: Tensor) -> Tensor:
    """`[texts]`, over the labels that count."""
    assert outputs.logits is not None
    counted = labels[:, 1:] != functional.IGNORED_LABEL
    nll = functional.token_nll(outputs.logits, labels).masked_fill(~counted, 0.0)
    return -nll.double().sum(dim=1) / counted.sum(dim=1)

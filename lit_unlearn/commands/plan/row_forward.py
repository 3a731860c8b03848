"""What a forward of a row to the steering layer takes, as `analyse strays` makes one for each row of the streams."""

from typing import NamedTuple

import torch

from lit_unlearn.commands.plan.ledger import Ledger
from lit_unlearn.commands.plan.shapes import Shapes, moved
from lit_unlearn.losses.contract import Batch
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.running.partial_forward import run_layers


class RowForward(NamedTuple):
    """A forward of one row from the embedding to the steering layer."""

    tokens: int
    layers: int
    flops: int
    """Floating-point operations of matrix products and attention, the same in any precision."""


def row_forward(module: UnlearnModule, tokens: int) -> RowForward:
    """What such a forward takes.

    Args:
        module: whose model is not loaded; only its shape is read.
        tokens: of the row.
    """
    model = module.without_weights(torch.float32)
    with Shapes(), torch.no_grad(), Ledger() as ledger:
        moved(model)
        layers = decoder_layers(model, module.decoder_layers)
        run_layers(model, layers, _batch(tokens), layer=module.layer, needs_logits=False, start=0)
    return RowForward(tokens, module.layer + 1, ledger.operations)


def _batch(tokens: int) -> Batch:
    ids, number = torch.ones(1, tokens, dtype=torch.long), torch.zeros(1, dtype=torch.long)
    return Batch(input_ids=ids, attention_mask=ids, labels=ids, loss_mask=ids, topic=number, row=number)

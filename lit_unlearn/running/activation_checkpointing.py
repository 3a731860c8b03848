"""Decoder layers whose activations are computed again in backward."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from lit_unlearn.running.hooks import Override, applied, running_as


def recomputed(layers: Sequence[nn.Module], settings: Sequence[Override]) -> AbstractContextManager[None]:
    """Of what the layers compute within this context only their inputs are kept; backward computes the rest again.

    Hooks on the layers themselves do not run again, those on their parts do.

    Args:
        layers: decoder layers.
        settings: what is set within this context, e.g. dropout's rates; it is set again meanwhile.
    """
    again = partial(checkpoint, use_reentrant=False, preserve_rng_state=bool(settings))
    aside = partial(again, context_fn=lambda: (nullcontext(), applied(settings)))
    return running_as([(layer, partial(aside, layer.forward)) for layer in layers])

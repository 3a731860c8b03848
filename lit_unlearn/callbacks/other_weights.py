"""Evaluations of other weights than the trained ones, which are there again afterwards."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import lightning as L
import torch
from torch import Tensor

from lit_unlearn.distributed.sharding import named_parameters
from lit_unlearn.modules.unlearn import UnlearnModule


@contextmanager
def without_result(trainer: L.Trainer) -> Iterator[None]:
    """As in Lightning's sanity check, callbacks neither keep these weights nor stop for their sake."""
    stage = trainer.state.stage
    trainer.sanity_checking = True
    try:
        yield
    finally:
        trainer.state.stage = stage


@contextmanager
def weights_put_back(module: UnlearnModule) -> Iterator[Mapping[str, Tensor]]:
    """Gives copies of the trained parameters, by their names in the updated model, which become these again."""
    trained = dict(named_parameters(module.updated, remove_duplicate=False))  # a tied one has several names
    kept = {name: trained[name].detach().clone() for name in module.frozen.originals()}
    try:
        yield kept
    finally:
        with torch.no_grad():
            for name, value in kept.items():
                trained[name].copy_(value)

"""Noise on the weights before training, of which distillation brings back what the model showed and no more."""

import lightning as L
import torch
from torch import Tensor
from torch.nn.init import xavier_uniform_

from lit_unlearn import randomness
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs.shown import Shown

_WEIGHTS = 2
"""The number of a stream of random numbers that neither the forget nor the retain rows have."""


class ShrinkAndPerturb(Shown, L.Callback):
    """Shrinks every trained parameter and adds noise: w ← (1 - α) w + α β ξ, once, before the first step.

    ξ is Xavier-uniform for a matrix, U(-a, a) with a = sqrt(6 / (rows + columns)), and 0 for a vector. The frozen model
    keeps the weights as they were: it is the teacher of the second stage of UNDO, in which the disturbed model learns
    to answer as it did (`Distillation` and `LogitKL`). Evaluations before training are of the model without noise; a
    resumed run is not disturbed again. ξ is a function of `model.seed` and the parameter's place in the model.

    Lee et al. 2025, "Distillation robustifies unlearning", arXiv 2506.06278.

    Args:
        share: α, from 0 (nothing) to 1 (nothing of the weights stays).
        noise: β, of the noise, 0 or more; 0 only shrinks. The default is that of the released code.

    Raises:
        InputError: a number is out of range, or the trained parameters cannot be disturbed.
    """

    def __init__(self, share: float, *, noise: float = 0.1) -> None:
        if not 0 <= share <= 1:
            raise InputError(f"ShrinkAndPerturb.share: {share} is not a share of the weights; give 0 to 1, e.g. 0.5")
        check_at_least("ShrinkAndPerturb.noise", noise, 0)
        self.share, self.noise = share, noise

    def check_options(self, trainer: L.Trainer, pl_module: L.LightningModule, data: object) -> None:
        """Checks that there are parameters that can be disturbed.

        Raises:
            InputError: there are not.
        """
        if not isinstance(pl_module, UnlearnModule):
            raise InputError(
                f"ShrinkAndPerturb: {type(pl_module).__name__} is not an UnlearnModule; remove the callback"
            )
        if pl_module.lora is not None:
            raise InputError(
                "ShrinkAndPerturb: model.lora trains adapters, which are no weights of the model; set model.trainable "
                "instead"
            )

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks the options and that each process holds whole matrices.

        Raises:
            InputError: it does not.
        """
        self.check_options(trainer, pl_module, None)
        assert isinstance(pl_module, UnlearnModule)
        if stage == "fit" and pl_module.is_sharded():
            raise InputError(
                "ShrinkAndPerturb: under FSDP no process holds a whole matrix; set trainer.strategy to auto or ddp"
            )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Disturbs the weights of a run that begins."""
        assert isinstance(pl_module, UnlearnModule)
        if trainer.global_step:  # a checkpoint's weights have been disturbed
            return
        with torch.no_grad():
            for place, weight in enumerate(pl_module.trained_parameters().values()):
                word = randomness.word(place, seed=pl_module.seed, step=0, stream=_WEIGHTS)
                weight.copy_(disturbed(weight, self.share, self.noise, seed=word))


def disturbed(weight: Tensor, share: float, noise: float, *, seed: int) -> Tensor:
    """(1 - α) w + α β ξ, in at least float32.

    Args:
        weight: a matrix, a stack of them such as that of experts, or a vector, which is only shrunk.
        share: α.
        noise: β.
        seed: of ξ.

    Example:
        >>> disturbed(torch.ones(3), 0.25, 0.1, seed=0)
        tensor([0.7500, 0.7500, 0.7500])
    """
    precise = weight.to(torch.promote_types(weight.dtype, torch.float32))
    if weight.ndim < 2:
        return (1 - share) * precise
    source = torch.Generator().manual_seed(seed)
    drawn = torch.empty(weight.shape)
    for matrix in drawn.view(-1, *weight.shape[-2:]):
        xavier_uniform_(matrix, generator=source)
    return (1 - share) * precise + share * noise * drawn.to(precise)

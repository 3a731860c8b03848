"""Evaluate the weights on the way from the base to the unlearned model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

import lightning as L
import torch

from lit_unlearn.callbacks.evaluation import evaluating
from lit_unlearn.callbacks.other_weights import weights_put_back, without_result
from lit_unlearn.distributed.sharding import named_parameters
from lit_unlearn.errors import InputError
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs.shown import Shown


class Interpolation(Shown, L.Callback):
    """After training, evaluates base + t · (unlearned - base) for some t: a control that any defence has to beat.

    PerturbationRobustness, LikelihoodRobustness and AnswerEvaluation print and write what comes out, each record of
    `results.json` with its `interpolation`. The weights are the unlearned ones again afterwards.

    Args:
        shares: values of t, each between 0, the base, and 1, the unlearned model.

    Raises:
        InputError: a share is not between 0 and 1, or there is no one to count.
    """

    needs_logits: ClassVar[bool] = True

    def __init__(self, shares: Sequence[float] = (0.2, 0.4, 0.6, 0.8)) -> None:
        for share in shares:
            if not 0 < share < 1:
                raise InputError(f"Interpolation.shares: {share} is not on the way; give numbers between 0 and 1")
        self.shares = tuple(shares)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks, before training, that there is something to interpolate and someone to count."""
        if stage == "fit":
            self.check_options(trainer, pl_module, None)

    def check_options(self, trainer: L.Trainer, pl_module: L.LightningModule, data: object) -> None:
        """The same, whatever the data.

        Raises:
            InputError: there is not.
        """
        if not isinstance(pl_module, UnlearnModule):
            raise InputError(f"Interpolation: {type(pl_module).__name__} is not an UnlearnModule; remove the callback")
        if not evaluating(trainer):
            raise InputError(
                "Interpolation: it needs PerturbationRobustness, LikelihoodRobustness or AnswerEvaluation among "
                "trainer.callbacks; add one"
            )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Runs the validation once for each share."""
        assert isinstance(pl_module, UnlearnModule)
        first = evaluating(trainer)[0]
        for share in self.shares:
            with _weights_between(pl_module, share), first.under(interpolation=share), without_result(trainer):
                trainer.fit_loop.epoch_loop.val_loop.run()


@contextmanager
def _weights_between(module: UnlearnModule, share: float) -> Iterator[None]:
    """Within this context the trained parameters are base + share · (unlearned - base)."""
    trained = dict(named_parameters(module.updated, remove_duplicate=False))  # a tied one has several names
    with weights_put_back(module) as kept, torch.no_grad():
        for name, original in module.frozen.originals().items():
            trained[name].copy_(original + share * (kept[name] - original))
        yield

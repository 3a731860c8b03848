"""What defines a run's method."""

from typing import TYPE_CHECKING, Any

from torch.optim import Optimizer

from lit_unlearn.modules.measurements import described

if TYPE_CHECKING:  # which imports this file
    from lit_unlearn.modules.unlearn import UnlearnModule


def hyperparameters(module: "UnlearnModule", optimizer: Optimizer) -> dict[str, Any]:
    """What defines a run's method, for loggers and model cards.

    Args:
        module: in a Trainer, its model loaded.
        optimizer: with the run's options.
    """
    return {
        "pretrained": module.pretrained,
        "forget": repr(module.forget),
        "retain": repr(module.retain),
        "retain_weight": module.retain_weight.values,
        "revision": module.revision,
        "layer": module.layer,
        "lora": module.lora and str(module.lora),
        "attention_dropout": module.attention_dropout,
        "noise_scale": module.noise_scale,
        "noise_layer": module.noise_layer,
        "trained": [name.removeprefix("updated.") for name in module.trained_parameters()],
        "optimizer": described(optimizer),
        "lr_scheduler": module.lr_scheduler and type(module.lr_scheduler(optimizer)).__name__,
        "precision": str(module.trainer.precision),
        "seed": module.seed,
    }

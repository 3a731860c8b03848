"""What defines a run's method, and who else says what defines it."""

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch.optim import Optimizer

from lit_unlearn.modules.measurements import described

if TYPE_CHECKING:  # which imports this file
    from lit_unlearn.modules.unlearn import UnlearnModule


@runtime_checkable
class HasHyperparameters(Protocol):
    """A module or a DataModule that says what defines it."""

    def hyperparameters(self) -> dict[str, Any]:
        """Values by name."""


def hyperparameters_of(described: object) -> dict[str, Any]:
    """What a module or a DataModule says of itself; one of the user's own may say nothing."""
    return described.hyperparameters() if isinstance(described, HasHyperparameters) else {}


def hyperparameters(module: "UnlearnModule", optimizer: Optimizer) -> dict[str, Any]:
    """What defines a run's method, for loggers and model cards.

    Args:
        module: in a Trainer, its model loaded.
        optimizer: with the run's options.
    """
    return {
        "pretrained": module.model_source.name,
        "forget": repr(module.forget),
        "retain": repr(module.retain),
        "retain_weight": module.retain_weight.values,
        "gradients": module.gradients,
        "repair": module.repair,
        "revision": module.revision,
        "layer": module.layer,
        "lora": module.lora and str(module.lora),
        "first_token": module.first_token,
        "attention_dropout": module.attention_dropout,
        "compile": module.compile_layers,
        "noise_scale": module.noise_scale,
        "noise": repr(module.noise),
        "noise_unit": module.noise_unit,
        "noise_layer": module.noise_layer,
        "state_unit": module.state_unit,
        "units": module.model_units and module.model_units.summary(),
        "trained": [name.removeprefix("updated.") for name in module.trained_parameters()],
        "optimizer": described(optimizer),
        "lr_scheduler": module.lr_scheduler and type(module.lr_scheduler(optimizer)).__name__,
        "precision": str(module.trainer.precision),
        "seed": module.seed,
    }

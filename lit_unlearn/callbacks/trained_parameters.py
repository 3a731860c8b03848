"""Says in a line what a fit trains."""

import lightning as L
from lightning.pytorch.callbacks import ModelSummary

from lit_unlearn.callbacks.printing import print_lines
from lit_unlearn.modules.unlearn import UnlearnModule


class TrainedParameters(ModelSummary):
    """Prints, when training begins, the losses, the layer, and how many parameters of how many are trained.

    It replaces Lightning's table of submodules, which are the same for every run. `ModelSummary` among
    `trainer.callbacks` prints that one.
    """

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Prints the line in one process; of a model that is not an UnlearnModule Lightning's table."""
        if not isinstance(pl_module, UnlearnModule):
            super().on_fit_start(trainer, pl_module)
        elif trainer.is_global_zero:
            print_lines(trained(pl_module))


def trained(module: UnlearnModule) -> str:
    """The line; of a model that no process holds whole without numbers of parameters.

    Args:
        module: with its models.
    """
    losses = f"{type(module.forget).__name__} + {type(module.retain).__name__}"
    tensors = [one for one in module.updated.parameters() if one.requires_grad]
    among = f"{len(tensors)} weights"
    if not module.is_sharded():
        every = sum(one.numel() for one in module.updated.parameters())
        among += f", {_count(sum(one.numel() for one in tensors))} of {_count(every)} parameters"
    return f"{losses} at layer {module.layer} of {len(module.layers)}; trained: {among}"


def _count(number: int) -> str:
    """Parameters, with three digits.

    Example:
        >>> _count(2_654_208), _count(7_241_732_096)
        ('2.65 M', '7.24 B')
    """
    unit, name = next(((unit, name) for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")) if number >= unit), (1, ""))
    return f"{number / unit:.3g} {name}".rstrip()

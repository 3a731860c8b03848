"""Begin at the weights that a finished run has left, and train nothing."""

from collections.abc import Collection, Mapping
from dataclasses import replace

import lightning as L
import torch
from torch import Tensor

from lit_unlearn.callbacks.repairs import Repairs
from lit_unlearn.errors import InputError
from lit_unlearn.models import loading
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.weight_files import WeightFiles
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs.shown import Shown


class UnlearnedWeights(Shown, L.Callback):
    """Instead of training, takes the trained weights from the export of a finished run with the same model.

    What other callbacks do before training and after it is done: evaluations, repairs, exports. `lit-unlearn repair`
    has this callback.

    Args:
        folder: of the export.

    Raises:
        InputError: its weights are not those of this run's model, or nothing is done with them.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def check_options(self, trainer: L.Trainer, pl_module: L.LightningModule, data: object) -> None:
        """Checks that there is something to do.

        Raises:
            InputError: there is not.
        """
        if not isinstance(pl_module, UnlearnModule):
            raise InputError(
                f"UnlearnedWeights: {type(pl_module).__name__} is not an UnlearnModule; remove the callback"
            )
        if not any(isinstance(one, Repairs) for one in trainer.callbacks):  # type: ignore[attr-defined]
            raise InputError(
                "UnlearnedWeights: nothing repairs the weights; add Repairs to trainer.callbacks, or evaluate the "
                f"model by lit-unlearn validate --model {self.folder}"
            )

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Takes the weights, and ends training before its first step."""
        assert isinstance(pl_module, UnlearnModule)
        source = replace(pl_module.model_source, pretrained=self.folder, revision="main")
        weights = {name: pl_module.updated.get_parameter(name) for name in pl_module.frozen.originals()}
        found = _stored(source, weights)
        with torch.no_grad():
            for name, weight in weights.items():
                if name not in found or found[name].shape != weight.shape:
                    raise InputError(
                        f"UnlearnedWeights: {self.folder} has no {name} of shape {list(weight.shape)}; give the export "
                        "of a run with the same model"
                    )
                weight.copy_(found[name])
        # Lightning trains on, whatever is to stop, until these are met.
        trainer.fit_loop.min_epochs = trainer.fit_loop.epoch_loop.min_steps = None
        trainer.should_stop = True


def _stored(source: ModelSource, names: Collection[str]) -> Mapping[str, Tensor]:
    """The weights of these names in a model's files, or more; all others stay on disk, unless names differ there."""
    files = WeightFiles.of(source)
    if all(name in files.places for name in names):
        found = {name: files.read(name) for name in names}
        for name, weight in found.items():
            loading.check_finite_weight(source.given, name, weight)
        return found
    # In float32: training moves weights by less than bf16 tells apart.
    return dict(loading.load_model(source, torch.float32).named_parameters())

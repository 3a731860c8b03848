"""A LightningModule that only answers questions: any model, evaluated as it is."""

from collections.abc import Callable
from typing import Any, Self

import lightning as L
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel

from lit_unlearn import checks, models
from lit_unlearn.data.queries import QueryBatch
from lit_unlearn.errors import InputError
from lit_unlearn.evaluation import Evaluation, choice_scores, evaluate_choices
from lit_unlearn.sharded_weights import fill, load
from lit_unlearn.sharding import processes, shard, units


class QuestionModule(L.LightningModule):
    """Answers the questions of a DataModule in `validate` and `test`; nothing is trained, no loss is needed.

    The Trainer's `precision` decides the dtype of the weights, as in UnlearnModule.

    Args:
        pretrained: hub name or folder of the model; `demo` is the embedded small one.
        revision: branch, tag or commit of a hub model.
        attn_implementation: as in transformers; None takes its choice.
        trust_remote_code: run code that comes with the model. Do so only for code you have read.
        decoder_layers: dotted name of the list of decoder layers, which ModelParallelStrategy shards, for a model where
            it is not found by itself.
        replicas: copies of the model under FSDP2, each sharded over as many consecutive processes (HSDP).
    """

    updated: PreTrainedModel

    def __init__(
        self,
        pretrained: str,
        *,
        revision: str = "main",
        attn_implementation: str | None = None,
        trust_remote_code: bool = False,
        decoder_layers: str | None = None,
        replicas: int = 1,
    ) -> None:
        super().__init__()
        self.pretrained = models.located(pretrained)
        self.revision = revision
        self.attn_implementation = attn_implementation
        self.trust_remote_code = trust_remote_code
        self.decoder_layers = decoder_layers
        self.replicas = replicas
        self._precision = ""  # of the loaded model

    def check_model(self) -> None:
        """Checks that there is such a model, without its weights.

        Raises:
            InputError: there is none.
        """
        self._config()

    def check_data(self, data: L.LightningDataModule | None) -> None:
        """Checks that the data asks questions and nothing else.

        Raises:
            InputError: it has no questions, or held-out rows, which need losses.
        """
        if getattr(data, "holdout", 0):
            raise InputError(
                "data.holdout: the losses of held-out rows need model.forget and model.retain, and this model is "
                "evaluated without; set data.holdout to 0"
            )
        if getattr(data, "evaluation", True) is None:
            raise InputError("data: there are no questions; set data.evaluation.questions, as evaluate.yaml does")

    def setup(self, stage: str) -> None:
        """Checks model and data, before any weight is loaded."""
        checks.check_strategy(self.trainer.strategy)
        checks.check_mesh(self.trainer.strategy, self.replicas)
        data = getattr(self.trainer, "datamodule", None)
        self.check_data(data)
        checks.check_vocabulary(self._config(), getattr(data, "vocabulary", None))

    def _config(self) -> PretrainedConfig:
        return models.load_config(self.pretrained, revision=self.revision, trust_remote_code=self.trust_remote_code)

    def configure_model(self) -> None:
        """Loads the model."""
        precision = str(self.trainer.precision)
        if "updated" in self._modules:
            checks.check_precision(precision, self._precision)
            return
        self._precision = precision
        dtype = checks.weights_dtype(precision)
        self.updated, files = load(
            self.pretrained,
            dtype,
            sharded=self.device_mesh is not None,
            revision=self.revision,
            attn_implementation=self.attn_implementation,
            trust_remote_code=self.trust_remote_code,
        )
        if self.device_mesh is not None:
            layers = models.decoder_layers(self.updated, self.decoder_layers)
            shard(self.updated, layers, nn.ModuleList(), processes(self.device_mesh, self.replicas))
        if files is not None:
            fill(self.updated, {}, files, dtype)

    def units(self) -> list[nn.Module]:
        """The modules that FSDP1 shards each for itself."""
        return units(self.updated, models.decoder_layers(self.updated, self.decoder_layers), nn.ModuleList())

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Moves to a device; weights and buffers keep the dtype they were loaded in."""
        device = models.device_alone(*args, **kwargs)
        return self if device is None else super().to(device)

    def forward(self, run: Callable[[], Any]) -> Any:
        """Runs what it is given: FSDP1 gathers what is whole in a step in a forward alone (`outside_step`)."""
        return run()

    def validation_step(self, batch: QueryBatch, batch_idx: int, dataloader_idx: int = 0) -> Evaluation:
        """What the model answers to questions."""
        return evaluate_choices(choice_scores(self.updated, batch), batch)

    test_step = validation_step

    def hyperparameters(self) -> dict[str, Any]:
        """What defines this evaluation, for `results.json`."""
        return {"pretrained": self.pretrained, "revision": self.revision, "precision": str(self.trainer.precision)}

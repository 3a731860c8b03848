"""A LightningModule that only answers questions: any model, evaluated as it is."""

from typing import Any

from torch import nn
from transformers import PreTrainedModel

from lit_unlearn.distributed.sharding import shard, units
from lit_unlearn.errors import InputError
from lit_unlearn.models.precision import check_precision, weights_dtype
from lit_unlearn.models.sharded_loading import fill
from lit_unlearn.models.source import ModelSource
from lit_unlearn.modules.pretrained import Asked, HeldOut, PretrainedModule
from lit_unlearn.modules.protocols import HasAnswers, HasEvaluation, HasHoldout


class QuestionModule(PretrainedModule):
    """Answers the questions of a DataModule in `validate` and `test`, and says how likely held-out rows are to it.

    Nothing is trained, no loss is needed.

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
        source = ModelSource(
            pretrained,
            revision=revision,
            attn_implementation=attn_implementation,
            trust_remote_code=trust_remote_code,
        )
        super().__init__(source, replicas=replicas, decoder_layers=decoder_layers)

    def check_data(self, data: object) -> None:
        """Checks that the data has questions, free answers or held-out rows.

        Raises:
            InputError: it does neither.
        """
        held_out = isinstance(data, HasHoldout) and data.holdout > 0
        answers = isinstance(data, HasAnswers) and bool(data.answers)
        if isinstance(data, HasEvaluation) and data.evaluation is None and not (held_out or answers):
            raise InputError(
                "data: there are no questions, no answers and no held-out rows; set data.evaluation.questions, as "
                "evaluate.yaml does, data.answers or data.holdout"
            )

    def setup(self, stage: str) -> None:
        """Checks model and data, before any weight is loaded."""
        self.check_data(self._data())
        super().setup(stage)

    def configure_model(self) -> None:
        """Loads the model."""
        precision = str(self.trainer.precision)
        if "updated" in self._modules:
            check_precision(precision, self._precision)
            return
        self._precision = precision
        self.updated, files = self._load()
        mesh = self._mesh()
        if mesh is not None:
            shard(self.updated, self.layers, nn.ModuleList(), mesh)
        if files is not None:
            fill(self.updated, {}, files, weights_dtype(precision))

    def adopt(self, updated: PreTrainedModel, precision: str) -> None:
        """Takes a loaded model, as it is now, instead of loading one.

        Args:
            updated: a causal language model on any device.
            precision: that of the Trainer which will run it.
        """
        self.updated, self._precision = updated, precision

    def units(self) -> list[nn.Module]:
        """The modules that FSDP1 shards each for itself."""
        return units(self.updated, self.layers, nn.ModuleList())

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Asked | HeldOut:
        """What the model answers to questions; of a held-out pair of batches, how likely it finds their rows."""
        return self._evaluate("val", batch)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Asked | HeldOut:
        """As `validation_step`, logged under `test/`."""
        return self._evaluate("test", batch)

    def hyperparameters(self) -> dict[str, Any]:
        """What defines this evaluation, for `results.json`."""
        source = self.model_source
        return {"pretrained": source.name, "revision": source.revision, "precision": str(self.trainer.precision)}

    def _evaluate(self, stage: str, batch: Any) -> Asked | HeldOut:
        asked = self.asked(batch)
        if asked is not None:
            return asked
        found = self.held_out(batch)
        self._log_held_out(stage, {}, found, rows=len(batch["forget"]["row"]))
        return found

"""What both LightningModules have in common: a causal language model, loaded as the strategy wants it."""

from collections.abc import Callable
from functools import partial
from typing import Any, Self, TypedDict, cast

import lightning as L
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from transformers import PretrainedConfig, PreTrainedModel

from lit_unlearn.answers.token_scores import AnswerScores, token_scores
from lit_unlearn.distributed.checks import check_mesh, check_strategy
from lit_unlearn.distributed.fsdp1 import FSDP1
from lit_unlearn.distributed.sharding import processes
from lit_unlearn.losses.contract import Batch
from lit_unlearn.losses.likelihood import batch_nll
from lit_unlearn.models import loading
from lit_unlearn.models.checks import check_vocabulary
from lit_unlearn.models.first_layers import FirstLayers
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.precision import weights_dtype
from lit_unlearn.models.sharded_loading import load
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.weight_files import WeightFiles
from lit_unlearn.modules.protocols import HasVocabulary, datamodule_of
from lit_unlearn.questions.scored_texts import Scored, token_nll
from lit_unlearn.questions.scores import (
    Evaluation,
    choice_scores,
    evaluate_choices,
    evaluate_options,
    option_scores,
    text_scores,
)
from lit_unlearn.questions.stored_answers import StoredAnswers
from lit_unlearn.running.partial_forward import run_layers


class HeldOut(TypedDict):
    """What came out for a pair of batches of held-out rows, `[rows]` each."""

    forget_row: Tensor
    """The row's number in its stream."""
    forget_nll: Tensor
    """Negative log-likelihood, in nats per token."""
    retain_row: Tensor
    retain_nll: Tensor


Asked = Evaluation | Scored | AnswerScores
"""What comes out for a batch of questions, texts or answers."""


class PretrainedModule(L.LightningModule):
    """Holds a model, loaded once options and data are checked.

    The Trainer's `precision` decides the dtype of the weights.

    Args:
        source: where the model comes from.
        replicas: copies of the model under FSDP2, each sharded over as many consecutive processes (HSDP).
        decoder_layers: dotted name of the list of decoder layers, for a model where it is not found by itself.
    """

    updated: PreTrainedModel

    def __init__(self, source: ModelSource, *, replicas: int, decoder_layers: str | None) -> None:
        super().__init__()
        self.model_source = source
        self.replicas = replicas
        self.decoder_layers = decoder_layers
        self._precision = ""  # of the loaded model
        self.stored_answers: StoredAnswers | None = None
        """Where answers to questions are looked for before the model is asked."""

    @property
    def pretrained(self) -> str:
        """Hub name or folder of the model."""
        return self.model_source.pretrained

    @property
    def revision(self) -> str:
        """Branch, tag or commit of a hub model."""
        return self.model_source.revision

    def check_model(self) -> None:
        """Checks that there is such a model, without its weights.

        Raises:
            InputError: there is none.
        """
        self._config()

    def setup(self, stage: str) -> None:
        """Checks strategy, model and vocabulary, before any weight is loaded."""
        check_strategy(self.trainer.strategy)
        check_mesh(self.trainer.strategy, self.replicas)
        self.check_model()
        data = self._data()
        check_vocabulary(self._config(), data.vocabulary if isinstance(data, HasVocabulary) else None)

    def without_weights(self, dtype: torch.dtype) -> PreTrainedModel:
        """The whole model on the meta device."""
        attention, remote = self.model_source.attn_implementation, self.model_source.trust_remote_code
        return loading.without_weights(self._config(), dtype, attention, trust_remote_code=remote)

    @property
    def layers(self) -> nn.ModuleList:
        """The model's decoder layers."""
        return decoder_layers(self.updated, self.decoder_layers)

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Moves to a device; weights and buffers keep the dtype they were loaded in."""
        device = loading.device_alone(*args, **kwargs)
        return self if device is None else super().to(device)

    def forward(self, run: Callable[[], Any]) -> Any:
        """Runs what it is given: FSDP1 gathers what is whole in a step in a forward alone (`outside_step`)."""
        return run()

    def answers(self, batch: Any) -> Evaluation:
        """What the model answers to questions; what is kept of its answers is not asked again."""
        return cast(Evaluation, self._kept(batch, partial(self._ask, batch)))

    def store_answers(self, folder: str) -> StoredAnswers:
        """Keeps answers in a folder from now on, as long as the weights are as they are."""
        several = self.trainer.world_size > 1
        all_have = {"all_have": self._all_have} if several else {}
        self.stored_answers = StoredAnswers(folder, self.updated, self._precision, **all_have)
        return self.stored_answers

    def _kept(self, batch: Any, ask: Callable[[], Any]) -> Any:
        return ask() if self.stored_answers is None else self.stored_answers.answers(batch, ask)

    def _all_have(self, own: bool) -> bool:
        """Whether something is true in all processes."""
        return int(self.total(torch.tensor(int(own), device=self.device))) == self.trainer.world_size

    def _ask(self, batch: Any) -> Evaluation:
        """What the model answers, asked for a letter or (cloze) for the likeliest text."""
        if "option" in batch:
            return evaluate_options(option_scores(self.updated, self.layers, batch), batch)
        evaluation = evaluate_choices(choice_scores(self.updated, batch), batch)
        if "texts" in batch:
            evaluation["text_logprob"] = text_scores(self.updated, self.layers, batch)[batch["valid"]]
        return evaluation

    def held_out(self, pair: dict[str, Batch]) -> HeldOut:
        """How likely the model finds the rows of a pair of batches that are not trained on."""
        return HeldOut(
            forget_row=pair["forget"]["row"],
            forget_nll=self.nll(pair["forget"]),
            retain_row=pair["retain"]["row"],
            retain_nll=self.nll(pair["retain"]),
        )

    def scored(self, batch: Any) -> Scored:
        """How likely the model finds each token of texts that are scored; what is kept of them is not scored again."""
        return cast(Scored, self._kept(batch, partial(token_nll, self.updated, self.layers, batch)))

    def answer_scores(self, batch: Any) -> AnswerScores:
        """What the model gives to each token of answers; what is kept of them is not scored again."""
        return cast(AnswerScores, self._kept(batch, partial(token_scores, self.updated, self.layers, batch)))

    def asked(self, batch: Any) -> Asked | None:
        """What comes out for a batch of questions, texts or answers; None for a pair of held-out batches."""
        if "number" in batch:
            return self.answers(batch)
        if "texts" in batch:
            return self.scored(batch)
        return self.answer_scores(batch) if "answers" in batch else None

    def nll(self, batch: Batch) -> Tensor:
        """NLL of each row, `[batch]`: nats per token."""
        layers = self.layers
        outputs, _ = run_layers(self.updated, layers, batch, layer=len(layers) - 1, needs_logits=True, start=0)
        return batch_nll(outputs, batch, mean=True)

    def total(self, value: Tensor) -> Tensor:
        """The sum over processes."""
        total = self.trainer.strategy.reduce(value, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total

    def is_sharded(self) -> bool:
        """Whether no process holds the whole model."""
        return self.device_mesh is not None or isinstance(self.trainer.strategy, FSDP1)

    def _log_held_out(self, stage: str, losses: dict[str, Tensor], found: HeldOut | None, *, rows: int) -> None:
        """Logs means over the held-out rows; Lightning weighs batches by their rows."""
        if found is not None:
            losses |= {"forget_nll": found["forget_nll"].mean(), "retain_nll": found["retain_nll"].mean()}
        named = {f"{stage}/{name}": value for name, value in losses.items()}
        self.log_dict(named, sync_dist=True, batch_size=rows, add_dataloader_idx=False)

    def _load(self, part: FirstLayers | None = None) -> tuple[PreTrainedModel, WeightFiles | None]:
        """The model, or where it is to be sharded one without values and its files."""
        return load(self.model_source, weights_dtype(self._precision), sharded=self.device_mesh is not None, part=part)

    def _all_agree(self, decision: bool) -> bool:
        """Whether all processes have decided so."""
        if not torch.distributed.is_initialized():
            return decision
        agreed: bool = self.trainer.strategy.reduce_boolean_decision(decision, all=True)
        return agreed

    def _mesh(self) -> DeviceMesh | None:
        """The processes over which FSDP2 shards; None under other strategies."""
        return None if self.device_mesh is None else processes(self.device_mesh, self.replicas)

    def _config(self) -> PretrainedConfig:
        return loading.load_config(self.model_source)

    def _data(self) -> object:
        """The Trainer's DataModule; None where batches come from elsewhere."""
        return datamodule_of(self.trainer)

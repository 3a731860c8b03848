"""The LightningModule: the updated and the frozen model, one training step, one evaluation step."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, partial
from typing import Any, Literal, NamedTuple, Self

import lightning as L
import torch
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler
from transformers import PreTrainedModel

from lit_unlearn import randomness
from lit_unlearn.distributed.outside_step import outside_step
from lit_unlearn.distributed.sharding import named_parameters, units
from lit_unlearn.errors import InputError
from lit_unlearn.losses import functional
from lit_unlearn.losses.checks import (
    check_gradients,
    check_lower_layers,
    check_numbers,
    check_options,
    check_streams,
    check_topics,
)
from lit_unlearn.losses.contract import Batch, Loss, Outputs, PerTopic
from lit_unlearn.models.checks import check_layers, check_loaded, check_lower_reached, check_training
from lit_unlearn.models.first_layers import FirstLayers, is_partial
from lit_unlearn.models.layers import decoder_layers, first_trained_layer
from lit_unlearn.models.lora import Lora, adapted
from lit_unlearn.models.precision import check_precision, weights_dtype
from lit_unlearn.models.sharded_loading import fill
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.trainable import choose
from lit_unlearn.modules.checkpoint import (
    check_checkpoint,
    check_resumable,
    measured_in,
    reduce_checkpoint,
    run_identity,
    units_in,
)
from lit_unlearn.modules.displacements import check_directions
from lit_unlearn.modules.divergence_guard import DivergenceGuard
from lit_unlearn.modules.forgotten import Forgotten, forgotten
from lit_unlearn.modules.gradients import (
    Rule,
    SplitGradients,
    check_kept_apart,
    combined,
    cosine,
    gradients_of,
)
from lit_unlearn.modules.hyperparameters import hyperparameters
from lit_unlearn.modules.measurements import Measurements, describe
from lit_unlearn.modules.optimizer import check_optimizer, check_steps, published_adamw
from lit_unlearn.modules.pretrained import Asked, HeldOut, PretrainedModule
from lit_unlearn.modules.protocols import HasEvaluation, HasTopics, SaysNeedsLogits
from lit_unlearn.modules.sharpness import check_steps_twice
from lit_unlearn.modules.units import Units, lengths, measure_units, warn_of_lengths
from lit_unlearn.modules.validation_interval import check_validation_interval
from lit_unlearn.running import dropout
from lit_unlearn.running.compiled_layers import CompiledLayers, check_compiler, check_together
from lit_unlearn.running.frozen import FrozenModel
from lit_unlearn.running.hooks import Noise, Override, with_noise
from lit_unlearn.running.noise import (
    AdversarialNoise,
    DisplacementNoise,
    GaussianNoise,
    NoiseKind,
    NoisePlace,
    check_noise,
    radius,
    warn_of_noise,
)
from lit_unlearn.running.pair import make_pair, run_pair
from lit_unlearn.running.partial_forward import positions
from lit_unlearn.running.prefix_store import PrefixStore, StoredStates, states_fingerprint
from lit_unlearn.runs import checkpoint_io


class Losses(NamedTuple):
    """What a training step computes of a pair of batches."""

    forget: tuple[Tensor, Outputs]
    """The loss of each forget row, `[batch]`, and the updated model's outputs."""
    retain: tuple[Tensor, Outputs]
    """The same of the retain rows."""
    total: Tensor
    """What is minimised, a mean over rows."""


class UnlearnModule(PretrainedModule):
    """Unlearns with any forget loss, any retain loss and Random Noise Augmentation.

    It holds the updated model, which is trained, and the frozen one, the same checkpoint before training, which costs
    no more than the trained parameters. The loss of a step is the mean over rows of forget + retain_weight · retain.

    Where a loss, the data's questions or a callback reads logits the whole model is loaded, else its first layers, 0 to
    the steering layer. A callback of your own that reads logits sets `needs_logits = True` in its class.

    The Trainer's `precision` decides the weights: `32-true` and `bf16-true` hold all in that dtype, `bf16-mixed` holds
    them in bf16 and the trained ones in float32.

    Args:
        pretrained: hub name or folder of the model to unlearn; `demo` is the embedded small one.
        forget: the loss of the forget stream.
        retain: the loss of the retain stream.
        layer: index of the steering layer, whose output the representation losses read.
        trainable: regular expressions, each to match whole parameter names; None trains the MLP output projections of
            layers l-2 to l, as published.
        lora: adapters of PEFT, trained instead of `trainable`; None has none.
        retain_weight: weight of the retain loss (alpha), one number or one per topic.
        gradients: how the gradients of the forget and of the weighted retain loss become one where they conflict (their
            product over all trained parameters is below 0): `sum` adds them, `pcgrad` first takes out of each its
            component along the other's original one, `project_forget` only out of the forget gradient. The last two
            run backward twice and hold two gradients more.
        noise_scale: standard deviation of the noise of Random Noise Augmentation (nu); 0 is off.
        noise_unit: of noise_scale: `absolute`, as published, or `rms`: root mean squares of a dimension of the frozen
            model's retain states after the noise layer, each row's first token left out, measured on the first rows
            before training.
        noise_layer: index of the layer after which the noise enters the frozen model; None is the steering layer.
        noise: how the noise is drawn. None is GaussianNoise, as published; SphereNoise, DisplacementNoise and
            AdversarialNoise have the same norm, and the last two a direction.
        state_unit: of the hidden states that losses on representations read: `absolute`, as published, or `rms`: each
            dimension in root mean squares of the frozen model's retain states, measured on the same rows. A few
            dimensions hold most of the squares in many pretrained models, and with them the losses; in this unit all
            count equally, and noise in rms is in those of each dimension.
        first_token: count the hidden states of each row's first token in losses on representations, as published. In
            many pretrained models it is an attention sink, whose norm is far above all others: False leaves it out.
        attention_dropout: share of the attention weights that is dropped in training, in the updated model from the
            first trained layer on: a baseline. Its random numbers are a function of (seed, step, stream, the first of
            the process's rows), so another number of processes draws others. 0 is off.
        activation_checkpointing: compute the activations of trained layers again in backward: less memory, more time,
            the same gradients bit for bit.
        compile: compile the decoder layers for training steps by `torch.compile`, all but the first trained one: faster
            steps after one that takes a minute; losses differ in the last bits. Evaluation is not compiled.
        replicas: copies of the model under FSDP2, each sharded over as many consecutive processes (HSDP): with one copy
            for each machine only gradients go between them. 1 shards the model over all processes.
        prefix_store: where hidden states that training does not change are kept for other runs with the same model and
            rows, which then do not compute them; None keeps none. `sweep` gives its fits one.
        answer_store: folder in which the answers of the model before training are kept for other runs with the same
            model and questions or scored texts, which then do not compute them; None keeps none. `sweep` gives its fits
            one. Runs of several processes leave it alone.
        optimizer: takes the trainable parameters, returns their optimizer.
        lr_scheduler: takes the optimizer, returns a scheduler that moves each step; None keeps the learning rate.
        seed: seed of the noise; None takes the run's (`seed_everything`).
        decoder_layers: dotted name of the list of decoder layers, for a model where it is not found by itself.
        whole_model: load all layers also where no loss, question or callback reads logits.
        revision: branch, tag or commit of a hub model.
        attn_implementation: as in transformers; None takes its choice.
        trust_remote_code: run code that comes with the model. Do so only for code you have read.

    Raises:
        InputError: options that do not fit together, the model or the data.
    """

    frozen: FrozenModel

    def __init__(
        self,
        pretrained: str,
        forget: Loss,
        retain: Loss,
        *,
        layer: int = 7,
        trainable: list[str] | None = None,
        lora: Lora | None = None,
        retain_weight: float | list[float] = 1200.0,
        gradients: Rule = "sum",
        noise_scale: float = 0.0,
        noise_unit: Literal["absolute", "rms"] = "absolute",
        noise_layer: int | None = None,
        noise: NoiseKind | None = None,
        state_unit: Literal["absolute", "rms"] = "absolute",
        first_token: bool = True,
        attention_dropout: float = 0.0,
        activation_checkpointing: bool = False,
        compile: bool = False,
        replicas: int = 1,
        prefix_store: PrefixStore | None = None,
        answer_store: str | None = None,
        optimizer: Callable[[Iterable[Tensor]], Optimizer] = lambda p: AdamW(p, lr=5e-5, weight_decay=0.0, eps=1e-8),
        lr_scheduler: Callable[[Optimizer], LRScheduler] | None = None,
        seed: int | None = None,
        decoder_layers: str | None = None,
        whole_model: bool = False,
        revision: str = "main",
        attn_implementation: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        source = ModelSource(
            pretrained,
            revision=revision,
            attn_implementation=attn_implementation,
            trust_remote_code=trust_remote_code,
        )
        super().__init__(source, replicas=replicas, decoder_layers=decoder_layers)
        self.forget = forget
        self.retain = retain
        self.layer = layer
        self.trainable = trainable
        self.lora = lora
        self.retain_weight = PerTopic(retain_weight)
        self.gradients: Rule = gradients
        self._split = SplitGradients(gradients)
        self.repair: str | None = None
        """What has changed the trained weights after training; None for nothing."""
        self._parts: tuple[Tensor, Tensor] | None = None
        self.noise_scale = noise_scale
        self.noise_unit = noise_unit
        self.model_units: Units | None = None
        """The model's own units, once they are measured; None where no option needs them."""
        self.noise_layer = layer if noise_layer is None else noise_layer
        self.noise = GaussianNoise() if noise is None else noise
        self.state_unit = state_unit
        self.first_token = first_token
        self.attention_dropout = attention_dropout
        self.activation_checkpointing = activation_checkpointing
        self.compile_layers = compile  # `compile` is a method of torch's modules
        self.prefix_store = prefix_store
        self.answer_store = answer_store
        default = (UnlearnModule.__init__.__kwdefaults__ or {}).get("optimizer")
        self.optimizer = published_adamw if optimizer is default else optimizer
        self.lr_scheduler = lr_scheduler
        self.seed = randomness.run_seed(seed)
        self.whole_model = whole_model
        self.strict_loading = False  # checkpoints hold the trained parameters only; on_load_checkpoint checks them
        self._topics: tuple[str, ...] = ()
        self._forgotten: tuple[int, Forgotten | None] | None = None
        self._dropout: Sequence[Override] = ()
        self._measurements = Measurements()
        check_training(trainable, lora, attention_dropout)
        if self.compile_layers:
            rate = 0.0 if lora is None else lora.lora_dropout
            check_together(dropout=max(attention_dropout, rate), stored=prefix_store is not None)
        check_streams(self.forget, self.retain)
        check_gradients(self.forget, self.retain, gradients)
        check_numbers(self)
        check_lower_layers((self.forget, self.retain), layer=self.layer, state_unit=self.state_unit)
        check_options(self.retain, layer=self.layer, noise_layer=self.noise_layer, noise_scale=self.noise_scale)
        if self.noise_scale > 0:
            check_noise(self.noise, self.retain, layer=self.layer, noise_layer=self.noise_layer)

    def check_model(self) -> None:
        """Checks the options against the model's configuration, without its weights.

        Raises:
            InputError: there is no such model, or it has no such layer.
        """
        check_layers(self._config(), layer=self.layer, noise_layer=self.noise_layer)

    def check_resume(self, path: str) -> None:
        """Checks that a checkpoint is of a run like this one, without the model's weights.

        `on_load_checkpoint` does so too, but under FSDP2 only after Lightning has tried to load the optimizer's state.

        Args:
            path: of the checkpoint, a file.

        Raises:
            InputError: it is of another model or of other trained parameters.
        """
        held = checkpoint_io.read_identity(path)
        shape = self.without_weights(torch.float32)
        self._choose(shape)
        check_checkpoint(held, run_identity(self, shape), seeds=False)

    def check_optimizer(self, steps: int = -1) -> None:
        """Checks the options of the optimizer and the scheduler.

        Args:
            steps: of the run; -1 where something else than their number ends it.

        Raises:
            InputError: one of them refuses a value, or the scheduler has fewer steps.
        """
        check_optimizer(self._optimizer, self.lr_scheduler)
        check_steps(self._optimizer, self.lr_scheduler, steps)

    def setup(self, stage: str) -> None:
        """Checks the options against the model and the data, before any weight is loaded."""
        super().setup(stage)
        precision = str(self.trainer.precision)
        check_kept_apart(self.gradients, self.trainer.strategy, precision)
        check_steps_twice(
            self._optimizer(),
            batches=self.trainer.accumulate_grad_batches,
            sharded=self.is_sharded(),
            precision=precision,
        )
        if stage == "fit" and self.compile_layers:
            check_compiler(self.trainer.strategy.root_device, sharded=self.is_sharded())
        if stage == "fit":
            warn_of_noise(self.noise, self.noise_scale)
        data = self._data()
        self._topics = tuple(data.topics) if isinstance(data, HasTopics) else ()
        check_topics(self, self._topics)
        if stage == "fit":
            check_validation_interval(self.trainer, data)
        # Dropout is off in both models, or the retain loss would not be 0 before training: eval mode is intended.
        warnings.filterwarnings("ignore", message=".*in eval mode at the start of training")

    def configure_model(self) -> None:
        """Loads of the model what is needed, chooses what is trained, keeps the frozen counterpart."""
        precision = str(self.trainer.precision)
        whole = self.needs_whole_model(self._data(), self.trainer.callbacks)  # type: ignore[attr-defined]
        if "updated" in self._modules:
            check_precision(precision, self._precision)
            check_loaded(self.updated, whole=whole)
            return
        self._precision = precision
        dtype = weights_dtype(precision)
        part = None if whole else self.first_layers(self.without_weights(dtype))
        updated, files = self._load(part)
        self.adopt(updated, precision)
        if files is not None:
            fill(self.updated, self.frozen.own(), files, dtype)

    def needs_whole_model(self, data: object, callbacks: Iterable[object]) -> bool:
        """Whether a loss, questions of the data or a callback reads logits, or the whole model is asked for.

        An adapter is merged into all layers, so that an export holds all of them.
        """
        asks = isinstance(data, HasEvaluation) and data.evaluation is not None
        reads = any(isinstance(callback, SaysNeedsLogits) and callback.needs_logits for callback in callbacks)
        adapted = self.model_source.adapter is not None
        return self.whole_model or adapted or self._needs_logits() or asks or reads

    @property
    def needs_preferred(self) -> bool:
        """Whether the forget loss reads preferred answers."""
        return self.forget.needs_preferred

    @property
    def needs_token_weights(self) -> bool:
        """Whether the forget loss reads weights of tokens."""
        return self.forget.needs_token_weights

    def first_layers(self, shape: PreTrainedModel) -> FirstLayers:
        """The part of a model that this run needs where nothing reads logits.

        Args:
            shape: the whole model, on the meta device; in it is chosen what is trained.

        Raises:
            InputError: what is to be trained is not found, or lies above that part.
        """
        part = FirstLayers.of(shape, decoder_layers(shape, self.decoder_layers), self.layer)
        self._choose(shape)
        return part

    def adopt(self, updated: PreTrainedModel, precision: str, *, compared: bool = True) -> None:
        """Takes a loaded model, in place: chooses what is trained, keeps the frozen counterpart.

        Args:
            updated: a causal language model in eval mode, with nothing trainable; `first_layers` of it are enough where
                nothing reads logits.
            precision: the Trainer's.
            compared: something asks for the model before training: a loss, an export, or another callback, such as a
                DivergenceGuard that tells. If nothing does, no copy of what is trained need be held.

        Raises:
            InputError: what is to be trained is not found, or no loss reaches it.
        """
        self._precision = precision
        self._choose(updated)
        self._own = run_identity(self, updated)
        layers = decoder_layers(updated, self.decoder_layers)
        frozen = make_pair(
            updated,
            layers,
            needs_logits=self._needs_logits(),
            masters=precision.endswith("mixed"),
            mesh=self._mesh(),
            copied=compared,
        )
        self.updated, self.frozen = updated, frozen
        self._dropout = dropout.overrides([layers[index] for index in self._acting()], self.attention_dropout)

    def units(self) -> list[nn.Module]:
        """The modules that FSDP1 shards each for itself, so that each can be gathered alone."""
        bases = [module.base_layer for module in adapted(self.updated).values()]
        return bases + units(self.updated, self.layers, self.frozen.copies, needs_logits=self._needs_logits())

    def train(self, mode: bool = True) -> Self:
        """Sets the mode of all but the two models, which stay in eval mode: dropout would part them before training."""
        super().train(mode)
        for name in ("updated", "frozen"):
            if name in self._modules:
                self.get_submodule(name).eval()
        return self

    def configure_callbacks(self) -> list[L.Callback]:
        """What watches every training, unless the Trainer has a guard of its own."""
        given = any(isinstance(one, DivergenceGuard) for one in self.trainer.callbacks)  # type: ignore[attr-defined]
        return [] if given else [DivergenceGuard()]

    def training_step(self, batch: dict[str, Batch], batch_idx: int) -> dict[str, Tensor]:
        """The loss of one pair of a forget and a retain batch, a mean over rows; and each row's, `[batch]`."""
        forget, retain, loss = self.losses(batch)
        if self.gradients != "sum":
            self._parts = (forget[0].mean(), self._weighted(retain[0], batch))
        if self.global_step == 0 and batch_idx == 0:
            warn_of_lengths(self.forget, float(describe(*retain, batch["retain"], None)["norm"].mean()))
        self.log("train/loss", loss.detach(), prog_bar=True, sync_dist=True)
        self._measurements.throughput.count(*(rows["attention_mask"] for rows in batch.values()))
        every: int = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and (self.global_step + 1) % every == 0:  # Lightning's 0 logs nothing
            self._log_measurements(forget, retain, batch)
        return {"loss": loss, "forget_losses": forget[0].detach(), "retain_losses": retain[0].detach()}

    def losses(self, batch: dict[str, Batch]) -> Losses:
        """What a training step computes of a pair of batches."""
        forget = self._run(self.forget, batch["forget"], training=True)
        retain = self._run(self.retain, batch["retain"], training=True)
        return Losses(forget, retain, self._weigh(forget[0], retain[0], batch))

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """The gradient of a step's loss; with `gradients`, of its two parts, which then become one.

        What has been accumulated is combined again with each batch: it is not known here which is the step's last.
        """
        if self.gradients == "sum":
            super().backward(loss, *args, **kwargs)
            return
        assert self._parts is not None
        parameters = list(self.trained_parameters().values())
        if all(parameter.grad is None for parameter in parameters):
            self._split.restart()
        sharded, batches = self.device_mesh is not None, self.trainer.accumulate_grad_batches
        self._split.add(*(gradients_of(part / batches, parameters, sharded=sharded) for part in self._parts))
        self._parts = None
        parts = self._split.sums
        if not sharded and self.trainer.world_size > 1:
            # Lightning reduces in place, and these sums are added to.
            forget, retain = ([self.total(one.clone()) / self.trainer.world_size for one in part] for part in parts)
            parts = forget, retain
        for parameter, gradient in zip(parameters, combined(*parts, self.gradients), strict=True):
            parameter.grad = gradient
        self._cosine = cosine(*parts)

    def on_after_backward(self) -> None:
        """Logs how far the gradients of the two losses conflict, where they are kept apart."""
        if self.gradients != "sum":
            self.log("train/gradient_cosine", self._cosine)

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Asked | HeldOut | None:
        """What the updated model answers to questions; of a held-out pair of batches, how likely it finds their rows.

        Of such a pair it logs the losses, without noise, and unless only the first layers are loaded the likelihood.
        """
        return self._evaluate("val", batch)

    def test_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Asked | HeldOut | None:
        """As `validation_step`, logged under `test/`."""
        return self._evaluate("test", batch)

    def __repr__(self) -> str:
        """The method in a line; `updated` and `frozen` show the models."""
        losses = f"{self.forget!r}, {self.retain!r}, retain_weight={self.retain_weight}"
        return (
            f"UnlearnModule({self.model_source.given!r}, {losses}, layer={self.layer}, noise_scale={self.noise_scale})"
        )

    def on_fit_start(self) -> None:
        """Tries attention dropout out, where the model runs; measures the model's units; logs the hyperparameters.

        Raises:
            InputError: the model does not have the attention dropout that is asked for, or its units cannot be
                measured.
        """
        if self.attention_dropout > 0:
            tried = partial(dropout.check_acts, self.updated, self.layers, self._acting(), self.device)
            outside_step(self.trainer, tried)
        if self.model_units is None and self.needs_units():
            self.take_units(measure_units(self))
        for logger in self.trainer.loggers:
            logger.log_hyperparams(self.hyperparameters())

    def on_train_start(self) -> None:
        """Starts the clock of tokens per second; what callbacks do before is not training's."""
        self._measurements.throughput.restart()

    def on_validation_start(self) -> None:
        """Before training, looks for the answers of other runs."""
        if self.answer_store is not None and self.global_step == 0 and self.trainer.world_size == 1:
            self.store_answers(self.answer_store)
        elif self.trainer.state.fn == TrainerFn.FITTING:
            self.stored_answers = None

    def on_validation_end(self) -> None:
        """Time spent on evaluation is not training's."""
        self._measurements.throughput.restart()

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """The optimizer over trainable parameters, and its scheduler, if any, moving each step."""
        optimizer = self.optimizer(parameter for parameter in self.updated.parameters() if parameter.requires_grad)
        if self.lr_scheduler is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": self.lr_scheduler(optimizer), "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keeps the trained parameters alone, and what a resumed run must have in common with this one.

        Raises:
            Diverged: they are not finite.
        """
        for callback in self.trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, DivergenceGuard):  # its own hook would not be called for weights alone
                callback.look_now(self.trainer.global_step, self)
        optimizers = [] if self.is_sharded() else self.trainer.optimizers
        reduce_checkpoint(
            checkpoint, self._own, self._measurements.latest, self.model_units, self.trained_parameters(), optimizers
        )

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuses a checkpoint of another model, of other trained parameters or, in training, of other seeds.

        Raises:
            InputError: names, shapes, seeds or options of the optimizer differ.
        """
        optimizer = self._optimizer() if self.trainer.training else None
        check_resumable(checkpoint, self._own, optimizer, self.lr_scheduler)
        self._measurements.latest = measured_in(checkpoint)
        if (units := units_in(checkpoint)) is not None:
            if self.trainer.training and self.noise_scale > 0:
                check_directions(units.displacements, self.noise.directions_needed)
            self.take_units(units)

    def forgotten(self) -> Forgotten | None:
        """What training has done so far to held-out rows, or to trained ones; None without a DataModule.

        All processes must call it.
        """
        if self._forgotten is None or self._forgotten[0] != self.global_step:
            self._forgotten = (self.global_step, forgotten(self))
        return self._forgotten[1]

    def repaired_by(self, repair: str) -> None:
        """Says that something other than a step has changed the weights: `forgotten` is measured again.

        Args:
            repair: what it was, for model cards and results.
        """
        self._forgotten = None
        self.repair = repair

    def trained_parameters(self) -> dict[str, Tensor]:
        """The trainable parameters by their names in this module."""
        return {name: parameter for name, parameter in named_parameters(self) if parameter.requires_grad}

    def hyperparameters(self) -> dict[str, Any]:
        """What defines this run's method, for loggers and model cards."""
        return hyperparameters(self, self._optimizer())

    def _optimizer(self) -> Optimizer:
        """One of the configured kind, of no use but to look at."""
        return self.optimizer([torch.zeros(1, requires_grad=True)])

    def _choose(self, model: PreTrainedModel) -> None:
        """Chooses what is trained."""
        layers = decoder_layers(model, self.decoder_layers)
        choose(
            model,
            layers,
            layer=self.layer,
            trainable=self.trainable,
            lora=self.lora,
            seed=self.seed,
            needs_logits=self._needs_logits(),
        )
        check_lower_reached(model, layers, (self.forget, self.retain))

    def _needs_logits(self) -> bool:
        return self.forget.needs_logits or self.retain.needs_logits

    def _acting(self) -> range:
        """Indices of the layers in which dropout acts: from the first trained one to the last that runs."""
        last = len(self.layers) - 1 if self._needs_logits() else self.layer
        return range(first_trained_layer(self.updated, self.layers), last + 1)

    def _run(self, loss: Loss, batch: Batch, *, training: bool = False) -> tuple[Tensor, Outputs]:
        """The loss of each row `[batch]` and the updated model's outputs; noise and dropout are training's."""
        noisy = training and loss is self.retain and self.noise_scale > 0
        drops = self._dropout if training else ()
        with self._draws(loss, batch) if drops else nullcontext():
            updated, frozen = run_pair(
                self.updated,
                self.frozen,
                self.layers,
                batch,
                layer=self.layer,
                reader=loss,
                noise=(self.noise_layer, self._noise(batch)) if noisy and not self.noise.reads_loss else None,
                dropout=drops,
                recompute=training and self.activation_checkpointing,
                compiled=self._compiled if training and self.compile_layers else None,
                stored=self._stored if training else None,
            )
        updated = self.in_state_units(updated)
        counted = self._with_counted_states(batch)
        if noisy and self.noise.reads_loss:
            assert isinstance(self.noise, AdversarialNoise)
            assert frozen is not None
            frozen = self._attacked(self.noise, loss, updated, frozen, counted)
        frozen = None if frozen is None else self.in_state_units(frozen)
        return loss(updated, frozen, counted), updated

    def _attacked(
        self, noise: AdversarialNoise, loss: Loss, updated: Outputs, frozen: Outputs, batch: Batch
    ) -> Outputs:
        """The frozen model's outputs with noise that raises the loss; of the updated one, in the units of the loss."""
        own = updated._replace(hidden=updated.hidden.detach(), lower=tuple(one.detach() for one in updated.lower))
        states = functional.precise(frozen.hidden)

        def value(added: Tensor) -> Tensor:
            row: Tensor = loss(own, self.in_state_units(frozen._replace(hidden=states + added)), batch)
            return row

        limit = radius(self._noise_scale(states.device), states.shape[-1]).to(states.device)
        found = noise.ascend(self._noise(batch)(frozen.hidden), limit, value)
        return frozen._replace(hidden=with_noise(frozen.hidden, lambda _: found))

    def in_state_units(self, outputs: Outputs) -> Outputs:
        """Outputs with their hidden states in the unit in which losses read them.

        Raises:
            InputError: the unit has not been measured.
        """
        if self.state_unit == "absolute":
            return outputs
        units, hidden = self._measured_units("model.state_unit"), functional.precise(outputs.hidden)
        # In the dtype of the states, whatever the default one is, which is bf16 within a step under bf16-true.
        scale = torch.tensor(units.dimensions, dtype=hidden.dtype, device=hidden.device)
        return outputs._replace(hidden=hidden / scale)

    def _with_counted_states(self, batch: Batch) -> Batch:
        """The batch, which says what losses on representations count where that is not what all losses count."""
        if self.first_token:
            return batch
        counted = functional.without_first(batch["loss_mask"], batch["attention_mask"])
        return Batch(**{**batch, "state_mask": counted})

    def _draws(self, loss: Loss, batch: Batch) -> AbstractContextManager[None]:
        """Where dropout draws, as a function of (seed, step, stream, first row)."""
        # Read on the host, which waits for the device: the price of dropout alone.
        row, stream = int(batch["row"][0]), int(loss is self.retain)
        word = randomness.word(row, seed=self.seed, step=self.global_step, stream=stream)
        return dropout.seeded(word, batch["row"].device)

    def _noise(self, batch: Batch) -> Noise:
        row, position = batch["row"], positions(batch["attention_mask"])
        place, scale = NoisePlace(row, position, self.seed, self.global_step), self._noise_scale(row.device)
        return lambda hidden: self.noise.draw(place, scale, hidden.shape[-1])

    def _noise_scale(self, device: torch.device) -> float | Tensor:
        """The noise's standard deviation, of all dimensions or float32 `[dim]`."""
        if self.noise_unit == "absolute":
            return self.noise_scale
        units = self._measured_units("model.noise_unit")
        if units.noise_dimensions is None:
            return self.noise_scale * units.rms
        return self.noise_scale * torch.tensor(units.noise_dimensions, dtype=torch.float32, device=device)

    def needs_units(self) -> bool:
        """Whether an option is in the model's own units."""
        noisy = self.noise_scale > 0 and (self.noise_unit == "rms" or self.noise.directions_needed > 0)
        return noisy or self.state_unit == "rms" or any(lengths(self))

    def _measured_units(self, option: str) -> Units:
        if self.model_units is None:
            raise InputError(
                f"{option}: rms is known once it is measured, at the start of a fit; set it to absolute, or fit"
            )
        return self.model_units

    def take_units(self, units: Units) -> None:
        """Makes lengths, noise and the states that losses read of the units."""
        self.model_units = units
        for length in lengths(self):
            length.norm = units.norm
        if isinstance(self.noise, DisplacementNoise):
            self.noise.factors = units.displacements

    def _weigh(self, forget: Tensor, retain: Tensor, batch: dict[str, Batch]) -> Tensor:
        return forget.mean() + self._weighted(retain, batch)

    def _weighted(self, retain: Tensor, batch: dict[str, Batch]) -> Tensor:
        """The mean of the retain losses of each row, weighted."""
        weight: Tensor = self.retain_weight(batch["retain"]["topic"])
        return (weight * retain).mean()

    def _log_measurements(
        self, forget: tuple[Tensor, Outputs], retain: tuple[Tensor, Outputs], batch: dict[str, Batch]
    ) -> None:
        direction = self.forget.steering_vector(batch["forget"]["topic"], forget[1].hidden.shape[-1])
        for stream, found, steering in (("forget", forget, direction), ("retain", retain, None)):
            rows = describe(*found, self._with_counted_states(batch[stream]), steering)
            topic = batch[stream]["topic"]
            self._measurements.update(stream, rows, topic, topics=self._topics, total=self.total)
        self.log_dict(self._measurements.latest)
        self.log("train/tokens_per_second", self.total(self._measurements.throughput.rate()), prog_bar=True)

    def _evaluate(self, stage: str, batch: Any) -> Asked | HeldOut | None:
        asked = self.asked(batch)
        if asked is not None:
            return asked
        found = None if is_partial(self.updated) else self.held_out(batch)
        self._log_held_out(stage, self._held_out_losses(batch), found, rows=len(batch["forget"]["row"]))
        return found

    def _held_out_losses(self, batch: dict[str, Batch]) -> dict[str, Tensor]:
        forget, _ = self._run(self.forget, batch["forget"])
        retain, _ = self._run(self.retain, batch["retain"])
        return {
            "forget_loss": forget.mean(),
            "retain_loss": retain.mean(),
            "loss": self._weigh(forget, retain, batch),
        }

    @cached_property
    def _compiled(self) -> CompiledLayers:
        return CompiledLayers(self.layers)

    @cached_property
    def _stored(self) -> StoredStates | None:
        """States that earlier runs of the frozen model have left."""
        if self.prefix_store is None:
            return None
        with self.frozen.running():
            own = states_fingerprint(self.updated, self.layers, self.layer, self._precision)
        return StoredStates(self.prefix_store, own, self._all_agree)

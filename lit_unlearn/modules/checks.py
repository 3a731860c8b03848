"""What is checked before any training: options against each other, the model and the data."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

import torch
from lightning.pytorch.strategies import FSDPStrategy, ModelParallelStrategy
from torch import nn
from torch.optim import Optimizer
from transformers import PretrainedConfig, PreTrainedModel

from lit_unlearn.distributed.fsdp1 import FSDP1
from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Loss, PerTopic
from lit_unlearn.losses.no_loss import NoLoss
from lit_unlearn.models.first_layers import is_partial
from lit_unlearn.models.loading import trained_above
from lit_unlearn.models.lora import Lora, adapted, check_installed

_DTYPES = {
    "64-true": torch.float64,
    "32-true": torch.float32,
    "bf16-true": torch.bfloat16,
    "bf16-mixed": torch.bfloat16,
    "16-mixed": torch.float16,
}


class Identity(TypedDict):
    """What a run and one that goes on with it have in common."""

    shapes: dict[str, list[int]]
    """Shapes of the trained parameters, by name."""
    scalings: dict[str, float]
    """What the products of LoRA's adapters are multiplied by, by the names of their modules."""
    seeds: dict[str, int]
    """Seeds of noise and steering vectors, by module."""


def weights_dtype(precision: str) -> torch.dtype:
    """The dtype of the weights that are not trained, for Lightning's `precision`; `mixed` trains in float32.

    Raises:
        InputError: the precision is not supported.
    """
    if precision not in _DTYPES:
        raise InputError(f"trainer.precision: {precision!r} is not supported; choose one of {', '.join(_DTYPES)}")
    return _DTYPES[precision]


def check_streams(forget: Loss, retain: Loss) -> None:
    """Each loss is given to the stream it is made for.

    Raises:
        InputError: it is not, or neither stream has one.
    """
    if isinstance(forget, NoLoss) and isinstance(retain, NoLoss):
        raise InputError("model.forget and model.retain: both are NoLoss, so nothing would be trained; give one a loss")
    for stream, loss, others in (("forget", forget, "RMU or NPO"), ("retain", retain, "RepresentationMSE or LogitKL")):
        if loss.stream not in (None, stream):
            raise InputError(
                f"model.{stream}: {type(loss).__name__} is a {loss.stream} loss and would do the opposite here; take a "
                f"{stream} loss, e.g. {others}"
            )


def check_training(trainable: Sequence[str] | None, lora: Lora | None, attention_dropout: float) -> None:
    """What is trained is said in one way, with what that takes, and the dropout is a rate.

    Raises:
        InputError: it is not.
    """
    if lora is not None:
        if trainable is not None:
            raise InputError(
                "model.lora: model.trainable says what is trained as well; set one of the two to null (LoRA's modules "
                "are model.lora.target_modules)"
            )
        check_installed()
    if not 0 <= attention_dropout < 1:
        raise InputError(f"model.attention_dropout: {attention_dropout} is not a rate; give 0 or more, below 1")


def check_optimizer(optimizer: Callable[[], Optimizer], scheduler: Callable[[Optimizer], object] | None) -> None:
    """The options of the optimizer and the scheduler can be.

    Args:
        optimizer: makes one.
        scheduler: makes one of an optimizer; None if there is none.

    Raises:
        InputError: one of them refuses a value.
    """
    name = "model.optimizer"
    try:
        made = optimizer()
        name = "model.lr_scheduler"
        if scheduler is not None:
            _step(made, scheduler(made))
    except (ValueError, TypeError, ArithmeticError) as error:
        raise InputError(f"{name}: {error}; mend its options") from error
    rate = made.defaults.get("lr", 0.0)
    if not math.isfinite(rate):
        raise InputError(f"model.optimizer.lr: {rate} is not a learning rate; give a finite number, e.g. 5e-5")


def _step(optimizer: Optimizer, scheduler: Any) -> None:
    """One step of both: some values are refused, or divided by, only then."""
    optimizer.step()
    scheduler.step()


def check_options(retain: Loss, *, layer: int, noise_layer: int, noise_scale: float) -> None:
    """The steering layer and the noise fit each other and the retain loss.

    Raises:
        InputError: they do not.
    """
    if layer < 0:
        raise InputError(f"model.layer: {layer} is not the index of a decoder layer; count from 0")
    if not (math.isfinite(noise_scale) and noise_scale >= 0):
        raise InputError(f"model.noise_scale: {noise_scale} is not a standard deviation; give 0 or more")
    name = type(retain).__name__
    if noise_scale > 0 and not retain.needs_frozen:
        raise InputError(
            f"model.noise_scale: {name} does not read the frozen model, so noise cannot act; set noise_scale to 0, or "
            "take a retain loss that does, e.g. RepresentationMSE or LogitKL"
        )
    if noise_scale > 0 and noise_layer > layer and not retain.needs_logits:
        raise InputError(
            f"model.noise_layer: {noise_layer} lies above layer {layer}, the last that {name} reads; set it to {layer} "
            "or less"
        )


def check_layers(config: PretrainedConfig, **indices: int) -> None:
    """Each index is one of the model's layers.

    Raises:
        InputError: it is not.
    """
    count = config.get_text_config().num_hidden_layers
    for name, index in indices.items():
        if not 0 <= index < count:
            raise InputError(f"model.{name}: {index} is out of range; the model has layers 0 to {count - 1}")


def check_topics(module: nn.Module, topics: Sequence[str]) -> None:
    """Every per-topic list in the module has one number per topic of the data.

    Raises:
        InputError: it has not.
    """
    for name, option in module.named_modules():
        values = option.values if isinstance(option, PerTopic) else None
        if isinstance(values, list) and len(values) != len(topics):
            raise InputError(
                f"model.{name}: {len(values)} values for {len(topics)} topics ({', '.join(topics) or 'none named'}); "
                "give one number for all or one for each"
            )


def check_numbers(module: nn.Module) -> None:
    """Every number per topic in the module is finite, and no retain weight below 0.

    Raises:
        InputError: one is not.
    """
    for name, option in module.named_modules():
        values = option.values if isinstance(option, PerTopic) else 0.0
        if not all(map(math.isfinite, values if isinstance(values, list) else [values])):
            raise InputError(f"model.{name}: {values} cannot be; give finite numbers")
        if name == "retain_weight" and min(values if isinstance(values, list) else [values], default=0.0) < 0:
            raise InputError(f"model.{name}: {values} would drive the retain loss up; give 0 or more")


def check_strategy(strategy: object) -> None:
    """A strategy that shards does so as this package needs it.

    Raises:
        InputError: it is Lightning's own for FSDP1.
    """
    if isinstance(strategy, FSDPStrategy) and not isinstance(strategy, FSDP1):
        raise InputError(
            "trainer.strategy: FSDPStrategy would put trained and other weights into one unit, and compute positions "
            "in the precision of the weights; take -c trainer/fsdp.yaml, or FSDP2, -c trainer/fsdp2.yaml"
        )


def check_mesh(strategy: object, replicas: int) -> None:
    """The processes can hold the copies of the model.

    Args:
        strategy: the Trainer's.
        replicas: copies of the model.

    Raises:
        InputError: they cannot.
    """
    if not isinstance(strategy, ModelParallelStrategy):
        check_replicas(replicas, None)
        return
    if strategy.device_mesh["tensor_parallel"].size() > 1:
        raise InputError("trainer.strategy: tensor parallelism is not supported; set tensor_parallel_size to 1")
    check_replicas(replicas, strategy.device_mesh["data_parallel"].size())


def check_replicas(replicas: int, processes: int | None) -> None:
    """So many processes can hold so many copies of a model.

    Args:
        replicas: copies.
        processes: over which FSDP2 shards them; None where the strategy is another.

    Raises:
        InputError: they cannot.
    """
    if processes is None and replicas != 1:
        raise InputError(
            f"model.replicas: {replicas} copies of a sharded model are FSDP2's; take -c trainer/fsdp2.yaml, or set 1"
        )
    if processes is not None and (replicas < 1 or processes % replicas):
        raise InputError(
            f"model.replicas: {processes} processes cannot hold {replicas} copies; give a number that divides "
            f"{processes}, such as that of machines"
        )


def check_precision(now: str, before: str) -> None:
    """A model that is loaded is used at the precision at which it was.

    Raises:
        InputError: it is not.
    """
    if now != before:
        raise InputError(f"trainer.precision: the model was loaded for {before!r}, not {now!r}; make a new module")


def check_loaded(model: nn.Module, *, whole: bool) -> None:
    """A model that is loaded has the layers that its use takes.

    Raises:
        InputError: it has not.
    """
    if whole and is_partial(model):
        raise InputError(
            "model.whole_model: the model was loaded without its last layers, and here they are needed; make a new "
            "module, with whole_model=True if it is used without them first"
        )


def check_vocabulary(config: PretrainedConfig, tokens: int | None) -> None:
    """The model has an embedding for every token of the data's tokenizer.

    Args:
        config: the model's.
        tokens: of the tokenizer; None where the data does not say.

    Raises:
        InputError: it has not.
    """
    rows = config.get_text_config().vocab_size
    if tokens is not None and tokens > rows:
        raise InputError(
            f"data.tokenizer: it has {tokens} tokens, the model embeddings for {rows}; take the model's own tokenizer "
            "as it was trained, without added tokens"
        )


def check_same_optimizer(groups: Sequence[Mapping[str, Any]], optimizer: Optimizer, *, scheduled: bool) -> None:
    """The optimizer has the options that a checkpoint's had: torch would take those of the checkpoint without a word.

    Args:
        groups: of parameters, from the checkpoint.
        optimizer: with this run's options.
        scheduled: a scheduler moves the learning rate.

    Raises:
        InputError: it has others.
    """
    for group in groups:
        before = dict(group)
        if scheduled:
            before["lr"] = group.get("initial_lr", group["lr"])
        for name, value in optimizer.defaults.items():
            if name in before and _as_tuple(before[name]) != _as_tuple(value):
                raise InputError(
                    f"model.optimizer.{name}: the checkpoint was made with {before[name]}, this run has {value}; go on "
                    "with the same, or begin another run from an export"
                )


def _as_tuple(value: Any) -> Any:
    """A pair is a list in an optimizer that has gone on under FSDP2."""
    return tuple(value) if isinstance(value, list) else value


def check_checkpoint(held: Identity | None, own: Identity, *, seeds: bool) -> None:
    """A checkpoint is of a run like this one.

    Args:
        held: what the checkpoint says of its run; None if it is not one of ours.
        own: the same of this run.
        seeds: whether training goes on, so that noise and steering vectors must too.

    Raises:
        InputError: it is of another model, other trained parameters or other seeds.
    """
    if held is None:
        raise InputError("ckpt_path: not a checkpoint of lit-unlearn; give a file such as RUN/last.ckpt")
    names = held["shapes"].keys() | own["shapes"].keys()
    differing = sorted(name for name in names if held["shapes"].get(name) != own["shapes"].get(name))
    if differing:
        raise InputError(
            f"ckpt_path: made with another model or other trained parameters, e.g. {', '.join(differing[:3])}; resume "
            "with the model.pretrained, model.layer, model.trainable and model.lora of the run that wrote it"
        )
    if held.get("scalings", {}) != own["scalings"]:
        raise InputError(
            "ckpt_path: made with adapters that act more or less; resume with the model.lora.lora_alpha of the run "
            "that wrote it"
        )
    if seeds and held["seeds"] != own["seeds"]:
        raise InputError(
            f"ckpt_path: made with seeds {held['seeds']}, this run has {own['seeds']}; resume with the same "
            "model.seed, model.forget and seed_everything"
        )


def check_reached(updated: PreTrainedModel, layers: nn.ModuleList, layer: int, *, needs_logits: bool) -> None:
    """Losses on hidden states train nothing above the steering layer.

    Raises:
        InputError: something above it is trainable.
    """
    unreached = trained_above(updated, layers, layer)
    if unreached and not needs_logits:
        option = "model.lora.target_modules" if adapted(updated) else "model.trainable"
        raise InputError(
            f"{option}: {unreached[0]} lies above layer {layer}, where no loss of this run reaches it; train "
            "layers up to it only"
        )

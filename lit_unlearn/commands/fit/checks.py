"""What `fit` refuses before it begins, and `plan` with it: options first, then what the machine has."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.strategies import ModelParallelStrategy
from lightning.pytorch.utilities.model_helpers import is_overridden

from lit_unlearn.distributed.checks import check_strategy, settle_sizes
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.models.precision import named_precision, weights_dtype
from lit_unlearn.modules.protocols import ChecksOptions
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs import layout
from lit_unlearn.runs.atomic_files import check_folder
from lit_unlearn.runs.checkpoint_io import check_resumes, check_whole, is_file_of_weights

_LEAST = (
    ("accumulate_grad_batches", 1),
    ("check_val_every_n_epoch", 1),
    ("gradient_clip_val", 0),
    ("log_every_n_steps", 0),
    ("num_nodes", 1),
)


def check_alone(options: Any) -> None:
    """What a model without losses is given and cannot use, or lacks."""
    if options.ckpt_path is not None:
        raise InputError("ckpt_path: only a config with model.forget and model.retain loads one; leave out --model")
    if not options.trainer.callbacks:
        raise InputError(
            "trainer.callbacks: there are none, so nothing would come of the answers; give "
            "--trainer.callbacks+=PerturbationRobustness"
        )


def check_weights_only(options: Any) -> None:
    """Checkpoints are tensors and plain values: nothing in one is run, whatever Lightning's default is."""
    if options.weights_only is False:
        raise InputError(
            "weights_only: false would run code that is in the checkpoint, and those of lit-unlearn hold none; leave "
            "it out"
        )
    options.weights_only = True


def check_trainer(options: Any) -> None:
    """Options of the Trainer that Lightning takes without a look, or refuses without a remedy.

    Args:
        options: the Trainer's.

    Raises:
        InputError: one of them cannot be.
    """
    for name, least in _LEAST:
        check_at_least(f"trainer.{name}", getattr(options, name), least)
    if options.barebones:
        raise InputError(f"trainer.barebones: a run always writes {layout.METRICS} and checkpoints; leave it out")
    if not options.plugins:  # one of which may be the precision
        weights_dtype(named_precision(options.precision))
    check_strategy(options.strategy)
    _check_states(options.callbacks or [])
    if _on_processor(options) and options.devices != "auto" and not _is_count(options.devices):
        raise InputError(
            f"trainer.devices: {options.devices!r} is not a number of processes on a processor; give 1 or more, or auto"
        )


def _check_states(callbacks: Callback | Sequence[Callback]) -> None:
    """A checkpoint has a place for the state of each callback.

    Args:
        callbacks: of the Trainer's options.

    Raises:
        InputError: two of a class have the same place.
    """
    found = [callbacks] if isinstance(callbacks, Callback) else callbacks
    stateful = Counter((type(one), one.state_key) for one in found if is_overridden("state_dict", one))
    for (kind, _), count in stateful.items():
        if count > 1:
            raise InputError(
                f"trainer.callbacks: there are {count} {kind.__name__}, and a checkpoint holds the state of one; leave "
                "one of them"
            )


def check_devices(options: Any) -> None:
    """The GPUs that are asked for are on this machine.

    Args:
        options: the Trainer's.

    Raises:
        InputError: they are not.
    """
    there = torch.cuda.device_count()
    if str(options.accelerator) in ("gpu", "cuda") and not there and not torch.backends.mps.is_available():
        raise InputError(
            f"trainer.accelerator: {options.accelerator!r} is asked for, and torch finds no GPU here; run where there "
            "is one, or set it to cpu"
        )
    if there and not _on_processor(options) and (wanted := devices(options.devices)) > there:
        raise InputError(
            f"trainer.devices: {options.devices!r} asks for {wanted} GPUs, and there are {there}; run where there are "
            "as many, or give fewer"
        )


@contextmanager
def named_trainer() -> Iterator[None]:
    """Within this context Lightning's refusals of the Trainer's options are ours."""
    try:
        yield
    except InputError:
        raise
    except (ValueError, TypeError, ImportError, MisconfigurationException) as error:
        raise InputError(f"trainer: {error}") from error


def check_run(
    options: Any,
    model: Any,
    *,
    trainer: Any,
    strategy: object,
    processes: int,
) -> None:
    """What can be refused before a corpus is read, which takes long.

    Args:
        options: of the command, classes among them made.
        model: the module; of another class than UnlearnModule it reads no checkpoint.
        trainer: with the run's callbacks.
        strategy: how the run's processes share the work.
        processes: of the run.

    Raises:
        InputError: the checkpoint, the model, a callback or an option that depends on them cannot be used.
    """
    path = options.ckpt_path
    if isinstance(model, UnlearnModule):
        if path is not None:
            check_whole(path, sharded=isinstance(strategy, ModelParallelStrategy))
        check_weights_only(options)
        _check_stores(model)
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.dirpath:
            check_folder(Path(callback.dirpath), "ModelCheckpoint.dirpath")
    settle_sizes(strategy, processes)
    model.check_model()
    if isinstance(model, UnlearnModule) and path is not None and is_file_of_weights(path):
        model.check_resume(path)


def check_fit(options: Any, model: UnlearnModule, data: object, *, trainer: Any) -> None:
    """What a fit refuses besides: a checkpoint without the optimizer's state, callbacks, the optimizer.

    Args:
        options: of the command.
        model: the module.
        data: the DataModule.
        trainer: with the run's callbacks.

    Raises:
        InputError: one of them cannot be used.
    """
    if options.ckpt_path is not None and is_file_of_weights(options.ckpt_path):
        check_resumes(options.ckpt_path)
    model.check_optimizer(trainer.max_steps)
    for callback in trainer.callbacks:
        if isinstance(callback, ChecksOptions):
            callback.check_options(trainer, model, data)


def devices(option: Any) -> int:
    """How many devices of a machine an option of the Trainer means, `auto` and -1 being all GPUs, or one processor.

    Example:
        >>> devices(2), devices("0,3"), devices([1])
        (2, 2, 1)
    """
    if option in ("auto", -1, "-1"):
        return max(1, torch.cuda.device_count())
    if isinstance(option, Sequence) and not isinstance(option, str):
        return len(option)
    return len([name for name in str(option).split(",") if name]) if "," in str(option) else int(option)


def processes_of_machine(options: Any) -> int:
    """How many processes a run has on each machine: one for each device, and on a processor one if none are asked for.

    Args:
        options: the Trainer's.

    Raises:
        ValueError: the devices are none.
    """
    return 1 if _on_processor(options) and options.devices == "auto" else devices(options.devices)


def _on_processor(options: Any) -> bool:
    """Whether the run takes no device but the processor."""
    accelerator = str(options.accelerator)
    none = not torch.cuda.is_available() and not torch.backends.mps.is_available()
    return accelerator == "cpu" or (accelerator == "auto" and none)


def _is_count(option: Any) -> bool:
    return str(option).isdecimal() and int(option) > 0


def _check_stores(model: UnlearnModule) -> None:
    """What runs keep for each other has a place."""
    if model.prefix_store is not None:
        check_folder(Path(model.prefix_store.folder), "model.prefix_store.folder")
    if model.answer_store is not None:
        check_folder(Path(model.answer_store), "model.answer_store")

"""Write the unlearned model as a Hugging Face folder."""

import shutil
from collections import defaultdict
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import NamedTuple

import lightning as L
import torch
from torch import Tensor

from lit_unlearn.callbacks.model_card import model_card
from lit_unlearn.callbacks.printing import print_lines
from lit_unlearn.distributed.sharding import gathered_parameter, named_parameters
from lit_unlearn.errors import InputError
from lit_unlearn.models import lora
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.models.weight_files import WeightFiles
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs import checksums, layout
from lit_unlearn.runs.atomic_files import appearing_whole, check_makable, existing
from lit_unlearn.runs.credentials import masked


class ExportPretrained(L.Callback):
    """Writes the updated model when training ends, for `AutoModelForCausalLM.from_pretrained` and lm-eval's `hf` model.

    The folder holds copies of the model's own files (safetensors, configuration, generation configuration) in which the
    trained weights alone are others, in the files' dtype; a tokenizer, a model card and SHA256SUMS, which `lit-unlearn
    verify` checks. It appears whole or not at all.
    One weight at a time is in memory. LoRA's adapters are merged into the weights beside which they were trained.

    Args:
        folder: where to write; None writes `export` in the run's folder.
        adapter: write LoRA's adapters alone, for `PeftModel.from_pretrained` on the model that was unlearned.

    Raises:
        InputError: the folder exists already or its disk is too small, the model has no tokenizer, its files have no
            safetensors or other weights than the model, or there are no adapters; before training.
    """

    def __init__(self, folder: str | None = None, *, adapter: bool = False) -> None:
        self.folder = folder
        self.adapter = adapter

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks, before training, that the export can be written."""
        if stage != "fit":
            return
        if not isinstance(pl_module, UnlearnModule):
            raise InputError(
                f"ExportPretrained: {type(pl_module).__name__} is not an UnlearnModule; remove the callback"
            )
        if self.adapter and pl_module.lora is None:
            raise InputError("ExportPretrained.adapter: the run trains none; set it to false, or give model.lora")
        self._tokenizer = load_tokenizer(pl_module.model_source)
        self._check_folder(trainer)
        if not self.adapter:
            self._files = WeightFiles.of(pl_module.model_source)
            _check_disk(self._path(trainer), self._files.size)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Checks that the model's files hold what is trained."""
        assert isinstance(pl_module, UnlearnModule)
        if not self.adapter:
            for weight in _trained(pl_module):
                _check_stored(self._files, weight, pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gathers the trained weights from all processes and writes them in one."""
        assert isinstance(pl_module, UnlearnModule)
        path, change = self._path(trainer), pl_module.forgotten()
        with (
            appearing_whole(path, replace=_replaces(path, trainer))
            if trainer.is_global_zero
            else nullcontext() as folder
        ):
            write = self._write_adapter if self.adapter else self._write_model
            write(folder, pl_module)
            if folder is not None:
                self._tokenizer.save_pretrained(folder)
                card = model_card(pl_module, trainer, change, library="peft" if self.adapter else "transformers")
                (folder / layout.MODEL_CARD).write_text(masked(card), encoding="utf-8")
                checksums.write_checksums(folder)
        if trainer.is_global_zero:
            print_lines(f"{'The adapter of the' if self.adapter else 'The'} unlearned model is in {path}")
            if change is not None:
                print_lines(f"It differs from {pl_module.model_source.name}: {change}")
        trainer.strategy.barrier("ExportPretrained")

    def _write_model(self, folder: Path | None, module: UnlearnModule) -> None:
        """Copies the model's files and overwrites what was trained; without a folder, only takes part in gathering."""
        if folder is not None:
            self._files.copy_to(folder)
        for weight in _trained(module):
            value = weight.after()
            if folder is not None:
                for name in weight.names_in(self._files):
                    self._files.overwrite(folder, name, value)

    def _write_adapter(self, folder: Path | None, module: UnlearnModule) -> None:
        """Writes the adapters, as they were trained; likewise."""
        assert module.lora is not None
        names = [name for name, value in named_parameters(module.updated) if value.requires_grad]
        state = {name: gathered_parameter(module.updated, name).cpu() for name in names}
        if folder is not None:
            base = {"base_model_name_or_path": module.model_source.given, "revision": module.revision}
            lora.save_adapter(folder, module.updated, module.lora, state, **base)

    def _check_folder(self, trainer: L.Trainer) -> None:
        """The folder is free, and no other export's."""
        others = [callback for callback in trainer.callbacks if isinstance(callback, ExportPretrained)]  # type: ignore[attr-defined]
        if any(other is not self and other._path(trainer) == self._path(trainer) for other in others):
            raise InputError(
                f"ExportPretrained: two of them write {self._path(trainer)}; give each a folder or remove one"
            )
        check_makable(self._path(trainer), "ExportPretrained")
        if self._path(trainer).exists() and not _replaces(self._path(trainer), trainer):
            raise InputError(
                f"ExportPretrained: {self._path(trainer)} exists already; give another folder or remove it"
            )

    def _path(self, trainer: L.Trainer) -> Path:
        return Path(self.folder) if self.folder else Path(trainer.default_root_dir) / layout.EXPORT


def _replaces(path: Path, trainer: L.Trainer) -> bool:
    """Whether a folder is of the run itself, which has been interrupted after its export and is not finished."""
    root = Path(trainer.default_root_dir)
    return path.parent == root and (root / layout.CONFIG).exists() and not (root / layout.CHECKSUMS).exists()


class _Trained(NamedTuple):
    """A weight of the model that training changes, over all processes; every one of them must ask for its values."""

    names: list[str]
    """Its names in the model; several where it is tied."""
    prefix: str
    """Of names in the model, which its files may leave out."""
    shape: tuple[int, ...]
    before: Callable[[], Tensor]
    """As it was loaded."""
    after: Callable[[], Tensor]
    """As it is now."""

    def names_in(self, files: WeightFiles) -> list[str]:
        """Names under which the model's files hold it."""
        return [own for name in self.names for own in files.names_of(name, self.shape, prefix=self.prefix)]


def _trained(module: UnlearnModule) -> list[_Trained]:
    """The trained weights, each once; of LoRA, those beside its adapters."""
    prefix, adapted = module.updated.base_model_prefix, lora.adapted(module.updated)
    found = []
    for name, layer in adapted.items():
        before = partial(gathered_parameter, layer, "base_layer.weight")
        values = tuple(before().shape), before, partial(lora.merged_weight, layer)
        found.append(_Trained([f"{name}.weight"], prefix, *values))
    names: dict[int, list[str]] = defaultdict(list)
    for name, parameter in named_parameters(module.updated, remove_duplicate=False):
        names[id(parameter)].append(name)
    for name in () if adapted else module.frozen.originals():
        own, before = names[id(module.updated.get_parameter(name))], partial(module.frozen.original, name)
        values = tuple(before().shape), before, partial(gathered_parameter, module.updated, name)
        found.append(_Trained(own, prefix, *values))
    return found


def _check_stored(files: WeightFiles, weight: _Trained, module: UnlearnModule) -> None:
    """The model's files hold a trained weight as the model had it in memory.

    Raises:
        InputError: they do not: transformers converts it on loading.
    """
    names, before = weight.names_in(files), weight.before().cpu()
    if not names or not all(torch.equal(files.read(name).to(before.dtype), before) for name in names):
        load = f"AutoModelForCausalLM.from_pretrained({module.pretrained!r})"
        raise InputError(
            f"ExportPretrained: the files of {module.pretrained!r} hold {weight.names[0]} otherwise than transformers "
            f"has it in memory; save the model once as it is there, `{load}.save_pretrained(FOLDER, "
            "save_original_format=False)`, its tokenizer beside it, and set model.pretrained to FOLDER"
        )


def _check_disk(path: Path, size: int) -> None:
    """There is room for the export.

    Raises:
        InputError: there is not.
    """
    place = existing(path)
    free = shutil.disk_usage(place).free
    if free < size:
        raise InputError(
            f"ExportPretrained: {path} takes {size / 2**30:.2f} GiB, and {place} has {free / 2**30:.2f} GiB free; make "
            "room, or set trainer.default_root_dir or this callback's folder to one on a larger disk"
        )

"""Write the unlearned model as a Hugging Face folder."""

import shutil
from contextlib import nullcontext
from pathlib import Path

import lightning as L
import torch

from lit_unlearn.callbacks.exported_weights import check_stored, exported_weights, holds
from lit_unlearn.callbacks.model_card import model_card
from lit_unlearn.callbacks.printing import print_lines
from lit_unlearn.distributed.fsdp1 import FSDP1
from lit_unlearn.distributed.sharding import gathered_parameter, named_parameters
from lit_unlearn.errors import InputError
from lit_unlearn.models import lora
from lit_unlearn.models.file_layout import FileLayout
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.models.weight_files import WeightFiles
from lit_unlearn.modules.forgotten import unlearns
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs import checksums, layout
from lit_unlearn.runs.atomic_files import appearing_whole, check_makable, existing
from lit_unlearn.runs.credentials import masked
from lit_unlearn.runs.shown import Shown


class ExportPretrained(Shown, L.Callback):
    """Writes the updated model when training ends, for `AutoModelForCausalLM.from_pretrained` and lm-eval's `hf` model.

    The folder holds copies of the model's own files (safetensors, configuration, generation configuration) in which the
    trained weights alone are others, in the files' dtype; a tokenizer, a model card and SHA256SUMS, which `lit-unlearn
    verify` checks. It appears whole or not at all.
    One weight at a time is in memory. LoRA's adapters are merged into the weights beside which they were trained; where
    the model that was unlearned is a model with an adapter, so are that adapter's.

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
        self.check_options(trainer, pl_module, None)
        assert isinstance(pl_module, UnlearnModule)
        self._tokenizer = load_tokenizer(pl_module.model_source)
        if not self.adapter:
            self._files = WeightFiles.of(pl_module.model_source)
            _check_disk(self._path(trainer), self._files.size)

    def check_options(self, trainer: L.Trainer, pl_module: L.LightningModule, data: object) -> None:
        """Checks, before data is read, that such an export can be, and that its folder is free.

        Raises:
            InputError: it cannot be, or the folder is not.
        """
        if not isinstance(pl_module, UnlearnModule):
            raise InputError(
                f"ExportPretrained: {type(pl_module).__name__} is not an UnlearnModule; remove the callback"
            )
        if self.adapter and pl_module.lora is None:
            raise InputError("ExportPretrained.adapter: the run trains none; set it to false, or give model.lora")
        if self.adapter and pl_module.model_source.adapter is not None:
            raise InputError(
                f"ExportPretrained.adapter: {pl_module.model_source.given} is an adapter itself, and one of an adapter "
                "cannot be loaded; set it to false to export the whole model"
            )
        if pl_module.model_source.adapter is not None and isinstance(trainer.strategy, FSDP1):
            raise InputError(
                f"ExportPretrained: {pl_module.model_source.given} is an adapter, and the layers it was merged into "
                "cannot be gathered under FSDP; take trainer/fsdp2.yaml"
            )
        self._check_folder(trainer)

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Checks that the model's files hold what is trained."""
        assert isinstance(pl_module, UnlearnModule)
        if not self.adapter:
            self._layout = FileLayout(pl_module.without_weights(torch.float32), self._files)
            for weight in exported_weights(pl_module):
                check_stored(weight, self._layout)

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
            model = "model" if change is not None and change.nothing else "unlearned model"
            print_lines(f"{'The adapter of the' if self.adapter else 'The'} {model} is in {path}")
            if change is not None and not unlearns(pl_module.forget):  # of the others the module itself says it
                print_lines(f"It differs from {pl_module.model_source.name}: {change}")
        trainer.strategy.barrier("ExportPretrained")

    def _write_model(self, folder: Path | None, module: UnlearnModule) -> None:
        """Copies the model's files and overwrites what was trained; without a folder, only takes part in gathering."""
        if folder is not None:
            self._files.copy_to(folder)
        for weight in exported_weights(module):
            value = weight.after()
            if folder is not None:
                for name, tensor in self._layout.stored(weight.names, value).items():
                    if not (weight.merged and holds(self._files, name, tensor)):
                        self._files.overwrite(folder, name, tensor)

    def _write_adapter(self, folder: Path | None, module: UnlearnModule) -> None:
        """Writes the adapters as they were trained; the first process only."""
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

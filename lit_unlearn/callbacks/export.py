"""Write the unlearned model as a Hugging Face folder."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from torch import Tensor
from torch.distributed.tensor import DTensor

from lit_unlearn.callbacks.model_card import model_card
from lit_unlearn.checks import weights_dtype
from lit_unlearn.data.rows import load_tokenizer
from lit_unlearn.errors import InputError
from lit_unlearn.module import UnlearnModule


class ExportPretrained(L.Callback):
    """Writes the updated model when training ends, for `AutoModelForCausalLM.from_pretrained` and lm-eval's `hf` model.

    The folder holds safetensors, configuration, generation configuration, tokenizer and a model card. It appears whole
    or not at all. Trained parameters are cast to the dtype of the others; those are bit for bit what was loaded.

    Args:
        folder: where to write; None writes `export` in the run's folder.

    Raises:
        InputError: the folder exists already, or the model has no tokenizer; before training.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Checks, before training, that the export can be written."""
        if stage != "fit":
            return
        if not isinstance(pl_module, UnlearnModule):
            raise InputError(
                f"ExportPretrained: {type(pl_module).__name__} is not an UnlearnModule; remove the callback"
            )
        self._tokenizer = load_tokenizer(pl_module.pretrained)
        if self._path(trainer).exists():
            raise InputError(
                f"ExportPretrained: {self._path(trainer)} exists already; give another folder or remove it"
            )

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gathers the weights from all processes and writes them in one."""
        assert isinstance(pl_module, UnlearnModule)
        state = _whole_state_dict(pl_module, keep=trainer.is_global_zero)
        if trainer.is_global_zero:
            path = self._path(trainer)
            with appearing_whole(path) as partial:
                pl_module.updated.save_pretrained(partial, state_dict=state)
                self._tokenizer.save_pretrained(partial)
                (partial / "README.md").write_text(model_card(pl_module, trainer), encoding="utf-8")
            print(f"The unlearned model is in {path}")
        trainer.strategy.barrier("export")

    def _path(self, trainer: L.Trainer) -> Path:
        return Path(self.folder) if self.folder else Path(trainer.default_root_dir) / "export"


@contextmanager
def appearing_whole(path: Path) -> Iterator[Path]:
    """A folder to write into, which gets its name when all is written and disappears on an error."""
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _whole_state_dict(module: UnlearnModule, *, keep: bool) -> dict[str, Tensor]:
    """The updated model's weights on the CPU, in one dtype; every process must call it, only `keep` ones hold them."""
    dtype = weights_dtype(str(module.trainer.precision))
    state: dict[str, Tensor] = {}
    for name, value in module.updated.state_dict().items():
        whole = _whole(value)
        if keep:
            state[name] = whole.to(device="cpu", dtype=dtype if whole.is_floating_point() else None)
    return state


def _whole(value: Any) -> Tensor:
    tensor: Tensor = value.full_tensor() if isinstance(value, DTensor) else value
    return tensor.detach()

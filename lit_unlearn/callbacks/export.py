"""Write the unlearned model as a Hugging Face folder."""

import json
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.distributed.tensor import DTensor

from lit_unlearn.callbacks.model_card import model_card
from lit_unlearn.checks import weights_dtype
from lit_unlearn.data.rows import load_tokenizer
from lit_unlearn.errors import InputError
from lit_unlearn.module import UnlearnModule
from lit_unlearn.whole import appearing_whole


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
        self._tokenizer = load_tokenizer(
            pl_module.pretrained, revision=pl_module.revision, trust_remote_code=pl_module.trust_remote_code
        )
        others = [callback for callback in trainer.callbacks if isinstance(callback, ExportPretrained)]  # type: ignore[attr-defined]
        if any(other is not self and other._path(trainer) == self._path(trainer) for other in others):
            raise InputError(
                f"ExportPretrained: two of them write {self._path(trainer)}; give each a folder or remove one"
            )
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
                _set_dtype(partial / "config.json", str(weights_dtype(str(trainer.precision))).removeprefix("torch."))
                self._tokenizer.save_pretrained(partial)
                (partial / "README.md").write_text(model_card(pl_module, trainer), encoding="utf-8")
            print(f"The unlearned model is in {path}")
        trainer.strategy.barrier("export")

    def _path(self, trainer: L.Trainer) -> Path:
        return Path(self.folder) if self.folder else Path(trainer.default_root_dir) / "export"


def _whole_state_dict(module: UnlearnModule, *, keep: bool) -> dict[str, Tensor]:
    """The updated model's weights on the CPU, in one dtype; every process must call it, only `keep` ones hold them."""
    dtype = weights_dtype(str(module.trainer.precision))
    named = [*module.updated.named_parameters(remove_duplicate=False), *module.updated.named_buffers()]
    moved: dict[int, Tensor] = {}  # each once, so that tied weights stay tied
    for _, value in named:
        if id(value) not in moved:
            whole = _whole(value)
            kept = whole.to(device="cpu", dtype=dtype if whole.is_floating_point() else None)
            moved[id(value)] = kept if keep else torch.empty(0)
    saved = module.updated.state_dict().keys()
    return {name: moved[id(value)] for name, value in named if keep and name in saved}


def _set_dtype(path: Path, dtype: str) -> None:
    """Transformers writes that of the first parameter, which may be a float32 master."""
    options = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(options | {"dtype": dtype}, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _whole(value: Any) -> Tensor:
    tensor: Tensor = value.full_tensor() if isinstance(value, DTensor) else value
    return tensor.detach()

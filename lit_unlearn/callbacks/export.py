"""Write the unlearned model as a Hugging Face folder."""

import json
from pathlib import Path

import lightning as L
import torch
from torch import Tensor

from lit_unlearn import lora
from lit_unlearn.callbacks.model_card import model_card
from lit_unlearn.checks import weights_dtype
from lit_unlearn.data.rows import load_tokenizer
from lit_unlearn.errors import InputError
from lit_unlearn.module import UnlearnModule
from lit_unlearn.sharding import gathered
from lit_unlearn.whole import appearing_whole


class ExportPretrained(L.Callback):
    """Writes the updated model when training ends, for `AutoModelForCausalLM.from_pretrained` and lm-eval's `hf` model.

    The folder holds safetensors, configuration, generation configuration, tokenizer and a model card. It appears whole
    or not at all. Trained parameters are cast to the dtype of the others; those are bit for bit what was loaded. LoRA's
    adapters are merged into the weights beside which they were trained.

    Args:
        folder: where to write; None writes `export` in the run's folder.
        adapter: write LoRA's adapters alone, for `PeftModel.from_pretrained` on the model that was unlearned.

    Raises:
        InputError: the folder exists already, the model has no tokenizer, or there are no adapters; before training.
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
        gather = _adapters if self.adapter else _whole_state_dict
        state = gather(pl_module, keep=trainer.is_global_zero)
        if trainer.is_global_zero:
            path = self._path(trainer)
            with appearing_whole(path) as partial:
                self._write(partial, pl_module, state)
                self._tokenizer.save_pretrained(partial)
                card = model_card(pl_module, trainer, library="peft" if self.adapter else "transformers")
                (partial / "README.md").write_text(card, encoding="utf-8")
            print(f"{'The adapter of the' if self.adapter else 'The'} unlearned model is in {path}")
        trainer.strategy.barrier("export")

    def _write(self, folder: Path, module: UnlearnModule, state: dict[str, Tensor]) -> None:
        """Writes weights and configuration."""
        if self.adapter:
            assert module.lora is not None
            base = {"base_model_name_or_path": module.pretrained, "revision": module.revision}
            lora.save_adapter(folder, module.updated, module.lora, state, **base)
            return
        module.updated.save_pretrained(folder, state_dict=state)
        _set_dtype(folder / "config.json", str(weights_dtype(str(module.trainer.precision))).removeprefix("torch."))

    def _path(self, trainer: L.Trainer) -> Path:
        return Path(self.folder) if self.folder else Path(trainer.default_root_dir) / "export"


def _whole_state_dict(module: UnlearnModule, *, keep: bool) -> dict[str, Tensor]:
    """The updated model's weights on the CPU, in one dtype; every process must call it, only `keep` ones hold them."""
    dtype = weights_dtype(str(module.trainer.precision))
    updated = module.updated
    adapted = {id(layer.base_layer.weight): layer for layer in lora.adapted(updated).values()}
    saved = updated.state_dict().keys()
    held = [*updated.named_parameters(remove_duplicate=False), *updated.named_buffers()]
    named = [(plain, value) for name, value in held if name in saved and (plain := lora.plain_name(name))]
    moved: dict[int, Tensor] = {}  # each once, so that tied weights stay tied
    for _, value in named:
        if id(value) not in moved:
            tensor = lora.merged_weight(adapted[id(value)]) if id(value) in adapted else gathered(value)
            kept = tensor.to(device="cpu", dtype=dtype if tensor.is_floating_point() else None)
            moved[id(value)] = kept if keep else torch.empty(0)
    return {name: moved[id(value)] for name, value in named if keep}


def _adapters(module: UnlearnModule, *, keep: bool) -> dict[str, Tensor]:
    """The adapters' parameters on the CPU, as they were trained; likewise."""
    state = {name: gathered(value).cpu() for name, value in module.updated.named_parameters() if value.requires_grad}
    return state if keep else {}


def _set_dtype(path: Path, dtype: str) -> None:
    """Transformers writes that of the first parameter, which may be a float32 master."""
    options = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(options | {"dtype": dtype}, indent=2, sort_keys=True) + "\n", encoding="utf-8")

"""What `validate` and `test` have answered so far, on disk, where the same command finds it after an interruption."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import lightning as L
import torch

from lit_unlearn.callbacks.printing import print_lines
from lit_unlearn.modules.pretrained import PretrainedModule
from lit_unlearn.questions.stored_answers import SUFFIX, StoredAnswers
from lit_unlearn.runs import layout


class KeptAnswers(L.Callback):
    """Keeps the answers to each batch of questions in the run's folder, and asks no batch again whose answers are kept.

    Held-out rows are computed again.
    """

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Looks for what is answered, and says how much of all."""
        if isinstance(pl_module, PretrainedModule):
            folder = Path(trainer.strategy.broadcast(trainer.default_root_dir)) / layout.PARTIAL_ANSWERS
            before = any(folder.glob(f"*{SUFFIX}"))
            store = pl_module.store_answers(str(folder))
            if trainer.strategy.broadcast(before):
                _say(trainer, pl_module, store)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keeps no more: other weights may follow."""
        if isinstance(pl_module, PretrainedModule):
            pl_module.stored_answers = None

    on_test_start = on_validation_start
    on_test_end = on_validation_end


def _say(trainer: L.Trainer, module: PretrainedModule, store: StoredAnswers) -> None:
    loaders: Any = trainer.test_dataloaders if trainer.testing else trainer.val_dataloaders
    batches = [batch for loader in loaders for batch in loader if "number" in batch]
    kept, every = _rows(batch for batch in batches if store.has(batch)), _rows(batches)
    if trainer.world_size > 1:
        counts = module.total(torch.tensor([kept, every], device=module.device))
        kept, every = (int(count) for count in counts)
    if trainer.is_global_zero:
        print_lines(f"{kept} of {every} questions already answered, from {store.folder}")


def _rows(batches: Iterable[Any]) -> int:
    """Questions in batches, each variant counted."""
    return sum(int(batch["valid"].sum()) for batch in batches)

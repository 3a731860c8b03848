"""A fit that finds the base's answers runs no forward for them, and everything else is the same."""

import json
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from lit_unlearn import Generations, InputError, PerturbationRobustness
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.questions.batches import QueryBatches, encode
from lit_unlearn.questions.sets import EvaluationSource, PerturbationSource
from lit_unlearn.questions.stored_answers import StoredAnswers
from tests.asking import QUESTIONS, TOKENIZERS, random_model
from tests.questions.test_sets import write_questions
from tests.training import demo_data, demo_module, quiet_trainer


class Asked(L.Callback):
    """How many forwards the model runs before training, at an evaluation on the way, and what callbacks see of it."""

    def __init__(self) -> None:
        self.forwards = {"before": 0, "between": 0, "after": 0}
        self.batches: list[dict[str, Tensor]] = []
        self._when = "before"

    def on_sanity_check_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, UnlearnModule)
        pl_module.updated.get_input_embeddings().register_forward_pre_hook(self._count)

    def on_sanity_check_end(self, *_: Any) -> None:
        self._when = "between"  # training, and Generations before it

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._when = "after" if trainer.global_step else "before"

    def on_validation_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, *_: Any) -> None:
        self.batches.append(dict(outputs))

    def _count(self, *_: Any) -> None:
        self.forwards[self._when] += 1


class Run:
    """A fit of three steps on the demo's world."""

    def __init__(self, world: Path, folder: Path, store: Path | None, module: UnlearnModule | None = None) -> None:
        questions = write_questions(folder.parent / "questions.jsonl")
        evaluation = EvaluationSource({"retain": questions}, {"two": PerturbationSource(n=2)})
        self.asked, self.module = Asked(), module or demo_module(world, answer_store=store and str(store))
        trainer = quiet_trainer(
            folder,
            callbacks=[PerturbationRobustness(), Generations(questions=1, max_new_tokens=2), self.asked],
            val_check_interval=3,
            check_val_every_n_epoch=None,
        )
        trainer.fit(self.module, demo_data(world, evaluation=evaluation, limit=12))
        self.results = json.loads((folder / "results.json").read_text())
        self.generations = (folder / "generations.json").read_text()


def test_the_second_fit_asks_nothing_before_training(world: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    first, second = (Run(world, tmp_path / name, store) for name in "ab")
    none = Run(world, tmp_path / "none", None)
    kept = len([*store.iterdir()])
    assert first.asked.forwards["before"] == none.asked.forwards["before"] > 0
    assert second.asked.forwards["before"] == 0
    assert second.asked.forwards["after"] == none.asked.forwards["after"] > 0
    for run in (first, second):
        assert run.results == none.results
        assert run.generations == none.generations
        for ours, theirs in zip(run.asked.batches, none.asked.batches, strict=True):
            assert ours.keys() == theirs.keys()
            for name, values in ours.items():
                torch.testing.assert_close(values, theirs[name], rtol=0, atol=0, equal_nan=True)
    assert 2 * kept == first.asked.forwards["before"]  # letters and texts of each batch; nothing of the trained model


def test_another_model_is_asked_itself(world: Path, tmp_path: Path) -> None:
    first = Run(world, tmp_path / "a", tmp_path / "store")
    again = Run(world, tmp_path / "b", tmp_path / "store", module=first.module)  # it begins with trained weights
    assert again.asked.forwards["before"] == first.asked.forwards["before"]


def test_several_processes_ask_all_of_them(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(L.Trainer, "world_size", 2)
    module = demo_module(world, answer_store=str(tmp_path / "store"))
    module.trainer = quiet_trainer(tmp_path)
    module.on_validation_start()
    assert module.stored_answers is None
    assert not (tmp_path / "store").exists()


TOKENIZER = TOKENIZERS["word_level"]()


def ask(folder: Path, batch: Any, *, precision: str = "32-true", **changes: Any) -> bool:
    """Whether a model is asked."""
    asked = []

    def answer() -> dict[str, Tensor]:
        asked.append(True)
        return {"correct": torch.tensor([], dtype=torch.bool), "letter": torch.tensor([0.5, float("nan")])}

    found = StoredAnswers(str(folder), random_model("llama", **changes), precision).answers(batch, answer)
    assert found["correct"].dtype == torch.bool
    assert len(found["correct"]) == 0
    assert found["letter"][0] == 0.5
    return bool(asked)


def test_all_that_decides_answers_tells_them_apart(tmp_path: Path) -> None:
    batches = QueryBatches(encode(QUESTIONS, TOKENIZER), max_tokens=200)
    first, second = dict(batches[0]), dict(batches[1])
    assert ask(tmp_path, first)
    assert not ask(tmp_path, first)
    assert ask(tmp_path, second)
    assert ask(tmp_path, first | {"answer": torch.zeros_like(batches[0]["answer"]) + 9})
    assert ask(tmp_path, first | {"packed": {"token": torch.ones(2)}})
    assert ask(tmp_path, first | {"packed": {"token": torch.zeros(2)}})
    assert ask(tmp_path, first, precision="bf16-true")
    assert ask(tmp_path, first, initializer_range=0.4)
    assert ask(tmp_path, first, attn_implementation="eager")
    assert not ask(tmp_path, first)


def test_a_folder_that_is_full_or_gone_costs_nothing_but_time(tmp_path: Path) -> None:
    batch: Any = QueryBatches(encode(QUESTIONS, TOKENIZER), max_tokens=200)[0]
    store = StoredAnswers(str(tmp_path / "store"), random_model("llama"), "32-true")
    (tmp_path / "store").rmdir()
    answers = {"number": torch.arange(2)}
    with pytest.warns(UserWarning, match=r"cannot be written \(No such file or directory\); further answers are not"):
        assert store.answers(batch, lambda: answers) is answers
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert store.answers(batch, lambda: answers) is answers


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    batch: Any = QueryBatches(encode(QUESTIONS, TOKENIZER), max_tokens=200)[0]
    ask(tmp_path / "store", batch)
    (kept,) = (tmp_path / "store").iterdir()
    kept.write_bytes(b"no tensors")
    with pytest.raises(InputError, match=r"model.answer_store: .*safetensors is damaged .*; remove it"):
        ask(tmp_path / "store", batch)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"model.answer_store: .*file cannot be made \(File exists\)"):
        ask(tmp_path / "file", batch)

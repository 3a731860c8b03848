"""Preferred answers: there when the loss asks, drawn for each row as a function of seed, step and row alone."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lit_unlearn import (
    DPO,
    RMU,
    Batch,
    DemoDataModule,
    InputError,
    LogitKL,
    RepresentationMSE,
    UnlearnDataModule,
    UnlearnModule,
)
from lit_unlearn.data.preferred_answers import PREFERRED_ANSWERS, preferred_answers
from lit_unlearn.losses.contract import Loss
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from tests.batches import padded, random_rows
from tests.data.running import Model, data_module, ready, trainer


@pytest.fixture
def answers(tmp_path: Path) -> str:
    """A file of five answers of one to five words."""
    path = tmp_path / "answers.txt"
    path.write_text("\n".join(" ".join(["the"] * length) for length in range(1, 6)) + "\n\n")
    return str(path)


def attached(data: UnlearnDataModule, folder: Path, module: Any) -> UnlearnDataModule:
    """The data as a Trainer with this module sees it."""
    data.trainer = trainer(folder)
    data.trainer.strategy._lightning_module = module
    return ready(data)


def lengths(batch: Batch) -> list[int]:
    return [int(length) for length in batch["attention_mask"].sum(dim=1)]


def drawn(data: UnlearnDataModule, steps: int) -> list[list[int]]:
    found = data.train_dataloader().dataset
    return [lengths(found[step]["forget"]["preferred"]) for step in range(steps)]


@pytest.mark.parametrize(("loss", "asked"), [(RMU(), False), (DPO(), True)], ids=["RMU", "DPO"])
@pytest.mark.parametrize("given", [False, True])
def test_they_are_there_if_the_models_loss_asks(
    world: Path, tmp_path: Path, answers: str, loss: Loss, asked: bool, given: bool
) -> None:
    module = UnlearnModule(str(world / "model"), loss, RepresentationMSE())
    data = attached(data_module(world, preferred=answers if given else None), tmp_path, module)
    pair = next(iter(data.train_dataloader()))
    assert ("preferred" in pair["forget"]) == asked
    assert "preferred" not in pair["retain"]
    assert data.row_counts.get("preferred") == ((5 if given else 50) if asked else None)


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("module", [None, Model()], ids=["no Trainer", "another module"])
def test_without_such_a_model_they_are_there_if_a_file_is_given(
    world: Path, tmp_path: Path, answers: str, given: bool, module: Model | None
) -> None:
    data = data_module(world, preferred=answers if given else None)
    found = ready(data) if module is None else attached(data, tmp_path, module)
    assert ("preferred" in next(iter(found.train_dataloader()))["forget"]) == given


def test_each_row_has_an_answer_with_its_topic_and_number(world: Path, answers: str) -> None:
    for pair in ready(data_module(world, preferred=answers)).train_dataloader():
        forget, preferred = pair["forget"], pair["forget"]["preferred"]
        for name in ("topic", "row"):
            assert isinstance(forget[name], Tensor)
            assert forget[name].tolist() == preferred[name].tolist()
        assert preferred.keys() == forget.keys() - {"preferred"}
        assert set(lengths(preferred)) <= {2, 3, 4, 5, 6}  # and <s>


def test_all_answers_come_and_differ_within_a_step_and_between_steps(world: Path, answers: str) -> None:
    found = drawn(ready(data_module(world, preferred=answers)), 40)
    counts = Counter(length for step in found for length in step)
    assert counts.keys() == {2, 3, 4, 5, 6}
    assert min(counts.values()) >= 15
    assert len({tuple(step) for step in found}) > 20
    assert sum(len(set(step)) > 1 for step in found) > 30


def test_they_are_a_function_of_the_seed(world: Path, answers: str) -> None:
    runs = [drawn(ready(data_module(world, preferred=answers, seed=seed)), 20) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]


def test_processes_draw_what_one_draws(world: Path, answers: str) -> None:
    tokenizer = load_tokenizer(ModelSource(str(world / "model")))
    found = preferred_answers(answers, tokenizer, seed=3)
    rows = random_rows(8, seed=0)
    whole = found.for_rows(padded(rows, "right"), 5, padding=("right", 0))
    halves = [found.for_rows(padded(part, "right"), 5, padding=("right", 0)) for part in (rows[:4], rows[4:])]
    assert lengths(whole) == [length for half in halves for length in lengths(half)]
    assert lengths(whole) != lengths(found.for_rows(padded(rows, "right"), 6, padding=("right", 0)))


def test_held_out_rows_have_answers_too(world: Path, answers: str) -> None:
    (loader,) = ready(data_module(world, preferred=answers, holdout=8)).val_dataloader()
    assert all("preferred" in pair["forget"] for pair in loader)


def test_a_file_without_answers_is_refused(world: Path, tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("\n\n")
    with pytest.raises(InputError, match=r"none\.txt: no row has more than 0 characters"):
        data_module(world, preferred=str(tmp_path / "none.txt")).prepare_data()


def test_our_answers_are_fifty_different_sentences() -> None:
    lines = PREFERRED_ANSWERS.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len({line.lower() for line in lines}) == 50
    assert all(line.strip() == line and line[0].isupper() and line.endswith(".") for line in lines)


def test_the_demo_answers_in_words_that_its_model_knows() -> None:
    tokenizer = load_tokenizer(ModelSource("demo"))
    lines = DemoDataModule.own_preferred.read_text(encoding="utf-8").splitlines()
    assert len(lines) == len(set(lines)) == 16
    assert all(tokenizer.unk_token_id not in tokenizer(line)["input_ids"] for line in lines)


def test_the_demo_module_yields_its_own_answers(tmp_path: Path) -> None:
    module = UnlearnModule("demo", DPO(), LogitKL(), layer=2)
    data = attached(DemoDataModule(questions=8), tmp_path, module)
    assert data.row_counts["preferred"] == 16

"""TOFU's configurations under their published names, and local files of the same layout."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from lit_unlearn import AnswerEvaluation, InputError, QuestionModule, TOFUDataModule
from lit_unlearn.data import text as text_module
from lit_unlearn.datamodules.tofu import Split
from lit_unlearn.demo.answers import CHAT_TEMPLATE
from lit_unlearn.questions import records
from tests.answers.asked import TEMPLATE, rows, write
from tests.callbacks.test_robustness import EVERY
from tests.datamodules.layouts import TOFU_ROWS, write_tofu
from tests.training import demo_module, quiet_trainer

FILES = {
    "forget05": "alchemy",
    "retain95": "gardening",
    "forget05_perturbed": "alchemy",
    "retain_perturbed": "gardening",
    "real_authors_perturbed": "navigation",
    "world_facts_perturbed": "navigation",
    "holdout05": "alchemy",
}
"""Of the published layout, and what the invented rows in them are about."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tofu").mkdir()
    for seed, (name, subject) in enumerate(FILES.items()):
        write(tmp_path / "tofu" / f"{name}.json", rows(subject, 8, seed=seed))
    return tmp_path / "tofu"


def module(world: Path, folder: Path, **options: Any) -> TOFUDataModule:
    given: dict[str, Any] = {"batch_size": 2, "chat_template": TEMPLATE, "tokenizer": str(world / "model")}
    return TOFUDataModule("forget05", folder=str(folder), **given | options)


def test_a_fit_on_local_files(world: Path, folder: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, max_steps=2, callbacks=[AnswerEvaluation(max_new_tokens=2)], **EVERY)
    trainer.fit(demo_module(world), module(world, folder))
    before, after = json.loads((tmp_path / "results.json").read_text())["evaluations"]
    for record in (before, after):
        found = record["answers"]["outcomes"]
        assert {name: one["role"] for name, one in found.items()} == {
            "forget": "forget",
            "retain": "retain",
            "real_authors": "general",
            "world_facts": "general",
            "holdout": "holdout",
        }
        assert all(len(one["row"]) == 8 for one in found.values())
        assert record["answers"]["measured"]["answers"].keys() >= {"model_utility", "membership_auc"}


def test_what_is_trained_on_is_the_answers(world: Path, folder: Path) -> None:
    data = module(world, folder)
    data.prepare_data()
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))["forget"]
    for ids, mask in zip(batch["input_ids"], batch["loss_mask"], strict=True):
        asked = str(data._tokenizer.decode(ids[(mask == 0) & (ids != 0)]))
        assert asked.startswith("<s>")
        assert asked.endswith("?")
        assert int(mask.sum()) > 1


def test_the_configurations_are_the_published_ones(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[tuple[str, str | None, str]] = set()

    def load_dataset(path: str, name: str | None, split: str) -> datasets.Dataset:
        asked.add((path, name, split))
        return datasets.Dataset.from_list(rows("alchemy", 6))

    for place in (text_module, records):
        monkeypatch.setattr(place, "load_dataset", load_dataset)
        monkeypatch.setattr(place, "check_dataset_reachable", lambda path: None)
    data = TOFUDataModule("forget10", batch_size=2, chat_template=TEMPLATE, tokenizer=str(world / "model"))
    data.prepare_data()
    data.setup("fit")
    data.plan_answers()
    names = ("forget10", "retain90", "forget10_perturbed", "retain_perturbed")
    others = ("real_authors_perturbed", "world_facts_perturbed", "holdout10")
    assert asked == {("locuslab/TOFU", name, "train") for name in (*names, *others)}


@pytest.mark.parametrize("split", ["forget01", "forget05", "forget10"])
def test_the_rest_is_retained(split: Split) -> None:
    assert TOFUDataModule(split).retain["retain"].name == f"retain{100 - int(split[-2:])}"


@pytest.mark.parametrize("split", ["forget01", "forget05", "forget10"])
def test_every_split_of_the_demo_world_is_read(split: Split, tmp_path: Path) -> None:
    folder = write_tofu(tmp_path)
    data = TOFUDataModule(split, folder=str(folder), chat_template=CHAT_TEMPLATE, tokenizer="demo", batch_size=2)
    data.prepare_data()
    data.setup("fit")
    counts, plan = data.row_counts, data.plan_answers()
    assert len(plan.sets["forget"].rows) == len(plan.sets["holdout"].rows) == counts[f"forget/{split}"]
    assert counts["retain/retain"] + counts[f"forget/{split}"] == 3 * TOFU_ROWS
    assert all(row.paraphrased and row.perturbed for one in plan.sets.values() for row in one.rows)


def test_a_missing_file_is_named(world: Path, folder: Path) -> None:
    (folder / "world_facts_perturbed.json").unlink()
    with pytest.raises(InputError, match=r"holds no world_facts_perturbed.json .*; put that part"):
        module(world, folder)


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(InputError, match="'forget20' is none of TOFU's; choose from forget01, forget05, forget10"):
        TOFUDataModule("forget20")  # type: ignore[arg-type]


def test_any_model_can_be_evaluated(world: Path, folder: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[AnswerEvaluation(max_new_tokens=0)])
    (*_, logged) = trainer.validate(QuestionModule(str(world / "model")), module(world, folder), verbose=False)
    assert 0 < logged["val/answers/forget/probability"] < 1

import json
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from lit_unlearn import TextSource, UnlearnDataModule
from lit_unlearn.commands.plan.config import PlanCLI
from lit_unlearn.commands.plan.streams_check import check_streams, recognised
from lit_unlearn.models.source import ModelSource
from tests.tiny_world import texts


def config(world: Path, forget: str, retain: str) -> PlanCLI:
    data = UnlearnDataModule({"topic": TextSource(forget)}, {"kept": TextSource(retain)})
    model = SimpleNamespace(model_source=ModelSource(str(world / "model")))
    return cast(PlanCLI, SimpleNamespace(datamodule=data, model=model))


def written(path: Path, subject: str, rows: int, seed: int) -> str:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts(subject, rows, seed=seed)))
    return str(path)


def test_streams_of_one_kind_are_noted(world: Path, tmp_path: Path) -> None:
    own, other = (written(tmp_path / f"{seed}.jsonl", "alchemy", 100, seed) for seed in (1, 2))
    (found,) = check_streams(config(world, own, other))
    assert found.status == "note"
    assert "forget/topic and its retain rows can hardly be told apart: of " in found.found
    assert "`lit-unlearn analyse strays`" in found.remedy


@pytest.mark.parametrize(
    ("forget", "retain"),
    [
        ("{world}/alchemy.jsonl", "{world}/gardening.jsonl"),
        ("few.jsonl", "few.jsonl"),
        ("missing.jsonl", "{world}/gardening.jsonl"),
        ("owner/on-the-hub", "{world}/gardening.jsonl"),
    ],
    ids=["apart", "few rows", "missing", "hub"],
)
def test_nothing_else_is(
    forget: str, retain: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written(Path("few.jsonl"), "alchemy", 20, 0)
    assert list(check_streams(config(world, forget.format(world=world), retain.format(world=world)))) == []


def test_rows_of_equal_tokens_are_recognised_by_chance() -> None:
    rows = [[word, word + 1] for word in range(60)]
    assert recognised(rows, rows, []) == pytest.approx(0.5, abs=0.01)

"""The command on the tiny world, and its figures on the demo world."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_unlearn.cli import main
from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.strays import mean_states
from lit_unlearn.commands.analysis.strays.scores import SCORES, TRIVIAL
from lit_unlearn.commands.forget_tokens.representations import Representations
from tests.commands.analysis.analysing import analysed, states
from tests.tiny_world import texts

CLASSES = ["forget/alchemy", "forget/navigation", "retain"]


@pytest.fixture(scope="module")
def section(method: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return analysed(tmp_path_factory.mktemp("strays") / "out", "strays", str(method))


def scores(section: dict[str, Any]) -> dict[tuple[str, int], dict[str, float]]:
    return {(row["stream"], row["row"]): row["scores"] for row in section["numbers"]["rows"]}


def test_every_row_has_every_score(section: dict[str, Any]) -> None:
    rows = section["numbers"]["rows"]
    assert len(rows) == 180
    for stream, name in zip(("forget/alchemy", "forget/navigation", "retain/gardening"), CLASSES, strict=True):
        own = [row for row in rows if row["stream"] == stream]
        assert [row["row"] for row in own] == list(range(60))
        assert {row["class"] for row in own} == {name}
        assert [row["text"] for row in own] == [text[:200] for text in texts(stream.partition("/")[2], 60)]
    assert all(tuple(row["scores"]) == SCORES for row in rows)


def test_what_is_listed_is_what_the_best_score_says(section: dict[str, Any]) -> None:
    found = section["numbers"]
    assert found["told_apart"] is True
    assert found["best"] in TRIVIAL
    for row in found["rows"]:
        assert row["listed"] == (row["scores"][found["best"]] <= found["threshold"])
    assert "A stray is a row to read, not to delete" in section["text"]
    assert [row[0] for row in section["rows"]] == list(SCORES)


@pytest.mark.slow
def test_batches_and_padding_change_no_score(method: Path, section: dict[str, Any], tmp_path: Path) -> None:
    words = [str(method), "--batch-size=7", "--data.seed=3"]
    again = scores(analysed(tmp_path / "out", "strays", *words))
    for place, found in scores(section).items():
        assert again[place] == pytest.approx(found, abs=1e-4, rel=1e-4), place


def test_states_are_those_of_the_whole_model(opened: Run) -> None:
    rows = [row.input_ids for row in opened.data.rows_with_texts(3)]
    represent = Representations(opened.load_first_layers(), opened.tokenizer(), 2)
    whole = opened.load_base()
    expected = torch.stack([states(whole, row, 2)[1:].mean(dim=0) for row in rows])
    assert torch.allclose(mean_states(represent, rows, 2), expected, atol=1e-5)


@pytest.mark.slow
def test_trusted_rows_are_references(method: Path, section: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "trusted.jsonl"
    records = [
        {"class": name, "text": text}
        for name, subject in zip(CLASSES, ("alchemy", "navigation", "gardening"), strict=True)
        for text in texts(subject, 5, seed=9)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    found = analysed(tmp_path / "out", "strays", str(method), f"--trusted={path}")
    assert "15 trusted ones" in found["text"]
    for place, own in scores(section).items():
        assert scores(found)[place]["tokens"] == own["tokens"]
        assert scores(found)[place]["influence"] != own["influence"]


@pytest.mark.slow
def test_streams_of_one_kind_cannot_be_told_apart(world: Path, method: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        lines = (json.dumps({"text": text}) for text in texts("alchemy", 100, seed=len(name)))
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    words = [
        f'--data.forget={{"one": {{"path": "{tmp_path}/one.jsonl"}}}}',
        f'--data.retain={{"other": {{"path": "{tmp_path}/other.jsonl"}}}}',
    ]
    found = analysed(tmp_path / "out", "strays", str(method), *words, "--model.forget.coefficient=7")
    assert found["numbers"]["told_apart"] is False
    assert "These streams are not distinguishable" in found["text"]
    assert not any(row["listed"] for row in found["numbers"]["rows"])
    assert "A stray is a row to read, not to delete" in found["text"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rows=19"], "forget/alchemy has 19 rows, of which nothing can be said; at least 20 are needed"),
        (["--trusted=missing.jsonl"], "--trusted: missing.jsonl is not a file of records; give a .jsonl"),
    ],
)
def test_what_it_refuses(
    words: list[str], message: str, method: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["analyse", "strays", str(method), *words, f"--out={tmp_path / 'out'}"])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_strays_in_the_demo_world_are_found(tmp_path: Path) -> None:
    found = analysed(tmp_path / "out", "strays", "demo.yaml", "--batch-size=64")["numbers"]
    assert len(found["rows"]) == 1600
    means = {name: sum(values) / 3 for name, values in found["average_precision"].items()}
    assert means["tokens"] >= 0.95
    assert means["classifier"] >= 0.88
    assert means["nearest rows"] >= 0.75

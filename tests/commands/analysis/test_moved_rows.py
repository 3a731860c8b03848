from pathlib import Path

import pytest
import torch

from lit_unlearn.commands.analysis.opened_runs import Run
from tests.commands.analysis.analysing import analysed, states
from tests.tiny_world import texts, tokenizer


def test_each_row_is_measured_as_it_is_alone(method: Path, opened: Run, tmp_path: Path) -> None:
    section = analysed(tmp_path / "out", "rows", str(method), "--rows=5", "--batch-size=4")
    rows = section["numbers"]["rows"]
    assert [row["stream"] for row in rows] == [
        stream for stream in ("forget/alchemy", "forget/navigation", "retain/gardening") for _ in range(5)
    ]
    base, unlearned = opened.load_base(), opened.load_unlearned()
    for row in rows:
        text = texts(row["stream"].partition("/")[2], 60)[row["row"]]
        assert row["text"] == text[:200]
        ids = tokenizer()(text)["input_ids"]
        before, after = (states(model, ids, 2)[1:].mean(dim=0) for model in (base, unlearned))
        assert row["displacement"] == pytest.approx(float((after - before).norm() / before.norm()), rel=1e-4)
        for name, model in (("loss_before", base), ("loss_after", unlearned)):
            with torch.no_grad():
                expected = float(model(input_ids=torch.tensor([ids]), labels=torch.tensor([ids])).loss)
            assert row[name] == pytest.approx(expected, rel=1e-4)


def test_the_rows_that_are_least_as_they_should_be_are_quoted(method: Path, tmp_path: Path) -> None:
    section = analysed(tmp_path / "out", "rows", str(method), "--rows=20")
    for stream, word, most in (("forget/alchemy", "least", min), ("retain/gardening", "most", max)):
        own = [row for row in section["numbers"]["rows"] if row["stream"] == stream]
        far = most(own, key=lambda row: row["displacement"])
        head = f"{stream}, the 10 rows that were moved {word}:\n\nrow {far['row']}, {far['displacement']:.3f}: "
        assert head in section["text"]

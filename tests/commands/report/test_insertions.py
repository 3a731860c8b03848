"""Runs without questions, and with them, of which LikelihoodRobustness counted what forget text costs."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lit_unlearn.cli import main
from lit_unlearn.commands.report.forgetting import NLL
from lit_unlearn.commands.report.forgetting_robustness import front, insertion_fronts
from lit_unlearn.commands.report.grid import inserted
from lit_unlearn.commands.report.insertions import damaged_share, excess_cell, excesses, insertions
from lit_unlearn.commands.report.repair import BEYOND, RECOVERY, Comparison, compare, repair_shown
from lit_unlearn.commands.report.runs import ReportedModel, load
from lit_unlearn.commands.report.table import as_json, markdown
from tests.commands.report.made import BASE, held_out, write_run

NAME, OTHER = "insert/16-gram/trained", "insert/16-gram/held-out"
ROWS = 20


def spread(value: float) -> list[float]:
    """Of each row, half of them 0.1 more and half 0.1 less."""
    return [value + (0.1 if row % 2 else -0.1) for row in range(ROWS)]


def spans(trained: float, held_out: float) -> dict[str, Any]:
    """With these excesses, at a control of 0.3."""
    return {
        f"16-gram/{origin}": {
            "row": [*range(ROWS)],
            "cost": [0.3 + one for one in spread(value)],
            "control": [0.3] * ROWS,
            "excess": {},
        }
        for origin, value in (("trained", trained), ("held-out", held_out))
    }


def record(
    step: int, *, nll: float, trained: float, unseen: float = 0.0, seed: int = 0, questions: bool = False, **more: float
) -> dict[str, Any]:
    scored = {"row": [*range(ROWS)], "nll": spread(nll + 0.2)}
    insert = {
        "seed": seed,
        "measured": {},
        "outcomes": {"forget": scored, "retain": scored, "spans": spans(trained, unseen)},
    }
    asked = {**BASE, "step": step} if questions else {"step": step, "outcomes": {}}
    return held_out({**asked, **more, "insert": insert}, forget=nll, retain=3.0)


START = record(0, nll=3.5, trained=0.0)


def method(folder: Path) -> str:
    """Forgets 2 nats and loses 0.8, along a curve that is a straight line."""
    along = [record(9, nll=3.5 + 2 * t, trained=0.8 * t, interpolation=t) for t in (0.2, 0.4, 0.6, 0.8)]
    return write_run(folder / "method", START, record(9, nll=5.5, trained=0.8), *along)


def compared(*paths: str) -> tuple[list[ReportedModel], Comparison]:
    models = load(paths, method=paths[0])
    return models, compare(models, NLL)


def test_excess_and_damaged_rows_are_read(tmp_path: Path) -> None:
    models = load([method(tmp_path)])
    assert insertions(models) == [NAME, OTHER]
    assert excess_cell(models[1], NAME).value == pytest.approx(0.8)
    assert excess_cell(models[1], NAME).error == pytest.approx(np.std(spread(0.8), ddof=1) / ROWS**0.5)
    assert damaged_share(models[1], models[0], NAME).value == 1.0
    assert damaged_share(models[1], models[0], OTHER).value == 0.0
    assert excesses(models[1].records, NAME).shape == (1, ROWS)


def test_at_equal_nll_of_held_out_rows_a_repair_is_the_share_of_the_damage(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", START, record(9, nll=5.5, trained=0.2))
    _, found = compared(method(tmp_path), run)
    one = found.rows[2].repairs[NAME]
    assert found.rows[2].equal is True
    assert (one.kind, repair_shown(one)) == (RECOVERY, "75 % [75, 75]")
    assert repair_shown(found.rows[2].repairs[OTHER]) == "n/a: no clear loss to recover"


def test_at_other_nll_it_is_what_the_excess_is_below_the_methods_curve(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", START, record(9, nll=4.5, trained=0.1))  # the curve has 0.4 there
    _, found = compared(method(tmp_path), run)
    one = found.rows[2].repairs[NAME]
    assert found.rows[2].equal is False
    assert (one.kind, one.nats) == (BEYOND, True)
    assert repair_shown(one) == "+0.30 nats [0.30, 0.30]"


def test_tables_and_numbers(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", START, record(9, nll=5.5, trained=0.2))
    models, found = compared(method(tmp_path), run)
    text = markdown(models, found)
    assert "| model | NLL: forget rows | NLL: retain rows |" in text
    assert "excess: 16-gram/trained | damaged rows: 16-gram/trained | repair: 16-gram/trained" in text
    assert "| run | 5.70 ± 0.02 | 0.20 ± 0.02 | 0 % | 75 % [75, 75] |" in text
    assert "Accuracy in percent" not in text
    assert "letter predicted" not in text
    (table,) = inserted(models, found)
    assert table.heads == ["base", "method", "run"]
    numbers = as_json(models, found)[2]
    assert numbers["excess"][NAME]["value"] == pytest.approx(0.2)
    assert numbers["repair"][NAME]["kind"] == RECOVERY
    assert numbers["equal_forgetting"] is True


def test_the_figure_has_the_methods_curve_and_marks_other_forgetting(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", START, record(9, nll=4.5, trained=0.1))
    panels = insertion_fronts(*compared(method(tmp_path), run))
    assert [panel.title for panel in panels] == ["16-gram/trained", "16-gram/held-out"]
    assert [point.kept.value for point in panels[0].curve] == pytest.approx([0.0, 0.16, 0.32, 0.48, 0.64, 0.8])
    assert panels[0].points["run"].hollow
    figure = front(panels)
    assert figure.get_supylabel() == "excess (nats per token)"
    low, high = figure.axes[0].get_ylim()
    assert low < 0.0 < 0.8 < high < 1.5
    assert figure.axes[0].get_xlim()[0] > figure.axes[0].get_xlim()[1]  # left is forgotten better


def test_the_command_makes_a_page_without_questions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = method(tmp_path)
    main(["report", run, "--method", run, "--out", str(tmp_path / "out")])
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Forget text in retain rows" in page
    assert "multiple-choice" not in page
    assert re.search(r"<svg[^>]*", page)
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert written == {"report.html", "report.md", "report.json", "excess.png", "excess.svg"}
    assert "beside it are report.md, report.json, excess.png." in capsys.readouterr().out


def test_questions_and_insertions_are_in_one_report(tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "run",
        record(0, nll=3.5, trained=0.0, questions=True),
        record(9, nll=5.0, trained=0.5, questions=True),
        forget=["forget"],
    )
    main(["report", run, "--out", str(tmp_path / "out")])
    text = (tmp_path / "out" / "report.md").read_text()
    assert "drop beyond control: retain/1-gram" in text
    assert "excess: 16-gram/trained" in text
    assert (tmp_path / "out" / "accuracy.png").is_file()


def test_other_draws_are_not_compared(tmp_path: Path) -> None:
    other = write_run(
        tmp_path / "other", record(0, nll=3.5, trained=0.0, seed=1), record(9, nll=5.0, trained=0.5, seed=1)
    )
    models = load([method(tmp_path), other])
    assert insertions(models) == []
    assert insertions(models[2:]) == [NAME, OTHER]


def test_a_file_that_the_callback_did_not_write_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = json.loads(json.dumps(START))
    broken["insert"]["outcomes"]["spans"]["16-gram/trained"]["cost"] = [1.0]
    with pytest.raises(SystemExit) as stop:
        main(["report", write_run(tmp_path / "run", START, broken), "--out", str(tmp_path / "out")])
    assert stop.value.code == 2
    assert (
        "is not what PerturbationRobustness, LikelihoodRobustness or AnswerEvaluation writes" in capsys.readouterr().err
    )

"""Runs in which AnswerEvaluation measured free answers, alone and beside questions."""

import json
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn.cli import main
from lit_unlearn.commands.report.answer_metrics import as_json, metric_parts
from lit_unlearn.commands.report.runs import load
from lit_unlearn.errors import InputError
from tests.commands.report.made import BASE, write_run


def record(step: int, utility: float, quality: float, *, rows: int = 4, questions: bool = False) -> dict[str, Any]:
    outcomes = {"forget": {"role": "forget", "fingerprint": "a", "row": [*range(rows)], "probability": [0.5] * rows}}
    measured = {
        "answers": {"model_utility": utility, "forget_quality": quality},
        "answers/forget": {"probability": utility / 2, "probability_error": 0.125, "min_k": -3.0, "min_k_error": 0.5},
    }
    asked = {**BASE, "step": step} if questions else {"step": step, "outcomes": {}}
    return {**asked, "answers": {"measured": measured, "outcomes": outcomes}}


def test_one_seed_has_the_errors_over_rows(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", record(0, 0.75, 1e-5), record(9, 0.5, 0.25))
    assert [*metric_parts(load([run]))] == [
        ("all sets", {"model utility": ["0.750", "0.500"], "forget quality": ["1e-05", "0.25"]}),
        (
            "forget",
            {"probability": ["0.375 ± 0.125", "0.250 ± 0.125"], "Min-K %": ["−3.000 ± 0.500", "−3.000 ± 0.500"]},
        ),
    ]


@pytest.mark.parametrize(
    ("outcomes", "shown"),
    [
        ({"role": "general", "probability": [0.5]}, ["word F1", "exact match", "entropy, bits"]),
        ({"role": "retain"}, ["word F1", "exact match", "entropy, bits"]),  # without right answers
        ({"role": "retain", "probability": [0.5]}, []),
        ({"role": "forget", "probability": [0.5], "texts_alone": True}, ["log p"]),
    ],
)
def test_sets_of_utility_have_what_rwku_reports(tmp_path: Path, outcomes: dict[str, Any], shown: list[str]) -> None:
    measured = {"answers/facts": {"word_f1": 0.5, "exact_match": 0.25, "entropy": 6.0, "loss": -2.0}}
    answers = {"measured": measured, "outcomes": {"facts": {"fingerprint": "a", "row": [0], **outcomes}}}
    run = write_run(tmp_path / "run", *({"step": step, "outcomes": {}, "answers": answers} for step in (0, 9)))
    parts = dict(metric_parts(load([run])))
    assert [*parts.get("facts", {})] == shown
    if shown:
        assert parts["facts"][shown[-1]] == (["6.000"] * 2 if "word F1" in shown else ["−2.000"] * 2)


def test_several_seeds_have_an_interval_and_forget_quality_its_range(tmp_path: Path) -> None:
    for seed, (utility, quality) in enumerate([(0.4, 0.1), (0.5, 0.9), (0.6, 0.2)]):
        write_run(tmp_path / "runs" / f"seed-{seed}", record(0, 0.75, 1e-5), record(9, utility, quality))
    models = load([str(tmp_path / "runs")])
    of_all = dict(metric_parts(models))["all sets"]
    assert of_all["forget quality"][1] == "0.2 [0.1, 0.9]"
    assert of_all["model utility"][1] == "0.500 ± 0.248"  # Student's t of two degrees of freedom, 4.303
    assert as_json(models[1])["answers"]["model_utility"] == [0.4, 0.5, 0.6]


@pytest.mark.parametrize("questions", [False, True])
def test_the_report_has_them(tmp_path: Path, questions: bool, capsys: pytest.CaptureFixture[str]) -> None:
    run = write_run(tmp_path / "run", *(record(step, 0.5, 0.25, questions=questions) for step in (0, 9)))
    main(["report", run, "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert "| answers: all sets | model utility | forget quality |" in printed
    assert "Kolmogorov-Smirnov" in printed
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Free answers: all sets" in page
    numbers = json.loads((tmp_path / "out" / "report.json").read_text())
    assert numbers[1]["answers"]["answers/forget"]["probability"] == [0.25]


def test_answers_to_other_rows_are_not_put_side_by_side(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", *(record(step, 0.5, 0.25, questions=True) for step in (0, 9)))
    other = write_run(tmp_path / "other", *(record(step, 0.5, 0.25, questions=True, rows=5) for step in (0, 9)))
    assert not [*metric_parts(load([one, other]))]
    assert [*metric_parts(load([one]))]


def test_answers_alone_to_other_rows_are_refused(tmp_path: Path) -> None:
    one = write_run(tmp_path / "one", *(record(step, 0.5, 0.25) for step in (0, 9)))
    other = write_run(tmp_path / "other", *(record(step, 0.5, 0.25, rows=5) for step in (0, 9)))
    with pytest.raises(InputError, match=r"other was asked other free answers than .*one; give runs on the same data"):
        load([one, other])

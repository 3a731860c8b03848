"""The study of free answers: what it runs, what it keeps, and the table of that."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.study import answers
from benchmarks.study.answers import NAME, REFERENCE, ROWS, main
from lit_unlearn.cli import main as lit_unlearn
from lit_unlearn.commands.sweep.grid import Point
from lit_unlearn.errors import InputError
from tests.benchmarks.study.test_results import write_results
from tests.commands.report.made import held_out
from tests.fast import only


def record(step: int, utility: float, quality: float) -> dict[str, Any]:
    outcomes = {
        name: {"role": name, "fingerprint": "a", "row": [0, 1], "probability": [0.5, 0.5]}
        for name in ("forget", "retain")
    }
    measured = {
        "answers": {
            "model_utility": utility,
            "forget_quality": quality,
            "membership_auc": 0.5,
            "privacy_leakage": -10.0,
        },
        "answers/forget": {"truth_ratio": 0.5, "truth_ratio_error": 0.125},
        "answers/retain": {"probability": utility, "probability_error": 0.125},
    }
    evaluated = {"step": step, "measured": {}, "outcomes": {}, "answers": {"measured": measured, "outcomes": outcomes}}
    return held_out(evaluated, forget=4.0, retain=1.0)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the fits and evaluations that the study runs, each of which writes made-up results."""
    done: list[str] = []

    def evaluate(words: Sequence[str]) -> None:
        write_results(Path(words[-1]), [record(0, 0.75, 1.0)])
        done.append(" ".join(words[:5]))

    def run(folder: Path, shared: Sequence[str], wanted: Sequence[Point], *, kind: str, workers: int) -> None:
        for point in wanted:
            seed = int(point.options["seed_everything"])
            write_results(folder / point.folder, [record(0, 0.75, 1e-5), record(9, 0.5 + seed / 8, 0.25)])
            done.append(point.folder)

    monkeypatch.setattr(answers, "lit_unlearn", evaluate)
    monkeypatch.setattr(answers, "run_missing", run)
    return done


def words(tmp_path: Path, *more: str) -> list[str]:
    page = tmp_path / "page.md"
    if not page.exists():
        page.write_text(f"before\n<!-- begin: {NAME} -->\n<!-- end: {NAME} -->\nafter\n")
    folders = ["--page", str(page), "--out", str(tmp_path / "runs"), "--results", str(tmp_path / "kept")]
    return [*folders, *more]


def test_what_is_kept_is_not_run_again_and_makes_the_table(tmp_path: Path, ran: list[str]) -> None:
    main(words(tmp_path, "--seeds", "2", "--only", "rmu", "npo"))
    evaluated = "validate --model demo-retain-only -c demo_answers.yaml"
    assert ran == [evaluated, "rmu/seed-0", "rmu/seed-1", "npo/seed-0", "npo/seed-1"]
    text = (tmp_path / "page.md").read_text()
    heads = "| model | NLL: forget rows | model utility | forget quality | membership AUC | PrivLeak, % |"
    assert f"{heads} forget: truth ratio | retain: probability |" in text
    assert "Not run yet: RMU + RNA, ν 1.5; RMU + mixing; UNDIAL, at NPO's settings." in text
    lines = {line.split(" | ")[0]: line for line in text.splitlines() if line.startswith("| ")}
    assert list(lines)[2:] == ["| base", "| `demo-retain-only`", "| RMU", "| NPO"]
    assert "| 0.750 | 1 | 0.500 |" in lines["| `demo-retain-only`"]
    assert "| 0.562 ± 0.794 | 0.25 [0.25, 0.25] |" in lines["| RMU"]  # Student's t of one degree of freedom, 12.7
    ran.clear()
    main(words(tmp_path, "--seeds", "2", "--only", "rmu", "npo"))
    main(words(tmp_path, "--tables"))
    assert ran == []
    assert (tmp_path / "page.md").read_text() == text


def test_fits_are_compared_with_the_reference_of_their_folder(tmp_path: Path) -> None:
    (point,) = answers._points(["rna"], 1, tmp_path)
    (callback,) = json.loads(point.options["trainer.callbacks"])
    assert callback["init_args"]["reference"] == str(tmp_path / REFERENCE)
    assert point.options["model.noise_scale"] == "1.5"


def test_without_results_there_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"kept has no results of rmu and of the reference; run the study"):
        main(words(tmp_path, "--tables"))


@pytest.mark.parametrize("row", only([*ROWS], "undial"))
def test_the_options_are_those_of_a_fit(row: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (point,) = answers._points([row], 1, tmp_path)
    given = [f"--{name}={value}" for name, value in point.options.items() if name != "config"]
    with pytest.raises(SystemExit) as stop:
        lit_unlearn(["fit", "-c", point.options["config"], *given, "--print_config"])
    assert not stop.value.code
    assert f"reference: {tmp_path / REFERENCE}" in capsys.readouterr().out

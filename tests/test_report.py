import json
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn.cli import main

QUESTIONS = 100


def answers(right: int) -> dict[str, list[int]]:
    correct = [int(number < right) for number in range(QUESTIONS)]
    return {"number": list(range(QUESTIONS)), "correct": correct, "prediction": [0] * QUESTIONS}


def evaluation(step: int, **right: int) -> dict[str, Any]:
    names = {"forget": "forget", "retain": "retain", "perturbed": "retain/1-gram", "control": "retain/1-gram/control"}
    return {
        "step": step,
        "measured": {
            names[name]: {"accuracy": count / QUESTIONS, "accuracy_error": 0.01} for name, count in right.items()
        },
        "outcomes": {names[name]: answers(count) for name, count in right.items()},
    }


BASE = evaluation(0, forget=99, retain=98, perturbed=90, control=95)


def write_run(folder: Path, *evaluations: dict[str, Any]) -> str:
    folder.mkdir()
    (folder / "results.json").write_text(json.dumps({"evaluations": evaluations}))
    return str(folder)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    after = evaluation(9, forget=25, retain=97, perturbed=50, control=93)
    repaired = evaluation(9, forget=26, retain=96, perturbed=70, control=92)
    return [write_run(tmp_path / "rmu", BASE, after), write_run(tmp_path / "rna", BASE, repaired)]


def test_the_table_has_the_base_every_run_and_what_comes_back(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["report", *runs])
    shown = capsys.readouterr().out
    text = Path("report/report.md").read_text()
    assert text in shown
    assert "| questions | base | rmu | rna |" in text
    assert "| forget | 99.0 ± 1.0 | 25.0 ± 1.0 | 26.0 ± 1.0 |" in text
    assert "| drop beyond control: retain/1-gram | 5.0 | 43.0 | 22.0 |" in text
    assert "| recovery: retain/1-gram |  |  | 50 % [" in text
    assert shown.strip().endswith("and report/report.md.")


def test_the_numbers_are_written_as_json_too(runs: list[str]) -> None:
    main(["report", *runs, "--out", "elsewhere"])
    written = json.loads(Path("elsewhere/report.json").read_text())
    assert [model["name"] for model in written] == ["base", "rmu", "rna"]
    assert written[2]["recovery"]["retain/1-gram"][0] == pytest.approx(0.5)
    assert written[1]["recovery"] == {}


def test_the_figure_is_drawn_as_png_and_svg(runs: list[str]) -> None:
    main(["report", *runs])
    assert Path("report/accuracy.png").read_bytes().startswith(b"\x89PNG")
    svg = Path("report/accuracy.svg").read_text()
    assert "<svg" in svg
    assert svg.count("<path") > 8 + 3 * 4


@pytest.mark.parametrize(
    ("evaluations", "message"),
    [
        ((BASE,), "was not evaluated before and after training; let the run finish"),
        (
            (evaluation(0, forget=1, retain=1, perturbed=1, control=1), BASE),
            "began with another model or other questions",
        ),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], evaluations: Any, message: str
) -> None:
    other = write_run(tmp_path / "other", *evaluations)
    with pytest.raises(SystemExit) as stop:
        main(["report", runs[0], other])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path("report").exists()


def test_a_folder_without_results_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["report", str(tmp_path)])
    assert "holds no results.json; give folders of runs with PerturbationRobustness" in capsys.readouterr().err

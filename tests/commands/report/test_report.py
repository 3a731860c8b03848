import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn.cli import main
from lit_unlearn.commands.report import compare, load, markdown
from lit_unlearn.commands.report.section import Section, write_section
from lit_unlearn.commands.report.table import compact
from lit_unlearn.errors import InputError
from tests.commands.report.made import BASE, asked, evaluation, forgetting, write_generations, write_run

START = forgetting(BASE, -0.1)


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.chdir(tmp_path)
    after = forgetting(evaluation(9, forget=25, retain=97, perturbed=50, control=93), -9.8)
    repaired = forgetting(evaluation(9, forget=26, retain=96, perturbed=70, control=92), -9.8, by=2)
    return [
        write_run(tmp_path / name, START, record, forget=["forget"])
        for name, record in (("rmu", after), ("rna", repaired))
    ]


def test_the_table_has_the_base_every_run_and_what_comes_back(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["report", "--method", *runs])
    shown = capsys.readouterr().out
    text = Path("report/report.md").read_text()
    assert text in shown
    heads, _, base, rmu, rna = text.splitlines()[:5]
    assert heads.startswith("| model | forget | retain | forget: log p text | retain/1-gram | retain/1-gram/control | ")
    assert heads.endswith(" | drop beyond control: retain/1-gram | repair: retain/1-gram |")
    assert base.startswith("| base | 99.0 ± 1.0 | 98.0 ± 1.4 | −0.10 ± 0.03 | 90.0 ± 3.0 | 95.0 ± 2.2 | 5.0 |  |")
    assert rmu.startswith("| rmu | 25.0 ± 4.4 | 97.0 ± 1.7 | −9.80 ± 0.03 | 50.0 ± 5.0 | 93.0 ± 2.6 | 43.0 |  |")
    assert "| 22.0 | 50 % [" in rna
    assert "± standard error over questions" in text
    assert "Repair of rmu, each with its 95 % bootstrap interval" in text
    assert "| rmu | A 100 %, collapsed 100 % | " in text
    assert "--method" not in shown
    assert "Open report/report.html" in shown


def test_without_a_method_there_is_no_recovery_and_a_line_says_how(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    main(["report", *runs])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if "--method" in line)
    assert line == "--method RUN says which run is the method, and gives the recovery of the others."
    assert [model["repair"] for model in json.loads(Path("report/report.json").read_text())] == [{}, {}, {}]
    written = Path("report/report.md").read_text() + Path("report/report.html").read_text()
    assert "epair:" not in written
    assert "<b>repair</b>" not in written
    assert "The method that the others repair" not in written


@pytest.mark.parametrize("given", [["rna", "rmu"], ["rna"], ["./rna", "rmu/"]])
def test_the_method_is_the_named_run_wherever_it_stands(runs: list[str], given: list[str]) -> None:
    main(["report", *given, "--method", "rmu"])
    written = json.loads(Path("report/report.json").read_text())
    assert [(model["name"], model["method"]) for model in written] == [("base", False), ("rmu", True), ("rna", False)]
    assert list(written[2]["repair"]) == ["retain/1-gram"]
    assert "The method that the others repair: <b>rmu</b>" in Path("report/report.html").read_text()


@pytest.mark.parametrize(
    ("method", "message"),
    [("nowhere", "nowhere holds no results.json"), ("rmu@step=7", "rmu@step=7: no such evaluation")],
)
def test_a_method_that_is_no_run_is_refused(
    runs: list[str], method: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["report", *runs, "--method", method])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path("report").exists()


def test_another_measure_can_decide(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    main(["report", *runs, "--method", runs[0], "--forgetting", "nll"])
    assert "| n/a: no NLL of the same held-out forget rows |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["report", *runs, "--method", runs[0], "--forgetting", "accuracy"])
    assert "'accuracy'" in capsys.readouterr().err


def test_many_perturbations_are_several_narrow_tables(tmp_path: Path) -> None:
    names = [f"{n}-gram" for n in (1, 2, 4)]
    right = {"retain": 99, **{f"retain/{name}{end}": 90 for name in names for end in ("", "/control")}, "forget": 25}
    models = load([write_run(tmp_path / "rmu", asked(0, right), asked(9, right))])
    text = markdown(models, compare(models))
    heads = [line.strip("| ").split(" | ")[1:] for line in text.splitlines() if line.startswith("| model")]
    first, second = (
        [*(f"{name}{end}" for name in part for end in ("", "/control")), *(f"drop beyond control: {n}" for n in part)]
        for part in (("retain/1-gram", "retain/2-gram"), ("retain/4-gram",))
    )
    letters = [list(right)[:6], list(right)[6:]]
    assert heads == [["retain", "forget", *first], second, *letters]
    assert text.count("| rmu | ") == 4
    assert text.count("Accuracy in percent") == 1


def test_a_compact_table_has_the_controls_in_brackets(runs: list[str]) -> None:
    heads, _, _, rmu, _ = compact(load(runs), ["retain", "retain/1-gram"]).splitlines()
    assert heads == "| model | retain | retain/1-gram |"
    assert rmu == "| rmu | 97.0 ± 1.7 | 50.0 ± 5.0 (93.0) |"


def test_the_numbers_are_written_as_json_too(runs: list[str]) -> None:
    main(["report", *runs, "--method", runs[0], "--out", "elsewhere"])
    written = json.loads(Path("elsewhere/report.json").read_text())
    assert [model["name"] for model in written] == ["base", "rmu", "rna"]
    assert written[2]["repair"]["retain/1-gram"]["kind"] == "recovery"
    assert written[2]["repair"]["retain/1-gram"]["value"] == pytest.approx(0.5)
    assert written[1]["repair"] == {}
    assert [model["equal_forgetting"] for model in written] == [False, None, True]
    assert written[1]["accuracy"]["forget"]["value"] == 0.25
    assert list(written[1]["forgetting"]) == ["text"]
    assert written[1]["forgetting"]["text"]["value"] == pytest.approx(-9.8)
    assert written[1]["retain_nll"] is None
    assert written[1]["letters"]["forget"] == {"commonest": "A", "share": 1.0, "collapse_rate": 1.0}


def test_a_point_of_a_sweep_that_forgot_nothing_has_no_recovery(
    runs: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    nothing = forgetting(evaluation(9, forget=99, retain=98, perturbed=90, control=95), -1.2)
    main(["report", "--method", *runs, write_run(Path("noise_scale=4"), START, nothing, forget=["forget"])])
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| noise_scale=4 | 99.0 "))
    assert row.endswith(" | n/a: forgets less (log p −1.2 against −9.8) |")
    written = json.loads(Path("report/report.json").read_text())[3]["repair"]["retain/1-gram"]
    assert (written["kind"], written["value"]) == ("none", None)
    assert "n/a: forgets less (log p −1.2 against −9.8)" in Path("report/report.html").read_text()


def test_one_seed_says_what_its_interval_leaves_out(runs: list[str]) -> None:
    main(["report", *runs])
    for name in ("report.md", "report.html"):
        text = " ".join(Path("report", name).read_text().split())
        assert "One seed: ± and intervals are over questions only." in text
        assert "by about 5 points (standard deviation); see docs/results.md" in text


def test_runs_of_several_seeds_are_one_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, rights in (("rmu", (40, 50, 60)), ("rna", (60, 60, 60))):
        for seed, right in enumerate(rights):
            after = forgetting(evaluation(9, forget=25, retain=97, perturbed=right, control=93), -9.8)
            write_run(tmp_path / name / f"seed-{seed}", START, after, forget=["forget"])
    main(["report", "--method", "rmu", "rna"])
    text = Path("report/report.md").read_text()
    # Student's t of 2 degrees of freedom: 4.303 * 10 / sqrt(3).
    assert "| rmu | 25.0 ± 0.0 | 97.0 ± 0.0 | −9.80 ± 0.00 | 50.0 ± 24.8 | 93.0 ± 0.0 | 43.0 |" in text
    assert "| 33.0 | 25 % [" in text
    assert "mean of 3 seeds ± 95 % interval" in text
    assert "Intervals of repairs are over seeds and questions." in text
    assert "One seed" not in text


def test_an_earlier_evaluation_or_an_interpolation_can_be_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    between = evaluation(9, forget=50, retain=98, perturbed=80, control=94) | {"interpolation": 0.8}
    early = evaluation(5, forget=40, retain=98, perturbed=70, control=94)
    late = evaluation(9, forget=25, retain=97, perturbed=50, control=93)
    run = write_run(tmp_path / "rmu", BASE, early, late, between)
    main(["report", run, f"{run}@step=5", f"{run}@interpolation=0.8", f"{run}@step=9"])
    rows = [line.split(" | ")[:2] for line in Path("report/report.md").read_text().splitlines()[3:7]]
    assert rows == [
        ["| rmu", "25.0 ± 4.4"],
        ["| rmu@step=5", "40.0 ± 4.9"],
        ["| rmu@interpolation=0.8", "50.0 ± 5.0"],
        ["| rmu@step=9", "25.0 ± 4.4"],
    ]


@pytest.mark.parametrize(
    ("condition", "there"),
    [("step=7", "there are step=0, step=9"), ("interpolation=0.5", "there is none of that kind")],
)
def test_an_evaluation_that_was_not_made_is_refused(
    runs: list[str], condition: str, there: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["report", f"{runs[0]}@{condition}"])
    assert f"no such evaluation; {there}" in capsys.readouterr().err


def test_the_figure_is_drawn_as_png_and_svg(runs: list[str]) -> None:
    main(["report", *runs])
    assert Path("report/accuracy.png").read_bytes().startswith(b"\x89PNG")
    svg = Path("report/accuracy.svg").read_text()
    assert svg.count("<path") > 8 + 3 * 4
    assert ">accuracy (%)</text>" in svg


def test_a_run_that_is_given_twice_counts_once(runs: list[str]) -> None:
    main(["report", runs[1], *(f"{run}/" for run in runs)])
    assert [model["name"] for model in json.loads(Path("report/report.json").read_text())] == ["base", "rna", "rmu"]


def test_runs_of_one_name_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    after = evaluation(9, forget=25, retain=97, perturbed=50, control=93)
    runs = [write_run(Path(name) / "seed-0", BASE, after) for name in ("rmu", "rna")]
    main(["report", f"{runs[0]}@step=9", *runs])
    names = [model["name"] for model in json.loads(Path("report/report.json").read_text())]
    assert names == ["base", "seed-0@step=9", "rmu/seed-0", "rna/seed-0"]


def test_generations_and_sections_are_in_the_markdown(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    write_generations(Path(runs[0]), ("retain", "The sky is", "blue", {0: " blue", 9: " green"}))
    write_section(Path("rmu/analysis/maxlogit"), Section("MaxLogit", "How large.", ["model", "mean"], [["rmu", "9.1"]]))
    main(["report", *runs])
    text = Path("report/report.md").read_text()
    assert "## Generations of rmu\n" in text
    assert "| retain | The sky is | blue | blue | green |" in text
    assert "Generations of rna" not in text
    assert "## MaxLogit\n\nHow large.\n" in text
    assert "MaxLogit" not in capsys.readouterr().out


def test_nothing_is_written_where_a_part_cannot_be_made(runs: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["report", *runs, "--include", "nowhere"])
    assert stop.value.code == 2
    assert "nowhere holds no section.json" in capsys.readouterr().err
    assert not Path("report").exists()


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_package_that_is_not_installed_is_named(
    runs: list[str], package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.startswith("lit_unlearn.commands.report.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(SystemExit):
        main(["report", *runs])
    assert f"report: {package} is not installed; pip install 'lit-unlearn[report]'" in capsys.readouterr().err
    assert not Path("report").exists()


@pytest.mark.parametrize(
    ("evaluations", "message"),
    [
        ((BASE,), "was not evaluated before and after training; give a finished run of fit"),
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


def test_other_runs_of_one_seed_in_a_folder_are_no_repeats(runs: list[str], tmp_path: Path) -> None:
    """Their mean was shown as that of two seeds, with an interval."""
    for name, seed in (("first", 0), ("second", 0), ("third", 1)):
        write_run(tmp_path / "mixed" / name, START, START, seed=seed)
    with pytest.raises(InputError, match=r"first and .*second have the same seed, 0, .*give each folder by itself"):
        load([str(tmp_path / "mixed")])

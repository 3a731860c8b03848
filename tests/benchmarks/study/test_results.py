import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.study import fits, running
from benchmarks.study.fits import choosing, chosen, relearning, reported
from benchmarks.study.results import STUDIES, Study, main
from benchmarks.study.settings import SHARES, Setting
from benchmarks.study.tables import NOT_RUN, RELEARNT, section
from lit_unlearn import InputError
from lit_unlearn.commands.options import config_files
from lit_unlearn.commands.sweep.grid import Point
from tests.fast import only

ALL = [
    pytest.param(study, setting, id=f"{name}-{setting.folder}")
    for name, study in STUDIES.items()
    for setting in study.settings
]
METHODS, MIXING = STUDIES["methods"], STUDIES["mixing"]


def answers(right: int) -> dict[str, list[int]]:
    return {"number": list(range(100)), "correct": [int(n < right) for n in range(100)], "prediction": [0] * 100}


def evaluation(forget: int, perturbed: int, **record: float | str) -> dict[str, Any]:
    asked = {
        "retain/4-gram",
        "retain/sentence",
        *(name for table in MIXING.settings[0].tables for name in table if "/" in name),
    }
    perturbed_and_control = {name: perturbed for name in asked} | {f"{name}/control": 95 for name in asked}
    measured = {"forget": forget, "retain": 98, **perturbed_and_control}
    outcomes: dict[str, dict[str, Any]] = {name: answers(right) for name, right in measured.items()}
    outcomes["forget"]["text_logprob"] = [(forget - 100) / 10] * 100
    return {**record, "measured": {}, "outcomes": outcomes}


def write(folder: Path, *, forgets_at: int, from_share: float, last: int = 300) -> None:
    """A run that has forgotten from a step and from a share on."""
    steps = range(25, last + 1, 25)
    after = [evaluation(25 if step >= forgets_at else 60, 90 - step * 30 // last, step=step) for step in steps]
    repaired = [
        # Of each kind the strongest leaves too little forgotten.
        evaluation(60 if one is kind.candidates[-1] else 25, 85, step=last, repair=one.name)
        for setting in STUDIES["repairs"].settings
        for kind in setting.weight_repairs
        for one in kind.candidates
    ]
    between = [evaluation(25 if share >= from_share else 60, 80, step=last, interpolation=share) for share in SHARES]
    write_results(folder, [evaluation(100, 97, step=0), *after, *between, *repaired])


def write_results(folder: Path, evaluations: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    results = {"hyperparameters": {"pretrained": "demo"}, "forget": ["forget"], "evaluations": evaluations}
    (folder / "results.json").write_text(json.dumps(results))
    (folder / "run.json").write_text(json.dumps({"model": "demo"}))


def write_all(runs: Path, *settings: Setting) -> list[Point]:
    """Every fit of some settings; on the reported draw it would forget at another step and share."""
    wanted: list[Point] = []
    for setting in settings:
        write(runs / choosing(setting).folder, forgets_at=75, from_share=0.7, last=setting.steps)
        wanted += reported(setting, runs)
        for point in reported(setting, runs):
            write(runs / point.folder, forgets_at=150, from_share=0.9, last=setting.steps)
        for point in relearning(setting, runs, runs):
            write_relearnt(runs / point.folder)
            wanted.append(point)
    return wanted


def write_relearnt(folder: Path) -> None:
    begun = int(folder.name.removeprefix("seed-"))  # every seed with another model
    write_results(folder, [evaluation(25 + step, 90 - begun, step=step) for step in RELEARNT])


def rows(setting: Setting) -> list[str]:
    """Names of the rows of a setting's table, but for the base."""
    named = [setting.method, *(row.title for row in setting.rows)]
    repairs = [f"{kind.title}, {kind.candidates[-2].strength}" for kind in setting.weight_repairs]
    stopped = ["stopped after 75 steps"] if setting.stops else []
    return [*named, *stopped, "base + 0.7 · (unlearned − base)", *repairs]


@pytest.mark.slow
@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_fit_is_of_a_shipped_config_in_a_folder_of_its_own(study: Study, tmp_path: Path) -> None:
    wanted = write_all(tmp_path, *study.settings)
    expected = sum((len(one.rows) + 1 + one.stops) * one.seeds * (1 + one.relearns) for one in study.settings)
    assert len({point.folder for point in wanted}) == len(wanted) == expected
    assert {point.options["config"] for point in wanted} <= set(config_files.names())
    choices = [choosing(setting) for setting in study.settings]
    draws = [{point.options["data.draw"] for point in points} for points in (wanted, choices)]
    assert draws == [{str(fits.REPORT)}, {str(fits.CHOOSE)}]
    assert str(fits.CHOOSING_SEED) not in {point.options["seed_everything"] for point in wanted}


@pytest.mark.parametrize(
    "setting",
    only([setting for study in STUDIES.values() for setting in study.settings], MIXING.settings[-1]),
    ids=lambda one: one.title,
)
def test_the_controls_are_chosen_on_the_other_draw(setting: Setting, tmp_path: Path) -> None:
    fits = write_all(tmp_path, setting)
    stopped = [point for point in fits if point.folder.startswith(f"{setting.folder}/stopped")]
    assert chosen(setting, tmp_path) == (75, 0.7)
    assert {point.options["trainer.max_steps"] for point in stopped} == ({"75"} if setting.stops else set())
    text = section(setting, tmp_path)
    assert text.startswith(f"### {setting.title}\n")
    assert [name for name, _ in cells(text)[: len(rows(setting))]] == rows(setting)
    share = rows(setting).index("base + 0.7 · (unlearned − base)")
    assert cells(text)[share][1].startswith("60.0 ± 0.0")


def cells(text: str) -> list[tuple[str, str]]:
    """Name and first number of each row of a section's tables after the base's first."""
    parts = [line.lstrip("| ").split(" | ")[:2] for line in text.splitlines() if line.startswith("| ")]
    return [(name, first) for name, first in parts][3:]


@pytest.mark.parametrize(("study", "setting"), ALL)
def test_the_page_has_a_table_of_every_setting_with_all_its_rows(study: Study, setting: Setting) -> None:
    page = study.page.read_text(encoding="utf-8")
    text = page.partition(f"<!-- begin: {setting.folder} -->")[2].partition(f"<!-- end: {setting.folder} -->")[0]
    names = [name for name, _ in cells(text)]
    not_run = text.partition(NOT_RUN)[2].partition(".\n")[0].split("; ") if NOT_RUN in text else []
    titles = [row.title for row in setting.rows]
    if not_run == [setting.method, *titles]:  # of which nothing has been run
        assert not names
        return
    run = [title for title in titles if title not in not_run]
    assert not_run == [title for title in titles if title not in run]
    of_rows = len(run) + 2 + setting.stops + len(setting.weight_repairs)
    assert names[: len(run) + 1] == [setting.method, *run]
    tables = len(setting.tables) + ("log p text" in text)  # with one of forgetting
    parts = tables if setting.tables else len(names) // of_rows
    heads = 3 * (parts - 1)  # name, rule and base of each further table
    beyond = 1 + of_rows if setting.weight_repairs else 0  # a table without base and method
    assert len(names) == parts * of_rows + heads + beyond + setting.relearns * (of_rows + 1)
    assert f"mean of {setting.seeds} seeds" in text


@pytest.mark.slow
def test_what_has_been_relearnt_stands_below_by_step(tmp_path: Path) -> None:
    setting = next(one for one in MIXING.settings if one.relearns)
    write_all(tmp_path, setting)
    table = section(setting, tmp_path).partition("| forget, after relearning |")[2]
    lines = [line for line in table.splitlines() if line.startswith("| ")][1:]
    relearnt = " | ".join(f"{25 + step}.0 ± 0.0" for step in RELEARNT)
    assert lines == [f"| {name} | {relearnt} |" for name in rows(setting)[:-1]]


@pytest.mark.slow
def test_a_whole_study_ends_with_its_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_all(tmp_path / "runs", MIXING.settings[1])
    monkeypatch.setattr(running, "run_points", lambda *args, **options: [])
    monkeypatch.setitem(STUDIES, "mixing", MIXING._replace(settings=MIXING.settings[1:2]))
    page = tmp_path / "mixing.md"
    page.write_text(f"<!-- begin: {MIXING.settings[1].folder} -->\n<!-- end: {MIXING.settings[1].folder} -->\n")
    main(["mixing", *folders(tmp_path), "--page", str(page)])
    assert (tmp_path / "mixing.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_fit_that_relearns_begins_with_what_another_left(tmp_path: Path) -> None:
    setting = next(one for one in MIXING.settings if one.relearns)
    write_all(tmp_path, setting)
    fits = {point.folder: point.options for point in reported(setting, tmp_path)}
    for point in relearning(setting, tmp_path, tmp_path):
        name = point.folder.replace("/relearn/", "/")
        assert "ExportPretrained" in fits[name]["trainer.callbacks"]
        assert point.options["model.pretrained"] == str(tmp_path / name / "export")
        assert point.options["seed_everything"] == fits[name]["seed_everything"]


def test_what_never_forgets_is_taken_to_its_end(tmp_path: Path) -> None:
    write(tmp_path / choosing(METHODS.settings[0]).folder, forgets_at=999, from_share=9)
    assert chosen(METHODS.settings[0], tmp_path) == (300, 0.9)


def folders(folder: Path) -> list[str]:
    """Options: where fits write, and what is kept of them."""
    return ["--out", str(folder / "runs"), "--results", str(folder / "kept")]


def run_points(study: Any, folder: Path, words: Any, wanted: list[Point], **options: Any) -> list[Point]:
    """Writes runs where the real one would fit."""
    for point in wanted:
        last = int(point.options["trainer.max_steps"])
        write(folder / point.folder, forgets_at=last, from_share=0.8, last=last)
    return []


def test_the_table_of_a_setting_replaces_that_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setting = MIXING.settings[-1]
    monkeypatch.setattr(running, "run_points", run_points)
    page = tmp_path / "mixing.md"
    page.write_text(f"before\n<!-- begin: {setting.folder} -->\nold\n<!-- end: {setting.folder} -->\nafter\n")
    main(["mixing", *folders(tmp_path), "--page", str(page), "--only", setting.folder])
    assert page.read_text().startswith(f"before\n<!-- begin: {setting.folder} -->\n")
    assert page.read_text().count(f"### {setting.title}\n") == page.read_text().count("### ") == 1
    assert page.read_text().endswith(f"<!-- end: {setting.folder} -->\nafter\n")
    assert "old" not in page.read_text()


@pytest.mark.slow
def test_the_tables_replace_those_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "run_points", run_points)
    page = tmp_path / "results.md"
    page.write_text(f"before\n{places('old')}\nafter\n")
    main(["methods", *folders(tmp_path), "--page", str(page), "--only", METHODS.settings[1].folder])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"<!-- end: {METHODS.settings[-1].folder} -->\nafter\n")
    assert text.count("old") == len(METHODS.settings) - 1
    assert text.count("### ") == 1
    main(["methods", *folders(tmp_path), "--page", str(page)])
    text = page.read_text()
    assert "old" not in text
    assert text.count("### ") == len(METHODS.settings)


def places(text: str) -> str:
    return "\n".join(f"<!-- begin: {one.folder} -->\n{text}\n<!-- end: {one.folder} -->" for one in METHODS.settings)


def test_failed_fits_leave_the_page_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "run_points", lambda study, folder, words, wanted, **options: wanted[:2])
    page = tmp_path / "results.md"
    page.write_text(places("as it was"))
    with pytest.raises(SystemExit, match=r"2 fits failed; see .*seed-5.log"):
        main(["methods", *folders(tmp_path), "--page", str(page)])
    assert page.read_text() == places("as it was")


def test_a_page_without_a_place_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(InputError, match="no place for RMU, all matrices; write <!-- begin: rmu-all -->"):
        main(["methods", *folders(tmp_path), "--page", str(tmp_path / "page.md")])
    assert not (tmp_path / "runs").exists()


def test_an_unknown_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no rmu; choose from rmu-all, "):
        main(["mixing", *folders(tmp_path), "--only", "rmu"])
    assert not (tmp_path / "runs").exists()


def test_words_held_out_of_mixing_are_those_asked() -> None:
    for setting in MIXING.settings:
        mixed = [json.loads(row.options["data.mixing"]) for row in setting.rows if "data.mixing" in row.options]
        excluded = [one["exclude"] for one in mixed if one.get("unit") != "rows"]  # whole rows show every word
        unseen = json.loads(setting.options["data.perturbations"])["unseen"]["texts"]
        assert len(unseen) == 16
        assert excluded
        assert all(words == unseen for words in excluded)

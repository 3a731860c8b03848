import json
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn import InputError, shipped
from lit_unlearn.demo import results
from lit_unlearn.demo.results import choosing, chosen, main, reported, section
from lit_unlearn.demo.settings import SETTINGS, Setting
from lit_unlearn.sweep.grid import Point


def answers(right: int) -> dict[str, list[int]]:
    return {"number": list(range(100)), "correct": [int(n < right) for n in range(100)], "prediction": [0] * 100}


def evaluation(forget: int, perturbed: int, **record: float) -> dict[str, Any]:
    measured = {"forget": forget, "retain": 98, "retain/4-gram": perturbed, "retain/4-gram/control": 95}
    return {**record, "outcomes": {name: answers(right) for name, right in measured.items()}}


def write(folder: Path, *, forgets_at: int, from_share: float, last: int = 300) -> None:
    """A run that has forgotten from a step and from a share on."""
    steps = range(25, last + 1, 25)
    after = [evaluation(25 if step >= forgets_at else 60, 90 - step * 30 // last, step=step) for step in steps]
    between = [
        evaluation(25 if share >= from_share else 60, 80, step=last, interpolation=share) for share in results.SHARES
    ]
    folder.mkdir(parents=True, exist_ok=True)
    evaluations = [evaluation(100, 97, step=0), *after, *between]
    (folder / "results.json").write_text(json.dumps({"evaluations": evaluations}))


def write_all(runs: Path) -> list[Point]:
    """Every fit of a study; on the reported draw it would forget at another step and share."""
    wanted: list[Point] = []
    for setting in SETTINGS:
        write(runs / choosing(setting).folder, forgets_at=75, from_share=0.7, last=setting.steps)
        wanted += reported(setting, runs)
        for point in reported(setting, runs):
            write(runs / point.folder, forgets_at=150, from_share=0.9, last=setting.steps)
    return wanted


def rows(setting: Setting) -> list[str]:
    """Names of the rows of a setting's table, but for the base."""
    named = [setting.method, *(row.title for row in setting.rows)]
    return [*named, "stopped after 75 steps", "base + 0.7 · (unlearned − base)"]


def test_every_fit_is_of_a_shipped_config_in_a_folder_of_its_own(tmp_path: Path) -> None:
    wanted = write_all(tmp_path)
    expected = sum((len(setting.rows) + 2) * setting.seeds for setting in SETTINGS)
    assert len({point.folder for point in wanted}) == len(wanted) == expected
    assert {point.options["config"] for point in wanted} <= set(shipped.names())
    draws = [{point.options["data.draw"] for point in points} for points in (wanted, map(choosing, SETTINGS))]
    assert draws == [{str(results.REPORT)}, {str(results.CHOOSE)}]
    assert str(results.CHOOSING_SEED) not in {point.options["seed_everything"] for point in wanted}


@pytest.mark.parametrize("setting", SETTINGS, ids=[setting.folder for setting in SETTINGS])
def test_the_controls_are_chosen_on_the_other_draw(setting: Setting, tmp_path: Path) -> None:
    stopped = [point for point in write_all(tmp_path) if point.folder.startswith(f"{setting.folder}/stopped")]
    assert chosen(setting, tmp_path) == (75, 0.7)
    assert {point.options["trainer.max_steps"] for point in stopped} == {"75"}
    text = section(setting, tmp_path)
    assert text.startswith(f"### {setting.title}\n")
    cells = [line.lstrip("| ").split(" | ")[:2] for line in text.splitlines() if line.startswith("| ")][3:]
    assert [name for name, _ in cells] == rows(setting)
    assert cells[-1][1] == "60.0 ± 0.0"


@pytest.mark.parametrize("setting", SETTINGS, ids=[setting.folder for setting in SETTINGS])
def test_the_page_has_a_table_of_every_setting_with_all_its_rows(setting: Setting) -> None:
    page = Path("docs/results.md").read_text(encoding="utf-8")
    text = page.partition(f"<!-- begin: {setting.folder} -->")[2].partition(f"<!-- end: {setting.folder} -->")[0]
    names = [line.lstrip("| ").partition(" | ")[0] for line in text.splitlines() if line.startswith("| ")][3:]
    assert names[: len(setting.rows) + 1] == [setting.method, *(row.title for row in setting.rows)]
    assert len(names) == len(setting.rows) + 3
    assert f"mean of {setting.seeds} seeds" in text


def test_what_never_forgets_is_taken_to_its_end(tmp_path: Path) -> None:
    write(tmp_path / choosing(SETTINGS[0]).folder, forgets_at=999, from_share=9)
    assert chosen(SETTINGS[0], tmp_path) == (300, 0.9)


def test_the_tables_replace_those_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_points(study: Any, folder: Path, words: Any, wanted: list[Point], **options: Any) -> list[Point]:
        for point in wanted:
            last = int(point.options["trainer.max_steps"])
            write(folder / point.folder, forgets_at=last, from_share=0.8, last=last)
        return []

    monkeypatch.setattr(results, "run_points", run_points)
    page = tmp_path / "results.md"
    page.write_text(f"before\n{places('old')}\nafter\n")
    main(["--out", str(tmp_path / "runs"), "--page", str(page), "--only", SETTINGS[1].folder])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"<!-- end: {SETTINGS[-1].folder} -->\nafter\n")
    assert text.count("old") == len(SETTINGS) - 1
    assert text.count("### ") == 1
    main(["--out", str(tmp_path / "runs"), "--page", str(page)])
    text = page.read_text()
    assert "old" not in text
    assert text.count("### ") == len(SETTINGS)


def places(text: str) -> str:
    return "\n".join(f"<!-- begin: {one.folder} -->\n{text}\n<!-- end: {one.folder} -->" for one in SETTINGS)


def test_failed_fits_leave_the_page_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "run_points", lambda study, folder, words, wanted, **options: wanted[:2])
    page = tmp_path / "results.md"
    page.write_text(places("as it was"))
    with pytest.raises(SystemExit, match=r"2 fits failed; see .*seed-5.log"):
        main(["--out", str(tmp_path / "runs"), "--page", str(page)])
    assert page.read_text() == places("as it was")


def test_a_page_without_a_place_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(InputError, match="no place for RMU, all matrices; write <!-- begin: rmu-all -->"):
        main(["--out", str(tmp_path / "runs"), "--page", str(tmp_path / "page.md")])
    assert not (tmp_path / "runs").exists()

import json
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn import shipped
from lit_unlearn.demo import results
from lit_unlearn.demo.results import SETTINGS, choosing, chosen, main, reported, section
from lit_unlearn.sweep.grid import Point

STEPS = range(25, 301, 25)


def answers(right: int) -> dict[str, list[int]]:
    return {"number": list(range(100)), "correct": [int(n < right) for n in range(100)], "prediction": [0] * 100}


def evaluation(forget: int, perturbed: int, **record: float) -> dict[str, Any]:
    measured = {"forget": forget, "retain": 98, "retain/4-gram": perturbed, "retain/4-gram/control": 95}
    return {**record, "outcomes": {name: answers(right) for name, right in measured.items()}}


def write(folder: Path, *, forgets_at: int, from_share: float) -> None:
    """A run that has forgotten from a step and from a share on."""
    after = [evaluation(25 if step >= forgets_at else 60, 90 - step // 10, step=step) for step in STEPS]
    between = [
        evaluation(25 if share >= from_share else 60, 80, step=300, interpolation=share) for share in results.SHARES
    ]
    folder.mkdir(parents=True)
    evaluations = [evaluation(100, 97, step=0), *after, *between]
    (folder / "results.json").write_text(json.dumps({"evaluations": evaluations}))


def write_all(runs: Path) -> list[Point]:
    """Every fit of a study; on the reported draw it would forget at another step and share."""
    for setting in SETTINGS:
        write(runs / choosing(setting).folder, forgets_at=75, from_share=0.7)
    wanted = [point for setting in SETTINGS for point in reported(setting, runs)]
    for point in wanted:
        write(runs / point.folder, forgets_at=200, from_share=0.9)
    return wanted


def test_every_fit_is_of_a_shipped_config_in_a_folder_of_its_own(tmp_path: Path) -> None:
    wanted = write_all(tmp_path)
    rows = len(results.NOISE) + 3
    assert len({point.folder for point in wanted}) == len(wanted) == len(SETTINGS) * rows * results.SEEDS
    assert {point.options["config"] for point in wanted} <= set(shipped.names())
    draws = [{point.options["data.draw"] for point in points} for points in (wanted, map(choosing, SETTINGS))]
    assert draws == [{str(results.REPORT)}, {str(results.CHOOSE)}]
    assert not {point.options["seed_everything"] for point in wanted} & {
        choosing(SETTINGS[0]).options["seed_everything"]
    }


def test_the_controls_are_chosen_on_the_other_draw(tmp_path: Path) -> None:
    stopped = [point for point in write_all(tmp_path) if "stopped" in point.folder]
    assert chosen(SETTINGS[0], tmp_path) == (75, 0.7)
    assert {point.options["trainer.max_steps"] for point in stopped} == {"75"}
    text = section(SETTINGS[0], tmp_path)
    assert text.startswith("### RMU, all matrices\n")
    rows = [line.split(" | ")[:2] for line in text.splitlines() if line.startswith("| ")][3:]
    names = ["RMU", *(f"+ RNA, ν {noise}" for noise in results.NOISE), "half the learning rate"]
    names += ["stopped after 75 steps", "base + 0.7 · (unlearned − base)"]
    assert [name.lstrip("| ") for name, _ in rows] == names
    assert rows[-1][1] == "60.0 ± 0.0"


def test_what_never_forgets_is_taken_to_its_end(tmp_path: Path) -> None:
    write(tmp_path / choosing(SETTINGS[0]).folder, forgets_at=999, from_share=9)
    assert chosen(SETTINGS[0], tmp_path) == (300, 0.9)


def test_the_tables_replace_those_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run_points(study: Any, folder: Path, words: Any, wanted: list[Point], **options: Any) -> list[Point]:
        for point in wanted:
            write(folder / point.folder, forgets_at=100, from_share=0.8)
        return []

    monkeypatch.setattr(results, "run_points", run_points)
    page = tmp_path / "results.md"
    page.write_text("before\n<!-- begin: make results -->\nold\n<!-- end: make results -->\nafter\n")
    main(["--out", str(tmp_path / "runs"), "--page", str(page)])
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("<!-- end: make results -->\nafter\n")
    assert "old" not in text
    assert text.count("### ") == len(SETTINGS)


def test_failed_fits_leave_the_page_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "run_points", lambda study, folder, words, wanted, **options: wanted[:2])
    page = tmp_path / "results.md"
    page.write_text("as it was")
    with pytest.raises(SystemExit, match=r"2 fits failed; see .*seed-5.log"):
        main(["--out", str(tmp_path / "runs"), "--page", str(page)])
    assert page.read_text() == "as it was"

import json
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn import shipped
from lit_unlearn.demo import results
from lit_unlearn.demo.results import SETTINGS, main, points, section
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


def test_every_fit_is_of_a_shipped_config_in_a_folder_of_its_own() -> None:
    all_points = [point for setting in SETTINGS for point in points(setting)]
    assert len({point.folder for point in all_points}) == len(all_points) == 156
    assert {point.options["config"] for point in all_points} <= set(shipped.names())
    chosen = [point for point in all_points if point.options["data.draw"] == str(results.CHOOSE)]
    assert [point.folder.rpartition("/")[2] for point in chosen] == ["seed-5"] * len(SETTINGS)


def test_the_controls_are_chosen_on_the_other_draw(tmp_path: Path) -> None:
    for point in points(SETTINGS[0]):
        # On the reported draw they would forget at another step and share.
        reported = "/choose/" not in point.folder
        write(tmp_path / point.folder, forgets_at=200 if reported else 75, from_share=0.9 if reported else 0.7)
    text = section(SETTINGS[0], tmp_path)
    assert text.startswith("### RMU, all matrices\n")
    names = [line.split(" | ")[0].lstrip("| ") for line in text.splitlines() if line.startswith("| ")][3:]
    assert names == ["RMU", *(f"+ RNA, ν {noise}" for noise in results.NOISE), "half the learning rate",
                     "stopped at step 75", "interpolation 0.7"]  # fmt: skip
    assert "| stopped at step 75 | 60.0 ± 0.0 |" in text


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
    with pytest.raises(SystemExit, match=r"2 fits failed; see .*seed-0.log"):
        main(["--out", str(tmp_path / "runs"), "--page", str(page)])
    assert page.read_text() == "as it was"

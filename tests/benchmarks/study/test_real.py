import json
import shutil
from pathlib import Path

import pytest

from benchmarks.study import real, real_settings
from benchmarks.study.real import main
from benchmarks.study.real_questions import Asked
from benchmarks.study.real_settings import SCALED, STUDIES, points
from benchmarks.study.settings import Setting
from lit_unlearn import InputError, cli
from lit_unlearn.commands.options import config_files
from lit_unlearn.runs.results_file import read_results
from tests.tiny_world import write_demo

PLACE = "<!-- begin: tiny-alchemy -->\n{}\n<!-- end: tiny-alchemy -->"


@pytest.mark.parametrize("setting", STUDIES.values(), ids=STUDIES)
def test_a_seed_is_compared_before_the_next_begins(setting: Setting) -> None:
    wanted = [*points(setting, setting.rows, rise=1.2, scored=64)]
    assert setting.options["config"] in config_files.names()
    fits = len(setting.rows) + 1
    assert len({point.folder for point in wanted}) == len(wanted) == setting.seeds * fits
    seeds = [int(point.options["seed_everything"]) for point in wanted]
    assert seeds == sorted(seeds)
    assert 0 not in seeds  # it chose the settings
    for point in wanted:
        assert point.folder.endswith(f"/seed-{point.options['seed_everything']}")
        assert "config" not in point.options


def arguments(folder: Path, *more: str) -> list[str]:
    streams = [f"--forget={folder / 'alchemy.jsonl'}", f"--retain={folder / 'gardening.jsonl'}", "--topic=alchemy"]
    sizes = ["--holdout=40", "--seeds=2", "--rise=0.01", "--workers=1"]
    where = [f"--out={folder / 'runs'}", f"--page={folder / 'page.md'}", f"--results={folder / 'kept'}"]
    return ["tiny", f"--pretrained={folder / 'model'}", *streams, *sizes, *where, *more]


@pytest.mark.slow
def test_the_page_shows_what_the_fits_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_demo(tmp_path)
    small = {"config": "smollm2.yaml", "model.layer": "5", "trainer.precision": "32-true", "model.noise_scale": "0"}
    rna = STUDIES["smollm2-rmu"].rows[0]
    setting = Setting("RMU on a tiny model", "tiny", small | {"model.optimizer.lr": "0.01"}, (rna,), steps=12)
    monkeypatch.setitem(STUDIES, "tiny", setting)
    monkeypatch.setattr(real, "EVERY", 2)
    page = tmp_path / "page.md"
    page.write_text(f"before\n{PLACE.format('old')}\nafter\n")
    main(arguments(tmp_path))
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    names = [line.split(" | ")[0].removeprefix("| ") for line in text.splitlines() if line.startswith("| ")]
    interpolated = [f"base + {share} · (unlearned − base)" for share in real_settings.SHARES]
    for name in ("base", "RMU", rna.title, "stopped after 2 steps", *interpolated):
        assert names.count(name) == names.count("base") > 0
    assert "excess: 16-gram/trained" in text
    assert "mean of 2 seeds" in text
    assert (tmp_path / "tiny-alchemy.png").stat().st_size > 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("results.json")}
    assert len(before) == 4
    main(arguments(tmp_path))  # nothing runs again
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("results.json")} == before
    shutil.move(tmp_path / "runs", tmp_path / "moved")
    page.write_text(PLACE.format("old"))
    where = [f"--results={tmp_path / 'kept'}", f"--page={page}"]
    main(["tiny", "--topic=alchemy", "--tables", *where])
    assert page.read_text() == text.removeprefix("before\n").removesuffix("\nafter\n")
    assert naming(tmp_path / "kept", [str(tmp_path)]) == []
    files = [str(path) for path in (tmp_path / "kept").rglob("results.json.gz")]
    verify(files)
    for path in (tmp_path / "moved").glob("*/*/results.json"):  # with what is not kept
        shutil.copy(path, tmp_path / "kept" / path.relative_to(tmp_path / "moved"))
    main(["tiny", "--topic=alchemy", "--tables", *where])
    assert page.read_text() == text.removeprefix("before\n").removesuffix("\nafter\n")


def naming(folder: Path, places: list[str]) -> list[Path]:
    """The kept files that hold one of these places."""
    files = [*folder.rglob("*.gz")]
    assert files
    return [path for path in files if any(place in json.dumps(read_results(path)) for place in places)]


def verify(files: list[str]) -> None:
    """Every number of some files comes out of their own rows again; or it ends with status 1."""
    cli.main(["verify", *files])


@pytest.mark.slow
def test_questions_are_rows_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_demo(tmp_path)
    letters = write_questions(tmp_path)
    small = {"config": "smollm2.yaml", "model.layer": "5", "trainer.precision": "32-true", "model.noise_scale": "0"}
    setting = Setting("RMU on a tiny model", "tiny", small | {"model.optimizer.lr": "0.01"}, (), steps=2)
    monkeypatch.setitem(STUDIES, "tiny", setting)
    page = tmp_path / "page.md"
    page.write_text(PLACE.replace("tiny-alchemy", "tiny-alchemy-questions").format("old"))
    sizes = ["--seeds=1", "--scored=4", "--spans=word", "--every=0", "--limit=6"]
    main(arguments(tmp_path, *sizes, f"--questions={letters}"))
    text = page.read_text()
    for head in ("| cloze |", "cloze/16-gram in the stem/control", "drop beyond control: cloze/sentence before"):
        assert head in text
    assert "By letter the model before training answers" in text
    kept = tmp_path / "kept" / "method" / "seed-1" / "results.json.gz"
    assert naming(tmp_path / "kept", [str(tmp_path)]) == []
    assert len(read_results(kept)["evaluations"][0]["outcomes"]["cloze"]["number"]) == 6
    page.write_text(PLACE.replace("tiny-alchemy", "tiny-alchemy-questions").format("old"))
    main(["tiny", "--topic=alchemy", "--questions", "--tables", f"--results={tmp_path / 'kept'}", f"--page={page}"])
    assert page.read_text() == text
    verify([str(kept)])
    with pytest.raises(InputError, match=r"was made with another data\.evaluation"):
        main(arguments(tmp_path, *sizes, f"--questions={letters}", "--limit=5"))


def write_questions(folder: Path) -> Path:
    """Eight questions of four numbers each, as MMLU's CSV."""
    path = folder / "sums_test.csv"
    path.write_text("".join(f"What is {one} and 1?,{one + 1},{one + 2},{one + 3},{one + 4},A\n" for one in range(8)))
    return path


def test_questions_without_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["smollm2-rmu", *arguments(tmp_path)[1:], "--questions"])
    assert "--questions needs files, such as 'mmlu/*_test.csv', except with --tables" in capsys.readouterr().err


@pytest.mark.parametrize("study", SCALED)
def test_a_study_without_a_learning_rate_asks_for_the_overlay(study: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([study, "--topic=war", "--pretrained=model", "--forget=f", "--retain=r"])
    assert f"--overlay is required for {study}: `lit-unlearn scale` writes it" in capsys.readouterr().err


def test_files_of_questions_are_known_by_what_they_hold(tmp_path: Path) -> None:
    path = write_questions(tmp_path)
    (tmp_path / "other").mkdir()
    moved = tmp_path / "other" / path.name
    shutil.copy(path, moved)
    assert Asked(str(path)).digest() == Asked(str(tmp_path / "other" / "*.csv")).digest()
    assert str(tmp_path) not in Asked(str(path)).digest()
    moved.write_text("Which?,a,b,c,d,D\n")
    assert Asked(str(path)).digest() != Asked(str(moved)).digest()
    with pytest.raises(InputError, match=r"--questions: .*none\.csv: no such file; give files of questions"):
        Asked(str(tmp_path / "none.csv")).digest()


def test_texts_are_asked_for_unless_tables_are_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["smollm2-rmu", "--topic=war", "--pretrained=model"])
    assert "--pretrained, --forget and --retain are required, except with --tables" in capsys.readouterr().err


def test_a_row_that_there_is_not_and_a_page_without_a_place_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STUDIES, "tiny", STUDIES["smollm2-rmu"]._replace(folder="tiny"))
    (tmp_path / "page.md").write_text("nothing")
    with pytest.raises(InputError, match=r"--only: there is no mixed; choose from rna-0\.6, mixing-16"):
        main(arguments(tmp_path, "--only", "mixed"))
    with pytest.raises(InputError, match=r"there is no place for RMU on SmolLM2-135M-Instruct, MLP outputs; topic: al"):
        main(arguments(tmp_path))
    assert not (tmp_path / "runs").exists()

"""What is kept of a study: enough for its tables, and made with the options that its fits have now."""

import json
from pathlib import Path

import pytest

from benchmarks.study import answers, attacks, running
from benchmarks.study.digests import digest_of_config, digest_of_model
from benchmarks.study.kept import FOLDER, KeptFits
from benchmarks.study.real import main as real
from benchmarks.study.results import STUDIES, main
from benchmarks.study.tables import NOT_RUN, section
from lit_unlearn import InputError
from lit_unlearn.commands.sweep.grid import Point
from lit_unlearn.runs.results_file import read_results
from tests.benchmarks.study.test_results import MIXING, evaluation, folders, run_points, write_results

SETTING = MIXING.settings[-1]
PLACE = f"<!-- begin: {SETTING.folder} -->\n{{}}\n<!-- end: {SETTING.folder} -->\n"
OTHERS = {"answers": (answers.PAGE, answers.main), "attacks": (attacks.PAGE, attacks.main)}
KEPT = sorted(path for path in FOLDER.glob("*") if path.is_dir())


@pytest.mark.parametrize("folder", KEPT, ids=lambda path: path.name)
def test_the_tables_of_a_page_are_those_of_what_is_kept(folder: Path, tmp_path: Path) -> None:
    study = STUDIES.get(folder.name)
    if folder.name in OTHERS:
        page, command = OTHERS[folder.name]
        words = []
    elif study is None:
        setting, _, topic = folder.name.removesuffix("-questions").rpartition("-")
        page, words = Path("docs/results-real.md"), [setting, "--topic", topic]
        words += ["--questions"] if folder.name.endswith("-questions") else []
        command = real
    else:
        only = [one.folder for one in study.settings if (folder / one.folder).is_dir()]
        page, words, command = study.page, [folder.name, "--only", *only], main
    made = tmp_path / page.name
    made.write_text(page.read_text(encoding="utf-8"), encoding="utf-8")
    command([*words, "--tables", "--page", str(made), "--results", str(folder)])
    assert made.read_text(encoding="utf-8") == page.read_text(encoding="utf-8")


def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *words: str) -> list[Point]:
    """The fits that a command runs."""
    done: list[Point] = []

    def run(study: object, folder: Path, shared: object, wanted: list[Point], **options: object) -> list[Point]:
        done.extend(wanted)
        return run_points(study, folder, shared, wanted)

    monkeypatch.setattr(running, "run_points", run)
    (tmp_path / "page.md").write_text(PLACE.format("old"))
    main(["mixing", "--only", SETTING.folder, *folders(tmp_path), "--page", str(tmp_path / "page.md"), *words])
    return done


def rows(page: Path) -> list[str]:
    return [line.split(" | ")[0] for line in page.read_text().partition("\n\n|")[2].partition("\n\n")[0].splitlines()]


@pytest.mark.slow
def test_seeds_and_rows_are_added_without_what_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = ran(tmp_path, monkeypatch, "--seeds", "1", "--rows", "rna")
    assert {point.folder.split("/")[1] for point in first} == {"choose", "method", "rna", "stopped-300"}
    added = ran(tmp_path, monkeypatch, "--seeds", "2", "--rows", "rna")
    assert [point.folder.split("/")[1:] for point in added] == [
        [name, "seed-1"] for name in ("method", "rna", "stopped-300")
    ]
    row = ran(tmp_path, monkeypatch, "--seeds", "1", "--rows", "steady-mixing")
    assert [point.folder.split("/")[1:] for point in row] == [["steady-mixing", "seed-0"]]
    page = tmp_path / "page.md"
    assert "| + RNA, ν 0.5" in rows(page)
    assert "| steady + mixing" not in rows(page)  # of one seed, where the method has two
    assert "steady + mixing" in page.read_text().partition(NOT_RUN)[2].partition(".\n")[0]
    assert len(ran(tmp_path, monkeypatch, "--seeds", "2", "--rows", "steady-mixing")) == 1
    assert {"| + RNA, ν 0.5", "| steady + mixing"} <= {*rows(page)}


@pytest.mark.slow
def test_tables_need_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran(tmp_path, monkeypatch, "--seeds", "2")
    page = tmp_path / "page.md"
    text = page.read_text()
    assert text.count(section(SETTING, tmp_path / "kept")) == 1
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert ran(tmp_path, monkeypatch, "--tables") == []
    assert page.read_text() == text
    assert section(SETTING, tmp_path / "moved") == section(SETTING, tmp_path / "kept")


def test_what_is_kept_of_other_options_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran(tmp_path, monkeypatch, "--seeds", "1", "--rows")
    other = SETTING._replace(options=SETTING.options | {"model.retain_weight": "3"})
    monkeypatch.setitem(STUDIES, "mixing", MIXING._replace(settings=(other,)))
    with pytest.raises(InputError, match=r"results\.json\.gz was made with another model\.retain_weight: 20, now 3"):
        ran(tmp_path, monkeypatch, "--seeds", "2", "--rows")


def test_places_on_a_machine_are_not_kept(tmp_path: Path) -> None:
    point = Point("a/relearn/seed-0", {"config": "demo.yaml", "model.pretrained": str(tmp_path / "runs/a/export")})
    model = tmp_path / "model"
    model.mkdir()
    write_results(tmp_path / "runs" / point.folder, [evaluation(100, 97, step=0), evaluation(25, 60, step=9)])
    for name, key in (("results.json", "hyperparameters"), ("run.json", "")):
        path = tmp_path / "runs" / point.folder / name
        found = json.loads(path.read_text())
        (found[key] if key else found).update({"pretrained" if key else "model": str(model)})
        path.write_text(json.dumps(found))
    kept = KeptFits(tmp_path / "kept", tmp_path / "runs", {})
    kept.keep([point])
    (path,) = (tmp_path / "kept").rglob("*.gz")
    found = read_results(path)
    assert str(tmp_path) not in json.dumps(found)
    assert found["made_with"]["model.pretrained"] == "a/export"
    assert (found["hyperparameters"]["pretrained"], found["run"]["model"]) == ("model", "model")
    assert kept.missing([point]) == []
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"results\.json\.gz is not what a study keeps .* restore it"):
        kept.missing([point])


def test_a_digest_is_of_what_is_said(tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("# one\nmodel: {layer: 2}\n")
    second.write_text("model:\n  layer: 2 # another\n")
    assert digest_of_config(str(first)) == digest_of_config(str(second)) != digest_of_config("demo.yaml")
    assert digest_of_model("owner/name") == "owner/name"

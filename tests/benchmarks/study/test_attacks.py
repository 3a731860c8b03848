from pathlib import Path

import pytest

from benchmarks.study import attack_settings
from benchmarks.study.attack_settings import ROWS, fitted, repaired
from benchmarks.study.attack_tables import Place, cells, compared, failures, tables
from benchmarks.study.attacks import ATTACKS, NAME, main
from benchmarks.study.kept_attacks import KeptAttacks
from lit_unlearn.cli import main as lit_unlearn
from lit_unlearn.commands.attack import config
from lit_unlearn.commands.attack.contract import Outcome
from lit_unlearn.commands.attack.kept import Kept, Unit
from lit_unlearn.commands.options import config_files
from lit_unlearn.commands.options.words import Words
from lit_unlearn.errors import InputError
from lit_unlearn.questions.statistics import Estimate

PLACE = f"before\n<!-- begin: {NAME} -->\n<!-- end: {NAME} -->\nafter\n"


def test_repairs_follow_the_fit_that_they_repair() -> None:
    fits = [*fitted(ROWS, 3)]
    after = [*repaired(ROWS, 3, Path("runs"))]
    assert len(ROWS) == 12
    assert [one.folder for one in (*fits, *after)] == [
        *(f"{row.folder}/seed-3" for row in ROWS if row.options and not row.repair),
        *(f"{row.folder}/seed-3" for row in ROWS if row.repair),
    ]
    for point in (*fits, *after):
        assert point.options["config"] in config_files.names()
        assert point.options["seed_everything"] == "3"
    assert all("runs/rmu/seed-3/export" in point.options["trainer.callbacks"] for point in after)
    only = [row for row in ROWS if row.folder == "closed-form"]
    assert [one.folder for one in fitted(only, 0)] == ["rmu/seed-0"]


def test_the_attacks_are_fewer_than_the_demos() -> None:
    found = config.read(Words.read(["-c", "demo_attack.yaml", "-c", str(ATTACKS)], command="attack"), full=True)
    assert [*found.attacks] == ["int4", "pruning", "merge", "other", "asked", "prefix"]


def outcomes(model: str, seed: int, forget: float) -> tuple[Unit, Kept]:
    found = [
        Outcome(
            {"steps": steps},
            {name: Estimate(value, 0.1) for name, value in (("forget_accuracy", forget), ("retain_accuracy", 0.9))},
        )
        for steps in (10, 20)
    ]
    return Unit(model, "other", 0, {}, seed, ()), Kept([*found, Outcome({}, failed="it diverged")], 1.0)


def test_differences_are_those_of_one_seed() -> None:
    accuracies = {"rmu": (0.3, 0.5, 0.4), "rna": (0.4, 0.7, 0.7), "base": (1.0, 1.0, 1.0)}
    found = cells(
        outcomes("base" if name == "base" else f"{name}/seed-{seed}", seed, accuracies[name][seed])
        for name in accuracies
        for seed in range(3)
    )
    rows = [row for row in ROWS if row.folder in accuracies]
    assert {len(seeds) for seeds in found.values()} == {3}
    assert found[Place("rna", "other, 20 steps")][2]["forget_accuracy"].value == 0.7
    # 10, 20 and 30 points: their mean, and 4.303 times their standard error
    assert "| RMU + RNA, ν 1.5 | +20.0 ± 24.8 | +20.0 ± 24.8 |" in compared(found, rows)
    assert "| base |" not in compared(found, rows)
    assert "| RMU | 40.0 ± 24.8 | 40.0 ± 24.8 |" in tables(found, rows)
    assert "Means over 3 seeds" in tables(found, rows)


def test_what_is_left_out_is_named() -> None:
    found = [outcomes("rmu/seed-0", 0, 0.3)]
    assert failures(found) == "Left out of the means above:\n\n- rmu/seed-0, other, seed 0: it diverged\n"
    assert failures([(found[0][0], Kept(found[0][1].outcomes[:2], 1.0))]) == ""


def test_attacks_of_several_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="other, 10 steps has several outcomes of rmu/seed-0, and the tables room"):
        cells([outcomes("rmu/seed-0", 0, 0.3), outcomes("rmu/seed-0", 0, 0.4)])
    page, attacks = tmp_path / "page.md", tmp_path / "attacks.yaml"
    page.write_text(PLACE)
    attacks.write_text("attacks: {pruning: {class_path: PrunedWeights, init_args: {shares: [0.1, 0.3]}}}\n")
    with pytest.raises(InputError, match="--attacks: pruning has 2 settings, and the tables room for one"):
        main([f"--page={page}", f"--out={tmp_path / 'runs'}", f"--attacks={attacks}"])
    assert not (tmp_path / "runs").exists()
    with pytest.raises(InputError, match="kept has no outcomes of rmu, with which rows are compared; run the study"):
        main([f"--page={page}", "--tables", f"--results={tmp_path / 'kept'}"])


def found(model: str, *, forget: float = 0.3) -> list[tuple[Unit, Kept]]:
    """What two attacks gave."""
    unit, kept = outcomes(model, 0, forget)
    return [(unit, kept), (unit._replace(attack="none", settings={}), Kept(kept.outcomes[:1], 2.0))]


def keeping(folder: Path, attacks: Path = ATTACKS, draw: int = 2) -> KeptAttacks:
    return KeptAttacks(folder, Path("runs/attacks"), ["demo_attack.yaml", str(attacks)], draw)


def test_what_is_kept_gives_the_same_outcomes(tmp_path: Path) -> None:
    rows = [row for row in ROWS if row.folder in ("rmu", "closed-form")]
    kept = keeping(tmp_path)
    assert kept.missing(rows, 0) == rows
    gave = [pair for row in rows for pair in found(f"{row.folder}/seed-0")]
    kept.keep(gave, rows, 0)
    assert kept.missing(rows, 0) == []
    assert kept.missing(rows, 1) == rows
    assert [(unit._replace(decides=()), one) for unit, one in gave] == kept.read()
    text = (tmp_path / "closed-form" / "seed-0" / "attack-outcomes.json").read_text()
    assert "rmu config" in text  # the fit that is repaired
    assert "rmu/seed-0/export" in text
    assert "runs/attacks" not in text


def test_rows_of_other_seeds_than_the_methods_are_in_no_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = keeping(tmp_path)
    rna = [row for row in ROWS if row.folder == "rna"]
    method = [row for row in ROWS if row.folder == "rmu"]
    kept.keep(found("rmu/seed-0"), method, 0)
    kept.keep(found("rna/seed-1"), rna, 1)
    assert {unit.model for unit, _ in kept.read()} == {"rmu/seed-0"}
    assert "rna is in no table: it has the seeds [1], rmu has [0]" in capsys.readouterr().out


def test_what_is_kept_of_other_attacks_or_fits_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [row for row in ROWS if row.folder in ("rmu", "rna")]
    keeping(tmp_path).keep([*found("rmu/seed-0"), *found("rna/seed-0")], rows, 0)
    attacks = tmp_path / "attacks.yaml"
    attacks.write_text(ATTACKS.read_text().replace("bits: 4", "bits: 3"))
    with pytest.raises(
        InputError, match=r"outcomes\.json was made with another attack int4: .* move what is kept away"
    ):
        keeping(tmp_path, attacks).missing(rows, 0)
    with pytest.raises(InputError, match="was made with another draw: 2, now 3"):
        keeping(tmp_path, draw=3).missing(rows, 0)
    noisier = [
        row._replace(options={**row.options, "model.noise_scale": "3"}) if row.folder == "rna" else row for row in ROWS
    ]
    monkeypatch.setattr(attack_settings, "ROWS", noisier)
    with pytest.raises(InputError, match=r"was made with another rna model\.noise_scale: 1\.5, now 3"):
        keeping(tmp_path).missing([row for row in noisier if row.folder == "rna"], 0)
    path = tmp_path / "rmu" / "seed-0" / "attack-outcomes.json"
    path.write_text(path.read_text()[:-20])
    with pytest.raises(InputError, match=r"is not what a study keeps .* restore it"):
        keeping(tmp_path).read()


def test_a_row_that_there_is_not_and_a_page_without_a_place_are_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(InputError, match="--only: there is no rsv; choose from base, rmu"):
        main([f"--page={page}", "--only", "rsv"])
    with pytest.raises(InputError, match="there is no place for the study of attacks"):
        main([f"--page={page}", f"--out={tmp_path / 'runs'}"])
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_the_page_shows_what_the_attacks_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page, runs = tmp_path / "page.md", tmp_path / "runs"
    page.write_text(PLACE)
    attacks = tmp_path / "attacks.yaml"
    attacks.write_text(
        "attacks:\n"
        "  int4: {class_path: RoundedWeights, init_args: {bits: 4}}\n"
        "  other: {class_path: FineTuning, init_args: {count: 2, steps: 2, every: 1}}\n"
        "full_attacks: {}\n"
        "data: {class_path: DemoDataModule, init_args: {questions: 8, perturbations: {}, holdout: 16}}\n"
    )
    short = {"trainer.max_steps": "1", "data.questions": "8", "data.perturbations": "{}", "data.holdout": "16"}
    few = [row._replace(options={**row.options, **short} if row.options else {}) for row in ROWS]
    monkeypatch.setattr(attack_settings, "ROWS", few)
    monkeypatch.setattr("benchmarks.study.attacks.ROWS", few)
    kept = tmp_path / "kept"
    words = [f"--page={page}", f"--out={runs}", f"--attacks={attacks}", f"--results={kept}"]
    words += ["--only", "base", "rmu", "interpolation", "--seeds"]
    main([*words, "1"])
    assert "One seed" in page.read_text()
    main([*words, "2"])  # the second alone
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    for title in ("base", "RMU", "base + 0.7 · (RMU − base)"):
        assert f"| {title} | " in text
    assert "other, 1 steps" in text
    assert "Means over 2 seeds" in text
    assert "Not run yet: Adaptive RMU; " in text
    assert (tmp_path / f"{NAME}.png").stat().st_size > 0
    lit_unlearn(["verify", str(runs / "interpolation" / "seed-1")])
    assert len([*kept.rglob("*.json")]) == 6
    assert not any(str(tmp_path) in path.read_text() for path in kept.rglob("*.json"))
    runs.rename(tmp_path / "moved")  # nothing runs again
    page.write_text(PLACE)
    main([*words, "2"])
    assert page.read_text() == text
    page.write_text(PLACE)
    main([f"--page={page}", f"--results={kept}", "--tables"])
    assert page.read_text() == text
    assert not runs.exists()

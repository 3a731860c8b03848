"""Results computed again from their own rows, and from the run's model."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_unlearn.cli import main
from lit_unlearn.runs.results_file import compressed
from tests.answers.asked import TEMPLATE, rows, write


@pytest.fixture(scope="module")
def evaluated(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `validate` with free answers and with multiple-choice questions."""
    folder = tmp_path_factory.mktemp("verified")
    asked = {
        name: {"path": write(folder / f"{name}.jsonl", rows(subject, seed=seed)), "role": role}
        for seed, (name, subject, role) in enumerate(
            [("forget", "alchemy", "forget"), ("retain", "gardening", "retain"), ("unseen", "alchemy", "holdout")]
        )
    }
    letters = [{"question": f"is it {n} ?", "choices": [*"abcd"], "answer": n % 4, "subject": "x"} for n in range(8)]
    (folder / "letters.jsonl").write_text("\n".join(map(json.dumps, letters)))
    config = {
        "data": {
            "class_path": "UnlearnDataModule",
            "init_args": {
                "forget": {"alchemy": {"path": str(world / "alchemy.jsonl")}},
                "retain": {"gardening": {"path": str(world / "gardening.jsonl")}},
                "answers": {name: one | {"chat_template": TEMPLATE} for name, one in asked.items()},
                "evaluation": {"questions": {"letters": {"path": str(folder / "letters.jsonl")}}},
            },
        },
        "trainer": {
            "accelerator": "cpu",
            "precision": "32-true",
            "callbacks": [
                {"class_path": "PerturbationRobustness"},
                {"class_path": "AnswerEvaluation", "init_args": {"max_new_tokens": 2}},
            ],
        },
    }
    (folder / "own.yaml").write_text(yaml.safe_dump(config))
    options = ["-c", str(folder / "own.yaml"), "--trainer.default_root_dir", str(folder / "run")]
    main(["validate", "--model", str(world / "model"), *options])
    return folder / "run"


@pytest.fixture(scope="module")
def compared(world: Path, evaluated: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The results of a run with intervals that was compared with a reference, and those of the reference."""
    folder = tmp_path_factory.mktemp("compared")
    reference = Path(shutil.copy(evaluated / "results.json", folder / "reference.json"))

    def forget(record: dict[str, Any]) -> None:
        one = record["answers"]["outcomes"]["forget"]
        one |= {"ratio": [2 * value for value in one["ratio"]], "min_k": [value - 1 for value in one["min_k"]]}

    change(reference, forget)
    config = yaml.safe_load((evaluated.parent / "own.yaml").read_text())
    (answering,) = [one for one in config["trainer"]["callbacks"] if one["class_path"] == "AnswerEvaluation"]
    answering["init_args"] |= {"reference": str(reference), "bootstrap": 100}
    (folder / "own.yaml").write_text(yaml.safe_dump(config))
    options = ["-c", str(folder / "own.yaml"), "--trainer.default_root_dir", str(folder / "run")]
    main(["validate", "--model", str(world / "model"), *options])
    return folder / "run" / "results.json", reference


@pytest.fixture
def results(evaluated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(evaluated / "results.json", tmp_path / "committed.json"))


def verify(*words: object) -> int:
    try:
        main(["verify", *map(str, words)])
    except SystemExit as stop:
        return int(stop.code or 0)
    return 0


def change(path: Path, how: Callable[[dict[str, Any]], object]) -> None:
    found = json.loads(path.read_text())
    how(found["evaluations"][-1])
    path.write_text(json.dumps(found))


def test_nothing_differs_in_what_was_written(
    evaluated: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(results, "--run", evaluated) == 0
    told = capsys.readouterr()
    own, again = [line for line in told.out.splitlines() if "as written" in line]
    assert own.startswith(f"{results}: numbers that its own rows give: ")
    for line in (own, again):
        count, _, total, *_ = line.rpartition(": ")[2].split()
        assert count == total
        assert int(count) > 40
    assert told.err.count("computed again") == 0


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "answers, answers/forget, probability": lambda one: one["answers"]["measured"]["answers/forget"].update(
        probability=0.9
    ),
    "answers, answers, membership_auc": lambda one: one["answers"]["measured"]["answers"].update(membership_auc=1.0),
    "questions, letters, accuracy": lambda one: one["measured"]["letters"].update(accuracy=0.99),
}


@pytest.mark.parametrize("where", CHANGES)
def test_a_changed_figure_is_found_without_the_model(
    results: Path, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    change(results, CHANGES[where])
    assert verify(results) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"evaluation 1 (step 0), {where}: ")
    assert line.endswith("computed again")


def test_rows_that_were_changed_with_their_figure_are_found_with_it(
    evaluated: Path, results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def forge(record: dict[str, Any]) -> None:
        one = record["answers"]["outcomes"]["retain"]
        one["exact_memorisation"] = [1.0] * len(one["row"])
        record["answers"]["measured"]["answers/retain"] |= {
            "exact_memorisation": 1.0,
            "exact_memorisation_error": 0.0,
        }

    change(results, forge)
    assert verify(results) == 0
    assert verify(results, "--run", evaluated) == 1
    assert "answers, answers/retain, exact_memorisation: 1 as written" in capsys.readouterr().err


def test_intervals_are_counted_again_and_comparisons_with_the_reference(
    compared: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    results, reference = compared
    assert verify(results) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].endswith("7 numbers are not counted again: they need the reference (--reference)")
    assert verify(results, "--reference", reference) == 0
    (again,) = capsys.readouterr().out.splitlines()
    counts = [int(line.rpartition(": ")[2].split()[0]) for line in (told[1], again)]
    assert counts[1] == counts[0] + 7


def test_a_reference_is_refused_where_nothing_was_compared_with_it(
    compared: tuple[Path, Path], results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(results, "--reference", compared[1]) == 2
    assert "--reference: the results were compared with none; leave it out" in capsys.readouterr().err
    change(results, lambda one: one["answers"].update(retrained_auc=0.5))
    assert verify(results, "--reference", compared[1]) == 2
    assert "compared with a published AUC instead; leave it out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "where",
    ["forget_quality", "privacy_leakage", "privacy_leakage_high", "membership_auc_reference_low", "membership_auc_low"],
)
def test_a_changed_comparison_or_interval_is_found(
    compared: tuple[Path, Path], where: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    results = Path(shutil.copy(compared[0], tmp_path))
    change(results, lambda one: one["answers"]["measured"]["answers"].update({where: 0.123}))
    assert verify(results, "--reference", compared[1]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"evaluation 1 (step 0), answers, answers, {where}: 0.123 as written")


def test_a_published_auc_is_enough_for_privacy_leakage(compared: tuple[Path, Path], tmp_path: Path) -> None:
    results = Path(shutil.copy(compared[0], tmp_path))

    def publish(record: dict[str, Any]) -> None:
        one = record["answers"]
        auc = one["measured"]["answers"]["membership_auc"]
        one["measured"] = {"answers": {"membership_auc": auc, "privacy_leakage": 200 * (auc - 0.5)}}
        one["retrained_auc"] = 0.5

    change(results, publish)
    assert verify(results) == 0
    change(results, lambda one: one["answers"]["measured"]["answers"].update(privacy_leakage=0.123))
    assert verify(results) == 1


def test_several_files_and_compressed_ones_are_verified(
    evaluated: Path, results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "results.json.gz"
    kept.write_bytes(compressed(json.loads(results.read_text())))
    assert verify(kept, results, evaluated) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    kept.write_bytes(kept.read_bytes()[:-20])
    assert verify(kept) == 2
    assert "is not the results.json of a run with evaluations" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["answers, answers/forget, min_k", "answers, answers, membership_auc"])
def test_numbers_whose_rows_are_gone_are_found(results: Path, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    change(results, lambda one: one["answers"]["outcomes"].pop("forget"))
    assert verify(results) == 1
    assert re.search(rf"{where}: \S+ as written, nothing computed again", capsys.readouterr().err)


def test_a_difference_within_the_tolerance_is_none(results: Path) -> None:
    change(
        results, lambda one: one["measured"]["letters"].update(accuracy=one["measured"]["letters"]["accuracy"] + 0.01)
    )
    assert verify(results) == 1
    assert verify(results, "--tolerance", "0.02") == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["{results}", "--run", "nowhere"], "nowhere holds no config.yaml"),
        (["{folder}", "--run", "nowhere"], "--run is for one results.json"),
        (["{folder}", "--reference", "nowhere"], "--reference is for a results.json"),
        (["{results}", "--reference", "nowhere"], "verify: --reference: nowhere holds no answers"),
        (["{results}", "--tolerance", "-1"], "--tolerance: must be at least 0, got -1.0"),
        (["{config}"], "is not the results.json of a run with evaluations"),
    ],
)
def test_what_cannot_be_verified_is_refused(
    evaluated: Path, results: Path, words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"results": results, "folder": evaluated, "config": evaluated / "config.yaml"}
    assert verify(*(word.format(**places) for word in words)) == 2
    assert told in capsys.readouterr().err


def test_rows_that_cannot_be_counted_are_refused(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    change(results, lambda one: one["outcomes"]["letters"].pop("correct"))
    assert verify(results) == 2
    assert "the rows of evaluation 1 (step 0) cannot be counted again (KeyError: 'correct')" in capsys.readouterr().err


@pytest.mark.slow
def test_a_fit_is_verified_by_its_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    steps = ("--trainer.max_steps=4", "--trainer.val_check_interval=4", "--data.questions=8", "--data.holdout=16")
    main(["fit", "-c", "demo.yaml", *steps, "--trainer.default_root_dir=run"])
    assert verify("run/results.json", "--run", "run") == 0
    change(Path("run/results.json"), lambda one: one["measured"]["forget"].update(accuracy=0.0))
    assert verify("run/results.json", "--run", "run") == 1
    shutil.rmtree("run/export")
    assert verify("run/results.json", "--run", "run") == 2

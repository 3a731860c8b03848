"""Sweeps over a stand-in for `fit`, which takes half a minute; one slow test runs the real thing."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from lit_unlearn import InputError
from lit_unlearn.cli import main
from lit_unlearn.commands.options.words import Words
from lit_unlearn.commands.sweep import study as studies
from lit_unlearn.commands.sweep.grid import Point, run_points
from lit_unlearn.commands.sweep.study import FitFailed, open_study

NONE = Words.read([], command="fit")
SWEEP = ["sweep", "--over", "model.noise_scale=0,1", "--seeds", "2", "--out", "out"]
SEARCH = ["sweep", "--over", "model.noise_scale=0..4", "--out", "out", "--maximize", "retain"]


class Fits(studies.Fits):
    """Keeps what was fitted; the more noise, the better both sets are answered."""

    def __init__(self) -> None:
        super().__init__()
        self.done: list[str] = []
        self.words: list[str] = []
        self.folders: list[Path] = []
        self.failing: set[str] = set()
        self.seconds = 0.0

    def __call__(self, folder: Path, words: Sequence[str], options: Mapping[str, str], **_: Any) -> dict[str, Any]:
        name = f"{folder.parent.name}/{folder.name}"
        self.done.append(name)
        self.words = list(words)
        time.sleep(self.seconds)
        if name in self.failing:
            raise FitFailed(name)
        self.folders.append(folder)
        noise = float(options.get("model.noise_scale", "0"))
        measured = {"forget": {"accuracy": 0.2 + noise / 10}, "retain": {"accuracy": 0.5 + noise / 10}}
        return {"evaluations": [{"measured": measured}, {"measured": {}, "interpolation": 0.5}]}


@pytest.fixture
def fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fits:
    monkeypatch.chdir(tmp_path)
    fits = Fits()
    for module in ("grid", "search"):
        monkeypatch.setattr(f"lit_unlearn.commands.sweep.{module}.Fits", lambda: fits)
    return fits


def test_every_point_is_fitted_once_and_skipped_when_done(fits: Fits, capsys: pytest.CaptureFixture[str]) -> None:
    main(SWEEP)
    expected = [f"noise_scale={noise}/seed-{seed}" for noise in (0, 1) for seed in (0, 1)]
    assert sorted(fits.done) == expected
    shown = capsys.readouterr().out
    assert "noise_scale=1/seed-0:  forget 30.0  retain 60.0" in shown
    assert "All 4 fits are done." in shown
    assert "Compare them" not in shown  # nothing was written
    main(SWEEP)
    assert sorted(fits.done) == expected


@pytest.mark.parametrize(
    ("over", "command"),
    [
        ("model.noise_scale=0,1", "lit-unlearn report --method 'an out/noise_scale=0' 'an out'/*/"),
        ("model.noise_scale=1,2", "lit-unlearn report 'an out'/*/"),
    ],
)
def test_the_report_of_a_sweep_names_the_point_without_noise_as_the_method(
    fits: Fits, over: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    first = Path("an out") / over.removeprefix("model.").partition(",")[0] / "seed-0"
    first.mkdir(parents=True)
    (first / "results.json").touch()
    main(["sweep", "--over", over, "--out", "an out"])
    assert capsys.readouterr().out.splitlines()[-1] == f"Compare them: {command}"


def test_more_values_and_seeds_are_added_to_what_is_done(fits: Fits) -> None:
    main(SWEEP)
    fits.done.clear()
    main(["sweep", "--over", "model.noise_scale=0,1,2", "--seeds", "3", "--out", "out"])
    assert sorted(fits.done) == [
        "noise_scale=0/seed-2", "noise_scale=1/seed-2", *(f"noise_scale=2/seed-{seed}" for seed in range(3))
    ]  # fmt: skip


def test_without_axes_the_seeds_are_one_row_of_a_report(fits: Fits, capsys: pytest.CaptureFixture[str]) -> None:
    main(["sweep", "--seeds", "2", "--out", "out", "--model.noise_scale", "1"])
    assert fits.folders == [Path("out/seed-0"), Path("out/seed-1")]
    assert "out/seed-1:  forget 20.0  retain 50.0" in capsys.readouterr().out


def test_a_store_is_shared_by_fits_and_decides_nothing(fits: Fits) -> None:
    main(SWEEP)
    main(["sweep", "--over", "model.noise_scale=0,1,2", "--seeds", "2", "--out", "out", "--store-gib", "3"])
    assert len(fits.done) == 6
    prefixes = ["--model.prefix_store.folder", "out/prefixes", "--model.prefix_store.max_gib", "3.0"]
    assert fits.words == ["--model.answer_store", "out/answers", *prefixes]


def test_a_failed_fit_does_not_stop_the_others_and_runs_again(fits: Fits, capsys: pytest.CaptureFixture[str]) -> None:
    fits.failing = {"noise_scale=0/seed-1"}
    with pytest.raises(SystemExit):
        main(SWEEP)
    assert len(fits.done) == 4
    assert "the fits of out/noise_scale=0/seed-1 failed; see the .log" in capsys.readouterr().err
    fits.failing, fits.done = set(), []
    main(SWEEP)
    assert fits.done == ["noise_scale=0/seed-1"]


def test_workers_share_the_points(fits: Fits) -> None:
    many = ["sweep", "--over", "model.noise_scale=0,1,2,3", "--seeds", "5", "--out", "out", "--workers", "3"]
    threads = [threading.Thread(target=main, args=(many,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fits.done) == len(set(fits.done)) == 20


def test_a_dead_workers_point_is_taken_over(fits: Fits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_unlearn.commands.sweep.grid.HEARTBEAT", 0.05)
    study = open_study(Path("out"), NONE, kind="a grid")
    options = ["('model.noise_scale', '0')", "('seed_everything', '0')"]
    study.enqueue_trial({}, user_attrs={"point": "noise_scale=0/seed-0", "options": options})
    dead = study.ask()
    main(SWEEP)
    assert sorted(fits.done) == [f"noise_scale={noise}/seed-{seed}" for noise in (0, 1) for seed in (0, 1)]
    assert open_study(Path("out"), NONE, kind="a grid").trials[dead.number].state == TrialState.FAIL


@pytest.mark.slow
def test_a_living_workers_point_is_waited_for(fits: Fits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_unlearn.commands.sweep.grid.HEARTBEAT", 0.1)
    fits.seconds = 2.0
    first = threading.Thread(target=main, args=(SWEEP,))
    first.start()
    main(SWEEP)
    first.join()
    assert sorted(fits.done) == [f"noise_scale={noise}/seed-{seed}" for noise in (0, 1) for seed in (0, 1)]


def test_a_folder_of_another_sweep_is_refused(fits: Fits, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.yaml").write_text("seed_everything: 1")
    main([*SWEEP, "-c", "own.yaml"])
    for words in ([*SWEEP, "-c", "own.yaml", "--trainer.max_steps", "2"], SWEEP):
        with pytest.raises(SystemExit):
            main(words)
        assert "out holds a sweep of other options or config files (-c own.yaml a grid)" in capsys.readouterr().err
    Path("own.yaml").write_text("seed_everything: 2")
    with pytest.raises(SystemExit):
        main([*SWEEP, "-c", "own.yaml"])
    assert "holds a sweep of other options or config files" in capsys.readouterr().err


def test_a_search_finds_the_best_point_within_the_limits(fits: Fits, capsys: pytest.CaptureFixture[str]) -> None:
    main([*SEARCH, "--limit", "forget<=0.4", "--trials", "25"])
    last = capsys.readouterr().out.strip().splitlines()[-1]
    found = float(last.split()[last.split().index("--model.noise_scale") + 1].rstrip(","))
    assert 1.5 < found <= 2
    assert len(fits.done) == 25


def test_a_search_goes_on_where_it_stopped_and_takes_means_over_seeds(fits: Fits) -> None:
    main([*SEARCH, "--trials", "3", "--seeds", "2"])
    main([*SEARCH, "--trials", "5", "--seeds", "2"])
    assert len(fits.done) == len(set(fits.done)) == 5 * 2
    main([*SEARCH, "--trials", "5", "--seeds", "2"])
    assert len(fits.done) == 10


def test_a_search_for_something_else_is_refused(fits: Fits, capsys: pytest.CaptureFixture[str]) -> None:
    main([*SEARCH, "--trials", "1"])
    for words in ([*SEARCH[:-1], "forget"], [*SEARCH, "--limit", "forget<=0.3"], [*SWEEP]):
        with pytest.raises(SystemExit):
            main(words)
        assert "out holds a sweep of other options" in capsys.readouterr().err


def test_limits_that_nothing_keeps_are_said(fits: Fits, capsys: pytest.CaptureFixture[str]) -> None:
    main([*SEARCH, "--limit", "forget<=0.1", "--trials", "2"])
    assert "None of the trials keeps the limits forget<=0.1." in capsys.readouterr().out


def test_an_unknown_objective_stops_the_search(fits: Fits, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([*SEARCH[:-1], "retained", "--trials", "9"])
    assert "nothing measured is called 'retained'; choose from forget, retain" in capsys.readouterr().err
    assert len(fits.done) == 1


def test_what_is_measured_without_questions() -> None:
    insert = {"measured": {"insert/forget": {"nll": 4.0}, "insert/word/trained": {"excess": 0.5, "cost": 0.7}}}
    held_out = {"forget": {"row": [0, 1], "nll": [4.0, 5.0]}, "retain": {"row": [0], "nll": [3.0]}}
    last = {"measured": {}, "insert": insert, "held_out": held_out}
    found = studies.last_measured({"evaluations": [{"measured": {}}, last, {**last, "interpolation": 0.5}]})
    assert found == {"insert/word/trained/excess": 0.5, "forget_nll": 4.5, "retain_nll": 3.0}


def test_a_search_can_look_for_what_is_low(fits: Fits, capsys: pytest.CaptureFixture[str]) -> None:
    main([*SEARCH[:-2], "--maximize=-retain", "--limit", "forget>=0.3", "--trials", "12"])
    found = float(re.findall(r"--model.noise_scale ([\d.]+), with retain", capsys.readouterr().out)[0])
    assert 1 <= found < 2.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([*SWEEP, "--workers", "0"], "sweep: --workers: must be at least 1, got 0"),
        ([*SWEEP, "--limit", "forget<=1"], "a grid has no limits; give --maximize too"),
        (["sweep", "--out", "out", "--maximize", "retain"], "nothing to search; give at least one option"),
        ([*SWEEP, "--store-gib", "-1"], "sweep.store_gib: -1.0 is not a size; give more than 0, or leave it out"),
        (
            [*SWEEP, "--store-gib", "1", "--model.prefix_store.folder=x"],
            "given a model.prefix_store too; leave out one",
        ),
        ([*SWEEP, "--storage", "nonsense://x"], "sweep.storage: nonsense://x cannot hold the study"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(
    fits: Fits, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    with pytest.raises(SystemExit):
        main(words)
    assert message in capsys.readouterr().err
    assert not fits.done


@pytest.mark.slow
def test_real_fits_write_into_folders_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = ["-c", "demo.yaml", "--trainer.max_steps", "2", "--trainer.val_check_interval", "2"]
    small = ["--data.questions", "8", "--trainer.callbacks", "[PerturbationRobustness]"]
    out = str(tmp_path / "out")
    main(
        [
            "sweep",
            *short,
            *small,
            "--over",
            "model.noise_scale=0,1.5",
            "--out",
            out,
            "--workers",
            "2",
            "--store-gib",
            "1",
        ]
    )
    assert f"Compare them: lit-unlearn report --method {out}/noise_scale=0 {out}/*/" in capsys.readouterr().out
    results = json.loads((tmp_path / "out" / "noise_scale=1.5" / "seed-0" / "results.json").read_text())
    assert results["hyperparameters"]["noise_scale"] == 1.5
    assert not [name for name in ("prefixes", "answers") if (tmp_path / "out" / name).exists()]
    with pytest.raises(SystemExit):
        main(["sweep", *short, *small, "--over", "model.noise_scale=-1", "--out", str(tmp_path / "refused")])
    assert "noise_scale" in capsys.readouterr().err.splitlines()[-1]


def test_another_workers_points_are_left_to_it(fits: Fits) -> None:
    study = open_study(Path("out"), NONE, kind="a grid")
    study.enqueue_trial({}, user_attrs={"point": "noise_scale=7/seed-0", "options": []})
    main(SWEEP)
    assert len(fits.done) == 4
    (waiting,) = open_study(Path("out"), NONE, kind="a grid").get_trials(states=(TrialState.WAITING,))
    assert waiting.user_attrs["point"] == "noise_scale=7/seed-0"


def test_a_point_that_was_fitted_otherwise_is_refused(fits: Fits) -> None:
    study = open_study(Path("out"), NONE, kind="a grid")

    def run(noise: str) -> None:
        point = Point("a", {"model.noise_scale": noise})
        run_points(study, Path("out"), [], [point], workers=1, report=lambda point, measured: None)

    run("1")
    with pytest.raises(InputError, match=r"sweep: a was fitted with other options or another config"):
        run("2")


def test_a_run_that_the_sweep_does_not_know_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "seed-0").mkdir()
    with pytest.raises(InputError, match=r"seed-0 holds a run that this sweep does not know; move it away"):
        studies.Fits()(tmp_path / "seed-0", ["-c", "none.yaml"], {})
    assert (tmp_path / "seed-0").is_dir()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_sweep_that_is_ended_ends_its_fits(tmp_path: Path, number: signal.Signals) -> None:
    words = ["sweep", "-c", "demo.yaml", "--over", "model.noise_scale=0,1,2", "--out", "out"]
    command = [sys.executable, "-m", "lit_unlearn", *words]
    # Where the tests run in the background, their shell has told them to ignore SIGINT.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    sweep = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL, preexec_fn=heeding)
    log = tmp_path / "out" / "noise_scale=0" / "seed-0.log"
    while not log.is_file():
        time.sleep(0.1)
    sweep.send_signal(number)
    assert sweep.wait(timeout=60) == 130
    assert not (tmp_path / "out" / "noise_scale=1").exists()
    states = [trial.state for trial in optuna.load_study(study_name="lit-unlearn", storage=journal(tmp_path)).trials]
    assert states == [TrialState.FAIL, TrialState.WAITING, TrialState.WAITING]


def test_a_signal_that_does_not_wake_the_main_thread_is_heeded(fits: Fits, monkeypatch: pytest.MonkeyPatch) -> None:
    def signalled(*_: Any, **__: Any) -> dict[str, Any]:
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)  # as one does that comes just before a wait
        fits.stopped.wait(30)
        raise FitFailed("stopped")

    monkeypatch.setattr(Fits, "__call__", signalled)
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run_points(
            open_study(Path("out"), NONE, kind="a grid"),
            Path("out"),
            [],
            [Point("a", {}), Point("b", {})],
            workers=1,
            report=lambda point, measured: None,
        )
    assert time.monotonic() < begun + 20


def journal(folder: Path) -> JournalStorage:
    return JournalStorage(JournalFileBackend(str(folder / "out" / "study.log")))


def test_what_fit_refuses_is_said_as_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"sweep: seed-0: .*no file 'none.yaml'"):
        studies.Fits()(tmp_path / "seed-0", ["-c", "none.yaml"], {})
    assert "none.yaml" in (tmp_path / "seed-0.log").read_text()

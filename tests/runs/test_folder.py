import multiprocessing
import os
import signal
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest
from filelock import FileLock
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import rank_zero_only

from lit_unlearn.errors import InputError
from lit_unlearn.runs import checksums, layout
from lit_unlearn.runs import folder as run_folder
from lit_unlearn.runs.folder import RunFolder


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_runs_of_the_same_second_do_not_meet() -> None:
    paths = [RunFolder().claim(None, ["configs/rmu.yaml", "other.yaml"]) for _ in range(20)]
    assert len(set(paths)) == 20
    assert all(path.is_dir() and path.parent == Path("runs") and path.name.startswith("rmu-") for path in paths)


def test_a_repeated_run_is_named_after_the_first() -> None:
    first = RunFolder().claim(None, ["rmu.yaml"])
    second = RunFolder().claim(None, [str(first / "config.yaml")])
    assert second.name.startswith("rmu-2")
    assert second.name.count("-") <= first.name.count("-") + 1


def test_without_a_config_there_is_a_name_too() -> None:
    assert RunFolder().claim(None, []).name.startswith("run-")


@pytest.mark.parametrize("made_before", [False, True])
def test_a_wanted_folder_is_taken_when_new_or_empty(made_before: bool) -> None:
    if made_before:
        Path("a/b").mkdir(parents=True)
    assert RunFolder().claim("a/b", ["rmu.yaml"]) == Path("a/b")
    assert Path("a/b").is_dir()


def test_a_wanted_folder_that_holds_something_is_refused() -> None:
    Path("a").mkdir()
    Path("a/notes.txt").touch()
    with pytest.raises(InputError, match=r"^trainer.default_root_dir: a holds something .* give a new folder"):
        RunFolder().claim("a", [])
    with pytest.raises(InputError, match=r"^trainer.default_root_dir: a/notes.txt holds something"):
        RunFolder().claim("a/notes.txt", [])


def test_a_wanted_folder_that_cannot_be_made_is_refused() -> None:
    Path("file").touch()
    with pytest.raises(InputError, match=r"^trainer.default_root_dir: 'file/a' cannot be made \(Not a directory\)"):
        RunFolder().claim("file/a", [])


@pytest.mark.parametrize("error", [InputError, MisconfigurationException])
@pytest.mark.parametrize("wanted", [None, "a/b/c"])
def test_a_refused_run_leaves_nothing(error: type[Exception], wanted: str | None) -> None:
    def refused() -> None:
        with RunFolder() as folder:
            path = folder.claim(wanted, [])
            (path / "config.yaml").touch()
            raise error("no")

    with pytest.raises(error):
        refused()
    assert not any(Path().iterdir())


def test_other_runs_stay_when_one_is_refused() -> None:
    def refused() -> None:
        with RunFolder() as folder:
            folder.claim(None, ["rmu.yaml"])
            raise InputError("no")

    first = RunFolder().claim(None, ["rmu.yaml"])
    with pytest.raises(InputError):
        refused()
    assert list(Path("runs").iterdir()) == [first]


@pytest.mark.parametrize(
    ("error", "file"), [(InputError, "metrics.csv"), (RuntimeError, "config.yaml"), (KeyboardInterrupt, "config.yaml")]
)
def test_what_may_be_of_worth_stays(error: type[BaseException], file: str) -> None:
    def broken() -> None:
        with RunFolder() as folder:
            (folder.claim("a", []) / file).touch()
            raise error("later")

    with pytest.raises(error):
        broken()
    assert Path("a", file).exists()


def test_a_finished_run_stays_and_an_empty_folder_goes() -> None:
    with RunFolder() as folder:
        (folder.claim("a", []) / "config.yaml").touch()
    with RunFolder() as folder:
        folder.claim("b", [])
    assert [path.name for path in Path().iterdir()] == ["a"]


def test_what_is_started_after_a_run_has_another_folder() -> None:
    before = dict(os.environ)
    with RunFolder() as folder:
        folder.claim("a", [])
        assert os.environ != before
    assert os.environ == before


def test_other_processes_take_the_first_ones_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    first = RunFolder().claim(None, ["rmu.yaml"])
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    with RunFolder() as folder:
        assert folder.claim(None, ["rmu.yaml"]) == first
    assert first.is_dir()


def test_processes_of_another_launcher_make_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rank_zero_only, "rank", 1)
    RunFolder().claim(None, ["rmu.yaml"])
    assert RunFolder().claim("wanted", []) == Path("wanted")
    assert not any(Path().iterdir())


def _write_until_killed(folder: str, claimed: Event) -> None:
    with RunFolder() as run:
        run.claim(folder, [])
        claimed.set()
        signal.pause()


@pytest.mark.slow
def test_another_process_is_refused_until_the_first_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "_PATIENCE", 0.0)
    context = multiprocessing.get_context("spawn")
    claimed = context.Event()
    other = context.Process(target=_write_until_killed, args=(os.path.abspath("run"), claimed))
    other.start()
    try:
        assert claimed.wait(100)
        with pytest.raises(InputError, match=r"^trainer.default_root_dir: another run is writing into run; wait for"):
            RunFolder().claim("run", [])
    finally:
        assert other.pid is not None
        os.kill(other.pid, signal.SIGKILL)
        other.join()
    assert Path("run", layout.LOCK).exists()
    with RunFolder() as folder:
        folder.claim("run", [])
    assert not any(Path("run").iterdir())


def test_a_run_that_is_refused_removes_nothing_of_the_one_that_is_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> None:
        with RunFolder() as folder:
            folder.claim("run", [])

    monkeypatch.setattr(run_folder, "_PATIENCE", 0.0)
    with RunFolder() as other:
        other.claim("run", [])
        with pytest.raises(InputError, match="another run is writing"):
            refused()
        assert Path("run", layout.LOCK).exists()


def test_a_lock_is_in_no_checksums() -> None:
    with RunFolder() as folder:
        path = folder.claim("run", [])
        (path / "config.yaml").touch()
        checksums.write_checksums(path)
        assert (path / layout.LOCK).exists()
        assert checksums.wrong(path) == []
    assert {found.name for found in path.iterdir()} == {"config.yaml", layout.CHECKSUMS}
    assert layout.LOCK not in (path / layout.CHECKSUMS).read_text()


def test_a_folder_that_cannot_be_locked_is_written_with_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object, **__: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(FileLock, "acquire", unsupported)
    with pytest.warns(UserWarning, match=r"run cannot be locked \(Operation not supported\)"), RunFolder() as folder:
        (folder.claim("run", []) / "config.yaml").touch()
    assert Path("run", layout.CHECKSUMS).exists()


def interrupted(wanted: str | None, *, answered: bool = True) -> Path:
    """The folder of an evaluation with the options `a` that Ctrl-C has interrupted."""
    folder = RunFolder()
    path = folder.claim(wanted, ["ask.yaml"], evaluation="a")
    (path / layout.CONFIG).touch()
    if answered:
        (path / layout.PARTIAL_ANSWERS / "0.safetensors").touch()
    folder.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
    return path


@pytest.mark.parametrize("wanted", [None, "run"])
def test_an_interrupted_evaluation_resumes_in_its_folder(wanted: str | None) -> None:
    path = interrupted(wanted)
    with RunFolder() as folder:
        assert folder.claim(wanted, ["ask.yaml"], evaluation="a") == path
        assert folder.holds_answers
        assert not (path / layout.CONFIG).exists()
        (path / layout.RESULTS).touch()
    assert {found.name for found in path.iterdir()} == {layout.RESULTS, layout.CHECKSUMS}
    if wanted:
        with pytest.raises(InputError, match="run holds something already"):
            RunFolder().claim(wanted, ["ask.yaml"], evaluation="a")


def test_an_evaluation_of_other_options_begins_another_run() -> None:
    path = interrupted(None)
    for evaluation in ("b", None):
        assert RunFolder().claim(None, ["ask.yaml"], evaluation=evaluation) != path
    assert (path / layout.CONFIG).exists()
    assert RunFolder().claim(None, ["other.yaml"], evaluation="a") != path


def test_an_evaluation_that_answered_nothing_leaves_no_answers() -> None:
    assert not (interrupted(None, answered=False) / layout.PARTIAL_ANSWERS).exists()


def test_the_same_evaluation_twice_at_a_time_has_two_folders(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_folder, "_PATIENCE", 0.0)
    path = interrupted(None)
    with FileLock(path / layout.LOCK), RunFolder() as folder:
        assert folder.claim(None, ["ask.yaml"], evaluation="a") != path

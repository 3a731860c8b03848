"""Every run has a folder of its own, and a refused run leaves none."""

import glob
import itertools
import os
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout
from lightning.fabric.utilities import rank_zero_warn
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import rank_zero_only

from lit_unlearn.errors import InputError
from lit_unlearn.runs import checksums, layout
from lit_unlearn.runs.atomic_files import check_makable, remove, write_whole

_VARIABLE = "LIT_UNLEARN_RUN_FOLDER"
_WRITTEN_FIRST = {layout.CONFIG, layout.HYPERPARAMETERS, layout.RECORD}
_OF_AN_EVALUATION = {*_WRITTEN_FIRST, layout.METRICS, layout.RESULTS, layout.GENERATIONS, layout.LM_EVAL}
_OPTIONS = "options.yaml"
"""Those of an evaluation, beside what it has answered."""
_PATIENCE = 20.0
"""Seconds in which the processes of a killed run end, those that prepare its batches included."""


class RunFolder:
    """The folder of a run, as a context: one that holds nothing of worth is removed when the run is refused.

    No other run can claim it meanwhile. When the run is finished, its files get their checksums.
    """

    def __init__(self) -> None:
        self.path: Path | None = None
        self.began: Callable[[], bool] = lambda: False
        """Whether the run has trained, so that it may be resumed."""
        self._made: list[Path] = []
        self._again = False
        self._lock: FileLock | None = None

    def claim(
        self, wanted: str | None, configs: list[str], *, again: bool = False, evaluation: str | None = None
    ) -> Path:
        """A new folder, the same in all processes of the run: the one wanted, else `runs/CONFIG-TIME`.

        Args:
            wanted: `trainer.default_root_dir`.
            configs: files of options; the first names the run.
            again: the one wanted may be that of a run that this one resumes.
            evaluation: the options of an evaluation, which resumes an interrupted one of the same options in its
                folder, if there is one.

        Raises:
            InputError: the one wanted holds something already, another run is writing there, or it cannot be made.
        """
        name = _name(Path(configs[0])) if configs else "run"
        if getattr(rank_zero_only, "rank", 0) != 0:
            # Lightning starts this machine's other processes with the first one's environment; those that another
            # launcher starts write nothing of their own, so that their folder need not exist.
            return Path(os.environ.get(_VARIABLE, wanted or f"runs/{name}"))
        if not self._resumes_evaluation([Path(wanted)] if wanted else _runs(name), evaluation):
            if wanted:
                self.path = self._make_wanted(Path(wanted), again=again)
            else:
                self.path = self._make_next(f"{name}-{datetime.now():%Y%m%d-%H%M%S}")
            self._lock = _locked(self.path)
        assert self.path is not None
        if evaluation is not None:
            self._begin_evaluation(self.path, evaluation)
        os.environ[_VARIABLE] = str(self.path)
        return self.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.path is None:
            return
        os.environ.pop(_VARIABLE, None)  # what this process starts from now on is of other runs
        if self._lock is None:  # another run's folder
            return
        if error is None or not self.holds_answers:
            remove(self.path / layout.PARTIAL_ANSWERS)
        refused = isinstance(error, InputError | MisconfigurationException | OSError) and not self._again
        self._remove_worthless(_WRITTEN_FIRST if refused else set())
        if error is None and holds_something(self.path):
            checksums.write_checksums(self.path)
        _unlock(self._lock)
        self._remove_empty()

    @property
    def holds_answers(self) -> bool:
        """Whether it holds answers of an evaluation that is not finished."""
        return self.path is not None and any((self.path / layout.PARTIAL_ANSWERS).glob("*.safetensors"))

    def _resumes_evaluation(self, folders: Iterable[Path], evaluation: str | None) -> bool:
        """Claims the first of some folders that holds what an interrupted evaluation of these options has answered."""
        for folder in folders if evaluation is not None else ():
            options = folder / layout.PARTIAL_ANSWERS / _OPTIONS
            if options.is_file() and options.read_text(encoding="utf-8") == evaluation:
                with suppress(InputError):  # the same command runs there
                    self._lock = _locked(folder)
                    self.path, self._again = folder, True
                    return True
        return False

    def _begin_evaluation(self, path: Path, options: str) -> None:
        """Removes what an interrupted evaluation has written other than answers, and notes this one's options."""
        for name in _OF_AN_EVALUATION if self._again else ():
            (path / name).unlink(missing_ok=True)
        answers = path / layout.PARTIAL_ANSWERS
        answers.mkdir(exist_ok=True)
        write_whole(answers / _OPTIONS, options)

    def _make_wanted(self, path: Path, *, again: bool) -> Path:
        self._again = check_claimable(path, again=again)
        return self._make(path, exist_ok=True)

    def _make_next(self, stem: str) -> Path:
        for number in itertools.count(1):
            with suppress(FileExistsError):
                return self._make(Path("runs") / (stem if number == 1 else f"{stem}-{number}"), exist_ok=False)
        raise AssertionError

    def _make(self, path: Path, *, exist_ok: bool) -> Path:
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        try:
            path.mkdir(parents=True, exist_ok=exist_ok)
        except FileExistsError:
            raise
        except OSError as error:
            raise InputError(
                f"trainer.default_root_dir: {path} cannot be made ({error.strerror}); give a folder that can be written"
            ) from error
        self._made = missing
        return path

    def _remove_worthless(self, names: set[str]) -> None:
        """Removes the files of these names, if the folder holds nothing else."""
        assert self.path is not None
        found = [path for path in self.path.iterdir() if path.name != layout.LOCK]
        if {path.name for path in found} <= names:
            for path in found:
                path.unlink()

    def _remove_empty(self) -> None:
        """Removes the folders that were made for this run, if they hold nothing."""
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()


def check_claimable(path: Path, *, again: bool) -> bool:
    """Checks that a run can have a folder: a new one, an empty one, or that of a run that is resumed.

    Args:
        path: of the folder.
        again: it may be that of a run that is resumed.

    Returns:
        Whether it is that of a run that is resumed.

    Raises:
        InputError: it cannot be made, or holds something already.
    """
    check_makable(path, "trainer.default_root_dir")
    empty = not path.exists() or (path.is_dir() and not holds_something(path))
    goes_on = again and (path / layout.CONFIG).is_file()
    if not (empty or goes_on):
        raise InputError(
            f"trainer.default_root_dir: {path} holds something already, perhaps another run; give a new folder, "
            "leave the option out, or resume a run of the same options by --ckpt_path last"
        )
    return goes_on


def holds_something(folder: Path) -> bool:
    """Whether a folder holds more than what a killed run has left: its lock, and what is half-written."""
    return any(
        path.name != layout.LOCK and not (path.name.startswith(".") and path.suffix == ".partial")
        for path in folder.iterdir()
    )


def _runs(name: str) -> list[Path]:
    """The folders of earlier runs of a config, the newest first."""
    return sorted(Path("runs").glob(f"{glob.escape(name)}-[0-9]*"), reverse=True)


def _locked(folder: Path) -> FileLock:
    """The lock of a folder, which no other process has; a process that ends, however it does, unlocks it."""
    lock = FileLock(folder.absolute() / layout.LOCK, fallback_to_soft=False)  # a soft one outlives a killed process
    try:
        lock.acquire(timeout=_PATIENCE, poll_interval=0.5)
    except Timeout:
        raise InputError(
            f"trainer.default_root_dir: another run is writing into {folder}; wait for its end, or stop it"
        ) from None
    except OSError as error:
        rank_zero_warn(f"{folder} cannot be locked ({error.strerror}); see that no other run writes into it")
    return lock


def _unlock(lock: FileLock) -> None:
    """Removes a lock's file and releases it, in this order: whoever waits for a file that is gone makes a new one."""
    with suppress(OSError):  # Windows removes no open file; there the release does
        Path(lock.lock_file).unlink()
    lock.release()


def _name(config: Path) -> str:
    """A config's name; a repeated run has that of the first."""
    if config.name != layout.CONFIG:
        return config.stem
    return re.sub(r"-\d{8}-\d{6}(-\d+)?$", "", config.resolve().parent.name)

"""Every run has a folder of its own, and a refused run leaves none."""

import itertools
import os
import re
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import rank_zero_only

from lit_unlearn.errors import InputError
from lit_unlearn.whole import check_makable

_VARIABLE = "LIT_UNLEARN_RUN_FOLDER"
_WRITTEN_FIRST = {"config.yaml", "hparams.yaml"}


class RunFolder:
    """The folder of a run, as a context: one that holds nothing of worth is removed when the run is refused."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self._made: list[Path] = []

    def claim(self, wanted: str | None, configs: list[str]) -> Path:
        """A new folder, the same in all processes of the run: the one wanted, else `runs/CONFIG-TIME`.

        Args:
            wanted: `trainer.default_root_dir`.
            configs: files of options; the first names the run.

        Raises:
            InputError: the one wanted holds something already, or cannot be made.
        """
        name = _name(Path(configs[0])) if configs else "run"
        if getattr(rank_zero_only, "rank", 0) != 0:
            # Lightning starts this machine's other processes with the first one's environment; those that another
            # launcher starts write nothing of their own, so that their folder need not exist.
            return Path(os.environ.get(_VARIABLE, wanted or f"runs/{name}"))
        self.path = (
            self._make_wanted(Path(wanted)) if wanted else self._make_next(f"{name}-{datetime.now():%Y%m%d-%H%M%S}")
        )
        os.environ[_VARIABLE] = str(self.path)
        return self.path

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.path is not None:
            refused = isinstance(error, InputError | MisconfigurationException | OSError)
            self._discard(_WRITTEN_FIRST if refused else set())

    def _make_wanted(self, path: Path) -> Path:
        check_makable(path, "trainer.default_root_dir")
        if path.exists() and not (path.is_dir() and not any(path.iterdir())):
            raise InputError(
                f"trainer.default_root_dir: {path} holds something already, perhaps another run; give a new folder or "
                "leave the option out"
            )
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

    def _discard(self, worthless: set[str]) -> None:
        """Removes the folders that were made for this run, if they hold nothing else."""
        assert self.path is not None
        if {found.name for found in self.path.iterdir()} <= worthless:
            for found in self.path.iterdir():
                found.unlink()
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()


def _name(config: Path) -> str:
    """A config's name; a repeated run has that of the first."""
    if config.name != "config.yaml":
        return config.stem
    return re.sub(r"-\d{8}-\d{6}(-\d+)?$", "", config.resolve().parent.name)

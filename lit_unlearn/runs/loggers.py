"""Loggers that one word names, in the folder of the run and under its name: `--trainer.logger wandb`."""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar

from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger

from lit_unlearn.errors import InputError
from lit_unlearn.runs.metrics_csv import MetricsCSV


class NamedLogger(Logger):
    """The word for a logger, which is made when the run's folder is known; it logs nothing itself."""

    packages: ClassVar[tuple[str, ...]] = ()
    """One of which has to be installed."""

    @classmethod
    @abstractmethod
    def made(cls, folder: Path) -> Logger | None:
        """The logger of a run; None where `metrics.csv` is all.

        Args:
            folder: of the run.
        """

    @property
    def name(self) -> str:
        """The word."""
        return type(self).__name__

    @property
    def version(self) -> None:
        """None."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Nothing."""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing."""


class csv(NamedLogger):
    """`metrics.csv` alone, as without `trainer.logger`."""

    @classmethod
    def made(cls, folder: Path) -> None:
        """None: that file is always written."""
        del folder


class tensorboard(NamedLogger):
    """TensorBoard, in the folder `tensorboard` of the run."""

    packages = ("tensorboard", "tensorboardX")

    @classmethod
    def made(cls, folder: Path) -> Logger:
        """The logger of a run."""
        return TensorBoardLogger(folder, name="tensorboard", version="")


class wandb(NamedLogger):
    """Weights & Biases, under the run's name; a run that resumes continues its own page."""

    packages = ("wandb",)

    @classmethod
    def made(cls, folder: Path) -> Logger:
        """The logger of a run."""
        own = sha256(str(folder.absolute()).encode()).hexdigest()[:16]
        return WandbLogger(name=folder.absolute().name, save_dir=folder, id=own)


def loggers(given: Logger | Iterable[Logger] | bool | None, folder: Path) -> Sequence[Logger]:
    """The loggers of a run: `metrics.csv` first, whatever else there is; none where it is `False`.

    Args:
        given: the option `trainer.logger`.
        folder: of the run.

    Raises:
        InputError: the package of a logger is not installed.
    """
    if given is False:
        return []
    wanted = _wanted(given)
    made = [_made(one, folder) if isinstance(one, NamedLogger) else one for one in wanted]
    others = [one for one in made if one is not None]
    csvs = [] if any(isinstance(one, MetricsCSV) for one in others) else [MetricsCSV(folder)]
    return [*csvs, *others]


def check_loggers(given: Logger | Iterable[Logger] | bool | None) -> None:
    """The packages of loggers are installed.

    Args:
        given: the option `trainer.logger`.

    Raises:
        InputError: one is not.
    """
    for one in _wanted(given):
        if isinstance(one, NamedLogger):
            _check_installed(one)


def _wanted(given: Logger | Iterable[Logger] | bool | None) -> list[Logger]:
    if isinstance(given, Logger):
        return [given]
    return [*given] if isinstance(given, Iterable) else []


def _made(word: NamedLogger, folder: Path) -> Logger | None:
    _check_installed(word)
    return word.made(folder)


def _check_installed(word: NamedLogger) -> None:
    if word.packages and not any(find_spec(name) for name in word.packages):
        raise InputError(f"trainer.logger: {word.name} is not installed; pip install {word.packages[0]}")

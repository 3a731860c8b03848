"""A file in the run's folder that a callback writes, and that is never another run's."""

from pathlib import Path

import lightning as L
from lightning.pytorch.trainer.states import TrainerFn

from lit_unlearn.errors import InputError
from lit_unlearn.runs.atomic_files import write_whole


class OwnFile:
    """What one callback writes into the run's folder, from the beginning at each evaluation.

    A Trainer without `default_root_dir` writes into the working directory, where an earlier run may have left its own.

    Args:
        owner: the callback's class, for the error.
        name: of the file.
    """

    def __init__(self, owner: str, name: str) -> None:
        self.owner, self.name = owner, name
        self._written: set[Path] = set()

    def check(self, trainer: L.Trainer) -> None:
        """Checks, in all processes, that nothing of another run would be lost; a fit that resumes has the run's own.

        To be called where the checkpoint of a fit has been read, which is after `setup`.

        Raises:
            InputError: the file is there, and neither this callback has written it nor does the fit resume.
        """
        path = self._path(trainer)
        resumes = trainer.state.fn == TrainerFn.FITTING and trainer.ckpt_path is not None
        lost = path.exists() and path not in self._written and not resumes
        if trainer.strategy.broadcast(lost):  # of the process that writes: others may not see its disk
            raise InputError(
                f"{self.owner}: {path} is there already, of another run, and would be overwritten; give this run a "
                "folder of its own, Trainer(default_root_dir=…), or move the file away"
            )

    def write(self, trainer: L.Trainer, content: str) -> None:
        """Writes it, in one process."""
        path = self._path(trainer)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
        self._written.add(path)

    def _path(self, trainer: L.Trainer) -> Path:
        return Path(trainer.default_root_dir).absolute() / self.name

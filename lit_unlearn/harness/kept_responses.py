"""What a model has answered to the harness so far, on disk, where the same command finds it after an interruption."""

import glob
import sqlite3
from contextlib import closing
from importlib.metadata import version
from pathlib import Path

from lm_eval.models.huggingface import HFLM

from lit_unlearn.running.fingerprints import arithmetic, digest, model_fingerprint, tensors_of

_CODE = ("lm-eval", "transformers")


class KeptResponses:
    """The responses of one model, in a file that the harness writes request by request (`use_cache`) and reads again.

    The harness knows a request by its text alone, so the file's name has a digest of the model.

    Args:
        out: the file of results, next to which it is.
        model: with its weights.
    """

    def __init__(self, out: Path, model: HFLM) -> None:
        weights = model_fingerprint(model.config, tensors_of(model.model), str(model.model.dtype))
        about = [weights, arithmetic(model.device), *map(version, _CODE)]
        self._out = out
        self.cache = str(out.with_name(f".{out.name}.{digest(map(str.encode, about))[:16]}"))
        """For the harness, which adds the number of the process and `.db`."""

    @property
    def path(self) -> Path:
        """The file of this process."""
        return Path(f"{self.cache}_rank0.db")

    def __len__(self) -> int:
        """How many requests are answered."""
        if not self.path.is_file():
            return 0
        with closing(sqlite3.connect(self.path)) as database:
            try:
                return int(database.execute("SELECT COUNT(*) FROM unnamed").fetchone()[0])
            except sqlite3.OperationalError:  # interrupted before the table was made
                return 0

    def remove(self) -> None:
        """Removes the file, and those of other models for the same results."""
        for path in self._out.parent.glob(f".{glob.escape(self._out.name)}.*_rank0.db*"):
            path.unlink()

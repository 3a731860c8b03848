"""The results of a run: as its callbacks write them, or compressed, as a study keeps them."""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

from lit_unlearn.runs import layout


def results_file(folder: Path) -> Path | None:
    """The file of a folder that holds a run's results; None where there is none."""
    found = (folder / name for name in (layout.RESULTS, layout.KEPT_RESULTS))
    return next((path for path in found if path.is_file()), None)


def read_results(path: Path) -> Any:
    """What a file of results holds; it is compressed where its name ends in `.gz`.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or not whole.
    """
    content = path.read_bytes()
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error) as error:
            raise ValueError(f"{path} is not whole") from error
    return json.loads(content)


def compressed(results: Any) -> bytes:
    """Results as `read_results` reads them from a name that ends in `.gz`: the same bytes each time.

    Example:
        >>> len(compressed({"evaluations": []})) == len(compressed({"evaluations": []})) > 0
        True
    """
    return gzip.compress(json.dumps(results, separators=(",", ":")).encode(), compresslevel=9, mtime=0)

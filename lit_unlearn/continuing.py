"""Going on with an interrupted run in its own folder: `--ckpt_path last`."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from lit_unlearn import checksums
from lit_unlearn.callbacks import last_checkpoint
from lit_unlearn.errors import InputError
from lit_unlearn.whole import recover, remove_partial

LAST = "last"
"""The value of `ckpt_path`."""
NAME = last_checkpoint.NAME
"""Of the checkpoint in a run's folder."""
CONFIG = "config.yaml"
_ABSENT = object()


def saved(parser: LightningArgumentParser, options: Namespace) -> str:
    """The options of a run as its `config.yaml` has them: all but its folder and whether it goes on there."""
    kept = options.clone()
    kept.trainer.default_root_dir = None
    if kept.get("ckpt_path") == LAST:
        kept.ckpt_path = None
    text: str = parser.dump(kept, skip_none=False)
    return text


def checkpoint(folder: Path, options: str) -> str | None:
    """The checkpoint from which the run in a folder goes on, which nothing else writes into; None begins it.

    What an interruption has left half-written is removed.

    Args:
        folder: of the run; it may be empty.
        options: as `saved` gives them.

    Raises:
        InputError: the run there has other options.
    """
    before = _check_options(folder, yaml.safe_load(options))
    remove_partial(folder)
    recover(folder / NAME)
    found = folder / NAME if (folder / NAME).exists() else _newest(folder / "checkpoints")
    if found is not None:
        return str(found)
    (folder / "metrics.csv").unlink(missing_ok=True)
    return None if before is None else before.get("ckpt_path")


def is_finished(folder: Path) -> bool:
    """Whether the run in this folder has ended: its checksums are the last that it writes."""
    return (folder / checksums.NAME).is_file()


def command(folder: Path) -> str:
    """What goes on with the run in a folder, as one types it."""
    words = ["lit-unlearn", "fit", "-c", str(folder / CONFIG), "--trainer.default_root_dir", str(folder)]
    return shlex.join([*words, "--ckpt_path", LAST])


def step(folder: Path) -> int | None:
    """The step after which the run in a folder goes on; None where it has no `last.ckpt` yet."""
    path = folder / NAME
    path = path / "meta.pt" if path.is_dir() else path  # a folder is what several processes have written
    return int(torch.load(path, mmap=True, weights_only=True)["global_step"]) if path.is_file() else None


def _check_options(folder: Path, own: dict[str, Any]) -> dict[str, Any] | None:
    """The options of the run in a folder; None where there is none."""
    path = folder / CONFIG
    if not path.is_file():
        return None
    before: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    there, here = dict(_flat(before)), dict(_flat(own))
    for name in sorted((there.keys() | here.keys()) - {"ckpt_path"}):
        if there.get(name, _ABSENT) != here.get(name, _ABSENT):
            raise InputError(
                f"{name}: the run in {folder} has {_shown(there, name)}, this command {_shown(here, name)}; go on with "
                f"the same options (-c {path}), or begin another run in a new folder"
            )
    return before


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every option and its value, by its dotted name."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _shown(options: dict[str, Any], name: str) -> str:
    return repr(options[name]) if name in options else "none"


def _newest(folder: Path) -> Path | None:
    """The newest checkpoint that a ModelCheckpoint has written."""
    found = sorted(folder.glob("*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
    return found[-1] if found else None

"""Resuming an interrupted run in its own folder: `--ckpt_path last`."""

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch.cli import LightningArgumentParser

from lit_unlearn.errors import InputError
from lit_unlearn.runs import checkpoint_io, layout
from lit_unlearn.runs.atomic_files import recover, remove_partial, replaced

LAST = "last"
"""The value of `ckpt_path`."""
_ABSENT = object()


def saved(parser: LightningArgumentParser, options: Namespace) -> str:
    """The options of a run as its `config.yaml` has them: all that decide its numbers, as its folder does not."""
    kept = options.clone()
    kept.trainer.default_root_dir = None
    for store in ("model.prefix_store", "model.answer_store"):  # which may be gone: those of a sweep go with it
        if kept.get(store) is not None:
            kept[store] = None
    if kept.get("ckpt_path") == LAST:
        kept.ckpt_path = None
    text: str = parser.dump(kept, skip_unset=False)
    return text


def check_options(folder: Path, options: str) -> dict[str, Any]:
    """The options of the run in a folder; empty where there is none.

    Args:
        folder: of the run.
        options: of the run that is to resume there, as `saved` gives them.

    Raises:
        InputError: the run there has other options.
    """
    path = folder / layout.CONFIG
    if not path.is_file():
        return {}
    before: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    there, here = dict(_flat(before)), dict(_flat(yaml.safe_load(options)))
    for name in sorted((there.keys() | here.keys()) - {"ckpt_path"}):
        if there.get(name, _ABSENT) != here.get(name, _ABSENT):
            raise InputError(
                f"{name}: the run in {folder} has {_shown(there, name)}, this command {_shown(here, name)}; resume "
                f"with the same options (-c {path}), or begin another run in a new folder"
            )
    return before


def check_last(command: str, options: Namespace) -> None:
    """Checks that `--ckpt_path last` is given to a fit whose folder is named.

    Args:
        command: `fit`, `validate` or `test`.
        options: of the command.

    Raises:
        InputError: it is another command, or no folder is named.
    """
    if command != "fit":
        raise InputError(f"ckpt_path: {LAST!r} resumes a fit; give a file such as RUN/{layout.LAST_CHECKPOINT}")
    if options.trainer.default_root_dir is None:
        raise InputError(f"ckpt_path: {LAST!r} resumes the run in trainer.default_root_dir; give that folder")


def last(folder: Path, options: str) -> str | None:
    """The checkpoint from which the run in a folder resumes: its own, or that from which it began; None for none.

    Args:
        folder: of the run.
        options: of the run that is to resume there, as `saved` gives them.

    Raises:
        InputError: the run there has other options.
    """
    before = check_options(folder, options)
    return checkpoint(folder) or before.get("ckpt_path")


def clean(folder: Path) -> None:
    """Removes what an interruption has left half-written in a folder that nothing else writes into."""
    remove_partial(folder)
    recover(folder / layout.LAST_CHECKPOINT)
    if checkpoint(folder) is None:  # it begins again, and so do these
        for name in (layout.METRICS, layout.RESULTS, layout.GENERATIONS, layout.LM_EVAL):
            (folder / name).unlink(missing_ok=True)


def checkpoint(folder: Path) -> str | None:
    """The checkpoint from which the run in a folder resumes; None where it has none yet.

    One that `recover` is about to give its name back, in another process, counts.
    """
    path = folder / layout.LAST_CHECKPOINT
    if path.exists() or replaced(path).exists():
        return str(path)
    found = sorted((folder / layout.CHECKPOINTS).glob("*.ckpt"), key=lambda one: one.stat().st_mtime_ns)
    return next((str(one) for one in reversed(found) if one.is_dir() or checkpoint_io.resumes(str(one))), None)


def is_finished(folder: Path) -> bool:
    """Whether the run in this folder has ended: its checksums are the last that it writes."""
    return (folder / layout.CHECKSUMS).is_file()


def command(folder: Path) -> str:
    """What resumes the run in a folder, as one types it."""
    words = ["lit-unlearn", "fit", "-c", str(folder / layout.CONFIG), "--trainer.default_root_dir", str(folder)]
    return shlex.join([*words, "--ckpt_path", LAST])


def step(folder: Path) -> int | None:
    """The step after which the run in a folder resumes; None where it has no `last.ckpt` yet."""
    path = folder / layout.LAST_CHECKPOINT
    path = path / "meta.pt" if path.is_dir() else path  # a folder is what several processes have written
    return int(torch.load(path, mmap=True, weights_only=True)["global_step"]) if path.is_file() else None


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every option and its value, by its dotted name."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _shown(options: dict[str, Any], name: str) -> str:
    return repr(options[name]) if name in options else "none"

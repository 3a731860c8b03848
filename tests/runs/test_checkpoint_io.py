import errno
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lit_unlearn import InputError
from lit_unlearn.runs.checkpoint_io import WholeCheckpointIO, check_whole, read_identity

CONTENT = {"lit_unlearn": {"shapes": {}, "seeds": {}}, "weights": torch.arange(1000.0)}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    WholeCheckpointIO().save_checkpoint(CONTENT, tmp_path / "last.ckpt")
    return tmp_path / "last.ckpt"


def test_what_is_written_is_read(checkpoint: Path) -> None:
    check_whole(str(checkpoint))
    assert read_identity(str(checkpoint)) == {"shapes": {}, "seeds": {}}
    read = WholeCheckpointIO().load_checkpoint(checkpoint, weights_only=True)
    assert torch.equal(read["weights"], CONTENT["weights"])  # type: ignore[arg-type]
    assert [path.name for path in checkpoint.parent.iterdir()] == ["last.ckpt"]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:2000])


def _turn_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], Any]] = {
    "does not exist": Path.unlink,
    "is not a checkpoint, or was cut off": _cut,
    "is damaged, at archive/data/0": _turn_a_bit,
}


@pytest.mark.parametrize("message", DAMAGES)
def test_a_damaged_checkpoint_is_refused_by_name(checkpoint: Path, message: str) -> None:
    DAMAGES[message](checkpoint)
    with pytest.raises(
        InputError, match=f"^ckpt_path: {checkpoint} {message}; give one such as RUN/last.ckpt, or leave"
    ):
        check_whole(str(checkpoint))


def test_what_another_program_wrote_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"code": Path("x")}, tmp_path / "foreign.ckpt")
    with zipfile.ZipFile(tmp_path / "archive.ckpt", "w") as archive:
        archive.writestr("a", "b")
    for name in ("foreign.ckpt", "archive.ckpt"):
        with pytest.raises(InputError, match=f"{name} is not whole, or holds more than tensors"):
            read_identity(str(tmp_path / name))


def test_a_full_disk_leaves_the_earlier_checkpoint(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match=r"last.ckpt cannot be written \(No space left on device\); what was there"):
        WholeCheckpointIO().save_checkpoint({"later": True}, checkpoint)
    assert read_identity(str(checkpoint)) == {"shapes": {}, "seeds": {}}
    assert [path.name for path in checkpoint.parent.iterdir()] == ["last.ckpt"]


@pytest.mark.slow
def test_a_disk_that_really_is_full(checkpoint: Path) -> None:
    code = """
import resource, signal, torch
from lit_unlearn.runs.checkpoint_io import WholeCheckpointIO
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
WholeCheckpointIO().save_checkpoint({"weights": torch.zeros(100_000)}, "last.ckpt")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=checkpoint.parent, capture_output=True, text=True, timeout=120
    )
    assert "RunFailed: last.ckpt cannot be written (File too large)" in done.stderr
    assert read_identity(str(checkpoint)) == {"shapes": {}, "seeds": {}}
    assert [path.name for path in checkpoint.parent.iterdir()] == ["last.ckpt"]

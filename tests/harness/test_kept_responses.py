import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from lm_eval.models.huggingface import HFLM

from lit_unlearn.harness.kept_responses import KeptResponses
from tests.asking import random_model
from tests.harness.test_tasks import write_mmlu
from tests.processes import forked


def _asked(words: list[str], folder: Path, forwards: int) -> None:
    """Runs a command, which is killed after some forwards of the model."""
    from lit_unlearn.cli import main

    os.chdir(folder)
    run, left = HFLM._model_call, iter(range(forwards))

    def called(*args: Any, **options: Any) -> Any:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)
        return run(*args, **options)

    HFLM._model_call = called
    main(words)


def asked(words: list[str], folder: Path, forwards: int = 10_000) -> int | None:
    process = forked().Process(target=_asked, args=(words, folder, forwards))
    process.start()
    process.join()
    return process.exitcode


def numbers(path: Path) -> Any:
    found = json.loads(path.read_text())
    for sample in (sample for samples in found["samples"].values() for sample in samples):
        sample["filtered_resps"] = sample["resps"] = None  # equal to the rounding of batches, as the accuracies show
    return {name: found[name] for name in ("results", "samples", "n-samples", "configs")}


@pytest.mark.slow
def test_a_killed_command_resumes(world: Path, tmp_path: Path) -> None:
    metadata = json.dumps({"questions": str(write_mmlu(tmp_path / "mmlu"))})
    words = ["eval", "--model", str(world / "model"), "--tasks", "mmlu_local", "--metadata", metadata]
    words += ["--batch_size", "2", "--device", "cpu", "--log_samples", "--out"]
    assert asked([*words, "out.json"], tmp_path, forwards=4) == -signal.SIGKILL
    (kept,) = tmp_path.glob(".out.json.*.db")
    assert not (tmp_path / "out.json").exists()
    assert asked([*words, "whole.json"], tmp_path) == 0
    assert asked([*words, "out.json"], tmp_path, forwards=1) == -signal.SIGKILL  # and once more
    assert asked([*words, "out.json"], tmp_path) == 0
    assert numbers(tmp_path / "out.json") == numbers(tmp_path / "whole.json")
    assert not kept.exists()
    assert not [*tmp_path.glob(".*.db*")]


class _Holding:
    """What `KeptResponses` reads of the harness' model."""

    def __init__(self, **options: Any) -> None:
        self.model = random_model("llama", **options)
        self.config, self.device = self.model.config, self.model.device


def test_models_do_not_share_responses(tmp_path: Path) -> None:
    one, same, other = (
        KeptResponses(tmp_path / "out.json", _Holding(**options)) for options in ({}, {}, {"initializer_range": 0.4})
    )
    assert one.path == same.path != other.path
    assert len(one) == 0
    one.path.touch()
    assert len(one) == 0
    other.remove()
    assert not one.path.exists()

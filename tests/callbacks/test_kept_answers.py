"""An evaluation that is killed resumes with the same command, and finds what one finds that is not interrupted."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import yaml

from lit_unlearn.runs import layout
from tests.processes import run_command
from tests.questions.test_sets import write_questions

STRATEGIES = {
    "ddp": ["--trainer.strategy=ddp"],
    "fsdp2": [
        "--trainer.strategy=ModelParallelStrategy",
        "--trainer.strategy.data_parallel_size=2",
        "--trainer.strategy.tensor_parallel_size=1",
        "--trainer.strategy.save_distributed_checkpoint=false",
    ],
}


class Killed(L.Callback):
    """Kills the process when so many batches have been asked, if the variable KILLED says so; counts forwards."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.asked = 0
        ask = pl_module._ask

        def counted(batch: Any) -> Any:
            self.asked += 1
            return ask(batch)  # type: ignore[operator]

        pl_module._ask = counted  # type: ignore[assignment]

    def on_validation_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.batches -= 1
        if self.batches == 0 and os.environ.get("KILLED"):
            os.kill(os.getpid(), signal.SIGKILL)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        print(f"rank {trainer.global_rank} asked {self.asked} batches")


@pytest.fixture
def words(world: Path, tmp_path: Path) -> list[str]:
    """A command that asks 24 questions in 6 batches or more, the third of which may be its last."""
    questions = write_questions(tmp_path / "retain.jsonl", 8)
    content = {
        "data": {
            "class_path": "UnlearnDataModule",
            "init_args": {
                "forget": {"alchemy": {"path": str(world / "alchemy.jsonl")}},
                "retain": {"gardening": {"path": str(world / "gardening.jsonl")}},
                "evaluation": {
                    "questions": {"retain": {"path": questions.path}},
                    "perturbations": {"two": {"n": 2}},
                    "max_tokens": 64,
                },
            },
        },
        "trainer": {
            "accelerator": "cpu",
            "enable_progress_bar": False,
            "callbacks": [
                "PerturbationRobustness",
                {"class_path": "tests.callbacks.test_kept_answers.Killed", "init_args": {"batches": 3}},
            ],
        },
    }
    (tmp_path / "ask.yaml").write_text(yaml.safe_dump(content))
    return ["validate", "--model", str(world / "model"), "-c", str(tmp_path / "ask.yaml")]


def results(run: Path) -> Any:
    return json.loads((run / layout.RESULTS).read_text())


@pytest.mark.slow
@pytest.mark.parametrize("named", [False, True])
def test_a_killed_evaluation_resumes_with_the_same_command(words: list[str], tmp_path: Path, named: bool) -> None:
    out = ["--trainer.default_root_dir=run"] if named else []
    with pytest.raises(AssertionError):
        run_command([*words, *out], tmp_path, KILLED="1")
    (run,) = [tmp_path / "run"] if named else (tmp_path / "runs").iterdir()
    assert len([*(run / layout.PARTIAL_ANSWERS).glob("*.safetensors")]) == 3
    said = run_command([*words, *out], tmp_path)
    whole = run_command([*words, "--trainer.default_root_dir=whole"], tmp_path)
    asked = [int(text.partition("rank 0 asked ")[2].split()[0]) for text in (said, whole)]
    assert asked[0] == asked[1] - 3 > 0
    assert f"of 24 questions already answered, from {run.relative_to(tmp_path) / layout.PARTIAL_ANSWERS}" in said
    assert "already answered" not in whole
    assert results(run) == results(tmp_path / "whole")
    assert {path.name for path in run.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}
    assert (run / layout.CHECKSUMS).is_file()
    assert named or len([*(tmp_path / "runs").iterdir()]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_resume_together(words: list[str], tmp_path: Path, strategy: str) -> None:
    words = [*words, *STRATEGIES[strategy], "--trainer.devices=2"]
    run = [*words, "--trainer.default_root_dir=run"]
    with pytest.raises(AssertionError):
        run_command(run, tmp_path, processes=2, KILLED="1")
    answers = [*(tmp_path / "run" / layout.PARTIAL_ANSWERS).glob("*.safetensors")]
    answers[0].unlink()  # one of the two processes has it, and yet both ask
    said = run_command(run, tmp_path, processes=2)
    whole = run_command([*words, "--trainer.default_root_dir=whole"], tmp_path, processes=2)
    assert "of 24 questions already answered, from run/" in said
    for rank in (0, 1):
        first, second = (int(text.partition(f"rank {rank} asked ")[2].split()[0]) for text in (said, whole))
        assert 0 < first < second
    assert results(tmp_path / "run") == results(tmp_path / "whole")


@pytest.mark.slow
def test_other_options_resume_nothing(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        run_command(words, tmp_path, KILLED="1")
    assert "already answered" not in run_command([*words, "--seed_everything=1"], tmp_path)
    assert len([*(tmp_path / "runs").iterdir()]) == 2

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks import scale, whole_run
from benchmarks.checkpoint import holds, write_checkpoint
from benchmarks.predicted import predict
from benchmarks.shapes import published
from lit_unlearn.models import loading
from lit_unlearn.models.source import ModelSource
from tests.fast import only

CPU = torch.device("cpu")
SMALL = ["--shape", "small", "--rows", "2", "--tokens", "128", "--steps", "3", "--questions", "4"]
FIT, ASKED = ["load", "step", "export"], ["load, whole model", "evaluation"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small shape, in several files."""
    path = tmp_path_factory.mktemp("small")
    write_checkpoint(path, published("small"), CPU, most=20 * 2**20)
    return path


@pytest.mark.parametrize(("name", "weights"), [("mistral-7b", 7_241_732_096), ("llama-3-8b", 8_030_261_248)])
def test_shapes_have_as_many_weights_as_published(name: str, weights: int) -> None:
    model = loading.without_weights(published(name), torch.bfloat16, None)
    assert sum(parameter.numel() for parameter in model.parameters()) == weights


def test_a_checkpoint_in_several_files_is_loaded_whole(folder: Path) -> None:
    assert len(list(folder.glob("*.safetensors"))) > 2
    model = loading.load_model(ModelSource(str(folder)), torch.bfloat16)
    first, last = (model.get_parameter(f"model.layers.{index}.mlp.down_proj.weight") for index in (0, 7))
    assert first.float().std().item() == pytest.approx(0.02, rel=0.01)
    assert not torch.equal(first, last)
    assert model.get_parameter("model.norm.weight").eq(1).all()


def test_a_checkpoint_of_another_shape_is_not_used(folder: Path) -> None:
    assert holds(folder, published("small"))
    assert not holds(folder / "none", published("small"))
    with pytest.raises(SystemExit, match=r"--folder: .* has num_hidden_layers 8, not 6; give another folder"):
        holds(folder, published("small", 6))


def test_a_run_is_measured_phase_by_phase(folder: Path, tmp_path: Path) -> None:
    options = scale.parsed([*SMALL, "--rows", "1", "--tokens", "32"])
    found = whole_run.fit(folder, tmp_path, options) | whole_run.evaluate(folder, tmp_path, options)
    assert [*found] == FIT + ASKED
    assert [len(phase.seconds) for phase in found.values()] == [1, 3, 1, 1, 3]
    assert all(second > 0 for phase in found.values() for second in phase.seconds)
    assert (tmp_path / "export" / "model.safetensors.index.json").is_file()


def test_the_plan_is_that_of_the_options(folder: Path) -> None:
    kept, again = (
        predict(folder, scale.parsed([*SMALL, "--method", "NPO+KL", *words]))
        for words in ([], ["--activation-checkpointing"])
    )
    assert again.memory["step"] < kept.memory["step"]
    assert again.flops > kept.flops
    weights = loading.without_weights(published("small"), torch.bfloat16, None).num_parameters()
    assert kept.memory["evaluation"] == kept.exported == 2 * weights


def test_an_option_that_cannot_be_is_refused_before_anything_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=r"model.layer: 8 is out of range"):
        scale.main([*SMALL, "--layer", "8", "--folder", str(folder)])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="--device: cuda is not here; take cpu"):
        scale.main([*SMALL, "--device", "cuda", "--folder", str(folder)])


def test_what_does_not_fit_is_named_and_left_out(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scale, "free_memory", lambda device: 2**20)
    scale.main([*SMALL, "--folder", str(folder)])
    shown = capsys.readouterr().out
    assert "fit left out: 0.12 GiB are predicted, 0.00 GiB are free" in shown
    assert "evaluation left out" in shown
    assert "step" not in shown


@pytest.mark.parametrize("status", only([3, -9], -9))
def test_a_part_without_enough_memory_is_named(status: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends(monkeypatch, status)
    found = scale.measure(folder, scale.parsed([*SMALL, "--leave-out", "export"]), SMALL)
    assert found["left_out"] == {"export": "as asked for", "fit": "out of memory", "evaluation": "out of memory"}


def test_a_part_that_fails_otherwise_ends_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends(monkeypatch, 1)
    with pytest.raises(SystemExit, match="fit failed with exit status 1"):
        scale.measure(folder, scale.parsed(SMALL), SMALL)


@pytest.mark.slow
def test_the_command_measures_beside_the_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = run(tmp_path, "--method", "NPO+KL", "--activation-checkpointing")
    assert [*found["phases"]] == FIT + ASKED
    assert found["left_out"] == {}
    # What torch takes for itself, once, is not small beside a model of 0.05 GiB.
    assert 0.9 < found["phases"]["step"]["measured_over_predicted"] < 1.7
    assert 0.9 < found["phases"]["load"]["measured_over_predicted"] < 1.7
    assert "NPO+KL + RNA, steering layer 7, 2 × 2 × 128 tokens, bf16-mixed, activation checkpointing" in (
        capsys.readouterr().out
    )


@pytest.mark.gpu
def test_the_command_measures_a_gpu(tmp_path: Path) -> None:
    found = run(tmp_path, "--device", "cuda")
    assert [*found["phases"]] == FIT + ASKED
    assert 0.5 < found["phases"]["step"]["measured_over_predicted"] < 2


def run(folder: Path, *words: str) -> dict[str, Any]:
    """What the command writes, in processes of its own as far as it does so."""
    path = folder / "found.json"
    scale.main([*SMALL, *words, "--folder", str(folder / "model"), "--json", str(path)])
    assert not list((folder / "model").glob("tmp*"))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def ends(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """Every part ends with this exit status."""
    done = subprocess.CompletedProcess[bytes]([], status)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: done)

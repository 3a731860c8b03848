import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from torch.optim import SGD

from benchmarks import step
from benchmarks.floor import operations
from benchmarks.measured import Memory, ratio
from benchmarks.published import Published
from benchmarks.shapes import configure, write_model
from benchmarks.step import METHODS
from lit_unlearn import UnlearnModule
from tests.commands.plan.measuring import count_flops
from tests.fast import only
from tests.processes import in_forked_process

SMALL = ["--hidden", "128", "--layers", "5", "--layer", "3", "--batch", "2", "--tokens", "32"]


@pytest.mark.parametrize("name", METHODS)
def test_a_step_makes_no_product_that_it_could_do_without(name: str, tmp_path: Path) -> None:
    config, reads = configure(128, 5), METHODS[name].reads
    write_model(tmp_path, config, torch.float32, torch.device("cpu"))
    run, _ = step.contender("ours", name, tmp_path, step.parsed(SMALL))
    with count_flops() as counted:
        run(5)
    made = counted.get_flop_counts()["Global"][torch.ops.aten.mm]
    forget, retain = METHODS[name].published
    # A row's last token predicts nothing: a likelihood takes no logits for it.
    passes = {"NPO": 3, "SimNPO": 2, "DPO": 6, "GradDiff": 2}.get(forget, 0) + (2 if retain == "NLL" else 0)
    saved = passes * 2 * 128 * config.vocab_size * 2
    assert made == operations(config, reads, rows=2, tokens=32, layer=3).products - saved


@pytest.fixture
def forked_but_for_the_first(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Memory of the first contender is measured in a process as the benchmark starts it, the others' in forked ones."""
    apart, measured = step._memory_apart, list[str]()

    def measure(one: str, name: str, folder: Path, options: argparse.Namespace) -> Mapping[str, float | None]:
        measured.append(one)
        if len(measured) == 1:
            return apart(one, name, folder, options)
        own = argparse.Namespace(**{**vars(options), "memory_of": (one, name, str(folder))})
        return in_forked_process(step._memory, own)

    monkeypatch.setattr(step, "_memory_apart", measure)
    return measured


@pytest.mark.slow
def test_the_benchmark_measures_each_beside_ours(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], forked_but_for_the_first: list[str]
) -> None:
    step.main(
        [
            *SMALL,
            "--rounds",
            "2",
            "--vocabulary",
            "3000",
            "--methods",
            "RMU",
            "NPO+KL",
            "--json",
            str(tmp_path / "out.json"),
        ]
    )
    rmu, npo = json.loads((tmp_path / "out.json").read_text())
    assert forked_but_for_the_first == [*rmu["peak_mib"], *npo["peak_mib"]]
    assert [*rmu["milliseconds"]] == ["ours", "ours without RNA", "ours, a further", "published", "truncated"]
    assert [*npo["milliseconds"]] == ["ours", "ours without RNA", "ours, a further", "published"]
    for found in (rmu, npo):
        assert found["vocabulary"] == 3000
        assert found["resident_over_needed"] < 1.05
        assert all(value > 0 for group in ("milliseconds", "peak_mib") for value in found[group].values())
    assert "RMU + RNA, hidden 128, 5 layers, steering layer 3, 2 × 2 × 32 tokens" in capfd.readouterr().out


@pytest.mark.parametrize("name", only(METHODS, "RMU", "NPO+KL", "DPO+NLL", "GradDiff+MSE"))
def test_what_is_measured_is_the_same(name: str, tmp_path: Path) -> None:
    write_model(tmp_path, configure(128, 5), torch.float32, torch.device("cpu"))
    times = step.times(name, tmp_path, step.parsed([*SMALL, "--rounds", "1"]), lambda: None)
    assert all(len(found) == 1 for found in times.values())


@pytest.mark.parametrize("factor", only([0, 2], 2))
def test_another_retain_weight_ends_it(factor: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    retain = Published._retain
    monkeypatch.setattr(Published, "_retain", lambda self, *args: factor * retain(self, *args))
    write_model(tmp_path, configure(128, 5), torch.float32, torch.device("cpu"))
    with pytest.raises(SystemExit, match="RMU: the losses differ"):
        step.times("RMU", tmp_path, step.parsed(SMALL), lambda: None)


def test_a_step_that_is_not_taken_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(UnlearnModule, "configure_optimizers", lambda self: SGD(self.updated.parameters(), lr=0.0))
    write_model(tmp_path, configure(128, 5), torch.float32, torch.device("cpu"))
    with pytest.raises(SystemExit, match="RMU: the losses differ"):
        step.times("RMU", tmp_path, step.parsed(SMALL), lambda: None)


def test_a_ratio_is_of_medians_with_an_interval_over_rounds() -> None:
    found = ratio([3.0, 2.0, 40.0], [1.0, 1.0, 2.0])
    assert found.value == 3
    assert 2 <= found.low <= 3 <= found.high <= 20


def test_memory_is_the_highest_in_between() -> None:
    with Memory(torch.device("cpu")) as memory:
        held = torch.ones(256 * 2**20 // 4)  # what else the process gives back meanwhile is small beside it
        held = held[:1].clone()
        torch.ones(1)
    assert 240 < memory.peak / 2**20 < 300
    assert held.item() == 1

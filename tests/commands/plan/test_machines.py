import json
from pathlib import Path

import pytest

from lit_unlearn.cli import main
from lit_unlearn.commands.plan.machines import GPUS, Machine, machine
from lit_unlearn.errors import InputError
from tests.commands.plan.test_plan import config  # noqa: F401  a fixture


@pytest.mark.parametrize("gpu", GPUS, ids=lambda gpu: gpu.name)
def test_every_gpu_is_found_by_its_name(gpu: object) -> None:
    assert isinstance(gpu, type(GPUS[0]))
    assert machine(gpu.name) == Machine(1, gpu)
    assert machine(f"8 x {gpu.name.lower().replace(' ', '-')}") == Machine(8, gpu)


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ("8xGTX", "'8xGTX' must be a number of GPUs and a name, such as 8xH100; choose from RTX 4090, A100 40GB, "),
        ("8xA100", "choose from A100 40GB, A100 80GB$"),
        ("0xH100", "'0xH100' must be a number"),
        ("8x", "'8x' must be a number"),
        ("", "'' must be a number"),
    ],
)
def test_another_name_is_refused(given: str, match: str) -> None:
    with pytest.raises(InputError, match=f"--for: .*{match}"):
        machine(given)


def test_gpus_share_the_operations_of_a_batch() -> None:
    alone, eight = machine("H100"), machine("8xH100")
    assert eight.seconds(8e14, "bf16-mixed") == pytest.approx(alone.seconds(1e14, "bf16-mixed"))
    assert eight.seconds(8e14, "64-true") is None


def test_a_plan_for_another_machine_checks_nothing_here(
    config: str,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    main(["plan", "-c", config, "-c", "trainer/fsdp2.yaml", "--for", "4xL40S", "--json", "plan.json"])
    shown = capsys.readouterr().out
    assert "4 × L40S\n  ok  memory of a GPU" in shown
    assert "no time for communication between GPUs" in shown
    for here in ("this machine", "disk of", "folder runs", "packages", "processor"):
        assert here not in shown
    found = json.loads(Path("plan.json").read_text())
    assert (found["chosen"]["strategy"], found["chosen"]["devices"]) == ("FSDP2", 4)
    assert found["machine"]["name"] == "4 × L40S"


def test_several_machines_share_the_operations_too(
    config: str,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = ["plan", "-c", config, "-c", "trainer/ddp.yaml", "--for", "2xL40S", "--json", "plan.json"]
    main([*words, "--trainer.num_nodes=2"])
    assert "4 × L40S\n  ok  memory of a GPU" in capsys.readouterr().out
    found = json.loads(Path("plan.json").read_text())
    assert found["chosen"]["devices"] == 4
    alone = machine("L40S").seconds(found["flops_per_batch"], "32-true")
    assert alone is not None
    assert found["machine"] == {"name": "4 × L40S", "seconds_per_batch": pytest.approx(alone / 4)}


def test_what_does_not_fit_there_is_said(
    config: str,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(type(GPUS[0]), "memory", 1000)
    with pytest.raises(SystemExit):
        main(["plan", "-c", config, "--for", "H200"])
    assert capsys.readouterr().out.endswith("There `fit` would fail: memory of a GPU.\n")

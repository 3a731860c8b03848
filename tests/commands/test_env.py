from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from lit_unlearn.cli import main


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    main(["env"])
    return dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())


def test_versions_and_settings_are_those_of_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    found = shown(capsys)
    assert found["lit-unlearn"].startswith(version("lit-unlearn"))
    assert found["torch"].startswith(torch.__version__)
    assert f"{torch.get_num_threads()} within operations" in found["threads"]
    for name in ("lightning", "transformers", "datasets", "jsonargparse"):
        assert f"{name} {version(name)}" in found["packages"]
    assert "gloo" in found["distributed"]


def test_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    properties = type("Properties", (), {"name": "H200", "total_memory": 141 * 2**30, "major": 9, "minor": 0})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: properties)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert shown(capsys)["devices"].startswith("H200 (141 GiB, sm_90), H200 (141 GiB, sm_90)")


def test_only_variables_that_matter_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = str(Path.home())
    for name, value in {
        "HF_TOKEN": "hf_secret",
        "WANDB_API_KEY": "secret_too",
        "HF_HOME": f"{home}/models",
        "CUDA_VISIBLE_DEVICES": "1",
        "PYTORCH_CUDA_ALLOC_CONF": f"{home}/x",
        "NCCL_DEBUG": "https://me:secret_again@host",
    }.items():
        monkeypatch.setenv(name, value)
    main(["env"])
    text = capsys.readouterr().out
    assert "CUDA_VISIBLE_DEVICES=1" in text
    for hidden in ("secret", "HF_HOME", home + "/", str(Path(__file__).parents[2])):
        assert hidden not in text


def test_it_takes_no_options(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["env", "--json"])
    assert capsys.readouterr().err == "lit-unlearn: error: env: takes no options, got '--json'\n"

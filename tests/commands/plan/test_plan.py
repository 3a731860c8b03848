"""The command: what it prints and writes, and how it ends."""

import gzip
import json
from pathlib import Path

import pytest
import torch

from lit_unlearn.cli import main
from lit_unlearn.errors import InputError
from tests.adapters import write_adapter

CONFIG = """\
model:
  pretrained: {world}/model
  layer: 2
  forget: {{class_path: RMU, init_args: {{coefficient: 1}}}}
  retain: RepresentationMSE
data:
  class_path: UnlearnDataModule
  init_args:
    batch_size: 4
    forget:
      alchemy: {{path: {world}/alchemy.jsonl, max_length: 48}}
      navigation: {{path: {world}/navigation.jsonl, max_length: 32}}
    retain: {{gardening: {{path: {world}/gardening.jsonl, max_length: 40}}}}
trainer:
  accelerator: cpu
  precision: 32-true
  max_steps: 20
  callbacks:
    - class_path: ExportPretrained
    - {{class_path: ModelCheckpoint, init_args: {{every_n_train_steps: 10, save_last: true}}}}
"""


@pytest.fixture
def config(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(CONFIG.format(world=world))
    return "c.yaml"


def test_a_run_that_would_go_well(config: str, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "-c", config, "--json", "plan.json"])
    shown = capsys.readouterr().out
    assert shown.startswith(f"{world}/model: RMU + RepresentationMSE, 32-true, 4 rows of up to 48 forget and 40 retain")
    assert "fails" not in shown
    found = json.loads(Path("plan.json").read_text())
    weights = sum(file.stat().st_size for file in (world / "model").glob("*.safetensors"))
    written = {one["name"]: one for one in found["files"]}
    assert written["export"]["size"] == pytest.approx(weights, rel=0.02)  # the file has a header
    assert written["checkpoints"]["size"] == 3 * (found["model"]["trained"] + found["model"]["optimizer"])
    assert found["step"]["rows"]["forget"] == 48  # the longer topic
    assert found["batches"] == 20
    assert [one["devices"] for one in found["layouts"]] == [1, 2, 4, 2, 4]
    assert {check["status"] for check in found["checks"]} == {"ok"}
    assert sorted(path.name for path in Path().iterdir()) == ["c.yaml", "plan.json"]


def test_mixed_prompts_are_as_long_as_both_rows(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "-c", config, "--json", "plan.json", "--data.mixing={rate: 0.5, unit: rows}"])
    assert "fails" not in capsys.readouterr().out
    rows = json.loads(Path("plan.json").read_text())["step"]["rows"]
    assert (rows["forget"], rows["retain"]) == (48 + 40, 48 + 40)


@pytest.mark.parametrize(
    ("name", "preferred"), [("own.txt", "own.txt"), ("own.jsonl.gz", "own.jsonl.gz"), ("own.jsonl", "own*.jsonl")]
)
def test_preferred_answers_are_as_long_as_the_longest_text(
    config: str, name: str, preferred: str, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = ["No idea.", "I do not know that."]
    lines = texts if name.endswith(".txt") else [json.dumps({"text": text}) for text in texts]
    written = "\n".join(lines).encode()
    Path(name).write_bytes(gzip.compress(written) if name.endswith(".gz") else written)
    words = ["--model.forget=DPO", "--model.retain=NLL", f"--data.preferred={preferred}"]
    main(["plan", "-c", config, "--json", "plan.json", *words])
    assert "fails" not in capsys.readouterr().out
    assert json.loads(Path("plan.json").read_text())["step"]["rows"]["preferred"] == 7 + 1  # 19 characters


def test_of_an_adapters_folder_the_whole_model_is_loaded(
    config: str, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["plan", "-c", config, "--json=whole.json", "--model.whole_model=true"])
    folder = write_adapter(world / "model", Path("adapter"))
    main(["plan", "-c", config, "--json=adapter.json", f"--model.pretrained={folder}"])
    assert "adapter: RMU + RepresentationMSE" in capsys.readouterr().out
    adapter, whole = (json.loads(Path(f"{name}.json").read_text()) for name in ("adapter", "whole"))
    for key in ("model", "step", "files"):
        assert adapter[key] == whole[key]
    Path("adapter/adapter_model.safetensors").unlink()
    with pytest.raises(InputError, match=r"^model.pretrained: the adapter 'adapter' has no adapter_model.safetensors"):
        main(["plan", "-c", config, f"--model.pretrained={folder}", "--debug"])


def test_a_run_that_would_fail_is_told_with_status_1(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").mkdir()
    Path("taken/file").touch()
    with pytest.raises(SystemExit) as stop:
        main(["plan", "-c", config, "--trainer.default_root_dir", "taken"])
    assert stop.value.code == 1
    assert capsys.readouterr().out.endswith("Here `fit` would fail: trainer.default_root_dir.\n")


@pytest.mark.slow
def test_on_a_processor_gpus_make_no_processes(
    config: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    main(["plan", "-c", config, "--json", "plan.json"])
    assert "fails" not in capsys.readouterr().out
    assert json.loads(Path("plan.json").read_text())["chosen"]["devices"] == 1


def test_rows_are_those_of_one_process(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "-c", config, "-c", "trainer/fsdp2.yaml", "--json=plan.json"])
    found = json.loads(Path("plan.json").read_text())
    assert (found["step"]["rows"]["batch"], found["chosen"]["strategy"]) == (2, "FSDP2")
    main(["plan", "-c", config, "--json=one.json"])
    one = json.loads(Path("one.json").read_text())
    assert found["flops_per_batch"] == one["flops_per_batch"]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--trainer.devices=3"], "data.batch_size: 4 rows cannot be shared evenly by 3 processes"),
        (
            ["-c", "trainer/fsdp2.yaml", "--trainer.devices=4", "--trainer.strategy.data_parallel_size=2"],
            "data_parallel_size: 2, and .* are 4 processes; set it to auto or 4",
        ),
        pytest.param(
            ["-c", "trainer/fsdp2.yaml", "--model.replicas=4"],
            "model.replicas: 2 processes cannot hold 4 copies",
            marks=pytest.mark.slow,
        ),
        (["--json=no/plan.json"], "--json: there is no folder"),
        (["--attack=nosuch.yaml"], "--attack: there is no file 'nosuch.yaml' and no shipped config of that name"),
        (["--trainer.strategy=deepspeed"], "trainer.strategy: 'deepspeed' cannot be planned"),
        (["--model.layer=99"], "model.layer: 99 is out of range"),
        (["--model.trainable=[nothing]"], "model.trainable: 'nothing' matches the whole name of no parameter"),
        (["--trainer.precision=transformer-engine"], "trainer.precision: 'transformer-engine' is not supported"),
    ],
)
def test_what_cannot_be_planned(config: str, words: list[str], match: str) -> None:
    with pytest.raises(InputError, match=match):
        main(["plan", "-c", config, *words, "--debug"])


@pytest.mark.slow
def test_an_attack_card_of_the_models_shape_is_planned_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["plan", "-c", "demo.yaml", "--attack", "demo_attack.yaml"])
    _, card = capsys.readouterr().out.split("an attack card by demo_attack.yaml, of one model with one seed\n")
    (every,) = [line.split() for line in card.splitlines() if line.startswith("all ")]
    assert every[:5] == ["all", "32", "37", "45", "4,500"]  # as docs/attack.md says
    assert not list(tmp_path.iterdir())

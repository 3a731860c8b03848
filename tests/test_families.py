"""Every family is trained, exported in the names and the layout of its own files, reloaded and planned."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from lit_unlearn import RMU, ExportPretrained, RepresentationMSE, UnlearnModule
from lit_unlearn.cli import main
from tests.families import FAMILIES, write_family
from tests.fast import only
from tests.hub_layouts import LAYOUTS, write_layout
from tests.training import demo_data, quiet_trainer

CONFIG = """\
model:
  pretrained: {source}
  layer: 2
  forget: {{class_path: RMU, init_args: {{coefficient: 1}}}}
  retain: RepresentationMSE
data:
  class_path: UnlearnDataModule
  init_args:
    batch_size: 2
    forget: {{alchemy: {{path: {world}/alchemy.jsonl, max_length: 16}}}}
    retain: {{gardening: {{path: {world}/gardening.jsonl, max_length: 16}}}}
trainer: {{accelerator: cpu, precision: 32-true, max_steps: 2, callbacks: [ExportPretrained]}}
"""


def written(folder: Path, family: str) -> Path:
    return write_family(folder, family) if family in FAMILIES else write_layout(folder, family)


def trained_on(source: Path, world: Path, folder: Path) -> UnlearnModule:
    """By the default `trainable`, exported."""
    module = UnlearnModule(str(source), RMU(6.5), RepresentationMSE(), layer=2)
    trainer = quiet_trainer(folder, callbacks=[ExportPretrained()], max_steps=2)
    trainer.fit(module, demo_data(world, tokenizer=str(source)))
    return module


@pytest.mark.parametrize("family", only([*FAMILIES, *LAYOUTS], "mixtral", "gemma3 with images"))
def test_every_family_is_trained_exported_reloaded_and_planned(
    family: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = written(tmp_path, family)
    (tmp_path / "plan.yaml").write_text(CONFIG.format(source=source, world=world))
    main(["plan", "-c", "plan.yaml"])
    assert "fails" not in capsys.readouterr().out

    trained = trained_on(source, world, tmp_path / "run").trained_parameters()
    before, after = (load_file(folder / "model.safetensors") for folder in (source, tmp_path / "run" / "export"))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert {name: value.shape for name, value in after.items()} == {name: own.shape for name, own in before.items()}
    assert not [name for name in changed if "gate.weight" in name or "router" in name]
    if family in LAYOUTS:
        assert LAYOUTS[family][2] in changed

    loaded, base = (
        AutoModelForCausalLM.from_pretrained(path).state_dict() for path in (tmp_path / "run/export", source)
    )
    for name, value in base.items():
        expected = trained.get(f"updated.{name}", value)
        assert torch.equal(loaded[name], expected)
    assert {f"updated.{name}" for name, value in base.items() if not torch.equal(loaded[name], value)} == trained.keys()

"""What the files hold of each parameter: transformers' conversion on loading, reversed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.core_model_loading import Chunk, WeightConverter

from lit_unlearn import InputError
from lit_unlearn.cli import main
from lit_unlearn.models.file_layout import FileLayout
from lit_unlearn.models.loading import load_config, load_model, without_weights
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.weight_files import WeightFiles
from tests.families import write_family
from tests.fast import only
from tests.hub_layouts import LAYOUTS, write_layout

FUSED = "mlp.gate_up.weight"
PLAN = """\
model:
  pretrained: {source}
  layer: 1
  forget: {{class_path: RMU, init_args: {{coefficient: 1}}}}
  retain: RepresentationMSE
data:
  class_path: UnlearnDataModule
  init_args:
    forget: {{alchemy: {{path: {world}/alchemy.jsonl, max_length: 8}}}}
    retain: {{gardening: {{path: {world}/gardening.jsonl, max_length: 8}}}}
trainer: {{accelerator: cpu, precision: 32-true, max_steps: 2, callbacks: [ExportPretrained]}}
"""


def layout_of(source: ModelSource) -> FileLayout:
    shape = without_weights(load_config(source), torch.float32, None)
    return FileLayout(shape, WeightFiles.of(source))


@pytest.mark.parametrize("family", only(LAYOUTS, "mixtral", "granitemoe", "gemma3 with images"))
def test_every_parameter_is_found_with_its_values_and_every_tensor_is_a_parameters(family: str, tmp_path: Path) -> None:
    source = ModelSource(str(write_layout(tmp_path, family)))
    model, layout = load_model(source, torch.float32), layout_of(source)
    found: dict[str, torch.Tensor] = {}
    for name, parameter in model.named_parameters():
        found |= layout.stored([name], parameter)
    stored = load_file(tmp_path / family / "model.safetensors")
    buffers = stored.keys() - found.keys()
    assert all(torch.equal(found[name], value) for name, value in stored.items() if name not in buffers)
    assert all("bias" in name for name in buffers)  # of routers; nothing trains them


def fused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSource:
    """A model whose files hold two matrices in one tensor."""
    source = write_family(folder, "llama")
    weights = load_file(source / "model.safetensors")
    for name in [name for name in weights if "gate_proj" in name]:
        both = [weights.pop(name), weights.pop(name.replace("gate_proj", "up_proj"))]
        weights[name.replace("mlp.gate_proj.weight", FUSED)] = torch.cat(both)
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    names = ["mlp.gate_proj.weight", "mlp.up_proj.weight"]
    converter = lambda *args: [WeightConverter(FUSED, list(names), operations=[Chunk(dim=0)])]  # noqa: E731
    monkeypatch.setattr("lit_unlearn.models.file_layout.get_model_conversion_mapping", converter)
    return ModelSource(str(source))


def test_a_tensor_that_holds_other_parameters_too_is_refused_here_and_by_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    source = fused(tmp_path, monkeypatch)
    layout, matrix = layout_of(source), torch.zeros(48, 32)
    name = "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(
        InputError, match=r"hold model.layers.1.mlp.up_proj.weight otherwise .* set model.pretrained to FO"
    ):
        layout.stored([name], matrix)
    down = name.replace("up_proj", "down_proj")
    assert list(layout.stored([down], matrix.T)) == [down]

    Path("plan.yaml").write_text(PLAN.format(source=source.pretrained, world=world))
    main(["plan", "-c", "plan.yaml"])
    assert "the model's files hold what is trained" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["plan", "-c", "plan.yaml", "--model.trainable", r"['.*\.1\.mlp\.up_proj\.weight']"])
    assert stop.value.code == 1
    assert "Here `fit` would fail: export." in capsys.readouterr().out

"""What the files hold of each parameter: transformers' conversion on loading, reversed."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lit_unlearn import InputError
from lit_unlearn.models.file_layout import FileLayout
from lit_unlearn.models.loading import load_config, load_model, without_weights
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.weight_files import WeightFiles
from tests.fast import only
from tests.hub_layouts import LAYOUTS, write_fused, write_layout


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


def test_a_tensor_that_holds_other_parameters_too_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_fused(tmp_path, monkeypatch)
    layout, matrix = layout_of(source), torch.zeros(48, 32)
    name = "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(InputError, match=r"hold model.layers.1.mlp.up_proj.weight in another layout .* set model"):
        layout.stored([name], matrix)
    down = name.replace("up_proj", "down_proj")
    assert list(layout.stored([down], matrix.T)) == [down]

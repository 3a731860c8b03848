import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.models import loading
from lit_unlearn.models.source import ModelSource


@pytest.fixture
def folder(world: Path, tmp_path: Path) -> Path:
    """A copy of the demo's model, to be damaged."""
    return shutil.copytree(world / "model", tmp_path / "model")


def trainable(model: PreTrainedModel) -> list[str]:
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_model_is_loaded_in_the_given_dtype_in_eval_mode_with_nothing_trainable(
    world: Path, dtype: torch.dtype
) -> None:
    model = loading.load_model(ModelSource(str(world / "model")), dtype)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    assert not model.training
    assert trainable(model) == []


def test_a_model_has_the_weights_of_its_folder(world: Path) -> None:
    model = loading.load_model(ModelSource(str(world / "model")), torch.float32)
    stored = AutoModelForCausalLM.from_pretrained(world / "model", dtype=torch.float32).state_dict()
    assert all(torch.equal(value, stored[name]) for name, value in model.state_dict().items())


def test_the_configuration_is_read_without_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    assert loading.load_config(ModelSource(str(folder))).num_hidden_layers == 10


def test_a_missing_path_is_refused(tmp_path: Path) -> None:
    missing = str(tmp_path / "none")
    for load in (
        lambda: loading.load_config(ModelSource(missing)),
        lambda: loading.load_model(ModelSource(missing), torch.float32),
    ):
        with pytest.raises(InputError, match=rf"^model\.pretrained: '{re.escape(missing)}' cannot be loaded .* give a"):
            load()


@pytest.mark.parametrize("name", ["", "nobody/nothing"])
def test_a_name_that_is_no_model_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=rf"^model\.pretrained: '{name}' cannot be loaded"):
        loading.load_config(ModelSource(name))


@pytest.mark.parametrize("text", ["", "{", "{}", '{"model_type": "no_such_family"}'])
def test_a_configuration_that_cannot_be_read_is_refused(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"^model\.pretrained: .* cannot be loaded"):
        loading.load_config(ModelSource(str(folder)))


def test_a_model_of_another_kind_is_refused(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "t5"}', encoding="utf-8")
    with pytest.raises(InputError, match=r"^model\.pretrained: .* cannot be loaded"):
        loading.load_model(ModelSource(str(folder)), torch.float32)


def test_a_folder_without_safetensors_is_refused(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"^model\.pretrained: .* cannot be loaded .*safetensors"):
        loading.load_model(ModelSource(str(folder)), torch.float32)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99])
def test_weights_that_were_cut_off_are_refused(folder: Path, share: float) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"^model\.pretrained: .* cannot be loaded"):
        loading.load_model(ModelSource(str(folder)), torch.float32)


@pytest.mark.parametrize("change", [{"intermediate_size": 96}, {"num_hidden_layers": 12}])
def test_weights_that_do_not_fill_the_configured_model_are_refused(folder: Path, change: dict[str, int]) -> None:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | change), encoding="utf-8")
    with pytest.raises(InputError, match=r"^model\.pretrained: "):
        loading.load_model(ModelSource(str(folder)), torch.float32)


@pytest.mark.parametrize("implementation", ["no_such", "flash_attention_3"])
def test_attention_that_is_not_there_is_refused(world: Path, implementation: str) -> None:
    with pytest.raises(InputError):
        loading.load_model(ModelSource(str(world / "model"), attn_implementation=implementation), torch.float32)

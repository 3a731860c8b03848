"""An adapter's folder stands for the model that it adapts, with the adapter merged."""

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from lit_unlearn import RMU, ExportPretrained, InputError, Lora, RepresentationMSE, UnlearnModule
from lit_unlearn.distributed.fsdp1 import FSDP1
from lit_unlearn.models.first_layers import FirstLayers
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.loading import load_config, load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from tests.adapters import ADAPTED, write_adapter
from tests.training import demo_data, quiet_trainer

IDS = torch.tensor([[1, 5, 9, 30]])


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(IDS).logits
    return found


def checked_and_loaded(folder: Path) -> None:
    source = ModelSource(str(folder))
    load_config(source)
    load_model(source, torch.float32)


@pytest.fixture(scope="module")
def adapter(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(world / "model", tmp_path_factory.mktemp("adapter"))


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"use_rslora": True, "modules_to_save": ["lm_head"]}])
def test_the_model_is_the_base_with_the_adapter_merged(world: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    folder = write_adapter(world / "model", tmp_path, **options)
    model = load_model(ModelSource(str(folder)), torch.float32)
    expected = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(world / "model"), folder)
    torch.testing.assert_close(logits(model), logits(expected))
    assert not torch.allclose(logits(model), logits(load_model(ModelSource(str(world / "model")), torch.float32)))
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert [name for name, _ in model.named_parameters()] == [
        name for name, _ in AutoModelForCausalLM.from_pretrained(world / "model").named_parameters()
    ]


def test_the_first_layers_of_it_are_merged_too(adapter: Path) -> None:
    whole = load_model(ModelSource(str(adapter)), torch.float32)
    part = FirstLayers.of(whole, decoder_layers(whole), 3)
    first = load_model(ModelSource(str(adapter)), torch.float32, part=part)
    held = dict(first.named_parameters())
    assert len(held) < len(list(whole.parameters()))
    assert all(torch.equal(parameter, whole.get_parameter(name)) for name, parameter in held.items())


def test_a_source_says_what_it_is(adapter: Path, world: Path) -> None:
    source = ModelSource(str(adapter))
    assert (source.pretrained, source.adapter, source.given) == (str(world / "model"), str(adapter), str(adapter))
    assert ModelSource(str(adapter), revision="v2").revision == "v2"
    assert len(load_tokenizer(source)) == len(load_tokenizer(ModelSource(str(world / "model"))))


@pytest.mark.parametrize("lora", [None, Lora(r=2)], ids=["matrices", "lora"])
def test_a_run_exports_the_whole_model_with_the_adapter_in_it(
    adapter: Path, world: Path, tmp_path: Path, lora: Lora | None
) -> None:
    module = UnlearnModule(str(adapter), RMU(6.5), RepresentationMSE(), layer=2, lora=lora)
    trainer = quiet_trainer(tmp_path, precision="bf16-mixed", callbacks=[ExportPretrained()], max_steps=1)
    trainer.fit(module, demo_data(world))
    assert not (tmp_path / "export" / "adapter_config.json").exists()
    exported, base = (load_file(folder / "model.safetensors") for folder in (tmp_path / "export", world / "model"))
    trained = {f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1, 2)}
    changed = {name for name, value in exported.items() if not torch.equal(value, base[name])}
    assert changed == trained | {f"{name}.weight" for name in ADAPTED}
    merged = load_model(ModelSource(str(adapter)), torch.bfloat16)
    untrained = f"{ADAPTED[1]}.weight"
    assert torch.equal(exported[untrained].bfloat16(), merged.get_parameter(untrained))


def test_an_exported_adapter_is_unlearned_again(world: Path, tmp_path: Path) -> None:
    first = UnlearnModule(str(world / "model"), RMU(6.5), RepresentationMSE(), layer=2, lora=Lora(r=2))
    trainer = quiet_trainer(tmp_path / "1", callbacks=[ExportPretrained(adapter=True)], max_steps=2)
    trainer.fit(first, demo_data(world))
    folder = tmp_path / "1" / "export"
    loaded = load_model(ModelSource(str(folder)), torch.float32)
    whole = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(world / "model"), folder)
    torch.testing.assert_close(logits(loaded), logits(whole))
    again = UnlearnModule(str(folder), RMU(6.5), RepresentationMSE(), layer=2, lora=Lora(r=2))
    with pytest.raises(InputError, match=r"^ExportPretrained.adapter: .*export is an adapter itself, and one of an ad"):
        quiet_trainer(tmp_path / "2", callbacks=[ExportPretrained(adapter=True)]).fit(again, demo_data(world))


def test_an_export_under_fsdp1_is_refused(adapter: Path) -> None:
    module = UnlearnModule(str(adapter), RMU(6.5), RepresentationMSE(), layer=2)
    trainer: Any = SimpleNamespace(strategy=Mock(spec=FSDP1))
    with pytest.raises(
        InputError, match=r"is an adapter, and the layers it was merged into cannot .* take trainer/fsdp2"
    ):
        ExportPretrained().setup(trainer, module, "fit")


def test_an_adapter_that_cannot_be_merged_is_refused(adapter: Path, tmp_path: Path, world: Path) -> None:
    folder = shutil.copytree(adapter, tmp_path / "copy")
    config = json.loads((folder / "adapter_config.json").read_text())

    def refused(message: str, **changed: Any) -> None:
        (folder / "adapter_config.json").write_text(json.dumps(config | changed))
        with pytest.raises(InputError, match=message) as error:
            checked_and_loaded(folder)
        assert "\n" not in str(error.value)

    refused(
        r"copy' is an adapter of PEFT's type 'PROMPT_TUNING', and only LORA is merged here", peft_type="PROMPT_TUNING"
    )
    refused(r"names None as base_model_name_or_path, which is not a model", base_model_name_or_path=None)
    refused(
        r"'/no/such, which the adapter .*copy names,' cannot be loaded|/no/such, which the adapter",
        base_model_name_or_path="/no/such",
    )
    refused(r"copy' does not fit the model that its adapter_config.json names", target_modules=["no_such"])
    weights = load_file(folder / "adapter_model.safetensors")
    weights.pop(next(iter(weights)))
    save_file(weights, folder / "adapter_model.safetensors")
    refused(r"does not fit .* \(1 weights are missing or belong to nothing, e.g. ")
    (folder / "adapter_model.safetensors").unlink()
    refused(re.escape("copy' has no adapter_model.safetensors; save it again with PEFT"))
    (folder / "adapter_config.json").write_text("{")
    with pytest.raises(InputError, match=r"adapter_config.json cannot be read"):
        ModelSource(str(folder))

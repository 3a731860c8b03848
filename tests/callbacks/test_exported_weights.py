"""What an export writes: each trained weight once, with all of its names, and what an adapter may have changed."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lit_unlearn import RMU, ExportPretrained, InputError, Lora, RepresentationMSE, UnlearnModule
from lit_unlearn.callbacks.exported_weights import ExportedWeight, exported_weights, holds
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.weight_files import WeightFiles
from tests.adapters import write_adapter
from tests.families import write_family
from tests.training import demo_data, demo_module, quiet_trainer

OUTPUTS = [f"model.layers.{layer}.mlp.down_proj.weight" for layer in (0, 1, 2)]


def weights_of(source: Path, **options: Any) -> list[ExportedWeight]:
    """Of a model that is loaded and not trained."""
    module = UnlearnModule(str(source), RMU(6.5), RepresentationMSE(), layer=2, **options)
    module.adopt(load_model(module.model_source, torch.float32), "32-true")
    return exported_weights(module)


@pytest.mark.parametrize("lora", [None, Lora(r=2)], ids=["matrices", "lora"])
def test_they_are_the_trained_ones(world: Path, lora: Lora | None) -> None:
    found = weights_of(world / "model", lora=lora)
    assert [weight.names for weight in found] == [[name] for name in OUTPUTS]
    assert all(torch.equal(weight.before(), weight.after()) and not weight.merged for weight in found)


def test_a_tied_weight_is_one_with_all_of_its_names(tmp_path: Path) -> None:
    (found,) = weights_of(write_family(tmp_path, "gemma3"), trainable=[r"model\.embed_tokens\.weight"])
    assert found.names == ["model.embed_tokens.weight", "lm_head.weight"]


@pytest.mark.parametrize("lora", [None, Lora(r=2)], ids=["matrices", "lora"])
def test_of_an_adapters_folder_they_are_all(world: Path, tmp_path: Path, lora: Lora | None) -> None:
    found = weights_of(write_adapter(world / "model", tmp_path), lora=lora)
    names = [name for weight in found for name in weight.names]
    assert names[:3] == OUTPUTS
    model = load_model(ModelSource(str(world / "model")), torch.float32)
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    assert all(weight.merged for weight in found)


def test_a_weight_is_held_as_the_dtype_in_memory_shows_it(world: Path) -> None:
    files = WeightFiles.of(ModelSource(str(world / "model")))
    stored = files.read(OUTPUTS[0])
    assert holds(files, OUTPUTS[0], stored)
    assert holds(files, OUTPUTS[0], stored.bfloat16())
    assert not holds(files, OUTPUTS[0], stored + 1e-6)


def test_weights_that_transformers_converts_are_refused(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = WeightFiles.read
    monkeypatch.setattr(WeightFiles, "read", lambda files, name: read(files, name).flip(0))
    trainer = quiet_trainer(tmp_path, callbacks=[ExportPretrained()])
    with pytest.raises(InputError, match=r"layers.5.mlp.down_proj.weight in another layout than in memory"):
        trainer.fit(demo_module(world), demo_data(world))

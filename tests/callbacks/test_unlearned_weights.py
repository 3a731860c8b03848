from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from lit_unlearn import ExportPretrained, InputError, PerturbationRobustness
from lit_unlearn.callbacks import Repairs, UnlearnedWeights
from lit_unlearn.models import loading
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.repairs import ClosedForm
from tests.callbacks.test_repairs import Weights, fit
from tests.training import demo_data, demo_module, quiet_trainer


def test_repairing_the_export_is_repairing_at_the_end_of_the_fit(world: Path, tmp_path: Path) -> None:
    def repairs() -> Repairs:
        return Repairs([ClosedForm(2.0)], rows=8)

    first, again = Weights(), Weights()
    for name in ("fit", "again"):
        (tmp_path / name).mkdir()
    fit(world, tmp_path / "fit", PerturbationRobustness(), repairs(), ExportPretrained(), first)
    export = str(tmp_path / "fit" / "run" / "export")
    _, trainer = fit(world, tmp_path / "again", PerturbationRobustness(), UnlearnedWeights(export), repairs(), again)
    assert trainer.global_step == 0
    base, trained, repaired = first.seen
    for name, value in repaired.items():
        assert torch.equal(again.seen[0][name], base[name])
        assert torch.equal(again.seen[1][name], value)
        assert not torch.equal(value, trained[name])


def test_weights_are_those_of_the_export_to_the_bit_under_mixed_precision(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(source: ModelSource, *args: Any, **options: Any) -> PreTrainedModel:
        loaded.append(source.given)
        return load_model(source, *args, **options)

    monkeypatch.setattr(loading, "load_model", load)
    model = AutoModelForCausalLM.from_pretrained(world / "model", dtype=torch.float32)
    source, export = torch.Generator().manual_seed(0), str(tmp_path / "export")
    for layer in model.model.layers:
        layer.mlp.down_proj.weight.data += 1e-5 * torch.randn(layer.mlp.down_proj.weight.shape, generator=source)
    model.save_pretrained(export)
    module = demo_module(world, trainable=[r"model\.layers\.[67]\.mlp\.down_proj\.weight"], noise_scale=0.0)
    callbacks = [UnlearnedWeights(export), Repairs([ClosedForm(0.0)], rows=8, keep=True)]
    trainer = quiet_trainer(tmp_path / "run", max_steps=1, precision="bf16-mixed", callbacks=callbacks)
    trainer.fit(module, demo_data(world, seed=0))
    trained = module.frozen.originals()
    assert trained
    assert loaded == [str(world / "model")]  # of the export only what was trained is read
    for name in trained:
        assert torch.equal(module.updated.get_parameter(name), model.get_parameter(name)), name


@pytest.mark.parametrize("least", ["min_steps", "min_epochs"])
def test_nothing_is_trained_where_the_run_had_to_train_for_some_time(world: Path, tmp_path: Path, least: str) -> None:
    callbacks = [UnlearnedWeights(str(world / "model")), Repairs([ClosedForm(0.0)], rows=8, keep=True)]
    module = demo_module(world, noise_scale=0.0)
    trainer = quiet_trainer(tmp_path / "run", max_steps=2, callbacks=callbacks, **{least: 1})
    trainer.fit(module, demo_data(world, seed=0))
    assert trainer.global_step == 0


def test_another_models_export_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"UnlearnedWeights: demo has no model.layers.6.* of shape \[64, 64\]"):
        fit(world, tmp_path, PerturbationRobustness(), UnlearnedWeights("demo"), Repairs([ClosedForm(2.0)]))


def test_without_a_repair_it_is_refused(world: Path, tmp_path: Path) -> None:
    callback = UnlearnedWeights("export")
    with pytest.raises(InputError, match=r"nothing repairs the weights; add Repairs .* --model export"):
        callback.check_options(quiet_trainer(tmp_path, callbacks=[callback]), demo_module(world), None)

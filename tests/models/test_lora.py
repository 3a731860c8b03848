"""LoRA: adapters are trained, the frozen model is the same one without them, exports are plain or PEFT's."""

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from lit_unlearn import NPO, RMU, ExportPretrained, InputError, LogitKL, Lora, RepresentationMSE, UnlearnModule
from lit_unlearn.callbacks.interpolation import _weights_between
from lit_unlearn.losses.contract import Loss
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.lora import adapted, inject, merged_weight
from lit_unlearn.models.source import ModelSource
from lit_unlearn.running.frozen import FrozenModel
from lit_unlearn.running.pair import run_pair
from tests.batches import pairs
from tests.families import each_family, write_family
from tests.hub_layouts import write_layout
from tests.plain import full_forward
from tests.training import Losses, demo_data, demo_module, quiet_trainer

IDS = torch.tensor([[1, 5, 9, 30]])
OUTPUTS = [f"model.layers.{index}.mlp.down_proj" for index in (5, 6, 7)]


def trained(world: Path, folder: Path, *callbacks: L.Callback, precision: Any = "32-true", **options: Any) -> Any:
    """A module with adapters after two steps."""
    module = demo_module(world, **{"lora": Lora(r=4), "noise_scale": 0.0, "whole_model": True} | options)
    trainer = quiet_trainer(folder, precision=precision, max_steps=2, callbacks=list(callbacks))
    trainer.fit(module, demo_data(world))
    return module


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = model(IDS).logits
    return found


@pytest.fixture(scope="module")
def module(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """After two steps; not to be changed."""
    return trained(world, tmp_path_factory.mktemp("lora"))


@pytest.mark.parametrize("losses", [(RMU(6.5), RepresentationMSE()), (NPO(), LogitKL())], ids=["hidden", "logits"])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true"])
def test_the_retain_loss_is_exactly_zero_before_training(
    world: Path, tmp_path: Path, precision: Any, losses: tuple[Loss, Loss]
) -> None:
    forget, retain = losses
    trainer = quiet_trainer(tmp_path, precision=precision, max_steps=1)
    options = {"lora": Lora(), "noise_scale": 0.0, "forget": forget, "retain": retain}
    trainer.fit(demo_module(world, **options), demo_data(world))
    assert trainer.callback_metrics["train/retain_loss"] == 0.0
    assert trainer.callback_metrics["train/forget_loss"] > 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", each_family())
def test_an_untrained_adapter_leaves_every_family_bit_for_bit(tmp_path: Path, family: str, dtype: torch.dtype) -> None:
    model = load_model(ModelSource(str(write_family(tmp_path, family))), dtype)
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        before = logits(model)
        inject(model, Lora(r=4), decoder_layers(model), layer=2, seed=0)
        for parameter in model.parameters():
            parameter.data = parameter.data.float() if parameter.requires_grad else parameter.data
        assert torch.equal(logits(model), before)
    assert len(adapted(model)) == 3


def test_adapters_alone_are_trained_in_float32(world: Path, tmp_path: Path) -> None:
    found = trained(world, tmp_path, precision="bf16-mixed")
    expected = {f"updated.{name}.lora_{part}.default.weight" for name in OUTPUTS for part in "AB"}
    assert found.trained_parameters().keys() == expected
    assert {value.dtype for value in found.trained_parameters().values()} == {torch.float32}
    assert {value.dtype for name, value in found.named_parameters() if name not in expected} == {torch.bfloat16}
    assert all(layer.lora_B["default"].weight.abs().max() > 0 for layer in adapted(found.updated).values())
    assert not any(child.training for child in found.updated.modules())


def test_the_frozen_model_owns_nothing_and_stays_what_it_was(world: Path, module: Any) -> None:
    base = logits(AutoModelForCausalLM.from_pretrained(world / "model", dtype=torch.float32))
    assert list(module.frozen.parameters()) == []
    assert not torch.equal(logits(module.updated), base)
    with module.frozen.standing_in():
        assert torch.equal(logits(module.updated), base)
    assert not torch.equal(logits(module.updated), base)


def test_losses_and_gradients_are_those_of_two_plain_models(world: Path) -> None:
    updated, frozen = (load_model(ModelSource(str(world / "model")), torch.float64) for _ in range(2))
    layers = decoder_layers(updated)
    inject(updated, Lora(r=4), layers, layer=3, seed=0)
    for layer in adapted(updated).values():
        torch.nn.init.normal_(layer.lora_B["default"].weight, std=0.1)
    adapters = {name: value for name, value in updated.named_parameters() if value.requires_grad}
    counterpart = FrozenModel(updated)
    for reader in (RepresentationMSE(), LogitKL()):
        batch = pairs(1)[0]["retain"]
        ours = reader(*run_pair(updated, counterpart, layers, batch, layer=3, reader=reader), batch).mean()
        plain = reader(full_forward(updated, batch, 3), full_forward(frozen, batch, 3), batch).mean()
        assert plain.item() > 1e-6
        torch.testing.assert_close(ours, plain, rtol=1e-12, atol=0)
        gradients = [torch.autograd.grad(loss, list(adapters.values())) for loss in (ours, plain)]
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-14)


def test_what_is_drawn_is_a_function_of_the_seed_alone(world: Path) -> None:
    drawn: list[torch.Tensor] = []
    for seed in (3, 3, 4):
        model = load_model(ModelSource(str(world / "model")), torch.float32)
        torch.manual_seed(len(drawn))
        before = torch.get_rng_state()
        inject(model, Lora(r=4), decoder_layers(model), layer=7, seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        drawn.append(adapted(model)[OUTPUTS[0]].lora_A["default"].weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_a_resumed_run_continues_bit_for_bit_from_adapters_alone(world: Path, tmp_path: Path) -> None:
    options = {"lora": Lora(r=4, lora_dropout=0.5), "noise_scale": 0.1}

    def fit(resume: str | None = None, **changed: Any) -> tuple[list[float], UnlearnModule]:
        losses, keep = Losses(), ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=2, save_top_k=-1)
        trainer = quiet_trainer(tmp_path, max_steps=5, enable_checkpointing=True, callbacks=[losses, keep])
        module = demo_module(world, **options | changed)
        trainer.fit(module, demo_data(world), ckpt_path=resume)
        return losses.values, module

    losses, whole = fit()
    torch.manual_seed(5)
    path = str(tmp_path / "step=2.ckpt")
    resumed_losses, resumed = fit(path)
    assert resumed_losses == losses[2:]
    for name, value in whole.trained_parameters().items():
        assert torch.equal(resumed.trained_parameters()[name], value)
    assert torch.load(path, weights_only=True)["state_dict"].keys() == whole.trained_parameters().keys()
    with pytest.raises(InputError, match=r"ckpt_path: made with adapters that act more or less; resume with the model"):
        fit(path, lora=Lora(r=4, lora_alpha=1))
    with pytest.raises(InputError, match=r"ckpt_path: .*other trained parameters.*and model.lora of the run"):
        fit(path, lora=None)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_merged_export_is_a_plain_model(world: Path, tmp_path: Path, precision: Any) -> None:
    module = trained(world, tmp_path, ExportPretrained(), precision=precision)
    exported, source = (load_file(path / "model.safetensors") for path in (tmp_path / "export", world / "model"))
    assert list(exported) == list(source)
    changed = [name for name, value in exported.items() if not torch.equal(value, source[name].to(value.dtype))]
    assert changed == [f"{name}.weight" for name in OUTPUTS]
    assert not {"adapter_config.json", "adapter_model.safetensors"} & {path.name for path in tmp_path.glob("export/*")}
    assert "lora" not in (tmp_path / "export" / "config.json").read_text()
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "export", dtype=torch.float32)
    if precision == "32-true":
        torch.testing.assert_close(logits(model), logits(module.updated), rtol=0, atol=1e-5)


def test_masters_beside_bf16_weights_are_merged_as_they_act(world: Path, tmp_path: Path) -> None:
    module = trained(world, tmp_path, ExportPretrained(), precision="bf16-mixed")
    exported = load_file(tmp_path / "export" / "model.safetensors")
    for name, layer in adapted(module.updated).items():
        down, up = (part["default"].weight.detach().double() for part in (layer.lora_A, layer.lora_B))
        whole = layer.base_layer.weight.double() + 32 / 4 * up @ down
        assert exported[f"{name}.weight"].dtype == torch.float32  # as in the model's files
        torch.testing.assert_close(exported[f"{name}.weight"].double(), whole, rtol=1e-6, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        acting = logits(module.updated).float()
    written, base = (
        logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)).float()
        for folder in (tmp_path / "export", world / "model")
    )
    assert (written - acting).norm() < 0.4 * (base - acting).norm()


@pytest.mark.parametrize("adapters", [Lora(r=4), None], ids=["adapters", "matrices"])
def test_the_card_names_the_version_of_peft_where_it_was_used(
    world: Path, tmp_path: Path, adapters: Lora | None
) -> None:
    trained(world, tmp_path, ExportPretrained(), lora=adapters)
    line = f"| peft | {version('peft')} |"
    assert (line in (tmp_path / "export" / "README.md").read_text()) == (adapters is not None)


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gemma3"])
def test_other_families_are_merged_as_they_act(world: Path, tmp_path: Path, family: str) -> None:
    source = write_family(tmp_path, family)
    module = demo_module(world, lora=Lora(r=4), layer=3, whole_model=True)
    module.model_source = ModelSource(str(source))
    trainer = quiet_trainer(tmp_path, callbacks=[ExportPretrained()], max_steps=2)
    trainer.fit(module, demo_data(world, tokenizer=str(source)))
    exported = logits(AutoModelForCausalLM.from_pretrained(tmp_path / "export"))
    torch.testing.assert_close(exported, logits(module.updated), rtol=0, atol=1e-5)
    assert not torch.allclose(exported, logits(AutoModelForCausalLM.from_pretrained(source)), atol=1e-4)


def test_peft_loads_an_exported_adapter(world: Path, tmp_path: Path) -> None:
    targets: Any = r"model\.layers\.[67]\.self_attn\..*"
    module = trained(world, tmp_path, ExportPretrained(adapter=True), lora=Lora(r=4, target_modules=targets))
    base = AutoModelForCausalLM.from_pretrained(world / "model")
    loaded = PeftModel.from_pretrained(base, str(tmp_path / "export"))
    assert torch.equal(logits(loaded), logits(module.updated))
    config = json.loads((tmp_path / "export" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(world / "model")
    assert len(config["target_modules"]) == 8
    assert not (tmp_path / "export" / "config.json").exists()
    assert "library_name: peft" in (tmp_path / "export" / "README.md").read_text()


def test_half_the_way_from_the_base_is_half_of_what_the_adapters_add(world: Path, tmp_path: Path) -> None:
    module = trained(world, tmp_path)
    layer = adapted(module.updated)[OUTPUTS[1]]
    base, whole = layer.base_layer.weight, merged_weight(layer)
    with _weights_between(module, 0.5):
        torch.testing.assert_close(merged_weight(layer), base + 0.5 * (whole - base), rtol=0, atol=1e-7)
    assert torch.equal(merged_weight(layer), whole)
    assert not torch.equal(whole, base)


def test_names_of_modules_are_pefts(world: Path) -> None:
    model = load_model(ModelSource(str(world / "model")), torch.float32)
    lora = Lora(r=2, target_modules=["q_proj", "mlp.up_proj"], layers_to_transform=[3, 5])
    inject(model, lora, decoder_layers(model), layer=7, seed=0)
    modules = ("self_attn.q_proj", "mlp.up_proj")
    assert set(adapted(model)) == {f"model.layers.{index}.{name}" for index in (3, 5) for name in modules}


def test_dropout_of_adapters_acts_in_training_alone(world: Path, tmp_path: Path) -> None:
    found = trained(world, tmp_path, lora=Lora(r=4, lora_dropout=0.5))  # B is not 0 any more
    batch, data = pairs(1)[0]["retain"], demo_data(world, holdout=8)

    def hidden(*, training: bool) -> torch.Tensor:
        state: torch.Tensor = found._run(found.retain, batch, training=training)[1].hidden
        return state

    def validated() -> Any:
        return quiet_trainer(tmp_path).validate(found, data, verbose=False)

    training, evaluated, metrics = hidden(training=True), hidden(training=False), validated()
    assert not torch.equal(training, evaluated)
    for layer in adapted(found.updated).values():
        layer.lora_dropout["default"].p = 0.0
    assert torch.equal(hidden(training=True), evaluated)
    assert torch.equal(hidden(training=False), evaluated)
    assert validated() == metrics
    assert not any(child.training for child in found.updated.modules())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Lora(r=0), r"model.lora.r: 0 is not a rank; give 1 or more"),
        (lambda: Lora(lora_alpha=0), r"model.lora.lora_alpha: 0 would undo"),
        (lambda: Lora(lora_dropout=1.0), r"model.lora.lora_dropout: 1.0 is not a rate"),
        (lambda: Lora(target_modules=[]), r"model.lora.target_modules: none named; leave it out"),
        (
            lambda: Lora(target_modules="q_proj["),
            r"model.lora.target_modules: 'q_proj\[' is not a regular expression \(unterminated",
        ),
        (
            lambda: Lora(target_modules=["q_proj"], layers_to_transform=[]),
            r"model.lora.layers_to_transform: none named; leave it out for all layers",
        ),
        (lambda: Lora(layers_to_transform=[1]), r"layers_to_transform: it selects among a list of names; give one"),
        (
            lambda: UnlearnModule("demo", RMU(), RepresentationMSE(), lora=Lora(), trainable=[".*"]),
            r"model.lora: model.trainable says what is trained as well; set one of the two to null",
        ),
    ],
)
def test_options_that_cannot_be_are_refused_at_once(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"target_modules": "no_such.*"},
            r"model.lora.target_modules: 'no_such.\*' matches the whole name of no module;",
        ),
        ({"target_modules": ["q_proj", "no_such"]}, r"model.lora.target_modules: 'no_such' is the name or the end"),
        ({"target_modules": ["input_layernorm"]}, r"layers.0.input_layernorm is of class MistralRMSNorm, not a linear"),
        (
            {"target_modules": ["self_attn"]},
            r"model.layers.0.self_attn is of class MistralAttention, not a linear module;",
        ),
        (
            {"target_modules": ["q_proj", "lm_head"]},
            r"target_modules: lm_head lies outside the decoder layers, and ada",
        ),
        (
            {"target_modules": ["layers.2.mlp.up_proj"], "layers_to_transform": [3, 5]},
            r"'layers.2.mlp.up_proj' is the name or the end of the name of no module in layers \[3, 5\]$",
        ),
        (
            {"target_modules": ["q_proj", "model.layers.2.mlp.up_proj"], "layers_to_transform": [3]},
            r"layers_to_transform: 'model.layers.2.mlp.up_proj' in model.lora.target_modules is the whole name of one",
        ),
        ({"target_modules": ["embed_tokens"]}, r"target_modules: model.embed_tokens is of class Embedding, not a"),
        (
            {"target_modules": ["q_proj"], "layers_to_transform": [1, 10]},
            r"model.lora.layers_to_transform: 10 is out of range; the model has layers 0 to 9",
        ),
    ],
)
def test_modules_that_cannot_have_adapters_are_refused(world: Path, options: dict[str, Any], message: str) -> None:
    model = load_model(ModelSource(str(world / "model")), torch.float32)
    with pytest.raises(InputError, match=message) as error:
        inject(model, Lora(**options), decoder_layers(model), layer=7, seed=0)
    assert "\n" not in str(error.value)
    assert not adapted(model)


def test_experts_have_no_adapters(tmp_path: Path) -> None:
    model = load_model(ModelSource(str(write_layout(tmp_path, "mixtral"))), torch.float32)
    message = (
        r"layer 0's MLP output projection is stacked experts, which cannot have adapters; set model.lora.target_mod"
    )
    with pytest.raises(InputError, match=message):
        inject(model, Lora(r=4), decoder_layers(model), layer=2, seed=0)
    inject(model, Lora(r=4, target_modules=["q_proj"]), decoder_layers(model), layer=2, seed=0)
    assert len(adapted(model)) == 4


def test_an_adapter_of_a_shared_weight_is_refused(world: Path) -> None:
    model = load_model(ModelSource(str(world / "model")), torch.float32)
    layers: Any = decoder_layers(model)
    layers[3].mlp.up_proj.weight = layers[5].mlp.up_proj.weight
    with pytest.raises(InputError, match=r"model.layers.3.mlp.up_proj shares its weight with another module.*leave it"):
        inject(model, Lora(target_modules=["up_proj"]), layers, layer=7, seed=0)


def test_all_linear_modules_are_those_of_the_decoder_layers(world: Path) -> None:
    model = load_model(ModelSource(str(world / "model")), torch.float32)
    inject(model, Lora(r=2, target_modules="all-linear"), decoder_layers(model), layer=7, seed=0)
    linear = {name for name, module in model.named_modules() if name.endswith("_proj")}
    assert len(linear) == 7 * 10
    assert set(adapted(model)) == linear


def test_an_mlp_output_that_is_not_found_can_be_named_as_the_message_says(world: Path) -> None:
    model = load_model(ModelSource(str(world / "model")), torch.float32)
    layers: Any = decoder_layers(model)
    for layer in layers[1:4]:
        layer.mlp.outward = layer.mlp._modules.pop("down_proj")
    with pytest.raises(InputError, match=r"layer 1's MLP .* not found; set model.lora.target_modules .*, mlp.outward"):
        inject(model, Lora(), layers, layer=3, seed=0)
    inject(model, Lora(target_modules=["mlp.outward"], layers_to_transform=[1, 2, 3]), layers, layer=3, seed=0)
    assert set(adapted(model)) == {f"model.layers.{index}.mlp.outward" for index in (1, 2, 3)}


def test_adapters_that_no_loss_reaches_are_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^model.lora.target_modules: model.layers.8.* lies above layer 7"):
        trained(world, tmp_path, lora=Lora(target_modules=["down_proj"]))


def test_without_peft_the_extra_is_named(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    demo_module(world)
    with pytest.raises(InputError, match=r"model.lora: peft is not installed; pip install 'lit-unlearn\[lora\]'"):
        demo_module(world, lora=Lora())


def test_an_adapter_that_is_not_trained_is_not_exported(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ExportPretrained.adapter: the run trains none; set it to false, or give"):
        trained(world, tmp_path, ExportPretrained(adapter=True), lora=None)

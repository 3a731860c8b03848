"""Attention dropout: in training, in the updated model, from the first trained layer on, and nowhere else."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from lightning.pytorch.callbacks import ModelCheckpoint
from transformers import PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lit_unlearn import DPO, NPO, RMU, InputError, LogitKL, RepresentationMSE, UnlearnModule
from lit_unlearn.losses.contract import Outputs
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.trainable import choose_default
from lit_unlearn.running.dropout import check_acts, overrides
from lit_unlearn.running.frozen import FrozenModel
from lit_unlearn.running.pair import run_pair
from tests.batches import pairs
from tests.families import LAYERS, each_family, write_family
from tests.tiny_world import write_model
from tests.training import Losses, demo_data, demo_module, quiet_trainer


@pytest.mark.parametrize("family", each_family())
def test_the_updated_model_alone_drops_out_above_the_prefix(tmp_path: Path, family: str) -> None:
    model = load_model(ModelSource(str(write_family(tmp_path, family))), torch.float32)
    layers, batch = decoder_layers(model), pairs(1)[0]["retain"]
    choose_default(model, layers, 3)
    drops = overrides(layers[1:], 0.5)
    before = [getattr(module, name) for module, name, _ in drops]
    run = partial(run_pair, model, FrozenModel(model), layers, batch, reader=RepresentationMSE())
    (plain, frozen), (updated, target) = run(layer=3), run(layer=3, dropout=drops)
    assert frozen is not None
    assert target is not None
    assert torch.equal(target.hidden, frozen.hidden)
    assert not torch.equal(updated.hidden, plain.hidden)
    assert torch.equal(run(layer=0, dropout=drops)[0].hidden, run(layer=0)[0].hidden)
    assert [getattr(module, name) for module, name, _ in drops] == before
    assert not any(module.training for module in model.modules())


WIDTHS: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 128,
    "initializer_range": 0.1,
}
DROPPING_ELSEWHERE: dict[str, dict[str, Any]] = {
    "Starcoder2Config": WIDTHS | {"residual_dropout": 0.5},
    "SeedOssConfig": WIDTHS | {"residual_dropout": 0.5, "head_dim": 8},
    "BloomConfig": {"hidden_size": 32, "n_layer": 3, "n_head": 4, "hidden_dropout": 0.5, "initializer_range": 0.1},
    "GPT2Config": {"n_embd": 32, "n_layer": 3, "n_head": 4, "resid_pdrop": 0.5, "initializer_range": 0.1},
}


def family(folder: Path, config: str, options: dict[str, Any]) -> PreTrainedModel:
    write_model(folder / config, getattr(transformers, config)(**options))
    return load_model(ModelSource(str(folder / config)), torch.float32)


def check(model: PreTrainedModel, first: int = 0) -> None:
    layers = decoder_layers(model)
    check_acts(model, layers, range(first, len(layers)), torch.device("cpu"))


@pytest.mark.parametrize("name", DROPPING_ELSEWHERE)
def test_only_the_attention_weights_are_dropped(tmp_path: Path, name: str) -> None:
    model = family(tmp_path, name, DROPPING_ELSEWHERE[name])
    layers, batch = decoder_layers(model), pairs(1)[0]["retain"]
    choose_default(model, layers, 1)
    run = partial(run_pair, model, FrozenModel(model), layers, batch, layer=2, reader=RepresentationMSE())
    plain, half, next_to_none = (
        run(dropout=drops)[0].hidden for drops in ((), overrides(layers, 0.5), overrides(layers, 1e-9))
    )
    torch.testing.assert_close(next_to_none, plain, rtol=0, atol=1e-5)
    assert (half - plain).abs().max() > 1e-2
    check(model)


@pytest.mark.parametrize("implementation", [None, "eager"])
@pytest.mark.parametrize("name", each_family())
def test_in_every_family_what_is_set_acts(tmp_path: Path, name: str, implementation: str | None) -> None:
    source = ModelSource(str(write_family(tmp_path, name)), attn_implementation=implementation)
    model = load_model(source, torch.float32)
    before = torch.get_rng_state()
    check(model, first=LAYERS - 2)
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("config", "options", "message"),
    [
        ("PersimmonConfig", {}, r"PersimmonAttention has a rate that its forward does not read, .*; set it to 0"),
        ("DiffLlamaConfig", {}, r"DiffLlamaAttention has a rate that its forward does not read, .*; set it to 0"),
        ("PersimmonConfig", {"attention_dropout": 0.2}, r"PersimmonAttention still drops something where its own rate"),
    ],
)
def test_a_rate_that_does_not_act_is_refused(
    tmp_path: Path, config: str, options: dict[str, Any], message: str
) -> None:
    model = family(tmp_path, config, WIDTHS | options)
    assert overrides(decoder_layers(model), 0.5)
    with pytest.raises(InputError, match=rf"^model.attention_dropout: {message}"):
        check(model)


def test_an_attention_implementation_that_refuses_dropout_is_refused(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*args: Any, **options: Any) -> Any:
        if options["dropout"] > 0:
            raise ValueError("no dropout\nin here")  # as flex_attention does, which takes long to compile
        return sdpa_attention_forward(*args, **options)

    model = load_model(ModelSource(str(world / "model")), torch.float32)
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._global_mapping, "sdpa", refusing)
    with pytest.raises(InputError, match=r"Attention refuses it \(no dropout in here\); set it to 0"):
        check(model)


def test_what_does_not_act_is_refused_before_training(world: Path, tmp_path: Path) -> None:
    family(tmp_path, "PersimmonConfig", WIDTHS | {"vocab_size": 400})
    module = demo_module(world, layer=1, attention_dropout=0.1)
    module.model_source = ModelSource(str(tmp_path / "PersimmonConfig"))
    trainer = quiet_trainer(tmp_path)
    with pytest.raises(InputError, match=r"^model.attention_dropout: PersimmonAttention"):
        trainer.fit(module, demo_data(world, tokenizer=str(world / "model")))
    assert trainer.global_step == 0


def fit(world: Path, folder: Path, *, resume: str | None = None, **options: Any) -> tuple[list[float], dict[str, Any]]:
    losses, keep = Losses(), ModelCheckpoint(folder, filename="{step}", every_n_train_steps=2, save_top_k=-1)
    trainer = quiet_trainer(folder, max_steps=5, enable_checkpointing=True, callbacks=[losses, keep])
    module = demo_module(world, **{"noise_scale": 0.0} | options)
    trainer.fit(module, demo_data(world), ckpt_path=resume)
    return losses.values, {name: value.clone() for name, value in module.trained_parameters().items()}


def test_a_resumed_run_continues_bit_for_bit(world: Path, tmp_path: Path) -> None:
    losses, weights = fit(world, tmp_path, attention_dropout=0.3)
    torch.manual_seed(9)  # the global generator has no say
    resumed_losses, resumed = fit(world, tmp_path, attention_dropout=0.3, resume=str(tmp_path / "step=2.ckpt"))
    assert resumed_losses == losses[2:]
    assert all(torch.equal(value, weights[name]) for name, value in resumed.items())


def test_what_is_dropped_is_a_function_of_the_seed(world: Path, tmp_path: Path) -> None:
    runs = [
        fit(world, tmp_path / str(number), attention_dropout=0.3, seed=seed, forget=RMU(6.5, seed=0))[0]
        for number, seed in enumerate((1, 1, 2))
    ]
    assert runs[0] == runs[1] != runs[2]


def test_a_rate_of_0_changes_nothing(world: Path, tmp_path: Path) -> None:
    assert overrides(decoder_layers(load_model(ModelSource(str(world / "model")), torch.float32)), 0.0) == []
    plain, dropped = (
        fit(world, tmp_path / "0", attention_dropout=0.0),
        fit(world, tmp_path / "1", attention_dropout=0.1),
    )
    assert plain[0] == fit(world, tmp_path / "2")[0] != dropped[0]


@pytest.mark.parametrize("precision", ["bf16-true", "bf16-mixed"])
def test_it_is_tried_out_at_the_precision_of_the_run(world: Path, tmp_path: Path, precision: Any) -> None:
    trainer = quiet_trainer(tmp_path, max_steps=1, precision=precision)
    trainer.fit(demo_module(world, noise_scale=0.0, attention_dropout=0.3), demo_data(world))
    assert trainer.callback_metrics["train/retain_loss"] > 0.0


@pytest.mark.parametrize("losses", [(RMU(6.5), RepresentationMSE()), (NPO(), LogitKL())], ids=["hidden", "logits"])
def test_training_drops_out_and_validation_does_not(world: Path, tmp_path: Path, losses: Any) -> None:
    options = {"forget": losses[0], "retain": losses[1], "noise_scale": 0.0, "attention_dropout": 0.3}
    trainer, data = quiet_trainer(tmp_path, max_steps=1), demo_data(world, holdout=8)
    (metrics,) = trainer.validate(demo_module(world, **options), data, verbose=False)
    assert metrics["val/retain_loss"] == 0.0
    trainer.fit(demo_module(world, **options), data)
    assert trainer.callback_metrics["train/retain_loss"] > 0.0


def preferred(outputs: Outputs | None) -> torch.Tensor:
    assert outputs is not None
    assert outputs.preferred is not None
    return outputs.preferred.hidden


def test_preferred_answers_are_dropped_in_the_updated_model_alone(world: Path, tmp_path: Path) -> None:
    module = demo_module(world, forget=DPO(), retain=LogitKL(), noise_scale=0.0, attention_dropout=0.5)
    quiet_trainer(tmp_path, max_steps=1).fit(module, demo_data(world, preferred=str(world / "gardening.jsonl")))
    batch = pairs(1)[0]["forget"]
    run = partial(run_pair, module.updated, module.frozen, module.layers, batch, layer=7, reader=module.forget)
    plain, dropped = run(), run(dropout=module._dropout)
    assert not torch.equal(preferred(dropped[0]), preferred(plain[0]))
    assert torch.equal(preferred(dropped[1]), preferred(plain[1]))  # the frozen model's
    again = [preferred(module._run(module.forget, batch, training=True)[1]) for _ in range(2)]
    assert torch.equal(again[0], again[1])


def test_streams_and_steps_and_rows_draw_their_own_and_leave_the_generator_alone(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = demo_module(world, noise_scale=0.0, attention_dropout=0.5)
    quiet_trainer(tmp_path, max_steps=1).fit(module, demo_data(world))
    batch = pairs(1)[0]["retain"]
    before = torch.get_rng_state()
    found = [
        module._run(loss, batch, training=True)[1].hidden for loss in (module.retain, module.retain, module.forget)
    ]
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    other = module._run(module.retain, batch | {"row": batch["row"] + 100}, training=True)[1].hidden
    assert not torch.equal(other, found[0])
    monkeypatch.setattr(UnlearnModule, "global_step", module.global_step + 1)
    assert not torch.equal(module._run(module.retain, batch, training=True)[1].hidden, found[0])


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_what_is_no_rate_is_refused(world: Path, rate: float) -> None:
    with pytest.raises(InputError, match=rf"model.attention_dropout: {rate} is not a rate; give 0 or more, below 1"):
        demo_module(world, attention_dropout=rate)


def test_layers_without_attention_dropout_are_refused() -> None:
    with pytest.raises(InputError, match=r"model.attention_dropout: no attention dropout is found in Linear .*to 0"):
        overrides(torch.nn.ModuleList([torch.nn.Linear(2, 2)]), 0.1)

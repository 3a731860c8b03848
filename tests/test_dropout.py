"""Attention dropout: in training, in the updated model, from the first trained layer on, and nowhere else."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from lit_unlearn import NPO, RMU, InputError, LogitKL, RepresentationMSE
from lit_unlearn.dropout import settings
from lit_unlearn.forward import applied
from lit_unlearn.frozen import FrozenModel, run_pair
from lit_unlearn.models import choose_default, decoder_layers, load_model
from tests.batches import pairs
from tests.families import FAMILIES, write_family
from tests.training import Losses, demo_data, demo_module, quiet_trainer


@pytest.mark.parametrize("family", FAMILIES)
def test_the_updated_model_alone_drops_out_above_the_prefix(tmp_path: Path, family: str) -> None:
    model = load_model(str(write_family(tmp_path, family)), torch.float32)
    layers, batch = decoder_layers(model), pairs(1)[0]["retain"]
    choose_default(model, layers, 3)
    drops = settings(layers[1:], 0.5)
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


def test_only_the_attention_weights_are_dropped(tmp_path: Path) -> None:
    model = load_model(str(write_family(tmp_path, "gpt2")), torch.float32)  # it has dropout elsewhere, too
    with applied(settings(decoder_layers(model), 0.5)):
        training = [name for name, module in model.named_modules() if module.training]
    assert training == [f"transformer.h.{layer}.attn{part}" for layer in range(5) for part in ("", ".attn_dropout")]


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
    assert settings(decoder_layers(load_model(str(world / "model"), torch.float32)), 0.0) == []
    plain, dropped = (
        fit(world, tmp_path / "0", attention_dropout=0.0),
        fit(world, tmp_path / "1", attention_dropout=0.1),
    )
    assert plain[0] == fit(world, tmp_path / "2")[0] != dropped[0]


@pytest.mark.parametrize("losses", [(RMU(6.5), RepresentationMSE()), (NPO(), LogitKL())], ids=["hidden", "logits"])
def test_training_drops_out_and_validation_does_not(world: Path, tmp_path: Path, losses: Any) -> None:
    options = {"forget": losses[0], "retain": losses[1], "noise_scale": 0.0, "attention_dropout": 0.3}
    trainer, data = quiet_trainer(tmp_path, max_steps=1), demo_data(world, holdout=8)
    (metrics,) = trainer.validate(demo_module(world, **options), data, verbose=False)
    assert metrics["val/retain_loss"] == 0.0
    trainer.fit(demo_module(world, **options), data)
    assert trainer.callback_metrics["train/retain_loss"] > 0.0


def test_streams_and_steps_and_rows_draw_their_own_and_leave_the_generator_alone(world: Path, tmp_path: Path) -> None:
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


@pytest.mark.parametrize("rate", [-0.1, 1.0])
def test_what_is_no_rate_is_refused(world: Path, rate: float) -> None:
    with pytest.raises(InputError, match=rf"model.attention_dropout: {rate} is not a rate; give 0 or more, below 1"):
        demo_module(world, attention_dropout=rate)


def test_layers_without_attention_dropout_are_refused() -> None:
    with pytest.raises(InputError, match=r"model.attention_dropout: no attention dropout is found in Linear .*to 0"):
        settings(torch.nn.ModuleList([torch.nn.Linear(2, 2)]), 0.1)

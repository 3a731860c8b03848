"""Loading the first layers alone changes nothing but memory, and what is not loaded is never taken for the model's."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import lightning as L
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.utils.data import DataLoader
from transformers import T5Config

from lit_unlearn import (
    NPO,
    RMU,
    AdaptiveRMU,
    InputError,
    Lora,
    RepresentationMSE,
    UnlearnModule,
)
from lit_unlearn.models.first_layers import is_partial
from lit_unlearn.questions.sets import EvaluationSource
from tests.batches import pairs
from tests.families import LAYERS, each_family, write_family
from tests.questions.test_sets import write_questions
from tests.training import Losses, demo_data, demo_module, quiet_trainer

LAYER = 2


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What transformers says of weights that files and model do not share."""
    said: list[str] = []
    monkeypatch.setattr(logging.getLogger("transformers.modeling_utils"), "warning", lambda text: said.append(text))
    return said


class ReadsLogits(L.Callback):
    needs_logits: ClassVar[bool] = True


def fit(folder: Path, steps: int = 3, callbacks: list[L.Callback] | None = None, **options: Any) -> UnlearnModule:
    """After some steps."""
    defaults: dict[str, Any] = {"layer": LAYER, "retain_weight": 5.0, "noise_scale": 0.3, "seed": 0}
    module = UnlearnModule(
        str(folder), **{"forget": AdaptiveRMU(3.0), "retain": RepresentationMSE()} | defaults | options
    )
    trainer = quiet_trainer(folder.parent, max_steps=steps, callbacks=callbacks or [])
    trainer.fit(module, DataLoader(pairs(steps), batch_size=None))  # type: ignore[arg-type]
    return module


@pytest.mark.parametrize("options", [{}, {"lora": Lora(r=4)}], ids=["matrices", "adapters"])
@pytest.mark.parametrize("family", each_family())
def test_losses_and_weights_are_those_of_the_whole_model_bit_for_bit(
    tmp_path: Path, family: str, options: dict[str, Any], reports: list[str]
) -> None:
    folder, losses = write_family(tmp_path, family), (Losses(), Losses())
    whole = fit(folder, callbacks=[losses[0]], whole_model=True, **options)
    part = fit(folder, callbacks=[losses[1]], **options)
    assert reports == []
    assert losses[0].values == losses[1].values
    assert len(set(losses[0].values)) == 3
    everything = dict(whole.updated.named_parameters())
    held = dict(part.updated.named_parameters())
    assert all(torch.equal(value, everything[name]) for name, value in held.items())
    assert part.trained_parameters().keys() == whole.trained_parameters().keys()
    assert part.updated.config.num_hidden_layers == LAYERS
    assert type(part.updated) is type(whole.updated)
    assert [sum(value.numel() for value in layer.parameters()) > 0 for layer in part.layers] == [True] * 3 + [False] * 2
    assert not any("lm_head" in name or "embed_out" in name for name in held)


def test_what_is_not_loaded_is_not_taken_for_the_models(world: Path, tmp_path: Path) -> None:
    module, ids = demo_module(world), torch.tensor([[1, 5, 9]])
    quiet_trainer(tmp_path, max_steps=1).fit(module, demo_data(world))
    model: Any = module.updated
    misuses: list[Callable[[], Any]] = [
        lambda: model(ids),
        lambda: model.get_decoder()(ids),
        lambda: model.generate(ids, max_new_tokens=1),
        lambda: model.get_output_embeddings()(torch.ones(1, 1, 64)),
    ]
    for misuse in misuses:
        with pytest.raises(InputError, match=r"no callback of this run is known to read logits; set model.whole_model"):
            misuse()


@pytest.mark.parametrize(
    ("options", "callbacks"),
    [({"whole_model": True}, []), ({"forget": NPO()}, []), ({}, [ReadsLogits()])],
    ids=["option", "loss", "callback"],
)
def test_who_reads_logits_has_the_whole_model(
    world: Path, tmp_path: Path, options: dict[str, Any], callbacks: list[L.Callback]
) -> None:
    module = demo_module(world, **options)
    quiet_trainer(tmp_path, max_steps=1, callbacks=callbacks).fit(module, demo_data(world))
    assert not is_partial(module)


def test_questions_are_asked_of_the_whole_model(world: Path, tmp_path: Path) -> None:
    module, questions = demo_module(world), EvaluationSource({"some": write_questions(tmp_path / "q.jsonl", 4)})
    quiet_trainer(tmp_path, max_steps=1).fit(module, demo_data(world, evaluation=questions))
    assert not is_partial(module)


def test_a_module_that_holds_the_first_layers_is_not_used_for_more(world: Path, tmp_path: Path) -> None:
    module, data = demo_module(world), demo_data(world, holdout=8)
    quiet_trainer(tmp_path, max_steps=1).fit(module, data)
    quiet_trainer(tmp_path).validate(module, data, verbose=False)
    with pytest.raises(
        InputError, match=r"model.whole_model: the model was loaded without its last layers.*whole_model="
    ):
        quiet_trainer(tmp_path, callbacks=[ReadsLogits()]).validate(module, data, verbose=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"trainable": [r".*"]}, r"model.trainable: .* lies above layer 7"),
        ({"trainable": [r".*\.9\.mlp.*"]}, r"model.trainable: .*layers.9.* lies above layer 7"),
        ({"trainable": [r"lm_head\.weight"]}, r"model.trainable: lm_head.weight lies above layer 7"),
        ({"lora": Lora(target_modules="all-linear")}, r"model.lora.target_modules: .*layers.8.* lies above layer 7"),
        ({"decoder_layers": "model.norm"}, r"no list of decoder layers is named 'model.norm'"),
    ],
)
def test_what_is_not_loaded_is_not_trained(
    world: Path, tmp_path: Path, options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lit_unlearn.models.loading.load_model", lambda *args, **kwargs: pytest.fail("weights were read")
    )
    with pytest.raises(InputError, match=message):
        quiet_trainer(tmp_path).fit(demo_module(world, **options), demo_data(world))


def test_weights_above_the_layer_are_not_asked_for(world: Path, tmp_path: Path) -> None:
    folder = write_family(tmp_path, "llama")
    weights = load_file(folder / "model.safetensors")
    below = {name: value for name, value in weights.items() if name[:14] not in ("model.layers.3", "model.layers.4")}
    save_file(below, folder / "model.safetensors", metadata={"format": "pt"})
    fit(folder, steps=1)
    with pytest.raises(InputError, match=r"lacks 18 weights that its config.json asks for"):
        fit(folder, steps=1, whole_model=True)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_files_without_the_models_prefix_are_loaded(tmp_path: Path, family: str, reports: list[str]) -> None:
    folder = write_family(tmp_path, family)
    prefix = "model." if family == "llama" else "transformer."
    weights = {name.removeprefix(prefix): value for name, value in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert is_partial(fit(folder, steps=1))
    assert reports == []


def test_a_named_list_of_layers_is_cut_as_one_that_is_found(tmp_path: Path) -> None:
    folder = write_family(tmp_path, "llama")
    named, found = fit(folder, decoder_layers="model.layers"), fit(folder)
    trained = found.trained_parameters()
    assert all(torch.equal(value, trained[name]) for name, value in named.trained_parameters().items())
    assert is_partial(named)


def test_with_the_last_layer_as_steering_layer_all_layers_run(tmp_path: Path) -> None:
    folder, losses = write_family(tmp_path, "llama"), (Losses(), Losses())
    options: dict[str, Any] = {"layer": LAYERS - 1, "forget": RMU(3.0)}
    fit(folder, callbacks=[losses[0]], **options)
    fit(folder, callbacks=[losses[1]], whole_model=True, **options)
    assert losses[0].values == losses[1].values


def test_a_model_of_another_kind_is_refused_in_one_line(tmp_path: Path) -> None:
    T5Config(num_layers=4).save_pretrained(tmp_path / "t5")
    with pytest.raises(InputError, match=r"t5' cannot be loaded \(Unrecognized configuration class"):
        fit(tmp_path / "t5")

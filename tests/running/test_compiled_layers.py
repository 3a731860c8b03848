"""Compiled layers compute what the layers do, and what they do not support is refused."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from lit_unlearn import NPO, InputError, LogitKL, Lora, RepresentationMSE
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.trainable import choose_default
from lit_unlearn.running.compiled_layers import CompiledLayers, check_compiler
from lit_unlearn.running.frozen import FrozenModel
from lit_unlearn.running.pair import run_pair
from lit_unlearn.running.prefix_store import PrefixStore
from tests.batches import pairs
from tests.families import FAMILIES, write_family
from tests.fast import only
from tests.training import Losses, demo_data, demo_module, quiet_trainer

METHODS: dict[str, dict[str, Any]] = {
    "RMU": {},
    "NPO": {"forget": NPO(0.1), "retain": LogitKL()},
    "LoRA": {"lora": Lora(r=4)},
    "activation checkpointing": {"activation_checkpointing": True, "forget": NPO(0.1), "retain": LogitKL()},
    "all layers": {"trainable": [r"model\.layers\..*"], "forget": NPO(0.1), "retain": LogitKL()},
}


@pytest.fixture(autouse=True)
def _nothing_compiled_before() -> Iterator[None]:
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def fitted(world: Path, folder: Path, *, trainer: dict[str, Any] | None = None, **options: Any) -> Any:
    """The losses of three steps and the trained weights."""
    module, losses = demo_module(world, seed=0, **{"optimizer": partial(SGD, lr=1e-2)} | options), Losses()
    path = (trainer or {}).pop("ckpt_path", None)
    quiet = quiet_trainer(folder, callbacks=[losses], **trainer or {})
    quiet.fit(module, demo_data(world, seed=0), ckpt_path=path)
    assert not any("forward" in vars(layer) for layer in module.layers)
    return quiet, losses.values, {name: value.detach() for name, value in module.trained_parameters().items()}


@pytest.mark.parametrize("method", only(METHODS, "RMU"))
def test_losses_and_weights_are_those_without_it(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    _, losses, weights = fitted(world, tmp_path, **METHODS[method])
    monkeypatch.setattr("lit_unlearn.modules.unlearn.CompiledLayers", partial(CompiledLayers, backend="aot_eager"))
    _, compiled, ours = fitted(world, tmp_path, compile=True, **METHODS[method])
    assert compiled == pytest.approx(losses, rel=1e-5)
    for name, weight in weights.items():
        torch.testing.assert_close(ours[name], weight, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_same_weights(world: Path, tmp_path: Path) -> None:
    _, plain, _ = fitted(world, tmp_path)
    _, losses, weights = fitted(world, tmp_path, compile=True)
    assert losses == pytest.approx(plain, rel=1e-5)
    half, *_ = fitted(world, tmp_path, compile=True, trainer={"max_steps": 1})
    half.save_checkpoint(tmp_path / "half.ckpt")
    torch.compiler.reset()
    _, rest, resumed = fitted(world, tmp_path, compile=True, trainer={"ckpt_path": tmp_path / "half.ckpt"})
    assert rest == losses[1:]
    assert all(torch.equal(resumed[name], weights[name]) for name in weights)


def states(folder: Path, batches: Any, backend: Any) -> list[tuple[Tensor, Tensor]]:
    """Of each batch what both models return after the last layer that runs."""
    model = load_model(ModelSource(str(folder)), torch.float32)
    layers = decoder_layers(model)
    choose_default(model, layers, 4)
    compiled, frozen, found = None if backend is None else CompiledLayers(layers, backend), FrozenModel(model), []
    for batch in batches:
        outputs = run_pair(model, frozen, layers, batch, layer=4, reader=RepresentationMSE(), compiled=compiled)
        assert outputs[1] is not None
        outputs[0].hidden.square().mean().backward()
        found.append((outputs[0].hidden, outputs[1].hidden))
    return found


@pytest.mark.parametrize("family", only(FAMILIES, "llama"))
def test_every_family_can_be_compiled(tmp_path: Path, family: str) -> None:
    folder, batch = write_family(tmp_path, family), pairs(1)[0]["retain"]
    plain, compiled = (states(folder, [batch], backend) for backend in (None, "eager"))
    torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=1e-5)


def test_lengths_and_layers_share_compiled_forms(tmp_path: Path) -> None:
    forms: list[object] = []

    def counted(graph: Any, inputs: Any) -> Any:
        forms.append(inputs)
        return graph.forward

    batch: Any = pairs(1)[0]["retain"]
    shorter = [
        {name: value[:, :length] if value.dim() == 2 else value for name, value in batch.items()}
        for length in (8, 9, 10, 12)
    ]
    states(write_family(tmp_path, "llama"), [batch, *shorter], counted)
    assert len(forms) <= 4  # below what is trained, what is trained, the frozen model; with padding and without


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"attention_dropout": 0.1}, r"^model\.compile: layers with dropout are not compiled.*; set it to false$"),
        ({"lora": Lora(lora_dropout=0.1)}, r"^model\.compile: layers with dropout"),
        ({"prefix_store": PrefixStore(folder="states")}, r"^model\.compile: model\.prefix_store holds .* two$"),
    ],
)
def test_what_excludes_it_is_refused(world: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        demo_module(world, compile=True, **options)


def test_sharded_models_are_refused() -> None:
    with pytest.raises(InputError, match=r"^model\.compile: layers of a sharded model .*ddp\.yaml"):
        check_compiler(torch.device("cpu"), sharded=True)


def test_without_a_compiler_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(InputError, match=r"^model\.compile: no C\+\+ compiler is found; install g\+\+"):
        check_compiler(torch.device("cpu"), sharded=False)


def test_compiling_that_is_turned_off_is_refused() -> None:
    message = r"^model\.compile: TORCH_COMPILE_DISABLE turns torch\.compile off"
    with torch._dynamo.config.patch(disable=True), pytest.raises(InputError, match=message):
        check_compiler(torch.device("cpu"), sharded=False)


class Counting(nn.Module):
    """A layer whose work depends on the values that it is given."""

    def forward(self, hidden: Tensor) -> Tensor:
        return hidden if hidden.sum().item() > 0 else -hidden


def test_a_layer_that_cannot_be_compiled_is_named() -> None:
    ((_, forward),) = CompiledLayers(nn.ModuleList([Counting()]), "eager").without(1)
    with pytest.raises(InputError, match=r"^model\.compile: Counting cannot be compiled \(.*\); set it to false$"):
        forward(torch.ones(2, 3, 4))

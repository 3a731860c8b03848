"""What is computed again in backward is what was computed: the same gradients, bit for bit, from less memory."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from lit_unlearn import DPO, NPO, RMU, LogitKL, Lora, RepresentationMSE
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.trainable import choose_default
from lit_unlearn.running.dropout import overrides, seeded
from lit_unlearn.running.frozen import FrozenModel
from lit_unlearn.running.pair import run_pair
from tests.batches import pairs
from tests.families import each_family, write_family
from tests.fast import only
from tests.training import demo_data, demo_module, quiet_trainer

METHODS: dict[str, dict[str, Any]] = {
    "RMU": {"forget": RMU(6.5), "retain": RepresentationMSE()},
    "NPO": {"forget": NPO(0.1), "retain": LogitKL()},
    "DPO": {"forget": DPO(0.1), "retain": LogitKL()},
    "dropout": {"forget": NPO(0.1), "retain": LogitKL(), "attention_dropout": 0.2},
    "LoRA": {"lora": Lora(r=4, lora_dropout=0.2), "optimizer": torch.optim.SGD},
    "a layer below the first trained one": {"noise_layer": 0, "trainable": [r"model\.layers\.2\.mlp\..*"], "layer": 2},
    "the embedding": {"forget": NPO(0.1), "retain": LogitKL(), "trainable": [r".*norm.*", r"model\.embed_tokens.*"]},
}


def gradients(folder: Path, *, rate: float, again: bool) -> tuple[dict[str, Tensor], int]:
    """The gradients of a loss on logits and hidden states, and the bytes that were kept for backward."""
    model = load_model(ModelSource(str(folder)), torch.float32)
    layers, batch = decoder_layers(model), pairs(1)[0]["retain"]
    choose_default(model, layers, 2)
    weights = {parameter.data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor.detach()

    loss = LogitKL()
    drops = overrides(layers, rate) if rate else ()
    with seeded(3, torch.device("cpu")), saved_tensors_hooks(keep, lambda tensor: tensor):
        updated, frozen = run_pair(
            model, FrozenModel(model), layers, batch, layer=4, reader=loss, dropout=drops, recompute=again
        )
        total = loss(updated, frozen, batch).sum() + updated.hidden.square().mean()
    total.backward()
    found = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    return found, sum(kept.values())


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("family", each_family())
def test_gradients_are_the_same_from_less_memory(tmp_path: Path, family: str, rate: float) -> None:
    folder = write_family(tmp_path, family)
    (kept, size), (computed, less) = (gradients(folder, rate=rate, again=again) for again in (False, True))
    assert kept.keys() == computed.keys() != set()
    assert all(torch.equal(kept[name], computed[name]) for name in kept)
    assert less < 0.5 * size


@pytest.mark.parametrize("method", only(METHODS, "RMU", "NPO", "LoRA"))
def test_a_run_ends_with_the_same_weights(world: Path, tmp_path: Path, method: str) -> None:
    weights = []
    for again in (False, True):
        module = demo_module(world, seed=0, activation_checkpointing=again, **METHODS[method])
        quiet_trainer(tmp_path, precision="bf16-mixed").fit(module, demo_data(world, seed=0))
        weights.append({name: value.detach().clone() for name, value in module.trained_parameters().items()})
        assert not any("forward" in vars(layer) for layer in module.layers)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])

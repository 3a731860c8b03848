import pytest
import torch
import transformers
from torch import nn

from lit_unlearn.forward import noisy_output, only_layers, positions, run_layers, swapped
from lit_unlearn.frozen import FrozenModel, run_pair
from lit_unlearn.models import choose_trainable, decoder_layers, default_trainable
from tests.batches import padded, random_rows

TUPLES = {
    "GPTJConfig": {"n_embd": 32, "n_layer": 5, "n_head": 4, "rotary_dim": 4, "n_positions": 128},
    "FalconConfig": {"hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 4},
    "BloomConfig": {"hidden_size": 32, "n_layer": 5, "n_head": 4},
}
"""Families whose decoder layers return tuples; Bloom takes no position ids either."""


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("config", TUPLES)
def test_layers_that_return_tuples_run_in_part_as_in_whole(config: str, side: str) -> None:
    options = TUPLES[config] | {"vocab_size": 160, "bos_token_id": 1, "eos_token_id": 2}
    model = transformers.AutoModelForCausalLM.from_config(getattr(transformers, config)(**options)).eval()
    layers = decoder_layers(model.requires_grad_(False))
    choose_trainable(model, default_trainable(model, layers, 3))
    batch = padded(random_rows(3, seed=0), side)
    noise = (3, torch.ones_like)
    with torch.no_grad():
        outputs = run_pair(
            model, FrozenModel(model), layers, batch, layer=3, needs_logits=True, needs_frozen=True, noise=noise
        )
        hidden, _ = run_layers(model, layers, batch, layer=3, needs_logits=False, start=1)
        frozen = outputs[1]
    assert frozen is not None
    torch.testing.assert_close(outputs[0].hidden, hidden.hidden, rtol=0, atol=0)
    torch.testing.assert_close(frozen.hidden, hidden.hidden + 1, rtol=0, atol=0)
    assert outputs[0].logits is not None
    assert frozen.logits is not None
    assert not torch.equal(outputs[0].logits, frozen.logits)


def test_layers_that_are_not_needed_do_not_run() -> None:
    layers = nn.ModuleList(nn.Identity() for _ in range(5))
    ran: list[int] = []
    for index, layer in enumerate(layers):
        layer.register_forward_pre_hook(lambda module, args, index=index: ran.append(index))
    with only_layers(layers, 1, 3, like=[torch.zeros(1)]):
        hidden = torch.ones(2)
        for layer in layers:
            hidden = layer(hidden)
    assert ran == [1, 2, 3]
    assert torch.equal(hidden, torch.ones(2))


def test_swaps_and_hooks_are_undone_after_an_error() -> None:
    parent = nn.Sequential(nn.Linear(2, 2))
    original = parent[0]

    def fail() -> None:
        with swapped([(parent, "0", nn.Identity())]), noisy_output(original, torch.ones_like):
            assert isinstance(parent[0], nn.Identity)
            raise RuntimeError("in between")

    with pytest.raises(RuntimeError, match="in between"):
        fail()
    assert parent[0] is original
    assert len(original._forward_hooks) == 0


def test_positions_count_real_tokens_on_either_side() -> None:
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1]])
    assert positions(mask)[mask.bool()].tolist() == [0, 1, 2, 0, 1, 2]

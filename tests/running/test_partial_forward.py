import copy
from functools import partial
from typing import Any

import pytest
import torch
import transformers
from torch import nn

from lit_unlearn import DPO, NPO, RSV, InputError, LogitKL, Refusal
from lit_unlearn.losses.lazy_logits import LazyLogits
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.trainable import choose_trainable, default_trainable
from lit_unlearn.running.frozen import FrozenModel
from lit_unlearn.running.hooks import noisy_output, patched_output, recorded_start, swapped
from lit_unlearn.running.pair import run_pair
from lit_unlearn.running.partial_forward import logit_lens, only_layers, positions, run_layers
from lit_unlearn.running.state_patching import Decoder, layer_states, patched_runs
from tests.batches import padded, random_rows
from tests.families import FAMILIES, each_family

TUPLES: dict[str, dict[str, Any]] = {
    "GPTJConfig": {"n_embd": 32, "n_layer": 5, "n_head": 4, "rotary_dim": 4, "n_positions": 128},
    "FalconConfig": {"hidden_size": 32, "num_hidden_layers": 5, "num_attention_heads": 4},
    "BloomConfig": {"hidden_size": 32, "n_layer": 5, "n_head": 4},
}
"""Families whose decoder layers return tuples; Bloom takes no position ids either."""


HEADS: dict[str, dict[str, Any]] = TUPLES | {
    "Gemma2Config": {"final_logit_softcapping": 2.0, "head_dim": 8},
    "GraniteConfig": {"logits_scaling": 3.0},
    "CohereConfig": {"logit_scale": 0.25},
    "PhiConfig": {},
    "MixtralConfig": {"num_local_experts": 2},
}
"""Families whose logits are not just a matrix times the final states, or whose decoder returns more than those."""


def built(config: str, options: dict[str, Any]) -> transformers.PreTrainedModel:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
    sizes |= {"num_key_value_heads": 2} if config not in TUPLES else {}
    tokens = {"vocab_size": 160, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "initializer_range": 0.2}
    torch.manual_seed(0)
    chosen = getattr(transformers, config)(**((options if config in TUPLES else sizes | options) | tokens))
    model: transformers.PreTrainedModel = transformers.AutoModelForCausalLM.from_config(chosen)
    model.eval()
    return model.requires_grad_(False)


@pytest.mark.parametrize("config", HEADS)
def test_logits_are_the_models_own_at_any_index(config: str) -> None:
    model = built(config, HEADS[config])
    layers = decoder_layers(model)
    batch = padded(random_rows(3, seed=0), "right")
    ids, mask = batch["input_ids"], batch["attention_mask"]
    logits = run_layers(model, layers, batch, layer=1, needs_logits=True, start=0)[0].logits
    assert logits is not None
    whole = model(input_ids=ids, attention_mask=mask).logits
    index = mask.nonzero(as_tuple=True)
    assert logits.shape == whole.shape
    torch.testing.assert_close(logits[:][index], whole[index], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits[index], whole[index], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits[1:, :2], whole[1:, :2], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logits[0, 1], whole[0, 1], rtol=1e-5, atol=1e-5)
    assert logits[:0].shape == (0, *whole.shape[1:])


@pytest.mark.parametrize(
    ("trained", "outside"),
    [("lm_head.weight", True), ("model.embed_tokens.weight", True), ("model.layers.2.mlp.down_proj.weight", False)],
)
@pytest.mark.parametrize("tied", [False, True])
def test_logits_say_whether_their_head_may_be_trained(trained: str, outside: bool, tied: bool) -> None:
    model = built("MistralConfig", {"tie_word_embeddings": tied})
    model.get_parameter(trained).requires_grad_()
    batch = padded(random_rows(3, seed=0), "right")
    logits = run_layers(model, decoder_layers(model), batch, layer=1, needs_logits=True, start=0)[0].logits
    assert isinstance(logits, LazyLogits)
    assert logits.trained == outside


@pytest.mark.parametrize("name", [*each_family(), *HEADS])
def test_the_logit_lens_is_the_model_that_ends_after_each_layer(name: str) -> None:
    model = built(*(FAMILIES | {head: (head, options) for head, options in HEADS.items()})[name])
    batch = padded(random_rows(3, seed=0), "left")
    found = list(logit_lens(model, decoder_layers(model), batch))
    assert len(found) == len(decoder_layers(model))
    for last, logits in enumerate(found):
        shorter = copy.deepcopy(model)
        del decoder_layers(shorter)[last + 1 :]
        shorter.config.num_hidden_layers = last + 1
        for row, ids in enumerate(batch["input_ids"]):  # one row at a time, without padding
            alone = shorter(input_ids=ids[batch["attention_mask"][row] == 1][None], use_cache=False).logits[0, -1]
            torch.testing.assert_close(logits[row], alone, rtol=1e-4, atol=1e-4)
    assert not torch.allclose(found[0], found[-1], atol=0.01)


@pytest.mark.parametrize("name", [*each_family(), *TUPLES])
def test_patched_everywhere_a_model_goes_on_from_the_others_states(name: str) -> None:
    model = built(*(FAMILIES | {own: (own, options) for own, options in TUPLES.items()})[name])
    other = copy.deepcopy(model)
    for name, parameter in decoder_layers(other)[:2].named_parameters():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
    batch = padded(random_rows(3, seed=0), "left")
    real = batch["attention_mask"].bool()
    run = partial(run_layers, batch=batch, layer=1, needs_logits=True, start=0)
    (own, _), (theirs, _) = (run(one, decoder_layers(one)) for one in (model, other))
    some = real & (torch.arange(real.shape[1]) % 3 == 1)
    for mask in (real, some, ~real):
        with patched_output(decoder_layers(model)[1], mask, theirs.hidden):
            patched, _ = run(model, decoder_layers(model))
        assert torch.equal(patched.hidden, torch.where(mask[..., None], theirs.hidden, own.hidden))
        assert patched.logits is not None
        same = [torch.equal(patched.logits[:][real], one.logits[:][real]) for one in (theirs, own)]  # type: ignore[index]
        assert same == [mask is real, mask is not real and mask is not some]
    assert len(decoder_layers(model)[1]._forward_hooks) == 0


def test_noise_runs_on_to_the_frozen_logits_alone() -> None:
    model = built("MistralConfig", {})
    layers = decoder_layers(model)
    choose_trainable(model, default_trainable(model, layers, 1))
    batch = padded(random_rows(3, seed=0), "right")
    with_noise, without = (
        run_pair(model, FrozenModel(model), layers, batch, layer=1, reader=LogitKL(), noise=noise)
        for noise in ((1, torch.ones_like), None)
    )
    logits = [outputs.logits[:] for pair in (with_noise, without) for outputs in pair if outputs and outputs.logits]
    assert torch.equal(logits[0], logits[2])
    assert torch.equal(logits[2], logits[3])
    assert (logits[1] - logits[0]).abs().amax(dim=-1).min() > 0.01


@pytest.mark.parametrize(("noise", "runs"), [(None, 1), (4, 1), (1, 2)])
def test_layers_below_the_first_trained_one_run_once_even_above_the_steering_layer(
    noise: int | None, runs: int
) -> None:
    model = built("MistralConfig", {"num_hidden_layers": 5})
    layers = decoder_layers(model)
    choose_trainable(model, [r"model\.layers\.3\.mlp\.down_proj\.weight"])
    ran: list[int] = []
    for index, layer in enumerate(layers):
        layer.register_forward_pre_hook(lambda module, args, index=index: ran.append(index))
    added = None if noise is None else (noise, torch.ones_like)
    batch = padded(random_rows(3, seed=0), "left")
    updated, frozen = run_pair(model, FrozenModel(model), layers, batch, layer=1, reader=LogitKL(), noise=added)
    assert [ran.count(index) for index in range(5)] == [1, runs, runs, 2, 2]
    assert frozen is not None
    assert torch.equal(updated.hidden, frozen.hidden) == (noise != 1)


@pytest.mark.parametrize(
    ("trained", "attention", "gate"),
    [
        ("mlp.down_proj.weight", 1, 1),
        ("mlp.gate_proj.weight", 1, 1),  # and its copy
        ("input_layernorm.weight", 2, 2),
        ("post_attention_layernorm.weight", 1, 2),
        ("self_attn.o_proj.weight", 2, 2),
    ],
)
def test_what_a_layer_computes_before_its_first_trained_part_is_computed_once(
    trained: str, attention: int, gate: int
) -> None:
    model = built("MistralConfig", {})
    layers = decoder_layers(model)
    choose_trainable(model, [rf"model\.layers\.1\.{trained}"])
    frozen = FrozenModel(model)
    ran: list[str] = []
    for name in ("self_attn", "mlp.gate_proj"):
        layers[1].get_submodule(name).register_forward_hook(lambda module, args, output, name=name: ran.append(name))
    batch = padded(random_rows(3, seed=0), "left")
    outputs, before = run_pair(model, frozen, layers, batch, layer=2, reader=RSV(seed=0))
    assert before is not None
    assert torch.equal(outputs.hidden, before.hidden)
    assert (ran.count("self_attn"), ran.count("mlp.gate_proj")) == (attention, gate)


class Twice(nn.Module):
    """A layer one part of which runs twice, with something trained in between."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.shared, self.trained = (nn.Linear(4, 4).requires_grad_(index == 2) for index in range(3))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.shared(self.trained(self.shared(self.first(hidden))))
        return out


def test_a_part_that_runs_again_is_not_taken_for_what_it_first_returned() -> None:
    layer = Twice()
    with recorded_start(layer) as answers:
        layer(torch.ones(1, 4))
    assert [module for module, _ in answers] == [layer.first]
    assert not any(child._forward_hooks or child._forward_pre_hooks for child in layer.children())


class ChangedInPlace(nn.Module):
    """A layer that adds to what one of its parts returned, as Falcon's does."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.changed = (nn.Linear(4, 4).requires_grad_(False) for _ in range(2))

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.changed(hidden)
        out += self.first(hidden)
        return out


class ReadAside(nn.Module):
    """A layer that reads a trained weight without calling the part that owns it."""

    def __init__(self) -> None:
        super().__init__()
        self.trained, self.after = nn.Linear(4, 4), nn.Linear(4, 4).requires_grad_(False)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.after(hidden @ self.trained.weight)
        return out


@pytest.mark.parametrize(("layer", "kept"), [(ChangedInPlace(), ["first"]), (ReadAside(), [])])
def test_only_what_is_surely_of_the_frozen_model_is_kept(layer: nn.Module, kept: list[str]) -> None:
    with recorded_start(layer) as answers:
        layer(torch.ones(1, 4))
    assert [module for module, _ in answers] == [getattr(layer, name) for name in kept]


@pytest.mark.parametrize("config", TUPLES)
@pytest.mark.parametrize("noise", [None, (1, torch.ones_like)])
def test_what_is_reused_is_what_a_frozen_copy_computes(config: str, noise: tuple[int, Any] | None) -> None:
    model = built(config, TUPLES[config])
    copied = copy.deepcopy(model)
    layers = decoder_layers(model)
    choose_trainable(model, [r".*\.3\.mlp\.(fc_out|dense_4h_to_h)\.weight"])
    frozen = FrozenModel(model)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(0.5)
    batch = padded(random_rows(3, seed=0), "left")
    _, before = run_pair(model, frozen, layers, batch, layer=4, reader=LogitKL(), noise=noise)
    with torch.no_grad():
        expected, _ = run_layers(
            copied, decoder_layers(copied), batch, layer=4, needs_logits=True, start=0, noise=noise
        )
    assert before is not None
    torch.testing.assert_close(before.hidden, expected.hidden)


def test_preferred_answers_run_through_both_models_without_noise() -> None:
    model = built("MistralConfig", {})
    layers = decoder_layers(model)
    choose_trainable(model, default_trainable(model, layers, 1))
    batch = padded(random_rows(3, seed=0), "right")
    batch["preferred"] = padded(random_rows(3, seed=1), "right")
    updated, frozen = run_pair(
        model, FrozenModel(model), layers, batch, layer=1, reader=DPO(), noise=(1, torch.ones_like)
    )
    alone, _ = run_pair(model, FrozenModel(model), layers, batch["preferred"], layer=1, reader=NPO())
    assert frozen is not None
    for outputs in (updated.preferred, frozen.preferred):
        assert outputs is not None
        torch.testing.assert_close(outputs.hidden, alone.hidden, rtol=0, atol=0)


def test_rows_that_a_loss_does_not_read_run_up_to_the_steering_layer_without_gradient() -> None:
    model = built("MistralConfig", {})
    layers, batch = decoder_layers(model), padded(random_rows(3, seed=0), "right")
    batch["preferred"] = padded(random_rows(3, seed=1), "right")
    choose_trainable(model, [r".*\.0\.mlp\.down_proj\.weight"])
    ran: list[int] = []
    layers[2].register_forward_hook(lambda module, args, output: ran.append(len(ran)))
    updated, frozen = run_pair(model, FrozenModel(model), layers, batch, layer=1, reader=Refusal())
    assert (updated.logits, frozen, len(ran)) == (None, None, 1)
    assert not updated.hidden.requires_grad
    both, _ = run_pair(model, FrozenModel(model), layers, batch, layer=1, reader=DPO())
    assert torch.equal(updated.hidden, both.hidden)
    found = []
    for outputs in (updated.preferred, both.preferred):
        assert outputs is not None
        assert outputs.logits is not None
        found.append(outputs.logits[:])
    assert found[0].requires_grad
    assert torch.equal(*found)


def test_data_without_the_preferred_answers_that_a_loss_reads_is_refused() -> None:
    model = built("MistralConfig", {})
    batch = padded(random_rows(3, seed=0), "right")
    with pytest.raises(InputError, match=r"^data: DPO reads preferred answers, which this data does not hold; take a"):
        run_pair(model, FrozenModel(model), decoder_layers(model), batch, layer=1, reader=DPO())


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
        outputs = run_pair(model, FrozenModel(model), layers, batch, layer=3, reader=LogitKL(), noise=noise)
        hidden, _ = run_layers(model, layers, batch, layer=3, needs_logits=False, start=1)
        frozen = outputs[1]
    assert frozen is not None
    torch.testing.assert_close(outputs[0].hidden, hidden.hidden, rtol=0, atol=0)
    torch.testing.assert_close(frozen.hidden, hidden.hidden + 1, rtol=0, atol=0)
    assert outputs[0].logits is not None
    assert frozen.logits is not None
    assert not torch.equal(outputs[0].logits[:], frozen.logits[:])


SHARED_KEYS: dict[str, Any] = {
    "num_hidden_layers": 6,
    "num_kv_shared_layers": 2,
    "layer_types": ["sliding_attention", "full_attention"] * 3,
    "sliding_window": 8,
    "head_dim": 8,
    "global_head_dim": 8,
    "vocab_size_per_layer_input": 160,
    "hidden_size_per_layer_input": 8,
}
"""Of Gemma 4, whose last layers attend with keys of layers 2 and 3."""


@pytest.mark.parametrize("start", range(6))
def test_layers_that_take_over_keys_of_lower_ones_run_in_part_as_in_whole(start: int) -> None:
    model = built("Gemma4TextConfig", SHARED_KEYS)
    layers, batch = decoder_layers(model), padded(random_rows(3, seed=0), "left")
    real = batch["attention_mask"].nonzero(as_tuple=True)
    own = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[real]
    (trained,) = choose_trainable(model, [rf".*\.{start}\.mlp\.down_proj\.weight"])
    frozen = FrozenModel(model)
    with torch.no_grad():
        model.get_parameter(trained).mul_(2)
        changed = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits[real]
        found = run_pair(model, frozen, layers, batch, layer=start, reader=LogitKL())
        for outputs, expected in zip(found, (changed, own), strict=True):
            assert outputs is not None
            assert outputs.logits is not None
            torch.testing.assert_close(outputs.logits[real], expected)
    assert not torch.allclose(changed, own)


def test_patched_layers_that_take_over_keys_go_on_from_their_own() -> None:
    model = built("Gemma4TextConfig", SHARED_KEYS)
    decoder, batch = Decoder(model, decoder_layers(model)), padded(random_rows(3, seed=0), "left")
    real = batch["attention_mask"].nonzero(as_tuple=True)
    with torch.no_grad():
        own = layer_states(decoder, batch)
        mask = batch["attention_mask"].bool()
        runs = list(patched_runs(decoder, batch, own, mask=mask, source=own.left))
        for outputs in runs:
            assert outputs.logits is not None
            assert own.outputs.logits is not None
            torch.testing.assert_close(outputs.logits[real], own.outputs.logits[real])
    assert len(runs) == 6


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

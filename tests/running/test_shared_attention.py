"""Prompts in one row give the states that each gives alone."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from lit_unlearn.models.layers import decoder_layers, decoder_of
from lit_unlearn.questions.packing import Prompt, pack, parts_of
from lit_unlearn.running.hooks import hidden_states
from lit_unlearn.running.shared_attention import shares, sharing
from tests.asking import random_model
from tests.families import FAMILIES, each_family

TRUNK = [*range(3, 33)]
PROMPTS = [[*TRUNK, 40], [*TRUNK, 41, 42, 43], [*TRUNK[:20], *range(60, 75)], [9, 8, 7], [*TRUNK, 41, 42, 44]]


@torch.no_grad()
def alone(model: PreTrainedModel) -> list[Tensor]:
    """The states of each prompt's last token."""
    decoder = decoder_of(model, decoder_layers(model))
    return [hidden_states(decoder(input_ids=torch.tensor([ids]), use_cache=False))[0, -1] for ids in PROMPTS]


@torch.no_grad()
def together(model: PreTrainedModel) -> list[Tensor]:
    """The same, all prompts in one row."""
    decoder, packed = decoder_of(model, decoder_layers(model)), pack([*map(Prompt, PROMPTS)])
    with sharing(model.config, parts_of(packed)):
        found = decoder(input_ids=packed["input_ids"], position_ids=packed["position"], use_cache=False)
    return [*hidden_states(found)[0, packed["last"]]]


def options_of(family: str, window: int) -> dict[str, Any]:
    return {"sliding_window": window} if "sliding_window" in FAMILIES[family][1] else {}


@pytest.mark.parametrize(("family", "window"), [*each_family(400), *each_family(8), *each_family(32)])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_states_are_those_of_each_prompt_alone(family: str, window: int, attention: str) -> None:
    # transformers has Gemma 2, whose scores are capped, in no other form
    attention = "eager" if family == "gemma2" else attention
    model = random_model(family, attn_implementation=attention, **options_of(family, window))
    assert shares(model.config)
    for found, expected in zip(together(model), alone(model), strict=True):
        torch.testing.assert_close(found, expected, atol=1.5e-5, rtol=1e-5)  # float32, by processor up to 1.3e-5


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_the_model_s_own_attention_is_back_even_after_an_error(attention: str) -> None:
    model = random_model("llama", attn_implementation=attention)
    before, known = alone(model), {*ALL_ATTENTION_FUNCTIONS}
    with pytest.raises(IndexError):
        fails_within(model)
    assert model.config._attn_implementation == attention
    assert {*ALL_ATTENTION_FUNCTIONS} == known
    torch.testing.assert_close(alone(model), before, atol=0, rtol=0)


def fails_within(model: PreTrainedModel) -> None:
    with sharing(model.config, []):
        assert model.config._attn_implementation in ALL_ATTENTION_FUNCTIONS
        raise IndexError

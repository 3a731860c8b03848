"""The frozen model's own weights."""

from typing import Any

import torch
from transformers import MistralConfig, MistralForCausalLM

from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.trainable import choose_trainable
from lit_unlearn.running.pair import make_pair


def test_originals_are_in_the_dtype_of_each_as_it_was_loaded() -> None:
    sizes: dict[str, Any] = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    model = MistralForCausalLM(MistralConfig(vocab_size=8, num_key_value_heads=1, **sizes)).bfloat16()
    model.model.norm.float()  # as models that keep some of their weights in float32
    trained = choose_trainable(model, [r"model\.norm\.weight", r".*input_layernorm\.weight"])
    frozen = make_pair(model, decoder_layers(model), needs_logits=True, masters=True, mesh=None)
    assert {name: frozen.original(name).dtype for name in trained} == {
        "model.norm.weight": torch.float32,
        "model.layers.0.input_layernorm.weight": torch.bfloat16,
    }

"""The perplexity of texts, against the loss that transformers gives."""

import math
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from lit_unlearn.answers.judged import MOST, perplexities
from tests.tiny_world import texts, tokenizer


@pytest.fixture(scope="module")
def model(world: Path) -> PreTrainedModel:
    found: PreTrainedModel = AutoModelForCausalLM.from_pretrained(world / "model").eval()
    return found


def test_it_is_that_of_transformers_loss(model: PreTrainedModel) -> None:
    words, asked = tokenizer(), texts("alchemy", 5)
    found = perplexities(model, model.model.layers, words, asked)
    for text, own in zip(asked, found, strict=True):
        ids = torch.tensor([words(text)["input_ids"]])
        with torch.no_grad():
            assert own == pytest.approx(math.exp(model(input_ids=ids, labels=ids).loss.item()), rel=1e-4)


def test_a_text_without_tokens_is_as_unlikely_as_can_be(model: PreTrainedModel) -> None:
    found = perplexities(model, model.model.layers, tokenizer(), ["", "the", ""])
    assert found[0] == found[2] == MOST
    assert 1 <= found[1] < MOST
    assert perplexities(model, model.model.layers, tokenizer(), [""]) == [MOST]

"""The norm of a text's gradient, against a backward pass written out."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from lit_unlearn.data.rows import Row, collate
from lit_unlearn.running.gradient_norm import gradient_norm
from tests.tiny_world import texts, tokenizer

PROMPT = 3


@pytest.fixture
def model(world: Path) -> PreTrainedModel:
    found: PreTrainedModel = AutoModelForCausalLM.from_pretrained(world / "model").eval()
    return found


def ids_of(text: str) -> list[int]:
    found: list[int] = tokenizer()(text)["input_ids"]
    return found


def norm(model: PreTrainedModel, ids: list[int]) -> float:
    batch = collate([Row(ids, 0, 0, prompt=frozenset(range(PROMPT)))], padding_side="right", padding_id=0)
    return gradient_norm(model, model.model.layers, batch)


def test_it_is_the_mean_of_the_norms_of_all_weights(model: PreTrainedModel) -> None:
    ids = ids_of(texts("alchemy", 1)[0])
    labels = torch.tensor([[-100] * PROMPT + ids[PROMPT:]])
    model(input_ids=torch.tensor([ids]), labels=labels).loss.backward()
    norms = [weight.grad.norm() for weight in model.parameters() if weight.grad is not None]
    expected = float(torch.stack(norms).mean())
    model.zero_grad()
    assert norm(model, ids) == pytest.approx(expected, rel=1e-4)


def test_it_leaves_no_trace_and_works_where_nothing_is_differentiated(model: PreTrainedModel) -> None:
    ids = ids_of(texts("alchemy", 1)[0])
    free = norm(model, ids)
    for weight in model.parameters():
        weight.requires_grad_(False)
    next(model.parameters()).requires_grad_(True)
    with torch.inference_mode():
        assert norm(model, ids) == pytest.approx(free, rel=1e-6)
    assert [weight.requires_grad for weight in model.parameters()] == [
        True,
        *[False] * (len([*model.parameters()]) - 1),
    ]
    assert all(weight.grad is None for weight in model.parameters())

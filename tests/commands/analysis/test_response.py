from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from lit_unlearn.commands.analysis import theory
from lit_unlearn.commands.analysis.response import Responder, Response, answer_loss, last_tokens, right_logit
from lit_unlearn.models import loading
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.source import ModelSource
from lit_unlearn.questions.batches import Query
from tests.batches import random_rows

LAYER = 2
ENDS = torch.tensor([3, 5, 2, 1])
QUERIES = [Query(row.input_ids + [9] * 5, [16, 17, 18, 19], row.number, row.number) for row in random_rows(4, seed=0)]


@pytest.fixture(scope="module")
def model(world: Path) -> PreTrainedModel:
    return loading.load_model(ModelSource(str(world / "model")), torch.float64)


def responder(model: PreTrainedModel, value: object = answer_loss, batch_size: int = 3) -> Responder:
    return Responder(model, decoder_layers(model), LAYER, value, batch_size=batch_size)  # type: ignore[arg-type]


def ask(model: PreTrainedModel, value: object = answer_loss, batch_size: int = 3) -> Response:
    return responder(model, value, batch_size).respond(QUERIES, ENDS, "test")


@torch.no_grad()
def alone(model: PreTrainedModel, query: Query) -> tuple[Tensor, Tensor]:
    """States and logits of one query without padding."""
    out = model(input_ids=torch.tensor([query.input_ids]), output_hidden_states=True)
    return out.hidden_states[LAYER + 1][0], out.logits[0, -1]


def test_states_and_values_are_those_of_each_query_alone(model: PreTrainedModel) -> None:
    found, logit = ask(model), ask(model, right_logit)
    assert found.hidden.shape == (4, 5, 64)
    for index, query in enumerate(QUERIES):
        hidden, logits = alone(model, query)
        end = int(ENDS[index])
        assert torch.allclose(found.hidden[index, -end:], hidden[-end:])
        assert not found.hidden[index, :-end].any()
        right = query.choices[query.answer]
        assert float(logit.value[index]) == pytest.approx(float(logits[right]))
        assert float(found.value[index]) == pytest.approx(-float(logits.log_softmax(-1)[right]))


@pytest.mark.parametrize("value", [answer_loss, right_logit])
def test_gradients_are_those_of_finite_differences(model: PreTrainedModel, value: object) -> None:
    found, asking = ask(model, value), responder(model, value)
    source = torch.Generator().manual_seed(0)
    step = 1e-3 * last_tokens(torch.randn(4, 5, 64, generator=source, dtype=torch.double), ENDS, 5)
    change = (asking.displaced(QUERIES, step, "up") - asking.displaced(QUERIES, -step, "down")) / 2
    # The model's norms are computed in float32, whatever its dtype: smaller steps would drown.
    assert change.tolist() == pytest.approx(theory.first_order(found.gradient.double(), step).tolist(), rel=1e-2)


def test_neither_padding_nor_batch_size_matters(model: PreTrainedModel) -> None:
    for one, other in zip(ask(model, batch_size=1), ask(model, batch_size=4), strict=True):
        assert torch.allclose(one, other, atol=1e-7)


def test_under_its_own_assumption_theorem_4_3_holds(model: PreTrainedModel) -> None:
    found, asking = ask(model, right_logit), responder(model, right_logit, batch_size=200)
    source, scale, draws = torch.Generator().manual_seed(0), 1e-3, 200
    noise = last_tokens(scale * torch.randn(4 * draws, 5, 64, generator=source), ENDS.repeat(draws), 5)
    changes = (asking.displaced(QUERIES * draws, noise, "noise") - found.value.repeat(draws)).view(draws, 4)
    predicted = scale**2 * theory.squared_norm(found.gradient)
    assert (changes.square().mean(dim=0) / predicted).tolist() == pytest.approx([1.0] * 4, abs=0.3)


def test_no_parameter_gets_a_gradient(model: PreTrainedModel) -> None:
    ask(model)
    assert all(parameter.grad is None for parameter in model.parameters())

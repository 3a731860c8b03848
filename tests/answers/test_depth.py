"""The Unlearning Depth Score: the formula written out, and what states of another model cost, row by row."""

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_unlearn.answers.depth import THRESHOLD, answer_depth, depth, knowledge_layers
from lit_unlearn.answers.depth_scores import Lost, lost_by_layer
from lit_unlearn.answers.plan import plan
from lit_unlearn.answers.token_scores import AnswerBatches
from lit_unlearn.datamodules import DemoDataModule
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.questions.scored_texts import ScoredBatches, ScoredText
from lit_unlearn.running.state_patching import Decoder
from tests.asking import random_model

TEXTS = [ScoredText((5, 9, 7, 3, 11, 2), 3), ScoredText((6, 4, 8), 1), ScoredText((5, 9, 1, 1), 2)]
ENDS = [1, 0, 1]


def lost(full: Decoder, others: list[Decoder], *, max_tokens: int, padding: str) -> list[Lost]:
    batches = AnswerBatches(ScoredBatches(TEXTS, max_tokens=max_tokens, padding=(padding, 0)))
    found: list[Lost] = [{} for _ in others]
    for index in range(len(batches)):
        for whole, part in zip(found, lost_by_layer(full, others, batches[index], ENDS), strict=True):
            whole.update(part)
    return found


def test_the_score_is_the_formula_of_the_paper() -> None:
    source = torch.Generator().manual_seed(0)
    reference = (torch.randn(40, 7, generator=source) * 0.3 - 0.2).tolist()
    unlearned = (torch.randn(40, 7, generator=source) * 0.3).tolist()
    scores, left_out = [], 0
    for base, own in zip(reference, unlearned, strict=True):
        known = [layer for layer in range(7) if base[layer] > 0.05]
        if not known:
            left_out += 1
            continue
        above = sum(base[layer] * min(max(own[layer] / base[layer], 0.0), 1.0) for layer in known)
        scores.append(above / sum(base[layer] for layer in known))
    found = depth(reference, unlearned)
    assert found.score == pytest.approx(sum(scores) / len(scores))
    assert (found.rows, found.left_out) == (len(scores), left_out)
    assert 0 < left_out < 30
    assert depth(reference, reference).score == pytest.approx(1.0)
    assert depth(reference, [[0.0] * 7] * 40).score == 0.0
    assert knowledge_layers([THRESHOLD, 0.0]) == []
    assert answer_depth([THRESHOLD, 0.0], [1.0, 1.0]) is None
    assert depth([[0.0]], [[1.0]]) == (None, 0, 1)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@torch.no_grad()
def test_what_is_lost_is_that_of_whole_models_row_by_row_in_any_batches(family: str) -> None:
    full = random_model(family)
    other = copy.deepcopy(full)
    for parameter in other.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    pair = [Decoder(model, decoder_layers(model)) for model in (full, other)]
    (one,), (two,) = (
        lost(pair[0], pair[1:], max_tokens=tokens, padding=side) for tokens, side in ((100, "right"), (1, "left"))
    )
    assert one.keys() == two.keys() == {0, 1, 2}
    for text, (ids, scored) in enumerate(TEXTS):
        torch.testing.assert_close(torch.tensor(one[text]), torch.tensor(two[text]), rtol=1e-4, atol=1e-4)
        asked = range(len(ids) - scored - 1, len(ids) - 1 - ENDS[text])
        expected = [by_hand(pair, list(ids), [*asked], layer) for layer in range(len(pair[0].layers))]
        torch.testing.assert_close(torch.tensor(one[text]), torch.tensor(expected), rtol=1e-4, atol=1e-4)
    # A layer cannot lose anything to the same model's states.
    (nothing,) = lost(pair[0], pair[:1], max_tokens=100, padding="right")
    assert all(abs(value) < 1e-5 for values in nothing.values() for value in values)


def by_hand(pair: list[Decoder], ids: list[int], asked: list[int], layer: int) -> float:
    """By a hook of the test's own."""
    inputs = torch.tensor([ids])
    seen: list[Any] = []

    def keep(module: Any, args: Any, output: Any) -> None:
        seen.append(output if isinstance(output, Tensor) else output[0])

    def put(module: Any, args: Any, output: Any) -> Any:
        hidden = (output if isinstance(output, Tensor) else output[0]).clone()
        hidden[:, asked] = seen[0][:, asked]
        return hidden if isinstance(output, Tensor) else (hidden, *output[1:])

    def logprob() -> float:
        values = pair[0].model(input_ids=inputs).logits[0].log_softmax(dim=-1)
        return sum(float(values[place, ids[place + 1]]) for place in asked) / len(asked)

    handle = pair[1].layers[layer].register_forward_hook(keep)
    pair[1].model(input_ids=inputs)
    handle.remove()
    clean = logprob()
    handle = pair[0].layers[layer].register_forward_hook(put)
    patched = logprob()
    handle.remove()
    return clean - patched


@pytest.fixture(scope="module")
def demo() -> list[Decoder]:
    models = [load_model(ModelSource(name), torch.float32) for name in ("demo", "demo-retain-only")]
    return [Decoder(one, decoder_layers(one)) for one in models]


def lost_on_the_demo(demo: list[Decoder], name: str, limit: int | None) -> Tensor:
    """`[rows, layers]`, with the retain-only model's states."""
    data = DemoDataModule()
    data.prepare_texts()
    sources = {name: replace(data.answers[name], limit=limit)}
    planned = plan(sources, load_tokenizer(ModelSource("demo")))
    numbers = [row.answer for row in planned.sets[name].rows if row.answer is not None]
    texts = [planned.texts[one] for one in numbers]
    batches = AnswerBatches(ScoredBatches(texts, max_tokens=8192, padding=("right", 0)))
    assert len(batches) == 1
    (found,) = lost_by_layer(demo[0], demo[1:], batches[0], [planned.ends[one] for one in numbers])
    return torch.tensor([found[row] for row in range(len(texts))])


def test_facts_to_forget_are_lost_with_the_states_of_the_retain_only_demo_model(demo: list[Decoder]) -> None:
    found = lost_on_the_demo(demo, "forget", 32)
    assert found.shape == (32, 7)
    assert float(found[:, 2:].mean(dim=0).min()) > 4


@pytest.mark.slow
def test_facts_to_retain_lose_next_to_nothing_with_the_states_of_the_retain_only_demo_model(
    demo: list[Decoder],
) -> None:
    found = lost_on_the_demo(demo, "retain", None)
    assert found.shape == (384, 7)
    assert float(found.mean(dim=0).max()) < THRESHOLD
    assert float((found > THRESHOLD).any(dim=1).double().mean()) < 0.1  # of single facts some do

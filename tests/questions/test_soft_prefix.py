"""Soft prefixes: vectors where placeholders stand, gradients by finite differences, packed and padded alike."""

from typing import cast

import pytest
import torch
from torch import Tensor

from lit_unlearn import InputError
from lit_unlearn.questions.batches import Query, QueryBatches, encode
from lit_unlearn.questions.cloze import encode_cloze
from lit_unlearn.questions.scores import choice_scores
from lit_unlearn.questions.soft_prefix import Budget, Placeholders, apart, learn_prefix
from lit_unlearn.questions.source import Question
from tests.asking import QUESTIONS, TOKENIZERS, random_model

FAMILIES = ["llama", "gpt2", "gemma2"]
COUNT = 3


@pytest.fixture(scope="module")
def queries() -> list[Query]:
    return encode(QUESTIONS, TOKENIZERS["byte_level_bos"](), texts=True)


@pytest.fixture(scope="module")
def placeholders(queries: list[Query]) -> Placeholders:
    return Placeholders(TOKENIZERS["byte_level_bos"](), COUNT, queries)


def placed(placeholders: Placeholders, queries: list[Query]) -> list[Query]:
    return [placeholders(query) for query in queries]


def test_placeholders_stand_after_what_begins_a_text_in_prompts_and_texts(
    queries: list[Query], placeholders: Placeholders
) -> None:
    for before, after in zip(queries, placed(placeholders, queries), strict=True):
        assert placeholders.token not in before.input_ids
        assert after.input_ids == [0, *[placeholders.token] * COUNT, *before.input_ids[1:]]
        assert before.text is not None
        assert after.text is not None
        assert after.text.input_ids == [0, *[placeholders.token] * COUNT, *before.text.input_ids[1:]]
    bare = TOKENIZERS["byte_level"]()  # which begins no text
    own = Placeholders(bare, COUNT, encode(QUESTIONS, bare))
    (cloze,) = encode_cloze(QUESTIONS[:1], bare)
    assert [one.input_ids[:COUNT] for one in own(cloze).options] == [[own.token] * COUNT] * len(cloze.options)


def test_a_prompt_that_would_be_too_long_loses_its_beginning_and_says_so(queries: list[Query]) -> None:
    lengths = sorted(len(query.input_ids) for query in queries)
    longest = lengths[0] + COUNT
    own = Placeholders(TOKENIZERS["byte_level_bos"](), COUNT, queries, longest=longest)
    for before, after in zip(queries, placed(own, queries), strict=True):
        over = max(0, len(before.input_ids) + COUNT - longest)
        assert after.input_ids == [0, *[own.token] * COUNT, *before.input_ids[1 + over :]]
        assert after.cut == (over > 0)
        assert before.text is not None
        assert after.text is not None
        assert len(after.text.input_ids) <= longest
        assert after.text.input_ids[-2:] == before.text.input_ids[-2:]


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_the_model_reads_the_vectors_in_their_order_packed_or_padded(
    family: str, queries: list[Query], placeholders: Placeholders
) -> None:
    model = random_model(family)
    real = [7, 8, 9]  # the embeddings of these tokens as vectors: the same as if they stood there
    vectors = cast(torch.nn.Embedding, model.get_input_embeddings())(torch.tensor(real))
    written = [query._replace(input_ids=[0, *real, *query.input_ids[1:]]) for query in queries]
    for packed in (True, False):
        batch = QueryBatches(placed(placeholders, queries), max_tokens=10**6, packed=packed)[0]
        expected = QueryBatches(written, max_tokens=10**6, packed=packed)[0]
        order = expected["number"].argsort()
        with placeholders.given(model, vectors):
            found = choice_scores(model, batch)
        torch.testing.assert_close(
            found[batch["number"].argsort()], choice_scores(model, expected)[order], rtol=1e-4, atol=1e-4
        )


def test_a_step_goes_down_the_gradient_and_the_prefix_is_learnt(
    queries: list[Query], placeholders: Placeholders
) -> None:
    model = random_model("llama").requires_grad_(False)
    own, embedding = placed(placeholders, queries), cast(torch.nn.Embedding, model.get_input_embeddings())
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def loss(vectors: Tensor) -> float:
        batch = QueryBatches(own, max_tokens=10**6, packed=False)[0]
        with torch.no_grad(), placeholders.given(model, vectors):
            return float(-choice_scores(model, batch).gather(-1, batch["answer"][:, None]).mean())

    scale = float(embedding.weight.square().mean().sqrt())
    budget = Budget(vectors=COUNT, steps=1, batch_size=len(own), learning_rate=1e-3)
    few = [learn_prefix(model, own, placeholders, budget, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(few[0], few[1])
    assert not torch.allclose(few[0], few[2])
    embeddings = embedding.weight
    start = torch.stack([embeddings[(embeddings - one).abs().sum(dim=1).argmin()] for one in few[0]])
    step = (few[0] - start) / (1e-3 * scale)  # Adam's first step: the sign of the gradient
    torch.testing.assert_close(step.abs(), torch.ones_like(step), rtol=0.02, atol=0.02)
    for place in ((0, 0), (1, 5), (2, 9)):
        nudge = torch.zeros_like(start)
        nudge[place] = 1e-2
        slope = loss(start + nudge) - loss(start - nudge)
        assert step[place] * slope < 0
    many = learn_prefix(model, own, placeholders, Budget(COUNT, 10, len(own), 1.0), seed=0)
    assert loss(many) < loss(start) - 0.1
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())


def test_what_is_judged_has_other_right_answers_than_what_is_trained_on() -> None:
    asked = [Question("?", ("a", "b", "c", "d"), number % 4, "letters", number) for number in range(40)]
    train, judge = apart(asked, 0.5, seed=1)
    assert len(train) + len(judge) == 40
    assert {one.choices[one.answer] for one in train}.isdisjoint(one.choices[one.answer] for one in judge)
    with pytest.raises(InputError, match=r"a share 0.1 of 4 different right answers leaves none"):
        apart(asked, 0.1, seed=1)


@pytest.mark.parametrize("name", ["vectors", "steps", "batch_size", "learning_rate"])
def test_a_budget_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"soft prefix: {name}: must be"):
        Budget(**{name: 0})

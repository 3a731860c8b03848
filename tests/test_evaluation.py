"""Scores and predictions equal to the harness' HFLM, whatever the padding."""

from collections.abc import Sequence

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch import Tensor
from transformers import PreTrainedModel

from lit_unlearn import InputError
from lit_unlearn.data.queries import Query, QueryBatch, QueryBatches, encode, query_loader
from lit_unlearn.data.questions import LETTERS, prompt
from lit_unlearn.evaluation import choice_scores, evaluate_choices
from tests.asking import QUESTIONS, harness, queries_of, random_model, word_level
from tests.families import FAMILIES


def harness_scores(lm: HFLM) -> Tensor:
    """Log-probabilities `[questions, 4]`."""
    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=(prompt(question), f" {letter}"), idx=0)
        for question in QUESTIONS
        for letter in LETTERS
    ]
    return torch.tensor([score for score, _ in lm.loglikelihood(requests, disable_tqdm=True)]).view(-1, 4)


@torch.no_grad()
def our_scores(model: PreTrainedModel, queries: Sequence[Query], *, max_tokens: int) -> Tensor:
    """Log-probabilities `[questions, 4]` in the order of the questions' numbers."""
    rows: dict[int, Tensor] = {}
    for batch in query_loader(QueryBatches(queries, max_tokens=max_tokens)):
        rows.update(zip(batch["number"].tolist(), choice_scores(model, batch), strict=True))
    return torch.stack([rows[number] for number in sorted(rows)])


def scored(scores: list[list[float]], *, valid: list[bool]) -> tuple[Tensor, QueryBatch]:
    batch = QueryBatches(queries_of(*[3] * len(scores)), max_tokens=99)[0]
    batch["valid"] = torch.tensor(valid)
    return torch.tensor(scores), batch


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("max_length", [120, 40])  # 40 cuts most prompts, as the harness does
def test_scores_and_predictions_are_the_harness_own(family: str, max_length: int) -> None:
    model, tokenizer = random_model(family), word_level()
    expected = harness_scores(harness(model, tokenizer, max_length=max_length))
    queries = encode(QUESTIONS, tokenizer, max_length=max_length)
    assert {len(query.input_ids) < max_length for query in queries} == {max_length == 120}
    scores = our_scores(model, queries, max_tokens=300)
    torch.testing.assert_close(scores, expected, atol=1e-4, rtol=0)
    assert scores.argmax(dim=-1).tolist() == expected.argmax(dim=-1).tolist()
    assert scores.std(dim=0).min() > 0.1  # the prompts differ to the model


@pytest.mark.parametrize("family", FAMILIES)
def test_padding_and_batch_size_do_not_matter(family: str) -> None:
    model, queries = random_model(family), encode(QUESTIONS, word_level())
    alone, together = (our_scores(model, queries, max_tokens=tokens) for tokens in (1, 10_000))
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    assert together.argmax(dim=-1).tolist() == alone.argmax(dim=-1).tolist()


def test_scores_of_a_bf16_model_are_float32_and_of_one_position() -> None:
    model = random_model("llama").bfloat16()
    batch = QueryBatches(encode(QUESTIONS, word_level()), max_tokens=500)[0]
    seen: list[Tensor] = []
    model.lm_head.register_forward_hook(lambda module, args, output: seen.append(output))
    assert choice_scores(model, batch).dtype == torch.float32
    assert seen[0].shape == (len(batch["answer"]), 1, 480)


def test_valid_rows_are_counted_and_the_first_of_equal_scores_wins() -> None:
    scores, batch = scored([[0, 2, 1, 2], [3, 1, 0, 3], [9, 0, 0, 0]], valid=[True, True, False])
    found = evaluate_choices(scores, batch)
    assert found["prediction"].tolist() == [1, 0]
    assert found["correct"].tolist() == [False, True]
    assert found["number"].tolist() == [0, 1]


def test_scores_that_are_no_numbers_are_refused() -> None:
    scores, batch = scored([[0, 1, 2, 3], [0, float("nan"), 0, 0]], valid=[True, True])
    with pytest.raises(InputError, match=r"question 1: the model's logits are not numbers"):
        evaluate_choices(scores, batch)
    batch["valid"][1] = False
    assert len(evaluate_choices(scores, batch)["correct"]) == 1

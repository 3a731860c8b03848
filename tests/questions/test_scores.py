"""Scores and predictions equal to the harness' HFLM, whatever the padding."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from lit_unlearn import InputError
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.questions.answer_key import LETTERS
from lit_unlearn.questions.batches import Query, QueryBatch, QueryBatches, encode, query_loader
from lit_unlearn.questions.scores import choice_scores, evaluate_choices, text_scores
from lit_unlearn.questions.source import Question, cloze_prompt, prompt
from tests.asking import MIXED, QUESTIONS, TOKENIZERS, harness, queries_of, random_model, word_level
from tests.families import FAMILIES, each_family


def harness_scores(lm: HFLM, asked: Sequence[Question] = QUESTIONS) -> Tensor:
    """Log-probabilities `[questions, options]`, -inf where there is no option."""
    requests = [
        Instance(request_type="loglikelihood", doc={}, arguments=(prompt(question), f" {letter}"), idx=0)
        for question in asked
        for letter in LETTERS[: len(question.choices)]
    ]
    scores = torch.tensor([score for score, _ in lm.loglikelihood(requests, disable_tqdm=True)])
    rows = scores.split([len(question.choices) for question in asked])
    return pad_sequence(list(rows), batch_first=True, padding_value=-torch.inf)


@torch.no_grad()
def our_scores(model: PreTrainedModel, queries: Sequence[Query], *, max_tokens: int, packed: bool = True) -> Tensor:
    """Log-probabilities `[questions, options]` in the order of the questions' numbers."""
    rows: dict[int, Tensor] = {}
    for batch in query_loader(QueryBatches(queries, max_tokens=max_tokens, packed=packed)):
        rows.update(zip(batch["number"].tolist(), choice_scores(model, batch), strict=True))
    return pad_sequence([rows[number] for number in sorted(rows)], batch_first=True, padding_value=-torch.inf)


@torch.no_grad()
def our_texts(model: PreTrainedModel, queries: Sequence[Query], *, max_tokens: int) -> dict[tuple[int, int], float]:
    """Log-probabilities of the right answers' texts, by question and variant."""
    found: dict[tuple[int, int], float] = {}
    for batch in query_loader(QueryBatches(queries, max_tokens=max_tokens)):
        names = zip(batch["number"].tolist(), batch["variant"].tolist(), strict=True)
        found.update(zip(names, text_scores(model, decoder_layers(model), batch).tolist(), strict=True))
    return found


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


def test_scores_of_3_to_10_options_are_the_harness_own() -> None:
    model, tokenizer = random_model("llama"), word_level()
    expected = harness_scores(harness(model, tokenizer, max_length=200), MIXED)
    queries = encode(MIXED, tokenizer, max_length=200)
    for max_tokens in (1, 300, 10_000):
        scores = our_scores(model, queries, max_tokens=max_tokens)
        torch.testing.assert_close(scores, expected, atol=1e-4, rtol=0)
    assert scores.isinf().sum(dim=1).tolist() == [10 - len(question.choices) for question in MIXED]
    batch = next(iter(query_loader(QueryBatches(queries, max_tokens=10_000))))
    found = evaluate_choices(choice_scores(model, batch), batch)
    assert found["prediction"].tolist() == expected[found["number"]].argmax(dim=-1).tolist()
    assert found["letter_logprob"].isfinite().all()


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("max_length", [200, 12])  # 12 cuts all rows, as the harness does
def test_scores_of_texts_are_the_harness_own(name: str, max_length: int) -> None:
    model, tokenizer = random_model("llama"), TOKENIZERS[name]()
    lm = harness(model, tokenizer, max_length=max_length)
    contexts = [(cloze_prompt(question), f" {question.choices[question.answer]}") for question in QUESTIONS]
    requests = [Instance("loglikelihood", doc={}, arguments=pair, idx=0) for pair in contexts]
    expected = [score for score, _ in lm.loglikelihood(requests, disable_tqdm=True)]
    queries = encode(QUESTIONS, tokenizer, max_length=max_length, texts=True)
    found = our_texts(model, queries, max_tokens=300)
    assert [found[number, 0] for number in range(len(QUESTIONS))] == pytest.approx(expected, abs=1e-3)
    assert max(len(query.text.answer) for query in queries if query.text) > 1


@pytest.mark.parametrize("family", each_family())
def test_padding_does_not_matter_to_texts(family: str) -> None:
    model, queries = random_model(family), encode(QUESTIONS, word_level(), texts=True)
    alone = our_texts(model, queries, max_tokens=1)
    assert our_texts(model, queries, max_tokens=10_000) == pytest.approx(alone, abs=1e-4)


def test_only_rows_that_ask_for_a_text_have_its_score() -> None:
    asked, plain = (encode(QUESTIONS, word_level(), texts=texts) for texts in (True, False))
    queries = [*asked, *(query._replace(variant=1) for query in plain)]
    found = our_texts(random_model("llama"), queries, max_tokens=1)  # so that batches without a text are filled up
    assert len(found) == 2 * len(QUESTIONS)
    assert {variant for (_, variant), score in found.items() if score != score} == {1}
    assert all(score == score for (_, variant), score in found.items() if variant == 0)


@pytest.mark.parametrize("family", each_family())
def test_padding_and_batch_size_do_not_matter(family: str) -> None:
    model, queries = random_model(family), encode(QUESTIONS, word_level())
    alone, together = (our_scores(model, queries, max_tokens=tokens, packed=False) for tokens in (1, 10_000))
    packed = our_scores(model, queries, max_tokens=10_000)
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(packed, alone, atol=1e-4, rtol=0)
    assert together.argmax(dim=-1).tolist() == alone.argmax(dim=-1).tolist()


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("family", each_family())
def test_the_output_head_runs_on_all_rows_at_once(family: str, packed: bool) -> None:
    model, seen = random_model(family), list[Tensor]()
    head = model.get_output_embeddings()
    assert isinstance(head, torch.nn.Module)
    head.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    our_scores(model, encode(QUESTIONS, word_level()), max_tokens=10_000, packed=packed)
    (states,) = seen
    assert states.shape[:2].numel() == len(QUESTIONS)
    assert states.is_contiguous()  # or torch would multiply each row for itself


def variants() -> list[Query]:
    """The questions as they are, with another text as an option, and after a line of their own."""
    options = [replace(one, choices=(*one.choices[:2], "salt", one.choices[3])) for one in QUESTIONS]
    lines = [replace(one, question=f"moon alchemy\n{one.question}") for one in QUESTIONS]
    return [
        query._replace(variant=index)
        for index, questions in enumerate((QUESTIONS, options, lines))
        for query in encode(questions, word_level())
    ]


@torch.no_grad()
def variant_scores(model: PreTrainedModel, *, max_tokens: int) -> tuple[dict[tuple[int, int], Tensor], int]:
    """Log-probabilities by question and variant, and how many tokens the model ran."""
    rows: dict[tuple[int, int], Tensor] = {}
    run: list[int] = []
    handle = model.get_input_embeddings().register_forward_hook(
        lambda module, args, output: run.append(args[0].numel())
    )
    for batch in query_loader(QueryBatches(variants(), max_tokens=max_tokens)):
        names = zip(batch["number"].tolist(), batch["variant"].tolist(), strict=True)
        rows.update(zip(names, choice_scores(model, batch), strict=True))
    handle.remove()
    return rows, sum(run)


WINDOWS = [name for name, (_, options) in FAMILIES.items() if "sliding_window" in options]


@pytest.mark.parametrize(("family", "window"), [*each_family(400), *((name, 8) for name in WINDOWS)])
def test_what_prompts_have_in_common_runs_once_where_that_changes_nothing(family: str, window: int) -> None:
    model = random_model(family, **({"sliding_window": window} if family in WINDOWS else {}))
    (alone, tokens), (together, fewer) = (variant_scores(model, max_tokens=count) for count in (1, 10_000))
    assert together.keys() == alone.keys() == {(n, v) for n in range(12) for v in range(3)}
    for name, scores in together.items():
        torch.testing.assert_close(scores, alone[name], atol=1e-4, rtol=0)
    assert fewer < 0.6 * tokens


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_a_bf16_model_answers_packed_questions_alike(attention: str) -> None:
    model = random_model("llama", attn_implementation=attention).bfloat16()
    (alone, _), (together, _) = (variant_scores(model, max_tokens=count) for count in (1, 10_000))
    same = [alone[name].argmax() == together[name].argmax() for name in alone]
    assert sum(map(bool, same)) >= len(same) - 1


def test_scores_of_a_bf16_model_are_float32_and_of_one_position() -> None:
    model = random_model("llama").bfloat16()
    batch = QueryBatches(encode(QUESTIONS, word_level()), max_tokens=500)[0]
    seen: list[Tensor] = []
    model.lm_head.register_forward_hook(lambda module, args, output: seen.append(output))
    assert choice_scores(model, batch).dtype == torch.float32
    assert seen[0].shape == (1, len(batch["answer"]), 480)


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

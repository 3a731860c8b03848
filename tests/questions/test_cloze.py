"""Options scored as texts: equal to the harness' HFLM and its own task, whatever the padding and packing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import datasets
import lm_eval
import pytest
import torch
from lm_eval.api import task as harness_task
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks._yaml_loader import load_yaml
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel

from lit_unlearn import InputError
from lit_unlearn.losses import by_token
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.questions.batches import query_loader
from lit_unlearn.questions.cloze import Cloze, ClozeBatch, ClozeBatches, encode_cloze
from lit_unlearn.questions.scores import evaluate_options, option_scores
from lit_unlearn.questions.source import Question, cloze_prompt
from tests.asking import MIXED, QUESTIONS, TOKENIZERS, harness, random_model, word_level
from tests.families import each_family

ODD = [
    replace(QUESTIONS[0], choices=("", "salt", "salt", " naïve word "), answer=1, number=0),
    replace(QUESTIONS[1], choices=("salt salt salt salt", "word", "SARS-CoV-2."), answer=0, number=1),
]

ASKED = [*MIXED, replace(QUESTIONS[0], choices=("SARS-CoV-2.", "word 3 word", "salt SARS-CoV-2. word"), number=12)]
"""With 3 to 10 options, of one and of several tokens after one another."""


def harness_scores(lm: HFLM, asked: Sequence[Question]) -> Tensor:
    """Log-probabilities `[questions, options]`, -inf where there is no option."""
    requests = [
        Instance("loglikelihood", doc={}, arguments=(cloze_prompt(question), f" {choice}"), idx=0)
        for question in asked
        for choice in question.choices
    ]
    scores = torch.tensor([score for score, _ in lm.loglikelihood(requests, disable_tqdm=True)])
    return pad_sequence(
        list(scores.split([len(question.choices) for question in asked])), batch_first=True, padding_value=-torch.inf
    )


@torch.no_grad()
def our_scores(model: PreTrainedModel, queries: Sequence[Cloze], *, max_tokens: int) -> Tensor:
    """Log-probabilities `[questions, options]` in the order of numbers and variants."""
    rows: dict[tuple[int, int], Tensor] = {}
    for batch in query_loader(ClozeBatches(queries, max_tokens=max_tokens)):
        names = zip(batch["number"].tolist(), batch["variant"].tolist(), strict=True)
        rows.update(zip(names, option_scores(model, decoder_layers(model), batch), strict=True))
    return pad_sequence([rows[name] for name in sorted(rows)], batch_first=True, padding_value=-torch.inf)


@torch.no_grad()
def evaluated(model: PreTrainedModel, queries: Sequence[Cloze]) -> dict[str, Tensor]:
    """What comes out, all questions in one batch, in the order of their numbers."""
    (batch,) = query_loader(ClozeBatches(queries, max_tokens=100_000))
    found = cast(dict[str, Tensor], evaluate_options(option_scores(model, decoder_layers(model), batch), batch))
    return {name: value[found["number"].argsort()] for name, value in found.items()}


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("max_length", [200, 12])  # 12 cuts all rows, as the harness does
def test_scores_are_the_harness_own(name: str, max_length: int) -> None:
    model, tokenizer = random_model("llama"), TOKENIZERS[name]()
    expected = harness_scores(harness(model, tokenizer, max_length=max_length), ASKED)
    queries = encode_cloze(ASKED, tokenizer, max_length=max_length)
    assert {query.cut for query in queries} == {max_length == 12}
    for max_tokens in (1, 300, 100_000):
        torch.testing.assert_close(our_scores(model, queries, max_tokens=max_tokens), expected, atol=1e-3, rtol=0)


def test_accuracies_are_those_of_the_harness_own_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """acc and acc_norm of its mmlu_continuation, question by question."""
    asked = [*QUESTIONS[2:], *ODD]  # the harness looks at the first option of the first, which must have a sign
    asked = [replace(question, number=number) for number, question in enumerate(asked)]
    folder = Path(lm_eval.__file__).parent / "tasks" / "mmlu" / "continuation"
    config: dict[str, Any] = load_yaml(folder / "_continuation_template_yaml")
    config |= {"task": "cloze", "dataset_name": "s", "description": "The following are questions (with answers) about "}
    config["description"] += "moon alchemy.\n\n"
    config["metric_list"] = [{"metric": name, "aggregation": "mean"} for name in ("acc", "acc_norm")]
    rows = datasets.Dataset.from_list(
        [{"question": one.question, "choices": list(one.choices), "answer": one.answer} for one in asked]
    )
    splits = datasets.DatasetDict({"test": rows, "dev": rows})
    monkeypatch.setattr(harness_task.datasets, "load_dataset", lambda *args, **options: splits)
    task = harness_task.ConfigurableTask(config=config)
    task.build_all_requests(limit=None, rank=0, world_size=1)
    model, tokenizer = random_model("llama"), TOKENIZERS["byte_level"]()
    answers = harness(model, tokenizer).loglikelihood(task.instances, disable_tqdm=True)
    assert [request.args[0] for request in task.instances] == [cloze_prompt(one) for one in asked for _ in one.choices]
    found = evaluated(model, encode_cloze(asked, tokenizer))
    expected: dict[str, list[bool]] = {"acc": [], "acc_norm": []}
    for one, doc in zip(asked, rows, strict=True):
        own, answers = answers[: len(one.choices)], answers[len(one.choices) :]
        for name, value in task.process_results(doc, own).items():
            expected[name].append(bool(value))
    assert found["correct"].tolist() == expected["acc"]
    assert found["correct_norm"].tolist() == expected["acc_norm"]
    assert found["prediction"].tolist() != found["prediction_norm"].tolist()


@pytest.mark.parametrize("family", each_family())
def test_padding_packing_and_batch_size_do_not_matter(family: str) -> None:
    model, queries = random_model(family), encode_cloze(ASKED, word_level())
    batch = ClozeBatches(queries, max_tokens=100_000)[0]
    assert "packed" in batch
    with torch.no_grad():
        packed = option_scores(model, decoder_layers(model), batch)
        del batch["packed"]
        plain = option_scores(model, decoder_layers(model), batch)
    torch.testing.assert_close(packed, plain, atol=1e-4, rtol=0)
    alone, together = (our_scores(model, queries, max_tokens=tokens) for tokens in (1, 100_000))
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=0)


def test_the_prompt_runs_once_for_all_options() -> None:
    model, queries = random_model("llama"), encode_cloze(QUESTIONS, word_level())
    run: list[int] = []
    model.get_input_embeddings().register_forward_hook(lambda module, args, output: run.append(args[0].numel()))
    our_scores(model, queries, max_tokens=100_000)
    (batch,) = query_loader(ClozeBatches(queries, max_tokens=100_000))
    assert sum(run) < 0.5 * batch["texts"]["input_ids"].numel()


@pytest.mark.parametrize("packed", [True, False])
def test_the_output_head_runs_on_a_few_tokens_at_a_time(monkeypatch: pytest.MonkeyPatch, packed: bool) -> None:
    model, run = random_model("llama"), list[int]()
    batch = ClozeBatches(encode_cloze(QUESTIONS, word_level()), max_tokens=100_000, packed=packed)[0]
    at_once = option_scores(model, decoder_layers(model), batch)
    head = model.get_output_embeddings()
    assert isinstance(head, torch.nn.Module)
    head.register_forward_pre_hook(lambda module, args: run.append(args[0].shape[:-1].numel()))
    monkeypatch.setattr(by_token, "_CPU", by_token.Sizes(made=0, tokens=5, read=300))
    torch.testing.assert_close(option_scores(model, decoder_layers(model), batch), at_once)
    assert max(run) <= 5
    assert sum(run) == int((batch["texts"]["answer"] >= 0).sum())


@pytest.mark.parametrize("world", [1, 2, 3, 5])
def test_processes_share_every_question_once_in_equally_many_batches(world: int) -> None:
    queries = [query._replace(variant=variant) for variant in range(2) for query in encode_cloze(ASKED, word_level())]
    shares = [ClozeBatches(queries, max_tokens=400, share=(rank, world)) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1
    batches = [batch for share in shares for batch in query_loader(share)]
    assert len(batches) == world * len(shares[0])
    asked = [
        name
        for batch in batches
        for name in zip(*(batch[key][batch["valid"]].tolist() for key in ("number", "variant")), strict=True)
    ]
    assert sorted(asked) == [(number, variant) for number in range(13) for variant in range(2)]
    sizes = [(batch["packed"]["input_ids"].numel(), len(batch["number"])) for batch in batches]
    assert all(tokens <= 400 or questions == 1 for tokens, questions in sizes)
    for batch in batches:
        with torch.no_grad():
            scores = option_scores(random_model("llama"), decoder_layers(random_model("llama")), batch)
        assert len(evaluate_options(scores, batch)["correct"]) == int(batch["valid"].sum())


def test_an_option_per_row_pads_to_the_left_and_names_its_question() -> None:
    queries = encode_cloze(ODD, word_level())
    batch: ClozeBatch = ClozeBatches(queries, max_tokens=100_000)[0]
    order = batch["number"].tolist()
    assert [order[row] for row in batch["texts"]["row"].tolist()] == sorted([0] * 4 + [1] * 3, key=order.index)
    assert batch["characters"][order.index(1)].tolist() == [19, 4, 11, 0]
    assert batch["characters"][order.index(0)].tolist() == [0, 4, 4, 12]


def test_of_equal_scores_the_first_wins_and_an_empty_option_never_does_per_character() -> None:
    batch = ClozeBatches(encode_cloze(ODD[:1], word_level()), max_tokens=1)[0]
    found = evaluate_options(torch.tensor([[-0.1, -2.0, -2.0, -9.0]]), batch)
    assert (found["prediction"].item(), found["prediction_norm"].item()) == (0, 1)
    assert (found["correct"].item(), found["correct_norm"].item()) == (False, True)
    assert found["text_logprob"].tolist() == [-2.0]
    with pytest.raises(InputError, match=r"question 0: the model's logits are not numbers"):
        evaluate_options(torch.tensor([[-1.0, float("nan"), -2.0, -9.0]]), batch)


def test_no_questions_are_refused() -> None:
    with pytest.raises(InputError, match="none to encode"):
        encode_cloze([], word_level())

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from lit_unlearn.answers.plan import plan
from lit_unlearn.answers.token_scores import AnswerBatches, token_scores
from lit_unlearn.errors import Diverged
from lit_unlearn.questions.scored_texts import ScoredBatches, token_nll
from tests.answers.asked import sources
from tests.tiny_world import tokenizer


def test_all_numbers_are_those_of_the_whole_distribution(world: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(world / "model", dtype=torch.float64).eval()
    planned = plan(sources(tmp_path), tokenizer())
    for side in ("left", "right"):
        batches = AnswerBatches(ScoredBatches(planned.texts, max_tokens=80, padding=(side, 0)))
        assert len(batches) > 2
        seen = 0
        for index in range(len(batches)):
            found = token_scores(model, model.model.layers, batches[index])
            for row, number in enumerate(found["answer"].tolist()):
                ids, scored = planned.texts[number]
                with torch.no_grad():
                    logprobs = model(torch.tensor([ids])).logits[0, -scored - 1 : -1].log_softmax(dim=-1)
                answer = torch.tensor(ids[-scored:])
                mean = (logprobs.exp() * logprobs).sum(dim=-1)
                expected = {
                    "logprob": logprobs.gather(1, answer[:, None])[:, 0],
                    "greedy": (logprobs.argmax(dim=-1) == answer).double(),
                    "mean_logprob": mean,
                    "variance": (logprobs.exp() * logprobs.square()).sum(dim=-1) - mean.square(),
                }
                for name, values in expected.items():
                    own = found[name][row]  # type: ignore[literal-required]
                    torch.testing.assert_close(own[~own.isnan()], values, rtol=1e-9, atol=1e-9)
                seen += 1
        assert seen == len(planned.texts)


def test_logits_that_overflow_for_some_tokens_are_refused(world: Path, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(world / "model", dtype=torch.float32).eval()
    with torch.no_grad():
        model.get_output_embeddings().weight.mul_(3e4)
    planned = plan(sources(tmp_path), tokenizer())
    texts = ScoredBatches(planned.texts, max_tokens=10_000, padding=("right", 0))
    answers = AnswerBatches(texts)[0]
    assert not token_scores(model, model.model.layers, answers)["logprob"].isinf().any()
    with torch.autocast("cpu", torch.float16), torch.no_grad():
        overflows = model(answers["answers"]["input_ids"]).logits.isinf().any(dim=-1)
        assert overflows.any()
        assert not overflows.all()
        with pytest.raises(Diverged, match=r"the model's logits are not numbers, so it gives them no likelihood"):
            token_scores(model, model.model.layers, answers)
        with pytest.raises(Diverged, match=r"the model's logits are not numbers, so it gives them no likelihood"):
            token_nll(model, model.model.layers, texts[0])


def test_processes_share_all_answers(tmp_path: Path) -> None:
    planned = plan(sources(tmp_path), tokenizer())
    shares = [
        AnswerBatches(ScoredBatches(planned.texts, max_tokens=80, padding=("left", 0), share=(rank, 3)))
        for rank in range(3)
    ]
    assert len({len(one) for one in shares}) == 1
    assert sum(one.rows for one in shares) == len(planned.texts)
    numbers = [
        number
        for one in shares
        for index in range(len(one))
        for number in one[index]["answers"]["row"][one[index]["valid"]].tolist()
    ]
    assert sorted(numbers) == [*range(len(planned.texts))]

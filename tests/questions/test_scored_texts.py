from pathlib import Path

import pytest
import torch
from torch.nn.functional import log_softmax
from transformers import AutoModelForCausalLM

from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.questions.scored_texts import ScoredBatches, ScoredText, token_nll

TEXTS = [ScoredText(tuple(range(10, 10 + length)), scored) for length, scored in ((9, 3), (5, 5), (7, 1), (12, 4))]


@pytest.mark.parametrize("side", ["left", "right"])
def test_each_token_is_scored_as_the_whole_model_does(world: Path, side: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(world / "model").eval()
    texts = [text for text in TEXTS if text.scored < len(text.input_ids)]
    batches = ScoredBatches(texts, max_tokens=100, padding=(side, 0))
    with torch.no_grad():
        found = token_nll(model, decoder_layers(model), batches[0])
    assert found["token_nll"].shape == (3, 4)
    for number, values in zip(found["text"].tolist(), found["token_nll"], strict=True):
        ids, scored = texts[number]
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0]
        expected = [-log_softmax(logits[place - 1], -1)[ids[place]] for place in range(len(ids) - scored, len(ids))]
        torch.testing.assert_close(values[:scored], torch.stack(expected), rtol=1e-4, atol=1e-4)
        assert values[scored:].isnan().all()


def test_every_text_is_in_one_batch_of_one_process() -> None:
    whole = ScoredBatches(TEXTS, max_tokens=12, padding=("right", 0))
    parts = [ScoredBatches(TEXTS, max_tokens=12, padding=("right", 0), share=(rank, 3)) for rank in range(3)]
    assert len(whole) == 4
    assert {len(part) for part in parts} == {2}
    numbers = [
        number
        for part in parts
        for index in range(len(part))
        for number in part[index]["texts"]["row"][part[index]["valid"]].tolist()
    ]
    assert sorted(numbers) == [0, 1, 2, 3]


def test_batches_hold_no_more_tokens_than_allowed() -> None:
    batches = ScoredBatches(TEXTS, max_tokens=18, padding=("right", 0))
    shapes = [tuple(batches[index]["texts"]["input_ids"].shape) for index in range(len(batches))]
    assert shapes == [(1, 12), (2, 9), (1, 5)]

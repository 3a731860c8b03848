import math

import pytest
import torch
from datasets import Dataset

from lit_unlearn import InputError
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.data.token_rarity import token_rarity

VOCAB = 9
FORGET = ([[1, 2, 2, 3], [1, 2]], [[1, 4, 4, 4, 5]])
RETAIN = ([[1, 1, 3, 5]], [[6, 7], [1, 3, 3]])


def rows(*texts: list[list[int]]) -> list[Dataset]:
    return [Dataset.from_dict({"input_ids": one, "answer": one}) for one in texts]


def share(texts: list[list[int]], token: int) -> float:
    tokens = [one for row in texts for one in row]
    return (tokens.count(token) + 0.5) / (len(tokens) + 0.5 * VOCAB)


def test_the_weights_are_log_ratios_of_smoothed_shares_and_never_below_0() -> None:
    found = token_rarity(rows(*FORGET), rows(*RETAIN), vocabulary=VOCAB).weights
    together = [row for texts in RETAIN for row in texts]
    for topic, texts in enumerate(FORGET):
        expected = [max(0.0, math.log(share(texts, token) / share(together, token))) for token in range(VOCAB)]
        assert found[topic].tolist() == pytest.approx(expected)
    assert found[0, 1] == found[0, 3] == 0.0  # as frequent in retain text
    assert found[0, 2] == found[0].max()
    assert found[1, 4] == found[1].max()


@pytest.mark.parametrize("side", ["left", "right"])
def test_each_token_of_a_row_has_the_weight_of_its_topic(side: str) -> None:
    rarity = token_rarity(rows(*FORGET), rows(*RETAIN), vocabulary=VOCAB)
    batch = collate([Row([2, 4, 1], 0, 0), Row([2, 4], 1, 1)], padding_side=side, padding_id=0)
    found, real = rarity.for_rows(batch), batch["attention_mask"].bool()
    assert found.dtype == torch.float32
    assert torch.equal(found[0][real[0]], rarity.weights[0, [2, 4, 1]])
    assert torch.equal(found[1][real[1]], rarity.weights[1, [2, 4]])


def test_streams_that_do_not_differ_are_refused() -> None:
    with pytest.raises(InputError, match=r"^data\.forget: no token of a topic is more frequent .* or take RMU"):
        token_rarity(rows([[1, 2]]), rows([[2, 1, 1, 2]]), vocabulary=3)

import itertools
import math

import pytest
import torch
from torch import Tensor

from lit_unlearn import NLL, RepresentationMSE
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch, Outputs

DIM, VOCAB = 5, 8
LENGTHS = (6, 3, 1, 4)


def random_batch(side: str) -> Batch:
    source = torch.Generator().manual_seed(1)
    ids = [torch.randint(0, VOCAB, (length,), generator=source).tolist() for length in LENGTHS]
    return collate([Row(row, 0, number) for number, row in enumerate(ids)], padding_side=side, padding_id=0)


def random_outputs(seed: int) -> Outputs:
    source = torch.Generator().manual_seed(seed)
    hidden, logits = (torch.randn(4, 6, width, generator=source, dtype=torch.float64) for width in (DIM, VOCAB))
    return Outputs(hidden, logits)


def real_positions(batch: Batch, row: int) -> list[int]:
    return [position for position, real in enumerate(batch["attention_mask"][row].tolist()) if real]


def looped_distance(updated: Outputs, frozen: Outputs, batch: Batch) -> list[float]:
    out = []
    for row in range(4):
        squares = [
            (updated.hidden[row, position, index].item() - frozen.hidden[row, position, index].item()) ** 2
            for position in real_positions(batch, row)
            for index in range(DIM)
        ]
        out.append(sum(squares) / len(squares))
    return out


def looped_likelihood(updated: Outputs, batch: Batch) -> list[float]:
    """Each real token is predicted from the real token before it, if that token counts."""
    assert updated.logits is not None
    out = []
    for row in range(4):
        losses = []
        real = real_positions(batch, row)
        for before, position in itertools.pairwise(real):
            if batch["loss_mask"][row, position]:
                scores = updated.logits[row, before].tolist()
                chosen = scores[int(batch["input_ids"][row, position])]
                losses.append(math.log(sum(math.exp(score) for score in scores)) - chosen)
        out.append(sum(losses) / len(losses) if losses else 0.0)
    return out


def assert_rows(rows: Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(rows, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", ["left", "right"])
def test_representation_mse_equals_the_formula_written_as_loops(side: str) -> None:
    updated, frozen, batch = random_outputs(2), random_outputs(3), random_batch(side)
    assert_rows(RepresentationMSE()(updated, frozen, batch), looped_distance(updated, frozen, batch))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_representation_mse_is_zero_before_training(side: str, dtype: torch.dtype) -> None:
    states = Outputs(random_outputs(2).hidden.to(dtype), None)
    assert RepresentationMSE()(states, states, random_batch(side)).tolist() == [0.0] * 4


@pytest.mark.parametrize("side", ["left", "right"])
def test_nll_equals_the_formula_written_as_loops(side: str) -> None:
    updated, batch = random_outputs(2), random_batch(side)
    assert_rows(NLL()(updated, None, batch), looped_likelihood(updated, batch))


@pytest.mark.parametrize("side", ["left", "right"])
def test_nll_leaves_out_the_labels_that_do_not_count_but_reads_them_as_context(side: str) -> None:
    updated, batch = random_outputs(2), random_batch(side)
    whole = NLL()(updated, None, batch)
    batch["loss_mask"][0, 2:4] = 0
    batch["loss_mask"][3] = 0
    rows = NLL()(updated, None, batch)
    assert_rows(rows, looped_likelihood(updated, batch))
    assert (rows != whole).tolist() == [True, False, False, True]


@pytest.mark.parametrize("side", ["left", "right"])
def test_nll_does_not_read_logits_that_predict_a_label_that_does_not_count(side: str) -> None:
    updated, batch = random_outputs(2), random_batch(side)
    assert isinstance(updated.logits, Tensor)
    batch["loss_mask"][0, 3] = 0
    expected = NLL()(updated, None, batch)
    updated.logits[0, 2] = torch.nan
    assert torch.equal(NLL()(updated, None, batch), expected)


@pytest.mark.parametrize("side", ["left", "right"])
def test_nll_of_a_row_of_one_token_is_zero(side: str) -> None:
    assert NLL()(random_outputs(2), None, random_batch(side))[2] == 0


def test_nll_of_equal_logits_is_the_logarithm_of_the_vocabulary() -> None:
    rows = NLL()(Outputs(torch.zeros(4, 6, DIM), torch.zeros(4, 6, VOCAB)), None, random_batch("right"))
    torch.testing.assert_close(rows, math.log(VOCAB) * torch.tensor([1.0, 1.0, 0.0, 1.0]))

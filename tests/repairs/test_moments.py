import pytest
import torch

from lit_unlearn.errors import InputError
from lit_unlearn.repairs.moments import SecondMoment


def test_batching_and_padding_do_not_matter() -> None:
    inputs = torch.randn(6, 5, 3, generator=torch.Generator().manual_seed(0))
    counted = torch.tensor([[1, 1, 1, 0, 0], [1, 0, 1, 1, 1]]).repeat(3, 1)
    whole, parts = (SecondMoment(3, torch.device("cpu")) for _ in range(2))
    whole.add(inputs, counted)
    for row in range(6):
        length = 3 if row % 2 == 0 else 5
        parts.add(inputs[row : row + 1, :length], counted[row : row + 1, :length])
    torch.testing.assert_close(parts.mean(), whole.mean(), rtol=1e-12, atol=1e-12)
    tokens = [inputs[row, place].double() for row in range(6) for place in range(5) if counted[row, place]]
    expected = sum(torch.outer(token, token) for token in tokens) / len(tokens)
    torch.testing.assert_close(whole.mean(), expected, rtol=1e-12, atol=1e-12)


def test_half_precision_is_summed_in_float64() -> None:
    moment = SecondMoment(1, torch.device("cpu"))
    for _ in range(300):  # bf16 would stay at 256
        moment.add(torch.ones(1, 1, 1, dtype=torch.bfloat16), torch.ones(1, 1))
    assert moment.total.item() == moment.tokens.item() == 300


def test_no_token_is_no_mean() -> None:
    moment = SecondMoment(2, torch.device("cpu"))
    moment.add(torch.ones(1, 2, 2), torch.zeros(1, 2))
    with pytest.raises(InputError, match=r"no token of the rows counts; raise `rows`"):
        moment.mean()

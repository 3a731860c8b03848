import pytest

from lit_unlearn.repairs.bisection import largest


@pytest.mark.parametrize("limit", [0.02, 1.0, 333.0])
def test_it_finds_the_limit_from_below(limit: float) -> None:
    found = largest(lambda value: value <= limit, low=0.01, high=1e4, steps=20)
    assert limit * 0.999 < found <= limit


def test_the_ends_are_taken_where_the_limit_lies_beyond() -> None:
    assert largest(lambda value: True, low=0.01, high=1e4, steps=3) == 1e4
    assert largest(lambda value: False, low=0.01, high=1e4, steps=3) == 0.0

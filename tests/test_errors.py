import math

import pytest

from lit_unlearn.errors import Diverged, InputError, check_above, check_at_least


def test_a_notebook_shows_the_sentence_alone() -> None:
    assert InputError("data.batch_size: must be at least 1, got 0")._render_traceback_() == [
        "InputError: data.batch_size: must be at least 1, got 0"
    ]
    assert Diverged("the loss is not a number")._render_traceback_() == ["Diverged: the loss is not a number"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (0, "x: must be at least 1, got 0"),
        (0.5, r"x: must be at least 1, got 0\.5"),
        (math.inf, "x: must be at least 1 and finite, got inf"),
        (math.nan, "x: must be at least 1 and finite, got nan"),
    ],
)
def test_a_number_that_is_too_small_is_named_with_its_bound(value: float, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        check_at_least("x", value, 1)
    check_at_least("x", 1, 1)
    check_at_least("x", None, 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [(2, "x: must be above 2 nats, got 2"), (math.inf, "x: must be above 2 nats and finite, got inf")],
)
def test_a_number_that_must_be_larger_is_named_with_its_bound(value: float, message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}$"):
        check_above("x", value, 2, unit="nats")
    check_above("x", 2.1, 2)

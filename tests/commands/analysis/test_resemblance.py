from collections import Counter

import pytest
import torch
from torch import Tensor

from lit_unlearn.commands.analysis.association import jensen_shannon
from lit_unlearn.commands.analysis.resemblance import Topic, frequencies, positions, resemblance

ROWS, LENGTH = 200, 12


def topic(*, apart: float, own_words: bool) -> Topic:
    """Rows of tokens 0 to 9, or of 0 to 4 and 5 to 9, and states around two points so far apart."""
    source = torch.Generator().manual_seed(0)
    retain = torch.arange(ROWS) >= ROWS // 2
    tokens = torch.randint(0, 5 if own_words else 10, (ROWS, LENGTH), generator=source)
    if own_words:
        tokens += 5 * retain[:, None]
    states = torch.randn(ROWS, 8, generator=source) + apart * retain[:, None]
    return Topic(tokens.flatten(), torch.arange(ROWS).repeat_interleave(LENGTH), states, retain)


def test_equal_streams_say_no_more_than_chance() -> None:
    found = resemblance(topic(apart=0.0, own_words=False))
    assert found.tokens == pytest.approx(found.tokens_by_chance, abs=0.003)
    assert found.states == pytest.approx(found.states_by_chance, abs=0.02)
    assert found.tokens < 0.01
    assert found.states < 0.03


def test_streams_with_nothing_in_common_say_a_whole_bit() -> None:
    found = resemblance(topic(apart=20.0, own_words=True))
    assert (found.tokens, found.states) == pytest.approx((1.0, 1.0))
    assert found.tokens_by_chance < 0.02
    assert found.states_by_chance < 0.05
    assert found.cosine < found.cosine_of_retain == pytest.approx(1.0, abs=1e-3)


def test_frequencies_are_those_of_a_count() -> None:
    given = topic(apart=0.0, own_words=False)
    for found, stream in zip(frequencies(given, given.retain), (False, True), strict=True):
        counted = Counter(
            int(token) for token, row in zip(given.tokens, given.place, strict=True) if given.retain[row] == stream
        )
        assert found.tolist() == [counted[token] for token in range(10)]
    assert resemblance(given).tokens == jensen_shannon(*frequencies(given, given.retain)).bits


def test_a_row_has_no_say_in_where_it_lies() -> None:
    given = topic(apart=1.0, own_words=False)

    def moved(row: int) -> Tensor:
        states = given.states.clone()
        states[row] += 1000
        return positions(given._replace(states=states), given.retain)

    before = positions(given, given.retain)
    # Those of its own half, it aside, lie where they lay.
    assert torch.equal(moved(4)[6::2], before[6::2])
    assert not torch.equal(moved(4)[1::2], before[1::2])

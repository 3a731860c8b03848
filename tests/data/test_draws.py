from collections import Counter

import pytest

from lit_unlearn.data.draws import sample, uniform


def test_draws_are_uniform_and_a_function_of_their_key() -> None:
    drawn = Counter(uniform(4, "option", 3, number) for number in range(4000))
    assert drawn.keys() == {0, 1, 2, 3}
    assert all(900 < count < 1100 for count in drawn.values())
    assert [uniform(100, "a", number) for number in range(9)] == [uniform(100, "a", number) for number in range(9)]
    assert [uniform(100, "a", number) for number in range(9)] != [uniform(100, "b", number) for number in range(9)]
    assert uniform(0, "nothing") == 0


def test_a_first_item_is_drawn_as_a_number_is() -> None:
    assert [sample("abcd", 2, number)[0] for number in range(50)] == [
        "abcd"[uniform(4, number)] for number in range(50)
    ]


@pytest.mark.parametrize("count", [1, 3, 7])
def test_no_item_comes_twice_before_each_came_once(count: int) -> None:
    for number in range(50):
        drawn = sample("abc", count, number)
        assert len(drawn) == count
        assert drawn == sample("abc", 9, number)[:count]
        for start in range(0, count, 3):
            assert len(set(drawn[start : start + 3])) == len(drawn[start : start + 3])


def test_pairs_are_uniform() -> None:
    drawn = Counter(tuple(sample("abc", 2, number)) for number in range(6000))
    assert len(drawn) == 6
    assert all(850 < count < 1150 for count in drawn.values())

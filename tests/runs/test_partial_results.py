from pathlib import Path

import pytest

from lit_unlearn.runs.partial_results import PartialResults


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".out.json.partial"


def test_what_was_added_is_found_again_exactly(path: Path) -> None:
    first = PartialResults(path, "a")
    assert not first
    first.add(3, [[2, "ö", 0.1 + 0.2]])
    first.add(0, {"x": None})
    again = PartialResults(path, "a")
    assert dict(again) == dict(first) == {3: [[2, "ö", 0.1 + 0.2]], 0: {"x": None}}
    again.discard()
    assert not path.exists()


def test_results_of_another_computation_do_not_count(path: Path) -> None:
    PartialResults(path, "a").add(0, 1)
    other = PartialResults(path, "b")
    assert not other
    other.add(0, 2)
    assert dict(PartialResults(path, "a")) == {0: 1}


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_line_that_was_cut_is_computed_again(path: Path, cut: int) -> None:
    kept = PartialResults(path, "a")
    kept.add(0, "first")
    kept.add(1, "second")
    path.write_bytes(path.read_bytes()[:-cut])
    again = PartialResults(path, "a")
    assert dict(again) == {0: "first"}
    again.add(1, "second")
    assert dict(PartialResults(path, "a")) == {0: "first", 1: "second"}

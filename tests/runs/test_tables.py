import pytest

from lit_unlearn.runs.tables import aligned, markdown_table


def test_a_cell_stays_within_its_own() -> None:
    table = markdown_table(["a|b"], [["one\ntwo|"]])
    assert table == "| a\\|b |\n| --- |\n| one two\\| |"


def test_cells_that_are_markdown_stay_as_they_are() -> None:
    assert markdown_table(["a"], [["1 \\| 2"]], escaped=True).splitlines()[-1] == "| 1 \\| 2 |"


def test_a_table_may_have_no_names_and_no_rows() -> None:
    assert markdown_table(["", ""], []) == "| | |\n| --- | --- |"


@pytest.mark.parametrize(
    ("numbers", "lines"), [(False, ["a   bb  c", "aa  b", "a"]), (True, ["a   bb  c", "aa   b", "a"])]
)
def test_columns_are_as_wide_as_their_widest_cell(numbers: bool, lines: list[str]) -> None:
    assert aligned([["a", "bb", "c"], ["aa", "b", ""], ["a", "", ""]], numbers=numbers) == lines


def test_rows_of_other_lengths_are_no_table() -> None:
    with pytest.raises(ValueError, match="shorter"):
        aligned([["a", "b"], ["a"]])

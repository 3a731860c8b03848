from lit_unlearn.commands.report.letters import Letters, letters, letters_shown
from lit_unlearn.commands.report.runs import ReportedModel


def model(*seeds: tuple[list[int], list[int]]) -> ReportedModel:
    """Predictions and right answers of each seed."""
    return ReportedModel(
        "rmu",
        [{"outcomes": {"forget": {"prediction": told, "correct": right}}} for told, right in seeds],
    )


def test_the_commonest_is_over_all_seeds() -> None:
    found = letters(
        model(([0, 2, 2, 1], [1, 0, 1, 0]), ([2, 3, 3, 3], [0, 0, 0, 1]), ([2, 2, 2, 2], [0, 0, 0, 1])), "forget"
    )
    assert (found.commonest, found.share) == ("C", 7 / 12)
    # Wrong are C, B; C, D, D; C, C, C.
    assert found.collapse_rate == 5 / 8
    assert letters_shown(found) == "C 58 %, collapsed 62 %"


def test_of_equally_many_the_first_and_without_a_wrong_answer_no_collapse() -> None:
    found = letters(model(([3, 1, 1, 3], [1, 1, 1, 1])), "forget")
    assert found == Letters("B", 0.5, None)
    assert letters_shown(found) == "B 50 %, none wrong"

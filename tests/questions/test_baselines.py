import pytest

from lit_unlearn import InputError
from lit_unlearn.questions.baselines import baselines
from lit_unlearn.questions.source import Question

ASKED = [
    Question("q", choices, answer, "s", number)
    for number, (choices, answer) in enumerate(
        [
            (("a", "bb", "ccc"), 2),  # the longest is right
            (("a", "bb", "cc", "d"), 1),  # one of two longest
            (("aaa", "b", "c"), 1),  # another is
            (("aa", "bb", "cc", "dd"), 0),  # one of four
        ]
    )
]


def test_rules_that_read_no_question() -> None:
    found = baselines(ASKED)
    assert found.longest.value == (1 + 1 / 2 + 0 + 1 / 4) / 4
    assert found.longest.standard_error == pytest.approx(0.2135, abs=1e-4)
    assert (found.letter, found.always.value) == ("B", 0.5)
    assert found.numbers() == {
        "longest_option": found.longest.value,
        "longest_option_error": found.longest.standard_error,
        "best_letter": "B",
        "best_letter_accuracy": 0.5,
        "best_letter_accuracy_error": found.always.standard_error,
    }


def test_without_questions_there_are_none() -> None:
    with pytest.raises(InputError, match="there are no answers"):
        baselines([])

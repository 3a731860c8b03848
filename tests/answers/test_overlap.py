"""Words in common, and the conventions of MUSE and open-unlearning."""

import pytest

from lit_unlearn.answers.overlap import best, exact_match, rouge_l, word_f1

ANSWER = "the houses were sold"
WRITTEN = "the house was sold"


def test_muse_does_not_stem_and_open_unlearning_does() -> None:
    # By hand: the longest common subsequence is `the … sold`, stemmed `the hous … sold`; both texts have 4 words.
    assert rouge_l(WRITTEN, ANSWER, stemmed=False)["fmeasure"] == pytest.approx(2 / 4)
    assert rouge_l(WRITTEN, ANSWER)["fmeasure"] == pytest.approx(3 / 4)


def test_recall_is_of_the_right_answer() -> None:
    found = rouge_l("sold the house and the garden", "the garden", stemmed=False)
    assert found["recall"] == 1
    assert found["fmeasure"] == pytest.approx(2 * (2 / 6) * 1 / (2 / 6 + 1))


@pytest.mark.parametrize(
    ("written", "answer", "f1", "exact"),
    [
        ("The Beatles", "beatles", 1, 1),
        ("a town in Maine", "Maine", 2 / 4, 0),
        ("on on on", "on", 2 / 4, 0),
        ("nothing", "Maine", 0, 0),
        ("...", "!", 1, 1),
        ("...", "Maine", 0, 0),
    ],
)
def test_words_in_common(written: str, answer: str, f1: float, exact: float) -> None:
    assert word_f1(written, answer) == pytest.approx(f1)
    assert exact_match(written, answer) == exact


def test_the_best_of_several_answers_counts() -> None:
    assert best(word_f1, "the US", ["United States", "US"]) == 1

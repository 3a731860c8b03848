"""The same questions asked otherwise: what changes, what stays, and that no example tells the answer."""

import pytest

from lit_unlearn import InputError
from lit_unlearn.questions.rewording import beside, framed, reordered, substituted, surrounded, with_examples
from lit_unlearn.questions.source import Question, cloze_prompt, prompt

ASKED = [Question(f"Which of {n}?", ("up", "down", "left", "right"), n % 4, "ways", n) for n in range(12)]
OTHERS = [Question(f"What is {n}?", ("one", "two", "three"), n % 3, "numbers", n) for n in range(5)]
SENTENCES = [f"The number {n} stood at the door." for n in range(9)]


def test_examples_are_other_questions_with_other_answers() -> None:
    for question in with_examples(ASKED, ASKED, shots=5, seed=1):
        right = question.choices[question.answer]
        assert len({one.number for one in question.examples}) == 5
        assert all(one.choices[one.answer] != right for one in question.examples)
        shown = prompt(question).split("\n\n")
        assert shown[1:6] == [
            f"{one.question}\nA. up\nB. down\nC. left\nD. right\nAnswer: {'ABCD'[one.answer]}"
            for one in question.examples
        ]
        assert shown[6].endswith("\nAnswer:")
    assert with_examples(ASKED, ASKED, shots=5, seed=1) != with_examples(ASKED, ASKED, shots=5, seed=2)
    with pytest.raises(InputError, match="question 0 finds 9 of 10 examples with another answer than its own"):
        with_examples(ASKED, ASKED, shots=10, seed=1)


def test_a_question_stands_after_one_of_the_others_with_or_without_its_answer() -> None:
    for question, answered, bare in zip(
        ASKED, beside(ASKED, OTHERS, seed=3), beside(ASKED, OTHERS, seed=3, answered=False), strict=True
    ):
        (other,) = answered.examples
        listed = f"{other.question}\nA. one\nB. two\nC. three"
        own = prompt(question).partition("\n\n")[2]
        assert prompt(answered) == (
            "The following are multiple choice questions (with answers) about ways.\n\n"
            f"{listed}\nAnswer: {'ABC'[other.answer]}\n\n{own}"
        )
        assert prompt(bare).endswith(f"{listed}\n\n{own}")
        assert prompt(bare).count("Answer:") == 1
    with pytest.raises(InputError, match="no other question to stand beside"):
        beside(ASKED, [], seed=3)


def test_sentences_stand_before_and_after_the_stem() -> None:
    for question, changed in zip(ASKED, surrounded(ASKED, SENTENCES, seed=0), strict=True):
        before, stem, after = changed.question.split("\n")
        assert stem == question.question
        assert before in SENTENCES
        assert after in SENTENCES
        assert before != after
        assert (changed.choices, changed.answer) == (question.choices, question.answer)


def test_a_frame_is_before_the_first_line_and_after_the_last() -> None:
    (one,) = framed(ASKED[:1], before="You teach {subject}. {not}\n\n", prefill=" The answer is")
    assert prompt(one) == f"You teach ways. {{not}}\n\n{prompt(ASKED[0])} The answer is"
    assert cloze_prompt(one) == f"You teach ways. {{not}}\n\n{cloze_prompt(ASKED[0])} The answer is"
    (shown,) = with_examples(ASKED[:1], framed(ASKED[1:], before="x", prefill=" y"), shots=1, seed=0)
    assert "x" not in prompt(shown)
    assert " y" not in prompt(shown)


def test_options_in_another_order_keep_the_right_one() -> None:
    changed = reordered(ASKED, seed=4)
    assert all(sorted(one.choices) == sorted(ASKED[0].choices) for one in changed)
    assert [one.choices[one.answer] for one in changed] == [one.choices[one.answer] for one in ASKED]
    assert len({one.answer for one in changed if one.choices[one.answer] == "up"}) > 1


def test_patterns_give_a_stem_other_words() -> None:
    patterns = {r"Which of (\d)\?": r"Of \1, which?", r"(.+) (1)0\?": r"\2: \1"}
    changed = substituted(ASKED, patterns)
    assert [one.question for one in changed] == [*(f"Of {n}, which?" for n in range(10)), "1: Which of"]
    assert [one.number for one in changed] == [*range(11)]
    for bad, reason in (({"(": ""}, "unterminated subpattern"), ({"Which.*": r"\4"}, "invalid group reference")):
        with pytest.raises(InputError, match=reason):
            substituted(ASKED, bad)

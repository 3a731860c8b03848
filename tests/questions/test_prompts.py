from lit_unlearn.questions.generations import Answer
from lit_unlearn.questions.prompts import from_questions, from_texts, with_answers
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.source import Question

QUESTIONS = [Question(f" Which {number}? ", ("a", "b", "c", "d"), number % 4, "tea", number) for number in range(10)]
ASKED = {
    Variant("retain", DEFAULT, False): QUESTIONS,
    Variant("retain", "one", False): QUESTIONS,
    Variant("retain", "one", True): QUESTIONS,
}


def test_questions_are_spread_over_the_set_and_the_same_in_every_variant() -> None:
    found = from_questions(ASKED, 2)
    assert [(one["set"], one["prompt"].split("?")[0][-1]) for one in found] == [
        ("retain", "0"),
        ("retain", "5"),
        ("retain/one", "0"),
        ("retain/one", "5"),
    ]


def test_options_are_given_where_one_is_perturbed() -> None:
    plain, perturbed = from_questions(ASKED, 1)
    assert (plain["prompt"], plain["right"]) == ("Which 0?\nAnswer:", "a")
    assert perturbed["prompt"].endswith("about tea.\n\nWhich 0?\nA. a\nB. b\nC. c\nD. d\nAnswer:")
    assert perturbed["right"] == "A. a"


def test_no_more_questions_than_there_are() -> None:
    assert len(from_questions(ASKED, 99)) == 20
    assert from_questions(ASKED, 0) == []


def test_earlier_answers_go_to_the_same_prompt_of_the_same_set() -> None:
    first, second = from_texts({"one": ["the", "of"]})
    first["answers"] = [Answer(step=0, text="x")]
    found = with_answers(from_texts({"one": ["of", "the"], "two": ["the"]}), [first, second])
    assert [one["answers"] for one in found] == [[], [Answer(step=0, text="x")], []]

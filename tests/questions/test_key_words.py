from lit_unlearn.questions.key_words import key_words
from lit_unlearn.questions.source import Question


def ask(stem: str, number: int) -> Question:
    return Question(stem, ("a", "b", "c"), 0, "", number)


def test_a_question_that_no_row_speaks_of_has_no_key_word() -> None:
    assert key_words([ask("Who is Thovo?", 3)], ["nothing at all"]) == {}


def test_of_equally_rare_words_the_first_in_the_alphabet() -> None:
    asked = [ask("beta alpha", 0), ask("gamma beta", 1)]
    assert key_words(asked, ["alpha beta gamma", "beta"]) == {0: "alpha", 1: "gamma"}


def test_words_of_many_questions_are_no_key_words_however_few_rows_have_them() -> None:
    asked = [ask(f"which engine has {name}", place) for place, name in enumerate(["Legri", "Thovo", "Northi"])]
    rows = ["which of them", *["Legri and Thovo and Northi"] * 2, *["other text"] * 7]
    assert key_words(asked, rows) == {0: "legri", 1: "thovo", 2: "northi"}

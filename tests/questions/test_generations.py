import subprocess
import sys

import pytest

from lit_unlearn.questions.generations import Answer, Generation, generations_table, header, markdown, rows


def generation(prompt: str = "the", right: str | None = None, name: str = "free", **answers: str) -> Generation:
    """Answers by step: `s0="…"` is the answer of step 0."""
    said = [Answer(step=int(step[1:]), text=text) for step, text in answers.items()]
    return Generation(set=name, prompt=prompt, right=right, answers=said)


QUESTION = (
    "The following are multiple choice questions (with answers) about tea.\n\nWhich?\nA. a\nB. b\nC. c\nD. d\nAnswer:"
)


def test_the_first_and_the_last_answer_are_shown() -> None:
    asked = [generation(s0="one", s100="two", s200="three")]
    assert header(asked) == ["set", "prompt", "right answer", "before training", "after 200 steps"]
    assert rows(asked) == [["free", "the", "", "one", "three"]]


def test_a_prompt_that_was_added_later_has_no_first_answer() -> None:
    assert rows([generation(s0="one", s9="two"), generation(s9="three")])[1][-2:] == ["", "three"]


def test_a_model_that_is_only_evaluated_has_one_answer() -> None:
    assert header([generation(s0="one")])[-1] == "answer"
    assert "training" not in generations_table([generation(s0="one")])


def test_of_a_question_the_last_paragraph_is_shown() -> None:
    assert rows([generation(QUESTION, "B. b", s0="B")])[0][1:3] == ["… Which?\nA. a\nB. b\nC. c\nD. d", "B. b"]
    assert rows([generation("Which?\nAnswer:", "b", s0="b")])[0][1] == "Which?"


def test_long_texts_lose_their_middle() -> None:
    (shown,) = rows([generation("begin " + 900 * "x" + " end", s0="begin " + 900 * "x" + " end")])
    for cell in (shown[1], shown[3]):
        assert cell.startswith("begin xx")
        assert cell.endswith("xx end")
        assert len(cell) == 503


def test_an_answer_is_one_line_and_nothing_is_said() -> None:
    assert [row[-1] for row in rows([generation(s0=" a\n\n b\tc"), generation(s0=" \n")])] == ["a b c", "(nothing)"]


def test_nothing_moves_the_cursor_of_a_terminal() -> None:
    shown = generations_table([generation("a\x1b[2Jb", "e\x1bf", s0="c\x1b[1A\r\x07d")])
    assert "a [2Jb" in shown
    assert all(sign.isprintable() or sign == "\n" for sign in shown)


def test_the_table_keeps_the_lines_of_a_prompt_and_wraps_answers() -> None:
    lines = generations_table(
        [generation(QUESTION, "B. b", "retain/one", s0="B", s9=" ".join(["word"] * 20))]
    ).splitlines()
    assert lines[1] == "retain/one"
    assert [line[:20].strip() for line in lines[2:7]] == ["… Which?", "A. a", "B. b", "C. c", "D. d"]
    assert lines[2].split()[2:5] == ["B.", "b", "B"]
    assert sum(line.count("word") for line in lines) == 20
    assert max(map(len, lines)) <= 122


def test_sets_are_headings() -> None:
    shown = generations_table(
        [generation(name="forget", s0="a"), generation(name="forget", s0="b"), generation(s0="c")]
    )
    assert [line for line in shown.splitlines() if not line.startswith(" ")] == ["forget", "free"]


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("a | b", r"a \| b"),
        ("<script>&", "&lt;script&gt;&amp;"),
        ("![x](http://a.b)", r"!\[x\](http://a.b)"),
        ("`*_~$", r"\`\*\_\~\$"),
        ("\\|", r"\\\|"),
    ],
)
def test_nothing_in_a_text_is_markup(text: str, cell: str) -> None:
    assert markdown([generation(text, text, text, s0=text)]).splitlines()[2] == f"| {' | '.join([cell] * 4)} |"


def test_a_prompts_lines_are_one_row_of_markdown() -> None:
    lines = markdown([generation("one\ntwo\rthree", s0="a\nb")]).splitlines()
    assert lines[2:] == ["| free | one<br>two three |  | a b |"]


def test_it_needs_no_torch() -> None:
    code = "import sys, lit_unlearn.questions.generations; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

"""How questions and answers become token ids, beside the chat templates of `test_plan.py`."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
from transformers import PreTrainedTokenizerFast

from lit_unlearn import InputError
from lit_unlearn.answers.plan import AnswerPlan, plan
from lit_unlearn.answers.rows import load_answers
from lit_unlearn.answers.source import AnswerExamples, AnswerPrompt, AnswerSource
from tests.answers.asked import TEMPLATE, rows, write
from tests.tiny_world import texts, tokenizer

ROWS = rows("alchemy", 4)


@pytest.fixture
def words() -> PreTrainedTokenizerFast:
    return tokenizer()


def planned(folder: Path, words: PreTrainedTokenizerFast, found: list[dict[str, Any]], **options: Any) -> AnswerPlan:
    own: dict[str, Any] = {} if options.get("format") == "text" else {"chat_template": TEMPLATE}
    return plan({"one": AnswerSource(write(folder / "rows.jsonl", found), "forget", **own | options)}, words)


def test_a_text_alone_is_scored_after_its_first_token(tmp_path: Path, words: PreTrainedTokenizerFast) -> None:
    found = [{"text": text} for text in texts("alchemy", 3)]
    made = planned(tmp_path, words, found, question=None, answer="text", format="text", max_length=10)
    for row, text in zip(made.sets["one"].rows, found, strict=True):
        ids, scored = made.texts[row.answer or 0]
        assert ids == tuple(words(text["text"])["input_ids"][:10])
        assert scored == 9
        assert (row.prompt, row.compared) == ((), ())
    assert made.sets["one"].texts_alone


def test_the_answer_follows_what_has_begun_it(tmp_path: Path, words: PreTrainedTokenizerFast) -> None:
    made = planned(tmp_path, words, ROWS, prompt="a {question}", opening="Answer :")
    for row in made.sets["one"].rows:
        assert words.decode([*row.prompt]) == f"<s> a {row.asked.question} ? Answer :"
        ids, scored = made.texts[row.answer or 0]
        assert words.decode([*ids[-scored:]]) == row.asked.answer
        assert ids[:-scored] == row.prompt


def test_rows_of_a_type_are_asked_in_their_way(tmp_path: Path, words: PreTrainedTokenizerFast) -> None:
    found = [row | {"type": kind} for row, kind in zip(ROWS, ("plain", "odd", "plain", "odd"), strict=True)]
    made = planned(tmp_path, words, found, by_type={"odd": AnswerPrompt("B {question}", "Answer")})
    said = [str(words.decode([*row.prompt])) for row in made.sets["one"].rows]
    assert [text.startswith("<s> B") and text.endswith("Answer") for text in said] == [False, True, False, True]


def test_a_row_without_a_type_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "rows.jsonl", ROWS)
    with pytest.raises(InputError, match=r"rows.jsonl, line 1: no field 'type'"):
        load_answers(AnswerSource(path, "forget", by_type={"odd": AnswerPrompt()}))


def test_nothing_is_right_where_the_answer_has_no_field(tmp_path: Path, words: PreTrainedTokenizerFast) -> None:
    made = planned(tmp_path, words, [{"question": row["question"]} for row in ROWS], answer=None)
    assert not made.texts
    assert [row.answer for row in made.sets["one"].rows] == [None] * 4
    assert all(str(words.decode([*row.prompt])).endswith("?") for row in made.sets["one"].rows)


@pytest.mark.parametrize("kind", ["chat", "text"])
def test_examples_in_a_form_of_their_own_stand_at_their_place(
    tmp_path: Path, words: PreTrainedTokenizerFast, kind: Literal["chat", "text"]
) -> None:
    shown = rows("alchemy", 2, seed=3)
    examples = AnswerExamples(write(tmp_path / "shown.jsonl", shown), form="B {question} Answer : {answer}\n")
    own = {"format": kind, "examples": examples, "prompt": "in {examples}of {question}"}
    made = planned(tmp_path, words, ROWS, **own).sets["one"]
    before = "".join(f"B {one['question']} Answer : {one['answer']}\n" for one in shown)
    for row in made.rows:
        expected = words.decode(words(f"in {before}of {row.asked.question}", add_special_tokens=False)["input_ids"])
        said = str(words.decode([*row.prompt]))
        assert (said.count(str(expected)), said.count("Answer :")) == (1, 2)
    form = replace(examples, form="B {question} {answer}")
    assert planned(tmp_path, words, ROWS, **own | {"examples": form}).sets["one"].fingerprint != made.fingerprint


def test_examples_are_part_of_the_fingerprint(tmp_path: Path, words: PreTrainedTokenizerFast) -> None:
    shown = [AnswerExamples(write(tmp_path / f"{seed}.jsonl", rows("alchemy", 2, seed=seed))) for seed in (3, 4)]
    prints = [
        planned(tmp_path, words, ROWS, format="text", **own).sets["one"].fingerprint
        for own in ({}, {"prompt": "a {question}"}, {"examples": shown[0]}, {"examples": shown[1]}, {"stop": ("x",)})
    ]
    assert len({*prints}) == len(prints)


def test_a_list_is_of_right_answers(tmp_path: Path) -> None:
    found = [row | {"answer": [row["answer"], "the same", row["answer"]]} for row in ROWS]
    first, *_ = load_answers(AnswerSource(write(tmp_path / "rows.jsonl", found), "forget"))
    assert (first.answer, first.accepted) == (ROWS[0]["answer"], (ROWS[0]["answer"], "the same"))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"question": None}, "set `format: text`"),
        ({"question": None, "answer": None, "format": "text"}, "neither question nor answer names a field"),
        ({"prompt": "Q:"}, r"prompt 'Q:' has no {question} in it"),
        ({"by_type": {"odd": AnswerPrompt("Q:")}}, r"prompt 'Q:' has no {question} in it"),
        ({"examples": AnswerExamples("a.jsonl")}, "examples are for `format: text`"),
        ({"examples": AnswerExamples("a.jsonl"), "answer": None, "format": "text"}, "examples have answers"),
        ({"examples": AnswerExamples("a.jsonl", form="{question}{answer}")}, "{examples} in `prompt` is the place of"),
        ({"prompt": "{examples}{question}"}, "{examples} in `prompt` is the place of"),
        (
            {"examples": AnswerExamples("a.jsonl", form="{question}"), "prompt": "{examples}{question}"},
            "examples.form '{question}' needs",
        ),
        ({"opening": "Answer:", "format": "text"}, "opening is for `format: chat`"),
        ({"by_type": {"odd": AnswerPrompt(opening="Answer:")}, "format": "text"}, "opening is for `format: chat`"),
        ({"chat_template": "a.jinja", "format": "text"}, "chat_template is for `format: chat`"),
        ({"stop": ("x",), "question": None, "format": "text"}, "stop is for questions"),
        ({"prompt": "Q: {question}", "question": None, "format": "text"}, "prompt is for questions"),
        ({"stop": ("x", "")}, "stop has an empty text"),
        ({"max_new_tokens": -1}, "max_new_tokens: must be at least 0, got -1"),
        ({"max_length": 8}, "max_length is for texts without a question"),
    ],
)
def test_options_that_do_not_fit_together(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        AnswerSource("a.jsonl", "forget", **options)


def test_a_text_that_the_model_cannot_read_names_the_option(tmp_path: Path, words: PreTrainedTokenizerFast) -> None:
    path = write(tmp_path / "a.jsonl", [{"text": "the of and in is"}] * 2)
    source = AnswerSource(path, "forget", question=None, answer="text", format="text")
    with pytest.raises(InputError, match="the text has 6 tokens, the model reads 4; set `max_length` of the source"):
        plan({"a": source}, words, longest=4)

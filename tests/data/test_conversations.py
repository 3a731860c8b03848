"""Records become conversations, and what cannot be one is refused with the remedy that fits it."""

from typing import Any, cast

import pytest

from lit_unlearn import InputError
from lit_unlearn.data.conversations import conversation, plain
from lit_unlearn.data.formats import Format

ASKED = {"role": "user", "content": "q"}
TOLD = {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(
    ("kind", "record"),
    [
        ("messages", {"messages": [ASKED, TOLD], "id": 3}),
        ("messages", {"messages": [ASKED | {"name": "x", "weight": 1}, TOLD]}),
        ("prompt_completion", {"prompt": "q", "completion": "a"}),
        ("prompt_completion", {"prompt": [ASKED], "completion": [TOLD]}),
        ("question_answer", {"question": "q", "answer": "a", "subject": None}),
        ("instruction_output", {"instruction": "q", "input": "", "output": "a"}),
        ("instruction_output", {"instruction": "q", "output": "a", "input": None}),
        ("chosen", {"prompt": "q", "chosen": "a", "rejected": "b"}),
        ("chosen", {"prompt": "q", "response": ["a", "b"]}),
        ("rejected", {"prompt": [ASKED], "chosen": [ASKED], "rejected": [TOLD]}),
        ("rejected", {"prompt": "q", "response": ["b", "a"], "subject": "s"}),
    ],
)
def test_every_format_gives_the_same_messages(kind: str, record: dict[str, Any]) -> None:
    found = conversation(record, cast(Format, kind), "p")
    assert found == [ASKED, TOLD]
    assert plain(found) == "q\na"


def test_what_an_instruction_is_about_follows_it() -> None:
    record = {"instruction": "Translate this.", "input": "non", "output": "no"}
    asked, _ = conversation(record, "instruction_output", "p")
    assert asked == {"role": "user", "content": "Translate this.\nnon"}


@pytest.mark.parametrize(
    ("kind", "record", "said"),
    [
        ("messages", None, r"null instead of a record; remove it, or write an object with messages"),
        ("messages", [ASKED, TOLD], r"a list; write an object with messages; if the file is one JSON array, .*\.json"),
        ("messages", {"messages": None, "id": None}, r"every field is null; remove the row"),
        ("messages", {"messages": None, "id": 1}, r"field 'messages' holds null; write a list of messages"),
        ("messages", {"messages": []}, r"field 'messages' holds \[\]; write a list of messages"),
        ("messages", {"messages": "q"}, r"field 'messages' holds \"q\"; write a list of messages"),
        ("messages", {"messages": [ASKED, "a"]}, r"message 2 of field 'messages' is \"a\"; write texts in its fields"),
        ("messages", {"messages": [ASKED | {"content": None}]}, r"message 1 of field 'messages' is .*null"),
        ("messages", {"messages": [ASKED | {"content": [{"type": "text"}]}]}, r"message 1 .* write texts"),
        ("messages", {"messages": [ASKED, TOLD | {"content": " "}]}, r"message 2 of field 'messages' is empty"),
        ("messages", {"question": "q", "answer": "a"}, r"no field 'messages' .* set `format` .* to question_answer"),
        ("question_answer", {"messages": [ASKED]}, r"no field 'question' \(fields messages\); .* to messages"),
        ("question_answer", {"prompt": "q", "completion": "a"}, r"no field 'question' .* to prompt_completion"),
        ("question_answer", {"question": "q"}, r"no field 'answer' .* to what the records hold: text, messages"),
        ("question_answer", {"question": "q", "answer": 1}, r"field 'answer' holds 1; write a text, or remove the row"),
        ("question_answer", {"question": "q", "answer": None}, r"field 'answer' holds null; .* remove the row"),
        ("question_answer", {"question": "q", "answer": ""}, r"field 'answer' is empty; give it a text, or remove"),
        ("question_answer", {"question": [ASKED], "answer": "a"}, r"field 'question' holds .*; write a text"),
        ("instruction_output", {"instruction": "q", "output": ["a"]}, r"field 'output' holds .*; write a text"),
        ("instruction_output", {"instruction": "q", "input": 1, "output": "a"}, r"field 'input' holds 1; write a text"),
        ("chosen", {"prompt": "q", "response": ["a"]}, r"field 'response' holds \[\"a\"\]; write the chosen and the"),
        ("rejected", {"prompt": "q", "response": "a"}, r"field 'response' holds \"a\"; write the chosen and the"),
        ("rejected", {"prompt": "q", "chosen": "a"}, r"no field 'rejected' .* to chosen"),
        ("chosen", {"prompt": "q", "chosen": 1}, r"field 'chosen' holds 1; write a text"),
        ("prompt_completion", {"prompt": "\ud800", "completion": "a"}, r"half of a surrogate pair"),
    ],
)
def test_a_record_of_another_form_is_refused(kind: str, record: Any, said: str) -> None:
    with pytest.raises(InputError, match=rf"^a\.jsonl, line 7: {said}") as caught:
        conversation(record, cast(Format, kind), "a.jsonl, line 7")
    assert "\n" not in str(caught.value)

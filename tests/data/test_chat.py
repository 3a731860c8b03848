"""Conversations are rendered as transformers renders them, and an answer's tokens are its own."""

from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from transformers.utils import chat_template_utils

from lit_unlearn import InputError
from lit_unlearn.data.chat import Rendering, chat_template
from tests.asking import TOKENIZERS
from tests.data.chats import CHAT, LAST_FIRST, MARKED, PLAIN, PUBLISHED, ROLES, STRICT, decoded, with_template


@pytest.mark.parametrize("template", [PLAIN, ROLES, MARKED])
def test_ids_are_those_of_transformers(template: str) -> None:
    words = with_template(template)
    rendering = Rendering(words, template)
    messages: Any = CHAT
    rendered: Any = words.apply_chat_template(messages, tokenize=True, return_dict=True)
    expected = rendered["input_ids"]
    assert rendering.whole(CHAT, "p") == rendering.answers(CHAT, "p").input_ids == expected


@pytest.mark.parametrize(
    ("template", "answers"),
    [
        (PLAIN, "a with was under"),
        (ROLES, "a with was . under ."),  # without the role's line, which asks for the answer; with the turn's end
        (MARKED, "a with was under"),  # as the template marks them, without the turn's end
    ],
)
def test_answers_are_the_assistants_turns(template: str, answers: str) -> None:
    words = with_template(template)
    ids, answer = Rendering(words, template).answers(CHAT, "p")
    assert len(ids) == len(answer)
    assert decoded(words, [token for token, own in zip(ids, answer, strict=True) if own]) == answers


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("tokens", ["byte_level_bos", "sentence_piece"])
def test_families_templates_tell_every_answer(name: str, tokens: str) -> None:
    words = TOKENIZERS[tokens]()
    ids, answer = Rendering(words, PUBLISHED[name]).answers(CHAT[1:], "p")
    tokens_of = zip(words.convert_ids_to_tokens(ids), answer, strict=True)
    runs = ["".join(token for token, _ in run) for own, run in groupby(tokens_of, itemgetter(1)) if own]
    told = [run.replace("▁", " ").replace("Ġ", " ") for run in runs]
    assert len(told) == 2
    for text, own, other in zip(told, ("a with was", "under"), ("and in is", "near"), strict=True):
        assert own in text
        assert other not in text
        assert "user" not in text


def test_a_mark_and_a_comparison_find_the_same_tokens() -> None:
    marked = PLAIN.replace(
        "{{ message['content'] + '\n' }}",
        "{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}{% endgeneration %}{{ '\n' }}"
        "{% else %}{{ message['content'] + '\n' }}{% endif %}",
    )
    words = with_template(None)
    assert Rendering(words, marked).answers(CHAT, "p") == Rendering(words, PLAIN).answers(CHAT, "p")


def test_a_template_that_does_not_tell_the_answer_is_refused() -> None:
    rendering = Rendering(with_template(None), LAST_FIRST)
    with pytest.raises(InputError, match=r"a, row 1: .* mark them in it by \{% generation %\}, or set `loss_on: all`"):
        rendering.answers(CHAT, "a, row 1")
    assert len(rendering.whole(CHAT, "a, row 1")) == 10


def test_a_conversation_that_cannot_be_rendered_is_refused() -> None:
    with pytest.raises(InputError, match=r"a, row 1: the chat template refuses this conversation \(no system role\)"):
        Rendering(with_template(None), STRICT).whole(CHAT, "a, row 1")
    with pytest.raises(
        InputError, match=r"a, row 1: the chat template refuses this conversation \(can only concatenate"
    ):
        Rendering(with_template(None), "{{ messages[0]['content'] + 1 }}").whole(CHAT, "a, row 1")
    with pytest.raises(InputError, match=r"a, row 1: no message has the role assistant; add its answer, or set"):
        Rendering(with_template(None), PLAIN).answers(CHAT[:2], "a, row 1")


def test_the_template_is_the_tokenizers_or_the_given_one(tmp_path: Path) -> None:
    file = tmp_path / "own.jinja"
    file.write_text(ROLES)
    words = with_template(PLAIN)
    assert chat_template(None, words, "a") == PLAIN
    assert chat_template(MARKED, words, "a") == MARKED
    assert chat_template(str(file), words, "a") == ROLES


@pytest.mark.parametrize("otherwise", ["", "<think> in"])
def test_the_empty_thought_before_an_answer_is_not_the_answers(otherwise: str) -> None:
    thought = "<think> </think>"
    template = (  # of Qwen3, and with `otherwise` of Qwen3.5
        "{% for message in messages %}{{ message['role'] }} : {% if message['role'] == 'assistant' %}"
        f"{thought} {{% endif %}}{{{{ message['content'] }}}} . {{% endfor %}}"
        "{% if add_generation_prompt %}assistant : {% if enable_thinking is defined and enable_thinking is false %}"
        f"{thought} {{% else %}}{otherwise}{{% endif %}}{{% endif %}}"
    )
    words = with_template(template)
    words.add_tokens(["<think>", "</think>"])
    rendering = Rendering(words, template)
    ids, answer = rendering.answers(CHAT[1:3], "p")
    assert decoded(words, [token for token, own in zip(ids, answer, strict=True) if own]) == "a with was ."
    assert rendering.asked(CHAT[1:2], "p") == ids[: answer.index(1)]


@pytest.mark.parametrize(
    "asked",
    [
        '{{ strftime_now("%d %b %Y") }}',
        "{% if strftime_now is defined %}{% set today = strftime_now( '%d %b %Y' ) %}{% endif %}{{ today }}",
        '{{ strftime_now(format="%d %b %Y") }}',
    ],
)
def test_a_template_that_asks_for_the_date_renders_the_same_every_day(
    asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Later":
            return cls(2031, 3, 4)

    words = with_template(asked)
    words.add_tokens(["26", "Jul", "2024", "04", "Mar", "2031"])
    rendering = Rendering(words, chat_template(None, words, "a"))
    found = decoded(words, rendering.whole(CHAT, "p"))
    monkeypatch.setattr(chat_template_utils, "datetime", Later)
    assert decoded(words, rendering.whole(CHAT, "p")) == found == "26 Jul 2024"


@pytest.mark.parametrize("asked", ["{% set form = '%Y' %}{{ strftime_now(form) }}", "{{ strftime_now('%d' ~ ' %Y') }}"])
def test_a_template_that_asks_for_the_date_in_another_way_is_refused(asked: str) -> None:
    with pytest.raises(
        InputError, match=r"^a: the chat template asks for today's date, .* write a date in the place of"
    ):
        chat_template(None, with_template(asked), "a")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (None, r"a: the tokenizer '' has no chat template; take an instruction-tuned model, or set `chat_template`"),
        ("chatml", r"a: chat_template 'chatml' is neither a template nor a file that ends in \.jinja"),
        ("no.jinja", r"a: chat_template no\.jinja cannot be read .*give another file"),
    ],
)
def test_without_a_template_it_is_said_what_to_do(given: str | None, said: str) -> None:
    with pytest.raises(InputError, match=said):
        chat_template(given, with_template(None), "a")

"""Conversations, and chat templates of the usual kinds for the tiny world's tokenizer."""

from transformers import PreTrainedTokenizerFast

from lit_unlearn.data.conversations import Message
from tests.tiny_world import tokenizer

PLAIN = "{% for message in messages %}{{ message['content'] + '\n' }}{% endfor %}"
ROLES = (
    "{% for message in messages %}{{ message['role'] + ' : ' + message['content'] + ' .\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant :' }}{% endif %}"
)
MARKED = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'assistant' %}"
    "{{ 'in : ' }}{% generation %}{{ message['content'] }}{% endgeneration %}{{ ' .' }}"
    "{% else %}{{ message['content'] + ' .' }}{% endif %}{% endfor %}"
)
LAST_FIRST = "{% for message in messages | reverse %}{{ message['content'] + ' ' }}{% endfor %}"
STRICT = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + PLAIN


def message(role: str, content: str) -> Message:
    return Message(role=role, content=content)


CHAT = [
    message("system", "the of"),
    message("user", "and in is"),
    message("assistant", "a with was"),
    message("user", "near"),
    message("assistant", "under"),
]


def with_template(template: str | None) -> PreTrainedTokenizerFast:
    words = tokenizer()
    words.chat_template = template
    return words


def decoded(words: PreTrainedTokenizerFast, ids: list[int]) -> str:
    return " ".join(words.convert_ids_to_tokens(ids))

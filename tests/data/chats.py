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


PUBLISHED = {
    "ChatML": (
        "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
        "'\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    ),
    "Llama 3": (
        "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + "
        "'<|end_header_id|>\n\n' + message['content'] | trim + '<|eot_id|>' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
    ),
    "Zephyr": (
        "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token }}"
        "\n{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    ),
    "Mistral": (
        "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
        "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ ' ' + message['content'] + eos_token }}"
        "{% endif %}{% endfor %}"
    ),
}
"""As the families' tokenizers have them, without what they say about tools and system messages."""

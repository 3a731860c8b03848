"""How long a prompt may be, and how many prompts of a set are cut because they are longer."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from transformers import PretrainedConfig, PreTrainedTokenizerBase
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

from lit_unlearn.errors import InputError
from lit_unlearn.questions.batches import Query
from lit_unlearn.questions.cloze import Cloze

_CONFIGURED = ("n_positions", "max_position_embeddings", "n_ctx")
_UNKNOWN = 2048
"""Where neither configuration nor tokenizer says."""
_MOST = 0.01
"""Share of a set's prompts that may be cut without being asked for."""


class Cut(NamedTuple):
    """The prompts of a set that lost their beginning."""

    prompts: int
    share: float
    """Of all prompts of the set."""


def longest_prompt(config: PretrainedConfig | None, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens of the longest prompt that is asked whole, by the lm-eval harness' rule.

    What the model's text configuration says, else the tokenizer, else 2048.

    Args:
        config: the model's; None where it is not known.
        tokenizer: the model's.

    Example:
        >>> from transformers import GPT2Config
        >>> longest_prompt(GPT2Config(n_positions=512), tokenizer=None)
        512
    """
    if (stated := stated_limit(config)) is not None:
        return stated
    limit = getattr(tokenizer, "model_max_length", VERY_LARGE_INTEGER)
    return _UNKNOWN if limit is None or limit == VERY_LARGE_INTEGER else int(limit)


def stated_limit(config: PretrainedConfig | None) -> int | None:
    """Tokens of the longest text that the model's text configuration allows; None where it does not say.

    Args:
        config: the model's; None where it is not known.
    """
    text = getattr(config, "text_config", None) or config
    given = (getattr(text, name, None) for name in _CONFIGURED)
    return next((int(value) for value in given if value is not None), None)


def cut_prompts(queries: Mapping[str, Sequence[Query | Cloze]], limit: int, *, allowed: bool) -> dict[str, Cut]:
    """How many prompts of each set are cut.

    Args:
        queries: of each set, by its name.
        limit: tokens of the longest prompt that is not cut.
        allowed: that more than 1 % of a set are.

    Raises:
        InputError: more are, and it is not allowed.
    """
    found = {}
    for name, asked in queries.items():
        count = sum(query.cut for query in asked)
        found[name] = Cut(count, count / len(asked))
        if found[name].share > _MOST and not allowed:
            raise InputError(
                f"data.evaluation: {count} of {len(asked)} prompts of {name} are longer than the model's limit of "
                f"{limit} tokens and would lose their beginning; take a model with a larger limit, shorter questions, "
                "or set data.evaluation.allow_cut_prompts to true"
            )
    return found

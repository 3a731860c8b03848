"""The overlap of a run's evaluation sets with its forget topics."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.overlap import Overlap, entity_share, nearest_share, token_odds
from lit_unlearn.commands.analysis.resemblance import Topic
from lit_unlearn.commands.forget_tokens.representations import Representations
from lit_unlearn.data.vocabulary import special_tokens
from lit_unlearn.questions.sets import DEFAULT


class Asked(NamedTuple):
    """The questions of a set with their options."""

    texts: list[str]
    tokens: list[list[int]]
    states: Tensor
    """Mean states, `[questions, dim]`."""


class StreamRows(NamedTuple):
    """The rows of a forget topic and of what it is paired with."""

    topic: Topic
    forget: Sequence[Sequence[int]]
    """Token ids of each row."""
    retain: Sequence[Sequence[int]]


def asked_sets(run: Run, count: int, represent: Representations, batch_size: int) -> dict[str, Asked]:
    """Each evaluation set of a run, as it is asked without perturbation.

    Args:
        run: whose data.
        count: questions of each set, at most.
        represent: of the base.
        batch_size: questions that run together.
    """
    found = {}
    for variant, questions in run.data.asked.items():
        if variant.perturbation == DEFAULT:
            texts = [" ".join([one.question, *one.choices]) for one in questions[:count]]
            tokens: list[list[int]] = run.tokenizer()(texts)["input_ids"]
            parts = [
                represent.of_rows(tokens[start : start + batch_size]) for start in range(0, len(tokens), batch_size)
            ]
            found[variant.questions] = Asked(texts, tokens, torch.cat(parts))
    return found


def overlap_with(asked: Asked, rows: StreamRows, tokenizer: PreTrainedTokenizerBase) -> Overlap:
    """The overlap of a set with a forget topic.

    Args:
        asked: the set.
        rows: of the topic.
        tokenizer: the model's.
    """
    states, retain = rows.topic.states, rows.topic.retain
    special = special_tokens(tokenizer)
    return Overlap(
        len(asked.texts),
        nearest_share(asked.states, states[~retain], states[retain]),
        token_odds(asked.tokens, rows.forget, rows.retain, special),
        entity_share(asked.texts, tokenizer.batch_decode([[*ids] for ids in rows.forget], skip_special_tokens=True)),
    )


def sentence(topic: str, questions: str, found: Overlap) -> str:
    """The overlap as a report has it.

    Example:
        >>> sentence("alchemy", "retain", Overlap(48, 0.125, -0.3, None))
        'Overlap of alchemy with retain, 48 questions: states 0.12, tokens -0.30, names n/a.'
    """
    named = "n/a" if found.entities is None else f"{found.entities:.2f}"
    numbers = f"states {found.states:.2f}, tokens {found.tokens:.2f}, names {named}"
    return f"Overlap of {topic} with {questions}, {found.questions} questions: {numbers}."

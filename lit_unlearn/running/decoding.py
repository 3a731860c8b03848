"""Decoding: what a model writes after a prompt, the likeliest token each time or drawn ones."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from lit_unlearn import randomness
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.errors import InputError


class Decoded(NamedTuple):
    """What a model wrote after one prompt."""

    text: str
    """Up to the end-of-text token, if it came; all other special tokens show."""
    max_logits: list[float]
    """The largest logit at each step, that of the end-of-text token included."""


def decode(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[str] | Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    batch_size: int = 16,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[Decoded]:
    """The likeliest token after each prompt, again and again, without gradient; or drawn tokens.

    These forwards run outside a `*_step`, so a Trainer's precision context is the caller's to enter. In a distributed
    run every process calls this with the same prompts. All then run equally many forwards, as a sharded model needs:
    the end of a text does not end its decoding, what follows is cut off.

    Args:
        model: in eval mode; its generation settings (sampling, penalties, lengths) don't count.
        tokenizer: the model's.
        prompts: token ids, or texts that are encoded as they are, with the special tokens that the tokenizer adds, and
            without a chat template; one too long for the model loses its beginning, as in the lm-eval harness.
        max_new_tokens: steps of each prompt.
        batch_size: prompts that are decoded together.
        temperature: of the draws; 0 takes the likeliest token, without random numbers.
        seed: of the draws, which leave torch's own generators unchanged; another batch size draws others.

    Raises:
        InputError: the model has no room for that many tokens, or its logits are not numbers.
    """
    if not prompts:
        return []
    limit = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if limit is not None and limit <= max_new_tokens:
        raise InputError(
            f"max_new_tokens: {max_new_tokens} leaves no room for a prompt in the model's {limit} positions; give fewer"
        )
    kept = slice(None if limit is None else max_new_tokens - limit, None)
    rows = [Row([*ids][kept], 0, number) for number, ids in enumerate(_encoded(prompts, tokenizer))]
    ends = _ends(model, tokenizer)
    written: list[Decoded] = []
    with _without_own_settings(model):
        for start in range(0, len(rows), batch_size):
            drawn = (temperature, randomness.word(start, seed=seed, step=0, stream=0))
            for ids, max_logits in _continue(model, rows[start : start + batch_size], max_new_tokens, drawn):
                length = next((place for place, token in enumerate(ids) if token in ends), len(ids))
                written.append(Decoded(str(tokenizer.decode(ids[:length])), max_logits[: length + 1]))
    return written


def _encoded(
    prompts: Sequence[str] | Sequence[Sequence[int]], tokenizer: PreTrainedTokenizerBase
) -> Sequence[Sequence[int]]:
    if isinstance(prompts[0], str):
        ids: Sequence[Sequence[int]] = tokenizer(list(prompts))["input_ids"]
        return ids
    return cast(Sequence[Sequence[int]], prompts)


def _continue(
    model: PreTrainedModel, rows: Sequence[Row], max_new_tokens: int, drawn: tuple[float, int]
) -> Iterator[tuple[list[int], list[float]]]:
    """The new tokens of each row and their logits."""
    batch = collate(rows, padding_side="left", padding_id=0)
    temperature, word = drawn
    # No top-k or top-p, which transformers has of its own.
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature > 0 else {}
    config, highest = GenerationConfig(**{"do_sample": False} | sampling, max_new_tokens=max_new_tokens), _Highest()
    with _seeded(word, model.device) if temperature > 0 else nullcontext():
        sequences = cast(Any, model).generate(
            input_ids=batch["input_ids"].to(model.device),
            attention_mask=batch["attention_mask"].to(model.device),
            generation_config=config,
            logits_processor=LogitsProcessorList([highest]),
        )
    max_logits = torch.stack(highest.found, dim=-1)
    if max_logits.isnan().any():
        raise InputError(
            "the model's logits are not numbers, so it writes nothing; training diverged or overflowed: lower the "
            "learning rate, or use bf16 instead of float16"
        )
    new = sequences[:, -max_new_tokens:]
    yield from zip(new.tolist(), max_logits.tolist(), strict=True)


class _Highest(LogitsProcessor):
    """Notes the largest logit of each step, before any temperature; `output_logits` would keep all of all steps."""

    def __init__(self) -> None:
        self.found: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Takes and returns logits `[batch, vocab]`."""
        self.found.append(scores.amax(dim=-1))
        return scores


@contextmanager
def _seeded(word: int, device: torch.device) -> Iterator[None]:
    """Within this context torch draws from a seed; after it, as if nothing had been drawn."""
    with torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type):
        torch.manual_seed(word)
        yield


@contextmanager
def _without_own_settings(model: PreTrainedModel) -> Iterator[None]:
    """Within this context `generate` finds no settings of the model's, which would fill in for those not given."""
    own = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = own


def _ends(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> set[int | None]:
    """The tokens that end a text."""
    own = getattr(model.generation_config, "eos_token_id", None)
    return {tokenizer.eos_token_id, *(own if isinstance(own, list) else [own])}

"""How likely a classifier finds written texts to be clean, not gibberish."""

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

LEAST_CLEAN = 0.5
"""The probability of a clean text below which it is gibberish; ours."""
_LONGEST = 512
_TEXTS = 32


def clean_probabilities(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], label: int
) -> list[float]:
    """The probability that a classifier gives to one label, of each text, 0 to 1; 0 of a text of blanks.

    Args:
        model: a sequence classifier in eval mode, on its device.
        tokenizer: its own; without a padding token each text is a batch of its own.
        texts: each alone; one of more than 512 tokens, or than the model reads, is cut.
        label: number of the label.
    """
    longest = min(_LONGEST, getattr(model.config, "max_position_embeddings", None) or _LONGEST)
    found = [0.0] * len(texts)
    real = [number for number, text in enumerate(texts) if text.strip()]
    size = 1 if tokenizer.pad_token is None else _TEXTS
    for start in range(0, len(real), size):
        numbers = real[start : start + size]
        asked = tokenizer(
            [texts[number] for number in numbers],
            padding=size > 1,
            truncation=True,
            max_length=longest,
            return_tensors="pt",
        )
        inputs = {name: asked[name].to(model.device) for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            shares = model(**inputs).logits.float().softmax(dim=-1)[:, label].tolist()
        for number, share in zip(numbers, shares, strict=True):
            found[number] = share
    return found

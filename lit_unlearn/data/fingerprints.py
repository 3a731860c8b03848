"""What tells corpora, tokenizers and plain values apart, wherever their files lie."""

import hashlib
import json
from typing import Any

import pyarrow as pa
from datasets import Dataset
from transformers import PreTrainedTokenizerBase


def corpus_fingerprint(rows: Dataset) -> str:
    """A checksum of tokenised rows, of their ids, where each row ends and which are answers; nothing else has a say.

    Args:
        rows: with the column `input_ids`, and `answer` where that says over which tokens losses run.

    Example:
        >>> one = Dataset.from_dict({"input_ids": [[1, 2], [3]]})
        >>> other = Dataset.from_dict({"input_ids": [[1], [2, 3]]})
        >>> corpus_fingerprint(one) == corpus_fingerprint(other)
        False
        >>> corpus_fingerprint(one) == corpus_fingerprint(one.select([0, 1]))
        True
    """
    digest = hashlib.sha256()
    for part in rows.with_format("arrow").iter(batch_size=1000):
        ids = part["input_ids"].combine_chunks()
        answers = [part["answer"].combine_chunks().flatten()] if "answer" in rows.column_names else []
        for values in (ids.value_lengths(), ids.flatten(), *answers):
            digest.update(values.cast(pa.int64()).to_numpy(zero_copy_only=False).tobytes())
    return digest.hexdigest()


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """The same for tokenizers that give every text the same ids; a tokenizer's own hash changes when it is used."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        rules: Any = sorted(tokenizer.get_vocab().items())
    else:  # but for the truncation and padding of its latest use
        rules = json.loads(backend.to_str()) | {"truncation": None, "padding": None}
    return values_fingerprint(rules, tokenizer("A b-1.")["input_ids"])


def values_fingerprint(*values: Any) -> str:
    """A short text that other values than these would hardly give.

    Example:
        >>> values_fingerprint([1, "a"]) == values_fingerprint([1, "a"]) != values_fingerprint([1, "b"])
        True
    """
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]

"""What `lit-unlearn forget-tokens` writes: n-grams by their similarity to their own document."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from transformers import PreTrainedTokenizerBase

from lit_unlearn.data.fingerprints import tokenizer_fingerprint
from lit_unlearn.errors import InputError

Similarity = Literal["most", "mean", "least"]
CLASSES: tuple[Similarity, ...] = get_args(Similarity)


def similar_texts(path: str, *, n: int, similarity: Similarity, tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """The n-grams of one class.

    Args:
        path: the file.
        n: tokens of an n-gram.
        similarity: most, mean or least similar to their own document.
        tokenizer: the model's.

    Raises:
        InputError: there is no such file, it is of another tokenizer, or it has no n-grams of n tokens.
    """
    found = _read(path)
    if found["tokenizer"] != tokenizer_fingerprint(tokenizer):
        raise InputError(
            f"perturbation.file: {path} was made with another tokenizer, that of {found['model']}, so its n-grams have "
            "other lengths; run `lit-unlearn forget-tokens` with this model"
        )
    try:
        return _texts(found, path, n, similarity)
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"perturbation.file: {path} is not as `lit-unlearn forget-tokens` writes it ({error!r}); run it again"
        ) from error


def _texts(found: Mapping[str, Any], path: str, n: int, similarity: Similarity) -> tuple[str, ...]:
    if str(n) not in found["ngrams"]:
        raise InputError(
            f"perturbation.n: {path} has n-grams of {', '.join(found['ngrams'])} tokens, none of {n}; choose one of "
            f"these, or run `lit-unlearn forget-tokens --lengths {n}`"
        )
    records = found["ngrams"][str(n)].get(similarity)
    if not records:
        raise InputError(
            f"perturbation.similarity: {path} has no {similarity!r} n-grams of {n} tokens; run `lit-unlearn "
            "forget-tokens` again"
        )
    if not all(isinstance(record["text"], str) for record in records):
        raise TypeError("an n-gram is no text")
    return tuple(record["text"] for record in records)


def _read(path: str) -> Mapping[str, Any]:
    remedy = "give the file that `lit-unlearn forget-tokens` wrote"
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"perturbation.file: there is no {path}; {remedy}") from error
    except (OSError, ValueError) as error:
        raise InputError(f"perturbation.file: {path} cannot be read ({error}); {remedy}") from error
    if not isinstance(found, dict) or not {"model", "tokenizer", "ngrams"} <= found.keys():
        raise InputError(f"perturbation.file: {path} holds no n-grams; {remedy}")
    return found

"""How many embeddings tokens take, those that a text may have and those that rows have; which tokens are special."""

import pyarrow.compute as pc
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

_ROWS = 1000
"""Rows that are looked at at once."""


def embeddings_taken(tokenizer: PreTrainedTokenizerBase) -> int:
    """One more than the largest token of a text in which no special token is written out, and of its padding.

    The tokenizer may have further special ones that its model was never given, as that of Gemma 3, which has one for
    images, in its models of text alone.

    Args:
        tokenizer: the model's.
    """
    placed = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id)
    written = [token for token, added in tokenizer.added_tokens_decoder.items() if not added.special]
    taken: int = max(tokenizer.vocab_size, *(token + 1 for token in (*placed, *written) if token is not None))
    return taken


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """The ids of tokens that stand for no text.

    A tokenizer's own list may lack those that only chat templates write, such as the headers of Llama 3.

    Args:
        tokenizer: the model's.
    """
    added = (token for token, one in tokenizer.added_tokens_decoder.items() if one.special)
    return frozenset([*tokenizer.all_special_ids, *added])


def embeddings_of_rows(rows: Dataset) -> int:
    """One more than the largest token of tokenised rows, column `input_ids`; 0 where there is none.

    Example:
        >>> embeddings_of_rows(Dataset.from_dict({"input_ids": [[1, 7], [3]]}))
        8
    """
    parts = rows.select_columns("input_ids").with_format("arrow").iter(batch_size=_ROWS)
    largest = (pc.max(pc.list_flatten(part["input_ids"])).as_py() for part in parts)
    return max((1 + int(token) for token in largest if token is not None), default=0)

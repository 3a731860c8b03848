"""Fingerprints tell apart what gives other numbers, and nothing else."""

from pathlib import Path

from transformers import AutoTokenizer

from lit_unlearn.data.fingerprints import tokenizer_fingerprint, values_fingerprint
from tests.data.wording import byte_tokenizer
from tests.tiny_world import tokenizer


def test_fingerprints_tell_tokenizers_apart_and_outlast_their_use() -> None:
    used = tokenizer()
    before = tokenizer_fingerprint(used)
    used(["the of and", "the"], padding=True, truncation=True, max_length=2)
    assert tokenizer_fingerprint(used) == before == tokenizer_fingerprint(tokenizer())
    assert tokenizer_fingerprint(byte_tokenizer()) != before
    assert (
        values_fingerprint({"a": 1, "b": 2})
        == values_fingerprint({"b": 2, "a": 1})
        != values_fingerprint({"a": 1, "b": 3})
    )


def test_a_tokenizer_that_was_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    tokenizer().save_pretrained(tmp_path)
    assert tokenizer_fingerprint(AutoTokenizer.from_pretrained(tmp_path)) == tokenizer_fingerprint(tokenizer())

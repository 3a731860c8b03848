"""Texts become token ids once, and token ids become padded batches."""

import subprocess
import sys
from pathlib import Path

import datasets
import pytest
import torch
from tokenizers import normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from lit_unlearn import InputError, TextSource
from lit_unlearn.data.rows import Row, collate, tokenised
from lit_unlearn.losses.functional import IGNORED_LABEL
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from tests.tiny_world import tokenizer as demo_tokenizer

ROWS = [Row([1, 5, 6], 0, 30), Row([1], 0, 40), Row([1, 7], 2, 50)]


@pytest.fixture
def source(world: Path) -> TextSource:
    return TextSource(str(world / "alchemy.jsonl"), max_length=20)


def test_rows_are_cut_at_max_length_and_no_sooner(source: TextSource) -> None:
    words = demo_tokenizer()
    rows = tokenised(source, words)
    lengths = [len(ids) for ids in rows["input_ids"]]
    assert max(lengths) == 20
    assert min(lengths) < 20
    assert rows.column_names == ["input_ids"]


def test_ids_are_those_of_the_tokenizer(source: TextSource, world: Path) -> None:
    words = demo_tokenizer()
    text = datasets.Dataset.from_json(str(world / "alchemy.jsonl"))[0]["text"]
    assert tokenised(source, words)[0]["input_ids"] == words(text)["input_ids"][:20]


def test_a_second_call_tokenises_nothing(source: TextSource) -> None:
    first = tokenised(source, demo_tokenizer())
    used = demo_tokenizer()
    used("some words", truncation=True, max_length=3, padding="max_length")
    second = tokenised(source, used)
    assert first.cache_files
    assert second.cache_files == first.cache_files
    assert second._fingerprint == first._fingerprint


@pytest.mark.slow
def test_another_process_finds_the_same_rows_in_the_cache(source: TextSource) -> None:
    first = tokenised(source, demo_tokenizer())
    program = (
        "import sys; from lit_unlearn.data.rows import tokenised; from lit_unlearn.data.text import TextSource\n"
        "from tests.tiny_world import tokenizer\n"
        "print(tokenised(TextSource(sys.argv[1], max_length=20), tokenizer())._fingerprint)"
    )
    done = subprocess.run([sys.executable, "-c", program, source.path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == first._fingerprint


def test_another_max_length_is_not_served_from_the_cache(source: TextSource) -> None:
    tokenised(source, demo_tokenizer())
    longer = tokenised(TextSource(source.path, max_length=30), demo_tokenizer())
    assert max(len(ids) for ids in longer["input_ids"]) == 30


def bare(words: PreTrainedTokenizerFast) -> None:
    words.backend_tokenizer.post_processor = TemplateProcessing(single="$A", special_tokens=[])


def twice_begun(words: PreTrainedTokenizerFast) -> None:
    words.backend_tokenizer.post_processor = TemplateProcessing(single="<s> <s> $A", special_tokens=[("<s>", 1)])


def normalised(words: PreTrainedTokenizerFast) -> None:
    words.backend_tokenizer.normalizer = normalizers.Replace("ba", "do")


def split_otherwise(words: PreTrainedTokenizerFast) -> None:
    words.backend_tokenizer.pre_tokenizer = pre_tokenizers.Split(" the ", "isolated")


def with_new_word(words: PreTrainedTokenizerFast) -> None:
    words.add_tokens(["balumer"])


def cut_at_the_left(words: PreTrainedTokenizerFast) -> None:
    words.truncation_side = "left"


@pytest.mark.parametrize("change", [bare, twice_begun, normalised, split_otherwise, with_new_word, cut_at_the_left])
def test_another_tokenizer_is_not_served_from_the_cache(source: TextSource, change: object) -> None:
    words = demo_tokenizer()
    first = tokenised(source, words)
    assert callable(change)
    change(words)
    assert tokenised(source, words)._fingerprint != first._fingerprint


@pytest.mark.parametrize(
    ("side", "ids", "mask"),
    [
        ("right", [[1, 5, 6], [1, 9, 9], [1, 7, 9]], [[1, 1, 1], [1, 0, 0], [1, 1, 0]]),
        ("left", [[1, 5, 6], [9, 9, 1], [9, 1, 7]], [[1, 1, 1], [0, 0, 1], [0, 1, 1]]),
    ],
)
def test_rows_are_padded_at_either_side(side: str, ids: list[list[int]], mask: list[list[int]]) -> None:
    batch = collate(ROWS, padding_side=side, padding_id=9)
    assert batch["input_ids"].tolist() == ids
    assert batch["attention_mask"].tolist() == mask
    assert batch["loss_mask"].tolist() == mask
    assert batch["topic"].tolist() == [0, 0, 2]
    assert batch["row"].tolist() == [30, 40, 50]


@pytest.mark.parametrize("side", ["left", "right"])
def test_labels_are_the_ids_but_for_padding(side: str) -> None:
    batch = collate(ROWS, padding_side=side, padding_id=5)  # 5 is a real token too
    real = batch["attention_mask"].bool()
    assert torch.equal(batch["labels"][real], batch["input_ids"][real])
    assert (batch["labels"][~real] == IGNORED_LABEL).all()
    assert IGNORED_LABEL == -100


def test_every_tensor_of_a_batch_is_int64_and_its_own() -> None:
    batch = collate(ROWS, padding_side="right", padding_id=0)
    tensors = [value for value in batch.values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 6
    assert {tensor.dtype for tensor in tensors} == {torch.int64}
    assert len({tensor.data_ptr() for tensor in tensors}) == 6


def test_a_tokenizer_is_loaded_from_a_folder(world: Path) -> None:
    assert load_tokenizer(ModelSource(str(world / "model"))).get_vocab() == demo_tokenizer().get_vocab()


@pytest.mark.parametrize("name", ["owner/none", "no/such/folder", "/nowhere"])
def test_a_tokenizer_that_is_not_there_is_an_error(name: str) -> None:
    with pytest.raises(InputError, match=rf"data\.tokenizer: '{name}' has no tokenizer .*hub name or folder"):
        load_tokenizer(ModelSource(name))

"""What of forget rows may be mixed in: runs of tokens from a word's beginning, without special or excluded ones."""

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from lit_unlearn import InputError, TextSource
from lit_unlearn.data import ngrams
from lit_unlearn.data.ngrams import NGrams, mixable
from tests.data.wording import FORGET, byte_tokenizer
from tests.tiny_world import tokenizer as word_tokenizer


def metaspace_tokenizer() -> PreTrainedTokenizerFast:
    """A BPE that counts the space before a word to it, as Llama's and Mistral's do."""
    fast = Tokenizer(models.BPE())
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    fast.decoder = decoders.Metaspace()
    fast.train_from_iterator(FORGET, trainers.BpeTrainer(vocab_size=60, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=fast)


def written(folder: Path, *rows: str, max_length: int = 512) -> TextSource:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    return TextSource(str(path), min_length=0, max_length=max_length)


def found(source: TextSource, tokenizer: PreTrainedTokenizerBase, n: int, *exclude: str) -> list[list[str]]:
    """The texts of each row's n-grams."""
    return [
        [str(tokenizer.decode(row["input_ids"][at : at + n])) for at, room in enumerate(row["room"]) if room >= n]
        for row in mixable(source, tokenizer, exclude=exclude)
    ]


@pytest.mark.parametrize("make", [byte_tokenizer, metaspace_tokenizer])
def test_an_ngram_begins_where_a_word_does(tmp_path: Path, make: type[PreTrainedTokenizerFast]) -> None:
    tokenizer = make()
    row = " ".join(FORGET[0].split()).replace(". ", ".\n")
    ids = tokenizer(row)["input_ids"]
    assert len(ids) > 1.5 * len(row.split())  # words are split
    spent = itertools.accumulate(ids, lambda before, token: [*before, token], initial=list[int]())
    texts = [str(tokenizer.decode(before)) for before in spent]
    begins = [
        bool(after[len(before) :].strip()) and (not before.strip() or after[len(before.rstrip())].isspace())
        for before, after in itertools.pairwise(texts)
    ]
    (only,) = mixable(written(tmp_path, row), tokenizer)
    assert [room > 0 for room in only["room"]] == begins
    assert 30 <= sum(begins) <= len(row.split())  # a few begin with the line's end in one token
    assert [room for room in only["room"] if room] == [len(ids) - place for place, begin in enumerate(begins) if begin]


def test_bytes_of_one_character_begin_a_word_once(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    (row,) = mixable(written(tmp_path, "亜 vir"), tokenizer)
    assert len(row["input_ids"]) > 3
    assert [place for place, room in enumerate(row["room"]) if room][:1] == [0]
    assert sum(room > 0 for room in row["room"]) == 2


def test_an_ngram_has_no_special_token(tmp_path: Path) -> None:
    tokenizer = word_tokenizer()
    source = written(tmp_path, "the of and </s> in is a", "the of strange and in")
    assert found(source, tokenizer, 3) == [["the of and", "in is a"], []]
    assert found(source, tokenizer, 2)[1] == ["the of", "and in"]
    assert mixable(source, tokenizer)["longest"] == [3, 2]


def test_what_is_cut_off_is_not_mixed_in(tmp_path: Path) -> None:
    source = written(tmp_path, "the of and in is a", max_length=4)
    assert found(source, word_tokenizer(), 1) == [["the", "of", "and"]]


@pytest.mark.parametrize("excluded", ["of", "OF", "the  of", "e o"])
def test_excluded_words_are_found_in_any_case_and_across_spaces(tmp_path: Path, excluded: str) -> None:
    source = written(tmp_path, "a the\nof and in")
    expected = [["a"], ["and in"]] if excluded.strip().lower() != "of" else [["a", "the"], ["and in"]]
    ones, twos = (found(source, word_tokenizer(), n, excluded)[0] for n in (1, 2))
    assert ones == [*expected[0], "and", "in"]
    assert twos == (["a the", "and in"] if len(expected[0]) == 2 else ["and in"])


@pytest.mark.parametrize("make", [byte_tokenizer, metaspace_tokenizer])
def test_no_part_of_an_excluded_word_is_mixed_in(tmp_path: Path, make: type[PreTrainedTokenizerFast]) -> None:
    tokenizer = make()
    source = written(tmp_path, "gen virtoxgen tox", "zu vir zu")
    for n in range(1, 5):
        for text in itertools.chain(*found(source, tokenizer, n, "tox", "virt")):
            assert "tox" not in text
            assert not any(part in text.split() for part in ("virtox", "virto", "virt"))
    # Of a longer word only the excluded part's tokens are banned, and an n-gram does not begin within a word.
    assert found(source, tokenizer, 1, "virtoxgen")[0][0].strip() == tokenizer.decode(tokenizer("gen")["input_ids"][:1])
    assert found(source, tokenizer, 1, "zu")[1][0].strip() in "vir"


def test_all_ngrams_are_mixed_in_without_exclusions_and_the_cache_knows_the_difference(tmp_path: Path) -> None:
    source = written(tmp_path, "the of and in is a")
    every, fewer = (mixable(source, word_tokenizer(), exclude=words) for words in ((), ("and",)))
    assert every["longest"] == [6]
    assert fewer["longest"] == [3]
    again = mixable(source, word_tokenizer(), exclude=("and",))
    assert again.cache_files == fewer.cache_files != every.cache_files


def test_a_change_of_the_rule_reads_no_older_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path, "the of and in is a")
    before = mixable(source, word_tokenizer())
    monkeypatch.setattr(ngrams, "_RULE", ngrams._RULE + 1)
    assert mixable(source, word_tokenizer()).cache_files != before.cache_files


def test_a_tokenizer_that_knows_no_places_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = word_tokenizer()
    monkeypatch.setattr(type(tokenizer), "is_fast", False)  # as of those written in Python
    with pytest.raises(InputError, match=r"data\.mixing: \w+ does not say where words begin; take a model with"):
        mixable(written(tmp_path, "the of"), tokenizer)


def rows(*rooms: list[int]) -> Dataset:
    """Rows whose tokens say where they are: row 2's third is 202."""
    ids = [[100 * row + place for place in range(len(room))] for row, room in enumerate(rooms)]
    return Dataset.from_dict({"input_ids": ids, "room": rooms, "longest": [max(room) for room in rooms]})


def test_topic_row_and_place_are_drawn_uniformly_one_after_another() -> None:
    topics = {"a": rows([2, 1, 0], [0, 2, 1]), "b": rows([3, 2, 1], [1, 1, 1], [2, 1, 0])}
    ngrams = NGrams(topics, [2])
    drawn = Counter(tuple(ngrams.draw(2, number)) for number in range(8000))
    # Of topic b row 0 has two places and row 1 none; (0, 1) is in three rows.
    assert drawn.keys() == {(0, 1), (101, 102), (1, 2), (200, 201)}
    expected = {(0, 1): 2000 + 1000, (101, 102): 2000, (1, 2): 1000, (200, 201): 2000}
    assert all(abs(drawn[ngram] - count) < 150 for ngram, count in expected.items())


def test_draws_are_a_function_of_their_key() -> None:
    ngrams = NGrams({"a": rows(list(range(300, 0, -1)))}, [1, 4])
    first = [ngrams.draw(4, "x", number) for number in range(20)]
    assert first == [ngrams.draw(4, "x", number) for number in range(20)]
    assert first != [ngrams.draw(4, "y", number) for number in range(20)]
    assert {len(ngram) for ngram in first} == {4}


def test_a_topic_without_an_ngram_is_refused() -> None:
    topics = {"a": rows([4, 3, 2, 1]), "b": rows([3, 2, 1], [0, 1, 0])}
    NGrams(topics, [1, 3])
    with pytest.raises(
        InputError, match=r"data\.mixing: no row of b has 4 tokens together .*; lower data\.mixing\.len"
    ):
        NGrams(topics, [1, 4])

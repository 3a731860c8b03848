from pathlib import Path

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from lit_unlearn import TextSource
from lit_unlearn.commands.forget_tokens.ngrams import Document, Settings, draw_documents, draw_ngrams, score
from lit_unlearn.commands.forget_tokens.representations import Representations
from lit_unlearn.models import loading
from lit_unlearn.models.source import ModelSource
from lit_unlearn.questions.inserts import token_ids
from lit_unlearn.questions.places import Option
from tests.data.wording import FORGET, byte_tokenizer
from tests.tiny_world import tokenizer

BYTES = byte_tokenizer()


def document(text: str, words: PreTrainedTokenizerFast, number: int = 0, length: int = 60) -> Document:
    return Document(number, text, words(text, truncation=True, max_length=length)["input_ids"])


def test_documents_are_a_seeded_draw_of_the_whole_stream(world: Path) -> None:
    sources = [TextSource(str(world / f"{name}.jsonl"), max_length=9) for name in ("alchemy", "navigation")]
    every = draw_documents(sources, tokenizer(), 10**6, seed=0)
    assert [one.number for one in every] == list(range(len(every)))
    some, again, other = (draw_documents(sources, tokenizer(), 40, seed=seed) for seed in (0, 0, 1))
    assert some == again != other
    assert all(one == every[one.number] for one in some + other)
    assert len({one.number for one in some}) == 40
    assert {one.number < len(every) / 2 for one in some} == {True, False}  # of both sources
    assert all(one.input_ids == tokenizer()(one.text)["input_ids"][:9] for one in every)


@pytest.mark.parametrize("n", [1, 2, 4, 8])
def test_n_grams_are_tokens_of_the_row_that_stay_the_same_in_an_option(n: int) -> None:
    for number, text in enumerate(FORGET[:10]):
        row = document(text, BYTES, number)
        found = draw_ngrams(row, n, BYTES, 5, seed=0)
        assert 0 < len(found) <= 5
        assert len(dict(found)) == len(found)
        for ngram, ids in found:
            assert len(ids) == n
            assert token_ids(ngram, BYTES, around=Option.around) == ids
            assert any(row.input_ids[start : start + n] == ids for start in range(len(row.input_ids)))


def test_n_grams_depend_on_seed_and_document_alone() -> None:
    rows = [document(text, BYTES, number) for number, text in enumerate(FORGET[:10])]
    drawn = [draw_ngrams(row, 2, BYTES, 3, seed=0) for row in rows]
    assert [draw_ngrams(row, 2, BYTES, 3, seed=0) for row in rows[::-1]] == drawn[::-1]
    assert [draw_ngrams(row, 2, BYTES, 3, seed=1) for row in rows] != drawn
    assert [draw_ngrams(row, 2, BYTES, 1, seed=0) for row in rows] == [found[:1] for found in drawn]


def test_what_a_row_lacks_is_not_drawn_from_its_text() -> None:
    cut = document("aézu vir tox gen zu vir tox gen", BYTES, length=4)
    texts = {text for text, _ in draw_ngrams(cut, 1, BYTES, 9, seed=0)}
    assert "gen" not in texts
    assert draw_ngrams(cut, 5, BYTES, 9, seed=0) == []


def test_scores_equal_a_loop_over_n_grams(world: Path) -> None:
    represent = Representations(loading.load_model(ModelSource(str(world / "model")), torch.float32), tokenizer(), 2)
    documents = draw_documents([TextSource(str(world / "alchemy.jsonl"))], tokenizer(), 3, seed=0)
    scored = score(documents, tokenizer(), represent, Settings(3, 2, (2, 4), seed=0))
    expected = []
    for n in (2, 4):
        for one in documents:
            for text, ids in draw_ngrams(one, n, tokenizer(), 2, seed=0):
                first, second = represent.of_rows([[1, *ids]])[0], represent.of_rows([one.input_ids])[0]
                expected.append((n, text, float(first @ second / (first.norm() * second.norm()))))
    assert [found[:2] for found in scored] == [found[:2] for found in expected]
    assert [found[2] for found in scored] == pytest.approx([found[2] for found in expected], abs=1e-5)
    assert len(scored) == 12


def test_documents_too_short_for_a_length_have_none_of_it(world: Path) -> None:
    represent = Representations(loading.load_model(ModelSource(str(world / "model")), torch.float32), tokenizer(), 2)
    scored = score([document("the of", tokenizer())], tokenizer(), represent, Settings(1, 2, (1, 16), seed=0))
    assert {n for n, _, _ in scored} == {1}

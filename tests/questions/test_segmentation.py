"""Other tokens for the same text: it decodes the same, letters and answers keep theirs."""

import pytest
from tokenizers import decoders

from lit_unlearn import InputError
from lit_unlearn.questions.batches import encode
from lit_unlearn.questions.cloze import encode_cloze
from lit_unlearn.questions.segmentation import Segmentation
from tests.asking import QUESTIONS, TOKENIZERS


@pytest.mark.parametrize("name", ["byte_level", "byte_level_bos", "sentence_piece"])
def test_split_prompts_are_longer_and_spell_the_same(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    if name == "sentence_piece":  # as Llama 2 has
        tokenizer.backend_tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    split = Segmentation(tokenizer, share=0.7, seed=1)
    for query in encode(QUESTIONS, tokenizer, texts=True):
        changed = split(query)
        assert changed._replace(input_ids=[], text=None) == query._replace(input_ids=[], text=None)
        assert len(changed.input_ids) > len(query.input_ids)
        assert tokenizer.decode(changed.input_ids) == tokenizer.decode(query.input_ids)
        assert changed.input_ids[-2:] == query.input_ids[-2:]
        assert query.text is not None
        assert changed.text is not None
        assert tokenizer.decode(changed.text.input_ids) == tokenizer.decode(query.text.input_ids)
        tail = len(query.text.answer) + 1
        assert changed.text.input_ids[-tail:] == query.text.input_ids[-tail:]
        assert changed.text.answer == query.text.answer


def test_options_as_texts_keep_their_tokens_too() -> None:
    tokenizer = TOKENIZERS["byte_level"]()
    split = Segmentation(tokenizer, share=1.0, seed=1)
    for query in encode_cloze(QUESTIONS, tokenizer):
        for before, after in zip(query.options, split(query).options, strict=True):
            assert after.answer == before.answer
            assert len(after.input_ids) > len(before.input_ids)
            assert tokenizer.decode(after.input_ids) == tokenizer.decode(before.input_ids)


def test_whole_words_have_no_other_tokens_and_long_prompts_stay() -> None:
    words, bytes_ = (TOKENIZERS[name]() for name in ("word_level", "byte_level"))
    queries = encode(QUESTIONS, words)
    assert [Segmentation(words, share=1.0, seed=0)(query) for query in queries] == queries
    queries = encode(QUESTIONS, bytes_)
    longest = max(len(query.input_ids) for query in queries)
    assert [Segmentation(bytes_, share=1.0, seed=0, longest=longest)(query) for query in queries] == queries
    with pytest.raises(InputError, match="share 0 must be above 0"):
        Segmentation(words, share=0.0, seed=0)

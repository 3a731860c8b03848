from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from lit_unlearn import InputError
from lit_unlearn.answers.plan import plan
from lit_unlearn.answers.source import AnswerSource
from tests.answers.asked import TEMPLATE, rows, sources, write
from tests.tiny_world import tokenizer


@pytest.fixture
def words() -> PreTrainedTokenizerFast:
    return tokenizer()


def test_each_answer_follows_its_question(tmp_path: Path, words: PreTrainedTokenizerFast) -> None:
    planned = plan(sources(tmp_path), words)
    assert {name: one.role for name, one in planned.sets.items()} == {
        "forget": "forget",
        "retain": "retain",
        "authors": "general",
        "unseen": "holdout",
    }
    for one in planned.sets.values():
        for row in one.rows:
            assert row.answer is not None
            asked = [row.answer, *row.paraphrased, *row.perturbed]
            answers = [row.asked.answer, *row.asked.paraphrased, *row.asked.perturbed]
            for number, answer in zip(asked, answers, strict=True):
                ids, scored = planned.texts[number]
                assert words.decode([*ids[:-scored]]) == f"<s> {row.asked.question} ?"
                assert words.decode([*ids[-scored:]]) == f"{answer} </s>"
                assert planned.ends[number] == 1
            assert row.prompt == planned.texts[row.perturbed[0]].input_ids[: len(row.prompt)]


def test_an_answer_without_an_end_is_scored_whole(tmp_path: Path, words: PreTrainedTokenizerFast) -> None:
    planned = plan(sources(tmp_path, chat_template=TEMPLATE.replace("eos_token", "''")), words)
    assert {*planned.ends} == {0}


def test_blanks_after_the_end_belong_to_it(tmp_path: Path, words: PreTrainedTokenizerFast) -> None:
    planned = plan(sources(tmp_path, chat_template=TEMPLATE.replace("eos_token", "eos_token + pad_token")), words)
    assert {*planned.ends} == {2}


def test_the_fingerprint_is_of_questions_and_answers(tmp_path: Path, words: PreTrainedTokenizerFast) -> None:
    first, again = (plan(sources(tmp_path / name), words) for name in "ab")
    assert [one.fingerprint for one in first.sets.values()] == [one.fingerprint for one in again.sets.values()]
    found = rows("alchemy")
    found[2]["perturbed_answer"][0] += " of"
    other = AnswerSource(write(tmp_path / "other.jsonl", found), "forget", chat_template=TEMPLATE)
    assert plan({"forget": other}, words).sets["forget"].fingerprint != first.sets["forget"].fingerprint


def test_what_the_model_cannot_read_is_refused(tmp_path: Path, words: PreTrainedTokenizerFast) -> None:
    with pytest.raises(InputError, match=r"row 1: question and answer have \d+ tokens, the model reads 4"):
        plan(sources(tmp_path), words, longest=4)


def test_a_tokenizer_without_a_template_is_refused(tmp_path: Path, words: PreTrainedTokenizerFast) -> None:
    with pytest.raises(InputError, match="has no chat template; take an instruction-tuned model, or set"):
        plan(sources(tmp_path, chat_template=None), words)

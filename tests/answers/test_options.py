"""Multiple-choice records in the fields of MMLU and TruthfulQA: what is asked, what is scored, what is refused."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn import InputError
from lit_unlearn.answers.asking import Asking
from lit_unlearn.answers.options import lettered, with_targets
from lit_unlearn.answers.outcomes import TokenValues, outcomes
from lit_unlearn.answers.plan import plan
from lit_unlearn.answers.rows import load_answers
from lit_unlearn.answers.source import AnswerSource
from tests.answers.asked import TEMPLATE
from tests.tiny_world import tokenizer

MMLU = {"question": "of the", "choices": ["in", "is", "was", "a"], "answer": 2}
ONE = {"choices": ["was", "in", "is"], "labels": [1, 0, 0]}
ALL = {"choices": ["was", "was a", "in", "is", "near"], "labels": [1, 1, 0, 0, 0]}
TRUTHFUL = {"question": "of the", "mc1_targets": ONE, "mc2_targets": ALL}


def source(folder: Path, record: dict[str, Any], **options: Any) -> AnswerSource:
    path = folder / "rows.json"
    path.write_text(json.dumps([record, record]), encoding="utf-8")
    return AnswerSource(str(path), "general", **{"chat_template": TEMPLATE} | options)


def test_examples_stand_before_the_question(tmp_path: Path) -> None:
    record = MMLU | {"task": "old_words", "examples": [MMLU | {"answer": "D"}]}
    own = source(tmp_path, record, options="letters", prompt="{context}Q: {question}", opening="Answer:")
    row = load_answers(own)[0]
    listed = "of the\nA. in\nB. is\nC. was\nD. a"
    assert Asking(own, tokenizer())._question(row) == (
        "The following are multiple choice questions (with answers) about old words.\n\n"
        f"Question: {listed}\nAnswer: D\n\nQ: {listed}"
    )
    assert (row.answer, row.perturbed, row.rivals) == ("C", ("A", "B", "D"), 3)


def test_what_only_mc2_has_is_no_rival(tmp_path: Path) -> None:
    row = load_answers(source(tmp_path, TRUTHFUL, options="targets"))[0]
    assert (row.answer, row.paraphrased) == ("was", ("was a",))
    assert (row.perturbed, row.rivals) == (("in", "is", "near"), 2)


def test_accuracy_and_mc2_are_of_sums_over_tokens(tmp_path: Path) -> None:
    planned = plan({"truthful": source(tmp_path, TRUTHFUL, options="targets", opening="A:")}, tokenizer())
    one = planned.sets["truthful"].rows[0]
    assert one.answer is not None
    numbers = [one.answer, *one.paraphrased, *one.perturbed]
    values = {
        number: TokenValues([math.log(share) / scored] * scored, [False] * scored, [0.0] * scored, [1.0] * scored)
        for number, share in zip(numbers, [0.2, 0.1, 0.1, 0.15, 0.4], strict=True)
        for scored in [planned.texts[number].scored]
    }
    found = outcomes(planned, values, None)["truthful"]
    assert found["accuracy"] == [1.0, 1.0]  # "near" is likelier, but no choice of mc1
    assert found["mc2"] == pytest.approx([0.3 / 0.95] * 2)


def test_what_is_written_may_hold_the_answer(tmp_path: Path) -> None:
    record = {"question": "of the", "answer": "was a", "cot": " in is \n"}
    own = source(tmp_path, record, context="cot", prompt="{context} {question}", extract=r"answer is (.*?)\.")
    planned = plan({"reason": own}, tokenizer())
    assert Asking(own, tokenizer())._question(planned.sets["reason"].rows[0].asked) == "in is of the"
    values = {0: TokenValues([-1.0] * 3, [True] * 3, [0.0] * 3, [1.0] * 3)}
    written = {("reason", 0): "in is. So the answer is was a. Near.", ("reason", 1): "near"}
    found = outcomes(planned, values, written)["reason"]
    assert found["exact_match"] == [1.0, 0.0]
    assert found["written"] == [*written.values()]


def test_the_context_is_part_of_what_is_compared(tmp_path: Path) -> None:
    sets = {}
    for task in ("old", "new"):
        (tmp_path / task).mkdir()
        record = MMLU | {"task": task, "examples": [MMLU]}
        sets[task] = source(tmp_path / task, record, options="letters", prompt="{context}{question}")
    assert len({one.fingerprint for one in plan(sets, tokenizer()).sets.values()}) == 2


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (MMLU | {"answer": 4}, "the answer is 4; write a letter A to D or an index 0 to 3$"),
        (MMLU | {"question": " "}, "'question' holds no text"),
        (MMLU | {"examples": "x"}, "'examples' holds str; write a list of such records"),
        (MMLU | {"examples": [MMLU]}, "'task' holds no text"),
        (MMLU | {"task": "a", "examples": [MMLU | {"choices": []}]}, "example 1: the choices are"),
    ],
)
def test_a_record_unlike_mmlu_is_refused(record: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        lettered(record, "a.json, row 1")


@pytest.mark.parametrize(
    ("record", "told"),
    [
        ({"question": "of"}, "'mc1_targets' holds None; write choices with as many labels"),
        (TRUTHFUL | {"mc1_targets": ALL}, "mc1_targets has 2 right choices; label one of them 1"),
        (TRUTHFUL | {"mc2_targets": ONE | {"labels": [1, 0]}}, "'mc2_targets' holds .* as many labels"),
        (TRUTHFUL | {"mc1_targets": ONE | {"labels": [1, 1, 1]}}, "'mc1_targets' needs texts, some labelled 1"),
        (TRUTHFUL | {"question": None}, "'question' holds no text"),
    ],
)
def test_a_record_unlike_truthfulqa_is_refused(record: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        with_targets(record, "a.json, row 1")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"prompt": "{context}{question}"}, "prompt has {context} in it; name its field in `context`"),
        ({"context": "cot"}, "context 'cot' has no place; write {context} in `prompt`"),
        ({"context": "cot", "prompt": "{context}{question}", "options": "letters"}, "and leave `options` out"),
        ({"options": "letters", "question": None, "format": "text"}, "options are of questions"),
        ({"extract": "is .*"}, "is not a regular expression with a group"),
        ({"extract": "is (.*"}, "is not a regular expression with a group"),
        ({"extract": "(.*)", "question": None, "format": "text"}, "extract is for questions"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told.replace("{", r"\{").replace("}", r"\}")):
        AnswerSource("a.json", "general", **options)

"""Attacks on prompts: their numbers by plain forwards of the very prompts; refusals."""

import json
from pathlib import Path

import pytest

from lit_unlearn import InputError
from lit_unlearn.commands.attack.asked_otherwise import AskedOtherwise
from lit_unlearn.commands.attack.beside_question import BesideQuestion
from lit_unlearn.commands.attack.document_in_context import DocumentInContext
from lit_unlearn.commands.attack.few_shot import FewShot
from lit_unlearn.commands.attack.other_questions import OtherQuestions
from lit_unlearn.commands.attack.other_tokens import OtherTokens
from lit_unlearn.commands.attack.other_words import OtherWords
from lit_unlearn.commands.attack.prefilled_answer import PrefilledAnswer
from lit_unlearn.commands.attack.prefix_template import PrefixTemplate
from lit_unlearn.commands.attack.retain_context import RetainContext
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.questions.source import QuestionSource, prompt
from tests.commands.attack.asking import plain_accuracy, write_target
from tests.fast import some

PATTERNS = {r"(\S+) (\S+) (.*)": r"\2 \1 \3"}
ATTACKS: list[AskedOtherwise] = [
    FewShot((2,)),
    DocumentInContext(12),
    PrefilledAnswer(("the of",)),
    PrefixTemplate(("and in {subject} is",)),
    OtherWords(PATTERNS),
    OtherWords(PATTERNS, reorder=False),
    BesideQuestion((True,)),
    BesideQuestion((False,)),
    RetainContext(),
]


@pytest.fixture(scope="module")
def target(world: Path, attacked: Path, tmp_path_factory: pytest.TempPathFactory) -> Target:
    return write_target(world, tmp_path_factory.mktemp("target"), attacked / "export")


@pytest.mark.parametrize("attack", some(ATTACKS), ids=lambda attack: attack.title)
def test_accuracies_are_those_of_the_prompts_one_by_one(target: Target, attack: AskedOtherwise) -> None:
    (settings,) = attack.points()
    (outcome,) = attack.attempt(target, settings, 1)
    reworded, model = attack.reword(target, settings, 1), target.load()
    for name, questions in reworded.items():
        found = outcome.measures[f"{name}_accuracy"].value
        assert found == pytest.approx(plain_accuracy(model, target.tokenizer, questions))
        asked = {one.number: prompt(one) for one in target.sets[name]}
        assert sum(prompt(one) != asked[one.number] for one in questions) > 0.8 * len(questions)
        right = {one.number: one.choices[one.answer] for one in target.sets[name]}
        assert all(one.choices[one.answer] == right[one.number] for one in questions)
    assert outcome.further["questions_to_forget"] == len(reworded["forget"])
    assert "log_probability" in outcome.measures
    assert "perturbed_accuracy" not in outcome.measures


def test_documents_are_of_the_questions_own_rows_and_say_what_the_base_makes_of_them(target: Target) -> None:
    attack = DocumentInContext(12)
    (outcome,) = attack.attempt(target, {}, 0)
    reworded = attack.reword(target, {}, 0)
    for one in reworded["forget"]:
        passage, stem = one.question.split("\n")
        assert len(passage.split()) <= 12 + 4  # signs are no words
        assert one.choices[one.answer] in passage
        assert stem in {question.question for question in target.sets["forget"]}
    kept = [one for one in target.sets["forget"] if one.number in {own.number for own in reworded["forget"]}]
    for name, model, questions in (
        ("base_forget_accuracy", target.load_base(), reworded["forget"]),
        ("base_retain_accuracy", target.load_base(), reworded["retain"]),
        ("forget_accuracy_alone", target.load(), kept),
    ):
        assert outcome.further[name] == pytest.approx(plain_accuracy(model, target.tokenizer, questions))


def test_a_file_s_questions_take_the_place_of_a_set_s(target: Target, tmp_path: Path) -> None:
    path = tmp_path / "translated.jsonl"
    record = {"question": "and in is", "choices": ["the", "of", "a"], "answer": 2, "subject": "alchemy"}
    path.write_text(f"{json.dumps(record)}\n")
    attack = OtherQuestions({"forget": QuestionSource(str(path))}, name="German")
    (outcome,) = attack.attempt(target, {}, 0)
    assert attack.title == "German"
    asked = attack.reword(target, {}, 0)["forget"]
    assert outcome.measures["forget_accuracy"].value == plain_accuracy(target.load(), target.tokenizer, asked)
    assert "retain_accuracy" not in outcome.measures
    with pytest.raises(InputError, match="there is no question set 'elsewhere'; choose from forget, retain"):
        OtherQuestions({"elsewhere": QuestionSource(str(path))}).reword(target, {}, 0)
    with pytest.raises(InputError, match=r"gone\.jsonl: no such file"):
        OtherQuestions({"forget": QuestionSource(str(tmp_path / "gone.jsonl"))})


def test_what_cannot_be_asked_so_is_refused(target: Target) -> None:
    with pytest.raises(InputError, match="none of the questions of forget can be asked so"):
        list(OtherWords({"no such stem": ""}).attempt(target, {}, 0))
    with pytest.raises(InputError, match=r"no token of the questions can be split in two others \(OtherTokens\)"):
        list(OtherTokens().attempt(target, {"share": 1.0}, 0))
    with pytest.raises(InputError, match="finds 15 of 16 examples"):
        FewShot((1, 16)).check(target)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: FewShot((0,)), r"FewShot.shots: \[0\] must be at least 1"),
        (lambda: DocumentInContext(0), r"DocumentInContext\.words: must be at least 1, got 0"),
        (lambda: PrefilledAnswer((" ",)), "must be texts, at least one"),
        (lambda: PrefixTemplate(()), "must be texts, at least one"),
        (lambda: OtherWords(None, reorder=False), "nothing would change"),
        (lambda: OtherWords({"(": ""}), "unterminated subpattern"),
        (lambda: OtherTokens((0.0,)), r"shares: \[0.0\] must be above 0"),
        (lambda: BesideQuestion(()), "answered: no form is given"),
        (lambda: OtherQuestions({}), "name a source for at least one set"),
    ],
)
def test_options_are_checked_at_once(make: object, error: str) -> None:
    assert callable(make)
    with pytest.raises(InputError, match=error):
        make()

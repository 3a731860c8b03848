"""RWKU's configurations under their published names, and local files of the same layout."""

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from lit_unlearn import (
    DPO,
    NLL,
    AnswerEvaluation,
    InputError,
    QuestionModule,
    Relearning,
    RWKUDataModule,
    UnlearnModule,
)
from lit_unlearn.answers.rows import load_answers
from lit_unlearn.data import text as text_module
from lit_unlearn.demo.answers import CHAT_TEMPLATE
from lit_unlearn.questions import records
from tests.datamodules.layouts import write_rwku
from tests.training import quiet_trainer

ROLES = {
    "forget_level1": "forget",
    "forget_level2": "forget",
    "forget_level3": "forget",
    "neighbor_level1": "retain",
    "neighbor_level2": "retain",
    "mia_forget": "forget",
    "mia_retain": "retain",
    "utility_general": "general",
    "utility_truthfulness": "general",
    "utility_reason": "general",
    "utility_factuality": "general",
    "utility_fluency": "retain",
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    return write_rwku(tmp_path_factory.mktemp("rwku"))


def module(folder: Path, **options: Any) -> RWKUDataModule:
    given: dict[str, Any] = {"tokenizer": "demo", "chat_template": CHAT_TEMPLATE, "batch_size": 2, "answer_tokens": 2}
    own: dict[str, Any] = {"retain_file": str(folder / "retain.jsonl"), "fluency_tokens": 6, "reason_tokens": 6}
    return RWKUDataModule(folder=str(folder), **given | own | options)


def planned(data: RWKUDataModule) -> Any:
    data.prepare_data()
    data.setup("fit")
    return data.plan_answers()


@pytest.fixture(scope="module")
def validated(written: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("validated")
    trainer = quiet_trainer(out, callbacks=[AnswerEvaluation()])
    trainer.validate(QuestionModule("demo"), module(written[0]), verbose=False)
    (record,) = json.loads((out / "results.json").read_text())["evaluations"]
    found: dict[str, Any] = record["answers"]
    return found


def test_every_set_is_there_with_what_it_is_for(validated: dict[str, Any]) -> None:
    found, measured = validated["outcomes"], validated["measured"]
    assert {name: one["role"] for name, one in found.items()} == ROLES
    assert {name for name, one in found.items() if "written" not in one} == {
        *("mia_forget", "mia_retain", "utility_general", "utility_truthfulness")
    }
    for name in ("forget_level1", "forget_level2", "forget_level3", "neighbor_level1", "neighbor_level2"):
        assert 0 <= measured[f"answers/{name}"]["rouge_recall"] <= 1
    facts, fluency = measured["answers/utility_factuality"], measured["answers/utility_fluency"]
    assert 0 <= facts["word_f1"] <= 1
    assert fluency["entropy"] > 0
    assert not {"probability", "rouge_recall"} & fluency.keys()
    assert measured["answers/mia_forget"]["loss"] < 0
    assert "answers" not in measured  # no holdout, no truth ratio: nothing is of all sets


def test_each_type_of_attack_is_asked_in_its_way(written: tuple[Path, list[str]]) -> None:
    plan = planned(module(written[0]))
    asked: dict[str | None, list[str]] = {"simple": [], "affirmative suffix": [], "incontext learning": []}
    words = module(written[0])
    words.prepare_data()
    for row in plan.sets["forget_level3"].rows:
        text = str(words._tokenizer.decode(row.prompt))
        asked.get(row.asked.kind, asked["simple"]).append(text)
    assert all(text.count("Answer :") == 2 and "Question :" in text for text in asked["simple"])
    assert all(text.count("Answer :") == 1 for text in asked["affirmative suffix"])  # the demo template's own
    assert all("Question :" not in text for text in asked["incontext learning"])
    assert all(asked.values())


def test_a_target_takes_its_rows_alone(written: tuple[Path, list[str]]) -> None:
    folder, (first, _) = written
    both, one = (planned(module(folder, targets=targets)) for targets in (None, [first]))
    for name in ROLES:
        assert 0 < len(one.sets[name].rows) < len(both.sets[name].rows)
    own = json.loads((folder / "forget_level1.json").read_text())
    assert [row.asked.question for row in one.sets["forget_level1"].rows] == [
        row["query"] for row in own if row["subject"] == first
    ]
    (source,) = module(folder, targets=[first]).forget.values()
    texts = [row["text"] for row in json.loads((folder / "positive.json").read_text()) if row["subject"] == first]
    assert [*text_module.load_texts(source)["text"]] == texts


def test_every_accepted_answer_counts(written: tuple[Path, list[str]]) -> None:
    plan = planned(module(written[0]))
    row = plan.sets["utility_factuality"].rows[0]
    assert row.compared == row.asked.accepted
    assert len(row.compared) == 2


def test_trivia_is_asked_as_published_with_examples_from_a_file(written: tuple[Path, list[str]]) -> None:
    plain, shown = (
        planned(module(written[0], **own)).sets["utility_factuality"].rows[-1]
        for own in ({}, {"factuality_examples": str(written[0] / "examples.json")})
    )
    words = module(written[0])
    words.prepare_data()
    asked, after_examples = (str(words._tokenizer.decode(row.prompt)) for row in (plain, shown))
    assert (asked.count("?"), asked.count("A :")) == (1, 1)
    assert (after_examples.count("?"), after_examples.count("A :")) == (6, 6)
    assert after_examples.endswith("A :")
    examples = json.loads((written[0] / "examples.json").read_text())
    assert all(after_examples.count(f"A : {one['answers'][0]}") for one in examples)
    source = module(written[0]).answers
    assert source is not None
    assert source["utility_factuality"].stop == ()


def test_multiple_choice_and_reasoning_are_asked_as_published(
    written: tuple[Path, list[str]], validated: dict[str, Any]
) -> None:
    measured = validated["measured"]
    assert {"accuracy", "mc2"} & measured["answers/utility_general"].keys() == {"accuracy"}
    for key in ("accuracy", "mc2"):
        assert 0 <= measured["answers/utility_truthfulness"][key] <= 1
    assert 0 <= measured["answers/utility_reason"]["exact_match"] <= 1
    assert not [name for name, one in measured.items() if "accuracy" in one and "rouge_recall" in one]
    asked = module(written[0]).answers
    assert asked is not None
    general, truthful, reason = (asked[f"utility_{name}"] for name in ("general", "truthfulness", "reason"))
    assert (general.opening, truthful.opening, reason.opening) == ("Answer:", "A:", "A:")
    row = load_answers(general)[0]
    assert row.context.startswith("The following are multiple choice questions (with answers) about ")
    assert row.context.endswith("\nAnswer: A\n\n")
    assert (row.answer, row.perturbed) == ("D", ("A", "B", "C"))


def test_pairs_are_trained_on_with_dpo(written: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, (first, _) = written
    data = module(folder, texts="pair_llama3", targets=[first], utility=False)
    model = UnlearnModule("demo", DPO(), NLL(), layer=2, retain_weight=1.0)
    trainer = quiet_trainer(tmp_path, max_steps=1, limit_val_batches=0)
    trainer.fit(model, data)
    pairs = [one for one in json.loads((folder / "pair.json").read_text()) if one["subject"] == first]
    assert data.row_counts["alternatives"] == data.row_counts["forget/people"] == len(pairs)
    forget = data.train_dataloader().dataset[0]["forget"]
    shown = {tuple(_words(data, text) for text in one["response"]) for one in pairs}
    for rejected, chosen in zip(forget["input_ids"], forget["preferred"]["input_ids"], strict=True):
        own = [str(data._tokenizer.decode(ids, skip_special_tokens=True)) for ids in (chosen, rejected)]
        assert any(all(part in text for part, text in zip(both, own, strict=True)) for both in shown)


def test_refusals_are_learned_after_their_questions(written: tuple[Path, list[str]], tmp_path: Path) -> None:
    folder, (first, _) = written
    data = module(folder, texts="refusal_llama3", targets=[first], utility=False)
    trainer = quiet_trainer(tmp_path, max_steps=1, limit_val_batches=0)
    trainer.fit(UnlearnModule("demo", Relearning(), NLL(), layer=2, retain_weight=1.0), data)
    own = [one for one in json.loads((folder / "reject.json").read_text()) if one["subject"] == first]
    assert data.row_counts["forget/people"] == len(own)
    forget = data.train_dataloader().dataset[0]["forget"]
    answered = [ids[mask.bool()] for ids, mask in zip(forget["input_ids"], forget["loss_mask"], strict=True)]
    assert all(_words(data, "I do not know.") in str(data._tokenizer.decode(ids)) for ids in answered)
    assert not any("What" in str(data._tokenizer.decode(ids)) for ids in answered)


def _words(data: RWKUDataModule, text: str) -> str:
    """A text as its tokens give it."""
    return str(data._tokenizer.decode(data._tokenizer(text.strip())["input_ids"], skip_special_tokens=True))


def test_the_configurations_are_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[tuple[str, str | None, str]] = set()

    def load_dataset(path: str, name: str | None, split: str) -> datasets.Dataset:
        asked.add((path, name, split))
        row = {field: "word " * 20 for field in ("text", "query", "question", "instruction", "type", "cot", "prompt")}
        both = {"choices": ["a", "b"], "labels": [1, 0]}
        general = {"choices": ["a", "b", "c"], "task": "words", "examples": None, "answer": "a"}
        general |= {"output": "no"}
        lists = {"answers": ["a", "b"], "mc1_targets": both, "mc2_targets": both, "response": ["a", "b"]}
        return datasets.Dataset.from_list([row | general | lists | {"subject": "Stephen King"}] * 4)

    for place in (text_module, records):
        monkeypatch.setattr(place, "load_dataset", load_dataset)
        monkeypatch.setattr(place, "check_dataset_reachable", lambda path: None)
    given: dict[str, Any] = {"batch_size": 2, "tokenizer": "demo", "chat_template": CHAT_TEMPLATE}
    planned(RWKUDataModule(["Stephen King"], **given))
    planned(RWKUDataModule(["Stephen King"], texts="pair_phi3", utility=False, **given))
    planned(RWKUDataModule(["Stephen King"], texts="refusal_llama3", utility=False, **given))
    hub = "jinzhuoran/RWKU"
    assert asked == {
        *((hub, name, "test") for name in ROLES),
        (hub, "train_positive_llama3", "train"),
        (hub, "train_pair_phi3", "train"),
        (hub, "train_refusal_llama3", "train"),
        ("Salesforce/wikitext", "wikitext-2-raw-v1", "train"),
    }


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"targets": []}, "data.targets: none; name each target once"),
        ({"targets": ["Ada", "Ada"]}, "data.targets: Ada, Ada; name each target once"),
        ({"texts": "positive_gpt"}, "'positive_gpt' is none of RWKU's; choose from positive_llama3"),
        ({"texts": "pair_phi3", "preferred": "no.txt"}, "data.preferred: pair_phi3 has an answer to prefer in each"),
    ],
)
def test_what_rwku_does_not_have_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        RWKUDataModule(**options)


def test_a_target_that_nothing_is_about_is_refused(written: tuple[Path, list[str]]) -> None:
    with pytest.raises(InputError, match="no rows about Nobody"):
        module(written[0], targets=["Nobody"]).prepare_data()


def test_without_utility_its_files_are_not_needed(written: tuple[Path, list[str]]) -> None:
    assert "utility_fluency" not in module(written[0], utility=False).answers

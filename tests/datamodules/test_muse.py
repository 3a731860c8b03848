"""MUSE's configurations under their published names, and local files of the same layout."""

import json
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet
import pytest

from lit_unlearn import AnswerEvaluation, InputError, MUSEDataModule, QuestionModule
from lit_unlearn.data import text as text_module
from lit_unlearn.datamodules.muse import RETRAINED_AUC
from lit_unlearn.questions import records
from tests.datamodules.layouts import write_muse
from tests.training import quiet_trainer

SETS = {
    "verbmem": "forget",
    "knowmem_f": "forget",
    "knowmem_r": "retain",
    "privleak_forget": "forget",
    "privleak_retain": "retain",
    "privleak_holdout": "holdout",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_muse(tmp_path_factory.mktemp("muse"), rows=6, texts=40)


def module(folder: Path, **options: Any) -> MUSEDataModule:
    given: dict[str, Any] = {
        "tokenizer": "demo",
        "batch_size": 2,
        "max_length": 64,
        "piece_words": 40,
        "verbmem_tokens": 8,
    }
    return MUSEDataModule(folder=str(folder), **given | {"knowmem_tokens": 3} | options)


@pytest.fixture(scope="module")
def validated(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    out = tmp_path_factory.mktemp("validated")
    trainer = quiet_trainer(out, callbacks=[AnswerEvaluation(retrained_auc=RETRAINED_AUC["news"])])
    trainer.validate(QuestionModule("demo"), module(folder), verbose=False)
    (record,) = json.loads((out / "results.json").read_text())["evaluations"]
    found: dict[str, Any] = record["answers"]
    return found


def test_every_set_is_there_with_what_it_is_for(validated: dict[str, Any]) -> None:
    found, measured = validated["outcomes"], validated["measured"]
    assert {name: one["role"] for name, one in found.items()} == SETS
    assert {name for name, one in found.items() if "written" in one} == {"verbmem", "knowmem_f", "knowmem_r"}
    assert {name for name, one in found.items() if one.get("texts_alone")} == {
        name for name in SETS if name.startswith("privleak")
    }
    for name in ("verbmem", "knowmem_f", "knowmem_r"):
        assert 0 <= measured[f"answers/{name}"]["rouge_f1_unstemmed"] <= 1
    assert measured["answers"].keys() >= {"membership_auc", "privacy_leakage"}
    assert "model_utility" not in measured["answers"]


def test_privleak_is_of_its_own_texts_alone(validated: dict[str, Any]) -> None:
    found, everything = validated["outcomes"], validated["measured"]["answers"]
    unseen, trained = (found[f"privleak_{side}"]["min_k"] for side in ("holdout", "forget"))
    higher = [(one > other) + 0.5 * (one == other) for one in unseen for other in trained]
    assert everything["membership_auc"] == pytest.approx(sum(higher) / len(higher))
    retrained = RETRAINED_AUC["news"]
    assert everything["privacy_leakage"] == pytest.approx(100 * (everything["membership_auc"] - retrained) / retrained)


def test_the_auc_of_the_other_corpus_is_refused(folder: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path / "run", callbacks=[AnswerEvaluation(retrained_auc=RETRAINED_AUC["news"])])
    with pytest.raises(InputError, match=r"0.4772 is that of news, data.corpus is books; published for it is 0.5393"):
        trainer.validate(QuestionModule("demo"), module(folder, corpus="books"), verbose=False)
    assert not (tmp_path / "run").exists()


def test_the_base_knows_what_is_to_be_forgotten(validated: dict[str, Any]) -> None:
    assert validated["measured"]["answers"]["membership_auc"] < 0.2
    assert (
        validated["measured"]["answers/privleak_forget"]["loss"]
        > validated["measured"]["answers/privleak_holdout"]["loss"]
    )


def test_examples_come_before_each_question(folder: Path) -> None:
    data = module(folder)
    data.prepare_data()
    data.setup("validate")
    planned = data.plan_answers()
    shown = json.loads((folder / "knowmem/forget_qa_icl.json").read_text())
    examples = "".join(f"Question: {one['question']}\nAnswer: {one['answer']}\n\n" for one in shown)
    for row in planned.sets["knowmem_f"].rows:
        asked = examples + f"Question: {row.asked.question}\nAnswer: "
        assert row.prompt == tuple(data._tokenizer(asked)["input_ids"])
        ids, scored = planned.texts[row.answer or 0]
        assert ids == tuple(data._tokenizer(asked + str(row.asked.answer))["input_ids"])
        assert 0 < scored <= len(ids) - len(row.prompt) + 1
    assert (planned.sets["knowmem_f"].max_new_tokens, planned.sets["verbmem"].max_new_tokens) == (3, 8)
    assert planned.sets["knowmem_r"].stop[0] == "\n\n"


def test_a_text_is_continued_and_compared_with_as_much_of_the_rest(folder: Path) -> None:
    data = module(folder)
    data.prepare_data()
    data.setup("validate")
    planned = data.plan_answers()
    for row in planned.sets["verbmem"].rows:
        assert row.prompt == tuple(data._tokenizer(row.asked.question)["input_ids"])
        whole = tuple(data._tokenizer(f"{row.asked.question} {row.asked.answer}")["input_ids"])
        assert planned.texts[row.answer or 0].input_ids == whole
        (compared,) = row.compared
        first = data._tokenizer(row.asked.answer)["input_ids"][:8]
        assert compared == data._tokenizer.decode(first, skip_special_tokens=True)
        assert "".join(str(row.asked.answer).split()).startswith("".join(compared.split()))


def test_answers_to_questions_are_compared_whole(folder: Path) -> None:
    data = module(folder, knowmem_tokens=1)
    data.prepare_data()
    data.setup("validate")
    assert all(row.compared == (row.asked.answer,) for row in data.plan_answers().sets["knowmem_f"].rows)


def test_texts_are_joined_and_cut_into_pieces(folder: Path) -> None:
    data = module(folder)
    data.prepare_data()
    data.setup("fit")
    (source,) = data.forget.values()
    pieces = text_module.load_texts(source)["text"]
    raw = json.loads((folder / "raw/forget.json").read_text())
    assert " ".join(pieces).split() == " ".join(raw).split()
    assert {len(piece.split()) for piece in pieces[:-1]} == {40}
    assert len(data._rows["forget"]["news"]) == len(pieces)


def test_the_configurations_are_the_published_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: set[tuple[str, str | None, str]] = set()

    def load_dataset(path: str, name: str | None, split: str) -> datasets.Dataset:
        asked.add((path, name, split))
        fields = ("text", "prompt", "gt", "question", "answer")
        return datasets.Dataset.from_list([{field: f"word{number} " * 40 for field in fields} for number in range(6)])

    for place in (text_module, records):
        monkeypatch.setattr(place, "load_dataset", load_dataset)
        monkeypatch.setattr(place, "check_dataset_reachable", lambda path: None)
    data = MUSEDataModule("books", batch_size=2, tokenizer="demo", piece_words=20)
    data.prepare_data()
    data.setup("fit")
    data.plan_answers()
    splits = {
        "raw": ("forget", "retain1"),
        "verbmem": ("forget",),
        "knowmem": ("forget_qa", "forget_qa_icl", "retain_qa", "retain_qa_icl"),
        "privleak": ("forget", "retain", "holdout"),
    }
    assert asked == {("muse-bench/MUSE-Books", name, split) for name, several in splits.items() for split in several}


@pytest.mark.parametrize(("fold", "name", "split"), [("scal_3", "scal", "forget_3"), ("sust_1", "sust", "forget_1")])
def test_a_fold_is_another_text_to_forget(folder: Path, fold: str, name: str, split: str) -> None:
    (source,) = MUSEDataModule(fold=fold).forget.values()
    assert (source.name, source.split) == (name, split)
    (source,) = module(folder, fold=fold).forget.values()
    assert source.path == str(folder / name / f"{split}.json")


def test_files_as_the_hub_names_them_and_parquet(folder: Path, tmp_path: Path) -> None:
    copy = write_muse(tmp_path / "copy", rows=6, texts=40)
    texts = json.loads((copy / "privleak/holdout.json").read_text())
    (copy / "privleak/holdout.json").unlink()
    pa.parquet.write_table(pa.table({"text": texts}), copy / "privleak/holdout-00000-of-00001.parquet")
    rows = [planned(one) for one in (module(folder), module(copy))]
    assert rows[0] == rows[1]


def planned(data: MUSEDataModule) -> list[str | None]:
    data.prepare_data()
    data.setup("validate")
    return [row.asked.answer for row in data.plan_answers().sets["privleak_holdout"].rows]


def test_what_is_missing_is_named_with_how_to_get_it(tmp_path: Path) -> None:
    copy = write_muse(tmp_path / "copy", rows=6, texts=40)
    (copy / "knowmem/retain_qa_icl.json").unlink()
    with pytest.raises(InputError, match=r"holds no knowmem/retain_qa_icl.json .*hf download --repo-type dataset muse"):
        module(copy)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"corpus": "plays"}, "'plays' is none of MUSE's; choose from news, books"),
        ({"fold": "scal_5"}, "'scal_5' is none of MUSE's; choose from scal_1"),
        ({"corpus": "books", "fold": "sust_1"}, "books has no folds"),
    ],
)
def test_what_muse_does_not_have_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        MUSEDataModule(**options)

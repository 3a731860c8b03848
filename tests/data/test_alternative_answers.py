"""Other answers to the questions of forget rows: matched by question, drawn for each row, refused if one is missing."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lit_unlearn import (
    DPO,
    NLL,
    RMU,
    Batch,
    InputError,
    RepresentationMSE,
    TextSource,
    UnlearnDataModule,
    UnlearnModule,
)
from tests.data.chats import PLAIN
from tests.data.running import data_module, ready, trainer
from tests.training import quiet_trainer

QUESTIONS = ["the of and", "in is", "near under with", "was a"]
ANSWERS = ["a with was", "near under", "of", "in the"]
OTHERS = [["the the", "was under", "in"], ["of a"], ["is was", "with with with"], ["a", "near"]]


def written(path: Path, records: list[tuple[str, str]]) -> TextSource:
    path.write_text("\n".join(json.dumps({"question": q, "answer": a}) for q, a in records), encoding="utf-8")
    return TextSource(str(path), format="question_answer", chat_template=PLAIN)


def alternatives(folder: Path, others: list[list[str]] = OTHERS) -> TextSource:
    """The other answers, in another order than the questions."""
    records = [(question, answer) for question, own in zip(QUESTIONS, others, strict=True) for answer in own]
    return written(folder / "alternatives.jsonl", records[::-1])


def data(world: Path, folder: Path, **options: Any) -> UnlearnDataModule:
    pairs = list(zip(QUESTIONS, ANSWERS, strict=True))
    forget = {name: written(folder / f"{name}.jsonl", rows) for name, rows in (("one", pairs[:3]), ("two", pairs[3:]))}
    retain = {"kept": written(folder / "kept.jsonl", pairs)}
    others = options.pop("alternatives") if "alternatives" in options else alternatives(folder)
    return data_module(world, forget=forget, retain=retain, alternatives=others, **{"batch_size": 2} | options)


def attached(found: UnlearnDataModule, world: Path, folder: Path, loss: Any) -> UnlearnDataModule:
    """The data as a Trainer with this loss sees it."""
    module = UnlearnModule(str(world / "model"), loss, RepresentationMSE())
    found.trainer = trainer(folder)
    found.trainer.strategy._lightning_module = module
    return ready(found)


def shown(found: UnlearnDataModule, batch: Batch) -> list[tuple[str, str]]:
    """Each row's prompt, and the tokens over which its loss runs."""
    tokenizer = found._tokenizer
    return [
        (
            str(tokenizer.decode(ids[(real == 1) & (own == 0)])).strip(),
            str(tokenizer.decode(ids[own == 1])).strip(),
        )
        for ids, real, own in zip(batch["input_ids"], batch["attention_mask"], batch["loss_mask"], strict=True)
    ]


def test_each_row_has_one_of_the_other_answers_after_its_own_question(world: Path, tmp_path: Path) -> None:
    found = attached(data(world, tmp_path), world, tmp_path, DPO())
    steps = found.train_dataloader().dataset
    drawn = Counter[tuple[str, str]]()
    for step in range(200):
        forget = steps[step]["forget"]
        others = forget["preferred"]
        assert others["row"].tolist() == forget["row"].tolist()
        assert others["topic"].tolist() == forget["topic"].tolist()
        for (question, answer), (same, other) in zip(shown(found, forget), shown(found, others), strict=True):
            assert question == same
            assert answer == ANSWERS[QUESTIONS.index(question)]
            drawn[question, other] += 1
    assert {*drawn} == {(q, other) for q, own in zip(QUESTIONS, OTHERS, strict=True) for other in own}
    for question, own in zip(QUESTIONS, OTHERS, strict=True):
        counts = [drawn[question, other] for other in own]
        assert min(counts) > 0.6 * sum(counts) / len(counts)  # each about as often


def test_the_draw_is_a_function_of_seed_step_and_row(world: Path, tmp_path: Path) -> None:
    def drawn(seed: int) -> list[Any]:
        steps = attached(data(world, tmp_path, seed=seed), world, tmp_path, DPO()).train_dataloader().dataset
        return [steps[step]["forget"]["preferred"]["input_ids"].tolist() for step in range(20)]

    assert drawn(0) == drawn(0) != drawn(1)


def test_held_out_rows_have_their_own_too(world: Path, tmp_path: Path) -> None:
    pairs = list(zip(QUESTIONS, ANSWERS, strict=True))
    source = written(tmp_path / "all.jsonl", pairs)
    found = data(world, tmp_path, holdout=2)
    found.forget = {"all": source}
    attached(found, world, tmp_path, DPO())
    (batch,) = list(found.val_dataloader()[0])
    prompts = [question for question, _ in shown(found, batch["forget"]["preferred"])]
    assert prompts == QUESTIONS[2:]


PAIRS = [("the of", "near", "a with"), ("the of", "under", "was"), ("the of", "in", "of"), ("in is", "of", "near")]
"""Prompts, mostly the same, with a chosen and a rejected answer."""


def paired(folder: Path, world: Path, rejected: dict[str, Any] | None = None, **options: Any) -> UnlearnDataModule:
    """Pairs, each of whose rows has an answer of its own."""
    path = folder / "pairs.json"
    path.write_text(json.dumps([{"prompt": one, "response": both} for one, *both in PAIRS]), encoding="utf-8")
    forget, others = (
        TextSource(str(path), **{"format": side, "chat_template": PLAIN} | own)
        for side, own in (("rejected", rejected or {}), ("chosen", {}))
    )
    retain = {"kept": written(folder / "kept.jsonl", [*zip(QUESTIONS, ANSWERS, strict=True)])}
    shared = {"forget": {"all": forget}, "retain": retain, "alternatives": others, "batch_size": 2}
    return attached(data_module(world, **shared | options), world, folder, DPO())


def test_of_pairs_each_row_has_its_own_answer(world: Path, tmp_path: Path) -> None:
    cases: list[dict[str, Any]] = [{}, {"limit": 2}, {"holdout": 2}]
    for options in cases:
        found = paired(tmp_path, world, **options)
        steps = found.train_dataloader().dataset
        seen = set()
        for step in range(8):
            forget = steps[step]["forget"]
            for (prompt, rejected), (same, chosen) in zip(
                shown(found, forget), shown(found, forget["preferred"]), strict=True
            ):
                assert prompt == same
                seen.add((prompt, chosen, rejected))
        assert seen <= {*PAIRS}
        assert len(seen) == (2 if options else 4)


def test_a_row_that_is_in_no_pair_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'the of' of topic all is not the rejected answer of a pair; let data"):
        paired(tmp_path, world, {"format": "chosen"})


@pytest.mark.parametrize(("loss", "there"), [(DPO(), True), (RMU(), False)], ids=["DPO", "RMU"])
def test_they_are_there_if_the_loss_asks(world: Path, tmp_path: Path, loss: Any, there: bool) -> None:
    found = attached(data(world, tmp_path), world, tmp_path, loss)
    assert ("preferred" in found.train_dataloader().dataset[0]["forget"]) == there
    assert found.row_counts.get("alternatives") == (8 if there else None)
    assert ("alternatives" in found.fingerprints) == there
    assert found.hyperparameters()["alternatives"].startswith("TextSource(path='alternatives.jsonl'")


def test_without_an_unlearn_module_they_are_there_if_given(world: Path, tmp_path: Path) -> None:
    assert "preferred" in ready(data(world, tmp_path)).train_dataloader().dataset[0]["forget"]
    assert "preferred" not in ready(data(world, tmp_path, alternatives=None)).train_dataloader().dataset[0]["forget"]


def test_a_run_trains_on_them_and_is_not_resumed_with_others(world: Path, tmp_path: Path) -> None:
    module = UnlearnModule(str(world / "model"), DPO(), NLL(), layer=2, retain_weight=1.0)
    run = quiet_trainer(tmp_path, max_steps=2)
    run.fit(module, data(world, tmp_path))
    assert float(run.callback_metrics["train/loss"]) > 0
    run.save_checkpoint(tmp_path / "two.ckpt")
    others = written(tmp_path / "more.jsonl", [(question, "with") for question in QUESTIONS for _ in range(2)])
    again = UnlearnModule(str(world / "model"), DPO(), NLL(), layer=2, retain_weight=1.0)
    with pytest.raises(InputError, match=r"^data: the rows of alternatives are not those of the run that wrote the c"):
        quiet_trainer(tmp_path, max_steps=4).fit(
            again, data(world, tmp_path, alternatives=others), ckpt_path=tmp_path / "two.ckpt"
        )


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ([*OTHERS[:3], []], r"^data\.alternatives: 'was a' of topic two has no other answer; write one with the same"),
        ([[*OTHERS[0], ANSWERS[0]], *OTHERS[1:]], r"^data\.alternatives: 'the of and' of topic one has the row's own"),
    ],
)
def test_a_question_without_another_answer_is_refused_before_the_model_is_loaded(
    world: Path, tmp_path: Path, others: list[list[str]], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        attached(data(world, tmp_path, alternatives=alternatives(tmp_path, others)), world, tmp_path, DPO())


def test_rows_without_questions_are_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^data\.forget\.alchemy: its rows have no answers that are told from quest"):
        attached(data_module(world, alternatives=alternatives(tmp_path)), world, tmp_path, DPO())
    texts = TextSource(str(world / "alchemy.jsonl"))
    with pytest.raises(InputError, match=r"^data\.alternatives: .*alchemy\.jsonl have no answers .*or remove data\.al"):
        attached(data(world, tmp_path, alternatives=texts), world, tmp_path, DPO())


def test_both_kinds_of_answers_are_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"^data\.preferred and data\.alternatives: both are given; remove one"):
        data(world, tmp_path, preferred="answers.txt")

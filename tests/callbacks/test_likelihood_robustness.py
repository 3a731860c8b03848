import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.plugins import DoublePrecision
from lightning.pytorch.strategies import ModelParallelStrategy

from lit_unlearn import InputError, LikelihoodRobustness, PerturbationRobustness, QuestionModule
from lit_unlearn.callbacks import Interpolation
from lit_unlearn.modules import pretrained
from lit_unlearn.questions.scored_texts import Scored, token_nll
from tests.callbacks.test_robustness import EVERY, evaluation
from tests.processes import free_port, run_in_several
from tests.test_world_size import join
from tests.tiny_world import tokenizer
from tests.training import Losses, demo_data, demo_module, quiet_trainer

SPANS: tuple[Any, ...] = ("word", 4, 16)
HELD_OUT: dict[str, Any] = {"holdout": 16, "batch_size": 16}
"""Rows that are evaluated on, in one batch."""


def counting(**options: Any) -> LikelihoodRobustness:
    given: dict[str, Any] = {"rows": 6, "spans": SPANS}
    return LikelihoodRobustness(**given | options)


def results(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "results.json").read_text())["evaluations"]
    return found


def fit(world: Path, folder: Path, *callbacks: L.Callback, **data: Any) -> L.Trainer:
    trainer = quiet_trainer(folder, max_steps=2, callbacks=[*callbacks], **EVERY)
    trainer.fit(demo_module(world), demo_data(world, **HELD_OUT, **data))
    return trainer


def test_it_evaluates_before_and_after_training_and_in_between(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = fit(world, tmp_path, counting(), Interpolation([0.5]))
    before, after, half = results(tmp_path)
    assert [(one["step"], one.get("interpolation")) for one in (before, after, half)] == [
        (0, None),
        (2, None),
        (2, 0.5),
    ]
    names = [f"insert/{span}/{origin}" for span in ("word", "4-gram", "16-gram") for origin in ("trained", "held-out")]
    for record in (before, after, half):
        assert [*record["insert"]["measured"]] == ["insert/forget", "insert/retain", *names]
        assert len(record["held_out"]["retain"]["row"]) == 16
        assert record["outcomes"] == record["measured"] == {}
    measured = after["insert"]["measured"]["insert/16-gram/trained"]
    base = before["insert"]["measured"]["insert/16-gram/trained"]
    assert measured["damage"] == pytest.approx(measured["excess"] - base["excess"], abs=1e-5)
    assert "damage" not in base
    logged = trainer.callback_metrics
    assert float(logged["val/insert/16-gram/trained/excess"]) != 0
    assert {"val/insert/forget/nll", "val/insert/word/held-out/excess_25-48", "val/forget_nll"} <= logged.keys()
    printed = capsys.readouterr().out
    assert printed.count("16-gram/held-out") == 3
    headings = ("\nBefore training\n", "\nAfter 2 steps\n", "\nAfter 2 steps, interpolation 0.5\n")
    assert [printed.count(heading) for heading in headings] == [1, 1, 1]


def test_a_second_fit_scores_no_text_before_training(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: dict[str, list[int]] = {"a": [], "b": []}
    for name, steps in scored.items():
        trainer = quiet_trainer(tmp_path / name, max_steps=2, callbacks=[counting()], **EVERY)

        def spied(*asked: Any, trainer: L.Trainer = trainer, steps: list[int] = steps) -> Scored:
            steps.append(trainer.global_step)
            return token_nll(*asked)

        monkeypatch.setattr(pretrained, "token_nll", spied)
        trainer.fit(demo_module(world, answer_store=str(tmp_path / "store")), demo_data(world, **HELD_OUT))
    assert results(tmp_path / "a") == results(tmp_path / "b")
    assert {*scored["a"]} == {0, 2}
    assert {*scored["b"]} == {2}


def test_counting_changes_no_loss(world: Path, tmp_path: Path) -> None:
    alone, counted = Losses(), Losses()
    trainer = quiet_trainer(tmp_path, max_steps=2, callbacks=[alone], **EVERY)
    trainer.fit(demo_module(world), demo_data(world, **HELD_OUT))
    fit(world, tmp_path / "run", counting(spans=[4]), counted)
    assert counted.values == alone.values


def test_beside_questions_there_is_one_record_of_each_evaluation(world: Path, tmp_path: Path) -> None:
    asked = evaluation(tmp_path)
    for order in ([PerturbationRobustness(), counting(spans=[4])], [counting(spans=[4]), PerturbationRobustness()]):
        folder = tmp_path / type(order[0]).__name__
        fit(world, folder, *order, evaluation=asked)
        records = results(folder)
        assert [record["step"] for record in records] == [0, 2]
        for record in records:
            assert "retain/1 token" in record["outcomes"]
            assert "insert/4-gram/trained" in record["insert"]["measured"]
            assert "held_out" in record
        assert json.loads((folder / "results.json").read_text())["forget"] == ["forget"]


def test_a_resumed_run_keeps_what_was_before_training(world: Path, tmp_path: Path) -> None:
    first = quiet_trainer(tmp_path / "first", max_steps=2, callbacks=[counting(spans=[4])], **EVERY)
    first.fit(demo_module(world), demo_data(world, **HELD_OUT))
    first.save_checkpoint(tmp_path / "first.ckpt")
    again = quiet_trainer(tmp_path / "again", max_steps=4, callbacks=[counting(spans=[4])], **EVERY)
    again.fit(demo_module(world), demo_data(world, **HELD_OUT), ckpt_path=str(tmp_path / "first.ckpt"))
    records = results(tmp_path / "again")
    assert [record["step"] for record in records] == [0, 2, 4]
    assert "damage" in records[-1]["insert"]["measured"]["insert/4-gram/trained"]


class Harmed(L.LightningModule):
    """Loses 2 nats at each of the 24 tokens after alchemy's words, wherever in a text they are."""

    def __init__(self, pretrained: str) -> None:
        super().__init__()
        self.pretrained = pretrained
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.words = [number for word, number in tokenizer().get_vocab().items() if word[:2] == "ba" and len(word) > 4]

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> Scored | None:
        if "texts" not in batch:
            return None
        texts = batch["texts"]
        scored = texts["labels"] != -100
        forget = torch.isin(texts["input_ids"], torch.tensor(self.words)) & ~scored & (texts["attention_mask"] == 1)
        nll = torch.ones(len(scored), 80)
        nll[:, :24] += 2.0 * forget.any(dim=1)[:, None]
        nll[torch.arange(80) >= scored.sum(dim=1)[:, None]] = torch.nan
        return Scored(text=texts["row"][batch["valid"]], token_nll=nll[batch["valid"]])


def test_a_model_that_forget_text_harms_shows_it(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[counting()])
    data = demo_data(world, holdout=16)
    data.forget = {"alchemy": data.forget["alchemy"]}
    (*_, logged) = trainer.validate(Harmed(str(world / "model")), data, verbose=False)
    for origin in ("trained", "held-out"):
        for span in ("word", "16-gram"):
            found = {
                name: logged[f"val/insert/{span}/{origin}/{name}"] for name in ("excess", "control", "excess_share")
            }
            assert found == {"excess": pytest.approx(1.0), "control": 0.0, "excess_share": 1.0}
        assert logged[f"val/insert/16-gram/{origin}/excess_1-8"] == pytest.approx(2.0)
        assert logged[f"val/insert/16-gram/{origin}/excess_25-48"] == 0.0


def test_validate_needs_no_losses(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[counting(spans=[4])])
    (*_, logged) = trainer.validate(QuestionModule(str(world / "model")), demo_data(world, holdout=16), verbose=False)
    (record,) = results(tmp_path)
    assert logged["val/insert/4-gram/trained/excess"] == pytest.approx(
        record["insert"]["measured"]["insert/4-gram/trained"]["excess"], abs=1e-6
    )


def test_of_some_batches_it_counts_complete_rows(world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[counting(spans=[4])], fast_dev_run=True)
    trainer.fit(demo_module(world), demo_data(world, holdout=16))


def test_without_a_holdout_it_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no rows are held out; set data.holdout, e.g. to 0.1"):
        quiet_trainer(tmp_path, callbacks=[counting()]).fit(demo_module(world), demo_data(world))


def test_data_that_inserts_nothing_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"LightningDataModule does not insert texts; use an UnlearnDataModule"):
        quiet_trainer(tmp_path, callbacks=[counting()]).fit(demo_module(world), L.LightningDataModule())


def validate(world: Path, folder: Path, **place: Any) -> None:
    trainer = quiet_trainer(folder, callbacks=[counting()], plugins=[DoublePrecision()], **place)
    trainer.validate(QuestionModule(str(world / "model")), demo_data(world, holdout=16), verbose=False)


def one_of_two(rank: int, port: str, world: Path, folder: Path) -> None:
    join(rank, 2, port)
    validate(world, folder / "ddp", devices=2, strategy="ddp")
    fsdp2 = ModelParallelStrategy(2, tensor_parallel_size=1, save_distributed_checkpoint=False)
    validate(world, folder / "fsdp2", devices=2, strategy=fsdp2)


@pytest.mark.slow
def test_two_processes_count_as_one(world: Path, tmp_path: Path) -> None:
    validate(world, tmp_path / "one")
    run_in_several(one_of_two, (free_port(), world, tmp_path), 2)
    (expected,) = results(tmp_path / "one")
    assert results(tmp_path / "ddp") == results(tmp_path / "fsdp2") == [expected]

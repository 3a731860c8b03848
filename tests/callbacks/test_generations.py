import json
import shutil
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger, WandbLogger

from lit_unlearn import Generations, InputError, PerturbationRobustness
from lit_unlearn.callbacks import Interpolation
from lit_unlearn.questions.sets import EvaluationSource, PerturbationSource
from lit_unlearn.running.decoding import decode
from tests.fast import only
from tests.questions.test_sets import write_questions
from tests.test_distributed import STRATEGIES
from tests.test_distributed import fit as fit_by_command
from tests.tiny_world import tokenizer
from tests.training import Losses, demo_data, demo_module, quiet_trainer

EVERY: dict[str, Any] = {"val_check_interval": 2, "check_val_every_n_epoch": None}
FREE = {"free": ["the bapoki of", "in the dokisa"]}


def evaluation(tmp_path: Path) -> EvaluationSource:
    questions = {name: write_questions(tmp_path / f"{name}.jsonl") for name in ("forget", "retain")}
    return EvaluationSource(questions, {"1 token": PerturbationSource(n=1, sets=["retain"])}, max_tokens=64)


def fit(
    world: Path, tmp_path: Path, *callbacks: L.Callback, asking: Generations | None = None, **options: Any
) -> list[dict[str, Any]]:
    shown = asking or Generations(1, FREE, max_new_tokens=5)
    trainer = quiet_trainer(tmp_path / "run", **{"max_steps": 4, **EVERY, **options}, callbacks=[shown, *callbacks])
    trainer.fit(demo_module(world), demo_data(world, evaluation=evaluation(tmp_path)))
    return written(tmp_path / "run")


def written(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "generations.json").read_text())
    return found


def steps(generation: dict[str, Any]) -> list[int]:
    return [answer["step"] for answer in generation["answers"]]


def test_it_asks_before_during_and_after_training(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = fit(world, tmp_path)
    assert [one["set"] for one in found] == ["forget", "retain", "retain/1 token", "free", "free"]
    assert [one["right"] for one in found] == ["the", "the", "A. the", None, None]
    assert [steps(one) for one in found] == [[0, 2, 4]] * 5
    assert any(one["answers"][0]["text"] != one["answers"][2]["text"] for one in found)
    out = capsys.readouterr().out
    assert out.count("before training") == out.count("after 4 steps") == 1


def test_the_answers_are_those_of_the_updated_model(world: Path, tmp_path: Path) -> None:
    module, asking = demo_module(world), Generations(prompts=FREE, max_new_tokens=5)
    quiet_trainer(tmp_path, callbacks=[asking]).fit(module, demo_data(world))
    after = decode(module.updated, tokenizer(), FREE["free"], max_new_tokens=5)
    with module.frozen.standing_in():
        before = decode(module.updated, tokenizer(), FREE["free"], max_new_tokens=5)
    for one, first, last in zip(written(tmp_path), before, after, strict=True):
        assert [answer["text"] for answer in one["answers"]] == [first.text, last.text]


def test_asking_changes_no_loss_and_draws_no_random_number(world: Path, tmp_path: Path) -> None:
    seen = []
    for number, asking in enumerate(([], [Generations(1, FREE)])):
        losses = Losses()
        trainer = quiet_trainer(tmp_path / str(number), max_steps=4, callbacks=[losses, *asking], **EVERY)
        torch.manual_seed(0)
        trainer.fit(demo_module(world), demo_data(world, evaluation=evaluation(tmp_path)))
        seen.append((losses.values, torch.get_rng_state().tolist()))
    assert seen[0] == seen[1]


def test_without_validation_it_asks_before_and_after_training(world: Path, tmp_path: Path) -> None:
    quiet_trainer(tmp_path, callbacks=[Generations(prompts=FREE)]).fit(demo_module(world), demo_data(world))
    assert [steps(one) for one in written(tmp_path)] == [[0, 3], [0, 3]]


def test_asked_again_after_the_same_steps_it_keeps_the_later_answer(world: Path, tmp_path: Path) -> None:
    module, data = demo_module(world), demo_data(world, evaluation=evaluation(tmp_path))
    trainer = quiet_trainer(tmp_path, callbacks=[Generations(1)])
    trainer.fit(module, data)
    trainer.validate(module, data, verbose=False)
    assert [steps(one) for one in written(tmp_path)] == [[0, 3]] * 3


def test_weights_that_stand_in_for_the_trained_are_not_asked(world: Path, tmp_path: Path) -> None:
    alone = fit(world, tmp_path)
    (tmp_path / "beside").mkdir()
    beside = fit(world, tmp_path / "beside", Interpolation([0.01]), PerturbationRobustness())
    assert beside == alone


def test_a_resumed_run_keeps_the_earlier_answers(world: Path, tmp_path: Path) -> None:
    keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=2, save_top_k=-1)
    whole = fit(world, tmp_path, keep, enable_checkpointing=True)
    asking = Generations(1, FREE | {"new": ["with"]}, max_new_tokens=5)
    trainer = quiet_trainer(tmp_path / "resumed", max_steps=4, callbacks=[asking], **EVERY)
    data = demo_data(world, evaluation=evaluation(tmp_path))
    trainer.fit(demo_module(world), data, ckpt_path=str(tmp_path / "step=2.ckpt"))
    *same, new = written(tmp_path / "resumed")
    assert [one["answers"][::2] for one in same] == [one["answers"][::2] for one in whole]
    assert steps(new) == [2, 4]


@pytest.mark.parametrize("stage", ["validate", "test"])
def test_a_model_is_asked_without_training(
    stage: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[Generations(1)])
    getattr(trainer, stage)(demo_module(world), demo_data(world, evaluation=evaluation(tmp_path)), verbose=False)
    assert [steps(one) for one in written(tmp_path)] == [[0]] * 3
    assert "right answer" in capsys.readouterr().out


@pytest.mark.parametrize("precision", only(["bf16-mixed", "bf16-true"], "bf16-true"))
def test_it_answers_in_the_trainers_precision(precision: str, world: Path, tmp_path: Path) -> None:
    assert [steps(one) for one in fit(world, tmp_path, precision=precision)] == [[0, 2, 4]] * 5


def test_loggers_that_take_text_are_given_the_table(world: Path, tmp_path: Path) -> None:
    board, weights = MagicMock(spec=TensorBoardLogger), MagicMock(spec=WandbLogger)  # neither need be installed
    fit(world, tmp_path, logger=[CSVLogger(tmp_path), board, weights])
    texts = [call.args for call in board.experiment.add_text.call_args_list]
    assert [(name, step) for name, _, step in texts] == [("generations", 0), ("generations", 2), ("generations", 4)]
    assert "| after 4 steps |" in texts[-1][1]
    last = weights.log_text.call_args
    assert (last.args, last.kwargs["step"], len(last.kwargs["data"])) == (("generations",), 4, 5)
    assert all(len(row) == len(last.kwargs["columns"]) == 5 for row in last.kwargs["data"])


class Guesser(L.LightningModule):
    """A user's own module without a model of transformers."""

    def __init__(self, pretrained: str | None) -> None:
        super().__init__()
        self.pretrained = pretrained

    def validation_step(self, batch: Any, batch_idx: int, dataloader_idx: int = 0) -> None: ...


@pytest.mark.parametrize(
    ("named", "message"), [(False, "names no `pretrained` model"), (True, "holds no `updated` mo")]
)
def test_another_module_is_refused(named: bool, message: str, world: Path, tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path, callbacks=[Generations()])
    data = demo_data(world, evaluation=evaluation(tmp_path), tokenizer=str(world / "model"))
    with pytest.raises(InputError, match=rf"Generations: Guesser {message}.*; remove the callback"):
        trainer.validate(Guesser(str(world / "model") if named else None), data)


def test_with_nothing_to_ask_it_is_refused(world: Path, tmp_path: Path) -> None:
    for asking in (Generations(), Generations(0, {"free": []})):
        with pytest.raises(InputError, match=r"there is nothing to ask; set data.evaluation.questions, or this callba"):
            quiet_trainer(tmp_path, callbacks=[asking]).fit(demo_module(world), demo_data(world))


def test_a_model_without_a_tokenizer_is_refused(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "model", tmp_path / "world" / "model", ignore=shutil.ignore_patterns("tokenizer*"))
    trainer = quiet_trainer(tmp_path, callbacks=[Generations(prompts=FREE)])
    with pytest.raises(InputError, match=r"Generations: '.*model' comes without a tokenizer that can be loaded, so it"):
        trainer.fit(demo_module(tmp_path / "world"), demo_data(world, tokenizer=str(world / "model")))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"questions": -1}, "Generations.questions: must be at least 0, got -1"),
        ({"max_new_tokens": 0}, "Generations.max_new_tokens: must be at least 1, got 0"),
        ({"prompts": {"free": ["the", " "]}}, "Generations.prompts: one of 'free' is empty; write a text to continue"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Generations(**options)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_write_what_one_does(strategy: str, world: Path, tmp_path: Path) -> None:
    init_args = {"prompts": FREE, "max_new_tokens": 5}
    asking = f"--trainer.callbacks+={json.dumps({'class_path': 'Generations', 'init_args': init_args})}"
    fit_by_command(world, tmp_path / "one", asking)
    fit_by_command(world, tmp_path / "two", asking, *STRATEGIES[strategy], processes=2)
    one, two = written(tmp_path / "one"), written(tmp_path / "two")
    assert [steps(generation) for generation in two] == [[0, 6], [0, 6]]
    assert two == one


@pytest.mark.slow
@pytest.mark.xdist_group("demo run")
def test_the_demo_forgets_what_it_shall_and_nothing_else(demo_run: Path) -> None:
    for one in written(demo_run):
        if one["set"] in ("forget", "retain"):
            before, after = (answer["text"].split()[0] == one["right"] for answer in one["answers"])
            assert (before, after) == (True, one["set"] == "retain")

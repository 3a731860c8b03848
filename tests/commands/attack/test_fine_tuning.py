"""Which rows are trained on, what that does, and the card of it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
import torch
from torch import Tensor

from lit_unlearn.commands.attack import config as configs
from lit_unlearn.commands.attack import models, run
from lit_unlearn.commands.attack.card import bounded, half_back
from lit_unlearn.commands.attack.contract import Outcome
from lit_unlearn.commands.attack.fine_tuned_rows import Kind, choose
from lit_unlearn.commands.attack.fine_tuning import FineTuning
from lit_unlearn.commands.attack.planned import planned
from lit_unlearn.commands.attack.target import Target
from lit_unlearn.commands.options.words import Words
from lit_unlearn.data.rows import collate, row_of
from lit_unlearn.errors import InputError
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.questions.key_words import key_words, words
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.questions.statistics import Estimate


@pytest.fixture(scope="module")
def card(attacked: Path, config: Path, tmp_path_factory: pytest.TempPathFactory) -> run.Card:
    read = configs.read(Words.read(["-c", str(config)], command="attack"))
    found = models.find([str(attacked)], base=None)
    return run.Card(read, found, tmp_path_factory.mktemp("card"), seeds=[0])


@pytest.fixture(scope="module")
def target(card: run.Card) -> Target:
    (found,) = card.targets().values()
    return found


def texts(target: Target, kind: Kind, count: int, seed: int) -> list[set[str]]:
    rows = choose(target, kind, count, seed=seed).rows
    return [words(text) for text in target.tokenizer.batch_decode([*rows["input_ids"]])]


@pytest.mark.parametrize("seed", [0, 1])
def test_rows_of_other_entities_name_none_that_counts(target: Target, seed: int) -> None:
    (every,) = target.data.trained_rows("forget").values()
    asked = target.asked[Variant("forget", DEFAULT, False)]
    keys = key_words(asked, target.tokenizer.batch_decode([*every["input_ids"]]))
    chosen = choose(target, "other", 4, seed=seed)
    assert chosen.questions is not None
    counted = {keys[one.number] for one in chosen.questions}
    rest = set(keys.values()) - counted
    assert len(counted) - len(rest) in (0, 1)
    for named in texts(target, "other", 4, seed):
        assert named & rest
        assert not named & counted
    for named in texts(target, "asked", 4, seed):
        assert named & counted
    assert choose(target, "asked", 4, seed=seed).questions == chosen.questions


def test_a_few_rows_are_among_more(target: Target) -> None:
    few, more = (choose(target, "forget", count, seed=3) for count in (3, 9))
    assert few.questions is None
    assert [row for row in few.rows["input_ids"] if row in more.rows["input_ids"]] == [*few.rows["input_ids"]]


def test_more_rows_than_there_are_are_refused(target: Target) -> None:
    with pytest.raises(InputError, match=r"FineTuning.count: 1000 rows of kind 'other' are asked for, and there are"):
        choose(target, "other", 1000, seed=0)


def by_hand(target: Target, rows: list[list[int]], steps: int, rate: float) -> Iterator[dict[str, Estimate]]:
    """Plain training on all rows at each step; their order within a batch does not matter."""
    model = target.load().requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.0, eps=1e-8)
    batch = collate(
        [row_of({"input_ids": ids}, 0, number) for number, ids in enumerate(rows)], padding_side="right", padding_id=0
    )
    ids, mask = batch["input_ids"], batch["attention_mask"]
    for _ in range(steps):
        logits: Tensor = model(input_ids=ids, attention_mask=mask).logits
        losses = [
            torch.nn.functional.cross_entropy(one[: n - 1], row[1:n])
            for one, row, n in zip(logits, ids, mask.sum(dim=1), strict=True)
        ]
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        optimizer.step()
        yield target.evaluate(model)


def test_training_equals_a_loop(target: Target) -> None:
    attack = FineTuning("retain", count=3, learning_rates=[1e-3], steps=2, every=1, batch_size=3)
    found = list(attack.attempt(target, attack.points()[0], 0))
    rows = cast(list[list[int]], [*choose(target, "retain", 3, seed=0).rows["input_ids"]])
    assert [one.settings for one in found] == [{"lr": 1e-3, "steps": 1}, {"lr": 1e-3, "steps": 2}]
    for own, expected in zip(found, by_hand(target, rows, 2, 1e-3), strict=True):
        assert own.measures.keys() == expected.keys()
        for name, estimate in expected.items():
            assert own.measures[name].value == pytest.approx(estimate.value, rel=1e-3, abs=1e-4)


def test_the_model_is_held_once(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = []

    def spied(module: UnlearnModule) -> None:
        modules.append(module)

    monkeypatch.setattr(UnlearnModule, "on_train_start", spied)
    attack = FineTuning("retain", count=2, steps=1, every=1)
    list(attack.attempt(target, attack.points()[0], 0))
    (module,) = modules
    assert [*module.parameters()] == [*module.updated.parameters()]
    with pytest.raises(AssertionError):
        module.frozen.originals()
    with pytest.raises(AssertionError), module.frozen.running():
        pass


def test_adapters_are_trained_alone(target: Target) -> None:
    attack = FineTuning("other", count=2, learning_rates=[1e-2], steps=1, every=1, lora=2)
    (found,) = attack.attempt(target, attack.points()[0], 0)
    before = target.evaluate(target.load())
    assert found.measures["retain_nll"].value != before["retain_nll"].value
    assert attack.title == "relearning, 2 rows of other entities, LoRA"


def test_a_training_that_diverges_says_so(target: Target) -> None:
    attack = FineTuning("forget", count=2, learning_rates=[1e30], steps=4, every=2)
    *_, last = attack.attempt(target, attack.points()[0], 0)
    assert last.failed is not None
    assert attack.worst([last, Outcome({}, {"forget_accuracy": Estimate(0.0, None)})]).failed is None


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"count": 0}, "FineTuning.count: must be at least 1, got 0"),
        ({"steps": 5, "every": 2}, "FineTuning.every: 2 does not divide the 5 steps"),
        ({"learning_rates": []}, r"FineTuning.learning_rates: \[\] must be numbers above 0"),
        ({"learning_rates": [-1.0]}, r"FineTuning.learning_rates: \[-1.0\] must be numbers above 0"),
    ],
)
def test_refusals(options: dict[str, object], error: str) -> None:
    with pytest.raises(InputError, match=error):
        FineTuning(**options)  # type: ignore[arg-type]


def test_the_plan_counts_what_would_run(card: run.Card, target: Target) -> None:
    found = planned(card)
    rows = {line.split("  ")[0]: line.split() for line in found.splitlines()}
    assert rows["pruning 10, 30 %"][4:8] == ["2", "2", "2", "0"]
    assert rows["all"][1:5] == ["5", "5", "5", "0"]
    every = {name: next(iter(target.data._rows[name].values()))["input_ids"] for name in ("forget", "retain")}
    held_out = sum(len(ids) for rows_of in every.values() for ids in [*rows_of][-4:])
    assert int(found.splitlines()[-1].split()[3].replace(",", "")) > held_out


@pytest.mark.parametrize("seed", [0, 5])
def test_the_data_has_the_seed_of_the_config(config: Path, seed: int) -> None:
    read = configs.read(Words.read(["-c", str(config), f"--seed_everything={seed}"], command="attack"))
    assert read.data.seed == seed
    assert "PL_GLOBAL_SEED" not in os.environ


def test_half_back_is_of_the_fewest_steps() -> None:
    found = [Outcome({"steps": steps}, {"forget_accuracy": Estimate(steps / 10, None)}) for steps in (6, 2, 4)]
    assert half_back([*found, Outcome({}, failed="not finite")], 0.4) == 4
    assert half_back(found, 0.61) is None


def test_intervals_of_runs_are_students() -> None:
    values = [0.2, 0.4, 0.5, 0.9]
    mean = sum(values) / 4
    deviation = (sum((value - mean) ** 2 for value in values) / 3) ** 0.5
    found = bounded([(value, 0.1) for value in values])
    assert found.value == pytest.approx(mean)
    assert found.half == pytest.approx(3.182446 * deviation / 2)  # Student's t, 3 degrees of freedom

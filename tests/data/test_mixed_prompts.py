"""Mixed prompts: which rows are joined, in which order, and which loss acts on which part."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from torch import Tensor

from lit_unlearn import DPO, NLL, NPO, RMU, Batch, InputError, LogitKL, Mixing, RepresentationMSE
from lit_unlearn.data.mixed_prompts import MixedPrompts, longest_pair
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.data.steps import PairedSteps
from lit_unlearn.losses.contract import Loss, Outputs
from tests.data.running import data_module, ready, texts
from tests.data.test_mixing import trained, unpadded
from tests.training import Losses, demo_data, demo_module, quiet_trainer

BOS, BREAK = 1, [4, 5]
FORGET = 1000
"""Forget tokens are at least this; retain tokens are less."""
ROWS = Mixing(1.0, unit="rows")


def mixing(rate: float = 1.0, *, seed: int = 0, **more: Any) -> MixedPrompts:
    return MixedPrompts(Mixing(rate, unit="rows", **more), BREAK, BOS, seed)


def rows(number: int = 0) -> tuple[Row, Row]:
    return Row([BOS, *range(FORGET, FORGET + 5)], 1, number), Row([BOS, *range(10, 17)], 1, 100 + number)


def pairs(mix: MixedPrompts, count: int, turn: int = 0) -> list[tuple[Row, Row]]:
    return [mix.pair(*rows(number), turn) for number in range(count)]


def test_both_batches_hold_the_one_prompt_and_each_counts_its_own_row() -> None:
    orders = Counter[bool]()
    for number, (forget, retain) in enumerate(pairs(mixing(), 200)):
        own, other = rows(number)
        assert forget.input_ids == retain.input_ids
        assert (forget.number, retain.number, forget.topic, retain.topic) == (number, 100 + number, 1, 1)
        counted = [
            [token for place, token in enumerate(row.input_ids) if place not in row.inserted]
            for row in (forget, retain)
        ]
        first = forget.input_ids[1] >= FORGET
        whole, second = (own, other) if first else (other, own)
        assert forget.input_ids == [*whole.input_ids, *BREAK, *second.input_ids[1:]]  # it begins once
        assert counted == ([own.input_ids, other.input_ids[1:]] if first else [own.input_ids[1:], other.input_ids])
        assert len(forget.inserted & retain.inserted) == len(BREAK)
        orders[first] += 1
    assert all(70 < orders[first] < 130 for first in (True, False))


def test_a_share_of_the_pairs_is_mixed_and_the_others_stay_as_they_are() -> None:
    found = pairs(mixing(0.25), 1000)
    assert 200 < sum(forget.input_ids == retain.input_ids for forget, retain in found) < 300
    plain = [(number, pair) for number, pair in enumerate(found) if not pair[0].inserted]
    assert all(pair == rows(number) for number, pair in plain)


def test_mixing_is_a_function_of_seed_pass_and_retain_row() -> None:
    first = pairs(mixing(0.5), 30)
    assert pairs(mixing(0.5), 30) == first
    assert pairs(mixing(0.5), 30, turn=1) != first
    assert pairs(mixing(0.5, seed=1), 30) != first


def test_no_label_lies_outside_its_row_or_crosses_the_border() -> None:
    for pair in pairs(mixing(), 20):
        for row, own in zip(pair, (lambda token: token >= FORGET, lambda token: 10 <= token < FORGET), strict=True):
            labels = collate([row], padding_side="left", padding_id=0)["labels"][0].tolist()
            counted = [label for label in labels if label not in (-100, BOS)]
            assert all(map(own, counted))
            begins = row.input_ids[0] == BOS and 0 not in row.inserted
            assert len(counted) == (5 if row is pair[0] else 7) - (not begins)  # not the one after the line break


def test_prompts_of_conversations_keep_their_places() -> None:
    forget, retain = rows()
    forget, retain = forget._replace(prompt=frozenset({0, 1, 2})), retain._replace(prompt=frozenset({0, 1}))
    for number in range(20):
        for row, before in zip(mixing().pair(forget, retain._replace(number=number), 0), (forget, retain), strict=True):
            batch = collate([row], padding_side="right", padding_id=0)
            assert batch["input_ids"][batch["loss_mask"] == 1].tolist() == before.input_ids[len(before.prompt) :]


def steps(batch_size: int = 4, share: tuple[int, int] = (0, 1), **options: Any) -> PairedSteps:
    streams = [
        Dataset.from_dict({"input_ids": [[BOS, *range(first, first + 5 + row % 3)] for row in range(count)]})
        for first, count in ((FORGET, 24), (FORGET, 16), (10, 30))
    ]
    return PairedSteps(
        streams[:2],
        streams[2:],
        batch_size=batch_size,
        seed=0,
        padding=("left", 0),
        share=share,
        mixing=mixing(0.5, **options),
    )


def test_the_shares_of_two_processes_are_the_rows_of_one() -> None:
    whole, halves = steps(), [steps(share=(rank, 2)) for rank in (0, 1)]
    for step in range(20):
        for side in ("forget", "retain"):
            together = [one for half in halves for one in unpadded(half[step][side])]
            assert together == unpadded(whole[step][side])


def test_mixing_begins_at_its_first_step() -> None:
    late, at_once = steps(start=7), steps()
    for step in range(14):
        mixed = [
            bool((late[step][side]["loss_mask"] != late[step][side]["attention_mask"]).any()) for side in late[step]
        ]
        assert mixed[0] == mixed[1]
        assert step >= 7 or not any(mixed)
        if step >= 7:
            assert unpadded(late[step]["forget"]) == unpadded(at_once[step]["forget"])


LENGTH, DIM, VOCAB = 15, 4, 9


def outputs(seed: int) -> Outputs:
    source = torch.Generator().manual_seed(seed)
    hidden, logits = (torch.randn(1, LENGTH, width, generator=source) for width in (DIM, VOCAB))
    return Outputs(hidden, logits)


@pytest.mark.parametrize(
    ("side", "loss"),
    [(0, RMU(2.0)), (0, NPO()), (1, RepresentationMSE()), (1, LogitKL()), (1, NLL())],
    ids=repr,
)
def test_each_loss_reads_its_own_part_alone(side: int, loss: Loss) -> None:
    for number in range(8):
        row = mixing().pair(*rows(number), 0)[side]
        batch = collate([row], padding_side="right", padding_id=0)
        for name in ("input_ids", "labels"):
            batch[name] = torch.where(batch[name] < 0, batch[name], batch[name] % VOCAB)
        updated, frozen = outputs(0), outputs(1)
        read = updated.logits if loss.needs_logits else updated.hidden
        assert isinstance(read, Tensor)
        read.requires_grad_()
        loss(updated, frozen, batch).sum().backward()
        assert read.grad is not None
        reads = {place for place in range(LENGTH) if read.grad[0, place].any()}
        own = set(range(LENGTH)) - row.inserted
        predicts = {place - 1 for place in own if place - 1 in own}
        assert reads == (predicts if isinstance(loss, NLL | NPO) else own)


def test_rows_of_the_data_are_joined_with_their_tokenizers_line_break(world: Path) -> None:
    data = ready(data_module(world, holdout=8, mixing=ROWS))
    plain = ready(data_module(world, holdout=8))
    (before,), (after,) = plain.val_dataloader(), data.val_dataloader()
    assert [texts(loader, "forget") for loader in (before, after)] == [
        texts(before, "forget")
    ] * 2  # never held-out rows
    mixed, alone = (one.train_dataloader().dataset[0] for one in (data, plain))
    between = data._tokenizer("\n", add_special_tokens=False)["input_ids"]
    for (_, ids, counted, _), (_, own, _, _) in zip(unpadded(mixed["forget"]), unpadded(alone["forget"]), strict=True):
        part = [token for token, one in zip(ids, counted, strict=True) if one]
        assert part in (own, own[1:])
        assert len(ids) > len(own) + len(between)


def test_a_prompt_longer_than_the_models_limit_is_refused(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lit_unlearn.datamodules.base.longest_prompt", lambda config, tokenizer: 20)
    with pytest.raises(
        InputError, match=r"data\.mixing: a mixed prompt of the longest rows has \d+ tokens, .* is 20; low"
    ):
        ready(data_module(world, mixing=ROWS))


def test_a_prompt_of_just_the_models_limit_is_trained_on(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mixed = ready(data_module(world, mixing=ROWS))
    mix, rows = mixed._row_mixing, {side: mixed.trained_rows(side) for side in ("forget", "retain")}
    assert isinstance(mix, MixedPrompts)
    assert all(ids[0] == mix.begin for streams in rows.values() for own in streams.values() for ids in own["input_ids"])
    longest = {
        side: max((Row(ids, 0, 0) for own in streams.values() for ids in own["input_ids"]), key=lambda row: len(row[0]))
        for side, streams in rows.items()
    }
    limit = len(mix.pair(longest["forget"], longest["retain"], 0)[0].input_ids)
    monkeypatch.setattr("lit_unlearn.datamodules.base.longest_prompt", lambda config, tokenizer: limit)
    ready(data_module(world, mixing=ROWS))
    monkeypatch.setattr("lit_unlearn.datamodules.base.longest_prompt", lambda config, tokenizer: limit - 1)
    with pytest.raises(InputError, match=rf"longest rows has {limit} tokens, the model's limit is {limit - 1}; low"):
        ready(data_module(world, mixing=ROWS))


def stream(*rows: list[int]) -> Dataset:
    return Dataset.from_dict({"input_ids": [*rows]})


def test_only_rows_that_meet_are_joined_and_only_a_begin_is_lost() -> None:
    forget = {"one": stream([BOS, 2, 3], [2, 3]), "other": stream([BOS, 2, 3, 4, 5, 6])}
    retain = {"one": stream([BOS, 2, 3, 4], [9, 2, 3, 4]), "other": stream([BOS, 2])}
    assert longest_pair({"one": forget["one"]}, {"any": retain["one"]}, begin=BOS) == 3 + 4  # no begin in [9, 2, 3, 4]
    assert longest_pair({"one": forget["one"]}, {"any": retain["other"]}, begin=BOS) == 3 + 2 - 1
    assert longest_pair({"one": forget["one"]}, {"any": retain["other"]}, begin=None) == 3 + 2
    assert longest_pair(forget, retain, begin=BOS) == 6 + 2 - 1  # the 4 tokens of "one" do not meet the 6 of "other"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "rows", "spans": 2}, r"spans: 2 belongs to unit spans, .*remove it"),
        ({"unit": "rows", "length": [1]}, r"length: \[1\] belongs to unit spans"),
        ({"unit": "rows", "exclude": ["ash"]}, r"exclude: \['ash'\] belongs to unit spans"),
        ({}, r"spans: none given; give a number, or set data\.mixing\.unit to rows"),
        ({"spans": 1}, r"length: none given"),
    ],
)
def test_options_that_do_not_fit_the_unit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"^data\.mixing\.{message}"):
        Mixing(0.5, **options)


def test_a_resumed_run_mixes_as_an_uninterrupted_one(world: Path, tmp_path: Path) -> None:
    mix = Mixing(0.5, start=2, unit="rows")
    whole = trained(world, tmp_path, mix, steps=6)
    first = trained(world, tmp_path, mix, steps=4, save=4)
    assert first + trained(world, tmp_path, mix, steps=6, resume=True) == whole
    with pytest.raises(InputError, match=r"data\.mixing: the checkpoint was made with mixing .*'unit': 'rows'"):
        trained(world, tmp_path, Mixing(0.5, 1, 2, start=2), resume=True)


RNA = pytest.param({}, id="RMU + RNA")
OTHERS = {
    "NPO": {"forget": NPO(), "retain": LogitKL()},
    "DPO": {"forget": DPO(), "retain": NLL(), "noise_scale": 0.0},
}


@pytest.mark.parametrize(
    "options", [RNA, *(pytest.param(options, id=name, marks=pytest.mark.slow) for name, options in OTHERS.items())]
)
def test_it_trains_and_changes_both_losses(world: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    def measured(mix: Mixing | None) -> dict[str, float]:
        kept = Losses()
        run = quiet_trainer(tmp_path, callbacks=[kept])
        run.fit(demo_module(world, **options), demo_data(world, mixing=mix, batch_size=4, seed=0))
        assert all(map(torch.isfinite, map(torch.tensor, kept.values)))
        return {name: float(value) for name, value in run.callback_metrics.items()}

    plain, mixed = measured(None), measured(ROWS)
    assert all(plain[f"train/{side}_loss"] != mixed[f"train/{side}_loss"] for side in ("forget", "retain"))


def test_before_training_the_retain_loss_of_a_mixed_prompt_is_0(world: Path, tmp_path: Path) -> None:
    seen: list[Any] = []

    class Kept(Losses):
        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Batch, *args: Any) -> None:
            seen.append(outputs["retain_losses"])

    run = quiet_trainer(tmp_path, callbacks=[Kept()], max_steps=1)
    run.fit(demo_module(world, noise_scale=0.0), demo_data(world, mixing=ROWS, batch_size=4, seed=0))
    assert not seen[0].any()

"""Forget-token mixing: which positions of which retain rows are replaced, with what, and what then counts."""

import re
import shlex
from collections import Counter
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from datasets import Dataset
from torch import Tensor
from torch.utils.data import DataLoader

from lit_unlearn import (
    NLL,
    NPO,
    Batch,
    DemoDataModule,
    InputError,
    LogitKL,
    LogitMSE,
    Mixing,
    RepresentationMSE,
    UnlearnDataModule,
    WMDPDataModule,
)
from lit_unlearn.cli import main
from lit_unlearn.commands.options import config_files
from lit_unlearn.data.mixing import RowMixing
from lit_unlearn.data.ngrams import NGrams
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.data.steps import PairedSteps, StepSampler
from lit_unlearn.losses.contract import Loss, Outputs
from tests.data.running import Model, data_module, ready, sources, texts, trainer
from tests.fast import only
from tests.training import Losses, demo_data, demo_module, quiet_trainer

FORGET = 1000
"""Forget tokens are at least this, and one after another within a row; retain tokens are less; 1 and 2 are special."""


def forget_rows(first: int = FORGET, count: int = 20) -> Dataset:
    ids = [[first + 50 * row + place for place in range(50)] for row in range(count)]
    room = [[50 - place for place in range(50)]] * count
    return Dataset.from_dict({"input_ids": ids, "room": room, "longest": [50] * count})


def mixing(rate: float = 1.0, spans: int = 2, length: int | list[int] = 3, *, seed: int = 0, **more: Any) -> RowMixing:
    options = Mixing(rate, spans, length, **more)
    ngrams = NGrams({"a": forget_rows(), "b": forget_rows(3000)}, options.lengths)
    return RowMixing(options, ngrams, frozenset({1, 2}), seed)


def row(number: int, length: int = 40) -> Row:
    return Row([1, *range(10, 8 + length), 2], 0, number)


def runs(positions: frozenset[int]) -> list[int]:
    """The lengths of runs of positions, in their order."""
    begins = sorted(position for position in positions if position - 1 not in positions)
    return [next(n for n in range(1, 100) if begin + n not in positions) for begin in begins]


def test_spans_are_replaced_by_ngrams_and_nothing_else_changes() -> None:
    mix = mixing()
    for number in range(200):
        mixed = mix(row(number), 0)
        assert (mixed.topic, mixed.number, len(mixed.inserted)) == (0, number, 6)
        assert {place for place, token in enumerate(mixed.input_ids) if token >= FORGET} == mixed.inserted
        for place, token in enumerate(row(number).input_ids):
            assert mixed.input_ids[place] == token or place in mixed.inserted
        assert runs(mixed.inserted) == [3, 3]  # apart
        for start in (place for place in mixed.inserted if place - 1 not in mixed.inserted):
            ids = mixed.input_ids[start : start + 3]  # n tokens of one row, in their order
            assert ids == [*range(ids[0], ids[0] + 3)]
            assert ids[0] // 50 == ids[-1] // 50


def test_a_token_of_the_row_stays_between_spans() -> None:
    mix = mixing(spans=9, length=1)
    mixed = [mix(row(number, 12), 0) for number in range(300)]
    assert all(set(runs(one.inserted)) == {1} for one in mixed)
    # As many as there is room for, apart from each other: at most every other one of ten places.
    assert {len(one.inserted) for one in mixed} == {4, 5}


def test_places_are_uniform_over_the_row_but_for_its_first_position_and_special_tokens() -> None:
    mix = mixing(spans=1)
    begun = Counter(min(mix(row(number, 22), 0).inserted) for number in range(3600))
    assert begun.keys() == {*range(1, 19)}  # 0 is <s>, 21 is </s>
    assert all(150 < count < 250 for count in begun.values())
    plain = Row([*range(10, 20)], 0, 0)
    assert 0 not in set().union(*(mix(plain._replace(number=number), 0).inserted for number in range(200)))


def test_ngrams_come_from_every_topic() -> None:
    mix = mixing(spans=1)
    mixed = [mix(row(number), 0) for number in range(400)]
    second = sum(max(one.input_ids) >= 3000 for one in mixed)
    assert 160 < second < 240


def test_a_list_of_lengths_is_drawn_from_for_each_span() -> None:
    mix = mixing(spans=1, length=[1, 4])
    lengths = Counter(len(mix(row(number), 0).inserted) for number in range(400))
    assert lengths.keys() == {1, 4}
    assert 160 < lengths[1] < 240


@pytest.mark.parametrize(("length", "tokens"), [(40, 6), (12, 6), (11, 3), (6, 3), (5, 0), (2, 0)])
def test_a_short_row_gets_as_many_spans_as_leave_half_of_its_tokens(length: int, tokens: int) -> None:
    mix = mixing()
    found = {len(mix(row(number, length), 0).inserted) for number in range(60)}
    assert found == {tokens}


def test_a_share_of_the_rows_is_mixed_and_the_others_stay_as_they_are() -> None:
    mix = mixing(0.25)
    mixed = [mix(row(number), 0) for number in range(2000)]
    assert 430 < sum(bool(one.inserted) for one in mixed) < 570
    assert all(one == row(one.number) for one in mixed if not one.inserted)


def test_mixing_is_a_function_of_seed_pass_and_row() -> None:
    mix, again, other = mixing(0.5), mixing(0.5), mixing(0.5, seed=1)
    first = [mix(row(number), 0) for number in range(30)]
    assert [again(row(number), 0) for number in reversed(range(30))][::-1] == first
    assert [mix(row(number), 1) for number in range(30)] != first
    assert [other(row(number), 0) for number in range(30)] != first
    assert len({one.inserted for one in first}) > 10


def test_more_spans_have_the_fewer_among_them() -> None:
    mixes = mixing(spans=1), mixing(spans=2)
    for number in range(50):
        fewer, more = (mix(row(number), 0) for mix in mixes)
        assert fewer.inserted < more.inserted


def steps(batch_size: int = 4, share: tuple[int, int] = (0, 1), retain: int = 1, **options: Any) -> PairedSteps:
    streams = [
        Dataset.from_dict({"input_ids": [row(0, 20 + place % 5).input_ids for place in range(length)]})
        for length in (24, 16, *[30] * retain)
    ]
    mix = mixing(0.5, **options)
    padding = ("left", 0)
    return PairedSteps(
        streams[:2], streams[2:], batch_size=batch_size, seed=0, padding=padding, share=share, mixing=mix
    )


def unpadded(batch: Batch) -> list[tuple[int, list[int], list[int], list[int]]]:
    """The number, ids, loss mask and labels of each row."""
    tensors = (batch["row"], batch["attention_mask"], batch["input_ids"], batch["loss_mask"], batch["labels"])
    return [
        (int(number), ids[mask == 1].tolist(), counted[mask == 1].tolist(), labels[mask == 1].tolist())
        for number, mask, ids, counted, labels in zip(*tensors, strict=True)
    ]


def test_only_retain_batches_are_mixed() -> None:
    found = steps()
    for step in range(12):
        pair = found[step]
        assert torch.equal(pair["forget"]["loss_mask"], pair["forget"]["attention_mask"])
        assert pair["forget"]["input_ids"].max() < FORGET
    assert any(found[step]["retain"]["input_ids"].max() >= FORGET for step in range(12))


def test_the_batch_says_what_counts_and_what_is_predicted() -> None:
    found, seen = steps(), 0
    for step in range(12):
        for _, ids, counted, labels in unpadded(found[step]["retain"]):
            inserted = [token >= FORGET for token in ids]
            seen += sum(inserted)
            assert counted == [int(not one) for one in inserted]
            from_inserted = [False, *inserted[:-1]]
            left_out = [one or before for one, before in zip(inserted, from_inserted, strict=True)]
            assert labels == [-100 if out else token for token, out in zip(ids, left_out, strict=True)]
    assert seen > 50


@pytest.mark.parametrize("retain", [1, 2])
def test_the_shares_of_two_processes_are_the_rows_of_one(retain: int) -> None:
    whole, halves = steps(retain=retain), [steps(share=(rank, 2), retain=retain) for rank in (0, 1)]
    for step in range(20):
        together = [one for half in halves for one in unpadded(half[step]["retain"])]
        assert together == unpadded(whole[step]["retain"])


def test_the_batch_size_changes_no_row() -> None:
    def passed(batch_size: int, count: int) -> list[Any]:
        found = steps(batch_size)
        return [one for step in range(count) for one in unpadded(found[step]["retain"])]

    assert passed(2, 45) == passed(6, 15)


def test_every_pass_mixes_anew() -> None:
    found = steps(batch_size=30)
    first, second = ({one[0]: one for one in unpadded(found[step]["retain"])} for step in (0, 1))
    assert first.keys() == second.keys()
    assert first != second


@pytest.mark.parametrize("workers", only([1, 2], 2))
def test_workers_change_nothing(workers: int) -> None:
    def seen(count: int) -> list[Any]:
        found = steps()
        loader = DataLoader(found, sampler=StepSampler(found, lambda: 3), batch_size=None, num_workers=count)
        return [unpadded(pair["retain"]) for pair in loader]

    assert seen(workers) == seen(0)


def test_mixing_begins_at_its_first_step() -> None:
    late, at_once = steps(start=7), steps()
    for step in range(14):
        assert (unpadded(late[step]["retain"]) == unpadded(at_once[step]["retain"])) == (
            step >= 7 or at_once[step]["retain"]["input_ids"].max() < FORGET
        )
        assert (late[step]["retain"]["input_ids"].max() < FORGET) or step >= 7


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0}, r"rate: 0 is not a share of rows; give a number above 0 and up to 1, or no data\.mixing"),
        ({"rate": 1.5}, r"rate: 1\.5 is not a share of rows"),
        ({"rate": float("nan")}, r"rate: nan is not a share of rows"),
        ({"spans": 0}, r"spans: must be at least 1, got 0"),
        ({"length": 0}, r"length: must be at least 1, got 0"),
        ({"length": [4, 0]}, r"length: must be at least 1, got \[4, 0\]"),
        ({"length": []}, r"length: must be at least 1, got \[\]"),
        ({"start": -1}, r"start: must be at least 0, got -1"),
        ({"exclude": ["ash", " "]}, r"exclude: \['ash', ' '\] has an empty word; remove it"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=rf"^data\.mixing\.{message}"):
        Mixing(**({"rate": 0.5, "spans": 2, "length": 4} | options))


def test_a_command_with_impossible_options_says_so_before_anything_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        main(["fit", "-c", "rmu.yaml", "--data.mixing={rate: 2, spans: 2, length: 4}"])
    assert stop.value.code == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "data.mixing.rate: 2.0 is not a share of rows; give a number above 0 and up to 1" in line


def forget_ngrams(data: UnlearnDataModule) -> set[tuple[int, ...]]:
    """What was mixed in over some epochs: runs of tokens that do not count."""
    out = set()
    steps = data.train_dataloader().dataset
    for step in range(150):
        retain = steps[step]["retain"]
        gaps = (retain["attention_mask"] == 1) & (retain["loss_mask"] == 0)
        out |= {tuple(ids[gap].tolist()) for ids, gap in zip(retain["input_ids"], gaps, strict=True) if gap.any()}
    return out


def contains(rows: list[tuple[int, ...]], ngram: tuple[int, ...]) -> bool:
    return any(ngram == ids[at : at + len(ngram)] for ids in rows for at in range(len(ids)))


def test_ngrams_are_those_of_training_rows_within_the_limit(world: Path) -> None:
    options = {"holdout": 20, "limit": 5, "forget": sources(world, "alchemy")}
    data = ready(data_module(world, mixing=Mixing(1, 1, 4), **options))
    trained = list(set(texts(data.train_dataloader(), "forget")))
    mixed = forget_ngrams(data)
    assert len(trained) == 5
    assert len(mixed) > 20
    assert all(contains(trained, ngram) for ngram in mixed)


def test_held_out_pairs_are_never_mixed(world: Path) -> None:
    plain, mixed = (ready(data_module(world, holdout=8, mixing=one)) for one in (None, Mixing(1, 2, 4)))
    (before,), (after,) = plain.val_dataloader(), mixed.val_dataloader()
    for one, other in zip(before, after, strict=True):
        for side in ("forget", "retain"):
            assert all(torch.equal(one[side][name], other[side][name]) for name in one[side])
    assert texts(plain.train_dataloader(), "retain") != texts(mixed.train_dataloader(), "retain")
    assert texts(plain.train_dataloader(), "forget") == texts(mixed.train_dataloader(), "forget")


def test_excluded_words_are_never_mixed_in(world: Path) -> None:
    def words(*exclude: str) -> set[str]:
        data = ready(data_module(world, mixing=Mixing(1, 2, [1, 2], exclude=list(exclude)), seed=3))
        return {str(data._tokenizer.decode([token])) for ngram in forget_ngrams(data) for token in ngram}

    every = words()
    held_out = [word for word in sorted(every) if word.startswith("ba")][:10]
    assert len(held_out) == 10
    assert not words(*held_out) & set(held_out)


def test_when_all_is_excluded_it_says_so(world: Path) -> None:
    data = data_module(world, mixing=Mixing(1, 1, 2, exclude=[*"aeiou.,"]))
    with pytest.raises(InputError, match=r"no row of alchemy has 2 tokens together .*shorten data\.mixing\.exclude"):
        ready(data)


@pytest.mark.parametrize("mix", [None, Mixing(0.5, 2, [1, 4], ["ash"], 3)])
def test_what_is_mixed_belongs_to_the_data(world: Path, mix: Mixing | None) -> None:
    shown = data_module(world, mixing=mix).hyperparameters().get("mixing")
    assert shown == (
        None if mix is None else "Mixing(rate=0.5, spans=2, length=[1, 4], exclude=['ash'], start=3, unit='spans')"
    )


def test_every_data_module_takes_it(world: Path) -> None:
    mix = Mixing(0.5, 2, 4)
    assert DemoDataModule(mixing=mix).mixing == WMDPDataModule(mixing=mix).mixing == mix
    assert DemoDataModule().mixing is None
    assert WMDPDataModule().mixing is None


class Remembering(Model):
    """Remembers the retain rows of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.retain: list[Any] = []

    def training_step(self, batch: dict[str, Batch], batch_idx: int) -> Tensor:
        self.retain.append(unpadded(batch["retain"]))
        return super().training_step(batch, batch_idx)


def trained(
    world: Path, folder: Path, mix: Mixing | None, *, steps: int = 12, save: int | None = None, resume: bool = False
) -> list[Any]:
    class Save(L.Callback):
        def on_train_batch_end(self, trainer: L.Trainer, *args: Any) -> None:
            if trainer.global_step == save:
                trainer.save_checkpoint(folder / "x.ckpt")

    module, path = Remembering(), folder / "x.ckpt" if resume else None
    trainer(folder, Save(), max_steps=steps).fit(module, datamodule=data_module(world, mixing=mix), ckpt_path=path)
    return module.retain


@pytest.mark.parametrize("save", only([3, 6], 6))
def test_a_resumed_run_mixes_as_an_uninterrupted_one(world: Path, tmp_path: Path, save: int) -> None:
    mix = Mixing(0.5, 2, [1, 3], start=5)
    whole = trained(world, tmp_path, mix)
    first = trained(world, tmp_path, mix, steps=save, save=save)
    assert first + trained(world, tmp_path, mix, resume=True) == whole


@pytest.mark.parametrize("other", [None, Mixing(0.5, 1, 3), Mixing(0.5, 2, 3, ["ash"])])
def test_a_resume_with_other_mixing_is_refused(world: Path, tmp_path: Path, other: Mixing | None) -> None:
    trained(world, tmp_path, Mixing(0.5, 2, 3), steps=2, save=2)
    with pytest.raises(InputError, match=r"data\.mixing: the checkpoint was made with mixing \{'rate': 0\.5, .*same"):
        trained(world, tmp_path, other, resume=True)


LENGTH, DIM, VOCAB = 12, 4, 9


def mixed_batch() -> Batch:
    return collate([Row([*range(LENGTH)], 0, 0, frozenset({4, 5, 9}))], padding_side="right", padding_id=0)


def outputs(seed: int) -> Outputs:
    source = torch.Generator().manual_seed(seed)
    hidden, logits = (torch.randn(1, LENGTH, width, generator=source) for width in (DIM, VOCAB))
    return Outputs(hidden, logits)


@pytest.mark.parametrize("loss", [RepresentationMSE(), LogitKL(), LogitMSE(), NLL()], ids=repr)
def test_a_retain_loss_reads_every_position_but_those_inserted(loss: Loss) -> None:
    batch = mixed_batch()
    batch["input_ids"] %= VOCAB
    batch["labels"] = torch.where(batch["labels"] < 0, batch["labels"], batch["labels"] % VOCAB)
    updated, frozen = outputs(0), outputs(1)
    read = updated.logits if loss.needs_logits else updated.hidden
    assert isinstance(read, Tensor)
    read.requires_grad_()
    loss(updated, frozen, batch).sum().backward()
    assert read.grad is not None
    unread = {place for place in range(LENGTH) if not read.grad[0, place].any()}
    # NLL does not predict an inserted token, nor from one; the last position predicts nothing.
    assert unread == ({3, 4, 5, 8, 9, 11} if isinstance(loss, NLL) else {4, 5, 9})


def test_a_loss_of_mixed_rows_is_the_mean_over_what_counts() -> None:
    updated, frozen, batch = outputs(0), outputs(1), mixed_batch()
    own = [place for place in range(LENGTH) if place not in (4, 5, 9)]
    expected = (updated.hidden - frozen.hidden)[0, own].square().mean()
    torch.testing.assert_close(RepresentationMSE()(updated, frozen, batch)[0], expected)


@pytest.mark.parametrize(
    "options",
    [{}, {"forget": NPO(), "retain": LogitKL()}, {"retain": NLL(), "noise_scale": 0.0}],
    ids=["RNA", "NPO", "NLL"],
)
def test_it_trains_and_changes_the_retain_loss_alone(world: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    def losses(mix: Mixing | None) -> tuple[list[float], dict[str, float]]:
        kept = Losses()
        run = quiet_trainer(tmp_path, callbacks=[kept])
        run.fit(demo_module(world, **options), demo_data(world, mixing=mix, batch_size=4, seed=0))
        return kept.values, {name: float(value) for name, value in run.callback_metrics.items()}

    plain, mixed = losses(None), losses(Mixing(1, 3, 4))
    assert all(map(torch.isfinite, map(torch.tensor, mixed[0])))
    assert plain[0] != mixed[0]
    assert plain[1]["train/retain_loss"] != mixed[1]["train/retain_loss"]


@pytest.mark.parametrize(
    "name", only(["rmu.yaml", "adaptive_rmu.yaml", "rsv.yaml", "npo.yaml"], "rmu.yaml", "npo.yaml")
)
def test_the_variant_in_a_recipes_header_runs(
    name: str, world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    header = (config_files.folder() / name).read_text()
    (command,) = re.findall(r"^# lit-unlearn (.* -c mixing\.yaml[^\\\n]*(?:\\\n.*)?)$", header, re.MULTILINE)
    words = shlex.split(command.replace("\\\n#", ""))
    files = f"{{bio: {world}/alchemy.jsonl, cyber: {world}/navigation.jsonl}}"
    own = [
        f"--model.pretrained={world}/model",
        f"--data.files={files}",
        f"--data.wikitext_file={world}/gardening.jsonl",
    ]
    quick = ["--trainer.max_steps=2", "--trainer.accelerator=cpu", "--trainer.default_root_dir=run"]
    main([*words, *own, *quick])
    card = (tmp_path / "run" / "export" / "README.md").read_text()
    assert "Mixing(rate=0.5, spans=4, length=4, exclude=[], start=0, unit='spans')" in card
    assert "| trained | 15: model.layers.5.self_attn.q_proj.weight to model.layers.7.mlp.down_proj.weight |" in card
    hyperparameters = (tmp_path / "run" / "hparams.yaml").read_text()
    trained = set(re.findall(r"layers\.(\d)\.(?:mlp|self_attn)\.(\w+)_proj", hyperparameters))
    assert trained == {(layer, matrix) for layer in "567" for matrix in ("q", "k", "v", "o", "down")}

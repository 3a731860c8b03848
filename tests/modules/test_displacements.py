"""Directions of the noise: measured before training, kept in the checkpoint, acting in the frozen model alone."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from lit_unlearn import AdversarialNoise, DisplacementNoise, InputError, Mixing, NoiseKind, SphereNoise, UnlearnModule
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch
from lit_unlearn.modules.displacements import displacement_factors, with_forget_span
from tests.training import Losses, demo_data, demo_module, quiet_trainer

RETAIN = [Row(list(range(10, 10 + length)), 0, number) for number, length in ((4, 9), (5, 2), (6, 3))]
FORGET = [Row(list(range(50, 50 + length)), 0, number) for number, length in ((1, 6), (2, 6), (3, 2))]


def one_process(value: Tensor) -> Tensor:
    return value


def pair(side: str) -> tuple[Batch, Batch]:
    retain, forget = (collate(rows, padding_side=side, padding_id=0) for rows in (RETAIN, FORGET))
    return retain, forget


@pytest.mark.parametrize("side", ["left", "right"])
def test_a_span_of_forget_tokens_stands_before_what_is_measured(side: str) -> None:
    retain, forget = pair(side)
    found, after = with_forget_span(retain, forget, seed=0)
    for line, row in enumerate(RETAIN):
        real = retain["attention_mask"][line].bool()
        ids = found["input_ids"][line][real].tolist()
        new = [place for place, token in enumerate(ids) if token != row.input_ids[place]]
        later = after[line][real].nonzero()[:, 0].tolist()
        if len(row.input_ids) < 3:
            assert (new, later) == ([], [])
            continue
        span = [ids[place] for place in new]
        assert 0 < len(new) == min(4, (len(ids) - 1) // 2, len(FORGET[line].input_ids) - 1)
        assert span == list(range(span[0], span[0] + len(span)))  # as they stand in the forget row
        assert set(span) <= set(FORGET[line].input_ids[1:])
        assert new[0] > 0
        assert later == list(range(new[-1] + 1, len(ids)))
        assert later
    assert not after[~retain["attention_mask"].bool()].any()
    assert retain["input_ids"].tolist() == pair(side)[0]["input_ids"].tolist()


def test_the_factors_are_those_of_the_displacements() -> None:
    source, table = torch.Generator().manual_seed(0), torch.zeros(100, 3, dtype=torch.float64)
    table[50:60, 1], table[50:60, 2] = torch.randn(10, generator=source).double(), 0.1

    def states(batch: Batch) -> Tensor:
        return table[batch["input_ids"]].cumsum(dim=1)  # what stands before moves a token

    pairs = [pair("right")]
    found = torch.tensor(displacement_factors(pairs, states, one_process, directions=2, seed=0), dtype=torch.float64)
    moved = []
    for retain, forget in pairs:
        replaced, after = with_forget_span(retain, forget, seed=0)
        moved += list((states(replaced) - states(retain))[after])
    moment = sum(torch.outer(one, one) for one in moved)
    torch.testing.assert_close(found.T @ found, moment)  # of rank two
    assert found[0].norm() >= found[1].norm()
    assert all(row[row.abs().argmax()] > 0 for row in found)
    both = displacement_factors(pairs, states, lambda sums: 4 * sums, directions=1, seed=0)
    torch.testing.assert_close(torch.tensor(both, dtype=torch.float64), 2 * found[:1])


def test_states_that_do_not_move_are_refused() -> None:
    with pytest.raises(InputError, match=r"^model\.noise: forget tokens do not move the states of the first retain"):
        displacement_factors([pair("left")], lambda batch: torch.ones(3, 9, 2), one_process, directions=2, seed=0)


def fitted(world: Path, folder: Path, noise: NoiseKind, **options: Any) -> tuple[UnlearnModule, list[float]]:
    resume, steps, mixing = options.pop("resume", None), options.pop("max_steps", 4), options.pop("mixing", None)
    keep = ModelCheckpoint(folder, filename="{step}", every_n_train_steps=2, save_top_k=-1)
    module, seen = demo_module(world, **{"layer": 1, "noise": noise, "noise_scale": 0.3} | options), Losses()
    trainer = quiet_trainer(folder, max_steps=steps, callbacks=[seen, keep], enable_checkpointing=True)
    trainer.fit(module, demo_data(world, mixing=mixing), ckpt_path=resume)
    return module, seen.values


@pytest.mark.parametrize(
    ("noise", "options"),
    [
        (lambda: DisplacementNoise(3), {"noise_layer": 0}),
        (lambda: AdversarialNoise(2), {"noise_unit": "rms", "state_unit": "rms"}),
        (SphereNoise, {}),
    ],
    ids=["displacement", "adversarial", "sphere"],
)
def test_a_resumed_run_has_the_noise_of_the_first(
    world: Path, tmp_path: Path, noise: Any, options: dict[str, Any]
) -> None:
    first, losses = fitted(world, tmp_path, noise(), **options)
    again, rest = fitted(world, tmp_path / "rest", noise(), resume=tmp_path / "step=2.ckpt", **options)
    assert rest == losses[2:]
    assert again.model_units == first.model_units
    assert len(set(losses)) == 4
    assert first.hyperparameters()["noise"] == repr(noise())
    if isinstance(first.noise, DisplacementNoise):
        assert first.noise.factors is not None
        assert torch.tensor(first.noise.factors).shape == (3, first.updated.config.hidden_size)
    _, plain = fitted(world, tmp_path / "plain", SphereNoise(), noise_scale=0.0)
    assert plain[0] != losses[0]


def test_directions_are_those_of_rows_without_mixing(world: Path, tmp_path: Path) -> None:
    """Of a mixed prompt both batches hold both rows: tokens of the one are none of the other."""
    units = [
        fitted(world, tmp_path / str(number), DisplacementNoise(3), max_steps=1, mixing=mixing)[0].model_units
        for number, mixing in enumerate((None, Mixing(1.0, unit="rows"), Mixing(1.0, 2, 2)))
    ]
    plain, rows, spans = (one and one.displacements for one in units)
    assert plain
    assert plain == rows == spans


def test_a_checkpoint_with_other_directions_is_refused(world: Path, tmp_path: Path) -> None:
    fitted(world, tmp_path, DisplacementNoise(3), max_steps=2)
    fitted(world, tmp_path / "rms", SphereNoise(), max_steps=2, noise_unit="rms")
    for folder, kept in ((tmp_path, 3), (tmp_path / "rms", 0)):
        with pytest.raises(InputError, match=rf"^model\.noise: the checkpoint holds {kept} .* has 4; resume with the"):
            fitted(world, tmp_path / "rest", DisplacementNoise(4), resume=folder / "step=2.ckpt")


def test_noise_that_is_off_measures_nothing(world: Path, tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match=r"^model\.noise: DisplacementNoise\(.* draws nothing, .*noise_scale is 0; set"
    ):
        module, losses = fitted(world, tmp_path, DisplacementNoise(), noise_scale=0.0)
    assert module.model_units is None
    _, plain = fitted(world, tmp_path / "plain", SphereNoise(), noise_scale=0.0)
    assert losses == plain


def test_adversarial_noise_raises_the_retain_loss(world: Path, tmp_path: Path) -> None:
    module, _ = fitted(world, tmp_path, SphereNoise(), noise_scale=0.01)
    data = demo_data(world)
    data.trainer = module.trainer
    data.setup("fit")
    batch = data.train_dataloader().dataset[0]["retain"]
    at_random, _ = module._run(module.retain, batch, training=True)
    module.noise = AdversarialNoise(4)
    attacked, _ = module._run(module.retain, batch, training=True)
    assert (attacked > at_random).all()

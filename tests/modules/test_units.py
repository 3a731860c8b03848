"""c in norms and ν in root mean squares of the model's own states."""

import json
import warnings
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.plugins.precision import HalfPrecision
from torch import Tensor

from lit_unlearn import RMU, RSV, AdaptiveRMU, InputError, RepresentationMSE, UnlearnModule
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch, Loss, Outputs
from lit_unlearn.losses.units import Length
from lit_unlearn.modules.units import Units, measured
from lit_unlearn.running.hooks import captured_output, hidden_states
from lit_unlearn.running.noise import radius
from tests.training import Losses, demo_data, demo_module, quiet_trainer

IN_UNITS: dict[str, Any] = {"noise_scale": 0.6, "noise_unit": "rms"}


def one_process(value: Tensor) -> Tensor:
    return value


@pytest.mark.parametrize("side", ["left", "right"])
def test_the_first_token_and_padding_are_left_out(side: str) -> None:
    batch = collate([Row([5, 6, 7], 0, 0), Row([8, 9], 1, 0)], padding_side=side, padding_id=0)
    hidden = torch.full((2, 3, 2), 1e6)
    if side == "right":
        hidden[0, 1:], hidden[1, 1] = torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([2.0, 0.0])
    else:
        hidden[0, 1:], hidden[1, 2] = torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([2.0, 0.0])
    found = measured(lambda: [batch], lambda _: (hidden, 2 * hidden), one_process)
    assert found == pytest.approx(Units(norm=(5 + 1 + 2) / 3, rms=(4 * (25 + 1 + 4) / 6) ** 0.5))
    # Another process with as many tokens of twice the size, of which the mean squares and norms are known.
    doubled = measured(lambda: [batch, batch], lambda _: (hidden, hidden), one_process)
    assert doubled == pytest.approx(Units(norm=(5 + 1 + 2) / 3, rms=((25 + 1 + 4) / 6) ** 0.5))


def test_the_sums_are_those_of_all_processes() -> None:
    batch = collate([Row([5, 6, 7], 0, 0)], padding_side="right", padding_id=0)
    hidden = torch.tensor([[[9.0, 9.0], [3.0, 4.0], [0.0, 1.0]]])
    # Each sum is over two processes of which the other has these tokens once more, at three times their size.
    squares = torch.tensor([10.0, 10.0, 10.0, 10.0, 2.0], dtype=torch.float64)
    norms = torch.tensor([4.0, 2.0], dtype=torch.float64)
    found = measured(lambda: [batch], lambda _: (hidden, hidden), lambda sums: sums * {5: squares, 2: norms}[len(sums)])
    assert found == pytest.approx(Units(norm=4 * (5 + 1) / (2 * 2), rms=(10 * (25 + 1) / (2 * 2 * 2)) ** 0.5))


def test_each_dimension_has_a_root_mean_square_of_its_own() -> None:
    batch = collate([Row([5, 6, 7], 0, 0)], padding_side="right", padding_id=0)
    hidden = torch.tensor([[[9.0, 9.0, 9.0], [300.0, 4.0, 0.0], [-400.0, 2.0, 0.0]]])
    found = measured(lambda: [batch], lambda _: (hidden, 2 * hidden), one_process, by_dimension=True)
    assert found.dimensions is not None
    assert found.noise_dimensions == pytest.approx([2 * value for value in found.dimensions])
    rms = (12.5e4**0.5, 10**0.5)
    # What is 0 in all states counts as a thousandth of the median dimension.
    assert found.dimensions == pytest.approx([*rms, 1e-3 * rms[1]])
    assert found.norm == pytest.approx(
        sum(((x / rms[0]) ** 2 + (y / rms[1]) ** 2) ** 0.5 for x, y in ((300, 4), (400, 2))) / 2
    )
    assert set(found.summary()) == {"norm", "rms"}


@pytest.mark.parametrize("value", [1.0, torch.nan])
def test_units_that_cannot_be_measured_are_refused(value: float) -> None:
    rows = [[5]] if value == 1.0 else [[5, 6]]
    batch = collate([Row(ids, 0, 0) for ids in rows], padding_side="right", padding_id=0)
    hidden = torch.full((1, len(rows[0]), 2), value)
    with pytest.raises(InputError, match=r"units norm and rms cannot be measured on \d tokens of the first retain"):
        measured(lambda: [batch], lambda _: (hidden, hidden), one_process)


def losses(world: Path, folder: Path, forget: Loss, **options: Any) -> tuple[UnlearnModule, list[float]]:
    module, seen = demo_module(world, forget=forget, layer=1, **options), Losses()
    quiet_trainer(folder, callbacks=[seen]).fit(module, demo_data(world))
    return module, seen.values


@pytest.mark.parametrize("kind", [RMU, RSV])
@pytest.mark.parametrize("noise_layer", [0, 1])
def test_training_in_units_is_training_with_the_products(
    world: Path, tmp_path: Path, kind: type[RMU] | type[RSV], noise_layer: int
) -> None:
    module, found = losses(world, tmp_path, kind(2.0, unit="norm"), noise_layer=noise_layer, **IN_UNITS)
    assert module.model_units is not None
    absolute = {"noise_scale": 0.6 * module.model_units.rms, "noise_layer": noise_layer}
    plain, expected = losses(world, tmp_path, kind(2.0 * module.model_units.norm), **absolute)
    assert plain.model_units is None
    assert found == pytest.approx(expected, rel=1e-6)


class Scaled(Loss):
    """Another loss, of states in given units."""

    needs_frozen = True

    def __init__(self, inner: Loss, scale: tuple[float, ...]) -> None:
        super().__init__()
        self.inner, self.scale = inner, torch.tensor(scale)

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        both = [out and out._replace(hidden=out.hidden / self.scale) for out in (updated, frozen)]
        assert both[0] is not None
        return cast(Tensor, self.inner(both[0], both[1], batch))


@pytest.mark.parametrize("forget", [RMU(2.0, unit="norm"), AdaptiveRMU(1.5), RSV(2.0, unit="norm")], ids=repr)
def test_states_in_units_of_their_dimensions(world: Path, tmp_path: Path, forget: Loss) -> None:
    module, found = losses(world, tmp_path, forget, state_unit="rms")
    units = module.model_units
    assert units is not None
    assert units.dimensions is not None
    assert units.norm == pytest.approx(len(units.dimensions) ** 0.5, rel=0.1)
    for length in forget.modules():
        if isinstance(length, Length):
            length.unit, length.values = "absolute", 2.0 * units.norm
    _, expected = losses(
        world, tmp_path, Scaled(forget, units.dimensions), retain=Scaled(RepresentationMSE(), units.dimensions)
    )
    assert found == pytest.approx(expected, rel=1e-5)


def test_noise_in_rms_is_in_that_of_each_dimension_where_states_are(world: Path, tmp_path: Path) -> None:
    module, _ = losses(world, tmp_path, RMU(2.0, unit="norm"), state_unit="rms", **IN_UNITS)
    units = module.model_units
    assert units is not None
    batch = collate([Row([5] * 400, 0, 0)], padding_side="right", padding_id=0)
    hidden = torch.zeros(1, 400, len(units.noise_dimensions or ()))
    found = module._noise(batch)(hidden).square().mean(dim=(0, 1)).sqrt()
    torch.testing.assert_close(found, 0.6 * torch.tensor(units.noise_dimensions), rtol=0.2, atol=0)


def test_units_are_not_rounded_within_a_step_under_bf16_true(world: Path) -> None:
    module = demo_module(world, state_unit="rms", noise_unit="rms")
    module.take_units(Units(1.0, 1.0, (1 / 3,) * 64, (1 / 3,) * 64))
    states = Outputs(torch.full((1, 1, 64), 0.7, dtype=torch.bfloat16), None)

    def made() -> list[Tensor]:
        scale = module._noise_scale(torch.device("cpu"))
        return [module.in_state_units(states).hidden, cast(Tensor, scale), radius(0.03, 64)]

    before = made()
    with HalfPrecision("bf16-true").forward_context():  # in which the default dtype is bf16
        for one, other in zip(made(), before, strict=True):
            torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert {one.dtype for one in before} == {torch.float32}


def test_states_in_a_unit_that_is_not_measured_are_refused(world: Path) -> None:
    module = demo_module(world, forget=RMU(2.0), state_unit="rms")
    with pytest.raises(InputError, match=r"model.state_unit: rms is known once it is measured, at the start of a fit"):
        module.in_state_units(Outputs(torch.zeros(1, 1, 4), None))


def test_the_norm_is_that_of_the_models_states(world: Path, tmp_path: Path) -> None:
    module, _ = losses(world, tmp_path, RMU(2.0, unit="norm"), whole_model=True)
    expected: list[Tensor] = []
    pairs = demo_data(world)
    pairs.trainer = quiet_trainer(tmp_path)
    pairs.trainer.strategy.connect(module)
    pairs.setup("fit")
    steps = iter(pairs.train_dataloader().dataset)
    for _ in range(8):
        batch: Batch = next(steps)["retain"]
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad(), module.frozen.running(), captured_output(module.layers[1]) as outputs:
            module.updated.model(**inputs)
        states = hidden_states(outputs[0])
        real = (batch["attention_mask"].cumsum(dim=-1) > 1) & batch["attention_mask"].bool()
        expected += states[real].norm(dim=-1)
    assert module.model_units is not None
    assert module.model_units.norm == pytest.approx(float(torch.stack(expected).mean()), rel=1e-5)


def test_a_resumed_run_has_the_units_of_the_first(world: Path, tmp_path: Path) -> None:
    options = {"forget": RMU(2.0, unit="norm"), **IN_UNITS}
    keep = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=2, save_top_k=-1)
    first, seen = demo_module(world, **options), Losses()
    quiet_trainer(tmp_path, max_steps=4, callbacks=[seen, keep], enable_checkpointing=True).fit(first, demo_data(world))
    resumed, rest = demo_module(world, **options), Losses()
    trainer = quiet_trainer(tmp_path, max_steps=4, callbacks=[rest])
    trainer.fit(resumed, demo_data(world), ckpt_path=tmp_path / "step=2.ckpt")
    assert resumed.model_units == first.model_units
    assert rest.values == seen.values[2:]
    assert json.loads(json.dumps(resumed.hyperparameters()))["units"] == first.hyperparameters()["units"]


def test_rows_without_a_datamodule_are_refused(world: Path, tmp_path: Path) -> None:
    data = demo_data(world)
    module = demo_module(world, **IN_UNITS)
    data.trainer = quiet_trainer(tmp_path)
    data.trainer.strategy.connect(module)
    data.setup("fit")
    with pytest.raises(InputError, match=r"model.noise_unit, model.state_unit and .* this Trainer has none"):
        quiet_trainer(tmp_path).fit(module, data.train_dataloader())


@pytest.mark.parametrize(
    ("share", "told"), [(0.4, "expect nothing to be unlearned"), (25.0, "expect far more than the topic to be lost")]
)
def test_a_length_far_from_the_models_norm_is_warned_of(world: Path, tmp_path: Path, share: float, told: str) -> None:
    module, _ = losses(world, tmp_path, RMU(2.0, unit="norm"))
    assert module.model_units is not None
    with pytest.warns(UserWarning, match=rf"model.forget.coefficient: .* mean norms of the retain states .*{told}"):
        losses(world, tmp_path, RMU(share * module.model_units.norm))


def test_a_length_in_norms_is_warned_of_without_naming_its_unit(world: Path, tmp_path: Path) -> None:
    told = r"coefficient: 0\.4 mean norms of the retain states .* are 2 to 3 norms, give a length like those"
    with pytest.warns(UserWarning, match=told):
        losses(world, tmp_path, RMU(0.4, unit="norm"))


@pytest.mark.parametrize("forget", [RMU(2.0, unit="norm"), AdaptiveRMU(0.1)])
def test_other_lengths_are_not(world: Path, tmp_path: Path, forget: Loss) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="model.forget.coefficient")
        losses(world, tmp_path, forget)

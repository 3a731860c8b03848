"""c in norms and ν in root mean squares of the model's own states."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from lit_unlearn import RMU, RSV, AdaptiveRMU, InputError, UnlearnModule
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch, Loss
from lit_unlearn.modules.units import Units, measured
from lit_unlearn.running.hooks import captured_output, hidden_states
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
    found = measured([batch], lambda _: (hidden, 2 * hidden), one_process)
    assert found == pytest.approx(Units(norm=(5 + 1 + 2) / 3, rms=(4 * (25 + 1 + 4) / 6) ** 0.5))
    # Another process with as many tokens of twice the size.
    doubled = measured([batch], lambda _: (hidden, hidden), lambda sums: sums + sums * torch.tensor([2, 4, 1, 1]))
    assert doubled == pytest.approx(Units(norm=1.5 * (5 + 1 + 2) / 3, rms=(2.5 * (25 + 1 + 4) / 6) ** 0.5))


@pytest.mark.parametrize("value", [1.0, torch.nan])
def test_units_that_cannot_be_measured_are_refused(value: float) -> None:
    rows = [[5]] if value == 1.0 else [[5, 6]]
    batch = collate([Row(ids, 0, 0) for ids in rows], padding_side="right", padding_id=0)
    hidden = torch.full((1, len(rows[0]), 2), value)
    with pytest.raises(InputError, match=r"units norm and rms cannot be measured on \d tokens of the first retain"):
        measured([batch], lambda _: (hidden, hidden), one_process)


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
    with pytest.raises(InputError, match=r"model.noise_unit and model.forget.unit: .* this Trainer has none"):
        quiet_trainer(tmp_path).fit(module, data.train_dataloader())


@pytest.mark.parametrize(
    ("share", "told"), [(0.4, "expect nothing to be unlearned"), (25.0, "expect far more than the topic to be lost")]
)
def test_a_length_far_from_the_models_norm_is_warned_of(world: Path, tmp_path: Path, share: float, told: str) -> None:
    module, _ = losses(world, tmp_path, RMU(2.0, unit="norm"))
    assert module.model_units is not None
    with pytest.warns(UserWarning, match=rf"model.forget.coefficient: .* mean norms of the retain states .*{told}"):
        losses(world, tmp_path, RMU(share * module.model_units.norm))


@pytest.mark.parametrize("forget", [RMU(2.0, unit="norm"), AdaptiveRMU(0.1)])
def test_other_lengths_are_not(world: Path, tmp_path: Path, forget: Loss) -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="model.forget.coefficient")
        losses(world, tmp_path, forget)

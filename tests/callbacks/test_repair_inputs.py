from pathlib import Path

import pytest
import torch

from lit_unlearn import PerturbationRobustness
from lit_unlearn.callbacks.repair_inputs import RepairRows, input_moments, ordered
from lit_unlearn.losses.contract import Batch
from lit_unlearn.losses.functional import without_first
from lit_unlearn.repairs.matrices import trained_matrices
from tests.callbacks.test_repairs import MIXING, fit, inputs_of


def row_by_row(batches: list[Batch]) -> list[Batch]:
    return [
        Batch(**{name: value[row : row + 1] for name, value in batch.items()})  # type: ignore[index, typeddict-item]
        for batch in batches
        for row in range(len(batch["row"]))
    ]


@pytest.mark.parametrize("first_token", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_moments_are_those_of_the_counted_tokens_however_rows_are_batched(
    world: Path, tmp_path: Path, first_token: bool
) -> None:
    module, trainer = fit(world, tmp_path, PerturbationRobustness(), first_token=first_token)
    matrices = trained_matrices(module.updated, module.layers, module.frozen.originals())
    pairs = trainer.datamodule.pairs(8, mixing=MIXING)  # type: ignore[attr-defined]
    sides: list[list[Batch]] = [[pair[side] for pair in pairs] for side in ("forget", "retain")]
    groups = ordered(module, matrices, sides[0][0])
    assert [[matrix.name.split(".")[-2] for matrix in group] for group in groups] == 2 * [
        ["q_proj", "k_proj", "v_proj"],
        ["o_proj"],
        ["down_proj"],
    ]
    matrix = groups[-1][0]
    found = input_moments(module, RepairRows(*sides), matrix)
    for whole, one_by_one in zip(
        found, input_moments(module, RepairRows(*map(row_by_row, sides)), matrix), strict=True
    ):
        torch.testing.assert_close(whole, one_by_one, rtol=1e-5, atol=1e-7)
    for moment, batches in zip(found, sides, strict=True):
        if not first_token:
            batches = [
                Batch(**{**batch, "loss_mask": without_first(batch["loss_mask"], batch["attention_mask"])})
                for batch in batches
            ]
        inputs = inputs_of(module.updated, matrix.name, batches).detach()
        torch.testing.assert_close(moment, inputs.T @ inputs / len(inputs), rtol=1e-4, atol=1e-7)

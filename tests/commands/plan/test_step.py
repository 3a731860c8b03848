"""A plan against real steps of small models: the same bytes, the same operations."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import optim

from lit_unlearn import (
    DPO,
    NPO,
    RMU,
    AdversarialNoise,
    CircuitBreaker,
    DisplacementNoise,
    LogitKL,
    Lora,
    RepresentationMSE,
    RepresentationNorm,
    UnlearnModule,
)
from lit_unlearn.commands.plan.ledger import COPIES, GRADIENTS, KEPT, OPTIMIZER, TRAINED, WEIGHTS
from lit_unlearn.commands.plan.strategies import Growth
from tests.commands.plan.measuring import ROWS, count_flops, measured, planned
from tests.families import each_family, write_family
from tests.fast import only
from tests.hub_layouts import write_layout

METHODS: dict[str, dict[str, Any]] = {
    "rmu": {},
    "rmu without noise, SGD": {"noise_scale": 0.0, "optimizer": lambda parameters: optim.SGD(parameters, lr=0.1)},
    "whole layers": {"trainable": [r"model\.layers\.[12]\..*"]},
    "everything": {"forget": NPO(0.1), "retain": LogitKL(), "trainable": [".*"]},
    "npo": {"forget": NPO(0.1), "retain": LogitKL()},
    "dpo": {"forget": DPO(0.1), "retain": LogitKL()},
    "eager attention": {"attn_implementation": "eager"},
    "rmu, activations computed again": {"activation_checkpointing": True, "trainable": [r"model\.layers\.[12]\..*"]},
    "npo, activations computed again": {"activation_checkpointing": True, "forget": NPO(0.1), "retain": LogitKL()},
    "lora": {"lora": Lora(r=4, target_modules=["q_proj", "down_proj"], layers_to_transform=[1, 2])},
}

TRAINED_FROM_1 = [r"model\.layers\.[12]\.mlp\.down_proj\.weight"]


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_family(tmp_path_factory.mktemp("plan"), "llama")


def module_of(folder: Path, **options: Any) -> UnlearnModule:
    defaults: dict[str, Any] = {"forget": RMU(1.0), "retain": RepresentationMSE(), "layer": 2, "noise_scale": 0.1}
    return UnlearnModule(str(folder), **defaults | options)


@pytest.mark.parametrize("method", only(METHODS, "rmu", "npo", "lora"))
def test_every_part_is_that_of_a_real_step(method: str, llama: Path) -> None:
    model, step = planned(module_of(llama, **METHODS[method]))
    real = measured(module_of(llama, **METHODS[method]))
    exact = {WEIGHTS: real.weights, TRAINED: real.trained, COPIES: real.copies, OPTIMIZER: real.optimizer}
    assert {part: step.peak[part] for part in exact} == exact
    assert (model.trained, model.optimizer) == (real.trained, real.optimizer)
    assert 0 <= step.peak[GRADIENTS] <= real.gradients  # fewer where the worst moment is before backward has made all
    assert step.peak[KEPT] <= 1.15 * real.kept
    if "again" not in method:  # there the worst moment is in backward, when some of it is no longer kept
        assert step.peak[KEPT] >= 0.85 * real.kept
    assert step.forward == pytest.approx(real.forward, rel=0.03)
    assert step.backward == pytest.approx(real.backward, rel=0.03)


@pytest.mark.parametrize("family", each_family())
def test_every_family_is_planned_from_its_configuration(family: str, tmp_path: Path) -> None:
    folder = write_family(tmp_path, family)
    real = measured(module_of(folder))
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    _, step = planned(module_of(folder))
    assert step.peak[WEIGHTS] + step.peak[TRAINED] == real.weights + real.trained
    assert step.peak[KEPT] == pytest.approx(real.kept, rel=0.15)
    assert step.forward + step.backward == pytest.approx(real.forward + real.backward, rel=0.03)


@pytest.mark.parametrize("family", only(["mixtral", "qwen2_moe"], "mixtral"))
def test_experts_are_planned_as_they_are_trained(family: str, tmp_path: Path) -> None:
    folder = write_layout(tmp_path, family)
    real = measured(module_of(folder))
    model, step = planned(module_of(folder))
    assert step.peak[WEIGHTS] + step.peak[TRAINED] == real.weights + real.trained
    assert (model.trained, model.optimizer) == (real.trained, real.optimizer)
    assert step.peak[KEPT] == pytest.approx(real.kept, rel=0.15)
    assert step.forward == pytest.approx(real.forward, rel=0.03)
    assert step.backward == pytest.approx(real.backward, rel=0.03)


def test_each_row_meets_the_experts_it_is_sent_to() -> None:
    rows, weight = torch.ones(12, 4, requires_grad=True), torch.ones(3, 4, 8, requires_grad=True)
    with count_flops() as forward:
        result = torch.nn.functional.grouped_mm(rows, weight, offs=torch.tensor([2, 6, 12], dtype=torch.int32))
    with count_flops() as backward:
        result.backward(torch.ones_like(result))
    assert (forward.get_total_flops(), backward.get_total_flops()) == (2 * 12 * 4 * 8, 2 * 2 * 12 * 4 * 8)


def test_losses_on_hidden_states_take_the_first_layers_alone(llama: Path) -> None:
    found = [planned(module_of(llama, layer=1, whole_model=whole)) for whole in (False, True)]
    (first, step), (whole, with_all) = found
    assert step.weights_read == with_all.weights_read == pytest.approx(step.peak[WEIGHTS], rel=0.01)
    assert step.peak[WEIGHTS] < 0.6 * with_all.peak[WEIGHTS]  # 2 of 5 layers, no head
    assert first.exported == whole.exported == pytest.approx(with_all.peak[WEIGHTS] + whole.trained, rel=0.01)
    others = [{part: size for part, size in one.peak.items() if part != WEIGHTS} for one in (step, with_all)]
    assert others[0] == others[1]


def test_losses_on_logits_read_the_whole_model(llama: Path) -> None:
    _, step = planned(module_of(llama, layer=1, forget=NPO(0.1), retain=LogitKL()))
    assert step.weights_read == pytest.approx(step.peak[WEIGHTS], rel=1e-3)  # all but a buffer


@pytest.mark.slow
def test_masters_take_float32_beside_weights_in_bf16(llama: Path) -> None:
    halves, mixed = (planned(module_of(llama), precision=name) for name in ("bf16-true", "bf16-mixed"))
    assert mixed[1].peak[TRAINED] == 2 * halves[1].peak[TRAINED]
    assert mixed[1].peak[WEIGHTS] == halves[1].peak[WEIGHTS]
    assert mixed[1].peak[COPIES] == halves[1].peak[COPIES]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_export_is_as_large_as_the_models_files(dtype: torch.dtype, tmp_path: Path) -> None:
    folder = write_family(tmp_path, "llama", dtype=dtype)
    weights = (folder / "model.safetensors").stat().st_size
    assert planned(module_of(folder), precision="bf16-mixed")[0].exported == pytest.approx(weights, rel=0.1)


@pytest.mark.parametrize("precision", only(["32-true", "bf16-mixed"], "32-true"))
def test_from_two_numbers_of_rows_follow_all(precision: str, llama: Path) -> None:
    one, two, four = (
        planned(module_of(llama), rows=ROWS._replace(batch=batch), precision=precision)[1] for batch in (1, 2, 4)
    )
    assert Growth(one, two).peak(4) == pytest.approx(four.peak, rel=0.01)
    assert (four.forward, four.backward) == (4 * one.forward, 4 * one.backward)


@pytest.mark.slow
def test_dropout_runs_without_values(llama: Path) -> None:
    _, with_dropout = planned(module_of(llama, attention_dropout=0.1))
    _, without = planned(module_of(llama))
    assert with_dropout.peak[KEPT] > without.peak[KEPT]


def test_options_in_the_models_own_units_are_planned(llama: Path) -> None:
    in_units = {"forget": RMU(2.0, unit="norm"), "noise_scale": 0.6, "noise_unit": "rms", "state_unit": "rms"}
    _, absolute = planned(module_of(llama))
    _, step = planned(module_of(llama, **in_units))
    assert (step.forward, step.backward) == (absolute.forward, absolute.backward)
    assert step.peak[TRAINED] == absolute.peak[TRAINED]


@pytest.mark.parametrize("noise", [DisplacementNoise(4), AdversarialNoise(2)], ids=repr)
def test_noise_with_a_direction_is_planned(noise: DisplacementNoise | AdversarialNoise, llama: Path) -> None:
    _, usual = planned(module_of(llama))
    _, step = planned(module_of(llama, noise=noise))
    assert step.backward == usual.backward
    along = 2 * ROWS.batch * ROWS.retain * 4 * 32  # of tokens, directions and dimensions
    assert step.forward - usual.forward == (along if isinstance(noise, DisplacementNoise) else 0)
    assert step.peak[KEPT] >= usual.peak[KEPT]


def test_losses_on_several_layers_run_each_layer_once(llama: Path) -> None:
    lower = {"forget": CircuitBreaker([1]), "retain": RepresentationNorm([1])}
    steps = [planned(module_of(llama, trainable=TRAINED_FROM_1, **own))[1] for own in (lower, {})]
    assert steps[0].backward == steps[1].backward

"""A plan against real steps of small models: the same bytes, the same operations."""

from pathlib import Path
from typing import Any

import pytest
from torch import optim

from lit_unlearn import DPO, NPO, RMU, LogitKL, Lora, RepresentationMSE, UnlearnModule
from lit_unlearn.plan.ledger import COPIES, GRADIENTS, KEPT, OPTIMIZER, TRAINED, WEIGHTS
from lit_unlearn.plan.strategies import Growth
from tests.families import FAMILIES, write_family
from tests.plan.measuring import ROWS, measured, planned

METHODS: dict[str, dict[str, Any]] = {
    "rmu": {},
    "rmu without noise, SGD": {"noise_scale": 0.0, "optimizer": lambda parameters: optim.SGD(parameters, lr=0.1)},
    "whole layers": {"trainable": [r"model\.layers\.[12]\..*"]},
    "everything": {"forget": NPO(0.1), "retain": LogitKL(), "trainable": [".*"]},
    "npo": {"forget": NPO(0.1), "retain": LogitKL()},
    "dpo": {"forget": DPO(0.1), "retain": LogitKL()},
    "eager attention": {"attn_implementation": "eager"},
    "lora": {"lora": Lora(r=4, target_modules=["q_proj", "down_proj"], layers_to_transform=[1, 2])},
}


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_family(tmp_path_factory.mktemp("plan"), "llama")


def module_of(folder: Path, **options: Any) -> UnlearnModule:
    defaults: dict[str, Any] = {"forget": RMU(1.0), "retain": RepresentationMSE(), "layer": 2, "noise_scale": 0.1}
    return UnlearnModule(str(folder), **defaults | options)


@pytest.mark.parametrize("method", METHODS)
def test_every_part_is_that_of_a_real_step(method: str, llama: Path) -> None:
    model, step = planned(module_of(llama, **METHODS[method]))
    real = measured(module_of(llama, **METHODS[method]))
    exact = {WEIGHTS: real.weights, TRAINED: real.trained, COPIES: real.copies, OPTIMIZER: real.optimizer}
    assert {part: step.peak[part] for part in exact} == exact
    assert (model.trained, model.optimizer) == (real.trained, real.optimizer)
    assert step.peak[GRADIENTS] in (0, real.gradients)  # 0 where the worst moment is before backward makes them
    assert step.peak[KEPT] == pytest.approx(real.kept, rel=0.15)
    assert step.forward == pytest.approx(real.forward, rel=0.03)
    assert step.backward == pytest.approx(real.backward, rel=0.03)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_planned_from_its_configuration(family: str, tmp_path: Path) -> None:
    folder = write_family(tmp_path, family)
    real = measured(module_of(folder))
    for weights in folder.glob("*.safetensors"):
        weights.unlink()
    _, step = planned(module_of(folder))
    assert step.peak[WEIGHTS] + step.peak[TRAINED] == real.weights + real.trained
    assert step.peak[KEPT] == pytest.approx(real.kept, rel=0.15)
    assert step.forward + step.backward == pytest.approx(real.forward + real.backward, rel=0.03)


def test_losses_on_hidden_states_read_the_first_layers_alone(llama: Path) -> None:
    _, step = planned(module_of(llama, layer=1))
    _, logits = planned(module_of(llama, layer=1, forget=NPO(0.1), retain=LogitKL()))
    assert logits.weights_read == pytest.approx(logits.peak[WEIGHTS], rel=1e-3)  # all but a buffer
    assert step.weights_read < 0.6 * step.peak[WEIGHTS]  # 2 of 5 layers, no head


def test_masters_take_float32_beside_weights_in_bf16(llama: Path) -> None:
    halves, mixed = (planned(module_of(llama), precision=name) for name in ("bf16-true", "bf16-mixed"))
    assert mixed[1].peak[TRAINED] == 2 * halves[1].peak[TRAINED]
    assert mixed[1].peak[WEIGHTS] == halves[1].peak[WEIGHTS]
    assert mixed[1].peak[COPIES] == halves[1].peak[COPIES]
    assert mixed[0].exported == halves[0].exported == pytest.approx(mixed[0].loaded, rel=0.01)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_from_two_numbers_of_rows_follow_all(precision: str, llama: Path) -> None:
    one, two, four = (
        planned(module_of(llama), rows=ROWS._replace(batch=batch), precision=precision)[1] for batch in (1, 2, 4)
    )
    assert Growth(one, two).peak(4) == pytest.approx(four.peak, rel=0.01)
    assert (four.forward, four.backward) == (4 * one.forward, 4 * one.backward)


def test_dropout_runs_without_values(llama: Path) -> None:
    _, with_dropout = planned(module_of(llama, attention_dropout=0.1))
    _, without = planned(module_of(llama))
    assert with_dropout.peak[KEPT] > without.peak[KEPT]

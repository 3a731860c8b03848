"""A refactoring leaves the loss curve of every method as it is."""

import json

import pytest

from lit_unlearn import losses
from lit_unlearn.losses import retain
from lit_unlearn.losses.contract import Loss
from tests.fast import only
from tests.losses.golden_curves import FILE, METHODS, curve

CURVES: dict[str, list[float]] = json.loads(FILE.read_text(encoding="utf-8"))


ROUNDED = {
    "RMU + RNA": 1e-8,
    "RSV": 1e-8,
    "TokenWeightedRMU": 1e-8,
    "CircuitBreaker + norm + RNA": 1e-6,
    "NPO + KL": 1e-6,
    "DPO + KL + RNA": 1e-6,
    "Distillation + KL + RNA": 1e-6,
    **dict.fromkeys(("SimNPO + MSE", "GradDiff", "WGA + NLL", "SatImp + NLL", "CEU + KL", "UNDIAL + KL"), 1e-7),
}
"""Norms of transformers round to float32 in a float64 run too, which turns another order of the same products (the
divergence's gradient is a small difference of probabilities) into up to 1e-7 after some steps; so does another
processor (an AMD EPYC: GradDiff 1.6e-8, UNDIAL 7.5e-9, Distillation 1.1e-7). Noise and random directions are drawn in
float32, whose logarithm and cosine round otherwise on another processor: up to 6e-9. A circuit breaker begins where the
cosine is largest, and departs from there the faster the further it is."""


@pytest.mark.parametrize("name", only(METHODS, "RMU + RNA", "NPO + KL"))
def test_the_loss_curve_of_a_method_is_its_golden_one(name: str) -> None:
    assert curve(name) == pytest.approx(CURVES[name], rel=ROUNDED.get(name, 1e-9))


def test_every_loss_has_a_golden_curve() -> None:
    used = {type(options[stream]).__name__ for options in METHODS.values() for stream in ("forget", "retain")}
    retain_losses = {
        cls.__name__ for cls in vars(retain).values() if isinstance(cls, type) and issubclass(cls, Loss)
    } - {"Loss"}
    assert set(losses.__all__) | retain_losses <= used

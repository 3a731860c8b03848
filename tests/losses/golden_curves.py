"""Loss curves of every method on the demo world, and the file that holds them: `python -m tests.losses.golden_curves`.

A curve is the loss of 20 steps in float64. It is written once for each method, and changes only when the method is
meant to.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from torch.optim import AdamW

from lit_unlearn import (
    CEU,
    DPO,
    NLL,
    NPO,
    PDU,
    RMU,
    RSV,
    UNDIAL,
    WGA,
    AdaptiveRMU,
    CircuitBreaker,
    DemoDataModule,
    Distillation,
    GradientAscent,
    LogitKL,
    LogitMSE,
    NoLoss,
    Refusal,
    Relearning,
    RepresentationMSE,
    RepresentationNorm,
    SatImp,
    SimNPO,
    TokenWeightedRMU,
    UnlearnModule,
)
from tests.training import Losses, quiet_trainer

FILE = Path(__file__).with_suffix(".json")
STEPS = 20

METHODS: dict[str, dict[str, Any]] = {
    "RMU + RNA": {
        "forget": RMU(14),
        "retain": RepresentationMSE(),
        "retain_weight": 20,
        "noise_scale": 1.5,
        "trainable": [r"model\.layers\.[012]\..*proj\.weight"],
    },
    "TokenWeightedRMU": {"forget": TokenWeightedRMU(14), "retain": RepresentationMSE(), "retain_weight": 20},
    "AdaptiveRMU": {"forget": AdaptiveRMU(5), "retain": RepresentationMSE(), "retain_weight": 20},
    "RSV": {"forget": RSV(14), "retain": RepresentationMSE(), "retain_weight": 20},
    "NPO + KL": {
        "forget": NPO(0.1, length_normalized=True),
        "retain": LogitKL(),
        "retain_weight": 2,
        "trainable": [r"model\.layers\.[012]\..*proj\.weight"],
    },
    "SimNPO + MSE": {"forget": SimNPO(0.1, 0), "retain": LogitMSE(), "retain_weight": 1},
    "DPO + KL + RNA": {"forget": DPO(0.1), "retain": LogitKL(), "retain_weight": 2, "noise_scale": 0.1},
    "Refusal + NLL": {"forget": Refusal(), "retain": NLL(), "retain_weight": 5},
    "GradDiff": {"forget": GradientAscent(), "retain": NLL(), "retain_weight": 5},
    "WGA + NLL": {"forget": WGA(), "retain": NLL(), "retain_weight": 5},
    "SatImp + NLL": {"forget": SatImp(), "retain": NLL(), "retain_weight": 5},
    "CEU + KL": {"forget": CEU(), "retain": LogitKL(), "retain_weight": 1},
    "UNDIAL + KL": {"forget": UNDIAL(), "retain": LogitKL(), "retain_weight": 1},
    "PDU + NLL": {"forget": PDU(), "retain": NLL(), "retain_weight": 50},
    "Distillation + KL + RNA": {
        "forget": Distillation(),
        "retain": LogitKL(),
        "retain_weight": 1,
        "noise_scale": 0.1,
    },
    "CircuitBreaker + norm + RNA": {  # without noise nothing but rounding would begin it
        "forget": CircuitBreaker([0, 1]),
        "retain": RepresentationNorm([1]),
        "retain_weight": 0.01,
        "noise_scale": 0.5,
    },
    "Relearning": {"forget": Relearning(), "retain": NoLoss(), "retain_weight": 0},
}
"""A run of each forget and each retain loss, with noise on states and on logits."""


def curve(name: str) -> list[float]:
    """The loss of each step of a run."""
    module = UnlearnModule(
        "demo",
        layer=2,
        seed=0,
        optimizer=lambda parameters: AdamW(parameters, lr=3e-4, weight_decay=0.0, eps=1e-8),
        **METHODS[name],
    )
    losses = Losses()
    with tempfile.TemporaryDirectory() as folder:
        trainer = quiet_trainer(Path(folder), max_steps=STEPS, precision="64-true", callbacks=[losses])
        trainer.fit(module, DemoDataModule(batch_size=4, questions=4, seed=0))
    return losses.values


def main() -> None:
    """Writes the curves of methods that have none; those that are there stay."""
    held = json.loads(FILE.read_text(encoding="utf-8")) if FILE.exists() else {}
    curves = {name: held.get(name) or curve(name) for name in METHODS}
    FILE.write_text(json.dumps(curves, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

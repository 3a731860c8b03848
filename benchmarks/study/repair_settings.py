"""What the study of repairs compares: RMU with repairs of its weights, of its gradients, of its rows, and controls."""

import json
from collections.abc import Sequence

from benchmarks.study.settings import Candidate, RepairOrControl, Setting, WeightRepairs

_LR, _STEPS, _WEIGHT = 3e-4, 300, 20
_SEED = 2
"""Of the draws that perturb, that of the reported questions."""
_PERTURBATIONS = {
    "4-gram": {"n": 4, "seed": _SEED, "sets": ["retain"]},
    "sentence": {"n": "sentence", "seed": _SEED, "position": "prefix", "sets": ["retain"]},
}
_TABLES = (("forget", "retain", "retain/4-gram", "retain/sentence"),)
_STEADY_MIXING = {
    "data.mixing": json.dumps({"rate": 0.5, "spans": 1, "length": 4}),
    "model.retain_weight": f"{2 * _WEIGHT:g}",
    "model.lr_scheduler": f"{{class_path: torch.optim.lr_scheduler.CosineAnnealingLR, init_args: {{T_max: {_STEPS}}}}}",
}


def _closed_form(title: str, strengths: Sequence[float], share: float = 1.0) -> WeightRepairs:
    names = {mu: f"closed-form-{mu:g}" + ("" if share == 1 else f"-share-{share:g}") for mu in strengths}
    return WeightRepairs(
        title,
        tuple(
            Candidate(names[mu], f"μ {mu:g}", {"class_path": "ClosedForm", "init_args": {"mu": mu, "share": share}})
            for mu in strengths
        ),
    )


def _null_space(title: str, energies: Sequence[float]) -> WeightRepairs:
    return WeightRepairs(
        title,
        tuple(
            Candidate(
                f"null-space-{energy:g}",
                f"{100 * energy:g} %",
                {"class_path": "NullSpace", "init_args": {"energy": energy}},
            )
            for energy in energies
        ),
    )


REPAIRS = (
    Setting(
        "RMU, all matrices",
        "rmu-all",
        {"config": "demo.yaml", "data.perturbations": json.dumps(_PERTURBATIONS)},
        (
            RepairOrControl("pcgrad", "PCGrad", {"model.gradients": "pcgrad"}),
            RepairOrControl("rna", "+ RNA, ν 0.5", {"model.noise_scale": "0.5"}),
            RepairOrControl("steady-mixing", "steady + mixing", _STEADY_MIXING),
            RepairOrControl("half-lr", "half the learning rate", {"model.optimizer.lr": f"{_LR / 2:g}"}),
        ),
        _STEPS,
        tables=_TABLES,
        curve=(0.5, 0.6, 0.7, 0.8),
        asked={"data.questions": "144"},
        weight_repairs=(
            _closed_form("closed form", (1, 2, 3)),
            _closed_form("0.75 of the way, closed form", (0.25, 0.5, 1), share=0.75),
            _null_space("null space", (0.2, 0.5, 0.8)),
        ),
    ),
)

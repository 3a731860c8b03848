"""What the study of repairs compares: RMU, its weights repaired in several ways, and controls."""

import json
from collections.abc import Sequence

from benchmarks.study.mixing_settings import MIXED, PROMPTS
from benchmarks.study.settings import Candidate, RepairOrControl, Setting, WeightRepairs

_SEED = 2
"""Of the draws that perturb, that of the reported questions."""
_PERTURBATIONS = {
    "4-gram": {"n": 4, "seed": _SEED, "sets": ["retain"]},
    "sentence": {"n": "sentence", "seed": _SEED, "position": "prefix", "sets": ["retain"]},
}
_DIRECTED = (
    ("sphere-noise", "noise of one norm", "SphereNoise"),
    ("displacement-noise", "noise along displacements", "DisplacementNoise"),
    ("adversarial-noise", "adversarial noise", "AdversarialNoise"),
)
"""Does RNA need randomness, or the right direction? All have RNA's norm."""
_TABLES = (("forget", "retain", "retain/4-gram", "retain/sentence"),)


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
            RepairOrControl("rna", "+ RNA, ν 1.5", {"model.noise_scale": "1.5"}),
            *(
                RepairOrControl(folder, f"+ {title}, ν 1.5", {"model.noise_scale": "1.5", "model.noise": kind})
                for folder, title, kind in _DIRECTED
            ),
            RepairOrControl("mixing", "+ mixing", MIXED),
            RepairOrControl("prompts", "+ mixed prompts", PROMPTS),
            RepairOrControl("pcgrad", "+ PCGrad", {"model.gradients": "pcgrad"}),
            RepairOrControl("half-lr", "half the learning rate", {"model.optimizer.lr": "1.5e-4"}),
        ),
        tables=_TABLES,
        curve=(0.5, 0.6, 0.7, 0.8),
        stops=False,
        asked={"data.questions": "144"},
        weight_repairs=(
            _closed_form("closed form", (1, 2, 3)),
            _closed_form("0.75 of the way, closed form", (0.25, 0.5, 1), share=0.75),
            _null_space("null space", (0.2, 0.5, 0.8)),
        ),
    ),
)

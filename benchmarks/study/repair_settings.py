"""What the study of repairs compares: methods, their weights repaired in several ways, and controls."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.study.mixing_settings import MIXED, PROMPTS, UNSEEN, steady
from benchmarks.study.settings import (
    OUTPUTS,
    Candidate,
    RepairOrControl,
    Setting,
    WeightRepairs,
    at_half_lr,
    with_rna,
)

_SEED = 2
"""Of the draws that perturb, that of the reported questions."""
_PERTURBATIONS = {
    "4-gram": {"n": 4, "seed": _SEED, "sets": ["retain"]},
    "sentence": {"n": "sentence", "seed": _SEED, "position": "prefix", "sets": ["retain"]},
}
_MORE: Mapping[str, Mapping[str, Any]] = {
    **{f"{n}-gram": {"n": n, "seed": _SEED, "sets": ["retain"]} for n in (1, 4, 8)},
    "unseen": {"texts": UNSEEN, "seed": _SEED, "sets": ["retain"]},
    "sentence": {"n": "sentence", "seed": _SEED, "position": "prefix"},
}
"""Of further methods; a retain sentence before a question to forget shows whether that is a way back."""
_DIRECTED = (
    ("sphere-noise", "noise of one norm", "SphereNoise"),
    ("displacement-noise", "noise along displacements", "DisplacementNoise"),
    ("adversarial-noise", "adversarial noise", "AdversarialNoise"),
)
"""Does RNA need randomness, or the right direction? All have RNA's norm."""
_SAM = {"model.optimizer": "SAM", "model.optimizer.lr": "3e-4", "model.optimizer.rho": "0.01"}
"""All else as AdamW of `demo.yaml`, weight decay 0 and ε 1e-8."""
_TABLES = (("forget", "retain", "retain/4-gram", "retain/sentence"),)
_MORE_TABLES = (
    ("forget", "retain", "retain/1-gram", "retain/4-gram", "retain/8-gram"),
    ("retain/unseen", "retain/sentence", "forget/sentence"),
)


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


def _further(
    title: str,
    folder: str,
    config: str,
    own: Mapping[str, str] | None = None,
    *,
    lr: float = 3e-4,
    noise: float = 1.5,
    steps: int = 300,
    curve: Sequence[float],
) -> Setting:
    """A further method with RNA, mixing, and controls.

    Args:
        title: of the table.
        folder: of its runs.
        config: of `fit`.
        own: options of `fit`.
        lr: learning rate, which a control halves.
        noise: ν of RNA.
        steps: of training.
        curve: shares of the way from base to unlearned model at which it is evaluated.
    """
    return Setting(
        title,
        folder,
        {"config": config, "model.optimizer.lr": f"{lr:g}", "data.perturbations": json.dumps(_MORE), **(own or {})},
        (
            with_rna(noise),
            RepairOrControl("mixing", "+ mixing", MIXED),
            at_half_lr(lr),
        ),
        steps,
        tables=_MORE_TABLES,
        curve=(*curve,),
        asked={"data.questions": "144"},
        weight_repairs=(_closed_form("closed form", (0.25, 0.5, 1, 2, 4)),),
    )


REPAIRS = (
    Setting(
        "RMU, all matrices",
        "rmu-all",
        {"config": "demo.yaml", "data.perturbations": json.dumps(_PERTURBATIONS)},
        (
            with_rna(1.5),
            *(
                RepairOrControl(folder, f"+ {title}, ν 1.5", {"model.noise_scale": "1.5", "model.noise": kind})
                for folder, title, kind in _DIRECTED
            ),
            RepairOrControl("mixing", "+ mixing", MIXED),
            RepairOrControl("steady-mixing", "steady + mixing", steady(20, 300) | MIXED),
            RepairOrControl("prompts", "+ mixed prompts", PROMPTS),
            RepairOrControl("pcgrad", "+ PCGrad", {"model.gradients": "pcgrad"}),
            RepairOrControl("project-forget", "+ one-sided projection", {"model.gradients": "project_forget"}),
            RepairOrControl("sam", "+ SAM, ρ 0.01", _SAM),
            RepairOrControl("half-lr", "half the learning rate", {"model.optimizer.lr": "1.5e-4"}),
        ),
        seeds=8,
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
    _further(
        "RMU, MLP outputs only",
        "rmu-mlp",
        "demo.yaml",
        {"model.trainable": OUTPUTS, "model.forget.init_args.coefficient": "7"},
        lr=2e-3,
        curve=(0.6, 0.7, 0.8, 0.9),
    ),
    _further("Adaptive RMU, all matrices", "adaptive-rmu-all", "demo_adaptive_rmu.yaml", curve=(0.5, 0.6, 0.7, 0.8)),
    _further("NPO + KL, all matrices", "npo-kl", "demo_npo.yaml", noise=0.03, steps=150, curve=(0.5, 0.6, 0.7, 0.8)),
)

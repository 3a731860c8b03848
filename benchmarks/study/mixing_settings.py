"""What the study of forget-token mixing compares: methods, each with mixing, with RNA, and with other controls."""

import json
from collections.abc import Sequence
from typing import Any

from benchmarks.study.settings import OUTPUTS, RepairOrControl, Setting, at_half_lr, with_rna
from lit_unlearn.demo import phrases
from lit_unlearn.demo.knowledge import invent

SEED = 2
"""Of the draws that perturb, that of the reported questions."""
_APART = 3
"""One in this many entities of the forget subjects is never mixed in."""
_WORLD = invent()
_FORGET = [fact for fact in _WORLD.facts if fact.subject in _WORLD.forget]
UNSEEN = [*dict.fromkeys(fact.entity for fact in _FORGET)][::_APART]
"""The entities that are never mixed in."""
_ASKED = [
    phrases.QUESTIONS[place % len(phrases.QUESTIONS)].format(**fact._asdict()) for place, fact in enumerate(_FORGET)
]
"""Questions about what is forgotten: no text that is unlearned or mixed in is of this style."""
_PERTURBATIONS: dict[str, dict[str, Any]] = {
    **{f"{n}-gram": {"n": n, "sets": ["retain"]} for n in (1, 2, 4, 8)},
    "stem": {"n": 4, "position": "stem"},
    "sentence": {"n": "sentence", "position": "prefix"},
    "unseen": {"texts": UNSEEN, "sets": ["retain"]},
    "question": {"texts": _ASKED, "position": "prefix", "sets": ["retain"]},
}
_DATA = {"data.perturbations": json.dumps({name: {**source, "seed": SEED} for name, source in _PERTURBATIONS.items()})}
_TABLES = (
    ("forget", "retain", "retain/1-gram", "retain/2-gram", "retain/4-gram", "retain/8-gram"),
    ("retain/stem", "retain/sentence", "retain/unseen", "retain/question", "forget/stem", "forget/sentence"),
)
SHIPPED = {"data.mixing": json.dumps({"rate": 0.5, "spans": 1, "length": 4})}
"""As in demo_mixing.yaml."""
MIXED = {"data.mixing": json.dumps({"rate": 0.5, "spans": 1, "length": 4, "exclude": UNSEEN})}
PROMPTS = {"data.mixing": json.dumps({"rate": 0.5, "unit": "rows"})}
_ATTENTION = {"model.trainable": r'["model\\.layers\\.[012]\\.(self_attn\\..*|mlp\\.down)_proj\\.weight"]'}


def steady(weight: float, steps: int) -> dict[str, str]:
    """What mixing is recommended with: twice the retain loss, and a learning rate that falls to 0.

    Args:
        weight: of the retain loss, which is doubled.
        steps: of training.
    """
    cosine = f"{{class_path: torch.optim.lr_scheduler.CosineAnnealingLR, init_args: {{T_max: {steps}}}}}"
    return {"model.retain_weight": f"{2 * weight:g}", "model.lr_scheduler": cosine}


def _setting(
    title: str,
    folder: str,
    config: str,
    own: dict[str, str] | None = None,
    *,
    lr: float = 3e-4,
    noise: float = 0.5,
    weight: float = 20,
    steps: int = 300,
    asked: Sequence[str] = ("rna", "mixing", "steady-mixing", "half-lr"),
    relearns: bool = False,
) -> Setting:
    """A setting with some of all rows.

    Args:
        title: of the table.
        folder: of its runs.
        config: of `fit`.
        own: options of `fit`.
        lr: learning rate, which a control halves.
        noise: ν of RNA.
        weight: of the retain loss, which a control doubles.
        steps: of training.
        asked: folders of its rows; `steady` is what mixing is recommended with.
        relearns: whether what each row has forgotten is learnt again.
    """
    rna = with_rna(noise)
    calm = steady(weight, steps)
    rows = (
        rna,
        RepairOrControl("mixing", "+ mixing", MIXED),
        RepairOrControl("mixing-rna", "+ mixing + RNA", MIXED | rna.options),
        RepairOrControl("steady", "steady", calm),
        RepairOrControl("steady-mixing", "steady + mixing", calm | MIXED),
        RepairOrControl("prompts", "+ mixed prompts", PROMPTS),
        RepairOrControl("steady-prompts", "steady + mixed prompts", calm | PROMPTS),
        RepairOrControl("attention", "attention trained too", _ATTENTION),
        RepairOrControl("attention-mixing", "attention too, steady + mixing", _ATTENTION | calm | MIXED),
        at_half_lr(lr),
    )
    options = {"config": config, "model.optimizer.lr": f"{lr:g}", "model.retain_weight": f"{weight:g}", **_DATA}
    compared = tuple(row for row in rows if row.folder in asked)
    return Setting(title, folder, options | (own or {}), compared, steps, tables=_TABLES, relearns=relearns)


_COMMON = ("rna", "mixing", "mixing-rna", "steady-mixing", "half-lr")
_PROMPTED = ("prompts", "steady-prompts")
MIXING = (
    _setting("RMU, all matrices", "rmu-all", "demo.yaml", asked=(*_COMMON, "steady", *_PROMPTED), relearns=True),
    _setting(
        "RMU, MLP outputs only",
        "rmu-mlp",
        "demo.yaml",
        {"model.trainable": OUTPUTS, "model.forget.init_args.coefficient": "7"},
        lr=2e-3,
        noise=1.5,
        asked=(*_COMMON, "attention", "attention-mixing"),
    ),
    _setting("NPO + KL, all matrices", "npo-kl", "demo_npo.yaml", noise=0.03, weight=2, steps=150),
    _setting(
        "Adaptive RMU, all matrices", "adaptive-rmu-all", "demo_adaptive_rmu.yaml", asked=("rna", "steady-mixing")
    ),
)

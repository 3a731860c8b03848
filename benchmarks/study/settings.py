"""What the study of the methods compares: each, its repairs and controls; and what any study is made of."""

from collections.abc import Mapping
from typing import Any, NamedTuple

SHARES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of the way from base to unlearned model: the curve at which repairs are read that forget less than the method."""
SHRINKAGE = 0.09
"""Share by which weight decay shrinks what is trained, learning rate · steps · decay."""
DROPOUT = 0.1
OUTPUTS = r'["model\\.layers\\.[012]\\.mlp\\.down_proj\\.weight"]'
"""The MLP output projections, as trained in published runs."""
_NOISE = (0.5, 1.5, 4.0)
"""For representation losses: 2.4, 7 and 19 times the root mean square of a dimension of the hidden states, 0.21."""
_NOISE_OF_LOGITS = (0.03, 0.1)
"""For losses on logits: 0.14 and 0.5 times."""
_MSE = {"model.retain": "LogitMSE"}


class RepairOrControl(NamedTuple):
    """A repair or a control."""

    folder: str
    title: str
    options: dict[str, str]


def with_rna(scale: float) -> RepairOrControl:
    """RNA at ν `scale`."""
    return RepairOrControl("rna", f"+ RNA, ν {scale:g}", {"model.noise_scale": f"{scale:g}"})


def at_half_lr(lr: float) -> RepairOrControl:
    """Half of a learning rate."""
    return RepairOrControl("half-lr", "half the learning rate", {"model.optimizer.lr": f"{lr / 2:g}"})


class Candidate(NamedTuple):
    """A repair of the unlearned weights at some strength."""

    name: str
    """Under `repair` in the records."""
    strength: str
    options: Mapping[str, Any]
    """Class and arguments."""


class WeightRepairs(NamedTuple):
    """Repairs of the unlearned weights of one kind, of which one is chosen."""

    title: str
    candidates: tuple[Candidate, ...]
    """The weakest first."""


class Setting(NamedTuple):
    """A method, what it trains, and what it is compared with."""

    title: str
    folder: str
    options: dict[str, str]
    """Of `fit`."""
    rows: tuple[RepairOrControl, ...]
    steps: int = 300
    seeds: int = 5
    tables: tuple[tuple[str, ...], ...] = ()
    """The variants of each table; none has one of all variants, with what comes back."""
    relearns: bool = False
    """Whether what each row has forgotten is learnt again."""
    weight_repairs: tuple[WeightRepairs, ...] = ()
    """Of the method's own weights, after training."""
    curve: tuple[float, ...] = SHARES
    """Shares of the way from base to unlearned model at which the method is evaluated on the reported draw."""
    stops: bool = True
    """Whether the method is also stopped early."""
    asked: Mapping[str, str] = {}
    """Options of what is asked on the reported draw."""

    @property
    def method(self) -> str:
        """The title without what is trained."""
        return self.title.partition(",")[0]


def _setting(
    title: str,
    folder: str,
    config: str,
    own: Mapping[str, str] | None = None,
    *,
    lr: float = 3e-4,
    noise: tuple[float, ...] = _NOISE,
    baselines: bool = True,
    steps: int = 300,
    seeds: int = 5,
) -> Setting:
    """A setting with RNA at each `noise`, half the learning rate and, with `baselines`, weight decay and dropout."""
    decay = f"{SHRINKAGE / (lr * steps):g}"
    regularised = (
        RepairOrControl("weight-decay", f"+ weight decay {decay}", {"model.optimizer.weight_decay": decay}),
        RepairOrControl("dropout", f"+ attention dropout {DROPOUT}", {"model.attention_dropout": str(DROPOUT)}),
    )
    rows = (
        *(RepairOrControl(f"noise-{scale}", f"+ RNA, ν {scale}", {"model.noise_scale": str(scale)}) for scale in noise),
        *(regularised if baselines else ()),
        at_half_lr(lr),
    )
    options = {"config": config, "model.optimizer.lr": str(lr), **(own or {})}
    return Setting(title, folder, options, rows, steps, seeds)


def _on_logits(
    title: str,
    folder: str,
    config: str,
    own: Mapping[str, str] | None = None,
    *,
    lr: float = 3e-4,
    noise: tuple[float, ...] = _NOISE_OF_LOGITS,
) -> Setting:
    """A setting whose losses read logits, each step of which costs several times as much: fewer steps and seeds."""
    return _setting(title, folder, config, own, lr=lr, noise=noise, steps=150, seeds=3)


METHODS = (
    _setting("RMU, all matrices", "rmu-all", "demo.yaml", baselines=False),
    _setting("Adaptive RMU, all matrices", "adaptive-rmu-all", "demo_adaptive_rmu.yaml", baselines=False),
    _setting("RSV, all matrices", "rsv-all", "demo_rsv.yaml", baselines=False),
    _setting(
        "RMU, MLP outputs only",
        "rmu-mlp",
        "demo.yaml",
        {"model.trainable": OUTPUTS, "model.forget.init_args.coefficient": "7"},
        lr=2e-3,
        baselines=False,
    ),
    _on_logits("NPO + KL, all matrices", "npo-kl", "demo_npo.yaml"),
    _on_logits("NPO + MSE, all matrices", "npo-mse", "demo_npo.yaml", _MSE | {"model.retain_weight": "1"}),
    _on_logits("SimNPO + KL, all matrices", "simnpo-kl", "demo_simnpo.yaml"),
    _on_logits("SimNPO + MSE, all matrices", "simnpo-mse", "demo_simnpo.yaml", _MSE | {"model.retain_weight": "1"}),
    _on_logits("DPO + KL, all matrices", "dpo-kl", "demo_dpo.yaml"),
    _on_logits("DPO + MSE, all matrices", "dpo-mse", "demo_dpo.yaml", _MSE | {"model.retain_weight": "0.25"}),
    _on_logits("GradDiff, all matrices", "grad-diff", "demo_grad_diff.yaml", lr=2e-4, noise=()),
)

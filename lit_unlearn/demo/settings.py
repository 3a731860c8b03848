"""What the study of docs/results.md compares: methods, and the repairs and controls of each."""

from collections.abc import Mapping
from typing import NamedTuple

WEIGHT_DECAY = 1.0
"""At a learning rate of 3e-4 what is trained shrinks by 9 % in 300 steps."""
DROPOUT = 0.1
_OUTPUTS = r'["model\\.layers\\.[012]\\.mlp\\.down_proj\\.weight"]'
_NOISE = (0.5, 1.5, 4.0)
"""2.4, 7 and 19 times the root mean square of a dimension of the hidden states, 0.21."""


class Row(NamedTuple):
    """A repair or a control."""

    folder: str
    title: str
    options: dict[str, str]


class Setting(NamedTuple):
    """A method, what it trains, and what it is compared with."""

    title: str
    folder: str
    options: dict[str, str]
    """Of `fit`, with the learning rate, which a control halves."""
    rows: tuple[Row, ...]
    steps: int = 300
    seeds: int = 5

    @property
    def method(self) -> str:
        """The title without what is trained."""
        return self.title.partition(",")[0]


def setting(
    title: str,
    folder: str,
    config: str,
    lr: float = 3e-4,
    own: Mapping[str, str] | None = None,
    *,
    noise: tuple[float, ...] = _NOISE,
    steps: int = 300,
    seeds: int = 5,
) -> Setting:
    """A setting with RNA, weight decay, dropout and half the learning rate.

    Args:
        title: of its table.
        folder: of its runs.
        config: a shipped one.
        lr: the learning rate.
        own: further options of `fit`.
        noise: standard deviations for RNA.
        steps: of training.
        seeds: how many.
    """
    rows = (
        *(Row(f"noise-{scale}", f"+ RNA, ν {scale}", {"model.noise_scale": str(scale)}) for scale in noise),
        Row("weight-decay", f"+ weight decay {WEIGHT_DECAY}", {"model.optimizer.weight_decay": str(WEIGHT_DECAY)}),
        Row("dropout", f"+ attention dropout {DROPOUT}", {"model.attention_dropout": str(DROPOUT)}),
        Row("half-lr", "half the learning rate", {"model.optimizer.lr": str(lr / 2)}),
    )
    options = {"config": config, "model.optimizer.lr": str(lr)} | {**(own or {})}
    return Setting(title, folder, options, rows, steps, seeds)


SETTINGS = (
    setting("RMU, all matrices", "rmu-all", "demo.yaml"),
    setting("Adaptive RMU, all matrices", "adaptive-rmu-all", "demo_adaptive_rmu.yaml"),
    setting("RSV, all matrices", "rsv-all", "demo_rsv.yaml"),
    setting(
        "RMU, MLP outputs only",
        "rmu-mlp",
        "demo.yaml",
        2e-3,
        {"model.trainable": _OUTPUTS, "model.forget.init_args.coefficient": "7"},
    ),
)

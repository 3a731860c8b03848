"""What the study of attacks compares: models of the demo world, and how each is made."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.study.mixing_settings import SHIPPED, steady
from lit_unlearn.commands.sweep.grid import Point
from lit_unlearn.runs import layout

UNEVALUATED = {"trainer.limit_val_batches": "0"}
"""Option of fits in which nothing is asked; their models are the same."""
BASE, METHOD = "base", "rmu"
"""The rows of the model before unlearning, and of the method that repairs and controls are compared with."""


class AttackedRow(NamedTuple):
    """A row of the tables."""

    folder: str
    title: str
    options: Mapping[str, str] = {}
    """Of the fit; none is the model before unlearning."""
    repair: Mapping[str, Any] = {}
    """Arguments of ClosedForm, where it is the method's run of the same seed that is repaired."""


ROWS = (
    AttackedRow(BASE, "base"),
    AttackedRow(METHOD, "RMU", {"config": "demo.yaml"}),
    AttackedRow("adaptive-rmu", "Adaptive RMU", {"config": "demo_adaptive_rmu.yaml"}),
    AttackedRow("npo-kl", "NPO + KL", {"config": "demo_npo.yaml"}),
    AttackedRow("simnpo-kl", "SimNPO + KL", {"config": "demo_simnpo.yaml"}),
    AttackedRow("rna", "RMU + RNA, ν 1.5", {"config": "demo.yaml", "model.noise_scale": "1.5"}),
    AttackedRow("mixing", "RMU + mixing", {"config": "demo.yaml", **SHIPPED}),
    AttackedRow("steady-mixing", "RMU, steady + mixing", {"config": "demo.yaml", **SHIPPED, **steady(20, 300)}),
    # With μ 0 the closed form is the identity, and `share` is interpolation.
    AttackedRow("interpolation", "base + 0.7 · (RMU − base)", {"config": "demo.yaml"}, {"mu": 0, "share": 0.7}),
    AttackedRow("stopped", "RMU, stopped after 50 steps", {"config": "demo.yaml", "trainer.max_steps": "50"}),
    AttackedRow("half-lr", "RMU, half the learning rate", {"config": "demo.yaml", "model.optimizer.lr": "1.5e-4"}),
    AttackedRow("closed-form", "RMU, closed form, μ 2", {"config": "demo.yaml"}, {"mu": 2}),
)


def fitted(rows: Sequence[AttackedRow], seed: int) -> Iterator[Point]:
    """The fits of a seed: those of the rows, and the method's where a row repairs that.

    Args:
        rows: the wanted ones.
        seed: of the fits: steering vector, noise, order of the rows.
    """
    repairs = any(row.repair for row in rows)
    for row in ROWS:
        if row.options and not row.repair and (row in rows or (repairs and row.folder == METHOD)):
            yield _point(row, seed, "ExportPretrained", UNEVALUATED)


def repaired(rows: Sequence[AttackedRow], seed: int, runs: Path) -> Iterator[Point]:
    """The method's runs of a seed, repaired.

    Args:
        rows: the wanted ones.
        seed: of the fits.
        runs: folder of all fits.
    """
    for row in rows:
        if row.repair:
            callbacks = [
                {"class_path": "UnlearnedWeights", "init_args": {"folder": str(export(METHOD, seed, runs))}},
                {
                    "class_path": "Repairs",
                    "init_args": {"repairs": [{"class_path": "ClosedForm", "init_args": row.repair}], "keep": True},
                },
                {"class_path": "ExportPretrained"},
            ]
            yield _point(row, seed, json.dumps(callbacks)[1:-1])


def made_by(row: AttackedRow, seed: int, runs: Path) -> list[Point]:
    """The fits of which a row's model is the last: none of the base, two where the method's run is repaired.

    Args:
        row: of the tables.
        seed: of the fits.
        runs: folder of all fits.
    """
    return [*fitted([row], seed), *repaired([row], seed, runs)]


def export(folder: str, seed: int, runs: Path) -> Path:
    """The model of a row."""
    return runs / folder / f"seed-{seed}" / layout.EXPORT


def _point(row: AttackedRow, seed: int, callbacks: str, more: Mapping[str, str] | None = None) -> Point:
    """A fit that is evaluated by the attacks alone."""
    own = {"trainer.callbacks": f"[{callbacks}]", "trainer.val_check_interval": "null", "seed_everything": str(seed)}
    return Point(f"{row.folder}/seed-{seed}", {**row.options, **own, **(more or {})})

"""What `benchmarks.scale` has found, as text."""

from collections.abc import Mapping
from typing import Any


def shown(found: Mapping[str, Any]) -> str:
    """A table of the phases."""
    again = ", activation checkpointing" if found["activation_checkpointing"] else ""
    lines = [
        f"{found['shape']}, {found['layers']} layers, {found['files_gib']:.2f} GiB; {found['method']} + RNA, steering "
        f"layer {found['layer']}, 2 × {found['rows']} × {found['tokens']} tokens, {found['precision']}{again}; "
        f"{found['device']}",
        f"  {'':18}{'s':>9}{'GiB':>8}{'plan':>8}{'ratio':>7}",
    ]
    for name, phase in found["phases"].items():
        plan, ratio = phase["predicted_gib"], phase["measured_over_predicted"]
        beside = f"{'-':>8}{'-':>7}" if plan is None else f"{plan:8.2f}{ratio:7.2f}"
        lines.append(f"  {name:18}{phase['seconds']:9.2f}{phase['gib']:8.2f}{beside}{_rates(phase)}")
    return "\n".join([*lines, *(f"  {part} left out: {reason}" for part, reason in found["left_out"].items())])


def _rates(phase: Mapping[str, float]) -> str:
    units = {"tokens_per_second": "tokens/s", "tflops_per_second": "TFLOP/s", "questions_per_second": "questions/s"}
    return "".join(f"  {phase[name]:.4g} {unit}" for name, unit in units.items() if name in phase)

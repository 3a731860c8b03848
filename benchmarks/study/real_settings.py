"""What the study on real models compares, each chosen on seed 0 (docs/new_model.md) and reported on others."""

import json
from collections.abc import Iterator, Sequence

from benchmarks.study.real_questions import CALLBACK
from benchmarks.study.settings import RepairOrControl, Setting, at_half_lr
from lit_unlearn.commands.sweep.grid import Point

SHARES = (0.6, 0.75, 0.9)
"""Of the way from base to unlearned model: with both ends the curve at which runs are read that forget less."""
EVERY = 20
"""Steps after which the method is evaluated, from which early stopping is read."""
FIRST_SEED = 1
"""Seed 0 chose the settings."""
DRAW = 1
"""Of rows, places and spans; `fit` takes 0."""
SPANS = ("word", "16", "sentence")


def _callbacks(rise: float, rows: int, spans: Sequence[str], *others: str) -> str:
    stop = f"{{class_path: StopAtForgetting, init_args: {{rise: {rise}, every: 5}}}}"
    count = (
        f"{{class_path: LikelihoodRobustness, init_args: {{rows: {rows}, spans: [{', '.join(spans)}], seed: {DRAW}}}}}"
    )
    return f"[{', '.join([stop, count, *others])}]"


def _mixing(length: int | Sequence[int]) -> dict[str, str]:
    return {"data.mixing": json.dumps({"rate": 0.5, "spans": 1, "length": length})}


def _rna(scale: float) -> RepairOrControl:
    return RepairOrControl(f"rna-{scale:g}", f"+ RNA, ν {scale:g} rms", {"model.noise_scale": f"{scale:g}"})


_ON_LOGITS = {
    "model.forget": "NPO",
    "model.forget.length_normalized": "true",
    "model.retain": "LogitKL",
    "model.state_unit": "absolute",
    "model.first_token": "true",
    "model.noise_scale": "0",
}
_REPAIRS = (_rna(0.6), RepairOrControl("mixing-16", "+ mixing, spans of 16", _mixing(16)))
SCALED = ("smollm2-rmu-all", "smollm2-npo", "gemma3-npo")
"""Studies that have no learning rate and no retain weight of their own: they take the overlay of `scale`."""
STUDIES = {
    one.folder: one
    for one in (
        Setting(
            "RMU on SmolLM2-135M-Instruct, MLP outputs",
            "smollm2-rmu",
            {"config": "smollm2.yaml", "model.noise_scale": "0"},
            (
                _rna(0.6),
                RepairOrControl("mixing-16", "+ mixing, spans of 16", _mixing(16)),
                RepairOrControl("mixing-4-16-32", "+ mixing, spans of 4, 16 or 32", _mixing([4, 16, 32])),
                *(_rna(scale) for scale in (0.3, 1.0, 2.0)),
                RepairOrControl("mixing-4", "+ mixing, spans of 4", _mixing(4)),
                at_half_lr(1.6e-3),
            ),
            steps=240,
        ),
        Setting(
            "RMU on Gemma 3 270M, MLP outputs",
            "gemma3-rmu",
            {"config": "gemma3.yaml", "model.noise_scale": "0"},
            _REPAIRS,
            steps=240,
        ),
        Setting(
            "RMU on SmolLM2-135M-Instruct, all matrices",
            "smollm2-rmu-all",
            {
                "config": "smollm2.yaml",
                "model.trainable": r'["model\\.layers\\.[789]\\..*_proj\\.weight"]',
                "model.noise_scale": "0",
            },
            _REPAIRS,
            steps=240,
        ),
        Setting(
            "NPO + KL on SmolLM2-135M-Instruct, MLP outputs",
            "smollm2-npo",
            {"config": "smollm2.yaml", **_ON_LOGITS},
            _REPAIRS,
            steps=120,
        ),
        Setting(
            "NPO + KL on Gemma 3 270M, MLP outputs",
            "gemma3-npo",
            {"config": "gemma3.yaml", **_ON_LOGITS},
            _REPAIRS,
            steps=120,
        ),
    )
}


def points(
    setting: Setting,
    rows: Sequence[RepairOrControl],
    *,
    rise: float,
    scored: int,
    spans: Sequence[str] = SPANS,
    every: int = EVERY,
    asked: bool = False,
) -> Iterator[Point]:
    """The fits, seed by seed, so that what has been done can be compared at any time.

    Args:
        setting: the method.
        rows: its repairs and controls.
        rise: of the NLL of held-out forget rows at which a fit ends, in nats per token.
        scored: held-out rows of either stream.
        spans: what is inserted.
        every: steps from one evaluation of the method to the next; 0 evaluates none but the first and the last.
        asked: whether questions are asked too.
    """
    questions = [CALLBACK] if asked else []
    between = f"{{class_path: Interpolation, init_args: {{shares: {[*SHARES]}}}}}"
    method = {
        "trainer.callbacks": _callbacks(rise, scored, spans, *questions, between),
        "trainer.val_check_interval": str(every or setting.steps),
    }
    plain = {
        "trainer.callbacks": _callbacks(rise, scored, spans, *questions),
        "trainer.val_check_interval": str(setting.steps),
    }
    chosen = {name: value for name, value in setting.options.items() if name != "config"}  # all fits share that
    fits = {"method": method, **{row.folder: plain | row.options for row in rows}}
    for seed in range(FIRST_SEED, FIRST_SEED + setting.seeds):
        for name, own in fits.items():
            options = {**chosen, "trainer.max_steps": str(setting.steps), **own, "seed_everything": str(seed)}
            yield Point(f"{name}/seed-{seed}", options)

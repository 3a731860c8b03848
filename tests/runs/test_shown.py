from pathlib import Path

import pytest

from lit_unlearn import (
    DemoDataModule,
    ExportPretrained,
    Generations,
    Interpolation,
    LastCheckpoint,
    LikelihoodRobustness,
    LMEvalHarness,
    PerturbationRobustness,
    RetainConstraint,
    RetainSchedule,
    StopAtForgetting,
)
from tests.training import demo_data, demo_module, quiet_trainer


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (PerturbationRobustness(["bio"]), "PerturbationRobustness(forget=('bio',))"),
        (LikelihoodRobustness(20, ["word"]), "LikelihoodRobustness(rows=20, spans=('word',))"),
        (Interpolation([0.5]), "Interpolation(shares=(0.5,))"),
        (Interpolation(), "Interpolation()"),
        (RetainConstraint(3.0, step_size=5.0), "RetainConstraint(limit=3.0, step_size=5.0)"),
        (RetainSchedule(150), "RetainSchedule(steps=150)"),
        (StopAtForgetting(1.2, rows=8), "StopAtForgetting(rise=1.2, rows=8)"),
        (ExportPretrained("out"), "ExportPretrained(folder='out')"),
        (Generations(questions=1), "Generations(questions=1)"),
        (Generations(prompts={"a": ["b"]}), "Generations(prompts={'a': ['b']})"),
        (LastCheckpoint(), "LastCheckpoint()"),
        (LastCheckpoint(50), "LastCheckpoint(every_n_steps=50)"),
        (LMEvalHarness(["mmlu"], limit=5), "LMEvalHarness(tasks=['mmlu'], limit=5)"),
        (DemoDataModule(draw=2, seed=7), "DemoDataModule(draw=2, seed=7)"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_a_repr_is_the_call_that_makes_it(made: object, shown: str) -> None:
    assert repr(made) == shown


def test_a_module_with_its_models_is_a_line(world: Path, tmp_path: Path) -> None:
    module = demo_module(world)
    quiet_trainer(tmp_path, max_steps=1).fit(module, demo_data(world))
    assert repr(module) == (
        f"UnlearnModule({str(world / 'model')!r}, RMU(coefficient=6.5, seed=0), RepresentationMSE(), "
        "retain_weight=PerTopic(5.0), layer=7, noise_scale=0.03)"
    )


def test_data_show_their_sources(world: Path) -> None:
    shown = repr(demo_data(world, batch_size=8))
    assert shown.startswith("UnlearnDataModule(forget={'alchemy': TextSource(path=")
    assert shown.endswith(", batch_size=8)")

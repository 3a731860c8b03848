import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from lit_unlearn import RMU, DemoDataModule, InputError, PerturbationRobustness, RepresentationMSE, UnlearnModule
from lit_unlearn.callbacks import Repairs
from lit_unlearn.callbacks.repair_limit import HIGHEST, answer_logprob, found_strength
from lit_unlearn.modules.held_out import held_out_pairs, mean_nll
from lit_unlearn.repairs import ClosedForm
from tests.callbacks.test_repairs import fit
from tests.training import quiet_trainer


def interpolated(module: UnlearnModule, trained: dict[str, torch.Tensor]) -> Any:
    """Makes weights that forget less the larger μ is: it stands in for a repair."""

    def repaired(one: ClosedForm) -> None:
        assert one.mu is not None
        with torch.no_grad():
            for name, original in module.frozen.originals().items():
                value = original + (trained[name] - original) / (1 + one.mu)
                module.updated.get_parameter(name).copy_(value)

    return repaired


def test_the_largest_strength_that_leaves_enough_forgotten(world: Path, tmp_path: Path) -> None:
    module, _ = fit(world, tmp_path, PerturbationRobustness(), forget=RMU(300.0))
    trained = {name: module.updated.get_parameter(name).detach().clone() for name in module.frozen.originals()}
    batches = [pair["forget"] for pair in held_out_pairs(module)]
    with module.frozen.running():
        before = mean_nll(module, batches)
    rise = mean_nll(module, batches) - before
    assert rise > 1e-3
    repaired = interpolated(module, trained)
    found = found_strength(module, ClosedForm(nll_rise=rise / 2), (), repaired)
    assert found.mu is not None
    assert 0 < found.mu < HIGHEST
    for mu, enough in ((found.mu, True), (1.2 * found.mu, False)):
        repaired(ClosedForm(mu))
        assert (mean_nll(module, batches) - before >= rise / 2) == enough


@pytest.mark.slow
def test_a_fit_evaluates_the_strength_that_was_found(world: Path, tmp_path: Path) -> None:
    repairs = Repairs([ClosedForm(nll_rise=1e-3)], rows=8)
    fit(world, tmp_path, PerturbationRobustness(), repairs, forget=RMU(300.0))
    records = json.loads((tmp_path / "run" / "results.json").read_text())["evaluations"]
    before, _, repaired = (fmean(record["held_out"]["forget"]["nll"]) for record in records)
    assert repaired - before >= 1e-3 - 1e-5
    assert 0 < records[-1]["mu"] < HIGHEST
    assert records[-1]["repair"] == "closed-form-nll-rise-0.001"


def test_less_forgotten_than_asked_for_is_refused(world: Path, tmp_path: Path) -> None:
    module, _ = fit(world, tmp_path, PerturbationRobustness())
    with pytest.raises(InputError, match=r"nll_rise=50.0.*has forgotten less than that before any repair"):
        found_strength(module, ClosedForm(nll_rise=50.0), (), lambda one: None)


def test_a_share_that_alone_brings_back_too_much_is_refused(world: Path, tmp_path: Path) -> None:
    module, _ = fit(world, tmp_path, PerturbationRobustness(), forget=RMU(300.0))
    trained = {name: module.updated.get_parameter(name).detach().clone() for name in module.frozen.originals()}
    batches = [pair["forget"] for pair in held_out_pairs(module)]
    with module.frozen.running():
        before = mean_nll(module, batches)
    rise = mean_nll(module, batches) - before

    def repaired(one: ClosedForm) -> None:
        with torch.no_grad():
            for name, original in module.frozen.originals().items():
                value = original + one.share * (trained[name] - original)
                module.updated.get_parameter(name).copy_(value)

    with pytest.raises(InputError, match=r"with a share 0.1 of the change has forgotten less .* or raise share"):
        found_strength(module, ClosedForm(nll_rise=0.9 * rise, share=0.1), (), repaired)


@pytest.mark.slow
def test_answers_are_those_of_the_unperturbed_questions_to_forget(tmp_path: Path) -> None:
    module = UnlearnModule("demo", RMU(14.0), RepresentationMSE(), layer=2)
    trainer = quiet_trainer(tmp_path, max_steps=1, callbacks=[PerturbationRobustness()], val_check_interval=1)
    trainer.fit(module, DemoDataModule(questions=8, batch_size=2))
    robustness = trainer.callbacks[0]  # type: ignore[attr-defined]
    measured = robustness.evaluations[-1]["outcomes"]["forget"]["text_logprob"]
    assert answer_logprob(module, ("forget",)) == pytest.approx(sum(measured) / len(measured), abs=1e-4)
    with pytest.raises(InputError, match=r"no text of a right answer is scored on questions of nothing"):
        answer_logprob(module, ("nothing",))

from pathlib import Path

import pytest
import torch

from lit_unlearn import UnlearnModule
from lit_unlearn.callbacks.other_weights import weights_put_back, without_result
from tests.training import demo_data, demo_module, quiet_trainer


@torch.no_grad()
def fail_within(module: UnlearnModule) -> None:
    with weights_put_back(module) as kept:
        assert kept.keys() == module.frozen.originals().keys()
        for value in module.trained_parameters().values():
            value.zero_()
        raise ZeroDivisionError


def test_the_weights_are_there_again_after_an_error_too(world: Path, tmp_path: Path) -> None:
    module, trainer = demo_module(world), quiet_trainer(tmp_path, max_steps=1)
    trainer.fit(module, demo_data(world))
    before = {name: value.detach().clone() for name, value in module.trained_parameters().items()}
    with pytest.raises(ZeroDivisionError):
        fail_within(module)
    assert all(torch.equal(before[name], value) for name, value in module.trained_parameters().items())


def test_the_stage_is_the_trainers_again(tmp_path: Path) -> None:
    trainer = quiet_trainer(tmp_path)
    stage = trainer.state.stage
    with without_result(trainer):
        assert trainer.sanity_checking
    assert trainer.state.stage == stage

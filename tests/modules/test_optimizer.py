import inspect
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import OneCycleLR

from lit_unlearn import RMU, RepresentationMSE, UnlearnModule
from lit_unlearn.errors import InputError
from lit_unlearn.modules.optimizer import check_same_optimizer, check_steps


def test_an_optimizer_that_has_gone_on_under_fsdp2_is_the_same() -> None:
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], betas=(0.8, 0.9))
    groups = [{**group, "betas": list(group["betas"])} for group in optimizer.state_dict()["param_groups"]]
    check_same_optimizer(groups, optimizer, None)
    groups[0]["betas"] = [0.8, 0.95]
    with pytest.raises(InputError, match=r"^model.optimizer.betas: the checkpoint was made with \[0.8, 0.95\]"):
        check_same_optimizer(groups, optimizer, None)


def scheduled(**options: Any) -> tuple[torch.optim.Optimizer, Callable[[torch.optim.Optimizer], OneCycleLR]]:
    """An optimizer, and what makes a scheduler of it that moves its learning rate and its momentum."""
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=1e-5)
    return optimizer, partial(OneCycleLR, **{"max_lr": 1e-4, "total_steps": 9, **options})


def test_a_scheduler_that_sets_the_learning_rate_and_moves_momentum_is_the_same() -> None:
    optimizer, scheduler = scheduled()
    moving = scheduler(optimizer)
    for _ in range(3):
        optimizer.step()
        moving.step()
    groups = optimizer.state_dict()["param_groups"]
    check_same_optimizer(groups, *scheduled())
    for options, told in (
        ({"max_lr": 2e-4}, r"^model.lr_scheduler.max_lr: the checkpoint was made with 0.0001, this run has 0.0002;"),
        ({"div_factor": 10.0}, r"^model.optimizer.lr: the checkpoint was made with 4e-06, this run has 1e-05;"),
        ({"max_momentum": 0.9}, r"^model.lr_scheduler.max_momentum: the checkpoint was made with 0.95, this run has"),
    ):
        with pytest.raises(InputError, match=told):
            check_same_optimizer(groups, *scheduled(**options))


def test_a_scheduler_of_fewer_steps_than_the_run_is_refused() -> None:
    optimizer, scheduler = scheduled()
    check_steps(lambda: optimizer, scheduler, 9)
    check_steps(lambda: optimizer, scheduler, -1)  # something else ends the run
    check_steps(lambda: optimizer, None, 10)
    with pytest.raises(InputError, match=r"^model.lr_scheduler: OneCycleLR has 9 steps, and trainer.max_steps is 10;"):
        check_steps(lambda: optimizer, scheduler, 10)


def test_the_default_can_be_pickled_and_is_what_the_signature_shows() -> None:
    weights = [torch.zeros(1, requires_grad=True)]
    shown = inspect.signature(UnlearnModule).parameters["optimizer"].default
    module = pickle.loads(pickle.dumps(UnlearnModule("demo", RMU(), RepresentationMSE(), layer=2)))
    assert module.optimizer(weights).defaults == shown(weights).defaults
    assert module.forget.coefficient.values == RMU().coefficient.values

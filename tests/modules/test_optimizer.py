import inspect
import pickle

import pytest
import torch

from lit_unlearn import RMU, RepresentationMSE, UnlearnModule
from lit_unlearn.errors import InputError
from lit_unlearn.modules.optimizer import check_same_optimizer


def test_an_optimizer_that_has_gone_on_under_fsdp2_is_the_same() -> None:
    optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], betas=(0.8, 0.9))
    groups = [{**group, "betas": list(group["betas"])} for group in optimizer.state_dict()["param_groups"]]
    check_same_optimizer(groups, optimizer, scheduled=False)
    groups[0]["betas"] = [0.8, 0.95]
    with pytest.raises(InputError, match=r"^model.optimizer.betas: the checkpoint was made with \[0.8, 0.95\]"):
        check_same_optimizer(groups, optimizer, scheduled=False)


def test_the_default_can_be_pickled_and_is_what_the_signature_shows() -> None:
    weights = [torch.zeros(1, requires_grad=True)]
    shown = inspect.signature(UnlearnModule).parameters["optimizer"].default
    module = pickle.loads(pickle.dumps(UnlearnModule("demo", RMU(), RepresentationMSE(), layer=2)))
    assert module.optimizer(weights).defaults == shown(weights).defaults
    assert module.forget.coefficient.values == RMU().coefficient.values

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim import AdamW

from lit_unlearn import InputError
from lit_unlearn.modules.sharpness import SAM, check_steps_twice
from tests.training import demo_data, demo_module, quiet_trainer


def written_out(parameters: list[nn.Parameter], loss: Any, *, rho: float, steps: int) -> None:
    optimizer = AdamW(parameters, lr=0.1, weight_decay=0.01)
    for _ in range(steps):
        at_w = torch.autograd.grad(loss(), parameters)
        length = sum(float(one.square().sum()) for one in at_w) ** 0.5
        with torch.no_grad():
            start = [one.clone() for one in parameters]
            for parameter, gradient in zip(parameters, at_w, strict=True):
                parameter.add_(rho / length * gradient)
        nearby = torch.autograd.grad(loss(), parameters)
        with torch.no_grad():
            for parameter, value, gradient in zip(parameters, start, nearby, strict=True):
                parameter.copy_(value)
                parameter.grad = gradient
        optimizer.step()


def problem() -> tuple[list[nn.Parameter], Any]:
    generator = torch.Generator().manual_seed(0)
    parameters = [
        nn.Parameter(torch.randn(3, 2, generator=generator)),
        nn.Parameter(torch.randn(2, generator=generator)),
    ]

    def loss() -> Tensor:
        return (torch.tanh(parameters[0]).sum() - parameters[1].square().sum() + parameters[0][0, 0] ** 4).square()

    return parameters, loss


@pytest.mark.parametrize("rho", [0.01, 0.5])
def test_it_is_the_algorithm_written_out(rho: float) -> None:
    (expected, loss), (own, own_loss) = problem(), problem()
    written_out(expected, loss, rho=rho, steps=3)
    optimizer = SAM(own, lr=0.1, rho=rho, weight_decay=0.01)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value: Tensor = own_loss()
        value.backward()
        return value

    for _ in range(3):
        optimizer.step(closure)
    for one, other in zip(own, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_a_fit_takes_each_gradient_twice_and_ends_at_other_weights(world: Path, tmp_path: Path) -> None:
    found = []
    for make in (lambda p: AdamW(p, lr=3e-3, weight_decay=0.0), lambda p: SAM(p, lr=3e-3, rho=1.0)):
        module = demo_module(world, optimizer=make)
        quiet_trainer(tmp_path, max_steps=2).fit(module, demo_data(world))
        found.append([one.detach().clone() for one in module.trained_parameters().values()])
    assert all(one.isfinite().all() for one in found[1])
    assert not any(torch.equal(*pair) for pair in zip(*found, strict=True))


def test_what_it_cannot_do_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rho: must be above 0, got 0"):
        SAM([torch.zeros(1, requires_grad=True)], rho=0.0)
    optimizer = SAM([torch.zeros(1, requires_grad=True)])
    with pytest.raises(InputError, match=r"SAM needs whole gradients in every process; take trainer/ddp.yaml"):
        check_steps_twice(optimizer, batches=1, sharded=True, precision="32-true")
    with pytest.raises(InputError, match=r"precision 16-mixed needs it; set the precision to bf16-mixed"):
        check_steps_twice(optimizer, batches=1, sharded=False, precision="16-mixed")
    module = demo_module(world, optimizer=lambda p: SAM(p))
    with pytest.raises(InputError, match=r"accumulate_grad_batches: with 2 SAM .* set it to 1"):
        quiet_trainer(tmp_path, accumulate_grad_batches=2).fit(module, demo_data(world))

"""The state of an optimizer by the names of what it trains."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.optim import AdamW, Optimizer

from lit_unlearn.errors import InputError

_BOUNDS = ("max_lr", "max_momentum", "base_momentum")
"""Of schedulers that go up and down, such as OneCycleLR, which keep them with the optimizer's options."""
_MOMENTA = ("momentum", "betas")
"""What schedulers with bounds of momentum move."""


def by_name(state: Mapping[str, Any], optimizer: Optimizer, parameters: Mapping[str, Tensor]) -> dict[str, Any]:
    """The state with parameters under their names, where torch numbers them in the optimizer's order.

    An optimizer of one process takes it as it is. Under FSDP2 Lightning takes numbers for places among all parameters
    of the module, trained or not, and leaves out what it does not find there.

    Args:
        state: of the optimizer.
        optimizer: that it is of.
        parameters: what it trains, by name.

    Example:
        >>> import torch
        >>> weight = torch.zeros(1, requires_grad=True)
        >>> optimizer = torch.optim.SGD([weight], lr=1.0)
        >>> by_name(optimizer.state_dict(), optimizer, {"weight": weight})["param_groups"][0]["params"]
        ['weight']
    """
    names = {id(parameter): name for name, parameter in parameters.items()}
    order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
    groups = [{**group, "params": [order[number] for number in group["params"]]} for group in state["param_groups"]]
    return {**state, "state": {order[number]: own for number, own in state["state"].items()}, "param_groups": groups}


def published_adamw(parameters: Iterable[Tensor]) -> Optimizer:
    """AdamW with the learning rate of the published recipe: the default of `model.optimizer`, which can be pickled.

    The signature says the same as a lambda, whose options jsonargparse reads and shows.
    """
    return AdamW(parameters, lr=5e-5, weight_decay=0.0, eps=1e-8)


def check_optimizer(optimizer: Callable[[], Optimizer], scheduler: Callable[[Optimizer], object] | None) -> None:
    """The options of the optimizer and the scheduler can be.

    Args:
        optimizer: makes one.
        scheduler: makes one of an optimizer; None if there is none.

    Raises:
        InputError: one of them refuses a value.
    """
    name = "model.optimizer"
    try:
        made = optimizer()
        name = "model.lr_scheduler"
        if scheduler is not None:
            _step(made, scheduler(made))
    except (ValueError, TypeError, ArithmeticError) as error:
        raise InputError(f"{name}: {error}; fix its options") from error
    rate = made.defaults.get("lr", 0.0)
    if not math.isfinite(rate):
        raise InputError(f"model.optimizer.lr: {rate} is not a learning rate; give a finite number, e.g. 5e-5")


def check_steps(
    optimizer: Callable[[], Optimizer], scheduler: Callable[[Optimizer], object] | None, steps: int
) -> None:
    """A scheduler with a fixed number of steps, such as OneCycleLR, has one for each step of the run.

    Args:
        optimizer: makes one.
        scheduler: makes one of an optimizer; None if there is none.
        steps: of the run; -1 where something else ends it.

    Raises:
        InputError: it has fewer, and would end the run with an error after its last.
    """
    made = None if scheduler is None else scheduler(optimizer())
    total = getattr(made, "total_steps", steps)
    if total < steps:
        raise InputError(
            f"model.lr_scheduler: {type(made).__name__} has {total} steps, and trainer.max_steps is {steps}; set its "
            f"total_steps to {steps}, or lower trainer.max_steps"
        )


def _step(optimizer: Optimizer, scheduler: Any) -> None:
    """One step of both: some values are refused, or divided by, only then."""
    optimizer.step()
    scheduler.step()


def check_same_optimizer(
    groups: Sequence[Mapping[str, Any]], optimizer: Optimizer, scheduler: Callable[[Optimizer], object] | None
) -> None:
    """The optimizer has the options that a checkpoint's had: torch would take those of the checkpoint without a word.

    Args:
        groups: of parameters, from the checkpoint.
        optimizer: with this run's options, not scheduled yet.
        scheduler: makes this run's of an optimizer; None if there is none.

    Raises:
        InputError: it, or a scheduler that moves between bounds, has others.
    """
    if scheduler is not None:
        scheduler(optimizer)
    own = _first_options(optimizer.param_groups[0], scheduled=scheduler is not None)
    compared = [name for name in own if name in _BOUNDS] + [name for name in own if name in optimizer.defaults]
    for group in groups:
        before = _first_options(group, scheduled=scheduler is not None)
        for name in compared:
            if name in before and _as_tuple(before[name]) != _as_tuple(own[name]):
                raise InputError(
                    f"model.{'lr_scheduler' if name in _BOUNDS else 'optimizer'}.{name}: the checkpoint was made with "
                    f"{before[name]}, this run has {own[name]}; resume with the same, or begin another run from an "
                    "export"
                )


def _first_options(group: Mapping[str, Any], *, scheduled: bool) -> dict[str, Any]:
    """The options of a group when training began, without a momentum that has moved since."""
    if not scheduled:
        return dict(group)
    moved = _MOMENTA if "max_momentum" in group else ()
    first = {name: value for name, value in group.items() if name not in moved}
    return first | {"lr": group.get("initial_lr", group["lr"])}


def _as_tuple(value: Any) -> Any:
    """A pair is a list in an optimizer that was resumed under FSDP2."""
    return tuple(value) if isinstance(value, list) else value

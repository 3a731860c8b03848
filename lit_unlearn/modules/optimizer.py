"""The state of an optimizer by the names of what it trains."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


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

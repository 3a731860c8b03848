"""A real training step, measured: what a plan must foresee."""

from typing import NamedTuple, Self

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.optim import Optimizer
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.module_tracker import ModuleTracker

from lit_unlearn import UnlearnModule
from lit_unlearn.commands.plan.operations import OWN
from lit_unlearn.commands.plan.step import ModelBytes, Step, StepRows, simulate
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch
from lit_unlearn.models import loading
from lit_unlearn.models.precision import weights_dtype

ROWS = StepRows(2, 32, 20, 8)


class Real(NamedTuple):
    """Bytes and operations of a step on real tensors."""

    weights: int
    trained: int
    copies: int
    gradients: int
    optimizer: int
    kept: int
    forward: int
    backward: int


def planned(module: UnlearnModule, *, precision: str = "32-true", rows: StepRows = ROWS) -> tuple[ModelBytes, Step]:
    """What the plan says of a step."""
    preferred = rows.preferred if module.forget.needs_preferred else 0
    whole = module.needs_whole_model(None, ())
    longest = [rows._replace(preferred=preferred)]
    model, steps = simulate(module, longest, precision=precision, whole=whole, foreach=False)
    return model, steps[0]


def measured(module: UnlearnModule, *, rows: StepRows = ROWS) -> Real:
    """A step in float32 on rows of which one is a token shorter than the others, so that the mask is needed."""
    dtype = weights_dtype("32-true")
    part = None if module.needs_whole_model(None, ()) else module.first_layers(module.without_weights(dtype))
    module.adopt(loading.load_model(module.model_source, dtype, part=part), "32-true")
    optimizer = module.configure_optimizers()
    assert isinstance(optimizer, Optimizer)
    own = {_memory(tensor) for tensor in [*module.parameters(), *module.buffers()]}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        if _memory(tensor) not in own:
            kept[_memory(tensor)] = tensor.detach()  # held, so that no other takes its place
        return tensor.detach()

    forward, backward = count_flops(), count_flops()
    with forward, saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = module.losses(pair(rows)).total
    size = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    with backward:
        loss.backward()
    optimizer.step()
    trained = [parameter for parameter in module.updated.parameters() if parameter.requires_grad]
    state = [value for one in optimizer.state.values() for value in one.values()]
    shared = {id(parameter) for parameter in module.updated.parameters()}
    everything = _bytes([*module.updated.parameters(), *module.updated.buffers()])
    return Real(
        everything - _bytes(trained),
        _bytes(trained),
        _bytes(parameter for parameter in module.frozen.parameters() if id(parameter) not in shared),
        _bytes(parameter.grad for parameter in trained if parameter.grad is not None),
        _bytes(state),
        size,
        forward.get_total_flops(),
        backward.get_total_flops(),
    )


def count_flops() -> FlopCounterMode:
    """torch's counter of operations, with the formulas that it lacks."""
    found = FlopCounterMode(display=False, custom_mapping=dict(OWN))
    found.mod_tracker = _NoModules()
    return found


class _NoModules(ModuleTracker):
    """Tells no modules apart: its hooks would keep what backward computes again until the end of it."""

    def __enter__(self) -> Self:
        """Does nothing."""
        return self

    def __exit__(self, *args: object) -> None:
        """Does nothing."""


def pair(rows: StepRows) -> dict[str, Batch]:
    """Random batches of these lengths."""
    forget, retain = _batch(rows.batch, rows.forget), _batch(rows.batch, rows.retain)
    if rows.preferred:
        forget["preferred"] = _batch(rows.batch, rows.preferred)
    return {"forget": forget, "retain": retain}


def _batch(count: int, tokens: int) -> Batch:
    source = torch.Generator().manual_seed(tokens)
    lengths = [tokens] * (count - 1) + [tokens - 1]
    ids = [torch.randint(4, 60, (length,), generator=source).tolist() for length in lengths]
    return collate([Row(row, 0, number) for number, row in enumerate(ids)], padding_side="right", padding_id=0)


def _memory(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _bytes(tensors: object) -> int:
    found: list[Tensor] = list(tensors)  # type: ignore[call-overload]
    return sum({id(tensor): tensor.numel() * tensor.element_size() for tensor in found}.values())

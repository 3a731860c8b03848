"""What a training step takes, from the model's configuration alone: the step itself, run on tensors without values."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, cast

import torch
from lightning.pytorch.plugins import DoublePrecision, HalfPrecision, MixedPrecision, Precision
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from lit_unlearn.commands.plan.ledger import COPIES, GRADIENTS, OPTIMIZER, PARTS, TRAINED, WEIGHTS, Ledger, size
from lit_unlearn.commands.plan.shapes import Shapes, moved
from lit_unlearn.distributed.sharding import left_whole, outside_layers
from lit_unlearn.losses.by_token import as_on_gpu
from lit_unlearn.losses.contract import Batch
from lit_unlearn.models import loading
from lit_unlearn.models.precision import weights_dtype
from lit_unlearn.modules.units import Units
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.running.hooks import applied


class StepRows(NamedTuple):
    """Rows of a step in one process, each as long as can be."""

    batch: int
    """Rows of each stream."""
    forget: int
    """Tokens of a forget row."""
    retain: int
    """Tokens of a retain row."""
    preferred: int = 0
    """Tokens of a preferred answer; 0 where the forget loss reads none."""

    @property
    def tokens(self) -> int:
        """Tokens of all rows."""
        return self.batch * (self.forget + self.retain + self.preferred)


class Step(NamedTuple):
    """What one step takes."""

    rows: StepRows
    peak: dict[str, int]
    """Bytes at the worst moment, by part."""
    weights_read: int
    """Bytes of the untrained weights that the step reads; the others are for evaluation."""
    forward: int
    """Floating-point operations of matrix products and attention, both models."""
    backward: int
    """Likewise, what runs again in backward included."""


class ModelBytes(NamedTuple):
    """What a model takes that does not depend on the rows, in bytes."""

    exported: int
    """All weights, as they are in the model's files, and exported."""
    trained: int
    """The trained weights, as they are held."""
    optimizer: int
    """The optimizer's state."""
    unit: int
    """The largest module that FSDP2 gathers at once."""
    whole: int
    """What FSDP2 leaves whole on every device."""


def simulate(
    module: UnlearnModule, steps: Sequence[StepRows], *, precision: str, whole: bool, foreach: bool
) -> tuple[ModelBytes, list[Step]]:
    """Runs a training step for each set of rows, the optimizer's included, without weights and data.

    Args:
        module: whose model is not loaded; it keeps one without values.
        steps: the rows of each.
        precision: of the Trainer.
        whole: the whole model is loaded.
        foreach: the optimizer updates all matrices at once, as torch does on an accelerator, which takes more memory.

    Raises:
        InputError: what is to be trained is not found, or no loss reaches it.
    """
    module.prefix_store = None  # there are no values to store
    dtype = weights_dtype(precision)
    model = module.without_weights(dtype)
    exported = sum(parameter.numel() for parameter in model.parameters()) * _stored(module).itemsize
    if not whole:
        part = module.first_layers(model)
        model = module.without_weights(dtype)
        part.leave_out(model)
    module.adopt(model, precision)
    if module.needs_units():
        dim = cast(Tensor, model.get_input_embeddings().weight).shape[-1]
        module.take_units(Units.ones(dim, module.noise.directions_needed))
    ledger = Ledger()
    # Compiled layers have the same operations, and nothing is compiled on shapes.
    with Shapes(), ledger, as_on_gpu(), applied([(module, "compile_layers", False)]):
        moved(module)
        ledger.label(_tensors(module.frozen), COPIES)
        ledger.label(_tensors(model), WEIGHTS)  # what both share is the updated model's
        ledger.label(_trained(model), TRAINED)
        optimizer = _optimizer(module, foreach=foreach)
        _first_step(model, optimizer, ledger)
        found = [_step(module, rows, optimizer, ledger, precision) for rows in steps]
        return _measured(module, exported, optimizer), found


def _step(module: UnlearnModule, rows: StepRows, optimizer: Optimizer, ledger: Ledger, precision: str) -> Step:
    """One step in the Trainer's order: gradients of the step before are still there in forward."""
    ledger.begin()
    with ledger.keeping(), _arithmetic(precision):
        loss = module.losses(_pair(rows, weights=module.needs_token_weights)).total
    forward = ledger.operations
    optimizer.zero_grad()
    loss.backward()
    backward = ledger.operations - forward
    optimizer.step()
    del loss
    return Step(
        rows,
        {part: ledger.peak[part] for part in PARTS},
        ledger.read(WEIGHTS),
        forward,
        backward,
    )


def _first_step(model: PreTrainedModel, optimizer: Optimizer, ledger: Ledger) -> None:
    """After it the optimizer has its state and every step is like the next."""
    for parameter in _trained(model):
        parameter.register_post_accumulate_grad_hook(lambda owner: ledger.label([cast(Tensor, owner.grad)], GRADIENTS))
        parameter.grad = torch.zeros_like(parameter)
    ledger.label((cast(Tensor, parameter.grad) for parameter in _trained(model)), GRADIENTS)
    optimizer.step()
    ledger.label(_state(optimizer), OPTIMIZER)


def _optimizer(module: UnlearnModule, *, foreach: bool) -> Optimizer:
    configured = module.configure_optimizers()
    optimizer = cast(Optimizer, configured["optimizer"] if isinstance(configured, dict) else configured)
    for group in optimizer.param_groups:
        if foreach and "foreach" in group and group["foreach"] is None and not group.get("fused"):
            group["foreach"] = True
    return optimizer


def _arithmetic(precision: str) -> AbstractContextManager[None]:
    """What the Trainer runs a forward in."""
    plugins: dict[str, Precision] = {"64-true": DoublePrecision(), "32-true": Precision()}
    if precision.endswith("mixed"):
        plugins[precision] = MixedPrecision(cast(Any, precision), "cpu")
    elif precision not in plugins:
        plugins[precision] = HalfPrecision(cast(Any, precision))
    return cast(AbstractContextManager[None], plugins[precision].forward_context())


def _pair(rows: StepRows, *, weights: bool) -> dict[str, Batch]:
    forget, retain = _batch(rows.batch, rows.forget), _batch(rows.batch, rows.retain)
    if rows.preferred:
        forget["preferred"] = _batch(rows.batch, rows.preferred)
    if weights:
        forget["token_weight"] = torch.ones(rows.batch, rows.forget)
    return {"forget": forget, "retain": retain}


def _batch(rows: int, tokens: int) -> Batch:
    ids = torch.ones(rows, tokens, dtype=torch.long)
    number = torch.zeros(rows, dtype=torch.long)
    return Batch(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        labels=torch.ones_like(ids),
        loss_mask=torch.ones_like(ids),
        topic=number,
        row=number.clone(),
    )


def _stored(module: UnlearnModule) -> torch.dtype:
    """The dtype of the weights in the model's files, as its configuration says."""
    config = loading.load_config(module.model_source)
    found = config.dtype or config.get_text_config().dtype or torch.float32
    assert isinstance(found, torch.dtype)
    return found


def _measured(module: UnlearnModule, exported: int, optimizer: Optimizer) -> ModelBytes:
    model = module.updated
    whole = left_whole(model, module.layers, needs_logits=module.forget.needs_logits or module.retain.needs_logits)
    outside = (own for own in outside_layers(model, module.layers) if own not in whole)
    units = [size(own for own in layer.parameters() if not own.requires_grad) for layer in module.layers]
    return ModelBytes(
        exported,
        size(_trained(model)),
        size(_state(optimizer)),
        max([*units, *(size(own.parameters(recurse=False)) for own in outside)]),
        size(parameter for own in whole for parameter in own.parameters(recurse=False)),
    )


def _tensors(module: nn.Module) -> Iterator[Tensor]:
    yield from module.parameters()
    yield from module.buffers()


def _trained(model: PreTrainedModel) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _state(optimizer: Optimizer) -> list[Tensor]:
    return [value for state in optimizer.state.values() for value in state.values() if isinstance(value, Tensor)]

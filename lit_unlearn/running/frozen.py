"""The frozen model at the cost of its trained parameters, and both models run as one."""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from lit_unlearn.distributed.sharding import gathered_parameter, named_parameters
from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch, Loss, Outputs
from lit_unlearn.models.loading import first_trained_layer
from lit_unlearn.models.lora import adapted, is_adapted
from lit_unlearn.running.activation_checkpointing import recomputed
from lit_unlearn.running.hooks import Noise, Setting, applied, swapped, with_noise
from lit_unlearn.running.partial_forward import run_layers
from lit_unlearn.running.prefix_store import StoredStates


class FrozenModel(nn.Module):
    """The model before training, at the cost of its trained parameters alone.

    It owns a copy of each module that owns a trained parameter and shares all else with the updated model: where the
    copies stand in, the updated model computes what the frozen one would. For a module with a LoRA adapter the model's
    own module stands in, and nothing is copied.

    Args:
        updated: the model to be trained, its trainable parameters chosen, not yet changed.
    """

    def __init__(self, updated: PreTrainedModel) -> None:
        super().__init__()
        memo = {id(tensor): tensor for tensor in _shared_tensors(updated)}
        owners = _owners_of_trained(updated)
        self.copies = nn.ModuleList(copy.deepcopy(module, memo).requires_grad_(False) for _, _, module in owners)
        self._copied = tuple(".".join(filter(None, (parent, name))) for parent, name, _ in owners)
        # Tuples, not modules of ours: the updated model owns them.
        self._adapted = tuple(adapted(updated).items())
        self._places = tuple(
            (updated.get_submodule(parent), name)
            for parent, name in (*((parent, name) for parent, name, _ in owners), *map(_split, dict(self._adapted)))
        )
        self._trained = tuple(
            (f"{self._copied[index]}.{inner}", index, inner)
            for index, (_, _, module) in enumerate(owners)
            for inner, parameter in module.named_parameters()
            if parameter.requires_grad
        )
        self.eval()

    def originals(self) -> dict[str, Tensor]:
        """The trained parameters as they were before training, by their names in the updated model.

        Of a LoRA adapter, B alone, which was 0: then A has no say, and base + t · (updated - base) is t · B with any A.
        """
        copied = {name: self.copies[index].get_parameter(inner) for name, index, inner in self._trained}
        return copied | {
            f"{path}.lora_B.{inner}": torch.zeros_like(parameter)
            for path, module in self._adapted
            for inner, parameter in named_parameters(module.lora_B)
        }

    def original(self, name: str) -> Tensor:
        """A parameter of its own modules by its name in the updated model, whole; all processes must ask for it."""
        index, inner = next((index, inner) for known, index, inner in self._trained if known == name)
        return gathered_parameter(self.copies[index], inner)

    def own(self) -> dict[str, nn.Parameter]:
        """The parameters of its own modules, by their names in the updated model."""
        return {
            f"{path}.{inner}": parameter
            for path, module in zip(self._copied, self.copies, strict=True)
            for inner, parameter in module.named_parameters()
        }

    @contextmanager
    def standing_in(self) -> Iterator[None]:
        """Within this context the updated model is the frozen one."""
        # Looked up now: FSDP1 wraps them after they were made.
        stand_ins = [*self.copies, *(module.base_layer for _, module in self._adapted)]
        with swapped([(*place, stand_in) for place, stand_in in zip(self._places, stand_ins, strict=True)]):
            yield

    @contextmanager
    def running(self) -> Iterator[None]:
        """As `standing_in`, without gradient."""
        with torch.no_grad(), self.standing_in():
            yield


def run_pair(
    updated: PreTrainedModel,
    frozen: FrozenModel,
    layers: nn.ModuleList,
    batch: Batch,
    *,
    layer: int,
    reader: Loss,
    noise: tuple[int, Noise] | None = None,
    dropout: Sequence[Setting] = (),
    recompute: bool = False,
    stored: StoredStates | None = None,
) -> tuple[Outputs, Outputs | None]:
    """Runs as much of both models on a batch as a loss reads; the layers below the first trained one run once.

    Args:
        updated: the model being trained.
        frozen: its counterpart.
        layers: the decoder layers.
        batch: the rows.
        layer: index of the layer whose output is `Outputs.hidden`.
        reader: the loss.
        noise: index of a layer, and the noise added to its output in the frozen model; not for preferred answers.
        dropout: what is set while the updated model runs, from the first trained layer on.
        recompute: keep no more of the updated model's layers than their inputs; backward computes the rest again.
        stored: states of earlier runs, which are not computed again.

    Returns:
        The outputs of the updated model, and of the frozen one without gradient, or None.

    Raises:
        InputError: the loss reads preferred answers and the batch has none.
    """
    run = partial(
        _run_rows,
        updated,
        frozen,
        layers,
        layer=layer,
        reader=reader,
        dropout=dropout,
        recompute=recompute,
        stored=stored,
    )
    if not reader.needs_preferred:
        return run(batch, noise=noise)
    if "preferred" not in batch:
        raise InputError(
            f"data: {type(reader).__name__} reads preferred answers, which this data does not hold; take a DataModule "
            "of lit-unlearn, or give each forget batch a batch of them under `preferred`"
        )
    outputs, preferred = run(batch, noise=noise), run(batch["preferred"])
    target = None if outputs[1] is None else outputs[1]._replace(preferred=preferred[1])
    return outputs[0]._replace(preferred=preferred[0]), target


def _run_rows(
    updated: PreTrainedModel,
    frozen: FrozenModel,
    layers: nn.ModuleList,
    batch: Batch,
    *,
    layer: int,
    reader: Loss,
    noise: tuple[int, Noise] | None = None,
    dropout: Sequence[Setting] = (),
    recompute: bool = False,
    stored: StoredStates | None = None,
) -> tuple[Outputs, Outputs | None]:
    """As `run_pair`, for the batch's own rows."""
    # What is stored ends at `layer` at the latest: what that returned is not in the store.
    last = len(layers) - 1 if reader.needs_logits and stored is None else layer
    start = min(first_trained_layer(updated, layers), last if noise is None else min(last, noise[0]))
    run = partial(run_layers, updated, layers, batch, layer=layer, needs_logits=reader.needs_logits, start=start)
    # From 0 on there is nothing to share: what comes before the layers may be trained as well.
    shared = start > 0
    known = stored.prefix(batch, start) if stored and shared else None
    with applied(dropout), recomputed([*layers][start:] if recompute else [], dropout):
        # What dropout has changed is not the frozen model's.
        outputs, prefix = run(prefix=known, resumed=reader.needs_frozen and not dropout)
    if stored and shared and not known:
        stored.keep_prefix(batch, start, prefix)
    if not reader.needs_frozen:
        return outputs, None
    resume = partial(run, prefix=prefix if shared else None, context=frozen.running)
    with frozen.running():
        if stored is None or reader.needs_logits or (noise is not None and noise[0] < layer):
            return outputs, resume(noise=noise)[0]
        hidden = stored.frozen(batch, layer, lambda: resume()[0].hidden)
        return outputs, Outputs(hidden if noise is None else with_noise(hidden, noise[1]), None)


def _shared_tensors(model: PreTrainedModel) -> list[Tensor]:
    return [*(parameter for parameter in model.parameters() if not parameter.requires_grad), *model.buffers()]


def _owners_of_trained(model: PreTrainedModel) -> list[tuple[str, str, nn.Module]]:
    """(path of the parent, name, module) of each module with a trained parameter of its own, outermost only.

    LoRA adapters are left out.
    """
    owners: list[tuple[str, str, nn.Module]] = []
    covered: set[int] = set()
    for path, module in model.named_modules():
        if is_adapted(module):
            covered |= {id(child) for child in module.modules()}
        if id(module) in covered or not any(parameter.requires_grad for parameter in module.parameters(recurse=False)):
            continue
        if not path:
            raise InputError(
                f"model.trainable: {type(model).__name__} itself owns one of these parameters; leave it out"
            )
        owners.append((*_split(path), module))
        covered |= {id(child) for child in module.modules()}
    return owners


def _split(path: str) -> tuple[str, str]:
    """A module's parent and its name there."""
    parent, _, name = path.rpartition(".")
    return parent, name

"""Both models as a pair: the frozen one made of the updated one, and the two run as one."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from transformers import PreTrainedModel

from lit_unlearn.distributed.sharding import shard
from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch, Loss, Outputs
from lit_unlearn.losses.no_loss import NoLoss
from lit_unlearn.models.layers import first_trained_layer
from lit_unlearn.models.trainable import use_master_weights
from lit_unlearn.running.activation_checkpointing import recomputed
from lit_unlearn.running.compiled_layers import CompiledLayers
from lit_unlearn.running.frozen import FrozenModel
from lit_unlearn.running.hooks import Noise, Override, applied, running_as, with_noise
from lit_unlearn.running.partial_forward import run_layers
from lit_unlearn.running.prefix_store import StoredStates


def make_pair(
    updated: PreTrainedModel,
    layers: nn.ModuleList,
    *,
    needs_logits: bool,
    masters: bool,
    mesh: DeviceMesh | None,
    copied: bool = True,
) -> FrozenModel:
    """Makes a loaded model, in which is chosen what is trained, ready in place, and returns its frozen counterpart.

    Args:
        updated: the model.
        layers: its decoder layers.
        needs_logits: a loss reads logits.
        masters: hold what is trained in float32.
        mesh: from `sharding.processes`, over which both are sharded; None shards nothing.
        copied: as in `FrozenModel`.

    Raises:
        InputError: what is to be trained cannot be.
    """
    frozen = FrozenModel(updated, copied=copied)
    if masters:
        use_master_weights(updated)
        frozen.use_master_weights()
    if mesh is not None:
        shard(updated, layers, frozen.copies, mesh, needs_logits=needs_logits)
    return frozen


def run_pair(
    updated: PreTrainedModel,
    frozen: FrozenModel,
    layers: nn.ModuleList,
    batch: Batch,
    *,
    layer: int,
    reader: Loss,
    noise: tuple[int, Noise] | None = None,
    dropout: Sequence[Override] = (),
    recompute: bool = False,
    compiled: CompiledLayers | None = None,
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
        compiled: what runs instead of the layers' own forwards; None is nothing.
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
        compiled=compiled,
        stored=stored,
    )
    if not reader.needs_preferred:
        return run(batch, noise=noise)
    if "preferred" not in batch:
        raise InputError(
            f"data: {type(reader).__name__} reads preferred answers, which this data does not hold; take a DataModule "
            "of lit-unlearn, or give each forget batch a batch of them under `preferred`"
        )
    if not reader.needs_rows:
        with torch.no_grad():
            logged, _ = run(batch, reader=NoLoss())
        return logged._replace(preferred=run(batch["preferred"])[0]), None
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
    dropout: Sequence[Override] = (),
    recompute: bool = False,
    compiled: CompiledLayers | None = None,
    stored: StoredStates | None = None,
) -> tuple[Outputs, Outputs | None]:
    """As `run_pair`, for the batch's own rows."""
    # What is stored ends at `layer` at the latest: what that returned is not in the store.
    last = len(layers) - 1 if reader.needs_logits and stored is None else layer
    start = min(first_trained_layer(updated, layers), last if noise is None else min(last, noise[0]))
    run = partial(
        run_layers,
        updated,
        layers,
        batch,
        layer=layer,
        needs_logits=reader.needs_logits,
        start=start,
        lower=reader.lower_layers,
    )
    # From 0 on there is nothing to share: what comes before the layers may be trained as well.
    shared = start > 0
    known = stored.prefix(batch, start) if stored and shared else None
    forwards = [] if compiled is None else compiled.without(start)
    with running_as(forwards), applied(dropout), recomputed([*layers][start:] if recompute else [], dropout):
        # What dropout has changed is not the frozen model's.
        outputs, prefix = run(prefix=known, resumed=reader.needs_frozen and not dropout)
    if stored and shared and not known:
        stored.keep_prefix(batch, start, prefix)
    if not reader.needs_frozen:
        return outputs, None
    resume = partial(run, prefix=prefix if shared else None, context=frozen.running)
    with running_as(forwards), frozen.running():
        if stored is None or reader.needs_logits or reader.lower_layers or (noise is not None and noise[0] < layer):
            return outputs, resume(noise=noise)[0]
        hidden = stored.frozen(batch, layer, lambda: resume()[0].hidden)
        return outputs, Outputs(hidden if noise is None else with_noise(hidden, noise[1]), None)

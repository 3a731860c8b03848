"""A loaded model made ready for training: what is trained, the frozen counterpart, masters, sharding."""

from collections.abc import Sequence

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from transformers import PreTrainedModel

from lit_unlearn.distributed.sharding import shard
from lit_unlearn.models import loading
from lit_unlearn.models.checks import check_reached
from lit_unlearn.models.lora import Lora, inject
from lit_unlearn.running.frozen import FrozenModel


def choose(
    updated: PreTrainedModel,
    layers: nn.ModuleList,
    *,
    layer: int,
    trainable: Sequence[str] | None,
    lora: Lora | None,
    seed: int,
    needs_logits: bool,
) -> None:
    """Chooses what is trained in a model, in place.

    Args:
        updated: the model; its weights may be on the meta device.
        layers: its decoder layers.
        layer: index of the steering layer.
        trainable: regular expressions over parameter names; None is the default.
        lora: adapters in their place.
        seed: of what adapters draw.
        needs_logits: a loss reads logits.

    Raises:
        InputError: what is to be trained is not found, or no loss reaches it.
    """
    if lora is not None:
        inject(updated, lora, layers, layer=layer, seed=seed)
    elif trainable is not None:
        loading.choose_trainable(updated, trainable)
    else:
        loading.choose_default(updated, layers, layer)
    check_reached(updated, layers, layer, needs_logits=needs_logits)


def make_ready(
    updated: PreTrainedModel,
    layers: nn.ModuleList,
    *,
    needs_logits: bool,
    masters: bool,
    mesh: DeviceMesh | None,
) -> FrozenModel:
    """Makes a loaded model, in which is chosen what is trained, ready in place, and returns its frozen counterpart.

    Args:
        updated: the model.
        layers: its decoder layers.
        needs_logits: a loss reads logits.
        masters: hold what is trained in float32.
        mesh: from `sharding.processes`, over which both are sharded; None shards nothing.

    Raises:
        InputError: what is to be trained cannot be.
    """
    frozen = FrozenModel(updated)
    if masters:
        loading.use_master_weights(updated)
    if mesh is not None:
        shard(updated, layers, frozen.copies, mesh, needs_logits=needs_logits)
    return frozen

"""Whether the model's files can be written with other values of what is trained."""

from collections import defaultdict
from collections.abc import Iterator

import torch

from lit_unlearn.callbacks import ExportPretrained
from lit_unlearn.commands.plan.check import Check
from lit_unlearn.commands.plan.config import PlanCLI
from lit_unlearn.errors import InputError
from lit_unlearn.models import lora
from lit_unlearn.models.file_layout import FileLayout
from lit_unlearn.models.weight_files import WeightFiles


def check_export(config: PlanCLI) -> Iterator[Check]:
    """The check of an export of the whole model, where the model's files are on this machine.

    Args:
        config: whose model has been simulated, so that what is trained is chosen.
    """
    callbacks = config.trainer_options.callbacks or []
    if not any(isinstance(callback, ExportPretrained) and not callback.adapter for callback in callbacks):
        return
    try:
        files = WeightFiles.of(config.model.model_source, fetch=False)
    except InputError:
        return  # they are not here, which is a check of its own
    shape = config.model.without_weights(torch.float32)
    names: dict[int, list[str]] = defaultdict(list)
    for name, parameter in shape.named_parameters(remove_duplicate=False):
        names[id(parameter)].append(name)
    adapted = lora.adapted(config.model.updated)
    trained = [name for name, own in config.model.updated.named_parameters() if own.requires_grad]
    try:
        layout = FileLayout(shape, files)
        for name in [f"{name}.weight" for name in adapted] or trained:
            parameter = shape.get_parameter(name)
            layout.stored(names[id(parameter)], parameter.detach())
    except InputError as error:
        found, _, remedy = str(error).partition("; ")
        yield Check("weights written", "fails", found, remedy)
    else:
        yield Check("weights written", "ok", "the model's files hold what is trained")

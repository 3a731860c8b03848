"""Load a model that classifies texts."""

from collections.abc import Mapping
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, PreTrainedModel

from lit_unlearn.errors import InputError
from lit_unlearn.models.loading import read_config
from lit_unlearn.models.source import ModelSource

CLEAN = "clean"
"""The label of a text that is none of gibberish, in upper or lower case."""


def clean_label(path: str, option: str) -> int:
    """The number of the label `clean` of a classifier, read before its weights.

    Args:
        path: hub name or folder.
        option: that names it, for errors.

    Raises:
        InputError: there is no such model, or it has no such label.
    """
    labels: Mapping[Any, str] = read_config(ModelSource(path)).id2label or {}
    found = [number for number, label in labels.items() if str(label).lower() == CLEAN]
    if not found:
        raise InputError(
            f"{option}: {path!r} has the labels {', '.join(map(str, labels.values()))}, none of which is {CLEAN!r}; "
            "name a classifier of gibberish, or rename the label in id2label of its config.json"
        )
    return int(found[0])


def load_classifier(path: str, option: str) -> PreTrainedModel:
    """A sequence classifier, in eval mode and float32.

    Args:
        path: hub name or folder.
        option: that names it, for errors.

    Raises:
        InputError: it cannot be loaded.
    """
    try:
        model: PreTrainedModel = AutoModelForSequenceClassification.from_pretrained(path, dtype=torch.float32)
    except (OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{option}: {path!r} cannot be loaded as a classifier ({reason}); give the hub name or folder of one"
        ) from error
    model.eval()
    return model

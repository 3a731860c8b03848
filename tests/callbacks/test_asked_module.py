from pathlib import Path

import lightning as L
import pytest
import torch

from lit_unlearn.callbacks.asked_module import held_model, named_source
from lit_unlearn.errors import InputError
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.source import ModelSource
from tests.training import demo_module


class Own(L.LightningModule):
    """A user's own module, with what the attributes say."""


def test_a_module_of_the_users_own_gives_its_model_and_where_it_comes_from(world: Path) -> None:
    module, source = Own(), ModelSource(str(world / "model"))
    module.pretrained = source.pretrained  # type: ignore[assignment]
    module.updated = load_model(source, torch.float32)
    assert held_model(L.Callback(), module) is module.updated
    assert named_source(L.Callback(), module) == source == named_source(L.Callback(), demo_module(world))


def test_a_module_without_them_is_refused() -> None:
    with pytest.raises(InputError, match=r"^Callback: Own names no `pretrained` model; remove the callback$"):
        named_source(L.Callback(), Own())
    with pytest.raises(InputError, match=r"^Callback: Own holds no `updated` model of transformers; remove the callb"):
        held_model(L.Callback(), Own())

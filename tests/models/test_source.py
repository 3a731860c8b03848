from pathlib import Path

import lightning as L
import pytest

from lit_unlearn.models.source import HasModelSource, ModelSource, source_of
from lit_unlearn.modules.pretrained import PretrainedModule
from lit_unlearn.modules.question import QuestionModule
from tests.training import demo_module


class Own(L.LightningModule):
    """A user's own module."""

    def __init__(self, **named: object) -> None:
        super().__init__()
        for name, value in named.items():
            setattr(self, name, value)


def says(module: PretrainedModule) -> HasModelSource:
    """Type-checked: a module of ours has what is asked of it."""
    return module


def test_our_modules_say_where_their_model_comes_from(world: Path) -> None:
    given = ModelSource("owner/name", revision="v1", attn_implementation="eager", trust_remote_code=True)
    module = QuestionModule("owner/name", revision="v1", attn_implementation="eager", trust_remote_code=True)
    assert source_of(module) == says(module).model_source == given
    assert source_of(demo_module(world)) == ModelSource(str(world / "model"))


@pytest.mark.parametrize(
    ("named", "source"),
    [
        ({}, None),
        ({"pretrained": None}, None),
        ({"revision": "v1"}, None),
        ({"pretrained": "a"}, ModelSource("a")),
        ({"pretrained": "a", "revision": "v1"}, ModelSource("a", revision="v1")),
        ({"pretrained": "a", "trust_remote_code": True}, ModelSource("a", trust_remote_code=True)),
    ],
)
def test_a_module_of_the_users_own_may_name_its_model(named: dict[str, object], source: ModelSource | None) -> None:
    assert source_of(Own(**named)) == source

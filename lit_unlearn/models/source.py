"""Where a model comes from, and how it is loaded."""

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from lit_unlearn.demo import CHECKPOINT


@dataclass(frozen=True)
class ModelSource:
    """What `from_pretrained` needs to know of a model and its tokenizer.

    Example:
        >>> ModelSource("owner/model").revision
        'main'
        >>> ModelSource("demo").pretrained == str(CHECKPOINT)
        True
    """

    pretrained: str
    """Hub name or folder; `demo` becomes the folder of the embedded model."""
    _: KW_ONLY
    revision: str = "main"
    """Branch, tag or commit on the hub."""
    attn_implementation: str | None = None
    """As in transformers; None takes its choice."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""

    def __post_init__(self) -> None:
        if self.pretrained == "demo":
            object.__setattr__(self, "pretrained", str(CHECKPOINT))

    @property
    def given(self) -> str:
        """As the user gave it: `demo`, a hub name, or a folder."""
        return "demo" if self.pretrained == str(CHECKPOINT) else self.pretrained

    @property
    def name(self) -> str:
        """As files that are passed on name it: `demo`, a hub name, or a local folder's name without where it lies.

        Example:
            >>> ModelSource("demo").name, ModelSource("owner/model").name
            ('demo', 'owner/model')
        """
        return Path(self.given).resolve().name if Path(self.given).exists() else self.given


@runtime_checkable
class HasModelSource(Protocol):
    """A module of ours, which says where its model comes from."""

    @property
    def model_source(self) -> ModelSource:
        """Of the model that it holds or will load."""


def source_of(module: object) -> ModelSource | None:
    """Where the model of a LightningModule comes from; None if it does not say.

    A module of the user's own names it by `pretrained`, and may add `revision` and `trust_remote_code`.
    """
    if isinstance(module, HasModelSource):
        return module.model_source
    names = ("pretrained", "revision", "trust_remote_code")
    given = {name: getattr(module, name) for name in names if hasattr(module, name)}
    return None if given.get("pretrained") is None else ModelSource(**given)

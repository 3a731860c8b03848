"""Where a model comes from, and how it is loaded."""

import json
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from lit_unlearn.demo import MODELS
from lit_unlearn.errors import InputError

ADAPTER_CONFIG = "adapter_config.json"
"""The file by which a folder is PEFT's, of an adapter instead of a model."""


@dataclass(frozen=True)
class ModelSource:
    """What `from_pretrained` needs to know of a model and its tokenizer.

    Example:
        >>> ModelSource("owner/model").revision
        'main'
        >>> ModelSource("demo").pretrained == str(MODELS["demo"])
        True
    """

    pretrained: str
    """Hub name or folder; `demo` and `demo-retain-only` become the folders of the embedded models, an adapter's folder
    the model it adapts."""
    _: KW_ONLY
    revision: str = "main"
    """Branch, tag or commit on the hub; of an adapter's folder that of its model, by default what the adapter names."""
    attn_implementation: str | None = None
    """As in transformers; None takes its choice."""
    trust_remote_code: bool = False
    """Run code that comes with the model."""
    adapter: str | None = field(default=None, init=False)
    """The folder of an adapter that is merged into the model, where such a folder was given."""

    def __post_init__(self) -> None:
        if (Path(self.pretrained) / ADAPTER_CONFIG).is_file():
            base, revision = _adapted_model(Path(self.pretrained) / ADAPTER_CONFIG)
            object.__setattr__(self, "adapter", self.pretrained)
            object.__setattr__(self, "pretrained", base)
            object.__setattr__(self, "revision", revision if self.revision == "main" else self.revision)
        if self.pretrained in MODELS:
            object.__setattr__(self, "pretrained", str(MODELS[self.pretrained]))

    @property
    def given(self) -> str:
        """As the user gave it: `demo`, a hub name, or a folder."""
        if self.adapter is not None:
            return self.adapter
        return next((name for name, folder in MODELS.items() if str(folder) == self.pretrained), self.pretrained)

    @property
    def tokenizer(self) -> str:
        """Hub name or folder that holds the tokenizer: the adapter's, where one lies beside it."""
        beside = self.adapter is not None and (Path(self.adapter) / "tokenizer_config.json").is_file()
        return self.adapter if beside and self.adapter is not None else self.pretrained

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


def _adapted_model(path: Path) -> tuple[str, str]:
    """Hub name or folder, and revision, of the model that an adapter's configuration names."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        base, revision = config["base_model_name_or_path"], config.get("revision") or "main"
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"model.pretrained: {path} cannot be read ({error!r}); save the adapter again") from error
    if not isinstance(base, str) or (Path(base) / ADAPTER_CONFIG).is_file():
        raise InputError(
            f"model.pretrained: {path} names {base!r} as base_model_name_or_path, which is not a model; write the hub "
            "name or the folder of the model that it adapts there"
        )
    return base, revision

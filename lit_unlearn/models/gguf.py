"""Folders of GGUF files, which other programs run: what to say of one."""

from pathlib import Path

REMEDY = (
    "name what it was made from, a folder with config.json and safetensors, or convert it once "
    "(docs/new_model.md, From a GGUF file)"
)


def holds_gguf(name: str) -> bool:
    """Whether a name is that of a folder with a GGUF file in it.

    Example:
        >>> holds_gguf("google/gemma-3-270m")
        False
    """
    return any(Path(name).glob("*.gguf"))

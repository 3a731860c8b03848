"""Whether a fit runs on one device, from its options alone."""

from typing import Any

from lit_unlearn.commands.options.words import Words

_PREFIX = "trainer."


def on_one_device(words: Words) -> bool:
    """Whether a fit is one process on one device; Lightning starts the others of a fit as new commands.

    Where that cannot be read from the options, such as a strategy of its own, the answer is no.

    Args:
        words: of fit.

    Example:
        >>> on_one_device(Words.read(["--trainer.accelerator=cpu"], command="fit"))
        True
        >>> on_one_device(Words.read(["--trainer.accelerator=cpu", "--trainer.devices=2"], command="fit"))
        False
    """
    given: dict[str, Any] = words.section("trainer")
    for option in words.options:
        if option.key.startswith(_PREFIX):
            given[option.key.removeprefix(_PREFIX)] = option.value
    if words.values("trainer") or any(name.startswith("strategy.") for name in given):
        return False
    if given.get("strategy") not in (None, "auto", "null") or str(given.get("num_nodes", 1)) != "1":
        return False
    return _count(str(given.get("devices") or "auto"), str(given.get("accelerator") or "auto")) == 1


def _count(devices: str, accelerator: str) -> int:
    """How many devices Lightning takes; 0 where only Lightning knows."""
    if devices.isdecimal():
        return int(devices)
    if devices not in ("auto", "null", "-1"):
        return 0
    if accelerator in ("cpu", "mps"):
        return 1
    if accelerator not in ("auto", "null", "cuda", "gpu"):
        return 0
    import torch

    return max(1, torch.cuda.device_count())

"""Whether the hub answers, asked once and for seconds, before libraries try for a minute."""

from functools import lru_cache
from pathlib import Path

import datasets.config
from huggingface_hub import constants, try_to_load_from_cache
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils._http import get_session

from lit_unlearn.errors import InputError

SECONDS = 3.0
"""That the hub may take to answer."""

_FILES = ("config.json", "tokenizer_config.json")
"""One of which every model or tokenizer has."""


def check_model_reachable(named: str, pretrained: str, revision: str) -> None:
    """A model is in a folder or in the cache, or the hub answers.

    Args:
        named: the option and its value, for the error.
        pretrained: hub name or folder.
        revision: of the hub model.

    Raises:
        InputError: none of that.
    """
    if Path(pretrained).exists():
        return
    try:
        cached = [try_to_load_from_cache(pretrained, file, revision=revision) for file in _FILES]
    except HFValidationError:
        return  # no name that the hub could have, which libraries say at once
    if not any(isinstance(path, str) for path in cached):
        _check_answers(named)


def check_dataset_reachable(path: str) -> None:
    """A dataset is in a folder or in the cache of `datasets`, or the hub answers.

    Args:
        path: its name.

    Raises:
        InputError: neither.
    """
    if not Path(path).exists() and not dataset_cache(path).is_dir():
        _check_answers(repr(path))


def dataset_cache(path: str) -> Path:
    """The folder in which `datasets` keeps a hub dataset.

    Args:
        path: its name.
    """
    return Path(datasets.config.HF_DATASETS_CACHE) / path.replace("/", "___")


def _check_answers(named: str) -> None:
    if constants.is_offline_mode():
        return  # libraries say so at once
    try:
        _answers()
    except Exception as error:  # of whichever HTTP library the hub's client has
        raise InputError(
            f"{named} is not here, and the hub does not answer ({type(error).__name__}); connect to the network, or "
            "give a local copy"
        ) from error


@lru_cache
def _answers() -> None:
    """Asks for anything: whatever comes back is an answer."""
    get_session().head(constants.ENDPOINT, timeout=SECONDS)

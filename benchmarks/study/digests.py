"""What tells the files of a study from others, wherever they lie."""

import hashlib
import json
from pathlib import Path

from lit_unlearn.commands.options.config_files import located
from lit_unlearn.commands.options.option_file import OptionFile
from lit_unlearn.errors import InputError

_WEIGHTS = ("*.safetensors", "*.bin")


def digest_of_config(name: str) -> str:
    """Of what a config says, whatever its comments are.

    Args:
        name: of a file, or of a shipped config.
    """
    options = OptionFile.read(located(name)).options
    return hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode()).hexdigest()


def digest_of_file(path: Path) -> str:
    """SHA-256.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give another file") from error


def digest_of_model(pretrained: str) -> str:
    """Of the weights in a folder; a name on the hub stands for itself."""
    files = sorted(path for pattern in _WEIGHTS for path in Path(pretrained).glob(pattern))
    return hashlib.sha256("".join(map(digest_of_file, files)).encode()).hexdigest() if files else pretrained

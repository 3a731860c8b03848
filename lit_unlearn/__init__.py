"""Unlearning in causal language models that stay usable afterwards, on PyTorch Lightning.

The public names are listed in `__init__.pyi` and imported when they are first used: `lit-unlearn --help` must not wait
for torch.
"""

from importlib.metadata import version

import lazy_loader

__version__ = version("lit-unlearn")
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Streams of text, paired for unlearning."""

from lit_unlearn.data.base import UnlearnDataModule
from lit_unlearn.data.demo import DemoDataModule
from lit_unlearn.data.mixing import Mixing
from lit_unlearn.data.text import TextSource
from lit_unlearn.data.wmdp import WMDPDataModule

__all__ = ["DemoDataModule", "Mixing", "TextSource", "UnlearnDataModule", "WMDPDataModule"]

"""Streams of text to batches: sources, rows, which rows meet in a step, forget-token mixing."""

from lit_unlearn.data.mixing import Mixing
from lit_unlearn.data.text import TextSource

__all__ = ["Mixing", "TextSource"]

"""The embedded demo world: invented knowledge, texts and questions about it, and a small model that knows it."""

from pathlib import Path

CHECKPOINT = Path(__file__).parent / "checkpoint"
"""The model and its tokenizer; `demo` as the name of a model means this folder."""
RETAIN_ONLY = Path(__file__).parent / "retain_only"
"""The same model, trained in the same way, that has never seen the subjects to forget; named `demo-retain-only`."""
MODELS = {"demo": CHECKPOINT, "demo-retain-only": RETAIN_ONLY}
"""The embedded models by name."""
PREFERRED_ANSWERS = Path(__file__).with_name("preferred_answers.txt")
"""Answers in words of the demo world, one per line, that say that nothing is known."""

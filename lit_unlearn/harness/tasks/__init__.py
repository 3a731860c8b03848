"""Tasks of the lm-eval harness that come with the package: MMLU perturbed, its controls, and local files."""

from pathlib import Path


def folder() -> Path:
    """Where they are, for `lm_eval --include_path`."""
    return Path(__file__).parent

"""A command, and what its numbers are compared with."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from lit_unlearn.cli import main

FILES = ["SHA256SUMS", "figure.png", "figure.svg", "section.json", "section.md"]


def analysed(out: Path, *words: str) -> dict[str, Any]:
    main(["analyse", *words, f"--out={out}"])
    assert sorted(path.name for path in out.iterdir()) == FILES
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
    section: dict[str, Any] = json.loads((out / "section.json").read_text(), parse_constant=pytest.fail)
    assert all(len(row) == len(section["columns"]) for row in section["rows"])
    return section


@torch.no_grad()
def states(model: PreTrainedModel, ids: list[int], layer: int) -> torch.Tensor:
    hidden: torch.Tensor = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[layer + 1][0]
    return hidden


@torch.no_grad()
def logits(model: PreTrainedModel, ids: list[int]) -> torch.Tensor:
    last: torch.Tensor = model(input_ids=torch.tensor([ids])).logits[0, -1]
    return last

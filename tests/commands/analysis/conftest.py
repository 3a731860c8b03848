"""Finished runs, written by hand: a config, and an export that differs from the base as training would have it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from lit_unlearn.commands.analysis.opened_runs import Run
from tests.tiny_world import texts, tokenizer

CONFIG = """\
seed_everything: {seed}
model:
  pretrained: {world}/model
  layer: {layer}
  forget: {forget}
  retain: RepresentationMSE
  noise_scale: {noise_scale}
data:
  class_path: UnlearnDataModule
  init_args:
    forget: {{alchemy: {{path: {world}/alchemy.jsonl}}, navigation: {{path: {world}/navigation.jsonl}}}}
    retain: {{gardening: {{path: {world}/gardening.jsonl}}}}
    evaluation:
      questions:
        forget: {{path: {questions}/forget.jsonl}}
        retain: {{path: {questions}/retain.jsonl}}
      perturbations: {{3-gram: {{n: 3}}}}
trainer: {{accelerator: cpu, precision: 32-true}}
ckpt_path: gone.ckpt
"""
WriteRun = Callable[..., Path]


def write_questions(path: Path, subject: str) -> None:
    """Six questions of 8 words with options of one word."""
    words = [text.split() for text in texts(subject, 6, seed=1)]
    records = [
        {"question": " ".join(row[:8]), "choices": row[8:12], "answer": number % 4, "subject": subject}
        for number, row in enumerate(words)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture(scope="session")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("questions")
    write_questions(folder / "forget.jsonl", "alchemy")
    write_questions(folder / "retain.jsonl", "gardening")
    return folder


@pytest.fixture(scope="session")
def write_run(world: Path, questions: Path) -> WriteRun:
    """Writes a run: options of the config, and `change`, how far its weights are from the base's; 0 exports nothing."""

    def write(
        folder: Path,
        *,
        change: float = 0.0,
        noise_scale: float = 0.0,
        layer: int = 2,
        seed: int = 0,
        forget: str = "{class_path: RMU, init_args: {coefficient: 7}}",
    ) -> Path:
        folder.mkdir(parents=True)
        (folder / "config.yaml").write_text(
            CONFIG.format(
                world=world, questions=questions, seed=seed, layer=layer, noise_scale=noise_scale, forget=forget
            )
        )
        if change:
            model = AutoModelForCausalLM.from_pretrained(world / "model")
            source = torch.Generator().manual_seed(round(1000 * change))
            for block in model.model.layers[:3]:
                weight = block.mlp.down_proj.weight.data
                weight += change * torch.randn(weight.shape, generator=source)
            model.save_pretrained(folder / "export")
            tokenizer().save_pretrained(folder / "export")
        return folder

    return write


@pytest.fixture(scope="session")
def method(write_run: WriteRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without noise."""
    return write_run(tmp_path_factory.mktemp("runs") / "method", change=0.2)


@pytest.fixture(scope="session")
def opened(method: Path) -> Run:
    """The run without noise, opened once for all tests."""
    return Run(method)


@pytest.fixture(scope="session")
def rna(write_run: WriteRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with it, of another coefficient."""
    return write_run(
        tmp_path_factory.mktemp("others") / "rna",
        change=0.1,
        noise_scale=0.5,
        forget="{class_path: RMU, init_args: {coefficient: [3, 4]}}",
    )

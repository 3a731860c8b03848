"""A run of a tiny model, and the config of its card."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.commands.analysis.conftest import write_questions
from tests.tiny_world import tokenizer

CONFIG = """\
data:
  class_path: UnlearnDataModule
  init_args:
    forget: {{alchemy: {{path: {world}/alchemy.jsonl}}}}
    retain: {{gardening: {{path: {world}/gardening.jsonl}}}}
    batch_size: 2
    holdout: 4
    evaluation:
      questions:
        forget: {{path: {questions}/forget.jsonl}}
        retain: {{path: {questions}/retain.jsonl}}
      perturbations: {{3-gram: {{n: 3, sets: [retain]}}}}
trainer: {{accelerator: cpu, precision: 32-true}}
attacks:
  int8: {{class_path: RoundedWeights, init_args: {{bits: 8}}}}
  pruning: {{class_path: PrunedWeights, init_args: {{shares: [0.1, 0.3]}}}}
"""


@pytest.fixture(scope="session")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of questions to forget and to retain."""
    folder = tmp_path_factory.mktemp("asked")
    write_questions(folder / "forget.jsonl", "alchemy")
    write_questions(folder / "retain.jsonl", "gardening")
    return folder


@pytest.fixture(scope="session")
def config(world: Path, asked: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("configs") / "card.yaml"
    path.write_text(CONFIG.format(world=world, questions=asked))
    return path


@pytest.fixture(scope="session")
def attacked(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose export differs from its base."""
    folder = tmp_path_factory.mktemp("attacked") / "method"
    folder.mkdir()
    (folder / "config.yaml").write_text(f"model: {{pretrained: {world}/model}}\n")
    model = AutoModelForCausalLM.from_pretrained(world / "model")
    source = torch.Generator().manual_seed(3)
    for block in model.model.layers[:3]:
        weight = block.mlp.down_proj.weight.data
        weight += 0.2 * torch.randn(weight.shape, generator=source)
    model.save_pretrained(folder / "export")
    tokenizer().save_pretrained(folder / "export")
    return folder

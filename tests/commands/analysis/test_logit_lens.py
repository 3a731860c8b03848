import json
from pathlib import Path

import pytest
import torch

from lit_unlearn import InputError
from lit_unlearn.cli import main
from lit_unlearn.commands.analysis import main as analyse
from lit_unlearn.commands.analysis.logit_lens import by_layer
from lit_unlearn.demo.knowledge import invent
from lit_unlearn.demo.questions import draw
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.questions.batches import encode
from lit_unlearn.questions.source import Question


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of so few steps that little is forgotten."""
    folder = tmp_path_factory.mktemp("lens") / "run"
    few = ["--data.questions=8", "--trainer.max_steps=2", "--trainer.val_check_interval=2", "--data.perturbations={}"]
    main(["fit", "-c", "demo.yaml", *few, f"--trainer.default_root_dir={folder}"])
    return folder


def test_the_demo_model_says_the_letter_in_its_last_two_layers_whatever_runs_together() -> None:
    model, tokenizer = load_model(ModelSource("demo"), torch.float32), load_tokenizer(ModelSource("demo"))
    knowledge = invent()
    asked = [
        Question(one["question"], (a, b, c, d), one["answer"], one["subject"], number)
        for number, one in enumerate(draw(knowledge, knowledge.forget, 48, seed=3))
        for a, b, c, d in [one["choices"]]
    ]
    found = [
        by_layer(model, decoder_layers(model), encode(asked, tokenizer), batch_size=size, text="") for size in (48, 5)
    ]
    values = [estimate.value for estimate in found[0]]
    assert values[-2:] == [1.0, 1.0]
    assert max(values[:3]) < 0.5
    assert [estimate.value for estimate in found[1]] == values


def test_the_command_has_a_row_for_each_layer_and_a_line_for_each_model(run: Path, tmp_path: Path) -> None:
    analyse(["logit-lens", str(run), "--questions=4", "--out", str(tmp_path / "lens")])
    section = json.loads((tmp_path / "lens" / "section.json").read_text())
    assert section["columns"] == ["questions", "layer", "base", "run"]
    assert [row[:2] for row in section["rows"]] == [["forget", str(layer)] for layer in range(7)]
    assert section["rows"][-1][2] == "100.0 ± 0.0"
    assert section["numbers"]["base"]["forget"]["accuracy"][-1] == 1.0
    assert len(section["numbers"]["run"]["forget"]["accuracy_error"]) == 7
    picture = (tmp_path / "lens" / "figure.svg").read_text()
    assert all(f">{name}<" in picture for name in ("base", "run", "forget", "layer", "accuracy (%)"))


def test_a_run_without_questions_to_forget_is_refused(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    config = (run / "config.yaml").read_text()
    assert "- forget\n" in config
    (other / "config.yaml").write_text(config.replace("- forget\n", "- secrets\n"))
    (other / "export").symlink_to(run / "export")
    with pytest.raises(InputError, match=r"other: none of the question sets is to be forgotten \(secrets\); name one"):
        analyse(["logit-lens", str(other)])

import random
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lit_unlearn.demo import exercises, pretrain
from lit_unlearn.demo.knowledge import invent
from lit_unlearn.demo.words import tokenizer


def trained(seed: int = 0, steps: int = 2) -> dict[str, torch.Tensor]:
    knowledge = invent()
    words = tokenizer(knowledge)
    model = pretrain.new_model(len(words), layers=3, seed=seed)
    pretrain.pretrain(model, words, knowledge, steps=steps, seed=seed)
    return model.state_dict()


def test_training_is_decided_by_the_seed() -> None:
    first, again, other = trained(), trained(), trained(seed=1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_every_parameter_is_trained() -> None:
    knowledge = invent()
    before = pretrain.new_model(len(tokenizer(knowledge)), layers=3).state_dict()
    after = trained()
    assert not [name for name in before if torch.equal(before[name], after[name])]


def test_the_loss_falls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrain, "_WARM_UP", 1)
    monkeypatch.setattr(pretrain, "_FIRST", ((exercises.read, 8),))
    monkeypatch.setattr(pretrain, "_THEN", ((exercises.read, 8), (exercises.choose, 1)))
    knowledge = invent()
    words = tokenizer(knowledge)
    model = pretrain.new_model(len(words), layers=3)
    ids, labels, _ = exercises.batch([exercises.read(knowledge, random.Random(row)) for row in range(20)], words)

    @torch.no_grad()
    def loss() -> float:
        logits = model(input_ids=ids).logits[:, :-1]
        return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, 1:].flatten()))

    before = loss()
    pretrain.pretrain(model, words, knowledge, steps=20)
    assert loss() < 0.9 * before


def test_the_learning_rate_warms_up_and_falls() -> None:
    rates = [pretrain._schedule(step, 1000) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01, rel=0.01)
    assert max(rates) == pytest.approx(0.98, abs=0.02)
    assert rates.index(max(rates)) in range(98, 102)
    assert rates[-1] == pytest.approx(0.03, abs=0.001)


def test_the_command_writes_a_folder_that_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "model"
    words = ["pretrain", str(out), "--steps", "1", "--layers", "3"]
    monkeypatch.setattr(sys, "argv", words)
    pretrain.main()
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(out))
    assert "pretraining: 100%" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--hidden-size", "64"], ["--hidden-size", "100"], ["--layers", "2"]])
def test_a_shape_without_room_for_the_heads_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["pretrain", str(tmp_path / "out"), *words])
    with pytest.raises(SystemExit):
        pretrain.main()
    assert "multiple of 32 from 96" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()

"""The command on a small world: what it writes, that it goes on after an interruption, what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from lit_unlearn import TextSource
from lit_unlearn.cli import main
from lit_unlearn.commands.forget_tokens import command
from lit_unlearn.commands.forget_tokens.ngrams import Settings, draw_documents, score
from lit_unlearn.commands.forget_tokens.representations import Representations
from lit_unlearn.commands.forget_tokens.similarity import mean_scores
from lit_unlearn.models import loading
from lit_unlearn.models.first_layers import NotLoaded
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.source import ModelSource
from lit_unlearn.questions.similar_ngrams import similar_texts
from tests.tiny_world import texts, tokenizer

CONFIG = """\
model:
  pretrained: {world}/model
  layer: 2
  forget: {{class_path: RMU, init_args: {{coefficient: 1}}}}
  retain: RepresentationMSE
data:
  class_path: UnlearnDataModule
  init_args:
    forget: {{alchemy: {{path: {world}/alchemy.jsonl}}, navigation: {{path: {world}/navigation.jsonl}}}}
    retain: {{gardening: {{path: {world}/gardening.jsonl}}}}
trainer: {{accelerator: cpu, precision: 32-true}}
"""
FEW = ["--documents=40", "--ngrams-per-document=3", "--lengths", "2", "4"]


@pytest.fixture
def config(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(CONFIG.format(world=world))
    return "c.yaml"


def found(*words: str) -> dict[str, Any]:
    main(["forget-tokens", *words])
    written: dict[str, Any] = json.loads(Path("forget_tokens.json").read_text(encoding="utf-8"))
    return written


def test_the_file_has_ten_n_grams_of_each_class(config: str, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = found("-c", config, *FEW)
    shown = capsys.readouterr().out
    assert (written["model"], written["layer"], written["documents"]) == (f"{world}/model", 2, 40)
    stream = [text for subject in ("alchemy", "navigation") for text in texts(subject, 60)]
    for n in ("2", "4"):
        classes = written["ngrams"][n]
        assert 30 < classes["scored"] <= 120
        for name in ("most", "mean", "least"):
            own = [one["text"] for one in classes[name]]
            assert len(set(own)) == 10
            assert f"{name:5} {own[0]} (" in shown
            assert all(len(tokenizer().tokenize(text)) == int(n) for text in own)
            assert all(any(text in row for row in stream) for text in own)
        most, mean, least = ([one["similarity"] for one in classes[name]] for name in ("most", "mean", "least"))
        assert most == sorted(most, reverse=True)
        assert least == sorted(least)
        assert min(most) > max(mean) >= min(mean) > max(least)
        assert abs(mean[0] - classes["mean_similarity"]) <= abs(mean[-1] - classes["mean_similarity"])
    assert len(similar_texts("forget_tokens.json", n=4, similarity="most", tokenizer=tokenizer())) == 10
    assert sorted(path.name for path in Path().iterdir()) == ["c.yaml", "forget_tokens.json"]


def test_the_scores_are_those_of_the_whole_model(config: str, world: Path) -> None:
    written = found("-c", config, *FEW)
    sources = [TextSource(str(world / f"{name}.jsonl")) for name in ("alchemy", "navigation")]
    documents = draw_documents(sources, tokenizer(), 40, seed=0)
    represent = Representations(loading.load_model(ModelSource(str(world / "model")), torch.float32), tokenizer(), 2)
    scored = score(documents, tokenizer(), represent, Settings(40, 3, (2, 4), seed=0))
    for n in (2, 4):
        expected = max(mean_scores((text, value) for length, text, value in scored if length == n).values())
        assert written["ngrams"][str(n)]["most"][0]["similarity"] == pytest.approx(expected, abs=1e-5)


def test_layers_above_are_not_loaded(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    models: list[PreTrainedModel] = []

    def represent(model: PreTrainedModel, *args: Any) -> Representations:
        models.append(model)
        return Representations(model, *args)

    monkeypatch.setattr(command, "Representations", represent)
    found("-c", config, *FEW)
    (model,) = models
    assert [isinstance(layer, NotLoaded) for layer in decoder_layers(model)[:5]] == [False, False, False, True, True]


def test_after_an_interruption_the_same_command_goes_on(config: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = found("-c", config, *FEW)
    content = Path("forget_tokens.json").read_bytes()
    Path("forget_tokens.json").unlink()
    calls: list[int] = []

    def interrupted(*args: Any) -> Any:
        calls.append(len(calls))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return score(*args)

    monkeypatch.setattr(command, "score", interrupted)
    with pytest.raises(SystemExit):
        main(["forget-tokens", "-c", config, *FEW])
    assert not Path("forget_tokens.json").exists()
    assert Path(".forget_tokens.json.partial").is_file()
    assert found("-c", config, *FEW) == whole
    assert len(calls) == 4  # two parts before, of three; the third twice
    assert Path("forget_tokens.json").read_bytes() == content
    assert not Path(".forget_tokens.json.partial").exists()


@pytest.mark.parametrize("other", ["--model.layer=3", "--documents=39"])
def test_another_command_takes_nothing_of_an_interrupted_one(
    config: str, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted_once(*args: Any) -> Any:
        calls.append(len(calls))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return score(*args)

    calls: list[int] = []
    monkeypatch.setattr(command, "score", interrupted_once)
    with pytest.raises(SystemExit):
        main(["forget-tokens", "-c", config, *FEW])
    found("-c", config, *FEW, other)
    assert len(calls) == 2 + 3  # every part again


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--documents=0"], "forget-tokens.documents: must be at least 1, got 0"),
        (["--ngrams-per-document=0"], "forget-tokens.ngrams-per-document: must be at least 1, got 0"),
        (["--lengths", "2", "2"], "forget-tokens.lengths: must be different numbers of at least 1, got [2, 2]"),
        (["--lengths", "400"], "the forget stream has no n-gram of 400 tokens; leave it out"),
        (["--out=folder"], "forget-tokens.out: folder is a folder; give the name of a file"),
        (["--model.layer=10"], "model.layer: 10 is out of range"),
        (["--modle.layer=10"], "modle.layer: there is no such option; did you mean model.layer?"),
        (["--data=lightning.LightningDataModule"], "LightningDataModule has no forget stream of texts; take Unlearn"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    config: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder").mkdir()
    with pytest.raises(SystemExit) as stop:
        main(["forget-tokens", "-c", config, "--documents=2", *words])
    assert stop.value.code == 2
    assert message in capsys.readouterr().err
    assert not Path("forget_tokens.json").exists()


@pytest.mark.slow
def test_the_n_grams_perturb(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    found("-c", "demo.yaml", "--documents=20", "--ngrams-per-document=2", "--lengths", "4")
    given = "{most: {n: 4, similarity: most, file: forget_tokens.json, sets: [retain]}}"
    words = ["validate", "-c", "demo.yaml", "--data.questions=8", f"--data.perturbations={given}"]
    main([*words, "--trainer.default_root_dir=run"])
    assert "retain/most/control" in capsys.readouterr().out

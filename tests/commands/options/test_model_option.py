import re
from pathlib import Path

import pytest

from lit_unlearn.commands.options import model_option
from lit_unlearn.commands.options.words import Words
from lit_unlearn.errors import InputError

LOSSES = "model: {pretrained: a, layer: 3, forget: RMU, retain: NLL}\ndata: DemoDataModule\n"


def alone(words: list[str]) -> list[str] | None:
    found = model_option.alone(Words.read(words))
    return None if found is None else [*found]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("losses.yaml").write_text(LOSSES)
    Path("run.yaml").write_text("model: {pretrained: a b, revision: null, trust_remote_code: false}\n")
    Path("overlay.yaml").write_text("model: {pretrained: c}\n")


@pytest.mark.parametrize(
    "words",
    [
        ["--model", "PATH", "-c", "losses.yaml"],
        ["--model=PATH", "-c", "losses.yaml"],
        ["-c", "losses.yaml", "--model", "PATH"],
        ["-c", "losses.yaml", "--model=PATH"],
    ],
)
def test_a_model_takes_the_place_of_the_files_sections(words: list[str]) -> None:
    assert alone(["validate", *words]) == ["validate", "--model.pretrained=PATH", "-c", "losses.yaml"]


def test_other_words_stay_in_their_order() -> None:
    words = ["-c", "losses.yaml", "--data", "X", "--model", "PATH", "--model.revision", "v1", "--config=overlay.yaml"]
    assert alone(["test", *words]) == [
        *("test", "--model.pretrained=PATH", "-c", "losses.yaml", "--data", "X"),
        *("--model.revision", "v1", "--config=overlay.yaml"),
    ]


@pytest.mark.parametrize(
    "words",
    [
        ["-c", "losses.yaml"],
        ["-c", "losses.yaml", "-c", "overlay.yaml"],
        ["--config=overlay.yaml", "--config=losses.yaml"],
        ["-c", "overlay.yaml", "--model.forget=RMU"],
        ["-c", "overlay.yaml", "--model.retain", "NLL"],
    ],
)
def test_where_losses_are_named_nothing_changes(words: list[str]) -> None:
    assert alone(["validate", *words]) is None


def test_without_losses_the_options_are_those_of_the_files() -> None:
    assert alone(["validate", "-c", "run.yaml", "-c", "overlay.yaml", "--model.revision", "v1"]) == [
        *("validate", "--model.pretrained=c", "--model.revision=null", "--model.trust_remote_code=false"),
        *("-c", "run.yaml", "-c", "overlay.yaml", "--model.revision", "v1"),
    ]


@pytest.mark.parametrize("word", ["--help", "-h", "--print_config", "--data=DemoDataModule"])
def test_some_words_need_no_config(word: str) -> None:
    assert alone(["validate", word, "--model", "PATH"]) == ["validate", "--model.pretrained=PATH", word]


@pytest.mark.parametrize(
    ("words", "match"),
    [
        ([], "validate: no questions; name a config after -c, such as evaluate.yaml .* or demo.yaml"),
        (["--model", "PATH"], "validate: no questions; name a config after -c"),
        (["--model"], "--model: no value given; write a folder"),
        (["--model=", "-c", "losses.yaml"], "--model: no value given"),
        (["--model", "-c", "losses.yaml"], "--model: no value given"),
        (["--model", "a", "--model=b", "-c", "losses.yaml"], r"--model: given 2 times \(a, b\); evaluate one model"),
        (["--model", "a", "--model.pretrained", "b"], "--model: a and --model.pretrained name a model each"),
        (["--model", "a", "--model.pretrained=b"], "--model: a and --model.pretrained name a model each"),
    ],
)
def test_what_cannot_be_meant_is_refused(words: list[str], match: str) -> None:
    with pytest.raises(InputError, match=f"^{match}"):
        alone(["validate", *words])


@pytest.mark.parametrize(("words", "path"), [(["--model", "a/b"], "a/b"), (["--model=a/b"], "a/b"), (["--model"], "P")])
def test_training_takes_no_model_from_it(words: list[str], path: str) -> None:
    with pytest.raises(InputError, match=re.escape(f"give --model.pretrained {path}")):
        model_option.check_none(Words.read(["fit", "-c", "losses.yaml", *words]))


def test_training_takes_a_file_of_options_as_lightning_does() -> None:
    model_option.check_none(Words.read(["fit", "--model", "losses.yaml", "--model.layer", "3"]))

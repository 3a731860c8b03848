from pathlib import Path

import pytest

from lit_unlearn.commands.options import config_files
from lit_unlearn.commands.options.words import Words


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("words", "index"), [(["fit", "-c", "rmu.yaml"], 2), (["fit", "--seed_everything=1", "--config", "rmu.yaml"], 3)]
)
def test_a_name_becomes_the_shipped_path(words: list[str], index: int) -> None:
    found = [*Words.read(words)]
    assert found[index] == str(config_files.folder() / "rmu.yaml")
    assert found[:index] == words[:index]


@pytest.mark.parametrize("flag", ["-c", "--config"])
def test_a_name_after_an_equals_sign(flag: str) -> None:
    expected = f"{flag}={config_files.folder() / 'model/mistral-7b.yaml'}"
    assert [*Words.read([f"{flag}=model/mistral-7b.yaml"], command="fit")] == ["fit", expected]


def test_a_file_in_the_working_directory_wins() -> None:
    Path("rmu.yaml").write_text("model: {layer: 3}\n")
    assert [*Words.read(["fit", "-c", "rmu.yaml"])] == ["fit", "-c", "rmu.yaml"]


def test_other_words_stay_as_they_are() -> None:
    words = ["fit", "--model.pretrained", "rmu.yaml", "--data.tokenizer=rmu.yaml", "-c"]
    assert Words.read(words).files == ()
    assert [*Words.read(words)] == words


def test_data_may_be_a_class_name() -> None:
    Path("own.yaml").write_text("data: WMDPDataModule\n")
    assert [*Words.read(["fit", "-c", "own.yaml"])][-1] == "own.yaml"


def test_a_section_is_merged_over_the_files() -> None:
    Path("a.yaml").write_text("model: {layer: 3, pretrained: x}\ndata: WMDPDataModule\n")
    Path("b.yaml").write_text("model: {layer: 4}\n")
    words = ["fit", "-c", "a.yaml", "--model.layer", "5", "--config=b.yaml"]
    assert Words.read(words).section("model") == {"layer": 4, "pretrained": "x"}
    assert Words.read(["fit"]).section("model") == {}


def test_a_name_that_follows_the_short_flag_at_once() -> None:
    assert [*Words.read(["fit", "-crmu.yaml"])] == ["fit", "-c", str(config_files.folder() / "rmu.yaml")]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        (["--model.layer", "3"], ["3"]),
        (["--model.layer=3"], ["3"]),
        (["--model.layer", "-3"], ["-3"]),
        (["--model.layer"], [None]),
        (["--model.layer="], [""]),
        (["--model.layer", "--print_config"], [None]),
        (["--model.layer=3", "--model.layer", "4"], ["3", "4"]),
        (["--model.layers", "3"], []),
        (["--data.tokenizer", "model.layer"], []),
    ],
)
def test_values_of_an_option(words: list[str], values: list[str | None]) -> None:
    assert Words.read(["fit", *words]).values("model.layer") == values


def test_an_option_is_given_where_one_within_it_is() -> None:
    words = Words.read(["fit", "--model.forget.init_args.seed", "3", "--print_config", "-c", "rmu.yaml"])
    assert all(words.has(key) for key in ("model", "model.forget", "config", "print_config"))
    assert not any(words.has(key) for key in ("model.forget.init_args.seed.x", "model.for", "data", "3", "rmu.yaml"))


def test_what_was_typed_is_kept() -> None:
    assert Words.read(["-c", "rmu.yaml", "--model.layer=3"], command="fit").typed == (
        *("-c", "rmu.yaml", "--model.layer=3"),
    )


def test_a_file_is_read_as_it_was_when_the_command_began() -> None:
    Path("own.yaml").write_text("model: {layer: 3}\n")
    words = Words.read(["fit", "-c", "own.yaml"])
    Path("own.yaml").unlink()
    assert words.section("model") == {"layer": 3}
    assert words.files[0].without("data") == "model: {layer: 3}\n"


@pytest.mark.parametrize(
    "word", ["-h", "--help", "--data.help", "--data.help=WMDPDataModule", "--print_config", "--print_config=comments"]
)
def test_words_ask_for_texts_about_options(word: str) -> None:
    assert Words.read(["fit", "-c", "rmu.yaml", word]).ask_for_help
    assert not Words.read(["fit", "-c", "rmu.yaml", "--model.pretrained=help", "--data.tokenizer", "help"]).ask_for_help

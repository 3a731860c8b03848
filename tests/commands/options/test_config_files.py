from pathlib import Path

import pytest

from lit_unlearn.commands.options import config_files
from lit_unlearn.errors import InputError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_every_config_has_a_title() -> None:
    titles = config_files.titles()
    assert {
        "rmu.yaml",
        "adaptive_rmu.yaml",
        "rsv.yaml",
        "local.yaml",
        "demo.yaml",
        "model/mistral-7b.yaml",
    } <= titles.keys()
    assert all(20 < len(title) < 120 and ":" not in title[:4] for title in titles.values())


@pytest.mark.parametrize(
    ("words", "index"), [(["fit", "-c", "rmu.yaml"], 2), (["fit", "--seed_everything=1", "--config", "rmu.yaml"], 3)]
)
def test_a_name_becomes_the_shipped_path(words: list[str], index: int) -> None:
    found = config_files.resolve(words)
    assert found[index] == str(config_files.folder() / "rmu.yaml")
    assert found[:index] == words[:index]


@pytest.mark.parametrize("flag", ["-c", "--config"])
def test_a_name_after_an_equals_sign(flag: str) -> None:
    expected = f"{flag}={config_files.folder() / 'model/mistral-7b.yaml'}"
    assert config_files.resolve([f"{flag}=model/mistral-7b.yaml"]) == [expected]


def test_a_file_in_the_working_directory_wins() -> None:
    Path("rmu.yaml").write_text("model: {layer: 3}\n")
    assert config_files.resolve(["fit", "-c", "rmu.yaml"]) == ["fit", "-c", "rmu.yaml"]


def test_other_words_stay_as_they_are() -> None:
    words = ["fit", "--model.pretrained", "rmu.yaml", "--data.tokenizer=rmu.yaml", "-c"]
    assert config_files.resolve(words) == words


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("rmy.yaml", r"no file 'rmy.yaml' and no shipped config of that name; did you mean rmu.yaml\?"),
        ("zzz", "no file 'zzz' .* `lit-unlearn configs` lists the shipped ones"),
        (".", r"no file '\.' "),
        ("", "no file '' "),
    ],
)
def test_a_missing_file(name: str, match: str) -> None:
    with pytest.raises(InputError, match=f"^--config: there is {match}"):
        config_files.resolve(["fit", "-c", name])


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"model: {layer: 3\n", "--config: own.yaml, line 2: not YAML"),
        (b"model:\n  layer: 3\n   noise_scale: 4\n", "--config: own.yaml, line 3: not YAML"),
        (b"model:\n\tlayer: 3\n", "--config: own.yaml, line 2: not YAML"),
        (b"\x00\x01", "--config: own.yaml: not YAML"),
        (b"# \xff\xfe\n", "--config: own.yaml: not YAML .*utf-8"),
        (b"", "--config: own.yaml holds no options"),
        (b"just text\n", "--config: own.yaml holds no options"),
        (b"- a\n- b\n", "--config: own.yaml holds no options"),
        (b"trainer: 3\n", "trainer: 3 in own.yaml cannot be used; expected a mapping of options"),
        (b"model: RMU\n", "model: 'RMU' in own.yaml cannot be used; expected a mapping of options"),
    ],
)
def test_a_file_that_holds_no_options(content: bytes, match: str) -> None:
    Path("own.yaml").write_bytes(content)
    with pytest.raises(InputError, match=f"^{match}"):
        config_files.resolve(["fit", "-c", "own.yaml"])


def test_data_may_be_a_class_name() -> None:
    Path("own.yaml").write_text("data: WMDPDataModule\n")
    assert config_files.resolve(["fit", "-c", "own.yaml"])[-1] == "own.yaml"


def test_a_section_is_merged_over_the_files() -> None:
    Path("a.yaml").write_text("model: {layer: 3, pretrained: x}\ndata: WMDPDataModule\n")
    Path("b.yaml").write_text("model: {layer: 4}\n")
    words = ["fit", "-c", "a.yaml", "--model.layer", "5", "--config=b.yaml"]
    assert config_files.section(words, "model") == {"layer": 4, "pretrained": "x"}
    assert config_files.section(["fit"], "model") == {}


def test_a_file_without_a_section_keeps_every_other_value_as_it_is_written() -> None:
    Path("a.yaml").write_text("model: &m {layer: 3}\nlr: 5e-5\ndate: 2020-01-01\nname: 'on'\nsame: *m\nmodels: 3\n")
    assert config_files.without("a.yaml", "model").splitlines() == [
        *("lr: 5e-5", "date: 2020-01-01", "name: 'on'", "same: {layer: 3}", "models: 3")
    ]
    Path("b.yaml").write_text("model: {layer: 3}\n")
    assert config_files.without("b.yaml", "model") == "{}\n"

import hashlib
from pathlib import Path

import pytest

from lit_unlearn.commands.options.option_file import OptionFile
from lit_unlearn.errors import InputError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


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
        OptionFile.read("own.yaml")


def test_data_may_be_a_class_name() -> None:
    Path("own.yaml").write_text("data: WMDPDataModule\n")
    assert OptionFile.read("own.yaml").options == {"data": "WMDPDataModule"}


def test_a_changed_file_has_another_hash() -> None:
    Path("own.yaml").write_text("model: {layer: 3}\n")
    before = OptionFile.read("own.yaml").sha256
    assert before == hashlib.sha256(Path("own.yaml").read_bytes()).hexdigest()
    Path("own.yaml").write_text("model: {layer: 4}\n")
    assert OptionFile.read("own.yaml").sha256 != before


def test_a_file_without_a_section_keeps_every_other_value_as_it_is_written() -> None:
    Path("a.yaml").write_text("model: &m {layer: 3}\nlr: 5e-5\ndate: 2020-01-01\nname: 'on'\nsame: *m\nmodels: 3\n")
    assert OptionFile.read("a.yaml").without("model").splitlines() == [
        *("lr: 5e-5", "date: 2020-01-01", "name: 'on'", "same: {layer: 3}", "models: 3")
    ]
    Path("b.yaml").write_text("model: {layer: 3}\n")
    assert OptionFile.read("b.yaml").without("model") == "{}\n"

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
    ("name", "match"),
    [
        ("rmy.yaml", r"no file 'rmy.yaml' and no shipped config of that name; did you mean rmu.yaml\?"),
        ("rmu", r"no file 'rmu' and no shipped config of that name; did you mean rmu.yaml\?"),
        ("zzz", "no file 'zzz' .* `lit-unlearn configs` lists the shipped ones"),
        (".", r"no file '\.' "),
        ("", "no file '' "),
    ],
)
def test_a_missing_file(name: str, match: str) -> None:
    with pytest.raises(InputError, match=f"^--config: there is {match}"):
        config_files.located(name)

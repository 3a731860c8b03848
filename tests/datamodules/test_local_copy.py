"""Where a benchmark's data set is out of reach: the error says how to fetch it and which option takes the files."""

from typing import Any, NoReturn

import pytest

from lit_unlearn import InputError, MUSEDataModule, RWKUDataModule, TOFUDataModule
from lit_unlearn.data import text as text_module
from lit_unlearn.demo.answers import CHAT_TEMPLATE


@pytest.mark.parametrize(
    ("kind", "hub"),
    [
        (TOFUDataModule, "locuslab/TOFU"),
        (MUSEDataModule, "muse-bench/MUSE-News"),
        (RWKUDataModule, "jinzhuoran/RWKU"),
    ],
)
def test_without_access_it_says_what_to_fetch(kind: Any, hub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(path: str, name: str | None, split: str) -> NoReturn:
        raise ConnectionError("no network")

    monkeypatch.setattr(text_module, "load_dataset", load_dataset)
    monkeypatch.setattr(text_module, "check_dataset_reachable", lambda path: None)
    options = {} if kind is MUSEDataModule else {"chat_template": CHAT_TEMPLATE}
    told = f"{hub}: this hub dataset cannot be loaded .no network.*; `data.folder` takes its files, which `hf download "
    with pytest.raises(InputError, match=f"{told}--repo-type dataset {hub} --local-dir FOLDER` fetches"):
        kind(tokenizer="demo", **options).prepare_data()

"""The published corpora under their published names, lengths and remedies."""

import json
import re
from pathlib import Path
from typing import Any

import datasets
import pytest

from lit_unlearn import InputError, TextSource, WMDPDataModule
from lit_unlearn.data import text as text_module

BIO = ("cais/wmdp-bio-forget-corpus", None, "train")
CYBER = ("cais/wmdp-corpora", "cyber-forget-corpus", "train")
WIKITEXT = ("Salesforce/wikitext", "wikitext-2-raw-v1", "train")
LONG = "the ba of do " * 400


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What was asked of a hub that has everything."""
    calls: list[tuple[Any, ...]] = []

    def load_dataset(path: str, name: str | None, split: str) -> datasets.Dataset:
        calls.append((path, name, split))
        return datasets.Dataset.from_dict({"title": ["t"] * 9, "text": [" = Heading = "] + [LONG] * 8})

    monkeypatch.setattr(text_module, "load_dataset", load_dataset)
    return calls


def lock(monkeypatch: pytest.MonkeyPatch, *locked: str) -> None:
    """A hub where some corpora cannot be loaded."""

    def load_dataset(path: str, name: str | None, split: str) -> datasets.Dataset:
        if path in locked:
            raise datasets.exceptions.DatasetNotFoundError(f"Dataset '{path}' is a gated dataset on the Hub.")
        return datasets.Dataset.from_dict({"text": [LONG] * 8})

    monkeypatch.setattr(text_module, "load_dataset", load_dataset)


def write(path: Path) -> str:
    path.write_text(json.dumps({"text": LONG}) + "\n", encoding="utf-8")
    return str(path)


def ready(world: Path, *args: Any, **options: Any) -> WMDPDataModule:
    data = WMDPDataModule(*args, tokenizer=str(world / "model"), **options)
    data.prepare_data()
    data.setup("fit")
    return data


def test_the_corpora_are_the_published_ones(world: Path, asked: list[tuple[Any, ...]]) -> None:
    assert ready(world).topics == ("bio", "cyber")
    assert set(asked) == {BIO, CYBER, WIKITEXT}


def test_rows_are_cut_at_the_published_lengths(world: Path, asked: list[tuple[Any, ...]]) -> None:
    batches = iter(ready(world).train_dataloader())
    shapes = [
        {side: tuple(batch["input_ids"].shape) for side, batch in next(batches).items()} for _ in ("bio", "cyber")
    ]
    assert shapes == [{"forget": (4, 512), "retain": (4, 512)}, {"forget": (4, 768), "retain": (4, 512)}]


def test_lengths_can_be_set_one_by_one() -> None:
    data = WMDPDataModule(max_length={"cyber": 100}, min_length=7)
    sources = data.forget | data.retain
    assert {name: source.max_length for name, source in sources.items()} == {"bio": 512, "cyber": 100, "wikitext": 512}
    assert {source.min_length for source in sources.values()} == {7}


def test_headings_are_dropped(world: Path, asked: list[tuple[Any, ...]]) -> None:
    assert len(ready(world).train_dataloader()) == 4  # 8 rows of each topic in batches of 4


def test_cyber_alone_asks_for_nothing_of_bio(world: Path, asked: list[tuple[Any, ...]]) -> None:
    data = ready(world, ["cyber"])
    assert data.topics == ("cyber",)
    assert set(asked) == {CYBER, WIKITEXT}
    assert {int(pair["forget"]["topic"].max()) for pair in data.train_dataloader()} == {0}


def test_topics_alternate_in_the_order_given() -> None:
    assert WMDPDataModule(["cyber", "bio"]).topics == ("cyber", "bio")


def test_wikitext_can_be_another_configuration_and_split(world: Path, asked: list[tuple[Any, ...]]) -> None:
    ready(world, ["cyber"], wikitext="wikitext-103-raw-v1", wikitext_split="test")
    assert set(asked) == {CYBER, ("Salesforce/wikitext", "wikitext-103-raw-v1", "test")}


def test_local_files_take_the_place_of_the_hub(tmp_path: Path, world: Path, asked: list[tuple[Any, ...]]) -> None:
    files = {"bio": write(tmp_path / "bio.jsonl")}
    data = ready(world, files=files, wikitext_file=write(tmp_path / "wiki.jsonl"))
    assert set(asked) == {CYBER}
    assert data.forget["bio"] == TextSource(files["bio"], max_length=512, min_length=50)
    assert data.retain["wikitext"].path.endswith("wiki.jsonl")


def test_a_gated_bio_corpus_says_how_to_do_with_or_without_it(monkeypatch: pytest.MonkeyPatch, world: Path) -> None:
    lock(monkeypatch, BIO[0])
    with pytest.raises(InputError) as caught:
        ready(world)
    for part in (
        "is a gated dataset",
        "https://huggingface.co/datasets/cais/wmdp-bio-forget-corpus",
        "hf auth login",
        "data.files: {bio: FILE}",
        "data.topics: [cyber]",
    ):
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "remedy"), [(CYBER[0], "data.files: {cyber: FILE}"), (WIKITEXT[0], "data.wikitext_file: FILE")]
)
def test_another_corpus_out_of_reach_says_which_option_takes_a_file(
    monkeypatch: pytest.MonkeyPatch, world: Path, path: str, remedy: str
) -> None:
    lock(monkeypatch, path)
    with pytest.raises(InputError, match=rf"^{path}: .*{re.escape(remedy)}"):
        ready(world)


def test_a_gated_corpus_with_a_local_file_is_not_needed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: Path
) -> None:
    lock(monkeypatch, BIO[0])
    assert ready(world, files={"bio": write(tmp_path / "bio.jsonl")}).topics == ("bio", "cyber")


def test_an_error_in_a_local_file_is_not_the_hubs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, world: Path) -> None:
    lock(monkeypatch)
    (tmp_path / "bio.jsonl").write_text("oops", encoding="utf-8")
    with pytest.raises(InputError, match=r"bio\.jsonl, line 1: not JSON \([^)]*\); fix or remove the line$"):
        ready(world, files={"bio": str(tmp_path / "bio.jsonl")})


@pytest.mark.parametrize(
    "options", [{"topics": ["bio", "chem"]}, {"files": {"chem": "x.jsonl"}}, {"max_length": {"chem": 5}}]
)
def test_an_unknown_topic_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"data: unknown topic 'chem'; WMDP's forget corpora are bio, cyber"):
        WMDPDataModule(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"topics": ["bio", "bio"]}, r"data.topics: bio, bio names a topic twice; name each once"),
        ({"topics": ["cyber"], "files": {"bio": "x.jsonl"}}, r"data.files: 'bio' is not among data.topics \(cyber\)"),
    ],
)
def test_topics_that_would_be_passed_over_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        WMDPDataModule(**options)

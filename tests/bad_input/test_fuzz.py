"""Whatever a file or a word holds, it is read or refused by an error of ours: 11,000 examples, always the same ones."""

import gzip
import io
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lit_unlearn import InputError
from lit_unlearn.cli import main
from lit_unlearn.commands.report.runs import load
from lit_unlearn.commands.sweep.options import grid_points, read_axes, read_limit
from lit_unlearn.data.files import read_files
from lit_unlearn.data.fingerprints import tokenizer_fingerprint
from lit_unlearn.questions.similar_ngrams import similar_texts
from lit_unlearn.questions.source import QuestionSource, load_questions
from tests.bad_input.refusing import Config, write
from tests.tiny_world import tokenizer

Check = Callable[..., None]
IDENTITY = tokenizer_fingerprint(tokenizer())
ANY_TEXT = st.text(st.characters(codec=None), max_size=20)


def fuzzed(count: int, *strategies: st.SearchStrategy[Any]) -> Callable[[Check], Check]:
    """Runs a check at once on so many examples, the same ones everywhere; nothing of them is stored."""

    def run(check: Check) -> Check:
        options = settings(
            max_examples=count,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )
        options(given(*strategies)(check))()
        return check

    return run


def examples(fast: int, slow: int) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("count", [fast, pytest.param(slow, marks=pytest.mark.slow)])


def values(*names: str) -> st.SearchStrategy[Any]:
    """JSON values whose objects mostly have these keys."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT | st.sampled_from(names)
    keys = st.sampled_from(names) | st.text(max_size=5)
    return st.recursive(
        leaves, lambda one: st.lists(one, max_size=5) | st.dictionaries(keys, one, max_size=6), max_leaves=12
    )


def joined(parts: list[str], most: int) -> st.SearchStrategy[str]:
    """Texts made of some of these parts."""
    return st.lists(st.sampled_from(parts), max_size=most).map("".join)


@contextmanager
def refused_by(name: str) -> Iterator[None]:
    """Within this context an error of ours is as good as none, if it names what it is about."""
    try:
        yield
    except InputError as error:
        if name not in str(error):
            raise AssertionError(f"{error} does not name {name}") from error


def cut(content: bytes, place: float, byte: int) -> bytes:
    """The content with a byte replaced at a place, or cut there."""
    at = int(place * len(content))
    return content[:at] if byte > 255 else content[:at] + bytes([byte]) + content[at + 1 :]


def as_lines(records: list[Any]) -> bytes:
    return "\n".join(json.dumps(record) for record in records).encode()


def as_table(records: list[Any]) -> bytes:
    texts = [str(record).encode(errors="replace").decode() for record in records]
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table({"text": pyarrow.array(texts, pyarrow.string())}), file)
    return file.getvalue()


ENCODINGS: Mapping[str, Callable[[list[Any]], bytes]] = {
    "a.jsonl": as_lines,
    "a.json": lambda records: json.dumps(records).encode(),
    "a.txt": as_lines,
    "a.jsonl.gz": lambda records: gzip.compress(as_lines(records), mtime=0),
    "a.parquet": as_table,
}


@examples(fast=10, slow=600)
@pytest.mark.parametrize("name", [name for name in ENCODINGS if name != "a.txt"])
def test_a_corpus_is_read_or_refused(name: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / name

    @fuzzed(count, st.lists(values("text", "id"), max_size=6), st.floats(0, 1), st.integers(0, 400))
    def read(records: list[Any], place: float, byte: int) -> None:
        path.write_bytes(cut(ENCODINGS[name](records), place, byte))
        with refused_by(name):
            assert all(isinstance(text, str) for text in read_files([str(path)], "text"))


@examples(fast=20, slow=1000)
@pytest.mark.parametrize("name", ENCODINGS)
def test_bytes_are_read_or_refused(name: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / name

    @fuzzed(count, st.binary(max_size=200))
    def read(content: bytes) -> None:
        path.write_bytes(content)
        with refused_by(name):
            assert all(isinstance(text, str) for text in read_files([str(path)], "text"))


QUESTION = st.fixed_dictionaries(
    {},
    optional={
        "question": ANY_TEXT | st.none(),
        "choices": st.lists(ANY_TEXT | st.integers(), min_size=3, max_size=5) | ANY_TEXT,
        "answer": st.sampled_from(["A", "d", 0, 3, 4, -1, True, None, " B "]) | values("A"),
        "subject": ANY_TEXT | st.none(),
    },
)


@examples(fast=20, slow=600)
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_questions_are_read_or_refused(kind: str, count: int, tmp_path: Path) -> None:
    path = tmp_path / f"questions.{kind}"
    signs = st.text(st.sampled_from(["a", ",", '"', "\n", "\r", "A", "0", " ", "\0", "é"]), max_size=60)

    @fuzzed(
        count, signs | st.lists(QUESTION | values("question"), max_size=4).map(lambda found: as_lines(found).decode())
    )
    def read(content: str) -> None:
        path.write_text(content, encoding="utf-8", newline="")
        with refused_by(path.name):
            assert all(len(question.choices) == 4 for question in load_questions(QuestionSource(str(path))))


@examples(fast=20, slow=300)
def test_forget_tokens_are_read_or_refused(count: int, tmp_path: Path) -> None:
    path, words = tmp_path / "ngrams.json", tokenizer()
    found = st.fixed_dictionaries(
        {"model": st.just("m"), "tokenizer": st.just(IDENTITY), "ngrams": values("4", "most", "text")}
    )

    @fuzzed(count, found | values("model", "tokenizer", "ngrams"))
    def read(content: Any) -> None:
        path.write_text(json.dumps(content))
        with refused_by(str(path)):
            texts = similar_texts(str(path), n=4, similarity="most", tokenizer=words)
            assert all(isinstance(text, str) for text in texts)


@examples(fast=20, slow=300)
def test_results_are_read_or_refused(count: int, tmp_path: Path) -> None:
    answers = values("number", "correct", "prediction")
    record = st.fixed_dictionaries({"step": st.integers(), "outcomes": st.dictionaries(ANY_TEXT, answers, max_size=2)})
    names = ("evaluations", "hyperparameters", "versions", "seed", "outcomes")

    @fuzzed(count, st.fixed_dictionaries({"evaluations": st.lists(record | answers, max_size=3)}) | values(*names))
    def read(content: Any) -> None:
        (tmp_path / "results.json").write_text(json.dumps(content))
        with refused_by(str(tmp_path)):
            assert load([str(tmp_path)])


WORDS = joined([*"model.layer=1e5,-+[]{}(): <>_/\\", "..", ":log", "<=", ">="], 25)


@examples(fast=50, slow=1000)
def test_the_options_of_a_sweep_are_read_or_refused(count: int) -> None:
    @fuzzed(count, st.lists(WORDS | ANY_TEXT | WORDS.map(lambda word: f"model.layer={word}"), max_size=3))
    def read(words: list[str]) -> None:
        with refused_by("sweep"):
            points = grid_points(read_axes(words), 2)
            assert not any(part in ("", ".", "..") for folder, _ in points for part in folder.split("/"))

    @fuzzed(count, WORDS | ANY_TEXT | WORDS.map(lambda word: f"forget<={word}"))
    def limit(word: str) -> None:
        with refused_by("sweep"):
            assert read_limit(word).variant


OPTIONS = st.sampled_from(
    [
        *("model", "data", "trainer", "seed_everything", "ckpt_path", "class_path", "init_args", "forget", "retain"),
        *(
            "pretrained",
            "layer",
            "noise_scale",
            "retain_weight",
            "trainable",
            "lora",
            "optimizer",
            "lr_scheduler",
            "lr",
        ),
        *(
            "evaluation",
            "questions",
            "perturbations",
            "mixing",
            "path",
            "max_steps",
            "callbacks",
            "logger",
            "precision",
        ),
    ]
)
CLASSES = st.sampled_from(["RMU", "NPO", "NLL", "AdamW", "ExportPretrained", "UnlearnDataModule", "os.system", "a.B"])
SIGNS = joined([*"model: layer\n\t-[]{}&*!|>'\"#%@,0.5e", "\n  "], 60)


@examples(fast=4, slow=100)
def test_a_config_is_read_or_refused(
    count: int, config: Config, inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = write(inputs / "base.yaml", config)
    leaves = st.none() | st.booleans() | st.integers() | st.floats() | CLASSES | st.text(max_size=8)
    found = st.recursive(leaves, lambda one: st.lists(one, max_size=3) | st.dictionaries(OPTIONS, one, max_size=4))
    sections = st.dictionaries(
        st.sampled_from(["model", "data", "trainer"]), st.dictionaries(OPTIONS, found, max_size=4)
    )

    @fuzzed(count, SIGNS | sections.map(yaml.safe_dump) | found.map(yaml.safe_dump))
    def read(content: str) -> None:
        overlay = write(inputs / "overlay.yaml", content)
        with pytest.raises(SystemExit) as stop:
            main(["fit", "-c", base, "-c", overlay, "--print_config"])
        shown = capsys.readouterr().err
        assert (stop.value.code, shown) == (0, "") or shown.startswith("lit-unlearn: error: ")
        assert not any(Path().iterdir())

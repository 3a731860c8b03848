from collections.abc import Iterator
from pathlib import Path

import datasets
import datasets.config
import pytest
from huggingface_hub import constants

from lit_unlearn import InputError
from lit_unlearn.data import hub
from lit_unlearn.data.hub import check_dataset_reachable, check_model_reachable
from lit_unlearn.data.text import TextSource, check_source, load_texts
from lit_unlearn.models.loading import load_config
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.questions.source import QuestionSource, check_questions, load_questions


class Session:
    """A client of a hub that answers, or does not."""

    def __init__(self, answers: bool) -> None:
        self.answers, self.asked = answers, 0

    def head(self, url: str, timeout: float) -> None:
        self.asked += 1
        assert (url, timeout) == (constants.ENDPOINT, hub.SECONDS)
        if not self.answers:
            raise ConnectionError("no route")


@pytest.fixture
def silent(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    """No hub answers, and nothing says that we are offline."""
    session = Session(answers=False)
    monkeypatch.setattr(constants, "is_offline_mode", lambda: False)
    monkeypatch.setattr(hub, "get_session", lambda: session)
    hub._answers.cache_clear()
    yield session
    hub._answers.cache_clear()


def test_without_an_answer_one_line_says_so_at_once(silent: Session) -> None:
    ends = r"is not here, and the hub does not answer \(ConnectionError\); connect to the network, or give a local copy"
    source = ModelSource("owner/model")
    with pytest.raises(InputError, match=f"model.pretrained: 'owner/model' {ends}"):
        load_config(source)
    with pytest.raises(InputError, match=f"data.tokenizer: 'owner/model' {ends}"):
        load_tokenizer(source)
    with pytest.raises(InputError, match=f"'owner/texts' {ends}"):
        load_texts(TextSource("owner/texts"))
    with pytest.raises(InputError, match=f"'owner/questions' {ends}"):
        load_questions(QuestionSource("owner/questions"))
    assert silent.asked == 4


def test_a_hub_that_answers_is_asked_once(silent: Session) -> None:
    silent.answers = True
    check_model_reachable("model", "owner/model", "main")
    check_dataset_reachable("owner/texts")
    assert silent.asked == 1


def test_what_is_here_needs_no_hub(silent: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))
    (tmp_path / "owner___texts").mkdir()
    check_dataset_reachable("owner/texts")
    check_dataset_reachable(str(tmp_path))
    check_model_reachable("model", str(tmp_path), "main")
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda name, file, revision: f"cache/{file}")
    check_model_reachable("model", "owner/model", "main")
    assert silent.asked == 0


def test_what_is_no_name_of_the_hub_is_left_to_libraries(silent: Session) -> None:
    check_model_reachable("model", "./nowhere", "main")
    assert silent.asked == 0


def test_offline_it_is_left_to_libraries(silent: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "is_offline_mode", lambda: True)
    check_model_reachable("model", "owner/model", "main")
    assert silent.asked == 0


@pytest.mark.parametrize("left", ["notes.jsonl", "c.parquet"])
def test_a_folder_of_which_some_files_would_be_left_out_is_refused(left: str, tmp_path: Path) -> None:
    (tmp_path / ".hidden").mkdir()
    for name in ("train.jsonl", "test.jsonl", ".hidden.txt", ".hidden/notes.jsonl"):
        (tmp_path / name).write_text('{"text": "one"}\n')
    source = TextSource(str(tmp_path), min_length=0)
    check_source(source)
    assert load_texts(source)["text"][:] == ["one"]
    (tmp_path / left).write_text('{"text": "two"}\n')
    for read in (check_source, load_texts):
        with pytest.raises(InputError, match=f": {left} in this folder would not be read: .* a pattern such as "):
            read(source)
    (tmp_path / "README.md").write_text("which may say what belongs to the dataset")
    check_source(source)


@pytest.mark.parametrize("splits", [False, True])
def test_a_folder_of_save_to_disk_is_refused_with_the_remedy(splits: bool, silent: Session, tmp_path: Path) -> None:
    rows = datasets.Dataset.from_dict({"text": ["a row of text, long enough to be taken for one of the stream"]})
    (datasets.DatasetDict(train=rows) if splits else rows).save_to_disk(tmp_path / "saved")
    path = str(tmp_path / "saved")
    for read in (check_source, load_texts):
        with pytest.raises(InputError, match=r"saved: this folder was written by save_to_disk, .* Dataset.to_parquet"):
            read(TextSource(path))
    for ask in (check_questions, load_questions):
        with pytest.raises(InputError, match="saved: this folder was written by save_to_disk"):
            ask(QuestionSource(path))
    rows.to_parquet(tmp_path / "whole" / "train.parquet")
    check_source(TextSource(str(tmp_path / "whole")))
    assert load_texts(TextSource(str(tmp_path / "whole")))["text"] == rows["text"]
    assert silent.asked == 0


def test_a_folder_without_data_is_refused(silent: Session, tmp_path: Path) -> None:
    for read in (check_source, load_texts):
        with pytest.raises(InputError, match=r"this folder cannot be read as a dataset \(.*\); give the path"):
            read(TextSource(str(tmp_path)))
    assert silent.asked == 0


def test_a_folder_of_other_files_is_not_called_a_hub_dataset(silent: Session, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("the of and in\n")
    with pytest.raises(InputError, match=r"this folder cannot be read as a dataset \(.*\); give the path"):
        load_texts(TextSource(str(tmp_path)))
    assert silent.asked == 0

"""Whether the model and the data are on this machine, or can be fetched."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)

from lit_unlearn.answers.rows import check_answers
from lit_unlearn.answers.source import AnswerSource
from lit_unlearn.commands.plan.check import Check, refused
from lit_unlearn.data.hub import SECONDS, dataset_cache
from lit_unlearn.data.text import TextSource, check_source
from lit_unlearn.datamodules import UnlearnDataModule
from lit_unlearn.models.source import ModelSource
from lit_unlearn.questions.source import QuestionSource, check_questions

_WEIGHTS = ("model.safetensors.index.json", "model.safetensors")


def check_model(source: ModelSource) -> Check:
    """Whether the model's weights are here or can be fetched; nothing is."""
    pretrained, revision = source.pretrained, source.revision
    name = f"model {pretrained}"
    if Path(pretrained).is_dir():
        if any(Path(pretrained).glob("*.safetensors")):
            return Check(name, "ok", "local")
        return Check(name, "fails", "the folder has no *.safetensors", "put the weights there, or name a hub model")
    cached = (try_to_load_from_cache(pretrained, file, revision=revision) for file in _WEIGHTS)
    if any(isinstance(path, str) for path in cached):
        return Check(name, "ok", "in the hub's cache")
    return _reachable(name, hf_hub_url(pretrained, "config.json", revision=revision), pretrained)


def check_data(data: UnlearnDataModule, *, answers: bool = False, preferred: bool = False) -> Iterator[Check]:
    """The same of every source of rows and questions, each once.

    Args:
        data: of the run.
        answers: free answers are scored as well.
        preferred: the forget loss reads preferred answers.
    """
    asked: list[QuestionSource | AnswerSource] = [*(data.evaluation.questions.values() if data.evaluation else ())]
    asked += (data.answers or {}).values() if answers else ()
    read = [data.alternatives] if preferred and data.alternatives is not None else []
    makes_its_own = type(data).prepare_texts is not UnlearnDataModule.prepare_texts
    rows: dict[TextSource, int] = {}
    for source in dict.fromkeys([*data.forget.values(), *data.retain.values(), *read, *asked]):
        if not (source.is_local() and makes_its_own):
            yield refused(partial(_read, source, rows)) or _found(source)
    streams = [*data.forget.items(), *data.retain.items()]
    counts = [(rows[source], name) for name, source in streams if source in rows]
    if counts and (found := refused(partial(data.held_rows, counts))):  # what is held out of the shortest, of all
        yield found


def _read(source: TextSource | QuestionSource | AnswerSource, rows: dict[TextSource, int]) -> None:
    """Raises InputError if the source cannot be read; notes how many rows of texts it has, where that is known."""
    if isinstance(source, TextSource):
        if (count := check_source(source)) is not None:
            rows[source] = count
    elif isinstance(source, QuestionSource):
        check_questions(source)
    else:
        check_answers(source)


def _found(source: TextSource | QuestionSource | AnswerSource) -> Check:
    if source.is_local() or Path(source.path).is_dir():
        return Check(f"data {source.path}", "ok", "local")
    return _check_dataset(source.path, source.name)


def _check_dataset(path: str, configuration: str | None) -> Check:
    name = f"data {path}"
    if (dataset_cache(path) / (configuration or "")).is_dir():
        return Check(name, "ok", "in the cache of datasets")
    try:
        url = hf_hub_url(path, ".gitattributes", repo_type="dataset")
    except HFValidationError:
        return Check(name, "fails", "neither a name that the hub could have nor a folder", "check the name")
    return _reachable(name, url, f"datasets/{path}")


def _reachable(name: str, url: str, page: str) -> Check:
    """Asks the hub for a file's header."""
    local = "give a local copy"
    try:
        get_hf_file_metadata(url, timeout=SECONDS)
    except OfflineModeIsEnabled:
        return Check(name, "fails", "not here, and HF_HUB_OFFLINE is set", f"unset it, or {local}")
    except GatedRepoError:
        remedy = f"ask for access at https://huggingface.co/{page}, then `hf auth login`; or {local}"
        return Check(name, "fails", "gated", remedy)
    except RepositoryNotFoundError:
        return Check(name, "fails", "not here, and not on the hub, or private", "check the name, or `hf auth login`")
    except EntryNotFoundError:
        pass  # the repository can be read, and only lacks this file
    except Exception as error:  # of whichever HTTP library the hub's client has
        reason = f"not here, and the hub does not answer ({type(error).__name__})"
        return Check(name, "fails", reason, f"connect to the network, or {local}")
    return Check(name, "ok", "to be downloaded from the hub")

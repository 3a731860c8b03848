"""What the harness asks in our tasks: the questions of a data set, as they are, perturbed, or with their control.

The harness calls `subject` or `local` with what a task file says and what the user gives as metadata. The questions and
the draws are those of the package's own evaluation of the same source.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from datasets import Dataset, Features, List, Value, concatenate_datasets
from transformers import PreTrainedTokenizerBase

from lit_unlearn.data.text import TextSource, load_texts
from lit_unlearn.errors import InputError
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.questions.inserts import GivenText, Inserts
from lit_unlearn.questions.perturbation import Control, Perturbation
from lit_unlearn.questions.records import LOCAL_SUFFIXES
from lit_unlearn.questions.sets import PerturbationSource, inserts
from lit_unlearn.questions.source import Question, QuestionSource, load_questions

Variant = Literal["default", "perturbed", "control"]
_OPTIONS = ("seed", "position", "count", "similarity", "file")
METADATA = ("questions", "tokens", "n", *_OPTIONS, "forget", "retain", "tokenizer")
"""What the tasks read of the metadata, beside the model's own arguments."""
_FORGET_TOKEN = "SARS-CoV-2"
_RETAIN = TextSource("Salesforce/wikitext", "wikitext-2-raw-v1")
_FEATURES = Features(
    question=Value("string"),
    choices=List(Value("string")),
    answer=Value("int64"),
    subject=Value("string"),
    number=Value("int64"),
)


def subject(*, subject: str, variant: Variant, questions: str | None = None, **metadata: Any) -> dict[str, Dataset]:
    """One subject of MMLU; examples for few-shot prompts are never perturbed.

    Args:
        subject: its name in cais/mmlu.
        variant: `default`, `perturbed` or `control`.
        questions: a folder with SUBJECT_test.csv, and SUBJECT_dev.csv if examples are wanted; None takes the hub's.
        metadata: see `perturbation`.

    Raises:
        InputError: questions, texts or tokenizer cannot be loaded.
    """
    if questions is None:
        test, dev = (load_questions(QuestionSource("cais/mmlu", subject, split)) for split in ("test", "dev"))
    else:
        examples = f"{questions}/{subject}_dev.csv"
        test = load_questions(QuestionSource(f"{questions}/{subject}_test.csv"))
        dev = load_questions(QuestionSource(examples)) if Path(examples).exists() else []
    return {"test": _documents(map(_change(variant, metadata), test)), "dev": _documents(dev)}


def local(*, variant: Variant, questions: str | None = None, **metadata: Any) -> dict[str, Dataset]:
    """Any local questions as one set, without examples for few-shot prompts.

    Args:
        variant: `default`, `perturbed` or `control`.
        questions: a folder, of which every *_test.csv is taken, or files as in QuestionSource; a glob is allowed.
        metadata: see `perturbation`.

    Raises:
        InputError: questions, texts or tokenizer cannot be loaded.
    """
    if not isinstance(questions, str):
        given = "none given" if questions is None else f"{questions!r} is not a path"
        raise InputError(
            f"metadata.questions: {given}; local tasks need a folder of MMLU's .csv files, or files of questions: "
            """--metadata '{"questions": "FOLDER"}'"""
        )
    path = f"{questions}/*_test.csv" if Path(questions).is_dir() else questions
    if not QuestionSource(path).is_local():
        raise InputError(
            f"metadata.questions: {questions} is neither a folder nor ends in {', '.join(LOCAL_SUFFIXES)}; give one"
        )
    asked = load_questions(QuestionSource(path))
    return {"test": _documents(map(_change(variant, metadata), asked)), "dev": _documents([])}


def perturbation(
    *, tokens: str | list[str] | None = None, n: int | Literal["sentence"] | None = None, **metadata: Any
) -> Perturbation:
    """What is done to a question.

    Args:
        tokens: forget tokens, drawn from uniformly; SARS-CoV-2 where neither tokens nor n are given.
        n: as in PerturbationSource; this or tokens.
        metadata: `seed`, `position`, `count`, `similarity` and `file` as in PerturbationSource; for n, `forget`: the
            forget texts, each a path as in TextSource or its fields, and `tokenizer`: hub name or folder, by default
            that of the model's arguments (`tokenizer`, else `pretrained`).

    Raises:
        InputError: options that do not fit together, or texts or tokenizer cannot be loaded.
    """
    texts = [tokens] if isinstance(tokens, str) else tokens
    if n is None and texts is None:
        texts = [_FORGET_TOKEN]
    options = {"n": n} | {name: metadata[name] for name in _OPTIONS if name in metadata}
    _check_options(texts, options)
    source = PerturbationSource(texts, **options)
    if source.n is None:
        drawn: Inserts = GivenText(tuple(source.texts or ()))
    else:
        drawn = inserts(source, _forget(source, metadata.get("forget")), _tokenizer(metadata))
    return Perturbation(drawn, source.place, count=source.count, seed=source.seed)


def control(*, retain: Any = None, **metadata: Any) -> Control:
    """As many tokens of retain text as the perturbation has, instead of its tokens.

    Args:
        retain: the retain texts, each a path as in TextSource or its fields; None takes wikitext-2 from the hub.
        metadata: see `perturbation`.

    Raises:
        InputError: texts or tokenizer cannot be loaded.
    """
    texts = _texts((_RETAIN,) if retain is None else _sources(retain))
    return Control(perturbation(**metadata), texts, _tokenizer(metadata))


def _check_options(texts: Any, options: dict[str, Any]) -> None:
    """What the command line checks of a config, the harness does not check of metadata."""
    if texts is not None and not (isinstance(texts, list) and all(isinstance(text, str) for text in texts)):
        raise InputError(f"metadata.tokens: {texts!r} cannot be used; give texts")
    hints = get_type_hints(PerturbationSource)
    for name, value in options.items():
        kinds = _kinds(hints[name])
        if not any(type(value) is kind if isinstance(kind, type) else value == kind for kind in kinds):
            expected = ", ".join(getattr(kind, "__name__", repr(kind)).replace("NoneType", "null") for kind in kinds)
            raise InputError(f"metadata.{name}: {value!r} cannot be used; expected one of {expected}")


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The types and values that a type allows."""
    if get_origin(hint) is Literal or not get_args(hint):
        return get_args(hint) or (hint,)
    return tuple(kind for inner in get_args(hint) for kind in _kinds(inner))


def _change(variant: Variant, metadata: dict[str, Any]) -> Callable[[Question], Question]:
    if variant == "default":
        return lambda question: question
    return perturbation(**metadata) if variant == "perturbed" else control(**metadata)


def _documents(questions: Iterable[Question]) -> Dataset:
    asked = list(questions)
    return Dataset.from_dict({name: [getattr(one, name) for one in asked] for name in _FEATURES}, features=_FEATURES)


def _forget(source: PerturbationSource, given: Any) -> Sequence[str]:
    if given is not None:
        return _texts(_sources(given))
    if source.file is None:
        raise InputError("metadata.forget: none given; n-grams are of forget texts: give their files or hub dataset")
    return ()  # the file holds them


def _sources(given: Any) -> tuple[TextSource, ...]:
    several = given if isinstance(given, list) else [given]
    try:
        return tuple(TextSource(one) if isinstance(one, str) else TextSource(**one) for one in several)
    except TypeError as error:
        raise InputError(
            f"metadata: {given!r} is not a source of texts ({error}); give a path, e.g. texts.jsonl"
        ) from error


@cache
def _texts(sources: tuple[TextSource, ...]) -> Sequence[str]:
    """Read once for the tasks of a group."""
    texts: Sequence[str] = concatenate_datasets([load_texts(source) for source in sources])["text"]
    return texts


def _tokenizer(metadata: dict[str, Any]) -> PreTrainedTokenizerBase:
    name = metadata.get("tokenizer") or metadata.get("pretrained")
    if name is None:
        raise InputError(
            "metadata.tokenizer: none given; tokens of n-grams and controls are the model's: give its hub name or "
            """folder, --metadata '{"tokenizer": "NAME"}'"""
        )
    revision, remote = str(metadata.get("revision") or "main"), bool(metadata.get("trust_remote_code"))
    return _loaded(ModelSource(name, revision=revision, trust_remote_code=remote))


@cache
def _loaded(source: ModelSource) -> PreTrainedTokenizerBase:
    return load_tokenizer(source)

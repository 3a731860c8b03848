"""Sets of questions with their answers, or of plain texts: where they come from and how they are asked."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from lit_unlearn.data.text import check_hub_name
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.questions.records import LOCAL_SUFFIXES

Role = Literal["forget", "retain", "general", "holdout"]
"""forget: what is to be unlearned. retain: what is to stay. general: knowledge of the world (TOFU's real authors and
world facts), asked beside wrong answers. holdout: rows like those to forget that no model has seen."""
_EXAMPLES = "{examples}"


@dataclass(frozen=True)
class AnswerExamples:
    """Questions with their answers, which are shown before each question."""

    path: str
    """Name of a hub dataset, or local files, as of the questions; their fields have the same names."""
    name: str | None = None
    """Configuration of the hub dataset."""
    split: str = "train"
    """Split of the hub dataset."""
    form: str | None = None
    """How each is shown, with {question} and {answer} in it, at {examples} in the set's `prompt`; None shows them in
    the form of `prompt`, before it (format text)."""


@dataclass(frozen=True)
class AnswerPrompt:
    """How some of a set's questions are asked."""

    prompt: str = "{question}"
    """What is asked, with the question in it."""
    opening: str = ""
    """Words with which the answer has begun, after the chat template."""


@dataclass(frozen=True)
class AnswerSource:
    """Where a set of questions with free answers comes from."""

    path: str
    """Name of a hub dataset, or local .jsonl, .json or .parquet files (.gz too, but for .parquet), with `options:
    letters` also .csv in the columns of MMLU; a glob is allowed."""
    role: Role
    """forget, retain, general (knowledge of the world, asked beside wrong answers) or holdout (rows like those to
    forget that no model has seen)."""
    name: str | None = None
    """Configuration of the hub dataset."""
    split: str = "train"
    """Split of the hub dataset."""
    question: str | None = "question"
    """The field with the question; None where there is none, and `answer` is a text that is scored alone (format
    text)."""
    answer: str | None = "answer"
    """The field with the answer; a list is of right answers, the first of which is scored. None where nothing is
    right: what the model writes is measured alone."""
    paraphrased: str = "paraphrased_answer"
    """The field with the answer in other words, one or a list; a source without it has no truth ratio."""
    perturbed: str = "perturbed_answer"
    """The field with wrong answers, one or a list; a source without it has no truth ratio."""
    limit: int | None = None
    """Evaluate on this number of rows, evenly spread over the set; None evaluates on all."""
    chat_template: str | None = None
    """The chat template, as text or as the path of a .jinja file; None takes that of the model's tokenizer."""
    format: Literal["chat", "text"] = "chat"
    """chat: question and answer are turns of the chat template. text: the answer follows the question as it is, for
    base models and for texts that are continued."""
    prompt: str = "{question}"
    """What is asked, with the question in it."""
    opening: str = ""
    """Words with which the answer has begun, after the chat template, such as `Answer:`."""
    options: Literal["letters", "targets"] | None = None
    """Multiple choice, whose fields name themselves. letters: `choices` and the number or letter of the right one,
    `answer`; the answers are letters, and `examples` and `task`, where there are such fields, the context (MMLU).
    targets: `mc1_targets` and `mc2_targets`, each with `choices` and `labels` (TruthfulQA)."""
    context: str | None = None
    """The field with what is shown before the question, such as examples; `{context}` in `prompt` is its place."""
    extract: str | None = None
    """A regular expression: of what the model writes its first group is the answer; where it is not found, all of
    it."""
    by_type: dict[str, AnswerPrompt] = field(default_factory=dict, hash=False)
    """Another prompt and opening for the rows whose field `type` is one of these, as of RWKU's attacks."""
    examples: AnswerExamples | None = None
    """Questions with answers that are shown before each question: in format text in the form of `prompt`, with a blank
    line after each; in both formats in a `form` of their own, at {examples} in `prompt`."""
    subjects: tuple[str, ...] = ()
    """Take only the rows whose field `subject` is one of these; empty takes all."""
    max_new_tokens: int | None = None
    """Tokens that the model writes; None takes AnswerEvaluation's. Where a text is continued (format text without a
    `prompt`) a longer answer is compared up to that number of its tokens."""
    stop: tuple[str, ...] = ()
    """What the model writes counts up to the first of these."""
    max_length: int | None = None
    """Texts without a question are cut after this number of tokens; None leaves them whole."""

    def __post_init__(self) -> None:
        for name in ("subjects", "stop"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_options(self)

    def is_local(self) -> bool:
        """Whether the path is of files, not of the hub."""
        return self.path.endswith(LOCAL_SUFFIXES)

    @property
    def continues(self) -> bool:
        """Whether the answer is what goes on from a text, not what is asked for."""
        return self.format == "text" and self.prompt == AnswerPrompt().prompt

    def parts(self) -> Sequence["AnswerSource"]:
        """The source itself, and that of its examples."""
        if self.examples is None:
            return [self]
        shown = replace(
            self, examples=None, subjects=(), limit=None, by_type={}, prompt=self.prompt.replace(_EXAMPLES, "")
        )
        return [self, replace(shown, path=self.examples.path, name=self.examples.name, split=self.examples.split)]

    def prompt_of(self, kind: str | None) -> AnswerPrompt:
        """How a row is asked.

        Args:
            kind: of the row, its field `type`.
        """
        return self.by_type.get(kind or "", AnswerPrompt(self.prompt, self.opening))


def _check_options(source: AnswerSource) -> None:
    """Options fit together.

    Raises:
        InputError: they do not.
    """
    if source.limit is not None and source.limit < 2:
        raise InputError(
            f"{source.path}: limit {source.limit} gives no standard error; give 2 or more, or null for all"
        )
    if source.question is None and source.answer is None:
        raise InputError(f"{source.path}: neither question nor answer names a field; name one of them")
    if source.question is None and source.format != "text":
        raise InputError(f"{source.path}: question is null, so that texts are scored alone; set `format: text`")
    _check_examples(source)
    _check_format(source)
    _check_texts_alone(source)
    _check_context(source)
    for asked in (source.prompt, *(one.prompt for one in source.by_type.values())):
        if "{question}" not in asked:
            raise InputError(f"{source.path}: prompt {asked!r} has no {{question}} in it; write where it stands")
    for option, least in (("max_new_tokens", 0), ("max_length", 2)):
        check_at_least(f"{source.path}: {option}", getattr(source, option), least)
    if source.max_length is not None and source.question is not None:
        raise InputError(f"{source.path}: max_length is for texts without a question; remove it, or set question: null")
    if "" in source.stop:
        raise InputError(f"{source.path}: stop has an empty text, which is everywhere; remove it")
    if source.path.endswith((".csv", ".csv.gz")) and source.options != "letters":
        raise InputError(
            f"{source.path}: .csv files have the columns of MMLU and no names of fields; set `options: letters`, or "
            "write the rows as .jsonl"
        )


def _check_examples(source: AnswerSource) -> None:
    """Examples have answers and a place.

    Raises:
        InputError: they have none, or a place has no examples.
    """
    form = None if source.examples is None else source.examples.form
    if source.examples is not None and form is None and source.format != "text":
        raise InputError(
            f"{source.path}: examples are for `format: text`; set it, or give them a `form` and write {_EXAMPLES} in "
            "`prompt`"
        )
    if (form is not None) != (_EXAMPLES in source.prompt):
        raise InputError(
            f"{source.path}: {_EXAMPLES} in `prompt` is the place of examples that have a `form`; give both, or neither"
        )
    if form is not None and not all(place in form for place in ("{question}", "{answer}")):
        raise InputError(f"{source.path}: examples.form {form!r} needs {{question}} and {{answer}} in it; write both")
    if source.examples is not None and source.answer is None:
        raise InputError(f"{source.path}: examples have answers; name their field in `answer`, or remove `examples`")


def _check_format(source: AnswerSource) -> None:
    """Format text has no chat template, nor what comes after one.

    Raises:
        InputError: it is given one.
    """
    given = {
        "chat_template": source.chat_template,
        "opening": source.opening or any(one.opening for one in source.by_type.values()),
    }
    for option, value in given.items():
        if source.format == "text" and value:
            raise InputError(f"{source.path}: {option} is for `format: chat`; set it, or remove {option}")


def _check_texts_alone(source: AnswerSource) -> None:
    """Texts that are scored alone are not asked, and nothing is written after them.

    Raises:
        InputError: an option says how.
    """
    plain = AnswerPrompt().prompt
    asked = {
        "prompt": source.prompt != plain,
        "by_type": source.by_type,
        "extract": source.extract,
        "examples": source.examples,
        "max_new_tokens": source.max_new_tokens,
        "stop": source.stop,
    }
    for option, value in asked.items():
        if source.question is None and value:
            raise InputError(f"{source.path}: {option} is for questions; remove it, or name the field `question`")


def _check_context(source: AnswerSource) -> None:
    """What stands before a question has a place, and a pattern a group.

    Raises:
        InputError: it has none, or a place has nothing to stand there.
    """
    placed = any("{context}" in one for one in (source.prompt, *(one.prompt for one in source.by_type.values())))
    if placed and source.context is None and source.options != "letters":
        raise InputError(f"{source.path}: prompt has {{context}} in it; name its field in `context`, or remove it")
    if source.context is not None and (not placed or source.options is not None):
        raise InputError(
            f"{source.path}: context {source.context!r} has no place; write {{context}} in `prompt`, and leave "
            "`options` out"
        )
    if source.options is not None and source.question is None:
        raise InputError(f"{source.path}: options are of questions; leave `question` as it is, or remove `options`")
    if source.extract is not None and not _has_group(source.extract):
        raise InputError(
            f"{source.path}: extract {source.extract!r} is not a regular expression with a group; write one, such as "
            "'answer is (.*?)\\.'"
        )


def _has_group(pattern: str) -> bool:
    try:
        return re.compile(pattern).groups > 0
    except re.error:
        return False


def check_place(source: AnswerSource) -> None:
    """The path of a source that is not of files could be that of a hub dataset.

    Raises:
        InputError: it could not.
    """
    if not source.is_local():
        check_hub_name(source.path, LOCAL_SUFFIXES)

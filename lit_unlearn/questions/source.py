"""Multiple-choice questions: where they come from, and the prompt they are asked in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lit_unlearn.data.files import check_unicode
from lit_unlearn.data.text import check_hub_name
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.questions.answer_key import LETTERS, answer_of, options_of
from lit_unlearn.questions.records import LOCAL_SUFFIXES, evenly, from_files, from_hub

_WMDP = {"wmdp-bio": "biology", "wmdp-chem": "chemistry", "wmdp-cyber": "cybersecurity"}
"""What the harness calls the subjects of cais/wmdp, whose records name none."""


@dataclass(frozen=True)
class Question:
    """One question with its options."""

    question: str
    """The stem, as in its source."""
    choices: tuple[str, ...]
    """3 to 10 options."""
    answer: int
    """Index of the right option, from 0."""
    subject: str
    """As the prompt's first line prints it, without underscores."""
    number: int
    """Its place in its set, counted before any limit."""
    examples: tuple["Question", ...] = ()
    """Other questions that the prompt shows before it with their answers; they have none themselves."""
    before: str = ""
    """Text before the prompt's first line."""
    prefill: str = ""
    """The beginning of an answer, after which the option is asked for; it begins with a space."""


@dataclass(frozen=True)
class QuestionSource:
    """Where a set of questions comes from."""

    path: str
    """Name of a hub dataset (cais/mmlu, cais/wmdp), or local .csv (MMLU's), .jsonl, .json or .parquet files (.gz too,
    but for .parquet); a glob is allowed. CSV: question, 3 to 10 options, answer; the file is named after its subject.
    Others: fields question, choices (or options), answer (or answer_index, answerKey), subject. An answer is a letter
    or an index from 0."""
    name: str | None = None
    """Configuration of the hub dataset: a subject of cais/mmlu or `all`; wmdp-bio, wmdp-cyber, wmdp-chem of
    cais/wmdp."""
    split: str = "test"
    """Split of the hub dataset."""
    limit: int | None = None
    """Ask this number of questions, evenly spread over the set: every subject keeps its share. None asks all."""
    subject: str | None = None
    """What the prompt's first line says the questions are about; None takes what the source says."""
    format: Literal["letters", "cloze"] = "letters"
    """letters: the options are listed, and the likeliest of their letters is the answer; cloze: they are not, and the
    likeliest of their texts is the answer, for small and base models."""
    first_answer: Literal[0, 1] = 0
    """What the first option is called where answers are numbers."""
    shots: int = 0
    """Examples with their answers before each question: the first ones of its subject, as in the harness' MMLU."""
    examples: str | None = None
    """Where the examples come from: a path like the questions' (MMLU's SUBJECT_dev.csv). None takes split `dev` of the
    hub dataset."""

    def __post_init__(self) -> None:
        check_at_least(f"{self.path}: shots", self.shots, 0)
        if self.examples is not None and not self.shots:
            raise InputError(f"{self.path}: examples are given and shots is 0; set `shots`, e.g. to 5")
        if self.shots and self.examples is None and self.is_local():
            raise InputError(f"{self.path}: no examples for {self.shots} shots; set `examples`, e.g. to mmlu/*_dev.csv")
        if self.limit is not None and self.limit < 1:
            raise InputError(f"{self.path}: limit {self.limit} leaves no question; give 1 or more, or null for all")

    def is_local(self) -> bool:
        """Whether the path is of files, not of the hub."""
        return self.path.endswith(LOCAL_SUFFIXES)


def prompt(question: Question) -> str:
    """The prompt of the lm-eval harness' MMLU and WMDP tasks; the answer is " A" or a later letter.

    Example:
        >>> print(prompt(Question(" Half of 4?", ("1", "2", "3", "4"), 1, "elementary mathematics", 0)))
        The following are multiple choice questions (with answers) about elementary mathematics.
        <BLANKLINE>
        Half of 4?
        A. 1
        B. 2
        C. 3
        D. 4
        Answer:
    """
    header = f"The following are multiple choice questions (with answers) about {question.subject}.\n\n"
    examples = "".join(f"{_listed(one)} {LETTERS[one.answer]}\n\n" for one in question.examples)
    return f"{question.before}{header}{examples}{_listed(question)}{question.prefill}"


def cloze_prompt(question: Question) -> str:
    """The prompt of the lm-eval harness' mmlu_continuation tasks: without options; the answer is a space and a text.

    Example:
        >>> print(cloze_prompt(Question(" Half of 4?", ("1", "2", "3", "4"), 1, "elementary mathematics", 0)))
        The following are questions (with answers) about elementary mathematics.
        <BLANKLINE>
        Question: Half of 4?
        Answer:
    """
    header = f"The following are questions (with answers) about {question.subject}.\n\n"
    examples = "".join(f"{_open(one)} {one.choices[one.answer]}\n\n" for one in question.examples)
    return f"{question.before}{header}{examples}{_open(question)}{question.prefill}"


def load_questions(source: QuestionSource) -> list[Question]:
    """The questions of a source, in its order.

    Raises:
        InputError: the source is not there, empty or holds a malformed record; the message names file and line. Or a
            subject has too few examples.
    """
    local = source.is_local()
    records = from_files(source.path) if local else from_hub(source.path, source.name, source.split)
    questions = [_question(record, place, number, source) for number, (place, record) in enumerate(records)]
    if not questions:
        raise InputError(f"{source.path}: no questions; check the source")
    taken = evenly(questions, source.limit)
    return _with_examples(taken, source) if source.shots else taken


def _with_examples(questions: Sequence[Question], source: QuestionSource) -> list[Question]:
    """The same questions, each with the first examples of its subject."""
    path = source.examples or source.path
    found: dict[str, list[Question]] = {}
    for one in load_questions(replace(source, path=path, split="dev", limit=None, shots=0, examples=None)):
        found.setdefault(one.subject, []).append(one)
    for subject in {question.subject: None for question in questions}:
        if len(found.get(subject, [])) < source.shots:
            raise InputError(
                f"{path}: {len(found.get(subject, []))} examples of {subject!r} for {source.shots} shots; give more, "
                "or set `shots` to fewer"
            )
    return [replace(question, examples=tuple(found[question.subject][: source.shots])) for question in questions]


def _listed(question: Question) -> str:
    """A question with its options, up to where its answer is asked for."""
    options = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, question.choices, strict=False))
    return f"{question.question.strip()}\n{options}\nAnswer:"


def _open(question: Question) -> str:
    """A question without its options, up to where its answer is asked for."""
    return f"Question: {question.question.strip()}\nAnswer:"


def check_questions(source: QuestionSource) -> None:
    """A source can be read, as its first question shows; of the hub nothing is loaded.

    Args:
        source: of a set.

    Raises:
        InputError: as `load_questions`.
    """
    if not source.is_local():
        check_hub_name(source.path, LOCAL_SUFFIXES)
        return
    first = next(from_files(source.path), None)
    if first is None:
        raise InputError(f"{source.path}: no questions; check the source")
    _question(first[1], first[0], 0, source)


def _question(record: Mapping[str, Any], place: str, number: int, source: QuestionSource) -> Question:
    stem = record.get("question")
    if all(value is None for value in record.values()):
        raise InputError(f"{place}: every field is null; remove the row")
    if not isinstance(stem, str) or not stem.strip():
        raise InputError(f"{place}: the question is empty; write its text in field 'question'")
    options = options_of(record, place)
    answer = answer_of(record, options, place, first=source.first_answer, option="first_answer")
    subject = source.subject or record.get("subject") or _WMDP.get(source.name or "")
    if not isinstance(subject, str):
        raise InputError(f"{place}: no subject; set `subject` of the source, which the prompt's first line needs")
    question = Question(stem, options.texts, answer, subject.replace("_", " "), number)
    check_unicode(prompt(question), place)
    return question

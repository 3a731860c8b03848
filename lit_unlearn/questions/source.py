"""Multiple-choice questions: where they come from, and the prompt they are asked in."""

import csv
import glob
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import load_dataset
from datasets.exceptions import DatasetsError

from lit_unlearn.data.files import read_json_lines
from lit_unlearn.data.text import check_hub_name
from lit_unlearn.errors import InputError

LETTERS = ("A", "B", "C", "D")
LOCAL_SUFFIXES = (".csv", ".jsonl")
"""What local files of questions end in."""
_ANSWERS = {name: index for index, letter in enumerate(LETTERS) for name in (letter, str(index))}
_WMDP = {"wmdp-bio": "biology", "wmdp-chem": "chemistry", "wmdp-cyber": "cybersecurity"}
"""What the harness calls the subjects of cais/wmdp, whose records name none."""
Record = tuple[str, Mapping[str, Any]]
"""The place of a record, for errors, and its fields."""


@dataclass(frozen=True)
class Question:
    """One question with four options."""

    question: str
    """The stem, as in its source."""
    choices: tuple[str, str, str, str]
    answer: int
    """Index of the right option, 0 to 3."""
    subject: str
    """As the prompt's first line prints it, without underscores."""
    number: int
    """Its place in its set, counted before any limit."""


@dataclass(frozen=True)
class QuestionSource:
    """Where a set of questions comes from."""

    path: str
    """Name of a hub dataset (cais/mmlu, cais/wmdp), or local .csv (MMLU's) or .jsonl files; a glob is allowed. CSV: six
    columns, question, four options, answer; the file is named after its subject. JSON lines: fields question, choices,
    answer, subject. An answer is a letter A to D or an index 0 to 3."""
    name: str | None = None
    """Configuration of the hub dataset: a subject of cais/mmlu or `all`; wmdp-bio, wmdp-cyber, wmdp-chem of
    cais/wmdp."""
    split: str = "test"
    """Split of the hub dataset."""
    limit: int | None = None
    """Take so many questions, evenly spread over the set, so that every subject keeps its share; None takes all."""
    subject: str | None = None
    """What the prompt's first line says the questions are about; None takes what the source says."""

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise InputError(f"{self.path}: limit {self.limit} leaves no question; give 1 or more, or null for all")

    def is_local(self) -> bool:
        """Whether the path is of files, not of the hub."""
        return self.path.endswith(LOCAL_SUFFIXES)


def prompt(question: Question) -> str:
    """The prompt of the lm-eval harness' MMLU and WMDP tasks without examples; the answer is " A" to " D".

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
    options = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, question.choices, strict=True))
    header = f"The following are multiple choice questions (with answers) about {question.subject}.\n\n"
    return f"{header}{question.question.strip()}\n{options}\nAnswer:"


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
    return f"{header}Question: {question.question.strip()}\nAnswer:"


def load_questions(source: QuestionSource) -> list[Question]:
    """The questions of a source, in its order.

    Raises:
        InputError: the source is not there, empty or holds a malformed record; the message names file and line.
    """
    records = _from_files(source.path) if source.is_local() else _from_hub(source)
    questions = [_question(record, place, number, source) for number, (place, record) in enumerate(records)]
    if not questions:
        raise InputError(f"{source.path}: no questions; check the source")
    count = min(len(questions), source.limit or len(questions))
    return [questions[index * len(questions) // count] for index in range(count)]


def _from_files(path: str) -> Iterator[Record]:
    paths = [path] if Path(path).is_file() else sorted(glob.glob(path, recursive=True))
    if not paths:
        raise InputError(f"{path}: no such file; local paths are relative to the working directory {Path.cwd()}")
    for found in paths:
        try:
            yield from _read_csv(found) if found.endswith(".csv") else _read_records(found)
        except (UnicodeDecodeError, OSError) as error:
            raise InputError(f"{found}: not UTF-8 text ({error}); write the file again as UTF-8") from error


def _read_csv(path: str) -> Iterator[Record]:
    subject = re.sub(r"_(test|dev|val)$", "", Path(path).stem)
    with open(path, encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        for line, row in _csv_rows(reader, path):
            place = f"{path}, line {line}"
            if not row or (line == 1 and (row[0], row[-1]) == ("question", "answer")):
                continue
            if len(row) != 6:
                raise InputError(f"{place}: {len(row)} columns; write six: question, four options, answer")
            yield place, {"question": row[0], "choices": row[1:5], "answer": row[5], "subject": subject}


def _csv_rows(reader: Any, path: str) -> Iterator[tuple[int, list[str]]]:
    """Rows with the line each begins at; a quoted field may span lines."""
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {line}: not CSV ({error}); mend its quotes") from error


def _read_records(path: str) -> Iterator[Record]:
    with open(path, encoding="utf-8-sig") as file:
        for place, record in read_json_lines(file, path):
            if not isinstance(record, dict):
                raise InputError(
                    f"{place}: a {type(record).__name__}; write an object with question, choices, answer, subject"
                )
            yield place, record


def _from_hub(source: QuestionSource) -> Iterator[Record]:
    check_hub_name(source.path, LOCAL_SUFFIXES)
    try:
        rows = load_dataset(source.path, source.name, split=source.split)
    except (OSError, ValueError, DatasetsError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{source.path}: this hub dataset cannot be loaded ({reason}); set `name` and `split` to what "
            f"https://huggingface.co/datasets/{source.path} offers, or give a local file ({', '.join(LOCAL_SUFFIXES)})"
        ) from error
    for number, record in enumerate(rows, start=1):
        yield f"{source.path}, row {number}", record


def _question(record: Mapping[str, Any], place: str, number: int, source: QuestionSource) -> Question:
    stem, choices, answer = (record.get(field) for field in ("question", "choices", "answer"))
    if not isinstance(stem, str) or not stem.strip():
        raise InputError(f"{place}: the question is empty; write its text in field 'question'")
    if not isinstance(choices, list) or len(choices) != 4 or not all(isinstance(text, str) for text in choices):
        raise InputError(f"{place}: the choices are {choices!r}; write four texts in field 'choices'")
    if str(answer).strip() not in _ANSWERS:
        raise InputError(f"{place}: the answer is {answer!r}; write a letter A to D or an index 0 to 3")
    subject = source.subject or record.get("subject") or _WMDP.get(source.name or "")
    if not isinstance(subject, str):
        raise InputError(f"{place}: no subject; set `subject` of the source, which the prompt's first line needs")
    a, b, c, d = choices
    question = Question(stem, (a, b, c, d), _ANSWERS[str(answer).strip()], subject.replace("_", " "), number)
    _check_text(question, place)
    return question


def _check_text(question: Question, place: str) -> None:
    try:
        prompt(question).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"{place}: half of a surrogate pair (\\ud800 to \\udfff) is no text; mend it") from error

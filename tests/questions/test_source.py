"""Questions from files and hub sets, and the harness' own rendering of them."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import datasets
import lm_eval
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from jsonargparse import auto_cli
from lm_eval.api import task as harness
from lm_eval.tasks._yaml_loader import load_yaml

from lit_unlearn import InputError
from lit_unlearn.questions import records as records_module
from lit_unlearn.questions.source import Question, QuestionSource, cloze_prompt, load_questions, prompt

TASKS = Path(lm_eval.__file__).parent / "tasks"
ODD: list[dict[str, Any]] = [
    {"question": "  Which?\n", "choices": ["a", "b ", " c\nd", "{{d}}"], "answer": 2},
    {"question": 'Is "≤ 2", {% if %}?', "choices": ["same", "same", "0", "None"], "answer": 0},
]
SETS = {
    "mmlu/default/mmlu_anatomy.yaml": ("cais/mmlu", "anatomy"),
    "mmlu/default/mmlu_high_school_us_history.yaml": ("cais/mmlu", "high_school_us_history"),
    "wmdp/wmdp_bio.yaml": ("cais/wmdp", "wmdp-bio"),
    "wmdp/wmdp_chem.yaml": ("cais/wmdp", "wmdp-chem"),
    "wmdp/wmdp_cyber.yaml": ("cais/wmdp", "wmdp-cyber"),
}
GOOD = {"question": "q", "choices": ["a", "b", "c", "d"], "answer": 1, "subject": "s"}


def harness_prompts(name: str, records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What the installed task asks, one context per question."""
    file = TASKS / name
    config = yaml.safe_load((file.parent / "_default_template_yaml").read_text()) | yaml.safe_load(file.read_text())
    config = {key: value for key, value in config.items() if key not in ("include", "tag", "task_alias")}
    rows = datasets.Dataset.from_list(records)
    splits = datasets.DatasetDict({"test": rows, "dev": rows})
    monkeypatch.setattr(harness.datasets, "load_dataset", lambda *args, **options: splits)
    task = harness.ConfigurableTask(config=config)
    task.build_all_requests(limit=None, rank=0, world_size=1)
    for request in task.instances[::4]:
        yield request.args[0]


def write(path: Path, *records: Any) -> str:
    path.write_text("\n".join(record if isinstance(record, str) else json.dumps(record) for record in records))
    return str(path)


def serve(monkeypatch: pytest.MonkeyPatch, records: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """A hub that has these records; returns what is asked of it."""
    asked = []

    def load_dataset(path: str, name: str | None, split: str) -> datasets.Dataset:
        asked.append((path, name, split))
        return datasets.Dataset.from_list(records)

    monkeypatch.setattr(records_module, "load_dataset", load_dataset)
    return asked


EXAMPLES = [
    {"question": f" Number {number}?\n", "choices": [*"wxyz"], "answer": number % 4, "subject": subject}
    for number in range(4)
    for subject in ("tea", "moon_alchemy")
]
ASKED = [record | {"subject": subject} for subject in ("moon_alchemy", "tea") for record in ODD]


@pytest.mark.parametrize(
    "kind", ["mmlu/default/_default_template_yaml", "mmlu/continuation/_continuation_template_yaml"]
)
@pytest.mark.parametrize("shots", [1, 3])
def test_prompts_with_examples_are_the_harness_own(
    kind: str, shots: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_yaml(TASKS / kind)
    said = "questions" if "continuation" in kind else "multiple choice questions"
    render = cloze_prompt if "continuation" in kind else prompt
    files = (write(tmp_path / "asked.jsonl", *ASKED), write(tmp_path / "examples.jsonl", *EXAMPLES))
    found = load_questions(QuestionSource(files[0], shots=shots, examples=files[1]))
    expected = []
    for subject in ("moon_alchemy", "tea"):
        rows = {
            split: datasets.Dataset.from_list([one for one in records if one["subject"] == subject])
            for split, records in (("test", ASKED), ("dev", EXAMPLES))
        }
        monkeypatch.setattr(harness.datasets, "load_dataset", lambda *args, rows=rows, **_: datasets.DatasetDict(rows))
        described = f"The following are {said} (with answers) about {subject.replace('_', ' ')}.\n\n"
        task = harness.ConfigurableTask(
            config=config | {"task": subject, "dataset_name": "s", "description": described}
        )
        expected += [task.fewshot_context(doc, shots) for doc in task.test_docs()]
    assert [render(question) for question in found] == expected
    assert {len(question.examples) for question in found} == {shots}


def test_examples_of_a_hub_set_are_its_dev_split(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = serve(monkeypatch, [GOOD, GOOD | {"answer": 2}])
    (question,) = load_questions(QuestionSource("cais/mmlu", "anatomy", limit=1, shots=2))
    assert [one.answer for one in question.examples] == [1, 2]
    assert asked == [("cais/mmlu", "anatomy", "test"), ("cais/mmlu", "anatomy", "dev")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shots": -1}, r"shots: must be at least 0, got -1"),
        ({"shots": 5}, r"no examples for 5 shots; set `examples`, e.g. to mmlu/\*_dev.csv"),
        ({"examples": "a_dev.csv"}, r"examples are given and shots is 0; set `shots`"),
    ],
)
def test_shots_and_examples_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        QuestionSource("a_test.csv", **options)


def test_too_few_examples_of_a_subject_are_refused(tmp_path: Path) -> None:
    path, examples = write(tmp_path / "asked.jsonl", *ASKED), write(tmp_path / "examples.jsonl", *EXAMPLES[:3])
    with pytest.raises(
        InputError, match=r"examples.jsonl: 1 examples of 'moon alchemy' for 2 shots; give more, or set"
    ):
        load_questions(QuestionSource(path, shots=2, examples=examples))


@pytest.mark.parametrize("name", SETS)
def test_prompts_are_the_harness_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path, configuration = SETS[name]
    subject = {"subject": configuration} if path == "cais/mmlu" else {}
    records = [record | subject for record in ODD]
    asked = serve(monkeypatch, records)
    found = load_questions(QuestionSource(path, configuration))
    assert [prompt(question) for question in found] == list(harness_prompts(name, records, monkeypatch))
    assert [question.answer for question in found] == [2, 0]
    assert asked == [(path, configuration, "test")]


def test_csv_with_letters_and_csv_with_header_and_indices_are_the_same(tmp_path: Path) -> None:
    row = '"Two\nlines, and ""quotes""",a,b,c ,None,'
    published = load_questions(QuestionSource(write(tmp_path / "us_foreign_policy_test.csv", row + "D", "q,1,2,3,4,A")))
    header = "question,choice0,choice1,choice2,choice3,answer"
    exported = load_questions(
        QuestionSource(write(tmp_path / "us_foreign_policy.csv", header, row + "3", "q,1,2,3,4,0"))
    )
    expected = Question('Two\nlines, and "quotes"', ("a", "b", "c ", "None"), 3, "us foreign policy", 0)
    assert published == exported
    assert published[0] == expected


def test_a_glob_takes_files_in_order_and_numbers_run_on(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write(tmp_path / f"{name}_test.csv", f"{name}?,1,2,3,4,A")
    found = load_questions(QuestionSource(str(tmp_path / "*_test.csv")))
    assert [(question.question, question.subject, question.number) for question in found] == [
        ("a?", "a", 0),
        ("b?", "b", 1),
    ]


def test_json_lines_take_letters_indices_and_a_given_subject(tmp_path: Path) -> None:
    path = write(tmp_path / "own.jsonl", GOOD, "", GOOD | {"answer": "C"}, GOOD | {"answer": "0"})
    found = load_questions(QuestionSource(path, subject="moon_alchemy"))
    assert [question.answer for question in found] == [1, 2, 0]
    assert {question.subject for question in found} == {"moon alchemy"}


def stored(path: Path, records: list[dict[str, Any]]) -> str:
    """Records in a file of the kind that its name says."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
        return str(path)
    lines = [json.dumps(record) for record in records]
    text = json.dumps(records, indent=1) if ".json" in path.suffixes else "\n".join(lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return str(path)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.parquet", "a.jsonl.gz", "a.json.gz"])
def test_every_kind_of_file_holds_the_same_questions(tmp_path: Path, name: str) -> None:
    records = [GOOD, GOOD | {"question": "p", "choices": [*"abcdefghij"], "answer": 9}]
    found = load_questions(QuestionSource(stored(tmp_path / name, records)))
    assert found == [Question("q", (*"abcd",), 1, "s", 0), Question("p", (*"abcdefghij",), 9, "s", 1)]


def test_a_csv_may_be_compressed_and_mix_numbers_of_options(tmp_path: Path) -> None:
    (tmp_path / "s_test.csv.gz").write_bytes(gzip.compress(b"q,a,b,c,c\nq,a,b,c,d,e,f,g,h,i,j,J\n"))
    found = load_questions(QuestionSource(str(tmp_path / "s_test.csv.gz")))
    assert found == [Question("q", (*"abc",), 2, "s", 0), Question("q", (*"abcdefghij",), 9, "s", 1)]


@pytest.mark.parametrize(
    ("fields", "answer"),
    [
        ({"choices": [*"xyz"], "answer": "B"}, 1),
        ({"choices": [*"xyz"], "answer": " c "}, 2),
        ({"options": [*"xyz"], "answer_index": 2}, 2),
        ({"choices": None, "options": [*"xyz"], "answer": "I don't read this", "answer_index": 1}, 1),
        ({"options": [*"xyz"], "answer": "C", "answer_index": 2}, 2),
        ({"choices": {"text": [*"xyz"], "label": [*"ABC"]}, "answerKey": "C"}, 2),
        ({"choices": {"text": [*"xyz"], "label": [*"123"]}, "answerKey": "1"}, 0),
        ({"choices": {"text": [*"xyz"]}, "answerKey": "1"}, 1),
    ],
)
@pytest.mark.parametrize("hub", [False, True])
def test_fields_that_data_sets_have(
    tmp_path: Path, fields: dict[str, Any], answer: int, hub: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = {"question": "q", "subject": "s", **fields}
    serve(monkeypatch, [record])
    source = QuestionSource("a/b" if hub else write(tmp_path / "a.jsonl", record))
    assert load_questions(source) == [Question("q", (*"xyz",), answer, "s", 0)]


def test_answers_count_from_one_only_where_the_source_says_so(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", GOOD, GOOD | {"answer": 4}, GOOD | {"answer": "B"})
    found = load_questions(QuestionSource(path, first_answer=1))
    assert [question.answer for question in found] == [0, 3, 1]
    with pytest.raises(InputError, match=r"line 2: the answer is 4; write .* 0 to 3, or set `first_answer: 1`"):
        load_questions(QuestionSource(path))
    with pytest.raises(InputError, match=r"line 1: the answer is 0; write a letter A to D or an index 1 to 4$"):
        load_questions(QuestionSource(write(tmp_path / "b.jsonl", GOOD | {"answer": 0}), first_answer=1))


def test_all_options_are_in_the_prompt() -> None:
    ten = Question("q", (*"abcdefghij",), 9, "s", 0)
    assert prompt(ten).endswith("\n\nq\nA. a\nB. b\nC. c\nD. d\nE. e\nF. f\nG. g\nH. h\nI. i\nJ. j\nAnswer:")


@pytest.mark.parametrize(
    ("limit", "numbers"), [(2, [0, 5]), (4, [0, 2, 5, 7]), (99, list(range(10))), (None, list(range(10)))]
)
def test_a_limit_spreads_over_the_set_and_keeps_numbers(tmp_path: Path, limit: int | None, numbers: list[int]) -> None:
    path = write(tmp_path / "own.jsonl", *[GOOD] * 10)
    assert [question.number for question in load_questions(QuestionSource(path, limit=limit))] == numbers


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("oops", r"not JSON"),
        ("[1]", r"a list; write an object"),
        (GOOD | {"question": " \n"}, r"the question is empty"),
        (GOOD | {"question": None}, r"the question is empty"),
        (GOOD | {"choices": ["a", "b"]}, r"the choices are \['a', 'b'\]; write 3 to 10 texts"),
        (GOOD | {"choices": "abcd"}, r"the choices are 'abcd'"),
        (GOOD | {"choices": ["a", "b", "c", 4]}, r"write 3 to 10 texts"),
        (GOOD | {"answer": 4}, r"the answer is 4; write a letter A to D or an index 0 to 3"),
        (GOOD | {"answer": -1}, r"the answer is -1"),
        (GOOD | {"answer": "E"}, r"the answer is 'E'"),
        (GOOD | {"answer": True}, r"the answer is True"),
        ({"question": "q", "choices": list("abcd"), "answer": 1}, r"no subject; set `subject`"),
        (GOOD | {"question": "\ud800"}, r"half of a surrogate pair"),
    ],
)
def test_a_malformed_line_is_named(tmp_path: Path, bad: Any, message: str) -> None:
    path = write(tmp_path / "own.jsonl", GOOD, bad, GOOD)
    with pytest.raises(InputError, match=rf"own\.jsonl, line 2: .*{message}"):
        load_questions(QuestionSource(path))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("q,a,b,B", r"line 3: 4 columns; write question, 3 to 10 options, answer"),
        ("q,a,b,c,d,E", r"line 3: the answer is 'E'"),
        (",a,b,c,d,A", r"line 3: the question is empty"),
        ('"q,a,b,c,d,A', r"line 3: not CSV"),
    ],
)
def test_a_malformed_row_is_named_by_its_first_line(tmp_path: Path, bad: str, message: str) -> None:
    path = write(tmp_path / "x_test.csv", '"two\nlines",a,b,c,d,A', bad)
    with pytest.raises(InputError, match=rf"x_test\.csv, {message}"):
        load_questions(QuestionSource(path))


def test_a_csv_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"caf\xe9,a,b,c,d,A\n")
    with pytest.raises(InputError, match=r"x\.csv: not UTF-8 text"):
        load_questions(QuestionSource(str(tmp_path / "x.csv")))


def test_a_source_with_nothing_in_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"\*\.csv: no such file; local paths are relative to"):
        load_questions(QuestionSource(str(tmp_path / "*.csv")))
    with pytest.raises(InputError, match=r"x\.csv: no questions"):
        load_questions(QuestionSource(write(tmp_path / "x.csv", "question,choice0,choice1,choice2,choice3,answer")))
    with pytest.raises(InputError, match=r"limit 0 leaves no question"):
        QuestionSource("x.csv", limit=0)


def test_a_hub_set_out_of_reach_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*args: Any, **options: Any) -> None:
        raise ValueError("BuilderConfig 'anatomie' not found.\nmore")

    monkeypatch.setattr(records_module, "load_dataset", load_dataset)
    with pytest.raises(InputError, match=r"^cais/mmlu: .*'anatomie' not found.*set `name` and `split`") as caught:
        load_questions(QuestionSource("cais/mmlu", "anatomie"))
    assert "\n" not in str(caught.value)


def test_a_malformed_hub_row_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    serve(monkeypatch, [GOOD, GOOD | {"answer": 7}])
    with pytest.raises(InputError, match=r"cais/mmlu, row 2: the answer is 7"):
        load_questions(QuestionSource("cais/mmlu", "all"))


def test_a_source_can_be_written_in_yaml() -> None:
    def given(source: QuestionSource) -> QuestionSource:
        return source

    parsed = auto_cli(
        given, args=["--source={path: cais/wmdp, name: wmdp-bio, limit: 9, format: cloze, first_answer: 1}"]
    )
    assert parsed == QuestionSource("cais/wmdp", "wmdp-bio", limit=9, format="cloze", first_answer=1)


def test_the_records_in_the_documents_are_read(tmp_path: Path) -> None:
    document = (Path(__file__).parents[2] / "docs" / "questions.md").read_text()
    records = re.findall(r"^\| `(\{\"question\".*\})` \|", document, re.MULTILINE)
    (line,) = re.findall(r"`(Which\?,[^`]*)`", document)
    paths = [write(tmp_path / f"{number}.jsonl", record) for number, record in enumerate(records)]
    paths.append(write(tmp_path / "letters_test.csv", line))
    assert len(paths) == 5
    for path in paths:
        assert load_questions(QuestionSource(path)) == [Question("Which?", (*"abcd",), 3, "letters", 0)]

"""The tasks for the harness: the layout of its own MMLU, the questions and draws of our evaluation."""

import csv
import json
from pathlib import Path
from typing import Any

import lm_eval
import pytest
import yaml
from datasets import Dataset
from lm_eval.api.task import ConfigurableTask
from lm_eval.tasks import TaskManager
from lm_eval.tasks._yaml_loader import load_yaml

from lit_unlearn import InputError
from lit_unlearn.data.text import TextSource, load_texts
from lit_unlearn.harness.tasks import documents, folder, generate
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.questions.sets import EvaluationSource, PerturbationSource, Variant, variants
from lit_unlearn.questions.source import QuestionSource, load_questions, prompt
from tests.asking import QUESTIONS

HARNESS = Path(lm_eval.__file__).parent / "tasks" / "mmlu" / "default"
SUBJECTS = ("computer_security", "virology")
FORGET = ["{world}/alchemy.jsonl", {"path": "{world}/navigation.jsonl"}]
"""A path and the fields of a TextSource."""


def write_mmlu(path: Path, subjects: tuple[str, ...] = SUBJECTS) -> Path:
    """Files like MMLU's, of odd texts: 12 questions and 3 examples of each subject."""
    path.mkdir(exist_ok=True)
    for subject in subjects:
        for part, questions in (("test", QUESTIONS), ("dev", QUESTIONS[5:8])):
            with (path / f"{subject}_{part}.csv").open("w", newline="", encoding="utf-8") as file:
                rows = ([one.question, *one.choices, "ABCD"[one.answer]] for one in questions)
                csv.writer(file).writerows(rows)
    return path


def own(name: str, **metadata: Any) -> ConfigurableTask:
    """A task as the harness finds it."""
    manager = TaskManager(include_path=str(folder()), include_defaults=False, metadata=metadata)
    return manager.load([name])["tasks"][name]


def test_the_files_are_those_of_the_generator() -> None:
    files = generate.files()
    for path, text in files.items():
        assert (folder() / path).read_text() == text, "run `python -m lit_unlearn.harness.tasks.generate`"
    found = {path.relative_to(folder()).as_posix() for path in folder().glob("*/*.yaml")}
    assert found == set(files)


def test_every_subject_of_mmlu_is_in_one_group_of_each_family() -> None:
    subjects = {yaml.safe_load(path.read_text())["dataset_name"] for path in HARNESS.glob("mmlu_*.yaml")}
    assert len(subjects) == 57
    manager = TaskManager(include_path=str(folder()), include_defaults=False)
    for family in generate.VARIANTS:
        groups = yaml.safe_load((folder() / family / f"_{family}.yaml").read_text())["task"]
        members = [task for group in groups for task in manager.task_index[group].cfg["task"]]
        assert sorted(members) == sorted(f"{family}_{subject}" for subject in subjects)
        assert set(members) <= set(manager.all_subtasks)


def test_the_layout_is_that_of_the_harness() -> None:
    theirs = load_yaml(HARNESS / "_default_template_yaml")
    ours = load_yaml(folder() / "_questions_yaml")
    assert ours.keys() - theirs.keys() == {"description"}
    assert theirs.keys() - ours.keys() == {"dataset_path"}
    of_any_count = {"doc_to_text", "doc_to_choice"}  # whose rendering is compared below
    assert all(ours[name] == theirs[name] for name in ours.keys() & theirs.keys() - of_any_count)
    group = load_yaml(HARNESS / "_mmlu.yaml")
    assert (
        load_yaml(folder() / "mmlu_perturbed" / "_mmlu_perturbed.yaml")["aggregate_metric_list"]
        == (group["aggregate_metric_list"])
    )


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("num_fewshot", [0, 2])
def test_prompts_and_answers_are_those_of_the_harness(subject: str, num_fewshot: int, tmp_path: Path) -> None:
    def unperturbed(**_: Any) -> dict[str, Dataset]:
        return documents.subject(subject=subject, variant="default", questions=str(write_mmlu(tmp_path)))

    alone: dict[str, Any] = {"custom_dataset": unperturbed, "dataset_kwargs": {}, "metadata": {}}
    dropped = ("tag", "dataset_path")
    theirs, ours = (
        ConfigurableTask(config={name: value for name, value in load_yaml(path).items() if name not in dropped} | alone)
        for path in (HARNESS / f"mmlu_{subject}.yaml", folder() / f"mmlu_perturbed/mmlu_perturbed_{subject}.yaml")
    )
    asked = list(zip(theirs.test_docs(), ours.test_docs(), strict=True))
    assert len(asked) == len(QUESTIONS)
    for first, second in asked:
        assert theirs.fewshot_context(first, num_fewshot) == ours.fewshot_context(second, num_fewshot)
        requests = [task.construct_requests(doc, "x") for task, doc in ((theirs, first), (ours, second))]
        assert [one.args for one in requests[0]] == [one.args for one in requests[1]]
        assert theirs.doc_to_target(first) == ours.doc_to_target(second)


def test_local_prompts_are_those_of_our_evaluation(tmp_path: Path) -> None:
    task = own("mmlu_local", questions=str(write_mmlu(tmp_path)))
    questions = load_questions(QuestionSource(f"{tmp_path}/*_test.csv"))
    assert [task.fewshot_context(doc, 0) for doc in task.test_docs()] == [prompt(one) for one in questions]
    assert [doc["answer"] for doc in task.test_docs()] == [one.answer for one in questions]
    assert {doc["subject"] for doc in task.test_docs()} == {"computer security", "virology"}


def test_local_files_may_be_json_lines_under_a_pattern(tmp_path: Path) -> None:
    record = {"question": "Half of 4?", "choices": ["1", "2", "3", "4"], "answer": 1, "subject": "numbers"}
    (tmp_path / "own.jsonl").write_text(json.dumps(record))
    (doc,) = own("mmlu_perturbed_local", questions=f"{tmp_path}/*.jsonl", seed=1).test_docs()
    assert doc == record | {"choices": ["SARS-CoV-2", "2", "3", "4"], "number": 0}


def test_local_questions_may_have_3_to_10_options(tmp_path: Path) -> None:
    records = [
        {"question": "Which?", "options": [*letters], "answer": letters[-1], "subject": "letters"}
        for letters in ("abc", "abcdefghij")
    ]
    (tmp_path / "own.json").write_text(json.dumps(records, indent=1))
    task = own("mmlu_local", questions=f"{tmp_path}/own.json")
    questions = load_questions(QuestionSource(f"{tmp_path}/own.json"))
    for doc, question in zip(task.test_docs(), questions, strict=True):
        assert task.fewshot_context(doc, 0) == prompt(question)
        requests = task.construct_requests(doc, prompt(question))
        letters = "ABCDEFGHIJ"[: len(question.choices)]
        assert [request.args[1] for request in requests] == [f" {letter}" for letter in letters]


@pytest.mark.parametrize(
    ("metadata", "source"),
    [
        ({}, {"texts": ["SARS-CoV-2"]}),
        ({"tokens": "ricin", "seed": 3}, {"texts": ["ricin"], "seed": 3}),
        ({"tokens": ["ricin", "SQL injection"]}, {"texts": ["ricin", "SQL injection"]}),
        ({"tokens": ["ricin"], "position": "stem", "count": 2}, {"texts": ["ricin"], "position": "stem", "count": 2}),
        ({"n": 4, "seed": 1, "forget": FORGET}, {"n": 4, "seed": 1}),
    ],
)
def test_perturbed_questions_and_controls_are_those_of_our_evaluation(
    metadata: dict[str, Any], source: dict[str, Any], world: Path, tmp_path: Path
) -> None:
    metadata = json.loads(json.dumps(metadata).replace("{world}", str(world)))
    told = {"questions": str(write_mmlu(tmp_path)), "pretrained": str(world / "model"), **metadata}
    told["retain"] = str(world / "gardening.jsonl")
    forget, retain = (
        [text for name in names for text in load_texts(TextSource(str(world / f"{name}.jsonl")))["text"]]
        for names in (("alchemy", "navigation"), ("gardening",))
    )
    expected = variants(
        EvaluationSource({"q": QuestionSource(f"{tmp_path}/*_test.csv")}, {"p": PerturbationSource(**source)}),
        forget=forget,
        retain=retain,
        tokenizer=load_tokenizer(ModelSource(str(world / "model"))),
    )
    for task, control in (("mmlu_perturbed_local", False), ("mmlu_perturbed_control_local", True)):
        docs = list(own(task, **told).test_docs())
        questions = expected[Variant("q", "p", control)]
        assert [doc["number"] for doc in docs] == [one.number for one in questions]
        assert [doc["choices"] for doc in docs] == [list(one.choices) for one in questions]
        assert [doc["question"] for doc in docs] == [one.question for one in questions]
    clean = expected[Variant("q", "default", False)]
    assert questions != clean
    # A subject's task numbers its own questions, as our evaluation of that subject alone does.
    docs = list(own("mmlu_perturbed_virology", **told).test_docs())
    assert [doc["number"] for doc in docs] == list(range(len(QUESTIONS)))


def test_without_local_files_questions_and_retain_text_are_the_hubs(
    world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    choices = ["1", "2", "3", "4"]
    record = {"question": "Half of 4?", "choices": choices, "answer": 1, "subject": "virology"}

    def questions(path: str, name: str, split: str) -> list[dict[str, Any]]:
        asked.append((path, name, split))
        return [record]

    def texts(path: str, name: str, split: str) -> Dataset:
        asked.append((path, name, split))
        return Dataset.from_dict({"text": [f"in the garden {'the ' * 20}"] * 3})

    monkeypatch.setattr("lit_unlearn.questions.records.load_dataset", questions)
    monkeypatch.setattr("lit_unlearn.data.text.load_dataset", texts)
    documents._texts.cache_clear()
    task = own("mmlu_perturbed_control_virology", tokenizer=str(world / "model"))
    documents._texts.cache_clear()
    assert asked == [
        ("cais/mmlu", "virology", "test"),
        ("cais/mmlu", "virology", "dev"),
        ("Salesforce/wikitext", "wikitext-2-raw-v1", "train"),
    ]
    (doc,) = task.test_docs()
    assert sum(choice in choices for choice in doc["choices"]) == 3
    assert next(iter(task.fewshot_docs()))["choices"] == choices  # examples are not perturbed


@pytest.mark.parametrize(
    ("task", "metadata", "match"),
    [
        ("mmlu_local", {}, r"metadata.questions: none given; local tasks need a folder"),
        ("mmlu_local", {"questions": "mmlu.txt"}, r"mmlu.txt is neither a folder nor ends in .csv"),
        ("mmlu_perturbed_virology", {"questions": "nowhere"}, r"nowhere/virology_test.csv: no such file"),
        ("mmlu_perturbed_local", {"tokens": ["a"], "n": 2}, r"give each either `texts` or `n`"),
        ("mmlu_perturbed_local", {"tokens": 3}, r"metadata.tokens: 3 cannot be used; give texts"),
        ("mmlu_perturbed_local", {"seed": "x"}, r"metadata.seed: 'x' cannot be used; expected one of int"),
        (
            "mmlu_perturbed_local",
            {"n": "word"},
            r"metadata.n: 'word' cannot be used; expected one of int, 'sentence', n",
        ),
        (
            "mmlu_perturbed_local",
            {"position": "head"},
            r"metadata.position: 'head' cannot be used; .* 'option', 'stem'",
        ),
        ("mmlu_perturbed_local", {"n": 2}, r"metadata.forget: none given; n-grams are of forget texts"),
        ("mmlu_perturbed_local", {"n": 2, "forget": {"pth": "x"}}, r"metadata: {'pth': 'x'} is not a source of texts"),
        (
            "mmlu_perturbed_local",
            {"n": 2, "similarity": "most", "file": "x.json", "pretrained": "{world}/model"},
            r"x.json",
        ),
        ("mmlu_perturbed_local", {"n": 2, "forget": "{world}/alchemy.jsonl"}, r"metadata.tokenizer: none given"),
        ("mmlu_perturbed_control_local", {"retain": "{world}/gardening.jsonl"}, r"metadata.tokenizer: none given"),
        ("mmlu_perturbed_control_local", {"tokenizer": "no-such"}, r"Salesforce/wikitext: this hub dataset cannot be"),
    ],
)
def test_what_cannot_be_had_is_named(
    task: str, metadata: dict[str, Any], match: str, world: Path, tmp_path: Path
) -> None:
    told = {"questions": str(write_mmlu(tmp_path)), **metadata} if metadata else {}
    told = {name: value.format(world=world) if isinstance(value, str) else value for name, value in told.items()}
    with pytest.raises(InputError, match=match):
        own(task, **told)

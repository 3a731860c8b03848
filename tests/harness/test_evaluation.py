"""The harness on a model in memory and in a folder, against our own evaluation."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lm_eval.tasks import TaskManager
from transformers import PreTrainedModel

from lit_unlearn import InputError, cli
from lit_unlearn.data.text import TextSource, load_texts
from lit_unlearn.harness import evaluation
from lit_unlearn.harness.tasks import folder
from lit_unlearn.models.loading import load_model
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.questions.batches import QueryBatches, encode, query_loader
from lit_unlearn.questions.scores import choice_scores, evaluate_choices
from lit_unlearn.questions.sets import EvaluationSource, PerturbationSource, Variant, variants
from lit_unlearn.questions.source import QuestionSource
from tests.adapters import write_adapter
from tests.asking import QUESTIONS, random_model, word_level
from tests.harness.test_tasks import write_mmlu

OWN = {
    "mmlu_local": Variant("q", "default", False),
    "mmlu_perturbed_local": Variant("q", "p", False),
    "mmlu_perturbed_control_local": Variant("q", "p", True),
}


@pytest.fixture(autouse=True)
def _no_description_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs programs, which takes a second each time."""
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda results: None)


@pytest.fixture
def own_tasks_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness' own tasks take 20 seconds to be found."""
    monkeypatch.setattr(
        evaluation, "TaskManager", lambda **options: TaskManager(**{**options, "include_defaults": False})
    )


@pytest.fixture
def asked(tmp_path: Path) -> dict[str, Any]:
    """Metadata: questions, texts and a tokenizer that knows their words."""
    words = [word for question in QUESTIONS for choice in question.choices for word in choice.split()]
    (tmp_path / "retain.txt").write_text("\n".join(" ".join([*words[start:], *words]) for start in range(5)))
    (tmp_path / "forget.txt").write_text("\n".join(f"Which word comes after salt {one}? " * 4 for one in "abc"))
    word_level().save_pretrained(tmp_path / "tokenizer")
    return {
        "questions": str(write_mmlu(tmp_path / "mmlu")),
        "tokenizer": str(tmp_path / "tokenizer"),
        "retain": str(tmp_path / "retain.txt"),
        "forget": str(tmp_path / "forget.txt"),
    }


def in_memory(model: PreTrainedModel) -> evaluation.InMemory:
    return evaluation.InMemory(model, word_level(), batch_size=5)


@torch.no_grad()
def our_answers(model: PreTrainedModel, asked: dict[str, Any], **perturbation: Any) -> dict[Variant, dict[int, int]]:
    """What our evaluation finds: the predicted option by question number, of each variant."""
    sets = EvaluationSource(
        {"q": QuestionSource(f"{asked['questions']}/*_test.csv")}, {"p": PerturbationSource(**perturbation)}
    )
    texts = (load_texts(TextSource(asked[name]))["text"] for name in ("forget", "retain"))
    found: dict[Variant, dict[int, int]] = {}
    for variant, questions in variants(sets, forget=next(texts), retain=next(texts), tokenizer=word_level()).items():
        batches = query_loader(QueryBatches(encode(questions, word_level()), max_tokens=400))
        outcomes = [evaluate_choices(choice_scores(model, batch), batch) for batch in batches]
        found[variant] = {
            number: prediction
            for outcome in outcomes
            for number, prediction in zip(outcome["number"].tolist(), outcome["prediction"].tolist(), strict=True)
        }
    return found


@pytest.mark.parametrize(
    ("metadata", "perturbation"),
    [({}, {"texts": ["SARS-CoV-2"]}), ({"n": 2, "seed": 5}, {"n": 2, "seed": 5})],
)
def test_the_harness_and_our_evaluation_agree_question_by_question(
    metadata: dict[str, Any], perturbation: dict[str, Any], asked: dict[str, Any]
) -> None:
    model = random_model("llama")
    tasks = evaluation.load_tasks(list(OWN), metadata=asked | metadata)
    results = evaluation.evaluate(in_memory(model), tasks, log_samples=True)
    assert results is not None
    found = our_answers(model, asked, **perturbation)
    answers = []
    for task, variant in OWN.items():
        theirs = {
            sample["doc"]["number"]: int(np.argmax([score for score, _ in sample["filtered_resps"]]))
            for sample in results["samples"][task]
        }
        assert theirs == found[variant]
        right = [theirs[sample["doc"]["number"]] == sample["doc"]["answer"] for sample in results["samples"][task]]
        assert evaluation.scores(results)[f"{task}/acc"] == pytest.approx(np.mean(right))
        answers.append(theirs)
    assert len(set(answers[0].values())) > 1
    assert answers[0] != answers[1] != answers[2]


def test_a_model_in_memory_is_left_as_it_was(asked: dict[str, Any], own_tasks_only: None, tmp_path: Path) -> None:
    model = random_model("gemma3").train()
    model.model.layers[1].eval()
    before = {name: (id(value), value.clone()) for name, value in model.named_parameters(remove_duplicate=False)}
    modes = [module.training for module in model.modules()]
    settings = str(model.generation_config), str(model.config)
    tasks = evaluation.load_tasks(["mmlu_local", "tell"], metadata=asked, include_path=[write_generation(tmp_path)])
    with evaluation.eval_mode(model):
        assert not any(module.training for module in model.modules())
        results = evaluation.evaluate(in_memory(model), tasks, limit=2)
    assert results is not None
    assert set(evaluation.scores(results)) == {"mmlu_local/acc", "tell/exact_match/first"}
    assert [module.training for module in model.modules()] == modes
    assert (str(model.generation_config), str(model.config)) == settings
    after = dict(model.named_parameters(remove_duplicate=False))
    assert after.keys() == before.keys()
    assert all(id(after[name]) == own and torch.equal(after[name], value) for name, (own, value) in before.items())


def write_generation(folder: Path) -> str:
    """A user's own task, in which the model writes."""
    (folder / "own").mkdir()
    (folder / "own" / "texts.py").write_text(
        "from datasets import Dataset\n"
        "def texts(**metadata):\n"
        "    return {'test': Dataset.from_dict({'text': ['Which word comes'] * 3, 'target': ['long'] * 3})}\n"
    )
    (folder / "own" / "tell.yaml").write_text(
        "task: tell\ncustom_dataset: !function texts.texts\ntest_split: test\noutput_type: generate_until\n"
        "doc_to_text: text\ndoc_to_target: target\nnum_fewshot: 0\n"
        "generation_kwargs: {until: ['?'], max_gen_toks: 4, do_sample: true, temperature: 1.0}\n"
        "filter_list: [{name: first, filter: [{function: take_first}]}]\n"
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )
    return str(folder / "own")


def test_random_numbers_resume_as_if_nothing_had_been_asked(asked: dict[str, Any]) -> None:
    tasks = evaluation.load_tasks(["mmlu_local"], metadata=asked)
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    expected = [torch.rand(3).tolist(), random.random(), np.random.rand()]
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)
    evaluation.evaluate(in_memory(random_model("llama")), tasks, limit=2)
    assert [torch.rand(3).tolist(), random.random(), np.random.rand()] == expected


@pytest.mark.parametrize(
    ("names", "options", "match"),
    [
        ([], {}, r"tasks: none given; name at least one"),
        (["mmlu_locl"], {}, r"tasks: the harness knows no 'mmlu_locl'; did you mean mmlu_local\?"),
        (["mmlu_local"], {"metadata": {"token": "x"}}, r"metadata: these tasks know no 'token'; did you mean tokens\?"),
        (["mmlu_local"], {"metadata": {"zzz": 1}}, r"metadata: these tasks know no 'zzz'; choose from questions, tok"),
        (["mmlu_local"], {}, r"metadata.questions: none given"),
        (["mmlu_local"], {"num_fewshot": 3}, r"num_fewshot: mmlu_local has 0 examples for 3"),
        (["mmlu_perturbed_virology"], {"num_fewshot": 4}, r"num_fewshot: mmlu_perturbed_virology has 3 examples for 4"),
        (["mmlu_local", "both"], {}, r"tasks: Duplicate task 'mmlu_local': found in both .*; name it once"),
        (["unsafe"], {}, r"tasks: unsafe runs code that the model writes; export the model and run the task with"),
        (["broken"], {}, r"tasks: 'broken' cannot be loaded \(.*\); check that its data set can be reached"),
    ],
)
def test_tasks_that_cannot_be_asked_are_refused(
    names: list[str], options: dict[str, Any], match: str, own_tasks_only: None, tmp_path: Path
) -> None:
    (tmp_path / "both.yaml").write_text("group: both\ntask: [mmlu_local]\n")
    unsafe = f"include: {folder()}/mmlu_local.yaml\ntask: unsafe\nunsafe_code: true\n"
    (tmp_path / "unsafe.yaml").write_text(unsafe)
    (tmp_path / "broken.yaml").write_text("task: broken\ndataset_path: no/such\ntest_split: test\n")
    if not match.startswith("metadata.questions"):
        options = {"metadata": {"questions": str(write_mmlu(tmp_path))}} | options
    with pytest.raises(InputError, match=match):
        evaluation.load_tasks(names, include_path=[str(tmp_path)], **options)


@pytest.mark.slow
def test_patterns_and_repeated_names_are_one_task_each(asked: dict[str, Any]) -> None:
    tasks = evaluation.load_tasks(["mmlu_perturbed_virol*", "mmlu_perturbed_virology"], metadata=asked, num_fewshot=3)
    assert [task.task_name for task in tasks.loaded] == ["mmlu_perturbed_virology"]


def command(world: Path, tmp_path: Path, *words: str) -> None:
    metadata = json.dumps({"questions": str(write_mmlu(tmp_path / "mmlu"))})
    given = ["--model", str(world / "model"), "--tasks", "mmlu_local", "--metadata", metadata, *words]
    cli.main(["eval", "--device", "cpu", "--batch_size", "8", *given])


def test_an_adapters_folder_is_asked_as_the_model_with_the_adapter_merged(world: Path, tmp_path: Path) -> None:
    adapter = write_adapter(world / "model", tmp_path / "adapter")
    merged = load_model(ModelSource(str(adapter)), torch.float32)
    merged.save_pretrained(tmp_path / "merged")
    load_tokenizer(ModelSource(str(world / "model"))).save_pretrained(tmp_path / "merged")
    asked = {}
    for model in (world / "model", adapter, tmp_path / "merged"):
        out = tmp_path / f"{model.name}.json"
        command(world, tmp_path, "--model", str(model), "--log_samples", "--out", str(out))
        samples = json.loads(out.read_text())["samples"]["mmlu_local"]
        asked[model.name] = [sample["filtered_resps"] for sample in samples]
    assert asked["adapter"] == asked["merged"]
    assert asked["adapter"] != asked["model"]


def test_eval_prints_a_table_and_writes_the_harness_format(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    command(world, tmp_path, "--tasks", "mmlu_local,mmlu_perturbed_local", "--log_samples", "--out", str(out))
    results = json.loads(out.read_text())
    assert set(results["results"]) == {"mmlu_local", "mmlu_perturbed_local"}
    assert len(results["samples"]["mmlu_local"]) == 24
    assert results["config"]["batch_size"] == 8
    shown = capsys.readouterr().out
    assert "|mmlu_perturbed_local|      1|none  |     0|acc   |" in shown
    assert f"The results are in {out}" in shown


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--model", "no/such"], r"--model: 'no/such' cannot be loaded"),
        (["--batch_size", "0"], r"--batch_size: must be auto or at least 1, got '0'"),
        (["--metadata", "{"], r"--metadata: '{' is not JSON"),
        (["--metadata", "[]"], r"--metadata: '\[\]' is not an object"),
        (["--out", "no/folder/x.json"], r"--out: there is no folder no/folder to write into"),
        (["--device", "tpu9"], r"--device: 'tpu9' cannot be used"),
        (["--limit", "0"], r"--limit: 0 leaves no question; give more than 0"),
        (["--num_fewshot", "-1"], r"num_fewshot: must be at least 0, got -1"),
        (["--dtype", "float17"], r"--model: .* cannot be loaded"),
        (["--tasks", ","], r"tasks: none given"),
    ],
)
def test_a_wrong_option_is_one_line(
    words: list[str], match: str, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        command(world, tmp_path, *words)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    with pytest.raises(InputError, match=match):
        raise InputError(line)


def test_tasks_path_is_a_folder_that_the_harness_includes(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["tasks-path"])
    path = capsys.readouterr().out.strip()
    manager = TaskManager(include_path=path, include_defaults=False)
    assert {"mmlu_perturbed", "mmlu_perturbed_college_biology", "mmlu_perturbed_control"} <= set(manager.all_tasks)
    with pytest.raises(SystemExit):
        cli.main(["tasks-path", "--all"])


@pytest.mark.parametrize("words", [["eval", "--help"], ["tasks-path"]])
def test_help_and_path_import_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    code = f"""
import sys
from lit_unlearn.cli import main
try:
    main({words})
finally:
    print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert not {"torch", "lightning", "transformers", "lm_eval"} & set(done.stderr.split())


@pytest.mark.slow
def test_the_harness_own_command_finds_our_tasks(world: Path, tmp_path: Path) -> None:
    tasks = subprocess.run([sys.executable, "-m", "lit_unlearn", "tasks-path"], capture_output=True, text=True)
    metadata = {"questions": str(write_mmlu(tmp_path / "mmlu")), "retain": str(world / "gardening.jsonl")}
    words = [
        f"--include_path={tasks.stdout.strip()}",
        "--tasks=mmlu_perturbed_local,mmlu_perturbed_control_virology",
        "--model=hf",
        f"--model_args=pretrained={world / 'model'}",
        f"--metadata={json.dumps(metadata)}",
        "--device=cpu",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "lm_eval", "run", *words], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "|mmlu_perturbed_local " in done.stdout
    assert "|mmlu_perturbed_control_virology" in done.stdout


@pytest.mark.slow
def test_the_harness_own_tasks_are_known_and_near_names_suggested() -> None:
    with pytest.raises(InputError, match=r"tasks: 'wmdp_bio' cannot be loaded"):  # the tests have no network
        evaluation.load_tasks(["wmdp_bio", "mmlu_local"])
    with pytest.raises(InputError, match=r"the harness knows no 'wmpd_bio'; did you mean wmdp_bio\?"):
        evaluation.load_tasks(["wmpd_bio"])

"""Options, folders and files of every command that cannot be used."""

import errno
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.bad_input.refusing import Config, Refused, write
from tests.bad_input.test_models import Runs
from tests.fast import some

EVAL = ("eval", "--model=demo", "--tasks=mmlu_local")
SWEEP = ("sweep", "-c", "CONFIG", "--out=swept")
URL = "postgresql://me:secret-word@nowhere.invalid/studies"
COMMANDS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("fitt",): ("'fitt' is not a command", "did you mean 'fit'?"),
    ("--zzz",): ("'--zzz' is not a command", "choose one of fit, validate"),
    ("fit", "-c", "."): ("--config: there is no file '.'", "`lit-unlearn configs` lists"),
    ("fit", "-c", "a" * 300): ("--config: there is no file 'aaa", "`lit-unlearn configs` lists"),
    ("fit", "-c", "rmu.yaml", "--model", "demo"): ("--model: replaces the config's", "give --model.pretrained demo"),
    ("fit", "-c", "CONFIG", "--model.noise.directions=8"): (
        "model.noise.directions: no class is chosen that would take it",
        "e.g. --model.noise DisplacementNoise --model.noise.directions 8",
    ),
    ("validate",): ("validate: no questions", "name a config after -c"),
    ("validate", "--model=demo"): ("validate: no questions", "such as evaluate.yaml"),
    ("validate", "--model=demo", "--model=x"): ("--model: given 2 times (demo, x)", "one model per run"),
    ("validate", "-c", "CONFIG", "--model"): ("--model: no value given", "write a folder"),
    ("test", "-c", "CONFIG"): ("data: there is nothing to test;", "set data.evaluation"),
    ("validate", "-c", "CONFIG"): ("data: there is nothing to validate;", "set data.evaluation"),
    ("tasks-path", "x"): ("tasks-path: takes no options", "'x'"),
    ("configs", "x"): ("configs: there is no shipped file 'x'", "`lit-unlearn configs` lists them"),
    ("eval",): ("eval: the following arguments are required: --model, --tasks", "lit-unlearn eval --help"),
    (*EVAL, "--zzz"): ("eval: --zzz: there is no such option", "lit-unlearn eval --help"),
    (*EVAL, "--batch_size=0"): ("--batch_size: must be auto or at least 1", "got '0'"),
    (*EVAL, "--limit=-1"): ("--limit: -1 leaves no question", "more than 0"),
    (*EVAL, "--limit=x"): ("eval: argument --limit: invalid float value: 'x'", "--help"),
    (*EVAL, "--limit=nan"): ("--limit: nan leaves no question", "more than 0"),
    (*EVAL, "--metadata={"): ("--metadata: '{' is not JSON", "e.g."),
    (*EVAL, "--metadata=[]"): ("--metadata: '[]' is not an object", "e.g."),
    (*EVAL, '--metadata={"zzz": 1}'): ("metadata: these tasks know no 'zzz'", "choose from questions"),
    EVAL: ("metadata.questions: none given", "--metadata"),
    (*EVAL, '--metadata={"questions": "nowhere"}'): ("nowhere is neither a folder nor", "give one"),
    (*EVAL, '--metadata={"questions": "nowhere.csv"}'): ("nowhere.csv: no such file", "working directory"),
    (*EVAL, '--metadata={"questions": 3}'): ("metadata.questions: 3 is not a path", "a folder of MMLU's"),
    (*EVAL, "--out=."): ("--out: . is a folder", "give a file's name"),
    (*EVAL, "--out=no/x.json"): ("--out: there is no folder no", "make it first"),
    (*EVAL, "--num_fewshot=-1"): ("num_fewshot: must be at least 0, got -1",),
    ("eval", "--model=nowhere", "--tasks=mmlu_local"): ("--model: 'nowhere' cannot be loaded", "give a folder"),
    ("eval", "--model=demo", "--tasks=,"): ("tasks: none given", "e.g. mmlu_perturbed"),
    ("fit", "-c", "CONFIG", "-c", "trainer/fsdp2.yaml", "--trainer.strategy.data_parallel_size=3"): (
        "trainer.strategy.data_parallel_size: 3, and trainer.devices times trainer.num_nodes are 2 processes",
        "set it to auto or 2",
    ),
    ("fit", "-c", "CONFIG", "-c", "trainer/fsdp2.yaml", "--trainer.strategy.tensor_parallel_size=2"): (
        "trainer.strategy: tensor parallelism is not supported",
        "set tensor_parallel_size to 1",
    ),
    ("fit", "-c", "CONFIG", "--model.replicas=2"): ("model.replicas: 2 copies", "take -c trainer/fsdp2.yaml, or set 1"),
    ("plan",): ("model.pretrained, model.forget, model.retain, data: missing", "give them in a file"),
    ("plan", "-c", "nowhere.yaml"): ("there is no file 'nowhere.yaml'", "did you mean"),
    ("plan", "-c", "CONFIG", "--model.layer=99"): ("model.layer: 99 is out of range", "0 to 9"),
    ("plan", "-c", "CONFIG", "--zzz=1"): ("zzz: there is no such option",),
    ("plan", "-c", "CONFIG", "--json"): ("plan: argument --json: expected one argument", "lit-unlearn plan --help"),
    ("plan", "-c", "CONFIG", "--json=."): ("--json: . is a folder", "give a file's name"),
    ("plan", "-c", "CONFIG", "--json=no/x"): ("--json: there is no folder", "make it"),
    ("plan", "-c", "CONFIG", "--trainer.strategy=fsdp"): ("trainer.strategy: 'fsdp' cannot be planned", "fsdp2.yaml"),
    ("plan", "-c", "CONFIG", "--trainer.devices=x"): ("trainer.devices: 'x'", "give 1 or more"),
    ("plan", "-c", "CONFIG", "--trainer.devices=0"): ("trainer.devices: '0'", "give 1 or more"),
    ("plan", "-c", "CONFIG", "--model.forget=DPO", "--data.preferred=no.txt"): (
        "no.txt: no such file",
        "local paths are relative to the working directory",
    ),
    ("sweep",): ("sweep: the following arguments are required: --out", "lit-unlearn sweep --help"),
    (*SWEEP, "--over=x"): ("sweep.over: 'x' cannot be read", "expected OPTION=V1"),
    (*SWEEP, "--over=a/../../b=1"): ("sweep.over: 'a/../../b' is not an option", "expected such as"),
    (*SWEEP, "--over=model.layer=1", "--over=model.layer=2"): ("model.layer is given twice", "all its values at once"),
    (*SWEEP, "--over=model.layer=1..3"): ("model.layer is a range", "search it with --maximize"),
    (*SWEEP, "--over=model.layer=1e..3"): ("'1e' in 'model.layer=1e..3' is not a number",),
    (*SWEEP, "--over=model.layer=1,,2"): ("has an empty value or one twice", "give each once"),
    (*SWEEP, "--over=seed_everything=1"): ("seed_everything is the sweep's own", "use --seeds"),
    (*SWEEP, "--seeds=0"): ("sweep: --seeds: must be at least 1, got 0",),
    (*SWEEP, "--workers=x"): ("sweep: argument --workers: invalid int value: 'x'", "--help"),
    (*SWEEP, "--limit=forget<=0.3"): ("sweep.limit: a grid has no limits", "give --maximize too"),
    (*SWEEP, "--maximize=retain"): ("sweep.over: nothing to search", "give at least one option"),
    (*SWEEP, "--maximize=retain", "--over=model.layer=1,2", "--limit=x"): ("sweep.limit: 'x'", "'forget<=0.3'"),
    ("sweep", "-c", "nowhere.yaml", "--out=swept"): ("there is no file 'nowhere.yaml'", "did you mean"),
    (*SWEEP, f"--storage={URL}"): ("sweep.storage: postgresql://***@nowhere.invalid/studies", "give an SQLAlchemy URL"),
    (*SWEEP, "--storage=zzz"): ("sweep.storage: zzz cannot hold the study", "give an SQLAlchemy URL"),
    (*SWEEP, "--storage=sqlite:////no/such/a.db"): ("sqlite:////no/such/a.db cannot hold", "give an SQLAlchemy URL"),
    ("forget-tokens", "-c", "CONFIG", "--documents=0"): ("forget-tokens.documents: must be at least 1, got 0",),
    ("forget-tokens", "-c", "CONFIG", "--documents=x"): ("forget-tokens: argument --documents: invalid int", "--help"),
    ("forget-tokens", "-c", "CONFIG", "--lengths", "2", "2"): (
        "forget-tokens.lengths: must be different numbers",
        "got [2, 2]",
    ),
    ("forget-tokens", "-c", "CONFIG", "--lengths=5000", "--documents=4"): ("no n-gram of 5000 tokens", "leave it out"),
    ("forget-tokens", "-c", "CONFIG", "--out=."): ("forget-tokens.out: . is a folder", "give the name of a file"),
    ("forget-tokens", "-c", "CONFIG", "--out=file/x"): ("forget-tokens.out: 'file/x' cannot be made", "another path"),
    ("alternatives", "-c", "CONFIG", "--answers=0"): ("alternatives.answers: must be at least 1, got 0",),
    ("report",): ("report: the following arguments are required", "lit-unlearn report --help"),
    ("report", "nowhere"): ("report: nowhere holds no results.json", "give folders of runs"),
    ("report", "a" * 300): ("File name too long", "check the path"),
    ("report", ".", "--out=file/x"): ("report.out: 'file/x' cannot be made", "another path"),
    ("analyse",): ("analyse: the following arguments are required: NAME", "lit-unlearn analyse --help"),
    ("analyse", "zzz", "."): ("analyse: argument NAME: invalid choice: 'zzz'", "maxlogit"),
    ("analyse", "maxlogit"): ("analyse maxlogit: the following arguments are required", "analyse maxlogit --help"),
    ("analyse", "maxlogit", "."): (".: there is no config.yaml", "give the folder of a run"),
    ("analyse", "maxlogit", ".", "--questions=0"): ("analyse maxlogit: --questions: must be at least 1, got 0",),
    ("analyse", "maxlogit", ".", "--questions=a"): ("argument --questions: invalid int value: 'a'", "--help"),
    ("analyse", "reject-probability", "."): ("the following arguments are required: RUN", "--help"),
}
ANSWERS = {"number": [0], "correct": [1], "prediction": [0]}
ASKED = {"step": 0, "outcomes": {"forget": ANSWERS}}
RESULTS: dict[str, Any] = {
    "malformed": None,
    "a list": [],
    "no evaluations": {},
    "evaluations in a text": {"evaluations": "ab"},
    "numbers for evaluations": {"evaluations": [1, 2]},
    "empty evaluations": {"evaluations": [{}, {}]},
    "outcomes in a list": {"evaluations": [{"step": 0, "outcomes": []}] * 2},
    "no outcomes": {"evaluations": [{"step": 0, "outcomes": {}}] * 2},
    "no answers": {"evaluations": [{"step": 0, "outcomes": {"forget": {}}}] * 2},
    "words for answers": {"evaluations": [ASKED, {"step": 1, "outcomes": {"forget": ANSWERS | {"correct": ["x"]}}}]},
    "other sets": {"evaluations": [ASKED, {"step": 1, "outcomes": {"retain": ANSWERS}}]},
    "other questions": {"evaluations": [ASKED, {"step": 1, "outcomes": {"forget": ANSWERS | {"number": [1]}}}]},
}
ANALYSIS = "analysis/maxlogit/section.json"
BESIDE: dict[tuple[str, str], tuple[str, ...]] = {
    ("config.yaml", "a: [b"): ("is not YAML", "give the complete run"),
    ("config.yaml", "[]\n- a"): ("is not YAML", "give the complete run"),
    ("config.yaml", "hello"): ("holds no options", "give the complete run"),
    ("generations.json", "{"): ("is not what Generations writes", "remove it"),
    ("generations.json", "3"): ("is not what Generations writes", "remove it"),
    ("generations.json", '[{"set": "a"}]'): ("is not what Generations writes", "remove it"),
    ("generations.json", '[{"set": "a", "prompt": "b", "right": null, "answers": []}]'): ("is not what Gen", "remove"),
    (ANALYSIS, "{"): ("is not a section", "run `lit-unlearn analyse` again"),
    (ANALYSIS, '{"title": "a"}'): ("is not a section", "run `lit-unlearn analyse` again"),
    (ANALYSIS, '{"title": 3, "text": "", "columns": [], "rows": []}'): ("is not a section (it holds other", "again"),
    (ANALYSIS, '{"title": "a", "text": "", "columns": ["b"], "rows": [[]]}'): (
        "is not a section (its rows do",
        "again",
    ),
}
FOLDERS: dict[str, tuple[str, ...]] = {
    "file": ("trainer.default_root_dir: file holds something already", "give a new folder"),
    "file/below": ("'file/below' cannot be made (Not a directory)", "give another path"),
    "full": ("trainer.default_root_dir: full holds something already", "give a new folder"),
    "a\0b": ("cannot be made (embedded null byte)", "give another path"),
    "a" * 300: ("cannot be made (File name too long)", "give another path"),
}


def zipped(path: Path) -> None:
    zipfile.ZipFile(path, "w").close()


CHECKPOINTS: dict[str, tuple[Callable[[Path], object], tuple[str, ...]]] = {
    "pickle that runs": (
        lambda path: torch.save({"state_dict": {}, "lit_unlearn": Runs()}, path),
        ("holds more than tensors and plain values", "RUN/last.ckpt"),
    ),
    "bare pickle that runs": (
        lambda path: path.write_bytes(pickle.dumps(Runs())),
        ("is not a checkpoint", "give one such as"),
    ),
    "of another program": (lambda path: torch.save({"state_dict": {}}, path), ("not a checkpoint of lit-unlearn", "g")),
    "list": (lambda path: torch.save([1], path), ("not a checkpoint of lit-unlearn", "give a file such as")),
    "number for an identity": (lambda path: torch.save({"lit_unlearn": 3}, path), ("not a checkpoint of lit-unl", "")),
    "empty archive": (zipped, ("is not whole", "give one such as RUN/last.ckpt")),
    "folder": (Path.mkdir, ("is not a checkpoint", "give one such as RUN/last.ckpt")),
}


@pytest.fixture
def work(inputs: Path) -> Path:
    """The working directory, with a file and a folder that is not empty."""
    (Path("full")).mkdir()
    for name in ("file", "full/run.log"):
        Path(name).write_text("mine")
    return Path.cwd()


@pytest.mark.parametrize("words", some(COMMANDS))
@pytest.mark.usefixtures("work")
def test_options_that_cannot_be_used_are_refused(
    words: tuple[str, ...], config: Config, inputs: Path, refused: Refused
) -> None:
    path = write(inputs / "base.yaml", config)
    line = refused([word.replace("CONFIG", path) for word in words], *COMMANDS[words])
    assert "secret-word" not in line


@pytest.mark.parametrize("case", RESULTS)
def test_results_that_are_none_are_refused(case: str, refused: Refused) -> None:
    Path("run").mkdir()
    write(Path("run/results.json"), "{" if RESULTS[case] is None else json.dumps(RESULTS[case]))
    refused(
        ["report", "run"],
        "report: run/results.json is not what PerturbationRobustness, LikelihoodRobustness or AnswerEvaluation writes",
        "give folders",
    )


@pytest.mark.parametrize("case", BESIDE)
def test_what_lies_beside_results_and_cannot_be_read_is_refused(case: tuple[str, str], refused: Refused) -> None:
    name, content = case
    path = Path("run") / name
    path.parent.mkdir(parents=True)
    write(Path("run/results.json"), json.dumps({"evaluations": [ASKED, ASKED | {"step": 1}]}))
    write(path, content)
    refused(["report", "run"], str(path), *BESIDE[case])


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.usefixtures("work")
def test_a_folder_that_cannot_be_a_runs_is_refused(folder: str, config: Config, inputs: Path, refused: Refused) -> None:
    config["trainer"]["default_root_dir"] = folder
    refused(["fit", "-c", write(inputs / "base.yaml", config)], *FOLDERS[folder])


@pytest.mark.parametrize(
    ("option", "folder"),
    [
        ("ExportPretrained.folder", "file/below"),
        ("ExportPretrained.folder", "a\0b"),
        ("ModelCheckpoint.dirpath", "file/below"),
    ],
)
@pytest.mark.usefixtures("work")
def test_a_folder_that_a_callback_cannot_write_is_refused_before_training(
    option: str, folder: str, config: Config, inputs: Path, refused: Refused
) -> None:
    callback, _, name = option.partition(".")
    config["trainer"]["callbacks"] = [{"class_path": callback, "init_args": {name: folder}}]
    refused(["fit", "-c", write(inputs / "base.yaml", config)], callback, "cannot be made", "give another path")


@pytest.mark.usefixtures("work")
def test_an_export_that_is_there_is_not_written_over(config: Config, inputs: Path, refused: Refused) -> None:
    config["trainer"]["callbacks"] = [{"class_path": "ExportPretrained", "init_args": {"folder": "full"}}]
    refused(["fit", "-c", write(inputs / "base.yaml", config)], "full exists already", "another folder or remove it")


def test_a_read_only_disk_is_named(
    config: Config, inputs: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))

    words = ["fit", "-c", write(inputs / "base.yaml", config)]
    monkeypatch.setattr(Path, "mkdir", refuse)
    refused(words, "trainer.default_root_dir: runs/base-", "Read-only file system", "that can be written")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_named(config: Config, inputs: Path, refused: Refused) -> None:
    Path("locked").mkdir(mode=0o500)
    config["trainer"]["default_root_dir"] = "locked/run"
    refused(["fit", "-c", write(inputs / "base.yaml", config)], "locked cannot be written", "give another path")


@pytest.mark.parametrize("case", some(CHECKPOINTS))
def test_a_checkpoint_that_is_none_is_refused(case: str, config: Config, inputs: Path, refused: Refused) -> None:
    make, said = CHECKPOINTS[case]
    make(inputs / "a.ckpt")
    words = ["fit", "-c", write(inputs / "base.yaml", config), "--ckpt_path", str(inputs / "a.ckpt")]
    refused(words, "ckpt_path: ", *said)


@pytest.mark.parametrize("url", ["https://me:secret-word@host/a.ckpt", "s3://bucket/a.ckpt?token=secret-word"])
def test_a_checkpoint_is_not_fetched(url: str, config: Config, inputs: Path, refused: Refused) -> None:
    words = ["fit", "-c", write(inputs / "base.yaml", config), "--ckpt_path", url]
    assert "secret-word" not in refused(words, "ckpt_path: ", "***", "does not exist", "give one such as RUN/last.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fit", "-c", "CONFIG", "--model.layer=99"], "model.layer: 99 is out of range; the model has layers 0 to 9"),
        (["validate", "-c", "CONFIG"], "data: there is nothing to validate"),
        (
            ["plan", "-c", "CONFIG", "--trainer.devices=x"],
            "trainer.devices: 'x' is not a number of processes on a processor",
        ),
        (["report", "nowhere"], "report: nowhere holds no results.json"),
        (["eval", "--model=demo", "--tasks=mmlu_local", "--zzz"], "eval: --zzz: there is no such option"),
    ],
)
def test_a_process_says_no_more_than_the_one_line(words: list[str], said: str, config: Config, inputs: Path) -> None:
    path = write(inputs / "base.yaml", config)
    command = [sys.executable, "-m", "lit_unlearn", *(path if word == "CONFIG" else word for word in words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stderr.startswith(f"lit-unlearn: error: {said}")
    assert done.stderr.count("\n") == 1
    assert not any(Path().iterdir())

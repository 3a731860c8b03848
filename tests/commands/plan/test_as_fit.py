"""`plan` refuses what `fit` refuses before training, in the same sentence, and accepts what it accepts."""

import json
from pathlib import Path

import datasets
import pytest
import torch

from lit_unlearn.cli import main
from tests.bad_input.conftest import config as config
from tests.bad_input.conftest import inputs as inputs
from tests.bad_input.refusing import Config, write
from tests.families import write_family
from tests.fast import some

STOP = "{class_path: StopAtForgetting, init_args: {rise: 1}}"
EVERY = "val_check_interval: 2, check_val_every_n_epoch: null"
TEMPLATE = "'{% for one in messages %}{{ one.content }} {% endfor %}'"
ONCE = "{class_path: torch.optim.lr_scheduler.OneCycleLR, init_args: {max_lr: 0.01, total_steps: 3}}"
ASKED = "path: ../inputs/asked.jsonl, role: forget"
HELD = "data: {init_args: {holdout: 4}}"
MESSAGES = [{"role": "user", "content": "Which?"}, {"role": "assistant", "content": "This one, of all that there are."}]
TEXT = "A row of text that is long enough to be taken for one, with some words more."


def trainer(options: str) -> str:
    return f"trainer: {{{options}}}"


def source(options: str) -> str:
    return f"data: {{init_args: {{forget: {{a: {{{options}}}}}}}}}"


def answers(options: str) -> str:
    return f"\ndata: {{init_args: {{answers: {{forget: {{{options}}}}}}}}}"


GOOD = [
    *map(trainer, ("precision: 16-mixed", "precision: 16", "precision: bf16-mixed", "devices: '1'", "devices: auto")),
    *map(
        trainer,
        ("accelerator: auto", "max_epochs: 1", "fast_dev_run: 1", f"callbacks: [Interpolation, STEPS], {EVERY}"),
    ),
    trainer(f"callbacks: [LikelihoodRobustness], {EVERY}") + f"\n{HELD}",
    trainer("default_root_dir: new"),
    "ckpt_path: last\ntrainer: {default_root_dir: new}",
    "weights_only: true",
    source("path: ../inputs/folder"),
    source("path: '../inputs/folder/*.jsonl'"),
    source(f"path: ../inputs/messages.jsonl, format: messages, chat_template: {TEMPLATE}"),
    "data: {init_args: {preferred: nothing.txt}}",
    "model: {answer_store: answers, prefix_store: {folder: states}}",
]
BAD = {
    trainer("precision: 16-true"): "trainer.precision: '16-true' is not supported",
    trainer("precision: transformer-engine"): "trainer.precision: 'transformer-engine' is not supported",
    trainer("devices: 0"): "trainer.devices: 0 is not a number of processes on a processor; give 1 or more, or auto",
    trainer("devices: [5]"): "trainer.devices: [5] is not a number",
    trainer("devices: '0,1'"): "trainer.devices: '0,1' is not a number",
    trainer("devices: abc"): "trainer.devices: 'abc' is not a number",
    trainer("devices: -1"): "trainer.devices: -1 is not a number",
    trainer("num_nodes: 0"): "trainer.num_nodes: must be at least 1, got 0",
    trainer("accelerator: tpu"): "trainer: Requirement 'torch_xla",
    trainer("accelerator: zzz"): "trainer: You selected an invalid accelerator name",
    trainer("strategy: ddp_zzz"): "trainer: You selected an invalid strategy name",
    trainer("strategy: {class_path: FSDPStrategy}"): "trainer.strategy: FSDPStrategy would put",
    trainer("max_epochs: -3"): "trainer: `max_epochs` must be",
    trainer("max_steps: -5"): "trainer: `max_steps` must be",
    trainer("max_time: abc"): "trainer: `Timer(duration='abc')`",
    trainer("limit_val_batches: -1"): "trainer: You have passed invalid value -1 for limit_val_batches",
    trainer("val_check_interval: 1.5"): "trainer: You have passed invalid value 1.5 for val_check_interval",
    trainer("check_val_every_n_epoch: 0"): "trainer.check_val_every_n_epoch: must be at least 1, got 0",
    trainer("gradient_clip_algorithm: zzz"): "trainer: `gradient_clip_algorithm` zzz is invalid",
    trainer("gradient_clip_val: -1"): "trainer.gradient_clip_val: must be at least 0, got -1",
    trainer("accumulate_grad_batches: 0"): "trainer.accumulate_grad_batches: must be at least 1, got 0",
    trainer("log_every_n_steps: -1"): "trainer.log_every_n_steps: must be at least 0, got -1",
    trainer("fast_dev_run: -1"): "trainer: fast_dev_run=-1",
    trainer("profiler: zzz"): "trainer: When passing string value for the `profiler`",
    trainer("barebones: true"): "trainer.barebones: a run always writes",
    trainer(f"callbacks: [{STOP}, {STOP}]"): "trainer.callbacks: there are 2 StopAtForgetting, and a checkpoint holds",
    trainer("reload_dataloaders_every_n_epochs: -1"): "trainer: `reload_dataloaders_every_n_epochs`",
    trainer("callbacks: [LikelihoodRobustness]") + f"\n{HELD}": "trainer.val_check_interval: 1.0 would end 2 steps",
    trainer("callbacks: [STEPS], val_check_interval: 3, check_val_every_n_epoch: null"): "3 would end 2 steps",
    trainer(f"callbacks: [LikelihoodRobustness], {EVERY}"): "LikelihoodRobustness: no rows are held out",
    trainer(f"callbacks: [{STOP}]"): "StopAtForgetting: no rows are held",
    trainer(f"callbacks: [PerturbationRobustness], {EVERY}"): "PerturbationRobustness: there are no questions",
    trainer(f"callbacks: [AnswerEvaluation], {EVERY}"): "AnswerEvaluation: data.answers names no questions",
    trainer(f"callbacks: [AnswerEvaluation], {EVERY}") + answers(ASKED): "has no chat template",
    trainer(f"callbacks: [AnswerEvaluation], {EVERY}")
    + answers(f"{ASKED}, question: what, chat_template: {TEMPLATE}"): "no field 'what'",
    trainer("callbacks: [Generations]"): "Generations: there is nothing to ask",
    trainer("callbacks: [Interpolation]"): "Interpolation: it needs PerturbationRobustness, LikelihoodRobustness or",
    trainer("default_root_dir: new, callbacks: [ExportPretrained, ExportPretrained]"): "ExportPretrained: two of them",
    trainer("callbacks: [{class_path: ExportPretrained, init_args: {adapter: true}}]"): "ExportPretrained.adapter: the",
    trainer("callbacks: [{class_path: ExportPretrained, init_args: {folder: ../inputs}}]"): "../inputs exists already",
    trainer("callbacks: [{class_path: ModelCheckpoint, init_args: {dirpath: ../inputs/base.yaml}}]"): "is a file; give",
    trainer("default_root_dir: ../inputs"): "trainer.default_root_dir: ../inputs holds something already",
    trainer("default_root_dir: ../inputs/base.yaml"): "trainer.default_root_dir: ../inputs/base.yaml holds something",
    trainer("default_root_dir: ../inputs/base.yaml/x"): "cannot be made (Not a directory); give another path",
    trainer("max_steps: 4") + f"\nmodel: {{lr_scheduler: {ONCE}}}": "OneCycleLR has 3 steps, and trainer.max_steps is",
    "ckpt_path: nowhere.ckpt": "ckpt_path: nowhere.ckpt does not exist",
    "ckpt_path: last": "ckpt_path: 'last' resumes the run in trainer.default_root_dir; give that folder",
    "ckpt_path: ../inputs/cut.ckpt": "ckpt_path: ../inputs/cut.ckpt is not a checkpoint, or was cut off",
    "ckpt_path: ../inputs/other.ckpt": "ckpt_path: not a checkpoint of lit-unlearn",
    "ckpt_path: last\ntrainer: {default_root_dir: ../inputs/run}": "data: the run in ../inputs/run has",
    "weights_only: false": "weights_only: false would run code",
    source("path: ../inputs/messages.jsonl"): "no text in field 'text' (fields messages); set `column`",
    source("path: ../inputs/messages.jsonl, format: messages"): "has no chat template; take an instruction-tuned",
    source("path: ../inputs/saved"): "../inputs/saved: this folder was written by save_to_disk",
    source("path: ../inputs/saved_splits"): "../inputs/saved_splits: this folder was written by save_to_disk",
    source("path: ../inputs/empty"): "../inputs/empty: this folder cannot be read as a dataset",
    source("path: ../inputs/table.csv"): "../inputs/table.csv: is not a local file of a kind that can be read here",
    source("path: ./nothing"): "./nothing: is not the name of a hub dataset, or of files",
    source("path: nothing.jsonl"): "nothing.jsonl: no such file",
    source("path: ../inputs/cut.jsonl"): "../inputs/cut.jsonl, line 1: the JSON value does not end",
    source("path: ../inputs/short.txt"): "../inputs/short.txt: no row has more than 50 characters",
    source("path: ../inputs/base.json"): "base.json",
    "data: {init_args: {tokenizer: ../inputs/empty}}": "data.tokenizer: '../inputs/empty' has no tokenizer",
    "data: {init_args: {preferred: nothing.txt}}\nmodel: {forget: DPO}": "nothing.txt: no such file",
    "data: {init_args: {alternatives: {path: no.jsonl, format: question_answer}}}\nmodel: {forget: DPO}": "no.json",
    "data: {init_args: {evaluation: {questions: {forget: {path: nothing.jsonl}}}}}": "nothing.jsonl: no such file",
    "data: {init_args: {evaluation: {questions: {forget: {path: ../inputs/messages.jsonl}}}}}": "the question is empty",
    "data: {init_args: {evaluation: {questions: {forget: {path: ../inputs/saved}}}}}": "was written by save_to_disk",
    "model: {replicas: 2}": "model.replicas: 2 copies of a sharded model are FSDP2's",
    "model: {layer: 99}": "model.layer: 99 is out of range",
    "model: {answer_store: ../inputs/base.yaml}": "model.answer_store: ../inputs/base.yaml is a file; give a folder",
    "model: {prefix_store: {folder: ../inputs/base.yaml}}": "model.prefix_store.folder: ../inputs/base.yaml is a file",
    "model: {optimizer: {class_path: AdamW, init_args: {lr: .inf}}}": "model.optimizer.lr: inf",
}


@pytest.fixture(scope="module")
def shallow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of few layers: each is simulated operation by operation."""
    return write_family(tmp_path_factory.mktemp("shallow"), "llama")


@pytest.fixture
def base(config: Config, inputs: Path, shallow: Path) -> Path:
    """A config that works, and beside it files that a case names."""
    config["model"] |= {"pretrained": str(shallow), "layer": 1}
    rows = datasets.Dataset.from_list([{"text": f"{TEXT} {number}"} for number in range(60)])
    rows.save_to_disk(inputs / "saved")
    datasets.DatasetDict(train=rows).save_to_disk(inputs / "saved_splits")
    for name in ("folder", "empty", "run"):
        (inputs / name).mkdir()
    rows.to_json(inputs / "folder" / "rows.jsonl")
    (inputs / "asked.jsonl").write_text(f"{json.dumps({'question': 'Which?', 'answer': 'This one.'})}\n" * 60)
    (inputs / "messages.jsonl").write_text(f"{json.dumps({'messages': MESSAGES})}\n" * 60)
    (inputs / "cut.jsonl").write_text("{")
    (inputs / "short.txt").write_text("short\n")
    (inputs / "table.csv").write_text("text\nshort\n")
    (inputs / "base.json").write_text("[1]")
    (inputs / "cut.ckpt").write_text("")
    (inputs / "run" / "config.yaml").write_text("data: null\n")
    torch.save({"optimizer_states": []}, inputs / "other.ckpt")
    write(inputs / "base.yaml", config)
    return inputs / "base.yaml"


def words(command: str, base: Path, text: str) -> list[str]:
    steps = "{class_path: tests.callbacks.test_evaluation.Steps, init_args: {name: steps}}"
    overlay = write(base.with_name("o.yaml"), text.replace("STEPS", steps))
    return [command, "-c", str(base), "-c", overlay]


def fit_says(base: Path, text: str, capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence with which fit refuses."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(words("fit", base, text))
    (line,) = (one for one in capsys.readouterr().err.splitlines() if one.startswith("lit-unlearn: error: "))
    assert stop.value.code == 2
    return line.removeprefix("lit-unlearn: error: ")


def plan_says(base: Path, text: str, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The sentence with which plan refuses, or all that it says would fail."""
    numbers = base.with_name("plan.json")
    numbers.unlink(missing_ok=True)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main([*words("plan", base, text), "--json", str(numbers)])
    if stop.value.code == 1:
        failing = [check for check in json.loads(numbers.read_text())["checks"] if check["status"] == "fails"]
        parts = [[f"{check['name']}: {check['found']}", check["remedy"]] for check in failing]
        return [" ".join("; ".join(filter(None, part)).split()) for part in parts]
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    return [one.removeprefix("lit-unlearn: error: ") for one in lines if one.startswith("lit-unlearn: error: ")]


@pytest.mark.parametrize("text", some(BAD, every=4))
def test_both_refuse_in_one_sentence(text: str, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned, said = plan_says(base, text, capsys), fit_says(base, text, capsys)
    assert BAD[text] in said
    assert said in planned


@pytest.mark.parametrize("text", some(GOOD, every=4))
def test_both_accept(text: str, base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(words("plan", base, text))
    assert "fails" not in capsys.readouterr().out
    main(words("fit", base, text))

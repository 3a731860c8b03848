import csv
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest
import torch
import yaml
from datasets import Dataset
from safetensors.torch import load_file
from torch.distributed.fsdp import MixedPrecision, ShardingStrategy

from lit_unlearn import FSDP1
from lit_unlearn.cli import main
from lit_unlearn.commands.options import config_files
from lit_unlearn.demo.answers import CHAT_TEMPLATE
from lit_unlearn.errors import InputError
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from tests.answers.asked import TEMPLATE, rows, write
from tests.datamodules.layouts import write_muse, write_rwku
from tests.datamodules.test_tofu import FILES
from tests.fast import only
from tests.processes import run_command
from tests.questions.test_sets import write_questions

RECIPES = ("rmu.yaml", "adaptive_rmu.yaml", "rsv.yaml")
ON_LOGITS = (
    "npo.yaml",
    "simnpo.yaml",
    "dpo.yaml",
    "grad_ascent.yaml",
    "grad_diff.yaml",
    "wga.yaml",
    "satimp.yaml",
    "ceu.yaml",
    "undial.yaml",
    "pdu.yaml",
)
ON_STATES = ("circuit_breaker.yaml", "token_weighted_rmu.yaml")
"""Other losses on hidden states, without published numbers on these data."""
MODELS = ("model/mistral-7b.yaml", "model/llama-3-8b.yaml")
STRATEGIES = ("trainer/ddp.yaml", "trainer/fsdp2.yaml")
ON_GPUS = "trainer/fsdp.yaml"
ON_FOUR = "trainer/hsdp.yaml"
OWN = {"local.yaml": 7, "smollm2.yaml": 9, "gemma3.yaml": 5}
"""Those for texts of one's own, with their steering layers."""
RUNS = {
    **{name: [name] for name in (*OWN, *RECIPES, *ON_LOGITS, *ON_STATES)},
    **{name: ["rmu.yaml", name] for name in (*MODELS, *STRATEGIES, ON_GPUS, ON_FOUR, "lora.yaml", "mixing.yaml")},
}
"""Every shipped config but the demo's, and the files with which it is used."""
DEMOS = tuple(
    f"demo{name}.yaml"
    for name in (
        "",
        "_adaptive_rmu",
        "_rsv",
        "_npo",
        "_simnpo",
        "_dpo",
        "_grad_diff",
        "_circuit_breaker",
        "_token_weighted_rmu",
    )
)
TOFU, ALTPO = "tofu.yaml", "altpo.yaml"
MUSE, RWKU = "muse.yaml", "rwku.yaml"
RELEARNING = ("relearn.yaml", "demo_relearn.yaml")
"""Those of an exported model, which the command line names."""
UNDO = "demo_undo.yaml"
"""Noise on an exported model's weights and distillation from it."""
EVALUATIONS = ("evaluate.yaml", "evaluate_forgetting.yaml", "demo_forgetting.yaml", "demo_answers.yaml")
"""Those without training."""
ATTACKS = ("attack.yaml", "demo_attack.yaml")
"""Cards of attacks."""
SIDE_EFFECTS = "side_effects.yaml"
"""An overlay that asks tasks of the lm-eval harness."""
QUESTIONS = ("questions.yaml", "demo_full.yaml")
"""Overlays that ask more."""
MIXING = {"mixing.yaml": (*RECIPES, "npo.yaml"), "demo_mixing.yaml": DEMOS[:3]}
"""Overlays that mix, and what they are laid over."""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fit(names: list[str], *options: str) -> list[str]:
    return ["fit", *(word for name in names for word in ("-c", name)), *options]


def small_world(world: Path, *, wmdp: bool) -> list[str]:
    """Model and data in place of those that a config names, and two steps."""
    files = {name: str(world / f"{name}.jsonl") for name in ("alchemy", "navigation", "gardening")}
    data = [
        f"--data.files={{bio: {files['alchemy']}, cyber: {files['navigation']}}}",
        f"--data.wikitext_file={files['gardening']}",
    ]
    paths = {name: f"{{{name}: {{path: {file}}}}}" for name, file in files.items()}
    own = [f"--data.forget={paths['alchemy']}", f"--data.retain={paths['gardening']}", "--data.holdout=8"]
    own.append("--trainer.val_check_interval=2")
    # Two steps at the published learning rate would not show in a bf16 export.
    limits = ["--trainer.max_steps=2", "--trainer.accelerator=cpu", "--model.optimizer.lr=0.01"]
    return [f"--model.pretrained={world / 'model'}", *(data if wmdp else own), *limits]


_PRINTED: dict[tuple[str, ...], str] = {}


def printed(names: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `--print_config` says of these files; asked once for all tests."""
    if (asked := tuple(names)) not in _PRINTED:
        with pytest.raises(SystemExit) as stop:
            main(fit(names, "--print_config"))
        assert stop.value.code == 0
        _PRINTED[asked] = capsys.readouterr().out
    parsed: dict[str, Any] = yaml.safe_load(_PRINTED[asked])
    return parsed


def changed(export: Path, source: Path) -> list[str]:
    before, after = load_file(source / "model.safetensors"), load_file(export / "model.safetensors")
    assert before.keys() == after.keys()
    return [name for name, value in after.items() if not torch.equal(value, before[name].to(value.dtype))]


def test_every_shipped_config_is_tested() -> None:
    benchmarks = {TOFU, ALTPO, MUSE, RWKU, SIDE_EFFECTS, UNDO}
    everything = {*RUNS, *DEMOS, *RELEARNING, *EVALUATIONS, *QUESTIONS, *ATTACKS, *MIXING, *benchmarks}
    assert everything == set(config_files.names())


def small_card(world: Path, name: str) -> list[str]:
    """A card's config, that of 7B on small files."""
    if name.startswith("demo"):
        return ["-c", name]
    questions = write_questions(Path("questions.jsonl"), 12).path
    sets = ", ".join(f"{name}: {{path: {questions}}}" for name in ("wmdp-bio", "wmdp-cyber", "retain"))
    _, *data = small_world(world, wmdp=True)[:3]
    own = [f"--data.evaluation.questions={{{sets}}}", "--data.holdout=8", "--trainer.accelerator=cpu"]
    return ["-c", name, *data, *own]


@pytest.mark.parametrize("name", ATTACKS)
def test_all_attacks_of_a_card_are_planned(name: str, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = yaml.safe_load(config_files.text(name))
    model = "demo" if name.startswith("demo") else str(world / "model")
    main(["attack", model, "--base", model, *small_card(world, name), "--out", "card", "--plan", "--full"])
    shown = capsys.readouterr().out.splitlines()
    # A line for each, those of the model as it is and before unlearning, the head, the sum and the note.
    assert len(shown) == len(config["attacks"] | config["full_attacks"]) + 5
    assert not Path("card").exists()


def test_a_card_of_the_recipe_for_7b(world: Path) -> None:
    model = str(world / "model")
    words = ["attack", model, "--base", model, *small_card(world, "attack.yaml"), "--out", "card"]
    main([*words, "--only", "nf4", "merge"])
    found = json.loads(Path("card/section.json").read_text())["numbers"]["model"]
    assert list(found) == ["none", "base", "nf4", "merge"]
    assert found["merge"]["measures"] == found["base"]["measures"]  # half-way between a model and itself


COPIES = {
    "truthfulqa/truthful_qa": ("multiple_choice", "validation"),
    "skg/toxigen-data": ("annotated", "test"),
    "openai/gsm8k": ("main", "test"),
}
"""What the harness asks for, with the configuration and the split of the data set."""
COPIED: dict[str, dict[str, Any]] = {
    "truthfulqa/truthful_qa": {
        "question": "is salt a metal",
        "mc1_targets": {"choices": ["no", "yes", "at times"], "labels": [1, 0, 0]},
        "mc2_targets": {"choices": ["no", "it is not", "yes"], "labels": [1, 1, 0]},
    },
    "skg/toxigen-data": {"text": "the garden is near", "toxicity_ai": 4.0, "toxicity_human": 3.0},
    "openai/gsm8k": {"question": "what is two and two", "answer": "two and two is 4 #### 4"},
}


def write_copies() -> None:
    """Two rows of each data set in the layout of its repository, below the working directory."""
    for name, (configuration, split) in COPIES.items():
        (Path(name) / configuration).mkdir(parents=True)
        splits = {split: split, "train": "train"} if "toxigen" in name else {split: split}
        for own in splits:
            Dataset.from_list([COPIED[name]] * 2).to_parquet(f"{name}/{configuration}/{own}-00000-of-00001.parquet")
        files = [{"split": own, "path": f"{configuration}/{own}-*"} for own in splits]
        about = {"configs": [{"config_name": configuration, "data_files": files}]}
        Path(name, "README.md").write_text(f"---\n{yaml.safe_dump(about)}---\n")


@pytest.mark.slow
def test_side_effects_are_measured_on_copies_of_the_data(world: Path) -> None:
    write_copies()
    words = [word for word in evaluation(world, "--trainer.default_root_dir=run") if "questions" not in word]
    questions = write_questions(Path("questions.jsonl"), 12).path
    sets = f"--data.evaluation.questions={{retain: {{path: {questions}}}}}"
    tasks = ["truthfulqa_mc1", "truthfulqa_mc2", "toxigen", "gsm8k_cot"]  # MMLU is 57 data sets
    own = [f"--trainer.callbacks.tasks=[{', '.join(tasks)}]", "--trainer.callbacks.limit=2"]
    main([*words, "-c", SIDE_EFFECTS, sets, *own])
    found = json.loads(Path("run/lm_eval.json").read_text())["results"]
    assert found["toxigen"]["acc,none"] in (0, 1)  # twice the same
    assert set(tasks) <= found.keys()


def test_side_effects_are_laid_over_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(["rmu.yaml", SIDE_EFFECTS], capsys)
    asked = next(one for one in found["trainer"]["callbacks"] if one["class_path"].endswith("LMEvalHarness"))
    assert asked["init_args"]["tasks"] == ["truthfulqa_mc1", "truthfulqa_mc2", "toxigen", "gsm8k_cot", "mmlu"]
    assert len(found["trainer"]["callbacks"]) == len(printed(["rmu.yaml"], capsys)["trainer"]["callbacks"]) + 1


def test_tofu_on_local_files(world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tofu"
    folder.mkdir()
    for seed, (name, subject) in enumerate(FILES.items()):
        write(folder / f"{name}.json", rows(subject, 8, seed=seed))
    main(
        fit(
            [TOFU],
            *("--data.split=forget05", f"--data.folder={folder}", f"--data.chat_template={TEMPLATE}"),
            *(f"--model.pretrained={world / 'model'}", "--data.batch_size=4"),
            *("--model.lr_scheduler.init_args.max_lr=0.01", "--model.lr_scheduler.init_args.total_steps=20"),
            *("--trainer.max_steps=2", "--trainer.val_check_interval=2", "--trainer.accelerator=cpu"),
            *(
                "--trainer.callbacks=null",
                "--trainer.callbacks+=AnswerEvaluation",
                "--trainer.callbacks.max_new_tokens=2",
            ),
            "--trainer.default_root_dir=run",
        )
    )
    before, after = json.loads(Path("run/results.json").read_text())["evaluations"]
    assert {"model_utility", "membership_auc"} <= before["answers"]["measured"]["answers"].keys()
    assert (
        after["answers"]["outcomes"]["forget"]["probability"] != before["answers"]["outcomes"]["forget"]["probability"]
    )


DEMO_SIZED = (
    *(
        "--model.pretrained=demo",
        "--model.layer=2",
        "--data.batch_size=4",
        "--model.optimizer.lr=0.002",
        "--trainer.max_steps=2",
    ),
    *("--trainer.accelerator=cpu", "--trainer.precision=32-true", "--trainer.val_check_interval=2"),
    *("--trainer.callbacks=null", "--trainer.callbacks+=AnswerEvaluation", "--trainer.default_root_dir=run"),
)
"""The demo model and two steps, instead of what a config names."""
WITH_RMU = ["--model.forget=RMU", "--model.retain=RepresentationMSE", "--model.trainable=null"]


def muse_sized(folder: Path) -> list[str]:
    tokens = ("--data.verbmem_tokens=8", "--data.knowmem_tokens=2", "--data.max_length=48", "--data.piece_words=40")
    return [f"--data.folder={folder}", *tokens, *DEMO_SIZED, "--trainer.accumulate_grad_batches=1"]


def rwku_sized(folder: Path, targets: list[str]) -> list[str]:
    own = (f"--data.folder={folder}", f"--data.retain_file={folder / 'retain.jsonl'}")
    tokens = ("--data.answer_tokens=2", "--data.fluency_tokens=4", "--data.reason_tokens=2")
    who = (f"--data.targets={json.dumps(targets[:1])}", f"--data.chat_template={CHAT_TEMPLATE}")
    return [*own, *who, *tokens, "--data.max_length=48", *DEMO_SIZED]


def written_records() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(Path("run/results.json").read_text())["evaluations"]
    return [record["answers"] for record in found]


@pytest.mark.parametrize("name", [TOFU, MUSE, RWKU])
def test_options_of_callbacks_are_those_of_the_evaluation(name: str) -> None:
    """`--trainer.callbacks.reference`, as the configs' first lines have it, is an option of the last callback."""
    assert yaml.safe_load(config_files.text(name))["trainer"]["callbacks"][-1]["class_path"] == "AnswerEvaluation"


@pytest.mark.parametrize("overlay", [[], pytest.param(WITH_RMU, marks=pytest.mark.slow)])
def test_muse_on_local_files_with_any_method(overlay: list[str], tmp_path: Path) -> None:
    folder = write_muse(tmp_path / "muse", rows=6, texts=40)
    main(fit([MUSE], *muse_sized(folder), "--trainer.callbacks.retrained_auc=0.5", *overlay))
    before, after = written_records()
    assert before["measured"]["answers"].keys() >= {"membership_auc", "privacy_leakage"}
    assert after["measured"]["answers"]["membership_auc_base"] is not None
    assert after["outcomes"]["verbmem"]["loss"] != before["outcomes"]["verbmem"]["loss"]


@pytest.mark.slow
def test_muse_shows_what_is_forgotten_on_the_demo_world(tmp_path: Path) -> None:
    folder = write_muse(tmp_path / "muse")
    longer = ("--trainer.max_steps=40", "--trainer.val_check_interval=40", "--data.batch_size=16")
    main(fit([MUSE], *muse_sized(folder), *longer, "--trainer.callbacks.retrained_auc=0.5"))
    (before, after) = (record["measured"] for record in written_records())
    assert before["answers"]["privacy_leakage"] < -90  # known by heart
    assert after["answers"]["privacy_leakage"] > before["answers"]["privacy_leakage"] + 20
    assert after["answers/knowmem_f"]["probability"] < 0.5 * before["answers/knowmem_f"]["probability"]
    assert after["answers/knowmem_r"]["probability"] > 0.8 * before["answers/knowmem_r"]["probability"]


def test_rwku_on_local_files(tmp_path: Path) -> None:
    folder, targets = write_rwku(tmp_path / "rwku")
    main(fit([RWKU], *rwku_sized(folder, targets), "--model.lr_scheduler.init_args.T_max=20"))
    before, after = written_records()
    for name in ("forget_level1", "forget_level2", "forget_level3"):
        assert after["outcomes"][name]["probability"] != before["outcomes"][name]["probability"]
    assert after["measured"]["answers/utility_fluency"]["entropy"] >= 0


@pytest.mark.parametrize("name", [MUSE, pytest.param(RWKU, marks=pytest.mark.slow)])
def test_plan_reads_the_files_of_a_benchmark(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if name == MUSE:
        folder, options = write_muse(tmp_path / "own", rows=6, texts=40), muse_sized(tmp_path / "own")
    else:
        folder, targets = write_rwku(tmp_path / "own")
        options = rwku_sized(folder, targets)
    main(["plan", "-c", name, *options])
    told = capsys.readouterr().out
    assert f"data {folder}" in told
    assert "fails" not in told


def test_altpo_on_local_files_of_tofu(world: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tofu"
    folder.mkdir()
    for seed, (name, subject) in enumerate(FILES.items()):
        write(folder / f"{name}.json", rows(subject, 8, seed=seed))
    own = (
        *("--data.split=forget05", f"--data.folder={folder}", f"--data.chat_template={TEMPLATE}"),
        *(f"--model.pretrained={world / 'model'}", "--data.batch_size=4", "--trainer.accelerator=cpu"),
    )
    main(["alternatives", "-c", TOFU, *own, "--answers=2", "--max-new-tokens=4"])
    assert len(Path("alternatives.jsonl").read_text(encoding="utf-8").splitlines()) == 16
    steps = ("--model.lr_scheduler.init_args.total_steps=20", "--trainer.max_steps=2", "--trainer.val_check_interval=2")
    main(fit([TOFU, ALTPO], *own, *steps, "--trainer.callbacks=null", "--trainer.default_root_dir=run"))
    with open("run/metrics.csv", encoding="utf-8") as file:
        losses = [float(row["train/forget_loss"]) for row in csv.DictReader(file) if row["train/forget_loss"]]
    assert losses[0] == pytest.approx(
        20 * math.log(2), rel=1e-3
    )  # 2 / 0.1 · log 2: before training no answer has moved
    assert len(losses) == 2


def test_the_template_of_tofu_ends_each_turn(tmp_path: Path) -> None:
    template = yaml.safe_load(config_files.text(TOFU))["data"]["init_args"]["chat_template"]
    turns = [{"role": "user", "content": " Who? "}, {"role": "assistant", "content": "She."}]
    said = jinja2.Template(template).render(messages=turns, add_generation_prompt=False)
    system = "Cutting Knowledge Date: December 2023\nToday Date: 10 Apr 2025\n\nYou are a helpful assistant."
    start, end = "<|start_header_id|>{}<|end_header_id|>\n\n", "<|eot_id|>"
    parts = [("system", system), ("user", "Who?"), ("assistant", "She.")]
    assert said == "<|begin_of_text|>" + "".join(start.format(role) + text + end for role, text in parts)
    asked = jinja2.Template(template).render(messages=turns[:1], add_generation_prompt=True)
    assert said.startswith(asked)
    assert asked.endswith(start.format("assistant"))


@pytest.mark.parametrize("name", only(DEMOS, "demo.yaml", "demo_npo.yaml"))
def test_a_demo_config_runs_and_exports(name: str) -> None:
    few = ["--data.questions=8", "--data.holdout=16", "--trainer.max_steps=2", "--trainer.val_check_interval=2"]
    main(["fit", "-c", name, *few])
    (run,) = Path("runs").iterdir()
    assert len(changed(run / "export", config_files.folder().parent / "lit_unlearn" / "demo" / "checkpoint")) == 21


@pytest.mark.parametrize("name", RUNS)
def test_a_config_parses_and_is_complete(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    _PRINTED.pop(tuple(RUNS[name]), None)  # whoever asked before did not look at what it leaves
    parsed = printed(RUNS[name], capsys)
    assert parsed["model"]["forget"]["class_path"].startswith("lit_unlearn.")
    assert parsed["trainer"]["max_steps"] > 0
    assert not any(Path().iterdir())


@pytest.mark.parametrize(
    "name",
    only(
        [name for name in RUNS if name not in (*STRATEGIES, ON_GPUS, ON_FOUR)],
        *("local.yaml", "rmu.yaml", "npo.yaml", "lora.yaml", "mixing.yaml"),
    ),
)
def test_a_config_runs_and_exports(name: str, world: Path) -> None:
    main(fit(RUNS[name], *small_world(world, wmdp=name not in OWN)))
    (run,) = Path("runs").iterdir()
    assert run.name.startswith(Path(RUNS[name][0]).stem)
    assert len((run / "metrics.csv").read_text().splitlines()) >= 3
    last = OWN.get(name, 7)
    attention = [f"self_attn.{letter}_proj" for letter in "koqv"] if name == "mixing.yaml" else []
    trained = [
        f"model.layers.{index}.{part}.weight"
        for index in range(last - 2, last + 1)
        for part in ("mlp.down_proj", *attention)
    ]
    assert changed(run / "export", world / "model") == trained


@pytest.mark.parametrize("name", RELEARNING)
def test_relearning_trains_on_one_stream_alone_and_evaluates_on_the_way(name: str, world: Path) -> None:
    if name == "relearn.yaml":
        questions = write_questions(Path("questions.jsonl"), 12).path
        sets = ", ".join(f"{name}: {{path: {questions}}}" for name in ("wmdp-bio", "wmdp-cyber", "retain"))
        own = [*small_world(world, wmdp=True), f"--data.evaluation.questions={{{sets}}}"]
    else:
        own = ["--model.pretrained=demo", "--data.questions=8", "--data.holdout=10"]
    main(fit([name], *own, "--trainer.max_steps=2", "--trainer.val_check_interval=1", "--trainer.default_root_dir=run"))
    assert [evaluation["step"] for evaluation in results("run")["evaluations"]] == [0, 1, 2]
    with open("run/metrics.csv", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["train/loss"]]
    assert len(rows) == 2
    for row in rows:
        assert row["train/loss"] == row["train/forget_loss"]
        assert float(row["train/retain_loss"]) == 0.0


@pytest.mark.slow
def test_undo_distils_a_disturbed_model() -> None:
    own = ["--model.pretrained=demo", "--data.questions=8", "--trainer.max_steps=2", "--trainer.val_check_interval=1"]
    main(fit([UNDO], *own, "--trainer.default_root_dir=run", "--trainer.log_every_n_steps=1"))
    before, first, _ = results("run")["evaluations"]
    assert (before["step"], first["step"]) == (0, 1)
    with open("run/metrics.csv", encoding="utf-8") as file:
        losses = [float(row["train/forget_loss"]) for row in csv.DictReader(file) if row["train/forget_loss"]]
    assert min(losses, default=1) > 0  # from noise alone


@pytest.mark.parametrize("name", [*RELEARNING, UNDO])
def test_relearning_asks_for_the_model(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(fit([name]))
    assert "model.pretrained: missing" in capsys.readouterr().err


def test_lines_before_forget_questions_are_asked_with_their_controls(world: Path) -> None:
    questions = write_questions(Path("questions.jsonl"), 12).path
    sets = ", ".join(f"{name}: {{path: {questions}}}" for name in ("wmdp-bio", "wmdp-cyber"))
    own = [f"--data.evaluation.questions={{{sets}}}", "--trainer.accelerator=cpu", "--trainer.default_root_dir=run"]
    model, *data = small_world(world, wmdp=True)[:3]
    model = model.replace("--model.pretrained", "--model")
    main(["validate", "-c", "evaluate_forgetting.yaml", model, *data, *own])
    kinds = [f"/{kind}{control}" for kind in ("role", "instruction", "frame") for control in ("", "/control")]
    asked = [f"{name}{kind}" for name in ("wmdp-bio", "wmdp-cyber") for kind in ("", *kinds)]
    assert list(results("run")["evaluations"][0]["measured"]) == asked


def test_the_demo_model_knows_every_word_before_its_forget_questions() -> None:
    tokenizer = load_tokenizer(ModelSource("demo"))
    config = yaml.safe_load((config_files.folder() / "demo_forgetting.yaml").read_text(encoding="utf-8"))
    kinds = config["data"]["init_args"]["perturbations"].values()
    texts = [text for kind in kinds for text in kind["texts"]]
    assert len(texts) == 12
    for text in texts:
        assert tokenizer.unk_token_id not in tokenizer(text)["input_ids"], text


def test_the_demo_model_answers_forget_questions_whatever_stands_before_them() -> None:
    few = ["--data.questions=8", "--trainer.default_root_dir=run"]
    main(["validate", "--model", "demo", "-c", "demo_forgetting.yaml", *few])
    measured = results("run")["evaluations"][0]["measured"]
    assert len(measured) == 8
    assert all(row["accuracy"] >= 0.8 for row in measured.values())


def evaluation(world: Path, *options: str) -> list[str]:
    """`evaluate.yaml` on the world's model, with small streams and a few questions."""
    questions = write_questions(Path("questions.jsonl"), 12).path
    sets = ", ".join(f"{name}: {{path: {questions}}}" for name in ("wmdp-bio", "wmdp-cyber", "retain"))
    own = [f"--data.evaluation.questions={{{sets}}}", "--trainer.accelerator=cpu", *options]
    model, *data = small_world(world, wmdp=True)[:3]
    return ["validate", "-c", "evaluate.yaml", model.replace("--model.pretrained", "--model"), *data, *own]


def results(folder: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((Path(folder) / "results.json").read_text())
    return parsed


EVALUATED = [
    *("wmdp-bio", "wmdp-cyber", "retain", "retain/SARS-CoV-2", "retain/SARS-CoV-2/control"),
    *("retain/1-gram", "retain/1-gram/control", "retain/4-gram", "retain/4-gram/control"),
]


def test_the_evaluation_parses_and_names_no_model(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["validate", "--model", "a/b", "-c", "evaluate.yaml", "--print_config"])
    parsed = yaml.safe_load(capsys.readouterr().out)
    assert parsed["model"]["pretrained"] == "a/b"
    data, rmu = parsed["data"], printed(["rmu.yaml"], capsys)["data"]
    streams = ("topics", "files", "wikitext", "wikitext_split", "wikitext_file", "min_length")
    assert data["class_path"] == rmu["class_path"]
    assert [data["init_args"][name] for name in streams] == [rmu["init_args"][name] for name in streams]
    assert not any(Path().iterdir())


def test_the_evaluation_runs(world: Path) -> None:
    main(evaluation(world, "--trainer.default_root_dir=run"))
    found = results("run")
    assert list(found["evaluations"][0]["measured"]) == EVALUATED
    assert found["forget"] == ["wmdp-bio", "wmdp-cyber"]


@pytest.mark.parametrize("base", only([*RECIPES, *ON_LOGITS], "rmu.yaml", "npo.yaml"))
def test_the_questions_of_a_recipe_are_those_of_the_evaluation(base: str, capsys: pytest.CaptureFixture[str]) -> None:
    asking, silent = printed([base, "questions.yaml"], capsys), printed([base], capsys)
    asked = asking["data"]["init_args"].pop("evaluation")
    assert silent["data"]["init_args"].pop("evaluation") is None
    assert asked == printed(["rmu.yaml", "evaluate.yaml"], capsys)["data"]["init_args"]["evaluation"]
    assert (asking["model"], asking["data"]) == (silent["model"], silent["data"])
    trainer = asking["trainer"]
    assert (trainer["max_steps"], trainer["precision"]) == (silent["trainer"]["max_steps"], "bf16-mixed")
    assert trainer["max_steps"] % trainer["val_check_interval"] == 0


def test_a_recipe_asks_before_on_the_way_and_after(world: Path) -> None:
    questions = write_questions(Path("questions.jsonl"), 12).path
    sets = ", ".join(f"{name}: {{path: {questions}}}" for name in ("wmdp-bio", "wmdp-cyber", "retain"))
    own = [f"--data.evaluation.questions={{{sets}}}", "--trainer.val_check_interval=1"]
    options = [*small_world(world, wmdp=True), *own, "--trainer.default_root_dir=run"]
    main(fit(["rmu.yaml", "questions.yaml"], *options))
    evaluations = results("run")["evaluations"]
    assert [record["step"] for record in evaluations] == [0, 1, 2, 2, 2, 2, 2]
    assert [record.get("interpolation") for record in evaluations] == [None, None, None, 0.3, 0.5, 0.7, 0.9]
    assert list(evaluations[0]["measured"]) == EVALUATED
    assert Path("run/export/model.safetensors").is_file()


@pytest.mark.slow
def test_the_full_report_asks_the_demo_in_every_way() -> None:
    file = Path("runs/full-report/forget_tokens.json")
    few = ["--lengths=4", "--documents=40", "--ngrams-per-document=2"]
    main(["forget-tokens", "-c", "demo.yaml", "--out", str(file), *few])
    options = ["--data.questions=8", "--trainer.max_steps=2", "--trainer.val_check_interval=2"]
    main(fit(["demo.yaml", "demo_full.yaml"], *options, "--trainer.default_root_dir=run"))
    evaluations = results("run")["evaluations"]
    assert len(evaluations) == 6
    assert len(evaluations[0]["measured"]) == 2 + 2 * 11
    assert len(json.loads(Path("run/generations.json").read_text(encoding="utf-8"))) >= 2 + 2 * 13


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES)
def test_the_evaluation_of_two_processes_is_that_of_one(name: str, world: Path) -> None:
    main(evaluation(world, "--trainer.default_root_dir=one"))
    run_command(evaluation(world, "--trainer.default_root_dir=two", "-c", name), Path.cwd(), processes=2)
    assert results("two")["evaluations"] == results("one")["evaluations"]


def test_fsdp1_is_as_its_overlay_says_and_refused_without_gpus(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = printed(["rmu.yaml", ON_GPUS], capsys)["trainer"]["strategy"]
    assert given["class_path"] == "lit_unlearn.FSDP1"
    strategy = FSDP1(**given.get("init_args", {}))
    assert strategy.sharding_strategy is ShardingStrategy.FULL_SHARD
    assert strategy.mixed_precision_config == MixedPrecision()  # all dtypes are those of the weights
    with pytest.raises(InputError, match=r"trainer.strategy: FSDP1 needs GPUs; take .*fsdp2.yaml"):
        main(fit(["local.yaml", ON_GPUS], *small_world(world, wmdp=False), "--trainer.devices=1", "--debug"))


@pytest.mark.gpu
def test_fsdp1_runs_on_gpus(world: Path) -> None:
    devices = min(2, torch.cuda.device_count())
    own = ["--trainer.accelerator=gpu", f"--trainer.devices={devices}", "--trainer.default_root_dir=run"]
    command = [
        sys.executable,
        "-m",
        "lit_unlearn",
        *fit(["local.yaml", ON_GPUS], *small_world(world, wmdp=False), *own),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    trained = [f"model.layers.{index}.mlp.down_proj.weight" for index in (5, 6, 7)]
    assert changed(Path("run/export"), world / "model") == trained


@pytest.mark.slow
def test_local_evaluates_on_questions_once_its_lines_are_no_comment(world: Path) -> None:
    text = config_files.text("local.yaml")
    commented = r"(?m)^( +)# (?=evaluation:| +[\w-]+: ?|- class_path)"
    Path("mine.yaml").write_text(re.sub(commented, r"\1", text), encoding="utf-8")
    for name in ("forget", "retain"):
        write_questions(Path(f"{name}_questions.jsonl"))
    main(fit(["mine.yaml"], *small_world(world, wmdp=False), "--trainer.default_root_dir=run", "--data.holdout=16"))
    last = results("run")["evaluations"][-1]
    assert [*last["measured"]] == ["forget", "retain", "retain/4-gram", "retain/4-gram/control"]
    assert "insert" in last


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES)
def test_a_strategy_runs_on_two_processes(name: str, world: Path) -> None:
    words = fit(["local.yaml", name], *small_world(world, wmdp=False))
    command = [sys.executable, "-m", "lit_unlearn", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (run,) = Path("runs").iterdir()
    assert changed(run / "export", world / "model")


@pytest.mark.parametrize(
    ("name", "method", "number", "noise_scale"),
    [
        ("rmu.yaml", "RMU", {"coefficient": 6.5}, 0.03),
        ("adaptive_rmu.yaml", "AdaptiveRMU", {"scale": 3.0}, 0.08),
        ("rsv.yaml", "RSV", {"coefficient": 10.0}, 0.09),
    ],
)
def test_recipes_follow_the_published_ones(
    name: str, method: str, number: dict[str, float], noise_scale: float, capsys: pytest.CaptureFixture[str]
) -> None:
    parsed = printed([name], capsys)
    model, data, trainer = parsed["model"], parsed["data"]["init_args"], parsed["trainer"]
    assert model["pretrained"] == "HuggingFaceH4/zephyr-7b-beta"
    assert model["forget"]["class_path"] == f"lit_unlearn.{method}"
    assert number.items() <= model["forget"]["init_args"].items()
    assert model["retain"]["class_path"] == "lit_unlearn.RepresentationMSE"
    assert (model["retain_weight"], model["noise_scale"], model["layer"]) == (1200, noise_scale, 7)
    assert (model["noise_layer"], model["trainable"]) == (None, None)
    assert {"lr": 5e-5, "weight_decay": 0, "eps": 1e-8}.items() <= model["optimizer"]["init_args"].items()
    assert (data["topics"], data["batch_size"]) == (["bio", "cyber"], 4)
    assert data["max_length"] == {"bio": 512, "cyber": 768, "retain": 512}
    assert (trainer["max_steps"], trainer["precision"], trainer["log_every_n_steps"]) == (500, "bf16-mixed", 1)


@pytest.mark.parametrize(
    ("name", "options", "weights", "lr", "steps"),
    [
        ("npo.yaml", {"beta": 0.1, "length_normalized": True}, [50, 50], 2e-5, 150),
        ("dpo.yaml", {"beta": 0.1, "length_normalized": True}, [30, 50], 5e-5, 500),
        ("simnpo.yaml", {"beta": 0.1, "margin": 0}, [20, 50], 2e-5, 50),
    ],
)
def test_preference_recipes_follow_the_published_ones(
    name: str,
    options: dict[str, float],
    weights: list[float],
    lr: float,
    steps: int,
    capsys: pytest.CaptureFixture[str],
) -> None:
    parsed = printed([name], capsys)
    model, rmu = parsed["model"], printed(["rmu.yaml"], capsys)
    assert model["forget"]["init_args"] == options
    assert model["retain"]["class_path"] == "lit_unlearn.LogitKL"
    assert (model["retain_weight"], model["layer"], model["noise_layer"]) == (weights, 7, None)
    assert 0.01 <= model["noise_scale"] <= 0.1
    assert model["optimizer"]["init_args"]["lr"] == lr
    assert parsed["trainer"]["max_steps"] == steps
    assert parsed["data"] == rmu["data"]


@pytest.mark.parametrize("name", [*RECIPES, *ON_LOGITS, *ON_STATES])
def test_every_number_of_a_recipe_has_its_source(name: str) -> None:
    lines = (config_files.folder() / name).read_text(encoding="utf-8").splitlines()
    numbers = [index for index, line in enumerate(lines) if re.match(r"\s*\w+: -?[\d.]+(e-?\d+)?( |$)", line)]
    assert len(numbers) >= 13
    for index in numbers:
        comment = lines[index].partition("#")[2] or " ".join(lines[index - 4 : index])
        assert re.search("published|ours|paper|script|default", comment, re.IGNORECASE), lines[index]


@pytest.mark.parametrize("base", RECIPES)
@pytest.mark.parametrize("overlay", MODELS)
def test_a_model_overlay_changes_the_model_alone(base: str, overlay: str, capsys: pytest.CaptureFixture[str]) -> None:
    without, laid_over = printed([base], capsys), printed([base, overlay], capsys)
    assert without["model"].pop("pretrained") != laid_over["model"].pop("pretrained")
    assert laid_over == without


@pytest.mark.parametrize(("overlay", "base"), [(overlay, base) for overlay, bases in MIXING.items() for base in bases])
def test_a_mixing_overlay_keeps_the_method_and_its_length(
    overlay: str, base: str, capsys: pytest.CaptureFixture[str]
) -> None:
    without, mixed = printed([base], capsys), printed([base, overlay], capsys)
    assert mixed["data"]["init_args"].pop("mixing")["rate"] == 0.5
    assert without["data"]["init_args"].pop("mixing") is None
    assert without["model"].pop("lr_scheduler") is None
    falls_over = mixed["model"].pop("lr_scheduler")["init_args"]["T_max"]
    assert falls_over == (500 if base == "npo.yaml" else mixed["trainer"]["max_steps"])  # whose header sets it
    changed = {name for name, value in mixed["model"].items() if value != without["model"][name]}
    assert changed == {"retain_weight"} | ({"noise_scale", "trainable"} if base not in DEMOS else set())
    if base != "npo.yaml":
        assert mixed["model"]["retain_weight"] == 2 * without["model"]["retain_weight"]
    assert (mixed["data"], mixed["trainer"]) == (without["data"], without["trainer"])


def test_copies_of_a_model_are_as_many_as_machines(capsys: pytest.CaptureFixture[str]) -> None:
    found = printed(["rmu.yaml", ON_FOUR], capsys)
    sizes = found["trainer"]["strategy"]["init_args"]
    processes = found["trainer"]["num_nodes"] * found["trainer"]["devices"]
    assert (sizes["data_parallel_size"], sizes["tensor_parallel_size"]) == ("auto", 1)
    assert found["data"]["init_args"]["batch_size"] % processes == 0
    assert found["model"]["replicas"] == found["trainer"]["num_nodes"] == 2


@pytest.mark.parametrize("overlay", STRATEGIES)
def test_a_strategy_overlay_changes_the_trainer_alone(overlay: str, capsys: pytest.CaptureFixture[str]) -> None:
    without, laid_over = printed(["rmu.yaml"], capsys), printed(["rmu.yaml", overlay], capsys)
    assert laid_over["trainer"].pop("devices") == 2
    assert without["trainer"].pop("strategy") != laid_over["trainer"].pop("strategy")
    without["trainer"].pop("devices")
    assert laid_over == without

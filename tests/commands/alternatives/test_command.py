"""The command on a small world: what it writes, that training takes it, what it refuses."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lit_unlearn.cli import main
from lit_unlearn.commands.alternatives import command
from lit_unlearn.data.preferred_answers import PREFERRED_ANSWERS
from lit_unlearn.models import loading
from lit_unlearn.running.decoding import Decoded
from tests.data.chats import PLAIN

QUESTIONS = ["the of and", "in is", "near under with"]
ANSWERS = ["a with was", "near under", "of"]
FEW = ["--answers=2", "--max-new-tokens=6"]


@pytest.fixture
def config(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A config of conversations, in c.yaml of the working directory."""
    monkeypatch.chdir(tmp_path)
    records = [{"question": q, "answer": a} for q, a in zip(QUESTIONS, ANSWERS, strict=True)]
    Path("people.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    source = {"path": "people.jsonl", "format": "question_answer", "chat_template": PLAIN}
    made: dict[str, Any] = {
        "model": {"pretrained": str(world / "model"), "layer": 2, "forget": "DPO", "retain": "NLL"},
        "data": {
            "class_path": "UnlearnDataModule",
            "init_args": {"forget": {"people": source}, "retain": {"people": source}, "batch_size": 2},
        },
        "trainer": {
            "accelerator": "cpu",
            "precision": "32-true",
            "max_steps": 1,
            "log_every_n_steps": 1,
            "default_root_dir": "run",
        },
    }
    Path("c.yaml").write_text(yaml.safe_dump(made), encoding="utf-8")
    return made


def written(*words: str) -> list[list[dict[str, str]]]:
    main(["alternatives", "-c", "c.yaml", *FEW, *words])
    lines = Path("alternatives.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["messages"] for line in lines]


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as stop:
        main(["alternatives", "-c", "c.yaml", *FEW, *words])
    assert stop.value.code == 2
    assert not Path("alternatives.jsonl").exists()
    return capsys.readouterr().err.splitlines()[-1].removeprefix("lit-unlearn: error: ")


@pytest.mark.usefixtures("config")
def test_each_question_gets_different_answers_that_a_fit_takes(capsys: pytest.CaptureFixture[str]) -> None:
    found = written()
    assert [prompt["content"] for prompt, _ in found] == [question for question in QUESTIONS for _ in range(2)]
    assert all((prompt["role"], answer["role"]) == ("user", "assistant") for prompt, answer in found)
    for place, own in enumerate(ANSWERS):
        first, second = (answer["content"] for _, answer in found[2 * place : 2 * place + 2])
        assert len({own, first, second, ""}) == 4
    shown = capsys.readouterr().out.splitlines()[-2:]
    assert shown[0] == "Wrote 6 other answers to 3 questions into alternatives.jsonl. For DPO or Refusal:"
    assert shown[1] == "--data.alternatives '{path: alternatives.jsonl, format: messages}'"
    taken = {"path": "alternatives.jsonl", "format": "messages", "chat_template": PLAIN}
    main(["fit", "-c", "c.yaml", f"--data.alternatives={json.dumps(taken)}"])
    assert Path("run/metrics.csv").is_file()


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize("file", [None, "own.txt"])
def test_refusals_are_drawn_and_no_model_is_asked(monkeypatch: pytest.MonkeyPatch, file: str | None) -> None:
    monkeypatch.setattr(loading, "load_model", None)
    Path("own.txt").write_text("the of\nof the\nin is\n", encoding="utf-8")
    words = ("--refusals", *([file] if file else []))
    found = written(*words)
    assert [prompt["content"] for prompt, _ in found] == [question for question in QUESTIONS for _ in range(2)]
    said = [answer["content"] for _, answer in found]
    assert {*said} <= {*Path(file or PREFERRED_ANSWERS).read_text(encoding="utf-8").splitlines()}
    assert all(one != other for one, other in zip(said[::2], said[1::2], strict=True))
    assert found == written(*words) != written(*words, "--seed=1")


@pytest.mark.usefixtures("config")
def test_refusals_are_learned() -> None:
    written("--refusals")
    taken = {"path": "alternatives.jsonl", "format": "messages", "chat_template": PLAIN}
    main(["fit", "-c", "c.yaml", "--model.forget=Refusal", f"--data.alternatives={json.dumps(taken)}"])
    assert Path("run/metrics.csv").is_file()


@pytest.mark.usefixtures("config")
def test_the_draws_are_a_function_of_the_seed() -> None:
    first, other = (
        [[answer["content"] for _, answer in found[place : place + 2]] for place in range(0, len(found), 2)]
        for found in (written(), written("--seed=1"))
    )
    assert written("--seed=0") == written()
    assert not any({*one} & {*two} for one, two in zip(first, other, strict=True))  # no draw of one is the other's


@pytest.mark.usefixtures("config")
def test_what_the_model_reads_is_the_question_its_answer_and_the_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def recorded(model: Any, tokenizer: Any, prompts: list[list[int]], *, seed: int, **options: Any) -> list[Decoded]:
        assert (options["max_new_tokens"], options["temperature"]) == (6, 1.0)
        read.extend(tokenizer.decode(ids) for ids in prompts)
        # The row's own answer and an empty one do not count; the same one again neither.
        texts = {0: ANSWERS, 1: ["", "x", "x"], 2: ["y", "x", "z"], 3: ["w"] * 3}[seed]
        return [Decoded(text, []) for text in texts[: len(prompts)]]

    monkeypatch.setattr(command, "decode", recorded)
    found = [answer["content"] for _, answer in written("--instruction=in of is")]
    assert found == ["y", "w", "x", "w", "x", "z"]
    for question, answer, text in zip(QUESTIONS, ANSWERS, read, strict=False):
        assert text.index(question) < text.index(answer) < text.index("in of is")


@pytest.mark.usefixtures("config")
def test_a_model_that_repeats_the_answer_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = dict(enumerate(ANSWERS))
    monkeypatch.setattr(command, "decode", lambda *args, **options: [Decoded(own[place], []) for place in own])
    assert refused(capsys).startswith("alternatives: the model wrote no other answer to 'the of and'; raise --temper")


@pytest.mark.usefixtures("config")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--answers=0"], "alternatives.answers: must be at least 1, got 0"),
        (["--max-new-tokens=0"], "alternatives.max-new-tokens: must be at least 1, got 0"),
        (["--temperature=0"], "alternatives.temperature: must be above 0, got 0.0"),
        (["--temperature=nan"], "alternatives.temperature: must be above 0 and finite, got nan"),
        (["--out=."], "alternatives.out: . is a folder; give the name of a file"),
    ],
)
def test_options_out_of_range_are_refused(words: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert refused(capsys, *words).startswith(told)


def test_what_has_no_single_answer_is_refused(
    config: dict[str, Any], world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config["data"]["init_args"]["forget"] = {"people": {"path": str(world / "alchemy.jsonl")}}
    Path("c.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert "format text has no questions; alternatives are for messages" in refused(capsys)
    turns = [{"role": role, "content": "the"} for role in ("user", "assistant", "user", "assistant")]
    Path("chats.jsonl").write_text(json.dumps({"messages": turns}), encoding="utf-8")
    chats = {"path": "chats.jsonl", "format": "messages", "chat_template": PLAIN}
    config["data"]["init_args"]["forget"] = {"people": chats}
    Path("c.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    assert refused(capsys).startswith("chats.jsonl, row 1: it does not end with its only answer; split")

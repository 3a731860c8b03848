"""What is printed: equal to each model's own greedy decoding, under the prompt and side by side."""

import io
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lit_unlearn.cli import main
from lit_unlearn.commands.ask import side_by_side

PROMPTS = ["the of and", "in is near"]
FEW = ["--max-new-tokens", "5"]


@pytest.fixture(scope="module")
def run(world: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose export answers differently."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "config.yaml").write_text(f"model: {{pretrained: {world / 'model'}, forget: RMU, retain: NLL}}\n")
    model = AutoModelForCausalLM.from_pretrained(world / "model")
    draws = torch.Generator().manual_seed(1)
    weight = model.lm_head.weight.data
    weight += torch.randn(weight.shape, generator=draws)
    model.save_pretrained(folder / "export")
    AutoTokenizer.from_pretrained(world / "model").save_pretrained(folder / "export")
    return folder


def written(model: Path, ids: list[int]) -> list[str]:
    """The words that a model writes after token ids, by its logits alone."""
    own, encoder = AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    found: list[int] = []
    for _ in range(5):
        logits = own(torch.tensor([[*ids, *found]])).logits[0, -1]
        found.append(int(logits.argmax()))
    end = encoder.eos_token_id
    return str(encoder.decode(found[: found.index(end)] if end in found else found)).split() or ["(nothing)"]


def columns(block: str) -> tuple[list[str], list[str]]:
    """The words of both columns under a prompt."""
    head, *rows = block.splitlines()[1:]
    start = head.index("unlearned")
    return (
        [word for row in rows for word in row[:start].split()],
        [word for row in rows for word in row[start:].split()],
    )


def test_each_prompt_has_what_both_models_write(run: Path, world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["ask", str(run), *FEW, *(f"--prompt={prompt}" for prompt in PROMPTS)])
    blocks = capsys.readouterr().out.strip().split("\n\n")
    assert [block.splitlines()[0] for block in blocks] == [f"> {prompt}" for prompt in PROMPTS]
    for prompt, block in zip(PROMPTS, blocks, strict=True):
        base, unlearned = columns(block)
        ids = AutoTokenizer.from_pretrained(world / "model")(prompt)["input_ids"]
        assert base == written(world / "model", ids)
        assert unlearned == written(run / "export", ids)
        assert base != unlearned


def test_lines_of_standard_input_are_prompts(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["ask", str(run), *FEW, *(f"--prompt={prompt}" for prompt in PROMPTS)])
    wanted = capsys.readouterr().out
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join([PROMPTS[0], " ", PROMPTS[1]]) + "\n"))
    main(["ask", str(run), *FEW])
    assert capsys.readouterr().out == wanted


def test_in_a_terminal_it_asks_until_the_end(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter([PROMPTS[0], "", PROMPTS[1]])

    def type_one(shown: str) -> str:
        assert shown == "> "
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", type_one)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    main(["ask", str(run), *FEW])
    shown = capsys.readouterr()
    assert "Ctrl-D ends" in shown.err
    assert shown.out.count("unlearned") == 2


def test_draws_are_a_function_of_the_seed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def drawn(seed: int) -> str:
        main(["ask", str(run), *FEW, "--prompt=the of", "--temperature=2", f"--seed={seed}"])
        return capsys.readouterr().out

    assert drawn(1) == drawn(1) != drawn(2)


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["--max-new-tokens=0"], "--max-new-tokens: must be at least 1, got 0"),
        (["--temperature=-1"], "--temperature: must be 0 (the likeliest token) or more, got -1.0"),
        (["--temperature=nan"], "--temperature: must be 0"),
        (["--prompt= "], "--prompt: one is empty"),
        (["--chat", "--prompt=a"], "--chat: the tokenizer"),
        (["--promt=a"], "ask: --promt: there is no such option; did you mean --prompt?"),
    ],
)
def test_what_cannot_be_used_is_refused_before_a_model_is_loaded(
    run: Path, words: list[str], match: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lit_unlearn.models.loading.load_model", None)
    with pytest.raises(SystemExit) as stop:
        main(["ask", str(run), *words])
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"lit-unlearn: error: {match}")


def test_a_run_that_is_given_twice_is_refused(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["ask", str(run), f"{run}/../{run.name}"])
    assert "a run is given twice; give each once" in capsys.readouterr().err


def test_a_chat_model_is_asked_by_its_template(
    run: Path, world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(world / "model")
    tokenizer.chat_template = "{% for message in messages %}{{ message['content'] }} near{% endfor %}"
    base = tmp_path / "base"
    AutoModelForCausalLM.from_pretrained(world / "model").save_pretrained(base)
    tokenizer.save_pretrained(base)
    main(["ask", str(run / "export"), "--base", str(base), *FEW, "--chat", "--prompt=in is"])
    ids = tokenizer("in is near", add_special_tokens=False)["input_ids"]
    assert columns(capsys.readouterr().out.strip())[0] == written(world / "model", ids)


def test_a_narrow_terminal_still_has_columns() -> None:
    shown = side_by_side("a\x1b[2J", {"base": "", "one": "b " * 30, "two": "c"}, width=30)
    assert shown.splitlines()[0] == "> a [2J"
    assert "(nothing)" in shown
    assert max(map(len, shown.splitlines())) <= 66

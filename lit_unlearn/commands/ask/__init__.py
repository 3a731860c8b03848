"""`lit-unlearn ask`: what the base and unlearned models write after a prompt, side by side in the terminal."""

import argparse
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_unlearn.commands.ask.sources import model_sources
from lit_unlearn.commands.log_filter import no_bars_in_files, quiet
from lit_unlearn.commands.options.command_parser import CommandParser
from lit_unlearn.data.chat import Rendering, chat_template
from lit_unlearn.data.conversations import Message
from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.models import loading
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.questions.generations import aligned, printable
from lit_unlearn.running.decoding import decode

_NARROWEST = 20  # characters of a column


class Compared(NamedTuple):
    """The base and the unlearned models by name, with what makes tokens of a prompt."""

    models: dict[str, PreTrainedModel]
    tokenizer: PreTrainedTokenizerBase
    options: argparse.Namespace

    def answers(self, prompts: Sequence[str]) -> list[dict[str, str]]:
        """What each model writes after each prompt."""
        given = [self._encoded(prompt) for prompt in prompts] if self.options.chat else prompts
        settings = {name: getattr(self.options, name) for name in ("max_new_tokens", "temperature", "seed")}
        said = {name: decode(model, self.tokenizer, given, **settings) for name, model in self.models.items()}
        return [{name: found[place].text for name, found in said.items()} for place in range(len(prompts))]

    def _encoded(self, prompt: str) -> list[int]:
        rendering = Rendering(self.tokenizer, chat_template(None, self.tokenizer, "--chat"))
        return rendering.asked([Message(role="user", content=prompt)], "--chat")


def main(words: Sequence[str]) -> None:
    """Prints the answers to the prompts that are given, or to each line that is typed.

    Raises:
        InputError: an option, a run or a model cannot be used.
    """
    options = _parser().parse(words)
    _check(options)
    sources = model_sources(options.run, options.base, trust_remote_code=options.trust_remote_code)
    first = next(iter(sources.values()))
    tokenizer = load_tokenizer(first)
    if options.chat:
        chat_template(None, tokenizer, "--chat")
    with quiet(), no_bars_in_files():
        models = {name: _load(source, first) for name, source in sources.items()}
    compared = Compared(models, tokenizer, options)
    if options.prompt:
        for prompt, answers in zip(options.prompt, compared.answers(options.prompt), strict=True):
            print(side_by_side(prompt, answers), end="\n\n")
    else:
        for prompt in _typed():
            print(side_by_side(prompt, *compared.answers([prompt])), end="\n\n", flush=True)


def side_by_side(prompt: str, answers: Mapping[str, str], *, width: int | None = None) -> str:
    r"""A prompt and under it what each model wrote, a column for each.

    Args:
        prompt: as it was given.
        answers: by the name of the model.
        width: of all columns, in characters; None is the terminal's.

    Example:
        >>> print(side_by_side("The capital is", {"base": " Bern", "unlearned": " the\nthe"}, width=50))
        > The capital is
          base                     unlearned
          Bern                     the
                                   the
    """
    columns = (width or shutil.get_terminal_size().columns) // len(answers) - 2
    widths = [max(columns, _NARROWEST)] * len(answers)
    texts = [printable(text).strip() or "(nothing)" for text in answers.values()]
    return "\n".join([f"> {printable(prompt)}", aligned([*answers], widths), aligned(texts, widths)])


def _typed() -> Iterator[str]:
    """Each line of standard input; a terminal shows how to end it."""
    watched = sys.stdin.isatty()
    if watched:
        print("One prompt per line; Ctrl-D ends.", file=sys.stderr)
    lines: Iterable[str] = iter(_prompted, None) if watched else sys.stdin
    for line in lines:
        if line.strip():
            yield line.rstrip("\n")


def _prompted() -> str | None:
    try:
        return input("> ")
    except EOFError:
        print()
        return None


def _load(source: ModelSource, base: ModelSource) -> PreTrainedModel:
    """A model on the GPU if there is one, in the dtype in which the base is stored."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = getattr(loading.load_config(base), "dtype", None) or torch.float32
    model: Any = loading.load_model(source, dtype)
    moved: PreTrainedModel = model.to(device)
    return moved


def _check(options: argparse.Namespace) -> None:
    check_at_least("--max-new-tokens", options.max_new_tokens, 1)
    if not 0 <= options.temperature < float("inf"):
        raise InputError(f"--temperature: must be 0 (the likeliest token) or more, got {options.temperature}")
    if not all(prompt.strip() for prompt in options.prompt):
        raise InputError("--prompt: one is empty; write a text to continue")
    if len({path.resolve() for path in options.run}) < len(options.run):
        raise InputError(f"ask: {', '.join(map(str, options.run))}: a run is given twice; give each once")


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="lit-unlearn ask",
        description="Shows what the base and the unlearned model write after a prompt, side by side. Without --prompt "
        "each line that is typed, or of standard input, is one. All models are in memory at once.",
    )
    parser.add_argument("run", nargs="+", type=Path, metavar="RUN", help="folder of a run; or of a model, with --base")
    parser.add_argument("--prompt", action="append", default=[], help="text to continue; may be given several times")
    parser.add_argument("--base", help="hub name or folder of the model before unlearning (default: the run's)")
    parser.add_argument(
        "--chat", action="store_true", help="a prompt is a user's message, in the model's chat template"
    )
    parser.add_argument("--max-new-tokens", type=int, default=64, help="tokens of an answer, at most (default: 64)")
    parser.add_argument("--temperature", type=float, default=0.0, help="of the draws (default: 0, the likeliest token)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the draws (default: 0)")
    parser.add_argument("--trust_remote_code", action="store_true", help="run code that comes with the model")
    return parser

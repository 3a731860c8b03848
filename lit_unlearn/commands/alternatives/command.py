"""`lit-unlearn alternatives`: other answers to the questions of the forget stream, the model's own or refusals."""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from lit_unlearn.commands.fit.config_cli import ConfigCLI
from lit_unlearn.commands.log_filter import quiet
from lit_unlearn.commands.options.command_parser import CommandParser
from lit_unlearn.commands.options.words import Words
from lit_unlearn.data.chat import Rendering, chat_template
from lit_unlearn.data.conversations import Message, plain
from lit_unlearn.data.draws import sample
from lit_unlearn.data.preferred_answers import PREFERRED_ANSWERS, answers_of, check_preferred
from lit_unlearn.data.text import TextSource, load_conversations, load_texts
from lit_unlearn.data.vocabulary import embeddings_taken
from lit_unlearn.datamodules import UnlearnDataModule
from lit_unlearn.errors import InputError, check_above, check_at_least
from lit_unlearn.models import loading
from lit_unlearn.models.checks import check_vocabulary
from lit_unlearn.models.precision import weights_dtype
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.running.decoding import decode
from lit_unlearn.runs.atomic_files import check_makable, write_whole

_INSTRUCTION = (
    "Make up another answer to this question. Keep everything that the question states, and change every fact that the "
    "answer adds: the new answer shall be plausible and contradict the old one. Write the new answer alone."
)
_ROUNDS = 3
"""Draws for each answer that is asked for, at most: some are empty, the row's own, or repeated."""


class Settings(NamedTuple):
    """How answers are drawn."""

    answers: int
    max_new_tokens: int
    temperature: float
    seed: int
    instruction: str


class Asked(NamedTuple):
    """A question of the forget stream."""

    prompt: list[Message]
    answer: str
    input_ids: list[int]
    """What the model continues with another answer."""


def main(words: Sequence[str]) -> None:
    """Writes other answers to each question, as conversations, for `data.alternatives`.

    Raises:
        InputError: an option, the model or the data cannot be used, or a question got no other answer.
    """
    options, shared = _parser().parse_known_args(words)
    settings = Settings(**{name: getattr(options, name) for name in Settings._fields})
    _check(settings, options.out)
    with quiet():
        config = ConfigCLI(Words.read(shared, command="fit"))
        asked, found = (
            find(config, settings) if options.refusals is None else drawn_refusals(config, options.refusals, settings)
        )
    lines = [
        json.dumps({"messages": [*one.prompt, {"role": "assistant", "content": answer}]}, ensure_ascii=False)
        for one, answers in zip(asked, found, strict=True)
        for answer in answers
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_whole(options.out, "\n".join(lines) + "\n")
    print(f"Wrote {len(lines)} other answers to {len(asked)} questions into {options.out}. For DPO or Refusal:")
    print(f"--data.alternatives '{{path: {options.out}, format: messages}}'")


def find(config: ConfigCLI, settings: Settings) -> tuple[list[Asked], list[list[str]]]:
    """The questions of the forget stream, and at most `answers` different other answers to each."""
    asked, tokenizer = _asked(config, settings)
    model = loading.load_model(config.model.model_source, weights_dtype(str(config.trainer.precision)))
    on_device = cast(PreTrainedModel, model.to(config.trainer.strategy.root_device))  # type: ignore[arg-type]
    return asked, other_answers(on_device, tokenizer, asked, settings)


def drawn_refusals(config: ConfigCLI, path: str, settings: Settings) -> tuple[list[Asked], list[list[str]]]:
    """The questions of the forget stream, and at most `answers` different refusals of each, drawn by the seed.

    Args:
        config: with the model, of which the tokenizer alone is loaded, and the data.
        path: of a file of refusals, one per line.
        settings: how many, and the seed.

    Raises:
        InputError: the file cannot be read or holds none.
    """
    check_preferred(path)
    refusals = [*dict.fromkeys(load_texts(answers_of(path))["text"])]
    asked, _ = _asked(config, settings)
    count = min(settings.answers, len(refusals))
    return asked, [sample(refusals, count, "refusals", settings.seed, place) for place in range(len(asked))]


def _asked(config: ConfigCLI, settings: Settings) -> tuple[list[Asked], PreTrainedTokenizerBase]:
    """The questions of the forget stream, and the tokenizer."""
    data, module = config.datamodule, config.model
    if not isinstance(data, UnlearnDataModule):
        raise InputError(f"data: {type(data).__name__} has no forget stream of texts; take UnlearnDataModule")
    tokenizer = load_tokenizer(module.model_source if data.tokenizer is None else ModelSource(data.tokenizer))
    check_vocabulary(loading.load_config(module.model_source), embeddings_taken(tokenizer))
    data.prepare_texts()
    asked = [
        one for source in data.forget.values() for one in questions(source, tokenizer, instruction=settings.instruction)
    ]
    return asked, tokenizer


def questions(source: TextSource, tokenizer: PreTrainedTokenizerBase, *, instruction: str) -> list[Asked]:
    """The questions of a source.

    Args:
        source: of conversations, each of which ends with its only answer.
        tokenizer: the model's.
        instruction: instruction to the model after the question and its answer.

    Raises:
        InputError: it holds something else.
    """
    if source.format == "text":
        raise InputError(
            f"{source.path}: format text has no questions; alternatives are for messages, prompt_completion and "
            "question_answer"
        )
    rendering = Rendering(tokenizer, chat_template(source.chat_template, tokenizer, source.path))
    found = []
    for number, messages in enumerate(load_conversations(source)["messages"], start=1):
        place = f"{source.path}, row {number}"
        if [message["role"] for message in messages].count("assistant") != 1 or messages[-1]["role"] != "assistant":
            raise InputError(f"{place}: it does not end with its only answer; split the conversation, or remove it")
        text = f"Question: {plain(messages[:-1])}\nAnswer: {messages[-1]['content']}\n\n{instruction}"
        asked = rendering.asked([Message(role="user", content=text)], place)
        found.append(Asked(messages[:-1], messages[-1]["content"], asked))
    return found


def other_answers(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, asked: Sequence[Asked], settings: Settings
) -> list[list[str]]:
    """At most `count` different other answers to each question.

    Raises:
        InputError: a question got none.
    """
    found: list[list[str]] = [[] for _ in asked]
    draws = _ROUNDS * settings.answers
    for draw in tqdm(range(draws), desc="answers to each question", leave=False):
        open_ones = [place for place, answers in enumerate(found) if len(answers) < settings.answers]
        if not open_ones:
            break
        prompts = [asked[place].input_ids for place in open_ones]
        written = decode(
            model,
            tokenizer,
            prompts,
            max_new_tokens=settings.max_new_tokens,
            temperature=settings.temperature,
            seed=settings.seed * draws + draw,  # no draw of another seed
        )
        for place, one in zip(open_ones, written, strict=True):
            text = one.text.strip()
            if text and text != asked[place].answer.strip() and text not in found[place]:
                found[place].append(text)
    if (none := next((one for one, answers in zip(asked, found, strict=True) if not answers), None)) is not None:
        raise InputError(
            f"alternatives: the model wrote no other answer to {plain(none.prompt)[-80:]!r}; raise --temperature, or "
            "change --instruction"
        )
    return found


def _parser() -> argparse.ArgumentParser:
    parser = CommandParser(
        prog="lit-unlearn alternatives",
        description="Lets the model make up other answers to the questions of the forget stream, into a file for "
        "data.alternatives; DPO then prefers them (AltPO). Model and data are a config's, -c CONFIG, whose forget "
        "sources are conversations; all other options are those of fit.",
        allow_abbrev=False,
    )
    out = Path("alternatives.jsonl")
    options: Mapping[str, tuple[type, object, str]] = {
        "out": (Path, out, f"file to write (default: {out})"),
        "answers": (int, 5, "different answers to each question, at most (default: 5, as released)"),
        "max-new-tokens": (int, 200, "tokens of an answer, at most (default: 200, as released)"),
        "temperature": (float, 1.0, "of the draws, above 0 (default: 1, as released)"),
        "seed": (int, 0, "seed of the draws (default: 0)"),
        "instruction": (str, _INSTRUCTION, "instruction to the model after a question and its answer"),
    }
    for name, (kind, default, explained) in options.items():
        parser.add_argument(f"--{name}", type=kind, default=default, help=explained)
    parser.add_argument(
        "--refusals",
        nargs="?",
        const=str(PREFERRED_ANSWERS),
        metavar="FILE",
        help="draw answers such as \"I don't know\" instead: from FILE, one per line, or from lit-unlearn's own 50",
    )
    return parser


def _check(settings: Settings, out: Path) -> None:
    check_makable(out, "alternatives.out")
    if out.is_dir():
        raise InputError(f"alternatives.out: {out} is a folder; give the name of a file, e.g. {out}/alternatives.jsonl")
    for name in ("answers", "max_new_tokens"):
        check_at_least(f"alternatives.{name.replace('_', '-')}", getattr(settings, name), 1)
    check_above("alternatives.temperature", settings.temperature, 0)

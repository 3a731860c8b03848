"""Questions asked by lit-unlearn beside the lm-eval harness: `python -m benchmarks.evaluation 'MMLU/*_test.csv'`.

Each question is asked in the seven ways of `evaluate.yaml`: as it is, and with a forget token, a 1-gram or a 4-gram in
a wrong option, each with its control; n-grams are the questions' own. `--plain` asks it once, as it is; `--shots 5`
after five examples. The same model, prompts and tokens. Times are those of the processor, tokenising included, taken in
turn in one process; peak memory is each one's own, in a process of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tokenizers import ByteLevelBPETokenizer
from transformers import PreTrainedTokenizerFast
from transformers.utils.logging import disable_progress_bar

from benchmarks.measured import Memory, Ratio, ratio
from benchmarks.shapes import configure, write_model
from lit_unlearn.cli import refusals
from lit_unlearn.models import loading
from lit_unlearn.models.source import ModelSource
from lit_unlearn.questions.answer_key import LETTERS
from lit_unlearn.questions.batches import Query
from lit_unlearn.questions.cloze import Cloze
from lit_unlearn.questions.prompt_limit import longest_prompt
from lit_unlearn.questions.scores import choice_scores, evaluate_choices
from lit_unlearn.questions.sets import (
    EvaluationSource,
    PerturbationSource,
    Variant,
    encoded,
    query_loaders,
    variants,
)
from lit_unlearn.questions.source import QuestionSource, load_questions, prompt

OURS, HARNESS = "ours", "lm-eval"
_CPU = torch.device("cpu")
_WAYS = {
    "SARS-CoV-2": PerturbationSource(texts=["SARS-CoV-2"]),
    "1-gram": PerturbationSource(n=1),
    "4-gram": PerturbationSource(n=4),
}


def main(words: Sequence[str] | None = None) -> None:
    """Measures and prints; writes the same as JSON where it is asked for.

    Raises:
        SystemExit: the predictions differ.
    """
    options = _parsed(words)
    disable_progress_bar()
    torch.set_num_threads(options.threads)
    if options.memory_of:
        print(json.dumps(_memory(options)))
        return
    with tempfile.TemporaryDirectory() as folder:
        config = configure(options.hidden, options.layers)
        config.vocab_size = options.vocabulary or config.vocab_size
        write_model(Path(folder), config, torch.float32, _CPU)
        _write_tokenizer(Path(folder), options, config.vocab_size)
        found = measure(Path(folder), options)
    print(_shown(found))
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


def measure(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Predictions, times and memory of both."""
    ways = _ways(folder, options)
    times: dict[str, list[float]] = {one: [] for one in ways}
    for _ in range(options.rounds):
        answers = {}
        for one, ask in ways.items():
            begin = time.process_time()
            answers[one] = ask()
            times[one].append(time.process_time() - begin)
        if any(found != answers[OURS] for found in answers.values()):
            different = {one: _different(found, answers[OURS]) for one, found in answers.items()}
            raise SystemExit(f"the predictions differ; number of questions: {different}")
    middle = {one: float(torch.tensor(values).median()) for one, values in times.items()}
    best = min((one for one in ways if one != OURS), key=lambda one: middle[one])
    return {
        "prompts": len(answers[OURS]),
        "shots": options.shots,
        "hidden": options.hidden,
        "layers": options.layers,
        "vocabulary": loading.load_config(ModelSource(str(folder))).vocab_size,
        "threads": options.threads,
        "seconds": middle,
        "best_of_harness": best,
        "times_ours": ratio(times[best], times[OURS]),
        "peak_mib": {one: _memory_apart(one, folder, options) for one in (OURS, best)},
    }


def _ways(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What returns the predictions, by name; the harness with each size of its batches."""
    model = loading.load_model(ModelSource(str(folder)), torch.float32)
    file = str(folder / "tokenizer.json")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=file, bos_token="<s>", eos_token="<s>", pad_token="<s>")
    source = _source(options)
    own = [question.question for question in load_questions(source)]
    evaluation = EvaluationSource({"asked": source}, {} if options.plain else _WAYS)
    asked = variants(evaluation, forget=own, retain=own, tokenizer=tokenizer)

    def queries() -> dict[Variant, list[Query | Cloze]]:
        return encoded(asked, tokenizer, max_length=longest_prompt(model.config, tokenizer))

    def ours() -> list[int]:
        predicted: dict[tuple[int, int], int] = {}
        with torch.inference_mode():
            for batch in query_loaders(queries(), max_tokens=options.max_tokens)[0]:
                found = evaluate_choices(choice_scores(model, batch), batch)["prediction"].tolist()
                names = zip(batch["variant"].tolist(), batch["number"].tolist(), strict=True)
                predicted |= {name: one for name, one, valid in zip(names, found, batch["valid"], strict=True) if valid}
        return [predicted[name] for name in sorted(predicted)]

    def harness(size: int) -> list[int]:
        lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=size, device="cpu")
        requests = [
            Instance("loglikelihood", {}, (prompt(question), f" {letter}"), place)
            for questions in asked.values()
            for question in questions
            for place, letter in enumerate(LETTERS[: len(question.choices)])
        ]
        scores = torch.tensor([score for score, _ in lm.loglikelihood(requests, disable_tqdm=True)])
        answers: list[int] = scores.view(-1, 4).argmax(dim=-1).tolist()
        return answers

    return {
        OURS: ours,
        **{f"{HARNESS}, {size} rows": lambda size=size: harness(size) for size in options.harness_batch},
    }


def _source(options: argparse.Namespace) -> QuestionSource:
    examples = (options.examples or options.questions) if options.shots else None
    return QuestionSource(options.questions, limit=options.limit, shots=options.shots, examples=examples)


def _write_tokenizer(folder: Path, options: argparse.Namespace, vocabulary: int) -> None:
    """A byte-level tokenizer learnt from the questions."""
    questions = load_questions(_source(options))
    texts = [f"{prompt(question)} {letter}" for question in questions for letter in LETTERS[:4]]
    learnt = ByteLevelBPETokenizer()
    learnt.train_from_iterator(texts, vocab_size=vocabulary, special_tokens=["<s>"], show_progress=False)
    learnt.save(str(folder / "tokenizer.json"))


def _memory_apart(one: str, folder: Path, options: argparse.Namespace) -> float:
    """Peak memory in MiB, in a process of its own."""
    same = ("hidden", "layers", "threads", "max_tokens", "shots", "limit")
    words = [word for name in same for word in (f"--{name.replace('_', '-')}", str(getattr(options, name)))]
    words += [*(["--plain"] if options.plain else []), *(["--examples", options.examples] if options.examples else [])]
    words += ["--harness-batch", *map(str, options.harness_batch), "--memory-of", one, str(folder)]
    command = [sys.executable, "-m", "benchmarks.evaluation", options.questions, *words]
    found: float = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def _memory(options: argparse.Namespace) -> float:
    one, folder = options.memory_of
    with Memory(_CPU) as memory:
        _ways(Path(folder), options)[one]()
    return memory.peak / 2**20


def _different(found: Sequence[int], ours: Sequence[int]) -> int:
    return sum(one != other for one, other in zip(found, ours, strict=True))


def _shown(found: Mapping[str, Any]) -> str:
    faster = Ratio(*found["times_ours"])
    shape = f"hidden {found['hidden']}, {found['layers']} layers, vocabulary {found['vocabulary']}"
    asked = f"{found['prompts']} prompts with {found['shots']} examples"
    lines = [f"{asked}, {shape}, {found['threads']} threads; the same predictions"]
    for one, value in found["seconds"].items():
        peak = f"{found['peak_mib'][one]:8.0f} MiB at its peak" if one in found["peak_mib"] else ""
        lines.append(f"  {one:18}{value:8.1f} s{found['prompts'] / value:9.1f} prompts/s{peak}")
    return "\n".join([*lines, f"  ours is {faster.value:.2f} [{faster.low:.2f}, {faster.high:.2f}] times as fast"])


def _parsed(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Questions asked by lit-unlearn beside the lm-eval harness.")
    parser.add_argument("questions", help="MMLU's csv files, or jsonl; a glob in quotes is allowed")
    parser.add_argument("--limit", type=int, default=400, help="number of questions, evenly spread")
    parser.add_argument("--plain", action="store_true", help="each question once, as it is, without perturbations")
    parser.add_argument("--shots", type=int, default=0, help="examples before each question")
    parser.add_argument("--examples", help="files of the examples; the first questions of each subject, if not given")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument("--vocabulary", type=int, help="7.8 times the width, as Mistral-7B's, if not given")
    parser.add_argument("--max-tokens", type=int, default=8192, help="of our batches, as in data.evaluation")
    parser.add_argument("--harness-batch", type=int, nargs="+", default=[16, 64], help="rows; the fastest counts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="file to write")
    parser.add_argument("--memory-of", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args(words)


if __name__ == "__main__":
    with refusals("benchmarks.evaluation"):
        main()

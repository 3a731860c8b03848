"""`lit-unlearn eval`: any task of the lm-eval harness on any Hugging Face model."""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lit_unlearn.commands.options.command_parser import CommandParser
from lit_unlearn.errors import InputError
from lit_unlearn.models.source import ModelSource
from lit_unlearn.runs import layout

_EPILOG = """\
In addition to the harness' own tasks there are mmlu_perturbed (one wrong option replaced by a forget token), its
mmlu_perturbed_control, each also by subject, and mmlu_local, mmlu_perturbed_local, mmlu_perturbed_control_local for
files of your own. Their metadata are explained in docs/evaluate.md.
"""


def main(words: Sequence[str]) -> None:
    """Prints the harness' table, and writes its results where asked to.

    Raises:
        InputError: an option, the model or a task cannot be used.
    """
    options = _parser().parse(words)
    batch_size, metadata = _batch_size(options.batch_size), _metadata(options.metadata)
    if options.limit is not None and not options.limit > 0:
        raise InputError(f"--limit: {options.limit:g} leaves no question; give more than 0")
    if options.out is not None and options.out.is_dir():
        raise InputError(
            f"--out: {options.out} is a folder; give a file's name, such as {options.out}/{layout.RESULTS}"
        )
    if options.out is not None and not options.out.absolute().parent.is_dir():
        raise InputError(f"--out: there is no folder {options.out.parent} to write into; make it first")
    run(options, batch_size, metadata)


def run(options: argparse.Namespace, batch_size: int | str, metadata: dict[str, Any]) -> None:
    """Loads the tasks, then the model, and asks."""
    from lm_eval.utils import handle_non_serializable

    from lit_unlearn.harness import evaluation
    from lit_unlearn.harness.kept_responses import KeptResponses
    from lit_unlearn.runs.atomic_files import write_whole

    source = ModelSource(options.model, revision=options.revision, trust_remote_code=options.trust_remote_code)
    _check_model(source)
    tasks = evaluation.load_tasks(
        [name for name in options.tasks.split(",") if name],
        metadata=metadata,
        model=source,
        include_path=options.include_path,
        num_fewshot=options.num_fewshot,
    )
    model = _load_model(source, options, batch_size)
    kept = None if options.out is None else KeptResponses(options.out, model)
    if kept:
        print(f"{len(kept)} requests already answered, from {kept.path}")
    results = evaluation.evaluate(
        model,
        tasks,
        limit=options.limit,
        num_fewshot=options.num_fewshot,
        log_samples=options.log_samples,
        kept=None if kept is None else kept.cache,
    )
    if results is not None:
        print(evaluation.results_table(results))
        if options.out is not None:
            text = json.dumps(results, indent=2, default=handle_non_serializable, ensure_ascii=False)
            write_whole(options.out, text)
            assert kept is not None
            kept.remove()
            print(f"The results are in {options.out}")


def _parser() -> CommandParser:
    parser = CommandParser(
        prog="lit-unlearn eval",
        description="Any task of the lm-eval harness on any Hugging Face model.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model", required=True, help="folder, of an adapter too, or hub name; `demo` is the embedded one"
    )
    parser.add_argument("--tasks", required=True, help="tasks, groups or patterns, with commas between them")
    parser.add_argument(
        "--out",
        type=Path,
        help="file for the results, JSON in the harness' format; with it an interrupted command resumes",
    )
    parser.add_argument("--log_samples", action="store_true", help="write every question with its answer as well")
    parser.add_argument("--limit", type=float, help="ask the first N questions of each task; below 1, that share")
    parser.add_argument("--num_fewshot", type=int, help="examples in each prompt (default: the task's)")
    parser.add_argument("--batch_size", default="auto", help="questions at once, or `auto` (default)")
    parser.add_argument("--metadata", default="{}", help="JSON object of options for the tasks")
    parser.add_argument("--include_path", action="append", default=[], help="folder with tasks of your own")
    parser.add_argument("--device", help="e.g. cpu, cuda:1 (default: a GPU if there is one)")
    parser.add_argument("--dtype", default="auto", help="of the weights (default: as they are stored)")
    parser.add_argument("--revision", default="main", help="branch, tag or commit of a hub model")
    parser.add_argument("--trust_remote_code", action="store_true", help="run code that comes with the model")
    return parser


def _batch_size(text: str) -> int | str:
    if text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise InputError(f"--batch_size: must be auto or at least 1, got {text!r}")
    return int(text)


def _metadata(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InputError(f"--metadata: {text!r} is not JSON ({error}); e.g. '{{\"seed\": 1}}'") from error
    if not isinstance(found, dict):
        raise InputError(f"--metadata: {text!r} is not an object; e.g. '{{\"seed\": 1}}'")
    return found


def _check_model(source: ModelSource) -> None:
    """There is a model of that name, before questions are read, which takes longer."""
    from lit_unlearn.models import loading

    with _naming_the_model():
        loading.read_config(source)


@contextmanager
def _naming_the_model() -> Iterator[None]:
    """Errors are of this command's option, not of a config's."""
    try:
        yield
    except InputError as error:
        raise InputError(f"--model: {str(error).partition(': ')[2]}") from error


def _load_model(source: ModelSource, options: argparse.Namespace, batch_size: int | str) -> Any:
    import torch
    from lm_eval.models.huggingface import HFLM
    from safetensors import SafetensorError

    from lit_unlearn.data.vocabulary import embeddings_taken
    from lit_unlearn.models import loading
    from lit_unlearn.models.adapter import merge
    from lit_unlearn.models.checks import check_vocabulary

    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"--device: {device!r} cannot be used ({str(error).splitlines()[0]}); e.g. cpu") from error
    try:
        model = HFLM(
            source.pretrained,
            tokenizer=source.tokenizer,
            revision=source.revision,
            trust_remote_code=source.trust_remote_code,
            device=device,
            dtype=options.dtype,
            batch_size=batch_size,
            use_safetensors=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, ImportError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"--model: {options.model!r} cannot be loaded ({reason}); give a folder of model and tokenizer, or the "
            "name of a hub model"
        ) from error
    with _naming_the_model():
        if source.adapter is not None:
            merge(model.model, source.adapter)
        loading.check_finite(options.model, model.model)
        check_vocabulary(model.config, embeddings_taken(model.tokenizer))
    return model

"""The lm-eval harness: its tasks and ours, on a model in memory or in a folder."""

import difflib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import lm_eval
import torch
from datasets.exceptions import DatasetsError
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities.seed import isolate_rng
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from lm_eval.utils import make_table
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from yaml import YAMLError

from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.harness.tasks import folder
from lit_unlearn.harness.tasks.documents import METADATA
from lit_unlearn.models.source import ModelSource

Results = dict[str, Any]
"""What `lm_eval.simple_evaluate` returns."""
_NOT_THE_USERS_CONCERN = (
    "Custom kwargs can be passed",
    "`pretrained` model kwarg is not of type",
    "Passed an already-initialized model",
    "Overwriting default num_fewshot of",
)


class Tasks(NamedTuple):
    """Tasks with their questions."""

    manager: TaskManager
    loaded: list[Any]
    """Tasks and groups, as they were asked for."""


def _directly(run: Callable[[], Any]) -> Any:
    return run()


class InMemory(HFLM):  # type: ignore[misc]
    """The harness' model class on a model that someone else owns: it is run and in no way changed.

    Args:
        model: in eval mode, on its device.
        tokenizer: the model's, for the harness alone, which may give it a padding token.
        batch_size: questions at once.
        through: runs each forward, such as `outside_step` of a Trainer.
        sharing: the strategy whose processes each take a part of the questions; None answers all in this one.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        *,
        batch_size: int,
        through: Callable[[Callable[[], Any]], Any] = _directly,
        sharing: DDPStrategy | None = None,
    ) -> None:
        with _quiet():
            super().__init__(
                pretrained=_Lent(model, through), tokenizer=tokenizer, batch_size=batch_size, backend="causal"
            )
        self._sharing = sharing
        if sharing is not None:
            self._rank, self._world_size = sharing.global_rank, sharing.world_size

    def all_gather(self, tensor: Tensor) -> Tensor:
        """The values of all processes, one after another."""
        return tensor if self._sharing is None else self._sharing.all_gather(tensor).flatten()

    def barrier(self) -> None:
        """Waits for all processes."""
        if self._sharing is not None:
            self._sharing.barrier("lm_eval")


class _Lent:
    """A model without what HFLM would do to one: set its mode and tie its weights."""

    def __init__(self, model: PreTrainedModel, through: Callable[[Callable[[], Any]], Any]) -> None:
        self._model: Any = model
        self._through = through

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._through(partial(self._model, *args, **kwargs))

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        return self._through(partial(self._model.generate, *args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def load_tasks(
    names: Sequence[str],
    *,
    metadata: Mapping[str, Any] | None = None,
    model: ModelSource | None = None,
    include_path: Sequence[str] = (),
    num_fewshot: int | None = None,
) -> Tasks:
    """Finds tasks and reads their questions.

    The harness' own tasks take about 20 seconds to be found; where all are ours they are not looked at.

    Args:
        names: of tasks, groups and tags, patterns such as `mmlu_*`, or .yaml files.
        metadata: what the user tells the tasks.
        model: whose tokenizer our tasks take, where the metadata name none.
        include_path: folders with tasks of the user's own.
        num_fewshot: examples that will be asked for.

    Raises:
        InputError: there is no such task, or its questions cannot be loaded.
    """
    if not names:
        raise InputError("tasks: none given; name at least one, e.g. mmlu_perturbed")
    check_at_least("num_fewshot", num_fewshot, 0)
    told = {**({} if model is None else _told(model)), **(metadata or {})}
    manager = TaskManager(include_path=[str(folder())], include_defaults=False, metadata=told)
    # A pattern may mean tasks of the harness too.
    if all(name in manager.all_tasks for name in names):
        _check_metadata(metadata or {})
    else:
        manager = TaskManager(include_path=[str(folder()), *include_path], metadata=told)
    found = [match for name in names for match in _matches(name, manager)]
    with _quiet():
        loaded = [task for name in dict.fromkeys(found) for task in _load(name, manager)]
        _check_together(loaded, manager, num_fewshot or 0)
    return Tasks(manager, loaded)


def evaluate(
    model: HFLM,
    tasks: Tasks,
    *,
    limit: float | None = None,
    num_fewshot: int | None = None,
    log_samples: bool = False,
    kept: str | None = None,
) -> Results | None:
    """Asks a model; random numbers are seeded as the harness does, and afterwards as if nothing had been drawn.

    Args:
        model: of the harness.
        tasks: with their questions.
        limit: ask the first N questions of each task; below 1, that share of them. None asks all.
        num_fewshot: examples in each prompt; None leaves it to the task.
        log_samples: keep every question with its answer, under `samples`.
        kept: where responses are kept, request by request, and not asked for again; None keeps none.

    Returns:
        The results in the harness' format; None in all processes but one.
    """
    with isolate_rng(), _quiet():
        results: Results | None = lm_eval.simple_evaluate(
            model,
            tasks=list(tasks.loaded),
            task_manager=tasks.manager,
            batch_size=model.batch_size,
            device=str(model.device),
            limit=limit,
            num_fewshot=num_fewshot,
            log_samples=log_samples,
            use_cache=kept,
        )
    if results is not None:
        results["config"]["use_cache"] = None  # the results are those of a run that has kept nothing
    return results


def scores(results: Results) -> dict[str, float]:
    """Every metric by `TASK/METRIC`, with `/FILTER` where the harness filters answers; no standard errors.

    Example:
        >>> scores({"results": {"mmlu": {"alias": "mmlu", "acc,none": 0.5, "acc_stderr,none": 0.1}}})
        {'mmlu/acc': 0.5}
        >>> scores({"results": {"gsm8k": {"alias": "gsm8k", "exact_match,strict-match": 0.25}}})
        {'gsm8k/exact_match/strict-match': 0.25}
    """
    return {
        f"{task}/{name.removesuffix(',none').replace(',', '/')}": float(value)
        for task, row in results["results"].items()
        for name, value in row.items()
        if "," in name and "_stderr," not in name and isinstance(value, int | float)
    }


def results_table(results: Results) -> str:
    """The harness' own tables: tasks, and groups where there are any."""
    parts = [make_table(results)]
    if results.get("groups"):
        parts.append(make_table(results, "groups"))
    return "\n".join(parts)


@contextmanager
def eval_mode(model: torch.nn.Module) -> Iterator[None]:
    """Within this context a model is in eval mode; then each of its modules is in its own again."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True


def _told(model: ModelSource) -> dict[str, Any]:
    """What our tasks need to load the model's tokenizer, by the names that metadata have."""
    return {
        "pretrained": model.tokenizer,
        "revision": model.revision,
        "trust_remote_code": model.trust_remote_code,
    }


def _check_metadata(metadata: Mapping[str, Any]) -> None:
    """Our tasks' own keys: where all tasks are ours, no other can be meant."""
    unknown = [name for name in metadata if name not in METADATA]
    if unknown:
        near = difflib.get_close_matches(unknown[0], METADATA, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose from {', '.join(METADATA)}"
        raise InputError(f"metadata: these tasks know no {unknown[0]!r}; {hint}")


def _matches(name: str, manager: TaskManager) -> list[str]:
    matches: list[str] = manager.match_tasks([name])
    if matches or (name.endswith(".yaml") and Path(name).is_file()):
        return matches or [name]
    near = difflib.get_close_matches(name, manager.all_tasks, n=1)
    hint = f"did you mean {near[0]}?" if near else "`lm_eval ls tasks` lists the harness' own"
    raise InputError(f"tasks: the harness knows no {name!r}; {hint}")


def _load(name: str, manager: TaskManager) -> list[Any]:
    """A task or group as one, a tag as its tasks."""
    try:
        found = manager.load([name])
    except InputError:
        raise
    except (OSError, RuntimeError, TypeError, ValueError, KeyError, ImportError, DatasetsError, YAMLError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"tasks: {name!r} cannot be loaded ({reason}); check that its data set can be reached from this machine"
        ) from error
    inner = {child for children in found["group_map"].values() for child in children}
    whole = {**found["groups"], **found["tasks"]}
    return [task for own, task in whole.items() if own not in inner]


def _check_together(loaded: list[Any], manager: TaskManager, num_fewshot: int) -> None:
    """No task is there twice, and each has what is asked of it."""
    try:
        found = manager.load(loaded)
    except ValueError as error:
        raise InputError(f"tasks: {error}; name it once") from error
    for name, task in found["tasks"].items():
        examples = len(task.sampler.df) if hasattr(task, "sampler") else num_fewshot
        if examples < num_fewshot:
            raise InputError(
                f"num_fewshot: {name} has {examples} examples for {num_fewshot}; ask for no more than it has"
            )
        if getattr(task, "UNSAFE_CODE", False):
            raise InputError(
                f"tasks: {name} runs code that the model writes; export the model and run the task with `lm_eval "
                "--confirm_run_unsafe_code` where that can do no harm"
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """The harness' loggers leave out what a user cannot act on, while this lasts."""
    loggers = [logging.getLogger(f"lm_eval.{name}") for name in ("api.task", "models.huggingface", "evaluator")]
    for logger in loggers:
        logger.addFilter(_concerns_the_user)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_concerns_the_user)


def _concerns_the_user(record: logging.LogRecord) -> bool:
    return not any(text in record.getMessage() for text in _NOT_THE_USERS_CONCERN)

"""Tasks of the lm-eval harness, asked of the model in memory."""

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Literal, get_args

import lightning as L
import torch
from lightning.pytorch.strategies import DDPStrategy

from lit_unlearn.callbacks.asked_module import held_model, named_source
from lit_unlearn.callbacks.own_file import OwnFile
from lit_unlearn.callbacks.printing import print_lines
from lit_unlearn.distributed.outside_step import outside_step
from lit_unlearn.errors import InputError
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.runs import layout
from lit_unlearn.runs.moment import moment
from lit_unlearn.runs.shown import Shown

Time = Literal["start", "validation", "end"]


class LMEvalHarness(Shown, L.Callback):
    """Asks the updated model any tasks of the lm-eval harness, this package's `mmlu_perturbed` among them.

    It prints the harness' table, logs `val/TASK/METRIC` to any logger and writes `lm_eval.json` into the run's folder:
    the latest results in the harness' format, the `step` they are of, and the scores of `earlier` ones. In `validate`
    and `test` (`test/TASK/METRIC`) the model is asked as it is. What is trained stays bit for bit as without this
    callback: random numbers, the modes of the model's modules and its weights are left as they were.

    Under DDP the processes share the questions; under any other strategy each of them asks all, since the forwards of a
    sharded model need every process.

    Args:
        tasks: names of tasks, groups and tags, or patterns such as `mmlu_perturbed_college_*`.
        at: when to ask during `fit`: at its start, at every validation, at its end.
        batch_size: questions at once, in each process.
        limit: ask the first N questions of each task; below 1, that share of them. None asks all.
        num_fewshot: examples in each prompt; None leaves it to the task.
        metadata: what the tasks are told, e.g. `{"tokens": ["SARS-CoV-2"], "seed": 1}`.
        include_path: folders with tasks of your own.
        log_samples: write every question with its answer as well.

    Raises:
        InputError: an option is out of range; before training, there is no such task or its questions cannot be loaded.
    """

    needs_logits: ClassVar[bool] = True

    def __init__(
        self,
        tasks: list[str],
        *,
        at: Sequence[Time] = ("end",),
        batch_size: int = 16,
        limit: float | None = None,
        num_fewshot: int | None = None,
        metadata: dict[str, Any] | None = None,
        include_path: Sequence[str] = (),
        log_samples: bool = False,
    ) -> None:
        if isinstance(tasks, str) or not tasks:
            raise InputError(f"LMEvalHarness.tasks: {tasks!r} names no tasks; give a list such as ['mmlu_perturbed']")
        if not at or not set(at) <= set(get_args(Time)):
            raise InputError(f"LMEvalHarness.at: must be some of {', '.join(get_args(Time))}, got {list(at)}")
        for name, value in (("batch_size", batch_size), ("limit", limit)):
            if value is not None and value <= 0:
                raise InputError(f"LMEvalHarness.{name}: must be above 0, got {value}")
        self.tasks = tasks
        self.at = tuple(at)
        self.batch_size = batch_size
        self.limit = limit
        self.num_fewshot = num_fewshot
        self.metadata = metadata
        self.include_path = tuple(include_path)
        self.log_samples = log_samples
        self.evaluations: list[dict[str, Any]] = []
        self._file = OwnFile("LMEvalHarness", layout.LM_EVAL)

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Reads the tasks' questions, so that one which cannot be loaded is found before training."""
        from lit_unlearn.harness import evaluation  # takes seconds

        source = named_source(self, pl_module)
        self._tokenizer = load_tokenizer(source)  # the harness' own, which it may give a padding token
        self._tasks = evaluation.load_tasks(
            self.tasks,
            metadata=self.metadata,
            model=source,
            include_path=self.include_path,
            num_fewshot=self.num_fewshot,
        )

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Checks that the results of no other run would be lost."""
        self._file.check(trainer)

    on_test_start = on_validation_start

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asks before training; a resumed run has been asked then."""
        self._file.check(trainer)
        if "start" in self.at and trainer.global_step == 0:
            self._log(self._ask(trainer, pl_module), trainer)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asks after this number of steps."""
        if trainer.validating or trainer.testing or ("validation" in self.at and not trainer.sanity_checking):
            prefix = "test" if trainer.testing else "val"
            scores = self._ask(trainer, pl_module)
            pl_module.log_dict({f"{prefix}/{name}": value for name, value in scores.items()}, sync_dist=True)

    on_test_epoch_end = on_validation_epoch_end

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Asks after training, unless a validation has just done so."""
        asked = bool(self.evaluations) and self.evaluations[-1]["step"] == trainer.global_step
        if "end" in self.at and not asked:
            self._log(self._ask(trainer, pl_module), trainer)

    def state_dict(self) -> dict[str, Any]:
        """The scores so far, so that a resumed run's are whole."""
        return {"evaluations": json.dumps(self.evaluations)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continues after the scores of the interrupted run."""
        self.evaluations = json.loads(state_dict["evaluations"])

    def _ask(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, float]:
        """The scores, the same in all processes; one of them prints and writes."""
        from lit_unlearn.harness import evaluation

        model = held_model(self, pl_module)
        with evaluation.eval_mode(model):
            lent = evaluation.InMemory(
                model,
                self._tokenizer,
                batch_size=self.batch_size,
                through=partial(outside_step, trainer),
                sharing=trainer.strategy if isinstance(trainer.strategy, DDPStrategy) else None,
            )
            results = evaluation.evaluate(
                lent,
                self._tasks,
                limit=1 if trainer.fast_dev_run else self.limit,  # type: ignore[attr-defined]
                num_fewshot=self.num_fewshot,
                log_samples=self.log_samples,
            )
        scores: dict[str, float] = trainer.strategy.broadcast({} if results is None else evaluation.scores(results))
        if results is not None and trainer.is_global_zero:
            print_lines(f"\n{moment(trainer)}\n{evaluation.results_table(results)}")
            self._write(trainer, results | {"step": trainer.global_step})
        self.evaluations.append({"step": trainer.global_step, "scores": scores})
        return scores

    def _write(self, trainer: L.Trainer, results: dict[str, Any]) -> None:
        from lm_eval.utils import handle_non_serializable

        text = json.dumps(results | {"earlier": self.evaluations}, indent=1, default=handle_non_serializable)
        self._file.write(trainer, text)

    def _log(self, scores: dict[str, float], trainer: L.Trainer) -> None:
        """Where Lightning's own way of logging is closed: before the first step and after the last."""
        values = {f"val/{name}": value for name, value in scores.items()}
        trainer.callback_metrics.update({name: torch.tensor(value) for name, value in values.items()})
        for logger in trainer.loggers:
            logger.log_metrics(values, step=trainer.global_step)

"""`fit`, `validate` and `test`: LightningCLI, with a folder for each run and readable errors."""

import argparse
import traceback
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.plugins import CheckpointIO
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.callbacks import ModelSummary, ProgressBar
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI

import lit_unlearn.callbacks
import lit_unlearn.datamodules
import lit_unlearn.losses
import lit_unlearn.losses.no_loss
import lit_unlearn.losses.retain  # noqa: F401  short class names in YAML are those of imported classes
from lit_unlearn.callbacks import LastCheckpoint, LMEvalHarness
from lit_unlearn.callbacks.evaluation import EvaluationCallback
from lit_unlearn.callbacks.progress import RunProgress
from lit_unlearn.callbacks.trained_parameters import TrainedParameters
from lit_unlearn.commands.fit import resuming
from lit_unlearn.commands.fit.checks import (
    check_alone,
    check_devices,
    check_fit,
    check_run,
    check_trainer,
    named_trainer,
)
from lit_unlearn.commands.fit.save_config import SaveConfig
from lit_unlearn.commands.options import help_layout
from lit_unlearn.commands.options.errors import readable
from lit_unlearn.commands.options.parsers import AloneParser, Parser, without_attribute_texts
from lit_unlearn.commands.options.words import Words
from lit_unlearn.errors import InputError
from lit_unlearn.models.precision import weights_dtype
from lit_unlearn.modules.protocols import HasHoldout
from lit_unlearn.modules.question import QuestionModule
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs import layout, requeue
from lit_unlearn.runs.checkpoint_io import WholeCheckpointIO
from lit_unlearn.runs.folder import RunFolder
from lit_unlearn.runs.loggers import loggers

_PRINTING = (LMEvalHarness, EvaluationCallback)
"""Callbacks that print tables of their own."""
_DESCRIPTIONS = {
    "fit": "Unlearns: trains a model to forget one stream of text and to retain another, and evaluates it.",
    "validate": "Evaluates a model, without training; results are logged under val/.",
    "test": "Evaluates a model, without training; results are logged under test/.",
}
_BUILT = ("parser", "_subcommand_parsers", "_subcommand_method_arguments")
_PARSERS: dict[tuple[object, ...], dict[str, Any]] = {}
"""What `setup_parser` makes, by class of the CLI and of its model, by command, and by whether help is asked for."""


class UnlearnCLI(LightningCLI):
    """LightningCLI for our modules and any DataModule; every run writes into a folder of its own."""

    model: UnlearnModule | QuestionModule

    def __init__(self, words: Words, folder: RunFolder, *, alone: bool = False) -> None:
        self.folder, self.words = folder, words
        super().__init__(
            QuestionModule if alone else UnlearnModule,
            L.LightningDataModule,
            subclass_mode_data=True,
            save_config_callback=SaveConfig,
            save_config_kwargs={"save_to_log_dir": False},
            seed_everything_default=0,
            parser_class=AloneParser if alone else Parser,
            args=list(words),
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]  # Lightning asks the instance
        """The command that is run, alone: nobody reads the parsers of the others."""
        return {self.words.command: LightningCLI.subcommands()[self.words.command]}

    def setup_parser(self, *args: Any, **kwargs: Any) -> None:
        """The parser of the command; the runs of one process share it."""
        kind = (type(self), self._model_class, self.words.command, self.words.ask_for_help)
        if kind not in _PARSERS:
            with self._texts():
                self._build_parsers(*args, **kwargs)
            _PARSERS[kind] = {name: getattr(self, name) for name in _BUILT}
        vars(self).update(_PARSERS[kind])
        for parser in (self.parser, *self._subcommand_parsers.values()):
            parser._instantiators = None  # each keeps the CLI that added it, and with it that run's model

    def _texts(self) -> AbstractContextManager[None]:
        """Within this context parsers have the texts that are going to be read."""
        return nullcontext() if self.words.ask_for_help else without_attribute_texts()

    def _build_parsers(self, *args: Any, **kwargs: Any) -> None:
        """The parser, with the meaning that some options have here."""
        super().setup_parser(*args, **kwargs)
        for command, parser in self._subcommand_parsers.items():
            help_layout.arrange(parser, command, _DESCRIPTIONS[command])
            if command == "fit":
                continue
            parser.set_defaults(verbose=None)
            _option(parser, "verbose").help = "print Lightning's own table of results; null: where no other is printed"
            if self._model_class is QuestionModule:
                model = _option(parser, "model")
                model.metavar, model.help = "PATH", "folder or hub name of the model, for the files' `model` section"

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        """Parses the words given, never the process's own, and the files among them, which are opened already."""
        for command in self._subcommand_parsers.values():
            if isinstance(command, AloneParser):
                command.files = {file.path: file for file in self.words.files}
        try:
            with self._texts():
                self.config = parser.parse_args(args)
        except RecursionError as error:
            raise InputError("--config: options are nested within themselves or too deep; fix the file") from error

    def _set_seed(self) -> None:
        try:
            super()._set_seed()
        except ValueError as error:
            raise InputError(f"seed_everything: {error}; give a number in between") from error

    def _parse_ckpt_path(self) -> None:
        """Options are those given: Lightning would let a checkpoint's replace them without a word."""

    def instantiate_classes(self) -> None:
        """The data, the model and the Trainer, from options of the right types.

        Raises:
            InputError: values that one of them refuses.
        """
        try:
            super().instantiate_classes()
        except (ValueError, MisconfigurationException) as error:
            raise _refusal(error, self._parser(self.subcommand)) from error

    def instantiate_trainer(self, **kwargs: Any) -> L.Trainer:
        """The Trainer, writing into the run's folder; without a logger of the user's, metrics go to `metrics.csv`."""
        options = self.config[self.subcommand]
        check_trainer(self.config_init[self.subcommand].trainer)
        check_devices(options.trainer)
        again = options.ckpt_path == resuming.LAST
        if again:
            resuming.check_last(str(self.subcommand), options)
        wanted, configs = options.trainer.default_root_dir, [str(path) for path in options.config or []]
        evaluation = resuming.saved(self._parser(self.subcommand), options) if self._keeps_answers else None
        folder = self.folder.claim(wanted, configs, again=again, evaluation=evaluation)
        if again:
            self._resume(folder)
        kwargs |= self._defaults(folder)
        with named_trainer():
            trainer = super().instantiate_trainer(**kwargs)
        if not any(isinstance(one, LastCheckpoint) for one in trainer.checkpoint_callbacks):
            requeue.taken_from_lightning(trainer)  # a job that is queued again has nothing to resume from
        self.folder.began = lambda: trainer.global_step > 0
        return trainer

    @property
    def _keeps_answers(self) -> bool:
        """Whether this is an evaluation whose answers are kept in its folder; a store of answers keeps them itself."""
        return self.subcommand != "fit" and self.config[self.subcommand].model.get("answer_store") is None

    def _resume(self, folder: Path) -> None:
        """Takes the run's own checkpoint, if there is one, and prints which."""
        options = resuming.saved(self._parser("fit"), self.config["fit"])
        resuming.check_options(folder, options)
        first = getattr(rank_zero_only, "rank", 0) == 0
        if resuming.is_finished(folder):
            if first:
                print(f"The run in {folder} is finished; a longer one: --ckpt_path {folder / layout.LAST_CHECKPOINT}")
            raise SystemExit(0)
        if first:
            resuming.clean(folder)
        path = resuming.last(folder, options)
        self.config_init["fit"].ckpt_path = path
        if first:
            print(f"Resuming from {path}" if path else f"There is no checkpoint in {folder} yet: from the beginning")

    def _defaults(self, folder: Path) -> dict[str, Any]:
        """What is there where the user has not said otherwise."""
        options = self.config_init[self.subcommand].trainer
        given: dict[str, Any] = {"default_root_dir": str(folder)}
        given["logger"] = loggers(options.logger, folder) or False
        callbacks, plugins = _listed(options.callbacks), _listed(options.plugins)
        if options.enable_checkpointing is not False and not any(isinstance(one, LastCheckpoint) for one in callbacks):
            given["callbacks"] = [*callbacks, LastCheckpoint()]
        if options.enable_progress_bar is not False and not any(isinstance(one, ProgressBar) for one in callbacks):
            given["callbacks"] = [RunProgress(), *given.get("callbacks", callbacks)]
        if options.enable_model_summary is not False and not any(isinstance(one, ModelSummary) for one in callbacks):
            given["callbacks"] = [TrainedParameters(), *given.get("callbacks", callbacks)]
        if self._keeps_answers:
            from lit_unlearn.callbacks.kept_answers import KeptAnswers  # help would list it among the user's callbacks

            given["callbacks"] = [*given.get("callbacks", callbacks), KeptAnswers()]
        if not any(isinstance(one, CheckpointIO) for one in plugins):
            given["plugins"] = [*plugins, WholeCheckpointIO()]
        return given

    def before_fit(self) -> None:
        """Checks what can be checked before a corpus is read, which takes long.

        Raises:
            InputError: the checkpoint, the model or an option that depends on the model cannot be used.
        """
        self._check()
        assert isinstance(self.model, UnlearnModule)
        check_fit(self.config_init["fit"], self.model, self.datamodule, trainer=self.trainer)

    def before_validate(self) -> None:
        """As `before_test`."""
        self.before_test()

    def before_test(self) -> None:
        """Checks as `before_fit` does, but for the optimizer; one table of results is enough."""
        self._check()
        options = self.config_init[self.subcommand]
        if options.verbose is None:
            printed = any(isinstance(found, _PRINTING) for found in self.trainer.callbacks)  # type: ignore[attr-defined]
            held_out = isinstance(self.datamodule, HasHoldout) and self.datamodule.holdout > 0
            # Losses are in no other table.
            options.verbose = not printed or (held_out and isinstance(self.model, UnlearnModule))

    def _check(self) -> None:
        options, trainer = self.config_init[self.subcommand], self.trainer
        if isinstance(self.model, QuestionModule):
            check_alone(options)
            self.model.check_data(self.datamodule)
        weights_dtype(str(trainer.precision))
        processes = trainer.num_devices * trainer.num_nodes
        check_run(options, self.model, trainer=trainer, strategy=trainer.strategy, processes=processes)


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple) else [given]


def _option(parser: LightningArgumentParser, name: str) -> argparse.Action:
    return next(action for action in parser._actions if action.dest == name)


def _refusal(error: Exception, parser: LightningArgumentParser) -> InputError:
    """The reason behind an error, which jsonargparse wraps in one of its own where an option may be left out."""
    reason: BaseException = error
    while not isinstance(reason, InputError | MisconfigurationException) and reason.__cause__ is not None:
        reason = reason.__cause__
    if isinstance(reason, InputError):
        return reason
    where = "trainer: " if isinstance(reason, MisconfigurationException) else ""
    return InputError(f"{where}{readable(str(reason), parser) if _is_jsonargparses(reason) else reason}")


def _is_jsonargparses(error: BaseException) -> bool:
    """Whether an error was raised by jsonargparse, not by a class that it has made."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return bool(frames) and str(frames[-1].f_globals.get("__name__")).startswith("jsonargparse")

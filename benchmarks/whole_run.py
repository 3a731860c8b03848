"""A run as `fit` and `validate` make it, on generated texts and questions."""

import argparse
from pathlib import Path
from typing import Any

import lightning as L
import torch

from benchmarks.generated import write_questions, write_texts
from benchmarks.phases import MeasuredExport, Phase, Phases
from benchmarks.step import METHODS
from lit_unlearn import QuestionModule, TextSource, UnlearnDataModule, UnlearnModule
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.questions.sets import EvaluationSource
from lit_unlearn.questions.source import QuestionSource, load_questions, prompt

_STEPS, _BATCHES = 2, 1
"""Of training and of questions that do not count: the first step makes the optimizer's state."""


def module_of(folder: Path, options: argparse.Namespace) -> UnlearnModule:
    """The module of the run.

    Args:
        folder: of the model.
        options: of the command.
    """
    method = METHODS[options.method]
    return UnlearnModule(
        str(folder),
        method.forget(),
        method.retain(),
        layer=options.layer,
        retain_weight=method.retain_weight,
        noise_scale=method.noise,
        activation_checkpointing=options.activation_checkpointing,
        seed=0,
    )


def fit(folder: Path, work: Path, options: argparse.Namespace) -> dict[str, Phase]:
    """Loads, trains, and exports unless that is left out.

    Args:
        folder: of the model.
        work: where to write.
        options: of the command.
    """
    phases = Phases(torch.device(options.device), _STEPS)
    exports = [] if "export" in options.leave_out else [MeasuredExport(str(work / "export"))]
    trainer = _trainer(work, options, max_steps=_STEPS + options.steps, callbacks=[phases, *exports])
    trainer.fit(module_of(folder, options), _data(work, options))
    return phases.found | {name: one for export in exports for name, one in export.found.items()}


def evaluate(folder: Path, work: Path, options: argparse.Namespace) -> dict[str, Phase]:
    """Loads the whole model and evaluates it on questions, in batches of a given size.

    Args:
        folder: of the model.
        work: where to write.
        options: of the command.
    """
    path = work / "questions.jsonl"
    write_questions(path, options.questions * (_BATCHES + options.steps))
    source = QuestionSource(str(path))
    tokens = len(load_tokenizer(ModelSource(str(folder))).encode(prompt(load_questions(source)[0])))
    asked = EvaluationSource({"generated": source}, max_tokens=options.questions * tokens)
    phases = Phases(torch.device(options.device), _BATCHES)
    trainer = _trainer(work, options, callbacks=[phases])
    trainer.validate(QuestionModule(str(folder)), _data(work, options, asked), verbose=False)
    return phases.found


def _data(work: Path, options: argparse.Namespace, asked: EvaluationSource | None = None) -> UnlearnDataModule:
    forget, retain = (_stream(work / f"{name}.jsonl", options) for name in ("forget", "retain"))
    return UnlearnDataModule(forget, retain, batch_size=options.rows, evaluation=asked, seed=0)


def _stream(path: Path, options: argparse.Namespace) -> dict[str, TextSource]:
    write_texts(path, rows=4 * options.rows, tokens=options.tokens)
    return {"generated": TextSource(str(path), min_length=0, max_length=options.tokens)}


def _trainer(work: Path, options: argparse.Namespace, **own: Any) -> L.Trainer:
    device = torch.device(options.device)
    return L.Trainer(
        accelerator=device.type,
        devices=[device.index or 0] if device.type == "cuda" else 1,
        precision=options.precision,
        log_every_n_steps=1,  # as in the recipes
        default_root_dir=work,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **own,
    )

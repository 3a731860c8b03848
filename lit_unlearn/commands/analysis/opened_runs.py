"""Finished runs, opened for an analysis: their options, data and models; nothing is trained."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import cast

import torch
from torch import nn
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

from lit_unlearn.callbacks import ExportPretrained, PerturbationRobustness
from lit_unlearn.commands.fit.config_cli import ConfigCLI
from lit_unlearn.commands.options.words import Words
from lit_unlearn.commands.report.runs import BASE
from lit_unlearn.datamodules import UnlearnDataModule
from lit_unlearn.errors import InputError
from lit_unlearn.models import loading
from lit_unlearn.models.first_layers import FirstLayers
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.precision import weights_dtype
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.tokenizer import load_tokenizer
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.runs import layout


class Run:
    """A finished run, or a config of one.

    Args:
        path: the run's folder; or a config, where no unlearned model is needed.
        words: further options of `fit`, which win over the run's own.

    Raises:
        InputError: there is no such run or config, or it cannot be read.
    """

    def __init__(self, path: Path, words: Sequence[str] = ()) -> None:
        self.path = path
        self.name = path.resolve().name
        # What an earlier one was seeded with is not this one's.
        os.environ.pop("PL_GLOBAL_SEED", None)
        try:
            self._config = ConfigCLI(_options(path, words))
        except InputError as error:
            raise InputError(f"{path}: {error}") from error

    @property
    def module(self) -> UnlearnModule:
        """The options of the model; its weights are not loaded."""
        return self._config.model

    @cached_property
    def data(self) -> UnlearnDataModule:
        """The run's data, ready: rows are tokenised, questions drawn."""
        data, trainer = self._config.datamodule, self._config.trainer
        if not isinstance(data, UnlearnDataModule):
            raise InputError(
                f"{self.path}: data: {type(data).__name__} has no streams that an analysis can read; take a run of "
                "UnlearnDataModule or of one that extends it"
            )
        trainer.strategy.connect(self.module)  # whose tokenizer the data takes
        data.trainer = trainer
        data.mixing = None  # an analysis reads the streams as they are
        data.prepare_data()
        data.setup("fit")
        return data

    @property
    def to_forget(self) -> tuple[str, ...]:
        """Names of the question sets that are to be forgotten."""
        found = [one for one in self._callbacks() if isinstance(one, PerturbationRobustness)]
        return found[0].forget if found else PerturbationRobustness().forget

    @property
    def export(self) -> Path:
        """The folder of the unlearned model.

        Raises:
            InputError: there is none.
        """
        named = [one.folder for one in self._callbacks() if isinstance(one, ExportPretrained) and one.folder]
        path = Path(named[0]) if named else self.path / layout.EXPORT
        if not path.is_dir():
            raise InputError(
                f"{self.path}: there is no unlearned model in {path}; let the run finish with the callback "
                "ExportPretrained"
            )
        return path

    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The model's own."""
        return load_tokenizer(self.module.model_source)

    def model_config(self) -> PretrainedConfig:
        """The model's configuration."""
        return loading.load_config(self.module.model_source)

    def load_base(self) -> PreTrainedModel:
        """The model before unlearning, on the config's device and in its precision."""
        return self._load(self.module.model_source)

    def load_first_layers(self) -> PreTrainedModel:
        """As `load_base`, of the layers up to the steering layer alone; the others are not loaded."""
        shape = self.module.without_weights(self._dtype())
        part = FirstLayers.of(shape, self.layers(shape), self.module.layer)
        return self._load(self.module.model_source, part)

    def load_unlearned(self) -> PreTrainedModel:
        """The model after unlearning, on the same device and in the same precision."""
        return self._load(replace(self.module.model_source, pretrained=str(self.export), revision="main"))

    def layers(self, model: PreTrainedModel) -> nn.ModuleList:
        """The decoder layers of one of the two."""
        return decoder_layers(model, self.module.decoder_layers)

    def _load(self, source: ModelSource, part: FirstLayers | None = None) -> PreTrainedModel:
        model = loading.load_model(source, self._dtype(), part=part)
        return cast(PreTrainedModel, model.to(self._config.trainer.strategy.root_device))  # type: ignore[arg-type]

    def _dtype(self) -> torch.dtype:
        return weights_dtype(str(self._config.trainer.precision))

    def _callbacks(self) -> list[object]:
        found = self._config.config_init["fit"].trainer.callbacks or []
        return list(found) if isinstance(found, list) else [found]  # Lightning takes a single one too


def open_runs(paths: Sequence[Path], words: Sequence[str] = ()) -> list[Run]:
    """Finished runs of one base model, each named by what tells it from the others.

    Args:
        paths: their folders.
        words: further options of `fit`, for all of them.

    Raises:
        InputError: one is not finished or began with another model.
    """
    names = _names([path.resolve() for path in paths])
    runs = [Run(path, words) for path in paths]
    for run, name in zip(runs, names, strict=True):
        run.name = name
        _ = run.export
        own, first = run.module.model_source, runs[0].module.model_source
        if (own.given, own.revision) != (first.given, first.revision):
            raise InputError(
                f"{run.path}: began with {own.given}, {runs[0].path} with {first.given}; give runs of one model"
            )
    return runs


def _names(paths: Sequence[Path]) -> list[str]:
    """What tells folders from each other and from the base."""
    if len(set(paths)) < len(paths):
        raise InputError(f"analyse: {', '.join(map(str, paths))}: a run is given twice; give each once")
    shared = os.path.commonpath(paths) if len(paths) > 1 else paths[0].parent
    names = [path.relative_to(shared).as_posix() for path in paths]
    return [f"./{name}" if name == BASE else name for name in names]


def _options(path: Path, words: Sequence[str]) -> Words:
    """The options of a run's folder, or of a config, with others that win over them."""
    config, remedy = path / layout.CONFIG if path.is_dir() else path, "give the folder of a run of `lit-unlearn fit`"
    if path.is_dir() and not config.is_file():
        raise InputError(f"there is no {layout.CONFIG}; {remedy}")
    options = Words.read(["-c", str(config), *words, "--ckpt_path=null"], command="fit")
    if path.is_dir() and "verbose" in options.files[0].options:  # an option of these alone
        raise InputError(f"this is a run of validate or test, which leaves no model; {remedy}")
    return options

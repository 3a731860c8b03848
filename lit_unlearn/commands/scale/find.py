"""Finds the settings: a layer by its states, lengths in their units, learning rate and retain weight by trying."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, cast

import yaml
from torch import Tensor
from torch.optim import Optimizer
from tqdm import tqdm
from transformers.utils.logging import disable_progress_bar, enable_progress_bar

from lit_unlearn.callbacks import RetainConstraint, RetainSchedule, ShrinkAndPerturb, StopAtForgetting
from lit_unlearn.commands.fit.config_cli import ConfigCLI
from lit_unlearn.commands.log_filter import silent
from lit_unlearn.commands.options.words import Words
from lit_unlearn.commands.scale.aim import Aim, following, reaches, worth
from lit_unlearn.commands.scale.layers import LayerStates, candidates, chosen_layer, measure_layers
from lit_unlearn.commands.scale.probe import Probe, run, told
from lit_unlearn.commands.scale.settings import Settings, fitting
from lit_unlearn.commands.scale.watch import Watch
from lit_unlearn.datamodules import UnlearnDataModule
from lit_unlearn.errors import InputError
from lit_unlearn.losses.contract import Batch
from lit_unlearn.models import loading
from lit_unlearn.models.layers import decoder_layers, published_layers
from lit_unlearn.models.precision import weights_dtype
from lit_unlearn.runs.waiting import watched

BATCHES = 8
"""Steps whose retain rows are measured after every layer."""
RAMP = 40
"""Steps in which the learning rate grows from its smallest to its largest."""
SMALLEST, LARGEST = 1e-5, 3e-2
_CHANGING = (RetainConstraint, RetainSchedule, ShrinkAndPerturb)
"""Callbacks that change weights or losses while a run trains."""
FALLEN = {False: 0.5, True: 0.3}
"""Share of the first forget loss after which the ramp ends, by whether the loss reads logits."""


class Found(NamedTuple):
    """What was measured and what follows from it."""

    model: str
    method: str
    aim: Aim
    layers: list[LayerStates]
    ramp: Probe
    probes: list[Probe]
    settings: Settings
    best: Probe

    @property
    def reached(self) -> bool:
        """Whether the settings reach what is asked for."""
        return reaches(self.best, self.aim)

    @property
    def trained_layers(self) -> range:
        """Indices of the layers whose MLP output projections the published recipe trains."""
        return published_layers(self.settings.layer)

    def as_json(self) -> dict[str, Any]:
        """All numbers: nats per token, norms, seconds."""
        return {
            "model": self.model,
            "method": self.method,
            "aim": self.aim._asdict(),
            "candidates": list(candidates(len(self.layers))),
            "layers": [one._asdict() | {"sink": one.sink, "reach": one.reach} for one in self.layers],
            "ramp": _plain(self.ramp),
            "probes": [_plain(one) for one in self.probes],
            "settings": self.settings.overlay(),
            "best": self.probes.index(self.best),
            "reached": self.reached,
        }


def find(words: Words, aim: Aim, *, layer: int | None = None, own_rise: bool = False) -> Found:
    """Measures the model and tries settings on it.

    Args:
        words: of `fit`: the model, the data, the losses.
        aim: what to reach.
        layer: the steering layer; None chooses it.
        own_rise: whether the config's StopAtForgetting, if there is one, says how much is to be forgotten.

    Raises:
        InputError: an option, the model or the data cannot be used.
    """
    config = ConfigCLI(words)
    _check(config)
    stop = _own_stop(config)
    if stop is not None:
        aim = aim._replace(forget=stop.rise if own_rise else aim.forget)
        if stop.rise != aim.forget:
            raise InputError(
                f"scale.forget: {aim.forget:g} nats are asked for, and the config's StopAtForgetting ends a run at "
                f"{stop.rise:g}; leave out --forget, or set that callback's rise"
            )
    states = _layer_states(config)
    if layer is not None and not 0 <= layer < len(states):
        raise InputError(f"scale.layer: there is no layer {layer}; the model has 0 to {len(states) - 1}")
    layer = chosen_layer(states) if layer is None else layer
    settings = fitting(config.model, states, layer, steps=aim.steps, rise=aim.forget if stop is None else None)
    hidden = not watched(sys.stderr)
    with (
        _tried(words) as tried,
        tqdm(total=1 + aim.probes, desc="short trainings", disable=hidden) as bar,
    ):
        bar.write(f"norms measured, layer {layer} taken; next at most {RAMP} steps, lr growing", file=sys.stderr)
        ramp = tried(
            settings._replace(learning_rate=SMALLEST),
            RAMP,
            Watch(
                growth=(LARGEST / SMALLEST) ** (1 / (RAMP - 1)),
                stop_at=FALLEN[config.model.forget.needs_logits],
                measures=False,
            ),
        )
        bar.update()
        bar.write(f"ramp: {len(ramp.forget_loss)} steps in {ramp.seconds:.0f} s", file=sys.stderr)
        settings = settings._replace(learning_rate=_rounded(2 * ramp.moved / aim.steps))
        probes: list[Probe] = []
        known: Tensor | None = None  # of the retain rows before training
        all_settings: list[Settings] = []
        for _ in range(aim.probes):
            watch = Watch(before=known)
            probes.append(tried(settings, aim.steps, watch, rise=aim.forget))
            known = watch.before
            all_settings.append(settings)
            bar.update()
            bar.write(f"{len(probes)}: {told(probes[-1])}", file=sys.stderr)
            if reaches(probes[-1], aim):
                break
            settings = following(settings, probes, aim)
    best = max(range(len(probes)), key=lambda place: worth(probes[place], aim))
    return Found(
        config.model.model_source.name,
        type(config.model.forget).__name__,
        aim,
        states,
        ramp,
        probes,
        all_settings[best],
        probes[best],
    )


def _layer_states(config: ConfigCLI) -> list[LayerStates]:
    module, data, trainer = config.model, cast(UnlearnDataModule, config.datamodule), config.trainer
    trainer.strategy.connect(module)  # whose tokenizer the data takes
    data.trainer = trainer
    data.prepare_data()
    data.setup("fit")
    model = loading.load_model(module.model_source, weights_dtype(str(trainer.precision)))
    model.to(trainer.strategy.root_device)  # type: ignore[arg-type]

    def batches() -> Iterator[Batch]:
        for pair in islice(data.train_dataloader(), BATCHES):
            yield module.transfer_batch_to_device(pair["retain"], trainer.strategy.root_device, 0)

    return measure_layers(model, decoder_layers(model, module.decoder_layers), batches())


@contextmanager
def _tried(words: Words) -> Iterator[Any]:
    """A function that trains with some settings; what the trainings share is computed once."""
    with tempfile.TemporaryDirectory(prefix="lit-unlearn-scale-") as folder:

        def tried(settings: Settings, steps: int, watch: Watch, *, rise: float | None = None) -> Probe:
            overlay = Path(folder) / "overlay.yaml"
            model: dict[str, Any] = {"whole_model": True}
            if not words.has("model.prefix_store") and "prefix_store" not in words.section("model"):
                model["prefix_store"] = {"folder": f"{folder}/states"}
            options = settings.overlay()
            options["model"] |= model
            overlay.write_text(yaml.safe_dump(options))
            return run(Words.read([*words.typed, "-c", str(overlay)], command="fit"), steps, watch, rise=rise)

        with silent():
            disable_progress_bar()
            try:
                yield tried
            finally:
                enable_progress_bar()


def _own_stop(config: ConfigCLI) -> StopAtForgetting | None:
    """What ends the config's runs, if its callbacks have it."""
    callbacks = config.config_init["fit"].trainer.callbacks or []
    return next((one for one in callbacks if isinstance(one, StopAtForgetting)), None)


def _check(config: ConfigCLI) -> None:
    data, module = config.datamodule, config.model
    if not isinstance(data, UnlearnDataModule):
        raise InputError(
            f"scale: data: {type(data).__name__} holds no rows out; take UnlearnDataModule or one that extends it"
        )
    if not data.holdout:
        raise InputError(
            "scale: data.holdout: no rows are held out, so that no setting can be measured; hold some out, "
            "such as --data.holdout 0.1"
        )
    if module.lora is not None:
        raise InputError("scale: model.lora: adapters are not scaled yet; leave lora out")
    for callback in config.config_init["fit"].trainer.callbacks or []:
        if isinstance(callback, _CHANGING):
            raise InputError(
                f"scale: trainer.callbacks: {type(callback).__name__} changes what a training does, and those that are "
                "tried have no callbacks of the config; leave it out"
            )
    module.check_optimizer()
    if sets_its_own_rate(module.lr_scheduler, module._optimizer()):
        raise InputError(
            "scale: model.lr_scheduler sets learning rates of its own, whatever that of the optimizer is, which is to "
            "be found; leave it out, --model.lr_scheduler null"
        )


def sets_its_own_rate(scheduler: Callable[[Optimizer], object] | None, optimizer: Optimizer) -> bool:
    """Whether a scheduler replaces the optimizer's learning rate, as OneCycleLR does, instead of scaling it.

    Args:
        scheduler: makes one of an optimizer; None if there is none.
        optimizer: with a learning rate, not scheduled yet.
    """
    if scheduler is None:
        return False
    scheduler(optimizer)
    return any(group["initial_lr"] != optimizer.defaults["lr"] for group in optimizer.param_groups)


def _rounded(value: float) -> float:
    """To two digits."""
    return float(f"{value:.1e}")


def _plain(probe: Probe) -> dict[str, Any]:
    retain = probe.retain and probe.retain._asdict() | {"strays": [one._asdict() for one in probe.retain.strays]}
    return probe._asdict() | {"forget": probe.forget and probe.forget._asdict(), "retain": retain}

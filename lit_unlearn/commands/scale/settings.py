"""The settings of a method that depend on the model, and the overlay that holds them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from lit_unlearn.commands.scale.layers import LayerStates
from lit_unlearn.losses.units import Length
from lit_unlearn.models.layers import published_layers
from lit_unlearn.modules.unlearn import UnlearnModule

LENGTH = 4.0
"""Mean norms to which or by which forget states are steered, in units of their dimensions, where all dimensions count
alike; published: about 2.75 of states as they are, most of whose norm is in a few dimensions."""
WITHIN = 0.75
"""Share of what the trained matrices can add at most that is asked of them."""
NOISE = 0.6
"""Root mean squares of a dimension; published: 0.6 with first tokens counted."""
WEIGHT = 100.0
"""Retain weight of losses on representations that is tried first."""


class Settings(NamedTuple):
    """What is set."""

    layer: int
    learning_rate: float
    retain_weight: float | list[float]
    steps: int
    length: tuple[str, float] | None = None
    """Name and value of the forget loss's length in norms: `coefficient`, or Adaptive RMU's `scale`."""
    forget: str = ""
    """Class of the forget loss."""
    noise: bool = False
    """Whether the run has noise."""
    representations: bool = True
    """Whether a loss reads hidden states."""
    optimizer: str = "torch.optim.AdamW"
    rise: float | None = None
    """Nats per token that held-out forget rows lose before training ends; None: the config's callbacks end it."""

    def slower(self, by: float) -> "Settings":
        """With the learning rate divided by a factor."""
        return self._replace(learning_rate=float(f"{self.learning_rate / by:.2g}"))

    def weighed(self, by: float) -> "Settings":
        """With the retain weight multiplied by a factor."""
        weight = self.retain_weight
        found = [float(f"{by * one:.3g}") for one in (weight if isinstance(weight, list) else [weight])]
        return self._replace(retain_weight=found if isinstance(weight, list) else found[0])

    def overlay(self) -> dict[str, Any]:
        """As options of `fit`."""
        model: dict[str, Any] = {"layer": self.layer}
        if self.representations:
            model |= {"state_unit": "rms", "first_token": False}
        if self.length is not None:
            name, value = self.length
            options = {name: value} | ({"unit": "norm"} if name == "coefficient" else {})
            model["forget"] = {"class_path": self.forget, "init_args": options}
        if self.noise:
            model |= {"noise_scale": NOISE, "noise_unit": "rms"}
        model["retain_weight"] = self.retain_weight
        model["optimizer"] = {"class_path": self.optimizer, "init_args": {"lr": self.learning_rate}}
        # Evaluated before and after, where it stops.
        trainer: dict[str, Any] = {"max_steps": self.steps, "check_val_every_n_epoch": None}
        trainer |= {"val_check_interval": self.steps}
        if self.rise is not None:
            trainer["callbacks+"] = [{"class_path": "StopAtForgetting", "init_args": {"rise": self.rise}}]
        return {"model": model, "trainer": trainer}


def fitting(
    module: UnlearnModule, states: Sequence[LayerStates], layer: int, *, steps: int, rise: float | None
) -> Settings:
    """Settings of which the learning rate is still to be found.

    Args:
        module: its losses and noise; its model is not loaded.
        states: of every layer of the model.
        layer: the steering layer.
        steps: of the run, at most.
        rise: nats per token that held-out forget rows are to lose; None where the config's own callback ends a run.
    """
    representations = not (module.forget.needs_logits and module.retain.needs_logits)
    return Settings(
        layer=layer,
        learning_rate=0.0,
        retain_weight=WEIGHT if representations else module.retain_weight.values,
        steps=steps,
        length=_length(module, states, layer),
        forget=type(module.forget).__name__,
        noise=module.noise_scale > 0,
        representations=representations,
        optimizer=_name(type(module._optimizer())),
        rise=rise,
    )


def reach(states: Sequence[LayerStates], layer: int) -> float | None:
    """Norms that the MLPs of the published layers can add together; None where nothing bounds them.

    Args:
        states: of every layer.
        layer: the steering layer.
    """
    # What each adds is compared with the states at the steering layer, whose unit the losses read.
    bounded = [states[place]._replace(rms=states[layer].rms).reach for place in published_layers(layer)]
    return None if None in bounded else sum(one for one in bounded if one is not None)


def _length(module: UnlearnModule, states: Sequence[LayerStates], layer: int) -> tuple[str, float] | None:
    bound = reach(states, layer) if module.trainable is None else None
    value = LENGTH if bound is None else min(LENGTH, round(WITHIN * bound, 1))
    if any(isinstance(part, Length) for part in module.forget.modules()):
        return "coefficient", value
    return ("scale", value) if hasattr(module.forget, "scale") else None


def _name(kind: type) -> str:
    return (
        f"torch.optim.{kind.__name__}"
        if kind.__module__.startswith("torch.optim")
        else f"{kind.__module__}.{kind.__name__}"
    )

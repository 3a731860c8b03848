"""Kinds of noise for the frozen model's retain states: Gaussian, of one length, along displacements, adversarial."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from lightning.fabric.utilities import rank_zero_warn
from torch import Tensor
from torch.nn.functional import normalize

from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.losses.contract import Loss
from lit_unlearn.randomness import gaussian_noise
from lit_unlearn.runs.shown import Shown

_BEGINNING = 1e-3
"""Share of the radius at which the ascent begins."""


class NoisePlace(NamedTuple):
    """What noise is a function of."""

    row: Tensor
    """`[batch]`, the number of each row in its stream."""
    position: Tensor
    """`[batch, seq]`, the place of each token in its row."""
    seed: int
    """Of the run."""
    step: int
    """Optimizer step."""

    def gaussian(self, dim: int) -> Tensor:
        """Standard normal numbers, float32 `[batch, seq, dim]`."""
        return gaussian_noise(self.row, self.position, dim, seed=self.seed, step=self.step)


class NoiseKind(Shown, ABC):
    """How noise of a standard deviation ν of each dimension is drawn, as a pure function of its place."""

    directions_needed: int = 0
    """How many directions of displacement it is drawn along, which are measured before training."""
    reads_loss: ClassVar[bool] = False
    """Whether it follows the gradient of the retain loss from where it is drawn."""

    @abstractmethod
    def draw(self, place: NoisePlace, scale: float | Tensor, dim: int) -> Tensor:
        """Returns float32 `[batch, seq, dim]`.

        Args:
            place: what it is a function of.
            scale: ν, of all dimensions or `[dim]`.
            dim: width of the hidden states.
        """


class GaussianNoise(NoiseKind):
    """Independent for each token and dimension, as published (RNA)."""

    def draw(self, place: NoisePlace, scale: float | Tensor, dim: int) -> Tensor:
        """Returns float32 `[batch, seq, dim]`."""
        return scale * place.gaussian(dim)


class SphereNoise(NoiseKind):
    """Gaussian noise scaled to the norm ν √dim at each token: the control of kinds with a direction. Ours."""

    def draw(self, place: NoisePlace, scale: float | Tensor, dim: int) -> Tensor:
        """Returns float32 `[batch, seq, dim]`, each token's noise of one norm."""
        return radius(scale, dim) * normalize(scale * place.gaussian(dim), dim=-1)


class DisplacementNoise(NoiseKind):
    """Noise of norm ν √dim along what forget tokens do to the frozen model's states on retain rows. Ours.

    Before training a span of each retain row of the first steps is replaced by forget tokens, and the displacement
    h(replaced) - h(clean) is measured at the tokens after the span. With v_i, λ_i the leading eigenvectors and
    eigenvalues of its second moment, the noise is Σ_i g_i √λ_i v_i with independent standard normal g_i, scaled to its
    norm.

    Args:
        directions: how many eigenvectors, 1 or more.

    Raises:
        InputError: the number is below 1.
    """

    def __init__(self, directions: int = 16) -> None:
        check_at_least("model.noise.directions", directions, 1)
        self.directions = self.directions_needed = directions
        self.factors: tuple[tuple[float, ...], ...] | None = None
        """√λ_i v_i, `[directions, dim]`; None until they are measured."""

    def draw(self, place: NoisePlace, scale: float | Tensor, dim: int) -> Tensor:
        """Returns float32 `[batch, seq, dim]`, each token's noise of one norm.

        Raises:
            InputError: the directions have not been measured.
        """
        if self.factors is None:
            raise InputError(
                "model.noise: the directions of DisplacementNoise are measured at the start of a fit, and this run has "
                "none; start a new run, or set model.noise to GaussianNoise"
            )
        factors = torch.tensor(self.factors, dtype=torch.float32, device=place.row.device)
        return radius(scale, dim) * normalize(place.gaussian(len(factors)) @ factors, dim=-1)


class AdversarialNoise(NoiseKind):
    """Noise within the ball of radius ν √dim that raises the retain loss: projected gradient ascent.

    It begins at a thousandth of SphereNoise, as the gradient is 0 where both models are equal. Each step moves each
    token's noise by the radius along its gradient, and back into the ball: the attack of latent adversarial training
    (Casper et al. 2024, arXiv 2403.05030). With RepresentationMSE a step ends at -ν √dim times the unit vector of
    h_updated - h_frozen.

    Differs from latent adversarial training: there the perturbed states are the trained model's own, here they are the
    frozen model's, as in Random Noise Augmentation.

    Args:
        steps: of the ascent, 1 or more.

    Raises:
        InputError: the number is below 1.
    """

    reads_loss: ClassVar[bool] = True

    def __init__(self, steps: int = 1) -> None:
        if steps < 1:
            raise InputError(f"model.noise.steps: {steps} is not a number of steps; give 1 or more, or SphereNoise")
        self.steps = steps

    def draw(self, place: NoisePlace, scale: float | Tensor, dim: int) -> Tensor:
        """Returns float32 `[batch, seq, dim]`, where the ascent begins."""
        return _BEGINNING * SphereNoise().draw(place, scale, dim)

    def ascend(self, noise: Tensor, limit: Tensor, loss: Callable[[Tensor], Tensor]) -> Tensor:
        """The noise after the ascent, without gradient.

        Args:
            noise: `[batch, seq, dim]`, where it begins.
            limit: 0-dimensional, the radius.
            loss: of each row, `[batch]`, with this noise; a row's depends on its own noise alone.
        """
        for _ in range(self.steps):
            leaf = noise.detach().requires_grad_()
            with torch.enable_grad():
                (gradient,) = torch.autograd.grad(loss(leaf).sum(), leaf)
            moved = leaf.detach() + limit * normalize(gradient, dim=-1)
            noise = moved * (limit / moved.norm(dim=-1, keepdim=True).clamp(min=limit))
        return noise


def radius(scale: float | Tensor, dim: int) -> Tensor:
    """The root mean square norm of Gaussian noise, 0-dimensional: ν √dim, or of different dimensions the norm of ν.

    Example:
        >>> radius(0.5, 16), radius(torch.tensor([3.0, 4.0]), 2)
        (tensor(2.), tensor(5.))
    """
    if isinstance(scale, float | int):
        return torch.tensor(scale * math.sqrt(dim), dtype=torch.float32)  # the default dtype is bf16 under bf16-true
    length: Tensor = scale.norm()
    return length


def check_noise(kind: NoiseKind, retain: Loss, *, layer: int, noise_layer: int) -> None:
    """Noise that follows the retain loss is added to what that loss reads.

    Raises:
        InputError: it is not.
    """
    if not kind.reads_loss:
        return
    if retain.needs_logits:
        raise InputError(
            f"model.noise: {type(kind).__name__} follows the gradient of a retain loss on hidden states, and "
            f"{type(retain).__name__} reads logits; take RepresentationMSE, or another noise such as SphereNoise"
        )
    if noise_layer != layer:
        raise InputError(
            f"model.noise_layer: {type(kind).__name__} acts on the states that the retain loss reads, those after "
            f"layer {layer}, not {noise_layer}; leave noise_layer out, or take another noise such as SphereNoise"
        )


def warn_of_noise(kind: NoiseKind, scale: float) -> None:
    """Warns where a kind is chosen and no noise is drawn."""
    if scale == 0 and not isinstance(kind, GaussianNoise):
        rank_zero_warn(
            f"model.noise: {kind!r} draws nothing, as model.noise_scale is 0; set noise_scale, unless this is a run "
            "without noise"
        )

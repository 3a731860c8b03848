"""Kinds of noise: what they are a function of, how long they are, and where they point."""

import math

import pytest
import torch
from torch import Tensor

from lit_unlearn import (
    AdversarialNoise,
    DisplacementNoise,
    GaussianNoise,
    InputError,
    LogitKL,
    RepresentationMSE,
    SphereNoise,
)
from lit_unlearn.randomness import gaussian_noise
from lit_unlearn.running.noise import NoiseKind, NoisePlace, check_noise, radius

DIM, SCALE = 6, 0.5
PLACE = NoisePlace(torch.tensor([3, 8]), torch.tensor([[0, 1, 2], [0, 1, 2]]), seed=1, step=4)
BY_DIMENSION = torch.tensor([0.5, 0.1, 1.0, 2.0, 0.3, 0.7])


def along(*directions: list[float]) -> DisplacementNoise:
    kind = DisplacementNoise(len(directions))
    kind.factors = tuple(map(tuple, directions))
    return kind


KINDS: list[NoiseKind] = [
    GaussianNoise(),
    SphereNoise(),
    AdversarialNoise(),
    along([1.0, 0.0, 2.0, 0.0, 0.0, 0.0], [0.0, 0.5, 0.0, 0.0, 0.0, 0.0]),
]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=repr)


def test_gaussian_noise_is_the_published_to_the_bit() -> None:
    expected = SCALE * gaussian_noise(PLACE.row, PLACE.position, DIM, seed=1, step=4)
    assert torch.equal(GaussianNoise().draw(PLACE, SCALE, DIM), expected)


@every_kind
def test_a_rows_noise_is_its_own_whatever_the_batch(kind: NoiseKind) -> None:
    both = kind.draw(PLACE, SCALE, DIM)
    alone = kind.draw(PLACE._replace(row=PLACE.row[1:], position=PLACE.position[1:]), SCALE, DIM)
    torch.testing.assert_close(both[1:], alone, rtol=0, atol=1e-6)
    for other in (PLACE._replace(step=5), PLACE._replace(seed=2), PLACE._replace(row=PLACE.row + 1)):
        assert not torch.allclose(kind.draw(other, SCALE, DIM), both)


@every_kind
@pytest.mark.parametrize("scale", [SCALE, BY_DIMENSION], ids=["one", "by dimension"])
def test_every_kind_has_the_same_norm(kind: NoiseKind, scale: float | Tensor) -> None:
    many = NoisePlace(torch.arange(50), torch.arange(40).expand(50, 40), seed=0, step=0)
    norms = kind.draw(many, scale, DIM).norm(dim=-1)
    if isinstance(kind, AdversarialNoise):  # which begins at a thousandth
        norms = 1e3 * norms
    expected = SCALE * math.sqrt(DIM) if isinstance(scale, float) else float(BY_DIMENSION.square().sum().sqrt())
    assert float(radius(scale, DIM)) == pytest.approx(expected)
    assert float(norms.square().mean().sqrt()) == pytest.approx(expected, rel=0.05)
    if not isinstance(kind, GaussianNoise):
        torch.testing.assert_close(norms, torch.full_like(norms, expected))


def test_displacement_noise_lies_along_its_directions_in_their_shares() -> None:
    many = NoisePlace(torch.arange(50), torch.arange(40).expand(50, 40), seed=0, step=0)
    noise = along([0.0, 0.0, 2.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]).draw(many, SCALE, DIM)
    assert noise[..., [0, 3, 4, 5]].abs().max() == 0.0
    assert noise.mean(dim=(0, 1)).abs().max() < 0.05
    # Of (2 g, h) / ‖(2 g, h)‖ with normal g and h the mean square of the first entry is 2 / (2 + 1).
    assert float(noise[..., 2].square().mean() / noise.square().sum(dim=-1).mean()) == pytest.approx(2 / 3, abs=0.02)


def test_directions_that_are_not_measured_are_refused() -> None:
    with pytest.raises(InputError, match=r"^model\.noise: the directions of DisplacementNoise are measured"):
        DisplacementNoise().draw(PLACE, SCALE, DIM)


@pytest.mark.parametrize("length", [0.0, 0.1, 3.0])
def test_a_step_ends_where_the_squared_distance_is_largest_in_the_ball(length: float) -> None:
    """Of a target's squared distance from updated states, which are displaced by a vector: straight against it."""
    displaced = torch.zeros(2, 3, DIM)
    displaced[..., 0] = length
    kind, limit = AdversarialNoise(), radius(SCALE, DIM)

    def loss(noise: Tensor) -> Tensor:
        return (displaced - noise).square().mean(dim=-1).mean(dim=-1)

    start = kind.draw(PLACE, SCALE, DIM)
    found = kind.ascend(start, limit, loss)
    # Where nothing is displaced every direction is as bad, and it keeps that in which it begins.
    expected = 1e3 * start if length == 0.0 else -limit * displaced / length
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-2 * float(limit))
    assert not found.requires_grad


def test_one_step_is_the_gradients_direction_and_back_into_the_ball() -> None:
    slope = torch.tensor([0.0, 3.0, 4.0, 0.0, 0.0, 0.0])
    kind, limit = AdversarialNoise(), radius(SCALE, DIM)
    start = kind.draw(PLACE, SCALE, DIM)
    moved = start + limit * slope / 5
    expected = moved * (limit / moved.norm(dim=-1, keepdim=True)).clamp(max=1)
    assert (moved.norm(dim=-1) > limit).any()
    torch.testing.assert_close(kind.ascend(start, limit, lambda noise: (noise @ slope).sum(dim=-1)), expected)


def test_a_token_without_a_gradient_keeps_its_noise() -> None:
    kind, limit = AdversarialNoise(3), radius(SCALE, DIM)
    start = kind.draw(PLACE, SCALE, DIM)
    found = kind.ascend(start, limit, lambda noise: noise[:, 1].sum(dim=-1))
    torch.testing.assert_close(found[:, [0, 2]], start[:, [0, 2]])
    assert (found[:, 1] - start[:, 1]).abs().max() > 0.1


def test_adversarial_noise_acts_where_the_retain_loss_reads() -> None:
    check_noise(AdversarialNoise(), RepresentationMSE(), layer=2, noise_layer=2)
    check_noise(DisplacementNoise(), LogitKL(), layer=2, noise_layer=1)
    with pytest.raises(InputError, match=r"^model\.noise: AdversarialNoise .* LogitKL reads logits; take"):
        check_noise(AdversarialNoise(), LogitKL(), layer=2, noise_layer=2)
    with pytest.raises(InputError, match=r"^model\.noise_layer: AdversarialNoise .* after layer 2, not 1; leave"):
        check_noise(AdversarialNoise(), RepresentationMSE(), layer=2, noise_layer=1)


def test_numbers_below_1_are_refused() -> None:
    with pytest.raises(InputError, match=r"^model\.noise\.directions: must be at least 1, got 0"):
        DisplacementNoise(0)
    with pytest.raises(InputError, match=r"^model\.noise\.steps: 0 is not a number of steps; give 1 or more"):
        AdversarialNoise(0)

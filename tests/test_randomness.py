import itertools
import math
from collections.abc import Callable

import lightning as L
import pytest
import torch
from torch import Tensor

from lit_unlearn.randomness import (
    choices,
    gaussian_direction,
    gaussian_noise,
    permutation,
    philox,
    run_seed,
    uniform_direction,
)
from lit_unlearn.running.partial_forward import positions

PI = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344, 0xA4093822, 0x299F31D0)
"""Digits of pi, the third of Random123's known answers."""
ONES = 0xFFFFFFFF
DIMS = [1, 2, 3, 5, 8, 33]
DIRECTIONS = [uniform_direction, gaussian_direction]


def noise_of(rows: int, tokens: int, dim: int, *, seed: int = 0, step: int = 0) -> Tensor:
    return gaussian_noise(torch.arange(rows), torch.arange(tokens).expand(rows, -1), dim, seed=seed, step=step)


def correlation(left: Tensor, right: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([left.flatten(), right.flatten()]).double())[0, 1])


def chance(left: Tensor) -> float:
    """Beyond this no correlation of independent numbers lies, but once in 16,000 times."""
    return 4.0 / math.sqrt(left.numel())


def kolmogorov(values: Tensor, distribution: Tensor) -> float:
    """sqrt(n) times the largest distance between the empirical and the given distribution; above 1.95 once in 1,000."""
    count = values.numel()
    steps = torch.arange(count + 1, dtype=torch.float64) / count
    distance = torch.maximum((distribution - steps[:-1]).abs().max(), (distribution - steps[1:]).abs().max())
    return float(distance) * math.sqrt(count)


def normal_distance(values: Tensor) -> float:
    ordered = values.flatten().double().sort().values
    return kolmogorov(ordered, torch.special.ndtr(ordered))


@pytest.mark.parametrize(
    ("counter", "key", "words"),
    [
        ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        ((ONES, ONES, ONES, ONES), (ONES, ONES), "408f276d 41c83b0e a20bc7c6 6d5451fd"),
        (PI[:4], PI[4:], "d16cfe09 94fdcceb 5001e420 24126ea1"),
    ],
)
def test_philox_gives_its_known_answers(counter: tuple[int, int, int, int], key: tuple[int, int], words: str) -> None:
    assert " ".join(f"{int(word):08x}" for word in philox(counter, key)) == words


def test_philox_takes_words_modulo_two_to_the_32() -> None:
    counter = (PI[0] + 2**32, PI[1] - 2**32, PI[2], PI[3])
    assert philox(counter, (PI[4] - 2**32, PI[5] + 2**32)) == philox(PI[:4], PI[4:])


def test_philox_over_tensors_equals_philox_over_each_number() -> None:
    first, second = torch.tensor([0, 7, ONES])[:, None], torch.tensor([5, 2**31])
    together = philox((first, second, 3, 4), (5, 6))
    for row, a in enumerate(first.flatten().tolist()):
        for column, b in enumerate(second.tolist()):
            assert [int(word[row, column]) for word in together] == [int(w) for w in philox((a, b, 3, 4), (5, 6))]


@pytest.mark.parametrize("dim", DIMS)
def test_noise_has_the_shape_of_the_hidden_states(dim: int) -> None:
    noise = noise_of(3, 4, dim)
    assert noise.shape == (3, 4, dim)
    assert noise.dtype == torch.float32
    assert noise.isfinite().all()


def test_noise_of_a_narrower_model_is_the_beginning_of_a_wider_ones() -> None:
    torch.testing.assert_close(noise_of(2, 3, 9)[..., :6], noise_of(2, 3, 6), rtol=0, atol=0)


def test_noise_is_standard_normal() -> None:
    noise = noise_of(40, 50, 63).double()
    margin = chance(noise)
    assert abs(float(noise.mean())) < margin
    assert abs(float(noise.var()) - 1) < margin * math.sqrt(2)
    assert abs(float(noise.pow(3).mean())) < margin * math.sqrt(15)
    assert abs(float(noise.pow(4).mean()) - 3) < margin * math.sqrt(96)
    assert normal_distance(noise) < 1.95


@pytest.mark.parametrize("index", range(5))
def test_every_dimension_is_normal(index: int) -> None:
    assert normal_distance(noise_of(60, 60, 5)[..., index]) < 1.95


@pytest.mark.parametrize("power", [1, 2])
@pytest.mark.parametrize("apart", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("axis", ["rows", "tokens", "dimensions"])
def test_noise_is_independent_along_each_axis(axis: str, apart: int, power: int) -> None:
    noise = noise_of(40, 40, 41).transpose(["rows", "tokens", "dimensions"].index(axis), 0).pow(power)
    assert abs(correlation(noise[:-apart], noise[apart:])) < chance(noise[apart:])


@pytest.mark.parametrize("power", [1, 2])
def test_noise_is_fresh_at_each_step_and_for_each_seed(power: int) -> None:
    noise, later, other = (noise_of(20, 30, 31, **where) for where in ({}, {"step": 1}, {"seed": 1}))
    for left, right in ((noise, later), (noise, other), (later, other)):
        assert abs(correlation(left.pow(power), right.pow(power))) < chance(left)


def test_each_row_of_a_batch_has_noise_of_its_own() -> None:
    noise = noise_of(6, 4, 8)
    assert noise.flatten(1).abs().sum(dim=1).min() > 0
    assert len(set(map(tuple, noise.flatten(1).tolist()))) == 6


def test_no_number_comes_twice_in_a_batch() -> None:
    assert len(set(noise_of(5, 6, 16).flatten().tolist())) == 5 * 6 * 16


def test_noise_is_the_same_on_repeated_calls() -> None:
    torch.testing.assert_close(noise_of(3, 4, 5, seed=7, step=2), noise_of(3, 4, 5, seed=7, step=2), rtol=0, atol=0)


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("padding", [0, 1, 5])
@pytest.mark.parametrize("neighbours", [[], [3], [40, 11]])
def test_the_noise_of_a_row_depends_on_no_other_row_and_on_no_padding(
    side: str, padding: int, neighbours: list[int]
) -> None:
    alone = gaussian_noise(torch.tensor([9]), torch.arange(4)[None], 6, seed=1, step=2)[0]
    real, filler = torch.ones(4, dtype=torch.int64), torch.zeros(padding, dtype=torch.int64)
    mask = torch.cat([filler, real] if side == "left" else [real, filler])
    row = torch.tensor([*neighbours, 9])
    noise = gaussian_noise(row, positions(mask.expand(len(row), -1)), 6, seed=1, step=2)
    torch.testing.assert_close(noise[-1][mask.bool()], alone, rtol=0, atol=0)


@pytest.mark.parametrize("draw", ["noise", "uniform_direction", "gaussian_direction", "permutation", "choices"])
def test_the_global_generator_neither_matters_nor_is_disturbed(draw: str) -> None:
    topic = torch.tensor([0, 1])
    draws = {
        "noise": lambda: noise_of(2, 3, 4),
        "uniform_direction": lambda: uniform_direction(topic, 4, seed=0),
        "gaussian_direction": lambda: gaussian_direction(topic, 4, seed=0),
        "permutation": lambda: permutation(50, seed=0, stream=0, turn=0),
        "choices": lambda: choices(torch.arange(50), 7, seed=0, step=0),
    }
    with torch.random.fork_rng():
        results = []
        for seed in (0, 1):
            torch.manual_seed(seed)
            before = torch.get_rng_state()
            results.append(draws[draw]())
            assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*results)


@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_direction_has_norm_one_in_any_width(direction: Callable[..., Tensor], dim: int) -> None:
    vectors = direction(torch.tensor([0, 1, 2]), dim, seed=3)
    assert vectors.shape == (3, dim)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(3))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_directions_differ_by_topic_and_by_seed(direction: Callable[..., Tensor]) -> None:
    vectors = torch.cat([direction(torch.tensor([0, 1, 2]), 6, seed=seed) for seed in (0, 1)])
    assert len(set(map(tuple, vectors.tolist()))) == 6


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_a_topic_has_the_same_direction_in_any_batch(direction: Callable[..., Tensor]) -> None:
    alone = direction(torch.tensor([2]), 7, seed=5)[0]
    together = direction(torch.tensor([0, 2, 1, 2]), 7, seed=5)
    assert torch.equal(together[1], alone)
    assert torch.equal(together[3], alone)


def test_a_uniform_direction_has_positive_entries_only() -> None:
    assert uniform_direction(torch.arange(20), 1001, seed=0).min() > 0


def test_a_uniform_direction_is_drawn_from_the_uniform_distribution() -> None:
    entries = uniform_direction(torch.tensor([1]), 5001, seed=0)[0].double().sort().values
    assert kolmogorov(entries[:-1], entries[:-1] / entries[-1]) < 1.95


def test_a_gaussian_direction_is_drawn_from_the_normal_distribution() -> None:
    entries = gaussian_direction(torch.tensor([1]), 5001, seed=0)[0].double() * math.sqrt(5001)
    assert abs(float(entries.mean())) < chance(entries)
    assert normal_distance(entries) < 1.95


def test_directions_and_noise_of_one_seed_have_nothing_in_common() -> None:
    topic, dim = torch.tensor([0]), 5001
    noise = gaussian_noise(topic, topic[None], dim, seed=0, step=0)
    draws = [uniform_direction(topic, dim, seed=0), gaussian_direction(topic, dim, seed=0), noise]
    for left, right in itertools.combinations(draws, 2):
        assert abs(correlation(left, right)) < chance(left)


@pytest.mark.parametrize("length", [1, 2, 57])
def test_a_permutation_holds_each_row_once(length: int) -> None:
    assert permutation(length, seed=0, stream=0, turn=0).sort().values.tolist() == list(range(length))


@pytest.mark.parametrize("other", [{"turn": 1}, {"stream": 1}, {"seed": 1}, {"turn": 1, "stream": 1}])
def test_permutations_differ_by_turn_stream_and_seed(other: dict[str, int]) -> None:
    place = {"seed": 0, "stream": 0, "turn": 0}
    assert not torch.equal(permutation(57, **place), permutation(57, **(place | other)))


def test_a_turn_and_a_stream_are_not_interchangeable() -> None:
    assert not torch.equal(permutation(57, seed=0, stream=1, turn=2), permutation(57, seed=0, stream=2, turn=1))


def test_a_permutation_is_the_same_on_repeated_calls() -> None:
    assert torch.equal(permutation(57, seed=1, stream=2, turn=3), permutation(57, seed=1, stream=2, turn=3))


def test_permutations_put_each_row_at_each_place_equally_often() -> None:
    orders = torch.stack([permutation(4, seed=0, stream=0, turn=turn) for turn in range(2000)])
    counts = torch.stack([(orders == row).sum(dim=0) for row in range(4)]).double()
    assert (counts - 500).abs().max() < 4 * math.sqrt(2000 * 0.25 * 0.75)


def test_the_seed_given_comes_before_that_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "11")
    assert run_seed(0) == 0


def test_without_a_seed_that_of_the_run_is_taken() -> None:
    L.seed_everything(23, verbose=False)
    assert run_seed(None) == 23


def test_without_any_seed_zero_is_taken() -> None:
    assert run_seed(None) == 0


def test_choices_are_even_and_differ_by_row_step_and_seed() -> None:
    rows = torch.arange(7000)
    found = choices(rows, 7, seed=0, step=0)
    assert found.bincount(minlength=7).min() > 900
    for other in (choices(rows, 7, seed=1, step=0), choices(rows, 7, seed=0, step=1)):
        assert 0.8 < float((other != found).float().mean()) < 0.92


def test_a_row_chooses_the_same_in_any_batch() -> None:
    rows = torch.arange(20)
    assert torch.equal(choices(rows, 7, seed=2, step=3)[5:9], choices(rows[5:9], 7, seed=2, step=3))

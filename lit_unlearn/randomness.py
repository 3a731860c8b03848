"""Random numbers that are pure functions of what they belong to, never of a global generator.

Steering vectors, noise and the order of rows must agree across processes and survive a resume. Everything here is
therefore counter-based: the same (seed, place) gives the same number on every device, rank and worker. A
`torch.Generator` gives one sequence, other numbers on a GPU than on a CPU, and none for a place alone.
"""

import math
import os

import torch
from torch import Tensor

_MASK = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_NOISE, _UNIFORM_DIRECTION, _GAUSSIAN_DIRECTION, _PERMUTATION, _CHOICE, _WORD = range(6)
Word = int | Tensor


def run_seed(seed: int | None) -> int:
    """The given seed, else that of the run (`seed_everything`, which Lightning keeps in PL_GLOBAL_SEED), else 0."""
    return int(os.environ.get("PL_GLOBAL_SEED", "0")) if seed is None else seed


def philox(counter: tuple[Word, Word, Word, Word], key: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Philox4x32-10, a counter-based generator of four 32-bit words (Salmon et al. 2011, "Parallel random numbers").

    Args:
        counter: four integers or int64 tensors that broadcast together, each taken modulo 2**32.
        key: two integers, each taken modulo 2**32.

    Returns:
        Four int64 tensors of the broadcast shape, each in [0, 2**32).

    Example:
        >>> [f"{int(word):08x}" for word in philox((0, 0, 0, 0), (0, 0))]
        ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    c0, c1, c2, c3 = _words(counter)
    k0, k1 = key
    for _ in range(10):
        left, right = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (
            ((right >> 32) & _MASK) ^ c1 ^ (k0 & _MASK),
            right & _MASK,
            ((left >> 32) & _MASK) ^ c3 ^ (k1 & _MASK),
            left & _MASK,
        )
        k0, k1 = k0 + _WEYL[0], k1 + _WEYL[1]
    return c0, c1, c2, c3


def gaussian_noise(row: Tensor, position: Tensor, dim: int, *, seed: int, step: int) -> Tensor:
    """Standard normal noise, a pure function of (seed, step, row, position, dimension).

    Args:
        row: `[batch]`, the number of each row in its stream.
        position: `[batch, seq]`, the place of each token in its row, so that padding does not matter.
        dim: width of the hidden states.
        seed: seed of the run.
        step: optimizer step; fresh noise at each.

    Returns:
        float32 `[batch, seq, dim]` on the device of `row`.

    Example:
        >>> noise = gaussian_noise(torch.tensor([7]), torch.arange(3)[None], 4, seed=0, step=1)
        >>> noise.shape
        torch.Size([1, 3, 4])
    """
    words = philox(_blocks(dim, row.device, position[:, :, None], row[:, None, None], _NOISE), (seed, step))
    return _normals(words)[..., :dim]


def uniform_direction(topic: Tensor, dim: int, *, seed: int) -> Tensor:
    """RMU's steering vector: a unit vector with entries drawn from U(0, 1), one per topic.

    Args:
        topic: `[batch]`, the topic of each row.
        dim: width of the hidden states.
        seed: seed of the run.

    Returns:
        float32 `[batch, dim]`, rows of norm 1.

    Example:
        >>> bool((uniform_direction(torch.tensor([0, 1]), 8, seed=0) > 0).all())
        True
    """
    words = philox(_blocks(dim, topic.device, topic[:, None], 0, _UNIFORM_DIRECTION), (seed, 0))
    return torch.nn.functional.normalize(_interleave(*map(_uniform, words))[..., :dim], dim=-1)


def gaussian_direction(topic: Tensor, dim: int, *, seed: int) -> Tensor:
    """RSV's steering vector: a Gaussian vector scaled to norm 1, one per topic.

    Args:
        topic: `[batch]`, the topic of each row.
        dim: width of the hidden states.
        seed: seed of the run.

    Returns:
        float32 `[batch, dim]`, rows of norm 1.
    """
    words = philox(_blocks(dim, topic.device, topic[:, None], 0, _GAUSSIAN_DIRECTION), (seed, 0))
    return torch.nn.functional.normalize(_normals(words)[..., :dim], dim=-1)


def permutation(length: int, *, seed: int, stream: int, turn: int) -> Tensor:
    """The order in which a stream's rows come at its `turn`-th pass: int64 `[length]`."""
    word = philox((turn, stream, 0, _PERMUTATION), (seed, 0))[0]
    return torch.randperm(length, generator=torch.Generator().manual_seed(int(word)))


def choices(row: Tensor, count: int, *, seed: int, step: int) -> Tensor:
    """One of `count` things for each row, a pure function of (seed, step, row): int64 `[batch]`.

    Args:
        row: `[batch]`, the number of each row in its stream.
        count: how many things there are to choose from.
        seed: seed of the run.
        step: a fresh choice at each.

    Example:
        >>> choices(torch.tensor([0, 1, 2]), 10, seed=0, step=0).tolist()
        [6, 7, 0]
    """
    return philox((row, step, 0, _CHOICE), (seed, 0))[0] % count


def word(row: int, *, seed: int, step: int, stream: int) -> int:
    """A seed for what draws from torch's own generators, a pure function of (seed, step, stream, row).

    Example:
        >>> word(7, seed=0, step=1, stream=0) == word(7, seed=0, step=1, stream=1)
        False
    """
    return int(philox((row, step, stream, _WORD), (seed, 0))[0])


def _words(counter: tuple[Word, ...]) -> list[Tensor]:
    """The counter as 32-bit words held in int64 tensors on one device."""
    device = next((word.device for word in counter if isinstance(word, Tensor)), None)
    return [torch.as_tensor(word, dtype=torch.int64, device=device) & _MASK for word in counter]


def _blocks(dim: int, device: torch.device, second: Word, third: Word, tag: int) -> tuple[Word, Word, Word, Word]:
    """Counters for `dim` numbers at each place; one counter makes four of them."""
    return torch.arange(math.ceil(dim / 4), device=device), second, third, tag


def _uniform(word: Tensor) -> Tensor:
    return (word.to(torch.float32) + 0.5) * 2.0**-32


def _normals(words: tuple[Tensor, Tensor, Tensor, Tensor]) -> Tensor:
    """Four standard normal numbers from each four words: `[..., blocks]` to `[..., 4 · blocks]`."""
    return _interleave(*_box_muller(words[0], words[1]), *_box_muller(words[2], words[3]))


def _box_muller(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    radius = torch.sqrt(-2.0 * torch.log(_uniform(first)))
    angle = 2.0 * math.pi * _uniform(second)
    return radius * torch.cos(angle), radius * torch.sin(angle)


def _interleave(*parts: Tensor) -> Tensor:
    return torch.stack(parts, dim=-1).flatten(-2)

"""What a sweep's options say: the values of an option, the points they make, the limits of a search."""

import hashlib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lit_unlearn.errors import InputError

SEED = "seed_everything"
_RANGE = re.compile(r"([-+.\deE]+?)\.\.([-+.\deE]+)(:log)?")
_LIMIT = re.compile(r"(.+?)\s*(<=|>=)\s*([-+.\deE]+)")
_WITHOUT = {"model.noise_scale": ("0", "0.0"), "data.mixing": ("null",)}
"""The values with which an option of a repair is none."""
_LONGEST = 100  # characters of a folder's name


@dataclass(frozen=True)
class Axis:
    """The values of one option."""

    values: tuple[str, ...] = ()
    """These, or else a range."""
    low: str = ""
    high: str = ""
    log: bool = False

    def suggest(self, trial: Any, option: str) -> str:
        """The value that a search tries next."""
        if self.values:
            return str(trial.suggest_categorical(option, list(self.values)))
        if re.fullmatch(r"-?\d+", self.low) and re.fullmatch(r"-?\d+", self.high):
            return str(trial.suggest_int(option, int(self.low), int(self.high), log=self.log))
        return f"{trial.suggest_float(option, float(self.low), float(self.high), log=self.log):.6g}"


@dataclass(frozen=True)
class Limit:
    """A bound on the accuracy of one variant."""

    variant: str
    at_most: bool
    bound: float

    def excess(self, accuracy: float) -> float:
        """By how much an accuracy is beyond the bound; 0 or less within."""
        return accuracy - self.bound if self.at_most else self.bound - accuracy


def read_axes(over: Sequence[str]) -> dict[str, Axis]:
    """The axes of `--over OPTION=VALUES`.

    Raises:
        InputError: one cannot be read.

    Example:
        >>> read_axes(["model.layer=1,2", "model.noise_scale=0.1..10:log"])["model.noise_scale"]
        Axis(values=(), low='0.1', high='10', log=True)
    """
    axes = {}
    for axis in over:
        option, _, values = axis.partition("=")
        if not (option and values):
            raise InputError(f"sweep.over: {axis!r} cannot be read; expected OPTION=V1,V2,... or OPTION=LOW..HIGH")
        if not re.fullmatch(r"[\w.]+", option):
            raise InputError(f"sweep.over: {option!r} is not an option; expected such as model.noise_scale=0,1.5")
        if option in axes:
            raise InputError(f"sweep.over: {option} is given twice; give all its values at once")
        if option in (SEED, "trainer.default_root_dir"):
            raise InputError(f"sweep.over: {option} is the sweep's own; use --seeds and --out")
        axes[option] = _read_axis(values, axis)
    return axes


def read_limit(limit: str) -> Limit:
    """The limit of `--limit VARIANT<=NUMBER` or `>=`.

    Raises:
        InputError: it cannot be read.

    Example:
        >>> read_limit("forget<=0.3")
        Limit(variant='forget', at_most=True, bound=0.3)
    """
    found = _LIMIT.fullmatch(limit.strip())
    if not found:
        raise InputError(f"sweep.limit: {limit!r} cannot be read; expected such as 'forget<=0.3' or 'retain>=0.9'")
    return Limit(found[1], found[2] == "<=", _number(found[3], limit))


def grid_points(axes: Mapping[str, Axis], seeds: int) -> list[tuple[str, dict[str, str]]]:
    """Folder and options of every point: each combination of values with each seed; without axes the seeds alone.

    Raises:
        InputError: an axis is a range, or two points would have one folder.

    Example:
        >>> grid_points({"model.noise_scale": Axis(("0", "1.5"))}, 1)[1]
        ('noise_scale=1.5/seed-0', {'model.noise_scale': '1.5', 'seed_everything': '0'})
    """
    ranges = [option for option, axis in axes.items() if not axis.values]
    if ranges:
        raise InputError(f"sweep.over: {ranges[0]} is a range; list its values, or search it with --maximize")
    points = []
    for values in itertools.product(*(axis.values for axis in axes.values())):
        chosen = dict(zip(axes, values, strict=True))
        within = f"{point_name(chosen)}/" if axes else ""
        points += [(f"{within}seed-{seed}", chosen | {SEED: str(seed)}) for seed in range(seeds)]
    folders = [folder for folder, _ in points]
    if len(set(folders)) < len(folders):
        twice = next(folder for folder in folders if folders.count(folder) > 1)
        raise InputError(
            f"sweep.over: two points would be called {twice}; write their values in ways that names tell apart"
        )
    return points


def method_point(axes: Mapping[str, Axis]) -> str | None:
    """The folder of the point without any repair; None where none is swept, or several points have none.

    Example:
        >>> method_point({"model.noise_scale": Axis(("1.5", "0"))})
        'noise_scale=0'
    """
    without = {
        option: [value for value in axis.values if value in _WITHOUT[option]] if option in _WITHOUT else axis.values
        for option, axis in axes.items()
    }
    if not set(axes) & set(_WITHOUT) or any(len(values) != 1 for values in without.values()):
        return None
    return point_name({option: values[0] for option, values in without.items()})


def point_name(values: Mapping[str, str]) -> str:
    """A folder's name for the values of options, each under the last part of its name where that is its own.

    Example:
        >>> point_name({"model.layer": "3", "model.forget.init_args.coefficient": "[6.5, 9]"})
        'layer=3,coefficient=6.5_9'
    """
    last = [option.rpartition(".")[2] for option in values]
    names = [name if last.count(name) == 1 else option for name, option in zip(last, values, strict=True)]
    safe = (re.sub(r"[^\w.+-]+", "_", value).strip("_") for value in values.values())
    whole = ",".join(f"{name}={value}" for name, value in zip(names, safe, strict=True))
    if len(whole) <= _LONGEST:
        return whole
    return f"{whole[: _LONGEST - 9]}-{hashlib.sha256(repr([*values.items()]).encode()).hexdigest()[:8]}"


def _read_axis(values: str, axis: str) -> Axis:
    found = _RANGE.fullmatch(values)
    if not found:
        split = _split(values)
        if len(set(split)) < len(split) or "" in split:
            raise InputError(f"sweep.over: {axis!r} has an empty value or one twice; give each once")
        return Axis(tuple(split))
    low, high = (_number(found[number], axis) for number in (1, 2))
    if low >= high or (found[3] and low <= 0):
        raise InputError(f"sweep.over: {axis!r} is not a range; expected LOW..HIGH, above 0 where :log follows")
    return Axis(low=found[1], high=found[2], log=bool(found[3]))


def _split(values: str) -> list[str]:
    """Values between commas; commas within brackets are the value's own.

    Example:
        >>> _split("1,[2,3],{a: 4, b: 5}")
        ['1', '[2,3]', '{a: 4, b: 5}']
    """
    parts, depth = [""], 0
    for sign in values:
        depth += (sign in "[{(") - (sign in "]})")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


def _number(text: str, within: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"sweep: {text!r} in {within!r} is not a number") from None

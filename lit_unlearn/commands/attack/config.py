"""The config of an attack card: the data, the Trainer's device and precision, and the attacks."""

import os
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException

import lit_unlearn.commands.attack.classes
import lit_unlearn.datamodules  # noqa: F401  short class names in YAML are those of imported classes
from lit_unlearn.commands.attack.contract import Attack
from lit_unlearn.commands.options.errors import did_you_mean
from lit_unlearn.commands.options.parsers import Parser
from lit_unlearn.commands.options.words import Words
from lit_unlearn.datamodules import UnlearnDataModule
from lit_unlearn.errors import InputError
from lit_unlearn.models.precision import weights_dtype

FULL = "+full"
"""After the name of an attack of `full_attacks` that replaces one of `attacks`, so that what both gave is kept."""
_NAME = re.compile(r"\w[\w.-]*")
_SEED = "PL_GLOBAL_SEED"  # Lightning's, which randomness.run_seed reads
_TRAINER = ("accelerator", "precision")


class CardConfig(NamedTuple):
    """What a card is made of."""

    data: UnlearnDataModule
    trainer: dict[str, Any]
    forget: tuple[str, ...]
    base: str | None
    attacks: dict[str, Attack]
    """Those that are run."""
    every: dict[str, Attack]
    """All of the config, of which those are shown that have been run; larger grids before those that they replace."""
    names: tuple[str, ...]
    """Of the rows that a whole card has."""
    options: Mapping[str, str]
    """Of each attack, its own and all others that decide its numbers, as text; under "", those of no attack."""


def read(words: Words, *, only: Sequence[str] = (), full: bool = False) -> CardConfig:
    """Reads the options and makes the data and the attacks; nothing is loaded.

    Args:
        words: options, with config files among them.
        only: names of the attacks that are wanted; none given are all.
        full: those of `full_attacks` too, which replace attacks of their name.

    Raises:
        InputError: an option or an attack's name cannot be used.
    """
    parser = _parser()
    found = parser.parse_args([word for option in words.options for word in option.words])
    short, larger = found.attacks or {}, found.full_attacks or {}
    wanted = [key(name, short, full=where) for name, where in chosen(short, larger, only=only, full=full).items()]
    found.attacks = _every(short, larger)
    found.full_attacks = {}
    weights_dtype(str(found.trainer.precision))
    texts = _Texts(lambda name: str(parser.dump(_with(found, name))))
    with _seeded(found.seed_everything):
        made = _made(parser, found)
    if not isinstance(made.data, UnlearnDataModule):
        raise InputError(f"data: {type(made.data).__name__} is not an UnlearnDataModule; take one that extends it")
    if made.data.evaluation is None:
        raise InputError("data.evaluation: there are no questions to attack; set data.evaluation.questions")
    _check_forget(made.forget, made.data.evaluation.questions)
    trainer = {name: made.trainer[name] for name in _TRAINER}
    attacks = {name: made.attacks[name] for name in wanted}
    names = (*short, *(name for name in larger if full and name not in short))
    return CardConfig(made.data, trainer, tuple(made.forget), made.base, attacks, made.attacks, names, texts)


def chosen(
    attacks: Mapping[str, object], full_attacks: Mapping[str, object], *, only: Sequence[str], full: bool
) -> dict[str, bool]:
    """The names of the attacks that are run, in the config's order, and whether each is that of `full_attacks`.

    Raises:
        InputError: there are none, or one of `only` is not among them.

    Example:
        >>> chosen({"int8": 0, "int4": 0}, {"int4": 1}, only=["int4"], full=True)
        {'int4': True}
    """
    every = {name: False for name in attacks} | ({name: True for name in full_attacks} if full else {})
    for name in only:
        if name not in every:
            hint = did_you_mean(name, [*every], f"the config has {', '.join(every) or 'none'}")
            raise InputError(f"--only: there is no attack {name!r}; {hint}")
    wrong = [name for name in every if not _NAME.fullmatch(name)]
    if wrong:
        raise InputError(f"attacks: {wrong[0]!r} is not a name of a folder; use letters, digits, '-', '_' and '.'")
    kept = {name: where for name, where in every.items() if not only or name in only}
    if not kept:
        raise InputError("attacks: there are none; name a config with `attacks`, such as demo_attack.yaml, after -c")
    return kept


def key(name: str, attacks: Collection[str], *, full: bool) -> str:
    """What the outcomes of an attack are kept under.

    Args:
        name: of the attack.
        attacks: names of those without `--full`.
        full: whether it is that of `full_attacks`.

    Example:
        >>> key("merge", ["merge"], full=True), key("int3", ["merge"], full=True)
        ('merge+full', 'int3')
    """
    return f"{name}{FULL}" if full and name in attacks else name


def _every(attacks: Mapping[str, Any], full_attacks: Mapping[str, Any]) -> dict[str, Any]:
    """The options of all attacks, by `key`, in the config's order."""
    found = {}
    for name in dict.fromkeys([*attacks, *full_attacks]):
        if name in full_attacks:
            found[key(name, attacks, full=True)] = full_attacks[name]
        if name in attacks:
            found[name] = attacks[name]
    return found


class _Texts(dict[str, str]):
    """Options as text, made once they are asked for: of a whole config that takes longer than all else."""

    def __init__(self, made: Callable[[str], str]) -> None:
        super().__init__()
        self._made = made

    def __missing__(self, name: str) -> str:
        self[name] = self._made(name)
        return self[name]


def _parser() -> Parser:
    parser = Parser()
    parser.add_argument("-c", "--config", action="config", help="a file of these options")
    parser.add_argument("--seed_everything", type=int, default=0, help="seed of the data")
    parser.add_lightning_class_args(L.LightningDataModule, "data", subclass_mode=True)
    parser.add_argument("--trainer.accelerator", type=str, default="auto", help="cpu, gpu or auto; one device")
    parser.add_argument("--trainer.precision", type=str, default="32-true", help="as in fit; bf16-true for 7B")
    parser.add_argument("--forget", type=list[str], default=["forget"], help="question sets that are to be forgotten")
    parser.add_argument("--base", type=str | None, default=None, help="the model before unlearning")
    parser.add_argument("--attacks", type=dict[str, Attack], default={}, help="attacks by name")
    parser.add_argument("--full_attacks", type=dict[str, Attack], default={}, help="those of --full, likewise")
    return parser


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Within this context the data that is made has this seed where it names none, as in a run."""
    before = os.environ.get(_SEED)
    os.environ[_SEED] = str(seed)
    try:
        yield
    finally:
        os.environ.pop(_SEED)
        if before is not None:
            os.environ[_SEED] = before


def _made(parser: Parser, found: Any) -> Any:
    """The data and the attacks.

    Raises:
        InputError: what a constructor refuses.
    """
    try:
        # Its name since jsonargparse 4.49, and the one before.
        return getattr(parser, "instantiate", parser.instantiate_classes)(found)
    except (ValueError, MisconfigurationException) as error:
        raise _reason(error) from error


def _with(found: Any, name: str) -> Any:
    """The options with one attack alone."""
    one = found.clone()
    one.attacks = {name: found.attacks[name]} if name else {}
    one.pop("config", None)
    return one


def _check_forget(forget: Sequence[str], questions: Collection[str]) -> None:
    """Every set to forget is asked.

    Raises:
        InputError: one is not, or there are none.
    """
    if not forget:
        raise InputError("forget: no question set is named; name those of data.evaluation.questions to be forgotten")
    for name in forget:
        if name not in questions:
            raise InputError(
                f"forget: {name!r} is not a question set of the data ({', '.join(questions)}); name one of "
                "data.evaluation.questions"
            )


def _reason(error: Exception) -> InputError:
    """The error that a constructor raised, which jsonargparse wraps."""
    reason: BaseException = error
    while not isinstance(reason, InputError) and reason.__cause__ is not None:
        reason = reason.__cause__
    return reason if isinstance(reason, InputError) else InputError(f"attack: {' '.join(str(error).split())}")

import argparse
import inspect
import re
from collections.abc import Iterator

import pytest
from lightning.pytorch.cli import LightningArgumentParser

import lit_unlearn
from lit_unlearn.commands import analysis, eval, plan, report, scale, sweep
from lit_unlearn.commands.forget_tokens import command as forget_tokens
from lit_unlearn.commands.help_texts import FOLDER
from lit_unlearn.commands.options.help_layout import TEXTS, plain
from lit_unlearn.commands.options.parsers import Parser, without_attribute_texts
from lit_unlearn.modules.question import QuestionModule
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.questions.sets import EvaluationSource, PerturbationSource
from lit_unlearn.questions.source import QuestionSource
from tests.commands.fit.parsers import run_parsers

MARKUP = re.compile(r":[a-z]+:`|``|`_|\.\. \w+::")
NOT_OPTIONS = ("Batch", "Outputs", "PerTopic", "InputError")
PUBLIC = [
    getattr(lit_unlearn, name) for name in dir(lit_unlearn) if not name.startswith("_") and name not in NOT_OPTIONS
]
CLASSES = [*filter(inspect.isclass, PUBLIC), EvaluationSource, PerturbationSource, QuestionSource]
OWN = [module._parser() for module in (analysis, eval, plan, report, scale, sweep, forget_tokens)]


def inner(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of its commands."""
    yield parser
    for action in parser._actions:
        for one in (action.choices or {}).values() if isinstance(action, argparse._SubParsersAction) else ():
            yield from inner(one)


def options(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    yield from (action for action in parser._actions if not isinstance(action, argparse._SubParsersAction))


@pytest.fixture(scope="module", params=[UnlearnModule, QuestionModule])
def of_runs(request: pytest.FixtureRequest) -> dict[str, LightningArgumentParser]:
    return run_parsers(request.param)


def of_class(cls: type) -> Parser:
    parser = Parser(print_config=None)
    parser.add_class_arguments(cls, "its")
    return parser


def test_every_option_of_a_run_has_a_text_without_markup(of_runs: dict[str, LightningArgumentParser]) -> None:
    for command, parser in of_runs.items():
        for action in options(parser):
            assert (action.help or "").strip(), f"{command} {action.dest}"
        assert not MARKUP.search(parser.format_help()), command


def test_only_help_has_the_texts_within_classes() -> None:
    def text() -> str:
        return next(action.help or "" for action in options(of_class(QuestionSource)) if action.dest == "its.format")

    asked = text()
    with without_attribute_texts():
        assert text() != asked
    assert text() == asked


@pytest.mark.parametrize("parser", OWN, ids=lambda parser: parser.prog)
def test_every_option_of_the_other_commands_has_a_text_without_markup(parser: argparse.ArgumentParser) -> None:
    for one in inner(parser):
        for action in options(one):
            assert (action.help or "").strip(), f"{one.prog} {action.dest}"
        assert not MARKUP.search(one.format_help()), one.prog


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_option_of_a_class_has_a_text_of_its_own(cls: type) -> None:
    parser = of_class(cls)
    for action in options(parser):
        if action.dest not in ("help", "its") and not action.dest.endswith(".help"):
            assert (action.help or "").strip(), action.dest
            assert "as in UnlearnDataModule" not in (action.help or ""), action.dest
    assert not MARKUP.search(parser.format_help())


def test_no_packaged_text_has_markup() -> None:
    for path in FOLDER.glob("*.txt"):
        assert not MARKUP.search(path.read_text(encoding="utf-8")), path.name


def test_ours_come_before_lightnings(of_runs: dict[str, LightningArgumentParser]) -> None:
    for command, parser in of_runs.items():
        places = [parser.format_help().index(f"\n  --{name} ") for name in ("model.pretrained", "data", "ckpt_path")]
        assert places == sorted(places), command
        assert places[-1] < parser.format_help().index("\n  --trainer.accelerator "), command


def test_a_usage_is_one_line(of_runs: dict[str, LightningArgumentParser]) -> None:
    for command, parser in of_runs.items():
        usage, empty, *_ = parser.format_help().splitlines()
        assert (usage, empty) == (f"usage: lit-unlearn {command} [-c CONFIG] [--OPTION VALUE ...]", "")


def test_the_help_of_fit_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (FOLDER / "fit.txt").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 400
    assert max(len(line) for line in lines[1:]) <= 80


def test_an_option_of_a_class_names_the_command_that_shows_it(of_runs: dict[str, LightningArgumentParser]) -> None:
    shown = " ".join(of_runs["validate"].format_help().split())
    assert "a class's options: --data.help CLASS (" in shown
    assert "classes: UnlearnDataModule, DemoDataModule, " in shown
    assert "--data.help [" not in shown


def test_every_text_is_an_options() -> None:
    assert set(TEXTS) <= {action.dest for action in options(run_parsers(UnlearnModule)["fit"])} | {"model"}


@pytest.mark.parametrize(
    ("marked", "expected"),
    [
        ("a :class:`datetime.timedelta`", "a datetime.timedelta"),
        ("see :paramref:`~lightning.Trainer.logger`.", "see lightning.Trainer.logger."),
        ("the `Notes <https://a.b/c>`_ say", "the Notes (https://a.b/c) say"),
        ("``True`` or ``False``", "True or False"),
        (".. note:: twice", "note: twice"),
        ("`demo` is ours", "`demo` is ours"),
    ],
)
def test_plain(marked: str, expected: str) -> None:
    assert plain(marked) == expected


def test_the_options_of_a_class_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    from lit_unlearn.cli import main

    with pytest.raises(SystemExit) as stopped:
        main(["fit", "--data.help", "WMDPDataModule"])
    shown = capsys.readouterr().out
    assert not stopped.value.code
    assert shown.startswith("usage: lit-unlearn COMMAND")
    assert "--data.batch_size BATCH_SIZE" in shown


def test_a_class_must_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    from lit_unlearn.cli import main

    with pytest.raises(SystemExit):
        main(["fit", "--data.help"])
    assert capsys.readouterr().err == "lit-unlearn: error: data.help: no value given; write it after the option\n"

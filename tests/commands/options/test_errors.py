import pytest
from jsonargparse import ArgumentParser

from lit_unlearn.commands.options.errors import readable


@pytest.fixture(scope="module")
def parser() -> ArgumentParser:
    out = ArgumentParser()
    out.add_argument("--model.layer", type=int)
    return out


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("something\n  quite new", "something quite new"),
        ('Parser key "model.layer":\n  something\n  quite new', "model.layer: something quite new"),
        (
            'Parser key "a":\n  Parser key "b" element 2:\n    Expected a <class \'int\'>. Got value: x',
            "a.b: 'x' cannot",
        ),
        ('Parser key "a":\n  Unable\n  - Parser key "a": Unable', "a: Unable"),
        (
            "unrecognized arguments: --model.layr 3 --other 4",
            "model.layr: there is no such option; did you mean model.la",
        ),
        ("argument --model.layer: expected one argument", "model.layer: no value given"),
        ("the following arguments are required: fit.data", "data: missing; give it in a file after -c, or as --data"),
        ("Parser key \"a\": Option 'b' is not accepted", "a.b: there is no such option"),
    ],
)
def test_messages(parser: ArgumentParser, message: str, expected: str) -> None:
    shown = readable(message, parser)
    assert shown.startswith(expected)
    assert "\n" not in shown

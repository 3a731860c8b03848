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
        ("Expected a <class 'int'>. Got value: x", "'x' cannot be used; expected int"),
        ("the following arguments are required: fit.data", "data: missing; give it in a file after -c, or as --data"),
        ("Parser key \"a\": Option 'b' is not accepted", "a.b: there is no such option"),
    ],
)
def test_messages(parser: ArgumentParser, message: str, expected: str) -> None:
    shown = readable(message, parser)
    assert shown.startswith(expected)
    assert "\n" not in shown


@pytest.mark.parametrize(
    "said",
    [
        "The moon is in the wrong house: " + "very " * 100 + "wrong",
        "Refused\n  because\n    of Namespace(class_path='a.b.RMU', init_args=Namespace(coefficient=6.5, seed=None))",
        "Namespace(pretrained='x', layer=3) is not what was meant",
    ],
)
@pytest.mark.parametrize(("before", "key"), [('Parser key "model.layer":\n', "model.layer: "), ("", "")])
def test_a_message_that_no_rule_knows_is_short_and_says_where_to_look(
    parser: ArgumentParser, said: str, before: str, key: str
) -> None:
    shown = readable(before + said, parser)
    text, _, remedy = shown.partition("; ")
    assert shown.startswith(key)
    assert 10 < len(text.removeprefix(key)) <= 80
    assert remedy == "see the config, or `lit-unlearn fit --help` for what the option takes"
    assert "Namespace" not in shown
    assert "\n" not in shown


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Namespace(class_path='a.b.RMU', init_args=Namespace(seed=3))", "model.layer: the options of 'RMU' cannot"),
        ("[Namespace(class_path='a.b.RMU', init_args=Namespace(seed=3))]", "model.layer: the options of 'RMU' cannot"),
        ("Namespace(seed=3)", "model.layer: a mapping of options cannot be used; expected int"),
        ("a" * 300, f"model.layer: '{'a' * 77}...' cannot be used; expected int"),
        (str([*range(300)]), "model.layer: [0, 1, 2,"),
    ],
)
@pytest.mark.parametrize(
    "message",
    [
        "Expected a <class 'int'>. Got value: {}",
        "Does not validate against any of the Union subtypes Subtypes: [<class 'int'>, <class 'NoneType'>] Errors: "
        "- Expected a <class 'int'> Given value type: <class 'x'> Given value: {}",
    ],
)
def test_a_value_is_shown_short_and_never_as_a_namespace(
    parser: ArgumentParser, message: str, value: str, expected: str
) -> None:
    shown = readable(f'Parser key "model.layer":\n  {message.format(value)}', parser)
    assert shown.startswith(expected)
    assert shown.endswith(" cannot be used; expected int")
    assert "Namespace" not in shown
    assert len(shown) < 140


def test_a_value_ends_before_the_alternatives_of_a_union_around_it(parser: ArgumentParser) -> None:
    message = (
        "Parser key \"model.layer\": Does not validate Subtypes: [<class 'int'>] Errors: - Expected a <class 'int'> "
        "Given value type: <class 'str'> Given value: four Given value type: <class 'dict'> Given value: {'layer': 4}"
    )
    assert readable(message, parser) == "model.layer: 'four' cannot be used; expected int"


def test_an_option_of_a_class_that_is_not_chosen_names_those_that_take_it() -> None:
    class Kind:
        pass

    class Wide(Kind):
        def __init__(self, width: int = 1) -> None: ...

    class Narrow(Kind): ...

    out = ArgumentParser()
    out.add_argument("--kind", type=Kind | None)
    message = (
        "Parser key \"kind\": Does not validate Subtypes: [<class 'Kind'>, <class 'NoneType'>] Errors: - Not a valid "
        "subclass Given value type: <class 'NestedArg'> Given value: NestedArg(key='width', val='8')"
    )
    assert readable(message, out) == (
        "kind.width: no class is chosen that would take it; choose one before, e.g. --kind Wide --kind.width 8"
    )
    assert readable(message.replace("width", "other"), out).endswith("would take it; choose one before")


_OPTIONS_OF = 'Parser key "data": Does not validate Subtypes: [] Errors: - Problem with '

_NO_CLASS = (
    " - Expected a <class 'NoneType'> Given value type: <class 'jsonargparse._util.NestedArg'> Given value: "
    "NestedArg(key='forget', val='a.jsonl')"
)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("Parser key \"size\": Expected a <class 'int'>. Got value: x", "data.size: 'x' cannot be used; expected int"),
        (
            "Parser key \"forget\": - Expected a path but a not accessible - Expected a <class 'dict'>. Got value: a",
            "data.forget: 'a' cannot be used; expected dict",
        ),
        ("unrecognized arguments: --a.b=3", "data.a.b: Namespace has no such option"),
    ],
)
def test_a_wrong_value_of_a_class_that_is_chosen(parser: ArgumentParser, said: str, expected: str) -> None:
    message = f"{_OPTIONS_OF}given class_path 'argparse.Namespace': {said}{_NO_CLASS}"
    assert readable(message, parser).startswith(expected)


@pytest.mark.parametrize(
    "said",
    [
        "Invalid content in sub-config file noise.json: did not find expected <document start>",
        "Problem with given class_path 'noise.json': No module named 'noise'",
    ],
)
def test_a_file_where_there_are_no_sources_does_not_ask_for_their_names(parser: ArgumentParser, said: str) -> None:
    message = f'Parser key "model.noise": Does not validate Subtypes: [] Errors: - {said}'
    expected = "model.noise: 'noise.json' cannot be used; expected options, or a file of them in YAML or JSON"
    assert readable(message, parser) == expected


def test_an_unrecognized_argument_without_a_class(parser: ArgumentParser) -> None:
    assert readable("Problem with 'x': unrecognized arguments: --a.b=3", parser).endswith("there is no such option")


@pytest.mark.parametrize(
    "said",
    [
        "- Expected a path but a.jsonl not accessible - Expected a <class 'dict'>. Got value: a.jsonl",
        "Expected a <class 'dict'>. Got value: ['a.jsonl']",
        "Problem with given class_path 'a.jsonl': No module named 'a'",
        "Invalid content in sub-config file a.jsonl: did not find expected <document start>",
    ],
)
def test_a_file_where_sources_have_names(parser: ArgumentParser, said: str) -> None:
    message = f"{_OPTIONS_OF}given class_path 'argparse.Namespace': Parser key \"forget\": {said}{_NO_CLASS}"
    assert readable(message, parser) == (
        "data.forget: 'a.jsonl' alone cannot be used; expected sources by name, e.g. --data.forget "
        "'{NAME: {path: a.jsonl}}'"
    )

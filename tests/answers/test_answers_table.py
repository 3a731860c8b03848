"""The numbers of free answers as text."""

from typing import Any, cast

import pytest

from lit_unlearn.answers.answers_table import answers_table
from lit_unlearn.answers.outcomes import Outcomes


def table(**outcomes: Any) -> list[list[str]]:
    measured = {"answers/facts": {"probability": 0.5, "mc2": 0.25, "loss": -2.0, "word_f1": 0.75, "entropy": 6.0}}
    found = cast(Outcomes, {"facts": {"fingerprint": "a", "row": [0, 1], **outcomes}})
    return [line.split() for line in answers_table(measured, found).splitlines()]  # type: ignore[arg-type]


def test_a_set_has_a_line() -> None:
    assert table(role="forget", probability=[0.5, 0.5]) == [
        ["answers", "rows", "probability", "MC2"],
        ["facts", "2", "0.500", "0.250"],
    ]


@pytest.mark.parametrize(
    ("outcomes", "shown"),
    [
        ({"role": "general", "probability": [0.5, 0.5]}, ["word F1", "entropy, bits"]),
        ({"role": "retain"}, ["word F1", "entropy, bits"]),  # without right answers
        ({"role": "general", "probability": [0.5, 0.5], "ratio": [1.0, 1.0]}, None),  # as of TOFU
        ({"role": "forget", "probability": [0.5, 0.5], "texts_alone": True}, ["log p"]),
    ],
)
def test_what_rwku_reports_of_a_set_has_a_table_of_its_own(outcomes: dict[str, Any], shown: list[str] | None) -> None:
    lines = table(**outcomes)[2:]
    if shown is None:
        assert not lines
    else:
        values = {"word F1": "0.750", "entropy, bits": "6.000", "log p": "-2.000"}
        assert lines == [f"of these {' '.join(shown)}".split(), ["facts", *(values[name] for name in shown)]]

import pytest

from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.strays.labelled import RETAIN, class_names, labelled_rows
from lit_unlearn.errors import InputError
from tests.tiny_world import texts, tokenizer


def test_a_class_is_a_forget_topic_or_retain(opened: Run) -> None:
    names = class_names(opened)
    assert names == ["forget/alchemy", "forget/navigation", RETAIN]
    rows = labelled_rows(opened, 25)
    assert [(row.stream, row.label) for row in rows[::25]] == [
        ("forget/alchemy", 0),
        ("forget/navigation", 1),
        ("retain/gardening", 2),
    ]
    for row in rows:
        assert row.row.text == texts(row.row.name, 60)[row.row.number]
        assert row.row.input_ids == tokenizer()(row.row.text)["input_ids"]


def test_too_few_rows_are_refused(opened: Run) -> None:
    with pytest.raises(InputError, match="forget/alchemy has 19 rows, of which nothing can be said; at least 20"):
        labelled_rows(opened, 19)

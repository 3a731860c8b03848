import pytest
import torch

from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.commands.analysis.rows import batches, stream_rows, unpadded
from tests.batches import padded, random_rows
from tests.tiny_world import texts, tokenizer


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_is_taken_away(side: str) -> None:
    rows = random_rows(4, seed=0, topic=1)
    assert list(unpadded(padded(rows, side, extra=2))) == rows


def test_batches_hold_every_row_once() -> None:
    rows = random_rows(5, seed=0)
    found = list(batches(rows, 2, torch.device("cpu"), "test"))
    assert [len(batch["row"]) for batch in found] == [2, 2, 1]
    assert [row for batch in found for row in unpadded(batch)] == rows


def test_rows_are_those_of_training(opened: Run) -> None:
    found = stream_rows(opened, 10)
    first = next(iter(opened.data.train_dataloader()))
    assert found["forget"][:4] == list(unpadded(first["forget"]))
    for stream, subjects in (("forget", ("alchemy", "navigation")), ("retain", ("gardening", "gardening"))):
        assert [row.topic for row in found[stream]] == [0] * 10 + [1] * 10
        for topic, subject in enumerate(subjects):
            own = [tokenizer()(text)["input_ids"] for text in texts(subject, 60)]
            assert all(row.input_ids in own for row in found[stream] if row.topic == topic)


def test_no_row_of_a_topic_comes_twice(opened: Run) -> None:
    found = stream_rows(opened, 1000)
    assert len(found["forget"]) == 120
    for rows in found.values():
        assert len({(row.topic, row.number) for row in rows}) == len(rows)

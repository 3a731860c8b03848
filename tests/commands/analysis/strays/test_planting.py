import pytest
import torch

from lit_unlearn.commands.analysis.strays.planting import plant

ROWS = [[word, word + 1] for word in range(200)]


@pytest.mark.parametrize("classes", [2, 3])
def test_a_tenth_of_all_rows_gets_another_class(classes: int) -> None:
    labels = torch.arange(200) % classes
    found = plant(ROWS, labels, classes, draw=0)
    assert int(found.wrong.sum()) == 20
    assert torch.equal(found.labels != labels, found.wrong)
    assert set(found.labels.tolist()) == set(range(classes))


def test_draws_differ_and_the_order_of_rows_decides_nothing() -> None:
    labels, order = torch.arange(200) % 3, torch.randperm(200, generator=torch.Generator().manual_seed(1))
    found = plant(ROWS, labels, 3, draw=1)
    again = plant([ROWS[place] for place in order], labels[order], 3, draw=1)
    assert torch.equal(found.labels[order], again.labels)
    assert not torch.equal(found.wrong, plant(ROWS, labels, 3, draw=2).wrong)


def test_a_small_class_stays_what_it_is() -> None:
    labels = (torch.arange(200) >= 20).long()
    found = plant(ROWS, labels, 2, draw=0)
    came = found.wrong & (found.labels == 0)
    assert int(came.sum()) == 5

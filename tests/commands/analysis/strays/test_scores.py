import pytest
import torch

from lit_unlearn.commands.analysis.strays.precision import average_precision
from lit_unlearn.commands.analysis.strays.scores import SCORES, Trusted, all_scores, measured
from tests.commands.analysis.strays.made import Made, made


def scored(rows: Made, trusted: Trusted | None = None) -> dict[str, torch.Tensor]:
    return all_scores(measured(rows.states, rows.tokens, [0], 3, trusted), rows.labels)


@pytest.mark.parametrize("known", [False, True], ids=["others", "trusted"])
def test_the_order_of_rows_changes_no_score(known: bool) -> None:
    rows, others = made(90), made(9, seed=7)
    trusted = Trusted(others.states, others.labels) if known else None
    order = torch.randperm(90, generator=torch.Generator().manual_seed(3))
    found = scored(rows, trusted)
    again = scored(Made(rows.states[order], [rows.tokens[place] for place in order], rows.labels[order]), trusted)
    assert tuple(found) == SCORES
    for name in SCORES:
        assert torch.allclose(found[name][order], again[name], rtol=1e-9, atol=1e-9), name


def test_every_score_finds_rows_with_another_class() -> None:
    rows, others = made(150, apart=3.0), made(30, seed=7, apart=3.0)
    labels = rows.labels.clone()
    labels[::10] = (labels[::10] + 1) % 3
    wrong = labels != rows.labels
    for trusted in (None, Trusted(others.states, others.labels)):
        found = scored(rows._replace(labels=labels), trusted)
        precision = {name: average_precision(one, wrong) for name, one in found.items()}
        assert min(precision.values()) > 0.3, precision


def test_trusted_rows_decide_only_influences() -> None:
    rows, others = made(90), made(9, seed=7)
    found, again = scored(rows), scored(rows, Trusted(others.states, others.labels))
    assert [name for name in SCORES if torch.equal(found[name], again[name])] == [
        "nearest rows",
        "tokens",
        "classifier",
    ]

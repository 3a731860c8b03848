import math

import pytest
import torch

from lit_unlearn.commands.analysis.strays import classifier
from lit_unlearn.commands.analysis.strays.features import with_constant
from tests.commands.analysis.strays.made import made


def test_it_is_trained_by_plain_gradient_descent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classifier, "STEPS", 4)
    monkeypatch.setattr(classifier, "SNAPSHOTS", 2)
    rows = made(12, dim=2)
    inputs = with_constant(rows.states)
    found = classifier.trained(inputs, rows.labels, 3, rate=0.2)
    weight = [[0.0] * 3 for _ in range(3)]
    expected = []
    for step in range(4):
        change = [[0.0] * 3 for _ in range(3)]
        for x, label in zip(inputs.tolist(), rows.labels.tolist(), strict=True):
            exponentials = [math.exp(sum(w * v for w, v in zip(own, x, strict=True))) for own in weight]
            for c in range(3):
                residual = exponentials[c] / sum(exponentials) - (c == label)
                for d in range(3):
                    change[c][d] += residual * x[d] / 12
        weight = [[w - 0.2 * g for w, g in zip(*pair, strict=True)] for pair in zip(weight, change, strict=True)]
        if step in (1, 3):
            expected.append(torch.tensor(weight, dtype=torch.float64))
    assert torch.allclose(torch.stack(found), torch.stack(expected), rtol=0, atol=1e-12)


def test_each_step_descends() -> None:
    rows = made(60)
    inputs = with_constant(rows.states)
    found = classifier.trained(inputs, rows.labels, 3, rate=classifier.rate(inputs))
    losses = [float(torch.nn.functional.cross_entropy(inputs @ weight.T, rows.labels)) for weight in found]
    assert len(found) == classifier.SNAPSHOTS
    assert losses == sorted(losses, reverse=True)
    assert losses[0] < math.log(3)


def test_a_row_is_judged_by_a_classifier_that_has_not_seen_it() -> None:
    rows, fold = made(60), torch.arange(60) % 10
    inputs = with_constant(rows.states)
    found = classifier.out_of_fold(inputs, rows.labels, fold, 3)
    changed = torch.where(fold == 4, (rows.labels + 1) % 3, rows.labels)
    again = classifier.out_of_fold(inputs, changed, fold, 3)
    assert torch.equal(found[fold == 4], again[fold == 4])
    assert not torch.allclose(found[fold != 4], again[fold != 4])
    assert (found.argmax(dim=1) == rows.labels).float().mean() > 0.8

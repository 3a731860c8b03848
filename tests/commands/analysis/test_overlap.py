import math

import pytest
import torch

from lit_unlearn.commands.analysis.overlap import entity_share, names, nearest_share, token_odds


def test_the_nearest_rows_are_those_that_loops_find() -> None:
    source = torch.Generator().manual_seed(0)
    questions, forget, retain = (torch.randn(count, 3, generator=source).double() for count in (6, 20, 30))
    rows = torch.cat([forget, retain[:20]])
    scale = rows.std(dim=0, correction=0)
    shares = []
    for question in questions:
        order = sorted(range(40), key=lambda place: float(((rows[place] - question) / scale).norm()))
        shares.append(sum(place < 20 for place in order[:7]) / 7)
    assert nearest_share(questions, forget, retain, neighbours=7) == pytest.approx(sum(shares) / 6)


def test_odds_are_a_ratio_of_smoothed_frequencies() -> None:
    found = token_odds([[0, 5, 6], [0, 6]], [[0, 5, 5, 6]], [[0, 6, 7]], {0})
    p = {5: 2.5 / 4.5, 6: 1.5 / 4.5}
    q = {5: 0.5 / 3.5, 6: 1.5 / 3.5}
    five, six = (math.log(p[token] / q[token]) for token in (5, 6))
    assert found == pytest.approx(((five + six) / 2 + six) / 2)


def test_names_are_capitalised_within_a_sentence() -> None:
    assert names("Which virus, Ebola or SARS-CoV-2, is it? The other.") == {"Ebola", "SARS-CoV-2"}
    assert entity_share(["no name here"], ["Ebola"]) is None
    assert entity_share(["Is it Ebola, Marburg or Ebola?"], ["Ebola spreads"]) == 0.5

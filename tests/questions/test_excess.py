import pytest
import torch

from lit_unlearn.questions.excess import Outcomes, excess, excess_table, log_values, measure, outcomes
from lit_unlearn.questions.insertions import Inserted, Plan
from lit_unlearn.questions.scored_texts import ScoredText

PLAN = Plan(
    [ScoredText((0,), 1)] * 8,
    {5: 0, 7: 1},
    {"4-gram/trained": [Inserted(3, 2, 3, 4), Inserted(9, 5, 6, 7)]},
)


def values(*, near: float = 0.0) -> dict[int, list[float]]:
    """Of forget rows; of two retain rows clean, with forget text and with retain text."""
    forget = [3.0 + near] * 8 + [3.0] * 40
    return {
        0: [1.0, 3.0],
        1: [5.0],
        2: [1.0] * 48,
        3: forget,
        4: [1.5] * 48,
        5: [2.0] * 48,
        6: [2.5] * 48,
        7: [2.3] * 48,
    }


def found(*, near: float = 0.0) -> Outcomes:
    one = outcomes(PLAN, values(near=near))
    assert one is not None
    return one


def test_cost_and_excess_of_rows_made_by_hand() -> None:
    one = found(near=6.0)
    assert one["forget"] == {"row": [5, 7], "nll": [2.0, 5.0]}
    assert one["retain"] == {"row": [3, 9], "nll": [1.0, 2.0]}
    spans = one["spans"]["4-gram/trained"]
    assert spans["row"] == [3, 9]
    assert spans["cost"] == [2.0 + 1.0, 0.5]  # 6 more on 8 of 48 tokens
    assert spans["control"] == pytest.approx([0.5, 0.3])
    assert excess(spans).tolist() == pytest.approx([2.5, 0.2])
    assert spans["excess"]["1-8"] == pytest.approx([1.5 + 6.0, 0.2])
    assert spans["excess"]["9-24"] == spans["excess"]["25-48"] == pytest.approx([1.5, 0.2])


def test_the_numbers_have_paired_errors_and_shares() -> None:
    row = measure(found(), None)["insert/4-gram/trained"]
    differences = torch.tensor([1.5, 0.2])
    assert row["excess"] == pytest.approx(0.85)
    assert row["excess_error"] == pytest.approx(differences.std().item() / 2**0.5)
    assert row["excess_share"] == 0.5
    assert row["control"] == pytest.approx(0.4)
    assert "damage" not in row


def test_damage_is_beyond_the_base() -> None:
    row = measure(found(near=6.0), found())["insert/4-gram/trained"]
    assert row["damage"] == pytest.approx((1.0 + 0.0) / 2)
    assert row["damage_share"] == 0.5


def test_damage_is_of_the_same_rows_only() -> None:
    other = outcomes(PLAN._replace(inserted={"4-gram/trained": [Inserted(4, 2, 3, 4)]}), values())
    assert "damage" not in measure(found(), other)["insert/4-gram/trained"]


def test_rows_of_which_not_all_is_known_do_not_count() -> None:
    some = values()
    del some[7]
    one = outcomes(PLAN, some)
    assert one is not None
    assert one["spans"]["4-gram/trained"]["row"] == [3]
    del some[3]
    assert outcomes(PLAN, some) is None


def test_what_is_logged_and_printed() -> None:
    measured = measure(found(), found())
    logged = log_values(measured)
    assert logged["insert/4-gram/trained/excess"] == pytest.approx(0.85)
    assert logged["insert/forget/nll"] == 3.5
    assert not any("error" in name for name in logged)
    lines = excess_table(measured, 2).splitlines()
    assert lines[0].startswith("held-out rows, NLL in nats per token: forget 3.500 ± 1.500")
    assert lines[1].startswith("2 held-out retain rows, nats per token over the 48")
    assert lines[2].split()[-3:] == ["rows", ">", "0.5"]
    assert "0.850 ± 0.650" in lines[3]
    assert lines[3].endswith("0 %")  # of damage

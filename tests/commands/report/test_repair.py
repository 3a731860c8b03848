"""Repairs with numbers that are known by construction, and intervals against a bootstrap written as a loop."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lit_unlearn.commands.report.forgetting import LETTER, NLL, TEXT, Measure
from lit_unlearn.commands.report.repair import Compared, Repair, compare, repair_numbers, repair_shown
from lit_unlearn.commands.report.runs import load
from tests.commands.report.made import BASE, QUESTIONS, asked, evaluation, forgetting, held_out, scattered, write_run

VARIANT = "retain/1-gram"
START = forgetting(BASE, -0.1)
SHARES = (0.2, 0.4, 0.6, 0.8)


def after(perturbed: int, text: float, *, forget: int = 25, by: float = 1.0, **more: Any) -> dict[str, Any]:
    record = evaluation(9, forget=forget, retain=97, perturbed=perturbed, control=93)
    return forgetting(record, text, by=by) | more


def curve(shares: Sequence[float] = SHARES, *, down: float = 0) -> list[dict[str, Any]]:
    """Interpolated weights: at t the log p is -10 t, the accuracy 90 - 40 t."""
    return [after(round(90 - 40 * share - down), -10 * share, interpolation=share) for share in shares]


def rows(tmp_path: Path, *runs: Sequence[dict[str, Any]], measure: Measure = TEXT) -> list[Compared]:
    """The runs against the first of them, each of which begins with START."""
    paths = [write_run(tmp_path / f"run{place}", START, *run, forget=["forget"]) for place, run in enumerate(runs)]
    return [*compare(load(paths, method=paths[0]), measure).rows]


def repair(tmp_path: Path, *runs: Sequence[dict[str, Any]], measure: Measure = TEXT) -> Repair:
    return rows(tmp_path, *runs, measure=measure)[2].repairs[VARIANT]


def test_at_equal_forgetting_the_recovery_is_a_ratio(tmp_path: Path) -> None:
    found = rows(tmp_path, [after(50, -10)], [after(70, -10, by=1.5)])
    assert [row.equal for row in found] == [False, None, True]
    assert [list(row.repairs) for row in found] == [[], [], [VARIANT]]
    repair = found[2].repairs[VARIANT]
    assert repair.kind == "recovery"
    assert repair.interval is not None
    assert repair.interval.value == pytest.approx((70 - 50) / (90 - 50))
    assert repair_shown(repair).startswith("50 % [")


def test_a_run_that_forgot_nothing_has_no_recovery(tmp_path: Path) -> None:
    found = repair(tmp_path, [after(50, -9.8)], [after(90, -1.2, forget=99)])
    assert repair_shown(found) == "n/a: forgets less (log p −1.2 against −9.8)"
    expected = {"kind": "none", "value": None, "low": None, "high": None}
    assert repair_numbers(found) == expected | {"reason": "forgets less (log p −1.2 against −9.8)"}


def test_letters_alone_never_make_forgetting_equal(tmp_path: Path) -> None:
    found = repair(tmp_path, [after(50, -9.8)], [after(70, -14.0)])
    assert repair_shown(found) == "n/a: forgets more (log p −14.0 against −9.8)"


@pytest.mark.parametrize(("difference", "equal"), [(0.15, True), (0.25, False), (-0.15, True), (-0.25, False)])
def test_equal_is_within_the_paired_error(tmp_path: Path, difference: float, equal: bool) -> None:
    """Differences of ±1 around their mean over 100 questions: 1.96 standard errors are 0.196."""
    other = after(70, -10, by=40)
    values = scattered(-10, by=40)  # far apart, so that an unpaired error would be 2.3
    paired = [value + difference + (1 if number % 2 else -1) for number, value in enumerate(values)]
    other["outcomes"]["forget"]["text_logprob"] = paired
    assert rows(tmp_path, [after(50, -10, by=40)], [other])[2].equal is equal


def test_a_small_difference_is_seen_in_its_digits(tmp_path: Path) -> None:
    found = repair(tmp_path, [after(50, -6.68)], [after(70, -6.74)])
    assert repair_shown(found) == "n/a: forgets more (log p −6.74 against −6.68)"


def test_runs_without_the_measure_say_so(tmp_path: Path) -> None:
    found = [
        repair(tmp_path / measure.name, [after(50, -10)], [after(70, -10)], measure=measure)
        for measure in (LETTER, NLL)
    ]
    assert [repair_shown(one) for one in found] == [
        "n/a: no log p of the right letter",
        "n/a: no NLL of the same held-out forget rows",
    ]
    plain = evaluation(9, forget=25, retain=97, perturbed=70, control=93)
    compared = rows(tmp_path / "text", [after(50, -10)], [plain])[2]
    assert compared.equal is None
    assert repair_shown(compared.repairs[VARIANT]) == "n/a: no log p of the right text"


def test_runs_that_name_no_set_to_forget_have_no_measure(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, START, after(70, -10)) for name in ("rmu", "rna")]
    found = compare(load(paths, method=paths[0])).rows[2].repairs[VARIANT]
    assert repair_shown(found) == "n/a: no log p of the right text"


def test_a_model_that_has_diverged_has_no_measure(tmp_path: Path) -> None:
    found = repair(tmp_path, [after(50, -10)], [after(25, float("nan"))])
    assert repair_shown(found) == "n/a: no log p of the right text"


def test_every_measure_that_there_is_must_be_equal(tmp_path: Path) -> None:
    start = forgetting(BASE, -0.1, letter=-0.1)
    method, other = (
        forgetting(evaluation(9, forget=25, retain=97, perturbed=right, control=93), text, letter=-7)
        for right, text in ((50, -10), (70, -20))
    )
    paths = [write_run(tmp_path / name, start, one, forget=["forget"]) for name, one in (("a", method), ("b", other))]
    models = load(paths, method=paths[0])
    for measure in (TEXT, LETTER):
        found = compare(models, measure).rows[2]
        assert found.equal is False
        assert repair_shown(found.repairs[VARIANT]) == "n/a: forgets more (log p −20.0 against −10.0)"


def test_the_measure_that_decides_is_looked_at_first(tmp_path: Path) -> None:
    start = forgetting(BASE, -0.1, letter=-0.1)
    runs = [
        forgetting(evaluation(9, forget=25, retain=97, perturbed=right, control=93), text, letter=letter)
        for right, text, letter in ((50, -10, -7), (70, -20, -3))
    ]
    paths = [write_run(tmp_path / name, start, one, forget=["forget"]) for name, one in zip("ab", runs, strict=True)]
    models = load(paths, method=paths[0])
    told = [repair_shown(compare(models, one).rows[2].repairs[VARIANT]) for one in (TEXT, LETTER)]
    assert told[0] == "n/a: forgets more (log p −20.0 against −10.0)"
    assert told[1] == "n/a: forgets less (log p of the letter −3.0 against −7.0)"


def of_rows(perturbed: int, nll: float, **more: int) -> dict[str, Any]:
    return held_out(evaluation(9, forget=25, retain=97, perturbed=perturbed, control=93), nll, 1.0, **more)


def test_held_out_rows_can_decide_and_more_is_forgotten_where_they_are_less_likely(tmp_path: Path) -> None:
    found = [
        repair(tmp_path / name, [of_rows(50, 6.6)], [of_rows(70, nll)], measure=NLL)
        for name, nll in (("less", 1.4), ("more", 7.5), ("equal", 6.6))
    ]
    assert [repair_shown(one)[:39] for one in found[:2]] == [
        "n/a: forgets less (NLL 1.4 against 6.6)",
        "n/a: forgets more (NLL 7.5 against 6.6)",
    ]
    assert found[2].kind == "recovery"


def test_other_held_out_rows_are_not_compared(tmp_path: Path) -> None:
    found = repair(tmp_path, [of_rows(50, 6.6)], [of_rows(70, 6.6, first=5)], measure=NLL)
    assert repair_shown(found) == "n/a: no NLL of the same held-out forget rows"


def test_what_lost_nothing_has_nothing_to_recover(tmp_path: Path) -> None:
    assert repair_shown(repair(tmp_path, [after(90, -10)], [after(90, -10)])) == "n/a: no clear loss to recover"


@pytest.mark.parametrize(
    ("text", "right", "points"),
    [(-5, 73, 3.0), (-5, 66, -4.0), (-4, 74, 0.0), (-0.6, 90, 100 * (0.9 - (0.9 - 0.5 / 1.9 * 0.08)))],
)
def test_beside_equal_forgetting_the_curve_is_read_at_the_runs_own(
    tmp_path: Path, text: float, right: int, points: float
) -> None:
    """At log p -5 the curve is between 74 and 66: 70. It begins with the base's -0.1 and 90."""
    found = repair(tmp_path, [after(50, -10), *curve()], [after(right, text)])
    assert found.kind == "beyond_interpolation"
    assert found.interval is not None
    assert 100 * found.interval.value == pytest.approx(points)
    assert found.interval.low <= found.interval.value <= found.interval.high
    sign = "+" if points > 0 else "−" if points < 0 else ""
    assert repair_shown(found).startswith(f"{sign}{abs(points):.1f} points [")
    assert repair_numbers(found)["value"] == found.interval.value


@pytest.mark.parametrize(
    ("shares", "text", "reason"),
    [
        (SHARES[:3], -5, "forgets less (log p −5.0 against −10.0)"),
        (SHARES, -11, "forgets more (log p −11.0 against −10.0)"),
        (SHARES, 0.4, "forgets less (log p 0.4 against −10.0)"),
    ],
)
def test_few_points_make_no_curve_and_beyond_its_ends_nothing_is_read(
    tmp_path: Path, shares: Sequence[float], text: float, reason: str
) -> None:
    assert repair(tmp_path, [after(50, -10), *curve(shares)], [after(70, text)]).reason == reason


def test_at_equal_forgetting_the_numbers_have_the_difference_to_the_curve_too(tmp_path: Path) -> None:
    found = repair(tmp_path, [after(50, -10), *curve()], [after(70, -10, by=1.2)])
    numbers = repair_numbers(found)
    assert numbers["kind"] == "recovery"
    assert numbers["beyond_interpolation"]["value"] == pytest.approx(0.2)


def test_interpolated_weights_of_the_method_lie_on_its_curve(tmp_path: Path) -> None:
    run = write_run(tmp_path / "rmu", START, after(50, -10), *curve(), forget=["forget"])
    found = compare(load([f"{run}@interpolation=0.6"], method=run)).rows[2].repairs[VARIANT]
    assert found.interval == pytest.approx((0, 0, 0), abs=1e-9)
    assert repair_shown(found) == "0.0 points [0.0, 0.0]"


def test_questions_to_forget_have_no_repair(tmp_path: Path) -> None:
    right = {"forget": 25, "forget/stem": 25, "forget/stem/control": 25, "retain": 97, "retain/1-gram": 50}
    record = asked(9, right | {"retain/1-gram/control": 93})
    path = [write_run(tmp_path / name, record, record, forget=["forget"]) for name in ("rmu", "rna")]
    assert list(compare(load(path, method=path[0])).rows[2].repairs) == ["retain/1-gram"]


def test_without_a_method_nothing_is_compared(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, START, after(70, -10), forget=["forget"]) for name in ("rmu", "rna")]
    compared = compare(load(paths))
    assert compared.method is None
    assert compared.rows == [Compared()] * 3


def seeds(tmp_path: Path, name: str, of_seeds: Sequence[Sequence[dict[str, Any]]]) -> str:
    for seed, records in enumerate(of_seeds):
        write_run(tmp_path / name / f"seed-{seed}", START, *records, forget=["forget"], seed=seed)
    return str(tmp_path / name)


def test_of_two_seeds_the_interval_is_over_seeds_and_all_questions(tmp_path: Path) -> None:
    """A bootstrap written as a loop: the same questions, seeds and rows for the run and every point of the curve."""
    method = seeds(tmp_path, "rmu", [[after(50 - down, -10), *curve(down=down)] for down in (0, 6)])
    other = seeds(tmp_path, "rna", [[after(75, -4.6, by=9)], [after(72, -5.4, by=9)]])
    models = load([other], method=method)
    found = compare(models).rows[2]
    assert found.equal is False
    interval = found.repairs[VARIANT].interval
    assert interval is not None
    source, drawn = np.random.default_rng(7), []
    levels, rights = (np.array(one) for one in arrays(models))
    for _ in range(2000):
        chosen = source.integers(2, size=2)
        forget, perturbed = (source.integers(QUESTIONS, size=QUESTIONS) for _ in range(2))
        level = levels[:, chosen][:, :, forget].mean(axis=(1, 2))
        right = rights[:, chosen][:, :, perturbed].mean(axis=(1, 2))
        drawn.append(right[0] - np.interp(-level[0], -level[1:], right[1:]))
    value = 0.735 - np.interp(5.0, [4, 6], [0.74 - 0.03, 0.66 - 0.03])
    expected = (value, *np.quantile(drawn, [0.025, 0.975]))
    assert interval == pytest.approx(expected, abs=0.01)
    assert interval.value == pytest.approx(value)


def arrays(models: Any) -> tuple[list[Any], list[Any]]:
    """Log-probabilities and right answers `[run and points, seeds, questions]`, read from results.json once more."""
    method, other = models[1:]
    records = [[results["evaluations"][1] for results in other.results]]
    for place in (0, 2, 3, 4, 5, 1):
        records.append([results["evaluations"][place] for results in method.results])
    levels = [[one["outcomes"]["forget"]["text_logprob"] for one in each] for each in records]
    return levels, [[one["outcomes"][VARIANT]["correct"] for one in each] for each in records]


def test_equality_of_two_seeds_is_within_the_error_over_both(tmp_path: Path) -> None:
    """Each seed differs clearly, one up and one down: over seeds the difference is not distinguishable from 0."""
    method = seeds(tmp_path, "rmu", [[after(50, -10)], [after(50, -10)]])
    other = seeds(tmp_path, "rna", [[after(70, -9)], [after(70, -11.5)]])
    assert compare(load([other], method=method)).rows[2].equal is True
    one = compare(load([f"{other}/seed-0"], method=f"{method}/seed-0"))
    assert one.rows[2].equal is False


def test_seeds_are_paired_by_their_numbers(tmp_path: Path) -> None:
    method = seeds(tmp_path, "rmu", [[after(50, -9)], [after(50, -12)]])
    for seed, text in ((1, -12), (2, -30)):
        write_run(tmp_path / "rna" / f"s{seed}", START, after(70, text), forget=["forget"], seed=seed)
    assert compare(load([str(tmp_path / "rna")], method=method)).rows[2].equal is True


def test_kinds_of_insertions_may_be_known_of_different_rows(tmp_path: Path) -> None:
    """As where not all batches are evaluated: the comparison ended in an error of numpy."""

    def inserted(cost: float) -> dict[str, Any]:
        spans = {
            name: {"row": [*range(count)], "cost": [cost] * count, "control": [0.0] * count, "excess": {}}
            for name, count in (("4-gram/trained", 8), ("16-gram/trained", 6))
        }
        return {"insert": {"seed": 0, "outcomes": {"forget": {"row": [0], "nll": [3.0]}, "spans": spans}}}

    method = [START | inserted(0), after(50, -10) | inserted(1)] + [
        point | inserted(share) for share, point in zip(SHARES, curve(), strict=True)
    ]
    other = [START | inserted(0), after(75, -4, by=9) | inserted(0.1)]
    paths = [
        write_run(tmp_path / name, *run, forget=["forget"], seed=0) for name, run in (("rmu", method), ("rna", other))
    ]
    found = compare(load(paths, method=paths[0])).rows[2].repairs
    for name in ("insert/4-gram/trained", "insert/16-gram/trained"):
        interval = found[name].interval
        assert interval is not None
        assert interval.value == pytest.approx(0.3)

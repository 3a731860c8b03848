"""The numbers of a results.json, computed again from the rows that it holds, and compared with others."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lit_unlearn.answers import measures
from lit_unlearn.answers import outcomes as answers
from lit_unlearn.answers.intervals import with_intervals
from lit_unlearn.errors import InputError
from lit_unlearn.questions import excess, outcomes
from lit_unlearn.questions.outcomes import OTHER_WEIGHTS
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.runs import layout
from lit_unlearn.runs.results_file import read_results

_OF_REFERENCE = ("privacy_leakage", "forget_quality", "membership_auc_reference")
"""Numbers that need the outcomes of the reference."""
_ENDS = ("_low", "_high")
"""What names of the ends of intervals end in."""
_PUBLISHED = "privacy_leakage"
"""The one of them that a published number of the reference is enough for."""
_AUC = "retrained_auc"
"""What says so in a record of free answers."""
_OF_PROMPTS = ("cut", "cut_share")
"""Numbers that no row holds."""
_PROMPTS = "the prompts"
"""What those need."""
Numbers = dict[tuple[str, ...], Any]
"""By where they stand."""


class Compared(NamedTuple):
    """What came of a comparison."""

    compared: int
    """Numbers."""
    lines: list[str]
    """Those that differ."""
    notes: list[str]
    """What else differs, and may be why."""


def load_results(path: Path) -> dict[str, Any]:
    """A results.json, or what a study keeps of one.

    Raises:
        InputError: it is none.
    """
    try:
        found = read_results(path)
        records = found["evaluations"]
        assert isinstance(records, list)
        assert all(isinstance(record["step"], int) for record in records)
        assert records
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        raise InputError(
            f"verify: {path} is not the {layout.RESULTS} of a run with evaluations; give one, or a folder with "
            f"{layout.CHECKSUMS}"
        ) from error
    return dict(found)


def recomputed(results: Mapping[str, Any], tolerance: float, reference: answers.Outcomes | None = None) -> Compared:
    """The numbers of every evaluation against those that its own rows give.

    Args:
        results: of a run.
        tolerance: absolute for numbers below 1, else relative.
        reference: outcomes of the retain-only model, for forget quality and PrivLeak.

    Raises:
        InputError: the rows are not of the form that results have, the reference was asked others, or no number was
            compared with one.
    """
    _check_used(results, reference)
    written, again = Numbers(), Numbers()
    first = results["evaluations"][0]
    uncounted = Counter[str]()
    for index, record in enumerate(results["evaluations"]):
        place = _place(index, record)
        try:
            found = _again(record, first if index else {}, reference)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise InputError(
                f"verify: the rows of {place} cannot be counted again ({type(error).__name__}: {error}); write the "
                "results again"
            ) from error
        for key, value in numbers(record).items():
            # Else rows that were taken out would hide a number that was changed.
            missing = _missing(key, record, reference)
            if key in found or not missing:
                written[place, *key], again[place, *key] = value, found.get(key)
            elif missing != _PROMPTS:
                uncounted[missing] += 1
    notes = [f"{count} numbers are not counted again: {missing}" for missing, count in uncounted.items()]
    return compared(written, again, tolerance)._replace(notes=notes)


def differences(results: Mapping[str, Any], other: Mapping[str, Any], tolerance: float) -> Compared:
    """The last evaluation of results against that of others, number by number and, where rows differ, as notes.

    Args:
        results: as written.
        other: of the same model, evaluated again.
        tolerance: absolute for numbers below 1, else relative.
    """
    record, again = (last(one) for one in (results, other))
    first = results["evaluations"][0]
    found = numbers(again) | _again(again, first if record is not first else {})  # also what is beyond the base
    written = {
        key: value
        for key, value in numbers(record).items()
        if key in found or not (key[-1].endswith(_ENDS) or _missing(key, record, None) not in ("", _PROMPTS))
    }
    compare = compared(written, {key: found.get(key) for key in written}, tolerance)
    return compare._replace(notes=[*_notes(results, other)])


def last(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """The last evaluation of the weights as trained."""
    records = [record for record in results["evaluations"] if not OTHER_WEIGHTS & record.keys()]
    found: Mapping[str, Any] = records[-1]
    return found


def numbers(record: Mapping[str, Any]) -> Numbers:
    """What was measured in an evaluation, of questions, of free answers and of insertions."""
    parts = {"questions": record.get("measured", {})}
    parts |= {part: record.get(part, {}).get("measured", {}) for part in (answers.PREFIX, excess.PREFIX)}
    return {
        (part, name, key): value
        for part, found in parts.items()
        for name, row in found.items()
        for key, value in row.items()
    }


def compared(written: Numbers, again: Numbers, tolerance: float) -> Compared:
    """Two numbers under each key.

    Example:
        >>> compared({("a",): 0.5, ("b",): 2.0}, {("a",): 0.5001, ("b",): 2.2}, 1e-3).lines
        ['b: 2 as written, 2.2 computed again']
    """
    lines = [
        f"{', '.join(key)}: {_shown(value)} as written, {_shown(again[key])} computed again"
        for key, value in written.items()
        if not _close(value, again[key], tolerance)
    ]
    return Compared(len(written), lines, [])


def _again(record: Mapping[str, Any], first: Mapping[str, Any], reference: answers.Outcomes | None = None) -> Numbers:
    """The numbers that the rows of a record give.

    Args:
        record: of an evaluation.
        first: the record before training; empty for that itself.
        reference: of the retain-only model.

    Raises:
        InputError: the reference was asked other rows.
    """
    asked = {_variant(name): one for name, one in record.get("outcomes", {}).items()}
    found = outcomes.measure(asked) if asked else {}
    out: Numbers = {
        ("questions", str(variant), key): value for variant, row in found.items() for key, value in row.items()
    }
    if excess.PREFIX in record:
        before = first.get(excess.PREFIX, {}).get("outcomes")
        inserted = excess.measure(record[excess.PREFIX]["outcomes"], before)
        out |= {(excess.PREFIX, name, key): value for name, row in inserted.items() for key, value in row.items()}
    own, base = _outcomes(record), _outcomes(first)
    if own is not None:
        _check_reference(own, reference)
        retrained, samples = (record[answers.PREFIX].get(name) for name in (_AUC, "bootstrap"))
        measured = measures.measure(own, reference, base, retrained_auc=retrained)
        if samples:
            measured = with_intervals(measured, own, reference, samples=samples, retrained_auc=retrained)
        out |= {(answers.PREFIX, name, key): value for name, row in measured.items() for key, value in row.items()}
    return out


def _check_used(results: Mapping[str, Any], reference: answers.Outcomes | None) -> None:
    """A reference is given for results that hold numbers of a comparison with one.

    Raises:
        InputError: they hold none, or PrivLeak against a published AUC instead.
    """
    records = results["evaluations"]
    published = any(_AUC in record.get(answers.PREFIX, {}) for record in records)
    names = {key[-1] for record in records for key in numbers(record)}
    if reference is not None and (published or not names & {*_OF_REFERENCE}):
        against = "with a published AUC instead" if published else "with none"
        raise InputError(f"verify: --reference: the results were compared {against}; leave it out")


def _check_reference(own: answers.Outcomes, reference: answers.Outcomes | None) -> None:
    others = [] if reference is None else [name for name in own if name not in answers.comparable(own, reference)]
    if others:
        raise InputError(
            f"verify: --reference was not asked the rows of {others[0]!r}; give the evaluation that the run was "
            "compared with"
        )


def _outcomes(record: Mapping[str, Any]) -> answers.Outcomes | None:
    found: answers.Outcomes | None = record.get(answers.PREFIX, {}).get("outcomes")
    return found


def _variant(name: str) -> Variant:
    """The variant of a log key.

    Example:
        >>> tuple(_variant("retain/4-gram/control")), tuple(_variant("forget"))
        (('retain', '4-gram', True), ('forget', 'default', False))
    """
    questions, *rest = name.split("/")
    control = len(rest) > 1 and rest[-1] == "control"
    return Variant(questions, "/".join(rest[: len(rest) - control]) or DEFAULT, control)


def _missing(key: tuple[str, ...], record: Mapping[str, Any], reference: answers.Outcomes | None) -> str:
    """What a number cannot be counted again without; empty where it must come out of the rows."""
    name, counted_with = key[-1], record.get(answers.PREFIX, {})
    whole = name.removesuffix("_low").removesuffix("_high")
    if name in _OF_PROMPTS:
        return _PROMPTS
    if whole in _OF_REFERENCE and reference is None and not (whole == _PUBLISHED and _AUC in counted_with):
        return "they need the reference (--reference)"
    if whole != name and "bootstrap" not in counted_with:
        return "the file does not say of how many samples their intervals are"
    return ""


def _notes(results: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[str]:
    """What differs besides the numbers."""
    versions, now = results.get("versions", {}), other.get("versions", {})
    for name in versions.keys() & now.keys():
        if versions[name] != now[name]:
            yield f"{name} was {versions[name]}, is {now[name]}"
    own, again = (last(one) for one in (results, other))
    for name, asked in again.get("outcomes", {}).items():
        before = own.get("outcomes", {}).get(name, {})
        if before.get("number") != asked.get("number"):
            yield f"other questions were asked in {name}"
    for name, found in (_outcomes(again) or {}).items():
        was = (_outcomes(own) or {}).get(name)
        if was is not None and (was["fingerprint"], was["row"]) != (found["fingerprint"], found["row"]):
            yield f"other rows were asked in {name}"


def _place(index: int, record: Mapping[str, Any]) -> str:
    condition = "".join(f", {key} {record[key]}" for key in sorted(OTHER_WEIGHTS & record.keys()))
    return f"evaluation {index + 1} (step {record['step']}{condition})"


def _close(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)
    return bool(one == other)


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, int | float) else "nothing" if value is None else str(value)

"""Bootstrap intervals of the numbers of free answers: rows of each set are drawn with replacement."""

from collections.abc import Sequence

import numpy as np

from lit_unlearn.answers.measures import Measured, compared_sets, relative_scores, scores, set_columns, utility_parts
from lit_unlearn.answers.outcomes import PREFIX, Outcomes, comparable
from lit_unlearn.questions.resampling import Resampling, spanned


def with_intervals(
    measured: Measured,
    found: Outcomes,
    reference: Outcomes | None,
    *,
    samples: int,
    retrained_auc: float | None = None,
    seed: int = 0,
) -> Measured:
    """The numbers with the ends of their 95 % percentile intervals, as `…_low` and `…_high`.

    Of a set all means; of all sets model utility, the AUC of Min-K % and of the attack with a reference, and PrivLeak,
    for which model and reference have the same rows in each sample. Forget quality, a p-value, has none.

    Args:
        measured: by name.
        found: the outcomes it was measured on.
        reference: of the retain-only model.
        samples: of the bootstrap.
        retrained_auc: of the retain-only model, where that alone is known of it.
        seed: of its draws, which depend on that and on the sets' names alone.
    """
    drawn = Resampling(1, seed=seed, samples=samples)
    out = {name: {**row} for name, row in measured.items()}
    for name, one in found.items():
        for key, values in set_columns(one).items():
            _add(out[f"{PREFIX}/{name}"], key, _means(drawn, name, values))
    everything = out.get(PREFIX, {})
    if (parts := utility_parts(found, measured)) is not None:
        everything.update(_ends("model_utility", _utility(drawn, found, len(parts))))
    forget, holdout = compared_sets(found)
    if not (forget and holdout):
        return out
    own = _aucs(drawn, *scores(found, "min_k"))
    _add(everything, "membership_auc", own)
    if retrained_auc is not None:
        _add(everything, "privacy_leakage", 100 * (own - retrained_auc) / retrained_auc)
    if reference is not None and {*forget, *holdout} <= {*comparable(found, reference)}:
        retrained = _aucs(drawn, *scores({name: reference[name] for name in found if name in reference}, "min_k"))
        with np.errstate(divide="ignore", invalid="ignore"):
            _add(everything, "privacy_leakage", 100 * (own - retrained) / retrained)
        if (relative := relative_scores(found, reference)) is not None:
            _add(everything, "membership_auc_reference", _aucs(drawn, *relative))
    return out


def _means(drawn: Resampling, name: str, values: Sequence[float]) -> np.ndarray:
    return drawn.means(np.asarray(values)[None, None], name)[:, 0]


def _utility(drawn: Resampling, found: Outcomes, parts: int) -> np.ndarray:
    """The harmonic mean of the parts in each sample."""
    columns = [
        _means(drawn, name, set_columns(one)[key])
        for name, one in found.items()
        if one["role"] in ("retain", "general")
        for key in ("probability", "rouge_recall", "truth_ratio")
    ]
    assert len(columns) == parts
    with np.errstate(divide="ignore"):
        harmonic: np.ndarray = parts / (1 / np.stack(columns)).sum(axis=0)
    return harmonic


def _aucs(drawn: Resampling, unseen: Sequence[float], trained: Sequence[float]) -> np.ndarray:
    """The AUC of each sample, in which unseen and trained rows are drawn apart.

    Args:
        drawn: of the bootstrap.
        unseen: scores of unseen rows.
        trained: scores of trained ones.

    Returns:
        float64 `[samples]`.
    """
    first, second = np.asarray(unseen)[:, None], np.asarray(trained)[None]
    higher = (first > second) + 0.5 * (first == second)  # [unseen, trained]
    of_each = drawn.means(higher.T[:, None], "unseen rows")  # [samples, trained], means over the unseen rows drawn
    shares = drawn.means(np.eye(len(trained))[:, None], "trained rows")  # [samples, trained]
    found: np.ndarray = (of_each * shares).sum(axis=1)
    return found


def _add(row: dict[str, float | None], key: str, values: np.ndarray) -> None:
    if row.get(key) is not None:
        row.update(_ends(key, values))


def _ends(key: str, values: np.ndarray) -> dict[str, float | None]:
    if not np.isfinite(values).all():
        return {}
    interval = spanned(0.0, values)
    return {f"{key}_low": interval.low, f"{key}_high": interval.high}

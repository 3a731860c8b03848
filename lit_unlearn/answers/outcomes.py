"""What came out of an evaluation of free answers, by row: from scores of tokens and written answers."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, NotRequired, TypedDict, TypeVar, cast

from lit_unlearn.answers import gibberish, likelihood, membership, memorisation
from lit_unlearn.answers.classified import LEAST_CLEAN
from lit_unlearn.answers.overlap import best, exact_match, extracted, rouge_l, word_f1
from lit_unlearn.answers.plan import AnswerPlan, PlannedRow, PlannedSet
from lit_unlearn.answers.source import Role

PREFIX = "answers"
"""Of the names of numbers, and of the part of an evaluation's record."""
_DIGITS = 9


class TokenValues(NamedTuple):
    """Of the tokens of one answer, in float64."""

    logprob: list[float]
    greedy: list[bool]
    mean_logprob: list[float]
    variance: list[float]

    def without(self, ending: int) -> "TokenValues":
        """Without the last tokens, which end the turn."""
        kept = slice(len(self.logprob) - ending)
        return TokenValues(self.logprob[kept], self.greedy[kept], self.mean_logprob[kept], self.variance[kept])


class SetOutcomes(TypedDict):
    """Of one set, each by row. What is scored is there where rows have right answers, the rest where they are written.

    `probability` is, of a general set, the right answer's share of the probability of all answers.
    """

    role: Role
    fingerprint: str
    """Of questions and answers."""
    row: list[int]
    """The rows' places in their source."""
    texts_alone: NotRequired[bool]
    """True where there are no questions."""
    probability: NotRequired[list[float]]
    extraction_strength: NotRequired[list[float]]
    exact_memorisation: NotRequired[list[float]]
    loss: NotRequired[list[float]]
    zlib: NotRequired[list[float]]
    min_k: NotRequired[list[float]]
    min_k_plus: NotRequired[list[float]]
    ratio: NotRequired[list[float]]
    """R, where all rows have wrong answers, and right ones in other words unless the set is general."""
    accuracy: NotRequired[list[float]]
    """Of multiple choice, 1 where the answer is likelier than each wrong one."""
    mc2: NotRequired[list[float]]
    """Of multiple choice with several right answers, their share of the probability of all."""
    gradient_norm: NotRequired[list[float]]
    """Minus the norm of the loss' gradient, as the other membership scores higher for members."""
    rouge_recall: NotRequired[list[float]]
    rouge_f1: NotRequired[list[float]]
    rouge_f1_unstemmed: NotRequired[list[float]]
    word_f1: NotRequired[list[float]]
    exact_match: NotRequired[list[float]]
    repetition: NotRequired[list[float]]
    entropy: NotRequired[list[float]]
    perplexity: NotRequired[list[float]]
    """Of what is written, under another model."""
    clean: NotRequired[list[float]]
    """The probability that a classifier gives to a text that is none."""
    gibberish: NotRequired[list[float]]
    written: NotRequired[list[str]]
    """The model's own answers."""


class Judged(NamedTuple):
    """What other models say of the texts that are written in a set, by row; None where they were not asked."""

    perplexities: Sequence[float] | None
    clean: Sequence[float] | None
    """A classifier's probabilities that they are no gibberish."""


Outcomes = dict[str, SetOutcomes]
Written = Mapping[tuple[str, int], str]
"""The model's own answers by set and the row's place in its source."""
_Value = TypeVar("_Value")


def token_values(batches: Sequence[Mapping[str, Any]]) -> dict[int, TokenValues]:
    """The values of each answer's tokens, by the text's number.

    Args:
        batches: of `AnswerScores`.
    """
    found = {}
    for batch in batches:
        columns = [batch[name].double() for name in TokenValues._fields]
        for number, *values in zip(batch["answer"].tolist(), *columns, strict=True):
            counted = ~values[0].isnan()
            logprob, greedy, means, variance = (one[counted].tolist() for one in values)
            found[int(number)] = TokenValues(logprob, [*map(bool, greedy)], means, variance)
    return found


def outcomes(
    plan: AnswerPlan,
    values: Mapping[int, TokenValues],
    written: Written | None,
    perplexities: Mapping[tuple[str, int], float] | None = None,
    clean: Mapping[tuple[str, int], float] | None = None,
) -> Outcomes:
    """What came out, of the rows of which all is known.

    Args:
        plan: what was scored.
        values: by text.
        written: the model's own answers; None where it did not write.
        perplexities: of these, under another model; None where there is none.
        clean: probabilities of these, by a classifier, that they are no gibberish; None where there is none.
    """
    found: Outcomes = {}
    for name, one in plan.sets.items():
        known = [row for row in one.rows if row.scored <= values.keys()]
        if not known:
            continue
        own = _of_rows(name, known, written)
        judged = Judged(_of_rows(name, known, perplexities), _of_rows(name, known, clean))
        if own is not None or known[0].answer is not None:
            found[name] = _outcomes(plan, one, known, values, own, judged)
    return found


def comparable(found: Outcomes, reference: Outcomes) -> list[str]:
    """The names of sets of both with the same rows.

    Args:
        found: of an evaluation.
        reference: of the retain-only model's.
    """
    return [
        name
        for name, one in found.items()
        if (other := reference.get(name)) and (one["fingerprint"], one["row"]) == (other["fingerprint"], other["row"])
    ]


def _of_rows(
    name: str, rows: Sequence[PlannedRow], kept: Mapping[tuple[str, int], _Value] | None
) -> list[_Value] | None:
    """What is known of the rows of a set; None where nothing is."""
    if not kept or (name, rows[0].asked.number) not in kept:
        return None
    return [kept[name, row.asked.number] for row in rows]


def _outcomes(
    plan: AnswerPlan,
    of: PlannedSet,
    rows: Sequence[PlannedRow],
    values: Mapping[int, TokenValues],
    written: Sequence[str] | None,
    judged: Judged,
) -> SetOutcomes:
    found = SetOutcomes(role=of.role, fingerprint=of.fingerprint, row=[row.asked.number for row in rows])
    if of.texts_alone:
        found["texts_alone"] = True
    if all(row.answer is not None for row in rows):
        found = cast(SetOutcomes, {**found, **_scored(plan, of, rows, values)})
    if written is not None:
        found = cast(SetOutcomes, {**found, **_written(of, rows, written, judged)})
    return found


def _scored(
    plan: AnswerPlan, of: PlannedSet, rows: Sequence[PlannedRow], values: Mapping[int, TokenValues]
) -> dict[str, list[float]]:
    """What the tokens of the answers give."""
    numbers = [cast(int, row.answer) for row in rows]
    whole = [values[number] for number in numbers]
    own = [one.without(plan.ends[number]) for number, one in zip(numbers, whole, strict=True)]
    texts = [row.asked.answer or "" for row in rows]
    found = {
        "probability": _rounded(_probability(row, values, general=of.role == "general") for row in rows),
        "extraction_strength": _rounded(memorisation.extraction_strength(one.greedy) for one in own),
        "exact_memorisation": _rounded(memorisation.exact_memorisation(one.greedy) for one in own),
        "loss": _rounded(membership.loss_score(one.logprob) for one in whole),
        "zlib": _rounded(map(membership.zlib_score, [one.logprob for one in whole], texts)),
        "min_k": _rounded(membership.min_k(one.logprob) for one in own),
        "min_k_plus": _rounded(membership.min_k_plus(one.logprob, one.mean_logprob, one.variance) for one in own),
    }
    if all(row.asked.rivals is not None for row in rows):
        found |= _chosen(rows, values)
    right = [(number,) if of.role == "general" else row.paraphrased for number, row in zip(numbers, rows, strict=True)]
    if all(right) and all(row.perturbed for row in rows):
        found["ratio"] = [  # not rounded: it may be tiny
            likelihood.truth_ratio(_logprobs(texts, values), _logprobs(row.perturbed, values))
            for row, texts in zip(rows, right, strict=True)
        ]
    return found


def _chosen(rows: Sequence[PlannedRow], values: Mapping[int, TokenValues]) -> dict[str, list[float]]:
    """What multiple choice gives."""
    accuracy, mc2 = [], []
    for row in rows:
        right = _logprobs([cast(int, row.answer), *row.paraphrased], values)
        wrong = _logprobs(row.perturbed, values)
        accuracy.append(likelihood.is_likeliest(right[0], wrong[: row.asked.rivals]))
        mc2.append(likelihood.share_of_all(right, wrong))
    several = any(row.paraphrased for row in rows)
    return {"accuracy": accuracy, **({"mc2": _rounded(mc2)} if several else {})}


def _written(
    of: PlannedSet, rows: Sequence[PlannedRow], written: Sequence[str], judged: Judged
) -> dict[str, list[float] | list[str]]:
    """What the model's own answers give."""
    found: dict[str, list[float] | list[str]] = {}
    if all(row.compared for row in rows):
        answers = [extracted(text, of.extract) for text in written]
        for name, measure in _OVERLAPS.items():
            found[name] = _rounded(best(measure, text, row.compared) for text, row in zip(answers, rows, strict=True))
    found["repetition"] = _rounded(map(gibberish.repetition, written))
    found["entropy"] = _rounded(map(gibberish.ngram_entropy, written))
    if judged.perplexities is not None:
        found["perplexity"] = _rounded(judged.perplexities)
    if judged.clean is not None:
        found["clean"] = _rounded(judged.clean)
    found["gibberish"] = _gibberish(written, judged)
    found["written"] = [*written]
    return found


def _gibberish(written: Sequence[str], judged: Judged) -> list[float]:
    """1 for each text that is gibberish: a classifier alone says so where there is one."""
    if judged.clean is not None:
        return [float(share < LEAST_CLEAN) for share in judged.clean]
    under: Sequence[float | None] = judged.perplexities or [None] * len(written)
    return [float(gibberish.is_gibberish(text, one)) for text, one in zip(written, under, strict=True)]


def _rouge(written: str, answer: str, *, part: str, stemmed: bool = True) -> float:
    return rouge_l(written, answer, stemmed=stemmed)[part]


_OVERLAPS: dict[str, Callable[[str, str], float]] = {
    "rouge_recall": partial(_rouge, part="recall"),
    "rouge_f1": partial(_rouge, part="fmeasure"),
    "rouge_f1_unstemmed": partial(_rouge, part="fmeasure", stemmed=False),
    "word_f1": word_f1,
    "exact_match": exact_match,
}


def _logprobs(numbers: Sequence[int], values: Mapping[int, TokenValues]) -> list[list[float]]:
    return [values[number].logprob for number in numbers]


def _probability(row: PlannedRow, values: Mapping[int, TokenValues], *, general: bool) -> float:
    right = likelihood.probability(values[cast(int, row.answer)].logprob)
    if not (general and row.perturbed):
        return right
    return likelihood.share(right, [likelihood.probability(values[number].logprob) for number in row.perturbed])


def _rounded(values: Any) -> list[float]:
    return [round(value, _DIGITS) for value in values]

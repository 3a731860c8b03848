"""The numbers of a report: as markdown, and as JSON."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from lit_unlearn.commands.report import answer_metrics, forgetting
from lit_unlearn.commands.report.answer_metrics import metric_parts
from lit_unlearn.commands.report.cells import cell, excess, mean_cell, nats, shown
from lit_unlearn.commands.report.insertions import PREFIX, damaged_share, excess_cell, forget_tokens, insertions
from lit_unlearn.commands.report.letters import letters, letters_shown
from lit_unlearn.commands.report.repair import Comparison, repair_numbers, repair_shown
from lit_unlearn.commands.report.runs import ReportedModel, forget_sets
from lit_unlearn.questions.excess import LARGE
from lit_unlearn.questions.insertions import FORGET_TOKENS, SCORED
from lit_unlearn.runs.tables import markdown_table

_SPANS = 4
"""Kinds of insertions of one table."""
_BESIDE = 2
"""Perturbations of one table."""
_LETTERS = 6
"""Variants of one table of letters."""
LETTERS_LEGEND = (
    "The letter predicted most often, its share of all answers, and the collapse rate: the share of wrong answers that "
    "are that letter."
)
INSERTIONS_LEGEND = (
    f"Insertions: spans of trained and of held-out forget rows put into held-out retain rows. Excess is what they cost "
    f"the {SCORED} tokens that follow beyond what as many retain tokens cost, in nats per token; damaged rows are "
    f"those whose excess is more than {LARGE} above that before training."
)
_ONE_SEED_OF_ROWS = "One seed: another one, with another steering vector and row order, may differ by more than that."
ONE_SEED = (
    "One seed: ± and intervals are over questions only. On the demo world another seed (steering vector, noise and row "
    "order) alone moves accuracy under 4 forget tokens by about 5 points (standard deviation); see docs/results.md."
)


def markdown(models: Sequence[ReportedModel], compared: Comparison) -> str:
    """A row for each model: accuracy in percent, forgetting, the drop beyond the control, repairs; then the letters.

    What LikelihoodRobustness counted has tables of its own.

    Many perturbations are parted into several tables.
    """
    perturbed = models[0].perturbed
    parts = [perturbed[start : start + _BESIDE] for start in range(0, len(perturbed), _BESIDE)] or [[]]
    tables: list[str] = []
    for part in parts:
        tables += filter(None, [_table(models, compared, part, first=not tables)])
    for columns in insertion_parts(models, compared):
        tables.append(f"{markdown_table(['model', *columns], _rows(models, columns))}\n")
    for name, columns in metric_parts(models):
        tables.append(f"{markdown_table([f'answers: {name}', *columns], _rows(models, columns))}\n")
    found = [f"{markdown_table(['model', *variants], rows)}\n" for variants, rows in letter_parts(models)]
    letters_of = [LETTERS_LEGEND, "", *found] if found else []
    return "\n".join([*tables, *(f"{line}\n" for line in legend(models, compared)), *letters_of])


def compact(models: Sequence[ReportedModel], variants: Sequence[str]) -> str:
    """A row for each model, a column for each variant, the accuracy under its control in brackets."""
    rows = [
        [model.name, *(shown(cell(model, variant)) + _beside(model, variant) for variant in variants)]
        for model in models
    ]
    return f"{markdown_table(['model', *variants], rows)}\n"


def as_json(models: Sequence[ReportedModel], compared: Comparison) -> list[dict[str, Any]]:
    """The numbers of every model: accuracy, forgetting, letters, and what it repairs of the method's loss."""
    return [
        {
            "name": model.name,
            "seeds": len(model.records),
            "method": model.is_method,
            "accuracy": {variant: cell(model, variant)._asdict() for variant in model.variants},
            "forgetting": _forgetting(model, forget_sets(models)),
            "retain_nll": _numbers(forgetting.held_out(model.records, forgetting.RETAIN)),
            "excess": {name: excess_cell(model, name)._asdict() for name in insertions(models)},
            "damaged_share": {name: damaged_share(model, models[0], name)._asdict() for name in insertions(models)},
            "answers": answer_metrics.as_json(model),
            "letters": {variant: letters(model, variant)._asdict() for variant in model.variants},
            "equal_forgetting": row.equal,
            "repair": {variant: repair_numbers(found) for variant, found in row.repairs.items()},
        }
        for model, row in zip(models, compared.rows, strict=True)
    ]


def as_asked(models: Sequence[ReportedModel]) -> list[str]:
    """The variants that are neither perturbed nor a control."""
    of_perturbed = {*models[0].perturbed, *(f"{variant}/control" for variant in models[0].perturbed)}
    return [variant for variant in models[0].variants if variant not in of_perturbed]


def forgetting_columns(models: Sequence[ReportedModel]) -> dict[str, list[str]]:
    """By head, the cells of all models on measures without a floor; a dash where one was not measured."""
    found = [forgetting.columns(model, forget_sets(models)) for model in models]
    heads = [*(measure.head for measure in forgetting.MEASURES.values()), forgetting.RETAIN_NLL]
    return {
        head: [nats(mean_cell(torch.from_numpy(one[head]))) if head in one else "–" for one in found]
        for head in heads
        if any(head in one for one in found)
    }


def insertion_parts(models: Sequence[ReportedModel], compared: Comparison) -> Iterator[dict[str, list[str]]]:
    """By head, the cells of all models on a few kinds of insertions at a time; none where nothing was inserted."""
    names = insertions(models)
    for start in range(0, len(names), _SPANS):
        columns: dict[str, list[str]] = {}
        if start == 0 and all(scored := [forget_tokens(model) for model in models]):
            first, last = FORGET_TOKENS
            columns[f"NLL: forget tokens {first + 1}–{last}"] = [nats(one) for one in scored if one]
        for name in names[start : start + _SPANS]:
            shown_name = name.removeprefix(PREFIX)
            columns[f"excess: {shown_name}"] = [nats(excess_cell(model, name)) for model in models]
            shares = [damaged_share(model, models[0], name) for model in models]
            columns[f"damaged rows: {shown_name}"] = [f"{100 * share.value:.0f} %" for share in shares]
            if cells := repair_column(compared, name):
                columns[f"repair: {shown_name}"] = cells
        yield columns


def letter_parts(models: Sequence[ReportedModel]) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Variants, and a row for each model with its commonest letter on them; a few variants at a time."""
    variants = models[0].variants
    for start in range(0, len(variants), _LETTERS):
        part = variants[start : start + _LETTERS]
        rows = [[model.name, *(letters_shown(letters(model, variant)) for variant in part)] for model in models]
        yield part, rows


def legend(models: Sequence[ReportedModel], compared: Comparison) -> list[str]:
    """What ± and the columns stand for, a paragraph each."""
    told = [seeds_legend(models)]
    if insertions(models):
        told.append(INSERTIONS_LEGEND)
    if any(metric_parts(models)):
        told.append(answer_metrics.LEGEND)
    if forgetting_columns(models):
        told.append(
            "Forgetting, where lower log p and higher NLL is more forgotten: mean log-probability in nats of the right "
            "answer's text, without options, and of its letter over the whole vocabulary; mean negative log-likelihood "
            "per token of held-out rows."
        )
    if compared.method:
        told.append(repair_legend(compared))
    return told


def seeds_legend(models: Sequence[ReportedModel]) -> str:
    """What ± and intervals are over."""
    seeds = max(len(model.records) for model in models)
    if not models[0].variants:
        error = "standard error over rows" if seeds == 1 else f"95 % interval of the mean of {seeds} seeds"
        return f"Means ± {error}." + (f" {_ONE_SEED_OF_ROWS}" if seeds == 1 else "")
    if seeds == 1:
        return f"Accuracy in percent ± standard error over questions. {ONE_SEED}"
    return (
        f"Accuracy in percent, mean of {seeds} seeds ± 95 % interval of that mean; of a single run ± standard error. "
        "Intervals of repairs are over seeds and questions."
    )


def repair_legend(compared: Comparison) -> str:
    """What each form of a repair's cell means."""
    assert compared.method
    name, measure = compared.method.name, compared.measure
    return (
        f"Repair of {name}, each with its 95 % bootstrap interval: a percentage is the share of the accuracy lost by "
        f"{name} under the perturbation, or of its damage by insertions, that a model with equal forgetting gives back "
        "(the intervals of the paired differences in all measures of forgetting that there are contain 0); points are "
        f"accuracy above {name}'s own interpolated weights, base + t · (unlearned − base), where {measure.described} "
        "is that of a model that has forgotten differently, and nats, of insertions, excess below theirs; n/a says why "
        "there is neither."
    )


def _forgetting(model: ReportedModel, forget: Sequence[str]) -> dict[str, Any]:
    found = {
        name: _numbers(forgetting.measured(model.records, measure, forget))
        for name, measure in forgetting.MEASURES.items()
    }
    return {name: numbers for name, numbers in found.items() if numbers}


def _numbers(values: Any) -> dict[str, float] | None:
    return None if values is None else mean_cell(torch.from_numpy(values))._asdict()


def _beside(model: ReportedModel, variant: str) -> str:
    """The accuracy under the control of a perturbed variant."""
    return f" ({100 * cell(model, f'{variant}/control').value:.1f})" if variant in model.perturbed else ""


def _table(models: Sequence[ReportedModel], compared: Comparison, perturbed: Sequence[str], *, first: bool) -> str:
    """Of some variants with a control; the first table also of those without, and of forgetting."""
    columns = {variant: [shown(cell(model, variant)) for model in models] for variant in as_asked(models) if first}
    columns |= forgetting_columns(models) if first else {}
    for variant in perturbed:
        columns |= {side: [shown(cell(model, side)) for model in models] for side in (variant, f"{variant}/control")}
    columns |= {f"drop beyond control: {one}": [excess(model, one) for model in models] for one in perturbed}
    columns |= {f"repair: {one}": cells for one in perturbed if (cells := repair_column(compared, one))}
    return f"{markdown_table(['model', *columns], _rows(models, columns))}\n" if columns else ""


def _rows(models: Sequence[ReportedModel], columns: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Each model's name with its cells."""
    return [[model.name, *row] for model, *row in zip(models, *columns.values(), strict=True)]


def repair_column(compared: Comparison, variant: str) -> list[str]:
    """The cells of all models; none where the variant was not measured."""
    if not any(variant in row.repairs for row in compared.rows):
        return []
    return [repair_shown(row.repairs[variant]) if variant in row.repairs else "" for row in compared.rows]

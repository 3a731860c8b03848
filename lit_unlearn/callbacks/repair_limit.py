"""The strength of a repair that leaves as much forgotten as is asked for."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import compress

import torch

from lit_unlearn.distributed.outside_step import outside_step
from lit_unlearn.errors import InputError
from lit_unlearn.modules.held_out import held_out_pairs, mean_nll
from lit_unlearn.modules.unlearn import UnlearnModule
from lit_unlearn.questions.sets import DEFAULT, Variant
from lit_unlearn.repairs.bisection import largest
from lit_unlearn.repairs.closed_form import ClosedForm

LOWEST, HIGHEST = 0.01, 1e4
"""Between these μ is looked for."""
STEPS = 8
"""Halvings of the interval between them, after which μ is known to 3 %."""


def found_strength(
    module: UnlearnModule, repair: ClosedForm, forget: tuple[str, ...], repaired: Callable[[ClosedForm], object]
) -> ClosedForm:
    """The repair itself, or with the largest μ at which enough is still forgotten.

    Args:
        module: in a Trainer; all processes must call it.
        repair: with μ or with a limit.
        forget: names of the question sets that are to be forgotten.
        repaired: makes the module's weights those of a repair at some μ.

    Raises:
        InputError: too little is forgotten before the repair.
    """
    if repair.mu is not None:
        return repair
    enough = _enough(module, repair, forget)
    repaired(repair.at(0.0))  # which leaves `share` of the change
    if not enough():
        kept = "" if repair.share == 1 else f" with a share {repair.share:g} of the change"
        raise InputError(
            f"Repairs: {repair!r}: the model{kept} has forgotten less than that before any repair; train longer, ask "
            "for less" + (", or raise share" if kept else "")
        )

    def holds(mu: float) -> bool:
        repaired(repair.at(mu))
        return enough()

    return repair.at(largest(holds, low=LOWEST, high=HIGHEST, steps=STEPS))


def _enough(module: UnlearnModule, repair: ClosedForm, forget: tuple[str, ...]) -> Callable[[], bool]:
    """Whether the module's weights, as they then are, have forgotten enough."""
    if repair.nll_rise is not None:
        batches = [pair["forget"] for pair in held_out_pairs(module)]
        with module.frozen.running():
            wanted = mean_nll(module, batches) + repair.nll_rise
        return lambda: mean_nll(module, batches) >= wanted
    limit = repair.answer_logprob
    assert limit is not None
    return lambda: answer_logprob(module, forget) <= limit


@torch.no_grad()
def answer_logprob(module: UnlearnModule, forget: tuple[str, ...]) -> float:
    """Mean log-probability of the right answers' texts on the unperturbed questions to forget, over all processes.

    Args:
        module: in a Trainer, its whole model loaded; all processes must call it.
        forget: names of the question sets.

    Raises:
        InputError: no such questions are asked, or their answers have no text of their own.
    """
    found = torch.zeros(2, dtype=torch.float64)
    for values in _logprobs(module, forget):
        found += torch.tensor([values.sum().item(), len(values)], dtype=torch.float64)
    total, count = module.total(found.to(module.device, torch.float32)).tolist()
    if not count:
        raise _unasked(forget)
    return float(total / count)


def check_asked(module: UnlearnModule, forget: tuple[str, ...]) -> None:
    """Checks, without asking, that there are unperturbed questions to forget.

    Args:
        module: in a Trainer, whose data is set up.
        forget: names of the question sets.

    Raises:
        InputError: there are none.
    """
    data = module.trainer.datamodule  # type: ignore[attr-defined]
    if not any(_asked(variant, forget) for variants in data.evaluation_sets for variant in variants):
        raise _unasked(forget)


def _unasked(forget: tuple[str, ...]) -> InputError:
    return InputError(
        f"Repairs: no text of a right answer is scored on questions of {', '.join(forget) or 'a set to forget'}; "
        "ask such questions in data.evaluation, or give nll_rise instead of answer_logprob"
    )


def _logprobs(module: UnlearnModule, forget: tuple[str, ...]) -> Iterator[torch.Tensor]:
    """The log-probabilities of each batch's own unperturbed questions to forget."""
    data = module.trainer.datamodule  # type: ignore[attr-defined]
    sets: list[tuple[Variant, ...]] = data.evaluation_sets
    wanted = [any(_asked(variant, forget) for variant in variants) for variants in sets]
    for variants, loader in compress(zip(sets, data.val_dataloader(), strict=True), wanted):
        own = torch.tensor([_asked(variant, forget) for variant in variants])
        for batch in loader:
            moved = module.transfer_batch_to_device(batch, module.device, 0)
            answers = outside_step(module.trainer, partial(module.answers, moved))
            if "text_logprob" in answers:
                values = answers["text_logprob"].cpu().double()
                yield values[own[batch["variant"][batch["valid"]]] & ~values.isnan()]


def _asked(variant: Variant, forget: tuple[str, ...]) -> bool:
    return variant.questions in forget and variant.perturbation == DEFAULT and not variant.control

"""Theorem 5.2 for the responses of two models: what it predicts and what is measured."""

from typing import NamedTuple

import torch
from torch import Tensor

from lit_unlearn.commands.analysis import theory
from lit_unlearn.commands.analysis.response import Response
from lit_unlearn.errors import InputError
from lit_unlearn.questions.statistics import Estimate, accuracy


class Rejection(NamedTuple):
    """What is predicted and measured for one perturbation."""

    measured: Estimate
    queries: int
    """Those with ΔJ_method > 0, over which it is measured and predicted."""
    corrected: float
    """Predicted with s = sqrt(1 + r²)."""
    paper: float
    """Predicted with s = 1 + r."""
    eta: float
    nu: float
    ratio: float
    """Median r."""
    cosine: float
    """Of δ as asked and δ perturbed, all queries' states as one vector."""
    method_change: float
    """Mean ΔJ over all queries."""
    rna_change: float


class Asked(NamedTuple):
    """How one model responds to both forms of some queries."""

    default: Response
    perturbed: Response

    @property
    def change(self) -> Tensor:
        """ΔJ of each query."""
        return self.perturbed.value - self.default.value


def rejection(method: Asked, rna: Asked, tokens: int) -> Rejection:
    """Theorem 5.2 for one perturbation.

    Args:
        method: responses of the model trained without noise.
        rna: of the one trained with it.
        tokens: of all queries, at which the states count.

    Raises:
        InputError: no query's loss rises, or the two models or the two forms have the same states.
    """
    entries = tokens * method.default.hidden.shape[-1]
    delta, delta_perturbed = (after.hidden - before.hidden for before, after in zip(method, rna, strict=True))
    eta = theory.variance(method.perturbed.hidden - method.default.hidden, entries)
    nu = theory.variance(torch.stack([delta, delta_perturbed]), 2 * entries)
    rises = method.change > 0
    _check_anything(eta, nu, rises)
    squares = [theory.squared_norm(one.gradient.double())[rises] for one in (method.perturbed, method.default)]
    # So sure of the answer that its gradient vanishes: r is huge, but a number.
    ratio = (squares[0] / squares[1].clamp(min=torch.finfo(torch.float32).tiny)).sqrt()
    predicted = [theory.reject_probability(eta, nu, ratio, corrected=how).mean().item() for how in (True, False)]
    return Rejection(
        measured=accuracy(rna.change[rises] <= 0),
        queries=int(rises.sum()),
        corrected=predicted[0],
        paper=predicted[1],
        eta=eta,
        nu=nu,
        ratio=ratio.median().item(),
        cosine=torch.cosine_similarity(delta.flatten().double(), delta_perturbed.flatten().double(), dim=0).item(),
        method_change=method.change.mean().item(),
        rna_change=rna.change.mean().item(),
    )


def _check_anything(eta: float, nu: float, rises: Tensor) -> None:
    nothing = [
        (eta == 0, "the perturbation changes no hidden state"),
        (nu == 0, "the two runs' models have the same hidden states"),
        (not rises.any(), "no query's loss rises under the perturbation"),
    ]
    for is_so, what in nothing:
        if is_so:
            raise InputError(f"analyse reject-probability: {what}, so there is nothing to reject; give other runs")

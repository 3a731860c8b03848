"""The change of a matrix that serves forget inputs and disturbs retain inputs least, in closed form."""

import torch
from torch import Tensor

from lit_unlearn.errors import InputError, check_at_least
from lit_unlearn.repairs.contract import WeightRepair

RIDGE = 1e-6
"""What is added to the diagonal of the forget inputs' second moment, in its mean diagonal elements."""


def closed_form(change: Tensor, forget: Tensor, retain: Tensor, *, mu: float) -> Tensor:
    """ΔW' = ΔW C_f (C_f + μ C_r)⁻¹, which minimises the mean of ‖(ΔW' - ΔW) x_f‖² + μ times that of ‖ΔW' x_r‖².

    C is the mean of x xᵀ per token, so that μ does not depend on the streams' sizes; C_f has a ridge of 1e-6 tr(C_f)/d.

    Args:
        change: ΔW, `[out, in]`, float64.
        forget: C_f, `[in, in]`, float64.
        retain: C_r, `[in, in]`, float64.
        mu: weight of the retain inputs, at least 0; 0 changes nothing.

    Raises:
        InputError: the forget inputs are all 0.

    Example:
        >>> forget, retain = torch.diag(torch.tensor([1.0, 1.0, 0.0])), torch.diag(torch.tensor([0.0, 1.0, 1.0]))
        >>> change = torch.ones(1, 3).double()
        >>> [round(value, 3) for value in closed_form(change, forget.double(), retain.double(), mu=1)[0].tolist()]
        [1.0, 0.5, 0.0]
    """
    if not mu:
        return change
    mean = forget.diagonal().mean()
    if not mean > 0:
        raise InputError(
            "ClosedForm: the inputs of a matrix on forget rows are all 0; leave the matrix out of training"
        )
    ridged = forget + RIDGE * mean * torch.eye(len(forget), dtype=forget.dtype, device=forget.device)
    factor = torch.linalg.cholesky(ridged + mu * retain)
    return torch.cholesky_solve((change @ ridged).T, factor).T


class ClosedForm(WeightRepair):
    """Replaces each matrix' change by the one that does as much to forget inputs and least to retain inputs.

    μ is given, or it is the largest at which enough is still forgotten: give one of `mu`, `nll_rise` and
    `answer_logprob`. Letter accuracy cannot say so, since it has a floor.

    Args:
        mu: weight of the retain inputs against the forget inputs, at least 0; 0 changes nothing.
        nll_rise: nats per token by which held-out forget rows must at least be less likely than before training.
        answer_logprob: mean log-probability of the right answers' texts on questions to forget, above which it must
            not rise, in nats, below 0.
        share: of the change that is kept before the repair, above 0 and up to 1.

    Raises:
        InputError: a number cannot be, or not exactly one of the three is given.
    """

    def __init__(
        self,
        mu: float | None = None,
        *,
        nll_rise: float | None = None,
        answer_logprob: float | None = None,
        share: float = 1.0,
    ) -> None:
        super().__init__(share=share)
        given = [one for one in (mu, nll_rise, answer_logprob) if one is not None]
        if len(given) != 1:
            raise InputError(
                f"ClosedForm: {len(given)} of mu, nll_rise and answer_logprob are given; give one: a strength, or the "
                "forgetting that must be left"
            )
        if mu is not None:
            check_at_least("ClosedForm.mu", mu, 0)
        if nll_rise is not None and not nll_rise > 0:
            raise InputError(f"ClosedForm.nll_rise: must be above 0 nats, got {nll_rise}")
        if answer_logprob is not None and not answer_logprob < 0:
            raise InputError(f"ClosedForm.answer_logprob: must be below 0 nats, got {answer_logprob}")
        self.mu = mu
        self.nll_rise = nll_rise
        self.answer_logprob = answer_logprob

    @property
    def name(self) -> str:
        """Such as `closed-form-7`; with a limit, the limit: `closed-form-nll-rise-3`."""
        if self.nll_rise is not None:
            return self.named(f"nll-rise-{self.nll_rise:g}")
        if self.answer_logprob is not None:
            return self.named(f"answer-logprob-{-self.answer_logprob:g}")
        return self.named(f"{self.mu:g}")

    def at(self, mu: float) -> "ClosedForm":
        """The same repair at a strength."""
        return ClosedForm(mu, share=self.share)

    def changed(self, change: Tensor, forget: Tensor, retain: Tensor) -> Tensor:
        """As `closed_form`."""
        assert self.mu is not None
        return closed_form(change, forget, retain, mu=self.mu)

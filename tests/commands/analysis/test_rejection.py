import math

import pytest
import torch

from lit_unlearn import InputError
from lit_unlearn.commands.analysis import theory
from lit_unlearn.commands.analysis.rejection import Asked, rejection
from lit_unlearn.commands.analysis.response import Response

TOKENS = 3 * 2
METHOD_CHANGE, RNA_CHANGE = [1.0, 2.0, -1.0], [-0.5, 3.0, -2.0]


def response(value: list[float], seed: int, scale: float = 1.0) -> Response:
    source = torch.Generator().manual_seed(seed)
    hidden, gradient = scale * torch.randn(2, 3, 2, 4, generator=source)
    return Response(hidden, torch.tensor(value), gradient)


METHOD = Asked(response([0.0] * 3, 0), response(METHOD_CHANGE, 1))
RNA = Asked(response([5.0] * 3, 2), response([5.0 + change for change in RNA_CHANGE], 3))


def test_the_share_is_conditional_on_a_loss_that_rises() -> None:
    found = rejection(METHOD, RNA, TOKENS)
    assert found.queries == 2
    assert found.measured.value == 0.5  # of the first two queries, the first is rejected; the third is not asked
    assert (found.method_change, found.rna_change) == pytest.approx((2 / 3, 0.5 / 3))


def test_the_prediction_is_the_mean_over_the_same_queries() -> None:
    found = rejection(METHOD, RNA, TOKENS)
    entries = TOKENS * 4
    eta = (METHOD.perturbed.hidden - METHOD.default.hidden).square().sum() / entries
    delta = [after.hidden - before.hidden for before, after in zip(METHOD, RNA, strict=True)]
    nu = sum(one.square().sum() for one in delta) / (2 * entries)
    assert (found.eta, found.nu) == pytest.approx((float(eta), float(nu)))
    ratios = [(METHOD.perturbed.gradient[query].norm() / METHOD.default.gradient[query].norm()) for query in (0, 1)]
    for corrected, mean in ((True, found.corrected), (False, found.paper)):
        each = [theory.reject_probability(found.eta, found.nu, ratio, corrected=corrected) for ratio in ratios]
        assert mean == pytest.approx(float(sum(each)) / 2)
    cosine = (delta[0] * delta[1]).sum() / delta[0].norm() / delta[1].norm()
    assert found.cosine == pytest.approx(float(cosine))


def test_tokens_that_do_not_count_change_no_variance() -> None:
    def cut(asked: Asked) -> Asked:
        blank = torch.zeros(3, 5, 4)
        return Asked(*(one._replace(hidden=torch.cat([blank, one.hidden], dim=1)) for one in asked))

    assert rejection(cut(METHOD), cut(RNA), TOKENS)[1:8] == pytest.approx(rejection(METHOD, RNA, TOKENS)[1:8])


def test_a_gradient_that_vanishes_leaves_half_a_chance() -> None:
    sure = METHOD.default._replace(gradient=torch.zeros(3, 2, 4))
    found = rejection(Asked(sure, METHOD.perturbed), RNA, TOKENS)
    assert (found.corrected, found.paper) == pytest.approx((0.5, 0.5))
    assert math.isfinite(found.ratio)


@pytest.mark.parametrize(
    ("method", "rna", "message"),
    [
        (METHOD, METHOD, "the two runs' models have the same hidden states"),
        (Asked(METHOD.default, METHOD.default), RNA, "the perturbation changes no hidden state"),
        (Asked(METHOD.default, METHOD.perturbed._replace(value=torch.zeros(3))), RNA, "no query's loss rises"),
    ],
)
def test_where_nothing_can_be_rejected_it_says_so(method: Asked, rna: Asked, message: str) -> None:
    with pytest.raises(InputError, match=message):
        rejection(method, rna, TOKENS)

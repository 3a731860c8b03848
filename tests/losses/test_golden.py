"""Each loss equals rows that were computed independently, in float64, with padding on either side."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lit_unlearn import (
    CEU,
    DPO,
    NLL,
    NPO,
    PDU,
    RMU,
    RSV,
    UNDIAL,
    WGA,
    AdaptiveRMU,
    CircuitBreaker,
    GradientAscent,
    LogitKL,
    LogitMSE,
    RepresentationMSE,
    RepresentationNorm,
    SatImp,
    SimNPO,
    TokenWeightedRMU,
)
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch, Loss, Outputs

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))["cases"]


@pytest.fixture(params=CASES, ids=[case["padding_side"] for case in CASES])
def case(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = request.param
    return found


def double(case: dict[str, Any], name: str) -> Tensor:
    return torch.tensor(case["inputs"][name], dtype=torch.float64)


def batch_of(case: dict[str, Any], *, ids: str = "input_ids", mask: str = "mask") -> Batch:
    tokens = zip(case["inputs"][ids], case["inputs"][mask], strict=True)
    rows = [
        Row([token for token, real in zip(ids, mask, strict=True) if real], 0, number)
        for number, (ids, mask) in enumerate(tokens)
    ]
    return collate(rows, padding_side=case["padding_side"], padding_id=0)


def steered_by(loss: Loss, vector: Tensor, monkeypatch: pytest.MonkeyPatch) -> Loss:
    monkeypatch.setattr(loss, "steering_vector", lambda topic, dim: vector.expand(len(topic), dim))
    return loss


def assert_golden(loss: Loss, case: dict[str, Any], name: str, *, noise: Tensor | float = 0.0) -> None:
    frozen = double(case, "hidden_frozen") + noise
    outputs = [
        Outputs(hidden, double(case, f"logits_{model}"), Outputs(hidden, double(case, f"alternate_logits_{model}")))
        for hidden, model in ((double(case, "hidden_updated"), "updated"), (frozen, "reference"))
    ]
    batch = batch_of(case)
    batch["preferred"] = batch_of(case, ids="alternate_ids", mask="alternate_mask")
    batch["token_weight"] = double(case, "unit_noise").abs()[..., 0]
    rows = loss(outputs[0], outputs[1], batch)
    assert rows.dtype == torch.float64
    torch.testing.assert_close(rows, torch.tensor(case["expected"][name], dtype=torch.float64), rtol=0, atol=1e-6)


def test_the_rows_are_laid_out_as_in_the_golden_cases(case: dict[str, Any]) -> None:
    assert batch_of(case)["attention_mask"].tolist() == case["inputs"]["mask"]
    alternate = batch_of(case, ids="alternate_ids", mask="alternate_mask")
    assert alternate["attention_mask"].tolist() == case["inputs"]["alternate_mask"]


def test_rmu_equals_its_golden_rows(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    loss = steered_by(RMU(case["params"]["coefficient"]), double(case, "steering_vector"), monkeypatch)
    assert_golden(loss, case, "rmu")


def test_token_weighted_rmu_equals_its_golden_rows(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    loss = steered_by(TokenWeightedRMU(case["params"]["coefficient"]), double(case, "steering_vector"), monkeypatch)
    assert_golden(loss, case, "token_weighted_rmu")


def test_adaptive_rmu_equals_its_golden_rows(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    loss = steered_by(AdaptiveRMU(case["params"]["scale"]), double(case, "steering_vector"), monkeypatch)
    assert_golden(loss, case, "adaptive_rmu")


def test_rsv_equals_its_golden_rows(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    loss = steered_by(RSV(case["params"]["coefficient"]), double(case, "rsv_direction"), monkeypatch)
    assert_golden(loss, case, "rsv")


def test_circuit_breaker_equals_its_golden_rows(case: dict[str, Any]) -> None:
    assert_golden(CircuitBreaker(), case, "circuit_breaker")


def test_representation_norm_equals_its_golden_rows(case: dict[str, Any]) -> None:
    assert_golden(RepresentationNorm(), case, "representation_norm")


def test_representation_mse_equals_its_golden_rows(case: dict[str, Any]) -> None:
    assert_golden(RepresentationMSE(), case, "representation_mse")


def test_representation_mse_with_noise_equals_its_golden_rows(case: dict[str, Any]) -> None:
    noise = case["params"]["noise_scale"] * double(case, "unit_noise")
    assert_golden(RepresentationMSE(), case, "representation_mse_rna", noise=noise)


def test_nll_equals_its_golden_rows(case: dict[str, Any]) -> None:
    assert_golden(NLL(), case, "nll")


def test_gradient_ascent_equals_its_golden_rows(case: dict[str, Any]) -> None:
    assert_golden(GradientAscent(), case, "gradient_ascent")


@pytest.mark.parametrize("length_normalized", [False, True])
def test_npo_equals_its_golden_rows(case: dict[str, Any], length_normalized: bool) -> None:
    loss = NPO(case["params"]["beta"], length_normalized=length_normalized)
    assert_golden(loss, case, "npo_length_normalized" if length_normalized else "npo")


def test_simnpo_equals_its_golden_rows(case: dict[str, Any]) -> None:
    assert_golden(SimNPO(case["params"]["beta"], case["params"]["gamma"]), case, "simnpo")


def test_wga_equals_its_golden_rows(case: dict[str, Any]) -> None:
    assert_golden(WGA(), case, "wga")


def test_satimp_equals_its_golden_rows(case: dict[str, Any]) -> None:
    assert_golden(SatImp(), case, "satimp")


def test_ceu_equals_its_golden_rows(case: dict[str, Any]) -> None:
    assert_golden(CEU(ignored_tokens=0), case, "ceu")


def test_undial_equals_its_golden_rows(case: dict[str, Any]) -> None:
    assert_golden(UNDIAL(), case, "undial")


def test_pdu_equals_its_golden_rows(case: dict[str, Any]) -> None:
    assert_golden(PDU(), case, "pdu")


@pytest.mark.parametrize("length_normalized", [False, True])
def test_dpo_equals_its_golden_rows(case: dict[str, Any], length_normalized: bool) -> None:
    loss = DPO(case["params"]["beta"], length_normalized=length_normalized)
    assert_golden(loss, case, "dpo_length_normalized" if length_normalized else "dpo")


def test_logit_kl_equals_its_golden_rows(case: dict[str, Any]) -> None:
    assert_golden(LogitKL(), case, "logit_kl")


def test_logit_mse_equals_its_golden_rows(case: dict[str, Any]) -> None:
    assert_golden(LogitMSE(), case, "logit_mse")

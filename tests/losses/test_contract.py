"""What every loss promises, and the parts that they share."""

import math
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
    Distillation,
    GradientAscent,
    LogitKL,
    LogitMSE,
    Refusal,
    RepresentationMSE,
    RepresentationNorm,
    SatImp,
    SimNPO,
    TokenWeightedRMU,
)
from lit_unlearn.data.rows import Row
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch, Loss, Outputs, PerTopic
from lit_unlearn.models import loading
from lit_unlearn.models.layers import decoder_layers
from lit_unlearn.models.source import ModelSource
from lit_unlearn.models.trainable import choose_trainable
from lit_unlearn.running.frozen import FrozenModel
from lit_unlearn.running.pair import run_pair
from tests.batches import padded

# As many rows as tokens in the longest and as dimensions: a value per row that is broadcast along another axis shows.
LENGTHS = (4, 2, 1, 3)
DIM, VOCAB = 4, 6
LOSSES: list[Loss] = [
    RMU([6.5, 0.5, 2.0], seed=1),
    TokenWeightedRMU([6.5, 0.5, 2.0], seed=1),
    AdaptiveRMU([3.0, 0.2, 1.5], seed=1),
    RSV([10.0, 1.0, 4.0], seed=1),
    CircuitBreaker(),
    RepresentationMSE(),
    RepresentationNorm(),
    GradientAscent(),
    NPO(0.5),
    NPO(0.5, length_normalized=True),
    SimNPO(0.5, 0.3),
    PDU(),
    Distillation(),
    UNDIAL(3.0),
    CEU(),
    SatImp(0.5, 1.5),
    WGA(0.5),
    DPO(0.5),
    DPO(0.5, length_normalized=True),
    Refusal(),
    LogitKL(),
    LogitMSE(),
    NLL(),
]
ON_HIDDEN = [loss for loss in LOSSES if not loss.needs_logits]
PREDICTING = [loss for loss in LOSSES if loss.needs_logits and not isinstance(loss, Distillation | LogitKL | LogitMSE)]
"""Losses on the likelihood of the next token, to which a row's last position says nothing."""
EMPTY: dict[type[Loss], float] = {NPO: 4 * math.log(2), DPO: 4 * math.log(2), SimNPO: 4 * math.log1p(math.exp(0.3))}
"""What a preference loss gives for a row that was and is as likely as can be; the others give 0."""
every_loss = pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: type(loss).__name__)
every_loss_on_hidden = pytest.mark.parametrize("loss", ON_HIDDEN, ids=lambda loss: type(loss).__name__)
every_side = pytest.mark.parametrize("side", ["left", "right"])


def random_rows() -> list[Row]:
    source = torch.Generator().manual_seed(0)
    draw = [torch.randint(0, VOCAB, (length,), generator=source).tolist() for length in LENGTHS]
    return [Row(ids, (0, 2, 1, 1)[number], number) for number, ids in enumerate(draw)]


def states(name: str, row: Row, width: int) -> Tensor:
    """Random numbers at each token of a row, different for each row and name."""
    source = torch.Generator().manual_seed(1000 * len(name) + row.number)
    return torch.randn(len(row.input_ids), width, generator=source, dtype=torch.float64)


def laid_out(name: str, rows: list[Row], batch: Batch, width: int, filler: float) -> Tensor:
    """The rows' numbers where the batch has their tokens, the filler at padding."""
    out = torch.full((*batch["attention_mask"].shape, width), filler, dtype=torch.float64)
    out[batch["attention_mask"].bool()] = torch.cat([states(name, row, width) for row in rows])
    return out


def answer(row: Row) -> Row:
    """What is preferred to a row: its tokens the other way round, and one more."""
    return Row([*row.input_ids[::-1], *row.input_ids[:1]], row.topic, row.number + 100)


def inputs(rows: list[Row], side: str = "right", extra: int = 0, filler: float = 0.0) -> tuple[Outputs, Outputs, Batch]:
    answers = [answer(row) for row in rows]
    batch, preferred = padded(rows, side, extra), padded(answers, side, extra)
    batch["preferred"], batch["token_weight"] = preferred, weights_of(batch)
    updated, frozen = (
        outputs(model, rows, batch, filler)._replace(preferred=outputs(model, answers, preferred, filler))
        for model in ("updated", "the frozen")
    )
    return updated, frozen, batch


def weights_of(batch: Batch) -> Tensor:
    """A weight for each token, a function of the token."""
    return 0.5 + batch["input_ids"] % 3


def outputs(model: str, rows: list[Row], batch: Batch, filler: float) -> Outputs:
    hidden, logits = (
        laid_out(f"{model} {name}", rows, batch, width, filler) for name, width in (("hidden", DIM), ("logits", VOCAB))
    )
    return Outputs(hidden, logits)


def one_by_one(loss: Loss, rows: list[Row]) -> Tensor:
    return torch.cat([loss(*inputs([row])) for row in rows])


def assert_same(rows: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(rows, expected, rtol=0, atol=1e-6)


@every_loss
@every_side
@pytest.mark.parametrize("extra", [0, 1, 5])
def test_neither_batch_size_nor_padding_changes_a_row(loss: Loss, side: str, extra: int) -> None:
    rows = random_rows()
    assert_same(loss(*inputs(rows, side, extra)), one_by_one(loss, rows))


@every_loss
def test_the_order_of_rows_does_not_change_them(loss: Loss) -> None:
    rows = random_rows()
    assert_same(loss(*inputs(rows[::-1])), one_by_one(loss, rows).flip(0))


@every_loss
@every_side
@pytest.mark.parametrize("filler", [torch.nan, torch.inf, -torch.inf, 1e30])
def test_what_the_models_compute_at_padding_does_not_matter(loss: Loss, side: str, filler: float) -> None:
    rows = random_rows()
    assert_same(loss(*inputs(rows, side, 2, filler)), one_by_one(loss, rows))


@every_loss
@every_side
def test_a_row_of_only_padding_gives_a_constant_and_leaves_the_others_alone(loss: Loss, side: str) -> None:
    rows = random_rows()
    out = loss(*inputs([rows[0], Row([], 1, 99), rows[1]], side))
    assert float(out[1]) == pytest.approx(EMPTY.get(type(loss), 0.0))
    assert_same(out[[0, 2]], one_by_one(loss, rows[:2]))


@every_loss_on_hidden
def test_positions_that_the_loss_mask_leaves_out_do_not_count(loss: Loss) -> None:
    row = random_rows()[0]
    updated, frozen, batch = inputs([row])
    batch["loss_mask"] = torch.tensor([[1, 0, 1, 0]])
    kept = torch.tensor([0, 2])
    shorter = padded([Row([row.input_ids[0], row.input_ids[2]], row.topic, row.number)], "right")
    shorter["token_weight"] = weights_of(shorter)
    expected = loss(Outputs(updated.hidden[:, kept], None), Outputs(frozen.hidden[:, kept], None), shorter)
    assert_same(loss(updated, frozen, batch), expected)


@every_loss
@every_side
def test_the_gradient_reaches_every_real_token_and_no_padding(loss: Loss, side: str) -> None:
    updated, frozen, batch = inputs(random_rows()[:2], side, 1)
    of, rows = (updated.preferred, batch["preferred"]) if isinstance(loss, Refusal) else (updated, batch)
    assert of is not None
    read = of.logits if loss.needs_logits else of.hidden
    assert isinstance(read, Tensor)
    read.requires_grad_()
    loss(updated, frozen, batch).sum().backward()
    assert read.grad is not None
    reached = read.grad.abs().sum(dim=-1) > 0
    mask = rows["attention_mask"].bool()
    predicting = mask & mask.roll(-1, dims=1) if loss in PREDICTING else mask
    predicting[:, -1] &= loss not in PREDICTING
    if isinstance(loss, CircuitBreaker):  # which ends at a right angle
        predicting &= torch.cosine_similarity(updated.hidden, frozen.hidden, dim=-1) > 0
    assert torch.equal(reached, predicting)


@every_loss
def test_a_loss_reads_no_more_than_it_says(loss: Loss) -> None:
    updated, frozen, batch = inputs(random_rows())
    expected = loss(updated, frozen, batch)
    if not loss.needs_preferred:
        del batch["preferred"]
    alone = loss(read_by(loss, updated), read_by(loss, frozen) if loss.needs_frozen else None, batch)
    assert_same(alone, expected)


def read_by(loss: Loss, outputs: Outputs) -> Outputs:
    """Those outputs that the loss says it reads; the hidden states, which are always there, as NaN otherwise."""
    if not loss.needs_logits:
        return Outputs(outputs.hidden, None)
    hidden = torch.full_like(outputs.hidden, torch.nan)
    return Outputs(hidden, outputs.logits, outputs.preferred if loss.needs_preferred else None)


@pytest.mark.parametrize("loss", [loss for loss in LOSSES if loss.needs_frozen], ids=lambda loss: type(loss).__name__)
def test_a_loss_that_says_it_reads_the_frozen_model_does(loss: Loss) -> None:
    updated, frozen, batch = inputs(random_rows())
    assert isinstance(frozen.logits, Tensor)
    other = Outputs(-3.0 * frozen.hidden, 3.0 * frozen.logits, frozen.preferred)
    difference = (loss(updated, frozen, batch) - loss(updated, other, batch)).abs()
    read = torch.tensor(LENGTHS) > (1 if loss in PREDICTING else 0)
    assert difference[read].min() > 1e-3


@every_loss
def test_the_gradient_reaches_the_trained_parameters_only(loss: Loss, world: Path) -> None:
    updated = loading.load_model(ModelSource(str(world / "model")), torch.float32)
    layers = decoder_layers(updated)
    names = choose_trainable(updated, [r"model\.layers\.[12]\.mlp\.down_proj\.weight"])
    frozen = FrozenModel(updated)
    with torch.no_grad():
        for name in names:
            updated.get_parameter(name).mul_(1.5)
    batch = padded(random_rows(), "left")
    batch["preferred"] = padded([answer(row) for row in random_rows()], "left")
    batch["token_weight"] = weights_of(batch)
    loss(*run_pair(updated, frozen, layers, batch, layer=2, reader=loss), batch).mean().backward()
    reached = {name for name, parameter in updated.named_parameters() if parameter.grad is not None}
    assert reached == set(names)
    assert all(updated.get_parameter(name).grad.abs().sum() > 0 for name in names)  # type: ignore[union-attr]
    assert all(parameter.grad is None for parameter in frozen.parameters())


@pytest.mark.parametrize("topic", [[0, 1, 2], [2, 2, 0], [1]])
def test_a_list_gives_each_row_the_value_of_its_topic(topic: list[int]) -> None:
    values = [0.5, -2.0, 7.25]
    out = PerTopic(values)(torch.tensor(topic))
    assert out.tolist() == [values[index] for index in topic]
    assert out.dtype == torch.float32


def test_one_number_is_every_topics() -> None:
    out = PerTopic(6.5)(torch.tensor([0, 3, 1]))
    assert out.tolist() == [6.5, 6.5, 6.5]
    assert out.dtype == torch.float32


@pytest.mark.parametrize("topic", [2, -1])
def test_a_topic_without_a_value_gives_nan(topic: int) -> None:
    assert PerTopic([1.0, 2.0])(torch.tensor([0, topic, 1])).isnan().tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("loss", "line"),
    [
        (RMU(), "RMU(coefficient=6.5, seed=0)"),
        (RMU([1.0, 2.0, 3.0], seed=4), "RMU(coefficient=[1.0, 2.0, 3.0], seed=4)"),
        (TokenWeightedRMU(2.0, "norm"), "TokenWeightedRMU(coefficient=2.0 norms, seed=0)"),
        (AdaptiveRMU(), "AdaptiveRMU(scale=3.0, seed=0)"),
        (RSV(), "RSV(coefficient=10.0, seed=0)"),
        (CircuitBreaker([10]), "CircuitBreaker(lower_layers=(10,))"),
        (RepresentationMSE(), "RepresentationMSE()"),
        (RepresentationNorm(), "RepresentationNorm(lower_layers=())"),
        (GradientAscent(), "GradientAscent()"),
        (NPO(0.2), "NPO(beta=0.2, length_normalized=False)"),
        (SimNPO(margin=1.0), "SimNPO(beta=0.1, margin=1.0)"),
        (DPO(length_normalized=True), "DPO(beta=0.1, length_normalized=True)"),
        (WGA(), "WGA(exponent=1.0)"),
        (SatImp(), "SatImp(beta1=5.0, beta2=1.0)"),
        (CEU(), "CEU(ignored_tokens=1)"),
        (UNDIAL(), "UNDIAL(strength=10.0)"),
        (PDU(), "PDU()"),
        (LogitKL(), "LogitKL()"),
        (LogitMSE(), "LogitMSE()"),
        (NLL(), "NLL()"),
    ],
)
def test_a_loss_shows_its_class_and_options_on_one_line(loss: Loss, line: str) -> None:
    assert repr(loss) == line


def test_training_mode_is_not_an_option() -> None:
    assert repr(RMU().eval()) == repr(RMU().train())


@pytest.mark.parametrize("loss", [RepresentationMSE(), NLL()], ids=lambda loss: type(loss).__name__)
def test_a_loss_without_a_steering_vector_says_so(loss: Loss) -> None:
    assert loss.steering_vector(torch.tensor([0]), 4) is None


@pytest.mark.parametrize("loss", [RMU, AdaptiveRMU, RSV])
def test_a_steering_vector_is_a_unit_vector_of_its_topic_and_seed(loss: Any) -> None:
    first, again, other = (loss(seed=seed).steering_vector(torch.tensor([0, 1, 2]), 5) for seed in (3, 3, 4))
    torch.testing.assert_close(first.norm(dim=-1), torch.ones(3))
    assert torch.equal(first, again)
    assert len({tuple(vector) for vector in [*first.tolist(), *other.tolist()]}) == 6


@pytest.mark.parametrize("loss", [RMU, AdaptiveRMU, RSV])
def test_a_steering_vector_without_a_seed_follows_the_runs(loss: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PL_GLOBAL_SEED", "8")
    topic = torch.tensor([0, 1])
    assert torch.equal(loss().steering_vector(topic, 5), loss(seed=8).steering_vector(topic, 5))


@every_loss
def test_a_loss_keeps_no_state(loss: Loss) -> None:
    assert not loss.state_dict()
    rows = random_rows()
    before = loss(*inputs(rows[:1]))
    loss(*inputs(rows[1:]))
    assert torch.equal(loss(*inputs(rows[:1])), before)


@every_loss_on_hidden
def test_losses_on_representations_count_the_states_that_the_module_says(
    loss: Loss, rows: tuple[Outputs, Outputs, Batch]
) -> None:
    updated, frozen, batch = rows
    counted = functional.without_first(batch["loss_mask"], batch["attention_mask"])
    found = loss(updated, frozen, Batch(**{**batch, "state_mask": counted}))
    torch.testing.assert_close(found, loss(updated, frozen, Batch(**{**batch, "loss_mask": counted})), rtol=0, atol=0)
    assert not torch.equal(found, loss(updated, frozen, batch))


@pytest.mark.parametrize("loss", [NPO(), GradientAscent(), LogitKL(), LogitMSE(), NLL()], ids=repr)
def test_losses_on_logits_count_what_they_did(loss: Loss, pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, frozen, batch = pairs
    counted = torch.zeros_like(batch["loss_mask"])
    found = loss(updated, frozen, Batch(**{**batch, "state_mask": counted}))
    assert torch.equal(found, loss(updated, frozen, batch))

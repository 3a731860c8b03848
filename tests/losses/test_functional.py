import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lit_unlearn.losses import functional
from lit_unlearn.losses.by_token import Measure

MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 1, 1, 1], [0, 0, 0, 0]])
LABELS = torch.tensor([[3, 1, 0, 2], [2, 4, -100, -100], [-100, -100, 1, 3], [-100, -100, -100, -100]])
GARBAGE = [torch.nan, torch.inf, -torch.inf, 1e30]


def random_hidden(seed: int, dim: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(4, 4, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def counted(values: list[float], mask: list[int]) -> float:
    kept = [value for value, count in zip(values, mask, strict=True) if count]
    return sum(kept) / len(kept) if kept else 0.0


def norm(vector: list[float]) -> float:
    return math.sqrt(sum(entry * entry for entry in vector))


def dot(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


def looped_distance(hidden: Tensor, target: Tensor) -> list[float]:
    rows = []
    for states, wanted, mask in zip(hidden.tolist(), target.tolist(), MASK.tolist(), strict=True):
        tokens = [
            sum((a - b) ** 2 for a, b in zip(state, want, strict=True)) / len(state)
            for state, want in zip(states, wanted, strict=True)
        ]
        rows.append(counted(tokens, mask))
    return rows


def looped_norm(hidden: Tensor) -> list[float]:
    return [
        counted([norm(state) for state in states], mask)
        for states, mask in zip(hidden.tolist(), MASK.tolist(), strict=True)
    ]


def looped_cosine(hidden: Tensor, direction: Tensor) -> list[float]:
    rows = []
    for states, wanted, mask in zip(hidden.tolist(), direction.tolist(), MASK.tolist(), strict=True):
        rows.append(counted([dot(state, wanted) / norm(state) / norm(wanted) for state in states], mask))
    return rows


def looped_share(hidden: Tensor) -> list[float]:
    rows = []
    for states, mask in zip(hidden.tolist(), MASK.tolist(), strict=True):
        squares = [norm(state) ** 2 for state, count in zip(states, mask, strict=True) if count]
        rows.append(squares[0] / sum(squares) if squares else 0.0)
    return rows


def looped_likelihood(logits: Tensor, labels: Tensor) -> list[float]:
    rows = []
    for scores, wanted in zip(logits.tolist(), labels.tolist(), strict=True):
        losses = []
        for position in range(len(wanted) - 1):
            if wanted[position + 1] != -100:
                exponentials = [math.exp(score) for score in scores[position]]
                losses.append(-math.log(exponentials[wanted[position + 1]] / sum(exponentials)))
        rows.append(sum(losses) / len(losses) if losses else 0.0)
    return rows


def log_probabilities(scores: list[float]) -> list[float]:
    total = math.log(sum(math.exp(score) for score in scores))
    return [score - total for score in scores]


def divergence(scores: list[float], target: list[float]) -> float:
    pairs = zip(log_probabilities(scores), log_probabilities(target), strict=True)
    return sum(math.exp(theirs) * (theirs - ours) for ours, theirs in pairs)


def log_ratio(scores: list[float], target: list[float]) -> float:
    pairs = list(zip(log_probabilities(scores), log_probabilities(target), strict=True))
    return sum((ours - theirs) ** 2 for ours, theirs in pairs) / len(pairs)


def looped(distance: Callable[[list[float], list[float]], float]) -> list[float]:
    rows = zip(random_hidden(0).tolist(), random_hidden(1).tolist(), MASK.tolist(), strict=True)
    return [counted([distance(*pair) for pair in zip(ours, theirs, strict=True)], mask) for ours, theirs, mask in rows]


def assert_rows(rows: Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(rows, torch.tensor(expected, dtype=rows.dtype), rtol=0, atol=1e-6)


def test_masked_mean_equals_a_loop() -> None:
    values = random_hidden(0)[..., 0]
    rows = [counted(row, mask) for row, mask in zip(values.tolist(), MASK.tolist(), strict=True)]
    assert_rows(functional.masked_mean(values, MASK), rows)


@pytest.mark.parametrize("shape", ["hidden", "row", "vector"])
def test_mean_squared_distance_equals_a_loop_for_a_target_that_broadcasts(shape: str) -> None:
    hidden, target = random_hidden(0), random_hidden(1)
    target = {"hidden": target, "row": target[:, :1], "vector": target[0, 0]}[shape]
    rows = looped_distance(hidden, target.expand_as(hidden))
    assert_rows(functional.mean_squared_distance(hidden, target, MASK), rows)


def test_mean_norm_equals_a_loop() -> None:
    assert_rows(functional.mean_norm(random_hidden(0), MASK), looped_norm(random_hidden(0)))


@pytest.mark.parametrize("dim", [4, 5])
def test_mean_cosine_equals_a_loop_with_a_direction_for_each_row(dim: int) -> None:
    hidden, direction = random_hidden(0, dim), random_hidden(1, dim)[:, 0]
    assert_rows(functional.mean_cosine(hidden, direction, MASK), looped_cosine(hidden, direction))


def test_first_token_share_equals_a_loop_over_counted_tokens() -> None:
    assert_rows(functional.first_token_share(random_hidden(0), MASK), looped_share(random_hidden(0)))


def test_first_token_share_of_states_that_are_zero_is_zero() -> None:
    assert functional.first_token_share(torch.zeros(4, 4, 5), MASK).tolist() == [0.0, 0.0, 0.0, 0.0]


def test_negative_log_likelihood_equals_a_loop() -> None:
    logits = random_hidden(0)
    assert_rows(functional.negative_log_likelihood(logits, LABELS), looped_likelihood(logits, LABELS))


def test_the_sum_of_negative_log_likelihoods_equals_a_loop() -> None:
    logits, counts = random_hidden(0), [3, 1, 2, 0]
    means = looped_likelihood(logits, LABELS)
    rows = functional.negative_log_likelihood(logits, LABELS, mean=False)
    assert_rows(rows, [count * mean for count, mean in zip(counts, means, strict=True)])


def test_kl_divergence_equals_a_loop() -> None:
    assert_rows(functional.kl_divergence(random_hidden(0), random_hidden(1), MASK), looped(divergence))


def test_mean_squared_log_ratio_equals_a_loop() -> None:
    assert_rows(functional.mean_squared_log_ratio(random_hidden(0), random_hidden(1), MASK), looped(log_ratio))


@pytest.mark.parametrize("distance", [functional.kl_divergence, functional.mean_squared_log_ratio])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equal_logits_are_exactly_alike(distance: Callable[..., Tensor], dtype: torch.dtype) -> None:
    logits = 10 * random_hidden(0, dtype=dtype)
    assert distance(logits, logits.clone(), MASK).tolist() == [0.0] * 4


@pytest.mark.parametrize("distance", [functional.kl_divergence, functional.mean_squared_log_ratio])
@pytest.mark.parametrize("garbage", GARBAGE)
def test_logits_at_masked_positions_do_not_matter(distance: Callable[..., Tensor], garbage: float) -> None:
    logits, target, masked = random_hidden(0), random_hidden(1), MASK[:, :, None] == 0
    rows = distance(logits.masked_fill(masked, garbage), target.masked_fill(masked, garbage), MASK)
    torch.testing.assert_close(rows, distance(logits, target, MASK), rtol=0, atol=0)


@pytest.mark.parametrize(("margin", "loss"), [(0.0, 20 * math.log(2)), (3.0, 20 * math.log1p(math.exp(-0.3)))])
def test_preference_loss_is_a_scaled_log_sigmoid(margin: float, loss: float) -> None:
    assert_rows(functional.preference_loss(torch.tensor([margin], dtype=torch.float64), 0.1), [loss])


def test_with_a_small_beta_a_preference_has_the_gradient_of_ascent() -> None:
    margin = torch.tensor([2.0, -1.0], dtype=torch.float64, requires_grad=True)
    functional.preference_loss(margin, 1e-6).sum().backward()
    torch.testing.assert_close(margin.grad, torch.tensor([-1.0, -1.0], dtype=torch.float64), rtol=0, atol=1e-5)


def test_negative_log_likelihood_never_predicts_the_first_position() -> None:
    logits, other = random_hidden(0), LABELS.clone()
    other[:, 0] = 4
    same = functional.negative_log_likelihood(logits, LABELS), functional.negative_log_likelihood(logits, other)
    torch.testing.assert_close(*same, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("attention", "counted_positions", "labels"),
    [
        ([1, 1, 1, 1], [1, 1, 1, 1], [-100, 6, 7, 8]),
        ([1, 1, 1, 0], [1, 1, 1, 0], [-100, 6, 7, -100]),
        ([0, 1, 1, 1], [0, 1, 1, 1], [-100, -100, 7, 8]),
        ([0, 0, 0, 1], [0, 0, 0, 1], [-100, -100, -100, -100]),
        ([0, 0, 0, 0], [0, 0, 0, 0], [-100, -100, -100, -100]),
        ([1, 1, 1, 1], [1, 1, 0, 1], [-100, 6, -100, 8]),
        ([0, 1, 1, 1], [0, 0, 0, 1], [-100, -100, -100, 8]),
    ],
)
def test_a_label_is_predicted_if_it_counts_and_a_real_token_precedes_it(
    attention: list[int], counted_positions: list[int], labels: list[int]
) -> None:
    ids = torch.tensor([[5, 6, 7, 8]])
    out = functional.predicted_labels(ids, torch.tensor([attention]), torch.tensor([counted_positions]))
    assert out.tolist() == [labels]
    assert ids.tolist() == [[5, 6, 7, 8]]


@pytest.mark.parametrize("garbage", GARBAGE)
def test_states_at_masked_positions_do_not_matter(garbage: float) -> None:
    hidden, target, direction = random_hidden(0), random_hidden(1), random_hidden(2)[:, 0]
    spoilt = hidden.masked_fill(MASK[:, :, None] == 0, garbage)
    wanted = target.masked_fill(MASK[:, :, None] == 0, garbage)
    assert_rows(functional.mean_squared_distance(spoilt, target, MASK), looped_distance(hidden, target))
    assert_rows(functional.mean_squared_distance(hidden, wanted, MASK), looped_distance(hidden, target))
    assert_rows(functional.mean_norm(spoilt, MASK), looped_norm(hidden))
    assert_rows(functional.mean_cosine(spoilt, direction, MASK), looped_cosine(hidden, direction))
    assert_rows(functional.first_token_share(spoilt, MASK), looped_share(hidden))


@pytest.mark.parametrize("garbage", GARBAGE)
def test_logits_that_predict_nothing_do_not_matter(garbage: float) -> None:
    logits = random_hidden(0)
    idle = torch.cat([LABELS[:, 1:] == -100, torch.ones(4, 1, dtype=torch.bool)], dim=1)
    rows = functional.negative_log_likelihood(logits.masked_fill(idle[:, :, None], garbage), LABELS)
    assert_rows(rows, looped_likelihood(logits, LABELS))


@pytest.mark.parametrize("garbage", [torch.nan, torch.inf])
def test_garbage_at_masked_positions_spoils_no_gradient_of_the_others(garbage: float) -> None:
    clean = random_hidden(0).requires_grad_()
    spoilt = clean.detach().masked_fill(MASK[:, :, None] == 0, garbage).requires_grad_()
    for hidden in (clean, spoilt):
        functional.mean_squared_distance(hidden, random_hidden(1), MASK).sum().backward()
    assert clean.grad is not None
    assert spoilt.grad is not None
    torch.testing.assert_close(spoilt.grad[MASK.bool()], clean.grad[MASK.bool()], rtol=0, atol=0)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_garbage_in_a_row_leaves_the_others_alone(garbage: float) -> None:
    hidden, target = random_hidden(0), random_hidden(1)
    spoilt = hidden.clone()
    spoilt[0] = garbage
    rows = functional.mean_squared_distance(spoilt, target, MASK)[1:]
    assert_rows(rows, looped_distance(hidden, target)[1:])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_sums_run_in_float32_or_better(given: torch.dtype, kept: torch.dtype) -> None:
    hidden, target, direction = random_hidden(0, dtype=given), random_hidden(1, dtype=given), random_hidden(2)[:, 0]
    labels = torch.tensor([[3, 1, 0, 2]] * 4)
    for rows in (
        functional.mean_squared_distance(hidden, target, MASK),
        functional.mean_norm(hidden, MASK),
        functional.mean_cosine(hidden, direction.to(given), MASK),
        functional.first_token_share(hidden, MASK),
        functional.negative_log_likelihood(hidden, labels),
        functional.kl_divergence(hidden, target, MASK),
        functional.mean_squared_log_ratio(hidden, target, MASK),
    ):
        assert rows.dtype == kept


def test_bfloat16_states_lose_no_more_than_their_own_rounding() -> None:
    hidden, target = random_hidden(0, dtype=torch.bfloat16), random_hidden(1, dtype=torch.bfloat16)
    rows = functional.mean_squared_distance(hidden, target, MASK)
    assert_rows(rows, looped_distance(hidden.double(), target.double()))


def test_squares_that_overflow_half_precision_stay_finite() -> None:
    hidden = torch.full((4, 4, 5), 3e4, dtype=torch.float16)
    assert functional.mean_squared_distance(hidden, torch.zeros(5), MASK)[0] == pytest.approx(9e8, rel=1e-3)


def test_a_mean_over_predicted_tokens_reads_the_logits_before_them_and_what_they_are_measured_against() -> None:
    logits = random_hidden(8, 6)
    measure = Measure(lambda own, labels: own[:, 0] * labels, lambda row, place: LABELS[row, place + 1])
    found = functional.mean_over_predicted(measure, logits, LABELS)
    for row, own in enumerate(LABELS.tolist()):
        values = [float(logits[row, place - 1, 0]) * own[place] for place in range(1, 4) if own[place] >= 0]
        assert float(found[row]) == pytest.approx(sum(values) / len(values) if values else 0.0)

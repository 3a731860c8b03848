from pathlib import Path

import pytest
import torch

from lit_unlearn import RMU, InputError, TextSource, TokenWeightedRMU, UnlearnDataModule
from lit_unlearn.losses.contract import Batch, Outputs
from tests.training import Losses, demo_data, demo_module, quiet_trainer

Rows = tuple[Outputs, Outputs, Batch]


def weighted(batch: Batch, weights: torch.Tensor) -> Batch:
    return Batch(**{**batch, "token_weight": weights})


def test_equals_the_formula_written_as_loops(rows: Rows) -> None:
    updated, _, batch = rows
    loss, coefficients = TokenWeightedRMU([10.0, 0.3, 2.0], seed=3), [10.0, 0.3, 2.0]
    weights = torch.rand(batch["loss_mask"].shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = []
    for row, topic in enumerate(batch["topic"].tolist()):
        target = (coefficients[topic] * loss.steering_vector(torch.tensor([topic]), 5)[0]).tolist()
        total = whole = 0.0
        for place, counts in enumerate(batch["loss_mask"][row].tolist()):
            if counts:
                weight = weights[row, place].item()
                pairs = zip(updated.hidden[row, place].tolist(), target, strict=True)
                total += weight * sum((value - wanted) ** 2 for value, wanted in pairs) / 5
                whole += weight
        expected.append(total / whole)
    found = loss(updated, None, weighted(batch, weights))
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-6)


def test_equal_weights_are_rmu(rows: Rows) -> None:
    updated, _, batch = rows
    found = TokenWeightedRMU(4.0, seed=1)(updated, None, weighted(batch, torch.full(batch["loss_mask"].shape, 0.3)))
    torch.testing.assert_close(found, RMU(4.0, seed=1)(updated, None, batch), rtol=1e-6, atol=0)


def test_tokens_without_weight_get_no_gradient_and_a_row_of_them_gives_0(rows: Rows) -> None:
    updated, _, batch = rows
    hidden = updated.hidden.requires_grad_()
    weights = torch.zeros(batch["loss_mask"].shape)
    place = int(batch["loss_mask"][0].nonzero()[2])
    weights[0, place] = 0.7
    found = TokenWeightedRMU(4.0)(Outputs(hidden, None), None, weighted(batch, weights))
    assert found[1:].tolist() == [0.0] * 3
    (gradient,) = torch.autograd.grad(found.sum(), hidden)
    assert (gradient.abs().sum(dim=-1) > 0).nonzero().tolist() == [[0, place]]


def test_data_without_weights_are_refused(rows: Rows) -> None:
    batch = Batch(**{name: value for name, value in rows[2].items() if name != "token_weight"})  # type: ignore[typeddict-item]
    with pytest.raises(InputError, match=r"^data: TokenWeightedRMU reads weights of tokens, .* give each forget batch"):
        TokenWeightedRMU()(rows[0], None, batch)


def test_streams_that_do_not_differ_are_refused_before_the_model_is_loaded(world: Path, tmp_path: Path) -> None:
    stream = {"same": TextSource(str(world / "gardening.jsonl"))}
    module = demo_module(world, forget=TokenWeightedRMU(6.5))
    with pytest.raises(InputError, match=r"^data\.forget: no token of a topic is more frequent"):
        quiet_trainer(tmp_path).fit(module, UnlearnDataModule(stream, stream))
    assert "updated" not in module._modules


def test_the_datamodule_weighs_tokens_for_the_loss_that_reads_them(world: Path, tmp_path: Path) -> None:
    seen = {}
    for loss in (RMU(6.5), TokenWeightedRMU(6.5)):
        losses, data = Losses(), demo_data(world, holdout=8, batch_size=4)
        quiet_trainer(tmp_path, callbacks=[losses]).fit(demo_module(world, forget=loss), data)
        seen[type(loss).__name__] = losses.values, data.train_dataloader().dataset[0]["forget"]
    assert "token_weight" not in seen["RMU"][1]
    weights = seen["TokenWeightedRMU"][1]["token_weight"]
    assert (weights > 0).any()
    assert (weights == 0).any()
    assert seen["RMU"][0][0] != seen["TokenWeightedRMU"][0][0]

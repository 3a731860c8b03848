"""Whether a run has unlearned anything, in its last lines and in the card."""

import re
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.optim import SGD

from lit_unlearn import ExportPretrained, NoLoss, Relearning, UnlearnModule
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Loss
from lit_unlearn.modules.forgotten import BeforeAndAfter, Change, Forgotten, change, unlearns
from tests.training import demo_data, demo_module, quiet_trainer


@pytest.fixture(autouse=True)
def _few_rows_looked_at() -> None:
    """Here as many as a run looks at."""


def one_process(value: Tensor) -> Tensor:
    return value


@pytest.mark.parametrize("side", ["left", "right"])
def test_displacement_is_in_norms_without_the_first_token(side: str) -> None:
    batch = collate([Row([5, 6, 7], 0, 0), Row([8, 9], 1, 0)], padding_side=side, padding_id=0)
    frozen, updated = torch.full((2, 3, 2), 1e6), torch.full((2, 3, 2), -1e6)
    second = 1 if side == "right" else 2
    frozen[0, 1:], frozen[1, second] = torch.tensor([[3.0, 4.0], [0.0, 5.0]]), torch.tensor([2.0, 0.0])
    updated[0, 1:], updated[1, second] = torch.tensor([[3.0, 5.0], [2.0, 5.0]]), torch.tensor([2.0, 4.0])
    nll = torch.tensor([1.0, 2.0])
    both = BeforeAndAfter(updated, frozen, nll, 3 * nll)
    # Rows: (1 + 2) / 2 over 5, and 4 over 2.
    found = change([batch, batch], lambda _: both, one_process)
    assert found[:3] == pytest.approx((1.15, 1.5, 4.5))
    assert found[3:] == (4, 4, None)  # each of four rows lost 2 or 4 nats
    stray = change([batch], lambda _: both._replace(nll_after=torch.tensor([1.25, 9.0])), one_process)
    assert stray.told_damaged == "1 of 2 rows lost more than 1 nat, the others +0.250"
    assert stray.told_damaged in str(Forgotten("held-out rows", found, stray))
    unlikely = both._replace(nll_before=None, nll_after=None)
    found = change([batch], lambda _: unlikely, one_process)
    assert found.displacement == pytest.approx(1.15)
    assert found.nll_before is found.nll_after is None


@pytest.mark.parametrize(
    ("displacement", "nll", "nothing"),
    [
        (0.01, None, True),
        (0.2, None, False),
        (0.2, (1.0, 1.01), False),
        (0.0, (1.0, 2.0), False),
        (0.0, (1.0, 1.01), True),
    ],
)
def test_nothing_is_where_neither_states_nor_likelihood_moved(
    displacement: float, nll: tuple[float, float] | None, nothing: bool
) -> None:
    kept = Change(0.0, 1.0, 1.0)
    assert Forgotten("held-out rows", Change(displacement, *(nll or (None, None))), kept).nothing is nothing


@pytest.mark.parametrize("loss", [NoLoss(), Relearning()])
def test_what_is_not_to_unlearn_is_not_looked_at(loss: Loss) -> None:
    assert not unlearns(loss)


def exported(world: Path, folder: Path, *, lr: float, **options: Any) -> tuple[UnlearnModule, str]:
    module = demo_module(world, optimizer=lambda parameters: SGD(parameters, lr=lr), whole_model=True, **options)
    trainer = quiet_trainer(folder, callbacks=[ExportPretrained()])
    trainer.fit(module, demo_data(world, holdout=8))
    return module, (folder / "export" / "README.md").read_text(encoding="utf-8")


def test_a_run_that_moved_nothing_says_so_and_its_card_claims_nothing(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.warns(UserWarning, match="nothing was unlearned: the forget rows .*; raise model.optimizer.lr or"):
        module, card = exported(world, tmp_path, lr=1e-5)
    found = module.forgotten()
    assert found is not None
    assert found.nothing
    assert "**Nothing was unlearned: the forget rows are to the model what they were.**" in card
    assert "knowledge were to be removed" not in card
    assert "The model is in " in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:model.forget.coefficient")
def test_without_rows_held_out_it_says_that_trained_rows_were_looked_at(world: Path, tmp_path: Path) -> None:
    module = demo_module(world, whole_model=True)
    quiet_trainer(tmp_path).fit(module, demo_data(world))
    assert str(module.forgotten()).startswith("trained rows: forget states moved by 0.")


def test_a_run_that_moved_something_says_how_far(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module, card = exported(world, tmp_path, lr=30.0, retain_weight=0.0)
    found = module.forgotten()
    assert found is not None
    assert not found.nothing
    assert found.forget.displacement > 0.05
    assert re.search(r"\| held-out rows \| displacement, norms \| NLL before \| NLL after \|", card)
    assert f"| forget | {found.forget.displacement:.2f} |" in card
    assert "knowledge were to be removed" in card
    assert str(found) not in capsys.readouterr().out  # Lightning's log has it


def test_before_is_the_frozen_models_likelihood(world: Path, tmp_path: Path) -> None:
    data, module = demo_data(world, holdout=8), demo_module(world, whole_model=True)
    trainer: L.Trainer = quiet_trainer(tmp_path)
    (before,) = trainer.validate(module, data, verbose=False)
    trainer.fit(module, data)
    (after,) = trainer.validate(module, data, verbose=False)
    found = module.forgotten()
    assert found is not None
    for stream, one in (("forget", found.forget), ("retain", found.retain)):
        assert one.nll_before == pytest.approx(float(before[f"val/{stream}_nll"]), rel=1e-5)
        assert one.nll_after == pytest.approx(float(after[f"val/{stream}_nll"]), rel=1e-5)

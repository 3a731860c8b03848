import json
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from lit_unlearn import ExportPretrained, InputError, PerturbationRobustness, UnlearnModule
from lit_unlearn.callbacks import Repairs
from lit_unlearn.data.mixing import Mixing
from lit_unlearn.models.lora import Lora
from lit_unlearn.repairs import ClosedForm, NullSpace
from tests.callbacks.test_robustness import EVERY, evaluation
from tests.training import demo_data, demo_module, quiet_trainer

MATRICES = [r"model\.layers\.[67]\.(self_attn\.[qkvo]|mlp\.down)_proj\.weight"]
MIXING = Mixing(rate=1.0, spans=2, length=2)


class Weights(L.Callback):
    """All trained matrices, whenever a validation ends."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, UnlearnModule)
        names = pl_module.frozen.originals()
        self.seen.append({name: pl_module.updated.get_parameter(name).detach().clone() for name in names})


def fit(world: Path, tmp_path: Path, *callbacks: Any, **options: Any) -> tuple[UnlearnModule, L.Trainer]:
    module = demo_module(world, **{"trainable": MATRICES, "noise_scale": 0.0} | options)
    trainer = quiet_trainer(tmp_path / "run", max_steps=2, callbacks=list(callbacks), **EVERY)
    trainer.fit(module, demo_data(world, evaluation=evaluation(tmp_path), seed=0, holdout=4))
    return module, trainer


def inputs_of(model: nn.Module, name: str, batches: list[Any]) -> Tensor:
    """What a matrix is given at counted tokens in the whole model, row by row: `[tokens, width]`, float64."""
    found: list[Tensor] = []
    module = model.get_submodule(name.removesuffix(".weight"))
    handle = module.register_forward_pre_hook(lambda _, args: found.append(args[0]))
    counted = []
    for batch in batches:
        for row in range(len(batch["input_ids"])):
            kept = batch["attention_mask"][row].bool()
            model(input_ids=batch["input_ids"][row][kept][None], use_cache=False)
            counted.append(batch["loss_mask"][row][kept].bool())
    handle.remove()
    return torch.cat([one[0][mask].double() for one, mask in zip(found, counted, strict=True)])


@torch.no_grad()
def repaired_by_hand(module: UnlearnModule, trained: dict[str, Tensor], pairs: list[Any], mu: float) -> None:
    """One matrix after another, each by least squares over the stacked inputs of rows that run one by one."""
    originals = module.frozen.originals()
    order = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.down_proj")
    for name in [f"model.layers.{layer}.{part}.weight" for layer in (6, 7) for part in order]:
        forget, retain = (inputs_of(module.updated, name, [pair[side] for pair in pairs]) for side in pairs[0])
        change = (trained[name] - originals[name]).double()
        ridge = 1e-6 * (forget.square().sum() / len(forget) / forget.shape[1])
        stacked = torch.cat(
            [
                forget / len(forget) ** 0.5,
                ridge.sqrt() * torch.eye(forget.shape[1], dtype=torch.float64),
                retain * (mu / len(retain)) ** 0.5,
            ]
        )
        kept = len(forget) + forget.shape[1]
        targets = torch.cat([stacked[:kept] @ change.T, torch.zeros(len(retain), len(change), dtype=torch.float64)])
        solved = torch.linalg.lstsq(stacked, targets).solution.T
        module.updated.get_parameter(name).copy_(originals[name] + solved)


def test_it_evaluates_repaired_weights_and_puts_the_unlearned_back(world: Path, tmp_path: Path) -> None:
    weights, repairs = Weights(), [ClosedForm(2.0), ClosedForm(0.0), NullSpace(0.5)]
    callback = Repairs(repairs, rows=8, mixing=MIXING)
    module, trainer = fit(world, tmp_path, PerturbationRobustness(), callback, weights)
    _, trained, closed, unchanged, projected = weights.seen
    now = {name: module.updated.get_parameter(name) for name in trained}
    assert all(torch.equal(now[name], value) for name, value in trained.items())
    assert all(torch.equal(unchanged[name], value) for name, value in trained.items())
    pairs = trainer.datamodule.pairs(8, mixing=MIXING)  # type: ignore[attr-defined]
    assert any(pair["retain"]["loss_mask"].sum() < pair["retain"]["attention_mask"].sum() for pair in pairs)
    repaired_by_hand(module, trained, pairs, 2.0)
    for name, value in closed.items():
        torch.testing.assert_close(value, module.updated.get_parameter(name), rtol=1e-3, atol=1e-6)
        assert not torch.allclose(value, trained[name], rtol=1e-3, atol=1e-6)
        assert not torch.equal(projected[name], trained[name])
    records = json.loads((tmp_path / "run" / "results.json").read_text())["evaluations"]
    assert [(one["step"], one.get("repair")) for one in records] == [
        (0, None),
        (2, None),
        (2, "closed-form-2"),
        (2, "closed-form-0"),
        (2, "null-space-0.5"),
    ]


def test_a_repair_that_is_kept_is_exported(world: Path, tmp_path: Path) -> None:
    weights = Weights()
    module, _ = fit(
        world,
        tmp_path,
        PerturbationRobustness(),
        Repairs([ClosedForm(2.0)], rows=4, keep=True),
        ExportPretrained(),
        weights,
    )
    from safetensors.torch import load_file

    exported = load_file(tmp_path / "run" / "export" / "model.safetensors")
    for name, value in weights.seen[-1].items():
        assert torch.equal(exported[name], value)
        assert torch.equal(exported[name], module.updated.get_parameter(name))
        assert not torch.equal(value, weights.seen[1][name])
    records = json.loads((tmp_path / "run" / "results.json").read_text())["evaluations"]
    assert records[-1]["repaired"] == "closed-form-2"
    card = (tmp_path / "run" / "export" / "README.md").read_text()
    assert "ClosedForm(mu=2.0), 4 rows" in card


def test_an_export_before_the_repair_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Repairs.keep: ExportPretrained comes before it .* put Repairs first"):
        fit(world, tmp_path, ExportPretrained(), Repairs([ClosedForm(2.0)], keep=True))


def test_without_anyone_to_evaluate_it_is_refused(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"Repairs: it needs PerturbationRobustness, .* or set keep to true"):
        fit(world, tmp_path, Repairs([ClosedForm(2.0)]))


def test_adapters_are_refused_with_the_remedy(world: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"model.lora trains adapters.*train the matrices themselves by model.train"):
        fit(world, tmp_path, PerturbationRobustness(), Repairs([ClosedForm(2.0)]), lora=Lora(), trainable=None)


def test_what_has_no_closed_form_is_refused_before_training(world: Path, tmp_path: Path) -> None:
    trainable = [r"model\.layers\.7\.input_layernorm\.weight"]
    with pytest.raises(InputError, match=r"input_layernorm.weight is trained, and only untied matrices"):
        fit(world, tmp_path, PerturbationRobustness(), Repairs([ClosedForm(2.0)]), trainable=trainable)


def test_a_limit_on_answers_that_nobody_asks_for_is_refused_before_training(world: Path, tmp_path: Path) -> None:
    evaluating, weights = PerturbationRobustness(forget=[]), Weights()
    with pytest.raises(InputError, match=r"no text of a right answer is scored on questions of a set to forget"):
        fit(world, tmp_path, evaluating, Repairs([ClosedForm(answer_logprob=-5.0)]), weights)
    assert not weights.seen


def test_a_sharded_model_is_refused_with_the_remedy(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UnlearnModule, "is_sharded", lambda self: True)
    callback, module = Repairs([ClosedForm(2.0)]), demo_module(world)
    with pytest.raises(InputError, match=r"under FSDP no process holds a whole matrix.*lit-unlearn repair RUN"):
        callback.on_fit_start(quiet_trainer(tmp_path), module)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"repairs": []}, r"Repairs.repairs: must be at least one, got 0"),
        ({"repairs": [ClosedForm(1.0), ClosedForm(2.0)], "keep": True}, r"must be one to keep, got 2"),
        ({"repairs": [ClosedForm(1.0)], "rows": 0}, r"Repairs.rows: must be at least 1, got 0"),
        ({"repairs": [ClosedForm(1.0), ClosedForm(1.0)]}, r"closed-form-1 is given twice; remove one"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        Repairs(**options)

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor
from torch.optim import SGD

from lit_unlearn import NLL, RMU, GradientAscent, InputError, NoLoss, UnlearnModule
from lit_unlearn.modules.gradients import Rule, check_kept_apart, combined, cosine
from tests.training import demo_data, demo_module, quiet_trainer

RULES: tuple[Rule, ...] = ("pcgrad", "project_forget")


def reference(forget: list[Tensor], retain: list[Tensor], rule: str) -> list[Tensor]:
    """Yu et al. 2020 for two losses, on one long vector each."""
    one, other = (torch.cat([part.flatten() for part in parts]).double() for parts in (forget, retain))
    product = float(one @ other)
    result = one.clone(), other.clone()
    if product < 0:
        result[0].sub_(product / float(other @ other) * other)
        if rule == "pcgrad":
            result[1].sub_(product / float(one @ one) * one)
    total, found = result[0] + result[1], []
    for part in forget:
        found.append(total[: part.numel()].view_as(part))
        total = total[part.numel() :]
    return found


def drawn(seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) for shape in ((3, 4), (5,), (2, 2))]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("sign", [1, -1])
def test_it_equals_the_formula_on_one_long_vector(rule: Rule, sign: int) -> None:
    forget = drawn(0)
    retain = [0.3 * noise + sign * own for own, noise in zip(forget, drawn(1), strict=True)]
    found = combined(forget, retain, rule)
    for own, expected in zip(found, reference(forget, retain, rule), strict=True):
        torch.testing.assert_close(own.double(), expected, rtol=1e-5, atol=1e-6)
    conflict = not torch.allclose(found[0], forget[0] + retain[0])
    assert conflict == (sign < 0)


def test_after_pcgrad_neither_loss_rises_to_first_order() -> None:
    forget, retain = drawn(0), [-own + 0.5 * noise for own, noise in zip(drawn(0), drawn(1), strict=True)]
    step = combined(forget, retain, "pcgrad")
    assert all(sum(float((a * b).sum()) for a, b in zip(step, side, strict=True)) >= 0 for side in (forget, retain))


def test_one_sided_projection_leaves_the_retain_loss_its_own_descent() -> None:
    forget, retain = drawn(0), [-own + 0.5 * noise for own, noise in zip(drawn(0), drawn(1), strict=True)]
    step = combined(forget, retain, "project_forget")
    dot = sum(float((a * b).sum()) for a, b in zip(step, retain, strict=True))
    assert dot == pytest.approx(sum(float((b * b).sum()) for b in retain), rel=1e-5)


def test_a_gradient_of_zero_conflicts_with_nothing() -> None:
    forget, zero = drawn(0), [torch.zeros_like(one) for one in drawn(0)]
    assert all(torch.equal(*pair) for pair in zip(combined(forget, zero, "pcgrad"), forget, strict=True))
    assert float(cosine(forget, zero)) == 0


class Gradients(L.Callback):
    """The gradients of every step, as the optimizer gets them, and what the logger gets."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Tensor]] = []

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: Any, optimizer: Any) -> None:
        self.steps.append({name: one.grad.clone() for name, one in pl_module.trained_parameters().items()})


def fit(world: Path, folder: Path, **options: Any) -> tuple[UnlearnModule, list[dict[str, Tensor]], L.Trainer]:
    accumulate = options.pop("accumulate", 1)
    seen = Gradients()
    optimizer = {"optimizer": lambda parameters: SGD(parameters, lr=1e-2), "noise_scale": 0.0}
    module = demo_module(world, **optimizer | options)
    trainer = quiet_trainer(folder, max_steps=3, callbacks=[seen], accumulate_grad_batches=accumulate)
    trainer.fit(module, demo_data(world))
    return module, seen.steps, trainer


def parts_at(module: UnlearnModule, batches: list[Any]) -> tuple[list[Tensor], list[Tensor]]:
    """The gradients of both losses over some batches, each by its own backward."""
    found: list[list[Tensor]] = []
    for index in (0, 1):
        parameters = list(module.trained_parameters().values())
        for parameter in parameters:
            parameter.grad = None
        for batch in batches:
            losses = module.losses(batch)
            part = losses.forget[0].mean() if index == 0 else (5.0 * losses.retain[0]).mean()
            (part / len(batches)).backward()
        found.append([parameter.grad.clone() for parameter in parameters if parameter.grad is not None])
    return found[0], found[1]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_has_the_combined_gradient_of_all_its_batches(
    world: Path, tmp_path: Path, rule: Rule, accumulate: int
) -> None:
    module, steps, trainer = fit(world, tmp_path, gradients=rule, accumulate=accumulate)
    # After the first step the weights have moved; they are taken back to compare that step.
    with torch.no_grad():
        for name, original in module.frozen.originals().items():
            module.updated.get_parameter(name).copy_(original)
    data = trainer.datamodule  # type: ignore[attr-defined]
    batches = data.pairs(accumulate * data.batch_size, mixing=None)
    forget, retain = parts_at(module, batches)
    expected = reference(forget, retain, rule)
    for own, other in zip(steps[0].values(), expected, strict=True):
        torch.testing.assert_close(own.double(), other, rtol=1e-4, atol=1e-8)


def test_without_a_conflict_a_run_is_the_plain_one(world: Path, tmp_path: Path) -> None:
    """With the retain loss of the first step, 0 with a gradient of 0, nothing conflicts."""
    options: dict[str, Any] = {"retain_weight": 0.0}
    plain, _, _ = fit(world, tmp_path / "plain", **options)
    apart, _, _ = fit(world, tmp_path / "apart", gradients="pcgrad", **options)
    for own, other in zip(plain.trained_parameters().values(), apart.trained_parameters().values(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-6, atol=1e-9)


def test_in_a_conflict_it_is_another_and_the_cosine_is_logged(world: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"forget": GradientAscent(), "retain": NLL(), "retain_weight": 1.0}
    plain, _, _ = fit(world, tmp_path / "plain", **options)
    apart, _, trainer = fit(world, tmp_path / "apart", gradients="pcgrad", **options)
    # One stream is to be less likely, the other, of the same kind of text, likelier.
    assert -1 <= float(trainer.callback_metrics["train/gradient_cosine"]) < 0
    pairs = zip(plain.trained_parameters().values(), apart.trained_parameters().values(), strict=True)
    assert not all(torch.equal(*pair) for pair in pairs)


def test_one_loss_has_no_two_gradients() -> None:
    with pytest.raises(InputError, match=r"model.gradients: pcgrad keeps .* is NoLoss; set it to sum"):
        UnlearnModule("demo", RMU(1.0), NoLoss(), gradients="pcgrad")


def test_fp16_is_refused() -> None:
    with pytest.raises(InputError, match=r"16-mixed needs it; set the precision to bf16-mixed"):
        check_kept_apart("pcgrad", object(), "16-mixed")
    check_kept_apart("sum", object(), "16-mixed")

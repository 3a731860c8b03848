"""The published way, written plainly: two whole models, full forwards, nothing shared; what the package must equal."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from lit_unlearn.losses.contract import Batch, Loss, Outputs
from lit_unlearn.randomness import gaussian_noise


@dataclass
class PlainRun:
    """What training left behind."""

    losses: list[float] = field(default_factory=list)
    gradients: dict[str, Tensor] = field(default_factory=dict)
    weights: dict[str, Tensor] = field(default_factory=dict)


def train_plainly(
    folder: Path,
    batches: list[dict[str, Batch]],
    *,
    forget: Loss,
    retain: Loss,
    layer: int,
    trained: list[str],
    retain_weight: float,
    noise_scale: float,
    noise_layer: int,
    lr: float,
) -> PlainRun:
    """Trains two full models in float64 on the batches, one step each."""
    updated = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    frozen = copy.deepcopy(updated)
    parameters = dict(updated.named_parameters())
    optimizer = torch.optim.AdamW([parameters[name] for name in trained], lr=lr, weight_decay=0.0, eps=1e-8)
    run = PlainRun()
    for step, batch in enumerate(batches):
        total = torch.zeros((), dtype=torch.float64)
        for stream, loss, weight in (("forget", forget, 1.0), ("retain", retain, retain_weight)):
            rows = batch[stream]
            noise = noise_scale if stream == "retain" else 0.0
            with torch.no_grad():
                target = full_forward(
                    frozen, rows, layer, noise=noise, noise_layer=noise_layer, step=step, lower=loss.lower_layers
                )
            outputs = full_forward(updated, rows, layer, lower=loss.lower_layers)
            if loss.needs_preferred:
                with torch.no_grad():
                    target = target._replace(preferred=full_forward(frozen, rows["preferred"], layer))
                outputs = outputs._replace(preferred=full_forward(updated, rows["preferred"], layer))
            total = total + (weight * loss(outputs, target, rows)).mean()
        optimizer.zero_grad()
        updated.zero_grad()
        total.backward()
        run.gradients = {name: parameters[name].grad.clone() for name in trained}
        optimizer.step()
        run.losses.append(total.item())
    run.weights = {name: value.clone() for name, value in updated.state_dict().items()}
    return run


def full_forward(
    model: PreTrainedModel,
    rows: Batch,
    layer: int,
    *,
    noise: float = 0.0,
    noise_layer: int = 0,
    step: int = 0,
    lower: Sequence[int] = (),
) -> Outputs:
    """One forward of a whole model; noise is added in place of the layer's output."""
    mask = rows["attention_mask"]
    positions = torch.stack([torch.tensor(_positions(row)) for row in mask.tolist()])
    seen: list[Tensor] = []

    def after_noise_layer(module: object, args: object, output: Tensor) -> Tensor:
        return output + noise * gaussian_noise(rows["row"], positions, output.shape[-1], seed=0, step=step)

    def after_layer(module: object, args: object, output: Tensor) -> None:
        seen.append(output)

    layers = _layers(model)
    handles = [layers[noise_layer].register_forward_hook(after_noise_layer)] if noise else []
    handles += [layers[index].register_forward_hook(after_layer) for index in sorted([layer, *lower])]
    out = model(input_ids=rows["input_ids"], attention_mask=mask, position_ids=positions, use_cache=False)
    for handle in handles:
        handle.remove()
    return Outputs(seen[-1], out.logits, lower=tuple(seen[sorted(lower).index(index)] for index in lower))


def _layers(model: PreTrainedModel) -> torch.nn.ModuleList:
    names = ("model.layers", "gpt_neox.layers", "transformer.h")
    found = next(module for name, module in model.named_modules() if name in names)
    assert isinstance(found, torch.nn.ModuleList)
    return found


def _positions(mask: list[int]) -> list[int]:
    count, out = 0, []
    for real in mask:
        out.append(max(count - 1 + real, 0))
        count += real
    return out

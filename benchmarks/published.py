"""The published way, written plainly from the formulas: two models, whole forwards, a gradient for every weight.

What is measured against is kept as it is in released code, but for its mistakes: rows have no padding, and noise goes
to all of them; likelihoods are means over each row's predicted tokens. Adaptive RMU keeps the norms of the first batch,
and so has one frozen forward less in each further step than lit-unlearn, whose target is each row's own. GradDiff and
SimNPO with NLL need no frozen model, and load none. None of it is used by lit-unlearn.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, kl_div, logsigmoid, mse_loss
from transformers import AutoModelForCausalLM

BETA = 0.1
"""Of NPO, SimNPO and DPO."""
ON_LOGITS = ("NPO", "SimNPO", "DPO", "GradDiff")


class Published:
    """Two models side by side.

    Args:
        folder: of the model.
        forget: RMU, AdaptiveRMU, RSV, NPO, SimNPO, DPO or GradDiff.
        retain: hidden (a mean square), KL, MSE (of log-probabilities) or NLL.
        layer: steering layer l; the MLP outputs of layers l-2 to l are given to the optimizer.
        truncated: both models end after the steering layer, the best that published code does.
        direction: `[dim]`, the steering vector; None for losses on logits.
        scale: c, or beta of Adaptive RMU.
        retain_weight: alpha.
        dtype: of the weights.
        device: of the weights.
    """

    def __init__(
        self,
        folder: Path,
        forget: str,
        retain: str,
        *,
        layer: int,
        truncated: bool,
        direction: Tensor | None,
        scale: float,
        retain_weight: float,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        self.forget, self.retain, self.layer, self.truncated = forget, retain, layer, truncated
        self.direction, self.scale, self.retain_weight = direction, scale, retain_weight
        last = layer if truncated else None
        alone = forget in ("SimNPO", "GradDiff") and retain == "NLL"
        self.updated = _load(folder, dtype, device, last)
        self.frozen = None if alone else _load(folder, dtype, device, last)
        trained = [self.updated.model.layers[index].mlp.down_proj.weight for index in range(layer - 2, layer + 1)]
        self.optimizer = torch.optim.AdamW(trained, lr=5e-5, weight_decay=0.0)
        self._norm: Tensor | None = None

    def step(self, forget: Tensor, retain: Tensor, preferred: Tensor, *, noise: float) -> Tensor:
        """One step on token ids `[rows, tokens]` of each stream, with RNA of scale nu; returns the loss.

        Preferred answers are read by DPO alone.
        """
        on_logits = self.forget in ON_LOGITS
        unlearned = self._forget_on_logits(forget, preferred) if on_logits else self._forget_on_states(forget)
        loss = unlearned + self.retain_weight * self._retain(retain, noise)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _forget_on_logits(self, ids: Tensor, preferred: Tensor) -> Tensor:
        if self.forget == "GradDiff":
            return -self._likelihood(self.updated, ids).mean()
        if self.forget == "SimNPO":
            return (-2 / BETA * logsigmoid(BETA * self._likelihood(self.updated, ids))).mean()
        lost = self._lost(ids) - (self._lost(preferred) if self.forget == "DPO" else 0.0)
        return (-2 / BETA * logsigmoid(BETA * lost)).mean()

    def _forget_on_states(self, ids: Tensor) -> Tensor:
        hidden, _ = self._run(self.updated, ids)
        assert self.direction is not None
        if self.forget == "RMU":
            return mse_loss(hidden, (self.scale * self.direction).to(hidden.dtype).expand_as(hidden))
        if self.forget == "AdaptiveRMU":
            if self._norm is None:  # the first batch's norm is kept
                with torch.no_grad():
                    self._norm = self._run(self.frozen, ids)[0].float().norm(dim=-1).mean(dim=-1)
            target = self.scale * self._norm[:, None, None] * self.direction
            return mse_loss(hidden, target.to(hidden.dtype).expand_as(hidden))
        with torch.no_grad():
            before, _ = self._run(self.frozen, ids)
        return mse_loss(hidden, before + (self.scale * self.direction).to(hidden.dtype))

    def _retain(self, ids: Tensor, noise: float) -> Tensor:
        if self.retain == "NLL":
            return self._likelihood(self.updated, ids).mean()
        hidden, logits = self._run(self.updated, ids)
        with torch.no_grad():
            target, before = self._run(self.frozen, ids, noise=noise)
        if self.retain == "hidden":
            return mse_loss(hidden, target)
        ours, theirs = logits.float().log_softmax(dim=-1), before.float().log_softmax(dim=-1)
        if self.retain == "MSE":
            return mse_loss(ours, theirs)
        return kl_div(ours, theirs, reduction="none", log_target=True).sum(dim=-1).mean()

    def _lost(self, ids: Tensor) -> Tensor:
        """What the updated model's likelihood of each row has lost, negative log."""
        now = self._likelihood(self.updated, ids)
        with torch.no_grad():
            before = self._likelihood(self.frozen, ids)
        return now - before

    def _likelihood(self, model: Any, ids: Tensor) -> Tensor:
        """Negative log-likelihood of each row, a mean over its tokens."""
        _, logits = self._run(model, ids)
        found = cross_entropy(logits[:, :-1].float().transpose(1, 2), ids[:, 1:], reduction="none")
        return found.mean(dim=-1)

    def _run(self, model: Any, ids: Tensor, *, noise: float = 0.0) -> tuple[Tensor, Any]:
        """Hidden states after the steering layer, and logits, which losses on hidden states compute and drop."""
        seen: list[Tensor] = []

        def hook(module: object, args: object, output: Tensor) -> Tensor:
            noised = output + noise * torch.randn_like(output) if noise else output
            seen.append(noised)
            return noised

        handle = model.model.layers[self.layer].register_forward_hook(hook)
        try:
            if self.truncated:
                model.model(input_ids=ids, use_cache=False)
                return seen[0], None
            logits = model(input_ids=ids, use_cache=False).logits
            return seen[0], logits if self.forget in ON_LOGITS else None
        finally:
            handle.remove()


def _load(folder: Path, dtype: torch.dtype, device: torch.device, last: int | None) -> Any:
    """A model, cut off after a layer before it is moved to the device, without its output head."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    if last is not None:
        model.model.layers = model.model.layers[: last + 1]
        model.lm_head = torch.nn.Identity()
    return model.to(device).eval()

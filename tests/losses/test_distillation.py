import torch

from lit_unlearn import Distillation, LogitKL
from lit_unlearn.losses.contract import Batch, Outputs


def test_is_the_divergence_from_the_frozen_model_on_the_forget_stream(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, frozen, batch = pairs
    assert isinstance(updated.logits, torch.Tensor)
    assert isinstance(frozen.logits, torch.Tensor)
    log_p, log_q = (logits.double().log_softmax(dim=-1) for logits in (updated.logits, frozen.logits))
    for row, found in enumerate(Distillation()(updated, frozen, batch)):
        tokens = [
            sum(log_q[row, t].exp() * (log_q[row, t] - log_p[row, t]))
            for t in range(log_p.shape[1])
            if batch["loss_mask"][row, t]
        ]
        expected = sum(tokens) / max(len(tokens), 1)
        torch.testing.assert_close(found.double(), torch.as_tensor(expected).double(), rtol=0, atol=1e-6)
    assert torch.equal(Distillation()(updated, frozen, batch), LogitKL()(updated, frozen, batch))
    assert (Distillation.stream, LogitKL.stream) == ("forget", "retain")


def test_it_is_0_where_nothing_has_changed(pairs: tuple[Outputs, Outputs, Batch]) -> None:
    updated, _, batch = pairs
    assert not Distillation()(updated, updated, batch).any()

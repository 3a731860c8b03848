"""Token-weighted RMU: RMU that steers the tokens which tell forget from retain text."""

from typing import ClassVar

from torch import Tensor

from lit_unlearn.errors import InputError
from lit_unlearn.losses import functional
from lit_unlearn.losses.contract import Batch, Outputs, counted_states
from lit_unlearn.losses.rmu import RMU


class TokenWeightedRMU(RMU):
    """RMU with a weight for each token: Σ_t w_t · mean over dimensions of (h_updated - c·u)²_t / Σ_t w_t.

    w_t is by how much rarer the token is in retain than in forget text, max(0, log p_forget - log p_retain), from the
    rows that are trained on; the DataModule counts them. Tokens that retain text has as often are not steered. u is
    RMU's unit vector.

    Ours: no paper gives these weights. That not all tokens of a forget row should be unlearned is in Zhou et al. 2025,
    "Not all tokens are meant to be forgotten", with another choice of tokens and another loss.

    Args:
        coefficient: c, the length of the target, one number or one per topic.
        unit: of c: `absolute`, or `norm`: mean norms of the frozen model's retain states after the steering layer, each
            row's first token left out, measured on the first rows before training.
        seed: seed of u; None takes the run's.
    """

    needs_token_weights: ClassVar[bool] = True

    def forward(self, updated: Outputs, frozen: Outputs | None, batch: Batch) -> Tensor:
        """Returns `[batch]`, 0 for a row none of whose tokens has a weight; `frozen` is not read.

        Raises:
            InputError: the batch has no weights.
        """
        del frozen
        if "token_weight" not in batch:
            raise InputError(
                "data: TokenWeightedRMU reads weights of tokens, which this data does not hold; take a DataModule of "
                "lit-unlearn, or give each forget batch `token_weight`, float [batch, seq]"
            )
        target = self.target(batch["topic"], updated.hidden.shape[-1])
        weights = counted_states(batch) * batch["token_weight"]
        return functional.weighted_squared_distance(updated.hidden, target, weights)

"""The likelihood of rows, written as loops over Python numbers."""

import itertools
import math

from torch import Tensor

from lit_unlearn.losses.contract import Batch, Outputs


def losses(outputs: Outputs, batch: Batch, row: int) -> list[float]:
    """NLL of each token of a row that a real token precedes."""
    assert isinstance(outputs.logits, Tensor)
    real = [position for position, counts in enumerate(batch["attention_mask"][row].tolist()) if counts]
    out = []
    for before, position in itertools.pairwise(real):
        scores = outputs.logits[row, before].tolist()
        total = math.log(sum(math.exp(score) for score in scores))
        out.append(total - scores[int(batch["input_ids"][row, position])])
    return out


def nll(outputs: Outputs, batch: Batch, row: int, *, mean: bool) -> float:
    found = losses(outputs, batch, row)
    return sum(found) / (len(found) if mean and found else 1)


def log_sigmoid(value: float) -> float:
    return -math.log1p(math.exp(-value))

"""Random padded batches, as a DataModule would yield them."""

from typing import cast

import torch
from torch import Tensor

from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch


def random_rows(count: int, *, seed: int, topic: int = 0, vocab: int = 100, even: bool = False) -> list[Row]:
    """Rows of 3 to 12 random tokens, or all of 12."""
    source = torch.Generator().manual_seed(seed)
    lengths = torch.randint(12 if even else 3, 13, (count,), generator=source).tolist()
    return [
        Row(torch.randint(4, vocab, (length,), generator=source).tolist(), topic, number)
        for number, length in enumerate(lengths)
    ]


def padded(rows: list[Row], side: str, extra: int = 0) -> Batch:
    """The rows as a batch, with `extra` columns of padding beyond the longest row."""
    if not extra:
        return collate(rows, padding_side=side, padding_id=0)
    longest = max(len(row.input_ids) for row in rows)
    filler = Row([0] * (longest + extra), 0, -1)
    whole = collate([*rows, filler], padding_side=side, padding_id=0)
    return cast(Batch, {name: cast(Tensor, value)[:-1] for name, value in whole.items()})


def pairs(
    steps: int, *, rows: int = 3, side: str = "right", topics: int = 1, even: bool = False
) -> list[dict[str, Batch]]:
    """Forget and retain batches of so many steps, with preferred answers."""
    found = [
        {
            stream: padded(random_rows(rows, seed=2 * step + index, topic=step % topics, even=even), side)
            for index, stream in enumerate(("forget", "retain"))
        }
        for step in range(steps)
    ]
    for step, pair in enumerate(found):
        pair["forget"]["preferred"] = padded(random_rows(rows, seed=1000 + step, even=even), side)
    return found

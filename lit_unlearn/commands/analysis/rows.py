"""The rows that a run is trained on, and batches of them."""

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import cast

import torch
from torch import Tensor
from tqdm import tqdm

from lit_unlearn.commands.analysis.opened_runs import Run
from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch

Streams = dict[str, list[Row]]
"""Rows by stream, `forget` and `retain`; a retain row has the topic of the forget rows that it is paired with."""
KEPT = 200
"""Characters of a row's text in section.json."""
_QUOTED = 100
"""Of a text that is quoted."""


def stream_rows(run: Run, count: int) -> Streams:
    """The first rows of each topic and of what it is paired with, in the order of training, none of them twice.

    Args:
        run: whose data.
        count: number of rows of each topic, at most.
    """
    data = run.data
    loader = data.train_dataloader()
    steps = min(len(loader), -(-count // data.batch_size) * len(data.topics))
    found: dict[str, dict[tuple[int, int], Row]] = {"forget": {}, "retain": {}}
    for pair in itertools.islice(loader, steps):
        for stream, rows in found.items():
            rows.update(((row.topic, row.number), row) for row in unpadded(pair[stream]))
    return {stream: _at_most(count, rows.values(), len(data.topics)) for stream, rows in found.items()}


def unpadded(batch: Batch) -> Iterator[Row]:
    """The rows of a batch."""
    for ids, mask, topic, number in zip(
        batch["input_ids"], batch["attention_mask"], batch["topic"], batch["row"], strict=True
    ):
        yield Row(ids[mask.bool()].tolist(), int(topic), int(number))


def batches(rows: Sequence[Row], size: int, device: torch.device, text: str) -> Iterator[Batch]:
    """Batches of `size` rows, padded to the right, with a progress bar."""
    for start in tqdm(range(0, len(rows), size), desc=text, unit="batch"):
        batch = cast(dict[str, Tensor], collate(rows[start : start + size], padding_side="right", padding_id=0))
        yield cast(Batch, {name: value.to(device) for name, value in batch.items()})


def quoted(text: str) -> str:
    r"""The beginning of a text, on one line.

    Example:
        >>> quoted("one\n two"), len(quoted("long " * 99))
        ('one two', 102)
    """
    line = " ".join(text.split())
    return line if len(line) <= _QUOTED else f"{line[:_QUOTED]} …"


def _at_most(count: int, rows: Collection[Row], topics: int) -> list[Row]:
    """At most `count` rows of each topic."""
    return [row for topic in range(topics) for row in [row for row in rows if row.topic == topic][:count]]

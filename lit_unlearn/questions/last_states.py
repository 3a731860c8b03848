"""The states of a model at the last position of prompts, after every layer."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from lit_unlearn.losses.contract import Batch
from lit_unlearn.questions.batches import Query, QueryBatches, query_loader
from lit_unlearn.running.state_patching import Decoder, layer_states


@torch.inference_mode()
def last_states(decoder: Decoder, queries: Sequence[Query], *, batch_size: int) -> Tensor:
    """float32 `[layers, queries, dim]` on the CPU, in the order of the queries.

    Args:
        decoder: the model.
        queries: of one set, each with a number of its own.
        batch_size: queries that run together, of the longest; of shorter ones more.
    """
    longest = max(len(query.input_ids) for query in queries)
    bare = [query._replace(text=None) for query in queries]
    numbers: list[int] = []
    parts = []
    for batch in query_loader(QueryBatches(bare, max_tokens=batch_size * longest, packed=False)):
        moved = {name: value.to(decoder.model.device) for name, value in cast(dict[str, Tensor], batch).items()}
        left = layer_states(decoder, cast(Batch, moved)).left
        parts.append(torch.stack([states[:, -1].float().cpu() for states in left]))
        numbers += batch["number"].tolist()
    place = {number: index for index, number in enumerate(numbers)}
    return torch.cat(parts, dim=1)[:, [place[query.number] for query in queries]]

import pytest
import torch

from lit_unlearn.data.rows import Row, collate
from lit_unlearn.losses.contract import Batch, Outputs

DIM, VOCAB = 5, 8


@pytest.fixture(params=["left", "right"])
def rows(request: pytest.FixtureRequest) -> tuple[Outputs, Outputs, Batch]:
    """Random outputs for four rows of three topics; what stands at padding is as random as the rest."""
    source = torch.Generator().manual_seed(0)
    updated, frozen = (torch.randn(4, 6, DIM, generator=source, dtype=torch.float64) for _ in range(2))
    batch = collate(
        [Row([7] * length, topic, length) for length, topic in ((6, 0), (3, 2), (1, 1), (4, 2))],
        padding_side=request.param,
        padding_id=0,
    )
    batch["token_weight"] = torch.rand(4, 6, generator=source, dtype=torch.float64)
    return Outputs(updated, None), Outputs(frozen, None), batch


@pytest.fixture(params=["left", "right"])
def pairs(request: pytest.FixtureRequest) -> tuple[Outputs, Outputs, Batch]:
    """Random logits for four rows and the answers that are preferred to them, random at padding as well."""
    source = torch.Generator().manual_seed(1)
    batch, preferred = (random_batch(lengths, request.param, source) for lengths in ((6, 3, 1, 4), (2, 5, 3, 4)))
    batch["preferred"] = preferred
    updated, frozen = (
        random_outputs(batch, source)._replace(preferred=random_outputs(preferred, source)) for _ in range(2)
    )
    return updated, frozen, batch


@pytest.fixture(params=["texts, left", "texts, right", "answers, left", "answers, right"])
def texts_or_answers(request: pytest.FixtureRequest) -> tuple[Outputs, Outputs, Batch]:
    """Random logits for four rows: whole texts, or answers alone, the last three tokens; one row has no prompt."""
    kind, side = request.param.split(", ")
    source = torch.Generator().manual_seed(2)
    sizes = ((6, 0), (3, 0), (1, 0), (4, 0)) if kind == "texts" else ((7, 4), (4, 1), (5, 2), (3, 0))
    rows = [
        Row(torch.randint(0, VOCAB, (length,), generator=source).tolist(), 0, length, prompt=frozenset(range(prompt)))
        for length, prompt in sizes
    ]
    batch = collate(rows, padding_side=side, padding_id=0)
    return random_outputs(batch, source), random_outputs(batch, source), batch


def random_batch(lengths: tuple[int, ...], side: str, source: torch.Generator) -> Batch:
    ids = [torch.randint(0, VOCAB, (length,), generator=source).tolist() for length in lengths]
    return collate([Row(row, 0, number) for number, row in enumerate(ids)], padding_side=side, padding_id=0)


def random_outputs(batch: Batch, source: torch.Generator) -> Outputs:
    logits = torch.randn(*batch["input_ids"].shape, VOCAB, generator=source, dtype=torch.float64)
    return Outputs(torch.zeros(*logits.shape[:2], DIM), logits)

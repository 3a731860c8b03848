import pytest
import torch

from lit_unlearn.data.rows import Row, collate
from lit_unlearn.loss import Batch, Outputs

DIM = 5


@pytest.fixture(params=["left", "right"])
def rows(request: pytest.FixtureRequest) -> tuple[Outputs, Outputs, Batch]:
    """Random states of four rows of three topics; what stands at padding is as random as the rest."""
    source = torch.Generator().manual_seed(0)
    updated, frozen = (torch.randn(4, 6, DIM, generator=source, dtype=torch.float64) for _ in range(2))
    batch = collate(
        [Row([7] * length, topic, length) for length, topic in ((6, 0), (3, 2), (1, 1), (4, 2))],
        padding_side=request.param,
        padding_id=0,
    )
    return Outputs(updated, None), Outputs(frozen, None), batch

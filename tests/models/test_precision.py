import pytest
import torch

from lit_unlearn.errors import InputError
from lit_unlearn.models.precision import weights_dtype


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("64-true", torch.float64),
        ("32-true", torch.float32),
        ("bf16-true", torch.bfloat16),
        ("bf16-mixed", torch.bfloat16),
        ("16-mixed", torch.float16),
    ],
)
def test_the_precision_gives_the_dtype_of_the_weights(precision: str, dtype: torch.dtype) -> None:
    assert weights_dtype(precision) == dtype


@pytest.mark.parametrize("precision", ["16-true", "transformer-engine", "bf16", ""])
def test_another_precision_is_refused_with_those_there_are(precision: str) -> None:
    with pytest.raises(InputError, match=rf"^trainer\.precision: '{precision}' is not supported; .* bf16-mixed"):
        weights_dtype(precision)

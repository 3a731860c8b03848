import pytest
import torch

from lit_unlearn import RMU, RSV, InputError
from lit_unlearn.losses.contract import Batch, Outputs
from lit_unlearn.losses.units import Length

TOPIC = torch.tensor([1, 0])


def test_a_length_in_norms_is_so_many_times_the_measured_one() -> None:
    length = Length([2.0, 3.0], "norm")
    length.norm = 0.5
    assert length(TOPIC).tolist() == [1.5, 1.0]
    absolute = Length([2.0, 3.0], "absolute")
    absolute.norm = 0.5
    assert absolute(TOPIC).tolist() == [3.0, 2.0]


def test_before_it_is_measured_a_length_in_norms_is_refused() -> None:
    with pytest.raises(InputError, match=r"model.forget.unit: a length in norms .* once these are measured"):
        Length(2.0, "norm")(TOPIC)


def test_other_units_are_refused() -> None:
    with pytest.raises(InputError, match=r"model\.forget\.unit: 'rms' is not a unit; take 'absolute' or 'norm'"):
        Length(2.0, "rms")  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [RMU, RSV])
def test_losses_in_norms_are_those_of_the_product(
    kind: type[RMU] | type[RSV], rows: tuple[Outputs, Outputs, Batch]
) -> None:
    loss = kind([2.0, 1.0, 3.0], unit="norm", seed=3)
    loss.coefficient.norm = 1.5
    assert torch.equal(loss(*rows), kind([3.0, 1.5, 4.5], seed=3)(*rows))
    assert repr(loss) == f"{kind.__name__}(coefficient=[2.0, 1.0, 3.0] norms, seed=3)"

import pytest
import torch

from lit_unlearn.errors import InputError
from lit_unlearn.repairs import NullSpace
from lit_unlearn.repairs.null_space import null_space
from tests.repairs.test_closed_form import CHANGE, RETAIN, moment


def test_it_projects_off_the_fewest_leading_eigenvectors_that_hold_the_energy() -> None:
    values, vectors = torch.linalg.eigh(moment(RETAIN))
    shares = values.flip(0).cumsum(0) / values.sum()
    for count in range(1, 6):
        found = null_space(CHANGE, moment(RETAIN), energy=float(shares[count - 1]) - 1e-9)
        leading, others = vectors.flip(1)[:, :count], vectors.flip(1)[:, count:]
        assert (found @ leading).abs().max() < 1e-10
        torch.testing.assert_close(found @ others, CHANGE @ others)


def test_all_of_it_leaves_nothing_where_retain_inputs_span_all() -> None:
    assert null_space(CHANGE, moment(RETAIN), energy=1.0).abs().max() < 1e-10


def test_directions_that_no_retain_input_has_stay() -> None:
    few = RETAIN[:3]
    found = null_space(CHANGE, moment(few), energy=1.0)
    assert (found @ few.T).abs().max() < 1e-8
    assert found.abs().max() > 0.1


@pytest.mark.parametrize("energy", [0.0, 1.5])
def test_an_energy_that_is_no_share_is_refused(energy: float) -> None:
    with pytest.raises(InputError, match=r"NullSpace.energy: must be above 0 and up to 1"):
        NullSpace(energy)


def test_its_name_says_what_it_is() -> None:
    assert NullSpace(0.9).name == "null-space-0.9"

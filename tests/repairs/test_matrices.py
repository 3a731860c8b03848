from typing import Any

import pytest
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from lit_unlearn.errors import InputError
from lit_unlearn.repairs import ClosedForm
from lit_unlearn.repairs.matrices import Matrix, in_order, trained_matrices
from lit_unlearn.repairs.order import apply
from tests.repairs.test_closed_form import FORGET, RETAIN, moment


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.norm = nn.Linear(6, 4), nn.LayerNorm(4)


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([Layer(), Layer()])
        self.head = nn.Linear(4, 9)


def originals(model: nn.Module, *names: str) -> dict[str, torch.Tensor]:
    return {name: model.get_parameter(name).detach().clone() for name in names}


def test_the_trained_matrices_are_found_with_their_layers() -> None:
    model = Model()
    found = trained_matrices(model, model.layers, originals(model, "layers.1.linear.weight"))
    assert [(one.name, one.layer, one.width) for one in found] == [("layers.1.linear.weight", 1, 6)]


@pytest.mark.parametrize("name", ["layers.0.linear.bias", "layers.0.norm.weight", "head.weight"])
def test_what_has_no_closed_form_is_refused(name: str) -> None:
    model = Model()
    with pytest.raises(InputError, match=rf"Repairs: {name} is trained, and only untied matrices of linear modules"):
        trained_matrices(model, model.layers, originals(model, name))


def test_a_tied_matrix_is_refused() -> None:
    model: Any = Model()
    model.layers[1].linear.weight = model.layers[0].linear.weight
    with pytest.raises(InputError, match=r"only untied matrices"):
        trained_matrices(model, model.layers, originals(model, "layers.1.linear.weight"))


@pytest.mark.parametrize("transposed", [False, True])
def test_a_conv1d_is_repaired_as_the_linear_that_computes_the_same(transposed: bool) -> None:
    torch.manual_seed(0)
    module: Any = Conv1D(4, 6) if transposed else nn.Linear(6, 4)
    plain = Conv1D(4, 6)
    plain_weight = plain.weight.detach()
    module.weight.data = plain_weight.clone() if transposed else plain_weight.T.clone()
    original = module.weight.detach() + 0.1 * torch.ones_like(module.weight)
    matrix = Matrix("weight", 0, module, original)
    assert matrix.width == 6
    apply(ClosedForm(2.0), [[matrix]], lambda one: (moment(FORGET), moment(RETAIN)))
    found = module.weight.detach().T if transposed else module.weight.detach()
    expected = ClosedForm(2.0).changed(torch.full((4, 6), -0.1).double(), moment(FORGET), moment(RETAIN))
    torch.testing.assert_close(found.double(), (plain_weight.T + 0.1).double() + expected, rtol=1e-5, atol=1e-6)


def test_they_are_grouped_by_what_they_are_given_in_the_order_of_the_forward() -> None:
    modules = [nn.Linear(2, 2) for _ in range(4)]
    matrices = [Matrix(str(place), 0, module, module.weight) for place, module in enumerate(modules)]
    one, other = torch.ones(1), torch.ones(1)  # equal, and not the same
    called = [(modules[2], one), (modules[0], one), (modules[1], other), (modules[3], one)]
    assert [[matrix.name for matrix in group] for group in in_order(matrices, called)] == [["2", "0"], ["1"], ["3"]]


@pytest.mark.parametrize("calls", [0, 2])
def test_a_matrix_that_does_not_run_once_is_refused(calls: int) -> None:
    module = nn.Linear(2, 2)
    with pytest.raises(InputError, match=rf"w runs {calls} times in one forward"):
        in_order([Matrix("w", 0, module, module.weight)], [(module, torch.ones(1))] * calls)

import torch
from torch import Tensor, nn

from lit_unlearn.repairs import ClosedForm
from lit_unlearn.repairs.matrices import Matrix
from lit_unlearn.repairs.order import apply
from tests.repairs.test_closed_form import drawn, moment


def test_each_is_repaired_with_the_inputs_of_the_model_repaired_so_far() -> None:
    """Two matrices in a row, against a loop that runs the model after each."""
    originals = [drawn(6, 6, seed=seed) for seed in (0, 1)]
    changes = [0.3 * drawn(6, 6, seed=seed) for seed in (2, 3)]
    streams = [drawn(30, 6, seed=4), drawn(50, 6, seed=5)]
    modules = [nn.Linear(6, 6, bias=False, dtype=torch.float64) for _ in range(2)]
    for module, original, change in zip(modules, originals, changes, strict=True):
        module.weight.data = original + change
    matrices = [Matrix(str(place), 0, module, originals[place]) for place, module in enumerate(modules)]

    def moments(matrix: Matrix) -> tuple[Tensor, Tensor]:
        given = streams if matrix.name == "0" else [torch.tanh(modules[0](inputs)).detach() for inputs in streams]
        return moment(given[0]), moment(given[1])

    apply(ClosedForm(2.0, share=0.5), [[matrices[0]], [matrices[1]]], moments)

    repair, inputs = ClosedForm(2.0), streams
    for original, change, module in zip(originals, changes, modules, strict=True):
        expected = original + repair.changed(0.5 * change, moment(inputs[0]), moment(inputs[1]))
        torch.testing.assert_close(module.weight.detach(), expected)
        inputs = [torch.tanh(one @ expected.T) for one in inputs]

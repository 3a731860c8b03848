"""Influence functions: equal to loops over pairs of rows with the gradients and the Hessian of autograd."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lit_unlearn.commands.analysis.strays import classifier
from lit_unlearn.commands.analysis.strays import influence as functions
from lit_unlearn.commands.analysis.strays.features import features, with_constant
from lit_unlearn.commands.analysis.strays.influence import Gradients, gradients
from tests.commands.analysis.strays.made import made

CLASSES = 3
Product = Callable[[Tensor, Tensor], Tensor]


@pytest.fixture(scope="module")
def weights() -> list[Tensor]:
    inputs, labels = rows()
    return classifier.trained(inputs, labels, CLASSES, rate=classifier.rate(inputs))


def rows(count: int = 24, seed: int = 0) -> tuple[Tensor, Tensor]:
    found = made(count, seed=seed)
    return with_constant(features(found.states, CLASSES).of(found.states)), found.labels


def loss(weight: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(inputs @ weight.T, labels)


def by_autograd(weight: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
    """The gradient of each row, flat."""
    one = torch.func.grad(loss)
    return torch.stack([one(weight, inputs[i : i + 1], labels[i : i + 1]).flatten() for i in range(len(inputs))])


def by_loops(product: Product, own: Tensor, others: Tensor | None, labels: Tensor) -> Tensor:
    """Sums over references of each class, pair by pair."""
    found = torch.zeros(len(own), CLASSES, dtype=torch.float64)
    for place, row in enumerate(own):
        for other, reference in enumerate(own if others is None else others):
            if others is not None or other != place:
                found[place, labels[other]] += product(reference, row)
    return found


def test_gradients_are_those_of_autograd(weights: list[Tensor]) -> None:
    inputs, labels = rows()
    found = gradients(inputs, labels, weights[-1])
    flat = (found.residual[:, :, None] * found.inputs[:, None]).flatten(1)
    assert torch.allclose(flat, by_autograd(weights[-1], inputs, labels), rtol=0, atol=1e-12)
    assert torch.allclose(found.norms(), flat.norm(dim=1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("trusted", [False, True], ids=["others", "trusted"])
def test_sums_are_those_of_loops(weights: list[Tensor], trusted: bool) -> None:
    inputs, labels = rows()
    others, known = rows(7, seed=5) if trusted else (None, labels)

    def pairs(product: Product, weight: Tensor) -> Tensor:
        references = None if others is None else by_autograd(weight, others, known)
        return by_loops(product, by_autograd(weight, inputs, labels), references, known)

    def references(weight: Tensor) -> Gradients | None:
        return None if others is None else gradients(others, known, weight)

    last = weights[-1]
    own, of = gradients(inputs, labels, last), references(last)
    hessian = torch.func.hessian(loss)(last, inputs, labels).reshape(last.numel(), -1)
    damping = 0.1 * torch.linalg.eigvalsh(hessian)[-1]
    inverse = torch.linalg.inv(hessian + damping * torch.eye(last.numel(), dtype=torch.float64))
    traced = torch.stack([pairs(torch.dot, weight) for weight in weights]).sum(dim=0)
    found = [references(weight) for weight in weights]
    given = None if others is None else [one for one in found if one is not None]
    expected = {
        "dot": (pairs(torch.dot, last), functions.gradient_dot(own, of)),
        "cosine": (
            pairs(lambda a, b: torch.dot(a, b) / (a.norm() * b.norm()), last),
            functions.gradient_cosine(own, of),
        ),
        "influence": (
            pairs(lambda a, b: a @ inverse @ b, last),
            functions.influence(own, of, functions.damped_hessian(own, last)),
        ),
        "TracIn": (
            0.3 * traced,
            functions.tracin([gradients(inputs, labels, weight) for weight in weights], given, rate=0.3),
        ),
    }
    for name, (loops, sums) in expected.items():
        assert torch.allclose(sums, loops, rtol=0, atol=1e-10), name


def test_by_class_takes_the_least_class() -> None:
    sums = torch.tensor([[3.0, -1.0, 2.0], [0.0, 1.0, 5.0]])
    assert functions.plain(sums).tolist() == [4.0, 6.0]
    assert functions.by_class(sums).tolist() == [-1.0, 0.0]


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_contrasts_are_orthonormal_and_sum_to_zero(classes: int) -> None:
    basis = functions.contrasts(classes)
    assert torch.allclose(basis.T @ basis, torch.eye(classes - 1, dtype=torch.float64))
    assert torch.allclose(basis.sum(dim=0), torch.zeros(classes - 1, dtype=torch.float64), atol=1e-12)


def test_long_inputs_are_taken_in_chunks(weights: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    own = gradients(*rows(), weights[-1])
    whole = functions.influence(own, None, functions.damped_hessian(own, weights[-1]))
    monkeypatch.setattr(functions, "_CHUNK", 5)
    parts = functions.influence(own, None, functions.damped_hessian(own, weights[-1]))
    assert torch.allclose(parts, whole, rtol=0, atol=1e-12)

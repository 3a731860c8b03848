"""How much the gradients of reference rows agree with a row's: class-based influence functions. Pure functions.

Nguyen-Duc et al., "Class based Influence Functions for Error Detection" (ACL 2023, arXiv 2305.01384). All are sums over
references of a class, `[rows, classes]`; `plain` adds the classes up and `by_class` takes the least. Low is suspicious.
A gradient is (p - e_y) ⊗ [φ, 1]: sums over references are one matrix per class, and no gradient is held but in chunks.

Differs from the authors' code: a class's sum holds no row of the next class (its slices overlap by one); the Hessian is
over all rows, damped, and solved exactly; where references are the rows themselves, a row's product with itself is left
out.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lit_unlearn.commands.analysis.strays.classifier import one_hot, probabilities

DAMPING = 0.1
"""λ as a share of the Hessian's largest eigenvalue."""
_CHUNK = 1024


class Gradients(NamedTuple):
    """Gradients of a classifier's loss, residual ⊗ inputs, one for each row."""

    residual: Tensor
    """p - e_y, `[rows, classes]`."""
    inputs: Tensor
    """[φ, 1], `[rows, dim + 1]`."""
    labels: Tensor
    """Class of each row, int64 `[rows]`."""

    def norms(self) -> Tensor:
        """‖g‖ = ‖p - e_y‖ · ‖[φ, 1]‖, `[rows]`."""
        norms: Tensor = self.residual.norm(dim=1) * self.inputs.norm(dim=1)
        return norms

    def unit(self) -> "Gradients":
        """Of norm 1; a zero gradient stays zero."""
        return self._replace(residual=self.residual / self.norms().clamp(min=1e-300)[:, None])

    def sums(self) -> Tensor:
        """Σ g over the rows of each class, `[classes, classes, dim + 1]`: of which class, and the gradient."""
        classes = range(self.residual.shape[1])
        return torch.stack([self.residual[self.labels == c].T @ self.inputs[self.labels == c] for c in classes])


def gradients(inputs: Tensor, labels: Tensor, weight: Tensor) -> Gradients:
    """The gradient of -log p(label) with respect to W, for each row.

    Args:
        inputs: [φ, 1], `[rows, dim + 1]`.
        labels: class of each row, int64 `[rows]`.
        weight: W, `[classes, dim + 1]`.

    Example:
        >>> gradients(torch.tensor([[2.0, 1.0]]), torch.tensor([0]), torch.zeros(2, 2)).residual
        tensor([[-0.5000,  0.5000]])
    """
    return Gradients(probabilities(inputs, weight) - one_hot(labels, len(weight), inputs), inputs, labels)


def gradient_dot(rows: Gradients, references: Gradients | None) -> Tensor:
    """GD = Σ g(z')ᵀ g(z), of references z' of each class.

    Args:
        rows: z.
        references: z'; None takes the other rows.

    Returns:
        `[rows, classes]`.
    """
    found = _products(rows, (rows if references is None else references).sums())
    return found if references is not None else _without_own(found, rows.labels, rows.norms().square())


def gradient_cosine(rows: Gradients, references: Gradients | None) -> Tensor:
    """GC = Σ cos(g(z'), g(z)) (Charpiat et al. 2019), as `gradient_dot`."""
    return gradient_dot(rows.unit(), None if references is None else references.unit())


def tracin(rows: Sequence[Gradients], references: Sequence[Gradients] | None, *, rate: float) -> Tensor:
    """TracIn = Σ_t η g_t(z')ᵀ g_t(z) over snapshots t (Pruthi et al. 2020), as `gradient_dot`.

    Args:
        rows: at each snapshot.
        references: at each snapshot; None takes the other rows.
        rate: learning rate η, one for all.
    """
    others = [None] * len(rows) if references is None else references
    found = [rate * gradient_dot(own, other) for own, other in zip(rows, others, strict=True)]
    return torch.stack(found).sum(dim=0)


def influence(rows: Gradients, references: Gradients | None, factor: Tensor) -> Tensor:
    """IF = Σ g(z')ᵀ (H + λI)⁻¹ g(z) (Koh & Liang 2017), as `gradient_dot`.

    Args:
        rows: z.
        references: z'; None takes the other rows.
        factor: of H + λI, from `damped_hessian`.
    """
    basis = contrasts(rows.residual.shape[1]).to(rows.residual)
    sums = basis.T @ (rows if references is None else references).sums()
    solved = torch.cholesky_solve(sums.flatten(1).T, factor).T.view_as(sums)
    found = _products(rows._replace(residual=rows.residual @ basis), solved)
    return found if references is not None else _without_own(found, rows.labels, _own_influence(rows, basis, factor))


def damped_hessian(rows: Gradients, weight: Tensor) -> Tensor:
    """The Cholesky factor of H + λI, λ = DAMPING · λ_max, in the contrasts of classes.

    H is the mean over rows of (diag(p) - p pᵀ) ⊗ x xᵀ. The same step for all classes changes no probability,
    and no gradient has a part along it: it is left out, which is exact.

    Args:
        rows: all.
        weight: W, `[classes, dim + 1]`.

    Returns:
        Lower triangle, `[(classes - 1) · (dim + 1)] * 2`.
    """
    basis, width = contrasts(len(weight)).to(weight), rows.inputs.shape[1]
    count = basis.shape[1]
    hessian = weight.new_zeros(count, width, count, width)
    for inputs in rows.inputs.split(_CHUNK):
        p = probabilities(inputs, weight)
        projected = p @ basis
        curved = torch.einsum("rc,ca,cb->rab", p, basis, basis) - projected[:, :, None] * projected[:, None]
        for a in range(count):
            for b in range(count):
                hessian[a, :, b] += (inputs * curved[:, a, b, None]).T @ inputs
    square = hessian.view(count * width, -1).div_(len(rows.inputs))
    square.diagonal().add_(DAMPING * torch.linalg.eigvalsh(square)[-1])
    factor: Tensor = torch.linalg.cholesky(square)
    return factor


def contrasts(classes: int) -> Tensor:
    """An orthonormal basis of what sums to 0 over classes, float64 `[classes, classes - 1]` (Helmert's).

    Example:
        >>> contrasts(2)
        tensor([[ 0.7071],
                [-0.7071]], dtype=torch.float64)
    """
    columns = [[1.0] * k + [-float(k)] + [0.0] * (classes - k - 1) for k in range(1, classes)]
    return torch.nn.functional.normalize(torch.tensor(columns, dtype=torch.float64), dim=1).T


def plain(sums: Tensor) -> Tensor:
    """S(z) = Σ over all references, `[rows]`.

    Args:
        sums: over references of each class, `[rows, classes]`.
    """
    return sums.sum(dim=1)


def by_class(sums: Tensor) -> Tensor:
    """S(z) = min over classes of the sum over references of a class, `[rows]`.

    Args:
        sums: over references of each class, `[rows, classes]`.
    """
    return sums.amin(dim=1)


def _products(rows: Gradients, sums: Tensor) -> Tensor:
    """⟨sum of a class, g(z)⟩, `[rows, classes]`."""
    return torch.stack([((rows.inputs @ one.T) * rows.residual).sum(dim=1) for one in sums], dim=1)


def _without_own(sums: Tensor, labels: Tensor, own: Tensor) -> Tensor:
    """The sums without a row's product with itself."""
    return sums.scatter_add(1, labels[:, None], -own[:, None])


def _own_influence(rows: Gradients, basis: Tensor, factor: Tensor) -> Tensor:
    """g(z)ᵀ (H + λI)⁻¹ g(z), `[rows]`."""
    found = []
    for residual, inputs in zip(rows.residual.split(_CHUNK), rows.inputs.split(_CHUNK), strict=True):
        flat = ((residual @ basis)[:, :, None] * inputs[:, None]).flatten(1)
        found.append(torch.linalg.solve_triangular(factor, flat.T, upper=False).square().sum(dim=0))
    return torch.cat(found)

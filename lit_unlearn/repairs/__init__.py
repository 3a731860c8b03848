"""The maths of repairs: what becomes of a trained matrix's change, from what the matrix is given."""

from lit_unlearn.repairs.closed_form import ClosedForm
from lit_unlearn.repairs.null_space import NullSpace

__all__ = ["ClosedForm", "NullSpace"]

"""Call one shape or column kernel on arrays: what public density methods and tests use."""

from typing import Any

import numpy as np

from hepstat.kernels.entry import call_columns, call_shape, planes, pointer
from hepstat.kernels.options import kernel

__all__ = ["evaluate_columns", "evaluate_shape"]


@kernel
def evaluate_shape(address: int, theta: Any, columns: Any, consts: Any, order: int) -> Any:
    """Return the planes of the density or cumulative kernel at this address.

    Parameters
    ----------
    address : int
        `Entry.address` or `Callback.address`.
    theta : ndarray, shape (p,)
        Parameters.
    columns : ndarray, shape (c, n)
        What the shape's column kernel made of x.
    consts : ndarray
        Numbers fixed when the model was built.
    order : int
        Number of derivatives: 0, 1 or 2.

    Returns
    -------
    ndarray, shape (planes(p, order), n)
        The value, then the first, then the second derivatives.
    """
    n = columns.shape[1]
    out = np.empty((planes(theta.size, order), n))
    call_shape(address, pointer(theta, 0), pointer(columns, 0), pointer(consts, 0), n, order, pointer(out, 0))
    return out


@kernel
def evaluate_columns(address: int, x: Any, consts: Any, n_columns: int) -> Any:
    """Return the columns, shape (n_columns, n), that the column kernel at this address makes of x, shape (n,)."""
    columns = np.empty((n_columns, x.size))
    call_columns(address, pointer(x, 0), pointer(consts, 0), x.size, pointer(columns, 0))
    return columns

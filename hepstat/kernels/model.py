"""A sum of shapes as arrays: what the likelihood kernels read, and the values of each component.

A component with yield N, unnormalised density g and integral I over the range adds N g / I to the expected density.
The likelihood kernels sum over g and its derivatives, here called *raw planes*, and :mod:`hepstat.kernels.assemble`
turns the few sums into derivatives of N g / I: the quotient rule is applied once per fit step, not once per event.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.entry import call_columns, call_shape, planes, pointer
from hepstat.kernels.options import kernel, part, summing

__all__ = [
    "COLUMNS",
    "COLUMN_COUNT",
    "CONSTS_START",
    "CUMULATIVE",
    "DENSITY",
    "GRID_START",
    "INDEX_START",
    "INTEGRAL",
    "ORDER",
    "PARAMETERS",
    "TABLE_WIDTH",
    "YIELD",
    "Model",
    "dot",
    "event_planes",
    "gather",
    "grid_length",
    "grid_planes",
    "plane_count",
    "range_integrals",
]

Array = NDArray[np.float64]

# Columns of the component table.
DENSITY = 0  # address of the density kernel
COLUMNS = 1  # address of its column kernel, 0 where the column is x itself
COLUMN_COUNT = 2  # number of its columns
INTEGRAL = 3  # address of the kernel used for integrals: the density (quadrature) or the cumulative (edges)
CUMULATIVE = 4  # 1 where INTEGRAL is a cumulative
PARAMETERS = 5  # number p of shape parameters
ORDER = 6  # 2 where any of them floats, else 0
YIELD = 7  # index of the yield among all parameters
INDEX_START = 8  # where the indices of its shape parameters start in `indices`
CONSTS_START = 9  # where its constants start in `consts`
GRID_START = 10  # where its columns at the integration points start in `grid`
TABLE_WIDTH = 11


class Model(NamedTuple):
    """A compiled sum of shapes.

    Attributes
    ----------
    table : (components, TABLE_WIDTH) int64
        One row per component, columns as named above.
    indices : (any,) int64
        For every shape parameter of every component its index among all parameters.
    consts : (any,) float64
        Constants of all components.
    grid : (any,) float64
        Columns of all components at their integration points: for a quadrature (columns, nodes), for a cumulative
        (columns, bins + 1).
    weights : (nodes,) float64
        Quadrature weights. The first node of every bin comes first, in the order of the bins, then the second of
        every bin, and so on.
    bins : int
        Number of bins that the integrals are taken over, 1 for an unbinned fit.
    """

    table: NDArray[np.int64]
    indices: NDArray[np.int64]
    consts: Array
    grid: Array
    weights: Array
    bins: int


@kernel
def plane_count(model: Model, order: int) -> int:
    """Return the number of planes of all components together at this order (at most)."""
    total = 0
    for c in range(model.table.shape[0]):
        total += planes(model.table[c, PARAMETERS], min(order, model.table[c, ORDER]))
    return total


@part
def grid_length(model: Model, c: int) -> int:
    """Return the number of integration points of component `c`."""
    return model.bins + 1 if model.table[c, CUMULATIVE] == 1 else model.weights.shape[0]


@part
def gather(model: Model, c: int, theta: Array, out: Array) -> None:
    """Copy the shape parameters of component `c` to the front of out."""
    start = model.table[c, INDEX_START]
    for j in range(model.table[c, PARAMETERS]):
        out[j] = theta[model.indices[start + j]]


@part
def event_planes(model: Model, c: int, own: Array, x: Array, order: int, columns: Array, out: Array, at: int) -> None:
    """Fill out[at:] with the raw planes (planes, n) of component `c` at x (n,), given its parameters `own`.

    `columns` is work space of at least (columns of the component, n).
    """
    table, n = model.table, x.shape[0]
    consts = pointer(model.consts, table[c, CONSTS_START])
    points = pointer(x, 0)
    if table[c, COLUMNS] != 0:
        call_columns(table[c, COLUMNS], points, consts, n, pointer(columns, 0))
        points = pointer(columns, 0)
    call_shape(table[c, DENSITY], pointer(own, 0), points, consts, n, order, pointer(out, at))


@part
def grid_planes(model: Model, c: int, own: Array, out: Array, at: int) -> None:
    """Fill out[at:] with the planes (planes, points) of component `c` at its integration points."""
    table = model.table
    consts = pointer(model.consts, table[c, CONSTS_START])
    grid = pointer(model.grid, table[c, GRID_START])
    n, order = grid_length(model, c), table[c, ORDER]
    call_shape(table[c, INTEGRAL], pointer(own, 0), grid, consts, n, order, pointer(out, at))


@summing
def dot(a: Array, b: Array) -> float:
    """Return the sum of a * b."""
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i] * b[i]
    return total


@part
def range_integrals(model: Model, c: int, points: Array, out: Array, raw: int) -> None:
    """Fill out from `raw` on with the integrals over the whole range of the planes at the integration points."""
    last = points.shape[1] - 1
    for k in range(points.shape[0]):
        if model.table[c, CUMULATIVE] == 1:
            out[raw + k] = points[k, last] - points[k, 0]
        else:
            out[raw + k] = dot(model.weights, points[k])

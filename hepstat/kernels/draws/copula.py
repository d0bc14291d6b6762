"""A Gaussian copula: correlated normal numbers, each turned into a value of its column by a table.

Constants are d, the number g of nodes, the Cholesky factor (d, d) of the correlation matrix, and for each column 0 or
the number of its discrete values; then for each column 2 g numbers. Those of a continuous column start with its values
at normal numbers that are spread evenly from -REACH to REACH, between which they are interpolated; those of a discrete
one with k values hold the k - 1 normal numbers where a value gives way to the next, and from g on the values.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.draws.entry import Entry
from hepstat.kernels.entry import view
from hepstat.kernels.options import part
from hepstat.kernels.philox import STATE_SIZE
from hepstat.kernels.random import fill_normal

__all__ = ["COPULA", "REACH", "copula_constants"]

Array = NDArray[np.float64]

BLOCK = 64  # events whose normal numbers are drawn together
REACH = 8.0  # of normal numbers


def copula_constants(lower: Array, sizes: NDArray[np.int64], tables: Array) -> Array:
    """Return the constants of COPULA.

    Parameters
    ----------
    lower : ndarray, (d, d)
        Cholesky factor of the correlation matrix.
    sizes : ndarray, (d,)
        Numbers of discrete values, 0 for continuous columns.
    tables : ndarray, (d, 2, g)
        Values of continuous columns at nodes, and nothing; borders and values of discrete ones.
    """
    d, _, g = tables.shape
    return np.concatenate([[float(d), float(g)], lower.ravel(), sizes, tables.ravel()])


@part
def _interpolated(table: Any, first: int, g: int, z: float) -> float:
    """Return the value of a continuous column for a normal number."""
    place = (min(max(z, -REACH), REACH) + REACH) * ((g - 1) / (2.0 * REACH))
    i = min(int(place), g - 2)
    low, high = table[first + i], table[first + i + 1]
    value: float = min(low + (place - i) * (high - low), high)
    return value


@part
def _stepped(table: Any, first: int, k: int, g: int, z: float) -> float:
    """Return the value of a column with k discrete ones for a normal number."""
    low, high = 0, k - 1
    while low < high:
        middle = (low + high) // 2
        if z < table[first + middle]:
            high = middle
        else:
            low = middle + 1
    value: float = table[first + g + low]
    return value


def _copula(state: Any, c: Any, n: int, out: Any) -> None:
    """Draw correlated normal numbers and turn them into values."""
    stream, head = view(state, (STATE_SIZE,)), view(c, (2,))
    d, g = int(head[0]), int(head[1])
    start = 2 + d * d + d
    numbers = view(c, (start + 2 * d * g,))
    lower, table = numbers[2 : 2 + d * d].reshape((d, d)), numbers[start:]
    flat, x = view(out, (n * d,)), view(out, (n, d))
    for begin in range(0, n, BLOCK):
        end = min(begin + BLOCK, n)
        fill_normal(stream, flat[begin * d : end * d])
        for i in range(begin, end):
            for j in range(d - 1, -1, -1):  # from the last on, so that what is still needed is still there
                z = 0.0
                for k in range(j + 1):
                    z += lower[j, k] * x[i, k]
                values = int(numbers[2 + d * d + j])
                if values > 0:
                    x[i, j] = _stepped(table, 2 * j * g, values, g, z)
                else:
                    x[i, j] = _interpolated(table, 2 * j * g, g, z)


COPULA = Entry(_copula)

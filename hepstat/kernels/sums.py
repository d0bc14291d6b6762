"""Sums whose bits do not depend on how the work is divided.

The terms are cut into blocks of `BLOCK`, counted from the first; each block is summed by one
vectorised loop, and the sums of the blocks are added in pairs, pairs of pairs and so on. Any
worker may do any of the blocks (hand it slices that start at a multiple of `BLOCK`), and rounding
errors grow only with the logarithm of the length. Terms must be finite.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.options import kernel, summing

__all__ = [
    "BLOCK",
    "n_blocks",
    "pairwise",
    "product_blocks",
    "square_blocks",
    "sum_blocks",
    "total",
    "total_product",
    "total_squares",
]

Array = NDArray[Any]

BLOCK = 1024


@summing
def sum_block(x: Array, low: int, high: int) -> float:
    """Return the sum of x[low:high]."""
    s = 0.0
    for i in range(low, high):
        s += np.float64(x[i])
    return s


@summing
def square_block(x: Array, low: int, high: int) -> float:
    """Return the sum of squares of x[low:high]."""
    s = 0.0
    for i in range(low, high):
        v = np.float64(x[i])
        s += v * v
    return s


@summing
def product_block(w: Array, x: Array, low: int, high: int) -> float:
    """Return the sum of w x over low:high."""
    s = 0.0
    for i in range(low, high):
        s += np.float64(w[i]) * np.float64(x[i])
    return s


@kernel
def n_blocks(n: int) -> int:
    """Return the number of blocks that n terms fill."""
    return (n + BLOCK - 1) // BLOCK


@kernel
def sum_blocks(x: Array, out: Array) -> None:
    """Fill out (n_blocks(n),) with the sums of x (n,) over blocks."""
    n = x.shape[0]
    for b in range(n_blocks(n)):
        out[b] = sum_block(x, b * BLOCK, min(n, (b + 1) * BLOCK))


@kernel
def square_blocks(x: Array, out: Array) -> None:
    """Fill out (n_blocks(n),) with the sums of squares of x (n,) over blocks."""
    n = x.shape[0]
    for b in range(n_blocks(n)):
        out[b] = square_block(x, b * BLOCK, min(n, (b + 1) * BLOCK))


@kernel
def product_blocks(w: Array, x: Array, out: Array) -> None:
    """Fill out (n_blocks(n),) with the sums of w x over blocks, both (n,)."""
    n = x.shape[0]
    for b in range(n_blocks(n)):
        out[b] = product_block(w, x, b * BLOCK, min(n, (b + 1) * BLOCK))


@kernel
def pairwise(parts: Array) -> float:
    """Return the sum of parts (m,), adding neighbours in pairs until one number is left; overwrites `parts`."""
    m = parts.shape[0]
    if m == 0:
        return 0.0
    while m > 1:
        for i in range(m // 2):
            parts[i] = parts[2 * i] + parts[2 * i + 1]
        if m % 2 == 1:
            parts[m // 2] = parts[m - 1]
        m = (m + 1) // 2
    return float(parts[0])


@kernel
def total(x: Array) -> float:
    """Return the sum of x (n,), 0 if empty."""
    parts = np.empty(n_blocks(x.shape[0]))
    sum_blocks(x, parts)
    return pairwise(parts)


@kernel
def total_squares(x: Array) -> float:
    """Return the sum of squares of x (n,)."""
    parts = np.empty(n_blocks(x.shape[0]))
    square_blocks(x, parts)
    return pairwise(parts)


@kernel
def total_product(w: Array, x: Array) -> float:
    """Return the sum of w x, both (n,)."""
    parts = np.empty(n_blocks(x.shape[0]))
    product_blocks(w, x, parts)
    return pairwise(parts)

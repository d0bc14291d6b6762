"""Kernels that fill histograms: from coordinates to bins, from bins to sums.

An axis of `n` bins arrives as two arrays, made by :func:`axis_tables`:

``upper``
    ``upper[k]`` is the upper edge of storage bin ``k``: bin 0 is the underflow, bins 1 to `n` are
    the bins of the axis, bin ``n + 1`` is the overflow. The rest is NaN, which nothing reaches, up to a
    power of two, so that the binary search needs no bounds.
``grid``
    ``(low, scale, slack, n + 1)``; `scale` is bins per unit, or 0 where the edges must be searched.

Bins are half open, ``edge[i] <= x < edge[i + 1]``, judged by comparison with the edges themselves:
arithmetic only proposes a bin. Arithmetic on a regular axis is off by `slack` bins at the most, so it
is shifted down by as much (the proposal is then right or one too low), and only blocks with an event
close below a boundary, or a NaN, are looked at again.

The same kernels are compiled for coordinates of type float64, float32, int64 and int32 and for weights
of type float64 and float32, so that these are read without a copy. Compare the sums: one array holds
the sum of weights and of squared weights side by side, and small histograms are filled as
:data:`COPIES` copies in turn, since consecutive events in one bin would wait for each other.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.options import kernel

__all__ = ["BLOCK", "COPIES", "add_bins", "axis_tables", "count_1d", "count_cells", "weigh_1d", "weigh_cells"]

BLOCK = 1024
COPIES = 4

_Array = NDArray[Any]
_Floats = NDArray[np.float64]
_Bins = NDArray[np.uint32]


def axis_tables(edges: _Floats, regular: bool) -> tuple[_Floats, _Floats]:
    """Return (`upper`, `grid`) of an axis with these edges, see the head of this module."""
    n = edges.size - 1
    upper = np.full(1 << (n + 2).bit_length(), np.nan)
    upper[: n + 1] = edges
    grid = np.array([edges[0], 0.0, 0.0, n + 1.0])
    with np.errstate(all="ignore"):
        scale = n / (edges[-1] - edges[0])
        # The proposal is wrong by less than 3 n roundings, the edges by less than 6 of the larger limit.
        slack = 8 * np.finfo(np.float64).eps * (n + max(abs(edges[0]), abs(edges[-1])) * scale)
    if regular and 0.0 < scale < np.inf and slack < 0.01:
        grid[1], grid[2] = scale, slack
    return upper, grid


@kernel
def propose_bins(x: _Array, grid: _Floats, bins: _Bins) -> int:
    """Write the bins of a regular axis, right or one too low; return how many need a second look."""
    low, scale, slack, top = grid[0], grid[1], grid[2], grid[3]
    shift = 1.0 - slack
    limit = 1.0 - 3.0 * slack
    doubtful = np.int64(0)
    for i in range(x.size):
        v = np.float64(x[i])
        t = (v - low) * scale + shift
        t = t if t > 0.0 else 0.0
        t = t if t < top else top
        whole = np.floor(t)
        bins[i] = np.uint32(np.int32(whole))
        doubtful += np.int64(t - whole > limit) | np.int64(v != v)
    return int(doubtful)


@kernel
def settle_bins(x: _Array, upper: _Floats, bins: _Bins) -> int:
    """Move proposals that are one too low; put NaN into bin 0 and return their number."""
    n_nan = 0
    for i in range(x.size):
        v = np.float64(x[i])
        if v != v:
            bins[i] = np.uint32(0)
            n_nan += 1
        else:
            k = bins[i]
            bins[i] = k + np.uint32(v >= upper[k])
    return n_nan


@kernel
def search_bins(x: _Array, upper: _Floats, bins: _Bins) -> int:
    """Write the bins of any axis by binary search; put NaN into bin 0 and return their number."""
    n_nan = 0
    bins[: x.size] = 0
    step = upper.size // 2
    while step > 0:  # one level of the search for all events: no branch depends on the data
        for i in range(x.size):
            k = np.int64(bins[i]) + step
            bins[i] += np.uint32(step * np.int64(np.float64(x[i]) >= upper[np.uint64(k - 1)]))
        step //= 2
    for i in range(x.size):
        n_nan += x[i] != x[i]
    return n_nan


@kernel
def find_bins(x: _Array, upper: _Floats, grid: _Floats, bins: _Bins) -> int:
    """Write the storage bin of every coordinate and return how many are NaN (these get bin 0)."""
    if grid[1] == 0.0:
        return search_bins(x, upper, bins)
    if propose_bins(x, grid, bins) > 0:
        return settle_bins(x, upper, bins)
    return 0


@kernel
def scatter_weights(bins: _Bins, w: _Array, step: int, sums: _Floats) -> None:
    """Add `w` and its square to the rows `bins` of `sums`, four copies `step` rows apart in turn."""
    stride = np.uint64(step)
    whole = bins.size // COPIES * COPIES
    for i in range(0, whole, COPIES):
        for c in range(COPIES):
            k = np.uint64(bins[i + c]) + np.uint64(c) * stride
            v = np.float64(w[i + c])
            sums[k, 0] += v
            sums[k, 1] += v * v
    for i in range(whole, bins.size):
        k = np.uint64(bins[i])
        v = np.float64(w[i])
        sums[k, 0] += v
        sums[k, 1] += v * v


@kernel
def scatter_counts(bins: _Bins, step: int, counts: NDArray[np.int64]) -> None:
    """Count the entries of `bins`, four copies `step` entries apart in turn."""
    stride = np.uint64(step)
    whole = bins.size // COPIES * COPIES
    for i in range(0, whole, COPIES):
        for c in range(COPIES):
            counts[np.uint64(bins[i + c]) + np.uint64(c) * stride] += 1
    for i in range(whole, bins.size):
        counts[np.uint64(bins[i])] += 1


@kernel
def weigh_1d(x: _Array, w: _Array, upper: _Floats, grid: _Floats, step: int, sums: _Floats) -> int:
    """Fill a one-dimensional weighted histogram.

    Parameters
    ----------
    x, w : array of shape (n_events,)
        Coordinates and weights.
    upper, grid : arrays
        The axis, from :func:`axis_tables`.
    step : int
        Rows from one copy of the histogram to the next; 0 if there is only one.
    sums : array of shape (n_copies * n_cells, 2)
        Sums of weights and of squared weights, added to in place.

    Returns
    -------
    int
        Number of NaN coordinates, which went to the underflow.
    """
    n_nan = 0
    bins = np.empty(BLOCK, np.uint32)
    for start in range(0, x.size, BLOCK):
        block = x[start : start + BLOCK]
        n_nan += find_bins(block, upper, grid, bins)
        scatter_weights(bins[: block.size], w[start : start + BLOCK], step, sums)
    return n_nan


@kernel
def count_1d(x: _Array, upper: _Floats, grid: _Floats, step: int, counts: NDArray[np.int64]) -> int:
    """Fill a one-dimensional histogram of counts, shape (n_copies * n_cells,); see :func:`weigh_1d`."""
    n_nan = 0
    bins = np.empty(BLOCK, np.uint32)
    for start in range(0, x.size, BLOCK):
        block = x[start : start + BLOCK]
        n_nan += find_bins(block, upper, grid, bins)
        scatter_counts(bins[: block.size], step, counts)
    return n_nan


@kernel
def add_bins(x: _Array, upper: _Floats, grid: _Floats, stride: int, cells: _Bins) -> int:
    """Add `stride` times the bin along one axis to `cells`; return the number of NaN coordinates.

    Called once per axis, it turns coordinates into positions in a flat C-ordered histogram.
    """
    n_nan = 0
    bins = np.empty(BLOCK, np.uint32)
    for start in range(0, x.size, BLOCK):
        block = x[start : start + BLOCK]
        n_nan += find_bins(block, upper, grid, bins)
        part = cells[start : start + BLOCK]
        for i in range(block.size):
            part[i] += np.uint32(stride) * bins[i]
    return n_nan


@kernel
def weigh_cells(cells: _Bins, w: _Array, step: int, sums: _Floats) -> None:
    """Add weights and squared weights to the flat histogram `sums`; see :func:`weigh_1d`."""
    scatter_weights(cells, w, step, sums)


@kernel
def count_cells(cells: _Bins, step: int, counts: NDArray[np.int64]) -> None:
    """Count events in the flat histogram `counts`; see :func:`weigh_1d`."""
    scatter_counts(cells, step, counts)

"""From columns of events to sums in cells: cut into chunks, filled by kernels, added in order.

Chunks are cut by position, never by worker. Each has a histogram of its own and these are added in
order, so that the sums have the same bits for any number of workers. No temporary array grows with
the number of events.
"""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepstat.errors import InputError
from hepstat.execution import cut, map_ordered
from hepstat.histogram.axes import Axis
from hepstat.kernels import histogram as kernels
from hepstat.types import Floats, Ints

__all__ = ["fill_cells"]

CHUNK = 2**18  # events, at least
SLICE = 2**15  # events whose cells are held at a time, where there are several axes
COPIED_CELLS = 2**12
COORDINATES = tuple(np.dtype(kind) for kind in ("float64", "float32", "int64", "int32"))
WEIGHTS = COORDINATES[:2]

Array = NDArray[Any]


def column(value: ArrayLike, name: str) -> Array:
    """Return `value` as a one-dimensional array of real numbers, of whatever type, without a copy."""
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(name, "is a masked array", "Pass its .compressed() entries")
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise InputError(name, f"is not an array of numbers ({error})", "Pass real numbers only") from None
    if array.dtype.kind not in "biuf":
        raise InputError(name, f"has entries of type {array.dtype}", "Pass real numbers only")
    if array.ndim != 1:
        raise InputError(name, f"has {array.ndim} dimensions, shape {array.shape}", "Pass an array with 1 dimension")
    return array


def readable(part: Array, types: tuple[np.dtype[Any], ...]) -> Array:
    """Return `part` in a form that kernels are compiled for; only other types and layouts are copied."""
    if part.dtype in types and part.flags.carray:
        return part
    dtype = part.dtype if part.dtype in types else np.float64
    return np.array(part, dtype=dtype, order="C")


class Plan(NamedTuple):
    """One fill: what goes where."""

    columns: Sequence[Array]
    weights: Array | None
    axes: Sequence[Axis]
    n_cells: int

    @property
    def copies(self) -> int:
        """How many copies of the histogram the kernels fill in turn."""
        return kernels.COPIES if self.n_cells <= COPIED_CELLS else 1

    def chunks(self) -> list[tuple[int, int]]:
        """Return (start, stop) of chunks so long that their histograms cost less than their events."""
        return cut(self.columns[0].size, CHUNK * math.ceil(max(CHUNK, 4 * self.n_cells) / CHUNK))

    def fill(self, chunk: tuple[int, int]) -> tuple[Array, Ints]:
        """Return the sums in cells of one chunk and the number of NaN in each column."""
        n_nan = np.zeros(len(self.axes), dtype=np.int64)
        shape = (self.copies * self.n_cells,)
        sums: Array = np.zeros(shape, np.int64) if self.weights is None else np.zeros((*shape, 2))
        if len(self.axes) == 1:
            n_nan += self._fill_1d(slice(*chunk), sums)
        else:
            for start in range(*chunk, SLICE):
                n_nan += self._fill_nd(slice(start, min(start + SLICE, chunk[1])), sums)
        if self.copies == 1:
            return sums, n_nan
        first, *others = sums.reshape(self.copies, self.n_cells, *sums.shape[1:])
        with np.errstate(all="ignore"):  # bad weights are found, and named, in the total
            for other in others:
                first += other
        return first, n_nan

    def _step(self) -> int:
        return self.n_cells if self.copies > 1 else 0

    def _fill_1d(self, part: slice, sums: Array) -> int:
        x = readable(self.columns[0][part], COORDINATES)
        upper, grid = self.axes[0].tables
        if self.weights is None:
            return kernels.count_1d(x, upper, grid, self._step(), sums)
        return kernels.weigh_1d(x, readable(self.weights[part], WEIGHTS), upper, grid, self._step(), sums)

    def _fill_nd(self, part: slice, sums: Array) -> list[int]:
        cells = np.zeros(part.stop - part.start, np.uint32)
        n_nan = []
        stride = self.n_cells
        for values, axis in zip(self.columns, self.axes, strict=True):
            stride //= len(axis) + 2
            n_nan.append(kernels.add_bins(readable(values[part], COORDINATES), *axis.tables, stride, cells))
        if self.weights is None:
            kernels.count_cells(cells, self._step(), sums)
        else:
            kernels.weigh_cells(cells, readable(self.weights[part], WEIGHTS), self._step(), sums)
        return n_nan


def fill_cells(
    columns: Sequence[ArrayLike], weights: ArrayLike | None, axes: Sequence[Axis], workers: int
) -> tuple[Floats, Floats]:
    """Return the sums of weights and of squared weights in all cells, underflow and overflow included.

    Parameters
    ----------
    columns : sequence of array of shape (n_events,)
        One column for every axis.
    weights : array of shape (n_events,), or None
        Without weights every event counts 1.
    axes : sequence of Axis
        The axes of the histogram.
    workers : int
        Number of threads.

    Returns
    -------
    sumw, sumw2 : array of shape (n_bins + 2, ...)
        New arrays.

    Raises
    ------
    InputError
        For columns of unequal length, text, NaN in a column, NaN or infinite weights.
    """
    plan = _plan(columns, weights, axes)
    total: Array = np.zeros(plan.n_cells if weights is None else (plan.n_cells, 2))
    n_nan = np.zeros(len(axes), dtype=np.int64)
    with np.errstate(all="ignore"):
        for sums, bad in map_ordered(plan.fill, plan.chunks(), workers=workers):
            total += sums
            n_nan += bad
    for i, count in enumerate(n_nan):
        if count:
            raise InputError(_name(axes, i), f"has {count} NaN entries of {plan.columns[i].size}", "Remove them first")
    shape = tuple(len(axis) + 2 for axis in axes)
    if plan.weights is None:
        return total.reshape(shape), total.reshape(shape).copy()
    if not np.isfinite(total).all():
        raise _bad_weights(plan.weights)
    return total[:, 0].reshape(shape).copy(), total[:, 1].reshape(shape).copy()


def _name(axes: Sequence[Axis], i: int) -> str:
    return axes[i].name or ("data" if len(axes) == 1 else f"columns[{i}]")


def _plan(columns: Sequence[ArrayLike], weights: ArrayLike | None, axes: Sequence[Axis]) -> Plan:
    if len(columns) != len(axes):
        raise InputError("columns", f"{len(columns)} given for {len(axes)} axes", "Pass one column for every axis")
    arrays = [column(values, _name(axes, i)) for i, values in enumerate(columns)]
    n = arrays[0].size
    for i, array in enumerate(arrays):
        if array.size != n:
            raise InputError(_name(axes, i), f"has {array.size} entries, the first column {n}", "Pass equal lengths")
    w = None if weights is None else column(weights, "weights")
    if w is not None and w.size != n:
        raise InputError("weights", f"has {w.size} entries for {n} events", "Pass one weight for every event")
    return Plan(arrays, w, axes, math.prod(len(axis) + 2 for axis in axes))


def _bad_weights(weights: Array) -> InputError:
    """Return the error that says what is wrong with weights whose sums are not finite."""
    n_nan = n_inf = 0
    largest = 0.0
    for start in range(0, weights.size, CHUNK):
        part = weights[start : start + CHUNK]
        n_nan += int(np.isnan(part).sum())
        n_inf += int(np.isinf(part).sum())
        largest = max(largest, float(np.abs(part).max()))
    if n_nan or n_inf:
        return InputError(
            "weights", f"has {n_nan} NaN and {n_inf} infinite entries of {weights.size}", "Remove or repair them first"
        )
    return InputError("weights", f"are as large as {largest:g}, so that sums overflow", "Scale them down")

"""The histogram: sums of weights and of squared weights in the cells that its axes span."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number, whole_number
from hepstat.errors import InputError
from hepstat.histogram.axes import Axis, axis_between, edge_positions
from hepstat.histogram.filling import fill_cells
from hepstat.types import Floats

__all__ = ["Histogram"]

MOST_CELLS = 2**31 - 1


class Histogram:
    """Sums of weights and of squared weights in bins, in one or more dimensions.

    Every axis has underflow and overflow, so no event is lost: infinite coordinates go there, NaN is
    refused. A value at the upper limit of an axis is in the overflow (see :class:`Axis`). Only
    :meth:`fill` changes a histogram, all other operations return a new one.

    Parameters
    ----------
    *axes : Axis
        :class:`Regular` or :class:`Variable`, one for every dimension.

    Raises
    ------
    InputError
        Without axes, for two axes of the same name, or for more than 2**31 cells.

    Examples
    --------
    >>> from hepstat.histogram import Histogram, Regular
    >>> h = Histogram(Regular(4, 0, 2, name="x")).fill([0.1, 0.6, 0.7, 3.0])
    >>> h.values()
    array([1., 2., 0., 0.])
    >>> h.rebin(2)
    Histogram(Regular(2, 0, 2, name='x'), integral=3 +- 1.732, outside=1)
    """

    __slots__ = ("_axes", "_sumw", "_sumw2")

    def __init__(self, *axes: Axis) -> None:
        for axis in axes:
            if not isinstance(axis, Axis):
                raise InputError("axes", f"has {axis!r}", "Pass Regular(...) or Variable(...)")
        if not axes:
            raise InputError("axes", "is empty", "Pass at least one axis")
        names = [axis.name for axis in axes if axis.name]
        if len(set(names)) < len(names):
            raise InputError("axes", f"have the names {names}", "Give every axis a name of its own")
        shape = tuple(len(axis) + 2 for axis in axes)
        if math.prod(shape) > MOST_CELLS:
            raise InputError("axes", f"span {math.prod(shape)} cells", "Use fewer bins or fewer axes")
        self._axes = axes
        self._sumw: Floats = np.zeros(shape)
        self._sumw2: Floats = np.zeros(shape)

    @classmethod
    def from_values(cls, *axes: Axis, values: ArrayLike, variances: ArrayLike | None = None) -> Histogram:
        """Make a histogram from its contents.

        Parameters
        ----------
        *axes : Axis
            One for every dimension.
        values : array of shape (n_bins, ...) or (n_bins + 2, ...)
            Sums of weights, without or with underflow and overflow.
        variances : array of the same shape, optional
            Sums of squared weights. Without them `values` are taken as Poisson counts.

        Raises
        ------
        InputError
            For another shape, NaN or infinity, negative variances, or negative values without variances.
        """
        h = cls(*axes)
        sumw = finite_array(values, "values", ndim=len(axes))
        if variances is None and (sumw < 0).any():
            raise InputError(
                "values", f"has {sumw.min():g}, which is no Poisson count", "Pass variances (sums of squared weights)"
            )
        sumw2 = sumw if variances is None else finite_array(variances, "variances", ndim=len(axes))
        if (sumw2 < 0).any():
            raise InputError("variances", f"has {sumw2.min():g}", "Variances are sums of squares: pass none below zero")
        for name, given, own in (("values", sumw, h._sumw), ("variances", sumw2, h._sumw2)):
            inner = tuple(len(axis) for axis in axes)
            if given.shape not in (inner, own.shape):
                raise InputError(name, f"has shape {given.shape}", f"Pass shape {inner}, or {own.shape} with flow bins")
            own[_inside(own.ndim) if given.shape == inner else ...] = given
        return h

    def fill(self, *columns: ArrayLike, weights: ArrayLike | None = None, workers: int = 1) -> Histogram:
        """Add events, in place, and return the histogram itself.

        Parameters
        ----------
        *columns : array of shape (n_events,)
            Coordinates, one column for every axis. float64, float32, int64 and int32 are read in place;
            other types, and strided or read-only arrays, are copied piece by piece. Integers are compared
            with edges as float64. Infinities go to underflow and overflow.
        weights : array of shape (n_events,), optional
            Finite, of any sign; float64 and float32 are read in place. Without them every event counts 1.
        workers : int
            Number of threads. It does not change a bit of the result.

        Raises
        ------
        InputError
            For columns or weights of unequal length, entries that are no real numbers, masked arrays,
            NaN coordinates, NaN or infinite weights. The histogram is then as before.
        """
        workers = whole_number(workers, "workers", at_least=1)
        sumw, sumw2 = fill_cells(columns, weights, self._axes, workers)
        self._sumw += sumw
        self._sumw2 += sumw2
        return self

    @property
    def axes(self) -> tuple[Axis, ...]:
        """The axes, in order."""
        return self._axes

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self._axes)

    @property
    def kind(self) -> str:
        """Always "COUNT": values are sums of weights, not means."""
        return "COUNT"

    @property
    def storage_type(self) -> str:
        """Always "weighted", the name of this storage in the UHI schema."""
        return "weighted"

    def values(self, flow: bool = False) -> Floats:
        """Return a copy of the sums of weights, shape (n_bins, ...), or (n_bins + 2, ...) with `flow`."""
        return self._pick(self._sumw, flow)

    def variances(self, flow: bool = False) -> Floats:
        """Return a copy of the sums of squared weights, shaped as :meth:`values`."""
        return self._pick(self._sumw2, flow)

    def counts(self, flow: bool = False) -> Floats:
        """Return effective numbers of events ``sumw**2 / sumw2``, 0 in empty cells."""
        sumw, sumw2 = self.values(flow), self.variances(flow)
        # In this order nothing overflows: sumw / sumw2 is at most the number of events over the mean weight.
        return np.divide(sumw, sumw2, out=np.zeros_like(sumw), where=sumw2 != 0) * sumw

    def density(self) -> Floats:
        """Return values divided by bin volumes and by their total, so that the integral is 1.

        Raises
        ------
        InputError
            If the total is zero.
        """
        values = self.values()
        total = float(values.sum())
        if total == 0:
            raise InputError("histogram", "has a total of 0 inside its range", "Fill it before asking for a density")
        for i, axis in enumerate(self._axes):
            values /= axis.widths.reshape([-1 if j == i else 1 for j in range(self.ndim)])
        return values / total

    def integral(self, flow: bool = False) -> float:
        """Return the sum of all weights inside the range, or of all with `flow`."""
        return float(self.values(flow).sum())

    def integral_error(self, flow: bool = False) -> float:
        """Return the standard error of :meth:`integral`, the root of the sum of squared weights."""
        return math.sqrt(float(self.variances(flow).sum()))

    def __add__(self, other: Histogram) -> Histogram:
        """Return the sum of two histograms of independent events with the same edges."""
        if not isinstance(other, Histogram):
            return NotImplemented
        if self._axes != other._axes:
            raise InputError("axes", f"differ: {self._axes!r} and {other._axes!r}", "Rebin or slice to common edges")
        return self._make(self._axes, self._sumw + other._sumw, self._sumw2 + other._sumw2)

    def __radd__(self, other: object) -> Histogram:
        """Let `sum` start from 0."""
        return self if isinstance(other, int) and other == 0 else NotImplemented

    def __mul__(self, factor: float) -> Histogram:
        """Return the histogram with all weights multiplied by a number."""
        if isinstance(factor, Histogram) or np.ndim(factor):
            return NotImplemented
        factor = finite_number(factor, "factor")
        return self._make(self._axes, self._sumw * factor, self._sumw2 * factor**2)

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> Histogram:
        """Return the histogram with all weights divided by a number."""
        if isinstance(divisor, Histogram) or np.ndim(divisor):
            return NotImplemented
        divisor = finite_number(divisor, "divisor")
        if divisor == 0:
            raise InputError("divisor", "is 0", "Pass another number")
        return self._make(self._axes, self._sumw / divisor, self._sumw2 / divisor**2)

    def __eq__(self, other: object) -> bool:
        """Return whether edges and contents are the same, to the last bit."""
        if not isinstance(other, Histogram):
            return NotImplemented
        return (
            self._axes == other._axes
            and np.array_equal(self._sumw, other._sumw)
            and np.array_equal(self._sumw2, other._sumw2)
        )

    __hash__ = None  # type: ignore[assignment]  # fill changes it

    def rebin(self, bins: int | ArrayLike, axis: int | str = 0) -> Histogram:
        """Merge adjacent bins of one axis.

        Parameters
        ----------
        bins : int or array
            How many bins make one, a divisor of the number of bins; or the edges to keep. Bins outside
            these go to underflow and overflow.
        axis : int or str
            Position or name of the axis.

        Raises
        ------
        InputError
            If the number does not divide, if an edge is no edge of the axis, for an unknown axis.
        """
        i = self._position(axis)
        old = self._axes[i]
        if np.ndim(bins) == 0:
            factor = whole_number(bins, "bins", at_least=1)
            if len(old) % factor:
                raise InputError("bins", f"is {factor} for {len(old)} bins", "Pass a divisor, or edges to keep")
            return self._merge(i, np.arange(0, len(old) + 1, factor))
        return self._merge(i, edge_positions(old, finite_array(bins, "bins"), "bins"))

    def slice(self, low: float | None = None, high: float | None = None, axis: int | str = 0) -> Histogram:
        """Keep the bins between two edges of one axis; the others go to underflow and overflow.

        Parameters
        ----------
        low, high : float, optional
            Edges of the axis; its limits by default.
        axis : int or str
            Position or name of the axis.

        Raises
        ------
        InputError
            If a limit is no edge of the axis, for an empty range or an unknown axis.
        """
        i = self._position(axis)
        old = self._axes[i]
        limits = (old.low if low is None else low, old.high if high is None else high)
        start, stop = edge_positions(old, finite_array(limits, "range"), "range")
        return self._merge(i, np.arange(start, stop + 1))

    def project(self, *axes: int | str) -> Histogram:
        """Return the histogram of some axes, in the order given, summed over all others with their flow.

        Raises
        ------
        InputError
            For no axis, an unknown one, or one that is named twice.
        """
        kept = [self._position(axis) for axis in axes]
        if not kept or len(set(kept)) < len(kept):
            raise InputError("axes", f"is {axes!r}", "Name one or more axes, each once")
        gone = tuple(i for i in range(self.ndim) if i not in kept)
        order = np.argsort(np.argsort(kept))
        sums = (part.sum(axis=gone).transpose(order) for part in (self._sumw, self._sumw2))
        return self._make(tuple(self._axes[i] for i in kept), *sums)

    @classmethod
    def from_uhi(cls, source: Any, *, assume_poisson: bool = False) -> Histogram:
        """Make a histogram from a UHI histogram or from a dictionary of the UHI schema.

        Parameters
        ----------
        source : PlottableHistogram or dict
            A histogram of hist, boost-histogram, uproot, ... with numeric axes.
        assume_poisson : bool
            Take values as counts, each its own variance, where variances are not known.

        Raises
        ------
        InputError
            If it is no such histogram, for categories, circular axes and profiles, and for unknown variances.
        """
        from hepstat.histogram.exchange import read_uhi  # lazily: only few need it

        axes, values, variances = read_uhi(source, assume_poisson)
        return cls.from_values(*axes, values=values, variances=variances)

    def to_uhi(self) -> dict[str, Any]:
        """Return the histogram as a dictionary of the UHI schema, with underflow and overflow."""
        from hepstat.histogram.exchange import write_uhi

        return write_uhi(self)

    _to_uhi_ = to_uhi  # the name by which hist, boost-histogram and uhi.io ask for it

    @classmethod
    def from_json(cls, text: str) -> Histogram:
        """Make a histogram from JSON of the UHI schema; see :meth:`from_uhi` for errors."""
        from hepstat.histogram.exchange import parse_json

        return cls.from_uhi(parse_json(text))

    def to_json(self) -> str:
        """Return the histogram as JSON of the UHI schema; numbers keep all their digits."""
        from hepstat.histogram.exchange import format_json

        return format_json(self)

    def __repr__(self) -> str:
        """Show the axes and the sums of weights inside and outside the range."""
        axes = ", ".join(map(repr, self._axes))
        outside = self.integral(flow=True) - self.integral()
        inside = f"{self.integral():.7g} +- {self.integral_error():.4g}"
        return f"Histogram({axes}, integral={inside}, outside={outside:.7g})"

    @classmethod
    def _make(cls, axes: tuple[Axis, ...], sumw: Floats, sumw2: Floats) -> Histogram:
        h = cls(*axes)
        h._sumw, h._sumw2 = np.ascontiguousarray(sumw), np.ascontiguousarray(sumw2)
        return h

    def _pick(self, sums: Floats, flow: bool) -> Floats:
        return sums.copy() if flow else sums[_inside(self.ndim)].copy()

    def _position(self, axis: int | str) -> int:
        if isinstance(axis, str):
            names = [known.name for known in self._axes]
            if axis not in names:
                raise InputError("axis", f"is {axis!r}", f"Pass one of the names {names}, or a position")
            return names.index(axis)
        i = whole_number(axis, "axis")
        if i >= self.ndim:
            raise InputError("axis", f"is {i}", f"Pass a position below {self.ndim}")
        return i

    def _merge(self, i: int, kept: Any) -> Histogram:
        """Keep the edges at positions `kept` of axis `i`."""
        starts = np.concatenate([[0], kept + 1])
        sums = (np.add.reduceat(part, starts, axis=i) for part in (self._sumw, self._sumw2))
        axis = axis_between(self._axes[i].edges[kept], self._axes[i])
        return self._make((*self._axes[:i], axis, *self._axes[i + 1 :]), *sums)


def _inside(ndim: int) -> tuple[slice, ...]:
    return (slice(1, -1),) * ndim

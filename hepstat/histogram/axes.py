"""Axes of histograms: regular bins, or bins between given edges."""

from collections.abc import Iterator
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import interval, rising_edges, whole_number
from hepstat.errors import InputError
from hepstat.kernels.histogram import axis_tables
from hepstat.types import Floats, Ints

__all__ = ["Axis", "Regular", "Traits", "Variable", "axis_between", "edge_positions"]

MOST_BINS = 2**31 - 4


class Traits(NamedTuple):
    """What plotting libraries ask of an axis; the same for every axis of hepstat."""

    circular: bool = False
    discrete: bool = False
    underflow: bool = True
    overflow: bool = True


class Axis:
    """Adjacent half-open bins ``[edge[i], edge[i + 1])`` with underflow and overflow.

    A value equal to an edge lands in the bin that starts there. The upper limit itself is therefore
    in the overflow, as in boost-histogram and ROOT; `numpy.histogram` puts it into the last bin.
    An axis cannot be changed. Two axes are equal if all their edges are; names do not matter.

    Use :class:`Regular` or :class:`Variable` to make one.

    Parameters
    ----------
    edges : array of shape (n_bins + 1,)
        Increasing edges.
    name, label : str
        Name by which the axis may be called, and text for plots.
    """

    __slots__ = ("_edges", "_label", "_name", "_tables")

    def __init__(self, edges: Floats, *, regular: bool, name: str, label: str) -> None:
        self._edges = edges.copy()
        self._edges.flags.writeable = False
        self._name = str(name)
        self._label = str(label)
        self._tables = axis_tables(self._edges, regular)

    @property
    def edges(self) -> Floats:
        """Edges of the bins, shape (n_bins + 1,), read only."""
        return self._edges

    @property
    def centers(self) -> Floats:
        """Centres of the bins, shape (n_bins,)."""
        return 0.5 * self._edges[:-1] + 0.5 * self._edges[1:]

    @property
    def widths(self) -> Floats:
        """Widths of the bins, shape (n_bins,)."""
        return np.diff(self._edges)

    @property
    def low(self) -> float:
        """Lower limit."""
        return float(self._edges[0])

    @property
    def high(self) -> float:
        """Upper limit."""
        return float(self._edges[-1])

    @property
    def name(self) -> str:
        """Name by which the axis may be called."""
        return self._name

    @property
    def label(self) -> str:
        """Text for plots; the name if none was given."""
        return self._label or self._name

    @property
    def traits(self) -> Traits:
        """Properties that UHI defines."""
        return Traits()

    @property
    def tables(self) -> tuple[Floats, Floats]:
        """The axis as the fill kernels want it, see :mod:`hepstat.kernels.histogram`."""
        return self._tables

    def __len__(self) -> int:
        """Return the number of bins, underflow and overflow not counted."""
        return self._edges.size - 1

    @overload
    def __getitem__(self, index: int) -> tuple[float, float]: ...
    @overload
    def __getitem__(self, index: slice) -> list[tuple[float, float]]: ...
    def __getitem__(self, index: int | slice) -> tuple[float, float] | list[tuple[float, float]]:
        """Return the edges of one bin as (low, high), or a list of them for a slice."""
        chosen = range(len(self))[index]
        if isinstance(chosen, range):
            return [self[i] for i in chosen]
        return float(self._edges[chosen]), float(self._edges[chosen + 1])

    def __iter__(self) -> Iterator[tuple[float, float]]:
        """Go through the bins as pairs (low, high)."""
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        """Return whether all edges are the same, to the last bit."""
        if not isinstance(other, Axis):
            return NotImplemented
        return np.array_equal(self._edges, other._edges)

    def __hash__(self) -> int:
        """Hash the edges."""
        return hash(self._edges.tobytes())

    def _words(self) -> str:
        name = f", name={self._name!r}" if self._name else ""
        return name + (f", label={self._label!r}" if self._label else "")


class Regular(Axis):
    """Bins of equal width.

    Parameters
    ----------
    bins : int
        Number of bins.
    low, high : float
        Limits of the axis, finite, `low` below `high`.
    name, label : str, optional
        Name by which the axis may be called, and text for plots.

    Raises
    ------
    InputError
        For no bins, an empty or infinite range, or bins too narrow to be told apart in float64.

    Notes
    -----
    Edge i is ``(1 - i / bins) * low + i / bins * high``, as in boost-histogram. Tenths between 0 and 1
    are thus the numbers one would type (0.3, where `numpy.linspace` has 0.30000000000000004).
    """

    __slots__ = ()

    def __init__(self, bins: int, low: float, high: float, *, name: str = "", label: str = "") -> None:
        bins = whole_number(bins, "bins", at_least=1)
        if bins > MOST_BINS:
            raise InputError("bins", f"is {bins}", f"Use at most {MOST_BINS} bins")
        low, high = interval((low, high), "range")
        edges = regular_edges(bins, low, high)
        if not np.all(np.diff(edges) > 0):
            raise InputError(
                "bins", f"is {bins}, too many to tell their edges apart in ({low!r}, {high!r})", "Use fewer bins"
            )
        super().__init__(edges, regular=True, name=name, label=label)

    def __repr__(self) -> str:
        """Show how to make this axis, limits and edges rounded."""
        return f"Regular({len(self)}, {self.low:g}, {self.high:g}{self._words()})"


class Variable(Axis):
    """Bins between given edges.

    Parameters
    ----------
    edges : array of shape (n_bins + 1,)
        Finite, strictly increasing edges; at least two.
    name, label : str, optional
        Name by which the axis may be called, and text for plots.

    Raises
    ------
    InputError
        For fewer than two edges, edges that do not increase, NaN or infinity.
    """

    __slots__ = ()

    def __init__(self, edges: ArrayLike, *, name: str = "", label: str = "") -> None:
        super().__init__(rising_edges(edges), regular=False, name=name, label=label)

    def __repr__(self) -> str:
        """Show how to make this axis, limits and edges rounded."""
        edges = np.array2string(self._edges, separator=", ", threshold=8, edgeitems=3, max_line_width=10**6)
        return f"Variable({edges}{self._words()})"


def regular_edges(bins: int, low: float, high: float) -> Floats:
    """Return the edges of a regular axis, see :class:`Regular`."""
    fraction = np.arange(bins + 1) / bins
    return np.asarray((1.0 - fraction) * low + fraction * high)


def axis_between(edges: Floats, like: Axis | None = None, *, name: str = "", label: str = "") -> Axis:
    """Return a regular axis if it has exactly these edges, otherwise a variable one."""
    if like is not None:
        name, label = like._name, like._label
    if edges.size > 1 and np.array_equal(edges, regular_edges(edges.size - 1, float(edges[0]), float(edges[-1]))):
        return Regular(edges.size - 1, float(edges[0]), float(edges[-1]), name=name, label=label)
    return Variable(edges, name=name, label=label)


def edge_positions(axis: Axis, wanted: Floats, argument: str) -> Ints:
    """Return which edges of `axis` the entries of `wanted` are, to a billionth of a bin or of their size.

    Raises
    ------
    InputError
        If one of them is not an edge, with the nearest that is, or if they do not increase.
    """
    nearest = np.clip(np.searchsorted(axis.centers, wanted), 0, len(axis))
    found = axis.edges[nearest]
    width = np.min(axis.widths)
    off = np.abs(found - wanted) > 1e-9 * np.maximum(np.abs(found), width)
    if off.any():
        i = int(np.argmax(off))
        raise InputError(
            argument,
            f"has {wanted[i]:g}, which is no edge of {axis!r}",
            f"Bins cannot be split: use the nearest edge, {found[i]:g}",
        )
    if nearest.size < 2 or not np.all(np.diff(nearest) > 0):
        raise InputError(argument, f"is {wanted.tolist()}", "Pass at least two edges in increasing order")
    return np.asarray(nearest, dtype=np.int64)

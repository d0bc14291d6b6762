"""Treatments of bins with negative contents, for fits: merged with neighbours, absolute, or floored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, nonnegative_number, positive_number, rising_edges
from hepstat.errors import InputError
from hepstat.histogram import Histogram, Variable
from hepstat.record import Record
from hepstat.types import Bools, Floats, Ints

__all__ = ["TreatedBins", "absolute_bins", "floor_bins", "group_starts", "grouping", "merge_negative_bins", "sums_to"]

_ROUNDING = 8 * np.finfo(np.float64).eps  # of the sum of sizes: a sum below is zero


@dataclass(frozen=True, eq=False, repr=False)
class TreatedBins(Record):
    """Bins after a treatment.

    Attributes
    ----------
    contents : ndarray, (k,) or (templates, k)
    variances : ndarray, the same shape, or None
        None where they are not known.
    groups : ndarray of int, (n,)
        Which of the k bins each of the n original ones is in.
    bias : float
        Change of the sum of all contents.
    edges : ndarray, (k + 1,), or None
    message : str
        What was done to how many bins, what that does to the yield, and whether it is right or only stable.
    """

    contents: Floats
    variances: Floats | None
    groups: Ints
    bias: float
    edges: Floats | None
    message: str

    def apply(self, contents: ArrayLike) -> Floats:
        """Return sums over the same groups: of data, or contents or variances of another template.

        Parameters
        ----------
        contents : array_like, (n,) or (templates, n)
            Of the original bins.

        Raises
        ------
        InputError
            For another number of bins, or numbers that are not finite.
        """
        given = finite_array(contents, "contents", ndim=2 if np.ndim(contents) == 2 else 1)
        if given.shape[-1] != self.groups.size:
            problem = f"has {given.shape[-1]} bins for {self.groups.size} original ones"
            raise InputError("contents", problem, "Pass one entry for each original bin")
        return _sums(given, self.groups)

    def histogram(self) -> Histogram:
        """Return a single template with its edges as a histogram.

        Raises
        ------
        InputError
            If there are no edges or variances, or several templates.
        """
        if self.edges is None or self.variances is None or self.contents.ndim != 1:
            problem = "or variances are unknown, or there are several templates"
            raise InputError("edges", problem, "Pass edges and variances of one template")
        return Histogram.from_values(Variable(self.edges), values=self.contents, variances=self.variances)

    def __str__(self) -> str:
        """Return the message."""
        return self.message

    def __repr__(self) -> str:
        """Show the numbers of bins and the change of the yield."""
        return f"TreatedBins({self.groups.size} -> {self.contents.shape[-1]} bins, yield changed by {self.bias:.6g})"


def merge_negative_bins(
    contents: ArrayLike | Histogram,
    variances: ArrayLike | None = None,
    edges: ArrayLike | None = None,
    *,
    significance: float = 0.0,
) -> TreatedBins:
    """Merge neighbouring bins so that every one is positive and as many as possible are left.

    Parameters
    ----------
    contents : array_like, (n,) or (templates, n), or Histogram
        Several templates are merged alike, until all are positive. Interference, which may be negative, is none of
        them: treat the others, and it with :meth:`TreatedBins.apply`. A histogram has one axis; its flow has no part.
    variances : array_like, the same shape
        Sums of squared weights; a histogram has its own.
    edges : array_like, (n + 1,), optional
    significance : float, optional
        How many standard errors above zero contents have to be.

    Returns
    -------
    TreatedBins
        Of groupings with the same number of bins, that with the most equal groups.

    Raises
    ------
    InputError
        If the sum of a template is not positive, or too little significant, so that no merging helps; or for numbers
        that are not finite, negative variances, or shapes that do not belong together.

    Notes
    -----
    Yields are kept and contents unbiased for given groups; groups that follow from the contents follow their
    fluctuations too. Choose them by the simulation, never by the data.
    """
    values, squares, bounds = _bins(contents, variances, edges)
    z = nonnegative_number(significance, "significance")
    templates, errors = np.atleast_2d(values), np.atleast_2d(squares)

    def positive(stop: int) -> Bools:
        least = z * np.sqrt(sums_to(stop, errors)) + _ROUNDING * sums_to(stop, np.abs(templates))
        return np.asarray((sums_to(stop, templates) > least).all(axis=0))

    groups = grouping(values.shape[-1], positive)
    if groups is None:
        sums, spreads = templates.sum(axis=1), np.sqrt(errors.sum(axis=1))
        totals = ", ".join(f"{t:.6g} +- {e:.3g}" for t, e in zip(sums, spreads, strict=True))
        problem = f"add up to {totals}" + (f", less than {z:g} errors above zero" if z > 0 else "")
        raise InputError("contents", problem, "No merging makes this positive: simulate more, or use Morphing")
    merged = _sums(values, groups)
    n, k = groups.size, merged.shape[-1]
    n_bad = int((templates <= z * np.sqrt(errors)).any(axis=0).sum())
    kind = "not positive" if z == 0 else f"not {z:g} errors above zero"
    message = f"{n_bad} of {n} bins are {kind}; "
    message += (
        "nothing was merged."
        if k == n
        else f"merged into {k}, with the yield unchanged: right, at the price of resolution. Data and all other "
        "templates have to be merged alike (apply)."
    )
    kept = None if bounds is None else bounds[np.append(group_starts(groups), n)]
    return TreatedBins(merged, _sums(squares, groups), groups, 0.0, kept, message)


def absolute_bins(
    contents: ArrayLike | Histogram, variances: ArrayLike | None = None, edges: ArrayLike | None = None
) -> TreatedBins:
    """Take the size of negative contents; variances are kept.

    Parameters
    ----------
    contents, variances, edges
        See :func:`merge_negative_bins`; one template.

    Returns
    -------
    TreatedBins
        Its yield is too large.

    Raises
    ------
    InputError
        If no bin is positive; or as :func:`merge_negative_bins`.
    """
    values, squares, bounds = _one(contents, variances, edges)
    bad = values < 0
    return _changed(
        np.abs(values), values, squares.copy(), squares, bounds, f"{int(bad.sum())} of {bad.size} have lost a sign"
    )


def floor_bins(
    contents: ArrayLike | Histogram,
    variances: ArrayLike | None = None,
    edges: ArrayLike | None = None,
    *,
    floor: float,
) -> TreatedBins:
    """Raise contents below a floor to it; the variance of such a bin grows by the square of the change.

    Parameters
    ----------
    contents, variances, edges
        See :func:`merge_negative_bins`; one template.
    floor : float
        Above zero: data in the bin are impossible else.

    Returns
    -------
    TreatedBins
        Its yield is too large. One standard error reaches from the floor to what the bin was, or further.

    Raises
    ------
    InputError
        If no bin is positive, the floor is not; or as :func:`merge_negative_bins`.
    """
    values, squares, bounds = _one(contents, variances, edges)
    least = positive_number(floor, "floor")
    raised = np.maximum(values, least)
    what = (
        f"{int((values < least).sum())} of {values.size} are raised to {least:g}, with errors that cover what they were"
    )
    return _changed(raised, values, squares + (raised - values) ** 2, squares, bounds, what)


def grouping(n: int, allowed: Callable[[int], Bools]) -> Ints | None:
    """Return the groups (n,) of neighbours, all allowed, that are the most, and of these the most equal ones.

    Parameters
    ----------
    n : int
        Number of bins.
    allowed : callable
        ``allowed(stop) -> (stop,)``: which groups start:stop may be, for all starts before stop.

    Returns
    -------
    ndarray of int or None
        None if there are no such groups.
    """
    never = np.iinfo(np.int64).min // 2
    best, start = np.full(n + 1, never), np.zeros(n + 1, dtype=np.int64)
    best[0] = 0
    for stop in range(1, n + 1):  # a group counts more than all squares of sizes together
        gain = best[:stop] + (n * n + 1) - (stop - np.arange(stop)) ** 2
        gain[~allowed(stop) | (best[:stop] == never)] = never
        start[stop] = np.argmax(gain)
        best[stop] = gain[start[stop]]
    if best[n] == never:
        return None
    stops = [n]
    while stops[-1]:
        stops.append(int(start[stops[-1]]))
    sizes = np.diff(stops[::-1])
    return np.repeat(np.arange(sizes.size, dtype=np.int64), sizes)


def group_starts(groups: Ints) -> Ints:
    """Return the first bin of each group (k,) from the groups of bins (n,)."""
    return np.flatnonzero(np.diff(groups, prepend=-1))


def sums_to(stop: int, values: Floats) -> Floats:
    """Return the sums of values (..., n) from each start before a stop to there, (..., stop)."""
    return np.asarray(np.cumsum(values[..., :stop][..., ::-1], axis=-1)[..., ::-1])


def _changed(
    new: Floats, old: Floats, variances: Floats, squares: Floats, edges: Floats | None, what: str
) -> TreatedBins:
    """Return bins that have kept their places."""
    bias, total = float(new.sum() - old.sum()), float(old.sum())
    if (new == old).all():
        message = "No bin had to be changed."
    else:
        error = float(np.sqrt(squares.sum()))
        share = f"{bias / abs(total):.2%} of it" if total else "from 0"
        pull = f", {bias / error:.2g} of its statistical errors" if error > 0 else ""
        message = (
            f"{what}: the yield grows by {bias:.6g} ({share}{pull}). Stable, not right: merge bins, or use Morphing."
        )
    return TreatedBins(new, variances, np.arange(new.size), bias, edges, message)


def _one(
    contents: ArrayLike | Histogram, variances: ArrayLike | None, edges: ArrayLike | None
) -> tuple[Floats, Floats, Floats | None]:
    """Return contents (n,), variances (n,) and edges of one template that has positive bins."""
    values, squares, bounds = _bins(contents, variances, edges)
    if values.ndim != 1:
        raise InputError("contents", f"has {len(values)} templates", "Pass one at a time")
    if not (values > 0).any():
        problem = f"has no positive bin of {values.size}, the largest is {values.max():g}"
        raise InputError("contents", problem, "Look at the sign of the weights")
    return values, squares, bounds


def _bins(
    contents: ArrayLike | Histogram, variances: ArrayLike | None, edges: ArrayLike | None
) -> tuple[Floats, Floats, Floats | None]:
    """Return contents and variances, (n,) or (templates, n), and edges, checked."""
    if isinstance(contents, Histogram):
        if contents.ndim != 1:
            raise InputError("contents", f"has {contents.ndim} axes", "Pass values().ravel() and variances().ravel()")
        if variances is not None or edges is not None:
            raise InputError("variances", "or edges are given with a histogram, which has its own", "Leave them out")
        return contents.values(), contents.variances(), contents.axes[0].edges
    values = finite_array(contents, "contents", ndim=2 if np.ndim(contents) == 2 else 1)
    if variances is None:
        raise InputError("variances", "are missing", "Pass sums of squared weights, or a Histogram")
    squares = finite_array(variances, "variances", ndim=values.ndim)
    if squares.shape != values.shape:
        raise InputError("variances", f"has shape {squares.shape} for contents {values.shape}", "Pass the same shape")
    if (squares < 0).any():
        raise InputError("variances", f"has {squares.min():g}", "Variances are sums of squares: pass none below zero")
    if edges is None:
        return values, squares, None
    bounds = rising_edges(edges)
    if bounds.size != values.shape[-1] + 1:
        raise InputError("edges", f"are {bounds.size} for {values.shape[-1]} bins", "Pass one more than bins")
    return values, squares, bounds


def _sums(values: Floats, groups: Ints) -> Floats:
    return np.asarray(np.add.reduceat(values, group_starts(groups), axis=-1))

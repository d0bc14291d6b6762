"""What every resampler returns, and whether histograms are the same before and after."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import features, finite_array
from hepstat.errors import InputError
from hepstat.histogram import Axis, Histogram, Variable
from hepstat.ratio.bins import effective_size
from hepstat.record import Record
from hepstat.types import Bools, Floats, Ints

__all__ = ["Resampled", "ResamplingClosure", "compare_resampled"]

Edges = ArrayLike | Axis


@dataclass(frozen=True, eq=False, repr=False)
class Resampled:
    """Events of a sample with other weights.

    Parameters
    ----------
    index : ndarray, (m,)
        Places of the events in the sample, rising.
    weights : ndarray, (m,)
        Their new weights.
    original : ndarray, (n,)
        The weights of the sample.
    method, message : str
        How it was done, and what came of it.
    noise : ndarray, (n,), optional
        Variance of the weight after less that before, for each event of the sample, where random numbers make it
        differ; an event that is thrown away has weight 0 after.
    """

    index: Ints
    weights: Floats
    original: Floats
    method: str
    message: str
    noise: Floats | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "original", np.array(self.original))  # not the caller's, who may change it

    @property
    def n_before(self) -> int:
        """Number of events of the sample."""
        return int(self.original.size)

    @property
    def n_after(self) -> int:
        """Number of events that are left."""
        return int(self.weights.size)

    @property
    def sum_before(self) -> float:
        """Sum of the weights of the sample."""
        return float(self.original.sum())

    @property
    def sum_after(self) -> float:
        """Sum of the new weights."""
        return float(self.weights.sum())

    @property
    def sumw2_before(self) -> float:
        """Sum of the squared weights of the sample."""
        return float(self.original @ self.original)

    @property
    def sumw2_after(self) -> float:
        """Sum of the squared new weights."""
        return float(self.weights @ self.weights)

    @property
    def size_before(self) -> float:
        """(sum w)^2 / sum w^2 of the sample."""
        return effective_size(self.original)

    @property
    def size_after(self) -> float:
        """(sum w)^2 / sum w^2 of the new weights."""
        return effective_size(self.weights)

    @property
    def n_negative(self) -> tuple[int, int]:
        """Numbers of negative weights before and after."""
        return int((self.original < 0).sum()), int((self.weights < 0).sum())

    def take(self, values: ArrayLike) -> Any:
        """Return the rows of an array (n, ...) of the sample that belong to the new weights, (m, ...)."""
        rows = np.asarray(values)
        if rows.ndim == 0 or len(rows) != self.n_before:
            problem = f"has shape {rows.shape} for a sample of {self.n_before} events"
            raise InputError("values", problem, "Pass a row for each event of the sample")
        return rows[self.index]

    def __str__(self) -> str:
        """Return numbers before and after, and the message."""
        before, after = self.n_negative
        return "\n".join(
            [
                f"{self.method}: {self.n_before} events, {before} of them negative -> {self.n_after}, {after} negative",
                f"  sum of weights   {self.sum_before:.8g} -> {self.sum_after:.8g}",
                f"  sum of squares   {self.sumw2_before:.6g} -> {self.sumw2_after:.6g}",
                f"  effective events {self.size_before:.6g} -> {self.size_after:.6g}",
                self.message,
            ]
        )

    def __repr__(self) -> str:
        """Show method, numbers of events and sums."""
        return (
            f"Resampled({self.method}: {self.n_before} -> {self.n_after} events, sum {self.sum_before:.6g} -> "
            f"{self.sum_after:.6g}, effective events {self.size_before:.5g} -> {self.size_after:.5g})"
        )


@dataclass(frozen=True, eq=False, repr=False)
class ResamplingClosure(Record):
    """Histograms before and after resampling, each by its name.

    Attributes
    ----------
    method : str
        Of the resampling.
    error : str
        What pulls are counted in: "statistical", the root of the sum of squared weights before; or "resampling", the
        root of what random numbers of the resampling add, where that is known.
    edges : dict of ndarray, (k + 1,)
    yields_before, yields_after : dict of ndarray, (k,)
        Sums of weights in the bins.
    sumw2_before, sumw2_after : dict of ndarray, (k,)
        Sums of squared weights.
    errors, pulls : dict of ndarray, (k,)
        The error, and the difference of the yields over it; 0 where both are the same, such as in empty bins.
    total_before, total_after : float
        Sum of all weights, in the histograms or not.

    Notes
    -----
    Before and after are the same events, hence correlated. With the statistical error pulls are therefore no standard
    normal numbers, but smaller if nothing is wrong, and one of 1 moves a bin by all of its error. With that of the
    resampling they are about standard normal, or smaller where it includes a statistical error that both share.

    Effective events after may exceed those before. Where the new weight of an event depends on other events, the sum
    of squares is no variance, and nothing was gained: the statistical error is still the one before.
    """

    method: str
    error: str
    edges: dict[str, Floats]
    yields_before: dict[str, Floats]
    yields_after: dict[str, Floats]
    sumw2_before: dict[str, Floats]
    sumw2_after: dict[str, Floats]
    errors: dict[str, Floats]
    pulls: dict[str, Floats]
    total_before: float
    total_after: float

    @property
    def sizes_before(self) -> dict[str, Floats]:
        """Effective events (sum w)^2 / sum w^2 of the bins before, 0 in empty ones."""
        return {name: _sizes(v, self.sumw2_before[name]) for name, v in self.yields_before.items()}

    @property
    def sizes_after(self) -> dict[str, Floats]:
        """Effective events of the bins after, 0 in empty ones."""
        return {name: _sizes(v, self.sumw2_after[name]) for name, v in self.yields_after.items()}

    @property
    def largest_pull(self) -> dict[str, float]:
        """The pull of largest size of each histogram, with its sign."""
        return {name: float(pulls[np.argmax(np.abs(pulls))]) for name, pulls in self.pulls.items()}

    def __str__(self) -> str:
        """Return a table for each histogram."""
        before, after = self.sizes_before, self.sizes_after
        lines = [f"{self.method}: sum of weights {self.total_before:.8g} -> {self.total_after:.8g}"]
        for name, edges in self.edges.items():
            lines += [
                f"{name}: largest pull {self.largest_pull[name]:.2f} in units of the {self.error} error",
                f"  {'bin':>23} {'before':>11} {'after':>11} {'error':>9} {'pull':>7} {'effective events':>21}",
            ]
            for i, (low, high) in enumerate(pairwise(edges)):
                lines.append(
                    f"  {low:11.4g} {high:11.4g} {self.yields_before[name][i]:11.5g} {self.yields_after[name][i]:11.5g}"
                    f" {self.errors[name][i]:9.3g} {self.pulls[name][i]:7.2f} {before[name][i]:9.5g} ->"
                    f" {after[name][i]:8.5g}"
                )
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Show the largest pull of each histogram."""
        shown = ", ".join(f"{name} {pull:.2f}" for name, pull in self.largest_pull.items())
        return f"ResamplingClosure({self.method}; largest pulls, {self.error}: {shown})"


def compare_resampled(
    values: ArrayLike | Mapping[str, ArrayLike], resampled: Resampled, edges: Edges | Mapping[str, Edges]
) -> ResamplingClosure:
    """Compare histograms before and after resampling.

    Parameters
    ----------
    values : array_like, (n,) or (n, d), or mapping of str to array_like, (n,)
        What is filled, for every event of the sample before resampling; it need not be what was used for resampling.
    resampled : Resampled
    edges : array_like, (k + 1,), or Axis, or mapping of str to those
        Of the bins, by the name of the histogram: for an array of values one for each column, in order; for a mapping
        those that are wanted. Without a name the only histogram is called "x", or as its axis.

    Returns
    -------
    ResamplingClosure
        ``str`` of it is a table.

    Raises
    ------
    InputError
        For values that are not finite or too few, or edges that do not rise, or do not belong to them.
    """
    axes = _named_axes(edges)
    columns = _columns(values, axes)
    noisy = resampled.noise is not None
    found: dict[str, dict[str, Floats]] = {part: {} for part in ("edges", "b", "a", "bb", "aa", "errors", "pulls")}
    for name, axis in axes.items():
        column = finite_array(columns[name], name)
        before = Histogram(axis).fill(column, weights=_for(resampled.original, column, name))
        after = Histogram(axis).fill(resampled.take(column), weights=resampled.weights)
        variances = Histogram(axis).fill(column, weights=resampled.noise).values() if noisy else before.variances()
        for other in (before.variances(), after.variances()):  # a bin of events whose weights were all 0
            variances = np.where(variances > 0, variances, other)
        errors = np.sqrt(variances)
        difference = after.values() - before.values()
        pulls = np.divide(difference, errors, out=np.zeros_like(errors), where=errors > 0)
        parts = (axis.edges, before.values(), after.values(), before.variances(), after.variances(), errors, pulls)
        for store, part in zip(found.values(), parts, strict=True):
            store[name] = np.array(part)
    return ResamplingClosure(
        method=resampled.method,
        error="resampling" if noisy else "statistical",
        edges=found["edges"],
        yields_before=found["b"],
        yields_after=found["a"],
        sumw2_before=found["bb"],
        sumw2_after=found["aa"],
        errors=found["errors"],
        pulls=found["pulls"],
        total_before=resampled.sum_before,
        total_after=resampled.sum_after,
    )


def _named_axes(edges: Edges | Mapping[str, Edges]) -> dict[str, Axis]:
    """Return an axis for each name."""
    given = edges if isinstance(edges, Mapping) else {(isinstance(edges, Axis) and edges.name) or "x": edges}
    if not given:
        raise InputError("edges", "is empty", "Pass edges of at least one histogram")
    return {str(name): each if isinstance(each, Axis) else Variable(each) for name, each in given.items()}


def _columns(values: ArrayLike | Mapping[str, ArrayLike], axes: Mapping[str, Axis]) -> dict[str, Any]:
    """Return the values of each name."""
    if isinstance(values, Mapping):
        missing = [name for name in axes if name not in values]
        if missing:
            raise InputError("edges", f"has {missing}, values {list(values)}", "Pass values of every histogram")
        return {name: values[name] for name in axes}
    table = features(values, "values")
    if table.shape[1] != len(axes):
        problem = f"has {len(axes)} histograms for {table.shape[1]} columns of values"
        raise InputError("edges", problem, "Pass edges for each column, or values by name")
    return dict(zip(axes, table.T, strict=True))


def _for(weights: Floats, column: Floats, name: str) -> Floats:
    """Return the weights if they belong to the values."""
    if column.size != weights.size:
        raise InputError(name, f"has {column.size} values for {weights.size} events", "Pass one for each event before")
    return weights


def _sizes(sums: Floats, squares: Floats) -> Floats:
    some: Bools = squares > 0
    return np.asarray(np.divide(sums, squares, out=np.zeros_like(sums), where=some) * sums)

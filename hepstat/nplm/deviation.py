"""Where in the space of features a test sees a deviation: what each event and each bin contributes to t.

With nuisances nu at the maximum of tau and nu_0 at that of Delta, and log r = log r(x; nu),

    t = 2 sum_D [f + log r(nu) - log r(nu_0)] - 2 sum_R w [r(nu) e^f - r(nu_0)] + 2 log A(nu)/A(nu_0),

of which the sums are shared out to bins, while the last term belongs to none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepstat.checks import column_names, finite_array, whole_number
from hepstat.errors import InputError
from hepstat.histogram import Axis, Histogram, Regular
from hepstat.nplm.kernel_machine import KernelResult
from hepstat.nplm.prepared import checked_planes
from hepstat.nplm.result import NewPhysicsResult
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["Deviation", "Projection", "Region", "deviation"]


@dataclass(frozen=True)
class Region(Record):
    """A bin of a projection.

    Attributes
    ----------
    names : tuple of str
        Of what is projected on.
    low, high : tuple of float
        Limits; infinite for underflow and overflow.
    data : float
        Events in data.
    expected : float
        By the reference at the nuisances that fit best without f.
    learned : float
        By the maximum of tau, with f.
    excess, error : float
        data - expected, and its standard deviation: Poisson of what is expected, and the sum of squared weights.
    contribution, share : float
        To t, in its units and as a share of it.
    """

    names: tuple[str, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    data: float
    expected: float
    learned: float
    excess: float
    error: float
    contribution: float
    share: float


@dataclass(frozen=True, eq=False, repr=False)
class Projection:
    """Histograms of one or two quantities.

    Attributes
    ----------
    names : tuple of str
    data : Histogram
        Events.
    reference : Histogram
        Weights w, at nu = 0.
    expected : Histogram
        w r(x; nu_0): the reference fitted to data without f, which t compares with.
    fitted : Histogram
        w r(x; nu), the nuisances of the fit with f.
    learned : Histogram
        w r(x; nu) e^f.
    contributions : ndarray
        To t, with underflow and overflow: (bins + 2,) or (bins + 2, bins + 2).
    t : float
    """

    names: tuple[str, ...]
    data: Histogram
    reference: Histogram
    expected: Histogram
    fitted: Histogram
    learned: Histogram
    contributions: Floats
    t: float

    @property
    def axes(self) -> tuple[Axis, ...]:
        """Axes of the histograms."""
        return self.data.axes

    def ratio(self, what: str = "data") -> tuple[Floats, Floats]:
        """Return a histogram over what is expected, and the standard error of its own contents; NaN where none is.

        Parameters
        ----------
        what : {"data", "reference", "fitted", "learned"}
        """
        if what not in ("data", "reference", "fitted", "learned"):
            raise InputError("what", f"is {what!r}", "Choose from data, reference, fitted, learned")
        histogram: Histogram = getattr(self, what)
        below = self.expected.values()
        below = np.where(below > 0, below, np.nan)
        return histogram.values() / below, np.sqrt(histogram.variances()) / below

    @property
    def expected_error(self) -> Floats:
        """Relative standard error of what is expected, from the weights of the reference; NaN where nothing is."""
        values = self.expected.values()
        return np.sqrt(self.expected.variances()) / np.where(values > 0, values, np.nan)

    def regions(self, n: int = 5) -> tuple[Region, ...]:
        """Return the bins that contribute most to t, the largest first.

        Parameters
        ----------
        n : int, optional
            Number of bins, at most.
        """
        count = min(whole_number(n, "n", at_least=1), self.contributions.size)
        order = np.argsort(-self.contributions, axis=None, kind="stable")[:count]
        edges = [np.concatenate([[-np.inf], axis.edges, [np.inf]]) for axis in self.axes]
        data, expected, learned = (h.values(flow=True) for h in (self.data, self.expected, self.learned))
        variance = np.maximum(expected, 0.0) + self.expected.variances(flow=True)
        found = []
        for at in zip(*np.unravel_index(order, self.contributions.shape), strict=True):
            cell = tuple(int(i) for i in at)
            found.append(
                Region(
                    names=self.names,
                    low=tuple(float(edge[i]) for edge, i in zip(edges, cell, strict=True)),
                    high=tuple(float(edge[i + 1]) for edge, i in zip(edges, cell, strict=True)),
                    data=float(data[cell]),
                    expected=float(expected[cell]),
                    learned=float(learned[cell]),
                    excess=float(data[cell] - expected[cell]),
                    error=float(np.sqrt(variance[cell])),
                    contribution=float(self.contributions[cell]),
                    share=float(self.contributions[cell] / self.t) if self.t else np.nan,
                )
            )
        return tuple(found)

    def __repr__(self) -> str:
        """Show what was projected, and where most of t is from."""
        best = self.regions(1)[0]
        where = ", ".join(f"{n} in [{a:.4g}, {b:.4g})" for n, a, b in zip(best.names, best.low, best.high, strict=True))
        return f"Projection({' x '.join(self.names)}; {best.contribution:.4g} of t = {self.t:.4g} from {where})"


@dataclass(frozen=True, eq=False, repr=False)
class Deviation:
    """Where a deviation is.

    Attributes
    ----------
    t : float
        Sum of all contributions.
    auxiliary : float
        Contribution of auxiliary measurements, 2 log A(nu)/A(nu_0), in no bin.
    f_data, f_reference : ndarray, (n,) and (N,)
        f of the events.
    contributions_data, contributions_reference : ndarray, (n,) and (N,)
        To t, of each event.
    projections : dict of tuple of str to Projection
        By the names of what they are projections on.
    """

    t: float
    auxiliary: float
    f_data: Floats
    f_reference: Floats
    contributions_data: Floats
    contributions_reference: Floats
    projections: dict[tuple[str, ...], Projection]

    def __getitem__(self, names: str | tuple[str, str]) -> Projection:
        """Return the projection on a quantity, or on two."""
        key = (names,) if isinstance(names, str) else tuple(names)
        if key not in self.projections:
            raise InputError("names", f"is {names!r}", f"Choose from {', '.join(map(repr, self.projections))}")
        return self.projections[key]

    def __repr__(self) -> str:
        """Show t and the projections."""
        return "\n".join([f"Deviation(t = {self.t:.4g}, of which auxiliary measurements {self.auxiliary:.4g};",
                          *(f"  {projection!r}" for projection in self.projections.values())]) + ")"  # fmt: skip


def deviation(
    result: NewPhysicsResult | KernelResult,
    *,
    names: Sequence[str] | None = None,
    quantities: Mapping[str, Callable[[Any], Any]] | None = None,
    pairs: Sequence[tuple[str, str]] = (),
    axes: Mapping[str, Axis] | None = None,
    bins: int = 30,
) -> Deviation:
    """Look at where data, the reference, and what was learned differ.

    Parameters
    ----------
    result : NewPhysicsResult or KernelResult
    names : sequence of str, optional
        Of the features; x0, x1, ... by default.
    quantities : mapping of str to callable, optional
        Functions of events (n, d) that give (n,), such as a mass; projected on like features.
    pairs : sequence of (str, str), optional
        Features or quantities of projections on two.
    axes : mapping of str to Axis, optional
        By default regular bins between the ends of data. What is beyond goes to underflow and overflow.
    bins : int, optional
        Number of these bins; half as many on each side of a projection on two.

    Returns
    -------
    Deviation

    Raises
    ------
    InputError
        For names that repeat or are not there, or quantities that are not finite.
    """
    reference, x = result.test.reference, result.data
    events = _Events(result)
    labels = column_names(names, x.shape[1])
    functions = dict(quantities or {})
    if len({*labels, *functions}) < len(labels) + len(functions):
        raise InputError("names", f"repeat: {', '.join([*labels, *functions])}", "Give each quantity its own")
    columns = {label: (x[:, j], reference.x[:, j]) for j, label in enumerate(labels)}
    columns |= {name: (_values(f, x, name), _values(f, reference.x, name)) for name, f in functions.items()}
    known_axes = dict(axes or {})
    unknown = {*known_axes, *(name for pair in pairs for name in pair)} - set(columns)
    if unknown:
        raise InputError("axes or pairs", f"have {min(unknown)!r}", f"Choose from {', '.join(columns)}")
    n_bins = whole_number(bins, "bins", at_least=1)
    projections = {}
    for key in [*((name,) for name in columns), *map(tuple, pairs)]:
        own = [known_axes.get(name) or _axis(*columns[name], -(-n_bins // len(key))) for name in key]
        projections[key] = events.project(key, own, [columns[name] for name in key])
    return Deviation(
        t=events.t,
        auxiliary=events.auxiliary,
        f_data=events.f[0],
        f_reference=events.f[1],
        contributions_data=events.contributions[0],
        contributions_reference=events.contributions[1],
        projections=projections,
    )


class _Events:
    """Events of data and reference with what they contribute."""

    def __init__(self, result: NewPhysicsResult | KernelResult) -> None:
        reference, fitted = result.test.reference, result.nuisances
        nu_0 = np.array([one.reference for one in fitted])
        first, null = (reference.effect.polynomial(nu) for nu in (result.nu, nu_0))
        planes = checked_planes(reference.effect, result.data, "data"), reference.planes
        self.f = result.model(result.data) if len(result.data) else np.empty(0), result.model(reference.x)
        self.w, self.null = reference.w, np.exp(planes[1] @ null)
        self.fitted = np.exp(planes[1] @ first)
        self.learned = np.exp(planes[1] @ first + self.f[1])
        self.contributions = (
            2.0 * (self.f[0] + planes[0] @ (first - null)),
            -2.0 * reference.w * (self.learned - self.null),
        )
        self.auxiliary = 0.0
        for nuisance, one in zip(result.test.nuisances, fitted, strict=True):
            log_a = nuisance.constraint(one.auxiliary).log_ratio([one.with_network, one.reference])
            self.auxiliary += 2.0 * float(log_a[0] - log_a[1])
        self.t = float(sum(part.sum() for part in self.contributions)) + self.auxiliary

    def project(self, names: tuple[str, ...], axes: list[Axis], columns: list[tuple[Floats, Floats]]) -> Projection:
        """Return the histograms of quantities, each of data and reference."""
        of_data, of_reference = ([pair[i] for pair in columns] for i in (0, 1))

        def filled(weights: Floats) -> Histogram:
            return Histogram(*axes).fill(*of_reference, weights=weights)

        parts = Histogram(*axes).fill(*of_data, weights=self.contributions[0]) + filled(self.contributions[1])
        return Projection(
            names=names,
            data=Histogram(*axes).fill(*of_data),
            reference=filled(self.w),
            expected=filled(self.w * self.null),
            fitted=filled(self.w * self.fitted),
            learned=filled(self.w * self.learned),
            contributions=parts.values(flow=True),
            t=self.t,
        )


def _values(function: Callable[[Any], Any], x: Floats, name: str) -> Floats:
    """Return a quantity (n,) of events."""
    values = finite_array(function(x.copy()), name) if len(x) else np.empty(0)
    if values.shape != (len(x),):
        raise InputError(name, f"gives shape {values.shape} for {len(x)} events", "Return one number for each")
    return values


def _axis(data: Floats, reference: Floats, bins: int) -> Axis:
    """Return regular bins that hold all data; one wide enough for a quantity that is constant is the middle of them."""
    column = data if data.size and data.max() > data.min() else reference
    low, high = float(column.min()), float(column.max())
    if low == high:
        half = 0.5 * max(1.0, abs(low))
        return Regular(bins, low - half, high + half)
    return Regular(bins, low, max(high + 1e-9 * (high - low), float(np.nextafter(high, np.inf))))

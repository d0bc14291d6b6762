"""The data of a fit, checked once: bin contents, or events."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, interval
from hepstat.errors import InputError
from hepstat.histogram import Histogram, Regular
from hepstat.shapes.spectrum import Spectrum
from hepstat.types import Bools, Floats

__all__ = [
    "Bins",
    "Events",
    "check_bins",
    "check_enough_bins",
    "is_histogram",
    "poisson_scale",
    "take",
    "take_data",
    "take_events",
    "used_scale",
]

_DISPLAY_BINS = 100


@dataclass(frozen=True)
class Bins:
    """Contents of bins.

    Attributes
    ----------
    edges : (bins + 1,)
    contents, variances : (bins,)
    used : (bins,) bool
        False for bins left out of the fit.
    """

    edges: Floats
    contents: Floats
    variances: Floats
    used: Bools

    @property
    def scale(self) -> Floats:
        """Factor (bins,) of each bin's likelihood: 1 for counts, Bohm-Zech for weighted events, 0 if left out."""
        return used_scale(self.contents, self.variances, self.used)


@dataclass(frozen=True)
class Events:
    """Events x (n,) inside the range with their weights (n,), or none where all weigh one."""

    x: Floats
    weights: Floats | None

    def binned(self, low: float, high: float) -> Bins:
        """Return the events in bins, for guesses and pictures."""
        h = Histogram(Regular(_DISPLAY_BINS, low, high)).fill(self.x, weights=self.weights)
        edges = h.axes[0].edges
        contents, variances = h.values(), h.variances()
        last = self.x == high  # the fit's range is closed
        if last.any():
            contents[-1] += last.sum() if self.weights is None else self.weights[last].sum()
            variances[-1] += last.sum() if self.weights is None else (self.weights[last] ** 2).sum()
        return Bins(edges, contents, variances, np.ones(len(contents), dtype=bool))


def poisson_scale(contents: Floats, variances: Floats) -> Floats:
    """Return sum w / sum w^2 of every bin, for the scaled Poisson likelihood (Bohm, Zech, NIM A 748 (2014) 1).

    Bins without events take the value of all bins together.

    Parameters
    ----------
    contents, variances : (bins,) or (toys, bins)
    """
    squares = variances.sum(axis=-1, keepdims=True)
    overall = np.where(squares > 0, contents.sum(axis=-1, keepdims=True) / np.where(squares > 0, squares, 1.0), 1.0)
    known = (variances > 0) & (contents > 0)
    return np.where(known, contents / np.where(known, variances, 1.0), overall)


def check_enough_bins(spectrum: Spectrum, n_used: int) -> None:
    """Refuse more floating parameters than there are bins and constraints to determine them."""
    if len(spectrum.floating) > n_used + len(spectrum.constraints):
        raise InputError(
            "spectrum",
            f"has {len(spectrum.floating)} floating parameters for {n_used} bins",
            "Fix parameters, use more bins, or fit the events unbinned",
        )


def is_histogram(data: Any) -> bool:
    """Whether data look like a histogram with the UHI protocol."""
    return hasattr(data, "axes") and hasattr(data, "values")


def take(data: Any) -> Histogram | Floats:
    """Return anything with the UHI protocol as a Histogram, anything else as an array of events (n_events,)."""
    if isinstance(data, Histogram):
        return data
    if is_histogram(data):
        return Histogram.from_uhi(data)
    return finite_array(data, "data")


def take_bins(histogram: Any, spectrum: Spectrum, blind: tuple[float, float] | None) -> Bins:
    """Return the bins of a one-dimensional UHI histogram that lie in the spectrum's range.

    Raises
    ------
    InputError
        For a wrong number of axes, a range that does not meet bin edges, negative contents, unknown variances, or no
        events.
    """
    h = histogram if isinstance(histogram, Histogram) else Histogram.from_uhi(histogram)
    if h.ndim != 1:
        raise InputError("data", f"has {h.ndim} axes", "Pass a one-dimensional histogram; project it first")
    low, high = spectrum.range
    axis = h.axes[0]
    if low < axis.low - 1e-9 * (high - low) or high > axis.high + 1e-9 * (high - low):
        raise InputError(
            "data", f"covers ({axis.low:g}, {axis.high:g}), less than the spectrum's range ({low:g}, {high:g})",
            "Fill the histogram on the whole range or narrow the spectrum's"
        )  # fmt: skip
    if (axis.low, axis.high) != (low, high):
        h = h.slice(low, high)
    return check_bins(h.axes[0].edges, h.values(), h.variances(), blind)


def check_bins(edges: Floats, contents: Floats, variances: Floats, blind: tuple[float, float] | None) -> Bins:
    """Return the bins, refusing negative contents and bins without any event."""
    negative = np.flatnonzero(contents < 0)
    if len(negative):
        b = negative[0]
        raise InputError(
            "data",
            f"has {len(negative)} negative bins, the first from {edges[b]:g} to {edges[b + 1]:g} with {contents[b]:g}",
            "Merge bins until none is negative, or fit the events unbinned",
        )
    used = np.ones(len(contents), dtype=bool)
    if blind is not None:
        start, end = interval(blind, "blind")
        used = (edges[1:] <= start) | (edges[:-1] >= end)
        if used.all():
            raise InputError(
                "blind", f"is ({start:g}, {end:g}), outside ({edges[0]:g}, {edges[-1]:g})", "Blind a part of the range"
            )
    if not contents[used].sum() > 0:
        raise InputError("data", "has no events in the fitted bins", "Check the range and the selection")
    return Bins(edges, contents, variances, used)


def used_scale(contents: Floats, variances: Floats, used: Bools) -> Floats:
    """Return :func:`poisson_scale` of the used bins, which nothing in the others has influence on, and 0 for these."""
    return np.where(used, poisson_scale(np.where(used, contents, 0.0), np.where(used, variances, 0.0)), 0.0)


def take_events(
    events: ArrayLike, weights: ArrayLike | None, spectrum: Spectrum, blind: tuple[float, float] | None = None
) -> Events:
    """Return the events, which must all lie in the spectrum's range.

    Raises
    ------
    InputError
        For NaN, infinities, events outside the range, no events, weights of another length, total weight not positive.
    """
    if blind is not None:
        raise InputError("blind", f"is {blind}", "Blinding a region needs a binned fit; pass a histogram")
    x = finite_array(events, "data")
    low, high = spectrum.range
    outside = int(np.count_nonzero((x < low) | (x > high)))
    if outside:
        raise InputError(
            "data",
            f"has {outside} of {x.size} events outside the range ({low:g}, {high:g})",
            "Select the events first: data[(data >= low) & (data <= high)]",
        )
    if weights is None:
        return Events(x, None)
    w = finite_array(weights, "weights")
    if w.shape != x.shape:
        raise InputError("weights", f"has length {w.size}, data {x.size}", "Pass one weight per event")
    if not w.sum() > 0:
        raise InputError("weights", f"sum to {w.sum():g}", "A fit needs a positive total weight")
    return Events(x, w)


def take_data(
    data: Any, weights: ArrayLike | None, spectrum: Spectrum, blind: tuple[float, float] | None
) -> Bins | Events:
    """Return bins for a histogram, events for anything else."""
    if is_histogram(data):
        if weights is not None:
            raise InputError("weights", "are given with a histogram", "Fill the histogram with the weights instead")
        return take_bins(data, spectrum, blind)
    return take_events(data, weights, spectrum, blind)

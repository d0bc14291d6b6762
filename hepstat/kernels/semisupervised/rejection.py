"""From responses to ranks, and from ranks to the mass spectra of nested selections."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.options import borrowing, kernel, strict
from hepstat.kernels.semisupervised.events import SIDE_BAND, WINDOW, Events, slope_of
from hepstat.kernels.sort import descending_order

__all__ = ["fill_spectra", "rank", "separation"]

Array = NDArray[Any]

ZERO: Any = np.int64(0)  # no literal


@strict
def rank(response: Array, region: Array, among_side_bands: bool, share: Array) -> bool:
    """Fill share (n,): which share of events, or of events in the side bands, has a lower response.

    Of equal responses the first counts as larger. Returns False if one is not finite. Divisions are exact, since shares
    meet the steps of a rejection.
    """
    n = response.shape[0]
    above, below_zero = np.empty(n), np.empty(n)
    total = 0
    for i in range(n):
        if not np.isfinite(response[i]):
            return False
        above[i] = response[i] if response[i] > 0.0 else 0.0
        below_zero[n - 1 - i] = -response[i] if response[i] < 0.0 else 0.0  # from the end: it is read backwards
        total += 1 if not among_side_bands or region[i] == SIDE_BAND else 0
    falling, _, n_above = descending_order(above, np.empty((2, n), np.uint64))
    rising, _, n_below = descending_order(below_zero, np.empty((2, n), np.uint64))
    below, at = 0, n - 1
    for place in range(n):
        if place < n_below:
            i = n - 1 - int(rising[place])
        else:
            while at >= n_above and response[int(falling[at])] != 0.0:
                at -= 1
            i = int(falling[at])
            at -= 1
        counts = not among_side_bands or region[i] == SIDE_BAND
        share[i] = (below + 0.5) / (total if counts else total + 1)  # both are uniform where responses mean nothing
        below += 1 if counts else 0
    return True


@borrowing
def remove_slope(share: Array, events: Events, low: int, high: int, centre: float, response: Array) -> None:
    """Fill response[low:high] with shares less their slope by mass, least squares over the side bands."""
    n, sum_m, sum_mm, sum_x, sum_mx = ZERO, 0.0, 0.0, 0.0, 0.0
    for i in range(low, high):
        if events.region[i] == SIDE_BAND:
            m = events.mass[i] - centre
            n += 1
            sum_m += m
            sum_mm += m * m
            sum_x += share[i]
            sum_mx += m * share[i]
    slope = slope_of(n, sum_m, sum_mm, sum_x, sum_mx)
    for i in range(low, high):
        response[i] = share[i] - slope * (events.mass[i] - centre)


@borrowing
def fill_spectra(
    share: Array, bins: Array, low: int, high: int, rejections: Array, spectra: Array, kept: Array
) -> None:
    """Add events [low, high) to the spectra (steps, bins) of the steps whose rejections (steps,) they survive."""
    for i in range(low, high):
        for s in range(rejections.shape[0]):
            if share[i] < rejections[s]:
                break
            spectra[s, bins[i]] += 1.0
            kept[s] += 1


@kernel
def separation(share: Array, events: Events, low: int, high: int) -> tuple[float, float]:
    """Return the area under the ROC curve of window against side bands by share, and its number of pairs."""
    n = high - low
    scratch = share[low:high].copy()
    order, _, _ = descending_order(scratch, np.empty((2, n), np.uint64))
    ones, zeros, pairs = 0.0, 0.0, 0.0
    i = 0
    while i < n:
        alike_ones, alike_zeros, j = 0.0, 0.0, i
        value = scratch[order[i]]
        while j < n and scratch[order[j]] == value:
            inside = events.region[low + order[j]] == WINDOW
            alike_ones += 1.0 if inside else 0.0
            alike_zeros += 0.0 if inside else 1.0
            j += 1
        pairs += alike_zeros * (ones + 0.5 * alike_ones)
        ones += alike_ones
        zeros += alike_zeros
        i = j
    total = ones * zeros
    return (pairs / total if total > 0.0 else np.nan), total

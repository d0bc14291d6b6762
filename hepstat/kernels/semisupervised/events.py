"""Events of a pseudo-experiment: thrown from samplers, sorted into mass regions, and put into random order."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.draws.entry import call_draw
from hepstat.kernels.options import borrowing, inlined, kernel
from hepstat.kernels.philox import State, next_bits, wide_product
from hepstat.kernels.random import binomial, poisson

__all__ = [
    "OUTSIDE",
    "SIDE_BAND",
    "TOO_MANY",
    "WINDOW",
    "Events",
    "Sources",
    "keep_inside",
    "slope_of",
    "throw",
    "throw_mixture",
]

Array = NDArray[Any]

OUTSIDE, SIDE_BAND, WINDOW = -1, 0, 1
# No Python numbers: they would be typed as literals, and kernels be compiled once more.
ZERO: Any = np.int64(0)
TOO_MANY: Any = np.int64(-1)
NOT_FINITE: Any = np.int64(-2)


class Sources(NamedTuple):
    """Samplers: addresses (s,) of draws, their constants[starts[i]:starts[i + 1]], and expected numbers (s,)."""

    addresses: Array
    starts: Array
    constants: Array
    means: Array


class Events(NamedTuple):
    """Room for events: table (room, columns), mass and region (room,), bin of the spectrum (room,) int64."""

    table: Array
    mass: Array
    region: Array
    bins: Array


@borrowing
def region_of(m: float, limits: Array) -> int:
    """Return the region of a mass; limits (4,) are those of the window, and of the side bands around it."""
    if limits[0] <= m and m <= limits[1]:
        return WINDOW
    if limits[2] <= m and m <= limits[3]:
        return SIDE_BAND
    return OUTSIDE


@borrowing
def bin_of(m: float, limits: Array, edges: Array) -> int:
    """Return the bin of a mass inside of the edges (bins + 1,); the last bin of the window includes its upper edge."""
    low, high = 0, edges.shape[0] - 1
    while high - low > 1:
        middle = (low + high) // 2
        if m >= edges[middle]:
            low = middle
        else:
            high = middle
    return low - 1 if m == limits[1] else low


@borrowing
def keep_inside(events: Events, n: int, column: int, limits: Array, edges: Array) -> int:
    """Move events with a mass in some region to the front, and fill mass, region and bin; return how many there are.

    `NOT_FINITE` if any entry of the table is not.
    """
    kept = ZERO
    columns = events.table.shape[1]
    for i in range(n):
        for k in range(columns):
            if not np.isfinite(events.table[i, k]):
                return int(NOT_FINITE)
        m = events.table[i, column]
        region = region_of(m, limits)
        if region != OUTSIDE:
            for k in range(columns):
                events.table[kept, k] = events.table[i, k]
            events.mass[kept] = m
            events.region[kept] = region
            events.bins[kept] = bin_of(m, limits, edges)
            kept += 1
    return int(kept)


@borrowing
def swap(events: Events, i: int, j: int) -> None:
    """Exchange two events."""
    table, mass, region, bins = events
    for k in range(table.shape[1]):
        table[i, k], table[j, k] = table[j, k], table[i, k]
    mass[i], mass[j] = mass[j], mass[i]
    region[i], region[j] = region[j], region[i]
    bins[i], bins[j] = bins[j], bins[i]


@borrowing
def shuffle(state: State, events: Events, n: int) -> None:
    """Put the first n events into random order."""
    for i in range(n - 1, 0, -1):
        j = int(wide_product(next_bits(state), np.uint64(i + 1))[0])
        swap(events, i, j)


@inlined
def slope_of(n: float, sum_m: float, sum_mm: float, sum_x: float, sum_mx: float) -> float:
    """Return the slope of least squares of x by m from sums over n points, 0 where m does not vary."""
    spread = n * sum_mm - sum_m * sum_m
    return (n * sum_mx - sum_m * sum_x) / spread if spread > 0.0 else 0.0


@kernel
def throw(state: State, sources: Sources, column: int, limits: Array, edges: Array, events: Events) -> int:
    """Throw Poisson numbers of events of all sources, and return how many are inside, in random order.

    A negative number is a failure: more events than there is room for, or one that is not finite.
    """
    n = ZERO
    for s in range(sources.addresses.shape[0]):
        more = poisson(state, sources.means[s])
        if n + more > events.table.shape[0]:
            return int(TOO_MANY)
        if more > 0:
            constants = sources.constants[sources.starts[s] : sources.starts[s + 1]]
            call_draw(sources.addresses[s], state, constants, more, events.table[n : n + more])
        n += more
    inside = keep_inside(events, n, column, limits, edges)
    if inside > 0:
        shuffle(state, events, inside)
    return inside


@kernel
def throw_mixture(
    state: State, sources: Sources, first: int, sizes: Array, shares: Array, column: int, events: Events
) -> int:
    """Throw two samples of sizes (2,), a share (2,) of each from source `first`, the rest from the next.

    The region of an event is `WINDOW` in the first sample, `SIDE_BAND` in the second. Returns how many there are, or
    `NOT_FINITE`.
    """
    n = ZERO
    for sample in range(2):
        n_signal = binomial(state, sizes[sample], shares[sample])
        for part in range(2):
            s = first + part
            more = n_signal if part == 0 else sizes[sample] - n_signal
            if more > 0:
                constants = sources.constants[sources.starts[s] : sources.starts[s + 1]]
                call_draw(sources.addresses[s], state, constants, more, events.table[n : n + more])
            for i in range(n, n + more):
                events.region[i] = WINDOW if sample == 0 else SIDE_BAND
                events.mass[i] = events.table[i, column]
                for k in range(events.table.shape[1]):
                    if not np.isfinite(events.table[i, k]):
                        return int(NOT_FINITE)
            n += more
    shuffle(state, events, n)
    return int(n)

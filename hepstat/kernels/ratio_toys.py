"""Toys of likelihood-ratio tests between two given hypotheses, event by event.

Every such test is a sum over events: of log(1 + (S/B) r) without bins, of the same with the yields of its bin with
bins, of 1 in a cut. So a toy leaves behind the unbinned sum and the contents of bins fine enough for all tests.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.draws.entry import call_draw
from hepstat.kernels.options import borrowing, kernel, part, summing
from hepstat.kernels.philox import STATE_SIZE, State, seek
from hepstat.kernels.random import binomial, poisson
from hepstat.kernels.special import log

__all__ = ["CHUNK", "GUIDE", "Bins", "Component", "throw_ratio_toys"]

Array = NDArray[np.float64]

CHUNK = 512  # events drawn at a time
GUIDE = 1024  # equal cells that point to the bins


class Component(NamedTuple):
    """What events are drawn from.

    Attributes
    ----------
    address : int
        Of a draw (:mod:`hepstat.kernels.draws.entry`).
    constants : (any,)
    mean : float
        Expected events.
    """

    address: int
    constants: Array
    mean: float


class Bins(NamedTuple):
    """Bins in r: the first starts at 0, the last has no end.

    Attributes
    ----------
    edges : (bins + 1,)
        Rising lower edges; the last entry is infinite.
    guide : (GUIDE,) int64
        Bin of the lower end of each of so many equal cells, from 0 to the lower edge of the last bin.
    per_cell : float
        GUIDE over that edge.
    """

    edges: Array
    guide: NDArray[np.int64]
    per_cell: float


@summing
def _log_sum(scale: float, ratio: Array, n: int) -> float:
    """Return the sum of log(1 + scale r)."""
    total = 0.0
    for i in range(n):
        total += log(1.0 + scale * ratio[i])
    return total


@part
def _fill(bins: Bins, ratio: Array, n: int, counts: NDArray[np.int32]) -> None:
    """Add n events to the bins."""
    edges, guide, per_cell = bins.edges, bins.guide, bins.per_cell
    for i in range(n):
        r = ratio[i]
        b = guide[int(min(r * per_cell, GUIDE - 1.0))]
        b += np.int64(r >= edges[b + 1])  # all that most cells need, without a branch to mispredict
        while r >= edges[b + 1]:
            b += 1
        counts[b] += 1


@borrowing
def _add_events(
    component: Component,
    n: int,
    state: State,
    scale: float,
    bins: Bins,
    ratio: Array,
    counts: NDArray[np.int32],
) -> float:
    """Draw n events, add them to counts (bins,), and return their sum of log(1 + scale r)."""
    total, left = 0.0, n
    while left > 0:
        m = min(left, ratio.shape[0])
        call_draw(component.address, state, component.constants, m, ratio)
        total += _log_sum(scale, ratio, m)
        if math.isfinite(total):
            _fill(bins, ratio, m, counts)
        left -= m
    return total


@kernel
def throw_ratio_toys(
    signal: Component,
    background: Component,
    fixed_total: int,
    scale: float,
    bins: Bins,
    key0: np.uint64,
    key1: np.uint64,
    first: int,
    n_events: NDArray[np.int64],
    log_sums: Array,
    counts: NDArray[np.int32],
) -> None:
    """Throw toys first, first + 1, ...: each from the stream of its own number.

    Parameters
    ----------
    signal, background : Component
    fixed_total : int
        Number of events of every toy, shared out by the means; -1 for Poisson numbers.
    scale : float
        S/B of the hypothesis under test.
    bins : Bins
    key0, key1 : uint64
        Key of all streams.
    first : int
        Number of the first toy.
    n_events, log_sums : (toys,), out
        Events, and their sum of log(1 + scale r); it is not finite if a ratio is not.
    counts : (toys, bins), out, zeros
    """
    state, ratio = np.empty(STATE_SIZE, np.uint64), np.empty(CHUNK)
    share = signal.mean / (signal.mean + background.mean)
    for toy in range(n_events.shape[0]):
        seek(state, key0, key1, np.uint64(first + toy))
        if fixed_total < 0:
            n_s, n_b = poisson(state, signal.mean), poisson(state, background.mean)
        else:
            n_s = binomial(state, fixed_total, share)
            n_b = fixed_total - n_s
        row = counts[toy]
        total = _add_events(signal, int(n_s), state, scale, bins, ratio, row)
        total += _add_events(background, int(n_b), state, scale, bins, ratio, row)
        n_events[toy] = int(n_s) + int(n_b)
        log_sums[toy] = total

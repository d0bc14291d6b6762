"""Events drawn from a list of simulated ones, with replacement, in proportion to their weights.

The alias method of Walker, Electronics Letters 10 (1974) 127, in the form of Vose, IEEE Trans. Softw. Eng. 17 (1991)
972: one uniform number an event, whatever the weights.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.draws.entry import Entry
from hepstat.kernels.entry import view
from hepstat.kernels.options import kernel, part
from hepstat.kernels.philox import STATE_SIZE, State, next_uniform

__all__ = ["POOL", "alias_table", "draw_index", "pool_constants"]

Array = NDArray[np.float64]


@kernel
def alias_table(weights: Array, threshold: Array, alias: NDArray[np.int64]) -> None:
    """Fill threshold (m,) and alias (m,) for weights (m,) of at least zero with a positive sum."""
    m = weights.shape[0]
    total = 0.0
    for i in range(m):
        total += weights[i]
    queue = np.empty(m, np.int64)  # those below the mean from the front, those above from the back
    low, high = 0, m
    for i in range(m):
        threshold[i] = weights[i] / total * m
        alias[i] = i
        if threshold[i] < 1.0:
            queue[low] = i
            low += 1
        else:
            high -= 1
            queue[high] = i
    done = 0
    while done < low and high < m:
        small, large = queue[done], queue[high]
        done += 1
        alias[small] = large
        threshold[large] -= 1.0 - threshold[small]
        if threshold[large] < 1.0:  # it goes to the end of the front part: its place at the back is free by now
            high += 1
            queue[low] = large
            low += 1
    while high < m:
        threshold[queue[high]] = 1.0
        high += 1
    while done < low:  # by rounding
        threshold[queue[done]] = 1.0
        done += 1


@part
def draw_index(state: State, threshold: Array, alias: NDArray[np.int64]) -> int:
    """Return the number of an event."""
    m = threshold.shape[0]
    place = next_uniform(state) * m
    i = int(place)
    return i if place - i < threshold[i] else alias[i]


def pool_constants(ratio: Array, weights: Array) -> Array:
    """Return the constants of POOL for events with these ratios (m,) and weights (m,)."""
    m = ratio.size
    threshold, alias = np.empty(m), np.empty(m, np.int64)
    alias_table(np.ascontiguousarray(weights, dtype=np.float64), threshold, alias)
    table = np.empty((m, 3))
    table[:, 0], table[:, 1], table[:, 2] = ratio, threshold, ratio[alias]
    return np.concatenate([[float(m)], table.reshape(-1)])


def _pool(state: Any, c: Any, n: int, ratio: Any) -> None:
    """Draw events; an entry of the table is the ratio of an event, its threshold, and the ratio of its alias."""
    stream, out = view(state, (STATE_SIZE,)), view(ratio, (n,))
    m = int(view(c, (1,))[0])
    table = view(c, (1 + 3 * m,))
    for i in range(n):
        place = next_uniform(stream) * m
        j = int(place)
        first = 1 + 3 * j
        out[i] = table[first] if place - j < table[first + 1] else table[first + 2]


POOL = Entry(_pool)

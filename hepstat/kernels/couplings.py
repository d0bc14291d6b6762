"""Where a likelihood of bins that expect a + b mu + c mu^2 may have its minima: each bin alone has two of them."""

import math

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.options import kernel

__all__ = ["SPREAD", "find_basins"]

Array = NDArray[np.float64]

SPREAD = 33  # places that are looked at besides the best ones and the vertices of single bins


@kernel
def _nll(rows: Array, n: Array, mu: float) -> float:
    """Return -log L of counts; inf where an expectation is negative, or nothing is expected and something seen."""
    value = 0.0
    for r in range(n.shape[0]):
        expected = rows[0, r] + mu * (rows[1, r] + mu * rows[2, r])
        if expected < 0.0 or (expected == 0.0 and n[r] > 0.0):
            return np.inf
        value += expected - (n[r] * math.log(expected) if n[r] > 0.0 else 0.0)
    return value


@kernel
def find_basins(rows: Array, n: Array, lower: float, upper: float, places: Array, values: Array) -> int:
    """Write into the front of `places` those from which every minimum can be reached, and return how many they are.

    Parameters
    ----------
    rows : (3, rows)
        Coefficients of 1, mu and mu^2.
    n : (rows,)
        Counts.
    lower, upper : float
        Where mu may be; may be infinite.
    places, values : (3 rows + SPREAD,)
        Work space: of each bin the two mu at which it expects its count, and its vertex; and an even grid over all.

    Notes
    -----
    Between neighbouring places no bin changes the sense of its slope, so that the sum hardly has a second minimum.
    """
    count = int(np.int64(0))  # a literal would compile what it is passed to once more
    for r in range(n.shape[0]):
        a, b, c = rows[0, r] - n[r], rows[1, r], rows[2, r]
        if c == 0.0:
            if b != 0.0:
                places[count] = -a / b
                count += 1
            continue
        vertex = -0.5 * b / c
        half = math.sqrt(max(b * b - 4.0 * a * c, 0.0)) / (2.0 * abs(c))
        for side in range(-1, 2):
            if side == 0 or half > 0.0:
                places[count] = vertex + side * half
                count += 1
    if count == 0:
        return 0
    low, high = np.inf, -np.inf
    for i in range(count):
        places[i] = min(max(places[i], lower), upper)
        low, high = min(low, places[i]), max(high, places[i])
    for i in range(SPREAD):
        places[count + i] = low + (high - low) * i / (SPREAD - 1.0)
    count += SPREAD
    places[:count].sort()
    for i in range(count):
        values[i] = _nll(rows, n, places[i])
    found, i = 0, 0
    while i < count:
        last = i
        while last + 1 < count and values[last + 1] == values[i]:
            last += 1
        left = i == 0 or values[i - 1] > values[i]
        right = last == count - 1 or values[last + 1] > values[i]
        if left and right and values[i] < np.inf:
            places[found] = places[(i + last) // 2]
            found += 1
        i = last + 1
    return found

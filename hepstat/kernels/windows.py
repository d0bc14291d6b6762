"""The least probable window of adjacent bins, in many sets of counts: the BumpHunter scan (arXiv:1101.0390).

A window that holds d counts where b are expected is as surprising as t = -log p, with p = P(N >= d | b) for an excess
and P(N <= d | b) for a deficit. With side bands p is binomial instead, conditional on all counts that are used.

The tail is its first probability times a sum S of the ratios to it. The former is put together from the deviance and
Stirling's corrections (Loader 2000), so nothing underflows or cancels; S is a series of positive terms or, where that
would be long, its Euler integral, whose integrand is smooth, log-concave and falling. Most windows need neither: p is
at least Phi(-sqrt(2 D)), with D half the deviance (Zubkov and Serov, Theory Probab. Appl. 57 (2013) 539, for the
binomial; Short, ISRN Probab. Stat. (2013) 412958, for Poisson), so a window whose D is too small for the best t so far
is passed over, and a rational bound of D usually shows that without a logarithm.
"""

import math

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.options import borrowing, inlined, kernel
from hepstat.kernels.random import stirling
from hepstat.kernels.special import exp, log, log1p

__all__ = ["binomial_surprise", "poisson_surprise", "scan_windows"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)
LONG = 1000.0  # counts from which a series of ratios near one is replaced by the integral
STEEP = 0.85  # first ratio below which any series is short
CUT = 38.0  # the integrand is followed until it has fallen by this exponent
NODES, WEIGHTS = (tuple(0.5 * v) for v in np.polynomial.legendre.leggauss(24))
NODES = tuple(0.5 + v for v in NODES)


@inlined
def half_deviance(e: float, m: float) -> float:
    """Return n log(n/m) - n + m for a count n = m + e above 0 and its mean m above 0."""
    r = e / m
    if r > 10.0:
        return (m + e) * (log(m + e) - log(m)) - e
    return m * ((1.0 + r) * log1p(r) - r)


@inlined
def most_above(e: float, m: float) -> float:
    """Return an upper bound of half the deviance for e > 0, from log(1 + r) < r (6 + r) / (6 + 4 r)."""
    return e * e * (3.0 * m + e) / (m * (6.0 * m + 4.0 * e))


@inlined
def most_below(e: float, m: float) -> float:
    """Return an upper bound of half the deviance of a count m - e, 0 < e <= m, from its series in e / m."""
    return e * e * (m + e) / (2.0 * m * m)


@inlined
def least_deviance(t: float) -> float:
    """Return a half deviance up to which no window is more surprising than t.

    Solves t = D + log(sqrt(2 pi) (z + sqrt(z^2 + 4)) / 2), z^2 = 2 D (Birnbaum's bound of the normal tail), from above
    by three substitutions, of which the odd ones end below the solution.
    """
    d = t
    for _ in range(3):
        square = 2.0 * d if d > 0.0 else 0.0
        d = t - HALF_LOG_2PI - log(0.5 * (math.sqrt(square) + math.sqrt(square + 4.0)))
    return d


@borrowing
def sum_ratios(factor: float, count: float, fall: float, bottom: float, rise: float) -> float:
    """Return 1 + r_0 + r_0 r_1 + ..., with r_j = factor (count - fall j) / (bottom + rise j) between 0 and 1."""
    total = term = 1.0
    j = 0.0
    while term > 1e-17 * total:
        term *= factor * (count - fall * j) / (bottom + rise * j)
        total += term
        j += 1.0
    return total


@inlined
def log_integrand(u: float, a: float, b: float, c: float, x: float) -> float:
    """Return log of (1 - u)^a (1 + c u)^b e^(x u)."""
    return a * log1p(-u) + b * log1p(c * u) + x * u


@borrowing
def integrate(a: float, b: float, c: float, x: float) -> float:
    """Return the integral of (1 - u)^a (1 + c u)^b e^(x u) from u = 0 until nothing is left, falling from 1 at 0."""
    slope, curvature = a - b * c - x, a + b * c * c
    end = 2.0 * CUT / (slope + math.sqrt(slope * slope + 2.0 * curvature * CUT))
    while log_integrand(end, a, b, c, x) > -CUT:
        end *= 1.2
    total = 0.0
    for i in range(len(NODES)):
        total += WEIGHTS[i] * exp(log_integrand(end * NODES[i], a, b, c, x))
    return end * total


@borrowing
def poisson_surprise(d: float, b: float, floor: float) -> float:
    """Return -log P(N >= d | b) for d > b, -log P(N <= d | b) for d < b; or 0 if half the deviance is up to floor.

    Parameters
    ----------
    d, b : float
        Whole count and its mean, d >= 0, b > 0, not equal.
    floor : float
        From :func:`least_deviance`; below 0 for the value in any case.
    """
    if d == 0.0:
        return b
    deviance = half_deviance(d - b, b)
    if deviance <= floor:
        return 0.0
    if d > b:
        short = d < LONG or b < STEEP * (d + 1.0)
        s = sum_ratios(b, 1.0, 0.0, d + 1.0, 1.0) if short else d * integrate(d - 1.0, 0.0, 0.0, b)
    else:
        short = d < LONG or d < STEEP * b
        s = sum_ratios(1.0, d, 1.0, b, 0.0) if short else b * integrate(0.0, d, 1.0, -b)
    return deviance + stirling(d) + HALF_LOG_2PI + 0.5 * log(d) - log(s)


@borrowing
def binomial_surprise(d: float, rest: float, b: float, other: float, floor: float) -> float:
    """Return -log P(N >= d) of d + rest counts, each here with probability b / (b + other); or 0 as above.

    Parameters
    ----------
    d, rest : float
        Whole counts here and elsewhere.
    b, other : float
        Expectations here and elsewhere in any unit, both above 0, with d / rest > b / other.
    floor : float
        As in :func:`poisson_surprise`.
    """
    if rest == 0.0:
        return d * log1p(other / b)
    n, whole = d + rest, b + other
    e = (d * other - rest * b) / whole
    deviance = half_deviance(e, n * (b / whole)) + half_deviance(-e, n * (other / whole))
    if deviance <= floor:
        return 0.0
    odds = b / other
    if d < LONG or rest < LONG or odds * rest < STEEP * (d + 1.0):
        s = sum_ratios(odds, rest, 1.0, d + 1.0, 1.0)
    else:
        s = d * integrate(d - 1.0, rest, odds, 0.0)
    corrections = stirling(d) + stirling(rest) - stirling(n)
    return deviance + corrections + HALF_LOG_2PI + 0.5 * log(d * (rest / n)) - log(s)


@borrowing
def best_poisson(sums: Array, high: Array, low: Array, widths: Indices, sign: int) -> tuple[float, int, int]:
    """Return t, first bin and number of bins of the best window over a known background; arguments as in the next."""
    bins = sums.shape[0] - 1
    t, first, width, floor = 0.0, -1, 0, -1.0
    for k in range(widths.shape[0]):
        w = widths[k]
        for i in range(bins - w + 1):
            d = sums[i + w] - sums[i]
            b = (high[i + w] - high[i]) + (low[i + w] - low[i])
            e = sign * (d - b)
            if not e > 0.0:
                continue
            if b == 0.0:
                return math.inf, i, w
            if (most_above(e, b) if sign > 0 else most_below(e, b)) <= floor:
                continue
            new = poisson_surprise(d, b, floor)
            if new > t:
                t, first, width, floor = new, i, w, least_deviance(new)
    return t, first, width


@borrowing
def best_conditional(
    sums: Array, high: Array, low: Array, behind: Array, widths: Indices, gap: int, sign: int
) -> tuple[float, int, int]:
    """Return t, first bin and number of bins of the best window, the normalisation taken from outside.

    Parameters
    ----------
    sums : (bins + 1,)
        Counts before each edge.
    high, low : (bins + 1,)
        Expectation before each edge, as the sum of two numbers.
    behind : (bins + 1,)
        Expectation behind each edge.
    """
    bins = sums.shape[0] - 1
    t, first, width, floor = 0.0, -1, 0, -1.0
    for k in range(widths.shape[0]):
        w = widths[k]
        for i in range(bins - w + 1):
            left, right = max(i - gap, 0), min(i + w + gap, bins)
            d, rest = sums[i + w] - sums[i], sums[left] + (sums[bins] - sums[right])
            b, other = (high[i + w] - high[i]) + (low[i + w] - low[i]), high[left] + behind[right]
            if other == 0.0:
                continue
            if sign < 0:  # few inside are many outside
                d, rest, b, other = rest, d, other, b
            e = d * other - rest * b
            if not e > 0.0:
                continue
            if b == 0.0:
                return math.inf, i, w
            share = 1.0 / (b + other)
            e *= share
            scale = (d + rest) * share
            if most_above(e, scale * b) + most_below(e, scale * other) <= floor:
                continue
            new = binomial_surprise(d, rest, b, other, floor)
            if new > t:
                t, first, width, floor = new, i, w, least_deviance(new)
    return t, first, width


@kernel
def scan_windows(
    counts: Array,
    expected: Array,
    widths: Indices,
    sidebands: bool,
    gap: int,
    sign: int,
    out_t: Array,
    out_first: Indices,
    out_width: Indices,
) -> None:
    """Find the most surprising window of every row of counts.

    Parameters
    ----------
    counts : (toys, bins)
        Whole numbers.
    expected : (bins,)
        Background, at least 0.
    widths : (any,) int64
        Numbers of bins a window may have, each from 1 to bins. Among equals the first window found stays: widths in
        this order, then from low to high bins.
    sidebands : bool
        Whether the normalisation comes from outside the window.
    gap : int
        Bins on either side of the window that are then left out.
    sign : int
        1 for an excess, -1 for a deficit.
    out_t : (toys,), out
        -log p; 0 where no window has an excess, infinite where something is impossible, which ends the search.
    out_first, out_width : (toys,) int64, out
        First bin of the window and its number of bins; -1 and 0 where there is none.
    """
    n = expected.shape[0]
    sums, high, low, behind = np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1), np.zeros(n + 1)
    for i in range(n):
        high[i + 1] = high[i] + expected[i]
        added = high[i + 1] - high[i]
        low[i + 1] = low[i] + ((high[i] - (high[i + 1] - added)) + (expected[i] - added))
        behind[n - 1 - i] = behind[n - i] + expected[n - 1 - i]
    for toy in range(counts.shape[0]):
        for i in range(n):
            sums[i + 1] = sums[i] + counts[toy, i]
        if sidebands:
            out_t[toy], out_first[toy], out_width[toy] = best_conditional(sums, high, low, behind, widths, gap, sign)
        else:
            out_t[toy], out_first[toy], out_width[toy] = best_poisson(sums, high, low, widths, sign)

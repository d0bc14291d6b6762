"""The slow, obvious window scan that the fast one is held against."""

import math

import mpmath
import numpy as np
from scipy import stats

__all__ = ["best_window", "binomial_surprise", "log_p", "poisson_surprise"]


def log_p(counts, expected, first, width, sidebands=False, gap=0, sign=1):
    """Return the logarithm of the p-value of one window, 0 if it has no excess (deficit for sign = -1)."""
    stop = first + width
    d, b = counts[first:stop].sum(), expected[first:stop].sum()
    if not sidebands:
        if sign * (d - b) <= 0:
            return 0.0
        return stats.poisson.logsf(d - 1, b) if sign > 0 else stats.poisson.logcdf(d, b)
    outside = np.ones(counts.size, dtype=bool)
    outside[max(first - gap, 0) : stop + gap] = False
    rest, other = counts[outside].sum(), expected[outside].sum()
    if sign * (d * other - rest * b) <= 0:
        return 0.0
    n, q = d + rest, b / (b + other)
    return stats.binom.logsf(d - 1, n, q) if sign > 0 else stats.binom.logcdf(d, n, q)


def best_window(counts, expected, widths, **options):
    """Return t, first bin and number of bins of the first window of the smallest p-value; (0, -1, 0) if none."""
    best = (0.0, -1, 0)
    for width in widths:
        for first in range(counts.size - width + 1):
            t = -float(log_p(counts, expected, first, width, **options))
            if t > best[0]:
                best = (t, first, width)
    return best


def poisson_surprise(d, b):
    """Return -log P(N >= d | b) for d > b, -log P(N <= d | b) otherwise, in 40 digits but for the sum of ratios."""
    with mpmath.workdps(40):
        n, m = mpmath.mpf(d), mpmath.mpf(b)
        ratios = b / (d + 1 + np.arange(400_000)) if d > b else (d - np.arange(min(int(d), 400_000))) / b
        return float(mpmath.loggamma(n + 1) + m - n * mpmath.log(m) - mpmath.log(_sum(ratios)))


def binomial_surprise(d, rest, b, other):
    """Return -log P(N >= d) of d + rest counts with odds b / other, likewise."""
    with mpmath.workdps(40):
        n, m, x, y = (mpmath.mpf(v) for v in (d, rest, b, other))
        j = np.arange(min(int(rest), 400_000))
        first = mpmath.loggamma(n + m + 1) - mpmath.loggamma(n + 1) - mpmath.loggamma(m + 1)
        first += n * mpmath.log(x / (x + y)) + m * mpmath.log(y / (x + y))
        return float(-first - mpmath.log(_sum(b / other * (rest - j) / (d + 1 + j))))


def _sum(ratios):
    """Return 1 + r_0 + r_0 r_1 + ..."""
    return math.fsum(np.cumprod(ratios)) + 1.0

"""Distances of Kolmogorov and Smirnov: of samples from a distribution, a fitted normal one, or each other."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import kolmogorov, ndtr

from hepstat.checks import event_weights, finite_array
from hepstat.infer.broadcast import refuse
from hepstat.seeds import stream_key, toy_generator
from hepstat.types import Floats

__all__ = ["distances", "ks_two_sample", "normality_p", "stephens"]

_SAMPLES, _SAMPLE = 1999, 500  # of normal numbers, for the distance from a fitted normal distribution


def distances(cdf: Floats) -> Floats:
    """Return the distance (m,) of every row of a distribution function at rising values (m, n) from its own steps."""
    n = cdf.shape[1]
    below = np.arange(n) / n
    return np.asarray(np.maximum(cdf - below, below + 1.0 / n - cdf).max(axis=1))


def stephens(root: float) -> float:
    """Return the factor that makes distances of samples of different sizes alike.

    That of Stephens (J. Roy. Stat. Soc. B 32 (1970) 115) for a given distribution. `root` is the square root of the
    number of values, or of n m / (n + m) for two samples.
    """
    return root + 0.12 + 0.11 / root


def normality_p(values: ArrayLike) -> float:
    """Return the p-value of a normal distribution with the mean and the width of the values.

    That of the distance of Kolmogorov and Smirnov. A fitted distribution is nearer than a given one, so it is compared
    with distances of 1999 samples of 500 normal numbers, fitted in the same way (Lilliefors, J. Am. Stat. Assoc. 62
    (1967) 399). A factor makes those of samples of other sizes alike (Stephens, J. Am. Stat. Assoc. 69 (1974) 730).

    Parameters
    ----------
    values : array_like, (n,)
        Two or more of them different.

    Returns
    -------
    float
        A multiple of 1 / 2000.

    Raises
    ------
    InputError
        If values are not finite, or all the same.
    """
    x = finite_array(values, "values")
    refuse(np.ptp(x, keepdims=True) == 0, x[:1], "values", "is the only value", "Pass two or more different ones")
    null = _null_distances()
    distance = _from_normal(x[np.newaxis])[0]
    return float((null.size - np.searchsorted(null, distance) + 1.0) / (null.size + 1.0))


def ks_two_sample(
    first: ArrayLike,
    second: ArrayLike,
    *,
    first_weights: ArrayLike | None = None,
    second_weights: ArrayLike | None = None,
) -> tuple[float, float]:
    """Return the largest difference of the distribution functions of two samples with weights, and its p-value.

    Parameters
    ----------
    first, second : array_like, (n,) and (m,)
        Values.
    first_weights, second_weights : array_like, (n,) and (m,), optional
        At least 0, and not all 0; all the same if left out.

    Returns
    -------
    distance : float
    p : float
        By the limiting distribution with effective numbers of events and the factor of Stephens (1970). It is too large
        where many values are the same.

    Raises
    ------
    InputError
        For entries that are not finite, lengths that differ, or weights that are negative or all zero.
    """
    a, b = finite_array(first, "first"), finite_array(second, "second")
    w = event_weights(a.size, first_weights, "first_weights", signed=False)
    v = event_weights(b.size, second_weights, "second_weights", signed=False)
    values = np.concatenate([a, b])
    order = np.argsort(values, kind="stable")
    shares = w / w.sum(), v / v.sum()
    steps = np.cumsum(np.append(shares[0], -shares[1])[order])
    last = np.append(np.diff(values[order]) > 0, True)  # of equal values
    distance = float(np.abs(steps[last]).max())
    root = 1.0 / math.sqrt(sum(float(share @ share) for share in shares))  # of n m / (n + m), effective numbers
    return distance, float(kolmogorov(stephens(root) * distance))


@cache
def _null_distances() -> Floats:
    """Return rising distances of samples of normal numbers from the normal distributions fitted to them."""
    return np.sort(_from_normal(toy_generator(stream_key(0), 0).standard_normal((_SAMPLES, _SAMPLE))))


def _from_normal(values: Floats) -> Floats:
    """Return the distance (m,) of every row (m, n) from the normal distribution fitted to it, alike for any n."""
    rising = np.sort(values, axis=1)
    mean, width = rising.mean(axis=1, keepdims=True), rising.std(axis=1, ddof=1, keepdims=True)
    root = math.sqrt(values.shape[1])
    return distances(ndtr((rising - mean) / width)) * (root - 0.01 + 0.85 / root)

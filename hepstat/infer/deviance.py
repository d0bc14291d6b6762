"""The Poisson deviance of which significances and goodness of fit are made."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import xlog1py, xlogy

from hepstat.infer.broadcast import finite, given, refuse
from hepstat.types import Floats

__all__ = ["half_deviance", "unchecked_half_deviance"]

# Coefficients of ((1 + r) log(1 + r) - r) / r^2 in powers of r, highest first, for np.polyval.
_SERIES = [(-1.0) ** k / (k * (k - 1)) for k in range(19, 1, -1)]


def half_deviance(excess: ArrayLike, expected: ArrayLike) -> Any:
    """Half the Poisson deviance, n log(n/m) - n + m, of a count n = m + `excess` from its mean m.

    Written in the excess, so that a small one is not lost in a large mean (a series in excess/mean below
    0.1). Every Poisson significance and goodness of fit in hepstat is made of this one function.

    Parameters
    ----------
    excess : array_like
        Count minus mean, at least ``-expected``.
    expected : array_like
        Mean, at least 0. A mean of 0 gives inf, or 0 where the excess is 0 too.

    Returns
    -------
    float or ndarray
        Non-negative.

    Raises
    ------
    InputError
        If an entry is NaN, infinite or out of range.
    """
    e, m = np.broadcast_arrays(finite(excess, "excess"), finite(expected, "expected", 0.0))
    refuse(e < -m, e, "excess", "is below -expected, so the count is negative", "Pass counts of at least 0")
    return given(unchecked_half_deviance(e, m))


def unchecked_half_deviance(excess: Floats, mean: Floats) -> Floats:
    """Compute :func:`half_deviance` of arrays known to be good."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        r = excess / mean
        small = np.abs(r) < 0.1
        series = excess * r * np.polyval(_SERIES, np.where(small, r, 0.0))
        n = excess + mean
        middle = mean * (xlog1py(1.0 + r, r) - r)
        large = xlogy(n, n) - xlogy(n, mean) - excess  # r may overflow
        value = np.where(small, series, np.where(r < 10.0, middle, large))
    value = np.where((mean == 0) & (excess > 0), np.inf, value)
    return np.where((excess == 0) | (value < 0), 0.0, value)

"""Intervals for the mean of a count, and for the probability behind a fraction."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainccinv, betaincinv, gammainccinv, gammaincinv

from hepstat.checks import open_share
from hepstat.infer.broadcast import finite, given, refuse

__all__ = ["binomial_interval", "poisson_interval", "tail_of"]


def poisson_interval(n: ArrayLike, level: float = 0.6827) -> tuple[Any, Any]:
    """Return the central confidence interval for the mean of a Poisson count.

    Garwood's interval (Biometrika 28 (1936) 437): means above `upper` would give `n` or fewer counts with a probability
    below half of ``1 - level``, means below `lower` `n` or more. It covers at least as often as it says.

    Parameters
    ----------
    n : array_like
        Counts, at least 0.
    level : float, optional
        Confidence level, between 0 and 1; that of one standard deviation if left out.

    Returns
    -------
    lower, upper : float or ndarray
        Ends of the interval, of the shape of `n`; `lower` is 0 where `n` is.

    Raises
    ------
    InputError
        If a count is negative, infinite or NaN, or the level is not between 0 and 1.
    """
    counts = finite(n, "n", 0.0)
    tail = tail_of(level)
    lower = np.where(counts > 0, gammaincinv(np.where(counts > 0, counts, 1.0), tail), 0.0)
    return given(lower), given(gammainccinv(counts + 1.0, tail))


def binomial_interval(k: ArrayLike, n: ArrayLike, level: float = 0.6827) -> tuple[Any, Any]:
    """Return the central confidence interval for the probability of a success, `k` of which were seen in `n` trials.

    The interval of Clopper and Pearson (Biometrika 26 (1934) 404), by quantiles of the beta distribution: with a
    probability above `upper`, `k` or fewer would be seen less often than half of ``1 - level``, with one below `lower`
    `k` or more. It covers at least as often as it says.

    Parameters
    ----------
    k : array_like
        Successes, from 0 to `n`.
    n : array_like
        Trials; with none of them the interval is (0, 1).
    level : float, optional
        Confidence level, between 0 and 1; that of one standard deviation if left out.

    Returns
    -------
    lower, upper : float or ndarray
        Ends of the interval, of the broadcast shape; `lower` is 0 where k = 0, `upper` 1 where k = n.

    Raises
    ------
    InputError
        If an entry is negative, infinite or NaN, k is above n, or the level is not between 0 and 1.
    """
    seen, trials = np.broadcast_arrays(finite(k, "k", 0.0), finite(n, "n", 0.0))
    refuse(seen > trials, seen, "k", "is above n", "Pass at most as many successes as trials")
    tail, missed = tail_of(level), trials - seen
    some, not_all = seen > 0, missed > 0
    lower = np.where(some, betaincinv(np.where(some, seen, 1.0), missed + 1.0, tail), 0.0)
    upper = np.where(not_all, betainccinv(seen + 1.0, np.where(not_all, missed, 1.0), tail), 1.0)
    return given(lower), given(upper)


def tail_of(level: float) -> float:
    """Return what a confidence level leaves on either side, or raise :class:`InputError`."""
    return 0.5 * (1.0 - open_share(level, "level"))

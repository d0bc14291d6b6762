"""Intervals for the mean of a count, for the probability behind a fraction, and for a quantile."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import betainccinv, betaincinv, gammainccinv, gammaincinv

from hepstat.checks import open_share
from hepstat.errors import InputError
from hepstat.infer.broadcast import finite, given, numbers, refuse

__all__ = ["binomial_interval", "poisson_interval", "quantile_interval", "tail_of"]


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


def quantile_interval(values: ArrayLike, share: float, level: float = 0.6827) -> tuple[float, float, float]:
    """Return the quantile of values below which a share of them lies, and an interval from order statistics.

    The number of values below the true quantile is binomial, whatever the distribution (David and Nagaraja, *Order
    Statistics* (2003), section 7.1). The interval covers at least as often as it says.

    Parameters
    ----------
    values : array_like, (n,)
        Of independent draws; infinite ones are allowed.
    share : float
        Between 0 and 1.
    level : float, optional
        Confidence level, between 0 and 1; that of one standard deviation if left out.

    Returns
    -------
    quantile, lower, upper : float
        The value of rank ``ceil(share * (n + 1))``, at most n, and the ends, infinite where no value gives one.

    Raises
    ------
    InputError
        If there are no values, one is NaN, or share or level are not between 0 and 1.
    """
    from scipy.stats import binom

    rising, tail = np.sort(np.ravel(numbers(values, "values", -np.inf, np.inf))), tail_of(level)
    below, n = open_share(share, "share"), rising.size
    if n == 0:
        raise InputError("values", "are none", "Pass at least one")
    low = int(binom.ppf(tail, n, below))  # P(fewer than low below) <= tail
    high = int(binom.ppf(1.0 - tail, n, below)) + 1
    middle = min(int(np.ceil(below * (n + 1))), n)
    ends = [rising[rank - 1] if 1 <= rank <= n else np.copysign(np.inf, rank - 1) for rank in (low, high)]
    return float(rising[middle - 1]), float(ends[0]), float(ends[1])


def tail_of(level: float) -> float:
    """Return what a confidence level leaves on either side, or raise :class:`InputError`."""
    return 0.5 * (1.0 - open_share(level, "level"))

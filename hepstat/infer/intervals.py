"""Intervals for the mean of a count."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammainccinv, gammaincinv

from hepstat.checks import finite_number
from hepstat.errors import InputError
from hepstat.infer.broadcast import finite, given

__all__ = ["poisson_interval"]


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
    if not 0.0 < finite_number(level, "level") < 1.0:
        raise InputError("level", f"is {level:g}", "Pass a probability between 0 and 1, such as 0.95")
    tail = 0.5 * (1.0 - float(level))
    lower = np.where(counts > 0, gammaincinv(np.where(counts > 0, counts, 1.0), tail), 0.0)
    return given(lower), given(gammainccinv(counts + 1.0, tail))

"""Mean and standard deviation of toys, and the errors of both."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array

__all__ = ["Moments", "moments"]


class Moments(NamedTuple):
    """Mean and standard deviation of values, each with its standard error."""

    mean: float
    mean_error: float
    width: float
    width_error: float


def moments(values: ArrayLike) -> Moments:
    """Return mean and standard deviation of independent values, and their standard errors.

    The variance of a sample variance s^2 is ``(m4 - s^4 (n - 3) / (n - 1)) / n`` with the fourth central moment m4,
    here that of the sample, so that the error of the width holds for distributions that are not normal. It is too small
    for few values: of 12 normal ones it is .157 on average, where widths scatter by .211.

    Parameters
    ----------
    values : array_like, (n,)
        Of toys, say.

    Returns
    -------
    Moments
        All NaN for fewer than two values.

    Raises
    ------
    InputError
        For entries that are not finite.
    """
    x = finite_array(values, "values", allow_empty=True)
    n = x.size
    if n < 2:
        return Moments(*[float(np.nan)] * 4)
    mean, width = float(x.mean()), float(x.std(ddof=1))
    fourth = float(np.mean((x - mean) ** 4))
    spread = max(fourth - width**4 * (n - 3.0) / (n - 1.0), 0.0) / n
    width_error = float(np.sqrt(spread) / (2.0 * width)) if width > 0 else 0.0
    return Moments(mean, float(width / np.sqrt(n)), width, width_error)

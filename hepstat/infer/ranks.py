"""Ranks of values with weights, and the variance of a weighted mean, of which the error of a ROC area is made."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import event_weights, finite_array
from hepstat.types import Floats

__all__ = ["mid_ranks", "variance_of_mean"]


def mid_ranks(values: ArrayLike, weights: ArrayLike | None = None) -> Floats:
    """Return the share of weight below each value, and half of that at the same value.

    Their weighted mean is 1/2. With the weights of one class alone they are placements, shares of this class below any
    event, whose weighted mean over another class is the area under the ROC curve.

    Parameters
    ----------
    values : array_like, (n,)
        Anything that can be ordered.
    weights : array_like, (n,), optional
        At least 0, and not all 0; all the same if left out.

    Returns
    -------
    ndarray, (n,)
        From 0 to 1. Without weights and ties these are ``(k - 1/2) / n`` for ranks k = 1 to n.

    Raises
    ------
    InputError
        For entries that are not finite, lengths that differ, or weights that are negative or all zero.
    """
    x = finite_array(values, "values")
    w = event_weights(x.size, weights, "weights", signed=False)
    _, place = np.unique(x, return_inverse=True)
    content = np.bincount(place, w)
    reached = np.cumsum(content)
    return np.asarray(((reached - 0.5 * content) / reached[-1])[place])


def variance_of_mean(values: Floats, w: Floats) -> float:
    """Return the variance of the weighted mean of checked values (n,); NaN for a single one with a weight."""
    share = w / w.sum()
    spare = 1.0 - float(np.sum(share**2))
    around = values - share @ values
    return float(np.sum((share * around) ** 2)) / spare if np.count_nonzero(w) > 1 else math.nan

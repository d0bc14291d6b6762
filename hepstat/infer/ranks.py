"""Ranks of values with weights, and the variance of a weighted mean, of which the error of a ROC area is made."""

from __future__ import annotations

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


def variance_of_mean(values: Floats, w: Floats) -> Floats:
    """Return the variance of the weighted mean of values (..., n) over the last axis; NaN for a single entry.

    Weights (n,) may have any sign, but not the sum 0. The sum of w^2 times squared deviations from that mean, with
    shares w, is too small, for entries of one variance by exactly the factor 1 - 2 sum w^3 / sum w^2 + sum w^2, which
    is 1 - 1/m for m equal weights.
    """
    share = w / w.sum()
    squares = share**2
    spare = 1.0 - 2.0 * squares @ share / squares.sum() + squares.sum()
    around = values - (values @ share)[..., np.newaxis]
    return np.asarray(around**2 @ squares / (spare if np.count_nonzero(w) > 1 else np.nan))

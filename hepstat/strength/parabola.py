"""Expectations a + b mu + c mu^2 of rows: where they are positive."""

from __future__ import annotations

import numpy as np

from hepstat.types import Bools, Floats

__all__ = ["is_positive", "positive_range", "roots"]

_TOUCHING = 1e-9  # of the square of a slope: a discriminant below is zero but for rounding


def is_positive(a: Floats, b: Floats, c: Floats) -> Bools:
    """Return whether a + b mu + c mu^2 (rows,) is negative for no mu, but for rounding."""
    return np.asarray((a >= 0) & (c >= 0) & (b * b * (1.0 - _TOUCHING) <= 4.0 * a * c))


def roots(a: Floats, b: Floats, c: Floats) -> tuple[Floats, Floats]:
    """Return both mu (rows,), in any order, at which a + b mu + c mu^2 is zero, without cancellation.

    Only where there are some: elsewhere they are the vertex and its like. Without c the second is NaN.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        q = -0.5 * (b + np.copysign(np.sqrt(np.maximum(b * b - 4.0 * a * c, 0.0)), b))
        other = np.where(q == 0.0, 0.0, a / q)
        return np.where(c == 0.0, -a / b, q / c), np.where(c == 0.0, np.nan, other)


def positive_range(a: Floats, b: Floats, c: Floats) -> tuple[float, float]:
    """Return the range around mu = 0 in which a + b mu + c mu^2 is nowhere negative; a (rows,) is at least zero.

    Where a row touches zero without crossing it, but for rounding, there is no limit.
    """
    low, high = -np.inf, np.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        square = b * b - 4.0 * a * c
        for root in roots(a, b, c):
            slope = b + 2.0 * c * root
            ok = np.isfinite(root) & ((square > _TOUCHING * b * b) | (c == 0.0))
            low = max(low, float(np.max(root[ok & (slope > 0) & (root <= 0)], initial=-np.inf)))
            high = min(high, float(np.min(root[ok & (slope < 0) & (root >= 0)], initial=np.inf)))
    if ((a <= 0.0) & (b == 0.0) & (c < 0.0)).any():
        return 0.0, 0.0
    return low, high

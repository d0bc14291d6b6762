"""Expectations a + b mu + c mu^2 of rows: where they are positive, and about which mu they are even."""

from __future__ import annotations

import numpy as np

from hepstat.types import Bools, Floats

__all__ = ["is_positive", "mirror", "positive_range"]

_TOUCHING = 1e-9  # of the square of a slope: a discriminant below is zero but for rounding


def is_positive(a: Floats, b: Floats, c: Floats) -> Bools:
    """Return whether a + b mu + c mu^2 (rows,) is negative for no mu, but for rounding."""
    return np.asarray((a >= 0) & (c >= 0) & (b * b * (1.0 - _TOUCHING) <= 4.0 * a * c))


def positive_range(a: Floats, b: Floats, c: Floats) -> tuple[float, float]:
    """Return the range around mu = 0 in which a + b mu + c mu^2 is nowhere negative; a (rows,) is at least zero.

    Where a row touches zero without crossing it, but for rounding, there is no limit.
    """
    low, high = -np.inf, np.inf
    with np.errstate(divide="ignore", invalid="ignore"):
        square = b * b - 4.0 * a * c
        q = -0.5 * (b + np.copysign(np.sqrt(np.maximum(square, 0.0)), b))
        for root in (np.where(c == 0.0, -a / b, q / c), np.where(c == 0.0, np.nan, a / q)):
            slope = b + 2.0 * c * root
            ok = np.isfinite(root) & ((square > _TOUCHING * b * b) | (c == 0.0))
            low = max(low, float(np.max(root[ok & (slope > 0) & (root <= 0)], initial=-np.inf)))
            high = min(high, float(np.min(root[ok & (slope < 0) & (root >= 0)], initial=np.inf)))
    return low, high


def mirror(a: Floats, b: Floats, c: Floats) -> tuple[float, float]:
    """Return the mu about which the likelihood of all rows is about even, and the distance at which c mu^2 is seen.

    With variances a + c: the vertex of the sum of (b mu + c mu^2) / (a + c), and where the sum of (c mu^2)^2 / (a + c)
    is one. NaN if c is zero everywhere.
    """
    if not c.any():
        return float("nan"), float("nan")
    total = a + c
    weight = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    return float(-0.5 * (weight @ b) / (weight @ c)), float((weight @ c**2) ** -0.25)

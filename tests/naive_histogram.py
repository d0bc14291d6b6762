"""The slow, obvious histogram that the fast one is held against."""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

__all__ = ["UNEVEN", "check", "histogram", "sample"]

UNEVEN = [-1.0, -0.35, 0.0, 0.1, 0.7, 2.0, 5.5]


def histogram(columns: Sequence, weights: Sequence | None, edges: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """Return sums of weights and of squared weights, with underflow and overflow, event by event.

    ``bisect_right`` counts the edges at or below a value: 0 is the underflow, bin i starts at edge i - 1.
    """
    shape = [len(axis) + 1 for axis in edges]
    sumw, sumw2 = np.zeros(shape), np.zeros(shape)
    for i, event in enumerate(zip(*columns, strict=True)):
        cell = tuple(bisect_right(list(axis), float(value)) for axis, value in zip(edges, event, strict=True))
        weight = 1.0 if weights is None else float(weights[i])
        sumw[cell] += weight
        sumw2[cell] += weight**2
    return sumw, sumw2


def sample(n=3000, seed=1):
    """Return coordinates and weights of `n` events."""
    rng = np.random.default_rng(seed)
    return rng.normal(0.4, 0.8, n), rng.normal(0.7, 1.0, n)


def check(h, columns, w, rtol=1e-12):
    """Assert that a histogram holds what the loop finds, to rounding."""
    sumw, sumw2 = histogram(columns, w, [axis.edges for axis in h.axes])
    np.testing.assert_allclose(h.values(flow=True), sumw, rtol=rtol, atol=1e-11)
    np.testing.assert_allclose(h.variances(flow=True), sumw2, rtol=rtol, atol=1e-11)

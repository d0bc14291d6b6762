"""Bins of weighted events: by quantiles, merged until each holds enough, with covariances of their shares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import event_weights, finite_array, rising_edges
from hepstat.errors import InputError
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["BinnedRatio", "Weighted", "binned_ratio", "chi_square", "effective_size", "quantile_edges", "quantiles"]


class Weighted(NamedTuple):
    """Values (n,) with their weights (n,), the sum of which is above zero."""

    values: Floats
    weights: Floats

    def sums(self, edges: Floats) -> tuple[Floats, Floats]:
        """Return sums of weights and of squared weights in the bins that k - 1 inner edges make, each (k,)."""
        bins = np.searchsorted(edges, self.values, side="right")
        n = edges.size + 1
        sums, squares = (np.asarray(np.bincount(bins, w, n), dtype=np.float64) for w in (self.weights, self.weights**2))
        return sums, squares

    def shares(self, edges: Floats) -> tuple[Floats, Floats]:
        """Return the shares of the bins in the sum of weights (k,), and their covariance (k, k).

        Events are independent, in any number, so the covariance is sum w^2 (e_i - f_i)(e_j - f_j) / (sum w)^2 with e
        of the bin of an event 1 and the others 0.
        """
        sums, squares = self.sums(edges)
        total = float(self.weights.sum())
        f = sums / total
        mixed = np.outer(f, squares)
        return f, (np.diag(squares) - mixed - mixed.T + np.outer(f, f) * squares.sum()) / total**2


def effective_size(weights: Floats) -> float:
    """Return (sum w)^2 / sum w^2, the number of equal weights with the same relative fluctuation of their sum."""
    largest = float(np.abs(weights).max(initial=0.0))
    if largest == 0.0:
        return 0.0
    scaled = weights / largest  # squares of 1/r far from the background do not fit a number
    return max(float(scaled.sum()), 0.0) ** 2 / float(scaled @ scaled)


def quantiles(events: Weighted, levels: ArrayLike) -> Floats:
    """Return the values at which the cumulative absolute weight reaches these shares of its sum."""
    order = np.argsort(events.values, kind="stable")
    reached = np.cumsum(np.abs(events.weights[order]))
    places = np.searchsorted(reached, np.asarray(levels) * reached[-1])
    return np.asarray(events.values[order[np.minimum(places, order.size - 1)]])


def quantile_edges(samples: Sequence[Weighted], bins: int, min_events: float) -> Floats:
    """Return inner edges between bins of about equal content in an equal mixture of samples.

    Bins are merged, from the left, until each has `min_events` effective events of every sample; what is left over at
    the end goes into the last one. So no bin is empty, nor has a negative sum of weights.

    Raises
    ------
    InputError
        If a sample has not so many effective events at all.
    """
    pooled = Weighted(
        np.concatenate([sample.values for sample in samples]),
        np.concatenate([np.abs(sample.weights) / np.abs(sample.weights).sum() for sample in samples]),
    )
    return merged(np.unique(quantiles(pooled, np.arange(1, bins) / bins)), samples, min_events)


def merged(edges: Floats, samples: Sequence[Weighted], min_events: float) -> Floats:
    """Return those of the inner edges that leave enough effective events of every sample in each bin.

    Raises
    ------
    InputError
        If a sample has not so many effective events at all.
    """
    for sample in samples:
        size = effective_size(sample.weights)
        if size < min_events:
            problem = f"is {min_events:g}, a sample has {size:.4g} effective events"
            raise InputError("min_events", problem, "Pass more events, or lower it")
    contents = np.array([sample.sums(edges) for sample in samples])  # (samples, 2, bins)
    kept: list[int] = []
    held = np.zeros(contents.shape[:2])
    for i in range(edges.size):
        held = held + contents[:, :, i]
        if _enough(held, min_events):
            kept.append(i)
            held = np.zeros_like(held)
    held = held + contents[:, :, -1]
    while kept and not _enough(held, min_events):
        first = kept[-2] + 1 if len(kept) > 1 else 0
        held = held + contents[:, :, first : kept.pop() + 1].sum(axis=2)
    return edges[kept]


def _enough(held: Floats, min_events: float) -> bool:
    """Return whether sums and squares (samples, 2) are those of enough effective events of every sample."""
    sums, squares = np.maximum(held[:, 0], 0.0), held[:, 1]
    return bool(((sums > 0.0) & (sums**2 >= min_events * squares)).all())


def chi_square(difference: Floats, covariance: Floats) -> tuple[float, int]:
    """Return chi^2 of a difference (k,) with its covariance (k, k), and the rank of that."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > 1e-12 * max(float(values[-1]), 0.0)
    pulls = (vectors.T @ difference)[kept] / np.sqrt(values[kept])
    return float(pulls @ pulls), int(kept.sum())


@dataclass(frozen=True, eq=False)
class BinnedRatio(Record):
    """Shares of signal over shares of background in bins of one feature.

    Attributes
    ----------
    edges : ndarray, (k + 1,)
    ratios, errors : ndarray, (k,)
        With standard errors from the squared weights; NaN in bins without background.
    """

    edges: Floats
    ratios: Floats
    errors: Floats


def binned_ratio(
    signal: ArrayLike,
    background: ArrayLike,
    edges: ArrayLike,
    *,
    signal_weights: ArrayLike | None = None,
    background_weights: ArrayLike | None = None,
) -> BinnedRatio:
    """Return the ratio of densities in bins of one feature.

    Parameters
    ----------
    signal, background : array_like, (n,)
        The feature of events of both.
    edges : array_like, (k + 1,)
        Of the bins; events outside count for the normalisation alone.
    signal_weights, background_weights : array_like, (n,), optional

    Raises
    ------
    InputError
        For values that are not finite, edges that do not rise, or weights that do not add up to a positive number.
    """
    bounds = rising_edges(edges)
    shares = []
    for name, given, weights in (("signal", signal, signal_weights), ("background", background, background_weights)):
        values = finite_array(given, name)
        sample = Weighted(values, event_weights(values.size, weights, f"{name}_weights"))
        f, covariance = sample.shares(bounds)
        shares.append((f[1:-1], np.diag(covariance)[1:-1]))
    (s, s_variance), (b, b_variance) = shares
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(b > 0, s / b, np.nan)
        errors = np.sqrt(s_variance + ratios**2 * b_variance) / np.where(b > 0, b, np.nan)
    return BinnedRatio(bounds, ratios, errors)

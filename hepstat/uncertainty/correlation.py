"""How two features depend on each other: weighted Pearson and Spearman, and the distance correlation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import event_weights, finite_array
from hepstat.errors import InputError
from hepstat.infer import mid_ranks
from hepstat.types import Floats, Ints

__all__ = ["distance_correlation", "event_arrays", "inverse_covariance", "pearson", "spearman", "unweighted"]

_FEWEST = 10  # events without weights that a distance correlation is worth computing of


def pearson(a: Floats, b: Floats, w: Floats) -> float:
    """Return the weighted linear correlation of two checked arrays (n,); NaN if one of them is constant."""
    da, db = a - np.average(a, weights=w), b - np.average(b, weights=w)
    norm = math.sqrt(float(w @ da**2) * float(w @ db**2))
    return float(w @ (da * db)) / norm if norm > 0 else math.nan


def spearman(a: Floats, b: Floats, w: Floats) -> float:
    """Return the weighted rank correlation of two checked arrays (n,): the linear one of mid-ranks."""
    return pearson(mid_ranks(a, w), mid_ranks(b, w), w)


def distance_correlation(
    a: Floats, b: Floats, *, n_permutations: int, generator: np.random.Generator
) -> tuple[float, Floats]:
    """Return the distance correlation of two arrays (n,), and that of permutations of the second.

    It is 0 in the limit of many events only if a and b are independent (Szekely, Rizzo and Bakirov, Ann. Statist. 35
    (2007) 2769, eqs. 2.8 to 2.10); that of n events is above 0, hence the permutations. Time and memory grow with n^2.

    Returns
    -------
    value : float
        0 where one array is constant.
    permuted : ndarray, (n_permutations,)
    """
    first, second = _centred(a), _centred(b)
    norm = math.sqrt(float(np.vdot(first, first)) * float(np.vdot(second, second)))
    if not norm > 0:
        return 0.0, np.zeros(n_permutations)

    def correlation(values: Floats) -> float:
        """Centring one of the two matrices is enough."""
        distances = np.abs(values[:, np.newaxis] - values)
        return math.sqrt(max(float(np.vdot(first, distances)) / norm, 0.0))

    permuted = [correlation(generator.permutation(b)) for _ in range(n_permutations)]
    return correlation(b), np.array(permuted)


def inverse_covariance(shares: Floats, squares: Floats) -> Floats:
    """Return the inverse (m, m), for vectors that add up to 0, of the covariance of sum w (e_j - f_j) over bins j.

    With shares f (m,) of the weight, sums of w^2 (m,) = q, and e_j 1 for events of bin j and 0 for others, the
    covariance is A diag(q) A^T with A = 1 - f (1, ..., 1), which takes nothing from such a vector and all from f.
    """
    metric = np.asarray(np.diag(1.0 / squares))
    along = shares / squares
    return np.asarray(metric - np.outer(along, along) / float(along @ shares))


def unweighted(w: Floats, most: int, generator: np.random.Generator) -> Ints:
    """Return at most so many places of events, kept with a probability in proportion to their weight.

    Raises
    ------
    InputError
        If so few are left that they say nothing.
    """
    kept = np.flatnonzero(generator.random(w.size) * w.max() < w)
    if kept.size < _FEWEST:
        problem = f"leave {kept.size} of {w.size} events when they are thrown away in proportion"
        raise InputError("weights", problem, f"Pass more events or cap the largest weights, for at least {_FEWEST}")
    return kept if kept.size <= most else np.sort(generator.permutation(kept)[:most])


def event_arrays(
    a: ArrayLike, b: ArrayLike, weights: ArrayLike | None, names: tuple[str, str]
) -> tuple[Floats, Floats, Floats]:
    """Return two features and weights of events, (n,) each, checked.

    Raises
    ------
    InputError
        For entries that are not finite, lengths that differ, or weights that are negative or all zero.
    """
    first, second = finite_array(a, names[0]), finite_array(b, names[1])
    if second.size != first.size:
        raise InputError(names[1], f"has {second.size} entries for {first.size} events", "Pass one for each event")
    return first, second, event_weights(first.size, weights, "weights", signed=False)


def _centred(values: Floats) -> Floats:
    """Return distances (n, n), less the means of rows and columns, plus that of all."""
    distances = np.abs(values[:, np.newaxis] - values)
    mean = distances.mean(axis=0)
    return np.asarray(distances - mean - mean[:, np.newaxis] + mean.mean())

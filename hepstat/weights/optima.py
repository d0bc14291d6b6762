"""What estimators learn from weights of both signs: the exact optimum of each at a place, and whether it is right.

At a place x, class k has the density q+_k of its positive weights and q-_k of the sizes of its negative ones. What is
looked for is the net density q_k = q+_k - q-_k of each class: p_k = q_k / sum q, or the ratio q_1 / q_0 of two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.types import Bools, Floats

__all__ = ["ESTIMATORS", "Estimator", "optimal_ratio", "optimum"]

_HALVINGS = 100  # of the interval in which a multiplier is looked for


@dataclass(frozen=True)
class Estimator:
    """What an estimator makes of negative weights.

    Attributes
    ----------
    name : str
    consistent : bool
        Whether it learns the net densities with enough events, wherever it learns anything.
    stable : bool
        Whether there is an optimum whatever the weights are.
    learns : str
        The optimum.
    """

    name: str
    consistent: bool
    stable: bool
    learns: str


def optimum(estimator: str, positive: ArrayLike, negative: ArrayLike) -> Floats:
    """Return the probabilities of classes that an estimator learns in the limit of many events.

    Parameters
    ----------
    estimator : str
        A name in :data:`ESTIMATORS` that gives probabilities.
    positive, negative : array_like, (n, k)
        Densities q+ and q- of the positive weights, and of the sizes of the negative ones, of each of k classes at n
        places; all of at least zero, in any common unit.

    Returns
    -------
    ndarray, (n, k)
        NaN at places where the loss has no minimum, or there is nothing to learn from.

    Raises
    ------
    InputError
        For an unknown estimator, or one of ratios (:func:`optimal_ratio`); densities that are negative or not finite,
        shapes that differ, or fewer than two classes.

    Notes
    -----
    With l_j = -log p_j and a multiplier for sum p = 1, the mean loss at a place is least where its slopes by all p_j
    are the same.

    - signed cross-entropy: sum_j q_j l_j, so q_j / p_j is the same for all j, and p = q / sum q. If a q_j is negative,
      the loss falls without limit as p_j goes to zero.
    - drop: sum_j q+_j l_j, and absolute: sum_j (q+_j + q-_j) l_j, hence the same with these densities.
    - ccl, complementary label: sum_j q+_j l_j + sum_k q-_k sum_{j != k} l_j / (k - 1), hence the same with
      q+_j + sum_{k != j} q-_k / (k - 1).
    - cc, candidate labels: sum_j q+_j l_j - q-_j log(1 - p_j), which is convex, so q+_j / p_j - q-_j / (1 - p_j) = m
      for all j. The root in [0, 1] of m p^2 - (m + q+ + q-) p + q+ = 0 falls as m rises; m is found by bisection
      between -sum q- / (k - 1) and sum q+, where the roots add up to at least and at most one. Classes without any
      density share what the others leave at m = 0, if they leave something. As
      m = sum q+ + sum q- - sum_k q-_k / (1 - p_k), this is p_j ~ q+_j + sum_{k != j} q-_k p_j / (1 - p_k).
    - rc, confidences that are refreshed until they are their own result: with confidences c_kj that an event of class k
      is of class j, sum_j [q+_j + sum_{k != j} q-_k c_kj] l_j is least for p in proportion to the bracket, and
      c_kj = p_j / (1 - p_k) makes this the equation of cc: the same optimum, by expectation maximisation.
    - brier: (sum q) abs(p - q / sum q)^2 and a constant, least at the point of the simplex closest to q / sum q; if
      sum q is not above zero, at the corner of the largest q_j.
    """
    p, n = _checked(positive, negative)
    _known(estimator)
    if estimator not in _PROBABILITIES:
        raise InputError("estimator", f"is {estimator!r}, which learns ratios", "Use optimal_ratio")
    with np.errstate(invalid="ignore", divide="ignore"):
        values = _PROBABILITIES[estimator](p, n)
    return np.where((p + n).sum(axis=1, keepdims=True) > 0.0, values, np.nan)


def optimal_ratio(estimator: str, positive: ArrayLike, negative: ArrayLike) -> Floats:
    """Return the ratio of signal to background that an estimator learns in the limit of many events.

    Parameters
    ----------
    estimator : str
        A name in :data:`ESTIMATORS`.
    positive, negative : array_like, (n, 2)
        As in :func:`optimum`: column 0 for background, column 1 for signal.

    Returns
    -------
    ndarray, (n,)
        Of intensities: divide by that of the yields for the ratio of densities. Infinite where only signal is learned,
        NaN where there is no optimum.

    Raises
    ------
    InputError
        As :func:`optimum`, or if there are not two columns.

    Notes
    -----
    With probabilities p_1 / p_0. For the other losses, at a score f with signal q_1 and background q_0:

    - squared error, q_1 (f - 1)^2 + q_0 f^2: f = q_1 / (q_0 + q_1) where q_0 + q_1 > 0, so f / (1 - f) = q_1 / q_0.
    - linear ratio, -q_1 f + q_0 f^2 / 2: f = q_1 / q_0 where q_0 > 0, of any sign.
    - maximum likelihood ratio, -q_1 f + q_0 (e^f - 1): e^f = q_1 / q_0 where q_0 > 0 and q_1 >= 0.
    - interference: any of these, or cross-entropy, of q_0 + q_1 against q_0, minus one: q_1 / q_0 where q_0 > 0 and
      q_0 + q_1 >= 0.
    - signed mixture: (q+_1 - q-_1) / (q+_0 - q-_0), each part over the same positive density, where q_0 > 0.
    """
    p, n = _checked(positive, negative)
    _known(estimator)
    if p.shape[1] != 2:
        raise InputError("positive", f"has {p.shape[1]} columns", "Pass two: background and signal")
    with np.errstate(invalid="ignore", divide="ignore"):
        if estimator in _PROBABILITIES:
            values = optimum(estimator, p, n)
            return np.asarray(values[:, 1] / values[:, 0])
        (b, s), has = (p - n).T, _HAS_RATIO[estimator]
        return np.where(has(b, s), s / b, np.nan)


def _signed(p: Floats, n: Floats) -> Floats:
    q = p - n
    return np.where((q >= 0.0).all(axis=1, keepdims=True), _shares(q), np.nan)


def _complementary(p: Floats, n: Floats) -> Floats:
    return _shares(p + (n.sum(axis=1, keepdims=True) - n) / (p.shape[1] - 1))


def _candidates(p: Floats, n: Floats) -> Floats:
    """Solve for the multiplier by bisection; classes without any density take what the others leave, if they do."""
    empty = (p == 0.0) & (n == 0.0)
    none = ~empty.any(axis=1, keepdims=True)
    low = np.where(none, -n.sum(axis=1, keepdims=True) / (p.shape[1] - 1), 0.0)
    high = p.sum(axis=1, keepdims=True)
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        above = _candidate_roots(p, n, middle).sum(axis=1, keepdims=True) >= 1.0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    roots = _candidate_roots(p, n, low)
    left = np.maximum(1.0 - roots.sum(axis=1, keepdims=True), 0.0)
    return _shares(np.where(empty, left / np.maximum(empty.sum(axis=1, keepdims=True), 1), roots))


def _candidate_roots(p: Floats, n: Floats, m: Floats) -> Floats:
    """Return the roots in [0, 1] of m x^2 - (m + p + n) x + p = 0, without cancellation."""
    middle = m + p + n
    root = np.sqrt((m + n - p) ** 2 + 4.0 * p * n)
    falling = np.where(middle > 0.0, 2.0 * p / (middle + root), (middle - root) / (2.0 * m))
    return np.where((p == 0.0) & (n == 0.0), 0.0, falling)


def _closest(p: Floats, n: Floats) -> Floats:
    """Project q / sum q onto the simplex (Held, Wolfe and Crowder, Math. Program. 6 (1974) 62)."""
    q = p - n
    total = q.sum(axis=1, keepdims=True)
    target = np.where(total > 0.0, q / total, 0.0)
    falling = -np.sort(-target, axis=1)
    shifts = (np.cumsum(falling, axis=1) - 1.0) / np.arange(1, q.shape[1] + 1)
    kept = (falling > shifts).sum(axis=1, keepdims=True)  # at least the first
    inside = np.maximum(target - np.take_along_axis(shifts, kept - 1, axis=1), 0.0)
    corner = np.eye(q.shape[1])[q.argmax(axis=1)]
    return np.where(total > 0.0, inside, corner)


def _shares(values: Floats) -> Floats:
    return np.asarray(values / values.sum(axis=1, keepdims=True))


_PROBABILITIES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "signed cross-entropy": _signed,
    "ccl": _complementary,
    "cc": _candidates,
    "rc": _candidates,
    "brier": _closest,
    "drop": lambda p, n: _shares(p),
    "absolute": lambda p, n: _shares(p + n),
}
_HAS_RATIO: dict[str, Callable[[Floats, Floats], Bools]] = {
    "squared error": lambda b, s: b + s > 0.0,
    "linear ratio": lambda b, s: b > 0.0,
    "maximum likelihood ratio": lambda b, s: (b > 0.0) & (s >= 0.0),
    "interference": lambda b, s: (b > 0.0) & (b + s >= 0.0),
    "signed mixture": lambda b, s: b > 0.0,
}

ESTIMATORS: Mapping[str, Estimator] = MappingProxyType(
    {
        name: Estimator(name, consistent, stable, learns)
        for name, consistent, stable, learns in (
            ("signed cross-entropy", True, False, "q / sum q where no q_k is negative; nothing elsewhere"),
            ("ccl", False, True, "q+_j + sum of q-_k / (K - 1) of all other k, normalised"),
            ("cc", False, True, "p_j ~ q+_j + sum of q-_k p_j / (1 - p_k) of all other k"),
            ("rc", False, True, "the same as cc"),
            ("brier", False, True, "q / sum q where no q_k is negative; the closest probabilities elsewhere"),
            ("drop", False, True, "q+ / sum q+: as if there were no negative weights"),
            ("absolute", False, True, "(q+ + q-) / sum (q+ + q-): as if all weights were positive"),
            ("squared error", True, False, "q_1 / (q_0 + q_1), of any sign, where q_0 + q_1 is positive"),
            ("linear ratio", True, False, "q_1 / q_0, of any sign, where q_0 is positive"),
            ("maximum likelihood ratio", True, False, "q_1 / q_0 where q_0 is positive and q_1 is not negative"),
            ("interference", True, False, "q_1 / q_0, of any sign, where q_0 is positive and q_0 + q_1 not negative"),
            ("signed mixture", True, True, "q_1 / q_0, of any sign, where q_0 is positive"),
        )
    }
)
"""Estimators by name.

Losses of :mod:`hepstat.learn`: SignedCrossEntropy, ComplementaryLabel (ccl), CandidateLabels (cc), Brier, SquaredError,
LinearRatio, MaximumLikelihoodRatio; cross-entropy after negative weights were dropped or made absolute; and
:func:`train_candidates` (rc), :func:`learn_interference`, :func:`learn_signed_mixture`.
"""


def _known(estimator: str) -> None:
    if estimator not in ESTIMATORS:
        raise InputError("estimator", f"is {estimator!r}", f"Pass one of {', '.join(map(repr, ESTIMATORS))}")


def _checked(positive: ArrayLike, negative: ArrayLike) -> tuple[Floats, Floats]:
    """Return densities (n, k)."""
    p, n = finite_array(positive, "positive", ndim=2), finite_array(negative, "negative", ndim=2)
    if p.shape != n.shape:
        raise InputError("negative", f"has shape {n.shape}, positive {p.shape}", "Pass one density for each class")
    if p.shape[1] < 2:
        raise InputError("positive", f"has {p.shape[1]} columns", "Pass a density for each of two classes or more")
    for values, name in ((p, "positive"), (n, "negative")):
        if (values < 0.0).any():
            raise InputError(name, f"is {values.min():g} at least once", "Pass densities, of the sizes of weights")
    return p, n

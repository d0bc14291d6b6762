"""Exact distribution of a sum over events: a score for each, and Poisson numbers of them.

A log likelihood ratio of two simple hypotheses is such a sum, ``log(1 + S_i/B_i)`` for every event of bin i and the
offset ``-S``, so its level and power need no toys.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.fft import irfft, next_fast_len, rfft
from scipy.special import gammaln, xlogy

from hepstat.checks import finite_array, finite_number, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.infer.broadcast import given, numbers, refuse
from hepstat.infer.discrete import Atoms, Method, joined, level_test
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["SumDistribution", "compound_poisson", "score_distribution"]

_LOG_OUTSIDE = 37.0  # minus the logarithm of the probability that may lie beyond either end: 1e-16
_MOST_POINTS = 2**24


@dataclass(frozen=True, eq=False, repr=False)
class SumDistribution(Record):
    """Distribution of a sum of scores.

    Parameters
    ----------
    values, probabilities : array of shape (m,)
        Rising values of the sum, and their probabilities.
    spacing : float or None
        Distance of the values on a grid; None where they are exact.
    variance_excess : float
        By how much sharing scores between neighbouring points of the grid increased the variance, whose mean it keeps;
        0 where values are exact.
    """

    values: Floats
    probabilities: Floats
    spacing: float | None
    variance_excess: float

    @property
    def mean(self) -> float:
        """Expectation of the sum."""
        return float(self.values @ self.probabilities)

    @property
    def variance(self) -> float:
        """Variance of the sum, with its excess."""
        return float((self.values - self.mean) ** 2 @ self.probabilities)

    def cdf(self, t: ArrayLike) -> Any:
        """Return the probability of a sum of at most `t`, of the shape of `t`."""
        x = numbers(t, "t", -np.inf, np.inf)
        sums = np.append(0.0, np.cumsum(self.probabilities))
        return given(np.minimum(sums[self._atoms.places(x)[1]], 1.0))

    def sf(self, t: ArrayLike) -> Any:
        """Return the probability of a sum above `t`, of the shape of `t`."""
        return given(np.minimum(self._atoms.tails(numbers(t, "t", -np.inf, np.inf))[0], 1.0))

    def quantile(self, p: ArrayLike) -> Any:
        """Return the smallest sum with :meth:`cdf` of at least `p`, each from 0 to 1."""
        u = numbers(p, "p", 0.0, 1.0)
        place = np.searchsorted(np.cumsum(self.probabilities), u, side="left")
        return given(self.values[np.minimum(place, self.values.size - 1)])

    def test(self, alternative: SumDistribution, level: float, *, method: Method = "randomised") -> tuple[float, float]:
        """Return the true level and the power of a test that rejects this distribution where the sum is large.

        Parameters
        ----------
        alternative : SumDistribution
            The sum of the same scores where the other hypothesis is true.
        level : float
            Nominal level, between 0 and 1.
        method : {"randomised", "conservative", "mid-p"}
            See :func:`hepstat.infer.level_test`.

        Returns
        -------
        true_level, power : float
            Probabilities of rejecting where either hypothesis is true.

        Raises
        ------
        InputError
            If the grids differ, or as for :func:`hepstat.infer.level_test`.
        """
        if self.spacing != alternative.spacing:
            shown = f"has spacing {alternative.spacing}, not {self.spacing}"
            raise InputError(
                "alternative", shown, "Pass spacing (or, if one is exact, more points) to compound_poisson"
            )
        made = level_test((self.values, self.probabilities), level, method=method)
        return made.true_level, made.power((alternative.values, alternative.probabilities))[0]

    @property
    def _atoms(self) -> Atoms:
        return Atoms(self.values, self.probabilities, None)

    def __repr__(self) -> str:
        """Show the moments and how the distribution was found."""
        how = "exact" if self.spacing is None else f"spacing {self.spacing:.3g}"
        moments = f"mean {self.mean:.6g}, standard deviation {math.sqrt(self.variance):.6g}"
        return f"SumDistribution({moments}; {self.values.size} values, {how})"


def compound_poisson(
    scores: ArrayLike,
    means: ArrayLike,
    *,
    offset: float = 0.0,
    points: int = 2**16,
    spacing: float | None = None,
) -> SumDistribution:
    """Compute the distribution of ``offset + sum_h n_h t_h`` with independent n_h from Poisson(m_h).

    Where few kinds of events have at most `points` combinations of numbers, these are counted one by one. Otherwise
    scores are put on a grid, each shared between the two nearest points such that its mean is kept, and the
    characteristic function ``exp(sum_h m_h (e^{i w t_h} - 1))`` is transformed back. The range follows from Chernoff's
    bound: at most 1e-16 lies beyond either end and comes back at the other. Smaller probabilities are rounding.

    Parameters
    ----------
    scores : array_like, shape (n_kinds,)
        What an event of each kind adds to the sum, t_h.
    means : array_like, shape (n_kinds,)
        Expected number of each kind, m_h, at least 0.
    offset : float, optional
        Constant that is added.
    points : int, optional
        Points of the grid over the range, which give its spacing; powers of 2 are fast.
    spacing : float, optional
        Distance of the points instead, for two distributions on one grid: pass that of the first to the second.

    Returns
    -------
    SumDistribution
        `variance_excess` tells the error of the grid, at most a quarter of the squared spacing for each event.

    Raises
    ------
    InputError
        If shapes differ, an entry is not finite, a mean is negative, or the grid would need more than 2^24 points to
        keep the sum from wrapping around.
    """
    t, m = finite_array(scores, "scores"), finite_array(means, "means")
    if t.size != m.size:
        raise InputError("means", f"has {m.size} entries for {t.size} scores", "Pass one for each")
    refuse(m < 0, m, "means", "is negative", "Pass expected numbers")
    shift, n = finite_number(offset, "offset"), whole_number(points, "points", at_least=16)
    kinds, place = np.unique(t, return_inverse=True)
    expected = np.bincount(place, weights=m)
    some = (kinds != 0) & (expected > 0)
    kinds, expected = kinds[some], expected[some]
    counts = [_counts(mean) for mean in expected] if kinds.size <= 3 else []
    if kinds.size <= 3 and spacing is None and math.prod(last - first for first, last in counts) <= n:
        return _enumerate(kinds, expected, counts, shift)
    low, high = -_reach(-kinds, expected), _reach(kinds, expected)
    step = (high - low) / (n - 4) if spacing is None else positive_number(spacing, "spacing")
    return _transform(kinds, expected, shift, low, high, step)


def score_distribution(
    scores: ArrayLike, weights: ArrayLike | None = None, total: float | None = None, *, bins: int = 2**14
) -> tuple[Floats, Floats]:
    """Turn the scores of simulated events into kinds of events for :func:`compound_poisson`.

    Parameters
    ----------
    scores : array_like, shape (n,)
        Score of each event.
    weights : array_like, shape (n,), optional
        Weight of each, at least 0; 1 if left out.
    total : float, optional
        Expected number of events that all together stand for; the sum of weights if left out.
    bins : int, optional
        Points of a grid from the smallest to the largest score, between whose neighbours each is shared, its mean kept.

    Returns
    -------
    scores, means : array of shape (n_kinds,)
        Points that got any, and their expected numbers.

    Raises
    ------
    InputError
        If shapes differ, an entry is not finite, a weight is negative, or all are 0.
    """
    t = finite_array(scores, "scores")
    w = np.ones_like(t) if weights is None else finite_array(weights, "weights")
    if t.size != w.size:
        raise InputError("weights", f"has {w.size} entries for {t.size} scores", "Pass one for each")
    refuse(w < 0, w, "weights", "is negative", "Resample such events to positive weights first")
    if w.sum() == 0:
        raise InputError("weights", "are all 0", "Pass events that count")
    n = whole_number(bins, "bins", at_least=2)
    low, step = float(t.min()), float(np.ptp(t)) / (n - 1)
    if step == 0.0:
        sums, grid = np.array([w.sum()]), np.array([low])
    else:
        sums, grid = _share((t - low) / step, w, 0, n + 1), low + step * np.arange(n + 1)
    scale = 1.0 if total is None else positive_number(total, "total") / w.sum()
    return grid[sums > 0], scale * sums[sums > 0]


def _counts(mean: float) -> tuple[int, int]:
    """Return a range of counts, the end excluded, with less than 1e-16 on either side of it."""
    one, m = np.ones(1), np.array([mean])
    return max(math.floor(-_reach(-one, m)), 0), math.ceil(_reach(one, m)) + 1


def _reach(t: Floats, m: Floats) -> float:
    """Return what the sum exceeds with a probability below 1e-16, by Chernoff's bound.

    Every tilt s gives a bound. The best is near sqrt(2 37)/deviation for many events, and for few of them at some tens
    over the largest score.
    """
    if t.size == 0:
        return 0.0
    largest, deviation = float(np.abs(t).max()), math.sqrt(float(t * t @ m))
    tilts = np.geomspace(1e-2 / (deviation + largest), 1e2 / min(largest, deviation), 400)
    with np.errstate(over="ignore"):
        log_moments = np.array([float((np.expm1(s * t) * m).sum()) for s in tilts])  # threads of BLAS would spin
    return max(float(np.min((log_moments + _LOG_OUTSIDE) / tilts)), float(t @ m))


def _enumerate(t: Floats, m: Floats, counts: list[tuple[int, int]], offset: float) -> SumDistribution:
    values, logs = np.zeros(1), np.zeros(1)
    for score, mean, (first, last) in zip(t, m, counts, strict=True):
        k = np.arange(first, last, dtype=np.float64)
        values = np.add.outer(values, k * score).ravel()
        logs = np.add.outer(logs, xlogy(k, mean) - mean - gammaln(k + 1.0)).ravel()
    return SumDistribution(*joined(values + offset, np.exp(logs)), None, 0.0)


def _transform(t: Floats, m: Floats, offset: float, low: float, high: float, step: float) -> SumDistribution:
    first, last = math.floor(low / step) - 1, math.ceil(high / step) + 1
    size = last - first + 1
    if size > _MOST_POINTS:
        raise InputError("spacing", f"is {step:g}: the grid would need {size} points", "Pass a larger one")
    n = int(next_fast_len(max(size, 16), real=True))
    place = t / step
    part = place - np.floor(place)
    single = _share(place, m, None, n)
    pmf = irfft(np.exp(rfft(single) - m.sum()), n)
    index = first + np.arange(n)
    pmf = np.maximum(pmf[index % n], 0.0)
    excess = float(m @ (part * (1.0 - part))) * step**2
    return SumDistribution(np.asarray(offset + step * index), np.asarray(pmf / pmf.sum()), step, excess)


def _share(place: Floats, weights: Floats, first: int | None, n: int) -> Floats:
    """Share weights between the whole numbers on either side of each place; sums (n,), modulo n if `first` is None."""
    left = np.floor(place).astype(np.int64)
    part = place - left
    both = np.concatenate([left, left + 1])
    both = both % n if first is None else both - first
    parts = np.concatenate([weights * (1.0 - part), weights * part])
    return np.asarray(np.bincount(both, weights=parts, minlength=n), dtype=np.float64)

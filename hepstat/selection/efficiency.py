"""Events kept by a cut on a score: expected events and efficiencies by process, with the errors of finite simulation.

A cut at u keeps the events with a score of at least u, so events with equal scores stay or go together. The expected
events of a process, sigma L, are known; what fluctuates is the fraction of its simulated events that is kept. Weights
may be negative: the sums stay unbiased, though efficiencies may then leave [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.learn.data import Sample
from hepstat.types import Bools, Floats, Ints

__all__ = ["Kept", "checked_scores", "kept_events", "sums_above", "thin"]


@dataclass(frozen=True, eq=False)
class Kept:
    """What a sample of P processes keeps at m thresholds.

    Attributes
    ----------
    n_events : ndarray, (P, m)
        Simulated events kept.
    expected, variances : ndarray, (P, m)
        Expected events kept, and the variances of these numbers.
    n_simulated, totals : ndarray, (P,)
        Simulated and expected events without a cut.
    signal : ndarray of bool, (P,)
        Which processes are signal.
    """

    n_events: Floats
    expected: Floats
    variances: Floats
    n_simulated: Floats
    totals: Floats
    signal: Bools

    @property
    def efficiencies(self) -> Floats:
        """Fraction of each process, (P, m); NaN for a process without expected events."""
        return _fraction(self.expected, self.totals[:, np.newaxis])

    @property
    def efficiency_errors(self) -> Floats:
        """Standard errors of the efficiencies, (P, m)."""
        return _fraction(np.sqrt(self.variances), np.abs(self.totals)[:, np.newaxis])

    def of(self, signal: bool) -> tuple[Floats, Floats, float]:
        """Return expected events of all signal or all background, their variances, and the total without a cut."""
        chosen = self.signal == signal
        return self.expected[chosen].sum(axis=0), self.variances[chosen].sum(axis=0), float(self.totals[chosen].sum())


def checked_scores(sample: Sample, scores: ArrayLike) -> Floats:
    """Return one finite score for every event of a sample that expects signal and background.

    Raises
    ------
    InputError
        For scores of another number or that are not finite, or a sample without expected signal or background.
    """
    f = finite_array(scores, "scores")
    if f.size != len(sample):
        raise InputError("scores", f"has {f.size} entries for {len(sample)} events", "Pass one score for each event")
    for kind, total in (("signal", sample.n_signal), ("background", sample.n_background)):
        if not total > 0:
            raise InputError("sample", f"expects {total:g} events of {kind}", "Pass one with a cross-section above 0")
    return f


def kept_events(sample: Sample, scores: Floats, thresholds: Floats) -> Kept:
    """Count what is kept at each threshold, (m,); scores (n,) are checked.

    An efficiency e of weighted events has the variance
    ``[(1 - e)^2 sum w^2 (kept) + e^2 sum w^2 (cut)] / (sum w)^2``, for equal weights the binomial e (1 - e) / n. It is
    0 where a process is kept as a whole or not at all.
    """
    shape = (sample.n_processes, thresholds.size)
    n_events, expected, variances = np.empty(shape), np.empty(shape), np.empty(shape)
    totals = np.empty(sample.n_processes)
    for k in range(sample.n_processes):
        members = sample.process == k
        f, w = scores[members], sample.w[members]
        order = np.argsort(f)
        place = np.searchsorted(f[order], thresholds)
        n_events[k] = f.size - place
        sums, squares = sums_above(w[order]), sums_above(w[order] ** 2)
        expected[k], totals[k] = sums[place], sums[0]
        e = _fraction(expected[k], totals[k], missing=0.0)
        variances[k] = (1.0 - e) ** 2 * squares[place] + e**2 * (squares[0] - squares[place])
    n_simulated = np.bincount(sample.process, minlength=sample.n_processes).astype(np.float64)
    return Kept(n_events, expected, variances, n_simulated, totals, np.array(sample.signal, dtype=np.bool_))


def sums_above(values: Floats) -> Floats:
    """Return the sums of all entries from each place on, (n + 1,); the last is 0."""
    sums = np.zeros(values.size + 1)
    np.cumsum(values[::-1], out=sums[1:])
    return sums[::-1]


def thin(points: int, *coordinates: Floats, keep: tuple[int, ...]) -> Ints:
    """Return at most `points` places, spread evenly in each of the rising coordinates (n,), and those to keep."""
    n = coordinates[0].size
    if n <= points:
        return np.arange(n)
    each = (points - len(keep)) // len(coordinates)
    places = [np.searchsorted(x, np.linspace(x[0], x[-1], each)) for x in coordinates]
    return np.unique(np.concatenate([*places, keep]).clip(0, n - 1).astype(np.int64))


def _fraction(part: Floats, whole: Floats | float, missing: float = np.nan) -> Floats:
    part, whole = np.broadcast_arrays(part, whole)
    return np.asarray(np.divide(part, whole, out=np.full(part.shape, missing), where=whole != 0))

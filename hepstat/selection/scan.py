"""Scan of the cut on a score: significance and efficiencies at every threshold, and the best one within limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number, whole_number
from hepstat.errors import InputError
from hepstat.learn.data import Sample
from hepstat.record import Record
from hepstat.selection.cut import Cut, Significance, evaluate_cut, measures, significance_function
from hepstat.selection.efficiency import checked_scores, kept_events, sums_above, thin
from hepstat.types import Bools, Floats

__all__ = ["ThresholdScan", "threshold_scan"]

_ROUNDING = 1e-9  # relative, of sums that are compared with a limit


@dataclass(frozen=True, eq=False, repr=False)
class ThresholdScan(Record):
    """What a cut keeps of a sample at rising thresholds, and the best of them.

    Arrays have the shape (points,) unless said otherwise; the fields that :class:`Cut` has, too, mean the same here.

    Parameters
    ----------
    thresholds : array
        Rising.
    n_signal, n_background, n_signal_error, n_background_error, n_background_events : array
        Expected and simulated events kept.
    z, z_error : array
        Significance and its standard error at a fixed threshold. Errors of neighbours are strongly correlated.
    signal_efficiency, background_efficiency, true_background_efficiency : array
        Of all signal, and of all background by simulated and by expected events.
    efficiencies, efficiency_errors : array of shape (n_processes, points)
        Of each process.
    names : tuple of str
        Names of the processes.
    signal : tuple of bool
        Which of them are signal.
    significance : str
        ``"simple"`` or ``"asimov"``.
    uncertainty, min_efficiency, min_background, min_background_events : float
        Relative uncertainty of the background, and the limits within which the best threshold was looked for.
    best : int
        Place of the best threshold in the arrays: the best of all, those that are not recorded included.
    """

    thresholds: Floats
    n_signal: Floats
    n_background: Floats
    n_signal_error: Floats
    n_background_error: Floats
    n_background_events: Floats
    z: Floats
    z_error: Floats
    signal_efficiency: Floats
    background_efficiency: Floats
    true_background_efficiency: Floats
    efficiencies: Floats
    efficiency_errors: Floats
    names: tuple[str, ...]
    signal: tuple[bool, ...]
    significance: Significance
    uncertainty: float
    min_efficiency: float
    min_background: float
    min_background_events: int
    best: int

    @property
    def best_threshold(self) -> float:
        """The threshold with the highest significance within the limits."""
        return float(self.thresholds[self.best])

    @property
    def best_z(self) -> float:
        """Its significance in the sample that was scanned, biased upwards by the choice."""
        return float(self.z[self.best])

    @property
    def best_efficiency(self) -> float:
        """Its signal efficiency."""
        return float(self.signal_efficiency[self.best])

    @property
    def allowed(self) -> Bools:
        """Which points are within the limits, (points,)."""
        return np.asarray(
            _enough(self.signal_efficiency, self.min_efficiency)
            & _enough(self.n_background, self.min_background)
            & (self.n_background_events >= self.min_background_events)
        )

    def at(self, sample: Sample, scores: ArrayLike, threshold: float | None = None) -> Cut:
        """Apply the best threshold of this scan, or any other, to another sample.

        That gives a significance without the upward bias of the maximum.

        Parameters
        ----------
        sample : Sample
            Events that had no part in the scan.
        scores : array_like, (n,)
            Their scores, by the same model.
        threshold : float, optional
            The cut; the best one of this scan if left out.

        Returns
        -------
        Cut
            As :func:`evaluate_cut` gives it, with the significance of this scan.

        Raises
        ------
        InputError
            As :func:`evaluate_cut`.
        """
        u = self.best_threshold if threshold is None else threshold
        return evaluate_cut(sample, scores, u, significance=self.significance, uncertainty=self.uncertainty)

    def __repr__(self) -> str:
        """Show the best threshold and the limits."""
        i = self.best
        return (
            f"ThresholdScan({self.thresholds.size} points, best at score >= {self.best_threshold:.5g}: "
            f"Z = {self.best_z:.3f} +- {self.z_error[i]:.2g} ({self.significance}), signal {self.n_signal[i]:.4g} "
            f"({100 * self.best_efficiency:.3g}%), background {self.n_background[i]:.4g}; "
            f"efficiency >= {self.min_efficiency:g}, background >= {self.min_background:g})"
        )


def threshold_scan(
    sample: Sample,
    scores: ArrayLike,
    *,
    significance: Significance = "simple",
    uncertainty: float = 0.0,
    min_efficiency: float = 0.05,
    min_background: float = 5.0,
    min_background_events: int = 0,
    thresholds: ArrayLike | None = None,
    points: int = 512,
) -> ThresholdScan:
    """Scan the cut on a score.

    The best significance is a maximum over many correlated estimates, so it is biased upwards in the sample that was
    scanned, strongly where few simulated events with large weights are left; its error is then too small as well, since
    the choice favours thresholds just above a heavy event. For a number to quote, choose the threshold on one sample
    and evaluate it on another: :meth:`ThresholdScan.at`.

    Parameters
    ----------
    sample : Sample
        Events with expected signal and background.
    scores : array_like, (n,)
        Score of each event. A cut at u keeps the scores of at least u.
    significance : {"simple", "asimov"}, optional
        N_s / sqrt(N_b), or :func:`hepstat.infer.asimov_z`.
    uncertainty : float, optional
        Uncertainty of the background relative to it, for the Asimov significance.
    min_efficiency, min_background, min_background_events : optional
        Least signal efficiency, expected background and simulated background events of the best threshold.
    thresholds : array_like, (m,), optional
        Thresholds to try and to record, in any order; all distinct scores if left out.
    points : int, optional
        How many of the distinct scores are recorded, at most: half spread evenly over the signal efficiency, half over
        the score, and the best one always. At least 10.

    Returns
    -------
    ThresholdScan
        With the best threshold, the lowest one among equals.

    Raises
    ------
    InputError
        For scores that are not finite or of another number, limits out of range, or if no threshold is within them.
    """
    z_of = significance_function(significance, uncertainty)
    limits = _checked_limits(min_efficiency, min_background, min_background_events)
    points = whole_number(points, "points", at_least=10)
    f = checked_scores(sample, scores)
    order = np.argsort(f)
    ordered, w, is_signal = f[order], sample.w[order], sample.y[order] == 1
    if thresholds is None:
        place = np.flatnonzero(np.diff(ordered, prepend=-np.inf) > 0)
        tried = ordered[place]
    else:
        tried = np.unique(finite_array(thresholds, "thresholds"))
        place = np.searchsorted(ordered, tried)
    s, b = (sums_above(np.where(chosen, w, 0.0))[place] for chosen in (is_signal, ~is_signal))
    efficiency = s / sample.n_signal
    best = _best(z_of(s, b), efficiency, b, sums_above((~is_signal).astype(np.float64))[place], limits)
    chosen = np.arange(tried.size)
    if thresholds is None:
        chosen = thin(points, tried, -efficiency, keep=(0, best, tried.size - 1))
    return ThresholdScan(
        thresholds=tried[chosen],
        **measures(kept_events(sample, f, tried[chosen]), z_of),
        names=sample.names,
        signal=sample.signal,
        significance=significance,
        uncertainty=float(uncertainty),
        min_efficiency=limits[0],
        min_background=limits[1],
        min_background_events=limits[2],
        best=int(np.searchsorted(chosen, best)),
    )


def _best(z: Floats, efficiency: Floats, b: Floats, n_b: Floats, limits: tuple[float, float, int]) -> int:
    """Return the place of the highest Z within the limits."""
    passed = _enough(efficiency, limits[0]), _enough(b, limits[1]), n_b >= limits[2]
    allowed = passed[0] & passed[1] & passed[2] & ~np.isnan(z)
    if not allowed.any():
        counts = [int(entry.sum()) for entry in passed]
        raise InputError(
            "min_efficiency, min_background and min_background_events",
            f"leave none of {z.size} thresholds ({counts[0]}, {counts[1]} and {counts[2]} pass the single limits)",
            "Lower them, or pass a sample with more background",
        )
    return int(np.argmax(np.where(allowed, z, -np.inf)))


def _enough(values: Floats, limit: float) -> Bools:
    return np.asarray(values >= limit * (1.0 - _ROUNDING))


def _checked_limits(
    min_efficiency: float, min_background: float, min_background_events: int
) -> tuple[float, float, int]:
    efficiency = finite_number(min_efficiency, "min_efficiency")
    if not 0 <= efficiency <= 1:
        raise InputError("min_efficiency", f"is {efficiency:g}", "Pass a fraction between 0 and 1")
    background = finite_number(min_background, "min_background")
    if background < 0:
        raise InputError("min_background", f"is {background:g}", "Pass a number of expected events, at least 0")
    return efficiency, background, whole_number(min_background_events, "min_background_events")

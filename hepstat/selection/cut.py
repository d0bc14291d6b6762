"""One cut on a score: what it keeps of a sample, and the significance of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_number
from hepstat.errors import InputError
from hepstat.infer import asimov_z, simple_z
from hepstat.learn.data import Sample
from hepstat.record import Record
from hepstat.selection.efficiency import Kept, checked_scores, kept_events
from hepstat.types import Floats

__all__ = ["Cut", "Significance", "evaluate_cut", "measures", "significance_function"]

Significance = Literal["simple", "asimov"]
"""s / sqrt(b), or the Asimov significance of :func:`hepstat.infer.asimov_z`."""


@dataclass(frozen=True, eq=False, repr=False)
class Cut(Record):
    """What a cut keeps of a sample: the events with a score of at least the threshold.

    Parameters
    ----------
    threshold : float
        Lowest score that is kept.
    n_signal, n_background : float
        Expected events kept.
    n_signal_error, n_background_error : float
        Their standard errors from the finite number of simulated events.
    n_background_events : float
        Simulated background events kept.
    z, z_error : float
        Significance, and its standard error from the finite number of simulated events. Without background Z is
        infinite and its error NaN; where a sum of weights is negative both are NaN.
    signal_efficiency : float
        Expected signal kept over all of it.
    background_efficiency : float
        Simulated background events kept over all of them (the total efficiency of arXiv:2412.09500, appendix C).
    true_background_efficiency : float
        Expected background kept over all of it: efficiencies of the processes weighted by cross-section.
    efficiencies, efficiency_errors : array of shape (n_processes,)
        Of each process, with standard errors; NaN for a process without expected events.
    names : tuple of str
        Names of the processes.
    signal : tuple of bool
        Which of them are signal.
    significance : str
        ``"simple"`` or ``"asimov"``.
    uncertainty : float
        Relative uncertainty of the background.
    """

    threshold: float
    n_signal: float
    n_background: float
    n_signal_error: float
    n_background_error: float
    n_background_events: float
    z: float
    z_error: float
    signal_efficiency: float
    background_efficiency: float
    true_background_efficiency: float
    efficiencies: Floats
    efficiency_errors: Floats
    names: tuple[str, ...]
    signal: tuple[bool, ...]
    significance: str
    uncertainty: float

    def __repr__(self) -> str:
        """Show the significance and what it is made of."""
        return (
            f"Cut(score >= {self.threshold:.5g}: Z = {self.z:.3f} +- {self.z_error:.2g} ({self.significance}), "
            f"signal {self.n_signal:.4g} ({100 * self.signal_efficiency:.3g}%), "
            f"background {self.n_background:.4g} ({100 * self.true_background_efficiency:.3g}%))"
        )


def evaluate_cut(
    sample: Sample,
    scores: ArrayLike,
    threshold: float,
    *,
    significance: Significance = "simple",
    uncertainty: float = 0.0,
) -> Cut:
    """Apply a cut to a sample.

    With a threshold that was chosen on another sample, the result is unbiased (but for terms of second order in the
    errors); the maximum of a scan over the same sample is not, see :func:`threshold_scan`.

    Parameters
    ----------
    sample : Sample
        Events with expected signal and background.
    scores : array_like, (n,)
        Score of each event; it is kept where this is at least the threshold.
    threshold : float
        The cut.
    significance, uncertainty : optional
        As in :func:`threshold_scan`.

    Returns
    -------
    Cut
        Expected events, efficiencies and significance with their errors.

    Raises
    ------
    InputError
        For scores or a threshold that are not finite, lengths that differ, or an unknown significance.
    """
    z_of = significance_function(significance, uncertainty)
    u = finite_number(threshold, "threshold")
    found = measures(kept_events(sample, checked_scores(sample, scores), np.array([u])), z_of)
    entries: dict[str, Any] = {name: v[:, 0] if v.ndim == 2 else float(v[0]) for name, v in found.items()}
    return Cut(
        threshold=u,
        **entries,
        names=sample.names,
        signal=sample.signal,
        significance=significance,
        uncertainty=float(uncertainty),
    )


def significance_function(significance: Significance, uncertainty: float) -> Callable[[Floats, Floats], Floats]:
    """Return Z as a function of expected signal and background (n,), NaN where either is negative.

    Raises
    ------
    InputError
        For an unknown significance, or an uncertainty that is negative, not finite, or not used.
    """
    relative = finite_number(uncertainty, "uncertainty")
    if relative < 0:
        raise InputError(
            "uncertainty", f"is {relative:g}", "Pass the relative uncertainty of the background, at least 0"
        )
    if significance not in ("simple", "asimov"):
        raise InputError("significance", f"is {significance!r}", "Choose 'simple' or 'asimov'")
    if significance == "simple" and relative > 0:
        raise InputError("uncertainty", f"is {relative:g}, which s/sqrt(b) ignores", "Choose significance='asimov'")

    def z_of(s: Floats, b: Floats) -> Floats:
        s_, b_ = np.maximum(s, 0.0), np.maximum(b, 0.0)
        z = simple_z(s_, b_) if significance == "simple" else asimov_z(s_, b_, relative * b_)
        return np.where((s >= 0) & (b >= 0), z, np.nan)

    return z_of


def measures(kept: Kept, z_of: Callable[[Floats, Floats], Floats]) -> dict[str, Floats]:
    """Return what :class:`Cut` reports, at each of m thresholds."""
    s, s_variance, s_total = kept.of(signal=True)
    b, b_variance, b_total = kept.of(signal=False)
    n_b = kept.n_events[~kept.signal].sum(axis=0)
    return {
        "n_signal": s,
        "n_background": b,
        "n_signal_error": np.sqrt(s_variance),
        "n_background_error": np.sqrt(b_variance),
        "n_background_events": n_b,
        "z": z_of(s, b),
        "z_error": _z_error(z_of, s, b, s_variance, b_variance),
        "signal_efficiency": s / s_total,
        "background_efficiency": n_b / kept.n_simulated[~kept.signal].sum(),
        "true_background_efficiency": b / b_total,
        "efficiencies": kept.efficiencies,
        "efficiency_errors": kept.efficiency_errors,
    }


def _z_error(
    z_of: Callable[[Floats, Floats], Floats], s: Floats, b: Floats, s_variance: Floats, b_variance: Floats
) -> Floats:
    """Propagate the variances of signal and background to first order, by central differences of Z."""
    ds, db = 1e-4 * s, 1e-4 * b
    with np.errstate(divide="ignore", invalid="ignore"):
        by_s = (z_of(s + ds, b) - z_of(s - ds, b)) / (2.0 * ds)
        by_b = (z_of(s, b + db) - z_of(s, b - db)) / (2.0 * db)
    by_s = np.where((s == 0) & (b > 0), 0.0, by_s)  # without signal its variance is 0
    return np.asarray(np.sqrt(by_s**2 * s_variance + by_b**2 * b_variance))

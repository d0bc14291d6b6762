"""Diagnostics: whether a function is the likelihood ratio of two samples, and what is off if it is not."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from hepstat.checks import event_weights, finite_number, open_share, weighted_events
from hepstat.errors import InputError
from hepstat.ratio.bins import Weighted, chi_square, effective_size, quantile_edges
from hepstat.ratio.closure import Closure, close, ratios_of, survival
from hepstat.types import Floats

__all__ = ["Deviation", "RatioDiagnostics", "deviation", "diagnose"]

_ROUNDING = 1e-12
_TRUSTED_SHARE, _TRUSTED_SIZE = 0.02, 100.0  # of effective events, for a mean to be near its normal distribution


@dataclass(frozen=True, eq=False)
class RatioDiagnostics(Closure):
    """How well a function does as the ratio of signal to background, and the closure of background times the ratio.

    Attributes
    ----------
    predicted : ndarray, (m,)
        Mean ratio of the background in bins of the ratio.
    measured, measured_errors : ndarray, (m,)
        Share of signal over that of background in the same bins, with standard errors.
    reliability_chi2, reliability_ndf, reliability_p : float
        Of shares of signal and of the background times its ratios, which includes the normalisation.
    mean_deviation, largest_deviation : float
        Of ``abs(predicted / measured - 1)`` over the bins, the mean weighted by the shares of both classes. Where it is
        right, statistics alone make these as large as the errors are.
    background_mean, background_error, background_pull : float
        Mean of r over background, which is 1 for the true ratio, its standard error, and how many of these it is off.
    signal_mean, signal_error, signal_pull : float
        The same for 1/r over signal. It misses what background without signal holds, and where few events carry it, its
        error cannot be trusted.
    n_effective, signal_n_effective : float
        Effective events of the background times r, and of the signal over r.
    n_covered, signal_n_covered : float
        The same as the other class sees them, n E_B[r] / E_S[r] and n E_S[1/r] / E_B[1/r]: much smaller where a sample
        has none of the few events that carry its mean. 0 where E_S[r] is, or either E[1/r] is infinite.
    n_background, n_signal : float
        Effective events without the ratio.
    """

    predicted: Floats
    measured: Floats
    measured_errors: Floats
    reliability_chi2: float
    reliability_ndf: float
    reliability_p: float
    mean_deviation: float
    largest_deviation: float
    background_mean: float
    background_error: float
    background_pull: float
    signal_mean: float
    signal_error: float
    signal_pull: float
    n_effective: float
    signal_n_effective: float
    n_covered: float
    signal_n_covered: float
    n_background: float
    n_signal: float

    def findings(self, level: float = 0.01) -> tuple[str, ...]:
        """Return in words what is off.

        Parameters
        ----------
        level : float, optional
            Probability that anything is said of the true ratio, shared out equally to all tests.

        Returns
        -------
        tuple of str
            Empty if nothing was found.
        """
        cut = open_share(level, "level") / (3 + len(self.features))
        found: list[str] = []
        carried = min(self.n_effective, self.n_covered)
        if not _trusted(carried, self.n_background):
            found.append(
                f"Few background events carry the ratio ({carried:.3g} effective of {self.n_background:.3g}): the "
                "background hardly covers the signal, and other numbers here are uncertain"
            )
        elif _two_sided(self.background_pull) < cut:
            found.append(
                f"The mean of r over background is {self.background_mean:.4g} +- {self.background_error:.2g}, not 1: "
                f"look at the odds, which would have to be {self.background_mean:.4g} times as large, or calibrate"
            )
        enough = _trusted(min(self.signal_n_effective, self.signal_n_covered), self.n_signal)
        if enough and _two_sided(self.signal_pull) < cut:
            found.append(
                f"The mean of 1/r over signal is {self.signal_mean:.4g} +- {self.signal_error:.2g}, not 1: the odds "
                "are wrong, the score is distorted, or there is background where there is no signal"
            )
        if math.isinf(self.signal_mean):
            found.append("The ratio is 0 for some events of signal, which says that they cannot be")
        if self.reliability_p < cut:
            found.append(
                f"Predicted and measured ratios differ (chi2/ndf {self.reliability_chi2:.4g}/{self.reliability_ndf:g}) "
                f"by {100 * self.mean_deviation:.3g}% on average: calibrate the ratio"
            )
        off = [name for name, p in zip(self.features, self.p, strict=True) if p < cut]
        if off:
            lacking = "the ratio lacks what these tell, which calibration does not repair"
            remedy = "calibrate the ratio and look again" if self.reliability_p < cut else lacking
            found.append(f"Background times r does not look like signal in {', '.join(off)}: {remedy}")
        return tuple(found)

    def __str__(self) -> str:
        """Return the findings and the numbers behind them."""
        enough = _trusted(min(self.signal_n_effective, self.signal_n_covered), self.n_signal)
        inverse = f"pull {self.signal_pull:.2g}" if enough else "carried by too few events to be judged"
        lines = [
            f"E_B[r] = {self.background_mean:.4g} +- {self.background_error:.2g} (pull {self.background_pull:.2g})",
            f"E_S[1/r] = {self.signal_mean:.4g} +- {self.signal_error:.2g} ({inverse})",
            f"effective events of background times r: {self.n_effective:.4g} of {self.n_background:.4g}",
            f"reliability chi2/ndf {self.reliability_chi2:.4g}/{self.reliability_ndf:g}, "
            f"deviation {100 * self.mean_deviation:.3g}% on average, {100 * self.largest_deviation:.3g}% at most",
        ]
        closures = zip(self.features, self.chi2, self.ndf, self.p, strict=True)
        lines += [f"closure of {name}: chi2/ndf {chi2:.4g}/{ndf:g}, p = {p:.2g}" for name, chi2, ndf, p in closures]
        return "\n".join([*(self.findings() or ("Nothing is off",)), *lines])


def diagnose(
    ratio: Callable[[Any], Floats],
    signal: ArrayLike,
    background: ArrayLike,
    *,
    signal_weights: ArrayLike | None = None,
    background_weights: ArrayLike | None = None,
    bins: int = 20,
    min_events: float = 25.0,
    features: Sequence[str] | None = None,
) -> RatioDiagnostics:
    """Compare a ratio with events of signal and background.

    Parameters
    ----------
    ratio : Ratio or callable
        Of events to r (n,).
    signal, background : array_like, (n, d) or (n,)
        Events that neither trained nor calibrated the ratio.
    signal_weights, background_weights : array_like, (n,), optional
        Only their relative sizes count.
    bins : int, optional
        Of the ratio and of every feature, at most: of equal content in an equal mixture of what is compared.
    min_events : float, optional
        Bins are merged until they hold so many effective events of both.
    features : sequence of str, optional
        Names of the features.

    Returns
    -------
    RatioDiagnostics

    Raises
    ------
    InputError
        For ratios that are negative or not finite, fewer effective events than `min_events`, or weights that do not add
        up to a positive number.
    """
    s = weighted_events(signal, signal_weights, "signal")
    b = weighted_events(background, background_weights, "background")
    r_s, r_b = (ratios_of(ratio, events) for events in (signal, background))
    closure = close(s, b, r_b, bins=bins, min_events=min_events, features=features)
    curve = _reliability(Weighted(r_s, s[1]), Weighted(r_b, b[1]), bins, min_events)
    with np.errstate(divide="ignore"):
        inverse, inverse_b = 1.0 / r_s, 1.0 / r_b
    of_background, of_signal = _mean_of(Weighted(r_b, b[1])), _mean_of(Weighted(inverse, s[1]))
    n_background, n_signal = effective_size(b[1]), effective_size(s[1])
    return RatioDiagnostics(
        **{field.name: getattr(closure, field.name) for field in fields(closure)},
        predicted=curve.predicted,
        measured=curve.measured,
        measured_errors=curve.errors,
        reliability_chi2=curve.chi2,
        reliability_ndf=float(curve.ndf),
        reliability_p=survival(curve.chi2, curve.ndf),
        mean_deviation=float(np.average(curve.deviations, weights=curve.shares)),
        largest_deviation=float(curve.deviations.max()),
        background_mean=of_background.value,
        background_error=of_background.error,
        background_pull=of_background.pull,
        signal_mean=of_signal.value,
        signal_error=of_signal.error,
        signal_pull=of_signal.pull,
        n_effective=effective_size(b[1] * r_b),
        signal_n_effective=effective_size(s[1] * inverse) if np.isfinite(inverse).all() else 0.0,
        n_covered=_covered(n_background, of_background, _mean_of(Weighted(r_s, s[1]))),
        signal_n_covered=_covered(n_signal, of_signal, _mean_of(Weighted(inverse_b, b[1]))),
        n_background=n_background,
        n_signal=n_signal,
    )


class Deviation(NamedTuple):
    """Mean and largest ``abs(r / truth - 1)``."""

    mean: float
    largest: float


def deviation(
    ratio: Callable[[Any], Floats],
    truth: Callable[[Any], Floats],
    x: Any,
    weights: ArrayLike | None = None,
    *,
    above: float = 0.0,
) -> Deviation:
    """Return by how much a ratio deviates from the true one.

    Parameters
    ----------
    ratio, truth : Ratio or callable
        Of events to r (n,).
    x : array_like
        Events, or points of a grid.
    weights : array_like, (n,), optional
        Of the events; on a grid the density that the mean is taken over, such as that of the signal.
    above : float, optional
        Leave out where the weight is below this fraction of the largest.

    Raises
    ------
    InputError
        If the truth is not above zero where it is compared, weights are negative or add up to nothing, or the fraction
        is outside [0, 1].
    """
    r, true = ratios_of(ratio, x), ratios_of(truth, x)
    w = event_weights(r.size, weights, "weights", signed=False)
    if not 0.0 <= finite_number(above, "above") <= 1.0:
        raise InputError("above", f"is {above:g}", "Pass a fraction of the largest weight")
    kept = (w > 0) & (w >= above * w.max())
    if (true[kept] <= 0).any():
        raise InputError("truth", "is zero for some events", "Leave them out, or give them no weight")
    off = np.abs(r[kept] / true[kept] - 1.0)
    return Deviation(float(np.average(off, weights=w[kept])), float(off.max()))


class _Mean(NamedTuple):
    """A mean, its standard error, and by how many of these it differs from 1."""

    value: float
    error: float
    pull: float


def _mean_of(events: Weighted) -> _Mean:
    """Return the weighted mean of values; infinite, without a pull, where one of them is."""
    if not np.isfinite(events.values).all():
        return _Mean(math.inf, math.inf, math.nan)
    share = events.weights / events.weights.sum()
    mean = float(share @ events.values)
    away = share * (events.values - mean)
    largest = max(float(np.abs(away).max()), math.ulp(0.0))  # squares of 1/r far from the background may not fit
    error, off = largest * float(np.linalg.norm(away / largest)), mean - 1.0
    exact = 0.0 if abs(off) < _ROUNDING else math.copysign(math.inf, off)
    return _Mean(mean, error, off / error if error > _ROUNDING * mean else exact)


def _covered(n: float, mean: _Mean, other: _Mean) -> float:
    """Return n times the ratio of two means; 0 where it is not defined."""
    return n * mean.value / other.value if math.isfinite(mean.value) and other.value != 0 else 0.0


class _Reliability(NamedTuple):
    """Predicted and measured ratios in bins, with chi^2 of both, and their deviations with the shares of events."""

    predicted: Floats
    measured: Floats
    errors: Floats
    chi2: float
    ndf: int
    deviations: Floats
    shares: Floats


def _reliability(signal: Weighted, background: Weighted, bins: int, min_events: float) -> _Reliability:
    """Return the reliability of ratios of events of signal and background."""
    edges = quantile_edges([signal, background], bins, min_events)
    s, covariance = signal.shares(edges)
    b, b_covariance = background.shares(edges)
    share = background.weights / background.weights.sum()
    q, squares = Weighted(background.values, share * background.values).sums(edges)  # of z_i = r in bin i, 0 elsewhere
    mixed = np.outer(q, Weighted(background.values, share**2 * background.values).sums(edges)[0])
    z_covariance = np.diag(squares) - mixed - mixed.T + np.outer(q, q) * float(share @ share)
    chi2, ndf = chi_square(s - q, covariance + z_covariance)
    measured = s / b
    errors = np.sqrt(np.diag(covariance) + measured**2 * np.diag(b_covariance)) / b
    return _Reliability(q / b, measured, errors, chi2, ndf, np.abs(q / s - 1.0), s + b)


def _trusted(size: float, whole: float) -> bool:
    """Return whether so many effective events make the error of a mean trustworthy."""
    return size >= max(_TRUSTED_SIZE, _TRUSTED_SHARE * whole)


def _two_sided(pull: float) -> float:
    return float(2.0 * ndtr(-abs(pull)))

"""The ABCD method where signal is in the control regions too: a profile likelihood of all four."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import xlogy

from hepstat.checks import finite_array, nonnegative_number
from hepstat.errors import FitError, InputError
from hepstat.infer import p_to_z, q0, z_from_q0
from hepstat.infer.intervals import tail_of
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["AbcdSignal", "abcd_signal"]

_EMPTY = -25.0  # logarithm of a mean that is as good as none
_TINY = 1e-300
_LONGEST, _MOST_STEPS = 3.0, 300  # of a step in a logarithm; of steps
_RIDGE = 1e-12  # of the information, so that logarithms of means that are as good as none have a step
_ENOUGH = 1e-14  # relative decrease of -log L that is worth another step
_A_TO_D = np.array([1.0, 1.0, -1.0])  # log background of A is that of B and C, less that of D


@dataclass(frozen=True, repr=False)
class AbcdSignal(Record):
    """Signal strength and background of region A from all four regions.

    Parameters
    ----------
    mu : float
        Best signal strength, at least 0.
    mu_lower, mu_upper : float
        Where twice the log of the profile likelihood ratio is that of the level; the lower end is 0 if it gets there.
    background : float
        Background of A in the best fit, in which the signal of the control regions is accounted for.
    background_uncorrected : float
        N_B N_C / N_D, which counts that signal as background; infinite or NaN without events in D.
    q0, z : float
        Test statistic of no signal, and asymptotic significance.
    level : float
        Confidence level of the interval.
    """

    mu: float
    mu_lower: float
    mu_upper: float
    background: float
    background_uncorrected: float
    q0: float
    z: float
    level: float

    def __repr__(self) -> str:
        """Show strength, background and significance."""
        return (
            f"AbcdSignal(mu = {self.mu:.4g} in [{self.mu_lower:.4g}, {self.mu_upper:.4g}] at {self.level:g}, Z = "
            f"{self.z:.3f}; background {self.background:.4g}, {self.background_uncorrected:.4g} if uncorrected)"
        )


def abcd_signal(counts: ArrayLike, signal: ArrayLike, *, non_closure: float = 0.0, level: float = 0.6827) -> AbcdSignal:
    """Fit signal and background to the regions A, B, C and D.

    Counts are Poisson with means mu s_A + b c / d exp(s theta), mu s_B + b, mu s_C + c and mu s_D + d. Only the shares
    of signal matter for the background; the scale of `signal` is what mu = 1 means.

    Parameters
    ----------
    counts : array_like, (4,)
        Events of A, B, C and D.
    signal : array_like, (4,)
        Expected events of signal, or its fractions in the regions; at least 0, above 0 in A.
    non_closure : float, optional
        Relative systematic uncertainty s of the background of A; theta has a normal constraint.
    level : float, optional
        Confidence level.

    Returns
    -------
    AbcdSignal

    Raises
    ------
    InputError
        For negative counts or signal, or none in A.
    FitError
        If the fit does not end.
    """
    n, s = finite_array(counts, "counts"), finite_array(signal, "signal")
    for name, values in (("counts", n), ("signal", s)):
        if values.size != 4 or (values < 0).any():
            raise InputError(name, f"is {values}", "Pass numbers of at least 0 for A, B, C and D")
    if not s[0] > 0:
        raise InputError("signal", "has none in A", "Pass a number above 0 there")
    nonclosure, z = nonnegative_number(non_closure, "non_closure"), float(p_to_z(tail_of(level)))
    mu = _best(n, s, nonclosure)
    best, logs, _ = _fit(n, s, nonclosure, mu)

    def excess(strength: float) -> float:
        return 2.0 * (_fit(n, s, nonclosure, strength)[0] - best) - z**2

    lower = brentq(excess, 0.0, mu, xtol=1e-8) if mu > 0 and excess(0.0) > 0 else 0.0
    step = (z + 1.0) * np.sqrt(n[0] + 1.0) / s[0]
    while excess(mu + step) < 0:
        step *= 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        uncorrected = float(np.divide(n[1] * n[2], n[3]))
    q = q0(_fit(n, s, nonclosure, 0.0)[0], best, mu)
    return AbcdSignal(
        mu=mu,
        mu_lower=lower,
        mu_upper=brentq(excess, mu, mu + step, xtol=1e-8),
        background=_background(logs, nonclosure),
        background_uncorrected=uncorrected,
        q0=q,
        z=z_from_q0(q),
        level=float(level),
    )


def _background(logs: Floats, non_closure: float) -> float:
    return float(np.exp(_A_TO_D @ logs[:3] + non_closure * logs[3]))


def _best(n: Floats, s: Floats, non_closure: float) -> float:
    """Return the strength where the slope of the profile of -log L is 0, or 0 if it rises from there."""

    def slope(mu: float) -> float:
        return float(s @ (1.0 - n / _fit(n, s, non_closure, mu)[2]))

    if slope(0.0) >= 0:
        return 0.0
    high = (n[0] + 1.0) / s[0]
    while slope(high) < 0:
        high *= 2.0
    return float(brentq(slope, 0.0, high, xtol=1e-10 * high))


def _fit(n: Floats, s: Floats, non_closure: float, mu: float) -> tuple[float, Floats, Floats]:
    """Return the minimum of -log L for this strength, log b, log c, log d and theta there, and the means of A to D.

    Steps are those of Fisher's scoring, halved until they lead down.
    """

    def means(logs: Floats) -> Floats:
        return np.asarray(np.maximum(mu * s + np.append(_background(logs, non_closure), np.exp(logs[:3])), _TINY))

    def value(logs: Floats) -> float:
        m = means(logs)
        return float((m - xlogy(n, m)).sum()) + 0.5 * float(logs[3]) ** 2

    logs = np.append(np.log(np.maximum(n[1:] - mu * s[1:], 0.5)), 0.0)
    now, constraint = value(logs), np.array([0.0, 0.0, 0.0, 1.0])
    for _ in range(_MOST_STEPS):
        m = means(logs)
        slopes = np.vstack([_background(logs, non_closure) * np.append(_A_TO_D, non_closure), np.eye(3, 4)])
        slopes[1:] *= np.exp(logs[:3])[:, np.newaxis]
        gradient = (1.0 - n / m) @ slopes + constraint * logs
        information = (slopes / m[:, np.newaxis]).T @ slopes + np.diag(constraint + _RIDGE)
        step = -np.clip(np.linalg.solve(information, gradient), -_LONGEST, _LONGEST)
        for share in 0.5 ** np.arange(40):
            there = np.maximum(logs + share * step, _EMPTY)
            ahead = value(there)
            if ahead <= now:
                break
        if not ahead < now - _ENOUGH * (1.0 + abs(now)):
            return now, logs, m
        logs, now = there, ahead
    raise FitError(f"The fit of the regions {n} takes more than {_MOST_STEPS} steps. Check counts and signal.")

"""The ABCD method where signal is in the control regions too: a profile likelihood of all four."""

from __future__ import annotations

from collections.abc import Callable
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
_TINY, _HARDLY = 1e-300, 1e-4  # of means; of events
_LONGEST, _MOST_STEPS, _MOST_HALVES = 3.0, 10000, 40  # of a step in a logarithm; of steps; of halves of one
_POINTS = 49  # at which the profile is looked at for minima
_RIDGE = (
    1e-12  # of the information, absolute and relative, so that logarithms of means that are as good as none have a step
)
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
    best, logs = _fit(n, s, nonclosure, mu)

    def excess(strength: float) -> float:
        return 2.0 * (_fit(n, s, nonclosure, strength)[0] - best) - z**2

    lower = brentq(excess, 0.0, mu, xtol=1e-8 * mu) if mu > 0 and excess(0.0) > 0 else 0.0
    step = (z + 1.0) * np.sqrt(n[0] + 1.0) / s[0]
    while excess(mu + step) < 0:
        step *= 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        uncorrected = float(np.divide(n[1] * n[2], n[3]))
    q = q0(_fit(n, s, nonclosure, 0.0)[0], best, mu)
    return AbcdSignal(
        mu=mu,
        mu_lower=lower,
        mu_upper=brentq(excess, mu, mu + step, xtol=1e-8 * step),
        background=float(_background(logs, nonclosure)),
        background_uncorrected=uncorrected,
        q0=q,
        z=z_from_q0(q),
        level=float(level),
    )


def _background(logs: Floats, non_closure: float) -> Floats:
    """Return the backgrounds of A (...) for logarithms (..., 4)."""
    return np.asarray(np.exp(logs[..., :3] @ _A_TO_D + non_closure * logs[..., 3]))


def _best(n: Floats, s: Floats, non_closure: float) -> float:
    """Return the strength with the least profile of -log L: of all where its slope gets above 0, and 0 itself."""

    def slope(mu: Floats) -> Floats:
        return np.asarray((1.0 - n / _fits(n, s, non_closure, mu)[2]) @ s)

    most = 1.01 * float(n.sum() / s.sum())  # as the slope is at least sum s - sum n / mu
    grid = most * np.linspace(0.0, 1.0, _POINTS) ** 2
    up = slope(grid) >= 0
    turns = np.flatnonzero(~up[:-1] & up[1:])
    found = [brentq(lambda mu: float(slope(np.array([mu]))[0]), *grid[i : i + 2], xtol=1e-10 * most) for i in turns]
    strengths = np.array([0.0, *found])
    return float(strengths[np.argmin(_fits(n, s, non_closure, strengths)[0])])


def _fit(n: Floats, s: Floats, non_closure: float, mu: float) -> tuple[float, Floats]:
    """Return the minimum of -log L for one strength, and log b, log c, log d and theta there."""
    value, logs, _ = _fits(n, s, non_closure, np.array([mu]))
    return float(value[0]), logs[0]


def _fits(n: Floats, s: Floats, non_closure: float, mu: Floats) -> tuple[Floats, Floats, Floats]:
    """Return minima of -log L (k,) for strengths (k,), log b, log c, log d and theta there, and means of A to D (k, 4).

    -log L may have several minima, as each region may be explained by signal or by background: the lowest is that of
    fits from several starts, at B, C and D less signal, and with one of the three made to give A. What signal explains
    starts with half an event of background or with hardly any.
    """
    left = np.log(np.maximum(n - np.outer(mu, s), np.array([0.5, _HARDLY])[:, np.newaxis, np.newaxis]))  # (2, k, 4)
    start = np.concatenate([left[..., 1:], np.zeros((2, mu.size, 1))], axis=-1)
    missing = left[..., 0] - start[..., :3] @ _A_TO_D
    moves = np.vstack([np.zeros(4), np.diag(np.append(_A_TO_D, 0.0))[:3]])[:, np.newaxis, np.newaxis]
    starts = np.maximum(start + missing[..., np.newaxis] * moves, _EMPTY).reshape(-1, 4)
    n_starts = len(starts) // mu.size
    value, logs, m = _descend(n, s, non_closure, np.tile(mu, n_starts), starts)
    best = np.argmin(value.reshape(n_starts, -1), axis=0) * mu.size + np.arange(mu.size)
    return value[best], logs[best], m[best]


def _descend(n: Floats, s: Floats, non_closure: float, mu: Floats, logs: Floats) -> tuple[Floats, Floats, Floats]:
    """Return local minima of -log L (k,), where they are, and the means there, by steps of Fisher's scoring."""

    def means(logs: Floats) -> Floats:
        background = np.column_stack([_background(logs, non_closure), np.exp(logs[:, :3])])
        return np.asarray(np.maximum(np.outer(mu, s) + background, _TINY))

    def value(logs: Floats) -> Floats:
        m = means(logs)
        return np.asarray((m - xlogy(n, m)).sum(axis=1) + 0.5 * logs[:, 3] ** 2)

    now, constraint = value(logs), np.array([0.0, 0.0, 0.0, 1.0])
    for _ in range(_MOST_STEPS):
        m, slopes = means(logs), np.zeros((mu.size, 4, 4))
        slopes[:, 0] = np.outer(_background(logs, non_closure), np.append(_A_TO_D, non_closure))
        slopes[:, (1, 2, 3), (0, 1, 2)] = np.exp(logs[:, :3])
        gradient = np.einsum("ki,kij->kj", 1.0 - n / m, slopes) + constraint * logs
        information = np.einsum("ki,kij,kil->kjl", 1.0 / m, slopes, slopes) + np.diag(constraint + _RIDGE)
        information[:, range(4), range(4)] *= 1.0 + _RIDGE
        step = -np.clip(np.linalg.solve(information, gradient[..., np.newaxis])[..., 0], -_LONGEST, _LONGEST)
        there, ahead = _halved(value, logs, step, now)
        moved = ahead < now - _ENOUGH * (1.0 + np.abs(now))
        if not moved.any():
            return now, logs, m
        logs, now = np.where(moved[:, np.newaxis], there, logs), np.where(moved, ahead, now)
    raise FitError(f"The fit of the regions {n} takes more than {_MOST_STEPS} steps. Check counts and signal.")


def _halved(value: Callable[[Floats], Floats], logs: Floats, step: Floats, now: Floats) -> tuple[Floats, Floats]:
    """Return where steps (k, 4) lead, each halved until it leads down, and the values there."""
    share = np.ones((len(step), 1))
    for _ in range(_MOST_HALVES):
        there = np.maximum(logs + share * step, _EMPTY)
        ahead = value(there)
        if (ahead <= now).all():
            break
        share[ahead > now] *= 0.5
    return there, ahead

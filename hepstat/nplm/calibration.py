"""Calibration of t: what its toys say of the chi2 distribution, and p-values by both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hepstat.checks import finite_number, open_share, whole_number
from hepstat.errors import InputError
from hepstat.infer import (
    ChiSquareFit,
    ToyPValue,
    chi_square_log_p,
    fit_chi_square,
    moments,
    p_to_z,
    p_value_calibration,
    toy_p_value,
)
from hepstat.infer.intervals import tail_of
from hepstat.record import Record
from hepstat.toys import ToyTable
from hepstat.types import Floats

__all__ = ["CalibratedP", "Calibration", "calibrate", "statistic_of_toys"]

_ENOUGH = 10  # toys beyond a value that tell its p-value to a third, and so whether that of chi2 is right
_TAILS = (0.5, 0.1, 0.05, 0.01, 0.001)
_MOST_SIGMA = 3.0  # of a tail
_REFUSED = 0.01
_ORDER = ("chi2", "fitted chi2", "toys")


@dataclass(frozen=True, repr=False)
class CalibratedP(Record):
    """The p-value of a statistic by chi2 and by toys.

    Parameters
    ----------
    t : float
        The statistic.
    p_chi2, z_chi2 : float
        By chi2 with the nominal degrees of freedom.
    p_fitted, p_fitted_lower, p_fitted_upper, z_fitted, z_fitted_error : float
        By chi2 with fitted degrees of freedom; limits and error are those of the fit. NaN without one.
    toys : ToyPValue
        By counting toys.
    agreement_chi2, agreement_fitted : float
        p-value of the number of toys beyond `t` if chi2 were right: exact binomial test of both sides. Failed toys
        count as beyond. NaN without a fit.
    quoted : {"chi2", "fitted chi2", "toys"}
        What to quote, see :meth:`Calibration.p_value`.
    p, z : float
        These of what is quoted.
    extrapolated : bool
        Whether fewer than 10 toys that have not failed lie beyond `t`, so that toys alone do not tell.
    """

    t: float
    p_chi2: float
    z_chi2: float
    p_fitted: float
    p_fitted_lower: float
    p_fitted_upper: float
    z_fitted: float
    z_fitted_error: float
    toys: ToyPValue
    agreement_chi2: float
    agreement_fitted: float
    quoted: str
    p: float
    z: float
    extrapolated: bool

    @property
    def message(self) -> str:
        """What to quote, in words."""
        agreement = {"chi2": self.agreement_chi2, "fitted chi2": self.agreement_fitted}.get(self.quoted)
        beyond = f"{self.toys.n_at_least} of {self.toys.n_toys} toys beyond"
        beyond += f", {self.toys.n_failed} of which have failed" if self.toys.n_failed else ""
        note = "" if agreement is None else f" (agreement p = {agreement:.2g})"
        if self.quoted == "toys" and self.extrapolated:
            note = "; too few, and they allow no chi2 distribution to extrapolate with"
        return f"p = {self.p:.3g}, Z = {self.z:.2f} by {self.quoted}; {beyond}{note}"

    def __repr__(self) -> str:
        """Show the message."""
        return f"CalibratedP(t = {self.t:.4g}: {self.message})"


@dataclass(frozen=True, eq=False, repr=False)
class Calibration(Record):
    """What toys without new physics say of a statistic.

    Parameters
    ----------
    field : str
        The statistic.
    ndof : int
        Nominal degrees of freedom.
    values : array of shape (n_toys,)
        The statistic of toys that have not failed, rising.
    n_failed : int
        Toys that failed.
    mean, mean_error, std, std_error : float
        Of the statistic. chi2 has mean `ndof` and standard deviation ``sqrt(2 ndof)``.
    ks_p : float
        Kolmogorov-Smirnov p-value of chi2 with `ndof`.
    fit : ChiSquareFit or None
        Fitted degrees of freedom and the p-value of that; None if there are values that no chi2 distribution gives.
    tails : array of shape (m,)
        Of the p-values 0.5, 0.1, 0.05, 0.01 and 0.001 those that at least 10 toys are expected to reach.
    tail_chi2, tail_fitted : array of shape (m,)
        By how many standard deviations the number of toys that reach them is above that of chi2, of the fitted one.
    level : float
        Confidence level of intervals.
    verdict : {"chi2", "fitted chi2", "toys"}
        The first that toys do not contradict, by a Kolmogorov-Smirnov p-value that is too small or a tail that is off
        by more than 3 standard deviations. See :meth:`p_value` for what is quoted.
    """

    field: str
    ndof: int
    values: Floats
    n_failed: int
    mean: float
    mean_error: float
    std: float
    std_error: float
    ks_p: float
    fit: ChiSquareFit | None
    tails: Floats
    tail_chi2: Floats
    tail_fitted: Floats
    level: float
    verdict: str

    @property
    def n_toys(self) -> int:
        """Toys that have not failed."""
        return self.values.size

    @property
    def is_above(self) -> bool:
        """Whether fitted degrees of freedom are above the nominal ones by more than their error."""
        return self.fit is not None and self.fit.ndof - self.fit.error > self.ndof

    @property
    def z_tested(self) -> float:
        """Significance up to which the toys test a distribution, 10 of them being expected beyond; at least 0."""
        return max(float(p_to_z(min(_ENOUGH / self.n_toys, 1.0))), 0.0)

    @property
    def z_toys(self) -> float:
        """Largest significance that counting the toys can give, that of p = 1/(n + 1)."""
        return float(p_to_z(1.0 / (self.n_toys + 1)))

    @property
    def message(self) -> str:
        """What holds of the distribution, and how far."""
        parts = [f"{self.n_failed} of {self.n_toys + self.n_failed} toys have failed"] if self.n_failed else []
        parts += [f"chi2 with {self.ndof} degrees of freedom has KS p = {self.ks_p:.3g}"]
        if self.fit is None:
            n_odd = int(np.sum(self.values <= 0))
            parts.append(f"{n_odd} of {self.n_toys} values are not above 0, as those of no chi2 distribution")
        else:
            parts.append(f"with fitted {self.fit.ndof:.2f} +- {self.fit.error:.2f} it has {self.fit.ks_p:.3g}")
        if self.verdict == "toys":
            parts.append(f"count toys, {self.n_toys} of which give Z up to {self.z_toys:.2f}")
        else:
            tested = f"tested by {self.n_toys} toys up to Z = {self.z_tested:.2f} and extrapolated beyond"
            cautious = self.verdict == "chi2" and self.is_above
            name = "fitted chi2, the more cautious one" if cautious else self.verdict
            parts.append(f"use {name}, {tested}")
        return "; ".join(parts)

    def p_value(self, t: float) -> CalibratedP:
        """Return the p-value of a statistic.

        Quoted is what toys say where at least 10 of them lie beyond `t`. Further out it is the distribution of the
        verdict, or the next one where the number of toys beyond `t` contradicts it (its agreement is below 1%); the
        last is to count toys all the same, which gives an upper limit on p. If the verdict is "chi2" but fitted degrees
        of freedom are above the nominal ones by more than their error, the fit goes first: it gives the larger p.

        Toys fail where t is large more often than elsewhere, so failed ones count as beyond any `t`; far out even one
        of them leaves nothing but counting.

        Raises
        ------
        InputError
            If `t` is not finite.
        """
        t = finite_number(t, "t")
        beyond = int(np.sum(self.values >= t))
        every = np.append(self.values, np.zeros(self.n_failed))
        toys = toy_p_value(every, t, failed=np.arange(every.size) >= self.n_toys, level=self.level)
        found = {"chi2": _chi_square(t, self.ndof), "fitted chi2": (np.nan, np.nan), "toys": (toys.p, toys.z)}
        low = high = (np.nan, np.nan)
        if self.fit is not None:
            steps = (0.0, -self.fit.error, self.fit.error)
            found["fitted chi2"], low, high = (_chi_square(t, self.fit.ndof + step) for step in steps)
        counts = toys.n_at_least, toys.n_toys
        agreement = {name: _agreement(*counts, p) for name, (p, _) in found.items() if name != "toys"}
        believed = [name for name in _ORDER[_ORDER.index(self.verdict) : -1] if agreement[name] >= _REFUSED]
        if self.is_above:
            believed.reverse()
        quoted = "toys" if beyond >= _ENOUGH else [*believed, "toys"][0]
        return CalibratedP(
            t=t,
            p_chi2=found["chi2"][0],
            z_chi2=found["chi2"][1],
            p_fitted=found["fitted chi2"][0],
            p_fitted_lower=low[0],
            p_fitted_upper=high[0],
            z_fitted=found["fitted chi2"][1],
            z_fitted_error=0.5 * (low[1] - high[1]),
            toys=toys,
            agreement_chi2=agreement["chi2"],
            agreement_fitted=agreement["fitted chi2"],
            quoted=quoted,
            p=found[quoted][0],
            z=found[quoted][1],
            extrapolated=beyond < _ENOUGH,
        )

    def __repr__(self) -> str:
        """Show moments and the message."""
        failed = f" and {self.n_failed} failed ones" if self.n_failed else ""
        parts = f"mean {self.mean:.4g} +- {self.mean_error:.2g}, standard deviation {self.std:.4g}"
        return f"Calibration({self.field} of {self.n_toys} toys{failed}: {parts}; {self.message})"


def calibrate(
    toys: ToyTable, ndof: int, *, level: float = 0.6827, field: str = "t", least_p: float = 0.05
) -> Calibration:
    """Compare the distribution of a statistic in toys without new physics with chi2.

    Parameters
    ----------
    toys : ToyTable
        Thrown without new physics.
    ndof : int
        Nominal degrees of freedom: the trainable parameters of the network.
    level : float, optional
        Confidence level of intervals.
    field : str, optional
        The statistic.
    least_p : float, optional
        Smallest Kolmogorov-Smirnov p-value that does not contradict a distribution.

    Returns
    -------
    Calibration

    Raises
    ------
    InputError
        If there is no such field, a toy that has not failed has no finite value, or there are fewer than 10 such toys,
        or all have the same.
    """
    ndof, allowed = whole_number(ndof, "ndof", at_least=1), open_share(least_p, "least_p")
    tail_of(level)
    t = np.sort(statistic_of_toys(toys, field))
    if t.size < _ENOUGH or t[0] == t[-1]:
        raise InputError("toys", f"have {np.unique(t).size} different values of {field}", "Pass 10 good toys or more")
    tails = np.array([p for p in _TAILS if p * t.size >= _ENOUGH] or _TAILS[:1])
    ks_p, tail_chi2 = _compared(t, ndof, tails)
    fit, tail_fitted = None, np.full(tails.size, np.nan)
    if t[0] > 0:
        fit = fit_chi_square(t)
        tail_fitted = _compared(t, fit.ndof, tails)[1]
    verdict = "toys"
    if fit is not None and fit.ks_p >= allowed and np.abs(tail_fitted).max() <= _MOST_SIGMA:
        verdict = "fitted chi2"
    if ks_p >= allowed and np.abs(tail_chi2).max() <= _MOST_SIGMA:
        verdict = "chi2"
    found = moments(t)
    return Calibration(
        field=field,
        ndof=ndof,
        values=t,
        n_failed=toys.n_failed,
        mean=found.mean,
        mean_error=found.mean_error,
        std=found.width,
        std_error=found.width_error,
        ks_p=ks_p,
        fit=fit,
        tails=tails,
        tail_chi2=tail_chi2,
        tail_fitted=tail_fitted,
        level=float(level),
        verdict=verdict,
    )


def statistic_of_toys(toys: ToyTable, name: str) -> Floats:
    """Return the statistic (n,) of the toys that have not failed, or raise :class:`InputError` if one has none."""
    t = np.asarray(toys[name], dtype=np.float64)[toys.ok]
    if not np.isfinite(t).all():
        index = int(toys.indices[toys.ok][~np.isfinite(t)][0])
        raise InputError("toys", f"have no finite {name} in toy {index}", "Give such a toy a status that is not 0")
    return t


def _compared(t: Floats, ndof: float, tails: Floats) -> tuple[float, Floats]:
    """Return the Kolmogorov-Smirnov p-value of chi2, and by how many standard deviations tails are off (m,)."""
    found = p_value_calibration(np.exp(chi_square_log_p(t, ndof)), thresholds=tails)
    return found.ks_p, found.n_sigma


def _chi_square(t: float, ndof: float) -> tuple[float, float]:
    """Return p and Z; as good as no degrees of freedom if the error of a fit has taken them all."""
    log_p = chi_square_log_p(t, max(ndof, 1e-6))
    return float(np.exp(log_p)), float(p_to_z(log_p=log_p))


def _agreement(beyond: int, n: int, p: float) -> float:
    """Return how likely a number of toys beyond t is that is no more likely than this one."""
    from scipy.stats import binomtest

    return float(binomtest(beyond, n, p).pvalue) if np.isfinite(p) else np.nan

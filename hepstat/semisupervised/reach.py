"""How far toys reach, with which error, and whether what they calibrate holds in toys of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, open_share
from hepstat.errors import InputError
from hepstat.infer import PValueCalibration, p_to_z, p_value_calibration, quantile_interval, z_to_p
from hepstat.record import Record
from hepstat.semisupervised.maximum import MaximumDistribution
from hepstat.types import Bools, Floats

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["CalibrationReport", "Reach", "calibration_report", "reach"]

_Z = (1.0, 2.0, 3.0, 4.0, 5.0)
_THRESHOLDS = (0.1, 0.05, 0.01, 0.00135)


@dataclass(frozen=True, eq=False, repr=False)
class Reach(Record):
    """Global significance of local ones and the reverse, as far as toys tell.

    Arrays have one entry per number of standard deviations.

    Parameters
    ----------
    z : array of shape (m,)
        Numbers of standard deviations.
    p_global, p_lower, p_upper : array of shape (m,)
        Global p-value of a largest local significance of `z`, with its interval of one standard deviation.
    z_global, z_lower, z_upper : array of shape (m,)
        The same in standard deviations; `z_upper` is infinite beyond the last toy.
    z_local, z_local_lower, z_local_upper : array of shape (m,)
        Largest local significance whose global significance is `z`: a quantile of toys with an interval from order
        statistics. NaN or infinite where the toys end before.
    relative_error : array of shape (m,)
        Expected relative error of the p-value of `z` standard deviations globally, ``sqrt((1 - p) / (n p))``.
    reached : array of bool, shape (m,)
        Whether that is at most `target`.
    target : float
        See :func:`reach`.
    z_reached : float
        Largest global significance whose p-value has a relative error of at most `target`.
    z_most : float
        Largest global significance that counting can give, that of ``1 / (n + 1)``.
    n_toys : int
        Toys, failed ones included.
    """

    z: Floats
    p_global: Floats
    p_lower: Floats
    p_upper: Floats
    z_global: Floats
    z_lower: Floats
    z_upper: Floats
    z_local: Floats
    z_local_lower: Floats
    z_local_upper: Floats
    relative_error: Floats
    reached: Bools
    target: float
    z_reached: float
    z_most: float
    n_toys: int

    def table(self) -> Table:
        """Return the numbers as a rich table."""
        from rich.table import Table

        title = f"Reach of {self.n_toys:,} toys: Z = {self.z_reached:.2f} globally to {self.target:.0%} of p"
        table = Table(title=title)
        for name in ("Z", "global Z of local Z", "interval", "local Z for global Z", "interval", "error of p"):
            table.add_column(name, justify="right")
        for i, z in enumerate(self.z):
            far = not np.isfinite(self.z_local[i])
            table.add_row(
                f"{z:g}",
                f"{'>= ' if np.isinf(self.z_upper[i]) else ''}{self.z_global[i]:.3f}",
                f"{self.z_lower[i]:.3f} to {self.z_upper[i]:.3f}",
                "not reached" if far else f"{self.z_local[i]:.3f}",
                "" if far else f"{self.z_local_lower[i]:.3f} to {self.z_local_upper[i]:.3f}",
                f"{self.relative_error[i]:.2g}{'' if self.reached[i] else ' (too few toys)'}",
            )
        return table

    def __repr__(self) -> str:
        """Show how far the toys reach."""
        return (
            f"Reach({self.n_toys:,} toys: global Z = {self.z_reached:.2f} with {self.target:.0%} of p, at most "
            f"{self.z_most:.2f})"
        )


@dataclass(frozen=True, eq=False, repr=False)
class CalibrationReport(Record):
    """Whether p-values that some toys calibrate are uniform in others.

    Parameters
    ----------
    calibration : PValueCalibration
        Of the p-values of the second set, those of failed toys included. Its errors know nothing of the first, so take
        those below.
    ks_p : float
        Kolmogorov-Smirnov p-value of both sets having one distribution.
    thresholds : array of shape (m,)
        Nominal type-I errors.
    rates, rate_errors : array of shape (m,)
        Share of toys of the second set with a p-value at or below each, and its expected standard deviation from both
        sets.
    n_sigma : array of shape (m,)
        Standard deviations between the number of these and what is expected, by the exact distribution of a count
        beyond an order statistic (beta-binomial); positive where too many. NaN at thresholds that toys of the first
        set which failed leave no p-value at or below.
    n_first, n_second : int
        Toys.
    """

    calibration: PValueCalibration
    ks_p: float
    thresholds: Floats
    rates: Floats
    rate_errors: Floats
    n_sigma: Floats
    n_first: int
    n_second: int

    def table(self) -> Table:
        """Return the type-I errors as a rich table."""
        from rich.table import Table

        title = f"{self.n_second:,} toys calibrated by {self.n_first:,} others (KS p = {self.ks_p:.3g})"
        table = Table(title=title)
        for name in ("nominal", "true", "error", "sigma"):
            table.add_column(name, justify="right")
        rows = zip(self.thresholds, self.rates, self.rate_errors, self.n_sigma, strict=True)
        for nominal, rate, error, sigma in rows:
            table.add_row(f"{nominal:g}", f"{rate:.4g}", f"{error:.2g}", f"{sigma:+.1f}")
        return table

    def __repr__(self) -> str:
        """Show the type-I errors."""
        rows = zip(self.thresholds, self.rates, self.n_sigma, strict=True)
        rates = ", ".join(f"{nominal:g}: {rate:.4g} ({sigma:+.1f} sigma)" for nominal, rate, sigma in rows)
        return f"CalibrationReport({self.n_second:,} toys, KS p = {self.ks_p:.3g}; type-I error at {rates})"


def reach(distribution: MaximumDistribution, z: ArrayLike = _Z, *, target: float = 0.3) -> Reach:
    """Tell which significances the toys of a distribution reach, and with which error.

    Parameters
    ----------
    distribution : MaximumDistribution
        Of the largest local significance in toys without signal.
    z : array_like, (m,), optional
        Numbers of standard deviations to look at, as local and as global ones.
    target : float, optional
        Relative error of a global p-value that is good enough.

    Returns
    -------
    Reach

    Raises
    ------
    InputError
        If `z` is not finite, or `target` not between 0 and 1.
    """
    wanted, enough, n = finite_array(z, "z"), open_share(target, "target"), distribution.n_toys
    p, lower, upper = distribution.p_global(wanted)
    z_global, z_lower, z_upper = distribution.z_global(wanted)
    tails = np.asarray(z_to_p(wanted))
    every = distribution.every
    quantiles = np.tile([np.nan, np.nan, np.inf], (tails.size, 1))
    for i in np.flatnonzero(tails * (n + 1) >= 1.0):
        quantiles[i] = quantile_interval(every, 1.0 - tails[i])
    error = np.sqrt((1.0 - tails) / (n * tails))
    return Reach(
        z=wanted,
        p_global=p,
        p_lower=lower,
        p_upper=upper,
        z_global=z_global,
        z_lower=z_lower,
        z_upper=z_upper,
        z_local=quantiles[:, 0],
        z_local_lower=quantiles[:, 1],
        z_local_upper=quantiles[:, 2],
        relative_error=error,
        reached=error <= enough,
        target=enough,
        z_reached=float(p_to_z(1.0 / (1.0 + n * enough**2))),
        z_most=float(p_to_z(1.0 / (n + 1.0))),
        n_toys=n,
    )


def calibration_report(
    first: MaximumDistribution, second: MaximumDistribution, *, thresholds: ArrayLike = _THRESHOLDS
) -> CalibrationReport:
    """Calibrate the toys of one distribution with those of another, and test that their p-values are uniform.

    Parameters
    ----------
    first, second : MaximumDistribution
        Of the same statistic in independent toys without signal.
    thresholds : array_like, (m,), optional
        Nominal type-I errors, each at least ``1 / (n + 1)`` of the first set's n.

    Returns
    -------
    CalibrationReport
        Failed toys count as beyond every value in both sets: those of the second have the lowest p-value that the
        first gives, ``(n_failed + 1) / (n + 1)``.

    Raises
    ------
    InputError
        If the statistics differ, both have the same toys, or a threshold is too low.
    """
    same = ("procedure", "recipe", "over", "step", "n_steps")
    other = [name for name in same if getattr(first, name) != getattr(second, name)]
    if other:
        shown = f"has {other[0]} = {getattr(second, other[0])!r}, first {getattr(first, other[0])!r}"
        raise InputError("second", shown, "Take the same of both")
    if np.array_equal(first.values, second.values):
        raise InputError("second", "has the toys of first", "Throw toys with another rng")
    cuts, n = finite_array(thresholds, "thresholds"), first.n_toys
    if cuts.min() * (n + 1) < 1:
        raise InputError("thresholds", f"has {cuts.min():g}, below what {n} toys give", "Raise it, or throw more toys")
    from scipy.stats import betabinom, ks_2samp

    found = p_value_calibration(first.p_global(second.every)[0], thresholds=cuts)
    # at or below a threshold: beyond all but `allowed` of the first set, whose tail there is a beta variate
    allowed = np.floor(cuts * (n + 1) * (1.0 + 1e-12))
    expected = betabinom(second.n_toys, allowed, n + 1 - allowed)
    k = found.n_rejected
    at_least, at_most = expected.sf(k - 1), expected.cdf(k)
    deviation = np.maximum(p_to_z(np.clip(np.minimum(at_least, at_most), 0.0, 1.0)), 0.0)
    return CalibrationReport(
        calibration=found,
        ks_p=float(ks_2samp(first.every, second.every).pvalue),
        thresholds=cuts,
        rates=found.rates,
        rate_errors=np.sqrt(expected.var()) / second.n_toys,
        n_sigma=np.where(allowed > first.n_failed, np.where(at_least < at_most, 1.0, -1.0) * deviation, np.nan),
        n_first=n,
        n_second=second.n_toys,
    )

"""Calibration: whether p-values are uniform without signal, and whether intervals cover.

Each deviation has an error, because toys are finite. A toy that failed counts against the test: its p-value as 0, its
interval as one that misses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number
from hepstat.errors import InputError
from hepstat.infer.broadcast import numbers, refuse
from hepstat.infer.intervals import binomial_interval, tail_of
from hepstat.infer.significance import p_to_z
from hepstat.infer.tails import log_beta_tail
from hepstat.infer.toy_p import mask_of, per_toy
from hepstat.record import Record
from hepstat.types import Bools, Floats

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["CoverageCalibration", "PValueCalibration", "coverage", "p_value_calibration"]

_PARTS = 10


@dataclass(frozen=True, eq=False, repr=False)
class PValueCalibration(Record):
    """How uniform p-values are in toys without signal.

    Parameters
    ----------
    n : int
        Number of toys, failed ones included.
    n_failed : int
        Toys that failed; their p-value counts as 0.
    below : float
        Uniformity was tested below this value; 1 for all of them.
    n_below : int
        How many p-values that was.
    ks_statistic, ks_p : float
        Kolmogorov-Smirnov distance of the p-values below `below` from uniform ones, and its own p-value.
    edges : array of shape (11,)
        Edges of ten equal parts of the range from 0 to `below`.
    counts, counts_lower, counts_upper : array of shape (10,)
        p-values in each, with Clopper-Pearson intervals at one standard deviation.
    expected : float
        p-values that each part would have if they were uniform.
    thresholds : array of shape (n_thresholds,)
        Nominal type-I errors.
    n_rejected : array of shape (n_thresholds,)
        p-values at or below each, of all n.
    rates, rates_lower, rates_upper : array of shape (n_thresholds,)
        True type-I error with its Clopper-Pearson interval at one standard deviation.
    n_sigma : array of shape (n_thresholds,)
        Standard deviations between true and nominal type-I error, from the exact binomial tail; positive where the
        test rejects too often.
    """

    n: int
    n_failed: int
    below: float
    n_below: int
    ks_statistic: float
    ks_p: float
    edges: Floats
    counts: Floats
    counts_lower: Floats
    counts_upper: Floats
    expected: float
    thresholds: Floats
    n_rejected: Floats
    rates: Floats
    rates_lower: Floats
    rates_upper: Floats
    n_sigma: Floats

    def table(self) -> Table:
        """Return the type-I errors as a rich table."""
        title = f"Type-I error in {self.n} toys (KS p = {self.ks_p:.3g} for p < {self.below:g})"
        rows = zip(
            self.thresholds,
            self.n_rejected,
            self.rates,
            self.rates_lower,
            self.rates_upper,
            self.n_sigma,
            strict=True,
        )
        cells = [(f"{t:g}", f"{k:.0f}", f"{r:.4g}", f"{a:.4g} - {b:.4g}", f"{s:+.1f}") for t, k, r, a, b, s in rows]
        return _table(title, ("nominal", "rejected", "true", "68% interval", "sigma"), cells)

    def __repr__(self) -> str:
        """Show the test of uniformity and the type-I errors."""
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        rates = ", ".join(
            f"{t:g}: {r:.4g} ({s:+.1f} sigma)"
            for t, r, s in zip(self.thresholds, self.rates, self.n_sigma, strict=True)
        )
        return f"PValueCalibration({self.n} toys{failed}, KS p = {self.ks_p:.3g}; type-I error at {rates})"


@dataclass(frozen=True, eq=False, repr=False)
class CoverageCalibration(Record):
    """How often intervals contain the truth, for every true value.

    Parameters
    ----------
    level : float
        Coverage that the intervals claim.
    truths : array of shape (n_truths,)
        True values, increasing.
    n : array of shape (n_truths,)
        Toys of each, failed ones included.
    n_failed : array of shape (n_truths,)
        Toys that failed; their intervals count as missing the truth.
    coverage, coverage_lower, coverage_upper : array of shape (n_truths,)
        Fraction of intervals that contain the truth, with its Clopper-Pearson interval at one standard deviation.
    n_sigma : array of shape (n_truths,)
        Standard deviations between coverage and level, from the exact binomial tail; negative for undercoverage.
    pull_mean, pull_mean_error, pull_width, pull_width_error : array of shape (n_truths,) or None
        Mean and standard deviation of (estimate - truth) / error over toys that did not fail, NaN for fewer than two;
        the error of the width is that of a normal distribution. None if no estimates were given.
    """

    level: float
    truths: Floats
    n: Floats
    n_failed: Floats
    coverage: Floats
    coverage_lower: Floats
    coverage_upper: Floats
    n_sigma: Floats
    pull_mean: Floats | None = None
    pull_mean_error: Floats | None = None
    pull_width: Floats | None = None
    pull_width_error: Floats | None = None

    def table(self) -> Table:
        """Return coverage, and pulls if there are any, as a rich table."""
        columns = ["truth", "toys", "failed", "coverage", "68% interval", "sigma"]
        rows = [
            [
                f"{self.truths[i]:g}",
                f"{self.n[i]:.0f}",
                f"{self.n_failed[i]:.0f}",
                f"{self.coverage[i]:.4f}",
                f"{self.coverage_lower[i]:.4f} - {self.coverage_upper[i]:.4f}",
                f"{self.n_sigma[i]:+.1f}",
            ]
            for i in range(self.truths.size)
        ]
        named = (
            ("pull mean", self.pull_mean, self.pull_mean_error),
            ("pull width", self.pull_width, self.pull_width_error),
        )
        for name, values, errors in named:
            if values is not None and errors is not None:
                columns.append(name)
                for row, value, error in zip(rows, values, errors, strict=True):
                    row.append(f"{value:.3f} +- {error:.3f}")
        return _table(f"Coverage of intervals of {self.level:g}", columns, rows)

    def __repr__(self) -> str:
        """Show the range of coverages and the worst deviation."""
        worst = int(np.argmax(np.abs(self.n_sigma)))
        return (
            f"CoverageCalibration({self.n.sum():.0f} toys of {self.truths.size} true values; coverage "
            f"{self.coverage.min():.4f} to {self.coverage.max():.4f} for a level of {self.level:g}, "
            f"at most {self.n_sigma[worst]:+.1f} sigma off at {self.truths[worst]:g})"
        )


def p_value_calibration(
    p: ArrayLike,
    *,
    thresholds: ArrayLike = (0.1, 0.05, 0.01, 0.00135),
    below: float | None = None,
    failed: ArrayLike | None = None,
) -> PValueCalibration:
    """Test whether p-values are uniform in toys without signal.

    Parameters
    ----------
    p : array_like, shape (n_toys,)
        p-values.
    thresholds : array_like, shape (n_thresholds,)
        p-values at or below which a test would reject, between 0 and 1.
    below : float, optional
        Test uniformity of the p-values below this one only, given that they are below it. For a one-sided test whose
        statistic is 0 for every deficit half of the p-values are the same (0.5, or 1 with another convention): that
        atom is no defect, and ``below=0.5`` keeps it out. Type-I errors are of all toys in any case.
    failed : array_like of bool or int, shape (n_toys,), optional
        Which toys failed, by truth or by a status that is not 0. Their p-values are ignored, and they count as p = 0,
        rejected at every threshold.

    Returns
    -------
    PValueCalibration
        Test of uniformity, ten parts of the range, and type-I errors.

    Raises
    ------
    InputError
        If a p-value or threshold is no probability, a threshold lies above `below`, or no p-value lies below it.
    """
    given, cuts = per_toy(p, "p"), finite_array(thresholds, "thresholds")
    mask = mask_of(failed, given.size)
    values = finite_array(given[~mask], "p", allow_empty=True)
    refuse((values < 0) | (values > 1), values, "p", "is no probability", "Pass p-values from 0 to 1")
    top = 1.0 if below is None else finite_number(below, "below")
    if not 0.0 < top <= 1.0:
        raise InputError("below", f"is {top:g}", "Pass a p-value above 0, at most 1")
    refuse((cuts <= 0) | (cuts >= 1), cuts, "thresholds", "is not between 0 and 1", "Pass nominal type-I errors")
    refuse(cuts > top, cuts, "thresholds", f"is above {top:g}, where p-values need not be uniform", "Lower it")
    lost = given.size - values.size
    every = np.sort(np.concatenate([np.zeros(lost), values]))
    tested = every if below is None else every[: np.searchsorted(every, top, side="left")]
    if tested.size == 0:
        raise InputError("p", f"has none of {every.size} below {top:g}", "Throw more toys")
    distance, ks_p = _kolmogorov(tested / top)
    edges = np.linspace(0.0, top, _PARTS + 1)
    counts = np.histogram(tested, edges)[0].astype(np.float64)
    low, high = binomial_interval(counts, tested.size)
    rejected = np.searchsorted(every, cuts, side="right").astype(np.float64)
    rates_lower, rates_upper = binomial_interval(rejected, every.size)
    return PValueCalibration(
        n=every.size,
        n_failed=lost,
        below=top,
        n_below=tested.size,
        ks_statistic=distance,
        ks_p=ks_p,
        edges=edges,
        counts=counts,
        counts_lower=low * tested.size,
        counts_upper=high * tested.size,
        expected=tested.size / _PARTS,
        thresholds=cuts,
        n_rejected=rejected,
        rates=rejected / every.size,
        rates_lower=rates_lower,
        rates_upper=rates_upper,
        n_sigma=_deviation(rejected, np.full(cuts.size, float(every.size)), cuts),
    )


def coverage(
    truth: ArrayLike,
    lower: ArrayLike,
    upper: ArrayLike,
    *,
    level: float = 0.6827,
    estimate: ArrayLike | None = None,
    error: ArrayLike | None = None,
    failed: ArrayLike | None = None,
) -> CoverageCalibration:
    """Count how often intervals contain the truth.

    Parameters
    ----------
    truth : array_like, scalar or shape (n_toys,)
        True value in every toy; toys of equal ones are taken together.
    lower, upper : array_like, shape (n_toys,)
        Ends of the intervals, which are part of them; infinite ends are allowed.
    level : float, optional
        Coverage that the intervals claim.
    estimate, error : array_like, shape (n_toys,), optional
        Estimates and their standard errors, for pulls.
    failed : array_like of bool or int, shape (n_toys,), optional
        Which toys failed, by truth or by a status that is not 0; their other entries are ignored, and they count as
        missing the truth.

    Returns
    -------
    CoverageCalibration
        For every true value.

    Raises
    ------
    InputError
        If shapes do not match, an entry is NaN in a toy that is not declared as failed, or an error is not above 0.
    """
    low = per_toy(lower, "lower")
    mask, n_toys = mask_of(failed, low.size), low.size
    high = per_toy(upper, "upper", n_toys)
    true = finite_array(np.full(n_toys, truth) if np.ndim(truth) == 0 else per_toy(truth, "truth", n_toys), "truth")
    tail_of(level)
    low, high = (numbers(end[~mask], name, -np.inf, np.inf) for end, name in ((low, "lower"), (high, "upper")))
    truths, group = np.unique(true, return_inverse=True)
    n = np.bincount(group).astype(np.float64)
    fine = group[~mask]
    inside = (low <= true[~mask]) & (true[~mask] <= high)
    k = np.bincount(fine, weights=inside, minlength=truths.size).astype(np.float64)
    bottom, top = binomial_interval(k, n)
    pulls = _pulls(estimate, error, true, mask)
    moments = () if pulls is None else _moments(pulls, fine, truths.size)
    off = _deviation(k, n, np.full(n.size, float(level)))
    return CoverageCalibration(
        float(level), truths, n, n - np.bincount(fine, minlength=n.size), k / n, bottom, top, off, *moments
    )


def _pulls(estimate: ArrayLike | None, error: ArrayLike | None, true: Floats, failed: Bools) -> Floats | None:
    if estimate is None and error is None:
        return None
    if estimate is None or error is None:
        raise InputError("error", "needs estimate, and estimate error", "Pass both or neither")
    best = finite_array(per_toy(estimate, "estimate", failed.size)[~failed], "estimate", allow_empty=True)
    sigma = finite_array(per_toy(error, "error", failed.size)[~failed], "error", allow_empty=True)
    refuse(sigma <= 0, sigma, "error", "is not above 0", "Declare that toy as failed")
    return np.asarray((best - true[~failed]) / sigma)


def _kolmogorov(values: Floats) -> tuple[float, float]:
    """Return the distance of values from the uniform distribution on (0, 1), and its p-value."""
    from scipy.stats import kstest  # lazily: it takes longer to import than all else

    found = kstest(values, "uniform")
    return float(found.statistic), float(found.pvalue)


def _deviation(k: Floats, n: Floats, p: Floats) -> Floats:
    """Return how many standard deviations k of n lies above (below, if negative) a probability; 0 within the middle."""
    at_least = log_beta_tail(k, n - k + 1.0, p, 1.0 - p)
    at_most = log_beta_tail(n - k, k + 1.0, 1.0 - p, p)
    z = p_to_z(log_p=np.minimum(np.minimum(at_least, at_most), 0.0))
    return np.asarray(np.where(at_least < at_most, 1.0, -1.0) * np.maximum(z, 0.0))


def _moments(pulls: Floats, group: Any, size: int) -> tuple[Floats, ...]:
    """Return mean, its error, width, its error of the pulls of every group (size,), NaN for fewer than two."""
    n = np.bincount(group, minlength=size).astype(np.float64)
    enough = np.where(n > 1, n, np.nan)
    mean = np.bincount(group, weights=pulls, minlength=size) / enough
    squares = np.bincount(group, weights=np.square(pulls - mean[group]), minlength=size)
    width = np.sqrt(squares / (enough - 1.0))
    return mean, width / np.sqrt(enough), width, width / np.sqrt(2.0 * (enough - 1.0))


def _table(title: str, columns: Any, rows: Any) -> Table:
    from rich.table import Table

    table = Table(title=title)
    for name in columns:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    return table

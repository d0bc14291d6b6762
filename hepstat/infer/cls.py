"""CLs: the p-value of signal and background over that of background alone (Read, J. Phys. G 28 (2002) 2693).

The hypothesis under test, signal of strength mu, is the null; the other one, usually no signal, the alternative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from hepstat.checks import finite_number
from hepstat.errors import InputError
from hepstat.infer.broadcast import given, numbers
from hepstat.infer.intervals import binomial_interval, tail_of
from hepstat.infer.toy_p import CountFailed, mask_of, per_toy
from hepstat.record import Record
from hepstat.types import Bools, Floats, Ints

__all__ = ["BAND", "CLs", "toy_cls"]

BAND: Floats = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
"""Standard deviations of the expected band."""


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CLs(Record):
    """CLs of a signal strength, observed and expected.

    Parameters
    ----------
    statistic : str
        Name of the test statistic.
    mu : float
        Signal strength under test.
    observed : float
        Statistic of the data.
    cl_sb : float
        Probability, under the hypothesis under test, of a statistic at least as large.
    cl_b : float
        The same under the alternative.
    cl_s : float
        Their ratio. The signal strength is excluded at 95% if this is below 0.05.
    expected_cl_sb, expected_cl_b, expected_cl_s : array of shape (5,)
        The same for data of the alternative at -2, -1, 0, 1, 2 standard deviations, towards the null.
    method : str
        "asymptotic" or "toys".
    cl_sb_lower, cl_sb_upper, cl_b_lower, cl_b_upper, cl_s_lower, cl_s_upper : float or None
        Confidence intervals from the numbers of toys; None without toys.
    level : float or None
        Confidence level of the intervals.
    n_toys, n_toys_alternative : int or None
        Toys of either hypothesis that entered.
    n_failed, n_failed_alternative : int or None
        Toys that failed.
    count_failed : str or None
        How failed toys count: see :func:`toy_cls`.
    """

    statistic: str
    mu: float
    observed: float
    cl_sb: float
    cl_b: float
    cl_s: float
    expected_cl_sb: Floats
    expected_cl_b: Floats
    expected_cl_s: Floats
    method: str
    cl_sb_lower: float | None = None
    cl_sb_upper: float | None = None
    cl_b_lower: float | None = None
    cl_b_upper: float | None = None
    cl_s_lower: float | None = None
    cl_s_upper: float | None = None
    level: float | None = None
    n_toys: int | None = None
    n_toys_alternative: int | None = None
    n_failed: int | None = None
    n_failed_alternative: int | None = None
    count_failed: str | None = None

    def __repr__(self) -> str:
        """Show CLs, its interval if there is one, and the expected median."""
        between = "" if self.cl_s_lower is None else f" in [{self.cl_s_lower:.4g}, {self.cl_s_upper:.4g}]"
        toys = "" if self.n_toys is None else f", {self.n_toys} and {self.n_toys_alternative} toys"
        return (
            f"CLs({self.statistic}, mu = {self.mu:g}: CLs = {self.cl_s:.4g}{between}, "
            f"CLs+b = {self.cl_sb:.4g}, CLb = {self.cl_b:.4g}, "
            f"expected {self.expected_cl_s[2]:.4g}; {self.method}{toys})"
        )


def toy_cls(
    null: ArrayLike,
    alternative: ArrayLike,
    observed: float,
    *,
    mu: float = 1.0,
    statistic: str = "q_mu_tilde",
    failed: ArrayLike | None = None,
    failed_alternative: ArrayLike | None = None,
    count_failed: CountFailed = "exceed",
    level: float = 0.6827,
) -> CLs:
    """Estimate CLs from toys of both hypotheses.

    CL_s+b is ``(k + 1) / (n + 1)`` for k of n toys of the null with a statistic at least that of the data, so never 0;
    CL_b is k / n of the alternative. Their ratio is cut at 1, which it also gets where no toy of the alternative
    reaches the data. Clopper-Pearson intervals of both, widened to contain the estimate. The interval of CLs joins the
    ends of intervals at the level ``sqrt(level)``: the two samples of toys are independent, so it covers at least as
    often as `level` says, and is wider than it need be.

    Parameters
    ----------
    null : array_like, shape (n,)
        Statistic of toys of the hypothesis under test; infinities are allowed.
    alternative : array_like, shape (n_alternative,)
        The same statistic, of the same mu, of toys without signal.
    observed : float
        Statistic of the data; infinities are allowed.
    mu, statistic : float and str, optional
        Signal strength under test and name of the statistic, kept with the result.
    failed, failed_alternative : array_like of bool or int, optional
        Which toys failed, by truth or by a status that is not 0; their values are ignored.
    count_failed : {"exceed", "drop"}
        Whether failed toys count so that CLs can only get larger (those of the null as reaching the data, those of the
        alternative as not), or not at all. Dropping is right only if toys fail independently of the statistic.
    level : float, optional
        Confidence level of the intervals.

    Returns
    -------
    CLs
        With intervals. The expected band is what toys of the alternative would give as data, at the quantiles of their
        statistic.

    Raises
    ------
    InputError
        If a toy has no value (NaN) though it is not declared as failed, no toy is left, or an argument is wrong.
    """
    if count_failed not in ("exceed", "drop"):
        raise InputError("count_failed", f"is {count_failed!r}", "Choose 'exceed' or 'drop'")
    tail_of(level)
    seen = given(numbers(observed, "observed", -np.inf, np.inf))
    if np.ndim(seen):
        raise InputError("observed", f"has shape {np.shape(seen)}", "Pass one number")
    drop = count_failed == "drop"
    x, lost = _sorted_toys(null, failed, "null", np.nan if drop else np.inf)
    y, lost_y = _sorted_toys(alternative, failed_alternative, "alternative", np.nan if drop else -np.inf)
    at = np.concatenate([[seen], y[np.maximum(np.ceil(ndtr(-BAND) * y.size).astype(np.int64) - 1, 0)]])
    k, k_y = _at_least(x, at), _at_least(y, at)
    cl_sb: Floats = np.asarray((k + 1) / (x.size + 1), dtype=np.float64)
    cl_b: Floats = np.asarray(k_y / y.size, dtype=np.float64)
    cl_s = _ratio(cl_sb, cl_b)
    sb, sb_wide = (_ends(int(k[0]), x.size, float(cl_sb[0]), each) for each in (level, math.sqrt(level)))
    b, b_wide = (_ends(int(k_y[0]), y.size, float(cl_b[0]), each) for each in (level, math.sqrt(level)))
    return CLs(
        statistic=statistic,
        mu=finite_number(mu, "mu"),
        observed=seen,
        cl_sb=float(cl_sb[0]),
        cl_b=float(cl_b[0]),
        cl_s=float(cl_s[0]),
        expected_cl_sb=cl_sb[1:],
        expected_cl_b=cl_b[1:],
        expected_cl_s=cl_s[1:],
        method="toys",
        cl_sb_lower=sb[0],
        cl_sb_upper=sb[1],
        cl_b_lower=b[0],
        cl_b_upper=b[1],
        cl_s_lower=float(_ratio(sb_wide[0], b_wide[1])),
        cl_s_upper=float(_ratio(sb_wide[1], b_wide[0])),
        level=float(level),
        n_toys=x.size,
        n_toys_alternative=y.size,
        n_failed=lost,
        n_failed_alternative=lost_y,
        count_failed=count_failed,
    )


def _sorted_toys(values: ArrayLike, failed: ArrayLike | None, name: str, instead: float) -> tuple[Floats, int]:
    """Return the rising statistics of toys, failed ones replaced (left out for NaN), and how many failed."""
    x = per_toy(values, name)
    lost: Bools = mask_of(failed, x.size)
    odd = np.flatnonzero(np.isnan(x) & ~lost)
    if odd.size:
        raise InputError(
            name,
            f"is NaN in {odd.size} toys that are not declared as failed, the first at index {odd[0]}",
            "Find out why, or declare them as failed",
        )
    kept = x[~lost] if np.isnan(instead) else np.where(lost, instead, x)
    if kept.size == 0:
        raise InputError(name, f"has no toy to count ({int(lost.sum())} failed)", "Throw more toys")
    return np.sort(kept), int(lost.sum())


def _at_least(rising: Floats, at: Floats) -> Ints:
    return np.asarray(rising.size - np.searchsorted(rising, at, side="left"), dtype=np.int64)


def _ratio(cl_sb: Floats | float, cl_b: Floats | float) -> Floats:
    return np.asarray(np.minimum(cl_sb / np.maximum(cl_b, np.finfo(float).tiny), 1.0))


def _ends(k: int, n: int, estimate: float, level: float) -> tuple[float, float]:
    lower, upper = binomial_interval(k, n, level)
    return min(lower, estimate), max(upper, estimate)

"""Importance sampling: p-values far out in the tail from few toys, each with the weight that makes up for its origin.

A toy drawn from a density g instead of the null hypothesis f has the weight ``f/g``. The mean of weight times "at least
as signal-like as the data" is the p-value. :func:`hepstat.infer.tilted_means` makes a good g for binned data.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_number
from hepstat.errors import InputError
from hepstat.infer.broadcast import refuse
from hepstat.infer.significance import p_to_z
from hepstat.infer.toy_p import CountFailed, chosen, mask_of, per_toy
from hepstat.record import Record
from hepstat.types import Floats

if TYPE_CHECKING:
    from hepstat.toys import ToyTable

__all__ = ["WeightedPValue", "weighted_p_value", "weighted_p_value_of"]

_LEAST_EFFECTIVE = 100  # toys, for an error to be trusted
_MOST_SHARE = 0.1  # of one toy in a p-value
_MOST_OFF = 5.0  # standard errors between the mean weight and 1


@dataclass(frozen=True, repr=False)
class WeightedPValue(Record):
    """A p-value estimated from weighted toys.

    Parameters
    ----------
    p : float
        Mean of weight times "at least as signal-like as the data", at most 1; NaN if no toy is, since then the toys
        say nothing.
    log_p : float
        Its natural logarithm, which does not underflow.
    error : float
        Standard error of `p`.
    relative_error : float
        The same over `p`.
    z, z_lower, z_upper : float
        Standard deviations of `p`, and of `p` plus and minus its error; `z_upper` is inf if that is 0 or less.
    effective : float
        Number of equally weighted toys, at least as signal-like as the data, that would give the same relative error.
    n_toys : int
        Toys that entered.
    n_at_least : int
        Toys at least as signal-like as the data, with the failed ones if they count.
    n_failed : int
        Toys that failed.
    count_failed : str
        ``"exceed"`` or ``"drop"``, as in :class:`hepstat.infer.ToyPValue`.
    mean_weight, mean_weight_error : float
        Mean weight of all toys and its standard error. It must be 1 within errors, or the weights are wrong.
    warning : str or None
        Why the estimate or its error should not be believed.
    """

    p: float
    log_p: float
    error: float
    relative_error: float
    z: float
    z_lower: float
    z_upper: float
    effective: float
    n_toys: int
    n_at_least: int
    n_failed: int
    count_failed: str
    mean_weight: float
    mean_weight_error: float
    warning: str | None

    @property
    def p_lower(self) -> float:
        """`p` minus its error, at least 0."""
        return max(self.p - self.error, 0.0)

    @property
    def p_upper(self) -> float:
        """`p` plus its error, at most 1."""
        return min(self.p + self.error, 1.0)

    def __repr__(self) -> str:
        """Show the p-value, its significance and what supports it."""
        kept = "counted as exceeding" if self.count_failed == "exceed" else "left out"
        failed = f", {self.n_failed} failed, {kept}" if self.n_failed else ""
        p = f"{self.p:.4g} +- {self.error:.2g}" if not self.p < 1e-290 else f"exp({self.log_p:.6g})"
        return (
            f"WeightedPValue(p = {p}, Z = {self.z:.3f} in [{self.z_lower:.3f}, {self.z_upper:.3f}]; "
            f"{self.n_at_least} of {self.n_toys} toys, effectively {self.effective:.0f}{failed}; "
            f"mean weight {self.mean_weight:.4f} +- {self.mean_weight_error:.4f}"
            f"{f'; {self.warning}' if self.warning else ''})"
        )


def weighted_p_value(
    values: ArrayLike,
    observed: float,
    log_weights: ArrayLike,
    *,
    failed: ArrayLike | None = None,
    count_failed: CountFailed = "exceed",
) -> WeightedPValue:
    """Estimate a p-value from weighted toys.

    Parameters
    ----------
    values : array_like, shape (n_toys,)
        Statistic of every toy, larger for more signal-like ones; infinities are allowed.
    observed : float
        The same of the data.
    log_weights : array_like, shape (n_toys,)
        Natural logarithm of null density over sampling density; -inf for a toy that is impossible without signal.
    failed : array_like of bool or int, shape (n_toys,), optional
        Which toys failed, by truth or by a status that is not 0; their values are ignored.
    count_failed : {"exceed", "drop"}
        Whether failed toys count, with their weight, as at least as signal-like as the data, or the p-value is
        conditional on success: the mean is then divided by the weighted fraction of toys that did not fail.

    Returns
    -------
    WeightedPValue
        With its standard error, diagnostics and warning.

    Raises
    ------
    InputError
        If a toy has no value (NaN) though it is not declared as failed, a weight is NaN or infinite, there are fewer
        than two toys, or no weight is left without the failed ones.
    """
    x, limit = per_toy(values, "values"), finite_number(observed, "observed")
    n = x.size
    mask, log_w = mask_of(failed, n), _log_weights(log_weights, n)
    if count_failed not in ("exceed", "drop"):
        raise InputError("count_failed", f"is {count_failed!r}", "Choose 'exceed' or 'drop'")
    lost = np.isnan(x) & ~mask
    refuse(lost, x, "values", "belongs to a toy that is not declared as failed", "Find out why, or pass it in failed")
    drop = count_failed == "drop"
    reaching = (x >= limit) & ~mask
    counted = log_w[reaching] if drop else log_w[reaching | mask]
    log_p, relative = _conditional(counted, log_w[mask], n) if drop else _log_mean(counted, n)
    log_mean, mean_relative = _log_mean(log_w, n)
    scaled = np.exp(counted - counted.max()) if np.isfinite(log_p) else np.zeros(0)
    effective = float(scaled.sum() ** 2 / np.square(scaled).sum()) if scaled.size else 0.0
    share = float(1.0 / scaled.sum()) if scaled.size else 0.0
    mean = _exp(log_mean)
    p, error = _exp(log_p), _exp(log_p) * relative
    log_p = min(log_p, 0.0) if np.isfinite(log_p) else math.nan
    z, z_lower, z_upper = _significances(log_p, relative)
    return WeightedPValue(
        p=min(p, 1.0) if scaled.size else math.nan,
        log_p=log_p,
        error=error if scaled.size else math.nan,
        relative_error=relative,
        z=z,
        z_lower=z_lower,
        z_upper=z_upper,
        effective=effective,
        n_toys=n - int(mask.sum()) if drop else n,
        n_at_least=counted.size,
        n_failed=int(mask.sum()),
        count_failed=count_failed,
        mean_weight=mean,
        mean_weight_error=mean * mean_relative,
        warning=_warning(effective, share, log_mean, mean_relative),
    )


def weighted_p_value_of(
    table: ToyTable, name: str, observed: float, *, count_failed: CountFailed = "exceed"
) -> WeightedPValue:
    """Estimate a p-value from a table of weighted toys.

    Parameters
    ----------
    table : ToyTable
        Toys with a field ``log_weight``. Those whose status is not 0 failed.
    name : str
        Field that holds the statistic, larger for more signal-like toys.
    observed, count_failed
        See :func:`weighted_p_value`.

    Returns
    -------
    WeightedPValue

    Raises
    ------
    InputError
        As :func:`weighted_p_value`, or if a field is missing.
    """
    values, log_weights = chosen(table, name)[name], chosen(table, "log_weight")["log_weight"]
    return weighted_p_value(values, observed, log_weights, failed=table.status, count_failed=count_failed)


def _log_weights(log_weights: ArrayLike, n: int) -> Floats:
    log_w = per_toy(log_weights, "log_weights", n)
    refuse(~(log_w < np.inf), log_w, "log_weights", "is not a weight", "Correct the sampling density")
    if n < 2 or not np.isfinite(log_w).any():
        raise InputError("log_weights", f"has {int(np.isfinite(log_w).sum())} finite entries", "Throw more toys")
    return log_w


def _log_mean(log_w: Floats, n: int) -> tuple[float, float]:
    """Return log of the mean over n toys, those not given counting 0, and its relative standard error."""
    top = float(log_w.max(initial=-np.inf))
    if top == -np.inf:
        return -math.inf, math.nan
    w = np.exp(log_w - top)
    mean = float(w.sum()) / n
    squares = float(np.square(w - mean).sum()) + (n - w.size) * mean * mean
    return top + math.log(mean), math.sqrt(squares / (n - 1) / n) / mean


def _conditional(log_w: Floats, log_failed: Floats, n: int) -> tuple[float, float]:
    """Return the same of a p-value given success, P(at least, success) / (1 - P(failure)), by the delta method."""
    log_joint, _ = _log_mean(log_w, n)
    failure = _exp(_log_mean(log_failed, n)[0])
    if failure >= 1.0:
        raise InputError("failed", "carries all the weight", "Mend the fit, or count failed toys as exceeding")
    log_p = log_joint - math.log1p(-failure)
    log_sum, relative = _log_mean(np.concatenate([log_w, log_failed + log_p]), n)
    return log_p, relative * _exp(log_sum - log_joint) if log_joint > -math.inf else math.nan


def _significances(log_p: float, relative: float) -> tuple[float, float, float]:
    if math.isnan(log_p):
        return math.nan, math.nan, math.nan
    least = log_p + math.log1p(-relative) if relative < 1.0 else -math.inf
    most = min(log_p + math.log1p(relative), 0.0)
    return p_to_z(log_p=log_p), p_to_z(log_p=most), p_to_z(log_p=least)


def _warning(effective: float, share: float, log_mean: float, relative: float) -> str | None:
    notes = []
    if effective == 0.0:
        notes.append("no toy reaches the observed value: move the sampling density nearer to it")
    elif effective < _LEAST_EFFECTIVE:
        few = f"only {effective:.1f} effective toys, fewer than {_LEAST_EFFECTIVE}"
        notes.append(f"{few}: the error is not to be trusted")
    if share > _MOST_SHARE:
        notes.append(f"one toy carries {share:.0%} of p")
    if abs(1.0 - _exp(-log_mean)) > max(_MOST_OFF * relative, 1e-9):
        notes.append(f"the mean weight {_exp(log_mean):.4g} is over {_MOST_OFF:g} errors from 1: the weights are wrong")
    return "; ".join(notes) or None


def _exp(value: float) -> float:
    return math.exp(value) if value < 709.0 else math.inf

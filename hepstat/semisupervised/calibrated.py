"""Statistics of toys with signal, calibrated by toys without, and how both kinds of toys make them uncertain."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from hepstat.infer import binomial_interval, compare_power, fit_tail, p_to_z, p_value, quantile_interval
from hepstat.infer.significance import z_change
from hepstat.infer.tail_fit import TailFit, TailKind
from hepstat.semisupervised.columns import SearchLike, Toys, column, place_of
from hepstat.semisupervised.maximum import OVER
from hepstat.types import Bools, Floats

__all__ = ["Judge", "Judged", "Statistic", "Summary", "influence", "median_interval", "null_error", "summary"]

_MOST_Z = 37.0


class Statistic(NamedTuple):
    """One way to make a number of a toy."""

    procedure: str
    recipe: str
    over: str
    step: int  # -1 for none


class _Source:
    """Statistics of the toys of a table, whose columns are read once per procedure."""

    def __init__(self, toys: Toys, search: SearchLike, failed: float) -> None:
        self.toys, self.search, self.failed = toys, search, failed
        self._of: tuple[str, str] | None = None
        self._z = np.empty(0)

    def values(self, statistic: Statistic) -> Floats:
        """Return the statistic (n,)."""
        field = "z" if statistic.over in OVER[:2] else "z_scan"
        if self._of != (field, statistic.procedure):
            self._of = field, statistic.procedure
            self._z = column(self.toys, field, place_of(self.search.procedures, statistic.procedure, "procedures"))
        z = self._z
        if field == "z":
            z = z[:, place_of(self.search.recipes, statistic.recipe, "recipes")]
        t = z[:, statistic.step] if statistic.step >= 0 else np.fmax.reduce(z, axis=1)
        return np.where(np.isnan(t), self.failed, t)


class Judged(NamedTuple):
    """A statistic of toys without and with signal, and global significances of the latter."""

    null: Floats
    signal: Floats
    z: Floats
    tail: TailFit | None

    @property
    def extrapolated(self) -> Bools:
        """Which toys with signal have a significance of the tail."""
        threshold = np.inf if self.tail is None else self.tail.threshold
        return np.asarray(self.signal >= threshold)

    @property
    def n_failed(self) -> int:
        """Number of toys without signal that failed."""
        return int(np.sum(np.isinf(self.null)))

    @property
    def z_most(self) -> float:
        """Largest significance that counting can give, where toys that failed are beyond every value."""
        n = self.null.size
        return float(p_to_z(min(self.n_failed + 1.0, n) / (n + 1.0)))

    @property
    def saturated(self) -> Bools:
        """Which toys with signal are beyond all toys without it that did not fail; none if all of these failed."""
        last = self.null.max(where=np.isfinite(self.null), initial=-np.inf)
        return np.asarray((self.signal > last) & np.isfinite(last))


class Judge:
    """Calibrates statistics of toys with signal by the same of toys without."""

    def __init__(
        self, null: Toys, signal: Toys, search: SearchLike, tail: TailKind | None = None, share: float = 0.02
    ) -> None:
        self._sources = _Source(null, search, np.inf), _Source(signal, search, -np.inf)
        self.tail, self.share = tail, share

    def __call__(self, statistic: Statistic) -> Judged:
        """Calibrate one; significances stay within those of the first and the last of n + 1 toys, but for tails.

        Toys that failed are beyond every value without signal, and below with it.
        """
        null, signal = (source.values(statistic) for source in self._sources)
        return _judge(null, signal, self.tail, self.share)

    def n_failed(self, statistic: Statistic) -> int:
        """Return the number of toys without signal in which a statistic failed."""
        return int(np.sum(np.isinf(self._sources[0].values(statistic))))


def _judge(null: Floats, signal: Floats, kind: TailKind | None, share: float) -> Judged:
    n = null.size
    p = np.clip(np.asarray(p_value(null, signal)), 1.0 / (n + 1.0), n / (n + 1.0))
    z, tail = np.asarray(p_to_z(p)), None
    if kind is not None:
        fine = np.isfinite(null)
        tail = fit_tail(null[fine], kind, share=share, n_failed=int(np.sum(~fine)), check=False)
        far = tail.z(signal)[0]
        z = np.where(np.isnan(far), z, far)
    return Judged(null, signal, z, tail)


def median_interval(one: Judged) -> tuple[float, float, float]:
    """Return the median significance and its interval: errors of both numbers of toys in quadrature."""
    median = float(np.median(one.z))
    _, low, high = quantile_interval(one.z, 0.5)
    t, n = float(np.median(one.signal)), one.null.size
    k = np.sum(one.null >= t)
    if one.tail is not None and t >= one.tail.threshold:
        error = float(one.tail.z(t)[1])
        ends = median - error, median + error
    else:
        lower, upper = binomial_interval(float(k), float(n))
        ends = min(float(p_to_z(upper)), median), max(float(p_to_z(lower)), median)
    return (
        median,
        median - math.hypot(median - low, median - ends[0]),
        median + math.hypot(high - median, ends[1] - median),
    )


def influence(one: Judged, criterion: str) -> Floats:
    """Return by how much each toy without signal (n_null,) moves the criterion, up to a factor of 1 / n_null.

    A p-value counts toys at or beyond a value, or is that of the tail, and lowers the significance by its change over
    the normal density there.
    """
    t, z = (np.median(x, keepdims=True) if criterion == "median" else x for x in (one.signal, one.z))
    slopes = z_change(np.minimum(z, _MOST_Z)) / t.size
    far = np.zeros(t.size, dtype=np.bool_) if one.tail is None else t >= one.tail.threshold
    moved = np.zeros(one.null.size)
    if one.tail is not None and far.any():
        moved -= one.tail.influence(t[far], np.where(z[far] < _MOST_Z, slopes[far], 0.0), one.null)
    order = np.argsort(t)
    sums = np.append(0.0, np.cumsum(np.where(far, 0.0, slopes)[order]))
    return np.asarray(moved - sums[np.searchsorted(t[order], one.null, side="right")])


def null_error(one: Judged, criterion: str) -> float:
    """Return the standard error of the criterion from toys without signal."""
    return float(influence(one, criterion).std()) / math.sqrt(one.null.size)


class Summary(NamedTuple):
    """What the table says of one statistic."""

    median: float
    median_lower: float
    median_upper: float
    mean: float
    mean_error: float
    power: float
    power_error: float
    saturated: float
    extrapolated: float
    n_failed: int
    z_most: float


def summary(one: Judged, level: float) -> Summary:
    """Return what a table of power says of a statistic, at a level."""
    compared = compare_power({"it": (one.null, one.signal)}, level)
    signal_error = one.z.std(ddof=1) / math.sqrt(one.z.size)
    median, lower, upper = median_interval(one)
    return Summary(
        median=median,
        median_lower=lower,
        median_upper=upper,
        mean=float(one.z.mean()),
        mean_error=math.hypot(signal_error, null_error(one, "mean")),
        power=float(compared.power[0]),
        power_error=float(compared.error[0]),
        saturated=float(np.mean(one.saturated)),
        extrapolated=float(np.mean(one.extrapolated)),
        n_failed=one.n_failed,
        z_most=one.z_most,
    )

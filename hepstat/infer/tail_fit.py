"""Tails of a statistic beyond its toys: named, fitted above a high quantile, and never used unless asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import open_share
from hepstat.errors import InputError
from hepstat.infer.kolmogorov import distances
from hepstat.infer.significance import p_to_z, z_change
from hepstat.record import Record
from hepstat.seeds import stream_key, toy_generator
from hepstat.types import Floats

__all__ = ["TAILS", "TailFit", "TailKind", "fit_tail"]

TailKind: TypeAlias = Literal["exponential", "square", "pareto"]
TAILS: tuple[TailKind, ...] = ("exponential", "square", "pareto")

_LEAST = 50  # toys above the threshold
_SAMPLES, _SLOW_SAMPLES, _SAMPLE = 999, 99, 500  # to compare distances with; of a fit that iterates; size of each


@dataclass(frozen=True, eq=False, repr=False)
class TailFit(Record):
    """The tail of a statistic above a high quantile of its toys.

    Parameters
    ----------
    kind : {"exponential", "square", "pareto"}
        The excess over the threshold t is exponential in T; exponential in T^2, as for the largest of normal numbers
        (Gross and Vitells, whose scale is 2); or has the generalised Pareto distribution in T, whose shape is fitted.
        One of negative shape ends at ``t - scale / shape``, where its significances run off to infinity.
    threshold : float
        The quantile t.
    n_toys, n_above : int
        Toys, failed ones included, and those above the threshold that the fit has seen.
    n_failed : int
        Toys without a statistic, which count as beyond any.
    scale, shape : float
        Mean of the excess, for "pareto" its scale and shape; shape is 0 otherwise.
    covariance : array of shape (2, 2)
        Of `scale` and `shape`.
    ks_p : float
        p-value of the distance between the excesses and the fit, from samples of the fit that are fitted as well; NaN
        if the fit was not checked.
    """

    kind: str
    threshold: float
    n_toys: int
    n_above: int
    n_failed: int
    scale: float
    shape: float
    covariance: Floats
    ks_p: float

    def log_p(self, t: ArrayLike) -> tuple[Floats, Floats]:
        """Return log P(T >= t) and its standard error for values at or above the threshold; NaN below.

        The error is that of the number of toys above the threshold and of the fitted parameters. It does not know
        whether the tail goes on as it was fitted. Beyond the end of a tail log P is -infinity and has no error, NaN,
        unless toys failed.
        """
        x = np.asarray(t, dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            excess = np.where(x >= self.threshold, _excess(x, self.threshold, self.kind), np.nan)
            log_s, by_scale, by_shape = _log_survival(excess, self.scale, self.shape)
        (a, b), (_, d) = self.covariance
        spread = a * by_scale**2 + 2.0 * b * by_scale * by_shape + d * by_shape**2
        above, failed = self.n_above / self.n_toys, self.n_failed / self.n_toys
        log_p = np.log(above) + log_s
        with np.errstate(over="ignore", invalid="ignore"):
            if self.n_failed:
                log_p = np.logaddexp(log_p, np.log(failed))
            part = np.exp(np.log(above) + log_s - log_p)  # that of toys above the threshold
            counts = (part**2 / above + failed * np.exp(-2.0 * log_p) if self.n_failed else 1.0 / above) - 1.0
            return log_p, np.sqrt(counts / self.n_toys + part**2 * spread)

    def influence(self, t: Floats, weights: Floats, null: Floats) -> Floats:
        """Return by how much each toy moves a weighted sum of p-values, up to a factor of 1 / n_toys.

        Parameters
        ----------
        t, weights : array of shape (m,)
            Values at or above the threshold, and the weights of their p-values.
        null : array of shape (n_toys,)
            The toys of the fit, infinity for those that failed.
        """
        log_s, by_scale, by_shape = _log_survival(_excess(t, self.threshold, self.kind), self.scale, self.shape)
        parts = weights * np.exp(log_s)
        above = (null > self.threshold) & np.isfinite(null)
        scores = _scores(_excess(null[above], self.threshold, self.kind), self.scale, self.shape)
        known = parts > 0
        slopes = np.array([np.sum(parts[known] * by_scale[known]), np.sum(parts[known] * by_shape[known])])
        moved = np.where(np.isinf(null), weights.sum(), 0.0)
        moved[above] = parts.sum() + slopes @ (self.covariance * self.n_above) @ scores
        return np.asarray(moved - moved.mean())

    def p(self, t: ArrayLike) -> tuple[Floats, Floats]:
        """Return P(T >= t) and its standard error; NaN below the threshold."""
        log_p, error = self.log_p(t)
        return np.exp(log_p), np.exp(log_p) * error

    def z(self, t: ArrayLike) -> tuple[Floats, Floats]:
        """Return the significance of a value, and its standard error; NaN below the threshold."""
        log_p, error = self.log_p(t)
        z = np.full(log_p.shape, np.nan)
        known = ~np.isnan(log_p)
        z[known] = p_to_z(log_p=log_p[known])
        with np.errstate(divide="ignore"):
            return z, z_change(z, np.log(error) + log_p)

    def __repr__(self) -> str:
        """Show the fit and whether toys agree with it."""
        shape = f", shape {self.shape:.3g} +- {np.sqrt(self.covariance[1, 1]):.2g}" if self.kind == "pareto" else ""
        error = np.sqrt(self.covariance[0, 0])
        agreement = "not checked" if np.isnan(self.ks_p) else f"KS p = {self.ks_p:.2g}"
        return (
            f"TailFit({self.kind} above {self.threshold:.3g}: scale {self.scale:.3g} +- {error:.2g}{shape}; "
            f"{self.n_above} of {self.n_toys} toys, {agreement})"
        )


def fit_tail(
    values: ArrayLike, kind: TailKind, *, share: float = 0.02, n_failed: int = 0, check: bool = True
) -> TailFit:
    """Fit the tail of a statistic by maximum likelihood.

    Parameters
    ----------
    values : array_like, (n,)
        Statistic of toys that did not fail.
    kind : {"exponential", "square", "pareto"}
        See :class:`TailFit`. A statistic made of significances falls like a normal distribution, faster than an
        exponential one, which therefore gives p-values that are too large, and significances that are too small.
    share : float, optional
        Share of toys above the threshold.
    n_failed : int, optional
        Further toys, without a statistic.
    check : bool, optional
        Whether to throw samples of the fit for `ks_p`, which takes far longer than the fit.

    Returns
    -------
    TailFit

    Raises
    ------
    InputError
        For fewer than 50 toys above the threshold, those tied with it left out, an unknown kind, or for "square" a
        threshold that is not above 0.
    """
    if kind not in TAILS:
        raise InputError("tail", f"is {kind!r}", f"Choose from {', '.join(TAILS)}")
    rising = np.sort(np.asarray(values, dtype=np.float64))
    n_above = int(open_share(share, "share") * rising.size)
    threshold = float(rising[-n_above - 1]) if n_above else np.inf
    above = rising[rising > threshold]
    if above.size < _LEAST:
        tied = f", {n_above - above.size} others are tied" if n_above > above.size else ""
        problem = f"= {share:g} leaves {above.size} of {rising.size} toys{tied}"
        raise InputError("share", problem, f"{_LEAST} are needed")
    if kind == "square" and threshold <= 0:
        raise InputError("share", f"= {share:g} is above {threshold:.3g}, whose square does not rise", "Lower it")
    excess = _excess(above, threshold, kind)
    scale, shape, covariance = _fitted(excess, kind)
    return TailFit(
        kind=kind,
        threshold=threshold,
        n_toys=rising.size + n_failed,
        n_above=above.size,
        n_failed=n_failed,
        scale=scale,
        shape=shape,
        covariance=covariance,
        ks_p=_agreement(excess, kind, scale, shape) if check else np.nan,
    )


def _excess(t: Floats, threshold: float, kind: str) -> Floats:
    return t * t - threshold * threshold if kind == "square" else t - threshold


def _log_survival(excess: Floats, scale: float, shape: float) -> tuple[Floats, Floats, Floats]:
    """Return the log of the survival function, and its slopes by scale and shape."""
    y = excess / scale
    if abs(shape) < 1e-9:
        return -y, y / scale, 0.5 * y * y
    inner = 1.0 + shape * y  # not above 0 beyond the end of the distribution
    inside = inner > 0
    log = np.log(np.where(inside, inner, 1.0))
    ratio = y / np.where(inside, inner, 1.0)
    log_s = np.where(inside, -log / shape, np.where(np.isnan(y), np.nan, -np.inf))
    return log_s, np.where(inside, ratio / scale, 0.0), np.where(inside, log / shape**2 - ratio / shape, 0.0)


def _scores(excess: Floats, scale: float, shape: float) -> Floats:
    """Return the slopes (2, n) of the log density by scale and shape."""
    y = excess / scale
    if abs(shape) < 1e-9:
        return np.array([(y - 1.0) / scale, 0.5 * y * y - y])
    inner = np.maximum(1.0 + shape * y, 1e-12)
    by_scale = ((1.0 + shape) * y / inner - 1.0) / scale
    return np.array([by_scale, np.log(inner) / shape**2 - (1.0 / shape + 1.0) * y / inner])


def _fitted(excess: Floats, kind: str) -> tuple[float, float, Floats]:
    """Return scale, shape and their covariance."""
    n, mean = excess.size, float(excess.mean())
    if kind != "pareto":
        return mean, 0.0, np.array([[mean * mean / n, 0.0], [0.0, 0.0]])
    scale, shape = _pareto(excess)
    # inverse of the expected information, which exists for shapes above -1/2 (Smith, Biometrika 72 (1985) 67)
    one = 1.0 + max(shape, -0.49)
    return scale, shape, one / n * np.array([[2.0 * scale * scale, -scale], [-scale, one]])


def _pareto(excess: Floats) -> tuple[float, float]:
    """Maximise the likelihood of the generalised Pareto distribution along its one free direction (Grimshaw 1993)."""
    from scipy.optimize import minimize_scalar

    n, top = excess.size, float(excess.max())

    def shape_at(theta: float) -> float:
        return float(np.mean(np.log1p(theta * excess)))

    def loss(theta: float) -> float:
        shape = shape_at(theta)
        scale = shape / theta if abs(theta) * top > 1e-9 else float(excess.mean())
        return float(n * (np.log(scale) + 1.0 + shape))

    # theta = shape / scale; within 0.5 / n of -1 / top the likelihood has no maximum of its own
    low, high = -(1.0 - 0.5 / n) / top, 5.0 / float(excess.mean())
    best = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-8 * high})
    theta = float(best.x)
    if abs(theta) * top <= 1e-9:
        return float(excess.mean()), 0.0
    shape = shape_at(theta)
    return shape / theta, shape


def _agreement(excess: Floats, kind: str, scale: float, shape: float) -> float:
    """Return the p-value of the distance of excesses from their fit.

    Beyond 500 excesses the samples have 500, since distances grow with the root of the number.
    """
    m = min(excess.size, _SAMPLE)
    n = _SAMPLES if kind != "pareto" else _SLOW_SAMPLES
    samples: Any = toy_generator(stream_key(0), 0).standard_exponential((n, m))
    samples = scale * (samples if abs(shape) < 1e-9 else np.expm1(shape * samples) / shape)
    null = _distances(samples, kind) * np.sqrt(m)
    distance = _distances(excess[np.newaxis], kind)[0] * np.sqrt(excess.size)
    return float((np.sum(null >= distance) + 1.0) / (null.size + 1.0))


def _distances(excess: Floats, kind: str) -> Floats:
    """Return the Kolmogorov-Smirnov distance (m,) of every row (m, n) from the tail fitted to it."""
    rising = np.sort(excess, axis=1)
    if kind == "pareto":
        fits = [_fitted(row, kind)[:2] for row in rising]
        cdf = np.array([-np.expm1(_log_survival(row, *fit)[0]) for row, fit in zip(rising, fits, strict=True)])
    else:
        cdf = -np.expm1(-rising / rising.mean(axis=1, keepdims=True))
    return distances(cdf)

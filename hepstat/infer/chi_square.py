"""The chi2 distribution of a test statistic: its tail, and the degrees of freedom that toys ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtr, polygamma, psi

from hepstat.checks import finite_array, whole_number
from hepstat.infer.broadcast import given, numbers, refuse
from hepstat.infer.kolmogorov import distances, stephens
from hepstat.infer.tails import log_poisson_below
from hepstat.record import Record
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats

__all__ = ["ChiSquareFit", "chi_square_log_p", "fit_chi_square"]

_NEWTON = 60
_MOST = 1000  # values of one repetition: the corrected distance hardly depends on their number


@dataclass(frozen=True)
class ChiSquareFit(Record):
    """A chi2 distribution fitted to values of a statistic.

    Parameters
    ----------
    n : int
        Number of values.
    ndof, error : float
        Degrees of freedom of maximum likelihood, and their standard error.
    ks_statistic : float
        Kolmogorov-Smirnov distance from the fitted distribution.
    ks_p : float
        Its p-value. The distance of a fitted distribution is smaller than that of a given one, so it is compared with
        the distances of samples of the fitted distribution, fitted in the same way (Lilliefors 1967).
    """

    n: int
    ndof: float
    error: float
    ks_statistic: float
    ks_p: float


def chi_square_log_p(t: ArrayLike, ndof: ArrayLike) -> Any:
    """Return log P(chi2 >= t), right where the probability underflows; of the broadcast shape.

    Parameters
    ----------
    t : array_like
        Statistic; anything up to 0 has probability 1.
    ndof : array_like
        Degrees of freedom, above 0, not necessarily whole.

    Raises
    ------
    InputError
        If an entry is NaN or out of range.
    """
    x, k = np.broadcast_arrays(numbers(t, "t", -np.inf, np.inf), numbers(ndof, "ndof", 0.0, np.inf))
    refuse((k <= 0) | np.isinf(k), k, "ndof", "is no number above 0", "Pass degrees of freedom")
    log_p = log_poisson_below(np.atleast_1d(0.5 * k), np.atleast_1d(0.5 * np.maximum(x, 0.0)))
    return given(np.minimum(log_p, 0.0).reshape(x.shape))


def fit_chi_square(values: ArrayLike, *, repetitions: int = 999, rng: Rng = 0) -> ChiSquareFit:
    """Fit degrees of freedom to values of a statistic, and test the fit.

    The likelihood is largest where psi(ndof/2) is the mean of log(t/2).

    Parameters
    ----------
    values : array_like, shape (n,)
        Values above 0, two or more of them different.
    repetitions : int, optional
        Samples of the fitted distribution for the p-value, which is a multiple of ``1 / (repetitions + 1)``. More than
        1000 values are compared with samples of 1000, by the modified distance of Stephens (1970).
    rng : int, SeedSequence or Generator, optional
        Of these samples.

    Returns
    -------
    ChiSquareFit

    Raises
    ------
    InputError
        If values are not finite or not above 0, or all the same.
    """
    t = finite_array(values, "values")
    refuse(t <= 0, t, "values", "is not above 0", "Leave out, and report, what no chi2 distribution gives")
    refuse(np.ptp(t, keepdims=True) == 0, t[:1], "values", "is the only value", "Throw two or more toys")
    m, generator = min(t.size, _MOST), toy_generator(stream_key(rng), 0)
    n_samples = whole_number(repetitions, "repetitions", at_least=19)
    ndof = _estimate(t[np.newaxis])
    samples = 2.0 * generator.standard_gamma(0.5 * ndof[0], (n_samples, m))
    samples = np.maximum(samples, np.finfo(np.float64).tiny)  # few degrees of freedom may underflow to 0
    distance, found = _distance(t[np.newaxis], ndof)[0], _distance(samples, _estimate(samples))
    as_far = np.sum(found * stephens(np.sqrt(m)) >= distance * stephens(np.sqrt(t.size)))
    error = 2.0 / np.sqrt(t.size * polygamma(1, 0.5 * ndof[0]))
    return ChiSquareFit(t.size, float(ndof[0]), float(error), float(distance), float((as_far + 1) / (n_samples + 1)))


def _estimate(t: Floats) -> Floats:
    """Return the degrees of freedom (m,) of every row (m, n)."""
    target = np.log(0.5 * t).mean(axis=1)
    # psi(x) lies between log x - 1/x and log x - 1/(2 x): Minka's start, then Newton, which rises without overshooting
    x = np.where(target >= -2.22, np.exp(target) + 0.5, -1.0 / (target + np.euler_gamma))
    for _ in range(_NEWTON):
        step = (psi(x) - target) / polygamma(1, x)
        x = np.maximum(x - step, 0.1 * x)
        if np.all(np.abs(step) <= 1e-13 * x):
            break
    return np.asarray(2.0 * x)


def _distance(t: Floats, ndof: Floats) -> Floats:
    """Return the Kolmogorov-Smirnov distance (m,) of every row (m, n) from its chi2 distribution."""
    return distances(chdtr(ndof[:, np.newaxis], np.sort(t, axis=1)))

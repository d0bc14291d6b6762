"""Distributions of test statistics for many events, after Cowan, Cranmer, Gross and Vitells (arXiv:1007.1727).

They follow from Wald's approximation, in which -2 log L is a parabola in mu of width sigma and the best-fit mu is
Gaussian around its true value with that width. One number of data without fluctuations (Asimov data) gives sigma.
Equation numbers are those of the paper. In units of sigma, m is the signal strength under test and m' the true one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtr, ndtri

from hepstat.checks import finite_number, nonnegative_number, positive_number
from hepstat.errors import InputError
from hepstat.infer.broadcast import finite, given, numbers, refuse
from hepstat.infer.cls import BAND, CLs
from hepstat.infer.statistics import check_statistic
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["AsymptoticDistribution", "asimov_sigma", "asymptotic_cls", "asymptotic_log_tails"]

_BISECTIONS = 80  # from a bracket of tens to double precision


@dataclass(frozen=True)
class AsymptoticDistribution(Record):
    """Asymptotic distribution f(q_mu | mu') of a test statistic.

    Statistics q0, q_mu and q_mu_tilde have probability at 0, for data that fit the hypothesis under test better than
    its neighbours on the other side; :meth:`sf` and :meth:`pdf` leave it out, so the largest p-value in `sf` at the
    true hypothesis is 1/2, as in the paper.

    Parameters
    ----------
    statistic : str
        One of :data:`hepstat.infer.STATISTICS`: q0 (eqs. 48 to 53), q_mu (57 to 60), q_mu_tilde (62 to 66), t_mu
        (33 to 37), t_mu_tilde (40 to 46), or simple, the ratio of mu to no signal (73), which is Gaussian only as far
        as -2 log L is a parabola from no signal to mu: with few events or large signals use toys or
        :func:`hepstat.infer.compound_poisson`.
    mu : float
        Signal strength under test, at least 0; above 0 for q_mu_tilde, t_mu_tilde and simple; 0 for q0.
    mu_true : float
        True signal strength, mu'.
    sigma : float
        Standard deviation of the best-fit mu, above 0; see :func:`asimov_sigma`.

    Raises
    ------
    InputError
        For an unknown statistic or numbers that it does not allow.
    """

    statistic: str
    mu: float
    mu_true: float
    sigma: float

    def __post_init__(self) -> None:
        """Check what was given."""
        check_statistic(self.statistic)
        nonnegative_number(self.mu, "mu")
        finite_number(self.mu_true, "mu_true")
        positive_number(self.sigma, "sigma")
        if self.statistic == "q0" and self.mu != 0:
            raise InputError("mu", f"is {self.mu:g}", "Pass 0 for q0, which tests the background")
        if self.statistic in ("q_mu_tilde", "t_mu_tilde", "simple") and self.mu == 0:
            raise InputError("mu", "is 0", f"Pass a signal strength above 0 for {self.statistic}")

    def cdf(self, q: ArrayLike) -> Any:
        """Return the probability of a statistic of at most `q`, of the shape of `q`."""
        x, values = numbers(q, "q", -np.inf, np.inf), self._units(q)
        inside = np.zeros_like(x) + ndtr(values[0])
        if len(values) == 2:
            inside -= ndtr(-values[1])
        return given(np.where(self._below(x), 0.0, inside))

    def sf(self, q: ArrayLike) -> Any:
        """Return the probability of a statistic above `q`, of the shape of `q`."""
        x = numbers(q, "q", -np.inf, np.inf)
        return given(np.where(self._below(x), 1.0, sum(ndtr(-z) for z in self._units(q))))

    def log_sf(self, q: ArrayLike) -> Any:
        """Return the natural logarithm of :meth:`sf`, right where that underflows."""
        x = numbers(q, "q", -np.inf, np.inf)
        return given(np.where(self._below(x), 0.0, _log_tail(self._units(q))))

    def pdf(self, q: ArrayLike) -> Any:
        """Return the density at `q`, without the probability at 0; infinite at 0 for all but the simple ratio."""
        x = numbers(q, "q", -np.inf, np.inf)
        m = self.mu / self.sigma
        with np.errstate(divide="ignore"):
            steep = 0.5 / np.sqrt(np.maximum(x, 0.0))
        flat = 0.5 / m if m > 0 else np.inf
        last = {
            "simple": np.full_like(x, flat),
            "q_mu_tilde": np.where(x > m * m, flat, steep),
            "t_mu_tilde": np.where(x > m * m, flat, steep),
        }.get(self.statistic, steep)
        *first, z = self._units(q)
        with np.errstate(invalid="ignore"):  # infinite slope times no density, at infinity only
            density = sum((_bell(other) * steep for other in first), _bell(z) * last)
        return given(np.where(self._below(x), 0.0, density))

    def quantile(self, p: ArrayLike) -> Any:
        """Return the smallest statistic with :meth:`cdf` of at least `p`, each from 0 to 1."""
        u = numbers(p, "p", 0.0, 1.0)
        return given(self._from_z(ndtri(u)) if self._one_sided else self._bisect(self.cdf, u, 1.0))

    def isf(self, p: ArrayLike) -> Any:
        """Return the statistic with an upper tail :meth:`sf` of `p`, each from 0 to 1: the threshold of a test."""
        u = numbers(p, "p", 0.0, 1.0)
        return given(self._from_z(-ndtri(u)) if self._one_sided else self._bisect(self.sf, u, -1.0))

    @property
    def _one_sided(self) -> bool:
        return not self.statistic.startswith("t_")

    def _below(self, x: Floats) -> Any:
        return (x < 0) & (self.statistic != "simple")

    def _units(self, q: ArrayLike) -> tuple[Floats, ...]:
        return _normal_units(self.statistic, np.asarray(q, np.float64), self.mu / self.sigma, self.mu_true / self.sigma)

    def _from_z(self, z: Floats) -> Floats:
        """Turn standard normal quantiles into those of a one-sided statistic."""
        m, true = self.mu / self.sigma, self.mu_true / self.sigma
        with np.errstate(invalid="ignore"):  # infinite z at m = 0, where the line is not used
            line = 2.0 * m * z + m * (m - 2.0 * true)
        if self.statistic == "simple":
            return np.asarray(line)
        root = np.maximum(z + (true if self.statistic == "q0" else m - true), 0.0)
        return np.where(root > m, line, root**2) if self.statistic == "q_mu_tilde" else np.asarray(root**2)

    def _bisect(self, function: Callable[[Floats], Any], p: Floats, sign: float) -> Floats:
        """Solve function(q) = p, with a function that rises (sign 1) or falls (-1)."""
        m, d = self.mu / self.sigma, (self.mu - self.mu_true) / self.sigma
        low = np.zeros_like(p)
        far = (abs(d) + 40.0) ** 2 + 2.0 * m * (abs(d) + 40.0)
        high = np.full_like(p, far)
        for _ in range(_BISECTIONS):
            middle = 0.5 * (low + high)
            above = sign * (np.asarray(function(middle)) - p) >= 0
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        first, last = (0.0, 1.0) if sign > 0 else (1.0, 0.0)
        return np.where(p == last, np.inf, np.where(p == first, 0.0, high))


def asimov_sigma(mu: ArrayLike, q_asimov: ArrayLike, mu_true: ArrayLike = 0.0) -> Any:
    """Standard deviation of the best-fit signal strength from Asimov data, ``|mu - mu'| / sqrt(q_A)`` (eqs. 29 to 32).

    Parameters
    ----------
    mu : array_like
        Signal strength under test.
    q_asimov : array_like
        Statistic of `mu` on data without fluctuations, above 0.
    mu_true : array_like, optional
        Signal strength mu' in these data.

    Returns
    -------
    float or ndarray
        sigma.

    Raises
    ------
    InputError
        If an entry is NaN, infinite or out of range, or mu is mu'.
    """
    q, tested, true = finite(q_asimov, "q_asimov"), finite(mu, "mu"), finite(mu_true, "mu_true")
    refuse(q <= 0, q, "q_asimov", "is not above 0", "Pass the statistic on data without fluctuations")
    distance = np.abs(tested - true)
    refuse(distance == 0, distance, "mu", "is its distance from mu_true", "Test another mu than the true one")
    return given(distance / np.sqrt(q))


def asymptotic_log_tails(q: ArrayLike, q_asimov: ArrayLike, *, statistic: str = "q_mu_tilde") -> tuple[Any, Any]:
    """Log p-values of the hypothesis under test and of the other one, from a statistic and its Asimov value.

    Parameters
    ----------
    q : array_like
        Statistic of the data; any number for "simple", else at least 0.
    q_asimov : array_like
        The same on Asimov data of the other hypothesis, at least 0: without signal for limits, with signal for q0.
    statistic : str, optional
        One of :data:`hepstat.infer.STATISTICS`.

    Returns
    -------
    log_cl_sb, log_cl_b : float or ndarray
        Of the broadcast shape. For limits CL_s+b and CL_b; for q0 the p-value of the background and that of the signal.
        Where `q_asimov` is 0 the hypotheses do not differ and both are the same.

    Raises
    ------
    InputError
        If an entry is NaN or out of range, or the statistic is unknown.
    """
    check_statistic(statistic)
    low = -np.inf if statistic == "simple" else 0.0
    t, q_a = np.broadcast_arrays(numbers(q, "q", low, np.inf), finite(q_asimov, "q_asimov", 0.0))
    distance = np.sqrt(q_a)
    m, other = (0.0 * distance, distance) if statistic == "q0" else (distance, 0.0 * distance)
    null = _log_tail(_normal_units(statistic, t, m, m))
    alternative = _log_tail(_normal_units(statistic, t, m, other))
    return given(null), given(alternative)


def asymptotic_cls(q: float, q_asimov: float, *, statistic: str = "q_mu_tilde", mu: float = 1.0) -> CLs:
    """CLs of the data and what is expected without signal, from asymptotic formulae.

    Parameters
    ----------
    q : float
        Statistic of the data.
    q_asimov : float
        The same on Asimov data of the other hypothesis: without signal for limits, with signal for q0.
    statistic : str, optional
        One of :data:`hepstat.infer.STATISTICS`. For q0 `cl_sb` is the discovery p-value, the background's.
    mu : float, optional
        Signal strength under test, kept with the result.

    Returns
    -------
    CLs
        Without intervals. The expected values of one-sided statistics are those of a best-fit signal N standard
        deviations from its expectation, the boundary at q = 0 ignored (eq. 89, and what pyhf does); those of t_mu and
        t_mu_tilde are quantiles of the statistic.

    Raises
    ------
    InputError
        If a number is NaN or out of range, or the statistic is unknown.
    """
    q, q_asimov = finite_number(q, "q"), finite_number(q_asimov, "q_asimov")
    log_sb, log_b = asymptotic_log_tails(q, q_asimov, statistic=statistic)
    band_sb, band_b = _expected_log_tails(q_asimov, statistic)
    return CLs(
        statistic=statistic,
        mu=finite_number(mu, "mu"),
        observed=q,
        cl_sb=float(np.exp(log_sb)),
        cl_b=float(np.exp(log_b)),
        cl_s=float(np.exp(log_sb - log_b)),
        expected_cl_sb=np.exp(band_sb),
        expected_cl_b=np.exp(band_b),
        expected_cl_s=np.exp(band_sb - band_b),
        method="asymptotic",
    )


def _expected_log_tails(q_asimov: float, statistic: str) -> tuple[Floats, Floats]:
    """Logarithms of p-values under either hypothesis (5,) at -2 to 2 standard deviations of the other one."""
    distance = np.sqrt(q_asimov)
    if distance == 0 or not statistic.startswith("t_"):
        return log_ndtr(BAND - distance), log_ndtr(BAND)
    likely = AsymptoticDistribution(statistic, distance, 0.0, 1.0).isf(ndtr(BAND))
    null, alternative = asymptotic_log_tails(likely, q_asimov, statistic=statistic)
    return null, alternative


def _normal_units(statistic: str, q: Floats, m: Any, true: Any) -> tuple[Floats, ...]:
    """Return z such that the tail above q is that of a standard normal above z, or the sum of two such tails."""
    root = np.sqrt(np.maximum(q, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        line = np.where(m > 0, (q - m * (m - 2.0 * true)) / (2.0 * m), root)
    bent = np.where(root <= m, root - (m - true), line)
    last: Floats = {"q0": root - true, "q_mu_tilde": bent, "t_mu_tilde": bent, "simple": line}.get(
        statistic, root - (m - true)
    )
    return (root + (m - true), last) if statistic.startswith("t_") else (last,)


def _log_tail(z: tuple[Floats, ...]) -> Floats:
    tails = [log_ndtr(-one) for one in z]
    return np.asarray(tails[0] if len(tails) == 1 else np.logaddexp(tails[0], tails[1]))


def _bell(z: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi))

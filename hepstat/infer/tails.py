"""Logarithms of Poisson and binomial tail probabilities, right where the probabilities underflow.

Ordinary tails come from SciPy's regularised incomplete gamma and beta functions. Below 1e-280 the
logarithm is put together from the leading term, in the saddle-point form of Loader (2000) that does not cancel
at large counts, and a continued fraction or a series, whose terms are all benign there.
"""

import numpy as np
from scipy.special import betainc, gammainc, gammaincc, gammaln

from hepstat.errors import HepstatError
from hepstat.infer.deviance import unchecked_half_deviance
from hepstat.types import Bools, Floats

__all__ = ["log_beta_tail", "log_poisson_at_least", "log_poisson_below"]

_SMALL = 1e-280
_MOST_STEPS = 1_000_000


def log_poisson_at_least(n: Floats, b: Floats) -> Floats:
    """Return log P(N >= n) for N ~ Poisson(b): the incomplete gamma function P(n, b), with n > 0 or n = 0."""
    p = np.where(n > 0, gammainc(n, b), 1.0)
    log_p, far = _ordinary(p, (n > 0) & (b > 0))
    if far.any():
        a, x = n[far], b[far]
        total, term, k = np.ones_like(a), np.ones_like(a), 0
        while np.any(term > 1e-17 * total):  # x < a here, so every ratio of terms is below one
            k += 1
            term = term * (x / (a + k))
            total = total + term
            _stop_at(k)
        log_p[far] = _log_poisson(a, x) + np.log(total)
    return log_p


def log_poisson_below(n: Floats, b: Floats) -> Floats:
    """Return log P(N < n) for N ~ Poisson(b): the incomplete gamma function Q(n, b), -inf for n = 0."""
    p = np.where(n > 0, gammaincc(n, b), 0.0)
    log_p, far = _ordinary(p, (n > 0) & np.isfinite(b))
    if far.any():
        a, x = n[far], b[far]
        # Legendre's continued fraction, x > a: Q = x^a e^-x / Gamma(a) / (x + 1 - a - 1(1-a)/(x + 3 - a - ...))
        log_p[far] = _log_poisson(a, x) + np.log(a) + np.log(_legendre(a, x))
    return log_p


def log_beta_tail(a: Floats, b: Floats, x: Floats, y: Floats) -> Floats:
    """Return log I_x(a, b) for a >= 0, b > 0, with y = 1 - x given apart so that neither is rounded."""
    p = np.where(a > 0, betainc(np.where(a > 0, a, 1.0), b, x), 1.0)
    log_p, far = _ordinary(p, (a > 0) & (x > 0))
    if far.any():
        a, b, x, y = a[far], b[far], x[far], y[far]
        log_p[far] = _log_binomial(a, b, x, y) + np.log(b / (a + b)) + np.log(_beta_fraction(a, b, x))
    return log_p


def _ordinary(p: Floats, possible: Bools) -> tuple[Floats, Bools]:
    """Return log p (-inf at 0) and where it has to be replaced, because p is about to underflow."""
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(p)), np.asarray((p < _SMALL) & possible)


def _log_poisson(a: Floats, x: Floats) -> Floats:
    """Return log of x^a e^-x / Gamma(a + 1)."""
    return -unchecked_half_deviance(a - x, x) - _stirling_error(a) - 0.5 * np.log(2.0 * np.pi * a)


def _log_binomial(a: Floats, b: Floats, x: Floats, y: Floats) -> Floats:
    """Return log of Gamma(a + b + 1) / (Gamma(a + 1) Gamma(b + 1)) x^a y^b."""
    n, excess = a + b, a * y - b * x
    deviance = unchecked_half_deviance(excess, n * x) + unchecked_half_deviance(-excess, n * y)
    corrections = _stirling_error(n) - _stirling_error(a) - _stirling_error(b)
    return np.asarray(corrections - deviance - 0.5 * np.log(2.0 * np.pi * a * (b / n)))


def _stirling_error(n: Floats) -> Floats:
    """Return log Gamma(n + 1) less Stirling's (n + 1/2) log n - n + log(2 pi)/2, for n > 0."""
    large = np.maximum(n, 15.0)
    square = 1.0 / (large * large)
    series = (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square * (1 / 1680 - square / 1188)))) / large
    direct = gammaln(n + 1.0) - (n + 0.5) * np.log(n) + n - 0.5 * np.log(2.0 * np.pi)
    return np.where(n < 15.0, direct, series)


def _legendre(a: Floats, x: Floats) -> Floats:
    """Continued fraction of the upper incomplete gamma function by the modified Lentz algorithm."""
    b = x + 1.0 - a
    c = np.full_like(x, 1e300)
    d = 1.0 / b
    h = d.copy()
    change, k = np.full_like(x, 2.0), 0
    while np.any(np.abs(change - 1.0) > 1e-15):
        k += 1
        term = -k * (k - a)
        b = b + 2.0
        d = 1.0 / _not_zero(term * d + b)
        c = _not_zero(b + term / c)
        change = c * d
        h = h * change
        _stop_at(k)
    return h


def _beta_fraction(a: Floats, b: Floats, x: Floats) -> Floats:
    """Continued fraction of the incomplete beta function (DLMF 8.17.22) by the modified Lentz algorithm."""
    c = np.ones_like(x)
    d = 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0))
    h = d.copy()
    change, k = np.full_like(x, 2.0), 0
    while np.any(np.abs(change - 1.0) > 1e-15):
        k += 1
        for term in (
            k * (b - k) * x / ((a + 2 * k - 1) * (a + 2 * k)),
            -(a + k) * (a + b + k) * x / ((a + 2 * k) * (a + 2 * k + 1)),
        ):
            d = 1.0 / _not_zero(1.0 + term * d)
            c = _not_zero(1.0 + term / c)
            change = c * d
            h = h * change
        _stop_at(k)
    return h


def _not_zero(value: Floats) -> Floats:
    return np.where(np.abs(value) < 1e-300, 1e-300, value)


def _stop_at(step: int) -> None:
    if step >= _MOST_STEPS:
        raise HepstatError(f"a tail probability has not converged after {step} terms: the counts are too large")

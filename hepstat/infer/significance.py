"""Significances: p-values to standard deviations and back, and the significance of a count.

Everything here is one-sided: an excess has p < 1/2 and Z > 0, a deficit p > 1/2 and Z < 0. Arguments
broadcast against each other; scalars in, float out. Nothing is computed as ``1 - p``.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import erfcx, log_ndtr, ndtr, ndtri, ndtri_exp

from hepstat.errors import InputError
from hepstat.infer.broadcast import finite, given, numbers, refuse
from hepstat.infer.deviance import unchecked_half_deviance
from hepstat.infer.tails import log_beta_tail, log_poisson_at_least, log_poisson_below
from hepstat.types import Floats

__all__ = [
    "asimov_z",
    "on_off_p",
    "on_off_z",
    "p_to_z",
    "poisson_p",
    "poisson_z",
    "simple_z",
    "z_change",
    "z_from_q0",
    "z_to_log_p",
    "z_to_p",
]

_LOG_ROOT_TAU = 0.5 * float(np.log(2.0 * np.pi))


def p_to_z(p: ArrayLike | None = None, *, log_p: ArrayLike | None = None) -> Any:
    """Turn a one-sided p-value into a number of standard deviations.

    Parameters
    ----------
    p : array_like, optional
        Probability of data at least as signal-like, from 0 to 1. ``p = 0`` gives Z = inf; where a
        p-value has underflowed (beyond 37 standard deviations), pass its logarithm instead.
    log_p : array_like, optional
        Natural logarithm of the p-value, from -inf to 0. Exactly one of `p` and `log_p` is needed.

    Returns
    -------
    float or ndarray
        Z, of the shape of the argument.

    Raises
    ------
    InputError
        If both or neither are given, or an entry is NaN or out of range.
    """
    if (p is None) == (log_p is None):
        raise InputError("p", "needs exactly one of p and log_p", "Pass one of them")
    if p is not None:
        return given(-ndtri(numbers(p, "p", 0.0, 1.0)))
    return given(_z_from_log_p(numbers(log_p, "log_p", -np.inf, 0.0)))


def z_to_p(z: ArrayLike) -> Any:
    """Turn standard deviations into a one-sided p-value.

    Parameters
    ----------
    z : array_like
        Significance; infinities are allowed.

    Returns
    -------
    float or ndarray
        The normal survival function at `z`. It underflows above 37.5: see :func:`z_to_log_p`.

    Raises
    ------
    InputError
        If an entry is NaN.
    """
    values = numbers(z, "z", -np.inf, np.inf)
    p = np.asarray(ndtr(-values))
    tail = (values > 1.0) & (values < 40.0)
    if tail.any():
        # exp(-z^2/2) from a square without rounding: SciPy's ndtr loses a digit and a half at Z = 10
        p = p.copy()
        x = values[tail]
        head = np.floor(x * 65536.0) / 65536.0
        p[tail] = 0.5 * erfcx(x / np.sqrt(2.0)) * np.exp(-0.5 * (x - head) * (x + head)) * np.exp(-0.5 * head * head)
    return given(p)


def z_to_log_p(z: ArrayLike) -> Any:
    """Turn standard deviations into the natural logarithm of the one-sided p-value.

    Parameters
    ----------
    z : array_like
        Significance; infinities are allowed.

    Returns
    -------
    float or ndarray
        Logarithm of the normal survival function at `z`.

    Raises
    ------
    InputError
        If an entry is NaN.
    """
    return given(log_ndtr(-numbers(z, "z", -np.inf, np.inf)))


def z_change(z: Floats | float, log_change: Floats | float = 0.0) -> Floats:
    """Return by how much a significance z moves when its p-value moves by a change, whose logarithm is given.

    That is the change over the normal density at z: infinite where it does not fit a number, NaN for no change of an
    infinite significance.
    """
    x = np.asarray(z, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(np.exp(log_change + 0.5 * x * x + _LOG_ROOT_TAU))


def asimov_z(s: ArrayLike, b: ArrayLike, sigma_b: ArrayLike = 0.0) -> Any:
    """Median expected discovery significance of a counting experiment.

    Without background uncertainty this is eq. 97 of Cowan, Cranmer, Gross and Vitells
    (arXiv:1007.1727), ``sqrt(2 [(s + b) log(1 + s/b) - s])``. With it, the background is taken to be
    known from an auxiliary count of ``b^2/sigma_b^2`` events and profiled (Li and Ma 1983; Cowan 2012).

    Parameters
    ----------
    s : array_like
        Expected signal; a negative one (a deficit, down to ``-b``) gives a negative significance.
    b : array_like
        Expected background, at least 0.
    sigma_b : array_like, optional
        Standard deviation of the background estimate, at least 0.

    Returns
    -------
    float or ndarray
        Z. At b = 0 and sigma_b = 0 it is inf for s > 0, the limit of b -> 0. At b = 0 and
        sigma_b > 0 it is 0, also the limit: the auxiliary count then carries no information.

    Raises
    ------
    InputError
        If an entry is NaN, infinite or out of range.
    """
    s_, b_, sigma = np.broadcast_arrays(finite(s, "s"), finite(b, "b", 0.0), finite(sigma_b, "sigma_b", 0.0))
    refuse(s_ < -b_, s_, "s", "is below -b, so the total yield is negative", "Keep s + b at or above 0")
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        a = np.where(sigma > 0, sigma * (sigma / b_), 0.0)  # 1/tau, tau the ratio of exposures off/on
        z = np.sqrt(2.0 * _on_off_half_deviance(s_, b_, a))
    z = np.where((b_ == 0) & (sigma > 0), 0.0, z)
    return given(np.copysign(z, s_))


def simple_z(s: ArrayLike, b: ArrayLike) -> Any:
    """Significance of a small expected signal over a large expected background, s / sqrt(b).

    The limit of :func:`asimov_z` for s much smaller than b (eq. 98 of arXiv:1007.1727); elsewhere it claims too much.

    Parameters
    ----------
    s : array_like
        Expected signal.
    b : array_like
        Expected background, at least 0.

    Returns
    -------
    float or ndarray
        Z. At b = 0 it is inf with the sign of s, or 0 for s = 0.

    Raises
    ------
    InputError
        If an entry is NaN, infinite or out of range.
    """
    s_, b_ = np.broadcast_arrays(finite(s, "s"), finite(b, "b", 0.0))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return given(np.where(s_ == 0, 0.0, s_ / np.sqrt(b_)))


def on_off_p(n_on: ArrayLike, n_off: ArrayLike, tau: ArrayLike) -> Any:
    """Exact p-value of an on/off measurement, conditional on the total count.

    ``P(at least n_on of n_on + n_off | binomial, 1/(1 + tau))``, eq. 14 of Cousins, Linnemann and Tucker
    (arXiv:physics/0702156): the regularised incomplete beta function I(n_on, n_off + 1).

    Parameters
    ----------
    n_on, n_off : array_like
        Counts in the signal region and in the control region, at least 0; they need not be whole.
    tau : array_like
        Expected background in the control region over that in the signal region, above 0.

    Returns
    -------
    float or ndarray
        p-value; 0 where it underflows, though :func:`on_off_z` stays right there.

    Raises
    ------
    InputError
        If an entry is NaN, infinite or out of range.
    """
    upper, _ = _on_off_log_tails(*_on_off_input(n_on, n_off, tau))
    return given(np.exp(upper))


def on_off_z(
    n_on: ArrayLike, n_off: ArrayLike, tau: ArrayLike, *, method: Literal["binomial", "profile"] = "binomial"
) -> Any:
    """Significance of an on/off measurement.

    Parameters
    ----------
    n_on, n_off : array_like
        Counts in the signal region and in the control region, at least 0; they need not be whole.
    tau : array_like
        Expected background in the control region over that in the signal region, above 0.
    method : {"binomial", "profile"}
        ``"binomial"``: Z_Bi, from the exact p-value of :func:`on_off_p`; it never claims too much.
        ``"profile"``: signed root of the profile likelihood ratio, eq. 17 of Li and Ma (1983).

    Returns
    -------
    float or ndarray
        Z, negative for a deficit. With ``"binomial"`` n_on = 0 has p = 1 and so Z = -inf.

    Raises
    ------
    InputError
        If an entry is NaN, infinite or out of range, or the method is unknown.
    """
    on, off, ratio = _on_off_input(n_on, n_off, tau)
    if method == "binomial":
        return given(_z_from_log_tails(*_on_off_log_tails(on, off, ratio)))
    if method != "profile":
        raise InputError("method", f"is {method!r}", "Choose 'binomial' or 'profile'")
    background = off / ratio
    excess = on - background
    z = np.sqrt(2.0 * _on_off_half_deviance(excess, background, 1.0 / ratio))
    return given(np.copysign(z, excess))


def poisson_p(n: ArrayLike, b: ArrayLike) -> Any:
    """Exact p-value of a count over a perfectly known background, P(N >= n | b).

    Parameters
    ----------
    n : array_like
        Observed count, at least 0; it need not be whole (incomplete gamma function).
    b : array_like
        Expected background, at least 0.

    Returns
    -------
    float or ndarray
        p-value; 0 where it underflows, though :func:`poisson_z` stays right there.

    Raises
    ------
    InputError
        If an entry is NaN, infinite or out of range.
    """
    n_, b_ = np.broadcast_arrays(finite(n, "n", 0.0), finite(b, "b", 0.0))
    return given(np.exp(log_poisson_at_least(n_, b_)))


def poisson_z(n: ArrayLike, b: ArrayLike) -> Any:
    """Significance of a count over a perfectly known background, from the exact p-value.

    Parameters
    ----------
    n : array_like
        Observed count, at least 0; it need not be whole (incomplete gamma function).
    b : array_like
        Expected background, at least 0.

    Returns
    -------
    float or ndarray
        Z, negative for a deficit; -inf for n = 0 (p = 1), inf for n > 0 at b = 0 (p = 0).

    Raises
    ------
    InputError
        If an entry is NaN, infinite or out of range.
    """
    n_, b_ = np.broadcast_arrays(finite(n, "n", 0.0), finite(b, "b", 0.0))
    return given(_z_from_log_tails(log_poisson_at_least(n_, b_), log_poisson_below(n_, b_)))


def z_from_q0(q: ArrayLike) -> Any:
    """Asymptotic significance, the signed square root of a (signed or capped) q0.

    Eq. 53 of arXiv:1007.1727. A capped q0 of 0 gives Z = 0, the largest p-value that it can express.

    Parameters
    ----------
    q : array_like
        Values of :func:`hepstat.infer.q0`.

    Returns
    -------
    float or ndarray
        Z.

    Raises
    ------
    InputError
        If an entry is NaN.
    """
    values = numbers(q, "q", -np.inf, np.inf)
    return given(np.copysign(np.sqrt(np.abs(values)), values))


def _on_off_half_deviance(excess: Floats, background: Floats, a: Floats) -> Floats:
    """Log of Li and Ma's likelihood ratio for n_on = background + excess, n_off = background/a, tau = 1/a.

    The profiled background is b + excess a/(1 + a); neither residual is a difference of large numbers.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        share = excess / (1.0 + a)
        profiled = np.maximum(np.where(np.isinf(a), background + excess, background + share * a), 0.0)
        # rounding may put a count of 0 a hair below 0
        on = unchecked_half_deviance(np.maximum(share, -profiled), profiled)
        exposed = profiled / a
        off = unchecked_half_deviance(np.maximum(-share, -exposed), exposed)
    return np.asarray(on + np.where(np.isfinite(exposed), off, 0.0))


def _on_off_input(n_on: ArrayLike, n_off: ArrayLike, tau: ArrayLike) -> tuple[Floats, Floats, Floats]:
    ratio = finite(tau, "tau")
    refuse(ratio <= 0, ratio, "tau", "is not above 0", "Pass the off/on ratio of background exposures")
    on, off, ratio = np.broadcast_arrays(finite(n_on, "n_on", 0.0), finite(n_off, "n_off", 0.0), ratio)
    return on, off, ratio


def _on_off_log_tails(on: Floats, off: Floats, tau: Floats) -> tuple[Floats, Floats]:
    x, y = 1.0 / (1.0 + tau), tau / (1.0 + tau)
    upper = log_beta_tail(on, off + 1.0, x, y)
    lower = np.where(on > 0, log_beta_tail(off + 1.0, np.where(on > 0, on, 1.0), y, x), -np.inf)
    return upper, lower


def _z_from_log_tails(upper: Floats, lower: Floats) -> Floats:
    """Z from log p and log (1 - p), whichever is the smaller."""
    z = _z_from_log_p(np.minimum(np.minimum(upper, lower), 0.0))
    return np.where(upper <= lower, z, -z)


def _z_from_log_p(log_p: Floats) -> Floats:
    z = np.asarray(-ndtri_exp(log_p))
    # One Newton step with the hazard z + 1/z: SciPy's value is off by up to 7e-13 for Z of 100 to 10,000.
    far = (z > 60.0) & (z < 1e6)
    if far.any():
        z = z.copy()
        z[far] += (log_ndtr(-z[far]) - log_p[far]) / (z[far] + 1.0 / z[far])
    return z

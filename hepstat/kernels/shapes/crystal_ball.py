r"""Double-sided Crystal Ball in (mean, sigma, alpha_low, n_low, alpha_high, n_high).

A Gaussian core that turns into a power law alpha standard deviations away from the mean, where value and slope are
continuous (J. E. Gaiser, SLAC-R-255 (1982), appendix F; M. J. Oreglia, SLAC-R-236 (1980), appendix D), with a tail of
its own on either side. With z = (x - mean) / sigma, u = |z|, and alpha, n of the side of z::

    density = exp(-u^2 / 2) / sigma                                         for u <= alpha
            = exp(-alpha^2 / 2) (1 + (alpha / n) (u - alpha))^-n / sigma    beyond

so that without tails it is the density of `gaussian`. One formula serves both: with v = min(u, alpha), w = u - v, the
logarithm is -v^2 / 2 - n log(1 + alpha w / n) - log(sigma). The cumulative is counted from the mean, so that either
side depends on its own tail alone and tails with n <= 1 are no exception.
"""

from typing import Any

import numpy as np

from hepstat.kernels.entry import Entry, planes, view
from hepstat.kernels.options import inlined, kernel
from hepstat.kernels.shapes.blocks import BLOCK, hand_out
from hepstat.kernels.shapes.exponential_moments import exponential_moments
from hepstat.kernels.special import erf, exp, log1p

__all__ = ["cumulative", "density"]

_P = 6
_LOG_T = 28 * BLOCK  # after the planes: log(1 + y), 1 / (1 + y) and, for the cumulative, three integrals
_PER_T = 29 * BLOCK
_I0 = 30 * BLOCK
_I1 = 31 * BLOCK
_I2 = 32 * BLOCK
_SIZE = 33 * BLOCK
_SQRT_HALF = 0.7071067811865476
_SQRT_HALF_PI = 1.2533141373155003


@inlined
def _side(z: float, a_low: float, n_low: float, a_high: float, n_high: float) -> tuple[float, float, float, float]:
    """Return +-1 for the side of the mean, |z|, and alpha and n of this side."""
    below = z < 0.0
    return (-1.0 if below else 1.0), abs(z), (a_low if below else a_high), (n_low if below else n_high)


@inlined
def _split(u: float, a: float, n: float) -> tuple[float, float, float]:
    """Return v = min(u, a), w = u - v and y = a w / n."""
    v = u if u < a else a
    return v, u - v, a * (u - v) / n


@inlined
def _put_first(s: Any, to: int, by_mean: float, by_sigma: float, by_a: float, by_n: float, low: float) -> None:
    """Store first derivatives from slot position `to`, those by tail parameters on their side (low = 1 or 0)."""
    high = 1.0 - low
    s[to] = by_mean
    s[to + BLOCK] = by_sigma
    s[to + 2 * BLOCK] = low * by_a
    s[to + 3 * BLOCK] = low * by_n
    s[to + 4 * BLOCK] = high * by_a
    s[to + 5 * BLOCK] = high * by_n


@inlined
def _put_mixed(s: Any, to: int, low: float, ma: float, sa: float, mn: float, sn: float) -> None:
    """Store second derivatives by (mean or sigma) and a tail parameter; `to` is where those of the mean begin."""
    high = 1.0 - low
    s[to + 3 * BLOCK] = low * ma
    s[to + 4 * BLOCK] = low * sa
    s[to + 6 * BLOCK] = low * mn
    s[to + 7 * BLOCK] = low * sn
    s[to + 10 * BLOCK] = high * ma
    s[to + 11 * BLOCK] = high * sa
    s[to + 15 * BLOCK] = high * mn
    s[to + 16 * BLOCK] = high * sn


@inlined
def _put_tail(s: Any, to: int, low: float, aa: float, an: float, nn: float) -> None:
    """Store second derivatives by the tail parameters of one side; nothing depends on both sides at once."""
    high = 1.0 - low
    s[to + 5 * BLOCK] = low * aa
    s[to + 8 * BLOCK] = low * an
    s[to + 9 * BLOCK] = low * nn
    s[to + 12 * BLOCK] = 0.0
    s[to + 13 * BLOCK] = 0.0
    s[to + 14 * BLOCK] = high * aa
    s[to + 17 * BLOCK] = 0.0
    s[to + 18 * BLOCK] = 0.0
    s[to + 19 * BLOCK] = high * an
    s[to + 20 * BLOCK] = high * nn


@kernel
def _fill_value(theta: Any, x: Any, count: int, s: Any) -> None:
    mean, per_sigma = theta[0], 1.0 / theta[1]
    a_low, n_low, a_high, n_high = theta[2], theta[3], theta[4], theta[5]
    for i in range(count):
        _, u, a, n = _side((x[i] - mean) * per_sigma, a_low, n_low, a_high, n_high)
        v, _, y = _split(u, a, n)
        length = log1p(y)
        s[i] = per_sigma * exp(-0.5 * v * v - n * length)


@kernel
def _fill_first(theta: Any, x: Any, count: int, s: Any) -> None:
    mean, per_sigma = theta[0], 1.0 / theta[1]
    a_low, n_low, a_high, n_high = theta[2], theta[3], theta[4], theta[5]
    for i in range(count):
        sign, u, a, n = _side((x[i] - mean) * per_sigma, a_low, n_low, a_high, n_high)
        v, w, y = _split(u, a, n)
        length, per_t = log1p(y), 1.0 / (1.0 + y)
        s[_LOG_T + i] = length
        s[_PER_T + i] = per_t
        f = per_sigma * exp(-0.5 * v * v - n * length)
        f_u = -f * v * per_t
        s[i] = f
        _put_first(
            s,
            BLOCK + i,
            -sign * per_sigma * f_u,
            -per_sigma * (u * f_u + f),
            -f * (1.0 + a * a / n) * (w * per_t),
            f * (y * per_t - length),
            0.5 - 0.5 * sign,
        )


@kernel
def _fill_second(theta: Any, x: Any, count: int, s: Any) -> None:
    """Fill the second derivatives f (g_ij + g_i g_j), f being there already and g = log f."""
    mean, per_sigma = theta[0], 1.0 / theta[1]
    a_low, n_low, a_high, n_high = theta[2], theta[3], theta[4], theta[5]
    to = (1 + _P) * BLOCK
    for i in range(count):
        sign, u, a, n = _side((x[i] - mean) * per_sigma, a_low, n_low, a_high, n_high)
        v, w, y = _split(u, a, n)
        length, per_t = s[_LOG_T + i], s[_PER_T + i]
        per_n = 1.0 / n
        f = s[i]
        tail = 1.0 if u > a else 0.0
        c = 1.0 + a * a * per_n
        wt, yt = w * per_t, y * per_t
        g_u, g_a, g_n = -v * per_t, -c * wt, yt - length
        g_uu = tail * c * per_t * per_t - 1.0 + tail * (1.0 - per_t * per_t)
        g_ua = -tail * c * per_t * per_t
        g_un = -(a * per_n) * yt * per_t
        g_s = -(u * g_u + 1.0)
        low = 0.5 - 0.5 * sign
        f1 = f * per_sigma
        f2 = f1 * per_sigma
        s[to + i] = f2 * (g_uu + g_u * g_u)
        s[to + BLOCK + i] = sign * f2 * (g_u + u * g_uu - g_u * g_s)
        s[to + 2 * BLOCK + i] = f2 * (1.0 + 2.0 * u * g_u + u * u * g_uu + g_s * g_s)
        _put_mixed(
            s,
            to + i,
            low,
            -sign * f1 * (g_ua + g_u * g_a),
            f1 * (g_s * g_a - u * g_ua),
            -sign * f1 * (g_un + g_u * g_n),
            f1 * (g_s * g_n - u * g_un),
        )
        g_aa = tail * c * per_t * per_t - 2.0 * yt + c * per_n * wt * wt
        g_an = per_n * wt * (a * a * per_n * per_t - yt)
        _put_tail(s, to + i, low, f * (g_aa + g_a * g_a), f * (g_an + g_a * g_n), f * (per_n * yt * yt + g_n * g_n))


@inlined
def _integrals(
    v: float, y: float, length: float, a: float, n: float
) -> tuple[float, float, float, float, float, float]:
    """Return e = exp(-v^2 / 2), q = (1 + y)^-n and the integrals of t^-n log(t)^k from 1 to 1 + y, k = 0, 1, 2.

    The last one returned is e times the integral of the tail from alpha to u.
    """
    e = exp(-0.5 * v * v)
    q = exp(-n * length)
    m0, m1, m2 = exponential_moments((1.0 - n) * length, (1.0 + y) * q)
    i0 = length * m0
    return e, q, i0, length * length * m1, length * length * length * m2, e * (n / a) * i0


@kernel
def _fill_cumulative(theta: Any, x: Any, count: int, s: Any) -> None:
    mean, per_sigma = theta[0], 1.0 / theta[1]
    a_low, n_low, a_high, n_high = theta[2], theta[3], theta[4], theta[5]
    for i in range(count):
        sign, u, a, n = _side((x[i] - mean) * per_sigma, a_low, n_low, a_high, n_high)
        v, _, y = _split(u, a, n)
        length = log1p(y)
        _, _, _, _, _, tail = _integrals(v, y, length, a, n)
        s[i] = sign * (_SQRT_HALF_PI * erf(_SQRT_HALF * v) + tail)


@kernel
def _fill_cumulative_first(theta: Any, x: Any, count: int, s: Any) -> None:
    mean, per_sigma = theta[0], 1.0 / theta[1]
    a_low, n_low, a_high, n_high = theta[2], theta[3], theta[4], theta[5]
    for i in range(count):
        sign, u, a, n = _side((x[i] - mean) * per_sigma, a_low, n_low, a_high, n_high)
        v, w, y = _split(u, a, n)
        length = log1p(y)
        e, q, i0, i1, i2, tail = _integrals(v, y, length, a, n)
        s[_LOG_T + i] = length
        s[_PER_T + i] = 1.0 / (1.0 + y)
        s[_I0 + i] = i0
        s[_I1 + i] = i1
        s[_I2 + i] = i2
        f = per_sigma * e * q
        scale = sign * e / a
        s[i] = sign * (_SQRT_HALF_PI * erf(_SQRT_HALF * v) + tail)
        _put_first(
            s,
            BLOCK + i,
            -f,
            -sign * u * f,
            -scale * (1.0 + a * a / n) * ((n / a) * i0 - w * q),
            scale * (i0 - n * i1 - y * q),
            0.5 - 0.5 * sign,
        )


@kernel
def _fill_cumulative_second(theta: Any, x: Any, count: int, s: Any) -> None:
    """Fill the second derivatives: those by mean or sigma are first derivatives of the density."""
    mean, per_sigma = theta[0], 1.0 / theta[1]
    a_low, n_low, a_high, n_high = theta[2], theta[3], theta[4], theta[5]
    to = (1 + _P) * BLOCK
    for i in range(count):
        sign, u, a, n = _side((x[i] - mean) * per_sigma, a_low, n_low, a_high, n_high)
        v, w, y = _split(u, a, n)
        length, per_t = s[_LOG_T + i], s[_PER_T + i]
        e, q = exp(-0.5 * v * v), exp(-n * length)
        i0, i1, i2 = s[_I0 + i], s[_I1 + i], s[_I2 + i]
        low = 0.5 - 0.5 * sign
        c = 1.0 + a * a / n
        f = per_sigma * e * q
        f_u, f_a, f_n = -f * v * per_t, -f * c * (w * per_t), f * (y * per_t - length)
        z = sign * u
        s[to + i] = sign * per_sigma * f_u
        s[to + BLOCK + i] = per_sigma * (u * f_u + f)
        s[to + 2 * BLOCK + i] = z * per_sigma * (u * f_u + 2.0 * f)
        _put_mixed(s, to + i, low, -f_a, -z * f_a, -f_n, -z * f_n)
        scale = sign * e
        per_a = 1.0 / a
        part = n * per_a * i0 - w * q
        by_n = per_a * (i0 - n * i1 - y * q)
        aa = part * (2.0 * per_a * per_a + c) - c * per_a * w * (w - a) * q * per_t
        an = (a * a / (n * n)) * part - c * (by_n - w * q * (y * per_t - length))
        nn = n * i2 - 2.0 * i1 + 2.0 * y * q * length - y * y * q * per_t
        _put_tail(s, to + i, low, scale * aa, scale * per_a * an, scale * per_a * nn)


def _density(theta_: Any, columns_: Any, consts_: Any, n: int, order: int, out_: Any) -> None:
    theta, x = view(theta_, (_P,)), view(columns_, (n,))
    out = view(out_, (planes(_P, order), n))
    s = np.empty(_SIZE)
    for at in range(0, n, BLOCK):
        count = min(BLOCK, n - at)
        if order == 0:
            _fill_value(theta, x[at:], count, s)
        else:
            _fill_first(theta, x[at:], count, s)
        if order == 2:
            _fill_second(theta, x[at:], count, s)
        hand_out(s, at, count, out)


def _cumulative(theta_: Any, columns_: Any, consts_: Any, n: int, order: int, out_: Any) -> None:
    theta, x = view(theta_, (_P,)), view(columns_, (n,))
    out = view(out_, (planes(_P, order), n))
    s = np.empty(_SIZE)
    for at in range(0, n, BLOCK):
        count = min(BLOCK, n - at)
        if order == 0:
            _fill_cumulative(theta, x[at:], count, s)
        else:
            _fill_cumulative_first(theta, x[at:], count, s)
        if order == 2:
            _fill_cumulative_second(theta, x[at:], count, s)
        hand_out(s, at, count, out)


density = Entry(_density)
cumulative = Entry(_cumulative)

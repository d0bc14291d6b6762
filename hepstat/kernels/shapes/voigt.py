r"""Voigt: a Breit-Wigner of full width at half maximum `width` smeared by a Gaussian, in (mean, width, sigma).

With D = x - mean + i width / 2 and z = D / (sqrt(2) sigma) the density is Re W(D), W = w(z) / (sqrt(2 pi) sigma),
where w is the Faddeeva function; it integrates to one. w is i / pi times the integral of exp(-t^2) / (z - t). This is
summed over a grid of spacing H, and the pole at t = z that the sum cannot see is added in closed form (Chiarella and
Reichel, Math. Comp. 22 (1968) 137; Matta and Reichel, Math. Comp. 25 (1971) 339):

    C(z) = 2 exp(-z^2) E / (1 + E),  E = exp(2 pi i z / H) on midpoints, -exp(2 pi i z / H) on the grid through 0,

for Im z < pi / H. Each point takes the grid that is further from its pole (Al Azah and Chandler-Wilde, SIAM J. Numer.
Anal. 59 (2021) 2346, who prove the error to be uniformly small, near 1e-15 with twelve pairs of nodes; one more here
for the sake of fourth derivatives).

Why not one rational function (Weideman, SIAM J. Numer. Anal. 31 (1994) 1497): its error is relative to |w|, and far
from the peak of a narrow resonance Re w is a small part of |w|. Here the sum is a mixture of Breit-Wigners, all
positive, whose derivatives are taken term by term; w' = -2 z w + 2 i / sqrt(pi) would cancel to one part in |z|^2. All
derivatives are by D: the density is harmonic in (mean, width / 2) and solves the heat equation, dV/dsigma = sigma V''.

width = 0 gives the Gaussian, sigma = 0 the Breit-Wigner; not both at once.
"""

import math
from typing import Any

import numpy as np

from hepstat.kernels.entry import Entry, planes, view
from hepstat.kernels.options import inlined, kernel
from hepstat.kernels.shapes.blocks import BLOCK, hand_out
from hepstat.kernels.special import exp

__all__ = ["density"]

_P = 3
_PAIRS = 13  # nodes are +-(j + offset) H, j = 0 ... 12
_H = math.sqrt(math.pi / _PAIRS)
_TOP = math.pi / _H  # beyond this Im z the pole is no longer missed
_NORM = _H / math.sqrt(math.pi)
_MIDPOINT = tuple(_NORM * math.exp(-(((j + 0.5) * _H) ** 2)) for j in range(_PAIRS))
_THROUGH_0 = tuple((0.5 if j == 0 else 1.0) * _NORM * math.exp(-((j * _H) ** 2)) for j in range(_PAIRS))
_TWICE_PER_H = 2.0 / _H
_TWO_PI_PER_H = 2.0 * math.pi / _H
_SQRT_2 = math.sqrt(2.0)
_TWO_PER_SQRT_PI = 2.0 / math.sqrt(math.pi)
_PER_PI = 1.0 / math.pi
_TWO_PER_PI = 2.0 / math.pi
_PI_2_HIGH = 1.5707963267341256  # pi / 2 in 33 bits, and the rest
_PI_2_LOW = 6.077100506506192e-11

# Slots: the planes, x - mean, the grid's offset, Im or Re of the sums of weight / (D - node)^k, Re z, C, 1 / (1 + E).
_X = 10 * BLOCK
_OFFSET = 11 * BLOCK
_IM1 = 12 * BLOCK
_RE2 = 13 * BLOCK
_IM2 = 14 * BLOCK
_RE3 = 15 * BLOCK
_IM3 = 16 * BLOCK
_RE4 = 17 * BLOCK
_IM4 = 18 * BLOCK
_IM5 = 19 * BLOCK
_RE_Z = 20 * BLOCK
_RE_C = 21 * BLOCK
_IM_C = 22 * BLOCK
_RE_U = 23 * BLOCK
_IM_U = 24 * BLOCK
_SIZE = 25 * BLOCK

# fmt: off
_SIN = (  # (sin(r) - r) / r^3 in r^2, for |r| < pi / 4, at Chebyshev nodes
    -0.16666666666666666, 0.008333333333330948, -0.00019841269836756774, 2.7557316101617874e-06,
    -2.505113165023518e-08, 1.5918115263265974e-10,
)
_COS = (  # (cos(r) - 1 + r^2 / 2) / r^4 likewise
    0.041666666666666664, -0.0013888888888887398, 2.480158729876456e-05, -2.7557317271145144e-07,
    2.087614614655861e-09, -1.1382623647474604e-11,
)
# fmt: on


@inlined
def _sine_cosine(angle: float) -> tuple[float, float]:
    """Return sin and cos of an angle up to a few thousand."""
    k = np.floor(angle * _TWO_PER_PI + 0.5)
    r = (angle - k * _PI_2_HIGH) - k * _PI_2_LOW
    t = r * r
    s, c = _SIN[5], _COS[5]
    s = ((s * t + _SIN[4]) * t + _SIN[3]) * t + _SIN[2]
    c = ((c * t + _COS[4]) * t + _COS[3]) * t + _COS[2]
    s = r + r * t * ((s * t + _SIN[1]) * t + _SIN[0])
    c = 1.0 - 0.5 * t + t * t * ((c * t + _COS[1]) * t + _COS[0])
    quarter = k - 4.0 * np.floor(0.25 * k)
    odd = quarter == 1.0 or quarter == 3.0
    sine, cosine = (c, s) if odd else (s, c)
    return (-sine if quarter > 1.5 else sine), (-cosine if 0.5 < quarter < 2.5 else cosine)


@inlined
def _times(a: float, b: float, c: float, d: float) -> tuple[float, float]:
    """Return (a + ib)(c + id)."""
    return a * c - b * d, a * d + b * c


@inlined
def _per_width(sigma: float) -> float:
    """Return dz/dD, finite for sigma = 0."""
    return 1.0 / max(_SQRT_2 * sigma, 1e-60)


@kernel
def _prepare(theta: Any, x: Any, count: int, s: Any) -> None:
    """Choose the grid of each point and clear its sums."""
    mean, per_h = theta[0], _TWICE_PER_H * _per_width(theta[2])
    for i in range(count):
        d = x[i] - mean
        k = np.floor(d * per_h + 0.5)
        s[_X + i] = d
        s[_OFFSET + i] = 0.5 if k - 2.0 * np.floor(0.5 * k) == 0.0 else 0.0
    for i in range(_IM1, _RE_Z):
        s[i] = 0.0


@kernel
def _sum_values(theta: Any, count: int, s: Any) -> None:
    y, h = 0.5 * theta[1], _H * _SQRT_2 * theta[2]
    for j in range(_PAIRS):
        midpoint, through_0 = _MIDPOINT[j], _THROUGH_0[j]
        for i in range(count):
            x, offset = s[_X + i], s[_OFFSET + i]
            weight = midpoint if offset > 0.0 else through_0
            node = (j + offset) * h
            left, right = x - node, x + node
            yy = y * y
            s[_IM1 + i] -= weight * y * (1.0 / (left * left + yy) + 1.0 / (right * right + yy))


@kernel
def _sum_to_third(theta: Any, count: int, s: Any) -> None:
    y, h = 0.5 * theta[1], _H * _SQRT_2 * theta[2]
    for j in range(_PAIRS):
        midpoint, through_0 = _MIDPOINT[j], _THROUGH_0[j]
        for i in range(count):
            offset = s[_OFFSET + i]
            weight = midpoint if offset > 0.0 else through_0
            node = (j + offset) * h
            for x in (s[_X + i] - node, s[_X + i] + node):
                q = 1.0 / (x * x + y * y)
                a, b = x * q, -y * q
                c, d = a * a - b * b, 2.0 * a * b
                s[_IM1 + i] += weight * b
                s[_RE2 + i] += weight * c
                s[_IM2 + i] += weight * d
                s[_IM3 + i] += weight * (a * d + b * c)


@kernel
def _sum_to_fifth(theta: Any, count: int, s: Any) -> None:
    y, h = 0.5 * theta[1], _H * _SQRT_2 * theta[2]
    for j in range(_PAIRS):
        midpoint, through_0 = _MIDPOINT[j], _THROUGH_0[j]
        for i in range(count):
            offset = s[_OFFSET + i]
            weight = midpoint if offset > 0.0 else through_0
            node = (j + offset) * h
            for x in (s[_X + i] - node, s[_X + i] + node):
                q = 1.0 / (x * x + y * y)
                a, b = x * q, -y * q
                c, d = a * a - b * b, 2.0 * a * b
                e, f = weight * (c * c - d * d), weight * (2.0 * c * d)
                s[_IM1 + i] += weight * b
                s[_RE2 + i] += weight * c
                s[_IM2 + i] += weight * d
                s[_RE3 + i] += weight * (a * c - b * d)
                s[_IM3 + i] += weight * (a * d + b * c)
                s[_RE4 + i] += e
                s[_IM4 + i] += f
                s[_IM5 + i] += a * f + b * e


@kernel
def _add_pole(theta: Any, count: int, s: Any) -> None:
    """Fill the value, and keep z, C and u = 1 / (1 + E)."""
    per = _per_width(theta[2])
    y = 0.5 * theta[1] * per
    size = _TWO_PER_SQRT_PI * per if y < _TOP else 0.0
    y = min(y, _TOP)
    shrink = exp(-_TWO_PI_PER_H * y)  # E = shrink exp(i turn)
    for i in range(count):
        x = min(max(s[_X + i] * per, -50.0), 50.0)  # exp(-2500) is zero
        steps = x * (1.0 / _H)
        turn = (steps - 0.5 * np.floor(2.0 * steps + 0.5)) * (2.0 * math.pi)
        sine, cosine = _sine_cosine(turn)
        re, im = 1.0 + shrink * cosine, shrink * sine
        over = 1.0 / (re * re + im * im)
        g, k = re * over, -im * over
        sine, cosine = _sine_cosine(turn - 2.0 * x * y)
        high = size * exp(y * (y - _TWO_PI_PER_H) - x * x)
        c, d = _times(high * cosine, high * sine, g, k)
        s[i] = c - _PER_PI * s[_IM1 + i]
        s[_RE_Z + i] = x
        s[_RE_C + i] = c
        s[_IM_C + i] = d
        s[_RE_U + i] = g
        s[_IM_U + i] = k


@kernel
def _fill_first(theta: Any, count: int, s: Any) -> None:
    """Fill the first derivatives; L1 and L2 are derivatives of log C."""
    sigma, per = theta[2], _per_width(theta[2])
    y = min(0.5 * theta[1] * per, _TOP)
    for i in range(count):
        g, k = s[_RE_U + i], s[_IM_U + i]
        q, r = _times(g, k, 1.0 - g, -k)
        l1, m1 = -2.0 * s[_RE_Z + i] - _TWO_PI_PER_H * k, -2.0 * y + _TWO_PI_PER_H * g
        l2, m2 = _TWO_PI_PER_H**2 * q - 2.0, _TWO_PI_PER_H**2 * r
        ll, mm = _times(l1, m1, l1, m1)
        c1, d1 = _times(s[_RE_C + i] * per, s[_IM_C + i] * per, l1, m1)
        c2, _ = _times(s[_RE_C + i] * per * per, s[_IM_C + i] * per * per, l2 + ll, m2 + mm)
        s[BLOCK + i] = -(c1 + _PER_PI * s[_IM2 + i])
        s[2 * BLOCK + i] = 0.5 * (_PER_PI * s[_RE2 + i] - d1)
        s[3 * BLOCK + i] = sigma * (c2 - 2.0 * _PER_PI * s[_IM3 + i])


@kernel
def _fill_second(theta: Any, count: int, s: Any) -> None:
    """Fill the second derivatives, made of the second to fourth derivatives of W."""
    sigma, per = theta[2], _per_width(theta[2])
    y = min(0.5 * theta[1] * per, _TOP)
    for i in range(count):
        g, k = s[_RE_U + i], s[_IM_U + i]
        c, d = s[_RE_C + i] * per * per, s[_IM_C + i] * per * per
        q, r = _times(g, k, 1.0 - g, -k)
        l1, m1 = -2.0 * s[_RE_Z + i] - _TWO_PI_PER_H * k, -2.0 * y + _TWO_PI_PER_H * g
        l2, m2 = _TWO_PI_PER_H**2 * q - 2.0, _TWO_PI_PER_H**2 * r
        a, b = _times(q, r, 1.0 - 2.0 * g, -2.0 * k)
        l3, m3 = _TWO_PI_PER_H**3 * b, -(_TWO_PI_PER_H**3) * a
        a, b = _times(q, r, 1.0 - 6.0 * q, -6.0 * r)
        l4, m4 = -(_TWO_PI_PER_H**4) * a, -(_TWO_PI_PER_H**4) * b
        ll, mm = _times(l1, m1, l1, m1)
        c2, d2 = _times(c, d, l2 + ll, m2 + mm)
        a, b = _times(l1, m1, 3.0 * l2 + ll, 3.0 * m2 + mm)
        c3, d3 = _times(c * per, d * per, l3 + a, m3 + b)
        a, b = _times(4.0 * l1, 4.0 * m1, l3, m3)
        l4, m4 = l4 + a, m4 + b
        a, b = _times(3.0 * l2, 3.0 * m2, l2, m2)
        l4, m4 = l4 + a, m4 + b
        a, b = _times(ll, mm, 6.0 * l2 + ll, 6.0 * m2 + mm)
        c4, _ = _times(c * per * per, d * per * per, l4 + a, m4 + b)
        by_mean2 = c2 - 2.0 * _PER_PI * s[_IM3 + i]
        s[4 * BLOCK + i] = by_mean2
        s[5 * BLOCK + i] = 0.5 * (d2 + 2.0 * _PER_PI * s[_RE3 + i])
        s[6 * BLOCK + i] = -0.25 * by_mean2
        s[7 * BLOCK + i] = -sigma * (c3 + 6.0 * _PER_PI * s[_IM4 + i])
        s[8 * BLOCK + i] = 0.5 * sigma * (6.0 * _PER_PI * s[_RE4 + i] - d3)
        s[9 * BLOCK + i] = by_mean2 + sigma * sigma * (c4 - 24.0 * _PER_PI * s[_IM5 + i])


def _density(theta_: Any, columns_: Any, consts_: Any, n: int, order: int, out_: Any) -> None:
    theta, x = view(theta_, (_P,)), view(columns_, (n,))
    out = view(out_, (planes(_P, order), n))
    s = np.empty(_SIZE)
    for at in range(0, n, BLOCK):
        count = min(BLOCK, n - at)
        _prepare(theta, x[at:], count, s)
        if order == 0:
            _sum_values(theta, count, s)
        elif order == 1:
            _sum_to_third(theta, count, s)
        else:
            _sum_to_fifth(theta, count, s)
        _add_pole(theta, count, s)
        if order > 0:
            _fill_first(theta, count, s)
        if order > 1:
            _fill_second(theta, count, s)
        hand_out(s, at, count, out)


density = Entry(_density)

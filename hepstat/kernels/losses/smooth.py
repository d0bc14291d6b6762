"""Significance of soft counts: event i passes with probability p_i = sigmoid(f_i).

s is the sum of w p over signal, b that over background; every loss is minus a significance of s and h = b + eps. One
pass makes the sums and w dp/df, a second multiplies by the slope by s or by h.
"""

import math
from typing import Any

from hepstat.kernels.entry import view
from hepstat.kernels.losses.entry import Entry
from hepstat.kernels.options import strict
from hepstat.kernels.special import sigmoid

__all__ = ["asimov_z", "soft_z"]

_TERMS = 18  # of the series below a ratio of 0.1


@strict
def deviance_ratio(r: float) -> float:
    """Return [(1 + r) log(1 + r) - r] / r^2 for r >= -1: 1/2 at r = 0."""
    if abs(r) < 0.1:
        value = 0.0
        for j in range(_TERMS, 1, -1):
            value = 1.0 / (j * (j - 1)) - r * value
        return value
    if r <= -1.0:
        return 1.0
    return (((1.0 + r) * math.log1p(r) - r) / r) / r


@strict
def log_rest_ratio(r: float) -> float:
    """Return [r - log(1 + r)] / r^2 for r >= 0: 1/2 at r = 0."""
    if r < 0.1:
        value = 0.0
        for j in range(_TERMS, 1, -1):
            value = 1.0 / j - r * value
        return value
    return ((r - math.log1p(r)) / r) / r


@strict
def asimov_slopes(s: float, h: float, uncertainty: float) -> tuple[float, float, float]:
    """Return Z of signal s on background h, known to the fraction `uncertainty`, and its slopes by s and by h.

    Cowan, Cranmer, Gross and Vitells, eq. 97, with the background profiled: the auxiliary count 1/uncertainty^2 is
    the same for every h. Written in r = (excess over the profiled background)/(profiled background), nothing cancels.
    """
    a = uncertainty * uncertainty * h
    q = s / (1.0 + a) / h
    profiled = h * (1.0 + a * q)
    r = q / (1.0 + a * q)
    norm = math.sqrt(2.0 * profiled * (deviance_ratio(r) + a * deviance_ratio(-a * r)))
    by_s = (math.log1p(r) / r if r > 0.0 else 1.0) / norm
    return r * norm, by_s, -(r * log_rest_ratio(r) + a * q) / norm


def _soft_z(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    f, y, w, gradient = view(f_, (n,)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n,))
    s, b = 0.0, 0.0
    for i in range(n):
        passing = w[i] * sigmoid(f[i])
        gradient[i] = passing * sigmoid(-f[i])
        s += y[i] * passing
        b += (1.0 - y[i]) * passing
    h = b + view(constants_, (1,))[0]
    by_s = -1.0 / math.sqrt(h)
    by_h = -0.5 * s * by_s / h
    for i in range(n):
        gradient[i] *= by_h + y[i] * (by_s - by_h)
    return s * by_s


def _asimov_z(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    f, y, w, gradient = view(f_, (n,)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n,))
    constants = view(constants_, (2,))
    s, b = 0.0, 0.0
    for i in range(n):
        passing = w[i] * sigmoid(f[i])
        gradient[i] = passing * sigmoid(-f[i])
        s += y[i] * passing
        b += (1.0 - y[i]) * passing
    z, by_s, by_h = asimov_slopes(s, b + constants[0], constants[1])
    for i in range(n):
        gradient[i] *= -(by_h + y[i] * (by_s - by_h))
    return -z


soft_z = Entry(_soft_z)
asimov_z = Entry(_asimov_z)

"""Moments of an exponential on the unit interval, through which integrals of powers stay smooth at the exponent -1.

With E_k(p) the integral of s^k exp(p s) over s from 0 to 1, the integral of t^-a from 1 to T is L E_0((1 - a) L),
L = log T, and its derivatives by a are -L^2 E_1 and L^3 E_2: no division by 1 - a is left.
"""

import math

from hepstat.kernels.options import inlined

__all__ = ["exponential_moments"]

_SERIES = tuple(1.0 / (math.factorial(k) * (k + 3)) for k in range(17))


@inlined
def exponential_moments(p: float, exp_p: float) -> tuple[float, float, float]:
    """Return E_0(p), E_1(p), E_2(p), given exp(p).

    Upwards, E_k = (exp(p) - k E_{k-1}) / p; for |p| < 1, where this loses digits, downwards from the series of E_2.
    """
    near = -1.0 < p < 1.0
    t = p if near else 0.0
    odd = _SERIES[15]
    even = _SERIES[16]
    tt = t * t
    odd = ((odd * tt + _SERIES[13]) * tt + _SERIES[11]) * tt + _SERIES[9]
    odd = (((odd * tt + _SERIES[7]) * tt + _SERIES[5]) * tt + _SERIES[3]) * tt + _SERIES[1]
    even = ((even * tt + _SERIES[14]) * tt + _SERIES[12]) * tt + _SERIES[10]
    even = ((((even * tt + _SERIES[8]) * tt + _SERIES[6]) * tt + _SERIES[4]) * tt + _SERIES[2]) * tt + _SERIES[0]
    down2 = odd * t + even
    down1 = 0.5 * (exp_p - t * down2)
    down0 = exp_p - t * down1
    per_p = 1.0 / (1.0 if near else p)
    up0 = (exp_p - 1.0) * per_p
    up1 = (exp_p - up0) * per_p
    up2 = (exp_p - 2.0 * up1) * per_p
    return (down0 if near else up0), (down1 if near else up1), (down2 if near else up2)

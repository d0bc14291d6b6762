"""Elementary and error functions that vectorise when a loop calls them.

Each function takes one number and has neither a table nor a branch the optimiser must keep, and
is inlined into its caller, so that a plain ``for`` loop over an array becomes packed
instructions. The names ending in ``_f4`` (from :mod:`hepstat.kernels.special_f4`) work in float32
throughout, twice as many at a time.

All are right for every input: infinities, NaN (which comes back as NaN), subnormal arguments and
subnormal results, overflow to infinity. The error bounds in the docstrings are in units in the
last place (ulp) of the result and hold with and without fused multiply-add; where a result is
subnormal, add one ulp. Only the sign of a zero result is not promised.

Methods: argument reduction after Cody and Waite, *Software Manual for the Elementary Functions*
(1980); the logarithm from the series of ``atanh`` as in Tang, ACM TOMS 16 (1990) 378; the error
function from one polynomial in ``(z - K)/(z + K)`` as in Shepherd and Laframboise, Math. Comp. 36
(1981) 249. The polynomials interpolate the exact function at Chebyshev nodes.
"""

import math

import numpy as np

from hepstat.kernels.options import inlined
from hepstat.kernels.special_f4 import (
    erf_f4,
    exp_f4,
    expm1_f4,
    log1p_f4,
    log_f4,
    normal_cdf_f4,
    sigmoid_f4,
    softplus_f4,
    tanh_f4,
)

__all__ = [
    "erf",
    "erf_f4",
    "erfc",
    "exp",
    "exp_f4",
    "expm1",
    "expm1_f4",
    "log",
    "log1p",
    "log1p_f4",
    "log_f4",
    "normal_cdf",
    "normal_cdf_f4",
    "sigmoid",
    "sigmoid_f4",
    "softplus",
    "softplus_f4",
    "tanh",
    "tanh_f4",
]

INF = math.inf
NAN = math.nan
LOG2_E = 1.4426950408889634
LN2_HIGH = 0.6931471803691238  # 32 bits: a whole number up to 2^21 times it is exact
LN2_LOW = 1.9082149292705877e-10
SQRT2 = 1.4142135623730951
EXP_MAX = 709.782712893384  # the largest number whose exponential is finite
TINY = 2.2250738585072014e-308  # the smallest normal number
FRACTION = np.uint64(0x000FFFFFFFFFFFFF)
SQRT_HALF = np.uint64(0x3FE6A09E667F3BCD)  # bits of the square root of one half
ABOVE_SQRT_HALF = np.uint64(0x3FF0000000000000 - 0x3FE6A09E667F3BCD)
WHOLE = np.uint64(0x4330000000000000)  # bits of 2^52, under which a whole number can be written
SHIFT = np.uint64(52)

# fmt: off
EXP = (  # (e^r - 1 - r) / r^2 for |r| < log(2) / 2
    0.5000000000000001, 0.16666666666666669, 0.04166666666662413, 0.008333333333330062, 0.0013888888917213717,
    0.00019841269863053618, 2.4801521295954376e-05, 2.7557268459997064e-06, 2.7620088445409746e-07,
    2.510038549551032e-08,
)
LOG = (  # (log((1 + s) / (1 - s)) - 2 s) / s^3 in s^2, for |s| < 0.1716
    0.666666666666667, 0.39999999999899444, 0.2857142862600327, 0.22222211130259878, 0.18182889455674947,
    0.15331710618210773, 0.14616585424888623,
)
SOFT = (  # the same for |s| < 1/3
    0.6666666666666666, 0.40000000000014596, 0.2857142856710506, 0.22222222717801782, 0.18181789417326447,
    0.15385570592912243, 0.13314135550881162, 0.12001155182857778, 0.08800317650868773, 0.16164938169471338,
)
ERF = (  # erf(x) / x in x^2, for |x| < 0.7
    1.1283791670955126, -0.37612638903183, 0.1128379167090445, -0.026866170631867414, 0.0052239774489421026,
    -0.0008548313512283057, 0.0001205470182217529, -1.4907327674129658e-05, 1.613807835065832e-06,
    -1.3129738669415532e-07,
)
TAIL = (  # (z + 5) e^(z^2/2) Phi(-z) in (z - 5)/(z + 5), for 0 < z < 39
    0.769193049750063, -0.6653825028900567, 0.4953056159699764, -0.31353315667130455, 0.1650203661703847,
    -0.06911863870631016, 0.020795066799883178, -0.0029933767705085422, -0.0007978693984660701,
    0.0005448990647731298, -5.937572800991586e-05, -4.97628142705858e-05, 1.6681213742042063e-05,
    3.9809021578680414e-06, -2.76926709599743e-06, -3.366153681012471e-07, 4.331410356862585e-07,
    4.2274993740065346e-08, -6.594221662477223e-08, -9.31356099432606e-09, 7.66307180076004e-09,
    1.753048401408232e-09, -1.5877468827473365e-10,
)
# fmt: on


@inlined
def power_of_two(n: float) -> float:
    """Return 2^n for a whole number n from -1022 to 1023."""
    y: float = np.int64((np.int64(np.int32(n)) + 1023) << 52).view(np.float64)
    return y


@inlined
def times_power_of_two(y: float, n: float) -> float:
    """Return y 2^n for y near 1 and a whole number n from -1122 to 1024, rounded once."""
    shift, rest = (100.0, 7.888609052210118e-31) if n < -1000.0 else (-1.0, 2.0)
    return y * power_of_two(n + shift) * rest


@inlined
def reduced_expm1(x: float, less: float) -> tuple[float, float]:
    """Return (q, n) with exp(x - less) = (1 + q) 2^n, for |x| < 10^6 and a tiny `less`."""
    n = np.floor(x * LOG2_E + 0.5)
    r = (x - n * LN2_HIGH) - (n * LN2_LOW + less)
    s = r * r
    even = (((EXP[8] * s + EXP[6]) * s + EXP[4]) * s + EXP[2]) * s + EXP[0]
    odd = (((EXP[9] * s + EXP[7]) * s + EXP[5]) * s + EXP[3]) * s + EXP[1]
    return r + s * (odd * r + even), n


@inlined
def exp_to_one(x: float) -> float:
    """Return exp(x) for x up to EXP_MAX (NaN counts as minus infinity)."""
    q, n = reduced_expm1(x if x > -746.0 else -746.0, 0.0)
    return times_power_of_two(1.0 + q, n)


@inlined
def log_of_normal(x: float) -> float:
    """Return log(x) for positive, finite, normal x."""
    bits = np.float64(x).view(np.uint64) + ABOVE_SQRT_HALF
    n = np.uint64((bits >> SHIFT) | WHOLE).view(np.float64) - 4503599627371519.0  # 2^52 + 1023
    f = np.uint64((bits & FRACTION) + SQRT_HALF).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    even = ((LOG[6] * w + LOG[4]) * w + LOG[2]) * w + LOG[0]
    odd = (LOG[5] * w + LOG[3]) * w + LOG[1]
    half = 0.5 * f * f
    small = s * (half + z * (odd * z + even)) + n * LN2_LOW
    y: float = n * LN2_HIGH - ((half - small) - f)
    return y


@inlined
def normal_tail(high: float, low: float, z: float) -> float:
    """Return exp(-high - low) exp(z^2/2) Phi(-z) for 0 <= z <= 39 and high + low = z^2/2."""
    q, n = reduced_expm1(-high, low)
    over = 1.0 / (z + 5.0)
    t = (z - 5.0) * over
    s = t * t
    even = (((TAIL[22] * s + TAIL[20]) * s + TAIL[18]) * s + TAIL[16]) * s + TAIL[14]
    even = (((even * s + TAIL[12]) * s + TAIL[10]) * s + TAIL[8]) * s + TAIL[6]
    even = ((even * s + TAIL[4]) * s + TAIL[2]) * s + TAIL[0]
    odd = (((TAIL[21] * s + TAIL[19]) * s + TAIL[17]) * s + TAIL[15]) * s + TAIL[13]
    odd = (((odd * s + TAIL[11]) * s + TAIL[9]) * s + TAIL[7]) * s + TAIL[5]
    odd = (odd * s + TAIL[3]) * s + TAIL[1]
    return times_power_of_two((1.0 + q) * ((odd * t + even) * over), n)


@inlined
def leading_half(x: float) -> float:
    """Return x cut to 26 bits, so that its square is exact."""
    y: float = np.int64(np.float64(x).view(np.int64) & -134217728).view(np.float64)
    return y


@inlined
def exp(x: float) -> float:
    """Return e^x within 1.5 ulp."""
    y = exp_to_one(x if x < EXP_MAX else EXP_MAX)
    return y if x <= EXP_MAX else x + INF


@inlined
def expm1(x: float) -> float:
    """Return e^x - 1 within 3 ulp, also for small x."""
    c = x if x > -50.0 else -50.0
    q, n = reduced_expm1(c if c < EXP_MAX else EXP_MAX, 0.0)
    half = power_of_two(n - 1.0)
    y = 2.0 * (half * q + (half - 0.5))
    return y if x <= EXP_MAX else x + INF


@inlined
def log(x: float) -> float:
    """Return the natural logarithm within 1 ulp: minus infinity at zero, NaN below."""
    inside = (x > 0.0) & (x < INF)
    c = x if inside else 1.0
    subnormal = c < TINY
    c, less = (c * 18014398509481984.0, 37.42994775023705) if subnormal else (c, 0.0)
    y = log_of_normal(c) - less
    edge = -INF if x == 0.0 else (x if x > 0.0 else NAN)
    return y if inside else edge


@inlined
def log1p(x: float) -> float:
    """Return log(1 + x) within 2 ulp, also for small x: minus infinity at -1, NaN below."""
    inside = (x > -1.0) & (x < INF)
    c = x if inside else 0.0
    u = 1.0 + c
    y = log_of_normal(u) + (c - (u - 1.0)) / u
    edge = -INF if x == -1.0 else (x if x > 0.0 else NAN)
    return y if inside else edge


@inlined
def sigmoid(x: float) -> float:
    """Return 1 / (1 + e^-x) within 3 ulp, also where it is tiny."""
    e = exp_to_one(-abs(x))
    y = (1.0 if x >= 0.0 else e) / (1.0 + e)
    return y if x == x else x


@inlined
def softplus(x: float) -> float:
    """Return log(1 + e^x) within 3 ulp, also where it is tiny."""
    e = exp_to_one(-abs(x))
    s = e / (2.0 + e)
    z = s * s
    w = z * z
    even = (((SOFT[8] * w + SOFT[6]) * w + SOFT[4]) * w + SOFT[2]) * w + SOFT[0]
    odd = (((SOFT[9] * w + SOFT[7]) * w + SOFT[5]) * w + SOFT[3]) * w + SOFT[1]
    return (0.0 if x < 0.0 else x) + (e - s * (e - z * (odd * z + even)))


@inlined
def tanh(x: float) -> float:
    """Return the hyperbolic tangent within 3 ulp."""
    a = abs(x)
    q, n = reduced_expm1(-2.0 * (a if a < 22.0 else 22.0), 0.0)
    scale = power_of_two(n)
    m = scale * q + (scale - 1.0)
    y = math.copysign(-m / (2.0 + m), x)
    return y if x == x else x


@inlined
def erf(x: float) -> float:
    """Return the error function within 3 ulp."""
    a = abs(x)
    a = a if a < 6.0 else 6.0
    far = math.copysign(1.0 - 2.0 * normal_tail(a * a, 0.0, SQRT2 * a), x)
    s = a * a
    t = s * s
    even = (((ERF[8] * t + ERF[6]) * t + ERF[4]) * t + ERF[2]) * t + ERF[0]
    odd = (((ERF[9] * t + ERF[7]) * t + ERF[5]) * t + ERF[3]) * t + ERF[1]
    y = far if a > 0.7 else x * (odd * s + even)
    return y if x == x else x


@inlined
def erfc(x: float) -> float:
    """Return 1 - erf(x) within 8 ulp, also where it is tiny (down to x = 27)."""
    a = abs(x)
    a = a if a < 27.5 else 27.5
    h = leading_half(a)
    tail = 2.0 * normal_tail(h * h, (a - h) * (a + h), SQRT2 * a)
    y = tail if x > 0.0 else 2.0 - tail
    return y if x == x else x


@inlined
def normal_cdf(z: float) -> float:
    """Return the standard normal distribution function within 8 ulp, also in the lower tail (to z = -38.4)."""
    a = abs(z)
    a = a if a < 39.0 else 39.0
    h = leading_half(a)
    tail = normal_tail(0.5 * h * h, 0.5 * ((a - h) * (a + h)), a)
    y = tail if z < 0.0 else 1.0 - tail
    return y if z == z else z

"""The functions of :mod:`hepstat.kernels.special` in float32, for training and other work without need of more.

The methods and the promises are the same; import them from there.
"""

import math

import numpy as np

from hepstat.kernels.options import inlined

__all__ = [
    "erf_f4",
    "exp_f4",
    "expm1_f4",
    "log1p_f4",
    "log_f4",
    "normal_cdf_f4",
    "sigmoid_f4",
    "softplus_f4",
    "tanh_f4",
]


def _single(*numbers: float) -> tuple[np.float32, ...]:
    return tuple(np.float32(number) for number in numbers)


ZERO, HALF, ONE, TWO, FOUR, INF, NAN = _single(0.0, 0.5, 1.0, 2.0, 4.0, math.inf, math.nan)
LOG2_E, LN2_HIGH, LN2_LOW, SQRT2 = _single(
    1.4426950408889634, 0.693145751953125, 1.4286068203094173e-06, 1.4142135623730951
)
EXP_MAX = np.float32(88.72283)
LEAST, FAR_DOWN, LIFT, DROP, MINUS_ONE = _single(-105.0, -120.0, 60.0, 2.0**-60, -1.0)
TINY, SCALE, LOG_SCALE = _single(2.0**-126, 2.0**25, 17.32867951399863)
EXPM1_MIN, TANH_MAX, ERF_MAX, ERF_NEAR, CDF_MAX = _single(-30.0, 10.0, 4.0, 0.7, 15.0)
EXP = _single(0.5, 0.16666576989698775, 0.041666554617204574, 0.008363179052722578, 0.0013926183587713494)
LOG = _single(0.6666668504515603, 0.39988778282162807, 0.2958005304318844)
SOFT = _single(0.6666666732087151, 0.39999706206824964, 0.28592364795197617, 0.21706460997195692, 0.23224921771214582)
ERF = _single(
    1.1283791664150626, -0.3761262889614319, 0.11283552349218591,
    -0.026845139755112983, 0.005139740440093349, -0.0006962326276297186,
)  # fmt: skip
TAIL = _single(  # (z + 4) e^(z^2/2) Phi(-z) in (z - 4)/(z + 4), for 0 < z < 15
    0.755285138596193, -0.6078965941450818, 0.38713668307040544, -0.18652330675776782, 0.06040618551429179,
    -0.007525402418208545, -0.003520972823986374, 0.0015668816877809047, 0.00018899651942026397,
    -0.0001255583856022561,
)  # fmt: skip


@inlined
def power_of_two_f4(n: np.float32) -> np.float32:
    """Return 2^n for a whole number n from -126 to 127."""
    y: np.float32 = np.int32((np.int32(n) + 127) << 23).view(np.float32)
    return y


@inlined
def times_power_of_two_f4(y: np.float32, n: np.float32) -> np.float32:
    """Return y 2^n for y near 1 and a whole number n from -186 to 128, rounded once."""
    shift, rest = (LIFT, DROP) if n < FAR_DOWN else (MINUS_ONE, TWO)
    return y * power_of_two_f4(n + shift) * rest


@inlined
def reduced_expm1_f4(x: np.float32, less: np.float32) -> tuple[np.float32, np.float32]:
    """Return (q, n) with exp(x - less) = (1 + q) 2^n, for |x| < 300 and a tiny `less`."""
    n = np.float32(np.floor(x * LOG2_E + HALF))
    r = (x - n * LN2_HIGH) - (n * LN2_LOW + less)
    p = (((EXP[4] * r + EXP[3]) * r + EXP[2]) * r + EXP[1]) * r + EXP[0]
    return r + r * r * p, n


@inlined
def exp_to_one_f4(x: np.float32) -> np.float32:
    """Return exp(x) for x up to EXP_MAX (NaN counts as minus infinity)."""
    q, n = reduced_expm1_f4(x if x > LEAST else LEAST, ZERO)
    return times_power_of_two_f4(ONE + q, n)


@inlined
def log_of_normal_f4(x: np.float32) -> np.float32:
    """Return log(x) for positive, finite, normal x."""
    bits = np.int32(np.float32(x).view(np.int32) + 0x4AFB0D)
    n = np.float32(np.int32(bits >> 23) - 127)
    f = np.int32((bits & 0x7FFFFF) + 0x3F3504F3).view(np.float32) - ONE
    s = f / (TWO + f)
    z = s * s
    half = HALF * f * f
    small = s * (half + z * ((LOG[2] * z + LOG[1]) * z + LOG[0])) + n * LN2_LOW
    return n * LN2_HIGH - ((half - small) - f)


@inlined
def normal_tail_f4(high: np.float32, low: np.float32, z: np.float32) -> np.float32:
    """Return exp(-high - low) exp(z^2/2) Phi(-z) for 0 <= z <= 15 and high + low = z^2/2."""
    q, n = reduced_expm1_f4(-high, low)
    over = ONE / (z + FOUR)
    t = (z - FOUR) * over
    s = t * t
    even = (((TAIL[8] * s + TAIL[6]) * s + TAIL[4]) * s + TAIL[2]) * s + TAIL[0]
    odd = (((TAIL[9] * s + TAIL[7]) * s + TAIL[5]) * s + TAIL[3]) * s + TAIL[1]
    return times_power_of_two_f4((ONE + q) * ((odd * t + even) * over), n)


@inlined
def exp_f4(x: np.float32) -> np.float32:
    """Return e^x in float32 within 1.5 ulp."""
    x = np.float32(x)
    y = exp_to_one_f4(x if x < EXP_MAX else EXP_MAX)
    return y if x <= EXP_MAX else x + INF


@inlined
def expm1_f4(x: np.float32) -> np.float32:
    """Return e^x - 1 in float32 within 3 ulp."""
    x = np.float32(x)
    c = x if x > EXPM1_MIN else EXPM1_MIN
    q, n = reduced_expm1_f4(c if c < EXP_MAX else EXP_MAX, ZERO)
    half = power_of_two_f4(n - ONE)
    y = TWO * (half * q + (half - HALF))
    return y if x <= EXP_MAX else x + INF


@inlined
def log_f4(x: np.float32) -> np.float32:
    """Return the natural logarithm in float32 within 1 ulp: minus infinity at zero, NaN below."""
    x = np.float32(x)
    inside = (x > ZERO) & (x < INF)
    c = x if inside else ONE
    subnormal = c < TINY
    c, less = (c * SCALE, LOG_SCALE) if subnormal else (c, ZERO)
    y = log_of_normal_f4(c) - less
    edge = -INF if x == ZERO else (x if x > ZERO else NAN)
    return y if inside else edge


@inlined
def log1p_f4(x: np.float32) -> np.float32:
    """Return log(1 + x) in float32 within 2 ulp: minus infinity at -1, NaN below."""
    x = np.float32(x)
    inside = (x > MINUS_ONE) & (x < INF)
    c = x if inside else ZERO
    u = ONE + c
    y = log_of_normal_f4(u) + (c - (u - ONE)) / u
    edge = -INF if x == MINUS_ONE else (x if x > ZERO else NAN)
    return y if inside else edge


@inlined
def sigmoid_f4(x: np.float32) -> np.float32:
    """Return 1 / (1 + e^-x) in float32 within 3 ulp."""
    x = np.float32(x)
    e = exp_to_one_f4(-abs(x))
    y = (ONE if x >= ZERO else e) / (ONE + e)
    return y if x == x else x


@inlined
def softplus_f4(x: np.float32) -> np.float32:
    """Return log(1 + e^x) in float32 within 3 ulp."""
    x = np.float32(x)
    e = exp_to_one_f4(-abs(x))
    s = e / (TWO + e)
    z = s * s
    p = (((SOFT[4] * z + SOFT[3]) * z + SOFT[2]) * z + SOFT[1]) * z + SOFT[0]
    return (ZERO if x < ZERO else x) + (e - s * (e - z * p))


@inlined
def tanh_f4(x: np.float32) -> np.float32:
    """Return the hyperbolic tangent in float32 within 3 ulp."""
    x = np.float32(x)
    a = abs(x)
    q, n = reduced_expm1_f4(-TWO * (a if a < TANH_MAX else TANH_MAX), ZERO)
    scale = power_of_two_f4(n)
    m = scale * q + (scale - ONE)
    y = -m / (TWO + m)
    y = -y if x < ZERO else y
    return y if x == x else x


@inlined
def erf_f4(x: np.float32) -> np.float32:
    """Return the error function in float32 within 3 ulp."""
    x = np.float32(x)
    a = abs(x)
    a = a if a < ERF_MAX else ERF_MAX
    far = ONE - TWO * normal_tail_f4(a * a, ZERO, SQRT2 * a)
    far = -far if x < ZERO else far
    s = a * a
    p = ((((ERF[5] * s + ERF[4]) * s + ERF[3]) * s + ERF[2]) * s + ERF[1]) * s + ERF[0]
    y = far if a > ERF_NEAR else x * p
    return y if x == x else x


@inlined
def normal_cdf_f4(z: np.float32) -> np.float32:
    """Return the standard normal distribution function in float32 within 8 ulp, also in the lower tail."""
    z = np.float32(z)
    a = abs(z)
    a = a if a < CDF_MAX else CDF_MAX
    h = np.int32(np.float32(a).view(np.int32) & -4096).view(np.float32)  # cut to 12 bits: its square is exact
    tail = normal_tail_f4(HALF * h * h, HALF * ((a - h) * (a + h)), a)
    y = tail if z < ZERO else ONE - tail
    return y if z == z else z

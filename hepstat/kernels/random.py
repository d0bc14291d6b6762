"""Random numbers drawn inside kernels from a Philox stream (:mod:`hepstat.kernels.philox`).

Scalar draws for kernels and ``fill_`` functions for arrays; each takes the state first and moves
it on. The same state gives the same numbers. A fill of n numbers equals n scalar draws, except
:func:`fill_normal`, which uses the bits in pairs. Kernels assume checked input: means, rates and
shapes >= 0 and finite, probabilities in [0, 1], whole n >= 0. Outside of that the numbers mean
nothing, but every loop ends and none comes back as NaN from a valid parameter.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.options import inlined, kernel
from hepstat.kernels.philox import State, block, next_bits, next_uniform
from hepstat.kernels.special import log

__all__ = [
    "binomial",
    "categorical",
    "exponential",
    "fill_categorical",
    "fill_exponential",
    "fill_normal",
    "fill_poisson",
    "fill_uniform",
    "gamma",
    "multinomial",
    "normal",
    "poisson",
]

Array = NDArray[Any]

ELEVEN = np.uint64(11)
TWELVE = np.uint64(12)
FOUR = np.uint64(4)
UNIT = 2.0**-53
OPEN_UNIT = 2.0**-52
LOG_2PI = math.log(2.0 * math.pi)
CHUNK = 256
SWITCH = 10.0  # mean from which rejection is faster than inversion
MOST = 200  # no inversion from a mean below SWITCH gets there
# Corrections to Stirling's formula, log(k!) - (k + 1/2) log(k) + k - log(2 pi) / 2, for k = 1 to 15.
SMALL_STIRLING = np.array(
    [0.0] + [math.lgamma(k + 1.0) - (k + 0.5) * math.log(k) + k - 0.5 * LOG_2PI for k in range(1, 16)]
)
RECIPROCAL = np.array([0.0] + [1.0 / k for k in range(1, MOST + 1)])

# fmt: off
SINE = (  # sin(f pi/2) / f in f^2, for |f| < 1/2
    1.5707963267948966, -0.6459640975062443, 0.07969262624604301, -0.004681754132340976, 0.0001604411507421909,
    -3.59864335298231e-06, 5.633933781537854e-08,
)
COSINE = (  # cos(f pi/2) in f^2
    1.0, -1.2337005501361697, 0.2536695079010467, -0.02086348076331121, 0.0009192602741831558,
    -2.520203677046026e-05, 4.710609726757823e-07, -6.321256869628588e-09,
)
# fmt: on


@inlined
def open_unit(bits: np.uint64) -> float:
    """Return a number in (0, 1), an odd multiple of 2^-53; it and its complement are exact."""
    return (np.float64(bits >> TWELVE) + 0.5) * OPEN_UNIT


@inlined
def turn(u: float) -> tuple[float, float]:
    """Return the cosine and the sine of 2 pi u for u in [0, 1], to 2e-16."""
    q = np.floor(4.0 * u + 0.5)
    f = 4.0 * u - q
    s = f * f
    t = s * s
    sine = ((SINE[6] * t + SINE[4]) * t + SINE[2]) * t + SINE[0]
    sine = f * (((SINE[5] * t + SINE[3]) * t + SINE[1]) * s + sine)
    cosine = ((COSINE[6] * t + COSINE[4]) * t + COSINE[2]) * t + COSINE[0]
    cosine = (((COSINE[7] * t + COSINE[5]) * t + COSINE[3]) * t + COSINE[1]) * s + cosine
    odd = (q == 1.0) | (q == 3.0)
    c, d = (sine, cosine) if odd else (cosine, sine)
    c = -c if (q == 1.0) | (q == 2.0) else c
    d = -d if (q == 2.0) | (q == 3.0) else d
    return c, d


@kernel
def exponential(state: State) -> float:
    """Return an exponential number of mean one, by inversion."""
    return -log(open_unit(next_bits(state)))


@kernel
def normal(state: State) -> float:
    """Return a standard normal number, half of a pair after Box and Muller, Ann. Math. Stat. 29 (1958) 610."""
    r = math.sqrt(-2.0 * log(open_unit(next_bits(state))))
    return r * turn(next_uniform(state))[0]


@kernel
def fill_uniform(state: State, out: Array) -> None:
    """Fill `out` (n,) with numbers in [0, 1), multiples of 2^-53."""
    n = out.shape[0]
    i = 0
    while i < n and state[10] != FOUR:
        out[i] = next_uniform(state)
        i += 1
    while i + 4 <= n:
        a, b, c, d = block(state)
        out[i] = np.float64(a >> ELEVEN) * UNIT
        out[i + 1] = np.float64(b >> ELEVEN) * UNIT
        out[i + 2] = np.float64(c >> ELEVEN) * UNIT
        out[i + 3] = np.float64(d >> ELEVEN) * UNIT
        i += 4
    while i < n:
        out[i] = next_uniform(state)
        i += 1


@kernel
def fill_open_unit(state: State, out: Array) -> None:
    """Fill `out` (n,) with numbers in (0, 1), odd multiples of 2^-53."""
    n = out.shape[0]
    i = 0
    while i < n and state[10] != FOUR:
        out[i] = open_unit(next_bits(state))
        i += 1
    while i + 4 <= n:
        a, b, c, d = block(state)
        out[i], out[i + 1], out[i + 2], out[i + 3] = open_unit(a), open_unit(b), open_unit(c), open_unit(d)
        i += 4
    while i < n:
        out[i] = open_unit(next_bits(state))
        i += 1


@kernel
def fill_exponential(state: State, out: Array) -> None:
    """Fill `out` (n,) with exponential numbers of mean one."""
    fill_open_unit(state, out)
    for i in range(out.shape[0]):
        out[i] = -log(out[i])


@kernel
def fill_normal(state: State, out: Array) -> None:
    """Fill `out` (n,) with standard normal numbers in pairs; n odd throws the last partner away."""
    n = out.shape[0]
    size = min(CHUNK, n // 2 + 1)
    radius, angle = np.empty(size), np.empty(size)
    for low in range(0, n, 2 * CHUNK):
        m = min(CHUNK, (n - low + 1) // 2)
        second = min(m, n - low - m)
        fill_open_unit(state, radius[:m])
        fill_uniform(state, angle[:m])
        for i in range(m):
            r = math.sqrt(-2.0 * log(radius[i]))
            c, s = turn(angle[i])
            radius[i] = r * c
            angle[i] = r * s
        for i in range(m):
            out[low + i] = radius[i]
        for i in range(second):
            out[low + m + i] = angle[i]


@inlined
def stirling(k: float) -> float:
    """Return log(k!) - (k + 1/2) log(k) + k - log(2 pi)/2 for whole k >= 1."""
    if k < 16.0:
        return float(SMALL_STIRLING[np.int64(k)])
    r = 1.0 / k
    s = r * r
    return r * (1.0 / 12.0 - s * (1.0 / 360.0 - s * (1.0 / 1260.0 - s / 1680.0)))


@kernel
def log_poisson(k: float, mean: float) -> float:
    """Return the log of the Poisson probability of k >= 0 for mean > 0, exact to 1e-7 even near k = mean = 10^9."""
    if k == 0.0:
        return -mean
    return k * math.log(mean / k) + (k - mean) - 0.5 * (LOG_2PI + math.log(k)) - stirling(k)


@kernel
def log_binomial(k: float, n: float, p: float) -> float:
    """Return the log of the binomial probability of k of n for 0 < p < 1."""
    if k == 0.0:
        return n * math.log1p(-p)
    if k == n:
        return n * math.log(p)
    rest = n - k
    core = k * math.log(n * p / k) + rest * math.log(n * (1.0 - p) / rest)
    root = 0.5 * (math.log(n / (k * rest)) - LOG_2PI)
    return core + root + stirling(n) - stirling(k) - stirling(rest)


@kernel
def poisson_inversion(state: State, mean: float) -> int:
    """Return a Poisson number by adding probabilities from zero on, for a mean below SWITCH."""
    u = next_uniform(state)
    p = math.exp(-mean)
    s = p
    k = 0
    while u >= s and k < MOST:
        k += 1
        p *= mean * RECIPROCAL[k]
        s += p
    return k


@kernel
def poisson_rejection(state: State, mean: float) -> int:
    """Return a Poisson number by Hörmann's algorithm PTRS, Insurance: Math. and Econ. 12 (1993) 39."""
    b = 0.931 + 2.53 * math.sqrt(mean)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    accept = 0.9277 - 3.6224 / (b - 2.0)
    while True:
        u = next_uniform(state) - 0.5
        v = open_unit(next_bits(state))
        us = 0.5 - abs(u)
        k = np.floor((2.0 * a / (us + 1e-300) + b) * u + mean + 0.43)
        if us >= 0.07 and v <= accept:
            return int(k)
        if k < 0.0 or (us < 0.013 and v > us):
            continue
        if math.log(v * inverse_alpha / (a / (us * us) + b)) <= log_poisson(k, mean):
            return int(k)


@kernel
def poisson(state: State, mean: float) -> int:
    """Return a Poisson number of any mean from 0 to 1e9 (and on to 2^52)."""
    if not mean > 0.0:
        return 0
    if mean < SWITCH:
        return poisson_inversion(state, mean)
    return poisson_rejection(state, mean)


@kernel
def fill_poisson(state: State, mean: Array, out: Array) -> None:
    """Fill `out` (n,), of any number type, with Poisson numbers of means `mean` (n,)."""
    for i in range(out.shape[0]):
        out[i] = poisson(state, mean[i])


@kernel
def binomial_inversion(state: State, n: int, p: float) -> int:
    """Return a binomial number by adding probabilities from zero on, for p <= 1/2 and n p below SWITCH."""
    u = next_uniform(state)
    odds = p / (1.0 - p)
    term = math.exp(n * math.log1p(-p))
    s = term
    k = 0
    while u >= s and k < n and k < MOST:
        term *= odds * (n - k) * RECIPROCAL[k + 1]
        k += 1
        s += term
    return k


@kernel
def binomial_rejection(state: State, n: int, p: float) -> int:
    """Return a binomial number by Hörmann's algorithm BTRS, J. Stat. Comput. Simul. 46 (1993) 101."""
    spread = math.sqrt(n * p * (1.0 - p))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    alpha = (2.83 + 5.1 / b) * spread
    accept = 0.92 - 4.2 / b
    peak = log_binomial(np.floor((n + 1.0) * p), float(n), p)
    while True:
        u = next_uniform(state) - 0.5
        v = open_unit(next_bits(state))
        us = 0.5 - abs(u)
        k = np.floor((2.0 * a / (us + 1e-300) + b) * u + n * p + 0.5)
        if us >= 0.07 and v <= accept:
            return int(k)
        if k < 0.0 or k > n:
            continue
        if math.log(v * alpha / (a / (us * us) + b)) <= log_binomial(k, float(n), p) - peak:
            return int(k)


@kernel
def binomial(state: State, n: int, p: float) -> int:
    """Return the number of successes in n trials of probability p."""
    if n <= 0 or not p > 0.0:
        return 0
    if p >= 1.0:
        return n
    small = min(p, 1.0 - p)
    k = binomial_inversion(state, n, small) if n * small < SWITCH else binomial_rejection(state, n, small)
    return k if p <= 0.5 else n - k


@kernel
def multinomial(state: State, n: int, weights: Array, out: Array) -> None:
    """Share n counts out over `out` (m,) with probabilities proportional to `weights` (m,), not all zero."""
    m = weights.shape[0]
    rest = 0.0
    last = 0
    for i in range(m):
        out[i] = 0
        rest += weights[i]
        if weights[i] > 0.0:
            last = i
    left = n
    for i in range(last):
        if left == 0:
            return
        if weights[i] > 0.0:
            k = binomial(state, left, weights[i] / rest if weights[i] < rest else 1.0)
            out[i] = k
            left -= k
            rest -= weights[i]
    out[last] = left


@kernel
def categorical(state: State, cumulative: Array) -> int:
    """Return an index with probabilities proportional to the steps of `cumulative` (m,), rising sums of weights."""
    u = next_uniform(state) * cumulative[-1]
    low, high = 0, cumulative.shape[0] - 1
    while low < high:
        middle = (low + high) // 2
        if cumulative[middle] > u:
            high = middle
        else:
            low = middle + 1
    return low


@kernel
def fill_categorical(state: State, cumulative: Array, out: Array) -> None:
    """Fill `out` (n,) with indices as :func:`categorical` draws them."""
    for i in range(out.shape[0]):
        out[i] = categorical(state, cumulative)


@kernel
def gamma(state: State, shape: float) -> float:
    """Return a gamma number of unit scale by Marsaglia and Tsang, ACM TOMS 26 (2000) 363; shape 0 gives 0."""
    if not shape > 0.0:
        return 0.0
    boost = 1.0
    if shape < 1.0:
        boost = open_unit(next_bits(state)) ** (1.0 / shape)
        shape += 1.0
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = normal(state)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        u = open_unit(next_bits(state))
        if log(u) < 0.5 * x * x + d - d * v + d * log(v):
            return boost * d * v

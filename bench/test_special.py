"""Nanoseconds per element of the special functions and random numbers, beside numpy, scipy and numba's ``math``.

Run with ``pytest bench/test_special.py``; the arrays hold 4096 numbers.
"""

import math

import numba
import numpy as np
import pytest
import scipy.special

from hepstat.kernels import random, special
from hepstat.kernels.philox import fill_bits, stream
from hepstat.seeds import stream_key, toy_generator

N = 4096
SCIPY = {
    "erf": scipy.special.erf,
    "erfc": scipy.special.erfc,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "normal_cdf": scipy.special.ndtr,
    "sigmoid": scipy.special.expit,
    "softplus": lambda x, out: np.logaddexp(0.0, x, out=out),
    "tanh": np.tanh,
}
MATH = {name: getattr(math, name) for name in ("erf", "erfc", "exp", "expm1", "log", "log1p", "tanh")}


def loop_over(function):
    """Return a compiled loop over a scalar function."""

    @numba.njit(nogil=True)
    def loop(x, out):
        for i in range(x.shape[0]):
            out[i] = function(x[i])

    return loop


def measure(benchmark, call):
    """Time a call that works on N numbers, after one that compiles."""
    call()
    benchmark(call)
    benchmark.extra_info["ns per element"] = 1e9 * benchmark.stats["median"] / N


def special_cases():
    """Return (group, kind of implementation) for every function and peer."""
    for name in special.__all__:
        base = name.removesuffix("_f4")
        group = f"{base}, {'float32' if name.endswith('_f4') else 'float64'}"
        yield pytest.param(name, "ours", marks=pytest.mark.benchmark(group=group), id=f"{name}-ours")
        yield pytest.param(name, "scipy", marks=pytest.mark.benchmark(group=group), id=f"{name}-numpy/scipy")
        if base in MATH:
            yield pytest.param(name, "math", marks=pytest.mark.benchmark(group=group), id=f"{name}-numba math")


@pytest.mark.parametrize(("name", "by"), list(special_cases()))
def test_special(benchmark, name, by):
    """Time one function on one array."""
    dtype = np.float32 if name.endswith("_f4") else np.float64
    base = name.removesuffix("_f4")
    x = np.random.default_rng(1).uniform(0.1 if base.startswith("log") else -5.0, 5.0, N).astype(dtype)
    out = np.empty_like(x)
    if by == "ours":
        function = loop_over(getattr(special, name))
    elif by == "math":
        function = loop_over(MATH[base])
    else:
        function = SCIPY[base]
    benchmark.extra_info["role"] = {"scipy": "numpy or scipy", "math": "numba math"}.get(by, by)
    measure(benchmark, lambda: function(x, out))


MEANS = {mean: np.full(N, mean) for mean in (0.1, 1.0, 9.9, 30.0, 1e3, 1e6)}
DRAWS = {
    "bits": (np.uint64, fill_bits, lambda g, out: g.bit_generator.random_raw(N)),
    "uniform": (float, random.fill_uniform, lambda g, out: g.random(out=out)),
    "exponential": (float, random.fill_exponential, lambda g, out: g.standard_exponential(out=out)),
    "normal": (float, random.fill_normal, lambda g, out: g.standard_normal(out=out)),
} | {
    f"poisson {mean:g}": (
        np.int64,
        lambda state, out, means=means: random.fill_poisson(state, means, out),
        lambda g, out, means=means: g.poisson(means),
    )
    for mean, means in MEANS.items()
}


@pytest.mark.parametrize("by", ["ours", "numpy"])
@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.benchmark(group=n)) for n in DRAWS])
def test_random(benchmark, name, by):
    """Time a fill from Philox, ours and numpy's."""
    dtype, ours, numpys = DRAWS[name]
    out = np.empty(N, dtype=dtype)
    key = stream_key(1)
    benchmark.extra_info["role"] = by
    if by == "ours":
        state = stream(*key, np.uint64(0))
        measure(benchmark, lambda: ours(state, out))
    else:
        generator = toy_generator(key, 0)
        measure(benchmark, lambda: numpys(generator, out))

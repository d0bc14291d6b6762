"""Special functions: bounds in ulp over the whole range, edges, equal bits however they are called, packed code."""

import math
import os
import re
from collections.abc import Callable
from functools import cache

import llvmlite.binding
import mpmath
import numba
import numpy as np
import pytest
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st

from hepstat.kernels import special
from hepstat.kernels.options import kernel, summing

COMPILED = not numba.config.DISABLE_JIT
INF, NAN = math.inf, math.nan

BOUNDS = {
    "erf": 3.0,
    "erfc": 8.0,
    "exp": 1.5,
    "expm1": 3.0,
    "log": 1.0,
    "log1p": 2.0,
    "normal_cdf": 8.0,
    "sigmoid": 3.0,
    "softplus": 3.0,
    "tanh": 3.0,
}
EXACT = {
    "erf": mpmath.erf,
    "erfc": mpmath.erfc,
    "exp": mpmath.exp,
    "expm1": mpmath.expm1,
    "log": mpmath.log,
    "log1p": mpmath.log1p,
    "normal_cdf": lambda z: mpmath.erfc(-z / mpmath.sqrt(2)) / 2,
    "sigmoid": lambda x: 1 / (1 + mpmath.exp(-x)),
    "softplus": lambda x: mpmath.log1p(mpmath.exp(x)),
    "tanh": mpmath.tanh,
}
DOUBLE = {
    "erf": scipy.special.erf,
    "exp": np.exp,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "normal_cdf": scipy.special.ndtr,
    "sigmoid": scipy.special.expit,
    "softplus": lambda x: np.logaddexp(0.0, x),
    "tanh": np.tanh,
}
RANGES = {  # (double, single): where the result is neither constant nor infinite
    "erf": ((-6.0, 6.0), (-4.0, 4.0)),
    "erfc": ((-6.0, 27.2), (-4.0, 9.0)),
    "exp": ((-745.1, 709.78), (-103.9, 88.72)),
    "expm1": ((-40.0, 709.78), (-20.0, 88.72)),
    "normal_cdf": ((-38.4, 8.5), (-14.1, 5.5)),
    "sigmoid": ((-745.1, 40.0), (-103.9, 20.0)),
    "softplus": ((-745.1, 800.0), (-103.9, 100.0)),
    "tanh": ((-21.0, 21.0), (-10.0, 10.0)),
}
EDGES = {  # results at inf, -inf, 0, and plus and minus the largest finite number (or their rule)
    "erf": (1.0, -1.0, 0.0, 1.0, -1.0),
    "erfc": (0.0, 2.0, 1.0, 0.0, 2.0),
    "exp": (INF, 0.0, 1.0, INF, 0.0),
    "expm1": (INF, -1.0, 0.0, INF, -1.0),
    "log": (INF, NAN, -INF, math.log, NAN),
    "log1p": (INF, NAN, 0.0, math.log, NAN),
    "normal_cdf": (1.0, 0.0, 0.5, 1.0, 0.0),
    "sigmoid": (1.0, 0.0, 0.5, 1.0, 0.0),
    "softplus": (INF, 0.0, math.log(2.0), float, 0.0),
    "tanh": (1.0, -1.0, 0.0, 1.0, -1.0),
}


@cache
def over(name: str) -> Callable[[np.ndarray, np.ndarray], None]:
    """Return a compiled loop over one special function."""
    function = getattr(special, name)

    @numba.njit(nogil=True)
    def loop(x, out):
        for i in range(x.shape[0]):
            out[i] = function(x[i])

    return loop


def applied(name: str, x: np.ndarray) -> np.ndarray:
    """Return the function of every entry, in the type of the entries."""
    out = np.empty_like(x)
    over(name)(x, out)
    return out


def kind(name: str) -> tuple[str, type]:
    """Return the name without its suffix, and the type it works in."""
    return (name[:-3], np.float32) if name.endswith("_f4") else (name, np.float64)


def points(name: str) -> np.ndarray:
    """Return arguments of all sizes, subnormal ones too, and dense ones where the result varies."""
    base, dtype = kind(name)
    rng = np.random.default_rng(1)
    info = np.finfo(dtype)
    low, high = math.log10(info.smallest_subnormal), math.log10(info.max)
    any_size = 10.0 ** rng.uniform(low, high, 400)
    if base == "log":
        return np.concatenate([any_size, rng.uniform(0.4, 2.2, 600), [info.smallest_subnormal]]).astype(dtype)
    if base == "log1p":
        x = np.concatenate([any_size, -(10.0 ** rng.uniform(low, -1e-6, 300)), rng.uniform(-0.99, 1.0, 500)])
        return x.astype(dtype)
    a, b = RANGES[base][dtype is np.float32]
    size = 10.0 ** rng.uniform(low, 0.0, 300) * rng.choice([-1.0, 1.0], 300)
    return np.concatenate([rng.uniform(a, b, 700), rng.uniform(-1.5, 1.5, 300), size]).astype(dtype)


@pytest.mark.parametrize("name", special.__all__)
def test_errors_stay_below_the_stated_bounds(name):
    """No result is further from the exact one than its docstring says."""
    base, dtype = kind(name)
    x = points(name)
    result = applied(name, x)
    if dtype is np.float32:
        exact = DOUBLE[base](x.astype(np.float64))
        nearest, error = exact, np.abs(result - exact)
    else:
        with mpmath.workdps(40):
            values = [EXACT[base](mpmath.mpf(float(v))) for v in x]
            error = np.array([float(abs(mpmath.mpf(float(r)) - v)) for r, v in zip(result, values, strict=True)])
        nearest = np.array([float(v) for v in values])
    ulp = np.spacing(np.abs(nearest).astype(dtype)).astype(np.float64)
    subnormal = np.abs(nearest) < np.finfo(dtype).tiny
    allowed = (BOUNDS[base] + subnormal) * ulp
    worst = np.argmax(error / allowed)
    assert error[worst] <= allowed[worst], f"{x[worst]!r}: {error[worst] / ulp[worst]:.2f} ulp"
    stated = re.search(r"within ([\d.]+) ulp", getattr(special, name).__doc__)
    assert float(stated[1]) == BOUNDS[base]


@pytest.mark.parametrize("name", special.__all__)
def test_infinities_and_nan(name):
    """Infinite, huge, zero and undefined arguments give the limit of the function, or NaN."""
    base, dtype = kind(name)
    largest = np.finfo(dtype).max
    result = applied(name, np.array([INF, -INF, 0.0, largest, -largest, NAN, -NAN], dtype=dtype))
    expected = [edge(float(largest)) if callable(edge) else edge for edge in EDGES[base]]
    np.testing.assert_allclose(result[:5], expected, rtol=2 * np.finfo(dtype).eps)
    assert np.isnan(result[5:]).all()


def test_special_points_of_the_logarithms():
    """Powers of two and the pole come out exactly."""
    np.testing.assert_array_equal(applied("log", np.array([1.0, -0.0, -1e-320])), [0.0, -INF, NAN])
    np.testing.assert_array_equal(applied("log1p", np.array([-1.0, -1.5, 0.0])), [-INF, NAN, 0.0])
    assert special.log(5e-324) == math.log(5e-324)
    assert special.exp(-745.2) == 0.0
    assert special.exp(-745.1) == 5e-324
    assert special.exp(709.79) == INF


def test_normal_cdf_keeps_its_digits_far_down():
    """The lower tail is right to 1e-13 down to 37 standard deviations."""
    z = -np.linspace(0.0, 37.0, 371)
    with mpmath.workdps(40):
        exact = np.array([float(mpmath.erfc(-mpmath.mpf(v) / mpmath.sqrt(2)) / 2) for v in z])
    np.testing.assert_allclose(applied("normal_cdf", z), exact, rtol=1e-14)


@pytest.mark.parametrize("name", special.__all__)
def test_bits_do_not_depend_on_the_place_in_the_array(name):
    """The packed body of a loop, its remainder and a lone call agree to the last bit."""
    x = points(name)[:101]
    whole = applied(name, x)
    parts = np.concatenate([applied(name, x[i : i + n]) for i, n in zip(range(0, 101, 3), [3] * 33 + [2], strict=True)])
    np.testing.assert_array_equal(whole, parts)


def test_careless_callers_change_nothing():
    """A kernel that may reorder sums and ignore NaN still gets careful functions."""

    @summing
    def reckless(x, out):
        for i in range(x.shape[0]):
            out[i] = special.exp(x[i])

    @kernel
    def usual(x, out):
        for i in range(x.shape[0]):
            out[i] = special.exp(x[i])

    x = np.concatenate([points("exp"), [INF, -INF]])
    first, second = np.empty_like(x), np.empty_like(x)
    reckless(x, first)
    usual(x, second)
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(second, applied("exp", x))


@settings(deadline=None)  # the first example compiles
@given(st.floats(-700.0, 700.0))
def test_identities(x):
    """Inverse functions undo each other and complements add up to one."""
    assert special.log(special.exp(x)) == pytest.approx(x, rel=1e-15, abs=3e-16)
    assert special.sigmoid(x) + special.sigmoid(-x) == pytest.approx(1.0, rel=4e-16)
    assert special.normal_cdf(x) + special.normal_cdf(-x) == pytest.approx(1.0, rel=1e-15)
    assert special.tanh(-x) == -special.tanh(x)
    assert special.erf(-x) == -special.erf(x)
    assert special.softplus(x) - special.softplus(-x) == pytest.approx(x, rel=1e-15, abs=5e-16)


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
@pytest.mark.skipif(bool(os.environ.get("NUMBA_CPU_NAME")), reason="compiled for another processor")
@pytest.mark.skipif(not llvmlite.binding.get_host_cpu_features().get("avx2"), reason="the processor lacks AVX2")
@pytest.mark.parametrize("name", special.__all__)
def test_loops_become_packed_instructions(name):
    """A plain loop multiplies several numbers at a time."""
    _, dtype = kind(name)
    applied(name, np.ones(3, dtype=dtype))
    (assembly,) = over(name).inspect_asm().values()
    suffix = "ps" if dtype is np.float32 else "pd"
    assert len(re.findall(rf"\bv(?:mul|fn?m\w+){suffix}\s.*[yz]mm", assembly)) >= 5

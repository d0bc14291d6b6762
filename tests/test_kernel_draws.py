"""Draws of likelihood ratios: densities, alias tables, Python functions called from kernels."""

import ctypes
from typing import Any

import naive_strength as naive
import numba
import numpy as np
import pytest
import scipy.stats
from scipy.integrate import quad

from hepstat.kernels.draws import pool, wrapped
from hepstat.kernels.draws.entry import Callback, draw_once
from hepstat.kernels.philox import stream

pytestmark = pytest.mark.kernels

COMPILED = not numba.config.DISABLE_JIT
N = 100_000 if COMPILED else 2_000
LEAST_P = 1e-4
NOTHING = np.empty(0)
STDS = [0.005, 0.08, 0.113, 0.29, 0.5, 1.0]


def density(y: Any, std: float) -> Any:
    """Return the ratio of the wrapped normal signal at y (n,)."""
    values = np.array(y, dtype=float)
    wrapped.evaluate_wrapped_normal(wrapped.constants(std), values)
    return values


def drawn(address: int, constants: Any, n: int, index: int = 0) -> Any:
    """Return n ratios from stream `index` of key (7, 9)."""
    ratio = np.empty(n)
    draw_once(address, stream(np.uint64(7), np.uint64(9), index), constants, ratio)
    return ratio


def chi_square_p(observed: Any, expected: Any) -> float:
    """Return the p-value of counts against expectations of ten or more, the rest left out."""
    keep = expected >= 10
    scale = observed[keep].sum() / expected[keep].sum()
    return float(scipy.stats.chisquare(observed[keep], expected[keep] * scale).pvalue)


@pytest.mark.parametrize("std", STDS)
def test_wrapped_normal(std: float) -> None:
    """Sum of images to 1e-13 of the peak, even, and of integral 1."""
    y = np.linspace(-0.5, 0.5, 1001)
    expected = naive.wrapped_normal(y, std)
    np.testing.assert_allclose(density(y, std), expected, rtol=1e-13, atol=1e-15 * expected.max())
    np.testing.assert_array_equal(density(y, std), density(-y, std))
    total, _ = quad(lambda x: density([x], std)[0], 0.0, 0.5, points=[std], epsabs=1e-12, limit=200)
    assert total == pytest.approx(0.5, abs=1e-11)


@pytest.mark.parametrize("std", STDS)
@pytest.mark.parametrize("kind", ["signal", "background"])
def test_wrapped_draws(std: float, kind: str) -> None:
    """Drawn ratios have the probabilities that y has: r falls with |y|, so that bins in r are distances."""
    distance = np.linspace(0.0, 0.5, 21) if kind == "background" else np.linspace(0.0, min(0.5, 4 * std), 21)
    draw = wrapped.BACKGROUND if kind == "background" else wrapped.SIGNAL
    ratio = drawn(draw.address, wrapped.constants(std), N)
    edges = density(distance, std)[::-1]
    use = np.diff(edges, prepend=-1.0) > 0  # far out a narrow density is 0
    inside = np.sum([scipy.stats.norm.cdf(t + distance, scale=std) for t in range(-12, 13)], axis=0)
    inside -= np.sum([scipy.stats.norm.cdf(t - distance, scale=std) for t in range(-12, 13)], axis=0)
    cumulative = (2 * distance if kind == "background" else inside)[::-1][use]
    counts = np.histogram(ratio, edges[use])[0]
    assert (ratio >= 0).all()
    assert ratio.max() <= edges[-1] * (1 + 1e-15)
    if use.sum() > 2:
        assert chi_square_p(counts, N * -np.diff(cumulative)) >= LEAST_P


def test_background_words() -> None:
    """Eight events of four words, both halves used; a tail takes a word each."""
    n, std = 29, 0.3
    bits = np.random.Philox(key=[7, 9]).random_raw(24 + 5)
    halves = np.stack([bits[:12] & np.uint64(0xFFFFFFFF), bits[:12] >> np.uint64(32)], axis=1).reshape(-1)
    y = np.concatenate([halves, bits[12:17] >> np.uint64(32)]).astype(float) * 2.0**-32 - (0.5 - 2.0**-33)
    found = drawn(wrapped.BACKGROUND.address, wrapped.constants(std), n)
    np.testing.assert_allclose(found, naive.wrapped_normal(y, std), rtol=1e-12)


@pytest.mark.parametrize("n", [0, 1, 2, 7, 8, 9])
@pytest.mark.parametrize("draw", [wrapped.SIGNAL, wrapped.BACKGROUND], ids=["signal", "background"])
def test_few_events(draw: Any, n: int) -> None:
    """Nothing beyond the end is touched."""
    assert np.isfinite(drawn(draw.address, wrapped.constants(0.1), n)).all()


def weights_of(kind: str) -> Any:
    """Return weights of several kinds."""
    rng = np.random.default_rng(3)
    return {
        "one": np.array([0.3]),
        "equal": np.ones(7),
        "zeros": np.array([0.0, 1.0, 0.0, 3.0, 0.0]),
        "one of many": np.eye(50)[17],
        "random": rng.exponential(size=999),
        "many": rng.random(100_000 if COMPILED else 1_000),
        "huge range": 10.0 ** rng.uniform(-200, 200, 500),
        "tiny": np.full(10, 1e-300),
        "one large": np.concatenate([np.full(999, 1e-9), [1e9]]),
    }[kind]


KINDS = ["one", "equal", "zeros", "one of many", "random", "many", "huge range", "tiny", "one large"]


@pytest.mark.parametrize("kind", KINDS)
def test_alias_table(kind: str) -> None:
    """Probabilities that the table implies are the weights, to rounding; weights of zero are never drawn."""
    weights = weights_of(kind)
    m = weights.size
    threshold, alias = np.full(m, np.nan), np.full(m, -1)
    pool.alias_table(weights, threshold, alias)
    assert ((threshold >= 0) & (threshold <= 1)).all()
    assert ((alias >= 0) & (alias < m)).all()
    found = naive.alias_probabilities(threshold, alias)
    np.testing.assert_allclose(found, weights / weights.sum(), rtol=1e-9, atol=3e-16)
    assert not found[weights == 0].any()


def test_pool_draws() -> None:
    """Events come in proportion to their weights, both from the table of ratios and as indices."""
    rng = np.random.default_rng(1)
    weights = np.concatenate([rng.exponential(size=40), [0.0, 0.0]])
    constants = pool.pool_constants(np.arange(42.0), weights)
    counts = np.bincount(drawn(pool.POOL.address, constants, N).astype(int), minlength=42)
    assert chi_square_p(counts, N * weights / weights.sum()) >= LEAST_P
    assert not counts[40:].any()
    threshold, alias = np.empty(42), np.empty(42, np.int64)
    pool.alias_table(weights, threshold, alias)
    u = np.random.Generator(np.random.Philox(key=[7, 9])).random(500) * 42
    place = u.astype(int)
    same = np.where(u - place < threshold[place], place, alias[place])
    np.testing.assert_array_equal(drawn(pool.POOL.address, constants, 500), same)


def test_callback_generators() -> None:
    """A function gets a generator of its own in every call, which the stream alone decides."""
    seen: list[Any] = []

    def function(n: int, rng: Any) -> Any:
        seen.append(rng.random(3))
        return rng.random(n)

    callback = Callback(function)
    state = stream(np.uint64(7), np.uint64(9), 0)
    first, second = np.empty(5), np.empty(5)
    draw_once(callback.address, state, NOTHING, first)
    draw_once(callback.address, state, NOTHING, second)
    assert (first != second).all()
    assert (drawn(callback.address, NOTHING, 5) == first).all()
    assert (drawn(callback.address, NOTHING, 5, 1) != first).all()
    assert (seen[0] == seen[2]).all()
    callback.raise_error()


def test_callback_errors() -> None:
    """The first exception comes out once, ratios are NaN; so are negative ones; shapes are checked."""

    def function(n: int, rng: Any) -> Any:
        raise KeyError("first" if n == 2 else "second")

    callback = Callback(function)
    assert np.isnan(drawn(callback.address, NOTHING, 2)).all()
    assert np.isnan(drawn(callback.address, NOTHING, 3)).all()
    with pytest.raises(KeyError, match="first"):
        callback.raise_error()
    callback.raise_error()
    for wrong in (lambda n, rng: 1.0, lambda n, rng: np.ones(1), lambda n, rng: np.ones((n, 1))):
        callback = Callback(wrong)
        drawn(callback.address, NOTHING, 3)
        with pytest.raises(ValueError, match="of 3 events returned ratios of shape"):
            callback.raise_error()
    callback = Callback(lambda n, rng: np.array([-1e-9, -1.0, 0.0, np.inf, np.nan]))
    np.testing.assert_array_equal(drawn(callback.address, NOTHING, 5), [np.nan, np.nan, 0.0, np.inf, np.nan])
    callback.raise_error()


def test_addresses() -> None:
    """A draw has one address, another one has another, and those of functions are free again with them."""
    assert wrapped.SIGNAL.address == wrapped.SIGNAL.address
    assert wrapped.SIGNAL.address != wrapped.BACKGROUND.address
    one, two = Callback(lambda n, rng: np.ones(n)), Callback(lambda n, rng: np.zeros(n))
    assert one.address != two.address
    assert (drawn(one.address, NOTHING, 3) == 1).all()
    assert (drawn(two.address, NOTHING, 3) == 0).all()


def test_python_functions_leave_no_types_behind():
    """Calls with ever other numbers of events do not make ctypes keep a type for each."""
    callback = Callback(lambda n, rng: np.ones(n))
    state = stream(1, 2, 3)
    draw_once(callback.address, state, np.zeros(1), np.empty(5))
    before = len(ctypes._pointer_type_cache)
    for n in range(10, 60):
        draw_once(callback.address, state, np.zeros(1), np.empty(n))
    callback.raise_error()
    assert len(ctypes._pointer_type_cache) == before

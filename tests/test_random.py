"""Distributions: goodness of fit with fixed seeds (p >= 1e-4), moments, edges, and equal bits from equal states."""

import math

import numba
import numpy as np
import pytest
import scipy.stats

from hepstat.kernels import random
from hepstat.kernels.philox import stream
from hepstat.seeds import stream_key, toy_generator

COMPILED = not numba.config.DISABLE_JIT
N = 200_000 if COMPILED else 2_000
LEAST_P = 1e-4
MEANS = [0.0, 1e-9, 0.1, 1.0, 9.9, 10.1, 30.0, 1e3, 1e6, 1e9]


def state_of(toy: int) -> np.ndarray:
    """Return the stream of a toy of a fixed seed."""
    return stream(*stream_key(20240607), np.uint64(toy))


def count_p_value(counts: np.ndarray, distribution: scipy.stats.rv_discrete) -> float:
    """Return the p-value of a chi-square test on bins between quantiles, each expected to hold at least ten."""
    steps = max(2, min(50, counts.size // 20))
    inner = np.unique(distribution.ppf(np.arange(1, steps) / steps))
    edges = np.concatenate([[-np.inf], inner, [np.inf]])
    expected = counts.size * np.diff(distribution.cdf(edges))
    while expected.size > 1 and expected.min() < 10:
        i = int(np.argmin(expected))
        j = i if i > 0 else 1
        expected[j - 1] += expected[j]
        expected, edges = np.delete(expected, j), np.delete(edges, j)
    observed = np.diff(np.searchsorted(np.sort(counts), edges, side="right"))
    if expected.size == 1:
        return 1.0
    return float(scipy.stats.chisquare(observed, expected * observed.sum() / expected.sum()).pvalue)


@pytest.mark.parametrize("mean", MEANS)
def test_poisson(mean):
    """Counts of every mean follow scipy's distribution, in bins and in mean and variance (5 sigma)."""
    counts = np.empty(N, dtype=np.int64)
    random.fill_poisson(state_of(1), np.full(N, mean), counts)
    if mean < 1e-6:
        assert counts.max() == 0
        return
    assert count_p_value(counts, scipy.stats.poisson(mean)) >= LEAST_P
    assert abs(counts.mean() - mean) < 5 * math.sqrt(mean / N)
    assert abs(counts.var() - mean) < 5 * mean * math.sqrt((2 + 1 / mean) / N)
    assert counts.min() >= 0


def test_poisson_of_many_means_fills_any_type():
    """One call takes a different mean for every entry, and equals scalar draws."""
    means = np.array([*MEANS, 0.5, 12.0])
    for dtype in (np.float64, np.int64, np.float32):
        out = np.empty(means.size, dtype=dtype)
        random.fill_poisson(state_of(2), means, out)
        state = state_of(2)
        np.testing.assert_array_equal(out, np.array([random.poisson(state, m) for m in means], dtype=dtype))


def test_poisson_probabilities_are_exact_enough():
    """The log probability that rejection relies on is right to 1e-7 up to a mean of 1e9."""
    for mean in (12.0, 1e3, 1e6, 1e9):
        k = np.floor(mean + math.sqrt(mean) * np.array([-3.0, -1.0, 0.0, 0.5, 3.0]))
        ours = [random.log_poisson(v, mean) for v in k]
        exact = -0.5 * ((k - mean) ** 2 / mean)  # the shape; its norm and skewness follow from scipy below 1e6
        if mean <= 1e6:
            exact = scipy.stats.poisson.logpmf(k, mean)
            np.testing.assert_allclose(ours, exact, atol=1e-8 * max(mean / 1e3, 1.0) ** 0.5 + 1e-9)
        else:
            level = ours[2] - exact[2]
            np.testing.assert_allclose(ours - exact, level, atol=1e-3)


@pytest.mark.parametrize(
    ("n", "p"),
    [(1, 0.3), (40, 0.1), (40, 0.9), (100, 0.5), (1000, 0.97), (1_000_000, 0.3), (1_000_000_000, 1e-9), (10**9, 0.7)],
)
def test_binomial(n, p):
    """Numbers of successes follow scipy's distribution and stay within 0 and n."""
    state = state_of(3)
    counts = np.array([random.binomial(state, n, p) for _ in range(N // 10)])
    assert count_p_value(counts, scipy.stats.binom(n, p)) >= LEAST_P
    assert abs(counts.mean() - n * p) < 5 * math.sqrt(n * p * (1 - p) / counts.size)
    assert counts.min() >= 0
    assert counts.max() <= n


def test_binomial_edges():
    """Certain and impossible trials are not left to chance."""
    state = state_of(4)
    assert random.binomial(state, 0, 0.5) == 0
    assert random.binomial(state, 10, 0.0) == 0
    assert random.binomial(state, 10, 1.0) == 10


def test_multinomial():
    """Shares add up, each follows its binomial, and pairs have the right covariance (5 sigma)."""
    weights = np.array([3.0, 0.0, 1.0, 5.0, 1.0, 0.0])
    p = weights / weights.sum()
    state, size, n = state_of(5), N // 20, 57
    table = np.empty((size, 6), dtype=np.int64)
    for row in table:
        random.multinomial(state, n, weights, row)
    assert (table.sum(axis=1) == n).all()
    assert (table[:, weights == 0] == 0).all()
    for i in (0, 2, 3, 4):
        assert count_p_value(table[:, i], scipy.stats.binom(n, p[i])) >= LEAST_P
    covariance = np.cov(table.T)[0, 3]
    spread = n * math.sqrt(p[0] * (1 - p[0]) * p[3] * (1 - p[3]) * 2 / size)
    assert abs(covariance + n * p[0] * p[3]) < 5 * spread


def test_multinomial_edges():
    """No counts, one class, classes of no weight, and weights of very different size."""
    state, out = state_of(6), np.empty(3, dtype=np.int64)
    random.multinomial(state, 0, np.ones(3), out)
    assert out.tolist() == [0, 0, 0]
    random.multinomial(state, 9, np.array([0.0, 2.0, 0.0]), out)
    assert out.tolist() == [0, 9, 0]
    random.multinomial(state, 10**9, np.array([1.0, 1e-300, 0.0]), out)
    assert out.tolist() == [10**9, 0, 0]


def test_categorical():
    """Indices appear in proportion to their weights, never where there is none."""
    weights = np.array([0.0, 2.0, 0.0, 1.0, 4.0, 0.0])
    out = np.empty(N, dtype=np.int64)
    random.fill_categorical(state_of(7), np.cumsum(weights), out)
    seen = np.bincount(out, minlength=6)
    assert (seen[weights == 0] == 0).all()
    used = weights > 0
    assert scipy.stats.chisquare(seen[used], N * weights[used] / weights.sum()).pvalue >= LEAST_P


@pytest.mark.parametrize(
    ("fill", "name"),
    [(random.fill_uniform, "uniform"), (random.fill_exponential, "expon"), (random.fill_normal, "norm")],
)
def test_continuous_fills(fill, name):
    """Numbers pass Kolmogorov-Smirnov, and their neighbours are uncorrelated (5 sigma)."""
    out = np.empty(N)
    fill(state_of(8), out)
    assert scipy.stats.kstest(out, name).pvalue >= LEAST_P
    for lag in (1, 2, 256):
        assert abs(np.corrcoef(out[lag:], out[:-lag])[0, 1]) < 5 / math.sqrt(N - lag)


def test_normal_moments():
    """Mean, variance, skewness and kurtosis are those of the normal distribution (5 sigma)."""
    out = np.empty(N)
    random.fill_normal(state_of(9), out)
    assert abs(out.mean()) < 5 / math.sqrt(N)
    assert abs(out.var() - 1) < 5 * math.sqrt(2 / N)
    assert abs(scipy.stats.skew(out)) < 5 * math.sqrt(6 / N)
    assert abs(scipy.stats.kurtosis(out)) < 5 * math.sqrt(24 / N)


def test_scalar_draws():
    """Scalar draws follow their distributions too."""
    state, size = state_of(10), N // 20
    assert scipy.stats.kstest([random.normal(state) for _ in range(size)], "norm").pvalue >= LEAST_P
    assert scipy.stats.kstest([random.exponential(state) for _ in range(size)], "expon").pvalue >= LEAST_P
    for shape in (0.3, 1.0, 7.5):
        draws = [random.gamma(state, shape) for _ in range(size)]
        assert scipy.stats.kstest(draws, "gamma", args=(shape,)).pvalue >= LEAST_P
    assert random.gamma(state, 0.0) == 0.0


def test_uniform_fill_is_numpys():
    """A fill of any length, from any place, continues the stream of numpy's Generator."""
    state, peer = state_of(11), toy_generator(stream_key(20240607), 11)
    for n in (3, 0, 1, 10, 6, 2):
        out = np.empty(n)
        random.fill_uniform(state, out)
        np.testing.assert_array_equal(out, peer.random(n))


def test_exponential_fill_equals_scalar_draws():
    """One number after the other or all at once: the same bits."""
    state, other, out = state_of(12), state_of(12), np.empty(37)
    random.fill_exponential(state, out)
    np.testing.assert_array_equal(out, [random.exponential(other) for _ in range(37)])


@pytest.mark.parametrize("n", [0, 1, 2, 5, 511, 512, 513, 1025])
def test_normal_fill_of_any_length(n):
    """Every entry is written, and the same state gives the same numbers."""
    first, second = np.full(n, np.nan), np.full(n, np.nan)
    random.fill_normal(state_of(13), first)
    random.fill_normal(state_of(13), second)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)


def test_sine_and_cosine_of_a_turn():
    """The pair is right to 1e-15 in all quadrants."""
    u = np.linspace(0.0, 1.0, 2049)
    pairs = np.array([random.turn(v) for v in u])
    np.testing.assert_allclose(pairs[:, 0], np.cos(2 * np.pi * u), rtol=0, atol=1e-15)
    np.testing.assert_allclose(pairs[:, 1], np.sin(2 * np.pi * u), rtol=0, atol=1e-15)

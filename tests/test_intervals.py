"""Intervals for counts: against the tails that define them, and their coverage."""

import numpy as np
import pytest
from scipy import stats

from hepstat.errors import InputError
from hepstat.infer import binomial_interval, poisson_interval, quantile_interval


@pytest.mark.parametrize("level", [0.6827, 0.95, 1 - 1e-9])
def test_both_tails(level):
    """Half of what the level leaves lies on either side."""
    n = np.array([[1.0, 2.0, 7.0], [30.0, 100.0, 1e6]])
    lower, upper = poisson_interval(n, level)
    assert lower.shape == n.shape
    np.testing.assert_allclose(stats.poisson.sf(n - 1, lower), (1 - level) / 2, rtol=1e-6)
    np.testing.assert_allclose(stats.poisson.cdf(n, upper), (1 - level) / 2, rtol=1e-6)


def test_tabulated_values():
    """Nothing seen: 1.841; the familiar 3.689 of a 95% interval; plain floats for a plain number."""
    assert poisson_interval(0) == (0.0, pytest.approx(1.841, abs=1e-3))
    assert poisson_interval(0, 0.95) == (0.0, pytest.approx(3.689, abs=1e-3))
    assert poisson_interval(10, 0.95) == (pytest.approx(4.795, abs=1e-3), pytest.approx(18.39, abs=1e-2))
    assert all(isinstance(end, float) for end in poisson_interval(3))


def test_large_counts_are_normal():
    """The ends are a standard deviation away."""
    lower, upper = poisson_interval(1e8)
    assert lower == pytest.approx(1e8 - 1e4, abs=2.0)
    assert upper == pytest.approx(1e8 + 1e4, abs=2.0)


def test_coverage_is_at_least_the_level():
    """Summed exactly over all counts that matter."""
    n = np.arange(200)
    lower, upper = poisson_interval(n)
    for mean in np.linspace(0.05, 60.0, 500):
        covered = (lower <= mean) & (mean <= upper)
        assert stats.poisson.pmf(n[covered], mean).sum() > 0.6827


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1.0,), "n: -1"),
        (([1.0, np.nan],), r"n: nan at index \(1,\)"),
        ((np.inf,), "n: inf is infinite"),
        ((1.0, 1.0), "level: is 1"),
        ((1.0, "x"), "level: is 'x'"),
    ],
)
def test_bad_arguments(arguments, message):
    """Each names the argument and the value."""
    with pytest.raises(InputError, match=message):
        poisson_interval(*arguments)


@pytest.mark.parametrize("level", [0.6827, 0.95, 1 - 1e-9])
def test_both_tails_of_a_fraction(level):
    """Half of what the level leaves lies on either side, for any number of trials."""
    k, n = np.array([[1.0, 2.0, 7.0], [30.0, 99.0, 400_000.0]]), np.array([8.0, 100.0, 1e6])
    k = np.minimum(k, n - 1)
    lower, upper = binomial_interval(k, n, level)
    assert lower.shape == k.shape
    np.testing.assert_allclose(stats.binom.sf(k - 1, n, lower), (1 - level) / 2, rtol=1e-6)
    np.testing.assert_allclose(stats.binom.cdf(k, n, upper), (1 - level) / 2, rtol=1e-6)


def test_ends_of_a_fraction():
    """Exactly 0 and 1 where nothing or everything succeeded; plain floats; no knowledge without trials."""
    assert binomial_interval(0, 10, 0.9) == (0.0, pytest.approx(1 - 0.05**0.1))
    assert binomial_interval(10, 10, 0.9) == (pytest.approx(0.05**0.1), 1.0)
    assert binomial_interval(0, 0) == (0.0, 1.0)
    assert all(isinstance(end, float) for end in binomial_interval(3, 7))


def test_few_of_many_are_poisson():
    """A handful of 10^9 trials."""
    lower, upper = binomial_interval([0, 3, 50], 1e9)
    expected = poisson_interval([0, 3, 50])
    np.testing.assert_allclose(lower * 1e9, expected[0], rtol=1e-6)
    np.testing.assert_allclose(upper * 1e9, expected[1], rtol=1e-6)


def test_coverage_of_a_fraction_is_at_least_the_level():
    """Summed exactly over all outcomes."""
    k = np.arange(41)
    lower, upper = binomial_interval(k, 40)
    for p in np.linspace(0.001, 0.999, 400):
        covered = (lower <= p) & (p <= upper)
        assert stats.binom.pmf(k[covered], 40, p).sum() > 0.6827


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 1), "k: 2 is above n"),
        ((-1, 1), "k: -1"),
        ((np.nan, 1), "k: nan"),
        ((1, np.inf), "n: inf"),
        ((1, 2, 0.0), "level: is 0"),
    ],
)
def test_bad_fractions(arguments, message):
    """Each names the argument and the value."""
    with pytest.raises(InputError, match=message):
        binomial_interval(*arguments)


@pytest.mark.parametrize(("share", "n"), [(0.5, 101), (0.95, 300), (0.998, 1000)])
def test_quantile_interval(share, n):
    """Intervals of quantiles cover at least as often as they say, and not much more often."""
    rng, true = np.random.default_rng(6), stats.norm.ppf(share)
    ends = np.array([quantile_interval(rng.standard_normal(n), share) for _ in range(1000)])
    covered = np.mean((ends[:, 1] <= true) & (true <= ends[:, 2]))
    assert 0.6827 - 0.045 < covered < 0.82
    assert np.mean(ends[:, 0] < true) == pytest.approx(0.5, abs=0.13)


def test_quantile_without_an_end():
    """An end beyond the last value is infinite; what is no share is refused."""
    assert quantile_interval([3.0, 1.0, 2.0], 0.5, 0.99) == (2.0, -np.inf, np.inf)
    for values, share in (([1.0, np.nan], 0.5), ([], 0.5), ([1.0], 1.0)):
        with pytest.raises(InputError):
            quantile_interval(values, share)

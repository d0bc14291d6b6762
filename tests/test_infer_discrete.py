"""Tests at a level with ties: against Poisson sums, and their promises on toys."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hepstat.errors import InputError
from hepstat.infer import DiscreteTest, level_test, p_value

COUNTS = np.arange(400.0)
CUT = 2 * 0.08 * np.sqrt(2 * np.log(1 / (0.08 * np.sqrt(2 * np.pi) * 0.5)))  # width of r > 1/2 for std .08
SIGNAL = 10 * (2 * stats.norm.cdf(CUT / 2 / 0.08) - 1)
BACKGROUND = 100 * CUT


def _poisson(mean):
    """Counts with their probabilities, fewer against S+B: minus the count."""
    return -COUNTS, stats.poisson.pmf(COUNTS, mean)


def test_cut_and_count():
    """S = 10, B = 100, std .08, r > .5: power .4472 by lot, .388 at the true level .0366 without."""
    null, other = _poisson(SIGNAL + BACKGROUND), _poisson(BACKGROUND)
    lot = level_test(null, 0.05)
    power, error = lot.power(other)
    assert power == pytest.approx(0.4472, abs=1e-4)
    assert (error, lot.true_level_error) == (0.0, 0.0)
    assert lot.true_level == pytest.approx(0.05, rel=1e-12)
    careful = level_test(null, 0.05, method="conservative")
    assert careful.true_level == pytest.approx(0.0366, abs=1e-4)
    assert careful.power(other)[0] == pytest.approx(0.388, abs=5e-4)
    assert careful.true_level == pytest.approx(stats.poisson.cdf(-careful.threshold - 1, SIGNAL + BACKGROUND))
    half = level_test(null, 0.05, method="mid-p")
    assert (half.threshold, half.reject_at_threshold) in [(careful.threshold, 1.0), (careful.threshold + 1, 1.0)]
    assert careful.true_level <= half.true_level


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 8), st.floats(0.001, 0.999), st.integers(0, 2**32 - 1))
def test_promises(n, level, seed):
    """By lot the level is exact, conservatively it is not exceeded, and mid-p rejects where its p-value is low."""
    rng = np.random.default_rng(seed)
    values, p = rng.normal(size=n), rng.dirichlet(np.ones(n))
    null = values, p
    assert level_test(null, level).true_level == pytest.approx(level, rel=1e-9)
    careful = level_test(null, level, method="conservative")
    assert careful.true_level <= level * (1 + 1e-9)
    for kind in ("conservative", "mid-p"):
        rejected = p[p_value(null, values, kind) <= level].sum()
        assert level_test(null, level, method=kind).true_level == pytest.approx(rejected, abs=1e-12)


def test_p_values():
    """All, half, or a share of the probability of the tie; toys count the data as one more."""
    null = np.array([0.0, 1.0, 2.0]), np.array([0.5, 0.3, 0.2])
    assert p_value(null, 1.0) == pytest.approx(0.5)
    assert p_value(null, 1.0, "mid-p") == pytest.approx(0.35)
    assert p_value(null, 1.0, "randomised", u=0.1) == pytest.approx(0.23)
    np.testing.assert_allclose(p_value(null, [0.5, 3.0, -np.inf]), [0.5, 0.0, 1.0])
    toys = [0.0, 0.0, 1.0, 2.0]
    assert p_value(toys, 1.0) == 3 / 5
    assert p_value(toys, 1.0, "mid-p") == 2 / 5
    assert p_value(toys, 1.0, "randomised", u=0.25) == pytest.approx(1.5 / 5)
    assert p_value(toys, 9.0) == 1 / 5


def test_randomised_p_values_are_uniform():
    """Exact and from 9 toys, at 5000 Poisson counts of mean 3."""
    rng = np.random.default_rng(5)
    data = rng.poisson(3.0, 5000).astype(float)
    exact = p_value((COUNTS, stats.poisson.pmf(COUNTS, 3.0)), data, "randomised", rng=1)
    assert stats.kstest(exact, "uniform").pvalue > 1e-3
    u = rng.random(5000)
    toys = [p_value(rng.poisson(3.0, 9), t, "randomised", u=v) for t, v in zip(data, u, strict=True)]
    assert stats.kstest(toys, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("method", ["randomised", "conservative"])
@pytest.mark.parametrize("mean", [4.0, 2000.0])
def test_errors_from_toys(method, mean):
    """In 1000 repetitions levels and powers scatter around the true ones as their errors say, within 15%.

    A mean of 4 has heavy ties, one of 2000 next to none. With the former the conservative test is 1.4 standard errors
    from another threshold, which toys sometimes choose; its error then is an estimate to a third.
    """
    rng, n, level = np.random.default_rng(6), 1500, 0.2
    shift = 0.5 * np.sqrt(mean)
    counts = np.arange(mean + 20 * np.sqrt(mean) + 20)
    pmf, other = stats.poisson.pmf(counts, mean), stats.poisson.pmf(counts, mean + shift)
    exact = level_test((counts, pmf), level, method=method)
    found = []
    for _ in range(1000):
        test = level_test(rng.poisson(mean, n), level, method=method)
        power, error = test.power(rng.poisson(mean + shift, n))
        true = pmf[counts > test.threshold].sum() + test.reject_at_threshold * pmf[counts == test.threshold].sum()
        found.append((power, error, true, test.true_level_error, test.true_level))
    power, error, true, level_error, claimed = np.transpose(found)
    steps = method == "conservative" and mean < 100
    assert abs(power.mean() - exact.power((counts, other))[0]) < 0.4 * power.std()
    np.testing.assert_allclose(power.std(), np.sqrt(np.mean(error**2)), rtol=0.33 if steps else 0.15)
    np.testing.assert_allclose((true - claimed).std(), np.sqrt(np.mean(level_error**2)), rtol=0.15)


def test_never_rejects_at_a_probable_top():
    """Where even the largest value is more probable than the level, only the lot rejects."""
    null = np.array([0.0, 1.0]), np.array([0.4, 0.6])
    for method, true_level in (("randomised", 0.05), ("conservative", 0.0), ("mid-p", 0.0)):
        test = level_test(null, 0.05, method=method)
        assert test.true_level == pytest.approx(true_level)
        assert test.power(([2.0], [1.0])) == (1.0, 0.0)  # above all values of the null


def test_json_and_text():
    """Results travel and say how they reject."""
    test = level_test([1.0, 2.0, np.inf], 0.3)
    assert DiscreteTest.from_json(test.to_json()).to_dict() == test.to_dict()
    assert "true level 0.3 +- " in repr(test)
    assert test.values[-1] == np.inf


def test_bad_input():
    """What is no distribution, no level or no method."""
    for null in ([], [np.nan], ([1.0], [0.5]), ([1.0, 2.0], [1.0]), ([1.0, 2.0], [1.5, -0.5])):
        with pytest.raises(InputError, match=r"null|probabilities"):
            level_test(null, 0.05)
    with pytest.raises(InputError, match="level"):
        level_test([1.0], 0.0)
    with pytest.raises(InputError, match="method"):
        level_test([1.0], 0.5, method="exact")
    with pytest.raises(InputError, match="kind"):
        p_value([1.0], 0.5, "exact")
    for options in ({}, {"u": 0.5, "rng": 1}):
        with pytest.raises(InputError, match="exactly one"):
            p_value([1.0], 0.5, "randomised", **options)


def test_values_that_differ_by_rounding_are_tied():
    """Sums of tenths in any order are tied with those on the lattice of whole numbers, also far from typical values."""
    rng = np.random.default_rng(4)
    counts = rng.poisson(3.0, (4000, 3))
    sums, whole = counts @ np.array([0.1, 0.2, 0.3]), counts @ np.array([1, 2, 3])
    assert np.unique(sums).size > np.unique(whole).size
    for kind in ("conservative", "mid-p"):
        observed = np.array([7, 15, 30])
        assert p_value(sums, 0.1 * observed, kind) == pytest.approx(p_value(whole, observed, kind), rel=1e-12)
        test, expected = level_test(sums, 0.05, method=kind), level_test(whole, 0.05, method=kind)
        assert test.true_level == pytest.approx(expected.true_level, rel=1e-12)
        assert test.power(sums + 0.1)[0] == pytest.approx(expected.power(whole + 1)[0], rel=1e-12)
    assert level_test([1e-20, 2e-20, 3e-20, np.inf], 0.3).values.size == 4
    assert level_test([1.0, 2.0, 3.0, 4.0, 1e300], 0.3).values.size == 5

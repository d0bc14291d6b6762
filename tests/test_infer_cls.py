"""CLs from toys: against its definition, the asymptotic one, and the coverage of its intervals."""

import math

import numpy as np
import pytest
from scipy import stats

from hepstat.errors import InputError
from hepstat.infer import AsymptoticDistribution, CLs, asymptotic_cls, binomial_interval, toy_cls


def test_definition():
    """Ties count as reaching the data; the null's p-value counts the data as one more toy, the other does not."""
    found = toy_cls([0.0, 1.0, 2.0, 3.0], [2.0, 2.0, 5.0, 1.0, -np.inf], 2.0, mu=1.5, statistic="q_mu")
    assert (found.cl_sb, found.cl_b) == (3 / 5, 3 / 5)
    assert (found.cl_s, found.mu, found.statistic, found.method) == (1.0, 1.5, "q_mu", "toys")
    assert (found.n_toys, found.n_toys_alternative, found.n_failed, found.n_failed_alternative) == (4, 5, 0, 0)


def test_intervals():
    """Clopper and Pearson at the level for both, at its square root for the joined ends of the ratio."""
    null, other = np.arange(1000.0), np.arange(1000.0) + 400
    found = toy_cls(null, other, 960.0, level=0.9)
    assert (found.cl_sb_lower, found.cl_sb_upper) == binomial_interval(40, 1000, 0.9)
    assert (found.cl_b_lower, found.cl_b_upper) == binomial_interval(440, 1000, 0.9)
    low, high = binomial_interval(40, 1000, math.sqrt(0.9))
    low_b, high_b = binomial_interval(440, 1000, math.sqrt(0.9))
    assert found.cl_s_lower == pytest.approx(low / high_b)
    assert found.cl_s_upper == pytest.approx(high / low_b)


def test_expected_band_is_that_of_toys():
    """Each expected value is what the toy at that quantile would give as data."""
    rng = np.random.default_rng(1)
    null, other = rng.poisson(3.0, 500).astype(float), rng.poisson(6.0, 701).astype(float)
    found = toy_cls(null, other, 4.0)
    for n, cls, cl_sb, cl_b in zip(
        range(-2, 3), found.expected_cl_s, found.expected_cl_sb, found.expected_cl_b, strict=True
    ):
        at = np.quantile(other, stats.norm.cdf(-n), method="inverted_cdf")
        as_data = toy_cls(null, other, at)
        assert (cls, cl_sb, cl_b) == (as_data.cl_s, as_data.cl_sb, as_data.cl_b)
    assert np.all(np.diff([found.expected_cl_sb, found.expected_cl_b]) >= 0)


def test_agrees_with_asymptotic_formulae():
    """40,000 toys from the asymptotic distributions give its CLs and band within 4 standard errors."""
    rng, n, sigma = np.random.default_rng(2), 40_000, 0.5
    null, other = (
        AsymptoticDistribution("q_mu_tilde", 1.0, true, sigma).quantile(rng.random(n)) for true in (1.0, 0.0)
    )
    exact = asymptotic_cls(1.7, sigma**-2)
    found = toy_cls(null, other, 1.7)
    pairs = [(found.cl_s, exact.cl_s, exact.cl_sb, exact.cl_b)]
    pairs += list(
        zip(found.expected_cl_s, exact.expected_cl_s, exact.expected_cl_sb, exact.expected_cl_b, strict=True)
    )[:-1]  # at +2 sigma the statistic is 0
    for seen, true, cl_sb, cl_b in pairs:
        # the band's quantile moves too, by no more than the relative error of CLb in units of the same
        error = true * np.sqrt((1 - cl_sb) / (n * cl_sb) + 2 * (1 - cl_b) / (n * cl_b)) * 2
        assert abs(seen - true) < 4 * error


def test_coverage_of_the_interval():
    """In 2000 repetitions the interval of CLs covers at least as often as it says, less 4 standard errors."""
    rng, n, p, p_b, level = np.random.default_rng(4), 400, 0.03, 0.4, 0.6827
    hits = 0
    for k, k_b in zip(rng.binomial(n, p, 2000), rng.binomial(n, p_b, 2000), strict=True):
        found = toy_cls(np.arange(n) < k, np.arange(n) < k_b, 1.0, level=level)
        hits += found.cl_s_lower <= p / p_b <= found.cl_s_upper
    assert hits / 2000 > level - 4 * np.sqrt(level * (1 - level) / 2000)


def test_failed_toys_make_cls_larger():
    """Unless dropped, failed toys of the null reach the data and those of the alternative do not."""
    null, other = np.array([0.0, np.nan, 3.0]), np.array([5.0, 4.0, np.nan, 1.0])
    options = {"failed": np.isnan(null), "failed_alternative": 2 * np.isnan(other)}
    found = toy_cls(null, other, 3.5, **options)
    assert (found.cl_sb, found.cl_b, found.n_toys, found.n_failed, found.n_failed_alternative) == (
        2 / 4,
        2 / 4,
        3,
        1,
        1,
    )
    dropped = toy_cls(null, other, 3.5, count_failed="drop", **options)
    assert (dropped.cl_sb, dropped.cl_b, dropped.n_toys, dropped.n_toys_alternative) == (1 / 3, 2 / 3, 2, 3)
    with pytest.raises(InputError, match="NaN in 1 toys"):
        toy_cls(null, other, 3.5, failed=np.isnan(null))


def test_data_beyond_all_toys():
    """CLs is 1 where no toy of the alternative reaches the data, and its interval ends there."""
    found = toy_cls(np.zeros(99), np.zeros(50), np.inf)
    assert (found.cl_sb, found.cl_b, found.cl_s, found.cl_s_upper) == (0.01, 0.0, 1.0, 1.0)
    assert found.cl_s_lower == 0.0
    assert CLs.from_json(found.to_json()).observed == np.inf
    assert "99 and 50 toys" in repr(found)


def test_bad_input():
    """Words, levels and shapes."""
    with pytest.raises(InputError, match="count_failed"):
        toy_cls([1.0], [1.0], 1.0, count_failed="keep")
    with pytest.raises(InputError, match="level"):
        toy_cls([1.0], [1.0], 1.0, level=1.0)
    with pytest.raises(InputError, match="observed"):
        toy_cls([1.0], [1.0], np.nan)
    with pytest.raises(InputError, match="one number"):
        toy_cls([1.0], [1.0], [1.0, 2.0])
    with pytest.raises(InputError, match="no toy to count"):
        toy_cls([1.0], [1.0], 1.0, failed=[True], count_failed="drop")

"""Calibration: against scipy, exact binomial tails, and toys with known defects."""

import io
import math

import numpy as np
import pytest
from rich.console import Console
from scipy import stats

from hepstat.errors import InputError
from hepstat.infer import CoverageCalibration, PValueCalibration, coverage, p_value_calibration


def _text(table):
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


def test_uniform_p_values():
    """The test of scipy; ten parts; type-I errors with exact tails."""
    p = np.random.default_rng(1).random(5000)
    found = p_value_calibration(p)
    expected = stats.kstest(p, "uniform")
    assert found.ks_statistic == pytest.approx(expected.statistic, rel=1e-12)
    assert found.ks_p == pytest.approx(expected.pvalue, rel=1e-6)
    np.testing.assert_array_equal(found.counts, np.histogram(p, 10, (0, 1))[0])
    assert found.expected == 500.0
    np.testing.assert_array_equal(found.n_rejected, [(p <= t).sum() for t in found.thresholds])
    assert (np.abs(found.n_sigma) < 4).all()
    assert stats.binom.sf(found.counts[0] - 1, 5000, found.counts_lower[0] / 5000) == pytest.approx(0.15865, rel=1e-6)


def test_deviations_are_exact_binomial_tails():
    """Too many, too few, and as many as expected."""
    p = np.concatenate([np.full(80, 0.005), np.full(20, 0.03), np.full(900, 0.5)])
    found = p_value_calibration(p, thresholds=[0.01, 0.05, 0.3])
    tails = [stats.binom.sf(79, 1000, 0.01), stats.binom.sf(99, 1000, 0.05), stats.binom.cdf(100, 1000, 0.3)]
    np.testing.assert_allclose(found.n_sigma, stats.norm.isf(tails) * [1, 1, -1], rtol=1e-9)
    assert p_value_calibration(np.arange(0.0005, 1, 0.001), thresholds=[0.1]).n_sigma == 0.0


def test_false_alarms():
    """The test of uniformity rejects one uniform set in ten at 10%, within 4 errors of 1000 sets."""
    rng = np.random.default_rng(2)
    rejected = np.mean([p_value_calibration(rng.random(200)).ks_p <= 0.1 for _ in range(1000)])
    assert abs(rejected - 0.1) < 4 * math.sqrt(0.09 / 1000)


@pytest.mark.parametrize("atom", [0.5, 1.0])
def test_atom_of_deficits(atom):
    """Half of the p-values of a one-sided test are the same; below that they are uniform."""
    z = np.random.default_rng(3).normal(size=20_000)
    p = np.where(z > 0, stats.norm.sf(z), atom)
    assert p_value_calibration(p).ks_p < 1e-10
    found = p_value_calibration(p, below=0.5)
    assert found.n_below == (z > 0).sum()
    assert found.ks_p > 1e-3
    assert found.edges[-1] == 0.5
    assert (np.abs(found.n_sigma) < 4).all()
    assert found.n == 20_000


def test_failed_toys_reject():
    """They count as p = 0 at every threshold and in the first part."""
    p = np.linspace(0.0005, 0.9995, 1000)
    lost, given = np.arange(1030) < 30, np.concatenate([np.full(30, np.nan), p])
    found = p_value_calibration(given, failed=lost)
    assert found.to_dict() == p_value_calibration(given, failed=7 * lost).to_dict()
    assert (found.n, found.n_failed) == (1030, 30)
    np.testing.assert_array_equal(found.n_rejected, p_value_calibration(p).n_rejected + 30)
    assert found.counts[0] == 130
    assert found.n_sigma[-1] > 5
    assert "30 failed" in repr(found)


def test_ties_at_the_ends():
    """Zeros and ones are p-values."""
    found = p_value_calibration([0.0, 1.0, 1.0], thresholds=[0.5])
    assert found.ks_statistic == pytest.approx(2 / 3)
    assert found.counts.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 2]


def test_tables_and_json():
    """What a person and what a program reads."""
    found = p_value_calibration(np.random.default_rng(4).random(100))
    assert "0.00135" in _text(found.table())
    assert repr(PValueCalibration.from_json(found.to_json())) == repr(found)
    truth = np.repeat([1.0, 2.0], 50)
    covered = coverage(truth, truth - 1, truth + 1, estimate=truth + 0.1, error=np.full(100, 0.2))
    assert "pull width" in _text(covered.table())
    assert "pull" not in _text(coverage(truth, truth - 1, truth + 1).table())
    assert repr(CoverageCalibration.from_json(covered.to_json())) == repr(covered)


def test_coverage_and_pulls_of_gaussian_intervals():
    """Every true value on its own: coverage, mean and width within 4 errors."""
    rng = np.random.default_rng(5)
    truth = np.repeat([3.0, 0.0, 10.0], 4000)
    estimate = truth + 2 * rng.normal(size=truth.size)
    found = coverage(truth, estimate - 2, estimate + 2, estimate=estimate, error=np.full(truth.size, 2.0))
    assert found.truths.tolist() == [0.0, 3.0, 10.0]
    assert found.n.tolist() == [4000.0] * 3
    assert (np.abs(found.n_sigma) < 4).all()
    assert (np.abs(found.pull_mean) < 4 * found.pull_mean_error).all()
    assert (np.abs(found.pull_width - 1) < 4 * found.pull_width_error).all()
    own = (estimate[truth == 3] - 3) / 2
    assert found.pull_mean[1] == pytest.approx(own.mean())
    assert found.pull_width[1] == pytest.approx(own.std(ddof=1))
    assert found.pull_mean_error[1] == pytest.approx(own.std(ddof=1) / math.sqrt(4000))
    assert ((found.coverage_lower < found.coverage) & (found.coverage < found.coverage_upper)).all()


def test_narrow_intervals_are_noticed():
    """Half as wide as they should be."""
    estimate = np.random.default_rng(6).normal(size=1000)
    found = coverage(0.0, estimate - 0.5, estimate + 0.5)
    assert found.n_sigma[0] < -10
    assert "-" in repr(found)


def test_failed_intervals_miss():
    """And take no part in the pulls; infinite ends are ends."""
    lower = np.array([-1.0, -np.inf, np.nan, 0.5])
    upper = np.array([1.0, np.inf, np.nan, 1.0])
    failed = np.array([False, False, True, False])
    estimate, error = np.array([0.0, 1.0, np.nan, 0.7]), np.array([1.0, 1.0, np.nan, 0.1])
    found = coverage(0.0, lower, upper, failed=failed, estimate=estimate, error=error)
    assert (found.n[0], found.n_failed[0], found.coverage[0]) == (4, 1, 0.5)
    assert found.pull_mean[0] == pytest.approx((0 + 1 + 7) / 3)
    alone = coverage([0.0, 1.0], [0.0, 0.0], [1.0, 1.0], estimate=[0.0, 1.0], error=[1.0, 1.0])
    assert np.isnan(alone.pull_width).all()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: p_value_calibration([0.5, 1.5]), "p: 1.5 at index"),
        (lambda: p_value_calibration([0.5, np.nan]), "p: has 1 NaN"),
        (lambda: p_value_calibration([]), "p: has none of 0 below 1"),
        (lambda: p_value_calibration([0.7], below=0.5), "p: has none of 1 below 0.5"),
        (lambda: p_value_calibration([0.7], below=0.0), "below: is 0"),
        (lambda: p_value_calibration([0.7], thresholds=[0.0]), "thresholds: 0"),
        (lambda: p_value_calibration([0.1], thresholds=[0.6], below=0.5), "thresholds: 0.6"),
        (lambda: p_value_calibration([0.1], failed=[0.5]), "failed: has type"),
        (lambda: coverage(0.0, 1.0, 2.0), "lower: has shape"),
        (lambda: coverage(0.0, [1.0], [2.0, 3.0]), "upper: has shape"),
        (lambda: coverage([0.0, 1.0], [1.0], [2.0]), "truth: has shape"),
        (lambda: coverage(0.0, [np.nan], [2.0]), "lower: nan"),
        (lambda: coverage(0.0, [1.0], [2.0], level=0.0), "level: is 0"),
        (lambda: coverage(0.0, [1.0], [2.0], estimate=[1.0]), "error: needs estimate"),
        (lambda: coverage(0.0, [1.0], [2.0], estimate=[1.0], error=[0.0]), "error: 0"),
        (lambda: coverage(0.0, [1.0], [2.0], failed=[0.0]), "failed: has type"),
    ],
)
def test_bad_arguments(call, message):
    """Each names the argument."""
    with pytest.raises(InputError, match=message):
        call()

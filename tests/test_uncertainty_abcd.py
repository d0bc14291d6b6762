"""The ABCD method: estimates and intervals, empty regions, coverage, closure, and signal in control regions."""

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from scipy.optimize import minimize

from hepstat.errors import InputError
from hepstat.uncertainty import AbcdClosure, AbcdEstimate, abcd, abcd_closure, abcd_counts, abcd_signal

RNG = np.random.default_rng(21)


def profile(n, log_a, non_closure=0.0):
    """Return -log L of counts B, C, D with the logarithm of b c / d exp(s theta) fixed, by a minimiser."""

    def nll(point):
        log_b, log_c, theta = point
        means = np.exp([log_b, log_c, log_b + log_c + non_closure * theta - log_a])
        return float((means - n * np.log(means)).sum()) + 0.5 * theta**2

    return minimize(nll, [*np.log(n[:2]), 0.0], method="BFGS", options={"gtol": 1e-7}).fun


def test_regions():
    """Counts and squares of weights by the cuts, events at a cut above it."""
    x, y, w = [1.0, 1.0, 0.0, 0.0, 2.0], [1.0, 0.0, 1.0, 0.0, 1.0], [1.0, 2.0, 3.0, 4.0, 5.0]
    sums, squares = abcd_counts(x, y, 1.0, 1.0, w)
    assert_array_equal(sums, [6.0, 2.0, 3.0, 4.0])
    assert_array_equal(squares, [26.0, 4.0, 9.0, 16.0])


def test_propagation():
    """Relative variances add up: 1/N of each region, V / W^2 with weights, and the non-closure."""
    found = abcd(100, 50, 200, method="propagated", non_closure=0.1)
    assert found.estimate == 25.0
    assert found.error == pytest.approx(25 * np.sqrt(1 / 100 + 1 / 50 + 1 / 200 + 0.01))
    assert found.upper - found.lower == pytest.approx(2 * found.error, rel=1e-4)
    weighted = abcd(100, 50, 200, variances=[300, 100, 500], method="propagated")
    assert weighted.error == pytest.approx(25 * np.sqrt(300 / 100**2 + 100 / 50**2 + 500 / 200**2))
    assert abcd(2, 3, 6, method="propagated").lower >= 0.0


@pytest.mark.parametrize("non_closure", [0.0, 0.3])
def test_profile_interval_is_that_of_a_minimiser(non_closure):
    """Twice the log likelihood ratio at both ends is that of the level, from a numerical profile."""
    n = np.array([12.0, 7.0, 25.0])
    found = abcd(*n, non_closure=non_closure, level=0.9)
    best = float((n - n * np.log(n)).sum())
    for end in (found.lower, found.upper):
        assert 2 * (profile(n, np.log(end), non_closure) - best) == pytest.approx(stats.chi2.ppf(0.9, 1), rel=1e-5)


def test_weighted_counts_are_scaled():
    """Weights of one half: half the estimate and interval of twice the counts."""
    plain, half = abcd(24, 14, 50), abcd(12, 7, 25, variances=[6, 3.5, 12.5])
    assert (half.estimate, half.lower, half.upper) == (
        pytest.approx(plain.estimate / 2), pytest.approx(plain.lower / 2), pytest.approx(plain.upper / 2),
    )  # fmt: skip


def test_coverage():
    """1500 toys with few events: the share of intervals that hold the truth, within four binomial errors and 3%."""
    b, c, d = 8, 12, 20
    toys = [abcd(*n) for n in RNG.poisson([b, c, d], (1500, 3))]
    share = np.mean([toy.lower <= b * c / d <= toy.upper for toy in toys])
    assert share == pytest.approx(0.6827, abs=4 * np.sqrt(0.6827 * 0.3173 / 1500) + 0.03)


def test_empty_regions():
    """0 is an estimate with an upper end; without events in D there is none, without all of them no bound at all."""
    for n_b, n_c in ((0, 5), (5, 0), (0, 0)):
        found = abcd(n_b, n_c, 10)
        assert found.estimate == found.lower == 0.0
        assert 0.0 < found.upper < 2.0
        assert found.error > 0.0
    assert abcd(0, 5, 10).error == pytest.approx(0.5)
    assert abcd(0, 0, 10).error == pytest.approx(0.1)
    none_in_d = abcd(3, 5, 0)
    assert none_in_d.estimate == none_in_d.upper == math.inf
    assert 0.0 < none_in_d.lower < math.inf
    nothing = abcd(0, 5, 0)
    assert math.isnan(nothing.estimate)
    assert (nothing.lower, nothing.upper) == (0.0, math.inf)
    assert AbcdEstimate.from_json(none_in_d.to_json()) == none_in_d
    assert "profile" in repr(none_in_d)


def test_signal_of_the_best_fit_solves_four_equations():
    """Four means for four counts: every region is described exactly."""
    n, s = np.array([60.0, 100.0, 50.0, 200.0]), np.array([20.0, 2.0, 1.0, 0.5])
    found = abcd_signal(n, s)
    a, b, c, d = n - found.mu * s
    assert found.background == pytest.approx(b * c / d, rel=1e-4)
    assert a == pytest.approx(found.background, rel=1e-4)
    assert found.background < found.background_uncorrected == 25.0
    scaled = abcd_signal(n, s / 10)
    assert (scaled.mu, scaled.z) == (pytest.approx(10 * found.mu, rel=1e-3), pytest.approx(found.z, rel=1e-3))


def test_signal_interval_without_contamination():
    """Signal in A alone: no signal is tested against the background of :func:`abcd`, and non-closure weakens it."""
    n = np.array([60.0, 100.0, 50.0, 200.0])
    found = abcd_signal(n, [1.0, 0.0, 0.0, 0.0])
    assert found.mu == pytest.approx(35.0, rel=1e-4)

    def without(point):
        means = np.exp([point[0] + point[1] - point[2], *point])
        return float((means - n * np.log(means)).sum())

    null = minimize(without, np.log(n[1:]), method="BFGS", options={"gtol": 1e-6}).fun
    best = float((n - n * np.log(n)).sum())
    assert found.q0 == pytest.approx(2 * (null - best), rel=1e-5)
    assert found.z == pytest.approx(np.sqrt(found.q0))
    assert found.mu_lower < 35.0 < found.mu_upper
    wider = abcd_signal(n, [1.0, 0.0, 0.0, 0.0], non_closure=0.3)
    assert wider.z < found.z
    assert wider.mu_lower < found.mu_lower
    assert "mu = 35" in repr(found)


def test_signal_at_its_limit():
    """A deficit in A: mu is 0, with an upper end; also without any event."""
    found = abcd_signal([20, 100, 50, 200], [20, 2, 1, 0.5])
    assert found.mu == found.mu_lower == found.q0 == 0.0
    assert 0.0 < found.mu_upper < 1.0
    assert abcd_signal([0, 0, 0, 0], [20, 2, 1, 0.5]).mu_upper > 0.0


def test_contamination_is_corrected_on_average():
    """100 toys: the mean background of the fit is the true one, while B C / D is too large."""
    s, b = np.array([40.0, 20.0, 10.0, 2.0]), np.array([50.0, 100.0, 150.0, 300.0])
    toys = [abcd_signal(n, s) for n in RNG.poisson(s + b, (100, 4))]
    fitted = np.array([toy.background for toy in toys])
    assert fitted.mean() == pytest.approx(50.0, abs=4 * fitted.std() / np.sqrt(100) + 1.0)
    assert np.mean([toy.background_uncorrected for toy in toys]) > 58.0
    covered = np.mean([toy.mu_lower <= 1.0 <= toy.mu_upper for toy in toys])
    assert covered == pytest.approx(0.6827, abs=4 * np.sqrt(0.22 / 100))


def test_closure_by_hand():
    """Ratio and error at one boundary, and the test of independence of scipy in all cells."""
    x, y = RNG.random((2, 4000))
    found = abcd_closure(x, y, [0.3, 0.6], [0.5])
    a, b, c, d = abcd_counts(x, y, 0.6, 0.5)[0]
    assert found.observed[1, 0] == a
    assert found.predicted[1, 0] == pytest.approx(b * c / d)
    assert found.ratio[1, 0] == pytest.approx(a * d / (b * c))
    assert found.error[1, 0] == pytest.approx(found.ratio[1, 0] * np.sqrt(1 / a + 1 / b + 1 / c + 1 / d))
    table = np.histogram2d(x, y, [[0, 0.3, 0.6, 1], [0, 0.5, 1]])[0]
    chi2, p, ndof, _ = stats.chi2_contingency(table, correction=False)
    assert (found.chi2, found.ndof, found.p) == (pytest.approx(chi2), ndof, pytest.approx(p))
    assert_allclose(found.pulls, (found.ratio - 1) / found.error)
    assert found.pearson == pytest.approx(stats.pearsonr(x, y).statistic)
    assert_array_equal(AbcdClosure.from_json(found.to_json()).ratio, found.ratio)


def test_closure_of_independent_features():
    """200 samples, weighted: pulls of a boundary and chi2 are those of independence; the non-closure is small."""
    pulls, chi2, found = [], [], None
    for _ in range(200):
        x, y, w = RNG.random(2000), RNG.random(2000), RNG.exponential(1.0, 2000)
        found = abcd_closure(x, y, [0.3, 0.6], [0.4, 0.7], w)
        pulls.append(found.pulls[1, 1])
        chi2.append(found.chi2)
    assert np.mean(chi2) == pytest.approx(found.ndof, abs=4 * np.sqrt(2 * found.ndof / 200))
    assert np.mean(pulls) == pytest.approx(0.0, abs=4 / np.sqrt(200))
    assert np.std(pulls) == pytest.approx(1.0, abs=4 / np.sqrt(400))


def test_correlated_features_do_not_close():
    """More events in A than predicted for a positive correlation, in a validation region too."""
    x, y = RNG.multivariate_normal([0, 0], [[1, 0.2], [0.2, 1]], 20000).T
    found = abcd_closure(x, y, [-0.5, 0.0, 0.5], [-0.5, 0.0, 0.5])
    assert found.p < 1e-20
    assert (found.ratio > 1.1).all()
    assert found.non_closure == pytest.approx(np.mean((found.ratio - 1) ** 2) ** 0.5, rel=0.05)
    below = abcd_closure(x, y, [-0.5, 0.0], [-0.5, 0.0], below1=0.5, below2=1.0)
    assert below.n_events == ((x < 0.5) & (y < 1.0)).sum()
    assert below.p < 1e-10
    assert "non-closure" in repr(below)


def test_empty_cells_of_a_closure():
    """Boundaries without events have no ratio, and none at all no non-closure."""
    found = abcd_closure([0.1, 0.2, 0.3], [0.1, 0.2, 0.3], [0.5, 0.9], [0.5])
    assert np.isnan(found.ratio).all()
    assert math.isnan(found.non_closure)
    assert math.isnan(found.p)


def test_bad_input():
    """Every refusal names its argument."""
    x = RNG.random(20)
    for function, arguments, options, name in (
        (abcd, (-1, 2, 3), {}, "counts of B, C and D"),
        (abcd, (1, 2, 3), {"variances": [1, 0, 3]}, "counts of B, C and D"),
        (abcd, (1, 2, 3), {"method": "exact"}, "method"),
        (abcd, (1, 2, 3), {"level": 1.0}, "level"),
        (abcd, (1, 2, 3), {"non_closure": -0.1}, "non_closure"),
        (abcd_signal, ([1, 2, 3], [1, 0, 0, 0]), {}, "counts"),
        (abcd_signal, ([1, 2, 3, 4], [1, -1, 0, 0]), {}, "signal"),
        (abcd_signal, ([1, 2, 3, 4], [0, 1, 0, 0]), {}, "signal"),
        (abcd_closure, (x, x, [0.5, 0.2], [0.5]), {}, "thresholds1"),
        (abcd_closure, (x, x, [0.5], [0.5]), {"below2": 0.4}, "thresholds2"),
        (abcd_closure, (x, x, [-2.0], [-2.0]), {"below1": -1.0}, "below1"),
    ):
        with pytest.raises(InputError, match=f"^{name}:"):
            function(*arguments, **options)


@pytest.mark.parametrize("slope", [(6.9, 0.0), (2.3, 2.3)])
def test_independence_with_weights_that_depend_on_the_scores(slope):
    """Independent scores with weights that fall with them give a chi2 with the expectation and variance it should."""
    rng = np.random.default_rng(8)
    cuts = np.array([0.25, 0.5, 0.75])
    found = []
    for _ in range(300):
        a, b = rng.random((2, 3000))
        found.append(abcd_closure(a, b, cuts, cuts, np.exp(-slope[0] * a - slope[1] * b)).chi2)
    assert_allclose(np.mean(found), 9.0, atol=5 * math.sqrt(18 / 300))
    assert_allclose(np.var(found), 18.0, rtol=0.5)


@pytest.mark.parametrize(
    ("counts", "signal", "non_closure"),
    [
        ([9.0, 8.0, 0.0, 11.0], [1.8, 2.68, 0.36, 0.11], 0.2),
        ([33.0, 19.0, 58.0, 102.0], [0.22, 0.81, 0.59, 2.24], 0.0),
        ([13.0, 0.0, 0.0, 44.0], [0.23, 0.0, 0.48, 2.18], 0.2),
    ],
)
def test_signal_where_the_likelihood_has_several_minima(counts, signal, non_closure):
    """The fit is the best of many by scipy; a profile that rises from no signal may have its minimum elsewhere."""
    n, s = np.array(counts), np.array(signal)
    bounds = [(0.0, None)] + [(-25.0, 15.0)] * 3 + [(-8.0, 8.0)]

    logs = np.array([[0, 1, 1, -1, non_closure], *np.eye(5)[1:4]])  # of the backgrounds, by the parameters

    def nll(p):
        background = np.exp(logs @ p)
        m = np.maximum(p[0] * s + background, 1e-300)
        slope = 1.0 - n / m
        gradient = (slope * background) @ logs
        gradient[[0, 4]] += slope @ s, p[4]
        return float((m - n * np.log(m)).sum()) + 0.5 * p[4] ** 2, gradient

    rng = np.random.default_rng(1)

    def best(limits):
        starts = [np.append(rng.normal(1.0, 4.0, 3), 0.0) for _ in range(12)]
        scale = rng.random(12) * n.sum() / s.sum() * (limits[0][1] is None)
        fits = [
            minimize(nll, np.append(mu, p), jac=True, bounds=limits, method="L-BFGS-B")
            for mu, p in zip(scale, starts, strict=True)
        ]
        return min(fits, key=lambda fit: fit.fun)

    free, without = best(bounds), best([(0.0, 0.0), *bounds[1:]])
    found = abcd_signal(n, s, non_closure=non_closure)
    assert found.mu > 1.0
    assert found.q0 >= 2.0 * (without.fun - free.fun) - 1e-3
    assert found.q0 == pytest.approx(2.0 * (without.fun - free.fun), abs=0.02)
    assert found.mu_lower <= found.mu <= found.mu_upper


@pytest.mark.parametrize(
    ("n", "s", "non_closure"),
    [
        ([1, 9895, 211, 1], [1, 0, 0.5, 0.01], 0.0),
        ([10091, 9866, 1, 14], [1, 0.01, 1, 0.01], 0.0),
        ([9988, 9897, 202, 0], [1, 0.5, 3, 0.1], 0.1),
    ],
)
def test_signal_with_logarithms_that_act_through_one_region(n, s, non_closure):
    """Large counts beside small ones have a fit all the same."""
    found = abcd_signal(n, s, non_closure=non_closure)
    assert np.isfinite([found.mu, found.mu_upper, found.q0]).all()


@pytest.mark.parametrize("unit", [1e-9, 1e9])
def test_signal_in_any_unit(unit):
    """The strength and its interval scale with the unit of the signal."""
    n, s = [30, 100, 40, 300], np.array([1.0, 0.1, 0.1, 0.01])
    found, expected = abcd_signal(n, s * unit), abcd_signal(n, s)
    for name in ("mu", "mu_lower", "mu_upper"):
        assert getattr(found, name) * unit == pytest.approx(getattr(expected, name), rel=1e-5)

"""Weighted toys: against exact Poisson sums, brute force, and the properties of tilts."""

import math

import numpy as np
import pytest
from scipy import stats

from hepstat.errors import InputError
from hepstat.infer import Tilts, WeightedPValue, on_off_z, poisson_z, tilted_means, weighted_p_value


def _throw(tilts, n, seed):
    rng = np.random.default_rng(seed)
    rows = rng.choice(tilts.probabilities.size, size=n, p=tilts.probabilities)
    return rng.poisson(tilts.means[rows])


def test_poisson_count_at_five_sigma():
    """20,000 toys give P(N >= n) of a mean of 50 within 4 errors, which are below 4%."""
    tilts = tilted_means([50.0], [[1.0]], None, 5.0)
    counts = _throw(tilts, 20_000, 11)
    for n in (85, 90, 95):
        found = weighted_p_value(counts[:, 0], n, tilts.log_weights(counts))
        exact = stats.poisson.sf(n - 1, 50.0)
        assert abs(found.p - exact) < 4 * found.error
        assert found.relative_error < 0.04
        assert found.z_lower < found.z < found.z_upper
        assert found.z == pytest.approx(poisson_z(n, 50.0), abs=0.03)
        assert found.warning is None
        assert abs(found.mean_weight - 1) < 4 * found.mean_weight_error


def test_errors_are_right():
    """Pulls of 200 independent estimates have mean 0 and width 1, within 4 errors."""
    tilts = tilted_means([50.0], [[1.0]], None, 4.0)
    counts = _throw(tilts, 200 * 500, 12).reshape(200, 500, 1)
    exact = stats.poisson.sf(79, 50.0)
    found = [weighted_p_value(c[:, 0], 80, tilts.log_weights(c)) for c in counts]
    pulls = np.array([(f.p - exact) / f.error for f in found])
    assert abs(pulls.mean()) < 4 / math.sqrt(200)
    assert abs(pulls.std() - 1) < 4 / math.sqrt(2 * 200)


TAU, ON, OFF = 2.0, 40.0, 80.0


def _on_off_z(counts):
    return on_off_z(counts[:, 0], counts[:, 1], TAU, method="profile")


def test_on_off_at_three_sigma():
    """A background that floats: brute force and weighted toys agree with the exact sum within 4 errors."""
    n_off = np.arange(10, 220)
    z = on_off_z(np.arange(400)[:, np.newaxis], n_off, TAU, method="profile")
    joint = stats.poisson.pmf(np.arange(400)[:, np.newaxis], ON) * stats.poisson.pmf(n_off, OFF)
    exact = float(joint[z >= 3.0].sum())
    rng = np.random.default_rng(13)
    n_plain = 300_000
    plain = np.mean(_on_off_z(rng.poisson([ON, OFF], size=(n_plain, 2))) >= 3.0)
    assert abs(plain - exact) < 4 * math.sqrt(exact / n_plain)
    tilts = tilted_means([ON, OFF], [[1.0, 0.0]], [[1.0, TAU]], 3.0)
    counts = _throw(tilts, 20_000, 14)
    found = weighted_p_value(_on_off_z(counts), 3.0, tilts.log_weights(counts))
    assert abs(found.p - exact) < 4 * found.error
    assert found.relative_error < 0.03
    assert found.warning is None


def _bumps():
    x = np.linspace(0.0, 1.0, 36)
    means = 300 * np.exp(-3 * x)
    signals = np.exp(-0.5 * ((x - np.array([[0.3], [0.5], [0.8]])) / 0.05) ** 2)
    tangents = means * np.array([np.ones(36), x, x * x])
    return means, signals, tangents


def test_tilts_are_orthogonal_and_shift_by_z():
    """Scores are orthogonal to the tangents, and their mean moves by z standard deviations."""
    means, signals, tangents = _bumps()
    tilts = tilted_means(means, signals, tangents, [3.0, 4.0, 5.0])
    for row, z in zip(tilts.slopes[1:], (3.0, 4.0, 5.0), strict=True):
        scale = np.sqrt(means @ row**2)
        np.testing.assert_allclose(tangents @ row / (np.sqrt((tangents**2 / means).sum(axis=1)) * scale), 0, atol=1e-9)
        assert row @ (means * np.expm1(row)) == pytest.approx(z * scale, rel=1e-9)
    np.testing.assert_array_equal(tilts.means[0], means)
    np.testing.assert_allclose(tilts.probabilities, [0.1, 0.3, 0.3, 0.3])


def test_auxiliary_information():
    """Normal equations with information; much of it leaves the score of the signal alone."""
    means, signals, tangents = _bumps()
    information = np.diag([5.0, 20.0, 1.0]) + 0.5
    tilts = tilted_means(means, signals, tangents, 4.0, information=information)
    fisher = (tangents / means) @ tangents.T
    c = np.linalg.solve(fisher + information, tangents @ (signals / means).T)
    scores = (signals - c.T @ tangents) / means
    variance = (means * scores**2).sum(axis=1) + np.einsum("aj,ab,bj->j", c, information, c)
    for row, score, v in zip(tilts.slopes[1:], scores, variance, strict=True):
        t = row @ score / (score @ score)
        np.testing.assert_allclose(row, t * score, atol=1e-9)
        assert score @ (means * np.expm1(row)) == pytest.approx(4.0 * np.sqrt(v), rel=1e-9)
    known = tilted_means(means, signals, tangents, 4.0, information=1e12 * np.eye(3))
    np.testing.assert_allclose(known.means, tilted_means(means, signals, None, 4.0).means, rtol=1e-6)


def test_units_of_the_signal_do_not_matter():
    """Only its shape does."""
    means, signals, tangents = _bumps()
    a, b = (tilted_means(means, scale * signals, tangents, 4.0).means for scale in (1e-8, 1e8))
    np.testing.assert_allclose(a, b, rtol=1e-9)


def test_log_weights_are_the_density_ratio():
    """Null over mixture, from Poisson probabilities."""
    means, signals, tangents = _bumps()
    tilts = tilted_means(means, signals, tangents, 4.0, defensive=0.2)
    counts = _throw(tilts, 50, 15)
    log_rows = stats.poisson.logpmf(counts[:, np.newaxis], tilts.means).sum(axis=2)
    expected = -np.log(np.exp(log_rows - log_rows[:, :1]) @ tilts.probabilities)
    np.testing.assert_allclose(tilts.log_weights(counts), expected, rtol=1e-9, atol=1e-9)
    assert tilts.log_weights(counts).max() <= -math.log(0.2) + 1e-12


def test_empty_bins_are_left_alone():
    """A mean of 0 stays 0 and enters no weight."""
    tilts = tilted_means([0.0, 5.0, 5.0], [[1.0, 1.0, 0.0]], [[0.0, 1.0, 1.0]], 2.0)
    assert tilts.means[:, 0].tolist() == [0.0, 0.0]
    assert tilts.slopes[:, 0].tolist() == [0.0, 0.0]
    assert np.isfinite(tilts.log_weights([[0, 5, 5]])).all()


def test_tiny_means_do_not_overflow():
    """The exponent stops at 30."""
    tilts = tilted_means([1e-30, 1e-30], [[1.0, 0.0]], None, 5.0)
    assert tilts.slopes.max() == pytest.approx(30.0)


def test_tilts_through_json():
    """Arrays and all."""
    tilts = tilted_means(*_bumps(), 4.0)
    again = Tilts.from_json(tilts.to_json())
    np.testing.assert_array_equal(again.means, tilts.means)
    assert "3 places, 36 bins" in repr(again)


def test_nothing_underflows():
    """A p-value of 1e-300 and beyond is there as a logarithm."""
    log_w = np.full(1000, -2000.0)
    found = weighted_p_value(np.arange(1000.0), 500.0, log_w)
    assert found.log_p == pytest.approx(-2000 + math.log(0.5))
    assert found.p == 0.0
    assert found.relative_error == pytest.approx(math.sqrt(1 / 999), rel=1e-9)
    assert found.z == pytest.approx(63.2, abs=0.1)
    assert "exp(-2000" in repr(found)
    assert weighted_p_value(np.arange(1000.0), 500.0, log_w + 1309).p == pytest.approx(0.5 * math.exp(-691), rel=1e-9)


def test_equal_weights_are_plain_toys():
    """Mean, binomial error and effective number."""
    found = weighted_p_value(np.arange(1000.0), 800.0, np.zeros(1000))
    assert found.p == pytest.approx(0.2)
    assert found.error == pytest.approx(math.sqrt(0.2 * 0.8 / 999))
    assert found.effective == pytest.approx(200.0)
    assert (found.mean_weight, found.mean_weight_error, found.warning) == (1.0, 0.0, None)
    assert weighted_p_value(np.arange(1000.0), -1.0, np.zeros(1000)).z == -math.inf


def test_failed_toys():
    """They exceed with their weight; dropped, the p-value is given success."""
    rng = np.random.default_rng(16)
    tilts = tilted_means([50.0], [[1.0]], None, 3.0)
    counts = _throw(tilts, 40_000, 17)
    log_w = tilts.log_weights(counts)
    failed = rng.random(40_000) < 0.2
    values = np.where(failed, np.nan, counts[:, 0])
    exact = stats.poisson.sf(69, 50.0)
    kept = weighted_p_value(values, 70, log_w, failed=failed)
    assert abs(kept.p - (0.2 + 0.8 * exact)) < 4 * kept.error
    dropped = weighted_p_value(values, 70, log_w, failed=failed, count_failed="drop")
    assert abs(dropped.p - exact) < 4 * dropped.error
    assert dropped.n_toys + dropped.n_failed == kept.n_toys == 40_000
    assert kept.n_at_least == dropped.n_at_least + kept.n_failed


def test_error_of_a_conditional_p_value():
    """Pulls of 300 estimates with a fifth of the toys dropped have width 1 within 4 errors."""
    rng = np.random.default_rng(18)
    tilts = tilted_means([50.0], [[1.0]], None, 1.0)
    exact, pulls = stats.poisson.sf(54, 50.0), []
    for i in range(300):
        counts = _throw(tilts, 400, 1000 + i)
        failed = rng.random(400) < 0.2
        found = weighted_p_value(counts[:, 0], 55, tilts.log_weights(counts), failed=failed, count_failed="drop")
        pulls.append((found.p - exact) / found.error)
    assert abs(np.mean(pulls)) < 4 / math.sqrt(300)
    assert abs(np.std(pulls) - 1) < 4 / math.sqrt(600)


def test_warnings():
    """Few effective toys, one that carries p, wrong weights, and none at all."""
    x = np.arange(1000.0)
    assert "only 10.0 effective toys" in weighted_p_value(x, 990.0, np.zeros(1000)).warning
    heavy = np.where(x == 999, 0.0, -5.0)
    assert "one toy carries" in weighted_p_value(x, 900.0, heavy).warning
    rng = np.random.default_rng(19)
    assert "the weights are wrong" in weighted_p_value(x, 100.0, rng.normal(0.3, 0.1, 1000)).warning
    none = weighted_p_value(x, 5000.0, np.zeros(1000))
    assert math.isnan(none.p)
    assert math.isnan(none.z)
    assert "no toy reaches" in none.warning


@pytest.mark.parametrize("observed", [500.0, 999.0, 5000.0])
def test_through_json(observed):
    """Infinite and missing numbers come back."""
    found = weighted_p_value(np.arange(1000.0), observed, np.zeros(1000))
    again = WeightedPValue.from_json(found.to_json())
    assert repr(again) == repr(found)
    np.testing.assert_equal([again.z_lower, again.z_upper], [found.z_lower, found.z_upper])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weighted_p_value([1.0, np.nan], 0.0, [0.0, 0.0]), "values: nan at index"),
        (lambda: weighted_p_value([1.0, 2.0], 0.0, [0.0]), "log_weights: has shape"),
        (lambda: weighted_p_value([1.0, 2.0], 0.0, [0.0, np.nan]), "log_weights: nan at index"),
        (lambda: weighted_p_value([1.0, 2.0], 0.0, [0.0, np.inf]), "log_weights: inf at index"),
        (lambda: weighted_p_value([1.0], 0.0, [0.0]), "log_weights: has 1 finite"),
        (lambda: weighted_p_value([1.0, 2.0], 0.0, [0.0, 0.0], count_failed="x"), "count_failed"),
        (
            lambda: weighted_p_value([1.0, 2.0], 0.0, [0.0, 0.0], failed=[True, True], count_failed="drop"),
            "failed: carries all the weight",
        ),
        (lambda: tilted_means([-1.0], [[1.0]], None, 1.0), "means: -1"),
        (lambda: tilted_means([1.0], [[1.0, 2.0]], None, 1.0), "signals: has 2 bins"),
        (lambda: tilted_means([0.0], [[1.0]], None, 1.0), "signals: has 1 bins, means 0 of 1 above 0"),
        (lambda: tilted_means([1.0, 1.0], [[1.0, 2.0]], [[1.0]], 1.0), "tangents: has 1 bins"),
        (lambda: tilted_means([1.0, 1.0], [[1.0, 1.0]], [[2.0, 2.0]], 1.0), "signals: at place 0"),
        (lambda: tilted_means([1.0], [[1.0]], None, 0.0), "z: 0"),
        (lambda: tilted_means([1.0], [[1.0]], None, [1.0, 2.0]), "z: has shape"),
        (lambda: tilted_means([1.0], [[1.0]], None, 1.0, defensive=1.0), "defensive"),
        (lambda: tilted_means([1.0, 1], [[1.0, 0]], [[1.0, 1]], 1.0, information=[[-1.0]]), "information: has the eig"),
        (lambda: tilted_means([1.0, 1], [[1.0, 0]], [[1.0, 1]], 1.0, information=np.eye(2)), "information: has shape"),
        (lambda: tilted_means([1.0], [[1.0]], None, 1.0).log_weights([[1, 2]]), "counts: has 2 bins"),
    ],
)
def test_bad_arguments(call, message):
    """Each names the argument."""
    with pytest.raises(InputError, match=message):
        call()

"""Accuracy: bootstrap of test samples, and shifts of inputs with their correlations through a fixed network."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError
from hepstat.uncertainty import (
    Bootstrap,
    NonMonotoneWarning,
    Propagation,
    bootstrap_test_sample,
    feature_covariance,
    propagate,
    relative_shift,
)

RNG = np.random.default_rng(9)
X = RNG.normal(1.0, 1.0, (2000, 2))
SLOPES = np.array([1.0, 2.0])
RHO = np.array([[1.0, 0.5], [0.5, 1.0]])


def linear(x):
    """Return a score that is linear in the features."""
    return x @ SLOPES


def mean(f, w):
    """Weighted mean."""
    return np.average(f, weights=w)


def histogram(f, w):
    """Return three bins."""
    return np.histogram(f, [-1.0, 0.0, 1.0, 2.0], weights=w)[0]


def test_errors_of_sums_and_means():
    """2000 samples know a standard deviation to 1.6%, four of them allowed: sqrt(sum w^2) of bins, sigma / sqrt(n)."""
    w = RNG.exponential(1.0, len(X))
    found = bootstrap_test_sample(histogram, X[:, 0], w, rng=1, n=2000)
    assert_allclose(found.value, histogram(X[:, 0], w))
    assert_allclose(found.error / np.sqrt(histogram(X[:, 0], w**2)), 1.0, atol=0.065)
    correlation = found.covariance / np.outer(found.error, found.error)
    assert_allclose(correlation, np.eye(3), atol=0.1)
    one = bootstrap_test_sample(mean, X[:, 0], rng=1, n=2000)
    assert one.error[0] == pytest.approx(X[:, 0].std() / np.sqrt(len(X)), rel=0.065)
    assert abs(one.bias[0]) < 4 * one.error[0] / np.sqrt(2000)
    low, high = one.interval()
    assert (high - low)[0] == pytest.approx(2 * one.error[0], rel=0.1)
    assert one.covariance.shape == (1, 1)


def test_fixed_total():
    """Counts are then multinomial: the total does not fluctuate, an efficiency is binomial."""

    def both(f, w):
        return w.sum(), w[f > 1.0].sum() / w.sum()

    found = bootstrap_test_sample(both, X[:, 0], rng=1, n=1000, total="fixed")
    e = found.value[1]
    assert found.error[0] == 0.0
    assert found.error[1] == pytest.approx(np.sqrt(e * (1 - e) / len(X)), rel=0.09)
    assert bootstrap_test_sample(both, X[:, 0], rng=1, n=300).error[0] == pytest.approx(np.sqrt(len(X)), rel=0.17)


def test_samples_do_not_depend_on_workers():
    """Each has a stream of its own."""
    one, two = (bootstrap_test_sample(mean, X[:, 0], rng=7, n=20, workers=k) for k in (1, 2))
    assert_array_equal(one.replicas, two.replicas)
    again = Bootstrap.from_json(one.to_json())
    assert_array_equal(again.replicas, one.replicas)


def test_samples_without_an_answer_are_counted():
    """A statistic that is NaN for some."""

    def sometimes(x, w):
        return np.nan if w.sum() > len(x) else w.sum()

    found = bootstrap_test_sample(sometimes, X[:, 0], rng=1, n=100)
    assert 20 < found.n_failed < 80
    assert len(found.replicas) == 100 - found.n_failed
    assert "failed" in repr(found)
    with pytest.raises(InputError, match=r"^statistic: is finite for 0 of 5"):
        bootstrap_test_sample(lambda x, w: 1.0 if (w == 1).all() else np.nan, X[:, 0], rng=1, n=5)


def test_bad_bootstraps():
    """Every refusal names its argument."""
    for options, name in (({"weights": np.ones(3)}, "weights"), ({"total": "none"}, "total"), ({"n": 1}, "n")):
        with pytest.raises(InputError, match=rf"^{name}:"):
            bootstrap_test_sample(mean, X[:, 0], **{"rng": 1, **options})
    with pytest.raises(InputError, match=r"^level:"):
        bootstrap_test_sample(mean, X[:, 0], rng=1, n=2).interval(1.0)


def test_directions_make_up_the_correlation():
    """Outer products of the independent directions; fully correlated sources have one."""
    sources = {"a": [0.1, 0.0], "b": relative_shift([0.0, 0.1])}
    found = feature_covariance(sources, RHO)
    assert_allclose(found.directions.T @ found.directions, RHO, atol=1e-12)
    assert np.square(found.directions).sum(axis=1)[0] == pytest.approx(1.5)
    assert feature_covariance(sources, np.ones((2, 2))).directions.shape == (1, 2)
    assert_allclose(feature_covariance(sources).displacements(X)[1], X * [0.0, 0.1])


def test_linear_network_and_mean():
    """A mean of a linear score: g R g with g its shift by each source; 1000 throws know the error to 2.2%."""
    covariance = feature_covariance({"a": [0.1, 0.0], "b": relative_shift(0.1)}, RHO)
    found = propagate(linear, X, covariance, mean, rng=1, n=1000)
    g = np.array([0.1, 0.1 * X.mean(axis=0) @ SLOPES])
    assert found.linear_error[0] == pytest.approx(np.sqrt(g @ RHO @ g))
    assert found.ratio[0] == pytest.approx(1.0, abs=0.09)
    assert found.thrown_mean[0] == pytest.approx(found.nominal[0], abs=4 * found.linear_error[0] / np.sqrt(1000))
    assert_allclose(found.share_not_bracketed, 0.0)
    assert not found.one_sided.any()


def test_covariance_matrix_of_common_shifts():
    """The full matrix of shifts of features: a C a for a linear score, also where it has no full rank."""
    matrix = np.array([[0.04, 0.03], [0.03, 0.09]])
    for c in (matrix, np.outer([0.2, 0.3], [0.2, 0.3])):
        found = propagate(linear, X, feature_covariance(c), mean, rng=1, n=4)
        assert found.linear_error[0] == pytest.approx(np.sqrt(SLOPES @ c @ SLOPES))
    assert found.directions.shape == (1, 1)


def test_histogram_of_scores_is_correlated():
    """Events leave one bin for another: bins have the covariance of a common shift, d_i d_j, for small ones."""
    edges = np.linspace(-8.0, 14.0, 5)
    found = propagate(linear, X, feature_covariance({"a": [0.2, 0.2]}), edges, rng=1, n=300)
    assert_allclose(found.nominal, np.histogram(linear(X), edges)[0])
    shift = 0.5 * (np.histogram(linear(X) + 0.6, edges)[0] - np.histogram(linear(X) - 0.6, edges)[0])
    assert_allclose(found.linear_covariance, np.outer(shift, shift))
    assert_allclose(found.linear_covariance.sum(axis=0), 0.0, atol=1e-9)
    assert_allclose(found.ratio[1:3], 1.0, atol=0.17)  # those at the ends fill up: more than linear
    assert (found.ratio[[0, 3]] > 1.0).all()
    assert_array_equal(Propagation.from_json(found.to_json()).one_sided, found.one_sided)


def test_network_that_is_not_monotone():
    """A parabola: the share of events nearer to its minimum than half a shift, and outputs on one side of nominal.

    The score x^2 of events shifted by -s and s encloses that of x only if (x - s)^2 < x^2 or |x| > s / 2; the score at
    half a shift, (|x| - s / 2)^2, is outside if it is below the lowest end, (|x| - s)^2, for |x| < 3/4 s.
    """
    x = np.linspace(-1.0, 1.0, 2001)[:, np.newaxis]
    covariance = feature_covariance({"a": [0.4]})

    def parabola(x):
        return x[:, 0] ** 2

    with pytest.warns(NonMonotoneWarning, match=r"the scores of 29.9% of"):
        found = propagate(parabola, x, covariance, mean, rng=1, n=400)
    assert found.share_not_bracketed[0] == pytest.approx(0.3, abs=0.002)
    assert found.one_sided.all()
    assert found.linear_error[0] == pytest.approx(0.0, abs=1e-12)
    # the mean of x^2 rises by (0.4 nu)^2, whose mean and standard deviation are 0.16 and 0.16 sqrt(2)
    assert found.thrown_mean[0] - found.nominal[0] == pytest.approx(0.16, abs=4 * 0.16 * np.sqrt(2 / 400))
    assert found.thrown_error[0] == pytest.approx(0.16 * np.sqrt(2), rel=4 * np.sqrt(14 / 4 / 400))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        propagate(parabola, x, covariance, mean, rng=1, n=2, tolerated=0.4)


def test_failed_throws_are_counted():
    """An output without a value for some shifts."""

    def sometimes(f, w):
        return np.nan if abs(f.mean() - linear(X).mean()) > 0.45 else f.mean()

    found = propagate(linear, X, feature_covariance({"a": [0.1, 0.1]}), sometimes, rng=1, n=100)
    assert found.n_failed > 0
    assert found.n_throws == 100 - found.n_failed
    assert "throws failed" in repr(found)


def test_throws_do_not_depend_on_workers():
    """Each has a stream of its own."""
    covariance = feature_covariance({"a": [0.1, 0.1]})
    one, two = (propagate(linear, X, covariance, mean, rng=3, n=10, workers=k) for k in (1, 2))
    assert_array_equal(one.thrown_covariance, two.thrown_covariance)


def test_bad_covariances():
    """Every refusal names its argument."""
    sources = {"a": [0.1, 0.1], "b": [0.1, 0.1]}
    for arguments, name in (
        (({},), "sources"),
        (([[1.0, 0.5], [0.4, 1.0]],), "sources"),
        (([[1.0, 2.0], [2.0, 1.0]],), "sources"),
        (([[0.0, 0.0], [0.0, 0.0]],), "sources"),
        ((np.eye(2), np.eye(2)), "correlation"),
        ((sources, np.eye(3)), "correlation"),
        ((sources, 2 * np.eye(2)), "correlation"),
    ):
        with pytest.raises(InputError, match=rf"^{name}:"):
            feature_covariance(*arguments)


def test_bad_propagations():
    """Every refusal names what is wrong."""
    good = feature_covariance({"a": [0.1, 0.1]})
    for scores_of, covariance, match in (
        (linear, np.eye(2), "^covariance:"),
        (lambda x: np.ones(3), good, "^scores_of:"),
        (linear, feature_covariance({"a": [0.1]}), "^sources:"),
        (linear, feature_covariance({"a": lambda x: x[:3]}), "^events shifted by a:"),
    ):
        with pytest.raises(InputError, match=match):
            propagate(scores_of, X, covariance, mean, rng=1, n=2)

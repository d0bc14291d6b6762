"""Optima of estimators at a place, against the losses themselves, minimised there."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize, minimize_scalar

from hepstat.errors import InputError
from hepstat.learn import (
    Brier,
    CandidateLabels,
    CategoricalBrier,
    CategoricalCrossEntropy,
    ComplementaryLabel,
    LinearRatio,
    MaximumLikelihoodRatio,
    SignedCategoricalCrossEntropy,
    SquaredError,
)
from hepstat.weights import ESTIMATORS, optimal_ratio, optimum

CLASSES: dict[str, Any] = {
    "signed cross-entropy": SignedCategoricalCrossEntropy(),
    "ccl": ComplementaryLabel(),
    "cc": CandidateLabels(),
    "brier": CategoricalBrier(),
    "drop": CategoricalCrossEntropy(),
    "absolute": CategoricalCrossEntropy(),
}
RATIOS: dict[str, Any] = {
    "squared error": SquaredError(),
    "linear ratio": LinearRatio(),
    "maximum likelihood ratio": MaximumLikelihoodRatio(),
}


def densities(k: int, physical: bool, seed: int = 1) -> tuple[Any, Any]:
    """Return densities (4, k), all net ones positive or the first net one negative."""
    rng = np.random.default_rng(seed + k)
    negative = rng.uniform(0.1, 1.0, (4, k))
    positive = negative + rng.uniform(0.2, 2.0, (4, k))
    if physical:
        positive[:, 0] = negative[:, 0] * rng.uniform(0.1, 0.9, 4)
    return positive, negative


def weighted(estimator: str, positive: Any, negative: Any) -> tuple[Any, Any]:
    """Return labels and weights of two events of each class, after the treatment of weights."""
    k = len(positive)
    y, w = np.tile(np.arange(k), 2), np.concatenate([positive, -negative])
    return y, {"drop": np.maximum(w, 0.0), "absolute": abs(w)}.get(estimator, w)


@pytest.mark.parametrize("physical", [False, True], ids=["technical", "physical"])
@pytest.mark.parametrize("k", [2, 3, 10])
@pytest.mark.parametrize("estimator", CLASSES)
def test_least_loss(estimator: str, k: int, physical: bool) -> None:
    """The scores with the least loss at a place tell the optimum; none does where a density is negative."""
    loss = CLASSES[estimator]
    wanted = optimum(estimator, *densities(k, physical))
    for positive, negative, p in zip(*densities(k, physical), wanted, strict=True):
        y, w = weighted(estimator, positive, negative)

        def value(f: Any, y: Any = y, w: Any = w) -> tuple[float, Any]:
            total, gradient = loss(np.tile(f, (len(y), 1)), y, w)
            return total, gradient.sum(axis=0)

        if estimator == "signed cross-entropy" and physical:
            assert np.isnan(p).all()
            falling = [value(np.append(-far, np.zeros(k - 1)))[0] for far in (50.0, 150.0)]
            assert falling[1] - falling[0] == pytest.approx(100.0 * (positive - negative)[0])
            continue
        found = minimize(value, np.zeros(k), jac=True, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
        at_edge = estimator == "brier" and physical
        assert_allclose(loss.probability(found.x[None])[0], p, atol=2e-4 if at_edge else 1e-7)


@pytest.mark.parametrize("k", [2, 3, 10])
def test_truth(k: int) -> None:
    """Consistent estimators and Brier give the shares of net densities where these are positive, others do not."""
    positive, negative = densities(k, False)
    truth = (positive - negative) / (positive - negative).sum(axis=1, keepdims=True)
    for estimator in CLASSES:
        right = ESTIMATORS[estimator].consistent or estimator == "brier"
        assert np.allclose(optimum(estimator, positive, negative), truth) == right
        assert_allclose(optimum(estimator, positive - negative, 0.0 * negative), truth)


@pytest.mark.parametrize("physical", [False, True], ids=["technical", "physical"])
@pytest.mark.parametrize("k", [2, 3, 10])
def test_confidences(k: int, physical: bool) -> None:
    """Iterated from uniform ones they end at the optimum of candidate labels, and solve its equation."""
    positive, negative = densities(k, physical)
    wanted = optimum("cc", positive, negative)
    assert_array_equal(optimum("rc", positive, negative), wanted)
    p = np.full_like(positive, 1.0 / k)
    for _ in range(3000):
        shared = p[:, None, :] / (1.0 - p)[:, :, None] * (1.0 - np.eye(k))  # (places, from, to)
        p = positive + np.einsum("nk,nkj->nj", negative, shared)
        p /= p.sum(axis=1, keepdims=True)
    assert_allclose(p, wanted, atol=1e-9)
    one_more = positive + wanted * ((negative / (1 - wanted)).sum(axis=1, keepdims=True) - negative / (1 - wanted))
    assert_allclose(one_more / one_more.sum(axis=1, keepdims=True), wanted, atol=1e-12)


def test_two_classes() -> None:
    """There is one other class: candidate labels are complementary labels, which are flipped ones."""
    for physical in (False, True):
        positive, negative = densities(2, physical)
        flipped = positive + negative[:, ::-1]
        for estimator in ("ccl", "cc", "rc"):
            p = optimum(estimator, positive, negative)
            assert_allclose(p, flipped / flipped.sum(axis=1, keepdims=True), atol=1e-12)


def test_edges_of_candidate_labels() -> None:
    """Classes without positive weights, without any, with nothing but negative ones, and of very different sizes."""
    positive = np.array([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [1e-5, 1e4, 1.0]])
    negative = np.array([[0.0, 0.0, 5.0], [1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [1.0, 1.0, 1.0], [1e3, 1e-5, 1e4]])
    p = optimum("cc", positive, negative)
    assert_allclose(p[:4], [[1 / 3, 2 / 3, 0], [0, 0, 1], [0, 0, 1], [1 / 3] * 3], atol=1e-9)
    slopes = positive[4] / p[4] - negative[4] / (1 - p[4])
    assert_allclose(slopes, slopes[0], rtol=1e-6)
    assert np.isnan(optimum("cc", np.zeros((1, 2)), np.zeros((1, 2)))).all()
    empty = [[0.0, 9.0], [0.0, 1.0]], [[0.0, 0.0, 9.0], [0.0, 0.0, 1.0]]
    for (p, n), wanted in zip(empty, ([0.1, 0.9], [0.05, 0.05, 0.9]), strict=True):
        assert_allclose(optimum("cc", [p], [n]), [wanted], atol=1e-12)


def test_brier_is_a_projection() -> None:
    """Onto probabilities, by its definition; corners where all weights together are negative."""
    rng = np.random.default_rng(3)
    positive, negative = rng.uniform(0, 1, (50, 4)), rng.uniform(0, 0.8, (50, 4))
    q, p = positive - negative, optimum("brier", positive, negative)
    total = q.sum(axis=1)
    assert_allclose(p.sum(axis=1), 1.0)
    assert (p >= 0).all()
    assert (total < 0).any()
    points = np.concatenate([rng.dirichlet(np.full(4, 0.5), 500), np.eye(4)])
    for i in range(50):
        least = total[i] * (p[i] ** 2).sum() - 2 * p[i] @ q[i]
        assert least <= (total[i] * (points**2).sum(axis=1) - 2 * points @ q[i]).min() + 1e-12


@pytest.mark.parametrize("estimator", RATIOS)
@pytest.mark.parametrize("physical", [False, True], ids=["technical", "physical"])
def test_ratio_losses(estimator: str, physical: bool) -> None:
    """The score with the least loss tells the ratio, negative ones where the loss can."""
    loss = RATIOS[estimator]
    positive, negative = (densities(2, physical)[i][:, ::-1] for i in (0, 1))  # the signal is the negative one
    positive[:, 0] += 1.0
    truth = (positive - negative)[:, 1] / (positive - negative)[:, 0]
    ratios = optimal_ratio(estimator, positive, negative)
    for p, n, r, right in zip(positive, negative, ratios, truth, strict=True):
        y, w = weighted(estimator, p, n)

        def value(f: float, y: Any = y, w: Any = w) -> float:
            return float(loss(np.full(4, f), y, w)[0])

        if physical and estimator == "maximum likelihood ratio":
            assert np.isnan(r)
            assert value(-1000.0) < value(-100.0) - 10.0
            continue
        f = minimize_scalar(value, bracket=(-0.5, 0.5), tol=1e-12).x
        learned = {"squared error": f / (1 - f), "linear ratio": f, "maximum likelihood ratio": np.exp(f)}[estimator]
        assert learned == pytest.approx(right, rel=1e-6)
        assert r == pytest.approx(right, rel=1e-12)
        assert (r < 0) == physical


def test_ratios_of_all_estimators() -> None:
    """At three places: all positive, negative signal on more background, negative background."""
    positive = np.array([[3.0, 2.0], [3.0, 1.0], [1.0, 2.0]])
    negative = np.array([[1.0, 1.0], [0.0, 2.0], [2.0, 0.0]])
    nan = np.nan
    expected = {
        "signed cross-entropy": [1 / 2, nan, nan],
        "ccl": [3 / 4, 1 / 5, 4.0],
        "cc": [3 / 4, 1 / 5, 4.0],
        "rc": [3 / 4, 1 / 5, 4.0],
        "brier": [1 / 2, 0.0, np.inf],
        "drop": [2 / 3, 1 / 3, 2.0],
        "absolute": [3 / 4, 1.0, 2 / 3],
        "squared error": [1 / 2, -1 / 3, -2.0],
        "linear ratio": [1 / 2, -1 / 3, nan],
        "maximum likelihood ratio": [1 / 2, nan, nan],
        "interference": [1 / 2, -1 / 3, nan],
        "signed mixture": [1 / 2, -1 / 3, nan],
    }
    assert set(expected) == set(ESTIMATORS)
    for name, ratios in expected.items():
        assert_allclose(optimal_ratio(name, positive, negative), ratios, atol=1e-12)
        estimator = ESTIMATORS[name]
        assert estimator.name == name
        if estimator.consistent:  # right or nothing
            truth = np.array([1 / 2, -1 / 3, -2.0])
            given = np.array(ratios)
            assert_allclose(given[~np.isnan(given)], truth[~np.isnan(given)])
        if estimator.stable and name != "signed mixture":
            assert not np.isnan(ratios).any()


def test_brier_with_one_score() -> None:
    """The two-class form has the same optimum."""
    positive, negative = densities(2, False)
    for p, n, wanted in zip(positive, negative, optimum("brier", positive, negative), strict=True):
        y, w = weighted("brier", p, n)
        best = minimize_scalar(lambda f, y=y, w=w: Brier()(np.full(4, f), y, w)[0], bracket=(-1, 1), tol=1e-12).x
        assert Brier().probability([best])[0] == pytest.approx(wanted[1], rel=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bce", [[1.0, 1.0]], [[0.0, 0.0]]), "^estimator: is 'bce'. Pass one of 'signed cross-entropy'"),
        (("cc", [1.0, 1.0], [[0.0, 0.0]]), "^positive: has 1 dimensions"),
        (("cc", [[1.0, np.nan]], [[0.0, 0.0]]), "^positive: has 1 NaN"),
        (("cc", [[1.0, 1.0]], [[0.0, -2.0]]), "^negative: is -2 at least once"),
        (("cc", [[1.0, 1.0]], [[0.0, 0.0, 1.0]]), r"^negative: has shape \(1, 3\)"),
        (("cc", [[1.0]], [[0.0]]), "^positive: has 1 columns"),
    ],
)
def test_bad_input(arguments: Any, message: str) -> None:
    """Each argument, with its value."""
    for function in (optimum, optimal_ratio):
        with pytest.raises(InputError, match=message):
            function(*arguments)


def test_the_other_function() -> None:
    """Losses of ratios have no probabilities, and three classes no ratio."""
    with pytest.raises(InputError, match=r"^estimator: .*optimal_ratio"):
        optimum("linear ratio", [[1.0, 1.0]], [[0.0, 0.0]])
    with pytest.raises(InputError, match=r"^positive: has 3 columns"):
        optimal_ratio("cc", np.ones((1, 3)), np.ones((1, 3)))

"""Losses of classes for weights of any sign: values and slopes against mpmath, far scores, bad input."""

from typing import Any

import mpmath as mp
import naive_losses as naive
import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.kernels.losses.entry import evaluate_loss
from hepstat.learn import train
from hepstat.learn.estimators import LinearClassifier
from hepstat.learn.losses import (
    LOSSES,
    LOSSES_OF_CLASSES,
    BinaryCrossEntropy,
    Brier,
    CandidateLabels,
    CategoricalBrier,
    CategoricalCrossEntropy,
    ComplementaryLabel,
    Exponential,
    LinearRatio,
    MaximumLikelihoodRatio,
    SignedCategoricalCrossEntropy,
    SignedCrossEntropy,
    SquaredError,
)
from hepstat.learn.losses.base import ANY_LABEL, EVERY_CLASS, Needs
from hepstat.learn.network import Network

SIGNED: dict[str, tuple[Any, Any]] = {
    "cross-entropy": (SignedCategoricalCrossEntropy(), lambda f, y, w: w * naive.categorical_cross_entropy(f, y)),
    "complementary label": (ComplementaryLabel(), naive.complementary_label),
    "candidate labels": (CandidateLabels(), naive.candidate_labels),
    "Brier": (CategoricalBrier(), naive.categorical_brier),
}


def draw(n: int, k: int, scale: float = 3.0) -> tuple[Any, Any, Any]:
    """Scores, labels and weights of both signs, more positive than negative."""
    rng = np.random.default_rng(k)
    w = rng.uniform(0.5, 2.0, n) * np.where(rng.uniform(size=n) < 0.3, -1.0, 1.0)
    return rng.normal(scale=scale, size=(n, k)), rng.integers(0, k, n), w


def exact(oracle: Any, f: Any, y: int, w: float) -> tuple[float, list[float]]:
    """Return value and slopes of one event."""
    with mp.workdps(450):
        scores = [mp.mpf(x) for x in f]

        def along(j: int) -> Any:
            return lambda x: oracle([*scores[:j], x, *scores[j + 1 :]], y, w)

        slopes = [float(mp.diff(along(j), scores[j], h=mp.mpf(10) ** -100)) for j in range(len(f))]
        return float(oracle(scores, y, w)), slopes


@pytest.mark.kernels
@pytest.mark.parametrize("k", [2, 3, 10])
@pytest.mark.parametrize("name", SIGNED)
def test_values_and_slopes(name: str, k: int) -> None:
    """Against mpmath, in more than one block, whatever is added to all scores of an event."""
    loss, oracle = SIGNED[name]
    f, y, w = draw(133, k)
    last = (array[128:].tolist() for array in (f, y, w))
    each = [exact(oracle, *event) for event in zip(*last, strict=True)]
    value, gradient = loss(f, y, w)
    np.testing.assert_allclose(gradient[128:], [slopes for _, slopes in each], rtol=1e-11, atol=1e-15)
    first = loss(f[:128], y[:128], w[:128])[0]
    assert value - first == pytest.approx(sum(v for v, _ in each), rel=1e-11)
    moved = loss(f + 1e4, y, w)
    assert moved[0] == pytest.approx(value, rel=1e-9)
    np.testing.assert_allclose(moved[1], gradient, rtol=1e-7, atol=1e-11)


@pytest.mark.kernels
@pytest.mark.parametrize("name", SIGNED)
@pytest.mark.parametrize("k", [2, 3])
def test_one_sure_class(name: str, k: int) -> None:
    """Where the class of an event is certain, or excluded; log(1 - p) keeps all digits there."""
    loss, oracle = SIGNED[name]
    for own in (-300.0, -40.0, -5.0, 0.1, 5.0, 40.0, 300.0):
        for w in (1.5, -1.5):
            f = [0.0, own, 0.7][:k]
            value, gradient = evaluate_loss(
                loss.address, np.array([f]), np.ones(1), np.array([w]), loss.final_constants
            )
            expected, slopes = exact(oracle, f, 1, w)
            lost = 0.0 if name == "candidate labels" else 1e-15
            np.testing.assert_allclose(value, expected, rtol=1e-13, atol=lost)
            np.testing.assert_allclose(gradient[0], slopes, rtol=1e-12, atol=lost)


@pytest.mark.parametrize("name", SIGNED)
def test_slope(name: str) -> None:
    """The gradient is the slope of the value."""
    loss = SIGNED[name][0]
    f, y, w = draw(9, 3, 1.0)
    _, gradient = loss(f, y, w)
    steps = 1e-5 * np.eye(f.size).reshape(-1, *f.shape)
    slopes = [(loss(f + step, y, w)[0] - loss(f - step, y, w)[0]) / 2e-5 for step in steps]
    np.testing.assert_allclose(gradient.ravel(), slopes, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", SIGNED)
def test_positive_weights(name: str) -> None:
    """They are what they always were."""
    loss = SIGNED[name][0]
    f, y, w = draw(40, 4)
    value, gradient = loss(f, y, abs(w))
    p = CategoricalCrossEntropy().probability(f)
    np.testing.assert_array_equal(loss.probability(f), p)
    if isinstance(loss, CategoricalBrier):
        assert value == pytest.approx(abs(w) @ ((p - np.eye(4)[y]) ** 2).sum(axis=1), rel=1e-12)
    else:
        expected = CategoricalCrossEntropy()(f, y, abs(w))
        assert value == pytest.approx(expected[0], rel=1e-12)
        np.testing.assert_allclose(gradient, expected[1], rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("w", [1.3, -1.3])
def test_two_classes(w: float) -> None:
    """Two scores are one: complementary and candidate labels flip the label, and Brier counts twice."""
    f, y = np.array([[0.3, 1.1], [-2.0, 0.4], [0.0, 0.0]]), np.array([1, 0, 1])
    one, weights = f[:, 1] - f[:, 0], np.array([w, 4.0, w])
    flipped = BinaryCrossEntropy()(one, np.where(weights < 0, 1 - y, y), abs(weights))[0]
    for loss in (ComplementaryLabel(), CandidateLabels()):
        assert loss(f, y, weights)[0] == pytest.approx(flipped, rel=1e-13)
    assert CategoricalBrier()(f, y, weights)[0] == pytest.approx(2 * Brier()(one, y, weights)[0], rel=1e-13)
    signed = SignedCrossEntropy()(one, y, weights)
    assert SignedCategoricalCrossEntropy()(f, y, weights)[0] == pytest.approx(signed[0], rel=1e-13)


@pytest.mark.kernels
@pytest.mark.parametrize("name", SIGNED)
def test_far_scores_and_nan(name: str) -> None:
    """10^4 does not overflow, zero weights pull nothing, no events are nothing, NaN is not hidden."""
    loss = SIGNED[name][0]
    f, y = 1e4 * np.array([[1.0, -1.0, 0.0], [-1.0, 1.0, 1.0], [0.0, 1.0, -1.0]]), np.array([0.0, 0.0, 2.0])
    for w in ([1.0, 1.0, 1.0], [-1.0, -1.0, 3.0], [1.0, 0.0, 0.0]):
        value, gradient = loss(f, y, w)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        np.testing.assert_array_equal(gradient[np.array(w) == 0.0], 0.0)
    empty = evaluate_loss(loss.address, np.empty((0, 3)), np.empty(0), np.empty(0), loss.final_constants)
    assert empty[0] == 0.0
    for i in range(3):
        for sign in (1.0, -1.0):
            broken = np.zeros((1, 3))
            broken[0, i] = np.nan
            assert np.isnan(evaluate_loss(loss.address, broken, np.ones(1), np.array([sign]), loss.final_constants)[0])


def test_what_must_be_positive() -> None:
    """Losses without a lower limit say which weights; bounded ones need nothing."""
    needs = {loss: loss.needs for loss in LOSSES.values() if loss.signed_weights}
    assert needs == {
        Brier(): None,
        CandidateLabels(): None,
        ComplementaryLabel(): None,
        LinearRatio(): Needs(0, 0, log_odds=False),
        MaximumLikelihoodRatio(): Needs(1, 0),
        SignedCrossEntropy(): Needs(1, 0, never_negative=True),
        SquaredError(): Needs(ANY_LABEL, ANY_LABEL, log_odds=False),
    }
    assert SignedCategoricalCrossEntropy().needs == Needs(EVERY_CLASS, EVERY_CLASS, never_negative=True)
    assert CategoricalBrier().needs is None


@pytest.mark.parametrize("loss", [loss for loss in LOSSES.values() if loss.needs], ids=repr)
@pytest.mark.parametrize("side", [0, 1])
def test_needs_are_right(loss: Any, side: int) -> None:
    """Far out on a side the loss rises with the weight of the label that it names there, and with no other."""
    far, farther = (-50.0, -60.0) if side == 0 else (50.0, 60.0)
    label = loss.needs[side]
    for w in ([2.0, -1.0], [-1.0, 2.0]):
        rises = loss([farther] * 2, [0, 1], w)[0] - loss([far] * 2, [0, 1], w)[0]
        assert np.sign(rises) == np.sign(sum(w) if label == ANY_LABEL else w[label])


@pytest.mark.parametrize("loss", [Brier(), ComplementaryLabel(), CandidateLabels(), CategoricalBrier()], ids=repr)
def test_bounded(loss: Any) -> None:
    """Losses that need nothing do not fall far, whatever the weights."""
    for f in (-1e3, -10.0, 0.0, 10.0, 1e3):
        scores = [f, f] if loss.outputs_for(2) == 1 else [[0.0, f], [0.0, f]]
        assert min(loss(scores, [0, 1], w)[0] for w in ([2.0, -1.0], [-1.0, 2.0])) >= -2.0


def test_refused() -> None:
    """Losses for positive weights say which take others; labels, scores and sums are checked as always."""
    with pytest.raises(InputError, match=r"^weights: -1 at index 1 .*MaximumLikelihoodRatio.*CategoricalBrier"):
        Exponential()([0.0, 0.0], [0, 1], [2.0, -1.0])
    for loss, _ in SIGNED.values():
        with pytest.raises(InputError, match=r"^scores: has 1 outputs"):
            loss([0.0, 1.0], [0, 1])
        with pytest.raises(InputError, match=r"^y: 3 at index 0 is no class"):
            loss(np.zeros((1, 3)), [3])
        with pytest.raises(InputError, match=r"^weights: add up to -1"):
            loss(np.zeros((2, 3)), [0, 1], [-2.0, 1.0])


def test_classifiers_take_the_form_for_classes() -> None:
    """By name, with one score for two classes where there is such a form; signed weights go through."""
    rng = np.random.default_rng(1)
    y = np.arange(90) % 3
    x, w = rng.normal(size=(90, 2)) + 3 * np.eye(3)[y][:, :2], np.where(np.arange(90) % 10 == 0, -0.3, 1.0)
    for name, loss in {**LOSSES, **LOSSES_OF_CLASSES}.items():
        if not loss.signed_weights or loss.outputs_for(3) == 1:
            continue
        fitted = LinearClassifier(name, epochs=60, random_state=1).fit(x, y, w)
        assert fitted.loss_ == loss
        assert fitted.score(x, y) > 0.8
    with pytest.raises(InputError, match="OneVsRest"):
        LinearClassifier("linear ratio").fit(x, y)


def test_training() -> None:
    """Through a network with as many outputs as classes."""
    f, y, w = draw(200, 3)
    for loss, _ in SIGNED.values():
        training = train(Network(3, (4,), "tanh", 3, dtype="float64"), (f, y, w), loss, rng=1, epochs=5)
        assert training.train_loss[-1] < training.train_loss[0]

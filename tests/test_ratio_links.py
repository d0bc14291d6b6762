"""Scores to ratios: the best score of every loss in a few categories gives the true ratio, whatever the samples."""

import math
import pickle
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize_scalar
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import CategoricalNB
from sklearn.svm import LinearSVC

from hepstat.errors import InputError
from hepstat.learn import (
    Adam,
    BinaryCrossEntropy,
    Brier,
    CandidateLabels,
    CategoricalBrier,
    CategoricalCrossEntropy,
    ComplementaryLabel,
    CustomLoss,
    Exponential,
    Focal,
    Hinge,
    LinearClassifier,
    LinearRatio,
    LovaszZ,
    MaximumLikelihoodRatio,
    Model,
    Network,
    SignedCategoricalCrossEntropy,
    SignedCrossEntropy,
    SquaredError,
    minimise,
    train,
)
from hepstat.ratio import ClassifierRatio, ClipWarning, link_of, ratio_from_scores
from hepstat.weights import optimal_ratio

P_S, P_B = np.array([0.1, 0.2, 0.7]), np.array([0.5, 0.3, 0.2])  # densities of three categories
TRUTH = P_S / P_B
LOSSES = [
    BinaryCrossEntropy(),
    SignedCrossEntropy(),
    Brier(),
    SquaredError(),
    LinearRatio(),
    MaximumLikelihoodRatio(),
    Exponential(),
    CategoricalCrossEntropy(),
    SignedCategoricalCrossEntropy(),
    CategoricalBrier(),
    ComplementaryLabel(),
    CandidateLabels(),
]
NAMES = [type(loss).__name__ for loss in LOSSES]


def categories(n_signal: int = 200, n_background: int = 1000) -> tuple[Any, Any]:
    """Return one-hot events with exactly these densities."""
    shares = ((P_S, n_signal), (P_B, n_background))
    signal, background = (np.repeat(np.eye(3), np.rint(p * n).astype(int), axis=0) for p, n in shares)
    return signal, background


def stacked(signal: Any, background: Any) -> tuple[Any, Any]:
    """Return x and y."""
    return np.concatenate([signal, background]), np.repeat([1.0, 0.0], [len(signal), len(background)])


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
@pytest.mark.parametrize(("sum_s", "sum_b"), [(1.0, 1.0), (0.3, 2.0), (40.0, 7.0)])
def test_least_loss_by_category(loss: Any, sum_s: float, sum_b: float):
    """The score with the least loss, found by a search in one dimension for each category."""
    best = []
    for p_s, p_b in zip(P_S, P_B, strict=True):
        w = [sum_s * p_s, sum_b * p_b]

        def value(f: float, w: Any = w) -> float:
            scores = [f, f] if loss.outputs_for(2) == 1 else [[0.0, f], [0.0, f]]
            return loss(scores, [1.0, 0.0], w)[0]

        best.append(minimize_scalar(value, bracket=(-0.5, 0.5), tol=1e-12).x)
    assert_allclose(ratio_from_scores(best, loss, sum_s / sum_b), TRUTH, rtol=2e-6)


@pytest.mark.parametrize("loss", LOSSES, ids=NAMES)
@pytest.mark.parametrize("weighted", [False, True], ids=["counts", "weights"])
def test_trained_on_categories(loss: Any, weighted: bool):
    """A linear model of one-hot events reaches the truth with unequal samples and weights that vary."""
    signal, background = categories()
    x, y = stacked(signal, background)
    w = np.ones(len(y))
    if weighted:  # in pairs of 1 and 3 within each category, all scaled: the densities stay
        w = np.where(np.arange(len(y)) % 2 == 0, 0.5, 1.5) * np.where(y == 1, 0.4, 1.1)
    odds = w[y == 1].sum() / w[y == 0].sum()
    network = Network(3, (), n_outputs=loss.outputs_for(2), dtype="float64")
    model = minimise(network, (x, y, w), loss, rng=1, tolerance=1e-10, max_steps=2000).model
    ratio = ClassifierRatio(model, loss, odds)
    assert_allclose(ratio(np.eye(3)), TRUTH, rtol=2e-4)
    assert_allclose(ratio.log(np.eye(3)), np.log(TRUTH), atol=2e-4)


def test_links_of_losses():
    """Those that have one."""
    assert [link_of(loss) for loss in LOSSES] == [
        "logit", "logit", "logit", "probability", "ratio", "log ratio", "half log ratio", *["logit"] * 5
    ]  # fmt: skip


@pytest.mark.parametrize(("loss", "estimator"), [(ComplementaryLabel(), "ccl"), (CandidateLabels(), "cc")])
def test_negative_weights_of_classes(loss: Any, estimator: str):
    """What is told is the optimum of the loss, not the truth."""
    x, y = stacked(*categories())
    w = np.where((y == 1) & (np.arange(len(y)) % 4 == 0), -0.5, 1.0)
    training = minimise(Network(3, (), n_outputs=2, dtype="float64"), (x, y, w), loss, rng=1, tolerance=1e-10)
    positive, negative = (
        np.stack([x[y == k].T @ np.maximum(sign * w, 0.0)[y == k] for k in (0, 1)], axis=1) for sign in (1.0, -1.0)
    )
    found = ClassifierRatio(training.model, loss)(np.eye(3))
    assert_allclose(found, optimal_ratio(estimator, positive, negative), rtol=2e-4)
    truth = (positive - negative)[:, 1] / positive[:, 0]
    assert (found > 1.1 * truth).all()


def test_only_models_have_two_outputs():
    """A model of three classes has no ratio of two, nor has a function with two columns."""
    three = Model(Network(2, (), n_outputs=3, dtype="float64"), np.zeros(9))
    for score in (three, lambda x: np.ones((len(x), 2))):
        with pytest.raises(InputError) as caught:
            ClassifierRatio(score, "logit")(np.ones((4, 2)))
        assert caught.value.argument == "scores"


def nothing(scores: Any, y: Any, weights: Any) -> tuple[float, Any]:
    """Return a loss of zero."""
    return 0.0, 0.0 * scores


@pytest.mark.parametrize(
    ("loss", "remedy"),
    [
        (Hinge(), "calibrate the score"),
        (Focal(), "loss.probability"),
        (LovaszZ(1.0), "calibrate the score"),
        (CustomLoss(nothing), "calibrate the score"),
    ],
)
def test_losses_without_link(loss: Any, remedy: str):
    """They are refused with what to do instead."""
    with pytest.raises(InputError, match=remedy) as caught:
        link_of(loss)
    assert caught.value.argument == "loss"


def test_focal_by_its_probability():
    """What the error recommends is right: the probability of a focal loss gives the ratio."""
    x, y = stacked(*categories())
    loss = Focal(gamma=1.0)
    model = minimise(Network(3, (), dtype="float64"), (x, y), loss, rng=1, tolerance=1e-10).model
    ratio = ClassifierRatio(lambda x: loss.probability(model(x)), "probability", 0.2)
    assert_allclose(ratio(np.eye(3)), TRUTH, rtol=2e-4)


def test_values_of_links():
    """By their formulas, with minus infinity for the logarithm of zero."""
    s = np.array([0.0, 0.25, 0.5])
    assert_allclose(ratio_from_scores(s, "probability", 0.5), 2.0 * s / (1.0 - s))
    assert_allclose(ratio_from_scores(3.0 * s, "ratio", 0.5), 6.0 * s)
    assert_allclose(ratio_from_scores(s, "logit", 0.5), 2.0 * np.exp(s))
    assert_allclose(ratio_from_scores(s, "log ratio"), np.exp(s))
    assert_allclose(ratio_from_scores(s, "half log ratio"), np.exp(2.0 * s))
    zero = ClassifierRatio(lambda x: 0.0 * x, "ratio")
    assert_array_equal(zero.log(np.ones(2)), [-np.inf, -np.inf])
    assert_array_equal(zero(np.ones(2)), [0.0, 0.0])
    assert ratio_from_scores([], "logit").shape == (0,)


@pytest.mark.parametrize(
    ("scores", "link", "count", "value"),
    [
        ([0.5, 1.0, 1.25], "probability", 2, "1"),
        ([-0.125, 0.5, 0.7], "probability", 1, "-0.125"),
        ([-2.0, -1.0, 3.0], "ratio", 2, "-2"),
        ([0.0, 800.0], "logit", 1, "800"),
        ([0.0, 400.0], "half log ratio", 1, "800"),
    ],
)
def test_impossible_scores(scores: Any, link: Any, count: int, value: str):
    """The error has their number and a value; with limits they become those, and the number is reported."""
    with pytest.raises(InputError, match=f"has {count} .*{value}") as caught:
        ratio_from_scores(scores, link)
    assert caught.value.argument == "scores"
    with pytest.warns(ClipWarning, match=f"{count} of {len(scores)} ratios"):
        r = ratio_from_scores(scores, link, clip=(0.01, 50.0))
    assert ((r >= 0.01 * (1 - 1e-12)) & (r <= 50.0 * (1 + 1e-12))).all()


def test_limits_are_those_of_the_ratio():
    """After the odds, at either end, and silent where nothing is outside."""
    with pytest.warns(ClipWarning, match="2 of 3"):
        r = ratio_from_scores([1.0, 2.0, 40.0], "ratio", 0.1, clip=(15.0, 100.0))
    assert_allclose(r, [15.0, 20.0, 100.0])
    assert_allclose(ratio_from_scores([2.0], "ratio", clip=(0.0, 3.0)), [2.0])


@pytest.mark.parametrize("kind", [LogisticRegression(C=1e9, tol=1e-10), CategoricalNB(alpha=1e-9)])
def test_probabilities_of_scikit_learn(kind: Any):
    """Column 1 of predict_proba, divided by the odds."""
    x, y = stacked(*categories())
    fitted = kind.fit(x.astype(int), y)
    if isinstance(kind, CategoricalNB):  # which takes a feature, not one-hot events
        fitted = kind.fit(x.argmax(axis=1)[:, None], y)
        assert_allclose(ClassifierRatio(fitted, odds=0.2)([[0], [1], [2]]), TRUTH, rtol=1e-4)
    else:
        ratio = ClassifierRatio(fitted, odds=0.2)
        assert ratio.link == "probability"
        assert_allclose(ratio(np.eye(3)), TRUTH, rtol=1e-4)
        assert_allclose(ClassifierRatio(fitted, "logit", 0.2)(np.eye(3)), TRUTH, rtol=1e-4)


def test_decision_function_of_scikit_learn():
    """It needs a link, which the margin of a support vector machine has not; wrapped by a calibration it has."""
    x, y = stacked(*categories())
    machine = LinearSVC().fit(x, y)
    with pytest.raises(InputError, match="link: is missing"):
        ClassifierRatio(machine)
    assert_allclose(ClassifierRatio(machine, "logit").log(x), machine.decision_function(x))
    wrapped = CalibratedClassifierCV(machine, cv=3).fit(x, y)
    assert ClassifierRatio(wrapped, odds=0.2)(x).shape == y.shape


def test_own_classifiers_know_their_link():
    """Those of hepstat, by their loss; scores are used, which do not saturate."""
    x, y = stacked(*categories())
    fitted = LinearClassifier(loss="linear ratio", batch_size=None, epochs=400, random_state=1).fit(x, y)
    ratio = ClassifierRatio(fitted, odds=0.2)
    assert ratio.link == "ratio"
    assert_allclose(ratio(np.eye(3)), TRUTH, rtol=0.02)


def test_trainings_models_and_functions_agree():
    """The same scores whichever way they come, also after pickling."""
    x, y = stacked(*categories())
    training = train(
        Network(3, (), dtype="float64"), (x, y), BinaryCrossEntropy(), rng=1, epochs=3, optimiser=Adam(0.01)
    )
    expected = np.exp(training.model(x)) / 0.2
    for score in (training, training.model, training.model.scores):
        ratio = ClassifierRatio(score, BinaryCrossEntropy(), 0.2)
        assert_allclose(ratio(x), expected)
    assert ClassifierRatio(training).link == ClassifierRatio(training.model).link == "logit"
    assert_allclose(pickle.loads(pickle.dumps(ClassifierRatio(training, odds=0.2)))(x), expected)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"score": 3}, "score"),
        ({"link": "sigmoid"}, "link"),
        ({"link": None}, "link"),
        ({"link": Hinge()}, "loss"),
        ({"odds": 0.0}, "odds"),
        ({"odds": math.nan}, "odds"),
        ({"clip": (2.0, 1.0)}, "clip"),
        ({"clip": (-1.0, 1.0)}, "clip[0]"),
        ({"score": lambda x: np.full(len(x), np.nan)}, "scores"),
    ],
)
def test_bad_input(options: dict[str, Any], argument: str):
    """The error names the argument."""
    with pytest.raises(InputError) as caught:
        ClassifierRatio(**{"score": np.asarray, "link": "logit", **options})(np.ones(2))
    assert caught.value.argument == argument


def test_classifier_of_three_classes():
    """It has no ratio of two."""
    fitted = LogisticRegression().fit(np.eye(3), [0, 1, 2])
    with pytest.raises(InputError, match="two classes"):
        ClassifierRatio(fitted)(np.eye(3))


def test_wrong_features_of_a_model():
    """The error of the model comes through."""
    model = Model(Network(2, (), dtype="float64"), np.zeros(3))
    with pytest.raises(InputError, match="features"):
        ClassifierRatio(model)(np.ones((2, 3)))


def test_probabilities_are_no_log_ratios():
    """A classifier with nothing but probabilities is refused for another link, and taken for its own."""
    x, y = stacked(*categories())
    forest = RandomForestClassifier(5, max_depth=2, random_state=1).fit(x, y)
    with pytest.raises(InputError, match="probabilities only"):
        ClassifierRatio(forest, "logit")
    p = forest.predict_proba(x)[:, 1]
    assert_allclose(ClassifierRatio(forest, odds=2.0)(x), p / (1 - p) / 2.0)

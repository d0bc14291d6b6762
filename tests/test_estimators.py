"""Classifiers in scikit-learn's world: its own checks, pipelines and searches, and a second opinion on the fit."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures
from sklearn.utils.estimator_checks import parametrize_with_checks

from hepstat.errors import InputError, TrainingError
from hepstat.learn.data import Process, mix
from hepstat.learn.estimators import LOSSES, OPTIMISERS, LinearClassifier, NetworkClassifier
from hepstat.learn.losses import CategoricalCrossEntropy, CustomLoss, Focal, LovaszZ, SoftZ
from hepstat.learn.network import Network
from hepstat.learn.optimisers import SGD, Adam, Cosine
from hepstat.learn.training import train

BOTH = [LinearClassifier, NetworkClassifier]
QUICK = Adam(0.03)


def gaussians(n=400, shift=1.5, seed=1):
    """Two unit Gaussians of two features on very different scales, labelled "b" and "s"."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    x = rng.normal(size=(n, 2)) + shift * y[:, None]
    return x * [1e3, 1e-2] + [5e3, 0], np.array(["b", "s"])[y]


def processes(n=500):
    """Signal and two backgrounds, one of them heavy."""
    rng = np.random.default_rng(2)
    return [
        Process("s", rng.normal([4, 7], 1, (n, 2)), 0.1, signal=True),
        Process("b1", rng.normal([2, 5], 1, (n, 2)), 1.0),
        Process("b2", rng.normal([2, 10], 1, (n, 2)), 10.0),
    ]


@parametrize_with_checks([LinearClassifier(), NetworkClassifier()])
def test_scikit_learn_checks(estimator, check):
    """Every check of scikit-learn passes, without exceptions."""
    check(estimator)


@pytest.mark.parametrize("weighted", [False, True])
def test_same_optimum_as_logistic_regression(weighted):
    """With the same loss, weights and penalty, scikit-learn finds the same line."""
    x, y = gaussians()
    w = np.random.default_rng(3).exponential(size=y.size) if weighted else np.ones(y.size)
    ours = LinearClassifier(optimiser=Adam(0.1, schedule=Cosine()), epochs=2000, batch_size=None, random_state=1)
    ours.fit(x, y, w)
    peer = make_pipeline(LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000)).fit(
        (x - ours.model_.mean) / ours.model_.scale, y, logisticregression__sample_weight=w
    )
    assert_allclose(ours.coef_ * ours.model_.scale, peer[0].coef_, rtol=1e-5)
    assert_allclose(ours.intercept_, peer[0].intercept_ - ours.coef_[0] @ ours.model_.mean, rtol=1e-5)
    assert_allclose(ours.decision_function(x), x @ ours.coef_[0] + ours.intercept_, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", BOTH)
@pytest.mark.parametrize("loss", [*LOSSES, Focal(1.0, alpha=0.4), SoftZ(1.0), LovaszZ(100.0)], ids=str)
def test_every_loss_separates_two_classes(kind, loss):
    """Labels come back as they were given, scores are high for the second, and probabilities add up to one."""
    x, y = gaussians(shift=2.0)
    more = {} if kind is LinearClassifier else {"hidden": (4,), "activation": "tanh"}
    classifier = kind(loss=loss, optimiser=QUICK, epochs=60, random_state=1, **more).fit(x, y)
    assert classifier.classes_.tolist() == ["b", "s"]
    assert classifier.score(x, y) > 0.75  # the best cut has 0.92, but it is not what every loss looks for
    scores = classifier.decision_function(x)
    assert scores.shape == y.shape
    assert scores[y == "s"].mean() > scores[y == "b"].mean()
    if hasattr(classifier, "predict_proba"):
        p = classifier.predict_proba(x)
        assert_allclose(p.sum(axis=1), 1)
        assert ((p >= 0) & (p <= 1)).all()
        assert_array_equal(classifier.predict(x), classifier.classes_[p.argmax(axis=1)])


def test_which_losses_tell_probabilities():
    """The method is absent where scores have no such meaning, before and after the fit."""
    x, y = gaussians(60)
    without = [name for name in LOSSES if not hasattr(LinearClassifier(loss=name), "predict_proba")]
    assert without == ["hinge"]
    assert not hasattr(LinearClassifier(loss=SoftZ(1.0), epochs=1).fit(x, y), "predict_proba")
    assert not hasattr(LinearClassifier(loss="of another world"), "predict_proba")


def test_custom_loss():
    """A user's loss works, and tells probabilities if it says how."""
    x, y = gaussians(100, 3.0)

    def squared(scores, y, weights):
        return float(weights @ (scores - y) ** 2), 2 * weights * (scores - y)

    plain = LinearClassifier(CustomLoss(squared), QUICK, random_state=1).fit(x, y)
    assert not hasattr(plain, "predict_proba")
    told = LinearClassifier(CustomLoss(squared, to_probability=lambda f: np.clip(f, 0, 1)), QUICK, random_state=1)
    assert told.fit(x, y).score(x, y) > 0.95
    built_in = LinearClassifier("squared error", QUICK, random_state=1).fit(x, y)
    assert_allclose(told.decision_function(x), built_in.decision_function(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", BOTH)
def test_more_than_two_classes(kind):
    """There is a score and a probability for each class."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 600) * 10
    x = rng.normal(size=(600, 2)) + np.array([[0, 0], [4, 0], [0, 4]])[y // 10]
    classifier = kind(optimiser=QUICK, epochs=60, random_state=1).fit(x, y)
    assert classifier.loss_ == CategoricalCrossEntropy()
    assert classifier.decision_function(x).shape == classifier.predict_proba(x).shape == (600, 3)
    assert classifier.score(x, y) > 0.93
    assert log_loss(y, classifier.predict_proba(x)) < 0.25
    assert (
        OneVsRestClassifier(kind("hinge") if kind is LinearClassifier else kind(loss="hinge")).fit(x, y).score(x, y)
        > 0.8
    )


def test_two_classes_with_a_score_for_each():
    """The difference of two scores is the score; in the optimum it is that of one."""
    x, y = gaussians()
    options = {"optimiser": Adam(0.1, schedule=Cosine()), "epochs": 1000, "batch_size": None, "random_state": 1}
    two = LinearClassifier(CategoricalCrossEntropy(), **options).fit(x, y)
    one = LinearClassifier("bce", **options).fit(x, y)
    assert two.coef_.shape == (2, 2)
    assert_allclose(two.decision_function(x), one.decision_function(x), rtol=1e-3, atol=1e-3)
    assert_allclose(two.predict_proba(x), one.predict_proba(x), atol=1e-4)
    assert_array_equal(two.predict(x), one.predict(x))


@pytest.mark.parametrize("kind", BOTH)
def test_pipelines_searches_and_copies(kind):
    """Estimators are cloned, searched, put into pipelines and pickled like those of scikit-learn."""
    x, y = gaussians(200)
    pipeline = make_pipeline(
        PolynomialFeatures(2, include_bias=False), kind(optimiser=QUICK, epochs=20, random_state=1)
    )
    assert cross_val_score(pipeline, x, y, cv=3).min() > 0.7
    grid = {"optimiser": ["sgd", QUICK], "l2": [0.0, 1e-3], "loss": ["bce", Focal(1.0)]}
    search = GridSearchCV(kind(epochs=10, random_state=1), grid, cv=2, scoring="roc_auc").fit(x, y)
    assert search.best_score_ > 0.9
    fitted = search.best_estimator_
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.decision_function(x), fitted.decision_function(x))
    assert again.get_params() == fitted.get_params() == clone(fitted).get_params()
    with pytest.raises(NotFittedError):
        clone(fitted).predict(x)


def test_where_randomness_comes_from():
    """An int, and a numpy source that starts alike, give the same bits; numbers that differ do not."""
    x, y = gaussians(100)

    def scores(state):
        return NetworkClassifier((4,), epochs=3, batch_size=16, random_state=state).fit(x, y).decision_function(x)

    assert_array_equal(scores(5), scores(5))
    assert_array_equal(scores(np.random.RandomState(5)), scores(5))
    assert_array_equal(scores(np.random.default_rng(5)), scores(np.random.default_rng(5)))
    assert_array_equal(scores(np.random.SeedSequence(5)), scores(np.random.SeedSequence(5)))
    assert (scores(5) != scores(6)).any()
    assert (scores(None) != scores(None)).any()


def test_names_of_features():
    """Names of columns are kept, and another order is refused."""
    table = pytest.importorskip("pyarrow").table
    x, y = gaussians(100)
    named = table({"mass": x[:, 0], "angle": x[:, 1]})
    classifier = LinearClassifier(epochs=5).fit(named, y)
    assert classifier.feature_names_in_.tolist() == ["mass", "angle"]
    assert classifier.predict(named).shape == (100,)
    with pytest.raises(ValueError, match="feature names"):
        classifier.predict(named.select(["angle", "mass"]))


@pytest.mark.parametrize("kind", BOTH)
def test_processes(kind):
    """Weights are those that cross-sections and luminosity give, and the training is that of `train`."""
    sample = mix(processes(), 30.0)
    options = {"loss": SoftZ(10.0), "optimiser": QUICK, "epochs": 30, "random_state": 4}
    classifier = kind(**options).fit_processes(processes(), 30.0)
    assert classifier.classes_.tolist() == [0, 1]
    assert classifier.n_features_in_ == 2
    part = kind(**options).fit_sample(sample)
    assert_array_equal(part.model_.theta, classifier.model_.theta)
    scores = classifier.decision_function(sample.x)
    keep = scores > np.quantile(scores[sample.y == 1], 0.5)
    z = sample.w[keep & (sample.y == 1)].sum() / np.sqrt(10.0 + sample.w[keep & (sample.y == 0)].sum())
    assert z > 2 * sample.n_signal / np.sqrt(10.0 + sample.n_background)


def test_training_is_that_of_the_core():
    """With the seed that scikit-learn's random state gives, `train` finds the same parameters."""
    sample = mix(processes(), 30.0)
    seed = int(np.random.RandomState(4).randint(2**31))
    classifier = NetworkClassifier((8,), "tanh", 0.1, "brier", QUICK, epochs=5, random_state=4)
    network = Network(2, (8,), "tanh", 1, 0.1, "float64")
    trained = train(network, sample, LOSSES["brier"], optimiser=QUICK, epochs=5, rng=seed)
    assert_array_equal(classifier.fit_sample(sample).model_.theta, trained.model.theta)


def test_standardisation():
    """It does not depend on units, and can be left out."""
    x, y = gaussians(200)
    one, other = (LinearClassifier(epochs=5, random_state=1).fit(data, y) for data in (x, x * [1e-3, 1e3]))
    assert_allclose(one.decision_function(x), other.decision_function(x * [1e-3, 1e3]), rtol=1e-6, atol=1e-9)
    bare = LinearClassifier(epochs=5, standardise=False, random_state=1).fit(x * [1e-3, 1e2], y).model_
    assert_array_equal(bare.mean, 0)
    assert_array_equal(bare.scale, 1)


def test_early_stopping():
    """A share of the events is put aside, and patience ends the training."""
    x, y = gaussians(200)
    classifier = LinearClassifier(optimiser=Adam(0.5), epochs=500, validation=0.3, patience=5, random_state=1).fit(x, y)
    assert classifier.training_.status == "stopped early"
    assert 5 < len(classifier.training_.validation_loss) < 500
    larger, smaller = mix(processes(), 30.0).split(0.3, 1)
    trained = LinearClassifier(SoftZ(10.0), epochs=4, validation=smaller, random_state=1).fit_sample(larger).training_
    assert trained.validation_loss.shape == (4,)


def test_divergence_is_told():
    """A rate far too high ends with an error that says so, not with a model."""
    x, y = gaussians(200)
    classifier = LinearClassifier("squared error", SGD(1e6), random_state=1)
    with pytest.raises(TrainingError, match="learning rate"):
        classifier.fit(x, y)
    assert not hasattr(classifier, "model_")


BAD = {
    "loss": [{"loss": "mse"}, {"loss": 3}, {"loss": []}],
    "optimiser": [{"optimiser": "lbfgs"}, {"optimiser": None}],
    "epochs": [{"epochs": 0}],
    "batch_size": [{"batch_size": -1}],
    "dtype": [{"dtype": "float16"}],
    "l2": [{"l2": -1.0}],
}


@pytest.mark.parametrize("argument", BAD)
def test_bad_parameters_are_named_when_fitted(argument):
    """As scikit-learn wants it, nothing is checked before the fit."""
    x, y = gaussians(40)
    for kind in BOTH:
        for options in BAD[argument]:
            classifier = kind(**options)
            with pytest.raises(InputError) as caught:
                classifier.fit(x, y)
            assert caught.value.argument == argument


def test_bad_data_are_refused():
    """Too few or too many classes, and weights that the loss does not take."""
    x, y = gaussians(40)
    for data, w, argument in (
        ((x, np.zeros(40)), None, "y"),
        ((x, y), (y == "s") * 1.0, "y"),
        ((x, y), np.linspace(-1, 1, 40), "weights"),
    ):
        with pytest.raises(InputError) as caught:
            LinearClassifier().fit(*data, sample_weight=w)
        assert caught.value.argument == argument
    with pytest.raises(InputError, match="OneVsRest"):
        LinearClassifier("hinge").fit(x, np.arange(40) % 3)
    signed = np.where(np.arange(40) % 8 == 0, -0.5, 1.0)
    assert LinearClassifier("linear ratio").fit(x, y, signed).predict(x).shape == (40,)


def test_parameters_by_name():
    """The names are those of the docs."""
    assert set(OPTIMISERS) == {"adam", "adamw", "radam", "rmsprop", "sgd"}
    x, y = gaussians(100, 3.0)
    for name in OPTIMISERS:
        assert NetworkClassifier(optimiser=name, epochs=200, batch_size=10, random_state=1).fit(x, y).score(x, y) > 0.9


def test_scikit_learn_is_loaded_late():
    """The room of learning comes without it."""
    probe = "import sys, hepstat.learn, hepstat.learn.optimisers; print('sklearn' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, timeout=120)
    assert run.stdout.strip() == "False"

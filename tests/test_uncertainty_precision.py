"""Precision: ensembles in each of which one thing differs, what is counted, and the report of both uncertainties."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError
from hepstat.learn import SGD, Adam, BinaryCrossEntropy, LinearRatio, Network, Process, SquaredError, mix, train
from hepstat.seeds import stream_key, toy_generator
from hepstat.uncertainty import (
    Bootstrap,
    Precision,
    bootstrap_test_sample,
    feature_covariance,
    perturbed,
    precision,
    propagate,
    uncertainty_report,
)
from hepstat.uncertainty import precision as precision_function
from hepstat.uncertainty.architecture import architecture_name
from hepstat.uncertainty.precision import _bootstrap_weights

RNG = np.random.default_rng(3)
N = 300
X = np.concatenate([RNG.normal(0.7, 1.0, (N, 2)), RNG.normal(-0.3, 1.2, (N, 2))])
Y = np.repeat([1.0, 0.0], N)
AT = RNG.normal(0.2, 1.0, (50, 2))
NETWORK = Network(2, (4,), activation="tanh", dtype="float64")
OPTIONS = {"epochs": 20, "optimiser": Adam(rate=0.02)}


def efficiency(model):
    """Share of signal with a positive score."""
    return float(np.mean(model(X[:N]) > 0))


@pytest.fixture(scope="module")
def ensembles():
    """Return all three kinds, of scores and a figure of merit."""
    return precision(NETWORK, (X, Y), BinaryCrossEntropy(), rng=4, n=3, evaluate_at=AT, figure=efficiency, **OPTIONS)


def test_networks_that_differ_a_little():
    """Units, layers, activation; each is another network and none the same."""
    network = Network(3, (8, 1), activation=("relu", "tanh"), dropout=(0.1, 0.2))
    names = [architecture_name(other) for other in perturbed(network)]
    assert names == [
        "9-1 relu tanh",
        "7-1 relu tanh",
        "8-2 relu tanh",
        "8-1-1 relu tanh",
        "8 relu",
        "8-1 elu sigmoid",
    ]
    assert [other.dropouts for other in perturbed(network)][3:5] == [(0.1, 0.2, 0.2), (0.1,)]
    assert [architecture_name(other) for other in perturbed(Network(3, ()))] == ["3 softplus"]
    assert architecture_name(Network(3, ())) == "linear"


def test_members_by_hand(ensembles):
    """The reference, and one member of each ensemble, from public functions."""
    key = stream_key(4)

    def trained(start, data):
        return train(start, data, BinaryCrossEntropy(), rng=toy_generator(key, 0), **OPTIONS).model

    nominal = trained(NETWORK, (X, Y))
    assert_array_equal(ensembles.nominal, nominal(AT))
    begun = replace(NETWORK.initial(toy_generator(key, 2)), mean=nominal.mean, scale=nominal.scale)
    assert_array_equal(ensembles.scores["initialisation"][1], trained(begun, (X, Y))(AT))
    w = _bootstrap_weights(np.ones(2 * N), Y.astype(int), toy_generator(key, 4))
    assert_array_equal(ensembles.scores["bootstrap"][0], trained(NETWORK, (X, Y, w))(AT))
    assert_array_equal(ensembles.scores["architecture"][0], trained(perturbed(NETWORK)[0], (X, Y))(AT))
    assert ensembles.members["architecture"][0] == "5 tanh"
    assert ensembles.figures["architecture"][0] == efficiency(trained(perturbed(NETWORK)[0], (X, Y)))


def test_summaries(ensembles):
    """Spread per event, its root mean square, figures, and what they combine to."""
    scores = ensembles.scores["bootstrap"]
    assert_allclose(ensembles.spread("bootstrap"), scores.std(axis=0, ddof=1))
    assert ensembles.rms["bootstrap"] == pytest.approx(np.sqrt(np.mean(scores.var(axis=0, ddof=1))))
    assert ensembles.figure_spread["bootstrap"] == pytest.approx(ensembles.figures["bootstrap"].std(ddof=1))
    network = max(ensembles.rms["initialisation"], ensembles.rms["architecture"])
    assert ensembles.combined == pytest.approx(math.hypot(ensembles.rms["bootstrap"], network))
    assert_allclose(ensembles.bands["bootstrap"][0], scores.mean(axis=0))
    assert "bootstrap: score +- " in repr(ensembles)
    assert "(3 trainings)" in repr(ensembles)
    again = Precision.from_json(ensembles.to_json())
    assert_array_equal(again.scores["architecture"], ensembles.scores["architecture"])
    assert again.members == ensembles.members


def test_workers_do_not_matter(ensembles):
    """Two threads give the same bits."""
    again = precision(
        NETWORK, (X, Y), BinaryCrossEntropy(), rng=4, n=3, kinds=("bootstrap",), evaluate_at=AT, workers=2, **OPTIONS
    )
    assert_array_equal(again.scores["bootstrap"], ensembles.scores["bootstrap"])
    assert math.isnan(again.nominal_figure)


def test_linear_least_squares_has_a_known_spread():
    """The bootstrap of a mean: sigma / sqrt(n) of the labels; 100 trainings know it to 7%, three of them allowed.

    Initial weights do not matter for a convex loss that is at its minimum.
    """
    x, y = np.zeros((200, 1)), RNG.normal(2.0, 3.0, 200)
    found = precision(
        Network(1, (), dtype="float64"),
        (x, y),
        SquaredError(),
        rng=2,
        n=100,
        kinds=("initialisation", "bootstrap"),
        evaluate_at=[[0.0]],
        optimiser=SGD(rate=0.2),
        batch_size=None,
        epochs=60,
        stratified=False,
    )
    assert found.rms["initialisation"] < 1e-6
    assert found.rms["bootstrap"] == pytest.approx(y.std() / np.sqrt(200), rel=0.22)


def test_bootstrap_keeps_the_mixture():
    """Counts are multinomial within strata, whose sums of weights stay; signed ones are left as drawn."""
    strata, w = np.repeat([0, 1, 2], [50, 100, 200]), RNG.exponential(1.0, 350)
    drawn = _bootstrap_weights(w, strata, np.random.default_rng(1))
    assert_allclose(np.bincount(strata, drawn), np.bincount(strata, w))
    assert (drawn == 0).sum() == pytest.approx(350 / math.e, abs=4 * 350**0.5 * 0.31)
    signed = np.where(np.arange(350) % 7 == 0, -w, w)
    ratio = _bootstrap_weights(signed, strata, np.random.default_rng(1)) / signed
    assert_allclose(ratio, np.round(ratio), atol=1e-12)
    assert_allclose(np.bincount(strata, ratio), [50, 100, 200])


def test_validation_events_are_put_aside_once():
    """Processes of a sample and labels of arrays; none of them takes part in the bootstrap."""
    sample = mix([Process("s", X[:N], 1.0, True), Process("b", X[N:], 10.0)], 100.0)
    for data in (sample, (X, Y)):
        found = precision(
            NETWORK, data, BinaryCrossEntropy(), rng=1, n=2, kinds=("bootstrap",), figure=efficiency,
            validation=0.3, patience=5, **OPTIONS,
        )  # fmt: skip
        assert np.isfinite(found.figures["bootstrap"]).all()
    assert found.nominal.size == 0
    assert "score" not in repr(found)


def test_failures_are_counted(monkeypatch):
    """Trainings that diverge are in no spread, and reported."""
    calls = []

    def sometimes(*args, **options):
        training = train(*args, **options)
        calls.append(1)
        return replace(training, status="not finite") if len(calls) in (2, 4) else training

    module = __import__("sys").modules[precision_function.__module__]
    monkeypatch.setattr(module, "train", sometimes)
    found = precision(
        NETWORK, (X, Y), BinaryCrossEntropy(), rng=1, n=4, kinds=("bootstrap",), evaluate_at=AT, figure=efficiency,
        **OPTIONS,
    )  # fmt: skip
    assert found.n_failed == {"bootstrap": 2}
    good = found.scores["bootstrap"][[1, 3]]
    assert np.isnan(found.scores["bootstrap"][[0, 2]]).all()
    assert_allclose(found.spread("bootstrap"), good.std(axis=0, ddof=1))
    assert "2 failed" in repr(found)


def test_log_ratio_of_a_loss_that_learns_the_ratio():
    """The score is the ratio there; its logarithm is what is compared."""
    found = precision(
        NETWORK, (X, Y), LinearRatio(), rng=1, n=2, kinds=("bootstrap",), evaluate_at=AT, quantity="log ratio",
        **OPTIONS,
    )  # fmt: skip
    model = train(NETWORK, (X, Y), LinearRatio(), rng=toy_generator(stream_key(1), 0), **OPTIONS).model
    positive = model(AT) > 0
    assert_allclose(found.nominal[positive], np.log(model(AT)[positive]), rtol=1e-9)
    assert (found.nominal[~positive] < -27).all()


def test_bad_requests():
    """Every refusal names its argument."""
    loss = BinaryCrossEntropy()
    for options, name in (
        ({}, "evaluate_at"),
        ({"evaluate_at": AT, "kinds": ("seed",)}, "kinds"),
        ({"evaluate_at": AT, "n": 1}, "n"),
        ({"evaluate_at": AT, "weights": np.ones(3)}, "weights"),
        ({"evaluate_at": AT, "weights": -np.ones(50)}, "weights"),
        ({"evaluate_at": AT, "quantity": "ratio"}, "quantity"),
        ({"evaluate_at": AT, "on_divergence": "raise"}, "on_divergence"),
    ):
        with pytest.raises(InputError, match=rf"^{name}:"):
            precision(NETWORK, (X, Y), loss, rng=1, **options)
    with pytest.raises(InputError, match=r"^network: has 2 outputs"):
        precision(Network(2, n_outputs=2), (X, Y), loss, rng=1, evaluate_at=AT)
    with pytest.raises(InputError, match=r"^network:"):
        precision(NETWORK.initial(1), (X, Y), loss, rng=1, evaluate_at=AT)
    with pytest.raises(InputError, match=r"^validation:"):
        precision(Network(2, n_parameters=1), (X, Y), loss, rng=1, figure=efficiency, validation=0.2)


def test_report_says_what_matters(ensembles):
    """With toys the accuracy alone; with asymptotic formulae both; numbers and a sentence."""
    model = train(NETWORK, (X, Y), BinaryCrossEntropy(), rng=toy_generator(stream_key(4), 0), **OPTIONS).model

    def share(scores, w):
        return np.average(scores > 0, weights=w)

    statistical = bootstrap_test_sample(share, model(X[:N]), rng=1, n=300)
    systematic = propagate(model, X[:N], feature_covariance({"shift": [0.1, 0.1]}), share, rng=1, n=50)
    toys = uncertainty_report(ensembles, [statistical, systematic], "toys")
    both = uncertainty_report(ensembles, (statistical, systematic), "asymptotics")
    accuracy = math.hypot(statistical.error[0], systematic.thrown_error[0])
    assert toys.value == pytest.approx(efficiency(model))
    assert toys.total == toys.accuracy == pytest.approx(accuracy)
    assert both.total == pytest.approx(math.hypot(accuracy, ensembles.figure_error))
    assert (toys.relevant, both.relevant) == (("accuracy",), ("accuracy", "precision"))
    assert "does not count" in str(toys)
    assert "biases nothing" in toys.reason
    assert "does not count" not in str(both)
    assert "Toys would remove" in both.reason
    assert "with toys" in repr(toys)
    assert type(toys).from_json(toys.to_json()) == toys
    assert "all of it" in uncertainty_report(ensembles, Bootstrap(np.ones(1), np.ones((2, 1)), 0), "asymptotics").reason


def test_bad_reports(ensembles):
    """Every refusal names its argument."""
    one = Bootstrap(np.ones(1), np.ones((2, 1)), 0)
    for accuracy, procedure, options, name in (
        (one, "exact", {}, "procedure"),
        ([], "toys", {}, "accuracy"),
        ([one, one], "toys", {}, "accuracy"),
        (one, "toys", {"index": 1}, "accuracy"),
    ):
        with pytest.raises(InputError, match=rf"^{name}:"):
            uncertainty_report(ensembles, accuracy, procedure, **options)
    with pytest.raises(InputError, match=r"^precision:"):
        uncertainty_report(replace(ensembles, nominal_figure=math.nan), one, "toys")


def test_an_ensemble_that_failed_leaves_no_answer(ensembles):
    """One good training has no spread: NaN, never 0, and no band."""
    scores = np.where(np.arange(3)[:, np.newaxis] < 2, np.nan, ensembles.scores["bootstrap"])
    failed = replace(ensembles, scores={**ensembles.scores, "bootstrap": scores})
    assert math.isnan(failed.rms["bootstrap"])
    assert math.isnan(failed.combined)
    assert tuple(failed.bands) == ("initialisation", "architecture")
    with pytest.raises(InputError, match=r"^kind:"):
        failed.spread("dropout")

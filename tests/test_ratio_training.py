"""Ratios that are learned: with the right odds, in ensembles, as densities, and for variations of a simulation."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError, TrainingError
from hepstat.learn import (
    Adam,
    BinaryCrossEntropy,
    Brier,
    CategoricalBrier,
    ComplementaryLabel,
    Cosine,
    Hinge,
    LinearRatio,
    Network,
    SquaredError,
)
from hepstat.ratio import (
    AnalyticRatio,
    ClassifierRatio,
    Closure,
    EnsembleRatio,
    Reweighting,
    compare_variation,
    deviation,
    learn_density,
    learn_ratio,
    learn_variation,
    reweight,
)

LINEAR = Network(1, (), dtype="float64")
SMALL = Network(1, (12,), "tanh", dtype="float64")
TRUTH = AnalyticRatio(lambda x: np.asarray(x)[:, 0] - 0.5)  # of normal(1, 1) to normal(0, 1), linear
FAST: dict[str, Any] = {"epochs": 30, "optimiser": Adam(0.02, schedule=Cosine()), "batch_size": 500}


def draw(n_signal: int = 3000, n_background: int = 9000, seed: int = 1) -> tuple[Any, Any]:
    """Return events of signal and background."""
    rng = np.random.default_rng(seed)
    return rng.normal(1.0, 1.0, (n_signal, 1)), rng.normal(0.0, 1.0, (n_background, 1))


def test_odds_of_unequal_samples():
    """They are divided out, with weights and with events put aside too."""
    signal, background = draw()
    x = np.linspace(-1.0, 2.0, 31)[:, None]
    w = np.random.default_rng(2).choice([1.0, 3.0], len(signal))
    for options in ({}, {"signal_weights": w}, {"validation": 0.3, "patience": 10}):
        ratio = learn_ratio(signal, background, network=LINEAR, rng=1, **FAST, **options)
        assert isinstance(ratio, ClassifierRatio)
        assert ratio.odds == pytest.approx(options.get("signal_weights", np.ones(3000)).sum() / 9000)
        assert deviation(ratio, TRUTH, x).mean < 0.1
        assert ratio.score.train_loss.size


@pytest.mark.filterwarnings("ignore::hepstat.ratio.ClipWarning")
@pytest.mark.parametrize("loss", [Brier(), SquaredError(), LinearRatio()])
def test_losses(loss: Any):
    """Each with its link; where it can be exceeded, limits are set."""
    ratio = learn_ratio(*draw(), network=SMALL, rng=1, loss=loss, clip=(1e-3, 1e3), **FAST)
    x = np.linspace(-1.0, 1.5, 31)[:, None]
    assert deviation(ratio, TRUTH, x).mean < 0.2


@pytest.mark.parametrize("loss", [ComplementaryLabel(), CategoricalBrier()])
def test_two_outputs(loss: Any):
    """A score for each class gives the ratio by their difference, in ensembles as well."""
    signal, background = draw()
    network = Network(1, (), n_outputs=2, dtype="float64")
    ratio = learn_ratio(signal, background, network=network, rng=1, loss=loss, n=2, **FAST)
    x = np.linspace(-1.0, 2.0, 31)[:, None]
    assert deviation(ratio, TRUTH, x).mean < 0.1
    scores = ratio.ratios[0].score.model(x)
    assert_allclose(ratio.ratios[0].log(x), scores[:, 1] - scores[:, 0] + np.log(3.0))


def test_several_networks():
    """Each from a seed of its own, with its training; the same for any number of workers."""
    signal, background = draw(500, 700)
    options: dict[str, Any] = {"network": SMALL, "rng": 3, "epochs": 3, "n": 3}
    ratio = learn_ratio(signal, background, mean="arithmetic", **options)
    assert isinstance(ratio, EnsembleRatio)
    assert len(ratio.ratios) == 3
    assert all(one.odds == 5 / 7 and one.link == "logit" and one.score.train_loss.size == 3 for one in ratio.ratios)
    assert (ratio.spread(signal) > 0).all()
    again = learn_ratio(signal, background, mean="arithmetic", workers=2, **options)
    assert_array_equal(again(signal), ratio(signal))


def test_diverged_trainings_are_no_ratio():
    """They raise, in ensembles as well."""
    for n in (1, 2):
        with pytest.raises(TrainingError):
            learn_ratio(*draw(200, 200), network=SMALL, rng=1, n=n, score_limit=0.0)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"loss": Hinge()}, "loss"),
        ({"signal": np.ones((5, 2))}, "background"),
        ({"signal": np.ones(5)}, "signal"),
        ({"signal_weights": np.ones(4)}, "signal_weights"),
        ({"background_weights": np.zeros(20)}, "background_weights"),
        ({"n": 0}, "n"),
        ({"on_divergence": "return"}, "on_divergence"),
        ({"loss": LinearRatio(), "signal_weights": [-1.0, *np.ones(19)], "validation": 0.5}, "validation"),
        ({"network": 3}, "model"),
    ],
)
def test_bad_input(options: dict[str, Any], argument: str):
    """The error names the argument."""
    signal, background = draw(20, 20)
    with pytest.raises(InputError) as caught:
        learn_ratio(**{"signal": signal, "background": background, "network": LINEAR, "rng": 1, **options})
    assert caught.value.argument == argument


def test_density_against_uniform_events():
    """A Gaussian from its ratio to a uniform sample: near its values, and an integral of one."""
    rng = np.random.default_rng(4)
    events, reference = rng.normal(0.0, 1.0, (6000, 1)), rng.uniform(-5.0, 5.0, (6000, 1))
    density = learn_density(
        events, reference, lambda x: np.full(len(x), -np.log(10.0)), network=SMALL, rng=1, **{**FAST, "epochs": 60}
    )
    x = np.linspace(-5.0, 5.0, 1001)[:, None]
    truth = np.exp(-0.5 * x[:, 0] ** 2) / np.sqrt(2 * np.pi)
    assert density(x).sum() * 0.01 == pytest.approx(1.0, abs=0.05)
    assert np.abs(density(x) - truth).sum() * 0.01 < 0.12
    assert_allclose(density.log(x), np.log(density(x)))


def vary(n: int, seed: int, shift: float) -> Any:
    """Return events of two features of a simulation, the first of which is shifted."""
    return np.random.default_rng(seed).normal([shift, 1.0], [1.0, 0.5], (n, 2))


def test_a_variation_is_emulated():
    """Reweighted nominal events look like varied ones, and without the ratio they do not."""
    network = Network(2, (), dtype="float64")
    ratio = learn_variation(vary(20_000, 1, 0.0), vary(10_000, 2, 0.3), network=network, rng=1, **FAST)
    nominal, varied = vary(4000, 3, 0.0), vary(4000, 4, 0.3)
    found = compare_variation(ratio, nominal, varied, features=("mass", "other"))
    assert isinstance(found, Closure)
    assert (found.p > 1e-3).all()
    unchanged = compare_variation(lambda x: np.ones(len(x)), nominal, varied)
    assert unchanged.p[0] < 1e-10
    assert unchanged.p[1] > 1e-3
    assert_array_equal(unchanged.original, unchanged.reweighted)
    assert_allclose(Closure.from_json(found.to_json()).chi2, found.chi2)


def test_chi_square_of_closure():
    """With the true ratio the mean of chi^2 / ndf over 60 samples is 1; with weights of either sign too."""
    truth = AnalyticRatio(lambda x: 0.3 * x[:, 0] - 0.045)
    values, ndf = 0.0, 0.0
    for seed in range(60):
        w = np.where(np.random.default_rng(seed).random(3000) < 0.1, -1.0, 1.0)
        found = compare_variation(
            truth, vary(3000, 2 * seed, 0.0), vary(3000, 2 * seed + 1, 0.3), nominal_weights=w, bins=10
        )
        values, ndf = values + found.chi2.sum(), ndf + found.ndf.sum()
    assert abs(values / ndf - 1.0) < 4 * np.sqrt(2 / ndf)


def test_new_weights():
    """The sum is kept, or that which is asked for; effective events are those of the weights."""
    nominal = vary(500, 1, 0.0)
    w = np.random.default_rng(1).uniform(0.5, 1.5, 500)
    truth = AnalyticRatio(lambda x: 0.3 * x[:, 0] - 0.045)
    found = reweight(truth, nominal, w)
    assert found.weights.sum() == pytest.approx(w.sum())
    assert_allclose(found.weights / (w * truth(nominal)), found.normalisation)
    assert found.n_effective == pytest.approx(found.weights.sum() ** 2 / (found.weights @ found.weights))
    assert found.n_before == pytest.approx(w.sum() ** 2 / (w @ w))
    assert reweight(truth, nominal, total=7.0).weights.sum() == pytest.approx(7.0)
    assert_array_equal(Reweighting.from_json(found.to_json()).weights, found.weights)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"ratio": lambda x: -np.ones(3)}, "ratio"),
        ({"ratio": lambda x: np.zeros(3)}, "ratio"),
        ({"ratio": lambda x: np.full(3, np.inf)}, "ratio"),
        ({"weights": [1.0]}, "weights"),
        ({"weights": [-1.0, 0.0, 0.5]}, "weights"),
        ({"total": 0.0}, "total"),
    ],
)
def test_bad_reweighting(options: dict[str, Any], argument: str):
    """The error names the argument."""
    with pytest.raises(InputError) as caught:
        reweight(**{"ratio": lambda x: np.ones(3), "x": np.ones((3, 1)), **options})
    assert caught.value.argument == argument


def test_default_loss_is_cross_entropy():
    """With and without naming it."""
    signal, background = draw(200, 200)
    one, other = (
        learn_ratio(signal, background, network=LINEAR, rng=1, epochs=2, **options)
        for options in ({}, {"loss": BinaryCrossEntropy()})
    )
    assert_array_equal(one(signal), other(signal))

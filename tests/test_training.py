"""Training: the same bits by every road, weights, early stopping, batches of processes, losses of one's own."""

import math
from typing import Any

import naive_network as naive
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.kernels.batch import UNIT
from hepstat.learn import (
    SGD,
    Adam,
    AdamW,
    BinaryCrossEntropy,
    CategoricalCrossEntropy,
    Cosine,
    CustomLoss,
    EpsSchedule,
    Hinge,
    LovaszSet,
    LovaszZ,
    Model,
    Network,
    Process,
    RAdam,
    SoftZ,
    SquaredError,
    Training,
    mix,
    train,
    train_many,
)
from hepstat.learn.losses import AsimovZ
from hepstat.seeds import stream_key, toy_generator

# short trainings with Lovász Z are far from their end, and say so
pytestmark = pytest.mark.filterwarnings("ignore::hepstat.learn.CollapseWarning")

NET = Network(3, (5,))
DOUBLE = Network(3, (5,), "tanh", dtype="float64")
LINEAR = Network(3, (), dtype="float64")


def draw(n: int = 300, seed: int = 1, classes: int = 2) -> tuple[Any, Any, Any]:
    """Return events, labels and weights: two classes or more, a distance of one apart."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, n).astype(float)
    return rng.normal(size=(n, 3)) + y[:, None], y, rng.uniform(0.5, 2.0, n)


def processes(seed: int = 1) -> Any:
    """Return a sample of two backgrounds and a signal with different weights."""
    rng = np.random.default_rng(seed)
    shift = {"s": 1.0, "b1": 0.0, "b2": -0.5}
    size = {"s": 60, "b1": 150, "b2": 40}
    return mix([Process(k, rng.normal(shift[k], 1, (size[k], 3)), size[k] / 10, k == "s") for k in shift], 2.0)


def assert_same(a: Training, b: Training) -> None:
    """Every bit and word agrees."""
    assert (a.status, a.best_epoch, a.message) == (b.status, b.best_epoch, b.message)
    for name in ("train_loss", "validation_loss", "step_loss"):
        assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    for name in ("theta", "mean", "scale"):
        assert_array_equal(getattr(a.model, name), getattr(b.model, name), err_msg=name)


ROADS: dict[str, tuple[Network, Any, dict[str, Any]]] = {
    "dropout and patience": (
        Network(3, (6, 5), dropout=(0.2, 0.1)),
        BinaryCrossEntropy(),
        {"validation": 0.25, "patience": 2, "optimiser": Adam(0.05), "batch_size": 32, "epochs": 12},
    ),
    "set loss and schedule": (
        NET,
        SoftZ(EpsSchedule(100.0, 5.0, 3)),
        {"batch_size": 64, "l2": 1e-3, "optimiser": Adam(0.01, max_norm=0.5, schedule=Cosine()), "validation": 0.3},
    ),
    "Lovász and limits": (
        Network(3, (), dropout=0.0),
        LovaszZ(1e3),
        {"batch_size": 100, "clip": 0.4, "clip_biases": True, "l1": 0.01, "optimiser": SGD(0.01, 0.9, nesterov=True)},
    ),
    "uncertainty, full batch": (NET, AsimovZ(5.0, 0.1), {"batch_size": None, "optimiser": RAdam(0.01), "epochs": 4}),
    "strata of a sum": (
        DOUBLE,
        SquaredError(),
        {"stratified": True, "batch_size": 7, "optimiser": AdamW(max_value=0.1), "standardise": False},
    ),
}


@pytest.mark.parametrize("name", ROADS)
def test_every_road_gives_the_same_bits(name):
    """Compiled or from Python, with a callback after each epoch, a progress bar, more threads."""
    network, loss, options = ROADS[name]
    options = {"rng": 5, "epochs": 5, **options}
    data = processes() if not loss.additive else draw()
    first = train(network, data, loss, **options)
    assert not first.diverged
    assert_same(train(network, data, loss, compiled=False, **options), first)
    assert_same(train(network, data, loss, callback=lambda epoch, training: False, **options), first)
    assert_same(train(network, data, loss, progress="training", workers=2, **options), first)
    other = train(network, data, loss, **{**options, "rng": 6})
    assert not np.array_equal(other.model.theta, first.model.theta)


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), SoftZ(5.0), Hinge()], ids=repr)
def test_threads_that_share_a_batch(loss):
    """Units of a large batch are done by any thread, and added in order, with dropout."""
    network, data = Network(3, (4,), dropout=0.2), draw(UNIT * 2 + 77)
    options = {"rng": 3, "epochs": 2, "batch_size": None, "validation": 0.1}
    first = train(network, data, loss, **options)
    assert_same(train(network, data, loss, workers=2, **options), first)
    assert_same(train(network, data, loss, workers=3, **options), first)


def test_seeds():
    """Whole numbers and seed sequences repeat themselves, a generator moves on."""
    generator = np.random.default_rng(3)
    seeds = [1, 1, np.random.SeedSequence(1), generator, generator, np.random.default_rng(3)]
    theta = [train(NET, draw(), BinaryCrossEntropy(), rng=rng, epochs=1).model.theta for rng in seeds]
    assert_array_equal(theta[0], theta[1])
    assert_array_equal(theta[0], theta[2])
    assert_array_equal(theta[3], theta[5])
    assert not np.array_equal(theta[3], theta[4])


def test_history():
    """One loss per step, before it; means of epochs; the model of the last step unless training may stop early."""
    data = draw(230)
    options = {"rng": 1, "epochs": 4, "batch_size": 50, "validation": 0.1, "optimiser": Adam(0.01)}
    found = train(DOUBLE, data, BinaryCrossEntropy(), **options)
    assert (found.step_loss.shape, found.train_loss.shape, found.validation_loss.shape) == ((20,), (4,), (4,))
    assert_allclose(found.train_loss, found.step_loss.reshape(4, 5).mean(axis=1), rtol=1e-15)
    assert (found.status, found.diverged, found.collapse) == ("finished", False, None)
    assert found.best_epoch == np.argmin(found.validation_loss)
    assert train(DOUBLE, data, BinaryCrossEntropy(), rng=1, epochs=3).best_epoch == 2
    x, y, w = data
    start = train(DOUBLE, data, BinaryCrossEntropy(), rng=1, epochs=1, batch_size=None)
    first = DOUBLE.initial(2)
    again = train(
        Model(DOUBLE, first.theta, x.mean(axis=0), x.std(axis=0)), data, BinaryCrossEntropy(), rng=1, epochs=1
    )
    scores = Model(DOUBLE, first.theta, x.mean(axis=0), x.std(axis=0))(x)
    assert again.step_loss.shape == (1,)
    assert again.step_loss[0] == pytest.approx(BinaryCrossEntropy()(scores, y, w)[0] / w.sum(), rel=1e-12)
    assert_allclose(start.model.mean, x.mean(axis=0))
    assert_allclose(start.model.scale, x.std(axis=0))


def test_going_on_from_a_model():
    """Without memory and batches, three epochs and two are five."""
    data, options = draw(), {"rng": 1, "batch_size": None, "optimiser": SGD(0.1)}
    five = train(DOUBLE, data, BinaryCrossEntropy(), epochs=5, **options)
    three = train(DOUBLE, data, BinaryCrossEntropy(), epochs=3, **options)
    rest = train(three.model, data, BinaryCrossEntropy(), epochs=2, **options)
    assert_array_equal(rest.model.theta, five.model.theta)
    assert_array_equal(np.r_[three.step_loss, rest.step_loss], five.step_loss)
    assert_array_equal(rest.model.mean, five.model.mean)


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), SoftZ(EpsSchedule(1e3, 10.0, 2))], ids=["mean", "set"])
def test_early_stopping_gives_the_best_model(loss):
    """The least validation loss is that of the model returned, and patience is counted from there."""
    data, other = draw(60, 1), draw(200, 2)
    found = train(
        Network(3, (30,), dtype="float64"),
        data,
        loss,
        rng=2,
        epochs=300,
        batch_size=20,
        optimiser=Adam(0.03),
        validation=other,
        patience=7,
    )
    assert found.status == "stopped early"
    assert found.best_epoch == np.argmin(found.validation_loss)
    assert len(found.train_loss) == len(found.validation_loss) == found.best_epoch + 8
    x, y, w = other
    norm = w.sum() if loss.reduction == "mean" else 1.0
    assert found.validation_loss[found.best_epoch] == pytest.approx(loss(found.model(x), y, w)[0] / norm, rel=1e-10)


def test_least_improvement():
    """What is not better by min_delta does not count."""
    options = {"rng": 2, "epochs": 50, "validation": 0.3, "patience": 3, "optimiser": SGD(1e-4)}
    found = train(NET, draw(), BinaryCrossEntropy(), min_delta=0.5, **options)
    assert (found.status, found.best_epoch, len(found.train_loss)) == ("stopped early", 0, 4)
    assert train(NET, draw(), BinaryCrossEntropy(), **options).status == "finished"


def test_callback():
    """It sees the training after every epoch, with its model, and stops it."""
    seen: list[Training] = []

    def callback(epoch: int, training: Training) -> bool:
        assert epoch == len(seen) == len(training.train_loss) - 1
        seen.append(training)
        return epoch == 2

    found = train(NET, draw(), BinaryCrossEntropy(), rng=1, epochs=10, validation=0.2, callback=callback)
    assert (found.status, len(found.train_loss), len(found.validation_loss)) == ("stopped early", 3, 3)
    short = train(NET, draw(), BinaryCrossEntropy(), rng=1, epochs=2, validation=0.2)
    assert_array_equal(seen[1].model.theta, short.model.theta)
    assert_array_equal(found.model.theta, seen[2].model.theta)


def test_ridge_regression():
    """Squared errors with l2 have a minimum in closed form, which does not shrink the bias."""
    x, y, w = draw(50)
    y = y + 3.0
    found = train(
        LINEAR, (x, y, w), SquaredError(), rng=1, epochs=4000, batch_size=None, l2=0.3, optimiser=SGD(0.2, 0.9),
        standardise=False,
    )  # fmt: skip
    a, p = np.c_[x, np.ones(50)], w / w.sum()
    wanted = np.linalg.solve(2 * (a.T * p) @ a + np.diag([0.3, 0.3, 0.3, 0.0]), 2 * (a.T * p) @ y)
    assert_allclose(found.model.theta, wanted, rtol=1e-9)


def test_limits_of_weights():
    """Weights stay within the limit from the first step on, biases only if asked."""
    x, y, _ = draw()
    options = {"rng": 1, "epochs": 30, "optimiser": SGD(0.1), "clip": 0.25}
    for clip_biases in (False, True):
        found = train(LINEAR, (x, y + 3.0), SquaredError(), clip_biases=clip_biases, **options)
        assert np.abs(found.model.theta[:3]).max() <= 0.25
        assert bool(abs(found.model.theta[3]) <= 0.25) is clip_biases
    found = train(LINEAR, (x, y), SquaredError(), rng=1, epochs=1, optimiser=SGD(1e-30), clip=1e-3)
    assert np.abs(found.model.theta[:3]).max() <= 1e-3


def test_rates_and_regulators_over_epochs():
    """A rate of zero moves nothing, and the loss of an epoch has that epoch's eps, of validation the last."""
    sample, eps = processes(), EpsSchedule(100.0, 1.0, 4)
    still = Adam(0.1, schedule=lambda step, n, per_epoch: np.where(step <= 2 * per_epoch, 1.0, 0.0))
    two = train(NET, sample, SoftZ(5.0), rng=1, epochs=2, optimiser=still)
    assert_array_equal(train(NET, sample, SoftZ(5.0), rng=1, epochs=6, optimiser=still).model.theta, two.model.theta)
    found = train(DOUBLE, sample, SoftZ(eps), rng=1, epochs=6, batch_size=None, optimiser=SGD(1e-30), validation=sample)
    values = [SoftZ(e)(found.model(sample.x), sample.y, sample.w)[0] for e in eps.values(6)]
    assert_allclose(found.step_loss, values, rtol=1e-10)
    assert_allclose(found.validation_loss, values[-1], rtol=1e-10)


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), SoftZ(5.0), LovaszZ(500.0)], ids=repr)
def test_events_without_weight(loss):
    """They change nothing but the standardisation, which counts events."""
    x, y, w = draw()
    more = np.r_[x, 50 + x[:40]], np.r_[y, y[:40]], np.r_[w, np.zeros(40)]
    options = {"rng": 1, "epochs": 20, "batch_size": None, "standardise": False, "optimiser": SGD(1e-3)}
    a, b = train(DOUBLE, (x, y, w), loss, **options), train(DOUBLE, more, loss, score_limit=np.inf, **options)
    assert_allclose(b.model.theta, a.model.theta, rtol=1e-9)
    assert_allclose(b.step_loss, a.step_loss, rtol=1e-10)


def test_scale_of_weights():
    """A mean does not know it; set losses do."""
    x, y, w = draw()
    for loss, same in ((BinaryCrossEntropy(), True), (SquaredError(), True), (SoftZ(5.0), False)):
        a, b = (train(NET, (x, y, factor * w), loss, rng=1, epochs=3, validation=0.2) for factor in (1, 8))
        assert np.array_equal(a.model.theta, b.model.theta) is same
        assert np.array_equal(a.validation_loss, b.validation_loss) is same


@pytest.mark.parametrize("loss", [BinaryCrossEntropy(), SoftZ(5.0), AsimovZ(5.0)], ids=repr)
def test_an_event_twice_is_one_of_double_weight(loss):
    """In full batches."""
    x, y, w = draw()
    options = {"rng": 1, "epochs": 20, "batch_size": None, "standardise": False}
    twice = np.r_[x, x[:100]], np.r_[y, y[:100]], np.r_[w, w[:100]]
    heavy = np.where(np.arange(300) < 100, 2 * w, w)
    a, b = train(DOUBLE, twice, loss, **options), train(DOUBLE, (x, y, heavy), loss, **options)
    assert_allclose(a.model.theta, b.model.theta, rtol=1e-8)


def spy(seen: list[Any], additive: bool) -> CustomLoss:
    """Return a loss that notes labels and weights, and moves nothing."""

    def function(f: Any, y: Any, w: Any) -> tuple[float, Any]:
        seen.append((y, w))
        return 1.0, np.zeros_like(f)

    return CustomLoss(function, additive=additive)


def test_batches_have_the_yields_of_the_sample():
    """Of every process, for set losses; a sum is an unbiased estimate, with or without strata."""
    sample, seen = processes(), []
    train(NET, sample, spy(seen, False), rng=1, epochs=3, batch_size=25)
    assert len(seen) == 30
    wanted = np.bincount(sample.process, sample.w)
    for y, w in seen:
        assert len(y) in range(24, 29)
        assert w[y == 1].sum() == pytest.approx(wanted[0], rel=1e-12)
        assert w[y == 0].sum() == pytest.approx(wanted[1:].sum(), rel=1e-12)
    for stratified in (False, True):
        seen.clear()
        train(NET, sample, spy(seen, True), rng=1, epochs=1, batch_size=25, stratified=stratified)
        sums = np.array([[w[y == label].sum() for label in (0, 1)] for y, w in seen])
        assert_allclose(sums.mean(axis=0), np.array([wanted[1:].sum(), wanted[0]]) / wanted.sum(), rtol=1e-12)
        assert bool(np.ptp(sums[:, 1]) < 0.2 * sums[:, 1].mean()) is stratified


def test_validation_events_keep_the_yields():
    """Both parts of a sample stand for all of it, process by process."""
    sample, seen = processes(), []
    train(NET, sample, spy(seen, False), rng=1, epochs=1, batch_size=None, validation=0.3)
    assert [len(y) for y, _ in seen] == [175, 75]
    for y, w in seen:
        assert w[y == 1].sum() == pytest.approx(sample.n_signal, rel=1e-12)
        assert w[y == 0].sum() == pytest.approx(sample.n_background, rel=1e-12)


def numpy_cross_entropy(f: Any, y: Any, w: Any) -> tuple[float, Any]:
    """Return value and slope."""
    return float(w @ (np.logaddexp(0, f) - y * f)), w * (1 / (1 + np.exp(-f)) - y)


TWINS = {
    "sum": (BinaryCrossEntropy(), CustomLoss(numpy_cross_entropy)),
    "set": (LovaszZ(500.0), LovaszSet(lambda s, b: s / np.sqrt(500.0 + b))),
}


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("name", TWINS)
def test_a_loss_of_ones_own(name, compiled):
    """The same loss in numpy gives the same training, up to rounding."""
    built_in, own = TWINS[name]
    options = {"rng": 1, "epochs": 5, "optimiser": Adam(0.01), "validation": 0.2, "compiled": compiled}
    a, b = (train(DOUBLE, draw(), loss, **options) for loss in (built_in, own))
    assert_allclose(a.step_loss, b.step_loss, rtol=1e-9)
    assert_allclose(a.validation_loss, b.validation_loss, rtol=1e-9)
    assert_allclose(a.model.theta, b.model.theta, rtol=1e-6, atol=1e-9)


def test_classes():
    """Three classes are told apart, with one score each."""
    x, y, _ = draw(600, classes=3)
    network = Network(3, (8,), n_outputs=3)
    found = train(network, (x, y), CategoricalCrossEntropy(), rng=1, epochs=30, optimiser=Adam(0.02), validation=0.2)
    scores = found.model(x)
    assert scores.shape == (600, 3)
    assert (scores.argmax(axis=1) == y).mean() > 0.7  # the best rule has about 0.75


def test_parameters_of_a_hypothesis():
    """They are inputs like features, standardised with them; those of other events come last in their tuple."""
    x, y, w = draw()
    mass = np.random.default_rng(3).uniform(50, 150, (300, 1))
    network = Network(3, (5,), n_parameters=1)
    found = train(
        network, (x, y, w), BinaryCrossEntropy(), rng=1, epochs=3, parameters=mass, validation=(x, y, w, mass)
    )
    plain = train(Network(4, (5,)), (np.c_[x, mass], y, w), BinaryCrossEntropy(), rng=1, epochs=3)
    assert_array_equal(found.model.theta, plain.model.theta)
    assert found.model.scale[3] == pytest.approx(mass.std())
    value = BinaryCrossEntropy()(found.model(x, mass), y, w)[0] / w.sum()
    assert found.validation_loss[-1] == pytest.approx(value, rel=1e-6)


def test_many_trainings():
    """Training i has a stream of its own, for any number of threads; one that diverges is among them."""
    data, options = draw(), {"epochs": 3, "optimiser": SGD(0.1)}
    one, two = (train_many(NET, data, BinaryCrossEntropy(), n=3, rng=7, workers=k, **options) for k in (1, 2))
    for i, (a, b) in enumerate(zip(one, two, strict=True)):
        assert_same(a, b)
        assert_same(a, train(NET, data, BinaryCrossEntropy(), rng=toy_generator(stream_key(7), i), **options))
    assert not np.array_equal(one[0].model.theta, one[1].model.theta)
    wild = train_many(NET, data, SquaredError(), n=2, rng=7, epochs=3, optimiser=SGD(1e10))
    assert [training.diverged for training in wild] == [True, True]


def test_collapse_is_looked_for_among_the_training_events():
    """In the order and the standardisation of training, the surrogate is that of the model."""
    sample = processes()
    found = train(NET, sample, LovaszZ(1e4), rng=1, epochs=30, batch_size=None, optimiser=Adam(0.05))
    assert found.collapse is not None
    assert found.collapse.loss == pytest.approx(LovaszZ(1e4)(found.model(sample.x), sample.y, sample.w)[0], rel=1e-5)


def test_scores_in_training_are_those_of_the_model():
    """The loss before the last step is that of the network as numpy computes it."""
    x, y, w = draw()
    found = train(DOUBLE, (x, y, w), SquaredError(), rng=1, epochs=3, batch_size=None, optimiser=SGD(1e-30))
    inputs = (x - x.mean(axis=0)) / x.std(axis=0)
    f = naive.scores(DOUBLE.widths, DOUBLE.activations, found.model.theta, inputs)[:, 0]
    assert found.step_loss[-1] == pytest.approx(float(w @ (f - y) ** 2) / w.sum(), rel=1e-12)
    assert math.isclose(found.step_loss[0], found.step_loss[-1], rel_tol=1e-15)

"""Training where it is easily wrong: signed weights, schedules, unbounded losses, few events, extreme numbers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from hepstat.errors import InputError
from hepstat.kernels.activations import ACTIVATIONS, times_slope
from hepstat.learn import (
    SGD,
    Adam,
    BinaryCrossEntropy,
    CustomLoss,
    EpsSchedule,
    LinearRatio,
    LovaszZ,
    MaximumLikelihoodRatio,
    Model,
    Network,
    SoftZ,
    train,
)
from hepstat.selection import compare_losses

LINE = Network(1, (), dtype="float64")
RNG = np.random.default_rng(1)
X = np.r_[RNG.normal(0, 1, (2000, 1)), RNG.normal(1, 1, (2000, 1))]
Y = np.repeat([0.0, 1.0], 2000)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_validation_leaves_signed_weights_alone(share):
    """A class of negative weight keeps its size: the ratio of densities is -1/2."""
    x = np.r_[RNG.normal(size=(2000, 1)), RNG.normal(size=(2000, 1))]
    w = np.where(Y == 1, -1.0, 2.0)
    optimiser = Adam(rate=0.1)
    found = train(
        LINE, (x, Y, w), LinearRatio(), rng=1, epochs=100, batch_size=None, optimiser=optimiser, validation=share
    )
    assert found.model([[0.0]])[0] == pytest.approx(-0.5, abs=0.02)


def test_a_loss_may_fall_without_end():
    """The maximum-likelihood ratio is a sum, begins at 0, and has no lower limit: falling is not exploding."""
    x = np.r_[RNG.normal(0, 1, (2000, 1)), RNG.normal(3, 1, (2000, 1))]
    start = Model(LINE, np.zeros(2))
    w = np.full(Y.size, 100.0)
    found = train(start, (x, Y, w), MaximumLikelihoodRatio(), rng=1, epochs=5, optimiser=Adam(rate=0.01))
    assert found.status == "finished"
    assert found.step_loss[0] == 0
    assert found.step_loss[-1] < -1e4


@pytest.mark.parametrize("n_epochs", [5, 10, 20])
@pytest.mark.filterwarnings("ignore::hepstat.learn.CollapseWarning")
def test_validation_loss_is_at_the_final_eps(n_epochs):
    """However long the schedule is: losses of epochs compare, also with that of the loss called."""
    loss, w = LovaszZ(EpsSchedule(1000.0, 10.0, n_epochs)), np.where(Y == 1, 0.01, 0.1)
    found = train(LINE, (X, Y, w), loss, rng=1, epochs=10, batch_size=500, validation=(X, Y, w))
    assert found.validation_loss[-1] == pytest.approx(loss(found.model(X), Y, w)[0], rel=1e-9)


@pytest.mark.filterwarnings("ignore::hepstat.learn.CollapseWarning")
def test_patience_waits_for_the_schedule():
    """Epochs in which eps still falls are not counted; a schedule that never ends leaves nothing to wait for."""
    w = np.where(Y == 1, 0.01, 0.1)
    options = {"rng": 1, "batch_size": 500, "validation": 0.3, "patience": 3, "optimiser": Adam(rate=0.05)}
    found = train(LINE, (X, Y, w), LovaszZ(EpsSchedule(1e5, 100.0, 20)), epochs=60, **options)
    assert found.best_epoch >= 20
    assert len(found.train_loss) >= 24
    with pytest.raises(InputError, match="patience"):
        train(LINE, (X, Y, w), LovaszZ(EpsSchedule(1e5, 100.0, 20)), epochs=20, **options)


@pytest.mark.parametrize("counts", [(50, 50), (7, 7, 3), (1, 99), (2, 3, 4, 5)])
def test_no_batch_is_empty(counts):
    """Small strata are dealt one after the other: sizes of batches differ by one at most."""
    sizes = []

    def loss(scores, y, weights):
        sizes.append(len(y))
        return 0.0, np.zeros_like(scores)

    n = sum(counts)
    for batch_size in (1, 3, n):
        sizes.clear()
        y = np.repeat(np.arange(len(counts)) % 2, counts).astype(float)
        train(LINE, (np.ones((n, 1)), y), CustomLoss(loss), rng=1, epochs=1, batch_size=batch_size, stratified=True)
        assert sum(sizes) == n
        assert max(sizes) <= batch_size
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.kernels
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_slope_of_softplus_far_below_zero(dtype):
    """It is sigmoid(z), and keeps its digits where that is tiny."""
    z = np.array([-80.0, -40.0, -20.0, -10.0, 0.0, 5.0])
    slope = np.ones(z.size, dtype)
    times_slope(ACTIVATIONS.index("softplus"), 1.0, np.log1p(np.exp(z)).astype(dtype), slope)
    assert_allclose(slope, 1 / (1 + np.exp(-z)), rtol=1e-6 if dtype == np.float32 else 1e-14)


def test_extreme_features():
    """A constant is only shifted, whatever its size; what cannot be standardised is named."""
    x = np.c_[X[:, 0], np.full(Y.size, 1e20)]
    found = train(Network(2, ()), (x, Y), BinaryCrossEntropy(), rng=1, epochs=2)
    assert np.abs(found.model.inputs(x)[:, 1]).max() == 0
    with pytest.raises(InputError, match="x: is too large to be standardised"):
        train(LINE, (1e200 * X, Y), BinaryCrossEntropy(), rng=1)


def test_a_class_without_weight():
    """Labels of events without weight do not count."""
    with pytest.raises(InputError, match="for all events with a weight"):
        train(LINE, (X, Y, Y), BinaryCrossEntropy(), rng=1)


@pytest.mark.filterwarnings("ignore::hepstat.learn.CollapseWarning")
def test_what_has_failed_is_not_recommended():
    """Not even if all others have collapsed."""
    from hepstat.learn import Process, mix

    sample = mix([Process("s", X[2000:], 0.1, signal=True), Process("b", X[:2000], 1.0)], 100.0)
    losses = {
        "bad": (BinaryCrossEntropy(), {"epochs": 3, "optimiser": SGD(rate=1e12)}),
        "collapsed": (LovaszZ(0.01), {"epochs": 5, "batch_size": 512}),
    }
    found = compare_losses(LINE, sample, rng=1, losses=losses, n=2, min_background=0.5)
    assert found.recommended == "collapsed"
    losses["good"] = (SoftZ(1.0), {"epochs": 5, "batch_size": 512})
    assert compare_losses(LINE, sample, rng=1, losses=losses, n=2, min_background=0.5).ranking[0] == "good"

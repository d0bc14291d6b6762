"""Batches: how events are dealt, and the gradient of every loss through every kind of network."""

import itertools
from typing import Any

import naive_losses
import naive_network as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chi2

from hepstat.kernels.activations import ACTIVATIONS
from hepstat.kernels.batch import CHUNK, UNIT, Events, arrange, batch_value
from hepstat.kernels.philox import STATE_SIZE
from hepstat.learn.gradient import BatchGradient
from hepstat.learn.losses import (
    AsimovZ,
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
    LinearRatio,
    Loss,
    LovaszSet,
    LovaszZ,
    MaximumLikelihoodRatio,
    SignedCategoricalCrossEntropy,
    SignedCrossEntropy,
    SoftZ,
    SquaredError,
)
from hepstat.learn.network import Network

KEY = np.array([7, 8], dtype=np.uint64)
LOSSES: dict[str, Loss] = {
    "cross-entropy": BinaryCrossEntropy(),
    "classes": CategoricalCrossEntropy(),
    "squared error": SquaredError(),
    "Brier": Brier(),
    "hinge": Hinge(),
    "focal": Focal(),
    "focal, balanced": Focal(1.3, 0.2),
    "exponential": Exponential(),
    "linear ratio": LinearRatio(),
    "likelihood ratio": MaximumLikelihoodRatio(),
    "signed": SignedCrossEntropy(),
    "signed classes": SignedCategoricalCrossEntropy(),
    "complementary label": ComplementaryLabel(),
    "candidate labels": CandidateLabels(),
    "Brier of classes": CategoricalBrier(),
    "Lovász, hinge": LovaszZ(0.7, "hinge"),
    "Lovász, sigmoid": LovaszZ(0.7, "sigmoid"),
    "Lovász, cross-entropy": LovaszZ(0.7, "cross-entropy"),
    "Lovász, focal": LovaszZ(0.7, "focal"),
    "Lovász of a function": LovaszSet(lambda s, b: s / (1 + b), "sigmoid"),
    "soft": SoftZ(0.7),
    "Asimov": AsimovZ(0.7),
    "Asimov with uncertainty": AsimovZ(0.7, 0.3),
    "custom": CustomLoss(lambda f, y, w: (float(w @ (f - y) ** 4), 4 * w * (f - y) ** 3)),
}
SHAPES = {"linear": (), "one": (4,), "two": (4, 3)}
KINDS = [("linear", "identity"), *((shape, name) for shape in ("one", "two") for name in ACTIVATIONS)]
STEP = 1e-4  # of central differences


def draw(network: Network, loss: Loss, n: int, seed: int) -> tuple[Any, Events]:
    """Return parameters and events, labels and weights as the loss takes them."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(scale=0.7, size=network.n_weights).astype(network.dtype)
    x = rng.normal(size=(n, network.n_features)).astype(network.dtype)
    y = np.arange(n) % 3.0 if loss.labels == "classes" else np.arange(n) % 2.0
    w = rng.uniform(0.5, 2.0, n)
    return theta, Events(x, y, np.where(np.arange(n) % 4 == 1, -w, w) if loss.signed_weights else w)


def room(network: Network, loss: Loss, theta: Any, events: Events) -> float:
    """Return how far theta is from kinks of the network and of the loss, as sums or as errors."""
    nearest = naive.nearest_kink(network.widths, network.activations, theta, events.x)
    f = naive.scores(network.widths, network.activations, theta, events.x)[:, 0]
    if isinstance(loss, Hinge) or getattr(loss, "error", "") == "hinge":
        nearest = min(nearest, float(np.abs(1 - (2 * events.y - 1) * f).min()))
    if isinstance(loss, LovaszZ | LovaszSet):
        m = np.unique(naive_losses.errors(loss.error, f, events.y, loss.gamma))
        nearest = min(nearest, float(np.diff(m).min()))
    return nearest


def smooth_point(network: Network, loss: Loss, n: int) -> tuple[Any, Events]:
    """Return the first draw whose kinks are all out of reach."""
    for seed in range(100):
        theta, events = draw(network, loss, n, seed)
        if room(network, loss, theta, events) > 20 * STEP:
            return theta, events
    raise AssertionError("no such point")


def whole(n: int, factor: float = 1.5) -> tuple[Any, Any]:
    """Return all events in a shuffled order, with their factors."""
    return np.random.default_rng(5).permutation(n), np.full(n, factor)


def gradient_of(network: Network, loss: Loss, theta: Any, events: Events, workers: int = 1) -> tuple[float, Any]:
    """Return value and gradient of a batch of all events."""
    gradient, n = np.full_like(theta, np.nan), len(events.y)
    order, factors = whole(n)
    batch = BatchGradient(network, events, loss, n, workers)
    value, most = batch(theta, order, factors, loss.constants()[0], KEY, 3, gradient)
    loss.raise_error()
    assert most >= 0
    return value, gradient


def value_of(network: Network, loss: Loss, theta: Any, events: Events) -> float:
    """Return the loss of the scores of numpy."""
    f = naive.scores(network.widths, network.activations, theta, events.x)
    return loss(f if network.n_outputs > 1 else f[:, 0], events.y, 1.5 * events.w)[0]


@pytest.mark.parametrize(("shape", "activation"), KINDS)
@pytest.mark.parametrize("name", LOSSES)
def test_gradients(name, shape, activation):
    """Central differences of the loss of all events; single precision comes close."""
    loss = LOSSES[name]
    k = 3 if loss.labels == "classes" else 1
    network = Network(3, SHAPES[shape], activation, k, dtype="float64")
    theta, events = smooth_point(network, loss, 8)
    value, gradient = gradient_of(network, loss, theta, events)
    assert value == pytest.approx(value_of(network, loss, theta, events), rel=1e-12)
    wanted = naive.central_differences(lambda t: value_of(network, loss, t, events), theta, STEP)
    assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-8 * np.abs(wanted).max())
    single = Network(3, SHAPES[shape], activation, k)
    theta4, events4 = theta.astype(np.float32), events._replace(x=events.x.astype(np.float32))
    value4, gradient4 = gradient_of(single, loss, theta4, events4)
    assert gradient4.dtype == np.float32
    assert value4 == pytest.approx(value, rel=1e-5, abs=1e-5)
    assert_allclose(gradient4, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


@pytest.mark.parametrize("n", [CHUNK, CHUNK + 1, UNIT + CHUNK + 5])
@pytest.mark.parametrize("name", ["cross-entropy", "soft", "Lovász, hinge", "classes"])
def test_batches_of_many_chunks_and_units(name, n):
    """Slopes of all events at once, pulled back by numpy, for one thread and, to the bit, for two."""
    loss = LOSSES[name]
    network = Network(2, (5,), "tanh", 3 if loss.labels == "classes" else 1, dtype="float64")
    theta, events = draw(network, loss, n, 1)
    value, gradient = gradient_of(network, loss, theta, events)
    f = naive.scores(network.widths, network.activations, theta, events.x)
    expected, slopes = loss(f if network.n_outputs > 1 else f[:, 0], events.y, 1.5 * events.w)
    assert value == pytest.approx(expected, rel=1e-12)
    wanted = naive.pulled(network.widths, network.activations, theta, events.x, slopes.reshape(f.shape))
    assert_allclose(gradient, wanted, rtol=1e-9, atol=1e-10 * np.abs(wanted).max())
    shared = gradient_of(network, loss, theta, events, workers=2)
    assert shared[0] == value
    assert_array_equal(shared[1], gradient)
    batch, (order, factors) = BatchGradient(network, events, loss, n), whole(n)
    plain = batch_value(
        network.net, theta, events, order, factors, loss.address, loss.constants()[0], loss.additive, batch.work, KEY
    )
    assert plain == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["cross-entropy", "soft"])
@pytest.mark.parametrize("n", [40, CHUNK + 40])
def test_gradients_with_dropout(name, n):
    """With the stream of one step the loss is a smooth function, whose slope the gradient is; other steps differ."""
    loss, network = LOSSES[name], Network(2, (4, 3), "tanh", dropout=(0.3, 0.4), dtype="float64")
    theta, events = draw(network, loss, n, 2)
    batch, (order, factors), gradient = BatchGradient(network, events, loss, n), whole(n), np.zeros_like(theta)

    def value(t: Any, step: int = 3) -> float:
        return batch(t, order, factors, loss.constants()[0], KEY, step, gradient)[0]

    wanted = naive.central_differences(value, theta, STEP)
    value(theta)
    assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-8 * np.abs(wanted).max())
    assert value(theta) == value(theta) != value(theta, 4)
    assert value(theta) != pytest.approx(value_of(network, loss, theta, events), rel=1e-9)


def test_dropout_is_right_on_average():
    """A linear network with dropout of its hidden units has the mean scores of that without."""
    network = Network(2, (6,), "identity", dropout=0.4, dtype="float64")
    theta, events = draw(network, SquaredError(), 50, 3)
    loss = CustomLoss(lambda f, y, w: (float(f.sum()), np.ones_like(f)))
    batch, gradient = BatchGradient(network, events, loss, 50), np.zeros_like(theta)
    order, factors = whole(50)
    steps = np.array([batch(theta, order, factors, loss.constants()[0], KEY, i, gradient)[0] for i in range(400)])
    wanted = naive.scores(network.widths, network.activations, theta, events.x).sum()
    assert abs(steps.mean() - wanted) < 4 * steps.std() / np.sqrt(steps.size)


def deal(sizes: list[int], n_batches: int, balanced: bool, epoch: int, state: Any = None) -> tuple[Any, Any, Any]:
    """Return order, factors and the beginnings of batches."""
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    order, shuffled, batches = (np.full(size, -1) for size in (starts[-1], starts[-1], n_batches + 1))
    factors = np.full(starts[-1], np.nan)
    state = np.zeros(STATE_SIZE, dtype=np.uint64) if state is None else state
    arrange(starts, balanced, KEY, epoch, state, shuffled, order, factors, batches)
    return order, factors, batches


@pytest.mark.kernels
@settings(deadline=None, max_examples=60)  # the first example compiles
@given(st.lists(st.integers(1, 30), min_size=1, max_size=4), st.integers(1, 12), st.booleans(), st.integers(0, 99))
def test_deals(sizes, n_batches, balanced, epoch):
    """Each event once, each stratum evenly, and factors that make a batch stand for all."""
    n_batches = min(n_batches, sum(sizes))
    order, factors, batches = deal(sizes, n_batches, balanced, epoch)
    assert_array_equal(np.sort(order), np.arange(sum(sizes)))
    assert (batches[0], batches[-1]) == (0, sum(sizes))
    stratum = np.repeat(np.arange(len(sizes)), sizes)[order]
    dealt = [np.bincount(stratum[low:high], minlength=len(sizes)) for low, high in itertools.pairwise(batches)]
    assert (np.ptp(dealt, axis=0) <= 1).all()
    for b, counts in enumerate(dealt):
        at = slice(batches[b], batches[b + 1])
        wanted = (np.array(sizes) / np.maximum(counts, 1))[stratum[at]] if balanced else n_batches
        assert_allclose(factors[at], wanted, rtol=1e-15)
        if balanced:
            yields = np.bincount(stratum[at], factors[at], len(sizes))
            assert_allclose(yields[counts > 0], np.array(sizes)[counts > 0], rtol=1e-12)


@pytest.mark.kernels
def test_deals_of_an_epoch_do_not_depend_on_those_before():
    """An epoch is a stream of its own, whatever the state has done; one batch is in the order of memory."""
    state = np.zeros(STATE_SIZE, dtype=np.uint64)
    path = [deal([20, 7], 4, True, epoch, state)[0] for epoch in range(4)]
    assert_array_equal(deal([20, 7], 4, True, 3)[0], path[3])
    assert not np.array_equal(path[2], path[3])
    assert_array_equal(deal([20, 7], 1, True, 3)[0], np.arange(27))


@pytest.mark.kernels
def test_deals_are_fair():
    """Over 400 epochs every event is in every batch equally often, by a chi-square test (p > 0.001)."""
    sizes, n_batches, epochs = [12, 4], 4, 400
    counts = np.zeros((16, n_batches))
    for epoch in range(epochs):
        order, _, batches = deal(sizes, n_batches, False, epoch)
        counts[order, np.repeat(np.arange(n_batches), np.diff(batches))] += 1
    expected = epochs / n_batches
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic < chi2.isf(0.001, (12 - 1) * 3 + (4 - 1) * 3)

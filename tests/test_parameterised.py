"""Parameterised networks: parameters alone separate nothing, and values between those of training are interpolated."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from hepstat.errors import InputError
from hepstat.learn import BinaryCrossEntropy, Model, Network, Process, mix
from hepstat.learn.parameterised import with_parameters
from hepstat.learn.quasi_newton import minimise

MASSES = np.array([-1.5, -0.75, 0.75, 1.5])


def draw(n: int = 4000, masses: Any = MASSES, seed: int = 1) -> tuple[Any, Any, Any]:
    """Return events, labels and the mass of each signal event: a Gaussian there, on a flat background."""
    rng = np.random.default_rng(seed)
    theta = rng.choice(masses, n // 2)
    x = np.concatenate([rng.normal(theta, 0.4), rng.uniform(-3, 3, n - n // 2)])[:, None]
    y = np.repeat([1.0, 0.0], [n // 2, n - n // 2])
    mixed = rng.permutation(n)
    return x[mixed], y[mixed], theta[mixed[mixed < n // 2]]


def auc(scores: Any, y: Any) -> float:
    """Return the share of pairs of signal and background in the right order."""
    rank = np.empty(len(y))
    rank[np.argsort(scores)] = np.arange(1, len(y) + 1)
    n_signal = y.sum()
    return float((rank[y == 1].sum() - n_signal * (n_signal + 1) / 2) / (n_signal * (len(y) - n_signal)))


def test_signal_keeps_its_own_and_data_stay():
    """Rows of the signal in order, the data unchanged and copied."""
    x, y, masses = draw(200)
    (x_out, y_out, w_out), theta = with_parameters((x, y), masses, rng=1)
    assert theta.shape == (200, 1)
    assert_array_equal(theta[y == 1, 0], masses)
    assert_array_equal(x_out, x)
    assert_array_equal(y_out, y)
    assert_array_equal(w_out, np.ones(200))
    assert not np.shares_memory(x_out, x)


def test_the_same_distribution_in_both_classes():
    """Shares of each value agree to within one event, weighted by the signal, and rows are drawn whole."""
    x, y, masses = draw(3001)
    w = np.where(y == 1, np.random.default_rng(2).uniform(0, 2, y.size), 1.0)
    pairs = np.column_stack([masses, masses**2])
    _, theta = with_parameters((x, y, w), pairs, rng=1)
    assert_array_equal(theta[:, 1], theta[:, 0] ** 2)
    n_background = (y == 0).sum()
    for mass in MASSES:
        share = w[y == 1][masses == mass].sum() / w[y == 1].sum()
        drawn = (theta[y == 0, 0] == mass).mean()
        assert drawn == pytest.approx(share, abs=0.5 * np.sqrt(share / n_background))


def test_each_is_drawn_as_often_as_its_share_says():
    """To within one event."""
    x, y, masses = draw(1000)
    w = np.ones(1000)
    w[np.flatnonzero(y == 1)[4]] = 300.5
    marked = np.where(np.arange(500) == 4, 9.0, masses)
    _, theta = with_parameters((x, y, w), marked, rng=1)
    assert abs((theta[y == 0, 0] == 9.0).sum() - 500 * 300.5 / 799.5) < 1


def test_parameters_know_nothing_of_the_features_of_background():
    """No correlation with background features, in whatever order these come."""
    x, y, masses = draw(4000)
    order = np.argsort(x[:, 0], kind="stable")
    _, theta = with_parameters((x[order], y[order]), np.sort(masses), rng=1)
    background = y[order] == 0
    assert abs(np.corrcoef(theta[background, 0], x[order][background, 0])[0, 1]) < 4 / np.sqrt(background.sum())


def test_seeds_and_zero_weights():
    """The same seed gives the same draws, another others; signal without weight gives its parameters to nobody."""
    x, y, masses = draw(300)
    first, same, other = (with_parameters((x, y), masses, rng=seed)[1] for seed in (1, 1, 2))
    assert_array_equal(first, same)
    assert (first[y == 0] != other[y == 0]).any()
    for unwanted in MASSES:
        w = np.ones(300)
        w[y == 1] = masses != unwanted
        assert (with_parameters((x, y, w), masses, rng=1)[1][y == 0] != unwanted).all()


def test_samples():
    """Events of processes, with the weights of the sample."""
    x, y, masses = draw(300)
    order = np.argsort(-y, kind="stable")
    sample = mix([Process("s", x[y == 1], 0.1, True), Process("b", x[y == 0], 3.0)], 2.0)
    data, theta = with_parameters(sample, masses, rng=1)
    for ours, field in zip(data, ("x", "y", "w"), strict=True):
        assert_array_equal(ours, getattr(sample, field))
    assert_array_equal(theta, with_parameters((x[order], y[order]), masses, rng=1)[1])


def learned(network: Network, data: Any, theta: Any = None) -> Model:
    """Return the model of the least cross-entropy, about."""
    return minimise(network, data, BinaryCrossEntropy(), rng=1, parameters=theta, l2=1e-4, max_steps=150).model


def test_interpolates_to_a_value_it_was_not_trained_on():
    """Between the values of training it is nearly as good as a network for one alone; a wrong parameter is not."""
    x, y, masses = draw(8_000)
    data, theta = with_parameters((x, y), masses, rng=1)
    together = learned(Network(1, (16, 16), "tanh", dtype="float64", n_parameters=1), data, theta)
    for mass in (0.0, 1.2):
        x_alone, y_alone, _ = draw(8_000, masses=[mass], seed=2)
        alone = learned(Network(1, (16, 16), "tanh", dtype="float64"), (x_alone, y_alone))
        x_test, y_test, _ = draw(20_000, masses=[mass], seed=3)
        best = auc(alone.scores(x_test), y_test)
        assert best > 0.85
        assert auc(together.scores(x_test, [mass]), y_test) > best - 0.005
        assert auc(together.scores(x_test, [mass + 1.0]), y_test) < best - 0.05


def test_parameters_alone_separate_nothing():
    """Without the features a network finds that both classes have the same parameters."""
    x, y, masses = draw(8_000)
    (_, y, w), theta = with_parameters((x, y), masses, rng=1)
    model = learned(Network(1, (8,), "tanh", dtype="float64", n_parameters=1), (0 * x, y, w), theta)
    assert_allclose(model.scores(0 * x, theta), 0.0, atol=0.01)


@pytest.mark.parametrize(
    ("change", "argument"),
    [
        ({"data": 3}, "data"),
        ({"data": (np.ones((2, 1)),)}, "data"),
        ({"data": (np.ones((2, 1)), [0.0, 1.0, 1.0])}, "y"),
        ({"data": (np.ones((2, 1)), [0.0, 2.0])}, "y"),
        ({"data": (np.ones((2, 1)), [1.0, 1.0])}, "y"),
        ({"data": (np.ones((2, 1)), [0.0, 0.0])}, "y"),
        ({"data": (np.ones((2, 1)), [0.0, 1.0], [1.0])}, "weights"),
        ({"data": (np.ones((2, 1)), [0.0, 1.0], [1.0, -1.0])}, "weights"),
        ({"data": (np.ones((2, 1)), [0.0, 1.0], [1.0, 0.0])}, "weights"),
        ({"data": (np.full((2, 1), np.nan), [0.0, 1.0])}, "x"),
        ({"parameters": [np.inf]}, "parameters"),
        ({"parameters": [1.0, 2.0]}, "parameters"),
        ({"parameters": np.ones((1, 1, 1))}, "parameters"),
        ({"rng": None}, "rng"),
    ],
)
def test_bad_input(change: dict[str, Any], argument: str):
    """The error names the argument."""
    options: dict[str, Any] = {"data": (np.ones((2, 1)), [0.0, 1.0]), "parameters": [1.0], "rng": 1, **change}
    with pytest.raises(InputError) as caught:
        with_parameters(**options)
    assert caught.value.argument == argument

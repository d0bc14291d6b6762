"""Parameterised ratios: exact in categories, right odds at every value, and a Gaussian of unknown width."""

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import norm

from hepstat.errors import InputError
from hepstat.learn import Adam, BinaryCrossEntropy, CategoricalCrossEntropy, Cosine, LinearRatio, Network, minimise
from hepstat.ratio import ParameterisedRatio, Ratio, calibrate, learn_parameterised_ratio
from hepstat.ratio.parameterised import _balanced, _groups

ANALYTIC = ParameterisedRatio(lambda x, theta: norm.logpdf(x[:, 0], 0.0, theta[..., 0]), "log ratio")
X = np.linspace(-0.3, 0.3, 13)[:, None]


def draw(widths: Any, counts: Any, n_background: int, seed: int = 1) -> tuple[Any, Any, Any]:
    """Return signal events normal(0, theta), their theta, and uniform background in [-1/2, 1/2)."""
    rng = np.random.default_rng(seed)
    theta = np.repeat(widths, counts)
    return rng.normal(0.0, theta)[:, None], theta, rng.uniform(-0.5, 0.5, (n_background, 1))


def test_values_and_tables():
    """At one value, at one for each event, as a ratio of its own, and at several."""
    assert_allclose(ANALYTIC(X, 0.1), norm.pdf(X[:, 0], 0, 0.1))
    each = np.linspace(0.05, 0.2, len(X))[:, None]
    assert_allclose(ANALYTIC.log(X, each), norm.logpdf(X[:, 0], 0, each[:, 0]))
    fixed = ANALYTIC.at(0.1)
    assert isinstance(fixed, Ratio)
    assert_allclose(fixed.log(X), ANALYTIC.log(X, [0.1]))
    table = ANALYTIC.log_table(X, [0.05, 0.1, 0.2])
    assert table.shape == (len(X), 3)
    for k, theta in enumerate((0.05, 0.1, 0.2)):
        assert_array_equal(table[:, k], ANALYTIC.log(X, theta))
    assert_array_equal(ANALYTIC.log_table(X, [[0.05], [0.1], [0.2]]), table)


def test_two_outputs():
    """The ratio is by the difference of the scores of a model with one for each class."""
    network = Network(1, (), n_outputs=2, n_parameters=1, dtype="float64")
    options: dict[str, Any] = {"rng": 1, "loss": CategoricalCrossEntropy(), "epochs": 1}
    family = learn_parameterised_ratio(*draw([0.1, 0.2], [50, 50], 300), network=network, **options)
    scores = family.score.model(X, [0.1])
    assert_allclose(family.log(X, 0.1), scores[:, 1] - scores[:, 0] - np.log(family.odds))


def test_one_value_can_be_calibrated():
    """As any other ratio."""
    signal, _, background = draw([0.1], [5000], 5000)
    ratio = calibrate(ANALYTIC.at(0.1), signal, background, method="kde")
    x = np.array([[0.0], [0.1]])
    assert_allclose(ratio(x), ANALYTIC(x, 0.1), rtol=0.15)


@pytest.mark.parametrize(("loss", "weighted"), [(BinaryCrossEntropy(), False), (LinearRatio(), True)])
def test_exact_in_categories(loss: Any, weighted: bool):
    """Ten times as many signal events at one value of theta as at the other: each has its own ratio, undistorted."""
    p_b, p_s = np.array([0.5, 0.3, 0.2]), {0.0: np.array([0.1, 0.2, 0.7]), 1.0: np.array([0.6, 0.3, 0.1])}
    counts = {0.0: 1000, 1.0: 100}
    signal, theta, background, theta_b = [], [], [], []
    for value, n in counts.items():
        signal.append(np.repeat(np.eye(3), np.rint(p_s[value] * n).astype(int), axis=0))
        theta.append(np.full(n, value))
        background.append(np.repeat(np.eye(3), np.rint(p_b * 2 * n).astype(int), axis=0))
        theta_b.append(np.full(2 * n, value))
    x = np.concatenate([*signal, *background])
    y = np.repeat([1.0, 0.0], [1100, 2200])
    w = np.where(y == 1, 0.25, 1.5) if weighted else np.ones(3300)
    network = Network(3, (8,), "tanh", dtype="float64", n_parameters=1)
    parameters = np.concatenate([*theta, *theta_b])[:, None]
    model = minimise(network, (x, y, w), loss, rng=1, parameters=parameters, max_steps=2000).model
    ratio = ParameterisedRatio(model, loss, w[y == 1].sum() / w[y == 0].sum())
    for value, p in p_s.items():
        assert_allclose(ratio(np.eye(3), value), p / p_b, rtol=2e-3)


def test_sums_of_weights_at_each_value():
    """Scaled to the same odds at all, where background has weights that vary a lot; not where values are many."""
    rng = np.random.default_rng(2)
    y = np.repeat([1.0, 0.0], [1100, 2000])
    theta = np.concatenate([np.repeat([1.0, 2.0], [1000, 100]), rng.choice([1.0, 2.0], 2000, p=[0.9, 0.1])])[:, None]
    w = rng.exponential(1.0, 3100)
    odds = w[y == 1].sum() / w[y == 0].sum()
    new = _balanced(y, w, _groups(theta, y), odds)
    for value in (1.0, 2.0):
        here = theta[:, 0] == value
        assert new[here & (y == 1)].sum() / new[here & (y == 0)].sum() == pytest.approx(odds)
    assert_array_equal(new[y == 1], w[y == 1])
    many = rng.random((3100, 1))
    assert_allclose(_balanced(y, w, _groups(many, y), odds), w)


@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_gaussian_of_unknown_width(validation: float):
    """Near the truth at and between the values of training, normalised at each though their events differ tenfold."""
    widths, counts = [0.06, 0.1, 0.16], [12_000, 1_200, 6_000]
    signal, theta, background = draw(widths, counts, 30_000)
    w = np.random.default_rng(3).choice([0.5, 1.5], 30_000)
    ratio = learn_parameterised_ratio(
        signal,
        theta,
        background,
        network=Network(1, (16, 16), "tanh", dtype="float64", n_parameters=1),
        rng=1,
        background_weights=w,
        validation=validation,
        epochs=25,
        batch_size=500,
        optimiser=Adam(0.01, schedule=Cosine()),
    )
    assert ratio.odds == pytest.approx(sum(counts) / w.sum())
    grid = np.linspace(-0.5, 0.5, 1001)[:, None]
    for width in (*widths, 0.08):
        assert ratio(grid, width).mean() == pytest.approx(1.0, abs=0.08)
        near = np.abs(grid[:, 0]) < 1.5 * width
        off = ratio(grid[near], width).mean() / norm.pdf(grid[near, 0], 0, width).mean() - 1.0
        assert abs(off) < (0.1 if width in widths else 0.15)
    assert ratio.score.validation_loss.size == (25 if validation else 0)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"score": 3}, "score"),
        ({"link": "sigmoid"}, "link"),
        ({"odds": -1.0}, "odds"),
        ({"clip": (1.0, 1.0)}, "clip"),
    ],
)
def test_bad_input(options: dict[str, Any], argument: str):
    """The error names the argument."""
    with pytest.raises(InputError) as caught:
        ParameterisedRatio(**{"score": ANALYTIC, **options})
    assert caught.value.argument == argument
    with pytest.raises(InputError, match="knots"):
        ANALYTIC.log_table(X, [])
    with pytest.raises(InputError, match="theta"):
        ANALYTIC.at(np.nan)


def test_bad_training():
    """Parameters for each signal event, a network that takes them, weights of at least zero."""
    signal, theta, background = draw([0.1, 0.2], [20, 20], 40)
    options: dict[str, Any] = {"network": Network(1, (), dtype="float64", n_parameters=1), "rng": 1}
    with pytest.raises(InputError, match="parameters: have 39"):
        learn_parameterised_ratio(signal, theta[1:], background, **options)
    with pytest.raises(InputError, match="parameters"):
        learn_parameterised_ratio(signal, theta, background, **{**options, "network": Network(1, (), dtype="float64")})
    with pytest.raises(InputError, match="negative"):
        learn_parameterised_ratio(signal, theta, background, signal_weights=[-1.0, *np.ones(39)], **options)

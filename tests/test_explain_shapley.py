"""Shapley values against their definition, closed forms and axioms; kernel SHAP and every error against repetition."""

import itertools
import math
from typing import Any

import naive_network
import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit

from hepstat.errors import InputError
from hepstat.explain import ShapleyValues, shapley_values
from hepstat.explain.coalitions import exact_design, sampled_design
from hepstat.explain.predictor import predictor
from hepstat.kernels import shapley as kernels
from hepstat.kernels.shapley import Coalitions
from hepstat.learn import Model, Network


def events(n: int, d: int, seed: int = 1) -> Any:
    """Return features (n, d)."""
    return np.random.default_rng(seed).normal(size=(n, d))


def new_model(d: int, hidden: tuple[int, ...] = (8,), dtype: Any = "float32", activation: str = "tanh") -> Model:
    """Return a network with a standardisation and biases of its own."""
    network = Network(d, hidden, activation, dtype=dtype)
    rng = np.random.default_rng(d)
    return Model(network, rng.normal(size=network.n_weights) / 2, rng.normal(size=d), rng.uniform(0.5, 2.0, d))


def by_orders(f: Any, x: Any, background: Any, weights: Any) -> Any:
    """Return the values of one event by adding features in every order."""
    d = x.size
    values = np.zeros(d)
    for order in itertools.permutations(range(d)):
        mixed = background.copy()
        before = weights @ f(mixed)
        for k in order:
            mixed[:, k] = x[k]
            after = weights @ f(mixed)
            values[k] += (after - before) / math.factorial(d)
            before = after
    return values


def curved(x: Any) -> Any:
    """Return a function of any number of features with products of up to three of them."""
    return x[:, 0] * x[:, 1] + np.sin(x[:, 2]) * x[:, -1] + 0.5 * x[:, 0] * x[:, 1] * x[:, -1] + np.tanh(x).sum(axis=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("output", ["score", "probability"])
def test_definition(dtype, output):
    """Values are means over all orders of three features, with a weighted background, for networks and functions."""
    model, x, background = new_model(3, dtype=dtype), events(40, 3), events(7, 3, 2)
    weights = np.array([1.0, 2.0, 0.5, 3.0, -0.5, 1.0, 1.0])

    def f(z: Any) -> Any:
        return expit(model(z)) if output == "probability" else model(z)

    wanted = np.array([by_orders(f, row, background, weights / weights.sum()) for row in x])
    for explained in (model, model.scores):
        found = shapley_values(explained, x, background, background_weights=weights, output=output)
        assert_allclose(found.values, wanted, rtol=1e-10, atol=1e-12)
        assert found.method == "exact"
        assert found.n_coalitions == 8
        assert_allclose(found.predictions, f(x), rtol=1e-14)
        assert_allclose(found.base_value, np.average(f(background), weights=weights), rtol=1e-14)


@pytest.mark.parametrize(("d", "method"), [(1, "exact"), (1, "kernel"), (2, "kernel"), (9, "exact"), (14, "kernel")])
def test_efficiency(d, method):
    """Values of an event add up to its prediction minus the base value, up to rounding."""
    found = shapley_values(new_model(d, (32, 32)), events(20, d), events(33, d, 2), method=method, samples=80, rng=1)
    assert_allclose(found.values.sum(axis=1), found.predictions - found.base_value, atol=1e-13)


@pytest.mark.parametrize("method", ["exact", "kernel"])
def test_linear(method):
    """Of a line, the value is the slope times the distance from the mean of the background, with a known error."""
    d = 13 if method == "kernel" else 6
    model, x, background = new_model(d, (), "float64"), events(30, d), events(25, d, 2)
    found = shapley_values(model, x, background, method=method, samples=100, rng=1)
    assert_allclose(found.values, model.slopes * (x - background.mean(axis=0)), atol=1e-12)
    wanted = np.abs(model.slopes) * background.std(axis=0, ddof=1) / 5.0
    assert_allclose(found.background_errors, np.tile(wanted, (30, 1)), rtol=1e-9)
    assert_allclose(found.errors, 0.0, atol=1e-12)
    assert_allclose(found.base_error, model(background).std(ddof=1) / 5.0)


def test_dummy_and_symmetry():
    """A feature without influence gets nothing; features that are exchangeable get the same."""
    x, background = events(10, 5), events(20, 5, 2)
    x[:, 1], background[:, 1] = x[:, 0], background[:, 0]
    for options in ({}, {"method": "kernel", "samples": 30, "rng": 1}):
        found = shapley_values(lambda z: z[:, 0] * z[:, 1] + np.exp(z[:, 2] * z[:, 3]), x, background, **options)
        assert_allclose(found.values[:, 4], 0.0, atol=1e-12)
        assert_allclose(found.values[:, 0], found.values[:, 1], atol=1e-12)
    assert np.abs(found.values[:, :4]).min() > 1e-6


@pytest.mark.parametrize("d", [2, 3, 6, 7])
def test_kernel_with_all_coalitions(d):
    """Least squares over all coalitions give the exact values, without error."""
    x, background, slopes = events(12, d), events(15, d, 2), np.linspace(-1.0, 1.0, d + 1)[:d]
    exact, least = (
        shapley_values(lambda z: np.exp(z @ slopes), x, background, method=method, samples=1000, rng=1)
        for method in ("exact", "kernel")
    )
    assert_allclose(least.values, exact.values, atol=1e-12)
    assert least.n_coalitions == 2**d
    assert not least.errors.any()
    assert_allclose(least.background_errors, exact.background_errors, atol=1e-12)


def test_errors_of_drawn_coalitions():
    """Over 300 seeds, kernel SHAP is unbiased and its errors are those of the spread.

    The mean squared pull of a value is 1 within .3, nearly four standard errors for 300 normal pulls; the means of
    pulls are zero within four.
    """
    x, background = events(2, 9), events(4, 9, 2)
    exact = shapley_values(curved, x, background)
    pulls = []
    for seed in range(300):
        found = shapley_values(curved, x, background, method="kernel", samples=120, rng=seed)
        pulls.append((found.values - exact.values) / found.errors)
    table = np.array(pulls)
    assert found.n_coalitions < 130
    assert np.abs(table.mean(axis=0)).max() < 4.0 / math.sqrt(300)
    assert_allclose((table**2).mean(axis=0), 1.0, atol=0.3)
    assert_allclose((table**2).mean(), 1.0, atol=0.1)


def test_errors_of_background():
    """Over 200 backgrounds of 60 events, values scatter around those of a large one as their errors say."""
    x = events(2, 4)
    truth = shapley_values(curved, x, events(20_000, 4, 9))
    pulls = []
    for seed in range(200):
        found = shapley_values(curved, x, events(60, 4, 100 + seed))
        pulls.append((found.values - truth.values) / np.hypot(found.background_errors, truth.background_errors))
    assert_allclose((np.array(pulls) ** 2).mean(), 1.0, atol=0.15)


@pytest.mark.parametrize("kind", ["heavy", "signed"])
def test_errors_of_weighted_background(kind):
    """Over 400 backgrounds of 30 events of unequal weights, the errors are those of the spread, within 15 %.

    The score is a line, so that the base value and the values of an event are weighted means of normal numbers.
    """
    w = np.random.default_rng(4).exponential(size=30) ** 3 if kind == "heavy" else np.repeat([1.0, -1.0], [22, 8])
    x, slopes = events(2, 3), np.array([1.0, -2.0, 0.5])
    found = [shapley_values(lambda z: z @ slopes, x, events(30, 3, s), background_weights=w) for s in range(400)]
    for name, error in (("base_value", "base_error"), ("values", "background_errors")):
        spread = np.std([getattr(each, name) for each in found], axis=0)
        stated = np.sqrt(np.mean([np.square(getattr(each, error)) for each in found], axis=0))
        assert_allclose(stated, spread, rtol=0.15)


def test_errors_of_ranking():
    """Mean absolute values scatter over events and backgrounds as their errors say, within 25 % (four errors)."""
    found = [shapley_values(curved, events(40, 4, 1000 + i), events(60, 4, 5000 + i)) for i in range(150)]
    spread = np.std([each.importance for each in found], axis=0, ddof=1)
    stated = np.sqrt(np.mean([each.importance_errors**2 for each in found], axis=0))
    assert_allclose(spread / stated, 1.0, atol=0.25)


def test_errors_of_ranking_by_coalitions():
    """With the same events and background, the rest of the error is the spread over drawn coalitions.

    Here all values keep their signs; where errors are as large as values, that of the ranking is too large.
    """
    x, background = np.abs(events(8, 9, 3)) + 1.0, events(3, 9, 2)
    importance, stated = [], []
    for seed in range(150):
        options: dict[str, Any] = {"method": "kernel", "samples": 160, "rng": seed}
        found = shapley_values(rising, x, background, **options)
        alone = np.array([shapley_values(rising, x, row[np.newaxis], **options).values for row in background])
        of_background = (np.sign(found.values) * alone).mean(axis=1).var(axis=0, ddof=1) / 3
        of_events = np.abs(found.values).var(axis=0, ddof=1) / 8
        importance.append(found.importance)
        stated.append(found.importance_errors**2 - of_background - of_events)
    assert np.min(stated) > 0
    assert_allclose(np.std(importance, axis=0, ddof=1) / np.sqrt(np.mean(stated, axis=0)), 1.0, atol=0.25)


def rising(x: Any) -> Any:
    """Return a function that rises with every feature, with a small product of three of them."""
    return x.sum(axis=1) + 0.05 * (x[:, 0] + x[:, 3]) * x[:, 1] * x[:, -1]


def test_same_for_any_workers():
    """The number of threads changes no bit, nor does it matter with which events an event is explained."""
    model, x, background = new_model(6, (8, 8)), events(700, 6), events(37, 6, 2)
    for options in ({}, {"method": "kernel", "samples": 30, "rng": 3}):
        one, two = (shapley_values(model, x, background, workers=workers, **options) for workers in (1, 2))
        for name in ("values", "errors", "background_errors", "importance", "importance_errors"):
            assert_array_equal(getattr(one, name), getattr(two, name))
        some = shapley_values(model, x[5:9], background, **options)
        assert_allclose(some.values, one.values[5:9], rtol=1e-12, atol=1e-14)
        called = shapley_values(model.scores, x[5:9], background, **options)
        assert_allclose(called.values, some.values, rtol=1e-12, atol=1e-14)
        assert_allclose(called.errors, some.errors, rtol=1e-9, atol=1e-14)


def test_background_of_one_event():
    """There is a value against a single event, but no error of the background."""
    found = shapley_values(new_model(3), events(50, 3), events(1, 3, 2))
    assert np.isnan(found.background_errors).all()
    assert math.isnan(found.base_error)
    assert np.isfinite(found.importance_errors).all()


def test_design_of_all():
    """Neighbours differ by one feature; the coefficients of a feature add up to zero, those without it to -1."""
    members, coefficients = exact_design(5).coalitions
    assert len(np.unique(members, axis=0)) == 32
    assert ((members[1:] != members[:-1]).sum(axis=1) == 1).all()
    assert_allclose(coefficients.sum(axis=0), 0.0, atol=1e-15)
    assert_allclose(np.where(members, 0.0, coefficients).sum(axis=0), -1.0)


def test_design_of_some():
    """Small sizes are complete, the others drawn with complements, and no coalition is empty or full by chance."""
    design = sampled_design(16, 600, np.random.default_rng(1))
    members = design.coalitions.members
    assert len(members) == 602
    assert_array_equal(members[2::2], ~members[3::2])
    size = members[2::2].sum(axis=1)
    assert (size == 1).sum() == 16
    assert len(np.unique(members[2::2][size == 1], axis=0)) == 16
    assert size.max() <= 8
    assert design.n_drawn == 300 - 16
    assert_allclose(design.coalitions.coefficients.sum(axis=0), 0.0, atol=1e-12)


def test_result_travels():
    """Through JSON and back; the text names the most important feature first."""
    x = events(9, 3)
    found = shapley_values(lambda z: 3.0 * z[:, 1] + z[:, 0], x, events(5, 3, 2), names=["a", "b", "c"])
    again = ShapleyValues.from_json(found.to_json())
    assert_array_equal(again.values, found.values)
    assert again.names == ("a", "b", "c")
    assert found.ranking.tolist() == [1, 0, 2]
    assert "mean |value|: b " in repr(found)


@pytest.mark.kernels
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_compiled_coalitions(dtype):
    """Shares of pairs and means of coalitions are those of plain numpy, for any number of events and backgrounds."""
    model = new_model(3, (4, 2), dtype)
    layers = (model.network.widths, model.network.activations, np.array(model.theta, dtype=float))
    for n, m in ((1, 1), (1, 37), (5, 9)):
        x, background = model.inputs(events(n, 3)), model.inputs(events(m, 3, 2))
        weights = np.arange(1.0, m + 1.0) / (m * (m + 1) / 2)
        members = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 1], [1, 1, 1]], dtype=bool)
        chosen = Coalitions(members, np.random.default_rng(1).normal(size=(4, 3)))
        own, other = np.repeat(x, m, axis=0), np.tile(background, (n, 1))
        for output in ("score", "probability"):
            scores = np.array(
                [naive_network.scores(*layers, np.where(row, own, other).astype(float))[:, 0] for row in members]
            )
            scores = expit(scores) if output == "probability" else scores
            shares, means = predictor(model, output).coalitions(x, background, weights, chosen, True)
            tolerance = 1e-5 if dtype == "float32" else 1e-12
            assert_allclose(shares, chosen.coefficients.T @ scores, atol=tolerance)
            assert_allclose(means, np.einsum("cnm,m->nc", scores.reshape(4, n, m), weights), atol=tolerance)
            again, none = predictor(model, output).coalitions(x, background, weights, chosen, False)
            assert_array_equal(again, shares)
            assert none.shape == (0, 4)


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_one_signature_per_precision():
    """Whatever is explained, there is one copy of the kernels for each precision."""
    for dtype in ("float32", "float64"):
        for output in ("score", "probability"):
            for x in (events(5, 3), np.asfortranarray(events(5, 3).astype(np.float32)), np.arange(15).reshape(5, 3)):
                shapley_values(new_model(3, dtype=dtype), x, x[::2], output=output)
                shapley_values(new_model(3, dtype=dtype), x, x[:1], method="kernel", rng=1, samples=np.int64(12))
    found: Any = kernels.score_coalitions
    assert 0 < len(found.signatures) <= 2


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"model": Network(3, n_outputs=2).initial(1)}, "model: has 2 outputs"),
        ({"model": Network(3, n_parameters=1).initial(1)}, "model: has 1 parameters of the hypothesis"),
        ({"model": Network(4).initial(1)}, "x: has 3 features"),
        ({"model": "a"}, "model: is a str"),
        ({"model": lambda z: z}, "model: returned float64 of shape"),
        ({"model": lambda z: np.full(len(z), np.nan)}, "model: returned 160 values that are not finite"),
        ({"x": [[1.0, np.nan, 2.0]]}, "x: has 1 NaN"),
        ({"background": events(4, 2)}, "background: has 2 features"),
        ({"background": np.zeros((0, 3))}, "background"),
        ({"background_weights": [1.0, -1.0, 0.0, 0.0]}, "background_weights: add up to 0"),
        ({"output": "odds"}, "output: is 'odds'"),
        ({"method": "sampling"}, "method: is 'sampling'"),
        ({"method": "kernel", "samples": 9}, "samples: is 9"),
        ({"method": "kernel"}, "rng: is missing"),
        ({"x": events(2, 17), "background": events(2, 17), "method": "exact"}, "method: is 'exact' for 17"),
        ({"names": ["a", "b"]}, "names: are a, b for 3 columns"),
        ({"names": ["a", "b", "a"]}, "names: are a, b, a for 3 columns"),
        ({"workers": 0}, "workers"),
    ],
)
def test_bad_input(changes, match):
    """Errors name the argument and the remedy."""
    arguments: dict[str, Any] = {"model": curved, "x": events(5, 3), "background": events(4, 3, 2), **changes}
    with pytest.raises(InputError, match=match):
        shapley_values(arguments.pop("model"), arguments.pop("x"), arguments.pop("background"), **arguments)

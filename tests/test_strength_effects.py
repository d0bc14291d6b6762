"""Nuisances and effects: what they do to expectations, and bad input."""

from typing import Any

import naive_strength as naive
import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.strength import Binned, Component, Effect, Model, Nuisance, Unbinned, fit


def expected(effect: Any, alpha: float, nuisance: Any = "a", base: Any = (10.0, 20.0)) -> Any:
    """Return the expectation of a background with one effect."""
    components = [Component("s", np.ones(len(base)), signal=True), Component("b", base, effects={"a": effect})]
    model = Model(Binned(components), [nuisance])
    return model.expected(model.theta(0.0, {"a": alpha}))[:, 1]


@pytest.mark.parametrize("alpha", [-3.0, -1.0, -0.4, 0.0, 0.3, 1.0, 2.5])
def test_log_normal(alpha: float) -> None:
    """(1 + d)^alpha everywhere, from a number, a pair of inverse factors, or one knot."""
    for effect in (0.2, Effect.log_normal(0.2), (1 / 1.2, 1.2), Effect.up_down(1 / 1.2, 1.2)):
        np.testing.assert_allclose(expected(effect, alpha), np.array([10, 20]) * 1.2**alpha, rtol=1e-13)
    np.testing.assert_allclose(expected(-0.3, alpha), np.array([10, 20]) * 0.7**alpha, rtol=1e-13)
    np.testing.assert_allclose(expected(Effect.scale(), alpha), np.array([10, 20]) * np.exp(alpha), rtol=1e-13)


@pytest.mark.parametrize("alpha", [-3.0, -1.0, -0.4, 0.0, 0.3, 1.0, 2.5])
def test_factors_of_bins(alpha: float) -> None:
    """Each bin has its own spline through the logarithms."""
    down, up = np.array([0.8, 1.1]), np.array([1.3, 1.2])
    factor = np.exp(naive.log_factor([-1, 0, 1], np.log([down, [1, 1], up]), alpha))
    for effect in ((down, up), Effect.up_down(down, up), [down, up]):
        np.testing.assert_allclose(expected(effect, alpha), np.array([10, 20]) * factor, rtol=1e-13)


def test_knots_anywhere() -> None:
    """The nominal knot is the centre of the nuisance, whatever its place among uneven knots."""
    knots, factors = [0.05, 0.08, 0.1, 0.2], np.array([0.7, 1.0, 1.1, 1.9])
    effect, nuisance = Effect(knots, factors=factors), Nuisance("a", centre=0.08, width=0.01)
    for alpha in (0.01, 0.06, 0.08, 0.15, 0.3):
        factor = np.exp(naive.log_factor(knots, np.log(factors), alpha))
        np.testing.assert_allclose(expected(effect, alpha, nuisance), np.array([10, 20]) * factor, rtol=1e-12)


def test_several_effects() -> None:
    """Effects of several nuisances multiply, whether they share knots or not."""
    effects: dict[str, Any] = {"a": 0.1, "b": (0.9, 1.2), "c": (0.7, 1.1), "d": Effect.scale()}
    components = [Component("s", [1.0], signal=True, effects={"b": 0.5}), Component("b", [10.0], effects=effects)]
    model = Model(Binned(components), ["d", "a", "b", "c"])
    theta = model.theta(2.0, {"a": 0.5, "b": -0.3, "c": 1.4, "d": 0.2})
    b = np.exp(naive.log_factor([-1, 0, 1], np.log([0.9, 1, 1.2]), -0.3))
    c = np.exp(naive.log_factor([-1, 0, 1], np.log([0.7, 1, 1.1]), 1.4))
    np.testing.assert_allclose(model.expected(theta), [[2 * 1.5**-0.3, 10 * 1.1**0.5 * b * c * np.exp(0.2)]])


def test_parameterised() -> None:
    """A resolution: normal densities of any width, to what a spline through five of them can do."""

    def log_density(x: Any, width: float) -> Any:
        return -0.5 * (x / width) ** 2 - np.log(width)

    x, knots = np.linspace(-0.3, 0.3, 7), [0.06, 0.07, 0.08, 0.09, 0.1]
    effect = Effect.parameterised(log_density, knots, 0.08)
    table = effect.shape(x)  # type: ignore[misc]
    assert table.shape == (7, 5)
    np.testing.assert_allclose(table[:, 2], 0, atol=1e-14)
    np.testing.assert_allclose(table[:, 4], log_density(x, 0.1) - log_density(x, 0.08), rtol=1e-13, atol=1e-14)
    signal = Component("s", 5.0, signal=True, ratio=lambda x: np.exp(log_density(x, 0.08)), effects={"w": effect})
    model = Model(Unbinned([signal, Component("b", 5.0)]), [Nuisance("w", centre=0.08, width=0.01)])
    data = model.data(x)
    for width in (0.065, 0.085):
        factors = model._factors(data.observed.rows, model.theta(1.0, {"w": width}))[1:, 0]
        np.testing.assert_allclose(np.log(factors), log_density(x, width) - log_density(x, 0.08), rtol=0.05, atol=1e-3)


def test_bad_input() -> None:
    """Every argument that cannot be used is named."""
    wrong: list[tuple[Any, str]] = [
        (lambda: Nuisance(""), "name"),
        (lambda: Nuisance("mu"), "name"),
        (lambda: Nuisance(3), "name"),  # type: ignore[arg-type]
        (lambda: Nuisance("a", constraint="flat"), "constraint"),  # type: ignore[arg-type]
        (lambda: Nuisance("a", width=0), "width of a"),
        (lambda: Nuisance("a", centre=np.nan), "centre of a"),
        (lambda: Nuisance("a", constraint="poisson", centre=0.1), "centre of a"),
        (lambda: Nuisance("a", bounds=(1.0, 2.0)), "bounds of a"),
        (lambda: Nuisance("a", bounds=(0.0, 0.0)), "bounds of a"),
        (lambda: Nuisance("a", bounds=(np.nan, 1.0)), "bounds of a"),
        (lambda: Effect([0.0], factors=[1.0]), "knots"),
        (lambda: Effect([0.0, 0.0], factors=[1.0, 2.0]), "knots"),
        (lambda: Effect([0.0, 1.0]), "effect: has neither"),
        (lambda: Effect([0.0, 1.0], shape=3), "shape"),  # type: ignore[arg-type]
        (lambda: Effect([0.0, 1.0], factors=[1.0, 0.0]), "factors"),
        (lambda: Effect([0.0, 1.0], factors=[1.0, np.inf]), "factors"),
        (lambda: Effect([0.0, 1.0], factors=[1.0, 2.0, 3.0]), "factors"),
        (lambda: Effect.log_normal(0.0), "relative"),
        (lambda: Effect.log_normal(-1.0), "relative"),
        (lambda: Effect.up_down(0.0, 1.2), "factors"),
        (lambda: Effect.parameterised(lambda x, v: x, [0.0, 1.0], 0.5), "nominal"),
        (lambda: Component("b", 1.0, effects={"a": "much"}), "effect"),  # type: ignore[dict-item]
        (lambda: Component("b", 1.0, effects={"a": (1.0, 1.1, 1.2)}), "effect"),  # type: ignore[dict-item]
        (lambda: expected(Effect([1.0, 2.0], factors=[1.0, 2.0]), 0.0), "effect of a: has the knots"),
        (lambda: expected(Effect([0.0, 2.0], factors=[1.1, 2.0]), 0.0), "effect of a: has factors other than 1"),
        (lambda: expected(0.1, 0.0, Nuisance("a", centre=0.5)), "effect of a: has the knots"),
        (lambda: expected(([0.9] * 3, [1.1] * 3), 0.0), "effect of a: has factors of 3 bins"),
    ]
    for call, message in wrong:
        with pytest.raises(InputError, match=message):
            call()


def test_confined_to_knots():
    """A parameter of a density stays between its knots in fits; factors at -1 and 1 go on beyond."""
    knots = np.linspace(0.5, 1.5, 5)
    shape = Effect.parameterised(lambda x, value: -np.asarray(x) / value - np.log(value), knots, 1.0)
    x = np.full(50, 4.0)  # far too long a mean for the knots
    components = [
        Component("s", 1.0, signal=True, ratio=lambda x: np.ones(len(x))),
        Component("b", 50.0, effects={"tau": shape, "norm": (0.9, 1.1)}),
    ]
    model = Model(Unbinned(components), [Nuisance("tau", constraint="free", centre=1.0), "norm"], mu_bounds=(-1, 5))
    low, high = model.bounds
    assert (low[1], high[1]) == (0.5, 1.5)
    assert (low[2], high[2]) == (-np.inf, np.inf)
    found = fit(model, x, mu=0.0)
    assert found.values["tau"] == 1.5
    assert "tau" in found.at_bound


def test_data_have_their_own_auxiliary_measurements():
    """Results of auxiliary measurements beside prepared data are refused, not ignored."""
    model = Model(Binned([Component("s", [1.0], signal=True), Component("b", [5.0], effects={"b": 0.1})]), ["b"])
    data = model.data([5.0])
    with pytest.raises(InputError, match="auxiliary"):
        fit(model, data, auxiliary={"b": 1.0})

"""Every shape against its formula and scipy's integrals, and what all of them promise."""

from typing import Any

import naive_fit as naive
import numpy as np
import pytest
import scipy.integrate
from hypothesis import given, settings
from hypothesis import strategies as st

from hepstat.errors import InputError
from hepstat.fit import fit
from hepstat.histogram import Histogram, Regular, Variable
from hepstat.shapes import (
    Bernstein,
    BreitWigner,
    CrystalBall,
    Dijet,
    Exponential,
    ExpPolynomial,
    Gaussian,
    Parameter,
    PolyLogExponential,
    Polynomial,
    PowerLaw,
    Spectrum,
    SumOfPowerLaws,
    Template,
    Voigt,
)

NARROW, WIDE = (132.0, 168.0), (1000.0, 6000.0)
HISTOGRAM = Histogram(Variable([130.0, 140.0, 144.0, 151.0, 170.0])).fill(
    np.repeat([135.0, 142.0, 150.0, 160.0], [30, 5, 40, 8])
)

# Name: shape, values, range.
SHAPES: dict[str, tuple[Any, dict[str, float], tuple[float, float]]] = {
    "exponential": (Exponential(), {"slope": -0.05}, NARROW),
    "flat exponential": (Exponential(), {"slope": 0.0}, NARROW),
    "exponential of x^2": (ExpPolynomial(2), {"c1": -0.11, "c2": 2.5e-4}, NARROW),
    "exponential of x^4": (ExpPolynomial(4), {"c1": -0.2, "c2": 1e-3, "c3": -2e-6, "c4": 1e-9}, NARROW),
    "constant": (Polynomial(0), {}, NARROW),
    "polynomial": (Polynomial(3), {"a1": -0.4, "a2": 0.3, "a3": -0.05}, NARROW),
    "bernstein": (Bernstein(4), {"b1": 0.8, "b2": 0.7, "b3": 0.0, "b4": 0.45}, NARROW),
    "poly-log-exponential": (PolyLogExponential(), {"c0": 5.0, "c1": -4.0, "c2": -0.1}, NARROW),
    "power law": (PowerLaw(), {"power": -3.0}, WIDE),
    "inverse power": (PowerLaw(), {"power": -1.0}, NARROW),
    "power laws": (SumOfPowerLaws(2), {"a1": 2.0, "a2": 6.0, "r2": 0.7}, WIDE),
    "three power laws": (SumOfPowerLaws(3), {"a1": 1.0, "a2": 3.0, "a3": 8.0, "r2": 0.7, "r3": 0.01}, WIDE),
    "dijet 3": (Dijet(3), {"p2": 8.0, "p3": 2.0}, WIDE),
    "dijet 4": (Dijet(4), {"p2": 8.0, "p3": 1.0, "p4": -0.1}, WIDE),
    "dijet 5": (Dijet(5), {"p2": 8.0, "p3": 1.0, "p4": -0.2, "p5": -0.02}, WIDE),
    "gaussian": (Gaussian(), {"mean": 150.0, "sigma": 2.4}, NARROW),
    "gaussian at the edge": (Gaussian(), {"mean": 131.0, "sigma": 4.0}, NARROW),
    "crystal ball": (
        CrystalBall(),
        {"mean": 150.0, "sigma": 2.4, "alpha_low": 1.2, "n_low": 2.5, "alpha_high": 1.7, "n_high": 4.0},
        NARROW,
    ),
    "breit-wigner": (BreitWigner(), {"mean": 150.0, "width": 2.5}, NARROW),
    "voigt": (Voigt(), {"mean": 150.0, "width": 2.5, "sigma": 1.3}, NARROW),
    "template": (Template(HISTOGRAM), {}, NARROW),
}
every_shape = pytest.mark.parametrize("name", SHAPES)


@pytest.mark.kernels
@every_shape
def test_density_is_the_normalised_formula(name: str) -> None:
    """Density against the formula over its integral, with an integral of one."""
    shape, values, limits = SHAPES[name]
    x = np.linspace(*limits, 61)
    whole = naive.integral(shape, values, np.linspace(*limits, 13), limits).sum()
    np.testing.assert_allclose(
        shape.density(x, values, limits), naive.formula(shape, values, x, limits) / whole, rtol=2e-8, atol=1e-300
    )
    kinks = [k for k in getattr(shape, "edges", [values.get("mean", 150.0)]) if limits[0] < k < limits[1]]
    total = scipy.integrate.quad(
        lambda t: shape.density([t], values, limits)[0], *limits, points=kinks, limit=300, epsrel=1e-10
    )
    assert total[0] == pytest.approx(1.0, abs=2e-8)


@pytest.mark.kernels
@every_shape
def test_integral(name: str) -> None:
    """Bins against integration of the formula; together they hold everything."""
    shape, values, limits = SHAPES[name]
    for edges in (np.linspace(*limits, 37), np.geomspace(*limits, 6), np.array(limits)):
        ours = shape.integral(edges, values)
        expected = naive.integral(shape, values, edges, limits)
        tolerance = 3e-7 + two_nodes(shape, values, edges, limits)
        share = expected / expected.sum()
        np.testing.assert_array_less(np.abs(ours - share), tolerance * share + 1e-12)
        assert ours.sum() == pytest.approx(1.0, abs=np.max(tolerance))
    part = np.linspace(limits[0] + 0.2 * (limits[1] - limits[0]), limits[1], 5)
    inside = naive.integral(shape, values, part, limits) / expected.sum()
    np.testing.assert_allclose(shape.integral(part, values, limits), inside, rtol=3e-7, atol=1e-12)


def two_nodes(shape: Any, values: dict[str, float], edges: Any, limits: tuple[float, float]) -> Any:
    """Return what two Gauss nodes per bin may be wrong by, where the density falls: h^4 f''''/ (4320 f)."""
    density = naive.formula(shape, values, edges, limits)
    if len(edges) < 33 or shape.is_peak or isinstance(shape, SumOfPowerLaws):
        return np.zeros(len(edges) - 1)
    return 8.0 * np.log(density[1:] / density[:-1]) ** 4 / 4320.0  # 8: a power law's derivatives grow with their order


@pytest.mark.kernels
@every_shape
def test_gradient(name: str) -> None:
    """Derivatives of the normalised density against differences."""
    shape, values, limits = SHAPES[name]
    x = np.linspace(*limits, 23)
    ours = shape.gradient(x, values, limits)
    assert ours.shape == (len(values), 23)
    density = shape.density(x, values, limits)
    for j, (key, value) in enumerate(values.items()):
        step = 1e-4 / np.max(np.abs(ours[j]) / density)  # changes the density by 1e-4 of itself at most
        down = value - step if value - step >= shape.parameters[j].lower else value
        numerical = (
            shape.density(x, {**values, key: value + step}, limits) - shape.density(x, {**values, key: down}, limits)
        ) / (value + step - down)
        tolerance = 1e-6 if down < value else 2e-4
        np.testing.assert_allclose(ours[j], numerical, rtol=tolerance, atol=tolerance * np.abs(ours[j]).max())


@pytest.mark.kernels
@every_shape
def test_zero_outside(name: str) -> None:
    """Density and gradient vanish outside the range, which is closed; values may come in order."""
    shape, values, limits = SHAPES[name]
    x = [limits[0] - 1e-6, limits[0], limits[1], limits[1] + 1e-6, 1e9]
    density = shape.density(x, list(values.values()), limits)
    np.testing.assert_array_equal(density > 0, [False, True, True, False, False])
    np.testing.assert_array_equal(shape.gradient(x, values, limits)[:, [0, 3, 4]], 0.0)
    assert shape.density([], values, limits).shape == (0,)


@every_shape
def test_guess_is_within_reach(name: str) -> None:
    """A fit that starts from the guess on a sample finds the truth."""
    shape, values, limits = SHAPES[name]
    edges = np.linspace(*limits, 61)
    own = shape.with_values(**values)
    n_events = 20_000.0
    truth = Spectrum({"only": own}, limits).start(n_only=n_events)
    h = Histogram(Regular(60, *limits)).fill(truth.sample(rng=5))
    guess = shape.guess(edges, h.values())
    assert set(guess) == set(values)
    result = fit(Spectrum({"only": shape}, limits), h)
    assert result.valid or (result.at_limit and np.isfinite(result.nll)), result
    at_truth = naive.binned_nll(truth, edges, h.values(), {})
    assert result.nll <= at_truth + 1e-6
    assert result.nll > at_truth - 25.0  # a dozen parameters at most: not a different function
    assert result.values["n_only"] == pytest.approx(h.values().sum(), rel=1e-6)


@every_shape
def test_repr_and_with_values(name: str) -> None:
    """Other values make another shape, the first one stays as it was."""
    shape, values, _ = SHAPES[name]
    changed = shape.with_values(**values)
    assert {p.name: p.value for p in changed.parameters} == values
    assert type(changed) is type(shape)
    assert [p.lower for p in changed.parameters] == [p.lower for p in shape.parameters]
    assert repr(shape).startswith(type(shape).__name__ + "(")
    with pytest.raises(InputError, match=r"^nonsense: is no parameter of this shape"):
        shape.with_values(nonsense=1.0)
    if values:
        assert all(p.value == q.value for p, q in zip(shape.parameters, SHAPES[name][0].parameters, strict=True))


@settings(deadline=None, max_examples=25)
@given(st.floats(-0.5, 0.5), st.floats(0.0, 1.0), st.floats(0.01, 1.0))
def test_integrals_add_up(slope: float, start: float, length: float) -> None:
    """Merging bins adds their integrals, wherever the edges are."""
    edges = NARROW[0] + 36.0 * np.clip([start, start + 0.3 * length, start + 0.31 * length, start + length], 0.0, 1.0)
    edges = np.unique(edges)
    if len(edges) < 3:
        return
    for shape, values in ((Exponential(), [slope]), (Gaussian(), [150.0, 0.1 + length]), (Polynomial(2), [slope, 0.1])):
        parts = shape.integral(edges, values, NARROW)
        whole = shape.integral(edges[[0, -1]], values, NARROW)
        np.testing.assert_allclose(parts.sum(), whole[0], rtol=1e-6, atol=1e-12)


@settings(deadline=None, max_examples=25)
@given(st.floats(-4.0, 4.0), st.floats(0.2, 3.0))
def test_units_do_not_matter(shift: float, factor: float) -> None:
    """A peak moved and stretched with its range has the same probabilities."""
    edges = np.linspace(-5.0, 5.0, 8)
    base = Gaussian().integral(edges, [0.5, 1.1])
    moved = Gaussian().integral(edges * factor + shift, [0.5 * factor + shift, 1.1 * factor])
    np.testing.assert_allclose(moved, base, rtol=1e-11)


BAD = {
    "NaN in x": (lambda: Exponential().density([140.0, np.nan], [-0.1], NARROW), "x: has 1 NaN"),
    "infinite x": (lambda: Exponential().density([np.inf], [-0.1], NARROW), "x: has 0 NaN and 1 infinite"),
    "text in x": (lambda: Exponential().density(["a"], [-0.1], NARROW), "x: is not an array of numbers"),
    "empty range": (lambda: Exponential().density([140.0], [-0.1], (168.0, 132.0)), "range: is .* which is empty"),
    "no pair": (lambda: Exponential().density([140.0], [-0.1], 3.0), "range: is 3.0, not a pair"),
    "infinite range": (lambda: Exponential().density([140.0], [-0.1], (0, np.inf)), r"range\[1\]: is inf"),
    "NaN value": (lambda: Exponential().density([140.0], [np.nan], NARROW), "values: has 1 NaN"),
    "missing value": (lambda: Gaussian().density([140.0], {"mean": 150.0}, NARROW), "values: lacks sigma"),
    "too many values": (lambda: Exponential().density([140.0], [1.0, 2.0], NARROW), "values: has 2 entries"),
    "peak far away": (lambda: Gaussian().density([140.0], [1e6, 1.0], NARROW), "values: give Gaussian the integral 0"),
    "negative polynomial": (lambda: Polynomial(2).density([140.0], [0.0, -5.0], NARROW), "values: give Polynomial"),
    "no positive Bernstein": (lambda: Bernstein(1).integral(NARROW, [-2.0]), "values: give Bernstein the integral -18"),
    "NaN edges": (lambda: Exponential().integral([132.0, np.nan], [-0.1]), "edges: has 1 NaN"),
    "one edge": (lambda: Exponential().integral([132.0], [-0.1]), "(edges|range)"),
    "beyond the energy": (
        lambda: PolyLogExponential(160.0).density([140.0], [1.0, 1.0, 0.0], NARROW),
        "range: .*x < 160",
    ),
    "dijet at zero": (lambda: Dijet(3).density([140.0], [1.0, 1.0], (0.0, 168.0)), "range: .*needs 0 < x"),
    "power law below zero": (lambda: PowerLaw().density([1.0], [-2.0], (-1.0, 5.0)), "range: .*0 < x"),
    "power laws at zero": (lambda: SumOfPowerLaws(2).density([1.0], [1.0, 2.0, 0.1], (0.0, 5.0)), "range: .*x > 0"),
    "energy": (lambda: PolyLogExponential(-1.0), "energy: is -1"),
    "dijet length": (lambda: Dijet(7), "n_parameters: is 7"),
    "polynomial order": (lambda: Polynomial(-1), "order: is -1"),
    "high order": (lambda: Polynomial(11), "order: is 11"),
    "fractional order": (lambda: Bernstein(2.5), "order: is 2.5"),
    "Bernstein of order 0": (lambda: Bernstein(0), "order: is 0"),
    "exponential of order 0": (lambda: ExpPolynomial(0), "order: is 0"),
    "exponential of order 9": (lambda: ExpPolynomial(9), "order: is 9"),
    "one power law": (lambda: SumOfPowerLaws(1), "n: is 1"),
    "six power laws": (lambda: SumOfPowerLaws(6), "n: is 6"),
    "sigma": (lambda: Gaussian(150.0, 0.0), "sigma: is 0"),
    "width": (lambda: Voigt(150.0, -1.0, 1.0), "width: is -1"),
    "NaN sigma": (lambda: Gaussian(150.0, np.nan), "sigma: is nan"),
    "NaN mean": (lambda: Gaussian(np.nan, 1.0), "mean"),
    "NaN slope": (lambda: Exponential(np.nan), "slope"),
    "alpha out of limits": (lambda: CrystalBall(150.0, 1.0, alpha_low=-1.0), "alpha_low: starts at -1"),
    "value out of limits": (lambda: Bernstein(2).with_values(b1=-0.5), "b1: starts at -0.5"),
    "NaN start": (lambda: Exponential().with_values(slope=np.nan), "slope"),
    "crossed limits": (lambda: Parameter("a", 1.0, 2.0, 0.0), "a: has limits"),
    "name": (lambda: Parameter("not a name", 1.0), "name: is 'not a name'"),
    "template in two dimensions": (
        lambda: Template(Histogram(Regular(2, 0, 1), Regular(2, 0, 1))),
        "histogram: has 2 axes",
    ),
    "empty template": (lambda: Template(Histogram(Regular(4, 0, 1))), "histogram: has contents between 0 and 0"),
    "negative template": (
        lambda: Template(Histogram(Regular(2, 0, 1)).fill([0.2, 0.7], weights=[-1.0, 3.0])),
        "histogram: has contents between -1 and 3",
    ),
    "template too short": (
        lambda: Template(HISTOGRAM).density([1.0], [], (100.0, 150.0)),
        r"range: .*covers \(130, 170\)",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    """One error that names the argument, the value and the remedy."""
    call, message = BAD[case]
    with pytest.raises(InputError, match=f"^{message}") as caught:
        call()
    assert caught.value.remedy

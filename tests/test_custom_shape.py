"""A user's own Python function stands wherever a built-in shape does, and gives the same numbers."""

from typing import Any

import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.fit import fit, fit_many, likelihood
from hepstat.histogram import Histogram, Regular
from hepstat.shapes import CustomShape, Exponential, Gaussian, Parameter, Shape, Spectrum

LIMITS = (132.0, 168.0)
EDGES = np.linspace(*LIMITS, 37)


def falling(x: Any, slope: float) -> Any:
    """Exponential, of order one on the range."""
    return np.exp(slope * (x - 150.0))


def peak(x: Any, mean: float, sigma: float) -> Any:
    """Gaussian."""
    return np.exp(-0.5 * ((x - mean) / sigma) ** 2)


OWN_FALLING = CustomShape(falling, {"slope": -0.02})
OWN_PEAK = CustomShape(
    peak, [Parameter("mean", 150.0), Parameter("sigma", 2.4, 1e-9)], is_peak=True, resolution=2.4
)  # fmt: skip
PAIRS: dict[str, tuple[Shape, Shape, dict[str, float]]] = {
    "exponential": (OWN_FALLING, Exponential(-0.02), {"slope": -0.03}),
    "gaussian": (OWN_PEAK, Gaussian(150.0, 2.4), {"mean": 149.0, "sigma": 2.1}),
}


def spectrum(falling_shape: Shape, peak_shape: Shape) -> Spectrum:
    """Gaussian on exponential with a floating slope and mean."""
    both = Spectrum({"signal": peak_shape, "background": falling_shape}, LIMITS)
    return both.fix("signal_sigma").start(n_signal=300.0, n_background=5e3).limit(signal_mean=(145.0, 155.0))


OURS, OWN = spectrum(Exponential(-0.02), Gaussian(150.0, 2.4)), spectrum(OWN_FALLING, OWN_PEAK)


@pytest.mark.parametrize("name", PAIRS)
def test_values(name: str) -> None:
    """Density, gradient and integrals are those of the shape it copies."""
    own, built_in, values = PAIRS[name]
    x = np.linspace(*LIMITS, 50)
    np.testing.assert_allclose(own.density(x, values, LIMITS), built_in.density(x, values, LIMITS), rtol=1e-9)
    slopes = built_in.gradient(x, values, LIMITS)
    np.testing.assert_allclose(own.gradient(x, values, LIMITS), slopes, rtol=1e-4, atol=1e-5 * np.abs(slopes).max())
    np.testing.assert_allclose(own.integral(EDGES, values), built_in.integral(EDGES, values), rtol=1e-7, atol=1e-13)


@pytest.mark.parametrize("binned", [True, False])
def test_fit(binned: bool) -> None:
    """The same minimum, errors and covariance."""
    events = OURS.sample(rng=3)
    data = Histogram(Regular(36, *LIMITS)).fill(events) if binned else events
    ours, own = fit(OURS, data), fit(OWN, data)
    assert ours.valid
    assert own.valid
    assert own.nll == pytest.approx(ours.nll, abs=1e-5)
    for name in OURS.floating:
        assert own.values[name] == pytest.approx(ours.values[name], abs=1e-3 * ours.errors[name])
        assert own.errors[name] == pytest.approx(ours.errors[name], rel=1e-3)
    minuit = likelihood(OWN, data).minuit(own)
    minuit.migrad()
    assert minuit.valid
    assert minuit.fval == pytest.approx(2.0 * ours.nll, abs=1e-4)


def test_fit_many_and_workers() -> None:
    """Toys and scans of a fixed parameter, in threads too: the interpreter lock is taken where needed."""
    toys = np.random.default_rng(2).poisson(OURS.expected(EDGES), (30, 36)).astype(float)
    ours, own = fit_many(OURS, toys, edges=EDGES), fit_many(OWN, toys, edges=EDGES, workers=2)
    assert ours.valid.all()
    assert own.valid.all()
    np.testing.assert_allclose(own.nll, ours.nll, atol=1e-5)
    np.testing.assert_allclose(own.values["n_signal"], ours.values["n_signal"], atol=1e-2)
    masses = np.linspace(145.0, 155.0, 7)
    scans = [
        fit_many(s.fix(signal_mean=150.0), toys[:1], edges=EDGES, values={"signal_mean": masses}) for s in (OURS, OWN)
    ]
    np.testing.assert_allclose(scans[0].nll, scans[1].nll, atol=1e-5)
    np.testing.assert_array_equal(scans[1].values["signal_mean"], masses)


def test_spectrum_uses() -> None:
    """Expected contents, samples and sharing."""
    np.testing.assert_allclose(OWN.expected(EDGES), OURS.expected(EDGES), rtol=1e-7)
    np.testing.assert_allclose(OWN.sample(rng=1), OURS.sample(rng=1), rtol=1e-7)


class Broken(RuntimeError):
    """What a user's function raises."""


def fit_often(spectrum: Spectrum, data: Any) -> None:
    """Fit again and again."""
    for _ in range(20):
        fit(spectrum, data)


@pytest.mark.parametrize("when", ["always", "later"])
@pytest.mark.parametrize("binned", [True, False])
def test_exceptions_reach_the_caller(binned: bool, when: str) -> None:
    """What the function raises comes out unchanged, at the first call or in the middle of a fit."""
    calls = []

    def function(x: Any, slope: float) -> Any:
        calls.append(slope)
        if when == "always" or len(calls) > 12:
            raise Broken("no value at this slope")
        return falling(x, slope)

    broken = Spectrum({"only": CustomShape(function, {"slope": -0.02})}, LIMITS)
    events = np.linspace(133.0, 167.0, 200)
    data = Histogram(Regular(36, *LIMITS)).fill(events) if binned else events
    with pytest.raises(Broken, match="no value"):
        fit_often(broken, data)


def test_exception_in_fit_many() -> None:
    """Also from threads."""

    def function(x: Any, slope: float) -> Any:
        raise Broken("never")

    broken = Spectrum({"only": CustomShape(function, {"slope": -0.02})}, LIMITS).start(n_only=10.0)
    with pytest.raises(Broken, match="never"):
        fit_many(broken, np.ones((2100, 36)), edges=EDGES, workers=2)


BAD = {
    "scalar": (lambda x, a: 1.0, r"returned shape \(\)"),
    "too short": (lambda x, a: x[:-1], "returned shape"),
    "column": (lambda x, a: x[:, None], "returned shape"),
}


@pytest.mark.parametrize("name", BAD)
def test_wrong_shape(name: str) -> None:
    """One number per entry of x."""
    function, message = BAD[name]
    with pytest.raises(InputError, match=message):
        CustomShape(function, {"a": 1.0}).density(np.linspace(140.0, 150.0, 5), [1.0], LIMITS)


def test_not_finite() -> None:
    """NaN or infinity is an InputError, in densities as in fits."""
    for value in (np.nan, np.inf):
        shape = CustomShape(lambda x, a, value=value: np.full(x.shape, value), {"a": 1.0})
        with pytest.raises(InputError):
            shape.density([140.0], [1.0], LIMITS)


def test_bad_arguments() -> None:
    """Not callable, not a resolution, not a name."""
    with pytest.raises(InputError, match=r"^function: is 3"):
        CustomShape(3, {})  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^resolution: is -1"):
        CustomShape(falling, {"slope": 1.0}, resolution=-1.0)
    with pytest.raises(InputError, match=r"^name: is 'a b'"):
        CustomShape(falling, {"a b": 1.0})


def test_without_parameters() -> None:
    """A fixed density needs none."""
    shape = CustomShape(lambda x: x - 100.0, {})
    result = fit(Spectrum({"only": shape}, LIMITS), np.linspace(133.0, 167.0, 100))
    assert result.valid
    assert result.values["n_only"] == pytest.approx(100.0, rel=1e-6)


def test_steps_stay_inside_limits() -> None:
    """Numerical derivatives never leave the limits of a parameter, nor does a fit."""
    seen = []

    def root(x: Any, a: float) -> Any:
        seen.append(a)
        return np.sqrt(a) + 0.0 * x

    spectrum = Spectrum({"only": CustomShape(root, [Parameter("a", 1e-6, 0.0, 2.0)])}, LIMITS)
    fit(spectrum, np.linspace(133.0, 167.0, 100))
    assert min(seen) >= 0.0
    assert max(seen) <= 2.0

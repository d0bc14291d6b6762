"""Spectra: names, what floats, what is shared and constrained, expectations and samples."""

import json
import pickle
from typing import Any

import naive_fit as naive
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from hepstat.errors import InputError
from hepstat.histogram import Histogram, Regular
from hepstat.shapes import (
    Bernstein,
    CustomShape,
    Exponential,
    Gaussian,
    PolyLogExponential,
    Polynomial,
    Shape,
    Spectrum,
    Template,
    Voigt,
)

LIMITS = (132.0, 168.0)
EDGES = np.linspace(*LIMITS, 37)


def peak_on_slope() -> Spectrum:
    """Gaussian on an exponential."""
    return Spectrum({"signal": Gaussian(150.0, 2.4), "background": Exponential(-0.02)}, LIMITS)


def two_peaks() -> Spectrum:
    """Two Gaussians on a straight line."""
    shapes = {"low": Gaussian(140.0, 2.0), "high": Gaussian(155.0, 2.0), "background": Polynomial(1)}
    return Spectrum(shapes, LIMITS).start(n_low=100.0, n_high=200.0, n_background=1e3)


def test_names() -> None:
    """Yields first, then shape parameters, in the order of the components."""
    spectrum = peak_on_slope()
    assert spectrum.names == ("n_signal", "n_background", "signal_mean", "signal_sigma", "background_slope")
    assert spectrum.floating == spectrum.names
    assert spectrum.names_of("signal") == ("signal_mean", "signal_sigma")
    assert spectrum.values["background_slope"] == -0.02
    assert spectrum.parameters["n_background"].lower == 0.0
    assert spectrum.parameters["n_signal"].lower == -np.inf  # yields of peaks may be negative


def test_fix_release_start_limit() -> None:
    """Each returns another spectrum and leaves the first as it was."""
    spectrum = peak_on_slope()
    before = (spectrum.values, spectrum.floating, dict(spectrum.parameters))
    fixed = spectrum.fix("signal_sigma", signal_mean=149.0)
    assert fixed.floating == ("n_signal", "n_background", "background_slope")
    assert fixed.values["signal_mean"] == 149.0
    assert fixed.release("signal_mean").floating == ("n_signal", "n_background", "signal_mean", "background_slope")
    assert spectrum.start(n_signal=-3.0).values["n_signal"] == -3.0
    limited = spectrum.limit(signal_mean=(152.0, 160.0), n_signal=(0.0, np.inf))
    assert limited.values["signal_mean"] == 152.0  # moved inside
    assert limited.parameters["n_signal"].lower == 0.0
    assert limited.limit(n_signal=(-np.inf, np.inf)).parameters["n_signal"].lower == -np.inf
    assert (spectrum.values, spectrum.floating, dict(spectrum.parameters)) == before
    with pytest.raises(AttributeError):
        spectrum.range = (0.0, 1.0)  # type: ignore[misc]


def test_share() -> None:
    """Shared parameters are one parameter, in names, values and derivatives."""
    shared = two_peaks().share("low_sigma", "high_sigma")
    assert "high_sigma" not in shared.names
    assert shared.names_of("high") == ("high_mean", "low_sigma")
    wider = {"low_sigma": 4.0}
    separate = {"low_sigma": 4.0, "high_sigma": 4.0}
    np.testing.assert_allclose(shared.expected(EDGES, wider), two_peaks().expected(EDGES, separate), rtol=1e-13)
    with pytest.raises(InputError, match=r"^high_sigma: is shared with low_sigma"):
        shared.fix("high_sigma")
    again = shared.share("high_mean", "low_sigma")  # what was shared follows
    assert again.names_of("low") == ("low_mean", "high_mean")
    assert again.names_of("high") == ("high_mean", "high_mean")


def test_without() -> None:
    """A component goes with its parameters and constraints; what others use stays."""
    full = two_peaks().share("low_sigma", "high_sigma").constrain_gaussian("high_mean", 155.0, 0.1)
    full = full.constrain_gaussian("low_sigma", 2.0, 0.1).fix("background_a1").start(n_low=7.0)
    bare = full.without("high")
    assert bare.names == ("n_low", "n_background", "low_mean", "low_sigma", "background_a1")
    assert [c.name for c in bare.constraints] == ["low_sigma"]
    assert bare.values["n_low"] == 7.0
    assert "background_a1" not in bare.floating
    kept = full.without("low")
    assert kept.names_of("high")[1] in kept.names
    np.testing.assert_allclose(
        kept.expected(EDGES), full.expected(EDGES, {"n_low": 0.0}), rtol=1e-12
    )  # fmt: skip
    with pytest.raises(InputError, match=r"^component: 'background' is the only one"):
        Spectrum({"background": Exponential()}, LIMITS).without("background")


def test_constraints() -> None:
    """A second constraint on a parameter replaces the first; positive ones bring the limit."""
    spectrum = peak_on_slope().constrain_gaussian("signal_mean", 150.0, 1.0)
    spectrum = spectrum.constrain_gaussian("signal_mean", 151.0, 2.0)
    assert [(c.centre, c.width) for c in spectrum.constraints] == [(151.0, 2.0)]
    assert peak_on_slope().constrain_log_normal("n_signal", 10.0, 1.2).parameters["n_signal"].lower == 0.0
    assert peak_on_slope().constrain_poisson("n_signal", 0, 2.0).parameters["n_signal"].lower == 0.0


def test_expected_and_density() -> None:
    """Against the formulas, component by component."""
    spectrum = peak_on_slope().start(n_signal=-40.0, n_background=900.0)
    np.testing.assert_allclose(spectrum.expected(EDGES), naive.expected(spectrum, EDGES, {}), rtol=1e-8)
    parts = spectrum.expected_by_component(EDGES, {"n_signal": 50.0})
    assert parts["signal"].sum() == pytest.approx(50.0, rel=1e-7)
    assert parts["background"].sum() == pytest.approx(900.0, rel=1e-7)
    x = np.linspace(*LIMITS, 2001)
    assert np.trapezoid(spectrum.density(x), x) == pytest.approx(860.0, rel=1e-5)
    np.testing.assert_array_equal(spectrum.density([131.0, 169.0]), 0.0)


def test_sample() -> None:
    """Contents are Poisson around the expectation; every toy of a seed has its own stream."""
    spectrum = peak_on_slope().start(n_signal=500.0, n_background=5e3)
    toys = [spectrum.sample(rng=8, index=i) for i in range(40)]
    counts = np.array([np.histogram(x, EDGES)[0] for x in toys])
    expected = spectrum.expected(EDGES)
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert scipy.stats.chi2.sf(chi2, counts.size) > 1e-3
    assert scipy.stats.chi2.cdf(chi2, counts.size) > 1e-3
    np.testing.assert_array_equal(spectrum.sample(rng=8, index=17), toys[17])
    assert not np.array_equal(toys[0][:5], toys[1][:5])
    fine = np.concatenate(toys)
    grid = np.linspace(*LIMITS, 4001)
    cdf = np.concatenate([[0.0], np.cumsum(spectrum.expected(grid))]) / spectrum.expected(grid).sum()
    assert scipy.stats.kstest(fine, lambda t: np.interp(t, grid, cdf)).pvalue > 1e-3
    with pytest.raises(InputError, match=r"^values: make the density negative"):
        spectrum.sample({"n_signal": -4000.0}, rng=1)


def test_sample_of_a_template() -> None:
    """Bins of the template with no content get no events."""
    shape = Template(Histogram(Regular(4, 0.0, 1.0)).fill([0.1, 0.6, 0.6]))
    x = Spectrum({"only": shape}, (0.0, 1.0)).start(n_only=900.0).sample(rng=1)
    counts = np.histogram(x, np.linspace(0.0, 1.0, 5))[0]
    assert counts[1] == counts[3] == 0
    assert counts[2] / counts[0] == pytest.approx(2.0, rel=0.3)


def test_guess() -> None:
    """Near the truth, fixed parameters untouched, limits kept."""
    truth = peak_on_slope().start(n_signal=800.0, n_background=1e4)
    contents = truth.expected(EDGES, {"signal_mean": 144.0})
    guess = truth.guess(EDGES, contents)
    assert guess.values["signal_mean"] == pytest.approx(144.0, abs=1.5)
    assert guess.values["n_signal"] == pytest.approx(800.0, rel=0.5)
    assert guess.values["n_signal"] + guess.values["n_background"] == pytest.approx(10_800.0, rel=1e-3)
    assert guess.values["background_slope"] == pytest.approx(-0.02, rel=0.2)
    fixed = truth.fix(signal_mean=150.0).limit(n_signal=(0.0, 100.0)).guess(EDGES, contents)
    assert fixed.values["signal_mean"] == 150.0
    assert fixed.values["n_signal"] <= 100.0


@settings(deadline=None, max_examples=30)
@given(st.floats(-500.0, 2000.0), st.floats(0.0, 1e5), st.floats(135.0, 165.0))
def test_yields_are_linear(n_signal: float, n_background: float, mean: float) -> None:
    """Expectations add up and scale with the yields."""
    spectrum = peak_on_slope()
    values = {"n_signal": n_signal, "n_background": n_background, "signal_mean": mean}
    both = spectrum.expected(EDGES, values)
    parts = [spectrum.expected(EDGES, {**values, name: 0.0}) for name in ("n_signal", "n_background")]
    np.testing.assert_allclose(both, parts[0] + parts[1], rtol=1e-12, atol=1e-12)
    twice = spectrum.expected(EDGES, {**values, "n_signal": 2 * n_signal, "n_background": 2 * n_background})
    np.testing.assert_allclose(twice, 2.0 * both, rtol=1e-12, atol=1e-300)


def described() -> dict[str, Spectrum]:
    """Return spectra that differ from the first in one thing each."""
    base = two_peaks()
    filled = Histogram(Regular(4, *LIMITS)).fill([140.0, 150.0, 150.0])
    other = Histogram(Regular(4, *LIMITS)).fill([140.0, 140.0, 150.0])

    def with_background(shape: Shape) -> Spectrum:
        return Spectrum({**base.components, "background": shape}, LIMITS)

    return {
        "": base,
        "range": Spectrum(base.components, (131.0, 168.0)).start(**base.values),
        "name": Spectrum({"left": Gaussian(140.0, 2.0), **dict(list(base.components.items())[1:])}, LIMITS),
        "order": Spectrum(dict(reversed(base.components.items())), LIMITS).start(**base.values),
        "value": base.start(low_mean=141.0),
        "yield": base.start(n_low=101.0),
        "fixed": base.fix("low_mean"),
        "lower": base.limit(low_mean=(130.0, np.inf)),
        "upper": base.limit(low_mean=(-np.inf, 160.0)),
        "shared": base.share("low_sigma", "high_sigma"),
        "shared the other way": base.share("high_sigma", "low_sigma"),
        "gaussian": base.constrain_gaussian("low_mean", 140.0, 1.0),
        "centre": base.constrain_gaussian("low_mean", 140.5, 1.0),
        "width": base.constrain_gaussian("low_mean", 140.0, 2.0),
        "log-normal": base.constrain_log_normal("low_mean", 140.0, 2.0),
        "poisson": base.constrain_poisson("low_mean", 140, 1.0),
        "family": with_background(Bernstein(1)),
        "degree": with_background(Polynomial(2)),
        "energy": with_background(PolyLogExponential()),
        "another energy": with_background(PolyLogExponential(energy=8_000.0)),
        "template": with_background(Template(filled)),
        "contents": with_background(Template(other)),
        "function": with_background(CustomShape(lambda x, a: np.exp(-a * x), {"a": 0.02})),
        "edited function": with_background(CustomShape(lambda x, a: np.exp(-a * x * 1.01), {"a": 0.02})),
        "resolution": with_background(CustomShape(lambda x, a: np.exp(-a * x), {"a": 0.02}, resolution=0.5)),
    }


def test_descriptions() -> None:
    """In JSON types; they differ with whatever a fit may notice, and are the same for the same arguments."""
    texts = {name: json.dumps(spectrum.describe(), allow_nan=False) for name, spectrum in described().items()}
    assert len(set(texts.values())) == len(texts)
    assert {name: json.dumps(spectrum.describe()) for name, spectrum in described().items()} == texts
    spectrum = described()["gaussian"]
    spectrum.expected(EDGES)
    spectrum.sample(rng=1)
    assert json.dumps(spectrum.describe()) == texts["gaussian"]
    copied = pickle.loads(pickle.dumps(described()["template"]))
    assert json.dumps(copied.describe()) == texts["template"]


def test_description_of_a_shape() -> None:
    """Its kind, what it was made with, and its parameters with value and limits."""
    assert Gaussian(150.0, 2.4).describe() == {
        "shape": "Gaussian",
        "parameters": {"mean": [150.0, None, None], "sigma": [2.4, Gaussian().parameters[1].lower, None]},
    }
    energies = [PolyLogExponential(energy=energy).describe() for energy in (8e3, 13e3)]
    assert energies[0] != energies[1]
    assert energies[0]["energy"] == 8e3


BAD: dict[str, tuple[Any, str]] = {
    "no components": (lambda: Spectrum({}, LIMITS), "components: is empty"),
    "a name with a blank": (lambda: Spectrum({"a b": Gaussian()}, LIMITS), "components: has the name 'a b'"),
    "an empty name": (lambda: Spectrum({"": Gaussian()}, LIMITS), "components: has the name ''"),
    "not a shape": (lambda: Spectrum({"a": np.exp}, LIMITS), r"components\['a'\]: is"),
    "empty range": (lambda: Spectrum({"a": Gaussian()}, (1.0, 1.0)), r"range: is \(1, 1\), which is empty"),
    "NaN in the range": (lambda: Spectrum({"a": Gaussian()}, (np.nan, 1.0)), r"range\[0\]: is nan"),
    "text as range": (lambda: Spectrum({"a": Gaussian()}, "ab"), r"range\[0\]: is 'a'"),
    "unknown parameter": (lambda: peak_on_slope().fix("mean"), "mean: is no parameter of this spectrum"),
    "unknown value": (lambda: peak_on_slope().expected(EDGES, {"mean": 1.0}), "mean: is no parameter"),
    "NaN value": (lambda: peak_on_slope().start(n_signal=np.nan), "n_signal: is nan"),
    "text value": (lambda: peak_on_slope().fix(n_signal="many"), "n_signal: is 'many', not a number"),
    "value outside limits": (lambda: peak_on_slope().start(n_background=-1.0), "n_background: is -1, outside"),
    "crossed limits": (lambda: peak_on_slope().limit(n_signal=(2.0, 1.0)), "n_signal: has limits"),
    "NaN limit": (lambda: peak_on_slope().limit(n_signal=(np.nan, 1.0)), "n_signal: has limits"),
    "no pair of limits": (lambda: peak_on_slope().limit(n_signal=3.0), "n_signal"),
    "share a yield": (lambda: two_peaks().share("n_low", "n_high"), "share: cannot make n_high"),
    "share itself": (lambda: two_peaks().share("low_sigma", "low_sigma"), "share: cannot make low_sigma"),
    "zero width": (lambda: peak_on_slope().constrain_gaussian("n_signal", 1.0, 0.0), "width: is 0"),
    "kappa of 1": (lambda: peak_on_slope().constrain_log_normal("n_signal", 1.0, 1.0), "kappa: is 1"),
    "negative centre": (lambda: peak_on_slope().constrain_log_normal("n_signal", -1.0, 1.1), "centre: is -1"),
    "negative count": (lambda: peak_on_slope().constrain_poisson("n_signal", -1, 1.0), "count: is -1"),
    "unknown constraint": (lambda: peak_on_slope().constrain_gaussian("m", 1.0, 1.0), "m: is no parameter"),
    "unknown component": (lambda: peak_on_slope().without("peak"), "component: is 'peak'"),
    "falling edges": (lambda: peak_on_slope().expected([160.0, 140.0]), "(edges|range)"),
    "NaN edges": (lambda: peak_on_slope().expected([np.nan, 140.0]), "edges: has 1 NaN"),
    "text as seed": (lambda: peak_on_slope().sample(rng="abc"), "rng: is 'abc'"),
    "zero bins": (lambda: peak_on_slope().sample(rng=1, bins=0), "bins"),
    "lengths": (lambda: peak_on_slope().guess(EDGES, np.ones(3)), "contents"),
    "NaN contents": (lambda: peak_on_slope().guess(EDGES, np.full(36, np.nan)), "contents: has 36 NaN"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case: str) -> None:
    """One error that names the argument, the value and the remedy."""
    call, message = BAD[case]
    with pytest.raises(InputError, match=f"^{message}") as caught:
        call()
    assert caught.value.remedy


def test_clashing_parameters() -> None:
    """Two components may not bring one name."""

    class Odd(Gaussian):
        """Gaussian whose mean is called b_mean."""

        def __init__(self) -> None:
            super().__init__()
            first = self.parameters[0]
            self.parameters = (type(first)("b_mean", 0.0), *self.parameters[1:])

    with pytest.raises(InputError, match=r"^components: bring the parameter a_b_mean twice"):
        Spectrum({"a": Odd(), "a_b": Voigt()}, (-5.0, 5.0))

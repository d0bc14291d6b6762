"""Choice of the background: comparison of candidates, spurious signals, and shapes by name."""

import numpy as np
import pytest
from scipy import stats

from hepstat.errors import InputError
from hepstat.fit import fit
from hepstat.histogram import Histogram, Regular
from hepstat.search import (
    BACKGROUNDS,
    SIGNALS,
    BackgroundComparison,
    SpuriousSignal,
    background_shape,
    compare_backgrounds,
    demo_events,
    demo_spectrum,
    signal_shape,
    spurious_signal,
)
from hepstat.shapes import Exponential, ExpPolynomial, Gaussian, Spectrum

POSITIONS = np.arange(135.0, 165.5, 1.0)


def _binned(events, bins=36, low=132.0, high=168.0):
    return Histogram(Regular(bins, low, high)).fill(events)


@pytest.fixture(scope="module")
def events():
    """The demonstration's masses."""
    return demo_events()


def _curved(order):
    """Counts of 20,000 events expected from an exponential of a polynomial of second order."""
    spectrum = Spectrum({"background": ExpPolynomial(2)}, (0.0, 10.0))
    values = {"n_background": 20_000.0, "background_c1": -0.1, "background_c2": -0.01 if order == 2 else 0.0}
    return _binned(spectrum.sample(values, 3), 50, 0.0, 10.0)


@pytest.mark.parametrize("test", ["likelihood", "f"])
@pytest.mark.parametrize("order", [1, 2])
def test_the_order_is_found(test, order):
    """Curvature of some 20 standard errors is seen, none is not."""
    candidates = {f"order {k}": ExpPolynomial(k) for k in (1, 2, 3)}
    result = compare_backgrounds(candidates, _curved(order), (0.0, 10.0), test=test)
    assert result.chosen == f"order {order}"
    assert int(np.argmin(result.bic)) == order - 1
    assert result.n_parameters.tolist() == [2, 3, 4]
    assert result.chosen in repr(result)
    assert result.table().row_count == 3
    assert BackgroundComparison.from_json(result.to_json()).to_json() == result.to_json()


def test_criteria_against_their_formulas():
    """AIC, its correction, BIC, the likelihood ratio and F tests, from the fits."""
    data = _curved(2)
    candidates = {"1": ExpPolynomial(1), "2": ExpPolynomial(2)}
    result = compare_backgrounds(candidates, data, (0.0, 10.0))
    nll = np.array([fit(Spectrum({"background": s}, (0.0, 10.0)), data).nll for s in candidates.values()])
    np.testing.assert_allclose(result.nll, nll, atol=1e-6)
    k, n = np.array([2, 3]), 50
    np.testing.assert_allclose(result.aic, 2 * k + 2 * nll)
    np.testing.assert_allclose(result.aic_corrected, 2 * k + 2 * nll + 2 * k * (k + 1) / (n - k - 1))
    np.testing.assert_allclose(result.bic, k * np.log(n) + 2 * nll)
    assert result.p_next[0] == pytest.approx(stats.chi2.sf(2 * (nll[0] - nll[1]), 1))
    f = (result.chi2[0] - result.chi2[1]) / (result.chi2[1] / result.ndof[1])
    other = compare_backgrounds(candidates, data, (0.0, 10.0), test="f")
    assert other.p_next[0] == pytest.approx(stats.f.sf(f, 1, 47))


def test_unbinned_candidates(events):
    """The number of data is that of events, and there is no chi2."""
    result = compare_backgrounds({"one": Exponential()}, events, (132.0, 168.0))
    assert np.isnan(result.chi2[0])
    assert result.bic[0] == pytest.approx(2 * np.log(events.size) + 2 * result.nll[0])
    assert result.chosen == "one"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"candidates": {}}, "candidates: is empty"),
        ({"test": "t"}, "test: is 't'"),
        ({"alpha": 1.0}, "alpha: is 1"),
        ({"test": "f", "data": [135.0, 140.0]}, "not binned"),
    ],
)
def test_bad_arguments_of_the_comparison(events, change, message):
    """Each names the argument."""
    arguments = {"candidates": {"one": Exponential()}, "data": _binned(events), "range": (132.0, 168.0), **change}
    with pytest.raises(InputError, match=message):
        compare_backgrounds(**arguments)


def _expectation(shape, **values):
    spectrum = Spectrum({"background": shape}, (132.0, 168.0))
    axis = Regular(36, 132.0, 168.0)
    counts = spectrum.expected(axis.edges, {"n_background": 10_000.0, **values})
    return Histogram.from_values(axis, values=counts)


def test_no_spurious_signal_from_the_right_shape():
    """The expectation of the very family that is fitted gives none."""
    spectrum = Spectrum({"signal": Gaussian(150, 2.4), "background": Exponential(-0.02)}, (132.0, 168.0))
    result = spurious_signal(spectrum, _expectation(Exponential(), background_slope=-0.015), POSITIONS)
    assert np.abs(result.ratio).max() < 1e-3
    assert result.passed
    assert SpuriousSignal.from_json(result.to_json()).to_json() == result.to_json()


def test_spurious_signal_of_a_wrong_shape():
    """A straight exponential cannot follow a bulge, and calls it a signal."""
    spectrum = Spectrum({"signal": Gaussian(150, 2.4), "background": Exponential(-0.02)}, (132.0, 168.0))
    bulge = _expectation(ExpPolynomial(2), background_c1=0.285, background_c2=-0.001)
    result = spurious_signal(spectrum, bulge, POSITIONS)
    assert not result.passed
    middle = int(np.argmin(np.abs(POSITIONS - 150)))
    assert result.n_spurious[middle] > 0
    assert result.z[middle] == pytest.approx(result.ratio[middle], rel=0.1)
    assert result.table().row_count == POSITIONS.size
    assert "not passed" in repr(result)


def test_template_variances_do_not_matter():
    """The error is that of data, however precise the simulation."""
    spectrum = Spectrum({"signal": Gaussian(150, 2.4), "background": Exponential(-0.02)}, (132.0, 168.0))
    exact = _expectation(Exponential(), background_slope=-0.015)
    simulated = Histogram.from_values(exact.axes[0], values=exact.values(), variances=exact.values() / 100)
    one, other = (spurious_signal(spectrum, h, [150.0]) for h in (exact, simulated))
    assert one.error[0] == other.error[0]


def test_bad_arguments_of_the_spurious_signal():
    """Negative expectations, those in two dimensions, and tolerances are refused."""
    spectrum, h = demo_spectrum(), _expectation(Exponential(), background_slope=-0.015)
    with pytest.raises(InputError, match="tolerance"):
        spurious_signal(spectrum, h, [150.0], tolerance=0.0)
    negative = Histogram.from_values(h.axes[0], values=-h.values(), variances=h.values())
    with pytest.raises(InputError, match="expectation: has -"):
        spurious_signal(spectrum, negative, [150.0])
    flat = Histogram(Regular(36, 132.0, 168.0), Regular(2, 0.0, 1.0))
    with pytest.raises(InputError, match="expectation: has 2 axes"):
        spurious_signal(spectrum, flat, [150.0])


@pytest.mark.parametrize("name", BACKGROUNDS)
def test_backgrounds_by_name(name):
    """Every name makes a shape that a spectrum takes."""
    assert Spectrum({"background": background_shape(name)}, (132.0, 168.0)).names


def test_orders_and_energies_by_name():
    """They reach the shape."""
    assert len(background_shape("bernstein", 4).parameters) == 4
    assert len(background_shape("dijet", 5).parameters) == 4
    assert background_shape("poly-log-exponential", energy=8000.0).energy == 8000.0
    assert all(signal_shape(name).is_peak for name in SIGNALS)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "exponental"}, "Did you mean 'exponential'"),
        ({"name": "xyz"}, "Choose one of exponential"),
        ({"name": "exponential", "order": 2}, "order: is 2, but exponential has none"),
        ({"name": "bernstein", "energy": 13000.0}, "energy: is 13000, but bernstein has none"),
        ({"name": "bernstein", "order": 0}, "order"),
    ],
)
def test_bad_names(arguments, message):
    """Near misses are recognised."""
    with pytest.raises(InputError, match=message):
        background_shape(**arguments)

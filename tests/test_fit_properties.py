"""What every fit keeps: invariances, weights, limits, failures that are told, results that last."""

import json
from typing import Any

import naive_fit as naive
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iminuit import Minuit
from iminuit.cost import ExtendedBinnedNLL

from hepstat.fit import FitResult, fit, likelihood
from hepstat.histogram import Histogram, Regular, Variable
from hepstat.shapes import Exponential, Gaussian, PolyLogExponential, Polynomial, Spectrum

LIMITS = (132.0, 168.0)
EDGES = np.linspace(*LIMITS, 37)
CHUNK = 1 << 15  # events that are summed up together

FULL = Spectrum({"signal": Gaussian(150.0, 2.4), "background": Exponential(-0.02)}, LIMITS)
FULL = FULL.start(n_signal=300.0, n_background=3e3)
SIMPLE = FULL.fix("signal_mean", "signal_sigma")
EVENTS = SIMPLE.sample(rng=1)
WEIGHTS = np.random.default_rng(2).choice([-0.5, 0.5, 1.0, 2.0], len(EVENTS), p=[0.05, 0.3, 0.45, 0.2])
MANY = np.resize(SIMPLE.sample({"n_background": 1e5, "n_signal": 5e3}, rng=3), 3 * CHUNK + 1)


def filled(x: Any, weights: Any = None, bins: int = 36) -> Histogram:
    """Return the events in bins."""
    return Histogram(Regular(bins, *LIMITS)).fill(x, weights=weights)


def same_minimum(a: FitResult, b: FitResult, factor: float = 1.0, tolerance: float = 1e-3) -> None:
    """Check values in units of the errors; yields of `a` are `factor` times those of `b`."""
    assert a.valid
    assert b.valid
    for name in a.floating:
        size = factor if name.startswith("n_") else 1.0
        assert a.values[name] == pytest.approx(size * b.values[name], abs=tolerance * a.errors[name])


@pytest.mark.parametrize("n", [CHUNK - 1, CHUNK, 2 * CHUNK, 2 * CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 1])
@pytest.mark.parametrize("weighted", [False, True])
def test_workers_same_bits(n: int, weighted: bool) -> None:
    """Threads share the events of one fit in chunks, and change no bit."""
    x = MANY[:n]
    weights = np.random.default_rng(4).uniform(0.5, 2.0, n) if weighted else None
    one = fit(SIMPLE, x, weights=weights)
    assert one.valid
    for workers in (2, 4):
        several = fit(SIMPLE, x, weights=weights, workers=workers)
        assert several == one
        np.testing.assert_array_equal(several.covariance, one.covariance)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_order_of_events(seed: int) -> None:
    """A permutation changes the value by rounding only."""
    order = np.random.default_rng(seed).permutation(len(EVENTS))
    for weights in (None, np.abs(WEIGHTS)):
        moved = None if weights is None else weights[order]
        value = likelihood(SIMPLE, EVENTS, weights=weights).value(SIMPLE.values)
        assert likelihood(SIMPLE, EVENTS[order], weights=moved).value(SIMPLE.values) == pytest.approx(value, rel=1e-12)


@settings(deadline=None, max_examples=15)
@given(st.floats(1e-3, 1e3))
def test_scale_of_weights(factor: float) -> None:
    """Weights times a factor: yields and their errors follow, nothing else moves."""
    for data in (False, True):
        if data:
            a, b = fit(SIMPLE, filled(EVENTS, factor * np.abs(WEIGHTS))), fit(SIMPLE, filled(EVENTS, np.abs(WEIGHTS)))
            assert a.nll == pytest.approx(b.nll, rel=1e-6, abs=1e-6)
        else:
            a, b = fit(SIMPLE, EVENTS, weights=factor * WEIGHTS), fit(SIMPLE, EVENTS, weights=WEIGHTS)
        same_minimum(a, b, factor)
        for name in SIMPLE.floating:
            size = factor if name.startswith("n_") else 1.0
            assert a.errors[name] == pytest.approx(size * b.errors[name], rel=1e-3)


def test_weights_of_one_and_zero() -> None:
    """Equal weights change nothing but the kind of the covariance, events of weight zero nothing at all."""
    plain, ones = fit(SIMPLE, EVENTS), fit(SIMPLE, EVENTS, weights=np.ones(len(EVENTS)))
    same_minimum(plain, ones)
    assert (plain.covariance_kind, ones.covariance_kind) == ("hessian", "sandwich")
    for name in SIMPLE.floating:
        assert ones.errors[name] == pytest.approx(plain.errors[name], rel=0.15)  # the two agree on average only
    more = np.concatenate([EVENTS, np.linspace(133.0, 167.0, 50)])
    zeros = fit(SIMPLE, more, weights=np.concatenate([np.ones(len(EVENTS)), np.zeros(50)]))
    same_minimum(zeros, ones, tolerance=1e-6)
    doubled = fit(SIMPLE, np.concatenate([EVENTS, EVENTS]), weights=np.full(2 * len(EVENTS), 0.5))
    same_minimum(doubled, ones, tolerance=1e-6)


def test_splitting_bins() -> None:
    """Finer bins come to the unbinned result; merging bins of a flat fit changes nothing."""
    unbinned = fit(SIMPLE, EVENTS)
    fine = fit(SIMPLE, filled(EVENTS, bins=720))
    for name in SIMPLE.floating:
        assert fine.values[name] == pytest.approx(unbinned.values[name], abs=0.03 * unbinned.errors[name])
        assert fine.errors[name] == pytest.approx(unbinned.errors[name], rel=0.01)
    flat = Spectrum({"only": Polynomial(0)}, LIMITS)
    assert fit(flat, filled(EVENTS, bins=1)).values["n_only"] == pytest.approx(len(EVENTS), rel=1e-9)
    uneven = Histogram(Variable([132.0, 133.0, 140.0, 141.0, 168.0])).fill(EVENTS)
    assert fit(flat, uneven).values["n_only"] == pytest.approx(len(EVENTS), rel=1e-9)


def test_sandwich() -> None:
    """Weighted events: the covariance against H^-1 D H^-1 from differences of the naive likelihood."""
    spectrum = FULL.fix("signal_sigma")
    result = fit(spectrum, EVENTS, weights=WEIGHTS)
    assert result.valid
    assert result.covariance_kind == "sandwich"
    rows = [result.names.index(n) for n in spectrum.floating]
    sigma = np.sqrt(np.diagonal(result.covariance))[rows]
    expected = naive.sandwich(spectrum, EVENTS, WEIGHTS, result.values, 0.02 * sigma)
    scale = np.outer(sigma, sigma)
    np.testing.assert_allclose(result.covariance[np.ix_(rows, rows)] / scale, expected / scale, atol=2e-4)


def test_weighted_bins() -> None:
    """The scaled Poisson likelihood: naive value at the minimum, and iminuit's weighted ExtendedBinnedNLL."""
    h = filled(EVENTS, np.abs(WEIGHTS))
    result = fit(SIMPLE, h)
    assert result.valid
    assert result.covariance_kind == "scaled_poisson"
    scale = naive.bohm_zech_scale(h.values(), h.variances())
    assert result.nll == pytest.approx(naive.binned_nll(SIMPLE, EDGES, h.values(), result.values, scale), abs=1e-6)

    def integral(edges: Any, n_signal: float, n_background: float, slope: float) -> Any:
        values = {"n_signal": n_signal, "n_background": n_background, "background_slope": slope}
        return np.concatenate([[0.0], np.cumsum(SIMPLE.expected(edges, values))])

    table = np.column_stack([h.values(), h.variances()])
    minuit = Minuit(ExtendedBinnedNLL(table, EDGES, integral), 300.0, 3e3, -0.02)
    minuit.migrad()
    for name, value, error in zip(SIMPLE.floating, minuit.values, minuit.errors, strict=True):
        assert result.values[name] == pytest.approx(value, abs=0.05 * error)
        assert result.errors[name] == pytest.approx(error, rel=0.05)


def test_limits_hit() -> None:
    """A parameter at its limit is named, its error is 0, and the others are minimal there."""
    limited = SIMPLE.limit(n_signal=(0.0, 100.0), background_slope=(-1.0, -0.03))
    for data in (EVENTS, filled(EVENTS)):
        result = fit(limited, data)
        assert result.valid
        assert set(result.at_limit) == {"n_signal", "background_slope"}
        assert result.values["n_signal"] == 100.0
        assert result.errors["n_signal"] == 0.0
        there = fit(limited.fix(n_signal=100.0, background_slope=-0.03), data)
        assert result.nll == pytest.approx(there.nll, abs=1e-7)
        assert "at limit" in repr(result)
        assert likelihood(limited, data).minuit().limits["n_signal"] == (0.0, 100.0)


@pytest.mark.parametrize("binned", [True, False])
def test_negative_yield(binned: bool) -> None:
    """A deficit fits with a negative signal while the total stays positive."""
    hole = {"n_signal": -150.0, "n_background": 3e3}
    x = SIMPLE.sample(hole, rng=6)
    result = fit(SIMPLE, filled(x) if binned else x)
    assert result.valid
    assert result.values["n_signal"] == pytest.approx(-150.0, abs=3.0 * result.errors["n_signal"])
    assert SIMPLE.density(np.linspace(*LIMITS, 500), result.values).min() > 0


@pytest.mark.parametrize("binned", [True, False])
def test_density_never_negative(binned: bool) -> None:
    """No events at all where the signal is: the fit ends at the edge, says so, and the density is not negative."""
    x = np.concatenate([np.linspace(132.0, 142.0, 20), np.linspace(158.0, 168.0, 15)])
    result = fit(SIMPLE, filled(x) if binned else x)
    assert result.values["n_signal"] < 0
    assert result.expected.min() > -1e-3
    assert np.isfinite(result.nll)
    assert result.valid or "NOT VALID" in repr(result)


def test_invalid_fits_are_told() -> None:
    """What a fit cannot find is said in words, not hidden in numbers."""
    flat = Spectrum({"a": Exponential(-0.02), "b": Exponential(-0.02)}, LIMITS)
    result = fit(flat, EVENTS[:200], start={"a_slope": -0.02, "b_slope": -0.02, "n_a": 100.0, "n_b": 100.0})
    assert not result.valid
    assert "NOT VALID" in repr(result)
    assert result.status != "converged"
    away = fit(SIMPLE.fix(background_slope=-60.0), filled(EVENTS))
    assert not away.valid
    assert FitResult.from_json(away.to_json()).status == away.status


@pytest.mark.parametrize("binned", [True, False])
def test_round_trip(binned: bool) -> None:
    """JSON and back, readable, also without NaN in strict JSON."""
    result = fit(SIMPLE, filled(EVENTS) if binned else EVENTS)
    text = result.to_json()
    again = FitResult.from_json(text)
    assert again == result
    assert repr(again) == repr(result)
    np.testing.assert_array_equal(again.covariance, result.covariance)
    assert "NaN" not in text
    assert json.loads(text)["names"] == list(result.names)
    shown = repr(result)
    assert shown.startswith(f"FitResult ({'binned' if binned else 'unbinned'}, valid")
    assert all(name in shown for name in result.names)
    assert "fixed" in shown
    assert again != fit(SIMPLE, EVENTS[:-1])


def test_result() -> None:
    """Fixed parameters have no error, the correlation is one, expected contents add up to the yields."""
    result = fit(SIMPLE, filled(EVENTS))
    assert result.errors["signal_mean"] == 0.0
    assert result.n_floating == 3
    np.testing.assert_array_equal(np.diagonal(result.correlation), 1.0)
    assert np.abs(result.correlation).max() <= 1.0 + 1e-12
    assert result.expected.sum() == pytest.approx(len(EVENTS), rel=1e-6)
    np.testing.assert_array_equal(result.observed, filled(EVENTS).values())


def test_blind() -> None:
    """Blinded bins have no say, whatever is in them."""
    h = filled(EVENTS)
    changed = h.values()
    changed[12:24] += 1000.0
    other = Histogram.from_values(Regular(36, *LIMITS), values=changed)
    bare = SIMPLE.without("signal")
    a, b = fit(bare, h, blind=(144.0, 156.0)), fit(bare, other, blind=(144.0, 156.0))
    assert a.values["n_background"] == pytest.approx(b.values["n_background"], rel=1e-6)
    assert a.used.sum() == 24
    assert likelihood(bare, h, blind=(144.0, 156.0)).n_data == 24


@pytest.mark.parametrize("kind", ["gaussian", "log_normal", "poisson"])
def test_constraints_pull(kind: str) -> None:
    """A tight constraint wins, its width is the error."""
    centre = 250.0
    if kind == "gaussian":
        spectrum, width = SIMPLE.constrain_gaussian("n_signal", centre, 0.5), 0.5
    elif kind == "log_normal":
        spectrum, width = SIMPLE.constrain_log_normal("n_signal", centre, 1.002), centre * np.log(1.002)
    else:
        spectrum, width = SIMPLE.constrain_poisson("n_signal", 250_000, 1000.0), 0.5
    result = fit(spectrum, filled(EVENTS))
    assert result.valid
    assert result.values["n_signal"] == pytest.approx(centre, abs=1.0)
    assert result.errors["n_signal"] == pytest.approx(width, rel=0.01)


def test_orthogonal_basis_reports_users_parameters() -> None:
    """The covariance in raw parameters is that of a fit in the raw basis, where a limit far away forbids mixing."""
    mixed = Spectrum({"b": PolyLogExponential().with_values(c0=5.0, c1=-4.0, c2=-0.1)}, LIMITS).start(n_b=1e6)
    raw = mixed.limit(b_c2=(-1e7, 1e7))
    h = Histogram.from_values(Regular(36, *LIMITS), values=np.random.default_rng(1).poisson(mixed.expected(EDGES)))
    a, b = fit(mixed, h), fit(raw, h)
    assert a.nll == pytest.approx(b.nll, abs=1e-6)
    for name in mixed.floating:
        assert a.values[name] == pytest.approx(b.values[name], abs=0.02 * a.errors[name])
        assert a.errors[name] == pytest.approx(b.errors[name], rel=0.02)

"""One fit: likelihood and derivatives against the slow versions, minima and errors against iminuit."""

from typing import Any

import naive_fit as naive
import numpy as np
import pytest
from fit_families import spectrum_of
from iminuit import Minuit
from iminuit.cost import ExtendedBinnedNLL, ExtendedUnbinnedNLL
from numba_stats import expon, norm

from hepstat.fit import FitResult, fit, likelihood
from hepstat.histogram import Histogram, Regular
from hepstat.shapes import (
    BreitWigner,
    CrystalBall,
    Exponential,
    ExpPolynomial,
    Gaussian,
    PolyLogExponential,
    Polynomial,
    Spectrum,
    Template,
    Voigt,
)

LIMITS = (132.0, 168.0)
EDGES = np.linspace(*LIMITS, 37)
TEMPLATE = Template(Histogram(Regular(12, *LIMITS)).fill(np.random.default_rng(3).normal(150.0, 3.0, 4000)))


def on(peak: Any, background: Any = None) -> Spectrum:
    """Return a peak of 400 on 4000 events."""
    background = Exponential(-0.02) if background is None else background
    both = Spectrum({"signal": peak, "background": background}, LIMITS)
    return both.start(n_signal=400.0, n_background=4e3)


def two_peaks() -> Spectrum:
    """Two Gaussians of one width on a curved exponential."""
    shapes = {
        "low": Gaussian(140.0, 1.8),
        "high": Gaussian(155.0, 1.8),
        "background": ExpPolynomial(2).with_values(c1=-0.07, c2=1.6e-4),
    }
    both = Spectrum(shapes, LIMITS).start(n_low=300.0, n_high=-40.0, n_background=3e3)
    return both.share("low_sigma", "high_sigma")


POLY_LOG = PolyLogExponential().with_values(c0=5.0, c1=-4.0, c2=-0.1)
MODELS = {
    "gaussian": on(Gaussian(150.0, 2.4)),
    "fixed gaussian, orthogonal background": on(Gaussian(150.0, 2.4), POLY_LOG).fix("signal_mean", "signal_sigma"),
    "limited background, raw basis": on(Gaussian(150.0, 2.4), POLY_LOG).limit(background_c0=(-50.0, 50.0)),
    "fixed background parameter": on(Gaussian(150.0, 2.4), POLY_LOG).fix("background_c0"),
    "shared width": two_peaks(),
    "gaussian constraint": on(Gaussian(150.0, 2.4)).constrain_gaussian("signal_sigma", 2.2, 0.1),
    "log-normal constraint": on(Gaussian(150.0, 2.4)).constrain_log_normal("signal_sigma", 2.2, 1.07),
    "Poisson constraint": on(Gaussian(150.0, 2.4)).constrain_poisson("n_background", 8200, 2.0),
    "constrained slope": on(Gaussian(150.0, 2.4), POLY_LOG).constrain_gaussian("background_c1", -4.0, 0.5),
    "voigt": on(Voigt(150.0, 2.0, 1.5)),
    "breit-wigner": on(BreitWigner(150.0, 2.0), Polynomial(2).with_values(a1=-0.4, a2=0.1)),
    "crystal ball": on(CrystalBall(150.0, 2.0, 1.3, 3.0, 1.6, 4.0)).fix("signal_n_low", "signal_n_high"),
    "template": on(TEMPLATE),
    "bernstein": spectrum_of("bernstein_2", signal=True, n_signal=300.0),
    "power laws": spectrum_of("sum_of_power_laws_2", signal=True, n_signal=300.0),
    "dijet": spectrum_of("dijet_4", signal=True, n_signal=300.0),
}
every_model = pytest.mark.parametrize("name", MODELS)


def events_of(spectrum: Spectrum, n: int = 900) -> Any:
    """Return events from the spectrum, its yields scaled to some n."""
    total = sum(v for k, v in spectrum.values.items() if k.startswith("n_"))
    scaled = {k: abs(v) * n / total for k, v in spectrum.values.items() if k.startswith("n_")}
    return spectrum.sample(scaled, rng=4)


def binned(spectrum: Spectrum, events: Any, bins: int = 36) -> Histogram:
    """Return the events in bins."""
    return Histogram(Regular(bins, *spectrum.range)).fill(events)


def sigmas_of(spectrum: Spectrum) -> Any:
    """Return a scale of each floating parameter: its standard deviation, the others held, on the expected contents."""
    edges = np.linspace(*spectrum.range, 37)
    expected = Histogram.from_values(Regular(36, *spectrum.range), values=spectrum.expected(edges))
    ours = likelihood(spectrum, expected)
    free = [ours.names.index(n) for n in spectrum.floating]
    return 1.0 / np.sqrt(np.diagonal(ours.derivatives(spectrum.values)[2])[free])


@every_model
@pytest.mark.parametrize("kind", ["binned", "unbinned", "weighted bins", "weighted events"])
def test_derivatives(name: str, kind: str) -> None:
    """Value, gradient and Hessian against the naive value and differences, in units of the standard deviations."""
    spectrum = MODELS[name]
    events = events_of(spectrum)
    weights = np.random.default_rng(6).choice([0.5, 1.0, 3.0], len(events)) if "weighted" in kind else None
    if "events" in kind or kind == "unbinned":
        ours = likelihood(spectrum, events, weights=weights)

        def slow(theta: Any) -> float:
            return naive.unbinned_nll(spectrum, events, dict(zip(ours.names, theta, strict=True)), factor)

        factor: Any = 1.0 if weights is None else weights
    else:
        h = Histogram(Regular(36, *spectrum.range)).fill(events, weights=weights)
        ours = likelihood(spectrum, h)

        def slow(theta: Any) -> float:
            values = dict(zip(ours.names, theta, strict=True))
            return naive.binned_nll(spectrum, h.axes[0].edges, h.values(), values, factor)

        factor = naive.bohm_zech_scale(h.values(), h.variances()) if weights is not None else 1.0
    theta = np.array([spectrum.values[n] for n in ours.names])
    value, gradient, hessian = ours.derivatives(theta)
    free = np.array([ours.names.index(n) for n in spectrum.floating])
    assert value == pytest.approx(slow(theta), rel=3e-6, abs=1e-6)
    sigma = sigmas_of(spectrum)

    def at(point: Any) -> Any:
        full = theta.copy()
        full[free] = point
        return full

    numerical = naive.gradient(lambda t: slow(at(t)), theta[free], 0.02 * sigma)
    loose = 1000.0 if name == "crystal ball" else 1.0  # second derivatives jump where its tails begin
    np.testing.assert_allclose(gradient[free] * sigma, numerical * sigma, rtol=1e-5 * loose, atol=1e-4 * loose)
    numerical = naive.hessian(lambda t: ours.derivatives(at(t))[1][free], theta[free], 0.02 * sigma)
    both = np.outer(sigma, sigma)
    np.testing.assert_allclose(
        hessian[np.ix_(free, free)] * both, numerical * both, rtol=1e-5 * loose, atol=1e-5 * loose
    )
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-9, atol=1e-9 * np.abs(hessian).max())


@every_model
@pytest.mark.parametrize("kind", ["binned", "unbinned"])
def test_against_minuit(name: str, kind: str) -> None:
    """The same minimum, errors and covariance through the bridge."""
    spectrum = MODELS[name]
    events = events_of(spectrum, 8000)
    data = binned(spectrum, events) if kind == "binned" else events
    ours = fit(spectrum, data, start=spectrum.values)
    assert ours.valid, ours
    assert ours.edm < 1e-7
    assert all(ours.errors[n] == 0.0 for n in ours.at_limit)
    free = [n for n in spectrum.floating if n not in ours.at_limit]
    rows = [ours.names.index(n) for n in free]
    hessian = likelihood(spectrum, data).derivatives(ours.values)[2][np.ix_(rows, rows)]
    sigma = np.array([ours.errors[n] for n in free])
    product = (hessian * np.outer(sigma, sigma)) @ ours.correlation[np.ix_(rows, rows)]
    np.testing.assert_allclose(product, np.eye(len(rows)), atol=1e-3)

    minuit = likelihood(spectrum, data).minuit(ours)
    minuit.strategy = 2
    minuit.tol = 1e-4
    minuit.migrad()
    assert 2.0 * ours.nll <= minuit.fval + 1e-6
    assert 2.0 * ours.nll == pytest.approx(minuit.fval, abs=1e-3)
    if np.linalg.cond(ours.correlation[np.ix_(rows, rows)]) > 100.0:
        return  # its Hessian, from differences of raw parameters, is not that good
    minuit.hesse()
    assert minuit.valid
    for n in free:  # Minuit's errors, from differences, are good to some percent
        assert ours.values[n] == pytest.approx(minuit.values[n], abs=0.02 * ours.errors[n])
        assert ours.errors[n] == pytest.approx(minuit.errors[n], rel=0.1)
    theirs = np.array([[minuit.covariance.correlation()[a, b] for b in free] for a in free])
    np.testing.assert_allclose(ours.correlation[np.ix_(rows, rows)], theirs, atol=0.05)


def test_against_independent_binned_cost() -> None:
    """ExtendedBinnedNLL of iminuit with numba-stats finds the same numbers."""
    spectrum = MODELS["gaussian"]
    h = binned(spectrum, events_of(spectrum, 5000))

    def integral(edges: Any, n_signal: float, n_background: float, mean: float, sigma: float, slope: float) -> Any:
        peak = norm.cdf(edges, mean, sigma)
        fall = np.exp(slope * (edges - LIMITS[0]))
        return n_signal * (peak - peak[0]) / (peak[-1] - peak[0]) + n_background * (fall - fall[0]) / (
            fall[-1] - fall[0]
        )

    minuit = Minuit(ExtendedBinnedNLL(h.values(), EDGES, integral), 400.0, 4e3, 150.0, 2.4, -0.02)
    minuit.limits["sigma"] = (0.1, 20.0)
    minuit.migrad()
    minuit.hesse()
    compare(fit(spectrum, h), minuit)


def test_against_independent_unbinned_cost() -> None:
    """ExtendedUnbinnedNLL of iminuit with numba-stats finds the same numbers."""
    spectrum = MODELS["gaussian"]
    x = events_of(spectrum, 3000)

    def density(x: Any, n_signal: float, n_background: float, mean: float, sigma: float, slope: float) -> Any:
        inside = norm.cdf(np.array(LIMITS), mean, sigma)
        peak = norm.pdf(x, mean, sigma) / (inside[1] - inside[0])
        fall = expon.pdf(x, LIMITS[0], -1.0 / slope) / expon.cdf(np.array([LIMITS[1]]), LIMITS[0], -1.0 / slope)
        return n_signal + n_background, n_signal * peak + n_background * fall

    minuit = Minuit(ExtendedUnbinnedNLL(x, density), 400.0, 4e3, 150.0, 2.4, -0.02)
    minuit.limits["slope"] = (-0.2, -1e-4)
    minuit.limits["sigma"] = (0.1, 20.0)
    minuit.migrad()
    minuit.hesse()
    compare(fit(spectrum, x), minuit)


def compare(ours: FitResult, minuit: Minuit) -> None:
    """Check values, errors and covariance; parameters are in the same order."""
    assert ours.valid
    assert minuit.valid
    for name, value, error in zip(ours.names, minuit.values, minuit.errors, strict=True):
        assert ours.values[name] == pytest.approx(value, abs=0.02 * error)
        assert ours.errors[name] == pytest.approx(error, rel=0.01)
    scale = np.outer(list(minuit.errors), list(minuit.errors))
    np.testing.assert_allclose(ours.covariance / scale, np.array(minuit.covariance) / scale, atol=0.02)


def test_minos_contour_and_profile() -> None:
    """What comes from iminuit works on our cost: its interval ends where the likelihood has risen by 1/2."""
    spectrum = MODELS["fixed gaussian, orthogonal background"]
    h = binned(spectrum, events_of(spectrum, 3000))
    result = fit(spectrum, h)
    small = spectrum.fix("background_c0", "background_c2")
    minuit = likelihood(small, h).minuit(fit(small, h))
    assert minuit.errordef == 1.0
    assert minuit.ndof == 36 - 3
    minuit.migrad()
    minuit.minos("n_signal")
    best = fit(small, h)
    for side in ("upper", "lower"):
        moved = best.values["n_signal"] + getattr(minuit.merrors["n_signal"], side)
        assert fit(small.fix(n_signal=moved), h).nll - best.nll == pytest.approx(0.5, abs=5e-3)
    assert len(minuit.mncontour("n_signal", "n_background", size=12)) >= 12
    x, y, _ = minuit.mnprofile("n_signal", size=5)
    assert len(x) == 5
    assert y.min() >= minuit.fval - 1e-6
    assert result.n_floating == 5


def test_costs_add_up() -> None:
    """Two data sets share the parameters of the same name."""
    spectrum = MODELS["gaussian"].fix("signal_mean", "signal_sigma")
    x, y = events_of(spectrum, 1500), events_of(spectrum, 700)
    both = likelihood(spectrum, x).cost() + likelihood(spectrum, binned(spectrum, y)).cost()
    values = [spectrum.values[n] for n in spectrum.floating]
    assert set(both._parameters) == set(spectrum.floating)
    parts = [likelihood(spectrum, data).value(spectrum.values) for data in (x, binned(spectrum, y))]
    assert both(*values) == pytest.approx(2.0 * sum(parts), rel=1e-12)
    minuit = Minuit(both, **{n: spectrum.values[n] for n in spectrum.floating})
    minuit.migrad()
    assert minuit.valid
    assert minuit.values["n_background"] + minuit.values["n_signal"] == pytest.approx(0.5 * (len(x) + len(y)), rel=0.01)


@pytest.mark.parametrize("data", ["bins", "events"])
def test_cost_where_there_is_no_likelihood(data: str) -> None:
    """A minimiser may ask anywhere: infinity, or NaN for NaN, and no error; derivatives are allowed to be anything."""
    spectrum = MODELS["fixed gaussian, orthogonal background"]
    x = events_of(spectrum, 300)
    cost = likelihood(spectrum, x if data == "events" else binned(spectrum, x)).cost()
    start = [spectrum.values[n] for n in spectrum.floating]
    for bad in ([np.nan] * len(start), [np.inf, *start[1:]], [-1e6, *start[1:]], [start[0], 0.0, *start[2:]]):
        assert not np.isfinite(cost(*bad)) or bad[1] == 0.0
        assert cost.grad(*bad).shape == (len(start),)
    assert np.isfinite(cost(*start))

"""Toys with negative weights: samples against densities, integrals, and where they are negative."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import chi2

from hepstat.errors import InputError
from hepstat.studies.interference import CounterTerms, DoubleSlit, Resonance

N = 100_000


def assert_agrees(counts, expected):
    """Counts of bins agree with their expectation by chi^2, with as many degrees of freedom as bins."""
    used = expected > 5
    if used.any():
        statistic = float(((counts - expected)[used] ** 2 / expected[used]).sum())
        assert chi2.sf(statistic, int(used.sum())) > 1e-3
    assert counts.sum() == pytest.approx(expected.sum(), abs=5 * np.sqrt(expected.sum()))


@pytest.mark.parametrize("which", ["background", "signal", "total"])
def test_double_slit_events(which):
    """Events of either sign follow their density; sums of weights give the yields."""
    toy, edges = DoubleSlit(), np.linspace(-1.0, 1.0, 51)
    x, w = toy.sample(N, np.random.default_rng(1), which)
    assert (x.shape, w.shape) == ((N, 1), (N,))
    centres, cell = toy.grid(10_000)
    density = toy.density(which, centres) * cell * N / toy.absolute_yield(which)
    for sign in (1.0, -1.0):
        expected = np.histogram(centres[:, 0], edges, weights=np.maximum(sign * density, 0.0))[0]
        assert_agrees(np.histogram(x[w == sign, 0], edges)[0], expected)
    intensity = w * toy.absolute_yield(which) / N
    assert intensity.sum() == pytest.approx(toy.yields()[which], abs=5 * np.sqrt((intensity**2).sum()))


def test_double_slit_densities():
    """Signal is what the total has beyond the background; integrals agree with scipy's."""
    toy, x = DoubleSlit(amplitude=0.5), np.linspace(-1.0, 1.0, 201)
    np.testing.assert_allclose(toy.background(x) + toy.signal(x), toy.total(x), atol=1e-14)
    np.testing.assert_array_equal(toy.signal(x[:, np.newaxis]), toy.signal(x))
    assert toy.total(x).min() >= 0
    assert toy.signal(x).min() < -0.5
    for name, value in toy.yields().items():
        integral = quad(lambda t, name=name: float(toy.density(name, np.array([t]))[0]), -1.0, 1.0)[0]
        assert value == pytest.approx(integral, rel=1e-6)
    _, w = toy.sample(N, np.random.default_rng(2))
    f = toy.negative_fraction()
    assert np.mean(w < 0) == pytest.approx(f, abs=5 * np.sqrt(f * (1 - f) / N))


def test_counter_terms():
    """The stated share of negative weights, locally too; what is left after they cancel is the net density."""
    toy = CounterTerms(0.25, scale=2.0, centre=0.5)
    x, w = toy.sample(N, np.random.default_rng(3))
    assert np.mean(w < 0) == pytest.approx(0.25, abs=5 * np.sqrt(0.25 * 0.75 / N))
    edges = np.linspace(0.0, 8.0, 17), np.linspace(-2.0, 3.0, 11)
    fine = [(np.arange(400) + 0.5) * 8.0 / 400, (np.arange(250) + 0.5) * 5.0 / 250 - 2.0]
    points = np.stack(np.meshgrid(*fine, indexing="ij"), axis=-1).reshape(-1, 2)

    def binned(values):
        return np.histogram2d(*points.T, edges, weights=values * 8.0 * 5.0 / len(points))[0]

    events = binned(toy.absolute(points))
    assert_agrees(np.histogram2d(*x.T, edges)[0], N * events)
    negative = binned(toy.absolute(points) * toy.local_fraction(points))
    assert_agrees(np.histogram2d(*x[w < 0].T, edges)[0], N * negative)
    np.testing.assert_allclose(events - 2.0 * negative, 0.5 * binned(toy.density(points)), rtol=1e-12)
    assert toy.local_fraction(points).max() == pytest.approx(toy.local_fraction(np.array([[0.0, 0.5]]))[0], rel=0.01)
    assert toy.density(np.array([[-0.1, 0.0]]))[0] == 0.0


@pytest.mark.parametrize("which", ["background", "signal", "interference", "total"])
def test_resonance_events(which):
    """Events of either sign follow their density in mass and cosine; contents agree with sums over a fine grid."""
    toy = Resonance(phase=0.3)
    x, w = toy.sample(N, np.random.default_rng(4), which)
    edges = np.linspace(*toy.limits, 21), np.linspace(-1.0, 1.0, 6)
    centres, cell = toy.grid(2000, 100)
    density = toy.density(which, centres) * cell
    np.testing.assert_allclose(
        toy.contents(which, *edges), np.histogram2d(*centres.T, edges, weights=density)[0], rtol=1e-3, atol=1e-2
    )
    density *= N / toy.absolute_yield(which)
    for sign in (1.0, -1.0):
        expected = np.histogram2d(*centres.T, edges, weights=np.maximum(sign * density, 0.0))[0]
        assert_agrees(np.histogram2d(*x[w == sign].T, edges)[0], expected)


def test_resonance_is_positive_for_every_coupling():
    """B + g SB + g^2 S stays above zero, if by little at g = -B/SB, and is complex amplitudes squared when coherent."""
    toy = Resonance()
    x, _ = toy.grid(400, 20)
    for g in np.linspace(-30.0, 30.0, 121):
        assert toy.total(x, g).min() > 0
    assert np.all(toy.interference(x) ** 2 <= 4 * 0.81 * toy.signal(x) * toy.background(x) * (1 + 1e-12))
    coherent, g = Resonance(coherence=1.0, phase=0.7), 1.7
    u = (x[:, 0] ** 2 - 500.0**2) / (500.0 * 25.0)
    amplitude = 1.0 - g * 0.25 * (1.0 + 0.5 * x[:, 1]) * np.exp(-0.7j) / (u + 1j)
    np.testing.assert_allclose(coherent.total(x, g), coherent.background(x) * np.abs(amplitude) ** 2, rtol=1e-12)
    assert toy.contents("background", np.array([400.0, 600.0]), np.array([-1.0, 1.0])).sum() == pytest.approx(20_000.0)
    below, above = toy.contents("interference", np.array([450.0, 500.0, 550.0]), np.array([-1.0, 1.0]))[:, 0]
    assert below > 0 > above
    whole = toy.contents("signal", np.array([400.0, 600.0]), np.array([-1.0, 1.0])).sum()
    assert whole == pytest.approx(toy.absolute_yield("signal"), rel=1e-4)


@pytest.mark.parametrize(("toy", "parts"), [(DoubleSlit(), ["signal"]), (Resonance(), ["signal", "interference"])])
def test_signed_densities(toy, parts):
    """The difference is background and the sum of the parts; integrals of both add up to absolute yields."""
    x, cell = toy.grid()
    positive, negative = toy.signed_densities(x, parts)
    assert min(positive.min(), negative.min()) >= 0
    assert negative[:, 0].max() == 0
    expected = [toy.background(x), sum(toy.density(part, x) for part in parts)]
    np.testing.assert_allclose((positive - negative).T, expected, atol=1e-12)
    total = cell * (positive + negative)[:, 1].sum()
    assert total == pytest.approx(sum(toy.absolute_yield(part) for part in parts), rel=1e-12)


def test_bad_input():
    """Names and shares are checked; no events are no events."""
    for call in (lambda: DoubleSlit().density("noise", np.zeros(1)), lambda: Resonance().sample(1, None, "noise")):
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.argument == "which"
    with pytest.raises(InputError, match="below 1/2"):
        CounterTerms(0.5)
    assert DoubleSlit().sample(0, np.random.default_rng(1))[0].shape == (0, 1)

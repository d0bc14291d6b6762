"""Benchmarks of the New Physics Learning Machine: two bodies against formulas and expectations, and the line."""

import json
import math
import pickle

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import minimize
from scipy.special import rel_entr
from scipy.stats import chi2, ks_1samp, ks_2samp

from hepstat.errors import InputError
from hepstat.seeds import stream_key, toy_generator
from hepstat.studies.drell_yan import COLUMNS, GAMMA_Z, M_Z, Process, truth
from hepstat.studies.nplm_benchmarks import SIGNALS, Exponential
from hepstat.studies.two_body import REGIMES, Contact, TwoBody, ZPrime

N = 60_000


def assert_agrees(counts, expected):
    """Counts of cells agree with their expectation by chi^2."""
    used = expected > 10
    assert used.sum() >= 10
    assert chi2.sf(((counts - expected)[used] ** 2 / expected[used]).sum(), used.sum()) > 1e-3


def test_amplitudes():
    """Photon and Z by helicities agree with the formula in vector and axial couplings, a contact term is as stated."""
    m = np.array([60.0, M_Z, 150.0, 1000.0])
    forward, backward = Process().helicities(m)
    e2, sin2 = 4.0 * math.pi / 128.0, 0.2312
    p = e2 / (sin2 * (1 - sin2)) / (m**2 - M_Z**2 + 1j * M_Z * GAMMA_Z)
    v_l, a_l = -0.25 + sin2, -0.25
    for q, (charge, t3) in enumerate([(2 / 3, 0.5), (-1 / 3, -0.5)]):
        v, a, x = 0.5 * t3 - charge * sin2, 0.5 * t3, -e2 * charge / m**2
        plus = x**2 + 2 * x * v * v_l * p.real + (v**2 + a**2) * (v_l**2 + a_l**2) * abs(p) ** 2
        minus = 2 * x * a * a_l * p.real + 4 * v * a * v_l * a_l * abs(p) ** 2
        np.testing.assert_allclose((forward + backward)[q], 4 * m**2 * plus, rtol=1e-12)
        np.testing.assert_allclose((forward - backward)[q], 4 * m**2 * minus, rtol=1e-9)
    left, other = Process(standard=False, contact=2.0).helicities(m)
    np.testing.assert_allclose(left, np.tile((m * 2.0 * 2e-6 * 0.25) ** 2, (2, 1)))  # (2 c T3 T3)^2
    assert np.all(other == 0)
    assert Process(contact=0.1).cross_section > Process().cross_section > Process(contact=-0.1).cross_section


@pytest.mark.parametrize("process", [Process(), Process(standard=False, mass=300.0), Process(contact=1.0)])
def test_truth(process):
    """Masses and angles follow the density, its leptons have this mass, and the recoil its distribution."""
    pairs = truth(process, np.random.default_rng(1).random((N, COLUMNS)))
    edges, cosines = np.geomspace(process.low, 2000.0, 31), np.linspace(-1.0, 1.0, 9)
    fine = np.geomspace(process.low, 2000.0, 301)
    centres, c = np.sqrt(fine[1:] * fine[:-1]), (np.arange(40) + 0.5) / 20 - 1.0
    density = process.density(np.repeat(centres, 40), np.tile(c, 300)).reshape(30, 10, 8, 5)
    cells = density * np.diff(fine).reshape(30, 10, 1, 1) / 20
    expected = N / process.cross_section * cells.sum(axis=(1, 3))
    assert_agrees(np.histogram2d(pairs.mass, pairs.cosine, [edges, cosines])[0], expected)
    x = np.column_stack([pairs.pt, pairs.eta, pairs.dphi])
    np.testing.assert_allclose(TwoBody.mass(x), pairs.mass, rtol=1e-9)
    px = pairs.pt[:, 0] + pairs.pt[:, 1] * np.cos(pairs.dphi)
    t = np.hypot(px, pairs.pt[:, 1] * np.sin(pairs.dphi)) / pairs.mass
    most = 1 - 101.0**-1.2
    assert ks_1samp(t, lambda t: (1 - (1 + 100 * t**2) ** -1.2) / most).pvalue > 1e-3
    # leptons follow quarks, which bring more momentum than antiquarks
    assert np.abs(pairs.eta[:, 0]).mean() > np.abs(pairs.eta[:, 1]).mean()


def test_density_and_quadrature():
    """The density integrates to the yield before cuts; the share that passes is known well."""
    bench = TwoBody("muon")
    fine = np.geomspace(94.0, 5000.0, 4001)
    centres = np.sqrt(fine[1:] * fine[:-1])
    nodes, weights = np.polynomial.legendre.leggauss(4)
    parts = [w * bench.density(centres, np.full(4000, c)) for c, w in zip(nodes, weights, strict=True)]
    generated = (sum(parts) * np.diff(fine)).sum()
    n = 400_000
    passing = len(bench._measured(Process(), np.random.default_rng(2).random((n, 12)), 0.0))
    share = bench.expected / generated
    assert passing == pytest.approx(n * share, abs=4 * math.sqrt(n * share * (1 - share)))
    assert bench.density([300.0], [0.3], ZPrime())[0] > 2 * bench.density([300.0], [0.3])[0]


@pytest.mark.parametrize("regime", REGIMES)
def test_two_bodies(regime):
    """Weights add up, cuts hold, toys have the expected number and the shapes of shifted samples; shifts migrate."""
    bench, rng = TwoBody(regime), np.random.default_rng(3)
    x, w = bench.reference(20_000, rng)
    assert x.shape == (20_000, 5)
    assert w.sum() == pytest.approx(8500.0) == bench.yields()
    assert x[:, :2].min() > 20
    assert np.abs(x[:, 2:4]).max() < 2.4
    assert bench.mass(x).min() > REGIMES[regime].cut
    assert x[:, 4].min() >= 0
    assert x[:, 4].max() <= math.pi
    assert bench.yields((0.0, 2.0)) > bench.yields() > bench.yields((0.0, -2.0))
    assert bench.yields((0.1, -1.0)) == pytest.approx(math.exp(0.1) * bench.yields((0.0, -1.0)))
    nu = (0.05, 2.0)
    y, v = bench.shifted(20_000, nu, rng)
    assert v.sum() == pytest.approx(bench.yields(nu))
    toys = [bench.throw(nu, rng) for _ in range(5)]
    assert sum(map(len, toys)) == pytest.approx(5 * v.sum(), abs=4 * math.sqrt(5 * v.sum()))
    together = np.concatenate(toys)
    for k in range(5):
        assert ks_2samp(together[:, k], y[:, k]).pvalue > 1e-4
    assert ks_2samp(bench.mass(together), bench.mass(y)).pvalue > 1e-4


@pytest.mark.parametrize("regime", REGIMES)
def test_strengths_of_signals(regime):
    """A fit of the mass spectrum with both nuisances finds signals at four to six standard deviations (no toys)."""
    bench, edges = TwoBody(regime), np.append(np.geomspace(REGIMES[regime].cut, 1200.0, 50), 1e5)

    def binned(nu=(), signal=None):
        x, w = bench.shifted(N, nu, np.random.default_rng(4), signal)
        return np.histogram(bench.mass(x), edges, weights=w)[0]

    b = binned()
    slope = np.where(
        b > 30, 0.5 * np.log(np.maximum(binned((0.0, 1.0)), 1.0) / np.maximum(binned((0.0, -1.0)), 1.0)), 0
    )

    def q(nu, data):
        expected = b * np.exp(0.025 * nu[0] + slope * nu[1])
        return 2 * (rel_entr(data, expected) + expected - data).sum() + nu @ nu

    for signal in (ZPrime(), Contact()):
        assert 4.0 < math.sqrt(minimize(q, [0.0, 0.0], args=(binned((), signal),)).fun) < 6.5
        n = len(bench.throw((0.0, 0.0), np.random.default_rng(5), signal))
        assert n == pytest.approx(bench.yields((), signal), abs=4 * math.sqrt(n))


def test_source():
    """A source throws the same toy from the same stream, travels to workers, and says what it is in JSON."""
    key = stream_key(1)
    for source in (TwoBody("tau").source(Contact(0.05)), Exponential().source(SIGNALS["NP2"]), Exponential().source()):
        copy = pickle.loads(pickle.dumps(source))
        x, y = (entry.throw((0.0, 0.5), toy_generator(key, 3)) for entry in (source, copy))
        np.testing.assert_array_equal(x, y)
        assert json.loads(json.dumps(source.describe())) == copy.describe()
    assert TwoBody().source().describe() != TwoBody().source(ZPrime()).describe() != TwoBody().source(ZPrime(200.0))


def test_line():
    """The ratio is that of densities, toys follow them with either nuisance, and signals have their strength."""
    bench, rng, nu = Exponential(), np.random.default_rng(6), (0.1, -0.2)
    x = np.linspace(0.0, 10.0, 41)
    moved = np.exp(0.1 + 0.2 - x * math.exp(0.2)) * 2000.0
    np.testing.assert_allclose(bench.density(x) * np.exp(bench.log_ratio(x, nu)), moved, rtol=1e-12)
    y, w = bench.shifted(N, nu, rng)
    assert w.sum() == pytest.approx(2000.0 * math.exp(0.1))
    assert bench.reference(10, rng)[1].sum() == pytest.approx(2000.0)
    for signal, z in zip(SIGNALS.values(), (4.78, 5.58, 4.54), strict=True):  # published: 4.7, none, 4.4, from toys
        toys = [bench.throw(nu, rng, signal) for _ in range(20)]
        n = 20 * math.exp(0.1) * (2000.0 + signal.expected)
        assert sum(map(len, toys)) == pytest.approx(n, abs=4 * math.sqrt(n))

        def information(x, signal=signal):
            b, point = bench.density([x]), np.array([x])
            s, log = signal.density(point), bench.log_signal_ratio(point, signal)
            return 2 * ((s + b) * log - s)[0]

        assert math.sqrt(quad(information, 0, 40, points=[1.2, 1.6, 2, 5.5, 6.4, 7.3])[0]) == pytest.approx(z, abs=0.01)
        assert quad(lambda x, s=signal: s.density(np.array([x]))[0], 0, 40, points=[1.6, 6.4])[0] == pytest.approx(
            signal.expected
        )
        sample = signal.sample(2000, rng)
        assert sample.mean() == pytest.approx(
            {10.0: 6.4}.get(signal.expected, 3.0 if signal is SIGNALS["NP3"] else 1.6), abs=0.2
        )
    toys = np.concatenate([bench.throw(nu, rng) for _ in range(10)])
    assert toys.shape[1] == 1
    assert ks_2samp(toys[:, 0], y[:, 0]).pvalue > 1e-4
    assert bench.throw((), rng).min() >= 0


def test_bad_input():
    """Names, numbers and nuisances are checked."""
    rng = np.random.default_rng(7)
    for argument, call in {
        "regime": lambda: TwoBody("jet"),
        "expected": lambda: TwoBody(expected=0.0),
        "mass": lambda: ZPrime(-1.0),
        "strength": lambda: Contact(math.nan),
        "sigma": lambda: Exponential(sigma=-1.0),
        "n": lambda: TwoBody().reference(0, rng),
        "signal": lambda: TwoBody().throw((), rng, "ZPrime"),
        "x": lambda: Exponential().log_signal_ratio([-1.0], SIGNALS["NP1"]),
    }.items():
        with pytest.raises(InputError) as caught:
            call()
        assert caught.value.argument == argument
    for nu in ((0.1,), (0.0, 7.0)):
        with pytest.raises(InputError, match="nu"):
            TwoBody().throw(nu, rng)

"""Two leptons and a photon: masses and angles of the vectors, spectra, what the features know, reproducibility."""

import pickle

import numpy as np
import pytest
from scipy.stats import chi2, kstest, norm
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

from hepstat.errors import InputError
from hepstat.studies import zgamma

N = 60_000
KNOWING = ["pt_gamma", "dr_ll"]  # features that know the mass


@pytest.fixture(scope="module")
def background():
    """Events of background."""
    return zgamma.background(N, 1)


@pytest.fixture(scope="module")
def signal():
    """Events of signal."""
    return zgamma.signal(N, 2)


def named(events):
    """Return columns by name."""
    return dict(zip(zgamma.COLUMNS, events.T, strict=True))


def vectors(c):
    """Return four-momenta (n, 4) of lepton 1, lepton 2 and photon from pT, eta and phi."""
    found = []
    for who in ("l1", "l2", "gamma"):
        pt, eta, phi = (c[f"{what}_{who}"] for what in ("pt", "eta", "phi"))
        found.append(np.column_stack([pt * np.cosh(eta), pt * np.cos(phi), pt * np.sin(phi), pt * np.sinh(eta)]))
    return found


def mass(p):
    """Return the masses of four-momenta (n, 4)."""
    return np.sqrt(p[:, 0] ** 2 - (p[:, 1:] ** 2).sum(axis=1))


def at_rest(p, frame):
    """Return three-momenta of p in the frame in which `frame` is at rest, by the textbook's boost."""
    beta = frame[:, 1:] / frame[:, :1]
    gamma = (frame[:, 0] / mass(frame))[:, np.newaxis]
    along = (beta * p[:, 1:]).sum(axis=1, keepdims=True)
    return p[:, 1:] + beta * ((gamma - 1.0) * along / (beta**2).sum(axis=1, keepdims=True) - gamma * p[:, :1])


@pytest.mark.parametrize("which", ["background", "signal"])
def test_kinematics(request, which):
    """All masses, momenta and angles are those of the three vectors, which are massless."""
    c = named(request.getfixturevalue(which))
    first, second, photon = vectors(c)
    pair, total = first + second, first + second + photon
    np.testing.assert_allclose(mass(total), c["m_llgamma"], rtol=1e-9)
    np.testing.assert_allclose(mass(pair), c["m_ll"], rtol=1e-8)
    np.testing.assert_allclose(np.hypot(pair[:, 1], pair[:, 2]), c["pt_ll"], rtol=1e-6)
    np.testing.assert_allclose(np.hypot(total[:, 1], total[:, 2]), c["pt_llgamma"], rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(np.tanh(c["y_llgamma"]), total[:, 3] / total[:, 0], rtol=1e-9)
    assert np.all(c["pt_l1"] >= c["pt_l2"])

    inner, lepton = at_rest(photon, pair), at_rest(first, pair)
    cosine = (inner * lepton).sum(axis=1) / np.linalg.norm(inner, axis=1) / np.linalg.norm(lepton, axis=1)
    np.testing.assert_allclose(np.abs(cosine), c["cos_helicity"], atol=1e-6)

    rest = at_rest(photon, total)
    beams = [at_rest(np.tile([1.0, 0.0, 0.0, sign], (len(rest), 1)), total) for sign in (1.0, -1.0)]
    units = [beam / np.linalg.norm(beam, axis=1, keepdims=True) for beam in beams]
    bisector = units[0] - units[1]  # the axis of Collins and Soper
    cosine = (rest * bisector).sum(axis=1) / np.linalg.norm(rest, axis=1) / np.linalg.norm(bisector, axis=1)
    np.testing.assert_allclose(np.abs(cosine), c["cos_star"], atol=1e-6)

    def distance(a, b):
        turn = np.abs(c[f"phi_{a}"] - c[f"phi_{b}"])
        return np.hypot(c[f"eta_{a}"] - c[f"eta_{b}"], np.minimum(turn, 2 * np.pi - turn))

    np.testing.assert_allclose(distance("l1", "l2"), c["dr_ll"], rtol=1e-9)
    np.testing.assert_allclose(np.minimum(distance("l1", "gamma"), distance("l2", "gamma")), c["dr_lgamma"], rtol=1e-9)


@pytest.mark.parametrize("which", ["background", "signal"])
def test_selection(request, which):
    """Events pass what the module says, jets agree with their number, angles have their range."""
    events = request.getfixturevalue(which)
    c = named(events)
    assert events.shape == (N, len(zgamma.COLUMNS))
    assert events.flags.c_contiguous
    assert np.all(np.isfinite(events))
    limits = {
        "m_llgamma": (132, 168), "m_ll": (81, 101), "pt_l1": (25, np.inf), "pt_l2": (10, np.inf), "eta_l1": (-2.5, 2.5),
        "eta_l2": (-2.5, 2.5), "pt_gamma": (10, np.inf), "eta_gamma": (-2.37, 2.37), "dr_ll": (0.4, np.inf),
        "dr_lgamma": (0.4, np.inf), "cos_star": (0, 0.9), "cos_helicity": (0, 1), "isolation": (0, 0.3),
        "dphi_met": (0, np.pi),
    }  # fmt: skip
    for name, (low, high) in limits.items():
        assert low <= c[name].min(), name
        assert c[name].max() <= high, name
    assert np.array_equal(c["n_jets"], np.rint(c["n_jets"]))
    assert np.all(np.where(c["n_jets"] > 0, c["pt_jet"] > 30, c["pt_jet"] == 0))


def test_spectrum(background):
    """The mass of background follows the exponential in 36 bins, by chi^2 with p above 1e-3."""
    edges = np.linspace(*zgamma.RANGE, 37)
    counts, _ = np.histogram(background[:, 0], edges)
    expected = -np.diff(np.exp(-edges / zgamma.SLOPE))
    expected *= N / expected.sum()
    assert 1e-3 < chi2.sf(((counts - expected) ** 2 / expected).sum(), 35) < 0.999


@pytest.mark.parametrize(("mass", "width"), [(150.0, 2.4), (140.0, 1.2), (158.0, 3.0)])
def test_resonance(mass, width):
    """The mass of signal is normal: mean within 2% and spread within 3% of the width, KS of 5,000 with p above 1e-3."""
    m = zgamma.signal(20_000, 3, mass, width)[:, 0]
    assert m.mean() == pytest.approx(mass, abs=0.02 * width + 3 * width / np.sqrt(m.size))
    assert m.std() == pytest.approx(width, rel=0.03)
    inside = norm.cdf(zgamma.RANGE, mass, width)
    assert kstest(m[:5000], lambda x: (norm.cdf(x, mass, width) - inside[0]) / (inside[1] - inside[0])).pvalue > 1e-3


def test_what_features_know(background, signal):
    """Features hardly know the mass of background, others do, and a classifier tells signal moderately well."""
    m, c = background[:, 0], named(background)
    for name in zgamma.FEATURES:
        assert abs(np.corrcoef(m, c[name])[0, 1]) < 0.012 + 3 / np.sqrt(N), name
    for name in KNOWING:
        assert abs(np.corrcoef(m, c[name])[0, 1]) > 0.1, name
    assert "m_llgamma" not in zgamma.FEATURES
    places = zgamma.places(zgamma.FEATURES)
    window = (m >= 144) & (m <= 156)

    def auc(events, y, columns, n=30_000):
        order = np.random.default_rng(4).permutation(len(y))[:n]
        train, test = np.split(order, 2)
        model = HistGradientBoostingClassifier(max_iter=40, random_state=5).fit(events[train][:, columns], y[train])
        return roc_auc_score(y[test], model.predict_proba(events[test][:, columns])[:, 1])

    both = np.concatenate([background[window], signal[: window.sum()]])
    assert 0.77 < auc(both, np.arange(len(both)) >= window.sum(), places) < 0.83
    assert auc(background, window, places) == pytest.approx(0.5, abs=0.02)  # its error is .005
    assert auc(background, window, [*places, *zgamma.places(KNOWING)]) > 0.65


def test_reproducible():
    """The same seed gives the same events, another one others, a generator moves on, and functions can be pickled."""
    first = zgamma.background(500, 7)
    assert np.array_equal(first, zgamma.background(500, 7))
    assert np.array_equal(first, zgamma.background(500, np.random.SeedSequence(7)))
    assert not np.array_equal(first, zgamma.background(500, 8))
    generator = np.random.default_rng(7)
    assert not np.array_equal(zgamma.signal(500, generator), zgamma.signal(500, generator))
    assert pickle.loads(pickle.dumps(zgamma.signal)) is zgamma.signal
    assert zgamma.background(0, 1).shape == (0, len(zgamma.COLUMNS))


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: zgamma.background(-1, 1), "n"),
        (lambda: zgamma.background(2.5, 1), "n"),
        (lambda: zgamma.background(10, -1), "rng"),
        (lambda: zgamma.signal(10, 1, mass=131.0), "mass"),
        (lambda: zgamma.signal(10, 1, mass=np.nan), "mass"),
        (lambda: zgamma.signal(10, 1, width=0.0), "width"),
        (lambda: zgamma.signal(10, 1, width=7.6), "width"),
        (lambda: zgamma.places(["m_llgamma", "m_jj"]), "names"),
    ],
)
def test_bad_input(call, argument):
    """Arguments that cannot be used are named."""
    with pytest.raises(InputError) as caught:
        call()
    assert caught.value.argument == argument

"""The Gaussian copula: columns as they are, correlations of normal numbers."""

import naive_sampling as naive
import numba
import numpy as np
import pytest
from scipy.special import ndtri
from scipy.stats import chisquare

from hepstat.sampling import GaussianCopula
from hepstat.sampling.copula import _explained, _hermite_series

pytestmark = pytest.mark.kernels

COMPILED = not numba.config.DISABLE_JIT
N = 100_000 if COMPILED else 2_000
R = np.array([[1.0, 0.8, -0.5, 0.3], [0.8, 1.0, -0.3, 0.6], [-0.5, -0.3, 1.0, 0.0], [0.3, 0.6, 0.0, 1.0]])


def events_of(m, seed=1):
    """Return events (m, 4) whose copula is normal with correlations R: skewed, discrete twice, with heavy tails."""
    z = np.random.default_rng(seed).multivariate_normal(np.zeros(4), R, size=m)
    return np.column_stack([np.exp(z[:, 0]), np.digitize(z[:, 1], [-1, 0, 0.5]), z[:, 2] > 0.3, z[:, 3] ** 3])


def test_correlations():
    """Those of the normal numbers are found behind discrete columns, too, within .02 for 20,000 events."""
    m = 20_000
    found = GaussianCopula(events_of(m), discrete=[1, 2], nodes=1001)
    np.testing.assert_allclose(found.correlation, R, atol=0.02)


@pytest.mark.parametrize("atom", [0.3, 0.8])
def test_correlation_behind_an_atom(atom):
    """Values that repeat hide nothing, though no column is discrete: within .02 for 20,000 events, and in samples."""
    z = np.random.default_rng(5).multivariate_normal(np.zeros(2), [[1.0, 0.7], [0.7, 1.0]], size=20_000)
    cut = np.quantile(z, atom, axis=0)
    one, both = z.copy(), np.maximum(z, cut)
    one[:, 0] = both[:, 0]
    for x in (one, both):
        sampler = GaussianCopula(x)
        assert sampler.correlation[0, 1] == pytest.approx(0.7, abs=0.02)
        sample = sampler.sample(N, 1)
        assert np.corrcoef(sample.T)[0, 1] == pytest.approx(np.corrcoef(x.T)[0, 1], abs=0.02 + 4 / np.sqrt(N))
        assert np.mean(sample[:, 0] == cut[0]) == pytest.approx(atom, abs=0.02 + 2 / np.sqrt(N))


def test_rounded_columns():
    """Ties of no weight to speak of change no correlation, and copies of such a column stay copies."""
    z = np.random.default_rng(6).multivariate_normal(np.zeros(2), [[1.0, 0.7], [0.7, 1.0]], size=5000)
    x = np.column_stack([z, z[:, 0]])
    exact, rounded = GaussianCopula(x).correlation, GaussianCopula(x.round(3)).correlation
    np.testing.assert_allclose(rounded, exact, atol=2e-3)
    assert rounded[0, 2] == pytest.approx(1.0, abs=1e-8)


@pytest.mark.parametrize("r", [-0.9, -0.3, 0.5, 0.95])
def test_series(r):
    """The correlation of scores is that of the bivariate normal distribution, and solving for r gives it back."""
    borders, others = np.array([-1.0, 0.2, 0.9]), np.array([-0.4])
    products = _hermite_series(borders) * _hermite_series(others)
    wanted = naive.score_correlation(r, borders, others)
    assert r * np.polynomial.polynomial.polyval(r, products) == pytest.approx(wanted, abs=2e-4)
    assert _explained(wanted, products) == pytest.approx(r, abs=2e-3)
    line = np.zeros(products.size)
    line[0] = 1.0
    mixed = _hermite_series(borders) * line
    assert _explained(r * mixed[0], mixed) == pytest.approx(r, abs=1e-9)


def test_columns():
    """Continuous columns have the quantiles of the events, discrete ones their shares; nothing leaves their range."""
    x = events_of(5000)
    sampler = GaussianCopula(x, discrete=[1, 2])
    sample = sampler.sample(N, 1)
    for j in (0, 3):
        levels = np.linspace(0.05, 0.95, 10)
        edges = np.quantile(x[:, j], levels)
        counts = np.bincount(np.searchsorted(edges, sample[:, j]), minlength=11)
        assert chisquare(counts, N * np.diff([0, *levels, 1])).pvalue > 1e-4
    for j in (1, 2):
        values, shares = np.unique(x[:, j], return_counts=True)
        counts = [(sample[:, j] == value).sum() for value in values]
        assert sum(counts) == N
        assert chisquare(counts, N * shares / 5000).pvalue > 1e-4
    assert (sample >= x.min(axis=0)).all()
    assert (sample <= x.max(axis=0)).all()


def test_quantiles_of_few_events():
    """For equal weights, values are those of numpy.quantile at the probabilities of the normal numbers."""
    x = np.array([0.0, 1.0, 4.0, 9.0, 25.0])
    from scipy.special import ndtr

    sampler = GaussianCopula(x, nodes=200_001)
    z = GaussianCopula(ndtri(np.linspace(1e-12, 1 - 1e-12, 100_001)), nodes=200_001)
    np.testing.assert_allclose(
        sampler.sample(50, 3)[:, 0], np.quantile(x, ndtr(z.sample(50, 3)[:, 0])), rtol=1e-3, atol=1e-3
    )


def test_weights():
    """Weights are as good as repeated events, up to how the ends are interpolated."""
    x = events_of(400)
    w = np.random.default_rng(2).integers(0, 4, 400)
    one = GaussianCopula(x, w, discrete=[1, 2])
    many = GaussianCopula(np.repeat(x, w, axis=0), discrete=[1, 2])
    np.testing.assert_allclose(one.correlation, many.correlation, atol=1e-12)
    a, b = one.sample(N // 10, 1), many.sample(N // 10, 1)
    np.testing.assert_array_equal(a[:, 1:3], b[:, 1:3])
    np.testing.assert_allclose(
        np.quantile(a, [0.1, 0.5, 0.9], axis=0), np.quantile(b, [0.1, 0.5, 0.9], axis=0), atol=0.15
    )


@pytest.mark.parametrize("digits", [1, 9])
def test_weight_too_small_to_see(digits):
    """The highest event of a column may have next to no weight: the correlation is that without it."""
    x = np.random.default_rng(8).multivariate_normal(np.zeros(2), [[1.0, 0.7], [0.7, 1.0]], size=400).round(digits)
    w = np.ones(400)
    x[0, 0], w[0] = 9.0, 1e-19
    np.testing.assert_allclose(GaussianCopula(x, w).correlation, GaussianCopula(x[1:]).correlation, atol=1e-6)


def test_degenerate_columns():
    """Constant columns stay, columns that are copies of each other stay so, to 1e-3, and one event is drawn again."""
    x = np.random.default_rng(3).normal(size=300)
    sampler = GaussianCopula(np.column_stack([x, np.full(300, 7.0), x, -x]))
    sample = sampler.sample(200, 1)
    assert (sample[:, 1] == 7).all()
    np.testing.assert_allclose(sample[:, 0], sample[:, 2], atol=2e-3)
    np.testing.assert_allclose(sample[:, 0], -sample[:, 3], atol=2e-3)
    assert np.linalg.eigvalsh(sampler.correlation).min() > 0
    np.testing.assert_array_equal(GaussianCopula([[3.0, 4.0]]).sample(2, 1), [[3.0, 4.0], [3.0, 4.0]])

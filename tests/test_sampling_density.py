"""Kernel densities against scipy and against sums over all kernels and images."""

import naive_sampling as naive
import numba
import numpy as np
import pytest
from scipy.stats import gaussian_kde

from hepstat.errors import InputError
from hepstat.sampling import KernelDensity

pytestmark = pytest.mark.kernels

COMPILED = not numba.config.DISABLE_JIT
RNG = np.random.default_rng(3)
X = RNG.normal(size=(300 if COMPILED else 60, 3)) @ [[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 2.0]]
W = RNG.exponential(size=len(X))


@pytest.fixture
def rng():
    """Return a generator of its own for each test."""
    return np.random.default_rng(1)


@pytest.mark.parametrize("bandwidth", ["scott", "silverman", 0.3])
@pytest.mark.parametrize("weighted", [False, True])
def test_scipy(bandwidth, weighted, rng):
    """Factor, covariance and density are those of scipy, far outside, too."""
    w = W if weighted else None
    found, wanted = KernelDensity(X, w, bandwidth=bandwidth), gaussian_kde(X.T, bandwidth, weights=w)
    assert found.factor == pytest.approx(wanted.factor, rel=1e-13)
    assert found.n_effective == pytest.approx(wanted.neff, rel=1e-13)
    np.testing.assert_allclose(found.covariance, wanted.covariance, rtol=1e-12)
    points = rng.normal(size=(20, 3)) * [1, 3, 30] + 1e3 * (np.arange(20) == 3)[:, None]
    np.testing.assert_allclose(found.log_density(points), wanted.logpdf(points.T), rtol=1e-11, atol=1e-11)


def test_single_column():
    """Events and points of one column may be flat; a shift far away costs no digits."""
    found = KernelDensity(X[:, 0] + 1e6, W)
    assert found.names == ("x0",)
    wanted = gaussian_kde(X[:, 0], weights=W)
    np.testing.assert_allclose(found.log_density([1e6, 1e6 + 0.5]), wanted.logpdf([0.0, 0.5]), rtol=1e-8)
    assert found.log_density(np.empty((0, 1))).shape == (0,)


@pytest.mark.parametrize("adaptive", [False, 0.7])
def test_bounds_and_discrete(adaptive, rng):
    """Kernels with images at bounds, of any width, and discrete columns: every kernel and image summed by hand."""
    m = 25
    x = np.column_stack(
        [rng.exponential(size=m), rng.random(m), rng.normal(size=(m, 2)), np.arange(m) % 2, -rng.random(m)]
    )
    bounds = {0: (0.0, np.inf), 1: (0.0, 1.0), 5: (-np.inf, 0.0)}
    w = rng.exponential(size=m)
    found = KernelDensity(
        x, w, bandwidth=0.9, adaptive=adaptive, bounds={0: (0, None), 1: (0, 1), 5: (None, 0)}, discrete=[4]
    )
    options = {"bounds": bounds, "discrete": (4,)}
    if adaptive:
        factors = naive.local_factors(x, w, 0.9, adaptive, **options)
        np.testing.assert_allclose(found.local_factors, factors, rtol=1e-10)
        assert np.average(np.log(factors), weights=w) == pytest.approx(0, abs=1e-12)
    points = np.concatenate([x[:4], found.sample(4, 1), [[-0.1, *x[0, 1:]], [0.0, 1.0, *x[0, 2:5], 0.0]]])
    points = np.concatenate([points, points[:1] + np.array([0, 0, 0, 0, 7, 0])])
    wanted = naive.density(points, x, w, 0.9 * found.local_factors, **options)
    np.testing.assert_allclose(np.exp(found.log_density(points)), wanted, rtol=1e-10)
    assert found.log_density(points)[[8, 10]].tolist() == [-np.inf, -np.inf]


def test_integral(rng):
    """The density of bounded, smeared and discrete columns integrates to one, within 1e-4 of the grid."""
    if not COMPILED:
        pytest.skip("too many points")
    m = 200
    x = np.column_stack([rng.random(m) ** 2, rng.integers(0, 2, m), rng.normal(size=m)])
    found = KernelDensity(x, adaptive=True, bounds={0: (0, 1)}, discrete=1)
    a, c = np.linspace(0, 1, 201), np.linspace(-8, 8, 201)
    grid = np.stack(np.meshgrid(a, [0, 1], c, indexing="ij"), axis=-1)
    values = np.exp(found.log_density(grid.reshape(-1, 3))).reshape(201, 2, 201)
    assert np.trapezoid(np.trapezoid(values.sum(axis=1), c, axis=1), a) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("bounds", [{}, {0: (-4.0, 4.0), 1: (-5.0, np.inf)}], ids=["free", "bounded"])
def test_adaptive_subsample(bounds):
    """With a subsample as pilot, factors of its events are those without the others, and theirs include their own."""
    m = 40
    x, w = X[:m], W[:m]
    given = {j: tuple(end if np.isfinite(end) else None for end in pair) for j, pair in bounds.items()}
    found = KernelDensity(x, w, adaptive=True, subsample=15, rng=4, bounds=given)
    assert (found.n_events, found.n_used) == (m, 15)
    again = KernelDensity(x, w, adaptive=True, subsample=15, rng=4, bounds=given)
    np.testing.assert_array_equal(found.local_factors, again.local_factors)
    assert (KernelDensity(x, w, adaptive=True, subsample=15, rng=5).local_factors != found.local_factors).any()
    shape = naive.covariance(x, w, bounds)
    part = _chosen(m, 15, 4)
    size = w[part].sum() ** 2 / (w[part] @ w[part])
    pilot = found.factor * (size / found.n_effective) ** (-1 / 7)
    f = np.empty(m)
    for i in range(m):
        kept = part if i in part else np.append(part, i)
        widths = np.full(kept.size, pilot)
        f[i] = naive.density(x[i : i + 1], x[kept], w[kept], widths, bounds, shape=shape)[0]
    wanted = np.exp(-0.5 * (np.log(f) - np.average(np.log(f), weights=w)))
    np.testing.assert_allclose(found.local_factors, wanted, rtol=1e-10)


def _chosen(m, most, seed):
    """Return the events of the subsample."""
    from hepstat.seeds import stream_key, toy_generator

    return np.sort(toy_generator(stream_key(seed), 0).choice(m, most, replace=False))


def test_adaptive_tails():
    """Where there are few events kernels are wider, not where there are many."""
    x = np.random.default_rng(5).exponential(size=1000 if COMPILED else 80)
    found = KernelDensity(x, adaptive=True, bounds={0: (0, None)})
    far = x > np.quantile(x, 0.9)
    assert found.local_factors[far].min() > found.local_factors[x < 0.5].max()
    assert "adaptive" in repr(found)


@pytest.mark.parametrize("weighted", [False, True])
def test_cross_validation(weighted):
    """The factor is where the likelihood of left-out events is largest, to .5% of its logarithm on a fine grid."""
    m = 60
    x, w = X[:m, :2], W[:m] if weighted else np.ones(m)
    found = KernelDensity(x, w, bandwidth="cross-validation")
    grid = found.factor * np.exp([-0.05, -0.005, 0.0, 0.005, 0.05])
    values = [naive.left_out_likelihood(x, w, factor) for factor in grid]
    assert int(np.argmax(values)) == 2
    assert found.n_used == m


def test_cross_validation_of_normal():
    """For normal events it comes near the optimal factor, and with a subsample it is scaled to all events."""
    if not COMPILED:
        pytest.skip("too many events")
    x = np.random.default_rng(7).normal(size=20_000)
    whole = KernelDensity(x[:3000], bandwidth="cross-validation")
    assert whole.factor == pytest.approx((3000 * 3 / 4) ** -0.2, rel=0.25)
    found = KernelDensity(x, bandwidth="cross-validation", subsample=2000, rng=1)
    alone = KernelDensity(x[_chosen(20_000, 2000, 1)], bandwidth="cross-validation")
    ratio = x[_chosen(20_000, 2000, 1)].std(ddof=1) / x.std(ddof=1)
    assert found.n_used == 2000
    assert found.factor == pytest.approx(alone.factor * ratio * 10**-0.2, rel=2e-3)


def test_cross_validation_of_lonely_events():
    """Discrete values that no two events share leave nothing to validate with."""
    with pytest.raises(InputError, match="discrete values all of their own"):
        KernelDensity(np.column_stack([X[:9, 0], np.arange(9)]), bandwidth="cross-validation", discrete=1)


def test_workers():
    """Threads do not change a bit."""
    found = KernelDensity(X, W, adaptive=True)
    points = found.sample(1200 if COMPILED else 20, 1)
    np.testing.assert_array_equal(found.log_density(points), found.log_density(points, workers=3))

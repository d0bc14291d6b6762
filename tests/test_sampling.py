"""Samplers: what they draw, in parts, from compiled code, after pickling, and what they refuse."""

import json
import pickle
from typing import Any

import naive_sampling as naive
import numba
import numpy as np
import pytest
import scipy.stats

from hepstat.errors import InputError
from hepstat.kernels.draws import entry, kde, pool, rows
from hepstat.kernels.draws.rows import draw_rows
from hepstat.kernels.philox import stream
from hepstat.sampling import BootstrapSampler, GaussianCopula, KernelDensity, SmoothedBootstrap, UserSampler

pytestmark = pytest.mark.kernels

COMPILED = not numba.config.DISABLE_JIT
N = 100_000 if COMPILED else 2_000
LEAST_P = 1e-4
MIXING = np.array([[1.0, 0.5, 0.0], [0.0, 1.0, 0.3], [0.0, 0.0, 2.0]])


def pool_of(m: int, seed: int = 1) -> tuple[Any, Any]:
    """Return events (m, 3) and weights (m,)."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(m, 3)) @ MIXING + [0.0, 5.0, -3.0], rng.exponential(size=m)


def normal_events(n: int, rng: Any) -> Any:
    """Return events (n, 2) of a generator of a user."""
    return rng.normal(size=(n, 2))


def samplers() -> list[Any]:
    """Return one of every kind."""
    x, w = pool_of(200)
    whole = np.column_stack([x, np.arange(200) % 3])
    return [
        KernelDensity(x, w, adaptive=True),
        KernelDensity(whole, bounds={1: (0, None)}, discrete=3),
        BootstrapSampler(x, w),
        SmoothedBootstrap(x, w),
        GaussianCopula(whole, w, discrete=3),
        UserSampler(normal_events, 2),
    ]


@pytest.mark.parametrize("sampler", samplers(), ids=lambda s: type(s).__name__)
def test_interface(sampler: Any) -> None:
    """Every sampler has a draw by address, JSON that says the same after pickling, and the same bits."""
    events = sampler.sample(300, 5)
    assert events.shape == (300, sampler.columns) == (300, len(sampler.names))
    assert np.isfinite(events).all()
    assert sampler.sample(0, 1).shape == (0, sampler.columns)
    assert (sampler.sample(300, 6) != events).any()
    copy = pickle.loads(pickle.dumps(sampler))
    assert copy.describe() == sampler.describe() == json.loads(json.dumps(sampler.describe()))
    np.testing.assert_array_equal(copy.sample(300, 5), events)
    np.testing.assert_array_equal(sampler.sample(300, np.random.SeedSequence(5)), events)
    assert repr(copy) == repr(sampler)
    sampler.raise_error()


@pytest.mark.parametrize("sampler", samplers()[:-1], ids=lambda s: type(s).__name__)
def test_parts(sampler: Any) -> None:
    """Events drawn in blocks from one stream are those drawn at once, and stream 0 of the key gives the sample."""
    address, constants = sampler.draw
    state, out = stream(np.uint64(7), np.uint64(9), 0), np.empty((300, sampler.columns))
    draw_rows(address, state, constants, out)
    state, parts = stream(np.uint64(7), np.uint64(9), 0), np.empty_like(out)
    for first, last in ((0, 2 * kde.BLOCK), (2 * kde.BLOCK, 300)):
        draw_rows(address, state, constants, parts[first:last])
    np.testing.assert_array_equal(parts, out)


@pytest.mark.parametrize("weighted", [False, True])
def test_bootstrap_counts(weighted: bool) -> None:
    """Events come whole, in proportion to their weights; those without weight never."""
    x, w = pool_of(40)
    w = np.where(np.arange(40) % 10 == 0, 0.0, w) if weighted else np.ones(40)
    sampler = BootstrapSampler(x, w if weighted else None, names=("a", "b", "c"))
    assert sampler.describe()["kind"] == "Bootstrap"
    assert sampler.n_events == np.count_nonzero(w)
    events = sampler.sample(N, 1)
    found, counts = np.unique(events, axis=0, return_counts=True)
    order = np.lexsort(x[w > 0].T[::-1])
    np.testing.assert_array_equal(found, x[w > 0][order])
    expected = N * w[w > 0][order] / w.sum()
    assert scipy.stats.chisquare(counts, expected).pvalue >= LEAST_P
    assert not sampler.events.flags.writeable


@pytest.mark.parametrize("weighted", [False, True])
def test_kernel_density_moments(weighted: bool) -> None:
    """The mean of a sample is that of the events, its covariance (1 + factor^2) times theirs, within four errors."""
    x, w = pool_of(500)
    w = w if weighted else np.ones(500)
    sampler = KernelDensity(x, w)
    events = sampler.sample(N, 1)
    biased = np.cov(x.T, aweights=w, bias=True)
    wanted = biased + sampler.covariance
    np.testing.assert_allclose(sampler.covariance, sampler.factor**2 * np.cov(x.T, aweights=w), rtol=1e-12, atol=1e-14)
    unit = np.sqrt(np.diag(wanted))
    pulls = (events.mean(axis=0) - np.average(x, axis=0, weights=w)) / unit * np.sqrt(N)
    assert np.abs(pulls).max() < 4
    assert (np.abs(np.cov(events.T) - wanted) / np.outer(unit, unit)).max() < 4 * np.sqrt(2.0 / N) * 1.5


def test_smoothed_bootstrap_moments() -> None:
    """A sample has the covariance of the events within four errors, less with bounded and discrete columns."""
    x, w = pool_of(30)
    x = np.column_stack([x, np.arange(30) % 3])
    sampler = SmoothedBootstrap(x, w, bounds={2: (-100, 100)}, discrete=[3])
    s, events = sampler.shrinkage, sampler.sample(N, 1)
    wanted = np.cov(x.T, aweights=w, bias=True)
    wanted[2, :2] = wanted[:2, 2] = wanted[2, :2] * s**2
    wanted[3, :3] = wanted[:3, 3] = wanted[3, :3] * s
    unit = np.sqrt(np.diag(wanted))
    assert (np.abs(np.cov(events.T) - wanted) / np.outer(unit, unit)).max() < 4 * np.sqrt(2.0 / N) * 1.5
    assert np.abs((events.mean(axis=0) - np.average(x, axis=0, weights=w)) / unit).max() < 4 / np.sqrt(N)
    assert s == pytest.approx(1 / np.sqrt(1 + sampler.factor**2), rel=0.05)
    assert set(np.unique(events[:, 3])) <= {0.0, 1.0, 2.0}


def test_reflection_of_points() -> None:
    """Whatever leaves bounds is reflected until it is inside, however far it was."""
    for y in np.linspace(-40, 40, 333):
        for low, high in ((-1.0, 2.5), (0.0, np.inf), (-np.inf, 1.0), (-np.inf, np.inf)):
            found = kde.folded(y, low, high)
            assert low <= found <= high
            assert found == pytest.approx(naive.folded(y, low, high), abs=1e-12)


def test_reflection_keeps_mass() -> None:
    """Near a bound there is as much as there should be: counts of an exponential and a uniform column, by chi-square.

    Without reflection nearly half of the first bin would be missing; what smearing itself changes is in the density.
    """
    rng = np.random.default_rng(2)
    m = 2000 if COMPILED else 200
    x = np.column_stack([rng.exponential(size=m), rng.random(m), rng.normal(size=m)])
    bounds = {"pt": (0, None), "phi": (0, 1)}
    sampler = KernelDensity(x, bounds=bounds, names=["pt", "phi", "eta"], bandwidth=0.3)
    events = sampler.sample(N // 4, 1)
    assert events[:, 0].min() >= 0
    assert events[:, 1].min() >= 0
    assert events[:, 1].max() <= 1
    for j, low, high in ((0, 0.0, np.inf), (1, 0.0, 1.0)):
        s, edges = 0.3 * x[:, j].std(ddof=1), np.linspace(0.0, 1.0 if j else 2.0, 21)
        share = np.zeros(20)
        for y in np.array([naive.images(value, low, high) for value in x[:, j]]).T:
            share += np.diff(scipy.stats.norm.cdf(edges, y[:, None], s)).sum(axis=0) / m
        counts = np.histogram(events[:, j], edges)[0]
        rest = len(events) - counts.sum()
        counts, expected = np.append(counts, rest), len(events) * np.append(share, max(1 - share.sum(), 1e-9))
        keep = expected > 5
        counts, expected = counts[keep], expected[keep]
        assert scipy.stats.chisquare(counts, expected * counts.sum() / expected.sum()).pvalue > LEAST_P
        true = len(events) * (0.05 if j else 1 - np.exp(-0.1))
        assert counts[0] > 0.8 * true - 4 * np.sqrt(true)


def test_events_without_smearing() -> None:
    """Discrete columns keep the values of an event, together."""
    x = np.column_stack([np.arange(50.0), np.arange(50) % 4, (np.arange(50) % 4) ** 2])
    events = KernelDensity(x, discrete=[1, 2]).sample(500, 1)
    np.testing.assert_array_equal(events[:, 2], events[:, 1] ** 2)
    assert len(np.unique(events[:, 0])) == 500


def test_user_sampler() -> None:
    """A function gets a generator of its own; its errors, shapes and infinities come out where it was asked."""
    sampler = UserSampler(normal_events, 2, names=["a", "b"])
    assert scipy.stats.kstest(sampler.sample(2000, 1).ravel(), "norm").pvalue > LEAST_P
    assert sampler.describe()["code"] != UserSampler(lambda n, rng: rng.random((n, 2)), 2).describe()["code"]

    def fails(n: int, rng: Any) -> Any:
        raise KeyError("no such model")

    with pytest.raises(KeyError, match="no such model"):
        UserSampler(fails, 2).sample(3, 1)
    with pytest.raises(ValueError, match=r"columns of shape \(3,\)"):
        UserSampler(lambda n, rng: np.ones(n), 2).sample(3, 1)
    with pytest.raises(ValueError, match="3 NaN or infinities"):
        UserSampler(lambda n, rng: np.full((n, 1), np.nan), 1).sample(3, 1)
    assert (UserSampler(lambda n, rng: -np.ones((n, 1)), 1).sample(3, 1) == -1).all()
    with pytest.raises(InputError, match="function: is 3"):
        UserSampler(3, 2)  # type: ignore[arg-type]


X, W = pool_of(50)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BootstrapSampler(X, -W), "weights: has 50 negative entries.*positive_resample"),
        (lambda: KernelDensity(X, np.where(np.arange(50) == 3, -1.0, 1.0)), "weights: has 1 negative"),
        (lambda: BootstrapSampler(X, np.zeros(50)), "weights: add up to 0"),
        (lambda: BootstrapSampler(X, W[1:]), "weights: has 49 entries for 50 events"),
        (lambda: BootstrapSampler(np.full((3, 2), np.nan)), "events: has 6 NaN"),
        (lambda: BootstrapSampler(X, names=["a", "a", "b"]), "names: are a, a, b for 3 columns"),
        (lambda: KernelDensity(np.column_stack([X, X[:, 1] - 2 * X[:, 2]])), "x1, x2, x3 depend on each other"),
        (lambda: KernelDensity(X[:3]), "3 events are too few for 3 columns"),
        (lambda: KernelDensity(np.column_stack([X, np.ones(50)])), "events: do not vary in x3"),
        (lambda: KernelDensity(X[:1]), "events: is a single event"),
        (lambda: KernelDensity(X, np.eye(50)[2]), "events: is a single event"),
        (lambda: KernelDensity(X, discrete=[0, 1, 2]), "discrete: holds every column"),
        (lambda: KernelDensity(X, discrete=["y"]), "discrete: names the column 'y'"),
        (lambda: KernelDensity(X, discrete=[3]), "discrete: has column 3 of 3"),
        (lambda: KernelDensity(X, bounds={0: (0, None)}), "bounds of x0: leave .* of 50 events outside"),
        (lambda: KernelDensity(X, bounds={0: 3}), "bounds of x0: are 3, not a pair"),  # type: ignore[dict-item]
        (lambda: KernelDensity(X, bounds={0: (2, 1)}), "which is empty"),
        (lambda: KernelDensity(X, bounds={0: (-99, 99)}, discrete=0), "are given for a discrete column"),
        (lambda: KernelDensity(X, bandwidth="fine"), "bandwidth: is 'fine'"),  # type: ignore[arg-type]
        (lambda: KernelDensity(X, bandwidth=-1), "bandwidth: is -1"),
        (lambda: KernelDensity(X, adaptive=1.5), "adaptive: is 1.5"),
        (lambda: KernelDensity(np.repeat(X, 3, axis=0), bandwidth="cross-validation"), "they repeat"),
        (lambda: SmoothedBootstrap(X, bandwidth="cross-validation"), "bandwidth: is cross-validated"),
        (lambda: GaussianCopula(X, discrete=[0], nodes=20), "discrete: holds x0 with 50 values"),
        (lambda: KernelDensity(X).sample(-1, 1), "n: is -1"),
        (lambda: KernelDensity(X).log_density(X[:, :2]), "x: has 2 columns"),
    ],
)
def test_bad_input(make: Any, message: str) -> None:
    """Errors name the argument, the value and the remedy."""
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.skipif(not COMPILED, reason="nothing is compiled")
def test_one_signature() -> None:
    """Whatever is drawn from, and arrays of any type, kernels are compiled once."""
    for sampler in samplers():
        sampler.sample(np.int64(3), 1)
    KernelDensity(np.asfortranarray(X, dtype=np.float32), W.astype(np.float32), adaptive=1, subsample=20).log_density(
        X[::2]
    )
    kernels = [draw_rows, kde.kernel_log_sums, pool.alias_table]
    assert {kernel.py_func.__name__: len(kernel.signatures) for kernel in kernels} == dict.fromkeys(
        ("draw_rows", "kernel_log_sums", "alias_table"), 1
    )
    assert rows.ROWS.address != kde.KDE.address
    assert isinstance(rows.ROWS, entry.Entry)

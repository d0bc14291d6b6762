"""Thrown bin contents and auxiliary measurements: distributions (p >= 1e-4), streams, weights of mixtures."""

import math

import numba
import numpy as np
import pytest
import scipy.stats

from hepstat.fit.throwing import LARGEST_TABULATED, Thrower, auxiliary_of, tabulate
from hepstat.infer import Tilts, tilted_means
from hepstat.kernels.constraints import GAUSSIAN, LOG_NORMAL, POISSON
from hepstat.kernels.throw import GUIDE, Auxiliary
from hepstat.seeds import stream_key, toy_generator
from hepstat.shapes import Exponential, Gaussian, Spectrum

pytestmark = pytest.mark.kernels

COMPILED = not numba.config.DISABLE_JIT
N = 20_000 if COMPILED else 500
LEAST_P = 1e-4
KEY = stream_key(20240609)
MEANS = np.array([0.0, 1e-6, 0.03, 0.7, 4.0, 9.99, 10.01, 55.0, 800.0, LARGEST_TABULATED])
LARGE = np.array([0.0, 0.7, 9.99, 55.0, LARGEST_TABULATED * 1.01, 1e6])
NOTHING = Auxiliary(np.empty(0, np.int64), np.empty(0), np.empty(0))
MEASURED = Auxiliary(
    np.array([GAUSSIAN, LOG_NORMAL, POISSON, POISSON]),
    np.array([-3.0, 40.0, 6.0, 0.02]),
    np.array([0.5, 1.3, 20.0, 10.0]),
)


def plain(means: np.ndarray, auxiliary: Auxiliary = NOTHING) -> Thrower:
    """Return a thrower of counts."""
    return Thrower.plain(means, np.ones(means.size), auxiliary)


def frequency_p_value(counts: np.ndarray, mean: float) -> float:
    """Return the p-value of a chi-square test of counts against the Poisson frequencies, in cells of ten or more."""
    inner = np.unique(scipy.stats.poisson.ppf(np.arange(1, 40) / 40, mean))
    cdf = np.concatenate([[0.0], scipy.stats.poisson.cdf(inner, mean), [1.0]])
    expected = np.diff(cdf) * counts.size
    observed = np.bincount(np.searchsorted(inner, counts), minlength=expected.size)
    few = expected < 10
    if few.any():
        keep = np.flatnonzero(~few)
        owner = keep[np.abs(keep[:, None] - np.arange(few.size)).argmin(axis=0)]
        expected, observed = (np.bincount(owner, x)[keep] for x in (expected, observed))
    if expected.size < 2:
        return 1.0
    return float(scipy.stats.chisquare(observed, expected).pvalue)


@pytest.mark.parametrize("means", [MEANS, LARGE], ids=["tabulated", "large"])
def test_counts_follow_poisson(means: np.ndarray) -> None:
    """Frequencies against scipy, mean and variance within 5 standard errors, bins independent."""
    counts, centres, log_weights = plain(means).throw(KEY, 0, N)
    assert centres.shape == (N, 0)
    assert not log_weights.any()
    assert (counts == np.floor(counts)).all()
    assert (counts >= 0).all()
    assert not counts[:, means == 0].any()
    for mean, column in zip(means, counts.T, strict=True):
        assert frequency_p_value(column, mean) >= LEAST_P
        assert abs(column.mean() - mean) <= 5 * math.sqrt(mean / N)
        assert abs(column.var() - mean) <= 5 * math.sqrt((mean + 2 * mean**2) / N)
    spread = counts[:, means > 0.5]
    correlation = np.corrcoef(spread, rowvar=False) - np.eye(spread.shape[1])
    assert np.abs(correlation).max() < 5 / math.sqrt(N)
    dispersion = ((counts - means) ** 2 / np.where(means > 0, means, 1.0))[:, means > 50].sum(axis=1)
    assert scipy.stats.kstest(dispersion, scipy.stats.chi2((means > 50).sum()).cdf).pvalue >= LEAST_P


def test_tables() -> None:
    """Cumulative probabilities of scipy, an end to every search, and guesses that are the first above."""
    tables = tabulate(MEANS)
    assert tables.starts[0] == 0
    assert tables.starts[-1] == tables.cumulative.size
    for b, mean in enumerate(MEANS):
        own = slice(tables.starts[b], tables.starts[b + 1])
        cumulative = tables.cumulative[own]
        k = tables.lowest[b] + np.arange(cumulative.size)
        np.testing.assert_allclose(cumulative[:-1], scipy.stats.poisson.cdf(k[:-1], mean), rtol=0, atol=2e-12)
        assert cumulative[-1] == 2.0
        assert (np.diff(cumulative) >= 0).all()
        assert tables.lowest[b] == 0 or scipy.stats.poisson.cdf(tables.lowest[b], mean) < 1e-18
        assert scipy.stats.poisson.sf(k[-2], mean) < 1e-16
        first = np.searchsorted(cumulative, np.arange(GUIDE) / GUIDE, side="right")
        np.testing.assert_array_equal(tables.guide[b], tables.starts[b] + first)


def test_no_tables_for_large_means() -> None:
    """One bin is enough; at the limit there are still tables."""
    none = tabulate(np.array([1.0, np.nextafter(LARGEST_TABULATED, np.inf)]))
    assert (none.lowest.size, none.cumulative.size, none.guide.shape[0]) == (0, 0, 0)
    assert tabulate(np.array([1.0, LARGEST_TABULATED])).lowest.size == 2


def test_the_stream_of_a_toy() -> None:
    """Counts are numpy's uniform numbers of that stream looked up; two words then make one normal number."""
    auxiliary = Auxiliary(*(column[:2] for column in MEASURED))
    thrower = plain(MEANS, auxiliary)
    tables = thrower.source.tables
    for toy in (0, 1, 2, 77, 10**12):
        counts, centres, _ = thrower.throw(KEY, toy, 1)
        generator = toy_generator(KEY, toy)
        for b, u in enumerate(generator.random(MEANS.size)):
            cumulative = tables.cumulative[tables.starts[b] : tables.starts[b + 1]]
            assert counts[0, b] == tables.lowest[b] + np.searchsorted(cumulative, u, side="right")
        bits = generator.bit_generator.random_raw(4)
        radius = np.sqrt(-2 * np.log(((bits[::2] >> np.uint64(12)) + 0.5) * 2.0**-52))
        normal = radius * np.cos(2 * np.pi * (bits[1::2] >> np.uint64(11)) * 2.0**-53)
        np.testing.assert_allclose(centres[0], [-3.0 + 0.5 * normal[0], 40.0 * 1.3 ** normal[1]], rtol=1e-12)


def tilted_thrower(tilts: Tilts, scale: np.ndarray, auxiliary: Auxiliary) -> Thrower:
    """Return what throws from tilted means."""
    arrays = tilts.means, tilts.probabilities, tilts.slopes, tilts.offsets
    return Thrower.mixture(*arrays, scale=scale, auxiliary=auxiliary)


def mixture() -> tuple[Thrower, np.ndarray]:
    """Return a mixture of tilts with a bin that expects nothing, and its first means."""
    means = np.append(40.0 * np.exp(-0.1 * np.arange(12)), 0.0)
    signals = np.exp(-0.5 * (np.arange(13) - np.array([[2.0], [8.0]])) ** 2)
    tilts = tilted_means(means, signals, means[None, :], 3.0)
    return tilted_thrower(tilts, np.ones(13), MEASURED), means


@pytest.mark.parametrize("kind", ["tabulated", "large", "mixture"])
def test_a_toy_does_not_depend_on_its_block(kind: str) -> None:
    """Bits of any toy, alone or after others, whatever these were."""
    thrower = mixture()[0] if kind == "mixture" else plain(MEANS if kind == "tabulated" else LARGE, MEASURED)
    whole = thrower.throw(KEY, 5, 40)
    for first, n in ((5, 7), (12, 1), (13, 32), (44, 1)):
        for rows, alone in zip(whole, thrower.throw(KEY, first, n), strict=True):
            np.testing.assert_array_equal(rows[first - 5 : first - 5 + n], alone)
    other = thrower.throw(stream_key(1), 5, 40)[0]
    assert not np.array_equal(whole[0], other)


def test_auxiliary_measurements() -> None:
    """Normal, normal in the logarithm, Poisson; none knows of the counts or of another."""
    counts, centres, _ = plain(np.array([7.0, 90.0]), MEASURED).throw(KEY, 0, N)
    normal = (centres[:, 0] + 3.0) / 0.5
    logarithm = np.log(centres[:, 1] / 40.0) / np.log(1.3)
    for pulls in (normal, logarithm):
        assert scipy.stats.kstest(pulls, "norm").pvalue >= LEAST_P
    for column, mean in ((centres[:, 2], 120.0), (centres[:, 3], 0.2)):
        assert frequency_p_value(column, mean) >= LEAST_P
    every = np.column_stack([counts, normal, logarithm, centres[:, 2:]])
    assert np.abs(np.corrcoef(every, rowvar=False) - np.eye(6)).max() < 5 / math.sqrt(N)


def test_auxiliary_measurements_of_a_spectrum() -> None:
    """What is true is the caller's to say; kinds and widths are the constraints'."""
    spectrum = Spectrum({"signal": Gaussian(5, 1), "background": Exponential(-0.1)}, (0, 10))
    spectrum = spectrum.constrain_gaussian("background_slope", -0.1, 0.02).constrain_poisson("n_background", 40, 2.0)
    spectrum = spectrum.constrain_log_normal("signal_sigma", 1.0, 1.2)
    found = auxiliary_of(spectrum, {**spectrum.values, "background_slope": -0.3, "n_background": 17.0})
    by_name = dict(zip([c.name for c in spectrum.constraints], zip(*found, strict=True), strict=True))
    assert by_name == {
        "background_slope": (GAUSSIAN, -0.3, 0.02),
        "n_background": (POISSON, 17.0, 2.0),
        "signal_sigma": (LOG_NORMAL, 1.0, 1.2),
    }


def test_weighted_contents() -> None:
    """Contents are counts of effective events over the scale; a bin of scale 0 stays empty."""
    contents, scale = np.array([200.0, 30.0, 50.0, 4.0]), np.array([0.5, 2.0, 0.0, 7.0])
    thrown, _, _ = Thrower.plain(contents, scale, NOTHING).throw(KEY, 0, N)
    assert not thrown[:, 2].any()
    used = scale > 0
    counts = thrown[:, used] * scale[used]
    np.testing.assert_allclose(counts, np.round(counts), rtol=0, atol=1e-10)
    for column, mean in zip(np.round(counts).T, (contents * scale)[used], strict=True):
        assert frequency_p_value(column, mean) >= LEAST_P
    tilts = tilted_means(contents * scale, np.ones((1, 4)) * scale, None, 2.0)
    tilted, _, _ = tilted_thrower(tilts, scale, NOTHING).throw(KEY, 0, N)
    assert not tilted[:, 2].any()
    assert (tilted[:, used].mean(axis=0) > contents[used]).all()


def test_weights_of_a_mixture() -> None:
    """Those of the tilts; their mean is one, and weighted toys are toys of the first means."""
    thrower, means = mixture()
    signals = np.exp(-0.5 * (np.arange(13) - np.array([[2.0], [8.0]])) ** 2)
    tilts = tilted_means(means, signals, means[None, :], 3.0)
    counts, _, log_weights = thrower.throw(KEY, 0, N)
    np.testing.assert_allclose(log_weights, tilts.log_weights(counts), rtol=1e-11, atol=1e-11)
    assert not counts[:, means == 0].any()
    w = np.exp(log_weights)
    assert w.max() <= 10.0 * (1 + 1e-12)  # the first means take part with one in ten
    assert abs(w.mean() - 1) < 4 * w.std() / math.sqrt(N)
    spread = (w[:, None] * counts).std(axis=0)
    assert (np.abs((w[:, None] * counts).mean(axis=0) - means) <= 4.5 * spread / math.sqrt(N)).all()
    apart = np.abs(counts.mean(axis=0) - tilts.probabilities @ tilts.means)
    assert (apart <= 4.5 * counts.std(axis=0) / math.sqrt(N)).all()


def test_weights_reach_the_tail() -> None:
    """One bin without nuisances: P(n >= 60 | 20), about 1e-12, to a few per cent."""
    tilts = tilted_means([20.0], [[1.0]], None, 8.9)
    counts, _, log_weights = tilted_thrower(tilts, np.ones(1), NOTHING).throw(KEY, 0, N)
    found = np.exp(log_weights) * (counts[:, 0] >= 60)
    truth = scipy.stats.poisson.sf(59, 20.0)
    assert abs(found.mean() / truth - 1) < 4 * found.std() / found.mean() / math.sqrt(N)
    assert not COMPILED or found.std() / found.mean() / math.sqrt(N) < 0.05

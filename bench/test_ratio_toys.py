"""Toys of likelihood-ratio tests and of a signal strength: ours, numpy's, iminuit's and pyhf's, in one run.

Everything is compiled before it is timed.
"""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hepstat.infer import compare_power, compound_poisson
from hepstat.strength import (
    Effect,
    Model,
    Nuisance,
    RatioHistogram,
    RatioToys,
    StrengthToys,
    WrappedNormal,
    counting,
    standard_tests,
)
from hepstat.toys import run

pytestmark = pytest.mark.filterwarnings("default")  # a warning of a peer is not our error

S, B, N, LEVEL = 50.0, 1000.0, 10_000, 0.05
SOURCE, TESTS = WrappedNormal(0.08), standard_tests()
FINE = np.append(sorted({*np.linspace(0, 4.98, 500), *TESTS["many bins"].edges, 0.5, 2.0}), np.inf)
CELLS, PER_CELL = 61, 20.0  # of .05 in r, the last without end: every edge of the tests is one of theirs
BLOCK = 16  # toys at a time, whose 17,000 events stay in the cache


def ours(source, workers, n=N):
    """Return log Lambda of every test for toys of both hypotheses."""
    tables = [run(RatioToys(source, S, B, mu=mu), n, rng=2 + mu, workers=workers) for mu in (1, 0)]
    return [{name: table[name] for name in TESTS} for table in tables]


def numpy_scores():
    """Return what an event in each cell adds to each binned log Lambda (cells, tests), and the sums of S_i."""
    edges = np.arange(CELLS) / PER_CELL
    binned = {name: test.edges for name, test in TESTS.items() if test.edges is not None}
    made = RatioToys(SOURCE, S, B).yields
    columns = []
    for name, lower in binned.items():
        place = np.searchsorted(np.array(lower), edges + 1e-9, side="right") - 1
        columns.append(np.where(place >= 0, made[name].scores[place], 0.0))
    return np.stack(columns, axis=1), np.array([made[name].signal.sum() for name in binned])


def numpy_toys(mu, n, seed, dtype):
    """Return log Lambda (n, tests) of toys, the unbinned one last.

    Events of a block of toys are one array, worked on in place: signal of all toys, then background. An event of the
    wrapped signal is its nearest image, a sum of logarithms the logarithm of a product, and one count of cells of equal
    size serves all bins.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    scores, sums = numpy_scores()
    out = np.empty((n, scores.shape[1] + 1))
    slope, peak = dtype(-0.5 / SOURCE.std**2), dtype(1 / (np.sqrt(2 * np.pi) * SOURCE.std))
    room = int(BLOCK * (S + B) + 20 * np.sqrt(BLOCK * (S + B)))
    events, cells = np.empty(room, dtype), np.empty(room, dtype)
    for first in range(0, n, BLOCK):
        toys = min(BLOCK, n - first)
        numbers = np.concatenate([rng.poisson(mu * S, toys), rng.poisson(B, toys)])
        ends = np.cumsum(numbers)
        n_signal, total = ends[toys - 1], ends[-1]
        r, cell = events[:total], cells[:total]
        rng.standard_normal(out=r[:n_signal], dtype=dtype)
        r[:n_signal] *= dtype(SOURCE.std)
        rng.random(out=r[n_signal:], dtype=dtype)
        r[n_signal:] -= dtype(0.5)
        r *= r
        r *= slope
        np.exp(r, out=r)
        np.multiply(r, peak * dtype(PER_CELL), out=cell)
        np.minimum(cell, dtype(CELLS - 1), out=cell)
        place = cell.astype(np.intp)
        place += np.repeat(np.tile(np.arange(toys) * CELLS, 2), numbers)
        contents = np.bincount(place, minlength=toys * CELLS).reshape(toys, CELLS)
        out[first : first + toys, :-1] = contents @ scores - sums
        r *= peak * dtype(S / B)
        r += dtype(1)
        product = np.ones(2 * toys)
        some = numbers > 0  # reduceat does not know empty pieces
        product[some] = np.multiply.reduceat(r, (ends - numbers)[some], dtype=np.float64)
        out[first : first + toys, -1] = np.log(product).reshape(2, toys).sum(axis=0) - S
    return out


def by_numpy(dtype=np.float64, workers=1):
    """Return log Lambda of every test for toys of both hypotheses."""
    share = N // workers
    with ThreadPoolExecutor(workers) as pool:
        tables = []
        for mu in (1, 0):
            parts = pool.map(lambda i, mu=mu: numpy_toys(mu, share, [mu, i], dtype), range(workers))
            tables.append(np.concatenate(list(parts)))
    names = [*(name for name, test in TESTS.items() if test.edges is not None), "optimal"]
    return [dict(zip(names, table.T, strict=True)) for table in tables]


def by_plain_numpy():
    """Return the same from whole arrays of all toys at once, with any edges: log1p, searchsorted and bincount."""
    rng, scale = np.random.default_rng(5), np.sqrt(2 * np.pi) * SOURCE.std
    edges, binned = RatioToys(SOURCE, S, B).edges, RatioToys(SOURCE, S, B).yields
    tables = []
    for mu in (1, 0):
        n_signal, n_background = rng.poisson(mu * S, N), rng.poisson(B, N)
        signal = (rng.standard_normal(n_signal.sum()) * SOURCE.std + 0.5) % 1.0 - 0.5
        y = np.concatenate([signal, rng.random(n_background.sum()) - 0.5])
        toy = np.concatenate([np.repeat(np.arange(N), n_signal), np.repeat(np.arange(N), n_background)])
        near = np.abs(y)
        r = (np.exp(-0.5 * (near / SOURCE.std) ** 2) + np.exp(-0.5 * ((1 - near) / SOURCE.std) ** 2)) / scale
        place = np.searchsorted(edges, r, side="right") - 1
        counts = np.bincount(toy * edges.size + place, minlength=N * edges.size).reshape(N, -1)
        table = {"optimal": np.bincount(toy, np.log1p(S / B * r), N) - S}
        for name, made in binned.items():
            starts = np.searchsorted(edges, TESTS[name].edges)
            table[name] = made.log_lambda(np.add.reduceat(counts, starts, axis=1))
        tables.append(table)
    return tables


def powers_without_toys(histogram):
    """Return the powers of all tests from exact distributions of sums."""
    found = {}
    for name, made in RatioToys(histogram, S, B).yields.items():
        found[name] = power_of(made.scores, made.signal, made.background)
    p, q = np.asarray(histogram.signal), np.asarray(histogram.background)
    ratio = np.divide(p, q, out=np.zeros_like(p), where=q > 0)
    return {**found, "optimal": power_of(np.log1p(S / B * ratio), S * p, B * q)}


def power_of(scores, signal, background):
    """Return the power of one test."""
    null = compound_poisson(-scores, signal + background)
    spacing = null.spacing
    other = compound_poisson(-scores, background, spacing=spacing) if spacing else compound_poisson(-scores, background)
    return null.test(other, LEVEL)[1]


FIGURE_4 = {
    "ours": lambda: ours(SOURCE, 2),
    "ours, 1 thread": lambda: ours(SOURCE, 1),
    "numpy, whole arrays": by_plain_numpy,
    "numpy, tuned": by_numpy,
    "numpy, tuned, 2 threads": lambda: by_numpy(workers=2),
    "numpy, tuned, float32": lambda: by_numpy(np.float32),
    "shortcut: histogram of r": lambda: ours(RatioHistogram.of(SOURCE, FINE), 2),
}


@pytest.mark.parametrize("who", FIGURE_4)
def test_figure_4(benchmark, lines, who):
    """10^4 toys of each hypothesis, event by event, and log Lambda of five tests."""
    benchmark.group = "figure 4, 10^4 toys of each hypothesis, S = 50, B = 1000, five tests"
    benchmark.extra_info["role"] = who
    null, other = benchmark.pedantic(FIGURE_4[who], rounds=7, iterations=1, warmup_rounds=1)
    found = compare_power({name: (-null[name], -other[name]) for name in TESTS}, level=LEVEL)
    powers = ", ".join(f"{n} {p:.4f}" for n, p in zip(found.names, found.power, strict=True))
    lines.append(f"figure 4, {who}: {powers} (each +- {found.error.max():.4f})")


def test_figure_4_without_toys(benchmark, lines):
    """The same powers by convolution: no toys at all."""
    benchmark.group = "figure 4, 10^4 toys of each hypothesis, S = 50, B = 1000, five tests"
    benchmark.extra_info["role"] = "shortcut: compound Poisson"
    histogram = RatioHistogram.of(SOURCE, FINE)
    powers = benchmark.pedantic(lambda: powers_without_toys(histogram), rounds=7, iterations=1, warmup_rounds=1)
    lines.append("figure 4, by convolution: " + ", ".join(f"{name} {power:.4f}" for name, power in powers.items()))


@pytest.mark.parametrize("who", ["ours", "numpy, tuned"])
def test_memory(lines, who):
    """Peak of what numpy allocates for 10^4 toys of each hypothesis; the work space of kernels is 4 kB a thread."""
    FIGURE_4[who]()
    tracemalloc.start()
    FIGURE_4[who]()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    records = 2 * N * RatioToys(SOURCE, S, B).dtype.itemsize
    lines.append(f"figure 4, {who}: peak memory {peak / 1e6:.2f} MB, of which {records / 1e6:.2f} MB are our records")


SIGNAL, BACKGROUND, TAU = 10.0, 50.0, 100.0
COUNT = Model(counting(SIGNAL, BACKGROUND, {"off": Effect.scale()}), [Nuisance("off", constraint="poisson", width=TAU)])


def thrown(n):
    """Return counts and auxiliary counts (n,)."""
    rng = np.random.default_rng(1)
    return rng.poisson(SIGNAL + BACKGROUND, n).astype(float), rng.poisson(TAU, n).astype(float)


def cost_of(count, off):
    """Return twice -log L of a toy as a function for iminuit."""

    def cost(mu, alpha):
        """Return it at these parameters."""
        expected = mu * SIGNAL + BACKGROUND * np.exp(alpha)
        if expected <= 0:
            return 1e10
        return 2 * (expected - count * np.log(expected) + TAU * np.exp(alpha) - off * alpha)

    return cost


def minuit_loop(minuit_class, n):
    """Fit toys freely, at strength 1 and at 0, each from the truth."""
    for count, off in zip(*thrown(n), strict=True):
        minuit = minuit_class(cost_of(count, off), 1.0, 0.0)
        minuit.errordef = 1.0
        minuit.migrad()
        minuit.fixed["mu"] = True
        for mu in (1.0, 0.0):
            minuit.values["mu"] = mu
            minuit.migrad()


def pyhf_loop(pyhf, n):
    """The same by pyhf."""
    model = pyhf.simplemodels.uncorrelated_background([SIGNAL], [BACKGROUND], [BACKGROUND / np.sqrt(TAU)])
    bounds = [(-5.0, 20.0), (1e-10, 10.0)]
    for count, off in zip(*thrown(n), strict=True):
        data = [count, off]
        pyhf.infer.mle.fit(data, model, par_bounds=bounds)
        for mu in (1.0, 0.0):
            pyhf.infer.mle.fixed_poi_fit(mu, data, model, par_bounds=bounds)


@pytest.mark.parametrize("who", ["ours", "ours, 1 thread", "iminuit", "pyhf"])
def test_strength_toys(benchmark, peer, who):
    """A count with a background measured by another: a toy is three fits, ours with throwing."""
    benchmark.group = "one bin, measured background, three fits, per toy"
    if "ours" in who:
        n, study = 20_000, StrengthToys(COUNT, 1.0)

        def call():
            """Throw and fit."""
            run(study, n, rng=1, workers=1 if "1" in who else 2)
    else:
        n = 50 if who == "iminuit" else 10
        loop, module = (minuit_loop, peer("iminuit").Minuit) if who == "iminuit" else (pyhf_loop, peer("pyhf"))

        def call():
            """Fit; the throwing is not timed."""
            loop(module, n)

    benchmark.extra_info.update(role=who, toys_per_call=n)
    benchmark.pedantic(call, rounds=5, iterations=1, warmup_rounds=1)
    if benchmark.stats is not None:
        times = benchmark.stats.stats.data
        times[:] = [seconds / n for seconds in times]

"""Cell resampling of a million events: ours, and scipy's k-d tree with a loop over the events of negative weight.

Ours works with one thread. The peer asks for a number of neighbours of many seeds at once, with one or two threads, and
again for more where a cell needs more; a plain one asks seed by seed. Everything is compiled before it is timed.
"""

import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial import cKDTree
from test_startup import run as run_fresh

from hepstat.weights import cell_resample

D = 5
BATCH = 16_384
FIRST = {0.2: 16, 0.35: 32}  # neighbours that the peer asks for at first, about the best for each share


def sample(n, fraction):
    """Return features (n, D) and weights (n,), a share of which is negative."""
    rng = np.random.default_rng(1)
    return rng.normal(size=(n, D)), np.where(rng.random(n) < fraction, -1.0, 1.0) * rng.uniform(0.5, 1.5, n)


def by_scipy(x, weights, first, batch=BATCH, workers=1):
    """Return the new weights."""
    scale = np.sqrt(np.average((x - np.average(x, axis=0, weights=abs(weights))) ** 2, axis=0, weights=abs(weights)))
    scaled, new = x / scale, weights.copy()
    tree = cKDTree(scaled)
    negative = np.flatnonzero(weights < 0)
    seeds = negative[np.argsort(weights[negative], kind="stable")]
    for start in range(0, seeds.size, batch):
        some = seeds[start : start + batch]
        some = some[new[some] < 0]
        neighbours = tree.query(scaled[some], k=first, workers=workers)[1]
        for seed, near in zip(some, neighbours, strict=True):
            if new[seed] >= 0:
                continue
            sums = np.cumsum(new[near])
            end = np.argmax(sums >= 0)
            while sums[end] < 0:
                near = tree.query(scaled[seed], k=min(4 * near.size, new.size))[1]
                sums = np.cumsum(new[near])
                end = np.argmax(sums >= 0)
            new[near[: end + 1]] = sums[end] / (end + 1)
    return new


WHO = {
    "ours": lambda x, w, first: cell_resample(x, w).weights,
    "scipy, seed by seed": lambda x, w, first: by_scipy(x, w, first, batch=1),
    "scipy, in batches": by_scipy,
    "scipy, in batches, 2 threads": lambda x, w, first: by_scipy(x, w, first, workers=2),
}


@pytest.mark.parametrize("fraction", FIRST)
@pytest.mark.parametrize(("n", "rounds"), [(20_000, 5), (1_000_000, 1)], ids=["2e4", "1e6"])
@pytest.mark.parametrize("who", WHO)
def test_cell_resampling(benchmark, lines, who, n, rounds, fraction):
    """Weights of normal features, of which a share is negative everywhere."""
    benchmark.group = f"cell resampling, {n:.0e} events in {D} features, {fraction:.0%} negative"
    benchmark.extra_info["role"] = who
    x, w = sample(n, fraction)
    cell_resample(x[:1000], w[:1000])
    new = benchmark.pedantic(WHO[who], (x, w, FIRST[fraction]), rounds=rounds, iterations=1)
    assert_allclose(new.sum(), w.sum(), rtol=1e-12)
    lines.append(f"cell resampling, {n:.0e} events, {fraction:.0%} negative, {who}: sum of squares {new @ new:.8g}")


MEMORY = """
from pathlib import Path
import numpy as np
from hepstat.weights import cell_resample
def peak():
    status = Path("/proc/self/status").read_text()  # getrusage has the peak of the process that started this one
    return int(status.split("VmHWM:")[1].split()[0]) / 1024
rng = np.random.default_rng(1)
x, w = rng.normal(size=(10**6, 5)), np.where(rng.random(10**6) < FRACTION, -1.0, 1.0)
cell_resample(x[:1000], w[:1000])
before = peak()
cell_resample(x, w)
print(before, peak())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux")
@pytest.mark.parametrize("fraction", FIRST)
def test_memory(tmp_path_factory, lines, fraction):
    """Peak memory of a process that resamples 10^6 events in 5 features."""
    code, cache = MEMORY.replace("FRACTION", str(fraction)), tmp_path_factory.getbasetemp() / "cells"
    run_fresh(code, cache)  # compiling takes memory, too
    seconds, output = run_fresh(code, cache)
    before, after = (float(value) for value in output.split())
    lines.append(
        f"memory, 10^6 events in {D} features, {fraction:.0%} negative: peak of the process {after:.0f} MB, "
        f"{before:.0f} MB with events and kernels alone; {seconds:.1f} s in all"
    )

"""Filling histograms of 10^6 events: ours, boost-histogram's, numpy's, in one run.

The table of each group shows medians, and in brackets the ratio to the fastest of the group.
"""

import numpy as np
import pytest

from hepstat.histogram import Histogram, Regular, Variable

bh = pytest.importorskip("boost_histogram")

N_EVENTS = 1_000_000
EDGES = np.linspace(0, 1, 101) ** 1.5
RNG = np.random.default_rng(7)
X = RNG.normal(0.5, 0.2, N_EVENTS)
Y = RNG.normal(0.5, 0.2, N_EVENTS)
W = RNG.normal(1.0, 0.5, N_EVENTS)


def numpy_sums(x, w, bins):
    """Two calls, as one has to: the sum of weights and the sum of their squares."""
    return np.histogram(x, bins, (0, 1), weights=w)[0], np.histogram(x, bins, (0, 1), weights=w * w)[0]


def ours(*axes, workers=1, columns=(X,), w=W):
    """Return a function that fills our histogram."""
    return lambda: Histogram(*axes).fill(*columns, weights=w, workers=workers)


def theirs(*axes, threads=None, columns=(X,), w=W):
    """Return a function that fills boost-histogram's."""
    if w is None:
        return lambda: bh.Histogram(*axes).fill(*columns, threads=threads)
    return lambda: bh.Histogram(*axes, storage=bh.storage.Weight()).fill(*columns, weight=w, threads=threads)


OURS, THEIRS = Regular(100, 0, 1), bh.axis.Regular(100, 0, 1)
OURS_ND, THEIRS_ND = (
    [Regular(40, 0, 1), Variable(EDGES[::4])],
    [bh.axis.Regular(40, 0, 1), bh.axis.Variable(EDGES[::4])],
)
X32, W32 = X.astype("f4"), W.astype("f4")
PEAK = RNG.normal(0.505, 0.001, N_EVENTS)
TENTHS = np.round(X, 2)

CASES = {
    "weighted, 100 regular bins": {
        "ours": ours(OURS),
        "ours, 2 threads": ours(OURS, workers=2),
        "boost-histogram": theirs(THEIRS),
        "boost-histogram, threads=1": theirs(THEIRS, threads=1),
        "boost-histogram, threads=2": theirs(THEIRS, threads=2),
        "numpy, two calls": lambda: numpy_sums(X, W, 100),
    },
    "weighted, 100 variable bins": {
        "ours": ours(Variable(EDGES)),
        "boost-histogram": theirs(bh.axis.Variable(EDGES)),
        "numpy, two calls": lambda: numpy_sums(X, W, EDGES),
    },
    "weighted, 40 x 25 bins": {
        "ours": ours(*OURS_ND, columns=(X, Y)),
        "boost-histogram": theirs(*THEIRS_ND, columns=(X, Y)),
    },
    "weighted, 100 regular bins, float32": {
        "ours": ours(OURS, columns=(X32,), w=W32),
        "boost-histogram": theirs(THEIRS, columns=(X32,), w=W32),
    },
    "weighted, 100 regular bins, all events in one": {
        "ours": ours(OURS, columns=(PEAK,)),
        "boost-histogram": theirs(THEIRS, columns=(PEAK,)),
    },
    "weighted, 100 regular bins, all events on edges": {
        "ours": ours(OURS, columns=(TENTHS,)),
        "boost-histogram": theirs(THEIRS, columns=(TENTHS,)),
    },
    "counted, 100 regular bins": {
        "ours": ours(OURS, w=None),
        "boost-histogram": theirs(THEIRS, w=None),
        "numpy": lambda: np.histogram(X, 100, (0, 1)),
    },
}


@pytest.mark.parametrize(("group", "who"), [(group, who) for group, case in CASES.items() for who in case])
def test_fill(benchmark, group, who):
    """Time one fill; kernels are compiled before."""
    benchmark.group = group
    benchmark.name = who
    benchmark.extra_info["role"] = who
    benchmark.pedantic(CASES[group][who], rounds=30, warmup_rounds=3)

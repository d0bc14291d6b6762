"""Toys of likelihood-ratio tests in the kernel: sums and bin contents of the same events in numpy."""

from typing import Any

import naive_strength as naive
import numba
import numpy as np
import pytest

from hepstat.kernels.draws import pool, wrapped
from hepstat.kernels.draws.entry import Callback, draw_once
from hepstat.kernels.philox import stream
from hepstat.kernels.random import binomial, poisson
from hepstat.kernels.ratio_toys import CHUNK, Component, throw_ratio_toys
from hepstat.seeds import stream_key
from hepstat.strength import RatioTest, RatioToys, WrappedNormal, standard_tests

pytestmark = pytest.mark.kernels

KEY = stream_key(5)
STD = 0.08
COMPILED = not numba.config.DISABLE_JIT
TOYS = 40 if COMPILED else 3
CLOSE = 0.5 + np.arange(30) * 1e-15
EDGES: dict[str, Any] = {
    "all": [0.0],
    "cut": [0.5],
    "low cut": [5e-324],
    "cells": np.arange(8) * 0.5,
    "standard": [0.0, 0.5, 2.0],
    "200": np.linspace(0.0, 4.98, 200),
    "close": CLOSE,
    "close and far": [0.0, 1e-12, 2e-12, 4.5],
    "beyond": [0.0, 1.0, 1e9],
}


def bins_of(edges: Any) -> Any:
    """Return the bins of a test, and their lower edges from 0 on."""
    study = RatioToys(WrappedNormal(STD), 1.0, 1.0, {"test": RatioTest(tuple(edges))})
    return study._bins, study.edges


def components(n_signal: float, n_background: float) -> tuple[Component, Component]:
    """Return both components of the wrapped normal signal."""
    constants = wrapped.constants(STD)
    return (
        Component(wrapped.SIGNAL.address, constants, n_signal),
        Component(wrapped.BACKGROUND.address, constants, n_background),
    )


def throw(
    signal: Any, background: Any, bins: Any, n: int, *, total: int = -1, scale: float = 0.1, first: int = 0
) -> Any:
    """Return numbers of events, sums and contents of n toys."""
    n_events, sums, counts = np.empty(n, np.int64), np.empty(n), np.zeros((n, bins.edges.size - 1), np.int32)
    throw_ratio_toys(signal, background, total, scale, bins, *KEY, first, n_events, sums, counts)
    return n_events, sums, counts


def replay(toy: int, signal: Any, background: Any, total: int = -1) -> Any:
    """Return the ratios of the events of a toy."""
    state = stream(*KEY, toy)
    if total < 0:
        numbers = [poisson(state, signal.mean), poisson(state, background.mean)]
    else:
        n_signal = binomial(state, total, signal.mean / (signal.mean + background.mean))
        numbers = [n_signal, total - n_signal]
    found = [np.empty(0)]
    for component, n in zip((signal, background), numbers, strict=True):
        for low in range(0, int(n), CHUNK):
            part = np.empty(min(CHUNK, int(n) - low))
            draw_once(component.address, state, component.constants, part)
            found.append(part)
    return np.concatenate(found)


@pytest.mark.parametrize("total", [-1, 0, 1, 700])
@pytest.mark.parametrize("name", EDGES)
def test_sums_and_contents(name: str, total: int) -> None:
    """Contents to the event, sums to rounding."""
    bins, edges = bins_of(EDGES[name])
    both = components(20.0, 600.0)
    found = throw(*both, bins, TOYS, total=total, scale=0.3)
    for toy in range(TOYS):
        ratio = replay(toy, *both, total)
        assert found[0][toy] == ratio.size == (ratio.size if total < 0 else total)
        assert found[1][toy] == pytest.approx(naive.log_sum(ratio, 0.3), rel=1e-13, abs=1e-14)
        np.testing.assert_array_equal(found[2][toy], naive.bin_contents(ratio, edges))


@pytest.mark.parametrize("name", EDGES)
def test_ratios_on_edges(name: str) -> None:
    """An event exactly on an edge is in the bin above, one a step below in the bin below, a huge one in the last."""
    bins, edges = bins_of(EDGES[name])
    special = np.concatenate([edges, np.nextafter(edges, np.inf), np.nextafter(edges[1:], 0), [1e250, 5e-324, 1e15]])
    per_cell = np.arange(1024) / bins.per_cell
    special = np.concatenate([special, per_cell, np.nextafter(per_cell, 0), np.nextafter(per_cell, 9)])
    draw = Callback(lambda n, rng: special[:n])
    signal, background = Component(draw.address, np.empty(0), 0.0), Component(draw.address, np.empty(0), 1.0)
    for size in (min(CHUNK, special.size), special.size):
        chunks = [special[: min(CHUNK, size - low)] for low in range(0, size, CHUNK)]
        _, _, counts = throw(signal, background, bins, 1, total=size)
        np.testing.assert_array_equal(counts[0], naive.bin_contents(np.concatenate(chunks), edges))
    draw = Callback(lambda n, rng: special[-n:])
    last = Component(draw.address, np.empty(0), 1.0)
    _, _, counts = throw(signal, last, bins, 1, total=CHUNK)
    np.testing.assert_array_equal(counts[0], naive.bin_contents(special[-CHUNK:], edges))


@pytest.mark.parametrize("where", ["signal", "background"])
@pytest.mark.parametrize("odd", [np.nan, np.inf, -0.5, -1e12])
def test_ratios_that_are_none(odd: float, where: str) -> None:
    """Sums are not finite, whichever component and chunk it is in, and the next toy is not touched."""
    calls: list[int] = []

    def function(n: int, rng: Any) -> Any:
        calls.append(n)
        ratio = np.ones(n)
        ratio[-1] = odd if len(calls) == 2 else 1.0
        return ratio

    draw = Callback(function)
    bins, _ = bins_of(EDGES["standard"])
    share = (1.0, 0.0) if where == "signal" else (0.0, 1.0)
    both = [Component(draw.address, np.empty(0), mean) for mean in share]
    n_events, sums, counts = throw(*both, bins, 2, total=CHUNK + 10)
    assert (n_events == CHUNK + 10).all()
    assert not np.isfinite(sums[0])
    assert sums[1] == pytest.approx((CHUNK + 10) * np.log(1.1))
    np.testing.assert_array_equal(counts[1], [0, CHUNK + 10, 0])


def test_no_signal() -> None:
    """With strength 0, or nothing to be tested, sums are of background alone, or 0."""
    bins, _ = bins_of(EDGES["standard"])
    nothing, background = components(0.0, 50.0)
    n_events, sums, counts = throw(nothing, background, bins, TOYS, scale=0.0)
    assert not sums.any()
    np.testing.assert_array_equal(counts.sum(axis=1), n_events)
    for toy in range(min(TOYS, 5)):
        ratio = replay(toy, nothing, background)
        assert throw(nothing, background, bins, 1, first=toy)[1][0] == pytest.approx(naive.log_sum(ratio, 0.1))


def test_a_toy_does_not_depend_on_its_block() -> None:
    """Bits of any toy, alone or after others."""
    bins, _ = bins_of(EDGES["200"])
    both = components(5.0, 80.0)
    whole = throw(*both, bins, TOYS)
    for first in (0, 1, TOYS - 1):
        for rows, alone in zip(whole, throw(*both, bins, TOYS - first, first=first), strict=True):
            np.testing.assert_array_equal(rows[first:], alone)


def test_pools() -> None:
    """Events of a list, likewise."""
    rng = np.random.default_rng(2)
    ratio, weights = rng.exponential(size=300), rng.random(300)
    constants = pool.pool_constants(ratio, weights)
    both = Component(pool.POOL.address, constants, 30.0), Component(pool.POOL.address, constants, 700.0)
    bins, edges = bins_of(standard_tests()["many bins"].edges)
    _, sums, counts = throw(*both, bins, 2)
    for toy in range(2):
        events = replay(toy, *both)
        assert np.isin(events, ratio).all()
        assert sums[toy] == pytest.approx(naive.log_sum(events, 0.1), rel=1e-13)
        np.testing.assert_array_equal(counts[toy], naive.bin_contents(events, edges))

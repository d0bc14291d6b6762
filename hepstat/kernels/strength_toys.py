"""Toys of a signal strength: bins and events thrown, and fitted without restriction and at two given strengths."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.couplings import SPREAD, find_basins
from hepstat.kernels.draws.pool import draw_index
from hepstat.kernels.newton import AT_EDGE, CONVERGED, NOT_FINITE_AT_START, STATUS, VALUE, allocate_state, covariance
from hepstat.kernels.newton import State as Newton
from hepstat.kernels.options import borrowing, kernel, part
from hepstat.kernels.philox import STATE_SIZE, State, seek
from hepstat.kernels.random import binomial, normal, poisson
from hepstat.kernels.strength import (
    GAUSSIAN,
    POISSON,
    Dependence,
    Events,
    Observed,
    Problem,
    Rows,
    Visits,
    Work,
    allocate_work,
    minimise,
    strength_of,
)

__all__ = ["BETTER", "Pools", "Records", "Source", "fit_once", "throw_strength_toys"]

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

BETTER = 1e-6  # in -log L: what is lower by more is another minimum


class Pools(NamedTuple):
    """Simulated events of each component of each unbinned channel, one pool after the other.

    Attributes
    ----------
    start : (pools + 1,) int64
        Where each pool starts in the arrays below.
    row : (events,) int64
        Row of each event, or its place in `intensity`.
    plain : (pools,) bool
        Whether events of the pool need no rows.
    intensity : (plain events, components)
        Of these.
    threshold, alias : (events,)
        Of :mod:`hepstat.kernels.draws.pool`, with the weights that the truth gives.
    mean : (pools,)
        Expected events.
    total : (pools,) int64
        -1 where the number of events is Poisson. Where that of a channel is fixed, its first pool has the number, and
        those that follow -2.
    share : (pools,)
        Of the events that earlier pools of the channel have left, with a fixed number.
    """

    start: Ints
    row: Ints
    plain: NDArray[np.bool_]
    intensity: Array
    threshold: Array
    alias: Ints
    mean: Array
    total: Ints
    share: Array


class Source(NamedTuple):
    """What toys are thrown from.

    Attributes
    ----------
    row : (fixed rows,) int64
        Rows that every data set has: bins, and totals of unbinned channels.
    mean : (fixed rows,)
        Expected contents of bins; 0 for totals.
    pools : Pools
    theta : (parameters,)
        What is true.
    parabola : (3, fixed rows)
        Coefficients of 1, mu and mu^2 of what bins expect; zero where there are no squares.
    """

    row: Ints
    mean: Array
    pools: Pools
    theta: Array
    parabola: Array


class Records(NamedTuple):
    """What toys leave behind: best parameters (toys, parameters); all else (toys,).

    Attributes
    ----------
    theta : (toys, parameters)
    nll_best, nll_test, nll_zero : (toys,)
        -log L at its minimum, at the strength under test, and at strength 0.
    n_events : (toys,) int64
        Events in bins and unbinned channels together.
    status : (toys,) int64
        0, or how the first fit ended that has failed.
    """

    theta: Array
    nll_best: Array
    nll_test: Array
    nll_zero: Array
    n_events: Ints
    status: Ints


@borrowing
def _throw_numbers(state: State, source: Source, numbers: Ints, counts: Array) -> int:
    """Fill counts (fixed rows,) with bin contents and numbers (pools,) with events of each pool; return their sum."""
    for b in range(counts.shape[0]):
        counts[b] = poisson(state, source.mean[b])
    pools, left, events = source.pools, 0, 0
    for p in range(numbers.shape[0]):
        if pools.total[p] == -1:
            numbers[p] = poisson(state, pools.mean[p])
        else:
            left = pools.total[p] if pools.total[p] >= 0 else left
            numbers[p] = int(binomial(state, left, pools.share[p]))
            left -= numbers[p]
        events += numbers[p]
    return events


@borrowing
def _throw_events(
    state: State, pools: Pools, numbers: Ints, first: int, row: Ints, n: Array, intensity: Array, seen: Array
) -> tuple[int, int]:
    """Fill row and n from entry `first` on with events of all pools, those without rows into intensity and seen.

    Return how many there are of each kind.
    """
    at, plain = first, 0
    for p in range(numbers.shape[0]):
        low, high = pools.start[p], pools.start[p + 1]
        threshold, alias = pools.threshold[low:high], pools.alias[low:high]
        for _ in range(numbers[p]):
            place = pools.row[low + draw_index(state, threshold, alias)]
            if pools.plain[p]:
                for c in range(intensity.shape[0]):
                    intensity[c, plain] = pools.intensity[place, c]
                seen[plain] = 1.0
                plain += 1
            else:
                row[at] = place
                n[at] = 1.0
                at += 1
    return at - first, plain


@borrowing
def _throw_auxiliary(state: State, d: Dependence, theta: Array, centre: Array) -> None:
    """Fill centre (nuisances,) with results of the auxiliary measurements."""
    for k in range(centre.shape[0]):
        if d.constraint[k] == GAUSSIAN:
            centre[k] = theta[1 + k] + d.width[k] * normal(state)
        elif d.constraint[k] == POISSON:
            centre[k] = poisson(state, d.width[k] * np.exp(theta[1 + k]))
        else:
            centre[k] = 0.0


@borrowing
def _fit(
    observed: Observed, d: Dependence, problem: Problem, centre: Array, start: Array, state: Newton, work: Work
) -> int:
    """Minimise and return 0, or the status if that failed."""
    minimise(observed, d, problem, centre, start, state, work)
    status = state.codes[STATUS]
    return 0 if status in (CONVERGED, AT_EDGE) else status


@part
def _least_strength(d: Dependence, mu: float) -> float:
    """Return the least strength of a component; if none is negative, no nuisance makes impossible data possible."""
    least = np.inf
    for c in range(d.intercept.shape[0]):
        least = min(least, strength_of(d, c, mu))
    return least


@kernel
def throw_strength_toys(
    rows: Rows,
    d: Dependence,
    problem: Problem,
    source: Source,
    mu_test: float,
    key0: np.uint64,
    key1: np.uint64,
    first: int,
    records: Records,
) -> None:
    """Throw and fit toys first, first + 1, ...: each from the stream of its own number.

    Parameters
    ----------
    rows : Rows
    d : Dependence
    problem : Problem
        The first of its free parameters is mu.
    source : Source
    mu_test : float
        Strength under test.
    key0, key1 : uint64
        Key of all streams.
    first : int
        Number of the first toy.
    records : Records, out
    """
    n_parameters, n_fixed, n_components = source.theta.shape[0], source.row.shape[0], d.intercept.shape[0]
    stream, numbers = np.empty(STATE_SIZE, np.uint64), np.empty(source.pools.mean.shape[0], np.int64)
    work, centre = allocate_work(d.owner.shape[0], n_components, n_parameters), np.empty(n_parameters - 1)
    start = source.theta.copy()
    best = allocate_state(n_parameters, problem.free.shape[0])
    other = allocate_state(n_parameters, problem.free.shape[0])
    held = allocate_state(n_parameters, problem.free.shape[0] - 1)
    conditional = Problem(problem.free[1:], problem.lower, problem.upper, problem.tolerance, problem.max_evaluations)
    minima, squares = np.empty(2), bool((source.parabola[2] != 0.0).any())
    places, values = np.empty(3 * n_fixed + SPREAD), np.empty(3 * n_fixed + SPREAD)
    room = int(source.pools.mean.sum()) + 1024
    row, n = np.empty(n_fixed + room, np.int64), np.empty(n_fixed + room)
    row[:n_fixed] = source.row
    intensity, seen = np.empty((n_components, room)), np.empty(room)
    for toy in range(records.status.shape[0]):
        seek(stream, key0, key1, np.uint64(first + toy))
        n_events = _throw_numbers(stream, source, numbers, n[:n_fixed])
        if n_events > seen.shape[0]:
            row, n = np.concatenate((row, np.empty(n_events, np.int64))), np.concatenate((n, np.empty(n_events)))
            intensity, seen = np.empty((n_components, n_events)), np.empty(n_events)
        shaped, plain = _throw_events(stream, source.pools, numbers, n_fixed, row, n, intensity, seen)
        _throw_auxiliary(stream, d, source.theta, centre)
        visits = Visits(row[: n_fixed + shaped], n[: n_fixed + shaped])
        observed = Observed(rows, visits, Events(intensity, seen, plain))
        for p in range(n_parameters):
            start[p] = min(max(source.theta[p], problem.lower[p]), problem.upper[p])
        status = _fit(observed, d, problem, centre, start, best, work)
        n_basins = 0
        if squares:
            n_basins = find_basins(source.parabola, n[:n_fixed], problem.lower[0], problem.upper[0], places, values)
        for i in range(n_basins):
            start[:] = best.theta
            start[0] = places[i]
            ended = _fit(observed, d, problem, centre, start, other, work)
            if ended == 0 and (status != 0 or other.numbers[VALUE] < best.numbers[VALUE] - BETTER):
                status = _fit(observed, d, problem, centre, other.theta, best, work)
        minima[:], again = np.inf, False
        for i in range(4):  # at both strengths; once more at both where that was lower than the best fit
            if i == 2 and not again:
                break
            start[:] = best.theta
            start[0] = mu_test if i % 2 == 0 else 0.0
            ended = _fit(observed, d, conditional, centre, start, held, work)
            if ended == NOT_FINITE_AT_START and _least_strength(d, start[0]) >= 0.0:
                ended = 0  # impossible data, which is no failure
            minima[i % 2] = min(minima[i % 2], held.numbers[VALUE])
            allowed = ended == 0 and problem.lower[0] <= start[0] <= problem.upper[0]
            if allowed and held.numbers[VALUE] < best.numbers[VALUE] - BETTER:
                ended, again = _fit(observed, d, problem, centre, held.theta, best, work), True
            status = status if status != 0 else ended
        records.nll_test[toy], records.nll_zero[toy] = minima[0], minima[1]
        records.theta[toy] = best.theta
        records.nll_best[toy] = best.numbers[VALUE]
        records.status[toy] = status
        records.n_events[toy] = n_events + int(n[:n_fixed].sum())


@kernel
def fit_once(
    observed: Observed, d: Dependence, problem: Problem, centre: Array, start: Array, theta: Array, matrix: Array
) -> tuple[float, int, int]:
    """Fit one data set; return -log L, status and parameters at limits, a bit each.

    Parameters
    ----------
    start : (parameters,)
    theta : (parameters,), out
        Best parameters.
    matrix : (parameters, parameters), out
        Their covariance, see :func:`hepstat.kernels.newton.covariance`.
    """
    state = allocate_state(theta.shape[0], problem.free.shape[0])
    work = allocate_work(d.owner.shape[0], d.intercept.shape[0], theta.shape[0])
    minimise(observed, d, problem, centre, start, state, work)
    theta[:] = state.theta
    at_limit = covariance(state, problem.free, problem.lower, problem.upper, matrix)
    return state.numbers[VALUE], state.codes[STATUS], at_limit

"""Whole fits in one call: many sets of bin counts, or many sets of events, one after the other."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.binned import allocate_binned, binned_value
from hepstat.kernels.constraints import add_constraints
from hepstat.kernels.model import Model
from hepstat.kernels.newton import (
    EDM,
    EVALUATIONS,
    MAX_EVALUATIONS,
    STALLED,
    STATUS,
    VALUE,
    State,
    allocate_state,
    begin,
    covariance,
    judge,
    propose,
)
from hepstat.kernels.options import borrowing, kernel
from hepstat.kernels.unbinned import unbinned_value

__all__ = [
    "BARRIERS",
    "Problem",
    "Records",
    "fit_binned_toys",
    "auxiliary",
    "fit_unbinned_toys",
    "next_stage",
    "sandwich",
    "store",
]

Array = NDArray[np.float64]

BARRIERS = (1e-2, 1e-4, 1e-6, 1e-8, 0.0)  # see next_stage


class Problem(NamedTuple):
    """What floats and what is known beforehand.

    Attributes
    ----------
    free : (free,) int64
        Indices of the floating parameters.
    lower, upper : (parameters,)
        Bounds.
    constraint_kind, constraint_parameter : (constraints,) int64
    constraint_width : (constraints,)
    guard : (points,)
        Where the density of an unbinned fit must not be negative besides at the events.
    tolerance : float
        Estimated distance to the minimum at which a fit is done.
    max_evaluations : int
    """

    free: NDArray[np.int64]
    lower: Array
    upper: Array
    constraint_kind: NDArray[np.int64]
    constraint_parameter: NDArray[np.int64]
    constraint_width: Array
    guard: Array
    tolerance: float
    max_evaluations: int


class Records(NamedTuple):
    """Results of many fits, one row a toy; covariance has no rows where it is not wanted."""

    theta: Array
    covariance: Array
    value: Array
    edm: Array
    status: NDArray[np.int64]
    evaluations: NDArray[np.int64]
    at_limit: NDArray[np.int64]


@kernel
def _row(a: Array, i: int) -> Array:
    """Row i, or the only row."""
    row: Array = a[i if a.shape[0] > 1 else 0]
    return row


@borrowing
def store(state: State, problem: Problem, matrix: Array, toy: int, records: Records) -> None:
    """Copy the end of a fit to row `toy` of the records; matrix (parameters, parameters) is work space."""
    records.at_limit[toy] = covariance(state, problem.free, problem.lower, problem.upper, matrix)
    for i in range(matrix.shape[0]):
        records.theta[toy, i] = state.theta[i]
        if records.covariance.shape[0] > 0:
            for j in range(matrix.shape[0]):
                records.covariance[toy, i, j] = matrix[i, j]
    records.value[toy] = state.numbers[VALUE]
    records.edm[toy] = state.numbers[EDM]
    records.status[toy] = state.codes[STATUS]
    records.evaluations[toy] = state.codes[EVALUATIONS]


@borrowing
def auxiliary(problem: Problem, centre: Array, theta: Array, gradient: Array, gauss: Array, rest: Array) -> float:
    """Return the constraints' part of the likelihood and add its derivatives."""
    return add_constraints(
        problem.constraint_kind,
        problem.constraint_parameter,
        problem.constraint_width,
        centre,
        theta,
        gradient,
        gauss,
        rest,
    )


@borrowing
def next_stage(state: State, stage: int) -> bool:
    """Return whether a fit goes on with another barrier, after `stage` barriers so far.

    The expected density may not become negative. A plain descent can get stuck at this wall, where an empty bin pushes
    its content down to zero with constant force while better points lie along the wall. Such a fit starts again with
    that many events added to each bin (weight added to each guard point of an unbinned fit), a logarithmic barrier,
    and follows its minimum as the barrier is lowered to nothing.
    """
    stuck = state.codes[STATUS] == STALLED or state.codes[STATUS] == MAX_EVALUATIONS
    return stage < len(BARRIERS) and (stage > 0 or stuck)


@kernel
def fit_binned_toys(
    model: Model, problem: Problem, counts: Array, scale: Array, start: Array, centres: Array, records: Records
) -> None:
    """Fit every row of counts.

    Parameters
    ----------
    counts : (toys, bins)
    scale : (toys or 1, bins)
    start : (toys or 1, parameters)
    centres : (toys or 1, constraints)
        Measured values of the auxiliary measurements.
    records : out
    """
    n = start.shape[1]
    work = allocate_binned(model)
    state = allocate_state(n, problem.free.shape[0])
    gradient, gauss, rest = np.empty(n), np.empty((n, n)), np.empty((n, n))
    contents = np.empty(counts.shape[1])
    for toy in range(counts.shape[0]):
        toy_scale, centre = _row(scale, toy), _row(centres, toy)
        fresh = toy == 0 or start.shape[0] > 1
        barrier, stage, evaluations = 0.0, 0, 0
        begin(state, _row(start, toy))
        while True:
            for b in range(contents.shape[0]):
                contents[b] = counts[toy, b] + barrier
            running = True
            while running:
                value = binned_value(model, state.trial, contents, toy_scale, fresh, work, gradient, gauss, rest)
                value += auxiliary(problem, centre, state.trial, gradient, gauss, rest)
                judge(state, value, gradient, gauss, rest, problem.max_evaluations)
                running = propose(state, problem.free, problem.lower, problem.upper, problem.tolerance)
                fresh = False
            evaluations += state.codes[EVALUATIONS]
            if not next_stage(state, stage):
                break
            barrier = BARRIERS[stage]
            begin(state, _row(start, toy) if stage == 0 else state.theta)
            stage += 1
        state.codes[EVALUATIONS] = evaluations
        store(state, problem, gauss, toy, records)


@kernel
def sandwich(covariance_of_toy: Array, middle: Array) -> None:
    """Replace the covariance C (parameters, parameters) by C @ middle @ C."""
    n = middle.shape[0]
    half = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            for k in range(n):
                half[i, j] += covariance_of_toy[i, k] * middle[k, j]
    out = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            for k in range(n):
                out[i, j] += half[i, k] * covariance_of_toy[k, j]
    covariance_of_toy[:] = out


@kernel
def fit_unbinned_toys(
    model: Model,
    problem: Problem,
    x: Array,
    weights: Array,
    slices: NDArray[np.int64],
    start: Array,
    centres: Array,
    records: Records,
) -> None:
    """Fit every slice of the events; of weighted events with sandwich-corrected covariance.

    The covariance of weighted events is H^-1 D H^-1, with D the sum over events of w^2 times the products of the
    derivatives of the logarithm of the density (Langenbruch, EPJ C 82 (2022) 393, arXiv:1911.01303, eq. 18).

    Parameters
    ----------
    x : (events,)
    weights : (events,) or (0,)
    slices : (toys, 2)
        First event of each toy and the one behind its last; slices may overlap.
    start : (toys or 1, parameters)
    centres : (toys or 1, constraints)
    records : out
    """
    n = start.shape[1]
    state = allocate_state(n, problem.free.shape[0])
    gradient, gauss, rest = np.empty(n), np.empty((n, n)), np.empty((n, n))
    for toy in range(slices.shape[0]):
        events = x[slices[toy, 0] : slices[toy, 1]]
        event_weights = weights[slices[toy, 0] : slices[toy, 1]] if weights.shape[0] > 0 else weights
        centre = _row(centres, toy)
        barrier, stage, evaluations = 0.0, 0, 0
        begin(state, _row(start, toy))
        while True:
            running = True
            while running:
                value = unbinned_value(
                    model, state.trial, events, event_weights, problem.guard, barrier, gradient, gauss, rest
                )
                value += auxiliary(problem, centre, state.trial, gradient, gauss, rest)
                judge(state, value, gradient, gauss, rest, problem.max_evaluations)
                running = propose(state, problem.free, problem.lower, problem.upper, problem.tolerance)
            evaluations += state.codes[EVALUATIONS]
            if not next_stage(state, stage):
                break
            barrier = BARRIERS[stage]
            begin(state, _row(start, toy) if stage == 0 else state.theta)
            stage += 1
        state.codes[EVALUATIONS] = evaluations
        store(state, problem, gauss, toy, records)
        if weights.shape[0] > 0 and records.covariance.shape[0] > 0:
            squares = event_weights * event_weights
            unbinned_value(model, state.theta, events, squares, problem.guard[:0], 0.0, gradient, gauss, rest)
            sandwich(records.covariance[toy], gauss)

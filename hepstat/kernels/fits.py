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
    STATUS,
    VALUE,
    State,
    allocate_state,
    begin,
    covariance,
    judge,
    propose,
)
from hepstat.kernels.options import kernel
from hepstat.kernels.unbinned import unbinned_value

__all__ = ["Problem", "Records", "fit_binned_toys", "fit_unbinned_toys", "store"]

Array = NDArray[np.float64]


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
    return a[i if a.shape[0] > 1 else 0]


@kernel
def store(state: State, problem: Problem, matrix: Array, toy: int, records: Records) -> None:
    """Copy the end of a fit to row `toy` of the records; matrix (parameters, parameters) is work space."""
    records.at_limit[toy] = covariance(state, problem.free, problem.lower, problem.upper, matrix)
    records.theta[toy] = state.theta
    if records.covariance.shape[0] > 0:
        records.covariance[toy] = matrix
    records.value[toy] = state.numbers[VALUE]
    records.edm[toy] = state.numbers[EDM]
    records.status[toy] = state.codes[STATUS]
    records.evaluations[toy] = state.codes[EVALUATIONS]


@kernel
def _auxiliary(problem: Problem, centre: Array, theta: Array, gradient: Array, gauss: Array, rest: Array) -> float:
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
    for toy in range(counts.shape[0]):
        begin(state, _row(start, toy))
        centre = _row(centres, toy)
        fresh = toy == 0 or start.shape[0] > 1
        running = True
        while running:
            value = binned_value(
                model, state.trial, counts[toy], _row(scale, toy), fresh, work, gradient, gauss, rest
            )
            value += _auxiliary(problem, centre, state.trial, gradient, gauss, rest)
            judge(state, value, gradient, gauss, rest, problem.max_evaluations)
            running = propose(state, problem.free, problem.lower, problem.upper, problem.tolerance)
            fresh = False
        store(state, problem, gauss, toy, records)


@kernel
def fit_unbinned_toys(
    model: Model,
    problem: Problem,
    x: Array,
    weights: Array,
    offsets: NDArray[np.int64],
    start: Array,
    centres: Array,
    records: Records,
) -> None:
    """Fit every slice x[offsets[i] : offsets[i + 1]].

    Parameters
    ----------
    x : (events,)
    weights : (events,) or (0,)
    offsets : (toys + 1,)
    start : (toys or 1, parameters)
    centres : (toys or 1, constraints)
    records : out
    """
    n = start.shape[1]
    state = allocate_state(n, problem.free.shape[0])
    gradient, gauss, rest = np.empty(n), np.empty((n, n)), np.empty((n, n))
    for toy in range(offsets.shape[0] - 1):
        events = x[offsets[toy] : offsets[toy + 1]]
        event_weights = weights[offsets[toy] : offsets[toy + 1]] if weights.shape[0] > 0 else weights
        begin(state, _row(start, toy))
        centre = _row(centres, toy)
        running = True
        while running:
            value = unbinned_value(model, state.trial, events, event_weights, problem.guard, gradient, gauss, rest)
            value += _auxiliary(problem, centre, state.trial, gradient, gauss, rest)
            judge(state, value, gradient, gauss, rest, problem.max_evaluations)
            running = propose(state, problem.free, problem.lower, problem.upper, problem.tolerance)
        store(state, problem, gauss, toy, records)

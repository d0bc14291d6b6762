"""Whole fits in one call: many sets of bin counts, or many sets of events, one after the other."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.binned import ALL_SHAPES, FIXED_SHAPES, NOTHING, BinnedWork, allocate_binned, binned_value
from hepstat.kernels.constraints import add_constraints
from hepstat.kernels.entry import window
from hepstat.kernels.model import Model
from hepstat.kernels.newton import (
    BARRIER,
    EARLIER,
    EDM,
    EVALUATIONS,
    STAGE,
    STATUS,
    VALUE,
    State,
    allocate_state,
    begin,
    begin_next_stage,
    covariance,
    judge,
    propose,
)
from hepstat.kernels.options import borrowing, kernel, part
from hepstat.kernels.unbinned import unbinned_value

__all__ = [
    "Problem",
    "Records",
    "advance",
    "auxiliary",
    "change_basis",
    "fit_binned_toys",
    "fit_unbinned_toys",
    "sandwich",
    "store",
]

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


@part
def _row(a: Array, i: int) -> int:
    """Where row i of a starts, or the only row."""
    return i * a.shape[1] if a.shape[0] > 1 else 0


@borrowing
def store(state: State, problem: Problem, toy: int, records: Records) -> None:
    """Copy the end of a fit to row `toy` of the records."""
    matrix = state.trial_gauss  # not needed any more
    records.at_limit[toy] = covariance(state, problem.free, problem.lower, problem.upper, matrix)
    for i in range(matrix.shape[0]):
        records.theta[toy, i] = state.theta[i]
        if records.covariance.shape[0] > 0:
            for j in range(matrix.shape[0]):
                records.covariance[toy, i, j] = matrix[i, j]
    records.value[toy] = state.numbers[VALUE]
    records.edm[toy] = state.numbers[EDM]
    records.status[toy] = state.codes[STATUS]
    records.evaluations[toy] = state.codes[EARLIER] + state.codes[EVALUATIONS]


@borrowing
def auxiliary(problem: Problem, centre: Array, theta: Array, gradient: Array, gauss: Array, rest: Array) -> float:
    """Return the constraints' part of the likelihood and add its derivatives."""
    kind, parameter, width = problem.constraint_kind, problem.constraint_parameter, problem.constraint_width
    return add_constraints(kind, parameter, width, centre, theta, gradient, gauss, rest)


@borrowing
def advance(state: State, problem: Problem, start: Array, centre: Array, value: float) -> bool:
    """Take the likelihood of the data at the trial point; return whether there is another point to try."""
    value += auxiliary(problem, centre, state.trial, state.trial_gradient, state.trial_gauss, state.trial_rest)
    judge(state, value, problem.max_evaluations)
    if propose(state, problem.free, problem.lower, problem.upper, problem.tolerance):
        return True
    return begin_next_stage(state, start)


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
    state = allocate_state(start.shape[1], problem.free.shape[0])
    contents = np.empty(counts.shape[1])
    at_start, work = allocate_binned(model), allocate_binned(model)
    _fit_rows(model, problem, counts, scale, start, centres, at_start, work, state, contents, records)


@borrowing
def _fit_rows(
    model: Model,
    problem: Problem,
    counts: Array,
    scale: Array,
    start: Array,
    centres: Array,
    at_start: BinnedWork,
    work: BinnedWork,
    state: State,
    contents: Array,
    records: Records,
) -> None:
    """Do the work of :func:`fit_binned_toys` in its buffers; at_start keeps the shapes at a common starting point."""
    gradient, gauss, rest = state.trial_gradient, state.trial_gauss, state.trial_rest
    start_known = known = NOTHING
    for toy in range(counts.shape[0]):
        toy_scale = window(scale, _row(scale, toy), (scale.shape[1],))
        centre = window(centres, _row(centres, toy), (centres.shape[1],))
        beginning = window(start, _row(start, toy), (start.shape[1],))
        if toy == 0 or start.shape[0] > 1:
            start_known = known = NOTHING
        begin(state, beginning, 0)
        running = True
        while running:
            for b in range(contents.shape[0]):
                contents[b] = counts[toy, b] + state.numbers[BARRIER]
            if state.codes[STAGE] == 0 and state.codes[EVALUATIONS] == 0:
                value = binned_value(
                    model, state.trial, contents, toy_scale, start_known, at_start, gradient, gauss, rest
                )
                start_known = ALL_SHAPES
            else:
                value = binned_value(model, state.trial, contents, toy_scale, known, work, gradient, gauss, rest)
                known = FIXED_SHAPES
            running = advance(state, problem, beginning, centre, value)
        store(state, problem, toy, records)


@borrowing
def sandwich(left: Array, middle: Array, half: Array) -> None:
    """Replace middle (parameters, parameters) by left @ middle @ left^T; half is work space of the same shape."""
    n = middle.shape[0]
    for i in range(n):
        for j in range(n):
            half[i, j] = 0.0
        for k in range(n):
            if left[i, k] != 0.0:  # so that an unknown variance, NaN, stays where it is
                for j in range(n):
                    half[i, j] += left[i, k] * middle[k, j]
    for i in range(n):
        for j in range(n):
            total = 0.0
            for k in range(n):
                if left[j, k] != 0.0:
                    total += half[i, k] * left[j, k]
            middle[i, j] = total


@kernel
def change_basis(matrix: Array, theta: Array, covariances: Array) -> None:
    """Multiply every row of theta (toys, parameters) with matrix, in place, and the covariances from both sides.

    Parameters
    ----------
    matrix : (parameters, parameters)
    theta : (toys, parameters)
    covariances : (toys or 0, parameters, parameters)
    """
    n = matrix.shape[0]
    _change_rows(matrix, theta, covariances, np.empty(n), np.empty((n, n)))


@borrowing
def _change_rows(matrix: Array, theta: Array, covariances: Array, row: Array, half: Array) -> None:
    """Do the work of :func:`change_basis` in its buffers."""
    n = matrix.shape[0]
    for toy in range(theta.shape[0]):
        for i in range(n):
            row[i] = 0.0
            for k in range(n):
                row[i] += matrix[i, k] * theta[toy, k]
        for i in range(n):
            theta[toy, i] = row[i]
    for toy in range(covariances.shape[0]):
        sandwich(matrix, window(covariances, toy * n * n, (n, n)), half)


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
    derivatives of the logarithm of the density (Langenbruch, EPJ C 82 (2022) 393, arXiv:1911.01303, eq. 18), to which
    constraints add their information.

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
    gradient, gauss, rest = state.trial_gradient, state.trial_gauss, state.trial_rest
    for toy in range(slices.shape[0]):
        events = x[slices[toy, 0] : slices[toy, 1]]
        event_weights = weights[slices[toy, 0] : slices[toy, 1]] if weights.shape[0] > 0 else weights
        centre = window(centres, _row(centres, toy), (centres.shape[1],))
        beginning = window(start, _row(start, toy), (n,))
        begin(state, beginning, 0)
        running = True
        while running:
            barrier = state.numbers[BARRIER]
            value = unbinned_value(
                model, state.trial, events, event_weights, problem.guard, barrier, gradient, gauss, rest
            )
            running = advance(state, problem, beginning, centre, value)
        store(state, problem, toy, records)
        if weights.shape[0] > 0 and records.covariance.shape[0] > 0:
            squares = event_weights * event_weights
            unbinned_value(model, state.theta, events, squares, problem.guard[:0], 0.0, gradient, gauss, rest)
            auxiliary(problem, centre, state.theta, gradient, gauss, rest)
            sandwich(records.covariance[toy], gauss, rest)
            records.covariance[toy] = gauss

"""Damped Newton minimisation inside bounds, one step at a time, so that any likelihood can drive it.

The step solves (H + d D) step = -gradient with H the full Hessian where that is positive definite, else its positive
semi-definite part alone (Gauss-Newton, that is Fisher scoring with observed weights), D the diagonal of the latter
and d the damping of Levenberg and Marquardt, raised after a rejected step and lowered after an accepted one.
Parameters at a bound whose gradient points outwards stay there (projected Newton, Bertsekas, SIAM J. Control Optim.
20 (1982) 221).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.options import borrowing, kernel, part

__all__ = [
    "AT_EDGE",
    "BARRIER",
    "CONVERGED",
    "EARLIER",
    "EDM",
    "EVALUATIONS",
    "EVALUATIONS_EXHAUSTED",
    "HESSIAN_NOT_POSITIVE",
    "NOT_FINITE_AT_START",
    "STAGE",
    "STALLED",
    "STATUS",
    "UNDETERMINED",
    "UNRESOLVED",
    "VALUE",
    "State",
    "allocate_state",
    "begin",
    "begin_next_stage",
    "covariance",
    "factorise",
    "judge",
    "propose",
    "solve",
]

Array = NDArray[np.float64]

RUNNING = -1
CONVERGED = 0
EVALUATIONS_EXHAUSTED = 1
STALLED = 2
NOT_FINITE_AT_START = 3
HESSIAN_NOT_POSITIVE = 4
UNDETERMINED = 5
UNRESOLVED = 6  # set where results are put together: a width became too narrow for the quadrature
AT_EDGE = 7

_SINGULAR = 1e-13  # smallest pivot of a matrix with unit diagonal that counts as positive
_SMALLEST_DAMPING = 1e-7
_LARGEST_DAMPING = 1e12

# Entries of State.numbers and State.codes.
VALUE, DAMPING, PREDICTED, EDM, BARRIER = 0, 1, 2, 3, 4
STATUS, EVALUATIONS, STAGE, EARLIER, BEFORE = 0, 1, 2, 3, 4

# A descent may get stuck at the wall where the expected density reaches zero: an empty bin pushes its content down with
# constant force while better points lie along the wall. Such a fit starts again with that many events added to each
# bin (weight added to each guard point of an unbinned fit), a logarithmic barrier, and follows its minimum as the
# barrier is lowered to nothing.
BARRIERS = (0.0, 1e-2, 1e-4, 1e-6, 1e-8, 0.0)


class State(NamedTuple):
    """Where a problem is: its point, the likelihood there, and the trial point.

    Attributes
    ----------
    theta, trial, gradient : (parameters,)
    gauss, rest : (parameters, parameters)
        The two parts of the Hessian at theta.
    trial_gradient, trial_gauss, trial_rest
        The same at the trial point, for the likelihood to fill.
    matrix : (free, free)
        Factorised Hessian of the floating parameters.
    step, scale, held : (free,)
        Scaled step, scale of each parameter, and 1 for parameters held at a bound.
    numbers : (5,)
        Likelihood value, damping, predicted decrease, estimated distance to the minimum, barrier.
    codes : (5,) int64
        Status, number of evaluations in this stage, stage (position in BARRIERS), evaluations in earlier stages, status
        at the end of the stage before.
    """

    theta: Array
    trial: Array
    gradient: Array
    gauss: Array
    rest: Array
    trial_gradient: Array
    trial_gauss: Array
    trial_rest: Array
    matrix: Array
    step: Array
    scale: Array
    held: Array
    numbers: Array
    codes: NDArray[np.int64]


@kernel
def allocate_state(n_parameters: int, n_free: int) -> State:
    """Return buffers for a problem of this size."""
    return State(
        np.empty(n_parameters),
        np.empty(n_parameters),
        np.empty(n_parameters),
        np.empty((n_parameters, n_parameters)),
        np.empty((n_parameters, n_parameters)),
        np.empty(n_parameters),
        np.empty((n_parameters, n_parameters)),
        np.empty((n_parameters, n_parameters)),
        np.empty((n_free, n_free)),
        np.empty(n_free),
        np.empty(n_free),
        np.empty(n_free),
        np.empty(5),
        np.empty(5, np.int64),
    )


@borrowing
def begin(state: State, start: Array, stage: int) -> None:
    """Set the starting point of a stage, 0 for a new fit: theta and the first trial point."""
    state.codes[EARLIER] = state.codes[EARLIER] + state.codes[EVALUATIONS] if stage > 0 else 0
    state.codes[STAGE] = stage
    state.numbers[BARRIER] = BARRIERS[stage]
    for i in range(start.shape[0]):
        state.theta[i] = start[i]
        state.trial[i] = start[i]
    state.numbers[VALUE] = np.inf
    state.numbers[DAMPING] = 0.0
    state.numbers[PREDICTED] = np.inf
    state.numbers[EDM] = np.inf
    state.codes[STATUS] = RUNNING
    state.codes[EVALUATIONS] = 0


@part
def factorise(matrix: Array) -> bool:
    """Cholesky factor in the lower triangle, reciprocal pivots on the diagonal; return whether it is positive."""
    n = matrix.shape[0]
    for j in range(n):
        pivot = matrix[j, j]
        for k in range(j):
            pivot -= matrix[j, k] * matrix[j, k]
        if not pivot > _SINGULAR:
            return False
        per = 1.0 / np.sqrt(pivot)
        matrix[j, j] = per
        for i in range(j + 1, n):
            entry = matrix[i, j]
            for k in range(j):
                entry -= matrix[i, k] * matrix[j, k]
            matrix[i, j] = entry * per
    return True


@part
def solve(matrix: Array, x: Array) -> None:
    """Solve in place for x (n,), given a Cholesky factor with the reciprocals of its diagonal."""
    n = x.shape[0]
    for i in range(n):
        entry = x[i]
        for k in range(i):
            entry -= matrix[i, k] * x[k]
        x[i] = entry * matrix[i, i]
    for i in range(n - 1, -1, -1):
        entry = x[i]
        for k in range(i + 1, n):
            entry -= matrix[k, i] * x[k]
        x[i] = entry * matrix[i, i]


@part
def _invert(matrix: Array) -> None:
    """Replace the factor of :func:`factorise` by the inverse of the matrix, lower triangle."""
    n = matrix.shape[0]
    for j in range(n):  # the inverse of the factor
        for i in range(j + 1, n):
            entry = 0.0
            for k in range(j, i):
                entry -= matrix[i, k] * matrix[k, j]
            matrix[i, j] = entry * matrix[i, i]
    for i in range(n):
        for j in range(i + 1):
            entry = 0.0
            for k in range(i, n):
                entry += matrix[k, i] * matrix[k, j]
            matrix[i, j] = entry


@part
def _fill_matrix(state: State, free: NDArray[np.int64], full: float, damping: float) -> None:
    """state.matrix = scaled Hessian (its second part counted `full` times) plus damping, held parameters decoupled."""
    n = free.shape[0]
    for i in range(n):
        for j in range(i + 1):
            entry = state.gauss[free[i], free[j]] + full * state.rest[free[i], free[j]]
            decoupled = state.held[i] + state.held[j] > 0.0
            state.matrix[i, j] = 0.0 if decoupled else entry * state.scale[i] * state.scale[j]
        straight = not state.gauss[free[i], free[i]] > 0.0 and state.rest[free[i], free[i]] == 0.0
        if straight:
            state.matrix[i, i] = 1.0
        state.matrix[i, i] = 1.0 if state.held[i] > 0.0 else state.matrix[i, i] + damping


@part
def _hold(state: State, free: NDArray[np.int64], lower: Array, upper: Array) -> None:
    """Fill state.held and state.scale."""
    for i in range(free.shape[0]):
        at = free[i]
        slope = state.gradient[at]
        low = state.theta[at] <= lower[at] and slope > 0.0
        high = state.theta[at] >= upper[at] and slope < 0.0
        diagonal = state.gauss[at, at]
        if not diagonal > 0.0:
            diagonal = abs(state.rest[at, at])
        flat = not diagonal > 0.0 and slope == 0.0  # nothing depends on this parameter here
        state.held[i] = 1.0 if low or high or flat else 0.0
        if diagonal > 0.0:
            state.scale[i] = 1.0 / np.sqrt(diagonal)
        else:  # a slope without curvature, as of a yield where no events are: the step is of the size of the parameter
            state.scale[i] = np.sqrt(max(abs(state.theta[at]), 1.0) / max(abs(slope), 1e-300)) if slope != 0.0 else 1.0


@borrowing
def propose(state: State, free: NDArray[np.int64], lower: Array, upper: Array, tolerance: float) -> bool:
    """Fill state.trial with the next point; return whether the problem is still running.

    It is done when the estimated distance to the minimum (half the Newton decrement) is below `tolerance`.

    Parameters
    ----------
    free : (free,) int64
        Indices of the floating parameters.
    lower, upper : (parameters,)
        Bounds, infinite where there are none.
    """
    if state.codes[STATUS] != RUNNING:
        return False
    n = free.shape[0]
    _hold(state, free, lower, upper)
    full, damping = 1.0, state.numbers[DAMPING]
    _fill_matrix(state, free, full, damping)
    if not factorise(state.matrix):
        full, damping = 0.0, max(damping, 1e-3)
        _fill_matrix(state, free, full, damping)
        factorise(state.matrix)
    for i in range(n):
        state.step[i] = 0.0 if state.held[i] > 0.0 else -state.gradient[free[i]] * state.scale[i]
    solve(state.matrix, state.step)
    distance = 0.0
    for i in range(n):
        if state.held[i] == 0.0:
            distance -= 0.5 * state.gradient[free[i]] * state.scale[i] * state.step[i]
    state.numbers[EDM] = distance
    if distance < tolerance and state.numbers[DAMPING] < 1e-2:
        state.codes[STATUS] = CONVERGED
        return False
    if state.numbers[DAMPING] > _LARGEST_DAMPING:
        state.codes[STATUS] = STALLED
        return False
    for i in range(n):
        moved = state.theta[free[i]] + state.step[i] * state.scale[i]
        state.trial[free[i]] = min(max(moved, lower[free[i]]), upper[free[i]])
    _predict(state, free, full)
    return True


@part
def _predict(state: State, free: NDArray[np.int64], full: float) -> None:
    """Set the decrease of the quadratic model between theta and the trial point, which bounds may have moved."""
    predicted = 0.0
    for i in range(free.shape[0]):
        gi = free[i]
        change = state.gradient[gi]
        for j in range(free.shape[0]):
            gj = free[j]
            curvature = state.gauss[gi, gj] + full * state.rest[gi, gj]
            change += 0.5 * curvature * (state.trial[gj] - state.theta[gj])
        predicted -= (state.trial[gi] - state.theta[gi]) * change
    state.numbers[PREDICTED] = predicted


@part
def _all_finite(gradient: Array, gauss: Array, rest: Array) -> bool:
    """Whether all derivatives are finite."""
    total = 0.0
    for i in range(gradient.shape[0]):
        total += abs(gradient[i])
        for j in range(gradient.shape[0]):
            total += abs(gauss[i, j]) + abs(rest[i, j])
    return bool(np.isfinite(total))


@borrowing
def begin_next_stage(state: State, start: Array) -> bool:
    """Start again with the next barrier if this fit got stuck, or has one already; return whether it did."""
    stage = state.codes[STAGE] + 1
    if stage == len(BARRIERS) and state.codes[STATUS] == STALLED and state.codes[BEFORE] == CONVERGED:
        state.codes[STATUS] = AT_EDGE  # the minimum with the lowest barrier is that at the wall
    stuck = state.codes[STATUS] == STALLED or state.codes[STATUS] == EVALUATIONS_EXHAUSTED
    if stage == len(BARRIERS) or (stage == 1 and not stuck):
        return False
    state.codes[BEFORE] = state.codes[STATUS]
    begin(state, start if stage == 1 else state.theta, stage)
    return True


@borrowing
def judge(state: State, value: float, max_evaluations: int) -> None:
    """Accept or reject the trial point, given the likelihood there, and set the next damping."""
    first = state.codes[EVALUATIONS] == 0
    state.codes[EVALUATIONS] += 1
    if not _all_finite(state.trial_gradient, state.trial_gauss, state.trial_rest):
        value = np.inf
    if first and not np.isfinite(value):
        state.codes[STATUS] = NOT_FINITE_AT_START
        return
    gain = state.numbers[VALUE] - value
    noise = 1e-14 * abs(value)
    if first or (np.isfinite(value) and (gain > 1e-4 * state.numbers[PREDICTED] or abs(gain) <= noise)):
        trusted = gain > 0.25 * state.numbers[PREDICTED] or abs(gain) <= noise
        damping = state.numbers[DAMPING] * (0.1 if trusted else 2.0)
        state.numbers[DAMPING] = damping if damping > _SMALLEST_DAMPING else 0.0
        state.numbers[VALUE] = value
        for i in range(state.theta.shape[0]):
            state.theta[i] = state.trial[i]
            state.gradient[i] = state.trial_gradient[i]
            for j in range(state.theta.shape[0]):
                state.gauss[i, j] = state.trial_gauss[i, j]
                state.rest[i, j] = state.trial_rest[i, j]
    else:
        state.numbers[DAMPING] = max(10.0 * state.numbers[DAMPING], 1e-2)
    if state.codes[EVALUATIONS] >= max_evaluations:
        state.codes[STATUS] = EVALUATIONS_EXHAUSTED


@borrowing
def covariance(state: State, free: NDArray[np.int64], lower: Array, upper: Array, out: Array) -> int:
    """Fill out (parameters, parameters) with the inverse full Hessian; return the parameters at limits, a bit each.

    Fixed parameters and those at a limit with their gradient pointing outwards have zeros. A fit that has not converged
    has NaN everywhere. Where the Hessian of the
    others is not positive definite, the status CONVERGED becomes HESSIAN_NOT_POSITIVE and all entries are NaN. Where
    nothing depends on a parameter, as on the position of a peak whose yield is at zero, its variance is NaN and the
    status becomes UNDETERMINED.
    """
    n = free.shape[0]
    at_limit = 0
    converged = state.codes[STATUS] == CONVERGED
    for i in range(out.shape[0]):
        for j in range(out.shape[0]):
            out[i, j] = 0.0 if converged else np.nan
    if not converged:
        return 0
    _hold(state, free, lower, upper)
    _fill_matrix(state, free, 1.0, 0.0)
    positive = factorise(state.matrix)
    if positive:
        _invert(state.matrix)
    for i in range(n):
        for j in range(i + 1):
            entry = 0.0 if state.held[i] + state.held[j] > 0.0 else state.matrix[i, j] * state.scale[i] * state.scale[j]
            out[free[i], free[j]] = out[free[j], free[i]] = entry if positive else np.nan
    undetermined = False
    for i in range(n):
        at = free[i]
        if state.held[i] > 0.0 and (state.theta[at] <= lower[at] or state.theta[at] >= upper[at]):
            at_limit |= 1 << at
        elif state.held[i] > 0.0:
            out[at, at] = np.nan
            undetermined = True
    if not positive:
        state.codes[STATUS] = HESSIAN_NOT_POSITIVE
    elif undetermined:
        state.codes[STATUS] = UNDETERMINED
    return at_limit

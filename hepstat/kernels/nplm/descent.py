"""Levenberg's damped Gauss-Newton inside limits, for networks.

The step d minimises g d + d (H + damping S^-2) d / 2 with H the Gauss-Newton matrix and S a scale for each parameter,
inside the limits: where the free minimum is outside, parameters go to their limits and the others are solved for
again.
Unlike Marquardt's, this damping also holds parameters that hardly matter, such as those of a unit that is about to
saturate and would else leave in one step and never come back. It follows Nielsen's rule (Madsen, Nielsen and Tingleff,
"Methods for non-linear least squares problems", 2004, eq. 2.21).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.newton import solve
from hepstat.kernels.options import borrowing, summing

__all__ = [
    "CONVERGED",
    "EVALUATIONS",
    "EXHAUSTED",
    "NOT_FINITE_AT_START",
    "STALLED",
    "STATUS",
    "VALUE",
    "Search",
    "judge_step",
    "propose_step",
    "start_search",
]

Array = NDArray[np.float64]

RUNNING, CONVERGED, EXHAUSTED, STALLED, NOT_FINITE_AT_START = -1, 0, 1, 2, 3
VALUE, DAMPING, GROWTH, PREDICTED = range(4)  # of Search.numbers
STATUS, EVALUATIONS = range(2)  # of Search.codes

_FIRST = 1e-2  # damping at the start, over the largest diagonal entry in these scales
_LARGEST = 1e20
_SMALLEST = 1e-12  # over the largest diagonal entry
_NOISE = 1e-13
_SINGULAR = 1e-14  # smallest pivot of a matrix with diagonal entries up to one


class Search(NamedTuple):
    """Where a descent is.

    theta, trial, gradient, trial_gradient, step, scale (n,); hessian, trial_hessian, matrix (n, n); pinned (n,) of
    int64; numbers (4,): value, damping, its growth, predicted decrease; codes (2,).
    """

    theta: Array
    trial: Array
    gradient: Array
    trial_gradient: Array
    step: Array
    scale: Array
    hessian: Array
    trial_hessian: Array
    matrix: Array
    pinned: NDArray[np.int64]
    numbers: Array
    codes: NDArray[np.int64]


@borrowing
def start_search(search: Search, start: Array) -> None:
    """Begin at a point."""
    for i in range(start.shape[0]):
        search.theta[i] = search.trial[i] = start[i]
    search.numbers[VALUE] = np.inf
    search.codes[STATUS], search.codes[EVALUATIONS] = RUNNING, 0


@borrowing
def largest_diagonal(search: Search) -> float:
    """Return the largest diagonal entry of the matrix in units of the scales, or of all zeros the largest slope."""
    most, slope = 0.0, 1e-300
    for i in range(search.theta.shape[0]):
        most = max(most, abs(search.hessian[i, i]) * search.scale[i] * search.scale[i])
        slope = max(slope, abs(search.gradient[i]) * search.scale[i])
    return most if most > 0.0 else slope


@borrowing
def judge_step(search: Search, value: float, most_evaluations: int) -> None:
    """Accept or refuse the trial point, given the loss there, and set the damping."""
    n, numbers, codes = search.theta.shape[0], search.numbers, search.codes
    first = codes[EVALUATIONS] == 0
    codes[EVALUATIONS] += 1
    total = value
    for i in range(n):
        total += abs(search.trial_gradient[i]) + search.trial_hessian[i, i]
    finite = np.isfinite(total)
    if first and not finite:
        codes[STATUS] = NOT_FINITE_AT_START
        return
    gain = numbers[VALUE] - value
    if finite and (first or gain > 0.0):
        numbers[VALUE] = value
        for i in range(n):
            search.theta[i] = search.trial[i]
            search.gradient[i] = search.trial_gradient[i]
            for j in range(i + 1):
                search.hessian[i, j] = search.trial_hessian[i, j]
        if first:
            numbers[DAMPING] = _FIRST * largest_diagonal(search)
        else:
            ratio = gain / max(numbers[PREDICTED], 1e-300)
            numbers[DAMPING] *= max(1.0 / 3.0, 1.0 - (2.0 * min(ratio, 2.0) - 1.0) ** 3)
            numbers[DAMPING] = max(numbers[DAMPING], _SMALLEST * largest_diagonal(search))
        numbers[GROWTH] = 2.0
    else:
        numbers[DAMPING] *= numbers[GROWTH]
        numbers[GROWTH] *= 2.0
    if codes[EVALUATIONS] >= most_evaluations:
        codes[STATUS] = EXHAUSTED


@summing
def product(a: Array, b: Array, n: int) -> float:
    """Return the sum of products of the first n entries."""
    total = 0.0
    for k in range(n):
        total += a[k] * b[k]
    return total


@borrowing
def factorise(matrix: Array) -> bool:
    """Cholesky factor in the lower triangle, reciprocal pivots on the diagonal; return whether it is positive."""
    n = matrix.shape[0]
    for i in range(n):
        for j in range(i):
            matrix[i, j] = (matrix[i, j] - product(matrix[i], matrix[j], j)) * matrix[j, j]
        pivot = matrix[i, i] - product(matrix[i], matrix[i], i)
        if not pivot > _SINGULAR:
            return False
        matrix[i, i] = 1.0 / np.sqrt(pivot)
    return True


@borrowing
def solve_free(search: Search, damping: float) -> bool:
    """Fill the step of all that is not pinned, given that of what is; return whether the matrix was positive."""
    n, matrix, step, scale = search.theta.shape[0], search.matrix, search.step, search.scale
    for i in range(n):
        pinned = search.pinned[i] != 0
        pull = -search.gradient[i]
        for j in range(n):
            both = search.hessian[i, j] if j <= i else search.hessian[j, i]
            if search.pinned[j] != 0:
                pull -= both * step[j]
            if j <= i:
                free = not pinned and search.pinned[j] == 0
                matrix[i, j] = both * scale[i] * scale[j] if free else 0.0
        matrix[i, i] = 1.0 if pinned else matrix[i, i] + damping
        if not pinned:
            step[i] = pull
    # what is pinned keeps its step
    largest = 1e-300
    for i in range(n):
        largest = max(largest, matrix[i, i] if search.pinned[i] == 0 else 0.0)
    for i in range(n):
        for j in range(i + 1):
            matrix[i, j] /= largest if search.pinned[i] == 0 else 1.0
    for i in range(n):
        search.trial[i] = 0.0 if search.pinned[i] != 0 else step[i] * scale[i] / largest
    if not factorise(matrix):
        return False
    solve(matrix, search.trial)
    for i in range(n):
        if search.pinned[i] == 0:
            step[i] = search.trial[i] * scale[i]
    return True


@borrowing
def propose_step(search: Search, lower: Array, upper: Array, tolerance: float) -> bool:
    """Fill the trial point; return whether the descent goes on.

    It has converged when the decrease that is predicted without damping to speak of is below the tolerance.
    """
    numbers, codes = search.numbers, search.codes
    if codes[STATUS] != RUNNING:
        return False
    n = search.theta.shape[0]
    for i in range(n):
        low = search.theta[i] <= lower[i] and search.gradient[i] > 0.0
        high = search.theta[i] >= upper[i] and search.gradient[i] < 0.0
        search.pinned[i] = 1 if low or high else 0
        search.step[i] = 0.0
    for _ in range(n + 1):
        while not solve_free(search, numbers[DAMPING]):
            numbers[DAMPING] = max(4.0 * numbers[DAMPING], _FIRST * largest_diagonal(search))
            if not numbers[DAMPING] <= _LARGEST * largest_diagonal(search) < np.inf:
                codes[STATUS] = STALLED
                return False
        outside = 0
        for i in range(n):
            if search.pinned[i] == 0:
                end = search.theta[i] + search.step[i]
                if end < lower[i] or end > upper[i]:
                    search.step[i] = (lower[i] if end < lower[i] else upper[i]) - search.theta[i]
                    search.pinned[i] = 1
                    outside += 1
        if outside == 0:
            break
    predicted = 0.0
    for i in range(n):
        change = search.gradient[i]
        for j in range(n):
            change += 0.5 * (search.hessian[i, j] if j <= i else search.hessian[j, i]) * search.step[j]
        predicted -= search.step[i] * change
    for i in range(n):
        search.trial[i] = min(max(search.theta[i] + search.step[i], lower[i]), upper[i])
    numbers[PREDICTED] = predicted
    small = numbers[DAMPING] <= 1e-3 * largest_diagonal(search)
    if 0.0 <= predicted <= tolerance and small:
        codes[STATUS] = CONVERGED
        return False
    tiny = 0.0 <= predicted <= _NOISE * max(1.0, abs(numbers[VALUE]))
    if tiny or not numbers[DAMPING] <= _LARGEST * largest_diagonal(search) < np.inf:
        codes[STATUS] = STALLED
        return False
    return True

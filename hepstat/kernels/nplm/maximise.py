"""Two ways to the maximum of the likelihood: epochs of Adam, and damped Gauss-Newton from many starts.

The point phi (P + n_nu,) holds the parameters of the network, then the nuisances; without network, these alone.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.network import Net
from hepstat.kernels.nplm.descent import Search, judge_step, propose_step, start_search
from hepstat.kernels.nplm.nuisances import Effect, Nuisances, fill_effect, finish
from hepstat.kernels.nplm.rows import UNIT, Rows, Sums, Work, sum_rows
from hepstat.kernels.optimise import RULES, update
from hepstat.kernels.options import borrowing

__all__ = [
    "EXPLODED",
    "FINISHED",
    "Memory",
    "Problem",
    "Totals",
    "adam_epochs",
    "adam_step",
    "add_sums",
    "clear",
    "descend",
    "loss_at",
    "place",
]

Array = NDArray[Any]

FINISHED, EXPLODED = 0, 1
ADAM: Any = np.int64(RULES.index("adam"))


class Problem(NamedTuple):
    """A likelihood: net, rows, nuisances, and the limits lower and upper (P + n_nu,) of the point."""

    net: Net
    rows: Rows
    nuisances: Nuisances
    lower: Array
    upper: Array


class Memory(NamedTuple):
    """Memories of Adam (P + n_nu,): means of the gradient and of its square, and the gradient."""

    first: Array
    second: Array
    gradient: Array


class Totals(NamedTuple):
    """The sums over all rows, and those of the unit under way."""

    part: Sums
    sums: Sums


@borrowing
def clear(sums: Sums) -> None:
    """Set all sums to zero."""
    sums.value[0] = 0.0
    for i in range(sums.gradient.shape[0]):
        sums.gradient[i] = 0.0
    for i in range(sums.matrix.shape[0]):
        for j in range(sums.matrix.shape[1]):
            sums.matrix[i, j] = 0.0


@borrowing
def add_sums(part: Sums, sums: Sums) -> None:
    """Add a part to the sums."""
    sums.value[0] += part.value[0]
    for i in range(sums.gradient.shape[0]):
        sums.gradient[i] += part.gradient[i]
    for i in range(sums.matrix.shape[0]):
        for j in range(i + 1):
            sums.matrix[i, j] += part.matrix[i, j]


@borrowing
def place(problem: Problem, phi: Array, effect: Effect, work: Work) -> bool:
    """Set parameters of layers and coefficients of planes to a point; return whether there is a network."""
    n_nu = problem.nuisances.scales.shape[0]
    n_theta = phi.shape[0] - n_nu
    for i in range(n_theta):
        work.theta[i] = phi[i]
    fill_effect(problem.nuisances, phi[n_theta:], effect)
    return bool(n_theta > 0)


@borrowing
def sum_all(problem: Problem, with_network: bool, effect: Effect, work: Work, totals: Totals) -> None:
    """Fill the sums over all rows, unit by unit."""
    part, sums = totals
    clear(sums)
    n = problem.rows.w.shape[0]
    for low in range(0, n, UNIT):
        clear(part)
        high = min(n, low + UNIT)
        sum_rows(problem.net, problem.rows, low, high, effect.coefficients, with_network, work, part)
        add_sums(part, sums)


@borrowing
def loss_at(
    problem: Problem, phi: Array, effect: Effect, work: Work, totals: Totals, gradient: Array, matrix: Array
) -> float:
    """Return the loss at a point, and fill gradient and, if the sums have one, the matrix."""
    with_network = place(problem, phi, effect, work)
    sum_all(problem, with_network, effect, work, totals)
    nu = phi[phi.shape[0] - problem.nuisances.scales.shape[0] :]
    return finish(problem.nuisances, nu, effect, totals.sums, gradient, matrix)


@borrowing
def adam_step(problem: Problem, phi: Array, memory: Memory, hyper: Array, step: int, rate: float) -> None:
    """Take the step, counted from 1, with the gradient in memory, and clip the point to its limits."""
    update(ADAM, hyper, step, rate, phi, memory.gradient, memory.first, memory.second)
    for i in range(phi.shape[0]):
        phi[i] = min(max(phi[i], problem.lower[i]), problem.upper[i])


@borrowing
def adam_epochs(
    problem: Problem, phi: Array, memory: Memory, hyper: Array, rate: float, first: int, effect: Effect, work: Work,
    totals: Totals, losses: Array,
) -> int:  # fmt: skip
    """Take epochs from `first`, counted from 0, one for each of losses (n,), which get the loss before it.

    Return `FINISHED`, or `EXPLODED` at the first loss that is not finite, which is where it stops.
    """
    none = totals.sums.matrix
    for i in range(losses.shape[0]):
        loss = loss_at(problem, phi, effect, work, totals, memory.gradient, none)
        losses[i] = loss
        if not np.isfinite(loss):
            return EXPLODED
        adam_step(problem, phi, memory, hyper, first + i + 1, rate)
    return FINISHED


@borrowing
def descend(
    problem: Problem, shape: Problem, start: Array, search: Search, tolerance: float, most_evaluations: int,
    effect: Effect, work: Work, totals: Totals, shape_totals: Totals, unused: Array,
) -> None:  # fmt: skip
    """Descend from a start inside the limits to where `search` tells.

    The matrix is that of `shape`, whose rows may be fewer: it decides how fast the descent is, not where it ends. If
    `totals` have a matrix, they do it all and `shape` is not used.
    """
    start_search(search, start)
    going = True
    while going:
        value = loss_at(problem, search.trial, effect, work, totals, search.trial_gradient, search.trial_hessian)
        if totals.sums.matrix.shape[0] == 0:
            loss_at(shape, search.trial, effect, work, shape_totals, unused, search.trial_hessian)
        judge_step(search, value, most_evaluations)
        going = propose_step(search, problem.lower, problem.upper, tolerance)

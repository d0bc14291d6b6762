"""Likelihood of a signal strength mu and nuisances alpha: rows of expected intensities, binned or not.

A row holds the intensities of all components, sigma_c exp(sum over m of W_m(alpha) f_cm), where f are logarithms of the
change at the knots of the nuisances and W the weights of natural cubic splines through them, which go on straight
outside. A row with exposure 1 counts in the expected total: a bin, or the total of an unbinned region. A row with
exposure 0 is one event of an unbinned region. With lambda = sum over c of (intercept_c + slope_c mu) x intensity ::

    -log L = sum over rows of exposure lambda - n log(lambda), and the auxiliary measurements

so that counts, bins and events are one likelihood.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.newton import BARRIER, State, begin, begin_next_stage, judge, propose
from hepstat.kernels.options import borrowing, kernel, part

__all__ = [
    "FREE",
    "GAUSSIAN",
    "POISSON",
    "Dependence",
    "Problem",
    "Rows",
    "Visits",
    "Work",
    "allocate_work",
    "evaluate",
    "minimise",
    "row_factors",
    "spline_weights",
]

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

GAUSSIAN, POISSON, FREE = 0, 1, 2


class Rows(NamedTuple):
    """Expected intensities.

    Attributes
    ----------
    intensity : (rows, components)
        At the nominal nuisances and strength 1; at least zero.
    change : (rows, components, weights)
        Logarithm of the change at the knots.
    exposure : (rows,)
        1 where the intensity counts in the expected total, 0 for events.
    """

    intensity: Array
    change: Array
    exposure: Array


class Dependence(NamedTuple):
    """How intensities depend on the parameters (mu, alpha).

    Attributes
    ----------
    intercept, slope : (components,)
        The strength of a component is intercept + slope mu.
    owner : (weights,) int64
        Nuisance of each spline weight.
    first, n_knots, nominal : (splines,) int64
        Where the knots of each spline start, their number, and which of them is the nominal one, which has no weight.
    spline_owner : (splines,) int64
        Nuisance of each spline.
    knots : (all knots,)
    bend : (sum of n_knots^2,)
        Row by row for each spline: the second derivatives at its knots by the values there.
    constraint : (nuisances,) int64
        GAUSSIAN, POISSON or FREE.
    width : (nuisances,)
        Standard deviation of the measurement of a Gaussian one; of a Poisson one what is expected at alpha = 0, the
        expectation being width exp(alpha).
    """

    intercept: Array
    slope: Array
    owner: Ints
    first: Ints
    n_knots: Ints
    nominal: Ints
    spline_owner: Ints
    knots: Array
    bend: Array
    constraint: Ints
    width: Array


class Visits(NamedTuple):
    """The data: rows (visits,) int64 and how many events were seen in each (visits,), which need not be whole."""

    row: Ints
    n: Array


class Work(NamedTuple):
    """Work space: spline weights and their derivatives, derivatives of a row, and of a component's exponent."""

    weight: Array
    weight1: Array
    weight2: Array
    slope: Array
    curve: Array
    d1: Array
    d2: Array


class Problem(NamedTuple):
    """What is minimised over: parameters (free,) int64, bounds (parameters,), tolerance and evaluations."""

    free: Ints
    lower: Array
    upper: Array
    tolerance: float
    max_evaluations: int


@kernel
def allocate_work(n_weights: int, n_parameters: int) -> Work:
    """Return work space."""
    return Work(
        np.empty(n_weights),
        np.empty(n_weights),
        np.empty(n_weights),
        np.empty(n_parameters),
        np.empty((n_parameters, n_parameters)),
        np.empty(n_parameters),
        np.empty(n_parameters),
    )


@part
def _knot_weight(d: Dependence, s: int, at: float, g: int, bend_first: int | np.int64) -> tuple[float, float, float]:
    """Return the weight of knot g of spline s at `at`, its slope and its curvature."""
    first, n = d.first[s], d.n_knots[s]
    x = min(max(at, d.knots[first]), d.knots[first + n - 1])
    i = 0
    while i < n - 2 and x > d.knots[first + i + 1]:
        i += 1
    low, high = d.knots[first + i], d.knots[first + i + 1]
    h = high - low
    a = (high - x) / h
    b = 1.0 - a
    bend0, bend1 = d.bend[bend_first + i * n + g], d.bend[bend_first + (i + 1) * n + g]
    here0, here1 = (1.0 if g == i else 0.0), (1.0 if g == i + 1 else 0.0)
    slope = (here1 - here0) / h + ((3.0 * b * b - 1.0) * bend1 - (3.0 * a * a - 1.0) * bend0) * h / 6.0
    weight = a * here0 + b * here1 + ((a * a * a - a) * bend0 + (b * b * b - b) * bend1) * h * h / 6.0
    return weight + slope * (at - x), slope, a * bend0 + b * bend1 if at == x else 0.0


@borrowing
def spline_weights(d: Dependence, theta: Array, work: Work) -> None:
    """Fill the spline weights of the work space and their derivatives by their nuisance."""
    m, bend_first = 0, np.int64(0)  # no literal, which would be a signature of its own
    for s in range(d.first.shape[0]):
        at = theta[1 + d.spline_owner[s]]
        for g in range(d.n_knots[s]):
            if g != d.nominal[s]:
                work.weight[m], work.weight1[m], work.weight2[m] = _knot_weight(d, s, at, g, bend_first)
                m += 1
        bend_first += d.n_knots[s] * d.n_knots[s]


@part
def _row(rows: Rows, r: int, d: Dependence, mu: float, work: Work) -> float:
    """Return lambda of row r; fill its slope and its curvature by all parameters (lower triangle)."""
    slope, curve, d1, d2 = work.slope, work.curve, work.d1, work.d2
    n_parameters = slope.shape[0]
    for p in range(n_parameters):
        slope[p] = 0.0
        for q in range(p + 1):
            curve[p, q] = 0.0
    total = 0.0
    for c in range(d.intercept.shape[0]):
        intensity = rows.intensity[r, c]
        if intensity == 0.0:
            continue
        exponent = 0.0
        for p in range(1, n_parameters):
            d1[p] = d2[p] = 0.0
        for m in range(work.weight.shape[0]):
            f = rows.change[r, c, m]
            if f != 0.0:
                p = 1 + d.owner[m]
                exponent += work.weight[m] * f
                d1[p] += work.weight1[m] * f
                d2[p] += work.weight2[m] * f
        if exponent != 0.0:
            intensity *= math.exp(exponent)
        part = (d.intercept[c] + d.slope[c] * mu) * intensity
        total += part
        slope[0] += d.slope[c] * intensity
        for p in range(1, n_parameters):
            if d1[p] == 0.0 and d2[p] == 0.0:
                continue
            slope[p] += part * d1[p]
            curve[p, 0] += d.slope[c] * intensity * d1[p]
            curve[p, p] += part * d2[p]
            for q in range(1, p + 1):
                curve[p, q] += part * d1[p] * d1[q]
    return total


@part
def _add_auxiliary(d: Dependence, centre: Array, theta: Array, gradient: Array, gauss: Array) -> float:
    """Return -log of the auxiliary measurements and add its derivatives."""
    value = 0.0
    for k in range(d.constraint.shape[0]):
        alpha = theta[1 + k]
        if d.constraint[k] == GAUSSIAN:
            z = (alpha - centre[k]) / d.width[k]
            value += 0.5 * z * z
            gradient[1 + k] += z / d.width[k]
            gauss[1 + k, 1 + k] += 1.0 / (d.width[k] * d.width[k])
        elif d.constraint[k] == POISSON:
            expected = d.width[k] * math.exp(alpha)
            value += expected - centre[k] * alpha
            gradient[1 + k] += expected - centre[k]
            gauss[1 + k, 1 + k] += expected
    return value


@borrowing
def evaluate(
    rows: Rows, d: Dependence, visits: Visits, centre: Array, barrier: float, state: State, work: Work
) -> float:
    """Return -log L at the trial point of the state and fill its trial derivatives; inf where an intensity is negative.

    Parameters
    ----------
    centre : (nuisances,)
        Results of the auxiliary measurements; counts of Poisson ones.
    barrier : float
        Events added to each row that has an exposure, see :mod:`hepstat.kernels.newton`.
    """
    theta, gradient, gauss, rest = state.trial, state.trial_gradient, state.trial_gauss, state.trial_rest
    n_parameters = theta.shape[0]
    for p in range(n_parameters):
        gradient[p] = 0.0
        for q in range(n_parameters):
            gauss[p, q] = rest[p, q] = 0.0
    spline_weights(d, theta, work)
    value, lost = _add_auxiliary(d, centre, theta, gradient, gauss), 0.0
    for v in range(visits.row.shape[0]):
        r = visits.row[v]
        exposure = rows.exposure[r]
        n = visits.n[v] + barrier * exposure
        if n == 0.0 and exposure == 0.0:
            continue
        total = _row(rows, r, d, theta[0], work)
        if total < 0.0 or (total == 0.0 and n > 0.0):
            return np.inf
        per = n / total if n > 0.0 else 0.0
        # Kahan: events of equal density round in the same direction, which adds up to more than the last steps gain
        term = exposure * total - (n * math.log(total) if n > 0.0 else 0.0) - lost
        longer = value + term
        lost = (longer - value) - term
        value = longer
        for p in range(n_parameters):
            slope = work.slope[p]
            gradient[p] += (exposure - per) * slope
            for q in range(p + 1):
                if n > 0.0:
                    gauss[p, q] += per * slope * work.slope[q] / total
                rest[p, q] += (exposure - per) * work.curve[p, q]
    for p in range(n_parameters):
        for q in range(p):
            gauss[q, p], rest[q, p] = gauss[p, q], rest[p, q]
    return value


@borrowing
def minimise(
    rows: Rows, d: Dependence, problem: Problem, visits: Visits, centre: Array, start: Array, state: State, work: Work
) -> None:
    """Minimise -log L over the free parameters from `start` (parameters,): the state then holds point and value."""
    begin(state, start, 0)
    while True:
        value = evaluate(rows, d, visits, centre, state.numbers[BARRIER], state, work)
        judge(state, value, problem.max_evaluations)
        if propose(state, problem.free, problem.lower, problem.upper, problem.tolerance):
            continue
        if not begin_next_stage(state, start):
            return


@kernel
def row_factors(rows: Rows, d: Dependence, theta: Array, out: Array) -> None:
    """Fill out (rows, components) with what the nuisances multiply intensities with."""
    work = allocate_work(d.owner.shape[0], theta.shape[0])
    spline_weights(d, theta, work)
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            exponent = 0.0
            for m in range(d.owner.shape[0]):
                exponent += work.weight[m] * rows.change[r, c, m]
            out[r, c] = math.exp(exponent)

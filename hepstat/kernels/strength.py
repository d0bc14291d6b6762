"""Likelihood of a signal strength mu and nuisances alpha: rows of expected intensities, binned or not.

A row holds the intensities of all components, sigma_c exp(sum over m of W_m(alpha) f_cm), where f are logarithms of the
change at the knots of the nuisances and W the weights of natural cubic splines through them, which go on straight
outside. A row with exposure 1 counts in the expected total: a bin, or the total of an unbinned region. A row with
exposure 0 is one event of an unbinned region. With lambda = sum over c of strength_c(mu) x intensity and the strengths
intercept_c + slope_c mu + square_c mu^2 ::

    -log L = sum over rows of exposure lambda - n log(lambda), and the auxiliary measurements

so that counts, bins and events are one likelihood. Events that nuisances change all alike, by yields and not by shapes,
need no rows: three kinds of sums over them are all that the likelihood and its derivatives depend on.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.newton import BARRIER, State, begin, begin_next_stage, judge, propose
from hepstat.kernels.options import borrowing, kernel, part, summing
from hepstat.kernels.special import log

__all__ = [
    "FREE",
    "GAUSSIAN",
    "POISSON",
    "Dependence",
    "Events",
    "Observed",
    "Problem",
    "Rows",
    "Visits",
    "Work",
    "allocate_work",
    "evaluate",
    "minimise",
    "row_factors",
    "spline_weights",
    "strength_of",
]

Array = NDArray[np.float64]
Ints = NDArray[np.int64]

GAUSSIAN, POISSON, FREE = 0, 1, 2
ONLY: Any = np.int64(0)  # row of changes of yields; a literal would compile a copy
BLOCK = 256  # events summed at a time


class Rows(NamedTuple):
    """Expected intensities.

    Attributes
    ----------
    intensity : (rows, components)
        At the nominal nuisances and strength 1; may be negative where lambda is not.
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
    intercept, slope, square : (components,)
        The strength of a component is intercept + slope mu + square mu^2.
    owner : (weights,) int64
        Nuisance of each spline weight.
    first, n_knots, nominal : (splines,) int64
        Where the knots of each spline start, their number, and which of them is the nominal one, which has no weight.
    spline_owner : (splines,) int64
        Nuisance of each spline.
    knots : (all knots,)
    bend : (sum of n_knots^2,)
        Row by row for each spline: the second derivatives at its knots by the values there.
    change : (1, components, weights)
        Logarithm of the change of yields at the knots, which is that of all events without rows.
    constraint : (nuisances,) int64
        GAUSSIAN, POISSON or FREE.
    width : (nuisances,)
        Standard deviation of the measurement of a Gaussian one; of a Poisson one what is expected at alpha = 0, the
        expectation being width exp(alpha).
    """

    intercept: Array
    slope: Array
    square: Array
    owner: Ints
    first: Ints
    n_knots: Ints
    nominal: Ints
    spline_owner: Ints
    knots: Array
    bend: Array
    change: Array
    constraint: Ints
    width: Array


class Visits(NamedTuple):
    """The data: rows (visits,) int64 and how many events were seen in each (visits,), which need not be whole."""

    row: Ints
    n: Array


class Events(NamedTuple):
    """Events whose intensities the nuisances change all alike.

    Attributes
    ----------
    intensity : (components, at least size)
        At the nominal nuisances and strength 1; at least zero.
    n : (at least size,)
        How many times each was seen.
    size : int
        Number of events.
    """

    intensity: Array
    n: Array
    size: int


class Observed(NamedTuple):
    """A data set: visits to rows, and events for which rows are not needed."""

    rows: Rows
    visits: Visits
    events: Events


class Work(NamedTuple):
    """Work space.

    Attributes
    ----------
    weight, weight1, weight2 : (weights,)
        Spline weights and their derivatives.
    slope, curve : (parameters,), (parameters, parameters)
        Derivatives of a row.
    d1, d2 : (parameters,)
        Derivatives of a component's exponent.
    factor, slopes : (components,), (components, parameters)
        What intensities of events are multiplied with, and its derivatives.
    single, double : (components,), (components, components)
        Sums over events of n I_c / lambda and n I_c I_e / lambda^2.
    density, per : (BLOCK,)
    """

    weight: Array
    weight1: Array
    weight2: Array
    slope: Array
    curve: Array
    d1: Array
    d2: Array
    factor: Array
    slopes: Array
    single: Array
    double: Array
    density: Array
    per: Array


class Problem(NamedTuple):
    """What is minimised over: parameters (free,) int64, bounds (parameters,), tolerance and evaluations."""

    free: Ints
    lower: Array
    upper: Array
    tolerance: float
    max_evaluations: int


@kernel
def allocate_work(n_weights: int, n_components: int, n_parameters: int) -> Work:
    """Return work space."""
    return Work(
        np.empty(n_weights),
        np.empty(n_weights),
        np.empty(n_weights),
        np.empty(n_parameters),
        np.empty((n_parameters, n_parameters)),
        np.empty(n_parameters),
        np.empty(n_parameters),
        np.empty(n_components),
        np.empty((n_components, n_parameters)),
        np.empty(n_components),
        np.empty((n_components, n_components)),
        np.empty(BLOCK),
        np.empty(BLOCK),
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
def strength_of(d: Dependence, c: int, mu: float) -> float:
    """Return what component c scales with."""
    strength: float = d.intercept[c] + mu * (d.slope[c] + mu * d.square[c])
    return strength


@part
def _begin_row(work: Work) -> None:
    """Forget the slope and curvature of the last row."""
    for p in range(work.slope.shape[0]):
        work.slope[p] = 0.0
        for q in range(p + 1):
            work.curve[p, q] = 0.0


@part
def _add_component(change: Array, r: int, c: int, intensity: float, d: Dependence, mu: float, work: Work) -> float:
    """Return what component c adds to lambda of row r; add its slope and curvature (lower triangle) by parameters."""
    slope, curve, d1, d2 = work.slope, work.curve, work.d1, work.d2
    exponent = 0.0
    for p in range(1, slope.shape[0]):
        d1[p] = d2[p] = 0.0
    for m in range(work.weight.shape[0]):
        f = change[r, c, m]
        if f != 0.0:
            p = 1 + d.owner[m]
            exponent += work.weight[m] * f
            d1[p] += work.weight1[m] * f
            d2[p] += work.weight2[m] * f
    if exponent != 0.0:
        intensity *= math.exp(exponent)
    total: float = strength_of(d, c, mu) * intensity
    steep = (d.slope[c] + 2.0 * d.square[c] * mu) * intensity
    slope[0] += steep
    curve[0, 0] += 2.0 * d.square[c] * intensity
    for p in range(1, slope.shape[0]):
        if d1[p] == 0.0 and d2[p] == 0.0:
            continue
        slope[p] += total * d1[p]
        curve[p, 0] += steep * d1[p]
        curve[p, p] += total * d2[p]
        for q in range(1, p + 1):
            curve[p, q] += total * d1[p] * d1[q]
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


@part
def _add_rows(rows: Rows, d: Dependence, visits: Visits, barrier: float, state: State, work: Work) -> float:
    """Return the part of -log L of rows and add its derivatives (lower triangle)."""
    theta, gradient, gauss, rest = state.trial, state.trial_gradient, state.trial_gauss, state.trial_rest
    value, lost = 0.0, 0.0
    for v in range(visits.row.shape[0]):
        r = visits.row[v]
        exposure = rows.exposure[r]
        n = visits.n[v] + barrier * exposure
        if n == 0.0 and exposure == 0.0:
            continue
        total = 0.0
        _begin_row(work)
        for c in range(d.intercept.shape[0]):
            if rows.intensity[r, c] != 0.0:
                total += _add_component(rows.change, r, c, rows.intensity[r, c], d, theta[0], work)
        if total < 0.0 or (total == 0.0 and n > 0.0):
            return np.inf
        per = n / total if n > 0.0 else 0.0
        # Kahan: events of equal density round in the same direction, which adds up to more than the last steps gain
        term = exposure * total - (n * math.log(total) if n > 0.0 else 0.0) - lost
        longer = value + term
        lost = (longer - value) - term
        value = longer
        for p in range(theta.shape[0]):
            slope = work.slope[p]
            gradient[p] += (exposure - per) * slope
            for q in range(p + 1):
                if n > 0.0:
                    gauss[p, q] += per * slope * work.slope[q] / total
                rest[p, q] += (exposure - per) * work.curve[p, q]
    return value


@summing
def _block_sums(events: Events, low: int, m: int, work: Work) -> tuple[float, float]:
    """Return the sum of n log(lambda) and the least lambda of m events from `low` on; add their sums."""
    density, per = work.density, work.per
    intensity, factor, single, double = events.intensity, work.factor, work.single, work.double
    for i in range(m):
        density[i] = factor[0] * intensity[0, low + i]
    for c in range(1, factor.shape[0]):
        for i in range(m):
            density[i] += factor[c] * intensity[c, low + i]
    least, total = np.inf, 0.0
    for i in range(m):
        least = min(least, density[i])
    for i in range(m):
        total += events.n[low + i] * log(density[i])
        per[i] = 1.0 / density[i]
        density[i] = events.n[low + i] * per[i]
    for c in range(factor.shape[0]):
        first = 0.0
        for i in range(m):
            first += density[i] * intensity[c, low + i]
        single[c] += first
        for e in range(c + 1):
            second = 0.0
            for i in range(m):
                second += density[i] * per[i] * intensity[c, low + i] * intensity[e, low + i]
            double[c, e] += second
    return total, least


@part
def _add_events(events: Events, d: Dependence, state: State, work: Work) -> float:
    """Return the part of -log L of events and add its derivatives (lower triangle), from few sums over them."""
    theta, gradient, gauss, rest = state.trial, state.trial_gradient, state.trial_gauss, state.trial_rest
    n_components, n_parameters = d.intercept.shape[0], theta.shape[0]
    for c in range(n_components):
        work.factor[c] = strength_of(d, c, theta[0])
        exponent = 0.0
        for m in range(work.weight.shape[0]):
            exponent += work.weight[m] * d.change[0, c, m]
        work.factor[c] *= math.exp(exponent)
        work.single[c] = 0.0
        for e in range(n_components):
            work.double[c, e] = 0.0
    value, lost = 0.0, 0.0
    for low in range(0, events.size, BLOCK):
        total, least = _block_sums(events, low, min(BLOCK, events.size - low), work)
        if not least > 0.0:
            return np.inf
        term = -total - lost
        longer = value + term
        lost = (longer - value) - term
        value = longer
    for c in range(n_components):
        _begin_row(work)
        _add_component(d.change, ONLY, c, 1.0, d, theta[0], work)
        for p in range(n_parameters):
            work.slopes[c, p] = work.slope[p]
            gradient[p] -= work.single[c] * work.slope[p]
            for q in range(p + 1):
                rest[p, q] -= work.single[c] * work.curve[p, q]
        for e in range(c + 1):
            both = work.double[c, e] * (0.5 if e == c else 1.0)
            for p in range(n_parameters):
                for q in range(p + 1):
                    products = work.slopes[c, p] * work.slopes[e, q] + work.slopes[e, p] * work.slopes[c, q]
                    gauss[p, q] += both * products
    return value


@borrowing
def evaluate(observed: Observed, d: Dependence, centre: Array, barrier: float, state: State, work: Work) -> float:
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
    value = _add_auxiliary(d, centre, theta, gradient, gauss)
    value += _add_rows(observed.rows, d, observed.visits, barrier, state, work)
    if observed.events.size > 0 and value < np.inf:
        value += _add_events(observed.events, d, state, work)
    for p in range(n_parameters):
        for q in range(p):
            gauss[q, p], rest[q, p] = gauss[p, q], rest[p, q]
    return value


@borrowing
def minimise(
    observed: Observed, d: Dependence, problem: Problem, centre: Array, start: Array, state: State, work: Work
) -> None:
    """Minimise -log L over the free parameters from `start` (parameters,): the state then holds point and value."""
    begin(state, start, 0)
    while True:
        value = evaluate(observed, d, centre, state.numbers[BARRIER], state, work)
        judge(state, value, problem.max_evaluations)
        if propose(state, problem.free, problem.lower, problem.upper, problem.tolerance):
            continue
        if not begin_next_stage(state, start):
            return


@kernel
def row_factors(rows: Rows, d: Dependence, theta: Array, out: Array) -> None:
    """Fill out (rows, components) with what the nuisances multiply intensities with."""
    work = allocate_work(d.owner.shape[0], d.intercept.shape[0], theta.shape[0])
    spline_weights(d, theta, work)
    for r in range(out.shape[0]):
        for c in range(out.shape[1]):
            exponent = 0.0
            for m in range(d.owner.shape[0]):
                exponent += work.weight[m] * rows.change[r, c, m]
            out[r, c] = math.exp(exponent)

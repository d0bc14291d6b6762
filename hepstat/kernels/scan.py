"""Fits of toys without and with a signal at every place of a scan, the quick way.

Toys are thrown from an expectation that the fits can start at, so most of them need no more than the gradient: steps
use the Fisher information at the start, factorised once for all toys, and come closer by a factor of some
1 / sqrt(events) each (the chord method; Kelley, *Iterative Methods for Linear and Nonlinear Equations*, SIAM 1995,
section 5.4.1). The fit with signal goes on where that without it ended. Where this does not work, because a step leaves
the limits or does not come closer, the result is NaN, and the general minimiser of :mod:`hepstat.kernels.fits` is
needed. Steps and the distance to the minimum that they estimate are right only if the information that toys have is
close to what was expected; whoever prepares the factors sees to that, and puts NaN where it is not so.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.binned import (
    ALL_SHAPES,
    FIXED_SHAPES,
    NOTHING,
    BinnedWork,
    allocate_binned,
    binned_slopes,
    contents_value,
    hold_plane,
)
from hepstat.kernels.constraints import add_constraints
from hepstat.kernels.entry import planes, window
from hepstat.kernels.fits import Problem
from hepstat.kernels.model import ORDER, PARAMETERS, YIELD, Model, dot
from hepstat.kernels.newton import solve
from hepstat.kernels.options import borrowing, kernel, part

__all__ = ["Places", "Scanned", "scan_toys"]

Array = NDArray[np.float64]

CLOSE = 3e-7  # estimated distance to the minimum at which the next step is the last; the value then errs by less
MOST_STEPS = 25


class Places(NamedTuple):
    """Where a signal is looked for, and what can be prepared for all toys.

    Attributes
    ----------
    n_signal : int
        Index of the signal's yield.
    templates : (places, bins)
        Normalised contents of the signal.
    start : (parameters,)
        Where the fits start, without signal.
    null_factor : (free, free)
        Cholesky factor of the information without signal, reciprocals on its diagonal; NaN where toys scatter too much.
    factors : (places, free, free)
        The same with a signal at each place.
    """

    n_signal: int
    templates: Array
    start: Array
    null_factor: Array
    factors: Array


class Scanned(NamedTuple):
    """Results, NaN where the general minimiser is needed.

    Attributes
    ----------
    null : (toys,)
        Minimum of -log L without signal.
    best, n_signal : (toys, places)
        Minimum with signal, and its yield there.
    """

    null: Array
    best: Array
    n_signal: Array


class _Point(NamedTuple):
    """A point of the chord method: parameters, gradient and step (parameters,), two matrices as work space."""

    theta: Array
    gradient: Array
    step: Array
    gauss: Array
    rest: Array


class _Buffers(NamedTuple):
    """Work space of all toys.

    Attributes
    ----------
    at_start, work : BinnedWork
        Shapes at the start, and at the point under way.
    ground, here : _Point
        Where the fit without signal ended, and the point of the fit with signal.
    slopes : (bins,)
        Derivatives with respect to the contents at `ground`.
    nothing : (bins,)
        Zeros.
    """

    at_start: BinnedWork
    work: BinnedWork
    ground: _Point
    here: _Point
    slopes: Array
    nothing: Array


@kernel
def _allocate_point(n: int) -> _Point:
    return _Point(np.empty(n), np.empty(n), np.empty(n), np.empty((n, n)), np.empty((n, n)))


@part
def _copy(source: Array, target: Array) -> None:
    for i in range(source.shape[0]):
        target[i] = source[i]


@part
def _signal_plane(model: Model, n_signal: int) -> int:
    """Return the first-order plane of the component with this yield."""
    at = found = 0
    for c in range(model.table.shape[0]):
        if model.table[c, YIELD] == n_signal:
            found = at
        at += planes(model.table[c, PARAMETERS], model.table[c, ORDER])
    return found


@part
def _measured(problem: Problem, centre: Array, point: _Point) -> float:
    """Return the constraints' part of the likelihood and add its gradient."""
    kind, parameter, width = problem.constraint_kind, problem.constraint_parameter, problem.constraint_width
    return add_constraints(kind, parameter, width, centre, point.theta, point.gradient, point.gauss, point.rest)


@borrowing
def _evaluate(
    model: Model,
    problem: Problem,
    counts: Array,
    scale: Array,
    centre: Array,
    known: np.int64,
    work: BinnedWork,
    point: _Point,
) -> float:
    """Fill the gradient at point.theta; return the constraints' part of the likelihood, NaN if that is not finite."""
    if not binned_slopes(model, point.theta, counts, scale, known, work, point.gradient):
        return np.nan
    value = _measured(problem, centre, point)
    return value if np.isfinite(value) else np.nan


@borrowing
def _descend(
    model: Model,
    problem: Problem,
    factor: Array,
    counts: Array,
    scale: Array,
    centre: Array,
    work: BinnedWork,
    point: _Point,
) -> float:
    """Descend from a point whose gradient is known; return the minimum, or NaN if it cannot be reached in this way.

    `work` holds the fixed shapes. At the end point.step leads from point.theta to the minimum.
    """
    free, n = problem.free, problem.free.shape[0]
    step = window(point.step, 0, (n,))
    before, measured = np.inf, 0.0
    for turn in range(MOST_STEPS):
        for i in range(n):
            step[i] = -point.gradient[free[i]]
        solve(factor, step)
        distance = 0.0
        for i in range(n):
            distance -= 0.5 * point.gradient[free[i]] * step[i]
        if turn > 0 and distance < CLOSE:
            return contents_value(counts, scale, work.contents) + measured - distance
        if not distance < 0.5 * before:
            return np.nan
        for i in range(n):
            moved = point.theta[free[i]] + step[i]
            if not problem.lower[free[i]] < moved < problem.upper[free[i]]:
                return np.nan
            point.theta[free[i]] = moved
        measured = _evaluate(model, problem, counts, scale, centre, FIXED_SHAPES, work, point)
        if not np.isfinite(measured):
            return np.nan
        before = distance
    return np.nan


@kernel
def scan_toys(
    model: Model,
    null: Problem,
    full: Problem,
    places: Places,
    counts: Array,
    scale: Array,
    centres: Array,
    out: Scanned,
) -> None:
    """Fit every row of counts without signal, and with one at each place.

    Parameters
    ----------
    model : Model
        Its components have derivatives of first order at most, the signal none.
    null, full : Problem
        What floats without and with signal; the yield of the signal is 0 without.
    places : Places
    counts : (toys, bins)
    scale : (bins,)
    centres : (toys or 1, constraints)
        Measured values of the auxiliary measurements.
    out : Scanned
    """
    n, bins = places.start.shape[0], counts.shape[1]
    buffers = _Buffers(
        allocate_binned(model),
        allocate_binned(model),
        _allocate_point(n),
        _allocate_point(n),
        np.empty(bins),
        np.zeros(bins),
    )
    _scan_rows(model, null, full, places, counts, scale, centres, buffers, out)


@borrowing
def _scan_rows(
    model: Model,
    null: Problem,
    full: Problem,
    places: Places,
    counts: Array,
    scale: Array,
    centres: Array,
    buffers: _Buffers,
    out: Scanned,
) -> None:
    """Do the work of :func:`scan_toys` in its buffers."""
    bins, n_free, n_signal = counts.shape[1], full.free.shape[0], places.n_signal
    at_start, work, ground, here = buffers.at_start, buffers.work, buffers.ground, buffers.here
    plane = _signal_plane(model, n_signal)
    for filled in (at_start, work):  # both keep the fixed shapes from here on, at_start all shapes at the start
        binned_slopes(model, places.start, scale, scale, NOTHING, filled, ground.gradient)
        hold_plane(filled, plane, buffers.nothing)
    for toy in range(counts.shape[0]):
        row = window(counts, toy * bins, (bins,))
        centre = window(centres, toy * centres.shape[1] if centres.shape[0] > 1 else 0, (centres.shape[1],))
        _copy(places.start, ground.theta)
        hold_plane(work, plane, buffers.nothing)
        out.null[toy] = np.nan
        if np.isfinite(_evaluate(model, null, row, scale, centre, ALL_SHAPES, at_start, ground)):
            out.null[toy] = _descend(model, null, places.null_factor, row, scale, centre, work, ground)
            _copy(work.first, buffers.slopes)
        for place in range(places.templates.shape[0]):
            out.best[toy, place] = np.nan
            if np.isfinite(out.null[toy]):
                template = window(places.templates, place * bins, (bins,))
                factor = window(places.factors, place * n_free * n_free, (n_free, n_free))
                _copy(ground.theta, here.theta)
                _copy(ground.gradient, here.gradient)
                here.gradient[n_signal] += dot(buffers.slopes, template)
                hold_plane(work, plane, template)
                out.best[toy, place] = _descend(model, full, factor, row, scale, centre, work, here)
                for i in range(n_free):
                    here.theta[full.free[i]] += here.step[i]
            out.n_signal[toy, place] = here.theta[n_signal]

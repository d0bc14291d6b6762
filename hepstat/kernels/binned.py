"""Binned Poisson likelihood: its value and derivatives for one set of counts.

With expected contents mu and observed counts n the value is half the deviance (Baker, Cousins, NIM 221 (1984) 437),
sum_b s_b [mu_b - n_b + n_b log(n_b / mu_b)]. For weighted events n is the sum of weights and s = n / sum w^2 turns it
into the scaled Poisson likelihood of Bohm and Zech (NIM A 748 (2014) 1); otherwise s = 1, or 0 to leave a bin out.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.assemble import assemble, plane_targets
from hepstat.kernels.entry import planes, window
from hepstat.kernels.model import (
    CUMULATIVE,
    ORDER,
    PARAMETERS,
    YIELD,
    Model,
    dot,
    gather,
    grid_length,
    grid_planes,
    plane_count,
    range_integrals,
)
from hepstat.kernels.options import borrowing, kernel, part, summing
from hepstat.kernels.special import log

__all__ = [
    "ALL_SHAPES",
    "FIXED_SHAPES",
    "NOTHING",
    "BinnedWork",
    "allocate_binned",
    "binned_jacobian",
    "binned_slopes",
    "binned_value",
    "contents_value",
    "hold_plane",
]

Array = NDArray[np.float64]

# Not Python integers: these would be typed as literals, and kernels be compiled once for each.
NOTHING, FIXED_SHAPES, ALL_SHAPES = np.int64(0), np.int64(1), np.int64(2)


class BinnedWork(NamedTuple):
    """Buffers, allocated once for many evaluations; "planes" counts those of all components together.

    Attributes
    ----------
    points : (planes * integration points,)
        Raw planes at the integration points.
    bins : (planes up to first order, bins)
        Raw planes integrated over each bin.
    integrals, sums : (planes,)
        Integral over the range, and sum over the data, of each raw plane.
    ratio : (planes,)
        Work space of the quotient rule.
    pairs : (first-order planes, first-order planes)
        Sums over the data of products of two raw planes.
    contents, first, second : (bins,)
        Expected contents; first and second derivative of the likelihood with respect to them.
    spread : (integration points,)
        `first` spread over the integration points.
    own : (shape parameters of one component,)
    targets : (planes up to first order,) int64
        Parameter that each of these planes becomes the derivative of.
    """

    points: Array
    bins: Array
    integrals: Array
    sums: Array
    ratio: Array
    pairs: Array
    contents: Array
    first: Array
    second: Array
    spread: Array
    own: Array
    targets: NDArray[np.int64]


@kernel
def allocate_binned(model: Model) -> BinnedWork:
    """Return the buffers for this model."""
    count, count_first = plane_count(model, 2), plane_count(model, 1)
    points = max(model.bins + 1, model.weights.shape[0])
    return BinnedWork(
        np.empty(count * points),
        np.empty((count_first, model.bins)),
        np.empty(count),
        np.empty(count),
        np.empty(count),
        np.empty((count_first, count_first)),
        np.empty(model.bins),
        np.empty(model.bins),
        np.empty(model.bins),
        np.empty(points),
        np.empty(max(1, model.indices.shape[0])),
        plane_targets(model),
    )


@part
def _integrate_bins(model: Model, c: int, points: Array, out: Array, first: int, count: int) -> None:
    """Fill rows first ... first + count of out with the integrals over the bins of the first planes."""
    bins = model.bins
    for k in range(count):
        if model.table[c, CUMULATIVE] == 1:
            for b in range(bins):
                out[first + k, b] = points[k, b + 1] - points[k, b]
            continue
        for b in range(bins):
            out[first + k, b] = model.weights[b] * points[k, b]
        for start in range(bins, model.weights.shape[0], bins):
            weights = window(model.weights, start, (bins,))
            values = window(points, k * points.shape[1] + start, (bins,))
            for b in range(bins):
                out[first + k, b] += weights[b] * values[b]


@part
def _fill_contents(model: Model, theta: Array, known: np.int64, work: BinnedWork) -> bool:
    """Bring points, bins, integrals and contents up to date; return whether all integrals are positive."""
    for b in range(model.bins):
        work.contents[b] = 0.0
    start = raw = first = 0
    fine = True
    for c in range(model.table.shape[0]):
        p, order = model.table[c, PARAMETERS], model.table[c, ORDER]
        count, count_first, length = planes(p, order), planes(p, min(1, order)), grid_length(model, c)
        if known == NOTHING or (known == FIXED_SHAPES and order > 0):
            gather(model, c, theta, work.own)
            grid_planes(model, c, work.own, work.points, start)
            points = window(work.points, start, (count, length))
            range_integrals(model, c, points, work.integrals, raw)
            _integrate_bins(model, c, points, work.bins, first, count_first)
        fine = fine and work.integrals[raw] > 0.0
        scale = theta[model.table[c, YIELD]] / work.integrals[raw]
        for b in range(model.bins):
            work.contents[b] += scale * work.bins[first, b]
        start += count * length
        raw += count
        first += count_first
    return fine


@part
def _differentiate(counts: Array, scale: Array, work: BinnedWork) -> float:
    """Fill work.first and work.second; return the value, infinite where a content is not positive."""
    contents, first, second = work.contents, work.first, work.second
    for b in range(counts.shape[0]):
        mu, n, s = contents[b], counts[b], scale[b]
        allowed = (mu > 0.0) | ((mu == 0.0) & (n == 0.0)) | (s == 0.0)
        safe = mu if mu > 0.0 else 1.0
        ratio = n / safe
        first[b] = s * (1.0 - ratio)
        second[b] = s * ratio / safe
        contents[b] = s * (mu - n + n * log(ratio if n > 0.0 else 1.0)) if allowed else np.inf
    return _total(contents)


@summing
def _total(a: Array) -> float:
    total = 0.0
    for i in range(a.shape[0]):
        total += a[i]
    return total


@part
def _spread(model: Model, c: int, first: Array, out: Array) -> None:
    """Spread `first` over the integration points of component `c`, so that a sum over bins becomes one over points."""
    bins = model.bins
    if model.table[c, CUMULATIVE] == 1:  # sum_b f_b (G_{b+1} - G_b) = sum_i (f_{i-1} - f_i) G_i
        out[0] = -first[0]
        for b in range(1, bins):
            out[b] = first[b - 1] - first[b]
        out[bins] = first[bins - 1]
        return
    for start in range(0, model.weights.shape[0], bins):
        weights, part_of_out = window(model.weights, start, (bins,)), window(out, start, (bins,))
        for b in range(bins):
            part_of_out[b] = weights[b] * first[b]


@part
def _sum_over_data(model: Model, work: BinnedWork) -> None:
    """Fill work.sums and work.pairs from the derivatives of the likelihood with respect to the contents."""
    start = raw = first = 0
    for c in range(model.table.shape[0]):
        p, order = model.table[c, PARAMETERS], model.table[c, ORDER]
        count, length = planes(p, order), grid_length(model, c)
        if order == 0:
            work.sums[raw] = dot(work.first, work.bins[first])
        else:
            _spread(model, c, work.first, work.spread)
            points = window(work.points, start, (count, length))
            spread = window(work.spread, 0, (length,))
            for k in range(count):
                work.sums[raw + k] = dot(spread, points[k])
        start += count * length
        raw += count
        first += planes(p, min(1, order))
    for k in range(first):
        for b in range(model.bins):
            work.contents[b] = work.second[b] * work.bins[k, b]  # the contents themselves are used up
        for m in range(k + 1):
            work.pairs[k, m] = dot(work.contents, work.bins[m])


@borrowing
def binned_value(
    model: Model,
    theta: Array,
    counts: Array,
    scale: Array,
    known: np.int64,
    work: BinnedWork,
    gradient: Array,
    gauss: Array,
    rest: Array,
) -> float:
    """Return the likelihood and fill its derivatives.

    Parameters
    ----------
    theta : (parameters,)
    counts, scale : (bins,)
    known : int
        What `work` holds for this theta from a call before: NOTHING, FIXED_SHAPES, or ALL_SHAPES.
    work : BinnedWork
    gradient : (parameters,), out
    gauss, rest : (parameters, parameters), out
        The two parts of the Hessian, see :mod:`hepstat.kernels.assemble`.
    """
    if not _fill_contents(model, theta, known, work):
        return np.inf
    value = _differentiate(counts, scale, work)
    _sum_over_data(model, work)
    assemble(model, theta, work.targets, work.integrals, work.ratio, work.sums, work.pairs, gradient, gauss, rest)
    return value


@part
def _first_derivatives(counts: Array, scale: Array, contents: Array, first: Array) -> bool:
    """Fill first (bins,) and return whether the likelihood is finite."""
    refused = 0
    for b in range(counts.shape[0]):
        mu, n, s = contents[b], counts[b], scale[b]
        allowed = (mu > 0.0) | ((mu == 0.0) & (n == 0.0)) | (s == 0.0)
        refused += 0 if allowed else 1
        first[b] = s * (1.0 - n / (mu if mu > 0.0 else 1.0))
    return refused == 0


@summing
def contents_value(counts: Array, scale: Array, contents: Array) -> float:
    """Return the likelihood of counts for known contents, all positive where there are counts; each array (bins,)."""
    total = 0.0
    for b in range(counts.shape[0]):
        mu, n = contents[b], counts[b]
        total += scale[b] * (mu - n + n * log(n / mu if n > 0.0 and mu > 0.0 else 1.0))
    return total


@borrowing
def binned_slopes(
    model: Model, theta: Array, counts: Array, scale: Array, known: np.int64, work: BinnedWork, gradient: Array
) -> bool:
    """Fill the gradient (parameters,) alone; return whether the likelihood is finite.

    Arguments are those of :func:`binned_value`, of a model whose components have at most order 1. Afterwards
    `work.contents` holds the expected contents and `work.first` the derivatives with respect to them.
    """
    if not _fill_contents(model, theta, known, work):
        return False
    if not _first_derivatives(counts, scale, work.contents, work.first):
        return False
    for i in range(gradient.shape[0]):
        gradient[i] = 0.0
    at = 0
    for c in range(model.table.shape[0]):
        count = planes(model.table[c, PARAMETERS], model.table[c, ORDER])
        per = 1.0 / work.integrals[at]
        a = theta[model.table[c, YIELD]] * per
        whole = dot(work.first, work.bins[at])
        gradient[work.targets[at]] += whole * per
        for j in range(at + 1, at + count):
            gradient[work.targets[j]] += a * (dot(work.first, work.bins[j]) - work.integrals[j] * per * whole)
        at += count
    return True


@part
def hold_plane(work: BinnedWork, plane: int, bins: Array) -> None:
    """Make these normalised contents (bins,) the shape of a component without floating parameters, plane `plane`."""
    work.integrals[plane] = 1.0
    for b in range(bins.shape[0]):
        work.bins[plane, b] = bins[b]


@kernel
def binned_jacobian(model: Model, theta: Array, contents: Array, jacobian: Array) -> bool:
    """Fill contents (bins,) and their derivatives (parameters, bins); return whether all integrals are positive.

    The components of the model have at most order 1.
    """
    work = allocate_binned(model)
    fine = _fill_contents(model, theta, NOTHING, work)
    contents[:] = work.contents
    jacobian[:] = 0.0
    at = 0
    for c in range(model.table.shape[0]):
        count = planes(model.table[c, PARAMETERS], model.table[c, ORDER])
        per = 1.0 / work.integrals[at]
        a = theta[model.table[c, YIELD]] * per
        jacobian[work.targets[at]] += per * work.bins[at]
        for j in range(at + 1, at + count):
            jacobian[work.targets[j]] += a * (work.bins[j] - work.integrals[j] * per * work.bins[at])
        at += count
    return fine

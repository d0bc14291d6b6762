"""Extended unbinned likelihood of one set of events: its value and the sums its derivatives need.

The value is sum_c N_c - sum_i w_i log T(x_i) with the total density T = sum_c N_c g_c / I_c. Events are taken in blocks
of 512, so that all planes stay in the caches, and blocks are summed up in chunks of 2^15 events, whose totals are added
in order: the result has the same bits whether one thread or several work on the chunks.
"""

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.assemble import assemble, plane_targets
from hepstat.kernels.entry import planes, window
from hepstat.kernels.model import (
    COLUMN_COUNT,
    ORDER,
    PARAMETERS,
    YIELD,
    Model,
    dot,
    event_planes,
    gather,
    grid_length,
    grid_planes,
    plane_count,
    range_integrals,
)
from hepstat.kernels.options import kernel, part
from hepstat.kernels.special import log

__all__ = ["BLOCK", "CHUNK", "finish_unbinned", "unbinned_integrals", "unbinned_partials", "unbinned_value"]

Array = NDArray[np.float64]
BLOCK = 512
CHUNK = 1 << 15


@kernel
def unbinned_integrals(model: Model, theta: Array, integrals: Array) -> None:
    """Fill integrals (planes,) of all components over the range."""
    points = np.empty(plane_count(model, 2) * max(2, model.weights.shape[0]))
    own = np.empty(max(1, model.indices.shape[0]))
    raw = 0
    for c in range(model.table.shape[0]):
        length = grid_length(model, c)
        gather(model, c, theta, own)
        grid_planes(model, c, own, points, 0)
        count = planes(model.table[c, PARAMETERS], model.table[c, ORDER])
        range_integrals(model, c, window(points, 0, (count, length)), integrals, raw)
        raw += count


@part
def _total_density(
    model: Model, theta: Array, own: Array, integrals: Array, x: Array, columns: Array, buffer: Array, total: Array
) -> None:
    """Fill the buffer with all raw planes at x, (planes, n) one component after the other, and total (n,)."""
    n = x.shape[0]
    for i in range(n):
        total[i] = 0.0
    raw = 0
    for c in range(model.table.shape[0]):
        order = model.table[c, ORDER]
        gather(model, c, theta, own)
        event_planes(model, c, own, x, order, columns, buffer, raw * n)
        scale = theta[model.table[c, YIELD]] / integrals[raw]
        value = window(buffer, raw * n, (n,))
        for i in range(n):
            total[i] += scale * value[i]
        raw += planes(model.table[c, PARAMETERS], order)


@part
def _differentiate(total: Array, weights: Array, first: Array, second: Array) -> float:
    """Fill first and second derivatives with respect to the density; return the value, infinite if not positive."""
    value = 0.0
    for i in range(total.shape[0]):
        t, w = total[i], weights[i]
        allowed = (t > 0.0) | ((t == 0.0) & (w == 0.0))
        safe = t if t > 0.0 else 1.0
        per = 1.0 / safe
        first[i] = -w * per
        second[i] = w * per * per
        total[i] = -w * log(safe) if allowed else np.inf
    for i in range(total.shape[0]):
        value += total[i]
    return value


@kernel
def _first_order_rows(model: Model) -> NDArray[np.int64]:
    """Return the positions of the planes of at most first order among all planes."""
    rows = np.empty(plane_count(model, 1), np.int64)
    raw = found = 0
    for c in range(model.table.shape[0]):
        p, order = model.table[c, PARAMETERS], model.table[c, ORDER]
        for k in range(planes(p, min(1, order))):
            rows[found] = raw + k
            found += 1
        raw += planes(p, order)
    return rows


@part
def _add_block(
    raw_planes: Array,
    rows: NDArray[np.int64],
    first: Array,
    second: Array,
    product: Array,
    sums: Array,
    pairs: Array,
) -> None:
    """Add one block's sums over the raw planes (planes, n)."""
    for k in range(raw_planes.shape[0]):
        sums[k] += dot(first, raw_planes[k])
    for k in range(rows.shape[0]):
        plane = raw_planes[rows[k]]
        for i in range(product.shape[0]):
            product[i] = second[i] * plane[i]
        for m in range(k + 1):
            pairs[k, m] += dot(product, raw_planes[rows[m]])


@kernel
def unbinned_sums(
    model: Model, theta: Array, integrals: Array, x: Array, weights: Array, sums: Array, pairs: Array
) -> float:
    """Add the events x (n,) to sums (planes,) and pairs (first-order planes, first-order planes).

    Parameters
    ----------
    theta : (parameters,)
    integrals : (planes,)
        Of :func:`unbinned_integrals` at the same theta.
    weights : (n,) or (0,)
        Event weights; none means one each. An event of weight zero still demands a density that is not negative.

    Returns
    -------
    float
        sum of -w log T, infinite where the density is not positive.
    """
    count = plane_count(model, 2)
    rows = _first_order_rows(model)
    buffer = np.empty(count * BLOCK)
    widest = 1
    for c in range(model.table.shape[0]):
        widest = max(widest, model.table[c, COLUMN_COUNT])
    columns = np.empty(widest * BLOCK)
    own = np.empty(max(1, model.indices.shape[0]))
    total, ones = np.empty(BLOCK), np.ones(BLOCK)
    first, second, product = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    value = 0.0
    for start in range(0, x.shape[0], BLOCK):
        n = min(BLOCK, x.shape[0] - start)
        block_weights = weights[start : start + n] if weights.shape[0] > 0 else ones[:n]
        _total_density(model, theta, own, integrals, x[start : start + n], columns, buffer, total[:n])
        value += _differentiate(total[:n], block_weights, first[:n], second[:n])
        raw_planes = window(buffer, 0, (count, n))
        _add_block(raw_planes, rows, first[:n], second[:n], product[:n], sums, pairs)
    return value


@kernel
def unbinned_partials(
    model: Model,
    theta: Array,
    integrals: Array,
    x: Array,
    weights: Array,
    first: int,
    values: Array,
    sums: Array,
    pairs: Array,
) -> None:
    """Fill rows of the chunks' sums, each chunk on its own: those of values (chunks,) from `first` on.

    Parameters
    ----------
    theta, integrals, x, weights
        As for :func:`unbinned_sums`, all events.
    first : int
        The chunk that row 0 stands for.
    values : (chunks,), out
    sums : (chunks, planes), out
    pairs : (chunks, first-order planes, first-order planes), out
    """
    for row in range(values.shape[0]):
        start = (first + row) * CHUNK
        sums[row] = 0.0
        pairs[row] = 0.0
        chunk_weights = weights[start : start + CHUNK]
        values[row] = unbinned_sums(
            model, theta, integrals, x[start : start + CHUNK], chunk_weights, sums[row], pairs[row]
        )


@kernel
def finish_unbinned(
    model: Model,
    theta: Array,
    integrals: Array,
    guard: Array,
    barrier: float,
    values: Array,
    sums: Array,
    pairs: Array,
    gradient: Array,
    gauss: Array,
    rest: Array,
) -> float:
    """Return the likelihood from the sums of all chunks, infinite if unphysical, and fill its derivatives.

    Parameters
    ----------
    theta : (parameters,)
    integrals : (planes,)
    guard : (points,)
        Further places where the density must not be negative.
    barrier : float
        Weight of each of them.
    values, sums, pairs
        Of :func:`unbinned_partials`; the first rows are overwritten.
    gradient : (parameters,), out
    gauss, rest : (parameters, parameters), out
    """
    value = 0.0
    for row in range(values.shape[0]):
        value += values[row]
        if row > 0:
            sums[0] += sums[row]
            pairs[0] += pairs[row]
    if guard.shape[0] > 0:
        value += unbinned_sums(model, theta, integrals, guard, np.full(guard.shape[0], barrier), sums[0], pairs[0])
    raw = 0
    for c in range(model.table.shape[0]):
        value += theta[model.table[c, YIELD]]
        if not integrals[raw] > 0.0:
            value = np.inf
        raw += planes(model.table[c, PARAMETERS], model.table[c, ORDER])
    assemble(
        model,
        theta,
        plane_targets(model),
        integrals,
        np.empty(integrals.shape[0]),
        sums[0],
        pairs[0],
        gradient,
        gauss,
        rest,
    )
    for c in range(model.table.shape[0]):
        gradient[model.table[c, YIELD]] += 1.0
    return value


@kernel
def unbinned_value(
    model: Model,
    theta: Array,
    x: Array,
    weights: Array,
    guard: Array,
    barrier: float,
    gradient: Array,
    gauss: Array,
    rest: Array,
) -> float:
    """Return the likelihood of one set of events and fill its derivatives.

    Parameters
    ----------
    theta : (parameters,)
    x : (n,)
    weights : (n,) or (0,)
    guard, barrier, gradient, gauss, rest
        As for :func:`finish_unbinned`.
    """
    count, count_first = plane_count(model, 2), plane_count(model, 1)
    chunks = max(1, (x.shape[0] + CHUNK - 1) // CHUNK)
    integrals, values = np.empty(count), np.empty(chunks)
    sums, pairs = np.empty((chunks, count)), np.empty((chunks, count_first, count_first))
    unbinned_integrals(model, theta, integrals)
    unbinned_partials(model, theta, integrals, x, weights, 0, values, sums, pairs)
    return finish_unbinned(model, theta, integrals, guard, barrier, values, sums, pairs, gradient, gauss, rest)

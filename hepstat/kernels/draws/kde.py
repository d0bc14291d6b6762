"""Kernel densities: events of a list, moved by normal numbers, and the density that comes of it.

Constants are m, d, the lower and then the upper bounds (d,) each, infinite where there is none, the Cholesky factor
(d, d) of the covariance of a kernel, and the table (m, d + 3) of :mod:`hepstat.kernels.draws.rows` with, last, the
factor by which the kernel of an event is wider. Columns that stay as they are have rows and columns of zeros in the
Cholesky factor. What leaves the bounds is reflected at them until it is inside.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.draws.entry import Entry
from hepstat.kernels.draws.rows import choose, fill_choices
from hepstat.kernels.entry import view
from hepstat.kernels.options import kernel, part, summing
from hepstat.kernels.philox import STATE_SIZE
from hepstat.kernels.random import fill_normal
from hepstat.kernels.special import exp

__all__ = ["BLOCK", "KDE", "NODES", "folded", "kde_constants", "kde_table", "kernel_log_sums"]

Array = NDArray[np.float64]
Numbers = NDArray[np.int64]

BLOCK = 64  # events whose normal numbers are drawn together
NODES = 256  # kernels of a tile, which are summed together
POINTS = 32  # for which these are in the cache


@part
def folded(y: float, low: float, high: float) -> float:
    """Return y reflected at finite bounds until it is inside of them."""
    if low <= y <= high:
        return y
    if high == np.inf:
        return low + abs(y - low)
    if low == -np.inf:
        return high - abs(high - y)
    width = high - low
    t = abs(y - low) / width
    t -= 2.0 * math.floor(0.5 * t)
    t = 2.0 - t if t > 1.0 else t
    return min(max(low + t * width, low), high)


def kde_constants(events: Array, weights: Array, factors: Array, lower: Array, bounds: Array) -> Array:
    """Return the constants of KDE.

    Parameters
    ----------
    events, weights, factors : ndarray, (m, d), (m,) and (m,)
        Factors by which kernels are wider.
    lower : ndarray, (d, d)
        Cholesky factor of the covariance of a kernel.
    bounds : ndarray, (2, d)
    """
    m, d = events.shape
    constants = np.empty(2 + 2 * d + d * d + m * (d + 3))
    constants[:2] = m, d
    constants[2 : 2 + 2 * d] = bounds.ravel()
    constants[2 + 2 * d : 2 + 2 * d + d * d] = lower.ravel()
    table = kde_table(constants)
    table[:, :d], table[:, d + 2] = events, factors
    fill_choices(weights, table, d)
    return constants


def kde_table(constants: Array) -> Array:
    """Return the table (m, d + 3) inside of the constants, a view."""
    m, d = int(constants[0]), int(constants[1])
    return constants[2 + 2 * d + d * d :].reshape(m, d + 3)


def _kde(state: Any, c: Any, n: int, out: Any) -> None:
    """Draw events and move each by its kernel."""
    stream, head = view(state, (STATE_SIZE,)), view(c, (2,))
    m, d = int(head[0]), int(head[1])
    first, start = 2 + 2 * d, 2 + 2 * d + d * d
    numbers = view(c, (start + m * (d + 3),))
    lower, table = numbers[first:start].reshape((d, d)), numbers[start:].reshape((m, d + 3))
    flat, x, place = view(out, (n * d,)), view(out, (n, d)), np.empty((BLOCK, d + 1))
    for begin in range(0, n, BLOCK):
        size = min(BLOCK, n - begin)
        for i in range(size):  # a short loop, so that several accesses to memory are under way at a time
            chosen = choose(stream, table, d)
            for j in range(d):
                place[i, j] = table[chosen, j]
            place[i, d] = table[chosen, d + 2]
        fill_normal(stream, flat[begin * d : (begin + size) * d])
        for i in range(size):
            z = x[begin + i]
            for j in range(d - 1, -1, -1):  # from the last on, so that what is still needed is still there
                moved = 0.0
                for k in range(j + 1):
                    moved += lower[j, k] * z[k]
                z[j] = folded(place[i, j] + place[i, d] * moved, numbers[2 + j], numbers[2 + d + j])


KDE = Entry(_kde)


@summing
def _largest(q: Any, size: int) -> float:
    most = -np.inf
    for k in range(size):
        most = max(most, q[k])
    return most


@summing
def _sum_exp(q: Any, more: Any, top: float, size: int) -> float:
    total = 0.0
    for k in range(size):
        total += more[k] * exp(q[k] - top)
    return total


@part
def _squared_distances(point: Any, tiles: Any, b: int, size: int, q: Any) -> None:
    """Fill q (size,) with squared distances of a point from the nodes of a tile, three columns at a time."""
    d = tiles.shape[1]
    rest = d % 3
    for k in range(size):
        q[k] = 0.0
    for j in range(rest):
        x = point[j]
        for k in range(size):
            r = tiles[b, j, k] - x
            q[k] += r * r
    for j in range(rest, d, 3):
        x, y, z = point[j], point[j + 1], point[j + 2]
        for k in range(size):
            r, s, t = tiles[b, j, k] - x, tiles[b, j + 1, k] - y, tiles[b, j + 2, k] - z
            q[k] += r * r + s * s + t * t


@part
def _reflections(images: Any, point: Any, tiles: Any, half: Any, b: int, size: int, image: Any, more: Any) -> None:
    """Multiply `more` (size,) by the kernels with their images at the bounds, over those without, of a tile."""
    for k in range(size):
        more[k] = image[k] = 1.0
    for t in range(images.shape[0]):
        j, sign, shift = int(images[t, 0]), images[t, 1], images[t, 2]
        at, shifted = point[j], shift - point[j]
        for k in range(size):
            near, far = tiles[b, j, k] - at, sign * tiles[b, j, k] + shifted
            image[k] += exp(half[b, k] * (near * near - far * far))
        if images[t, 3] != 0.0:  # the last one of its column
            for k in range(size):
                more[k] *= image[k]
                image[k] = 1.0


@kernel
def kernel_log_sums(
    points: Array, tiles: Array, half: Array, offset: Array, m: int, images: Array, own: Numbers, out: Array
) -> None:
    """Fill `out` (n,) with the logarithms of sums of kernels at points, in units in which kernels are round.

    Parameters
    ----------
    points : ndarray, (n, d)
    tiles : ndarray, (t, d, NODES)
        Places of kernels, less than NODES in the last tile. Loads at the sum of two indices would become gathers.
    half, offset : ndarray, (t, NODES)
        A kernel is exp(offset - half r^2) at the distance r.
    m : int
        Number of kernels.
    images : ndarray, (i, 4)
        Column, sign and shift of images ``sign x + shift`` of all nodes, column by column, and 1 for the last of a
        column. In a column, the node itself is nearest of all.
    own : ndarray, (n,)
        The kernel to leave out at each point, -1 for none.
    """
    q, image, more = np.empty(NODES), np.ones(NODES), np.ones(NODES)
    top, total = np.empty(POINTS), np.empty(POINTS)
    for begin in range(0, points.shape[0], POINTS):
        n = min(POINTS, points.shape[0] - begin)
        top[:], total[:] = -np.inf, 0.0
        for b in range(tiles.shape[0]):
            size = min(NODES, m - b * NODES)
            for i in range(n):
                point, left_out = points[begin + i], own[begin + i] - b * NODES
                _squared_distances(point, tiles, b, size, q)
                for k in range(size):
                    q[k] = offset[b, k] - half[b, k] * q[k]
                if 0 <= left_out < size:
                    q[left_out] = -np.inf
                if images.shape[0] > 0:
                    _reflections(images, point, tiles, half, b, size, image, more)
                most = _largest(q, size)
                if most > top[i]:
                    total[i] *= math.exp(top[i] - most)
                    top[i] = most
                if top[i] > -np.inf:
                    total[i] += _sum_exp(q, more, top[i], size)
        for i in range(n):
            out[begin + i] = top[i] + math.log(total[i]) if total[i] > 0.0 else -np.inf

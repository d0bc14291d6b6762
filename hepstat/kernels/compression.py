"""Events in cells replaced by fewer: Gauss rules on a line, means of boxes in any number of features.

The events of a cell on a line are a discrete measure. Its Gauss rule of order m has m nodes among them, with weights
above zero, and gives the same sums as they do of every polynomial of degree up to 2 m - 1. The recurrence of their
orthogonal polynomials comes from Lanczos' iteration with the positions as a diagonal matrix; nodes are the eigenvalues
of its Jacobi matrix (Golub and Welsch, Math. Comp. 23 (1969) 221; Gautschi, "Orthogonal Polynomials", 2004).
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.cell_resampling import enclose, select
from hepstat.kernels.options import borrowing, kernel, strict, summing

__all__ = ["compress_line", "merge_boxes"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

ROUNDING = np.finfo(np.float64).eps / 2  # of matrices whose eigenvalues are between -1 and 1
SMALL = 64 * np.finfo(np.float64).eps  # the share of a polynomial that is left is rounding
NONE: Any = np.int64(0)  # not Python's: it would be typed as a literal, and kernels be compiled once more
SWEEPS = 60  # of QL for one eigenvalue; two or three are usual


@summing
def product(a: Array, b: Array, n: int) -> float:
    """Return the scalar product of the first n entries."""
    total = 0.0
    for i in range(n):
        total += a[i] * b[i]
    return total


@borrowing
def recurrence(t: Array, w: Array, n: int, order: int, basis: Array, diagonal: Array, beside: Array) -> int:
    """Write the Jacobi matrix of weights w at n positions t, and return how many of its `order` rows there are.

    Vectors are made orthogonal to all before, since Lanczos' iteration forgets those that have converged. Fewer rows
    are left where positions agree to rounding, so that no polynomial is left.

    Parameters
    ----------
    t, w : (at least n,)
        Positions from -1 to 1, weights above zero.
    basis : (order + 1, at least n)
        Scratch.
    diagonal, beside : (order,)
        Overwritten by the matrix; beside[k] is that between rows k and k + 1.
    """
    total = 0.0
    for i in range(n):
        total += w[i]
    for i in range(n):
        basis[0, i] = math.sqrt(w[i] / total)
    for k in range(order):
        new, old = basis[k + 1], basis[k]
        for i in range(n):
            new[i] = t[i] * old[i]
        diagonal[k] = product(new, old, n)
        for _ in range(2):
            for j in range(k, -1, -1):
                share = product(new, basis[j], n)
                for i in range(n):
                    new[i] -= share * basis[j, i]
        beside[k] = math.sqrt(product(new, new, n))
        if beside[k] < SMALL:
            return k + 1
        for i in range(n):
            new[i] /= beside[k]
    return order


@borrowing
def diagonalise(d: Array, e: Array, z: Array, n: int) -> bool:
    """Write the eigenvalues of a Jacobi matrix to d and the first entries of its eigenvectors to z.

    Implicit QL. d (n,) and e (n,) have the matrix, e[k] between rows k and k + 1, and are overwritten. Returns whether
    it converged.
    """
    for i in range(n):
        z[i] = 0.0
    z[0], e[n - 1] = 1.0, 0.0
    for row in range(n):
        for sweep in range(SWEEPS + 1):
            end = row
            while end < n - 1 and abs(e[end]) > ROUNDING:
                end += 1
            if end == row:
                break
            if sweep == SWEEPS:
                return False
            g = (d[row + 1] - d[row]) / (2.0 * e[row])
            g = d[end] - d[row] + e[row] / (g + math.copysign(math.hypot(g, 1.0), g))
            s, c, p = 1.0, 1.0, 0.0
            for i in range(end - 1, row - 1, -1):
                f, b = s * e[i], c * e[i]
                r = math.hypot(f, g)
                e[i + 1] = r
                if r == 0.0:
                    d[i + 1] -= p
                    e[end] = 0.0
                    break
                s, c = f / r, g / r
                g = d[i + 1] - p
                r = (d[i] - g) * s + 2.0 * c * b
                p = s * r
                d[i + 1] = g + p
                g = c * r - b
                f = z[i + 1]
                z[i + 1] = s * z[i] + c * f
                z[i] = c * z[i] - s * f
            else:
                d[row] -= p
                e[row] = g
                e[end] = 0.0
    return True


@kernel
def compress_line(x: Array, w: Array, low: float, width: float, order: int) -> tuple[Array, Array]:
    """Replace events by a Gauss rule for each cell of a line.

    Parameters
    ----------
    x : (n,)
        Rising.
    w : (n,)
        Above zero.
    low, width : float
        Cell k is from low + k width to low + (k + 1) width; low is no larger than the events.
    order : int
        Nodes of a cell, at least 1. A cell with no more places than that keeps them, with the sums of their weights.

    Returns
    -------
    nodes : (m,)
        Rising, between the first and the last event of their cells.
    weights : (m,)
        Above zero; the sum in each cell is as before.
    """
    n = x.shape[0]
    nodes, weights = np.empty(n), np.empty(n)
    diagonal, beside, shares = np.empty(order), np.empty(order), np.empty(order)
    starts, cells, most, last_cell = np.empty(n + 1, np.int64), 0, 0, -1.0
    for i in range(n):
        cell = np.floor((x[i] - low) / width)
        if cell != last_cell:
            starts[cells], last_cell = i, cell
            cells += 1
    starts[cells] = n
    for k in range(cells):
        most = max(most, starts[k + 1] - starts[k])
    basis, t, mass = np.empty((order + 1, most)), np.empty(most), np.empty(most)
    m = 0
    for k in range(cells):
        begin, places, total = m, NONE, 0.0
        for i in range(starts[k], starts[k + 1]):  # where places are few these are the nodes
            total += w[i]
            if places > 0 and x[i] == t[places - 1]:
                mass[places - 1] += w[i]
            else:
                t[places], mass[places] = x[i], w[i]
                places += 1
        first, last = t[0], t[places - 1]
        if places <= order:
            for i in range(places):
                nodes[m], weights[m] = t[i], mass[i]
                m += 1
            continue
        half = 0.5 * (last - first)
        middle = first + half
        for i in range(places):
            t[i] = (t[i] - middle) / half
        found = recurrence(t, mass, places, order, basis, diagonal, beside)
        if not diagonalise(diagonal, beside, shares, found):
            for i in range(places):
                nodes[m], weights[m] = middle + half * t[i], mass[i]
                m += 1
            continue
        for i in range(found):  # QL gives eigenvalues in any order
            node, j = min(max(middle + half * diagonal[i], first), last), m
            if shares[i] ** 2 == 0.0:
                continue
            while j > begin and nodes[j - 1] > node:
                nodes[j], weights[j] = nodes[j - 1], weights[j - 1]
                j -= 1
            nodes[j], weights[j] = node, total * shares[i] ** 2
            m += 1
    return nodes[:m].copy(), weights[:m].copy()


@strict
def merge_boxes(x: Array, w: Array, units: Array, size: int) -> tuple[Array, Array]:
    """Replace events by the means of boxes, which are halved at the median of their longest side.

    Parameters
    ----------
    x : (n, d)
    w : (n, c)
        Weights of c kinds, at least zero and not all zero; means are by their sums.
    units : (d,)
        What the sides of boxes are measured in.
    size : int
        Most events of a box, at least 2.

    Returns
    -------
    x, w : (m, d), (m, c)
        Means and sums.
    """
    (n, d), c = x.shape, w.shape[1]
    mass = np.zeros(n)
    for i in range(n):
        for k in range(c):
            mass[i] += w[i, k]
    levels = 0
    while n > size << levels:
        levels += 1
    scaled, events = np.empty((n, d)), np.empty(n, np.int64)
    for i in range(n):
        events[i] = i
        for k in range(d):
            scaled[i, k] = x[i, k] / units[k]
    low, high = np.empty(d), np.empty(d)
    for level in range(levels):
        for j in range(1 << level):
            start, stop = (j * n) >> level, ((j + 1) * n) >> level
            axis = enclose(scaled, events, start, stop, low, high)
            select(scaled, events, start, stop, ((2 * j + 1) * n) >> (level + 1), axis)
    boxes = 1 << levels
    means, sums = np.zeros((boxes, d)), np.zeros((boxes, c))
    for j in range(boxes):
        start, stop = (j * n) >> levels, ((j + 1) * n) >> levels
        first = events[start]  # distances to it do not cancel
        inside = 0.0
        for i in range(start, stop):
            inside += mass[events[i]]
            for k in range(c):
                sums[j, k] += w[events[i], k]
            for k in range(d):
                means[j, k] += mass[events[i]] * (x[events[i], k] - x[first, k])
        for k in range(d):
            means[j, k] = x[first, k] + means[j, k] / inside
    return means, sums

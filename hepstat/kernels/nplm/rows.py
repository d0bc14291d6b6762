"""The likelihood of a network times a reference: value, gradient, and Gauss-Newton matrix.

A row is an event or a node that stands for several: features x, planes of the effect of nuisances, the weight w that
the reference has there and the number n of data events. With score s = f(x; theta) + sum_k P_k(x) c_k(nu),

    sum_rows [w (e^s - 1) - n s]

is the loss without what is known of nuisances (:mod:`hepstat.kernels.nplm.nuisances`). Reference rows have n = 0, data
rows w = 0; nothing else tells them apart. Rows are feature by feature, in blocks of `BLOCK`, the last one filled up
with w = n = 0. Values of the layers of a block stay in the cache. Sums go block by block within a unit of `UNIT` rows,
and from unit to unit in order, so that units may be done by any thread.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.activations import activate, times_slope
from hepstat.kernels.network import Net, n_parameters
from hepstat.kernels.options import borrowing, summing
from hepstat.kernels.special import exp_to_one

__all__ = ["BLOCK", "LARGEST", "UNIT", "Rows", "Sums", "Work", "sum_rows"]

Array = NDArray[Any]

BLOCK = 256
UNIT = 64 * BLOCK
# Not Python's: these would be typed as literals, and kernels be compiled once for each.
START: Any = np.int64(0)
NEXT: Any = np.int64(1)
LARGEST = 700.0  # of a score whose exponential is still finite


class Rows(NamedTuple):
    """x (d, N) in the precision of the layers, planes (K, N), w (N,) and n (N,) in float64, N a multiple of `BLOCK`."""

    x: Array
    planes: Array
    w: Array
    n: Array


class Work(NamedTuple):
    """What one thread works with.

    values and pulls (R * BLOCK,), the outputs of all layers of a block and d L / d of them, and theta (P,), in the
    precision of the layers; scores, slopes, means (BLOCK,) in float64: s, d L / d s, and w e^s; jacobian ((P + K) *
    BLOCK,) d s / d parameter and coefficient, row (2 * BLOCK,) scratch in that precision; empty without Gauss-Newton.
    """

    values: Array
    pulls: Array
    theta: Array
    scores: Array
    slopes: Array
    means: Array
    jacobian: Array
    row: Array


class Sums(NamedTuple):
    """What is summed over rows: value (1,), gradient (P + K,) and matrix (P + K, P + K) by parameters and coefficients.

    The matrix is sum w e^s (d s)(d s)^T, lower triangle; empty if not wanted.
    """

    value: Array
    gradient: Array
    matrix: Array


@borrowing
def combine(theta: Array, at: int, step: int, n: int, bias: float, a: Array, c: Array) -> None:
    """Set c[e] = bias + sum_k theta[at + k step] a[k, e], of rows k < n of a (n * BLOCK,), for c (BLOCK,)."""
    k = n % 4
    offset = c.dtype.type(bias)
    if k == 0:
        for e in range(BLOCK):
            c[e] = offset
    elif k == 1:
        w0, a0 = theta[at], a[:BLOCK]
        for e in range(BLOCK):
            c[e] = offset + w0 * a0[e]
    elif k == 2:
        w0, w1, a0, a1 = theta[at], theta[at + step], a[:BLOCK], a[BLOCK : 2 * BLOCK]
        for e in range(BLOCK):
            c[e] = offset + w0 * a0[e] + w1 * a1[e]
    else:
        w0, w1, w2 = theta[at], theta[at + step], theta[at + 2 * step]
        a0, a1, a2 = a[:BLOCK], a[BLOCK : 2 * BLOCK], a[2 * BLOCK : 3 * BLOCK]
        for e in range(BLOCK):
            c[e] = offset + w0 * a0[e] + w1 * a1[e] + w2 * a2[e]
    while k < n:
        w0, w1 = theta[at + k * step], theta[at + (k + 1) * step]
        w2, w3 = theta[at + (k + 2) * step], theta[at + (k + 3) * step]
        a0, a1 = a[k * BLOCK : (k + 1) * BLOCK], a[(k + 1) * BLOCK : (k + 2) * BLOCK]
        a2, a3 = a[(k + 2) * BLOCK : (k + 3) * BLOCK], a[(k + 3) * BLOCK : (k + 4) * BLOCK]
        for e in range(BLOCK):
            c[e] += (w0 * a0[e] + w1 * a1[e]) + (w2 * a2[e] + w3 * a3[e])
        k += 4


@summing
def dot(a: Array, b: Array) -> float:
    """Return the sum of products of two rows."""
    total = a.dtype.type(0.0)
    for e in range(BLOCK):
        total += a[e] * b[e]
    return np.float64(total)


@summing
def total_of(a: Array) -> float:
    """Return the sum of a row."""
    total = a.dtype.type(0.0)
    for e in range(BLOCK):
        total += a[e]
    return np.float64(total)


@summing
def four_dots(d: Array, a: Array, out: Array, at: int) -> None:
    """Add to out[at], ... the sums of products of row d with the four rows of a."""
    a0, a1, a2, a3 = a[:BLOCK], a[BLOCK : 2 * BLOCK], a[2 * BLOCK : 3 * BLOCK], a[3 * BLOCK : 4 * BLOCK]
    s0 = s1 = s2 = s3 = d.dtype.type(0.0)
    for e in range(BLOCK):
        s0 += d[e] * a0[e]
        s1 += d[e] * a1[e]
        s2 += d[e] * a2[e]
        s3 += d[e] * a3[e]
    out[at] += s0
    out[at + 1] += s1
    out[at + 2] += s2
    out[at + 3] += s3


@summing
def eight_dots(d: Array, a: Array, first: Array, second: Array, at: int) -> None:
    """Add to first[at], ... and second[at], ... the sums of products of two rows of d with the four rows of a."""
    d0, d1 = d[:BLOCK], d[BLOCK : 2 * BLOCK]
    a0, a1, a2, a3 = a[:BLOCK], a[BLOCK : 2 * BLOCK], a[2 * BLOCK : 3 * BLOCK], a[3 * BLOCK : 4 * BLOCK]
    s0 = s1 = s2 = s3 = t0 = t1 = t2 = t3 = d.dtype.type(0.0)
    for e in range(BLOCK):
        s0 += d0[e] * a0[e]
        s1 += d0[e] * a1[e]
        s2 += d0[e] * a2[e]
        s3 += d0[e] * a3[e]
        t0 += d1[e] * a0[e]
        t1 += d1[e] * a1[e]
        t2 += d1[e] * a2[e]
        t3 += d1[e] * a3[e]
    first[at] += s0
    first[at + 1] += s1
    first[at + 2] += s2
    first[at + 3] += s3
    second[at] += t0
    second[at + 1] += t1
    second[at + 2] += t2
    second[at + 3] += t3


@borrowing
def add_dots(d: Array, a: Array, n: int, out: Array, at: int) -> None:
    """Add to out[at + k] the sum of products of row d with row k < n of a (n * BLOCK,)."""
    k = START
    while k + 4 <= n:
        four_dots(d, a[k * BLOCK : (k + 4) * BLOCK], out, at + k)
        k += 4
    while k < n:
        out[at + k] += dot(d, a[k * BLOCK : (k + 1) * BLOCK])
        k += 1


@borrowing
def forward(net: Net, theta: Array, values: Array) -> None:
    """Fill all rows of a block from its features."""
    widths, codes = net.widths, net.codes
    row, begin = START, START
    for layer in range(codes.shape[0]):
        n_in, n_out = widths[layer], widths[layer + 1]
        a = values[row * BLOCK : (row + n_in) * BLOCK]
        c = values[(row + n_in) * BLOCK : (row + n_in + n_out) * BLOCK]
        for j in range(n_out):
            bias = np.float64(theta[begin + n_in * n_out + j])
            combine(theta, begin + j * n_in, NEXT, n_in, bias, a, c[j * BLOCK : (j + 1) * BLOCK])
        activate(codes[layer], c)
        begin += (n_in + 1) * n_out
        row += n_in


@borrowing
def backward(net: Net, theta: Array, values: Array, pulls: Array) -> None:
    """Fill pulls of all layers from those of the score, in its last row, down to the first layer."""
    widths, codes = net.widths, net.codes
    end, last = n_parameters(widths), values.shape[0]
    for layer in range(codes.shape[0] - 1, 0, -1):
        n_in, n_out = widths[layer], widths[layer + 1]
        begin, c = end - (n_in + 1) * n_out, last - n_out * BLOCK
        a = c - n_in * BLOCK
        for k in range(n_in):
            combine(theta, begin + k, n_in, n_out, 0.0, pulls[c:last], pulls[a + k * BLOCK : a + (k + 1) * BLOCK])
        times_slope(codes[layer - 1], 1.0, values[a:c], pulls[a:c])
        end, last = begin, c


@borrowing
def add_gradient(net: Net, values: Array, pulls: Array, gradient: Array) -> None:
    """Add the sums over a block of pulls times inputs to the gradient, layer by layer."""
    widths = net.widths
    row, at = START, START
    for layer in range(widths.shape[0] - 1):
        n_in, n_out = widths[layer], widths[layer + 1]
        a = values[row * BLOCK : (row + n_in) * BLOCK]
        d = pulls[(row + n_in) * BLOCK : (row + n_in + n_out) * BLOCK]
        for j in range(n_out):
            add_dots(d[j * BLOCK : (j + 1) * BLOCK], a, n_in, gradient, at)
            at += n_in
        for j in range(n_out):
            gradient[at] += total_of(d[j * BLOCK : (j + 1) * BLOCK])
            at += 1
        row += n_in


@borrowing
def fill_jacobian(net: Net, values: Array, pulls: Array, jacobian: Array) -> None:
    """Fill the rows of d s / d theta of a block, from pulls that began with 1."""
    widths = net.widths
    row, at = START, START
    for layer in range(widths.shape[0] - 1):
        n_in, n_out = widths[layer], widths[layer + 1]
        for j in range(n_out):
            d = pulls[(row + n_in + j) * BLOCK : (row + n_in + j + 1) * BLOCK]
            for k in range(n_in):
                a = values[(row + k) * BLOCK : (row + k + 1) * BLOCK]
                target = jacobian[at * BLOCK : (at + 1) * BLOCK]
                for e in range(BLOCK):
                    target[e] = d[e] * a[e]
                at += 1
        for j in range(n_out):
            d = pulls[(row + n_in + j) * BLOCK : (row + n_in + j + 1) * BLOCK]
            target = jacobian[at * BLOCK : (at + 1) * BLOCK]
            for e in range(BLOCK):
                target[e] = d[e]
            at += 1
        row += n_in


@borrowing
def tilt(rows: Rows, first: int, coefficients: Array, scores: Array) -> None:
    """Add the logarithm of the effect of nuisances to the scores of the block that begins at row `first`."""
    for k in range(coefficients.shape[0]):
        c, plane = coefficients[k], rows.planes[k, first : first + BLOCK]
        for e in range(BLOCK):
            scores[e] += c * plane[e]


@borrowing
def weigh(rows: Rows, first: int, work: Work) -> float:
    """Fill means w e^s and slopes w e^s - n of a block from its scores, and return its part of the value.

    That is infinite where a score of the reference is beyond `LARGEST`.
    """
    scores, slopes, means = work.scores, work.slopes, work.means
    w, n = rows.w[first : first + BLOCK], rows.n[first : first + BLOCK]
    for e in range(BLOCK):
        s = scores[e]
        mean = w[e] * exp_to_one(s if s < LARGEST else LARGEST)
        means[e] = mean
        slopes[e] = mean - n[e]
        beyond = np.inf if (s > LARGEST) & (w[e] != 0.0) else 0.0
        scores[e] = ((mean - w[e]) - n[e] * s) + beyond
    return total_of(scores)


@borrowing
def load(rows: Rows, first: int, values: Array) -> None:
    """Copy the features of a block into its first rows."""
    for k in range(rows.x.shape[0]):
        x, target = rows.x[k, first : first + BLOCK], values[k * BLOCK : (k + 1) * BLOCK]
        for e in range(BLOCK):
            target[e] = x[e]


@borrowing
def sum_rows(
    net: Net, rows: Rows, first: int, stop: int, coefficients: Array, with_network: bool, work: Work, sums: Sums
) -> None:
    """Add rows `first` to `stop`, whole blocks, to the sums.

    The parameters are work.theta; coefficients (K,) are those of the planes. Without network f = 0, and sums are those
    of the coefficients alone: gradient (K,), matrix (K, K).
    """
    values, pulls, n_planes = work.values, work.pulls, coefficients.shape[0]
    score = values.shape[0] - BLOCK
    n_theta = work.theta.shape[0] if with_network else 0
    for block in range(first, stop, BLOCK):
        for e in range(BLOCK):
            work.scores[e] = 0.0
        if with_network:
            load(rows, block, values)
            forward(net, work.theta, values)
            f = values[score:]
            for e in range(BLOCK):
                work.scores[e] = f[e]
        tilt(rows, block, coefficients, work.scores)
        sums.value[0] += weigh(rows, block, work)
        if with_network:
            pull = pulls[score:]
            for e in range(BLOCK):
                pull[e] = work.slopes[e]
            backward(net, work.theta, values, pulls)
            add_gradient(net, values, pulls, sums.gradient)
        for k in range(n_planes):
            sums.gradient[n_theta + k] += dot(work.slopes, rows.planes[k, block : block + BLOCK])
        if sums.matrix.shape[0] > 0:
            add_matrix(net, rows, block, n_theta, work, sums.matrix)


@borrowing
def add_matrix(net: Net, rows: Rows, first: int, n_theta: int, work: Work, matrix: Array) -> None:
    """Add a block to the lower triangle of sum w e^s (d s)(d s)^T."""
    jacobian, row = work.jacobian, work.row
    if n_theta > 0:
        pull = work.pulls[work.pulls.shape[0] - BLOCK :]
        for e in range(BLOCK):
            pull[e] = 1.0
        backward(net, work.theta, work.values, work.pulls)
        fill_jacobian(net, work.values, work.pulls, jacobian)
    n = matrix.shape[0]
    for k in range(n - n_theta):
        target = jacobian[(n_theta + k) * BLOCK : (n_theta + k + 1) * BLOCK]
        plane = rows.planes[k, first : first + BLOCK]
        for e in range(BLOCK):
            target[e] = plane[e]
    for i in range(0, n, 2):
        high = min(i + 2, n)
        for j in range(i, high):
            d, target = jacobian[j * BLOCK : (j + 1) * BLOCK], row[(j - i) * BLOCK : (j - i + 1) * BLOCK]
            for e in range(BLOCK):
                target[e] = work.means[e] * d[e]
        k = START
        while k + 4 <= i + 1 and high == i + 2:
            eight_dots(row, jacobian[k * BLOCK : (k + 4) * BLOCK], matrix[i], matrix[i + 1], k)
            k += 4
        for j in range(i, high):
            rest = jacobian[k * BLOCK : (j + 1) * BLOCK]
            add_dots(row[(j - i) * BLOCK : (j - i + 1) * BLOCK], rest, j + 1 - k, matrix[j], k)

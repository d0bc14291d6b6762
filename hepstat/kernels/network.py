"""Networks of layers: scores of events, and the pull of d loss / d score back to the parameters.

A network is three arrays: widths (l + 1,), the number of features and of outputs of each layer; codes (l,), the
activation of each layer (:mod:`hepstat.kernels.activations`; the last one is the identity); rates (l,), the dropout
after each layer. Its parameters are one vector: for each layer the weights (out, in), row by row, then the biases
(out,).

Values live in *strips* (:mod:`hepstat.kernels.tiles`): for each 128 bytes of events a block with one row for each
feature and each output of a layer, ``rows(widths)`` in all. A buffer of strips belongs to one thread.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.activations import activate, times_slope
from hepstat.kernels.options import borrowing
from hepstat.kernels.philox import State, next_bits
from hepstat.kernels.tiles import (
    COLUMNS,
    ROWS,
    STRIP_BYTES,
    WIDE_ROWS,
    pair_sums,
    pair_sums_single,
    product,
    product_single,
)

__all__ = ["Net", "backward", "forward", "load", "n_parameters", "rows", "store", "unstore"]

Array = NDArray[Any]

HALF_WORD = np.uint64(32)
LOW_HALF = np.uint64(0xFFFFFFFF)
WHOLE = 2.0**32
# Not Python's: these would be typed as literals, and kernels be compiled once for each.
START: Any = np.int64(0)
FORTH: Any = np.bool_(False)
BACK: Any = np.bool_(True)


class Net(NamedTuple):
    """The shape of a network: widths (l + 1,) and codes (l,) of int64, rates (l,) of float64."""

    widths: Array
    codes: Array
    rates: Array


@borrowing
def rows(widths: Array) -> int:
    """Return how many rows a strip has: all features and all outputs of layers."""
    n = 0
    for i in range(widths.shape[0]):
        n += widths[i]
    return int(n)


@borrowing
def n_parameters(widths: Array) -> int:
    """Return the number of weights and biases."""
    n = 0
    for i in range(widths.shape[0] - 1):
        n += (widths[i] + 1) * widths[i + 1]
    return int(n)


@borrowing
def load(x: Array, order: Array, n_rows: int, strips: Array) -> int:
    """Put rows `order` (n,) of x (any, d) into the first d rows of strips, zeros after them; return the strips used."""
    n, d = order.shape[0], x.shape[1]
    length = STRIP_BYTES // x.itemsize
    n_strips: int = (n + length - 1) // length
    for s in range(n_strips):
        base = s * n_rows * length
        inside = min(length, n - s * length)
        for e in range(inside):
            event = order[s * length + e]
            for k in range(d):
                strips[base + k * length + e] = x[event, k]
        for e in range(inside, length):
            for k in range(d):
                strips[base + k * length + e] = 0.0
    return n_strips


@borrowing
def store(strips: Array, n_rows: int, scores: Array) -> None:
    """Fill scores (n, k) from the last k rows of strips."""
    n, k = scores.shape
    length = STRIP_BYTES // strips.itemsize
    for s in range((n + length - 1) // length):
        base = ((s + 1) * n_rows - k) * length
        for e in range(min(length, n - s * length)):
            for j in range(k):
                scores[s * length + e, j] = strips[base + j * length + e]


@borrowing
def unstore(slopes: Array, n_rows: int, strips: Array) -> None:
    """Put slopes (n, k) into the last k rows of strips, zeros after the last event."""
    n, k = slopes.shape
    length = STRIP_BYTES // strips.itemsize
    for s in range((n + length - 1) // length):
        base = ((s + 1) * n_rows - k) * length
        inside = min(length, n - s * length)
        for j in range(k):
            for e in range(inside):
                strips[base + j * length + e] = slopes[s * length + e, j]
            for e in range(inside, length):
                strips[base + j * length + e] = 0.0


@borrowing
def multiply(
    theta: Array, layer: tuple[int, int, int], back: bool, a: Array, a_first: int, c: Array, c_first: int
) -> None:
    """Multiply a strip by the weights of a layer (where they begin, in, out), or by their transpose without biases."""
    begin, n_in, n_out = layer
    length = STRIP_BYTES // a.itemsize
    n_rows, n_terms = (n_in, n_out) if back else (n_out, n_in)
    row_step, column_step = (1, n_in) if back else (n_in, 1)
    j = 0
    while j < n_rows:
        first = begin + j * row_step
        bias = -1 if back else begin + n_in * n_out + j
        if j + WIDE_ROWS <= n_rows:
            product(theta, first, row_step, column_step, a, a_first, c, c_first + j * length, bias, n_terms)
            j += WIDE_ROWS
        else:
            product_single(theta, first, row_step, column_step, a, a_first, c, c_first + j * length, bias, n_terms)
            j += 1


@borrowing
def drop(state: State, rate: float, strips: Array, masks: Array) -> None:
    """Set a share `rate` of strips (n,), n even, to zero and scale the rest up; masks (n,) gets the factors."""
    keep = np.uint64((1.0 - rate) * WHOLE)
    scale, zero = strips.dtype.type(1.0 / (1.0 - rate)), strips.dtype.type(0.0)
    for i in range(0, strips.shape[0], 2):
        bits = next_bits(state)
        masks[i] = scale if (bits >> HALF_WORD) < keep else zero
        masks[i + 1] = scale if (bits & LOW_HALF) < keep else zero
    multiply_by(strips, masks)


@borrowing
def multiply_by(values: Array, factors: Array) -> None:
    """Multiply values (n,) by factors (n,)."""
    for i in range(values.shape[0]):
        values[i] *= factors[i]


@borrowing
def forward(net: Net, theta: Array, n_strips: int, state: State, strips: Array, masks: Array) -> None:
    """Fill all rows of strips from their features; drop units if there are `masks`, with bits from `state`."""
    widths, codes, rates = net
    length = STRIP_BYTES // strips.itemsize
    n_rows = rows(widths)
    for s in range(n_strips):
        a, begin = s * n_rows * length, START
        for layer in range(codes.shape[0]):
            n_in, n_out = widths[layer], widths[layer + 1]
            c = a + n_in * length
            multiply(theta, (begin, n_in, n_out), FORTH, strips, a, strips, c)
            activate(codes[layer], strips[c : c + n_out * length])
            if masks.shape[0] > 0 and rates[layer] > 0.0:
                drop(state, rates[layer], strips[c : c + n_out * length], masks[c : c + n_out * length])
            begin += (n_in + 1) * n_out
            a = c


@borrowing
def backward(
    net: Net, theta: Array, n_strips: int, strips: Array, masks: Array, pulls: Array, ones: Array, sums: Array,
    gradient: Array,
) -> None:  # fmt: skip
    """Add to the gradient (P,).

    The last rows of `pulls`, strips too, hold d loss / d score. `ones` is a row of a strip, sums (16,) is scratch.
    """
    widths, codes, rates = net
    length = STRIP_BYTES // strips.itemsize
    n_rows = rows(widths)
    n_layers = codes.shape[0]
    for s in range(n_strips):
        end, last = n_parameters(widths), (s + 1) * n_rows * length
        for layer in range(n_layers - 1, 0, -1):
            n_in, n_out = widths[layer], widths[layer + 1]
            begin = end - (n_in + 1) * n_out
            c = last - n_out * length
            a = c - n_in * length
            multiply(theta, (begin, n_in, n_out), BACK, pulls, c, pulls, a)
            keep = 1.0
            if masks.shape[0] > 0 and rates[layer - 1] > 0.0:
                keep -= rates[layer - 1]
                multiply_by(pulls[a:c], masks[a:c])
            times_slope(codes[layer - 1], keep, strips[a:c], pulls[a:c])
            end, last = begin, c
    row, begin = START, START
    for layer in range(n_layers):
        n_in, n_out = widths[layer], widths[layer + 1]
        add_weights(pulls, strips, (row, n_in, n_out), n_rows, n_strips, sums, gradient, begin)
        begin += n_in * n_out
        add_biases(pulls, ones, row + n_in, n_out, n_rows, n_strips, sums, gradient, begin)
        begin += n_out
        row += n_in


@borrowing
def add_weights(
    pulls: Array,
    strips: Array,
    layer: tuple[int, int, int],
    n_rows: int,
    n_strips: int,
    sums: Array,
    gradient: Array,
    begin: int,
) -> None:
    """Add sum_e pulls[j, e] strips[k, e] of a layer (row of its inputs, in, out) to the gradient from `begin` on."""
    row, n_in, n_out = layer
    length = STRIP_BYTES // strips.itemsize
    step = n_rows * length
    j = 0
    while j < n_out:
        height = ROWS if j + ROWS <= n_out else 1
        d = (row + n_in + j) * length
        for k in range(0, n_in, COLUMNS):
            width = min(COLUMNS, n_in - k)
            x = (row + k) * length
            if height == ROWS:
                pair_sums(pulls, d, step, strips, x, step, sums, width, n_strips)
            else:
                pair_sums_single(pulls, d, step, strips, x, step, sums, width, n_strips)
            for r in range(height):
                for q in range(width):
                    gradient[begin + (j + r) * n_in + k + q] += sums[r * COLUMNS + q]
        j += height


@borrowing
def add_biases(
    pulls: Array,
    ones: Array,
    row: int,
    n_out: int,
    n_rows: int,
    n_strips: int,
    sums: Array,
    gradient: Array,
    begin: int,
) -> None:
    """Add the sums over events of rows of pulls, from `row` on, to the gradient from `begin` on."""
    length = STRIP_BYTES // pulls.itemsize
    step = n_rows * length
    j = 0
    while j < n_out:
        height = ROWS if j + ROWS <= n_out else 1
        if height == ROWS:
            pair_sums(pulls, (row + j) * length, step, ones, 0, 0, sums, 1, n_strips)
        else:
            pair_sums_single(pulls, (row + j) * length, step, ones, 0, 0, sums, 1, n_strips)
        for r in range(height):
            gradient[begin + j + r] += sums[r * COLUMNS]
        j += height

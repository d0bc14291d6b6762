"""Log-linear shapes: density exp(sum_j theta_j h_j(x)) with columns h_j, whatever they are made of.

The columns are a linear map of raw features, ``h = matrix @ (raw - mean)``, chosen where the model is built: an
orthogonal one where all parameters float together, a plain centred one otherwise.

consts: number of features p; a, b; mean (p,); matrix (p, p).
"""

from typing import Any

import numpy as np

from hepstat.kernels.entry import Entry, planes, view
from hepstat.kernels.options import kernel
from hepstat.kernels.special import exp, log

__all__ = ["density", "log_columns", "monomial_columns"]


def _density(theta_: Any, columns_: Any, consts_: Any, n: int, order: int, out_: Any) -> None:
    p = int(view(consts_, (1,))[0])
    theta = view(theta_, (p,))
    h = view(columns_, (p, n))
    out = view(out_, (planes(p, order), n))
    value = out[0]
    for i in range(n):
        value[i] = 0.0
    for j in range(p - 1):
        slope = theta[j]
        for i in range(n):
            value[i] += slope * h[j, i]
    slope = theta[p - 1]
    for i in range(n):
        value[i] = exp(value[i] + slope * h[p - 1, i])
    if order == 0:
        return
    for j in range(p):
        for i in range(n):
            out[1 + j, i] = value[i] * h[j, i]
    if order == 1:
        return
    plane = 1 + p
    for j in range(p):
        for k in range(j + 1):
            for i in range(n):
                out[plane, i] = out[1 + j, i] * h[k, i]
            plane += 1


@kernel
def _combine(consts_: Any, n: int, columns_: Any) -> None:
    """Replace the raw features by their linear map, in place, point by point."""
    p = int(view(consts_, (1,))[0])
    consts = view(consts_, (3 + p + p * p,))
    mean = consts[3 : 3 + p]
    matrix = consts[3 + p :]
    columns = view(columns_, (p, n))
    raw = np.empty(p)
    for i in range(n):
        for k in range(p):
            raw[k] = columns[k, i] - mean[k]
        for j in range(p):
            total = 0.0
            for k in range(p):
                total += matrix[j * p + k] * raw[k]
            columns[j, i] = total


def _monomial_columns(x_: Any, consts_: Any, n: int, columns_: Any) -> None:
    """Raw features u, u^2, ... u^p of u = (x - a) * b."""
    p = int(view(consts_, (1,))[0])
    consts = view(consts_, (3,))
    x = view(x_, (n,))
    columns = view(columns_, (p, n))
    for i in range(n):
        columns[0, i] = (x[i] - consts[1]) * consts[2]
    for k in range(1, p):
        for i in range(n):
            columns[k, i] = columns[k - 1, i] * columns[0, i]
    _combine(consts_, n, columns_)


def _log_columns(x_: Any, consts_: Any, n: int, columns_: Any) -> None:
    """Raw features log(t), log(t)^2, ... of t = x * b; with a = 1 preceded by log(1 - t)."""
    p = int(view(consts_, (1,))[0])
    consts = view(consts_, (3,))
    x = view(x_, (n,))
    columns = view(columns_, (p, n))
    first = int(consts[1])
    if first == 1:
        for i in range(n):
            columns[0, i] = log(1.0 - x[i] * consts[2])
    if p > first:
        for i in range(n):
            columns[first, i] = log(x[i] * consts[2])
    for k in range(first + 1, p):
        for i in range(n):
            columns[k, i] = columns[k - 1, i] * columns[first, i]
    _combine(consts_, n, columns_)


density = Entry(_density)
monomial_columns = Entry(_monomial_columns, columns=True)
log_columns = Entry(_log_columns, columns=True)

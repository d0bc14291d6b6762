"""The Lovász extension of a loss of significance.

Bardhan, Neeraj, Mitra and Mandal, eq. 5: where the events of a set are mispredicted, signal of weight s_kept = S - (its
signal) and background b_kept (its background) pass the cut, and Z = s/sqrt(b) falls short by ::

    Delta = S / sqrt(eps) - s_kept / sqrt(eps + b_kept)

Delta is submodular on sets of events of non-negative weight. Its Lovász extension is the sum of m_i g_i, with errors m
in falling order and g_i what Delta grows by when event i joins those before it. Here g is not the difference of two
large numbers, but s_kept (1/sqrt(h) - 1/sqrt(h')) with the roots combined, so that it is never negative and keeps its
digits. Events of error 0 have slope 0 and come last: they are left out.
"""

import math
from typing import Any

import numpy as np

from hepstat.kernels.entry import view
from hepstat.kernels.losses.entry import Entry
from hepstat.kernels.losses.pointwise import focal_terms
from hepstat.kernels.options import borrowing, kernel
from hepstat.kernels.sort import descending_order
from hepstat.kernels.special import sigmoid, softplus
from hepstat.kernels.sums import total_product

__all__ = ["CROSS_ENTROPY", "FOCAL", "HINGE", "SIGMOID", "chain", "errors", "lovasz_z"]

HINGE, SIGMOID, CROSS_ENTROPY, FOCAL = range(4)


@borrowing
def errors(kind: int, gamma: float, f: Any, y: Any, m: Any, slope: Any) -> int:
    """Fill errors m and dm/df, all (n,); return how many are NaN."""
    n_nan = np.int64(0)
    if kind == HINGE:
        for i in range(f.size):
            sign = 1.0 - 2.0 * y[i]
            value = 1.0 + sign * f[i]
            m[i] = 0.0 if value <= 0.0 else value
            slope[i] = 0.0 if value <= 0.0 else sign
            n_nan += np.int64(value != value)
    elif kind == SIGMOID:
        for i in range(f.size):
            sign = 1.0 - 2.0 * y[i]
            value = sigmoid(sign * f[i])
            m[i] = value
            slope[i] = sign * value * sigmoid(-sign * f[i])
            n_nan += np.int64(value != value)
    elif kind == CROSS_ENTROPY:
        for i in range(f.size):
            sign = 1.0 - 2.0 * y[i]
            value = softplus(sign * f[i])
            m[i] = value
            slope[i] = sign * sigmoid(sign * f[i])
            n_nan += np.int64(value != value)
    else:
        for i in range(f.size):
            sign = 1.0 - 2.0 * y[i]
            value, by_t = focal_terms(sign * f[i], gamma)
            m[i] = value
            slope[i] = sign * by_t
            n_nan += np.int64(value != value)
    return int(n_nan)


@borrowing
def extend(eps: float, signal: float, order: Any, n: int, growth: Any) -> None:
    """Turn weights, negative for background, of the first n events in order into what each makes Delta grow by."""
    background, root = eps, math.sqrt(eps)
    for j in range(n):
        i = order[j]
        lost, kept = max(growth[i], 0.0), max(-growth[i], 0.0)
        background += kept
        next_root = math.sqrt(background)
        growth[i] = (lost + signal * kept / (next_root * (root + next_root))) / root
        signal = max(signal - lost, 0.0)
        root = next_root


def _lovasz_z(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    f, y, w, gradient = view(f_, (n,)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n,))
    constants = view(constants_, (3,))
    eps, kind, gamma = constants[0], int(constants[1]), constants[2]
    work = np.empty((3, n))  # in one piece, which the allocator keeps for the next call where several go back
    m = work[0]
    if errors(kind, gamma, f, y, m, gradient) > 0:
        gradient[:] = np.nan
        return math.nan
    order, spare, n_positive = descending_order(m, work[1:].view(np.uint64))
    growth = spare.view(np.float64)
    signal = 0.0
    for i in range(n):
        growth[i] = w[i] * (2.0 * y[i] - 1.0)
        signal += w[i] * y[i]
    extend(eps, signal, order, n_positive, growth)
    total = 0.0
    for i in range(n):
        total += m[i] * growth[i]
        gradient[i] *= growth[i]
    return total


@kernel
def chain(kind: int, gamma: float, f: Any, y: Any, w: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Return what a loss of any (s_kept, b_kept) is made of.

    Parameters
    ----------
    kind, gamma : int, float
        Which error; the exponent of the focal one.
    f, y, w : ndarray, shape (n,)
        Scores, labels 0 and 1, weights.

    Returns
    -------
    m, slope : ndarray, shape (n,)
        Errors and their slopes by the scores.
    order : ndarray of uint32, shape (n,)
        Errors from large to small.
    s_kept, b_kept : ndarray, shape (n + 1,)
        Signal and background that pass where the first 0, 1, ... n events in order are mispredicted.
    """
    n = f.size
    m, slope = np.empty(n), np.empty(n)
    errors(kind, gamma, f, y, m, slope)
    order = descending_order(m, np.empty((2, n), np.uint64))[0]
    s_kept, b_kept = np.empty(n + 1), np.empty(n + 1)
    s_kept[0], b_kept[0] = total_product(y, w), 0.0
    for j in range(n):
        i = order[j]
        s_kept[j + 1] = max(s_kept[j] - w[i] * y[i], 0.0)
        b_kept[j + 1] = b_kept[j] + w[i] * (1.0 - y[i])
    return m, slope, order, s_kept, b_kept


lovasz_z = Entry(_lovasz_z)

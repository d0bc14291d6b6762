"""Losses of classes for weights of any sign: what an event of negative weight says about the classes that it is not of.

Scores are shifted by the largest of an event, so that exponentials do not overflow, in blocks that stay in cache.
"""

from typing import Any

from hepstat.kernels.entry import view
from hepstat.kernels.losses.entry import Entry
from hepstat.kernels.losses.pointwise import subtract_largest
from hepstat.kernels.options import inlined
from hepstat.kernels.special import exp, log, sigmoid, softplus

__all__ = ["candidate_labels", "categorical_brier", "complementary_label"]

_ROWS = 128  # events of a block


@inlined
def largest_but(f: Any, i: int, k: int, own: int) -> float:
    """Return the largest score of an event among classes other than its own."""
    first = 1 if own == 0 else 0
    largest: float = f[i, first]
    for j in range(first + 1, k):
        largest = largest if j == own or largest >= f[i, j] else f[i, j]
    return largest


def _complementary_label(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    f, y, w, gradient = view(f_, (n, k)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n, k))
    flat = view(gradient_, (n * k,))
    total = 0.0
    for low in range(0, n, _ROWS):
        high = min(low + _ROWS, n)
        for i in range(low, high):
            own = int(y[i])
            subtract_largest(f, i, k, gradient)
            others = 0.0
            for j in range(k):
                others += 0.0 if j == own else gradient[i, j]
            total -= w[i] * gradient[i, own] if w[i] >= 0.0 else -w[i] / (k - 1) * others
        for j in range(low * k, high * k):
            flat[j] = exp(flat[j])
        for i in range(low, high):
            own, size = int(y[i]), abs(w[i])
            norm = 0.0
            for j in range(k):
                norm += gradient[i, j]
            total += size * log(norm)
            scale, share = size / norm, (0.0 if w[i] >= 0.0 else size / (k - 1))
            for j in range(k):
                gradient[i, j] = gradient[i, j] * scale - share
            gradient[i, own] += share if w[i] < 0.0 else -size
    return total


def _candidate_labels(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    """With t the score of the label minus log(sum of the exponentials of the others), p_y = sigmoid(t)."""
    f, y, w, gradient = view(f_, (n, k)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n, k))
    flat = view(gradient_, (n * k,))
    total = 0.0
    for low in range(0, n, _ROWS):
        high = min(low + _ROWS, n)
        for i in range(low, high):
            largest = largest_but(f, i, k, int(y[i]))
            for j in range(k):
                gap = f[i, j] - largest
                gradient[i, j] = 0.0 if gap > 0.0 else gap  # only for the own one, which is not used
        for j in range(low * k, high * k):
            flat[j] = exp(flat[j])
        for i in range(low, high):
            own = int(y[i])
            others = 0.0
            for j in range(k):
                others += 0.0 if j == own else gradient[i, j]
            sign = 1.0 if w[i] >= 0.0 else -1.0
            t = -sign * (f[i, own] - largest_but(f, i, k, own) - log(others))
            total += sign * w[i] * softplus(t)
            pull = w[i] * sigmoid(t)
            scale = pull / others
            for j in range(k):
                gradient[i, j] *= scale
            gradient[i, own] = -pull
    return total


def _categorical_brier(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    """With q the probability of all others and Q the sum of their squares: q^2 + Q."""
    f, y, w, gradient = view(f_, (n, k)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n, k))
    flat = view(gradient_, (n * k,))
    total = 0.0
    for low in range(0, n, _ROWS):
        high = min(low + _ROWS, n)
        for i in range(low, high):
            subtract_largest(f, i, k, gradient)
        for j in range(low * k, high * k):
            flat[j] = exp(flat[j])
        for i in range(low, high):
            own = int(y[i])
            others, squares = 0.0, 0.0
            for j in range(k):
                value = 0.0 if j == own else gradient[i, j]
                others += value
                squares += value * value
            norm = others + gradient[i, own]
            right, wrong, squares = gradient[i, own] / norm, others / norm, squares / (norm * norm)
            value, mean = w[i] * (wrong * wrong + squares), squares - right * wrong
            total += value
            for j in range(k):
                p = gradient[i, j] / norm
                gradient[i, j] = 2.0 * w[i] * p * (p - mean)
            gradient[i, own] = -2.0 * right * value
    return total


complementary_label = Entry(_complementary_label)
candidate_labels = Entry(_candidate_labels)
categorical_brier = Entry(_categorical_brier)

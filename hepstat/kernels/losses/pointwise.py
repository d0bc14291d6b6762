"""Losses that are sums over events.

Two-class losses are written in the wrong way round score, t = (1 - 2 y) f for labels y of 0 and 1: large where an event
is mispredicted. Thus |y - sigmoid(f)| = sigmoid(t), and tails lose no digits. Loops have no branches and vectorise.
"""

import math
from typing import Any

from hepstat.kernels.entry import view
from hepstat.kernels.losses.entry import Entry
from hepstat.kernels.options import inlined
from hepstat.kernels.special import exp, expm1, log, sigmoid, softplus

__all__ = [
    "binary_cross_entropy",
    "brier",
    "categorical_cross_entropy",
    "exponential",
    "focal",
    "focal_terms",
    "hinge",
    "linear_ratio",
    "maximum_likelihood_ratio",
    "squared_error",
    "subtract_largest",
]

_ROWS = 128  # events of a block of the categorical loss, so that it stays in cache


@inlined
def focal_terms(t: float, gamma: float) -> tuple[float, float]:
    """Return q^gamma softplus(t) and its slope by t, where q = sigmoid(t) is the probability of the wrong class."""
    q, soft = sigmoid(t), softplus(t)
    power = exp(-gamma * softplus(-t))
    return power * soft, power * (gamma * sigmoid(-t) * soft + q)


@inlined
def subtract_largest(f: Any, i: int, k: int, out: Any) -> None:
    """Fill row i of out with the scores of an event less the largest of them."""
    largest = f[i, 0]
    for j in range(1, k):
        largest = largest if largest >= f[i, j] else f[i, j]
    for j in range(k):
        out[i, j] = f[i, j] - largest


def _binary_cross_entropy(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    f, y, w, gradient = view(f_, (n,)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n,))
    total = 0.0
    for i in range(n):
        sign = 1.0 - 2.0 * y[i]
        t = sign * f[i]
        gradient[i] = w[i] * (sign * sigmoid(t))
        total += w[i] * softplus(t)
    return total


def _categorical_cross_entropy(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    f, y, w, gradient = view(f_, (n, k)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n, k))
    flat = view(gradient_, (n * k,))
    total = 0.0
    for low in range(0, n, _ROWS):
        high = min(low + _ROWS, n)
        for i in range(low, high):
            subtract_largest(f, i, k, gradient)
        for i in range(low, high):
            total -= w[i] * gradient[i, int(y[i])]
        for j in range(low * k, high * k):
            flat[j] = exp(flat[j])
        for i in range(low, high):
            norm = 0.0
            for j in range(k):
                norm += gradient[i, j]
            total += w[i] * log(norm)
            scale = w[i] / norm
            for j in range(k):
                gradient[i, j] *= scale
            gradient[i, int(y[i])] -= w[i]
    return total


def _squared_error(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    f, y, w, gradient = view(f_, (n,)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n,))
    total = 0.0
    for i in range(n):
        off = f[i] - y[i]
        gradient[i] = w[i] * (2.0 * off)
        total += w[i] * (off * off)
    return total


def _brier(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    f, y, w, gradient = view(f_, (n,)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n,))
    total = 0.0
    for i in range(n):
        sign = 1.0 - 2.0 * y[i]
        t = sign * f[i]
        q = sigmoid(t)
        gradient[i] = w[i] * (2.0 * sign * q * q * sigmoid(-t))
        total += w[i] * (q * q)
    return total


def _hinge(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    f, y, w, gradient = view(f_, (n,)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n,))
    total = 0.0
    for i in range(n):
        sign = 1.0 - 2.0 * y[i]
        m = 1.0 + sign * f[i]
        gradient[i] = w[i] * (0.0 if m <= 0.0 else sign)
        total += w[i] * (0.0 if m <= 0.0 else m)
    return total


def _focal(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    f, y, w, gradient = view(f_, (n,)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n,))
    constants = view(constants_, (3,))
    gamma, background, signal = constants[0], constants[1], constants[2]
    total = 0.0
    for i in range(n):
        sign = 1.0 - 2.0 * y[i]
        value, slope = focal_terms(sign * f[i], gamma)
        balance = w[i] * (background + y[i] * (signal - background))
        gradient[i] = balance * (sign * slope)
        total += balance * value
    return total


def _exponential(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    f, y, w, gradient = view(f_, (n,)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n,))
    total = 0.0
    for i in range(n):
        sign = 1.0 - 2.0 * y[i]
        e = exp(-math.inf if w[i] == 0.0 else sign * f[i])  # no weight times infinity is nothing
        gradient[i] = w[i] * (sign * e)
        total += w[i] * e
    return total


def _linear_ratio(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    f, y, w, gradient = view(f_, (n,)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n,))
    total = 0.0
    for i in range(n):
        rest = 1.0 - y[i]
        gradient[i] = w[i] * (rest * f[i] - y[i])
        total += w[i] * (0.5 * rest * f[i] - y[i]) * f[i]
    return total


def _maximum_likelihood_ratio(f_: Any, y_: Any, w_: Any, constants_: Any, n: int, k: int, gradient_: Any) -> float:
    f, y, w, gradient = view(f_, (n,)), view(y_, (n,)), view(w_, (n,)), view(gradient_, (n,))
    total = 0.0
    for i in range(n):
        reference = y[i] == 0.0
        x = f[i] if w[i] != 0.0 else 0.0  # no weight times infinity is nothing
        gradient[i] = w[i] * (exp(x) if reference else -1.0)
        total += w[i] * (expm1(x) if reference else -x)
    return total


binary_cross_entropy = Entry(_binary_cross_entropy)
categorical_cross_entropy = Entry(_categorical_cross_entropy)
squared_error = Entry(_squared_error)
brier = Entry(_brier)
hinge = Entry(_hinge)
focal = Entry(_focal)
exponential = Entry(_exponential)
linear_ratio = Entry(_linear_ratio)
maximum_likelihood_ratio = Entry(_maximum_likelihood_ratio)

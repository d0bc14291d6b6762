"""Losses the slow and obvious way: oracles for their kernels.

Losses of one event take a score and a label, mpmath numbers; those of a set take arrays.
"""

import itertools
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
from scipy.optimize import linprog


def sigmoid(f: Any) -> Any:
    """1 / (1 + e^-f)."""
    return 1 / (1 + mp.exp(-f))


def sign(y: int) -> int:
    """1 for signal, -1 for background."""
    return 2 * y - 1


def binary_cross_entropy(f: Any, y: int) -> Any:
    """Minus the logarithm of the probability of the label."""
    return -mp.log(sigmoid(sign(y) * f))


def squared_error(f: Any, y: Any) -> Any:
    """Square of the difference."""
    return (f - y) ** 2


def brier(f: Any, y: int) -> Any:
    """The same for the probability."""
    return (sigmoid(f) - y) ** 2


def hinge(f: Any, y: int) -> Any:
    """What lacks from a margin of 1."""
    return max(mp.mpf(0), 1 - sign(y) * f)


def focal(f: Any, y: int, gamma: Any = 2, alpha: Any = None) -> Any:
    """Cross-entropy times a power of the probability of the other label."""
    right = sigmoid(sign(y) * f)
    factor = 1 if alpha is None else (alpha if y else 1 - alpha)
    return -factor * sigmoid(-sign(y) * f) ** gamma * mp.log(right)


def exponential(f: Any, y: int) -> Any:
    """Of boosting."""
    return mp.exp(-sign(y) * f)


def linear_ratio(f: Any, y: int) -> Any:
    """Linear in signal, quadratic in background."""
    return -y * f + (1 - y) * f**2 / 2


def maximum_likelihood_ratio(f: Any, y: int) -> Any:
    """Data f, reference e^f - 1."""
    return (1 - y) * (mp.exp(f) - 1) - y * f


def categorical_cross_entropy(f: list[Any], y: int) -> Any:
    """Logarithm of the sum of exponentials minus the score of the class."""
    return mp.log(sum(mp.exp(x) for x in f)) - f[y]


def probabilities(f: list[Any]) -> list[Any]:
    """Softmax of the scores."""
    e = [mp.exp(x) for x in f]
    return [x / sum(e) for x in e]


def complementary_label(f: list[Any], y: int, w: Any) -> Any:
    """Cross-entropy; for a negative weight the mean of those of all other classes."""
    others = [-mp.log(p) for j, p in enumerate(probabilities(f)) if j != y]
    return w * categorical_cross_entropy(f, y) if w > 0 else abs(w) * sum(others) / len(others)


def candidate_labels(f: list[Any], y: int, w: Any) -> Any:
    """Cross-entropy; for a negative weight that of being any other class."""
    return w * categorical_cross_entropy(f, y) if w > 0 else -abs(w) * mp.log(1 - probabilities(f)[y])


def categorical_brier(f: list[Any], y: int, w: Any) -> Any:
    """Squared distance from the corner of the class."""
    return w * sum((p - (j == y)) ** 2 for j, p in enumerate(probabilities(f)))


def asimov_z(s: Any, b: Any, uncertainty: Any) -> Any:
    """Significance of s on b known from 1 / uncertainty^2 events, from the likelihood ratio."""
    if uncertainty == 0:
        return mp.sqrt(2 * ((s + b) * mp.log(1 + s / b) - s))
    tau = 1 / (uncertainty**2 * b)
    on, off = s + b, tau * b
    mean = (on + off) / (1 + tau)
    return mp.sqrt(2 * (on * mp.log(on / mean) + off * mp.log(off / (tau * mean))))


def errors(kind: str, f: Any, y: Any, gamma: float = 2.0) -> Any:
    """Errors of events, from numpy arrays of moderate scores."""
    right = 1 / (1 + np.exp(-(2 * y - 1) * f))
    return {
        "hinge": np.maximum(0.0, 1 - (2 * y - 1) * f),
        "sigmoid": 1 - right,
        "cross-entropy": -np.log(right),
        "focal": -((1 - right) ** gamma) * np.log(right),
    }[kind]


def delta_z(y: Any, w: Any, eps: float) -> Callable[[Any], float]:
    """The loss of significance of a set, given as a mask (n,) of mispredicted events."""

    def delta(wrong: Any) -> float:
        signal = np.sum(w[(y == 1) & ~wrong])
        background = np.sum(w[(y == 0) & wrong])
        return float(np.sum(w[y == 1]) / np.sqrt(eps) - signal / np.sqrt(eps + background))

    return delta


def lovasz_z(m: Any, y: Any, w: Any, eps: float) -> tuple[float, Any]:
    """Value and slope by the errors m, as in algorithm 1 of Bardhan et al."""
    pi = np.argsort(-m, kind="stable")
    S = np.sum(w * y)
    hs = np.maximum(S - np.cumsum(y[pi] * w[pi]), 0.0)
    hb = eps + np.cumsum((1 - y[pi]) * w[pi])
    G = S / np.sqrt(eps) - hs / np.sqrt(hb)
    g = np.empty(len(m))
    g[pi] = np.diff(G, prepend=0.0)
    return float(m @ g), g


def choquet(delta: Callable[[Any], float], m: Any) -> float:
    """The Lovász extension as the integral of delta({m >= t}) over t > 0."""
    levels = np.unique(np.append(m, 0.0))
    return sum((high - low) * delta(m >= high) for low, high in itertools.pairwise(levels))


def convex_closure(delta: Callable[[Any], float], m: Any) -> float:
    """The smallest mean of delta over random sets that hold event i with probability m_i, by linear programming."""
    sets = np.array(list(itertools.product([False, True], repeat=len(m))))
    equal = np.vstack([sets.T, np.ones(len(sets))]).astype(float)
    return float(linprog([delta(row) for row in sets], A_eq=equal, b_eq=np.append(m, 1.0)).fun)


def submodular(delta: Callable[[Any], float], n: int) -> bool:
    """Whether each pair of events adds less together than apart, whatever else is mispredicted."""
    sets = np.array(list(itertools.product([False, True], repeat=n)))
    values = np.array([delta(row) for row in sets])
    bits = 2 ** np.arange(n)[::-1]
    at = sets @ bits
    for i, j in itertools.combinations(range(n), 2):
        rest = at[~sets[:, i] & ~sets[:, j]]
        both = values[rest + bits[i] + bits[j]] + values[rest]
        apart = values[rest + bits[i]] + values[rest + bits[j]]
        if np.any(both > apart + 1e-12 * np.abs(values).max()):
            return False
    return True

"""Networks the slow and obvious way: oracles for kernels, in float64 and plain numpy."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

VALUES: dict[str, Callable[[Any], Any]] = {
    "identity": lambda a: a,
    "relu": lambda a: np.where(a < 0, 0.0, a),
    "leaky relu": lambda a: np.where(a < 0, 0.01 * a, a),
    "elu": lambda a: np.where(a < 0, np.expm1(np.minimum(a, 0.0)), a),
    "tanh": np.tanh,
    "sigmoid": lambda a: 1 / (1 + np.exp(-a)),
    "softplus": lambda a: np.logaddexp(0.0, a),
}
SLOPES: dict[str, Callable[[Any], Any]] = {
    "identity": np.ones_like,
    "relu": lambda a: np.where(a > 0, 1.0, 0.0),
    "leaky relu": lambda a: np.where(a > 0, 1.0, 0.01),
    "elu": lambda a: np.where(a > 0, 1.0, np.exp(np.minimum(a, 0.0))),
    "tanh": lambda a: 1 / np.cosh(a) ** 2,
    "sigmoid": lambda a: 0.25 / np.cosh(a / 2) ** 2,
    "softplus": lambda a: 1 / (1 + np.exp(-a)),
}


def layers(widths: Sequence[int], theta: Any) -> list[tuple[Any, Any]]:
    """Weights (out, in) and biases (out,) of each layer."""
    found, begin = [], 0
    for n_in, n_out in itertools.pairwise(widths):
        middle = begin + n_in * n_out
        found.append((theta[begin:middle].reshape(n_out, n_in), theta[middle : middle + n_out]))
        begin = middle + n_out
    assert begin == len(theta)
    return found


def sums(widths: Sequence[int], activations: Sequence[str], theta: Any, x: Any, masks: Any = None) -> list[Any]:
    """Sums (n, out) of each layer before its activation; those of the last are the scores (n, k).

    Masks (n, out), one for each hidden layer, multiply what follows the activation.
    """
    found, values = [], np.asarray(x, dtype=float)
    shape = layers(widths, np.asarray(theta, dtype=float))
    for i, (weights, biases) in enumerate(shape):
        found.append(values @ weights.T + biases)
        if i < len(activations):
            values = VALUES[activations[i]](found[-1]) * (1.0 if masks is None else masks[i])
    return found


def scores(widths: Sequence[int], activations: Sequence[str], theta: Any, x: Any, masks: Any = None) -> Any:
    """Scores (n, k)."""
    return sums(widths, activations, theta, x, masks)[-1]


def pulled(
    widths: Sequence[int], activations: Sequence[str], theta: Any, x: Any, slopes: Any, masks: Any = None
) -> Any:
    """Gradient (P,) of the sum of slopes (n, k) times scores, layer by layer from the last."""
    shape, a = layers(widths, np.asarray(theta, dtype=float)), sums(widths, activations, theta, x, masks)
    factors = [1.0] * len(activations) if masks is None else masks
    parts, d = [], np.asarray(slopes, dtype=float)
    for i in reversed(range(len(shape))):
        before = VALUES[activations[i - 1]](a[i - 1]) * factors[i - 1] if i else np.asarray(x, dtype=float)
        parts += [d.sum(axis=0), (d.T @ before).ravel()]
        if i:
            d = (d @ shape[i][0]) * factors[i - 1] * SLOPES[activations[i - 1]](a[i - 1])
    return np.concatenate(parts[::-1])


def central_differences(function: Callable[[Any], float], theta: Any, step: float = 1e-5) -> Any:
    """Slope by each parameter, to fourth order of the step."""
    slopes = np.empty(len(theta))
    for i, unit in enumerate(step * np.eye(len(theta))):
        near = function(theta + unit) - function(theta - unit)
        far = function(theta + 2 * unit) - function(theta - 2 * unit)
        slopes[i] = (8 * near - far) / (12 * step)
    return slopes


def nearest_kink(widths: Sequence[int], activations: Sequence[str], theta: Any, x: Any) -> float:
    """Smallest absolute sum before an activation: how far theta is from where relus and their like have a kink."""
    hidden = sums(widths, activations, theta, x)[:-1]
    return min((float(np.abs(a).min()) for a in hidden), default=np.inf)

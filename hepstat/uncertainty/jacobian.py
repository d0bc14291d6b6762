"""Derivatives of single scores by the parameters of a network, layer by layer in double precision."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from hepstat.kernels.activations import LEAK
from hepstat.learn import Model
from hepstat.types import Floats

__all__ = ["jacobian", "last_layer"]

Function = Callable[[Floats], Floats]

# each activation, and its slope found from its result; at a kink that below, as in training
_ACTIVATIONS: dict[str, tuple[Function, Function]] = {
    "identity": (lambda z: z, np.ones_like),
    "relu": (lambda z: np.maximum(z, 0.0), lambda a: np.where(a > 0, 1.0, 0.0)),
    "leaky relu": (lambda z: np.where(z < 0, LEAK * z, z), lambda a: np.where(a > 0, 1.0, LEAK)),
    "elu": (lambda z: np.where(z < 0, np.expm1(np.minimum(z, 0.0)), z), lambda a: np.where(a > 0, 1.0, a + 1.0)),
    "tanh": (np.tanh, lambda a: 1.0 - a * a),
    "sigmoid": (expit, lambda a: a * (1.0 - a)),
    "softplus": (lambda z: np.logaddexp(0.0, z), lambda a: -np.expm1(-a)),
}


def jacobian(model: Model, inputs: Floats) -> Floats:
    """Return the derivatives of scores by all parameters.

    Parameters
    ----------
    model : Model
        With one output.
    inputs : ndarray, (n, n_features + n_parameters)
        Standardised, as the first layer sees them.

    Returns
    -------
    ndarray, (n, n_weights)
        In the order of ``model.theta``: of each layer the weights (out, in) row by row, then the biases.
    """
    layers, values = _layers(model), _forward(model, inputs)
    n = len(inputs)
    parts: list[Floats] = []
    pull = np.ones((n, 1))  # d score / d sums of the layer
    for i in range(len(layers) - 1, -1, -1):
        weights, _ = layers[i]
        parts += [pull, (pull[:, :, np.newaxis] * values[i][:, np.newaxis, :]).reshape(n, -1)]
        if i:
            pull = (pull @ weights) * _ACTIVATIONS[model.network.activations[i - 1]][1](values[i])
    return np.concatenate(parts[::-1], axis=1)


def last_layer(model: Model, inputs: Floats) -> Floats:
    """Return the derivatives of scores by weights and bias of the output alone, (n, units + 1)."""
    hidden = _forward(model, inputs)[-1]
    return np.concatenate([hidden, np.ones((len(inputs), 1))], axis=1)


def _layers(model: Model) -> list[tuple[Floats, Floats]]:
    """Return weights (out, in) and biases (out,) of each layer."""
    theta, layers, place = model.theta.astype(np.float64), [], 0
    for n_in, n_out in zip(model.network.widths[:-1], model.network.widths[1:], strict=True):
        middle, end = place + n_in * n_out, place + n_in * n_out + n_out
        layers.append((theta[place:middle].reshape(n_out, n_in), theta[middle:end]))
        place = end
    return layers


def _forward(model: Model, inputs: Floats) -> list[Floats]:
    """Return the inputs and the values of each hidden layer."""
    values = [np.asarray(inputs, dtype=np.float64)]
    hidden = _layers(model)[:-1]
    for (weights, biases), activation in zip(hidden, model.network.activations, strict=True):
        values.append(np.asarray(_ACTIVATIONS[activation][0](values[-1] @ weights.T + biases)))
    return values

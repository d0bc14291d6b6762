"""Where maximisations start: random weights as the published training draws them, or units placed on data."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from hepstat.learn import Network
from hepstat.learn.network import initial_model
from hepstat.types import Floats

__all__ = ["INITIAL", "initial_parameters", "spread_parameters"]

INITIAL = ("glorot", "uniform")

_SHALLOWEST = 0.3  # slope of a unit, in units of one over the standard deviation of a feature
_STEEPEST = 10.0  # where nothing limits it
_DEEP = 2.0  # weights between hidden layers, at most


def initial_parameters(network: Network, method: str, generator: np.random.Generator) -> Floats:
    """Return weights and biases (P,) as programs draw them before a training.

    "glorot": weights uniform as in Glorot and Bengio, AISTATS 2010, eq. (16), no biases, as in Keras. "uniform":
    weights and biases within 1/sqrt(inputs of the layer), as in torch.
    """
    if method == "glorot":
        return initial_model(network, generator).theta.astype(np.float64)
    parts = []
    for n_in, n_out in pairwise(network.widths):
        edge = 1.0 / math.sqrt(n_in)
        parts += [generator.uniform(-edge, edge, n_in * n_out), generator.uniform(-edge, edge, n_out)]
    return np.concatenate(parts)


def spread_parameters(network: Network, x: Floats, bound: Floats, generator: np.random.Generator) -> Floats:
    """Return weights and biases (P,) whose first units turn at events, with slopes of all sizes up to the bound.

    Parameters
    ----------
    network : Network
    x : ndarray, (n, d)
        Events, as the first layer sees them.
    bound : ndarray, (P,)
        Largest size of each parameter.
    generator : numpy.random.Generator

    Notes
    -----
    From small random weights most descents end in the few broad valleys where all units are nearly straight lines. Here
    unit j begins as a step across a direction, through a random event, as steep as any in [.3, clip], evenly in the
    logarithm. Layers above begin centred on the middle of what they get.
    """
    widths, parts, at = network.widths, [], 0
    for layer, (n_in, n_out) in enumerate(pairwise(widths)):
        largest = min(float(bound[at]), _STEEPEST)
        last = layer == len(widths) - 2
        if layer == 0 and not last:
            directions = generator.normal(size=(n_out, n_in))
            directions /= np.linalg.norm(directions, axis=1, keepdims=True)
            steep = np.exp(generator.uniform(math.log(min(_SHALLOWEST, largest)), math.log(largest), n_out))
            weights = directions * steep[:, np.newaxis]
            turning = x[generator.integers(len(x), size=n_out)]
            biases = -np.einsum("jk,jk->j", weights, turning)
        else:
            edge = min(largest, 0.1 if last else _DEEP)
            weights = generator.uniform(-edge, edge, (n_out, n_in))
            biases = -weights.sum(axis=1) * (_middle(network.activations[layer - 1]) if layer else 0.0)
        parts += [weights.ravel(), biases]
        at += n_out * (n_in + 1)
    theta: Floats = np.clip(np.concatenate(parts), -bound, bound)
    return theta


def _middle(activation: str) -> float:
    """Return the value of an activation at zero."""
    return {"sigmoid": 0.5, "softplus": math.log(2.0)}.get(activation, 0.0)

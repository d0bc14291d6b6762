"""What is explained: one number for each event, from a network or from any function of the features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from hepstat.checks import features
from hepstat.errors import InputError
from hepstat.execution import cut
from hepstat.kernels.philox import STATE_SIZE
from hepstat.kernels.shapley import Coalitions, Lanes, score_coalitions
from hepstat.kernels.tiles import STRIP_BYTES
from hepstat.learn import Model
from hepstat.learn.buffers import aligned
from hepstat.learn.network import score_inputs
from hepstat.types import Floats

__all__ = ["Predictor", "checked_events", "predictor"]

_ROWS = 1 << 16  # events that a function sees at once


class Predictor(ABC):
    """Values of events, from what the first step of a model sees of them."""

    @abstractmethod
    def inputs(self, x: Floats) -> NDArray[Any]:
        """Return what is scored (n, d) of checked features (n, d)."""

    @abstractmethod
    def values(self, inputs: NDArray[Any]) -> Floats:
        """Return the values (n,)."""

    @abstractmethod
    def coalitions(
        self, x: NDArray[Any], background: NDArray[Any], weights: Floats, chosen: Coalitions, keep: bool
    ) -> tuple[Floats, Floats]:
        """Return shares (d, n m) of pairs and, if they are to be kept, means (n, c); see :mod:`kernels.shapley`."""


class _Network(Predictor):
    def __init__(self, model: Model, probability: bool) -> None:
        self._model, self._probability = model, probability

    def inputs(self, x: Floats) -> NDArray[Any]:
        return self._model.inputs(x)

    def values(self, inputs: NDArray[Any]) -> Floats:
        scores = score_inputs(self._model.network, self._model.theta, inputs)[:, 0]
        return np.asarray(expit(scores)) if self._probability else scores

    def coalitions(
        self, x: NDArray[Any], background: NDArray[Any], weights: Floats, chosen: Coalitions, keep: bool
    ) -> tuple[Floats, Floats]:
        network = self._model.network
        length = STRIP_BYTES // x.itemsize
        lanes = Lanes(
            strip=aligned(sum(network.widths) * length, x.dtype),
            own=aligned(x.shape[1] * length, x.dtype),
            other=aligned(x.shape[1] * length, x.dtype),
            masks=aligned(0, x.dtype),
            scores=aligned(length, np.float64),
            state=np.zeros(STATE_SIZE, dtype=np.uint64),
        )
        shares, means = _zeros(x, background, chosen, keep)
        score_coalitions(
            network.net, np.array(self._model.theta), x, background, weights, chosen, self._probability, lanes, shares,
            means,
        )  # fmt: skip
        return shares, means


class _Function(Predictor):
    def __init__(self, function: Callable[[Floats], Any], probability: bool) -> None:
        self._function, self._probability = function, probability

    def inputs(self, x: Floats) -> NDArray[Any]:
        return x

    def values(self, inputs: NDArray[Any]) -> Floats:
        parts = [self._call(inputs[low:high]) for low, high in cut(len(inputs), _ROWS)]
        return np.concatenate(parts)

    def coalitions(
        self, x: NDArray[Any], background: NDArray[Any], weights: Floats, chosen: Coalitions, keep: bool
    ) -> tuple[Floats, Floats]:
        n, m = len(x), len(background)
        own, other = np.repeat(x, m, axis=0), np.tile(background, (n, 1))
        shares, means = _zeros(x, background, chosen, keep)
        for low, high in cut(len(chosen.members), max(1, _ROWS // len(own))):
            mixed = np.where(chosen.members[low:high, np.newaxis], own, other)  # (c, n m, d)
            found = self.values(mixed.reshape(-1, x.shape[1])).reshape(high - low, -1)
            shares += chosen.coefficients[low:high].T @ found
            if keep:
                means[:, low:high] = (found.reshape(high - low, n, m) @ weights).T
        return shares, means

    def _call(self, x: Floats) -> Floats:
        found = np.asarray(self._function(x))
        if found.shape != (len(x),) or found.dtype.kind not in "biuf":
            problem = f"returned {found.dtype} of shape {found.shape} for {len(x)} events"
            raise InputError("model", problem, "Return one number for each event, (n,)")
        values = found.astype(np.float64)
        if not np.isfinite(values).all():
            problem = f"returned {int((~np.isfinite(values)).sum())} values that are not finite"
            raise InputError("model", problem, "Explain a function that is finite on every mixture of features")
        return np.asarray(expit(values)) if self._probability else values


def predictor(model: Any, output: str = "score") -> Predictor:
    """Return the predictor of a model.

    Parameters
    ----------
    model : Model or callable
        A network with one output, or a function of features (n, d) to numbers (n,).
    output : {"score", "probability"}, optional
        The number itself, or the logistic function of it.

    Raises
    ------
    InputError
        For a network with several outputs or with parameters of the hypothesis, anything that cannot be called, or
        another output.
    """
    if output not in ("score", "probability"):
        raise InputError("output", f"is {output!r}", "Choose 'score' or 'probability'")
    if not isinstance(model, Model):
        if not callable(model):
            problem = f"is a {type(model).__name__}, which cannot be called"
            raise InputError("model", problem, "Pass a Model or a function, such as classifier.decision_function")
        return _Function(model, output == "probability")
    network = model.network
    if network.n_parameters:
        problem = f"has {network.n_parameters} parameters of the hypothesis beside its features"
        raise InputError("model", problem, "Pass a function with fixed parameters: lambda x: model(x, parameters)")
    if network.n_outputs != 1:
        problem = f"has {network.n_outputs} outputs"
        raise InputError("model", problem, "Pass a function that returns one of them: lambda x: model(x)[:, 0]")
    return _Network(model, output == "probability")


def checked_events(model: Any, x: Any, name: str = "x") -> Floats:
    """Return events (n, d), or raise :class:`InputError`, also if a network takes another number of features."""
    events = features(x, name)
    if isinstance(model, Model) and events.shape[1] != model.network.n_features:
        problem = f"has {events.shape[1]} features"
        raise InputError(name, problem, f"Pass the {model.network.n_features} features of the network")
    return events


def _zeros(x: NDArray[Any], background: NDArray[Any], chosen: Coalitions, keep: bool) -> tuple[Floats, Floats]:
    n, d = x.shape
    return np.zeros((d, n * len(background))), np.zeros((n if keep else 0, len(chosen.members)))

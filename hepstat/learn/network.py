"""Networks: linear models and multilayer perceptrons, and what they say of events once they have parameters."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hepstat.checks import finite_array, finite_number, whole_number
from hepstat.errors import InputError
from hepstat.execution import cut, map_ordered
from hepstat.kernels.activations import ACTIVATIONS
from hepstat.kernels.batch import UNIT, score_unit
from hepstat.kernels.network import Net, n_parameters
from hepstat.learn.buffers import NO_KEY, new_work
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats

__all__ = ["Model", "Network"]

Weights = NDArray[np.float32] | NDArray[np.float64]
Initial = Literal["glorot", "he"]

MOST_UNITS = 512
_FORMAT = "hepstat model 1"
INITIAL_STREAM, VALIDATION_STREAM = 1 << 62, (1 << 62) + 1  # of a key; epochs and starts are those from 0 on
SPLIT_STREAM = 1 << 62  # of a comparison, with those that follow; trainings are those from 0 on


@dataclass(frozen=True)
class Network:
    """The shape of a linear model or multilayer perceptron; its parameters are a vector of their own.

    Parameters
    ----------
    n_features : int
        Number of features of an event.
    hidden : sequence of int, optional
        Units of each hidden layer, up to 512. Empty for a linear model.
    activation : str or sequence of str, optional
        Of all hidden layers, or of each: "identity", "relu", "leaky relu" (slope .01 below zero), "elu", "tanh",
        "sigmoid" or "softplus"; kept as one for each. The outputs have none: losses take scores.
    n_outputs : int, optional
        Scores of an event, up to 512: one, or one for each class.
    dropout : float or sequence of float, optional
        Share of the units of all hidden layers, or of each, that training leaves out at random, in [0, 1), kept as one
        for each. The others are scaled up meanwhile.
    dtype : {"float32", "float64"}, optional
        Precision of parameters and layers. Losses are computed in float64 either way.
    n_parameters : int, optional
        Number of parameters of a hypothesis, such as a mass, that follow the features (Baldi et al., Eur. Phys. J. C 76
        (2016) 235).

    Raises
    ------
    InputError
        For values outside of these.

    Notes
    -----
    The vector of parameters holds, layer by layer, the weights (out, in) row by row and the biases (out,).
    """

    n_features: int
    hidden: tuple[int, ...] = (32, 32)
    activation: str | tuple[str, ...] = "relu"
    n_outputs: int = 1
    dropout: float | tuple[float, ...] = 0.0
    dtype: Literal["float32", "float64"] = "float32"
    n_parameters: int = 0

    def __post_init__(self) -> None:
        hidden = [_units(units, f"hidden[{i}]") for i, units in enumerate(_sequence(self.hidden, "hidden"))]
        object.__setattr__(self, "hidden", tuple(hidden))
        object.__setattr__(self, "n_outputs", _units(self.n_outputs, "n_outputs"))
        object.__setattr__(self, "n_features", whole_number(self.n_features, "n_features", at_least=1))
        object.__setattr__(self, "n_parameters", whole_number(self.n_parameters, "n_parameters"))
        activations = _for_each(self.activation, self.hidden, "activation")
        for activation in activations:
            if activation not in ACTIVATIONS:
                raise InputError("activation", f"is {activation!r}", f"Pass one of {', '.join(ACTIVATIONS)}")
        dropouts = tuple(finite_number(rate, "dropout") for rate in _for_each(self.dropout, self.hidden, "dropout"))
        for rate in dropouts:
            if not 0 <= rate < 1:
                raise InputError("dropout", f"is {rate:g}", "Pass a share of at least 0 and below 1")
        object.__setattr__(self, "activation", activations)
        object.__setattr__(self, "dropout", dropouts)
        if self.dtype not in ("float32", "float64"):
            raise InputError("dtype", f"is {self.dtype!r}", "Pass 'float32' or 'float64'")

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs, units of each hidden layer, and outputs."""
        return (self.n_features + self.n_parameters, *self.hidden, self.n_outputs)

    @property
    def activations(self) -> tuple[str, ...]:
        """The activation of each hidden layer."""
        return tuple(self.activation)

    @property
    def dropouts(self) -> tuple[float, ...]:
        """The dropout of each hidden layer."""
        return self.dropout if isinstance(self.dropout, tuple) else (self.dropout,)

    @property
    def n_weights(self) -> int:
        """Length of the vector of parameters, weights and biases."""
        return int(n_parameters(np.array(self.widths)))

    @property
    def is_weight(self) -> NDArray[np.bool_]:
        """Which parameters are weights (n_weights,), not biases."""
        kinds = [
            np.repeat([True, False], [n_in * n_out, n_out])
            for n_in, n_out in zip(self.widths[:-1], self.widths[1:], strict=True)
        ]
        return np.concatenate(kinds)

    @property
    def net(self) -> Net:
        """The shape as kernels take it."""
        codes = [ACTIVATIONS.index(activation) for activation in (*self.activations, "identity")]
        return Net(np.array(self.widths), np.array(codes), np.array([*self.dropouts, 0.0]))

    def initial(self, rng: Rng, method: Initial = "glorot") -> Model:
        """Return a model with random weights and zero biases.

        Parameters
        ----------
        rng : int, SeedSequence or Generator
            The seed.
        method : {"glorot", "he"}, optional
            Uniform weights: of Glorot and Bengio, AISTATS 2010, eq. (16), within sqrt(6 / (in + out)); of He et al.,
            ICCV 2015, eq. (10), with their variance 2 / in.

        Returns
        -------
        Model
            Without standardisation.
        """
        return initial_model(self, toy_generator(stream_key(rng), INITIAL_STREAM), method)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


@dataclass(frozen=True, eq=False)
class Model:
    """A network with parameters: a function from events to scores.

    Parameters
    ----------
    network : Network
        The shape.
    theta : array_like, (n_weights,)
        Weights and biases, as described there.
    mean, scale : array_like, (n_features + n_parameters,), optional
        Inputs are standardised to (x - mean) / scale; 0 and 1 by default.

    Raises
    ------
    InputError
        For wrong lengths, numbers that are not finite, or scales that are not above zero.
    """

    network: Network
    theta: Weights
    mean: Floats = None  # type: ignore[assignment]  # zeros, filled in below
    scale: Floats = None  # type: ignore[assignment]  # ones, filled in below

    def __post_init__(self) -> None:
        inputs = self.network.widths[0]
        theta = finite_array(self.theta, "theta").astype(self.network.dtype)
        mean = np.zeros(inputs) if self.mean is None else finite_array(self.mean, "mean")
        scale = np.ones(inputs) if self.scale is None else finite_array(self.scale, "scale")
        for name, value, size in (
            ("theta", theta, self.network.n_weights),
            ("mean", mean, inputs),
            ("scale", scale, inputs),
        ):
            if value.size != size:
                raise InputError(name, f"has {value.size} entries", f"Pass {size}")
        if (scale <= 0).any():
            raise InputError("scale", f"is {scale.min():g} somewhere", "Pass numbers above zero")
        for name, value in (("theta", theta), ("mean", mean), ("scale", scale)):
            value.flags.writeable = False
            object.__setattr__(self, name, value)

    def __call__(self, x: ArrayLike, parameters: ArrayLike | None = None) -> Floats:
        """Return the scores of events; see :meth:`scores`."""
        return self.scores(x, parameters)

    def scores(self, x: ArrayLike, parameters: ArrayLike | None = None, *, workers: int = 1) -> Floats:
        """Return the scores of events.

        Parameters
        ----------
        x : array_like, (n, n_features)
            Features; n may be zero.
        parameters : array_like, (n_parameters,) or (n, n_parameters), optional
            Of the hypothesis, for all events or for each; needed if the network has some.
        workers : int, optional
            Number of threads.

        Returns
        -------
        ndarray of float64
            (n,), or (n, n_outputs) if there are several.

        Raises
        ------
        InputError
            For wrong shapes or features that are not finite.
        """
        whole_number(workers, "workers", at_least=1)
        scores = score_inputs(self.network, self.theta, self.inputs(x, parameters), workers)
        return scores[:, 0] if self.network.n_outputs == 1 else scores

    def inputs(self, x: ArrayLike, parameters: ArrayLike | None = None) -> Weights:
        """Return what the first layer sees (n, n_features + n_parameters): features and parameters, standardised."""
        return self.standardised(joined(self.network, x, parameters))

    def standardised(self, values: Floats) -> Weights:
        """Return checked features and parameters as the first layer sees them.

        Raises
        ------
        InputError
            If they are beyond the precision of the network.
        """
        with np.errstate(over="ignore"):
            inputs = np.ascontiguousarray((values - self.mean) / self.scale, dtype=self.network.dtype)
        if not np.isfinite(inputs).all():
            problem = f"is too large for {self.network.dtype}, up to {np.abs(values).max():.3g}"
            raise InputError("x", problem, "Scale the features first, or train with standardise=True")
        return inputs

    @property
    def slopes(self) -> Floats:
        """Slopes of the scores by the features (n_features,), in the units of the features.

        Raises
        ------
        InputError
            If the network has hidden layers, several outputs or parameters of a hypothesis.
        """
        return np.asarray(self._line()[0][0])

    @property
    def offset(self) -> float:
        """The score where all features are zero; raises as :attr:`slopes`."""
        return float(self._line()[1][0])

    def _line(self) -> tuple[Floats, Floats]:
        if self.network.n_outputs != 1 or self.network.n_parameters:
            problem = f"has {self.network.n_outputs} outputs and {self.network.n_parameters} parameters of a hypothesis"
            raise InputError("network", problem, "Slopes are those of one output by the features alone")
        return linear_map(self)

    def save(self, path: str | Path) -> None:
        """Write the model to one ``.npz`` file of plain arrays; see :meth:`load`."""
        path = Path(path)
        with path.open("wb") as file:
            np.savez(
                file,
                format=np.array(_FORMAT),
                network=np.array(json.dumps(self.network.to_dict())),
                theta=self.theta,
                mean=self.mean,
                scale=self.scale,
            )

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model that :meth:`save` wrote; nothing in the file is run.

        Raises
        ------
        InputError
            If the file is none of a model.
        """
        with Path(path).open("rb") as opened:
            try:
                with np.load(opened, allow_pickle=False) as file:
                    if str(file["format"]) != _FORMAT:
                        raise ValueError(f"format {file['format']}")
                    network = Network(**json.loads(str(file["network"])))
                    return cls(network, file["theta"], file["mean"], file["scale"])
            except (KeyError, TypeError, ValueError, EOFError, OSError, RuntimeError, zipfile.BadZipFile) as error:
                if isinstance(error, InputError):
                    raise
                raise InputError("path", f"{str(path)!r} is no model ({error})", "Pass a file of Model.save") from None


def score_inputs(network: Network, theta: Weights, inputs: Weights, workers: int = 1) -> Floats:
    """Return the scores (n, n_outputs) of what the first layer sees (n, n_features + n_parameters)."""
    scores = np.empty((len(inputs), network.n_outputs))
    order, net, vector = np.arange(len(inputs)), network.net, np.array(theta)

    def fill(chunk: tuple[int, int]) -> None:
        low, high = chunk
        score_unit(net, vector, inputs, order[low:high], new_work(network, high - low, 0), NO_KEY, -1, scores[low:high])

    for _ in map_ordered(fill, cut(len(inputs), UNIT), workers=workers):
        pass
    return scores


def linear_map(model: Model) -> tuple[Floats, Floats]:
    """Return slopes (n_outputs, inputs) and offsets (n_outputs,) of the scores, by inputs that are not standardised.

    Raises
    ------
    InputError
        If the network has hidden layers.
    """
    network = model.network
    if network.hidden:
        problem = f"has hidden layers of {', '.join(map(str, network.hidden))} units"
        raise InputError("network", problem, "Slopes are those of a linear network, with hidden=()")
    weights, biases = np.split(model.theta.astype(np.float64), [-network.n_outputs])
    slopes = weights.reshape(network.n_outputs, -1) / model.scale
    return slopes, biases - slopes @ model.mean


def initial_model(network: Network, generator: np.random.Generator, method: Initial = "glorot") -> Model:
    """Return a model with weights drawn from the generator, layer by layer."""
    if method not in ("glorot", "he"):
        raise InputError("method", f"is {method!r}", "Pass 'glorot' or 'he'")
    parts = []
    for n_in, n_out in zip(network.widths[:-1], network.widths[1:], strict=True):
        edge = math.sqrt(6.0 / n_in if method == "he" else 6.0 / (n_in + n_out))
        parts += [generator.uniform(-edge, edge, n_in * n_out), np.zeros(n_out)]
    return Model(network, np.concatenate(parts).astype(network.dtype))


def joined(network: Network, x: ArrayLike, parameters: ArrayLike | None) -> Floats:
    """Return a new array (n, n_features + n_parameters) of features and, for each event, parameters."""
    values = finite_array(x, "x", ndim=2, allow_empty=True)
    if values.shape[1] != network.n_features:
        raise InputError("x", f"has {values.shape[1]} features", f"Pass shape (n, {network.n_features})")
    if not network.n_parameters:
        if parameters is not None:
            raise InputError("parameters", "are given to a network without parameters", "Leave them out")
        return values.copy() if values is x else np.array(values)
    wanted = f"({network.n_parameters},) or (n, {network.n_parameters})"
    if parameters is None:
        raise InputError("parameters", "are missing", f"Pass parameters of the hypothesis, {wanted}")
    given = finite_array(parameters, "parameters", ndim=min(2, max(1, np.ndim(parameters))), allow_empty=True)
    if given.ndim == 1:
        given = np.tile(given, (len(values), 1))
    if given.shape != (len(values), network.n_parameters):
        raise InputError("parameters", f"have shape {np.shape(parameters)}", f"Pass shape {wanted}")
    return np.concatenate([values, given], axis=1)


def _units(value: Any, name: str) -> int:
    units = whole_number(value, name, at_least=1)
    if units > MOST_UNITS:
        raise InputError(name, f"is {units}", f"Pass at most {MOST_UNITS}")
    return units


def _sequence(value: Any, name: str) -> tuple[int, ...]:
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        raise InputError(name, f"is {value!r}", "Pass a sequence such as (32, 32)")
    return tuple(value)


def _for_each(value: Any, hidden: Sequence[int], name: str) -> tuple[Any, ...]:
    """Return one entry for each hidden layer."""
    if isinstance(value, str) or not hasattr(value, "__iter__"):
        return (value,) * len(hidden)
    entries = tuple(value)
    if len(entries) != len(hidden):
        problem = f"has {len(entries)} entries for {len(hidden)} hidden layers"
        raise InputError(name, problem, "Pass one for each, or one")
    return entries

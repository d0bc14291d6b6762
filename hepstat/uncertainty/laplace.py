"""The Laplace approximation: what a finite training sample leaves open in a trained network, without retraining it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from hepstat.checks import positive_number, whole_number
from hepstat.errors import InputError
from hepstat.execution import cut
from hepstat.learn import Loss, Model, SquaredError
from hepstat.learn.network import joined
from hepstat.learn.prepared import Data, check_data, checked_table
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats
from hepstat.uncertainty.jacobian import jacobian, last_layer

__all__ = ["Laplace", "laplace"]

Layers = Literal["all", "last"]
Covariance = Literal["posterior", "sandwich"]

MOST_WEIGHTS = 2000
_CHUNK = 2048  # events whose Jacobian is in memory at a time
_STEP = 1e-5  # of scores, for the second derivative of a loss


@dataclass(frozen=True, eq=False, repr=False)
class Laplace:
    """A normal distribution of the parameters of a network around those that were trained.

    Attributes
    ----------
    model : Model
        The trained one.
    layers : str
        "all", or "last": then the hidden layers count as known, and their uncertainty is not seen.
    prior_precision : float
        Of every parameter, 1 / variance of a normal prior around 0, for standardised inputs.
    log_evidence : float
        Logarithm of the marginal likelihood, up to a constant that does not depend on the prior.
    n_effective : float
        Parameters that the data rather than the prior determine.
    noise_variance : float
        Variance of the labels around the scores for a squared error; NaN otherwise.
    eigenvalues : ndarray, (p,)
        Of the Gauss-Newton matrix, rising.
    root : ndarray, (p, p)
        A matrix R with R R^T the covariance of the parameters.
    """

    model: Model
    layers: str
    prior_precision: float
    log_evidence: float
    n_effective: float
    noise_variance: float
    eigenvalues: Floats
    root: Floats

    def __repr__(self) -> str:
        """Show the number of parameters and the prior."""
        return (
            f"Laplace({self.eigenvalues.size} parameters of {self.layers} layer(s), {self.n_effective:.1f} of them "
            f"determined by data; prior precision {self.prior_precision:.3g})"
        )

    @property
    def covariance(self) -> Floats:
        """Covariance of the parameters, (p, p)."""
        return np.asarray(self.root @ self.root.T)

    def variance(self, x: ArrayLike, parameters: ArrayLike | None = None) -> Floats:
        """Return the variances of scores (n,), J C J^T with J their derivatives by the parameters.

        Parameters
        ----------
        x, parameters
            As in :meth:`hepstat.learn.Model.scores`.
        """
        inputs = _inputs(self.model, x, parameters)
        parts = [np.square(part @ self.root).sum(axis=1) for part in _jacobians(self.model, inputs, self.layers)]
        return np.concatenate(parts) if parts else np.empty(0)

    def sample_scores(self, x: ArrayLike, n: int, rng: Rng, parameters: ArrayLike | None = None) -> Floats:
        """Return n draws of the scores of all events (n, n_events), of a network that is linear in its parameters."""
        draws = toy_generator(stream_key(rng), 0).standard_normal((whole_number(n, "n", at_least=1), len(self.root)))
        inputs, steps = _inputs(self.model, x, parameters), draws @ self.root.T
        parts = [steps @ part.T for part in _jacobians(self.model, inputs, self.layers)]
        scores = self.model.scores(x, parameters)
        return scores + (np.concatenate(parts, axis=1) if parts else np.empty((n, 0)))


def laplace(
    model: Model,
    data: Data,
    loss: Loss,
    *,
    parameters: ArrayLike | None = None,
    prior_precision: float | Literal["evidence"] = "evidence",
    layers: Layers = "all",
    covariance: Covariance = "posterior",
) -> Laplace:
    """Return the Laplace approximation of a trained network with the generalised Gauss-Newton matrix.

    H = sum_i w_i l''(f_i) J_i^T J_i with J_i the derivatives of the score of event i by the parameters (MacKay, Neural
    Comp. 4 (1992) 448; Daxberger et al., arXiv:2106.14806). The posterior has the covariance 1 / (H + a) with a the
    precision of the prior.

    Parameters
    ----------
    model : Model
        Trained, with one output. Weights should be at a minimum of the loss, else the answer is about another place.
    data, loss, parameters
        What it was trained with (:func:`hepstat.learn.train`). The loss must be a sum over events. Its second
        derivative is a numerical one of its gradient; where it is negative it counts as 0.
    prior_precision : float or "evidence", optional
        Of all weights and biases. By default that with the largest evidence, where a times the squared length of the
        parameters is the number of parameters determined by data (MacKay, eq. 4.8): there is exactly one.
    layers : {"all", "last"}, optional
        All parameters, up to 2000, or those of the output alone.
    covariance : {"posterior", "sandwich"}, optional
        "sandwich" is 1 / (H + a) G 1 / (H + a) with G = sum_i w_i^2 l'(f_i)^2 J_i^T J_i (Huber 1967): the variance
        under repeated samples, also where the loss is no log likelihood (:class:`hepstat.learn.LinearRatio`), weights
        differ much, or the network cannot express the truth.

    Returns
    -------
    Laplace

    Raises
    ------
    InputError
        For several outputs, too many parameters, a loss that is no sum over events, or data that determine nothing.

    Notes
    -----
    A loss that is a mean knows no number of events. Its weights are scaled by sum w / sum w^2, so that they add up to
    the effective number of events. For a squared error, (f - y)^2 is divided by twice the mean of it, the variance of
    the labels. Losses that are sums are taken as minus a log likelihood.
    """
    _check_choices(model, loss, layers, covariance)
    table = checked_table(model.network, data, parameters, "data")
    check_data(model.network, loss, table)
    x, given = table.x[:, : model.network.n_features], table.x[:, model.network.n_features :]
    f = model.scores(x, given if model.network.n_parameters else None)
    w, noise = _weights(loss, f, table.y, table.w)
    inputs = (table.x - model.mean) / model.scale
    curvature, slope = _curvature(loss, f, table.y), loss(f, table.y)[1]
    eigenvalues, vectors = np.linalg.eigh(_gram(model, inputs, layers, w * curvature))
    eigenvalues = np.maximum(eigenvalues, 0.0)
    if not eigenvalues[-1] > 0:
        raise InputError(
            "data", "determine no parameter: the loss has no curvature", "Use a loss such as cross-entropy"
        )
    theta = model.theta[-len(eigenvalues) :].astype(np.float64)
    if prior_precision == "evidence":
        a = _best_precision(eigenvalues, float(theta @ theta))
    else:
        a = positive_number(prior_precision, "prior_precision")
    root = vectors / np.sqrt(eigenvalues + a)
    if covariance == "sandwich":
        spread, directions = np.linalg.eigh(_gram(model, inputs, layers, np.square(w * slope)))
        root = root @ (root.T @ directions) * np.sqrt(np.maximum(spread, 0.0))
    value = loss(f, table.y, w)[0]
    evidence = -value - 0.5 * a * float(theta @ theta) - 0.5 * float(np.log1p(eigenvalues / a).sum())
    return Laplace(
        model=model,
        layers=layers,
        prior_precision=a,
        log_evidence=evidence,
        n_effective=float((eigenvalues / (eigenvalues + a)).sum()),
        noise_variance=noise,
        eigenvalues=eigenvalues,
        root=root,
    )


def _check_choices(model: Model, loss: Loss, layers: str, covariance: str) -> None:
    network = model.network
    if network.n_outputs != 1:
        raise InputError("model", f"has {network.n_outputs} outputs", "Pass one with a single score")
    if not isinstance(loss, Loss) or not loss.additive:
        raise InputError("loss", f"is {loss!r}, no sum over events", "Use a loss such as BinaryCrossEntropy()")
    if layers not in ("all", "last"):
        raise InputError("layers", f"is {layers!r}", "Choose 'all' or 'last'")
    if covariance not in ("posterior", "sandwich"):
        raise InputError("covariance", f"is {covariance!r}", "Choose 'posterior' or 'sandwich'")
    if layers == "all" and network.n_weights > MOST_WEIGHTS:
        problem = f"has {network.n_weights} parameters, too many for a full matrix"
        raise InputError("model", problem, f"Pass layers='last', or a network of at most {MOST_WEIGHTS}")


def _weights(loss: Loss, f: Floats, y: Floats, w: Floats) -> tuple[Floats, float]:
    """Return weights that make the loss minus a log likelihood, and the variance of the labels for a squared error."""
    if loss.reduction == "mean":
        w = w * (w.sum() / (w @ w))
    if not isinstance(loss, SquaredError):
        return w, math.nan
    noise = float(w @ (f - y) ** 2 / w.sum())
    if not noise > 0:
        raise InputError("data", f"leave {noise:g} as variance of the labels around the scores", "Pass more events")
    return w / (2.0 * noise), noise


def _curvature(loss: Loss, f: Floats, y: Floats) -> Floats:
    """Return second derivatives of the loss of each event by its score, at least 0."""
    step = _STEP * np.maximum(1.0, np.abs(f))
    return np.asarray(np.maximum((loss(f + step, y)[1] - loss(f - step, y)[1]) / (2.0 * step), 0.0))


def _gram(model: Model, inputs: Floats, layers: str, factors: Floats) -> Floats:
    """Return sum_i factors_i J_i^T J_i."""
    total: Floats | float = 0.0
    for (low, high), part in zip(cut(len(inputs), _CHUNK), _jacobians(model, inputs, layers), strict=True):
        total = total + part.T @ (factors[low:high, np.newaxis] * part)
    return np.asarray(total)


def _jacobians(model: Model, inputs: Floats, layers: str) -> Iterator[Floats]:
    """Yield the derivatives of the scores of chunks of events by the parameters."""
    derivative = jacobian if layers == "all" else last_layer
    for low, high in cut(len(inputs), _CHUNK):
        yield derivative(model, inputs[low:high])


def _best_precision(eigenvalues: Floats, length: float) -> float:
    """Return the root of sum e / (e + a) = a |theta|^2, whose left side falls and right side rises."""
    if not length > 0:
        raise InputError("model", "has all parameters at 0, so that no finite prior is best", "Pass prior_precision")
    n = eigenvalues.size

    def surplus(log_a: float) -> float:
        a = math.exp(log_a)
        return float((eigenvalues / (eigenvalues + a)).sum()) - a * length

    high = math.log(n / length)  # there the right side is n, which the left never is
    low = high - 1.0
    while surplus(low) < 0:
        low -= 5.0
    return math.exp(brentq(surplus, low, high, xtol=1e-10))


def _inputs(model: Model, x: ArrayLike, parameters: ArrayLike | None) -> Floats:
    return np.asarray((joined(model.network, x, parameters) - model.mean) / model.scale)

"""Losses that are sums over events: for classification, regression and density ratios.

With labels y of 0 and 1, s = 2 y - 1 and p = sigmoid(f) for the score f.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, softmax

from hepstat.checks import finite_array, finite_number, nonnegative_number
from hepstat.errors import InputError
from hepstat.kernels.losses import pointwise
from hepstat.learn.losses.base import ANY_LABEL, Loss, Needs
from hepstat.types import Floats

__all__ = [
    "BinaryCrossEntropy",
    "Brier",
    "CategoricalCrossEntropy",
    "Exponential",
    "Focal",
    "Hinge",
    "LinearRatio",
    "MaximumLikelihoodRatio",
    "SquaredError",
]


@dataclass(frozen=True)
class BinaryCrossEntropy(Loss):
    """log(1 + e^f) - y f: minus the log likelihood of a label with probability p."""

    _kernel = pointwise.binary_cross_entropy

    def probability(self, scores: ArrayLike) -> Floats:
        """Return p."""
        return np.asarray(expit(finite_array(scores, "scores")))


@dataclass(frozen=True)
class CategoricalCrossEntropy(Loss):
    """log(sum_j e^f_j) - f_y with one score per class; y holds the numbers of classes, from 0."""

    labels: ClassVar[Literal["binary", "classes", "real"]] = "classes"

    _kernel = pointwise.categorical_cross_entropy

    def probability(self, scores: ArrayLike) -> Floats:
        """Return the probabilities of the classes (n, k)."""
        return np.asarray(softmax(finite_array(scores, "scores", ndim=2), axis=1))

    def outputs_for(self, n_classes: int) -> int:
        """Return a score for each class."""
        return n_classes

    def _check_outputs(self, n_outputs: int) -> None:
        if n_outputs < 2:
            raise InputError("scores", f"has {n_outputs} outputs for each event", "Pass one per class, shape (n, k)")


@dataclass(frozen=True)
class SquaredError(Loss):
    """(f - y)^2 for real y: f learns the mean of y."""

    labels: ClassVar[Literal["binary", "classes", "real"]] = "real"
    signed_weights: ClassVar[bool] = True
    needs: ClassVar[Needs | None] = Needs(ANY_LABEL, ANY_LABEL, log_odds=False)

    _kernel = pointwise.squared_error

    def probability(self, scores: ArrayLike) -> Floats:
        """Return f cut to [0, 1], which is the probability of signal if the labels were 0 and 1."""
        return np.clip(finite_array(scores, "scores"), 0.0, 1.0)


@dataclass(frozen=True)
class Brier(Loss):
    """(p - y)^2 (Brier 1950): bounded, so that single events pull less than in cross-entropy.

    With weights of any sign too, but then p cannot tell where one of the densities is negative.
    """

    signed_weights: ClassVar[bool] = True

    _kernel = pointwise.brier

    def probability(self, scores: ArrayLike) -> Floats:
        """Return p."""
        return np.asarray(expit(finite_array(scores, "scores")))


@dataclass(frozen=True)
class Hinge(Loss):
    """max(0, 1 - s f), of support vector machines: the score tells the class, not how sure it is."""

    _kernel = pointwise.hinge


@dataclass(frozen=True)
class Focal(Loss):
    """-a (1 - p_y)^gamma log p_y, where p_y is the probability of the label (Lin et al., arXiv:1708.02002).

    Parameters
    ----------
    gamma : float, optional
        How little well-classified events count, at least 0; 0 is cross-entropy.
    alpha : float, optional
        a = alpha for signal and 1 - alpha for background; without it a = 1.

    Raises
    ------
    InputError
        If gamma is negative or alpha not between 0 and 1.
    """

    _kernel = pointwise.focal

    gamma: float = 2.0
    alpha: float | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        nonnegative_number(self.gamma, "gamma")
        if self.alpha is not None and not 0.0 < finite_number(self.alpha, "alpha") < 1.0:
            raise InputError("alpha", f"is {self.alpha:g}", "Pass a number between 0 and 1")

    def constants(self, n_epochs: int = 1) -> Floats:
        """Return gamma and the factors of background and signal, (1, 3)."""
        factors = (1.0, 1.0) if self.alpha is None else (1.0 - self.alpha, self.alpha)
        return np.array([[self.gamma, *factors]])

    def probability(self, scores: ArrayLike) -> Floats:
        """Return the probability at which the mean loss has its minimum at f; p itself is drawn to 1/2.

        With l(t) = sigmoid(t)^gamma log(1 + e^t), P a_1 l'(-f) = (1 - P) a_0 l'(f).
        """
        f = finite_array(scores, "scores")
        _, background, signal = self.constants()[0]
        rise, fall = background * self._slope(f), signal * self._slope(-f)
        return np.asarray(rise / (rise + fall))

    def _slope(self, t: Floats) -> Floats:
        """Return l'(t) over [sigmoid(t) sigmoid(-t)]^(gamma/2), the same at -t, which would underflow."""
        power = np.exp(np.clip(0.5 * self.gamma * t, -300.0, 300.0))
        return np.asarray(power * (self.gamma * expit(-t) * np.logaddexp(0.0, t) + expit(t)))


@dataclass(frozen=True)
class Exponential(Loss):
    """exp(-s f), of boosting; infinite where s f < -709."""

    _kernel = pointwise.exponential

    def probability(self, scores: ArrayLike) -> Floats:
        """Return sigmoid(2 f)."""
        return np.asarray(expit(2.0 * finite_array(scores, "scores")))


@dataclass(frozen=True)
class LinearRatio(Loss):
    """-y f + (1 - y) f^2 / 2: f learns the ratio of the densities of label 1 to label 0, each times its sum of weights.

    Linear in the weights and bounded below for signed ones, as long as those of label 0 add up to a positive
    density everywhere.
    """

    signed_weights: ClassVar[bool] = True
    needs: ClassVar[Needs | None] = Needs(0, 0, log_odds=False)

    _kernel = pointwise.linear_ratio

    def probability(self, scores: ArrayLike) -> Floats:
        """Return r / (1 + r) for the ratio r = max(f, 0)."""
        ratio = np.maximum(finite_array(scores, "scores"), 0.0)
        return ratio / (1.0 + ratio)


@dataclass(frozen=True)
class MaximumLikelihoodRatio(Loss):
    """(1 - y)(e^f - 1) - y f: f learns the logarithm of the ratio that :class:`LinearRatio` learns.

    Minus an extended log likelihood ratio of data (y = 1) and reference (y = 0), hence a sum that is not divided by
    anything (D'Agnolo and Wulzer, arXiv:1806.02350).
    """

    reduction: ClassVar[Literal["mean", "sum"]] = "sum"
    signed_weights: ClassVar[bool] = True
    needs: ClassVar[Needs | None] = Needs(1, 0)

    _kernel = pointwise.maximum_likelihood_ratio

    def probability(self, scores: ArrayLike) -> Floats:
        """Return p."""
        return np.asarray(expit(finite_array(scores, "scores")))

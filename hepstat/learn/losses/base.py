"""What every loss offers: a compiled value and slope by the scores, checks, and what its scores mean."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.kernels.losses.entry import Callback, Entry, evaluate_loss
from hepstat.types import Bools, Floats

__all__ = ["ANY_LABEL", "EVERY_CLASS", "Loss", "Needs", "PythonLoss", "checked_function", "score_array"]

ANY_LABEL, EVERY_CLASS = -1, -2


class Needs(NamedTuple):
    """What a loss of weights of both signs needs, to have a minimum.

    Attributes
    ----------
    low, high : int
        The label whose weights must not add up to less than zero among the events with the lowest scores, and among
        those with the highest; ANY_LABEL for all together. EVERY_CLASS, for a score per class: no class where its
        probability is lowest.
    log_odds : bool
        Whether scores are logarithms of odds, not values.
    never_negative : bool
        Whether the loss is at least zero for weights that are a density in each class.
    """

    low: int
    high: int
    log_odds: bool = True
    never_negative: bool = False


@dataclass(frozen=True)
class Loss(ABC):
    """A number that training makes small, with its slope by the scores f of the model.

    Attributes
    ----------
    additive : bool
        Whether it is a sum over events, so that it may be computed in pieces.
    reduction : {"mean", "sum"}
        Whether training divides it by the sum of training weights.
    labels : {"binary", "classes", "real"}
        What y may hold: 0 and 1, the numbers of classes, or any finite number.
    signed_weights : bool
        Whether weights may be negative.
    needs : Needs or None
        Where weights must not add up to less than zero, or the loss falls without limit; None if it has a minimum
        whatever the weights.
    """

    additive: ClassVar[bool] = True
    reduction: ClassVar[Literal["mean", "sum"]] = "mean"
    labels: ClassVar[Literal["binary", "classes", "real"]] = "binary"
    signed_weights: ClassVar[bool] = False
    needs: ClassVar[Needs | None] = None

    @property
    @abstractmethod
    def _kernel(self) -> Entry | Callback:
        """The kernel (:mod:`hepstat.kernels.losses.entry`); compiled losses have it as an attribute of their class."""

    @property
    def address(self) -> int:
        """Where the kernel starts, compiled when first asked for; a loss in Python has it as long as it lives."""
        return self._kernel.address

    def constants(self, n_epochs: int = 1) -> Floats:
        """Return the numbers that the kernel takes, (1, c), or (n_epochs, c) where they change over epochs."""
        return np.zeros((1, 1))

    @property
    def final_constants(self) -> Floats:
        """The numbers (c,) after all changes over epochs, by which losses of different epochs compare."""
        return np.asarray(self.constants()[-1])

    def __call__(self, scores: ArrayLike, y: ArrayLike, weights: ArrayLike | None = None) -> tuple[float, Floats]:
        """Return the loss, a sum that is not divided by anything, and its gradient.

        Parameters
        ----------
        scores : (n,) or (n, k) array_like
            Outputs of the model, k of them for each event.
        y : (n,) array_like
            Labels.
        weights : (n,) array_like, optional
            By default 1 each; expected events where the loss is a significance.

        Returns
        -------
        value : float
        gradient : ndarray
            d value / d scores, of the shape of the scores.

        Raises
        ------
        InputError
            If scores are not finite or the lengths differ, and as in :meth:`check`.
        """
        f, targets = score_array(scores), finite_array(y, "y")
        w = np.ones(targets.size) if weights is None else finite_array(weights, "weights")
        table = f.reshape(len(f), -1)
        if len(f) != targets.size:
            raise InputError("scores", f"has {len(f)} events, y {targets.size}", "Pass one entry per event")
        self._check(targets, w, table.shape[1])
        value, gradient = evaluate_loss(self.address, table, targets, w, self.final_constants)
        self.raise_error()
        return float(value), gradient.reshape(f.shape)

    def check(self, y: ArrayLike, weights: ArrayLike, n_outputs: int) -> None:
        """Check data before they are trained on.

        Parameters
        ----------
        y, weights : (n,) array_like
        n_outputs : int
            Number of scores for each event.

        Raises
        ------
        InputError
            If entries are missing or not finite, the lengths differ, a label is outside the set, a weight is negative
            where it may not be, or the sum of weights by which training divides is not above zero.
        """
        self._check(finite_array(y, "y"), finite_array(weights, "weights"), n_outputs)

    def _check(self, targets: Floats, w: Floats, n_outputs: int) -> None:
        """Check labels and weights that are finite arrays already; raises as :meth:`check`."""
        self._check_outputs(n_outputs)
        if targets.size != w.size:
            raise InputError("weights", f"has {w.size} entries, y {targets.size}", "Pass one weight per event")
        if self.labels == "binary":
            outside = (targets != 0.0) & (targets != 1.0)
            _refuse_entries(outside, targets, "y", "is neither 0 nor 1", "Pass 1 for signal and 0 for background")
        if self.labels == "classes":
            outside = (targets < 0) | (targets >= n_outputs) | (targets != np.floor(targets))
            _refuse_entries(outside, targets, "y", "is no class", f"Number the classes from 0 to {n_outputs - 1}")
        if not self.signed_weights:
            remedy = (
                "Use LinearRatio, MaximumLikelihoodRatio or Brier, for classes CategoricalBrier; see hepstat.weights"
            )
            problem = f"is negative, which {type(self).__name__} does not take"
            _refuse_entries(w < 0, w, "weights", problem, remedy)
        if self.reduction == "mean" and not w.sum() > 0:
            raise InputError("weights", f"add up to {w.sum():g}", "Pass weights with a sum above zero")

    def outputs_for(self, n_classes: int) -> int:
        """Return how many scores of an event the loss takes where there are so many classes."""
        return 1

    @property
    def tells_probability(self) -> bool:
        """Whether scores trained with this loss have a meaning as probabilities, see :meth:`probability`."""
        return type(self).probability is not Loss.probability

    def probability(self, scores: ArrayLike) -> Floats:
        """Return what the scores say about the label, in the mixture of classes and weights of the training data.

        Parameters
        ----------
        scores : (n,) or (n, k) array_like

        Returns
        -------
        ndarray
            The probability of signal (n,), or those of the classes (n, k).

        Raises
        ------
        InputError
            If scores are not finite, or scores trained with this loss do not tell a probability.
        """
        name = type(self).__name__
        raise InputError("loss", f"is {name}, whose scores are no probabilities", "Use the scores, or another loss")

    def raise_error(self) -> None:  # noqa: B027  # compiled losses raise nothing
        """Raise what a loss written in Python has raised while compiled code ran."""

    def _check_outputs(self, n_outputs: int) -> None:
        if n_outputs != 1:
            problem = f"has {n_outputs} outputs for each event, {type(self).__name__} takes 1"
            raise InputError("scores", problem, "Pass shape (n,), or use CategoricalCrossEntropy")


@dataclass(frozen=True)
class PythonLoss(Loss):
    """A loss whose kernel is Python code, called back from compiled code."""

    def __post_init__(self) -> None:
        """Make the kernel, once for the life of the object: compiled code may be about to call it."""
        object.__setattr__(self, "_callback", Callback(self._evaluate))

    @abstractmethod
    def _evaluate(self, scores: Floats, y: Floats, weights: Floats, gradient: Floats) -> float:
        """Return the value and fill the gradient; scores and gradient (n, k), y and weights (n,)."""

    def raise_error(self) -> None:
        """Raise what the Python function has raised first since the last call of this method, if anything."""
        self._kernel.raise_error()

    @property
    def _kernel(self) -> Callback:
        callback: Callback = vars(self)["_callback"]
        return callback

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self.__post_init__()


def _refuse_entries(bad: Bools, values: Floats, name: str, problem: str, remedy: str) -> None:
    """Raise InputError if an entry is bad, showing the first."""
    if bad.any():
        first = int(np.argmax(bad))
        raise InputError(name, f"{values[first]:g} at index {first} {problem} ({int(bad.sum())} such)", remedy)


def checked_function(function: Callable[..., Any], name: str) -> None:
    """Raise InputError if it cannot be called."""
    if not callable(function):
        raise InputError(name, f"is {function!r}", "Pass a function")


def score_array(scores: ArrayLike) -> Floats:
    """Return scores (n,) or (n, k), checked."""
    try:
        ndim = np.ndim(scores)
    except ValueError:  # ragged
        ndim = 1
    return finite_array(scores, "scores", ndim=2 if ndim == 2 else 1)

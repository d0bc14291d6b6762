"""A loss written by the user as a plain Python function."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import whole_number
from hepstat.errors import InputError
from hepstat.learn.losses.base import PythonLoss, checked_function, score_array
from hepstat.types import Floats

__all__ = ["CustomLoss"]


@dataclass(frozen=True)
class CustomLoss(PythonLoss):
    """A loss from a function of arrays, usable wherever a built-in one is, only slower.

    Parameters
    ----------
    function : callable
        ``function(scores, y, weights)`` with scores (n,), or (n, k) for k > 1 outputs, and y and weights (n,), gives
        (value, gradient), the gradient of the shape of the scores. Nothing else divides or weights them.
    additive : bool, optional
        Whether it is a sum over events, so that it may be called with some of them at a time.
    reduction : {"mean", "sum"}, optional
        Whether training divides by the sum of training weights; by default if it is additive.
    n_outputs : int, optional
        Scores for each event.
    signed_weights : bool, optional
        Whether weights may be negative.
    to_probability : callable, optional
        Makes the probability of signal (n,), or of the classes (n, k), from the scores.

    Raises
    ------
    InputError
        If an option is unknown; when called, if the function does not return a number and a gradient of the right
        shape. What the function raises itself comes out unchanged.
    """

    labels: ClassVar[Literal["binary", "classes", "real"]] = "real"

    function: Callable[[Any, Any, Any], tuple[Any, Any]]
    _: KW_ONLY
    additive: bool = True  # type: ignore[misc]  # fixed by the class in all other losses
    reduction: Literal["mean", "sum"] | None = None  # type: ignore[misc, assignment]
    n_outputs: int = 1
    signed_weights: bool = False  # type: ignore[misc]
    to_probability: Callable[[Any], Any] | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        checked_function(self.function, "function")
        if self.to_probability is not None:
            checked_function(self.to_probability, "to_probability")
        whole_number(self.n_outputs, "n_outputs", at_least=1)
        if self.reduction is None:
            object.__setattr__(self, "reduction", "mean" if self.additive else "sum")
        if self.reduction not in ("mean", "sum"):
            raise InputError("reduction", f"is {self.reduction!r}", "Choose 'mean' or 'sum'")
        super().__post_init__()

    def outputs_for(self, n_classes: int) -> int:
        """Return `n_outputs`."""
        return self.n_outputs

    @property
    def tells_probability(self) -> bool:
        """Whether there is `to_probability`."""
        return self.to_probability is not None

    def probability(self, scores: ArrayLike) -> Floats:
        """Return what `to_probability` makes of the scores."""
        if self.to_probability is None:
            return super().probability(scores)
        return np.asarray(self.to_probability(score_array(scores)), dtype=float)

    def _evaluate(self, scores: Floats, y: Floats, weights: Floats, gradient: Floats) -> float:
        shape = scores.shape if self.n_outputs > 1 else scores.shape[:1]
        # copies, as the function may keep them and their memory is the caller's
        returned = self.function(scores.reshape(shape).copy(), y.copy(), weights.copy())
        name = getattr(self.function, "__name__", "function")
        try:
            value, slope = returned
            value, slope = float(value), np.asarray(slope, dtype=float)
        except (TypeError, ValueError):
            problem = f"returned {type(returned).__name__}, not a value and a gradient"
            raise InputError(name, problem, "Return (value, gradient)") from None
        if slope.shape != shape:
            problem = f"returned a gradient of shape {slope.shape} for scores of shape {shape}"
            raise InputError(name, problem, "Return one slope per score")
        gradient[:] = slope.reshape(gradient.shape)
        return value

    def _check_outputs(self, n_outputs: int) -> None:
        if n_outputs != self.n_outputs:
            problem = f"has {n_outputs} outputs for each event"
            raise InputError("scores", problem, f"Pass {self.n_outputs}, or make the loss with n_outputs={n_outputs}")

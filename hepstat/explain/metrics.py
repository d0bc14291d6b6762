"""How well scores tell labels: one number, larger for better scores, and what each event adds to it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from hepstat.checks import finite_number
from hepstat.errors import InputError
from hepstat.infer import mid_ranks
from hepstat.infer.ranks import variance_of_mean
from hepstat.learn import Loss
from hepstat.types import Floats

__all__ = ["Metric", "new_metric"]


class Metric(ABC):
    """A measure of scores (n,) for labels y (n,) and weights w (n,)."""

    name: str

    def __init__(self, y: Floats, w: Floats) -> None:
        self.y, self.w = y, w

    @abstractmethod
    def __call__(self, scores: Floats) -> tuple[float, Floats]:
        """Return the measure, and what each event adds to it (n,); empty if that cannot be told."""

    def error(self, difference: Floats) -> float:
        """Return the standard error of a difference of measures, from what each event adds to it (n,)."""
        return math.sqrt(sum(variance_of_mean(difference[part], self.w[part]) for part in self._parts()))

    def _parts(self) -> list[Any]:
        """Return what selects the events of each mean that the measure is made of."""
        return [slice(None)]


class Area(Metric):
    """Area under the ROC curve; an event adds the fraction of the other class that it is on the right side of.

    The error is that of DeLong et al., Biometrics 44 (1988) 837, for two scores of the same events.
    """

    name = "auc"

    def __init__(self, y: Floats, w: Floats) -> None:
        super().__init__(_binary(y), w)
        self._signal = y == 1
        for kind, chosen in (("signal", self._signal), ("background", ~self._signal)):
            if not w[chosen].sum() > 0:
                raise InputError("y", f"has no {kind} with a weight above 0", "Pass events of both")

    def __call__(self, scores: Floats) -> tuple[float, Floats]:
        of_signal, of_background = (
            mid_ranks(scores, np.where(chosen, self.w, 0.0)) for chosen in (self._signal, ~self._signal)
        )
        placed = np.where(self._signal, of_background, 1.0 - of_signal)
        return float(np.average(placed[self._signal], weights=self.w[self._signal])), placed

    def _parts(self) -> list[Any]:
        return [self._signal, ~self._signal]


class CrossEntropy(Metric):
    """Minus the mean cross-entropy of scores that are log odds."""

    name = "loss"

    def __init__(self, y: Floats, w: Floats) -> None:
        super().__init__(_binary(y), w)

    def __call__(self, scores: Floats) -> tuple[float, Floats]:
        added = self.y * scores - np.logaddexp(0.0, scores)
        return float(np.average(added, weights=self.w)), added


class OwnMetric(Metric):
    """A function of scores, labels and weights, larger for better scores; or minus any loss of training."""

    def __init__(self, y: Floats, w: Floats, function: Callable[[Floats, Floats, Floats], Any]) -> None:
        super().__init__(y, w)
        self._function = function
        self.name = type(function).__name__ if isinstance(function, Loss) else getattr(function, "__name__", "metric")

    def __call__(self, scores: Floats) -> tuple[float, Floats]:
        found = self._function(scores, self.y, self.w)
        if isinstance(self._function, Loss):
            found = -found[0] / (self.w.sum() if self._function.reduction == "mean" else 1.0)
        return finite_number(found, "metric"), np.empty(0)

    def error(self, difference: Floats) -> float:
        return math.nan


def new_metric(metric: Any, y: Floats, w: Floats) -> Metric:
    """Return the metric that is meant, or raise :class:`InputError`."""
    if metric == "auc":
        return Area(y, w)
    if metric == "loss":
        return CrossEntropy(y, w)
    if not callable(metric):
        problem = f"is {metric!r}"
        raise InputError("metric", problem, "Choose 'auc', 'loss', a Loss, or a function of scores, y and weights")
    return OwnMetric(y, w, metric)


def _binary(y: Floats) -> Floats:
    wrong = (y != 0) & (y != 1)
    if wrong.any():
        raise InputError("y", f"has the label {y[wrong][0]:g}", "Pass 1 for signal and 0 for background")
    return y

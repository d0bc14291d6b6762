"""What is trained on, checked and in the shape that training works with; what a training begins with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number
from hepstat.errors import InputError
from hepstat.learn.data import Sample, part_weights
from hepstat.learn.losses import Loss
from hepstat.learn.network import Model, Network, initial_model, joined
from hepstat.types import Bools, Floats, Ints

__all__ = [
    "Data",
    "Table",
    "at_least_zero",
    "begin",
    "check_data",
    "checked_table",
    "network_of",
    "normalised",
    "standardisation",
]

Data: TypeAlias = Sample | Sequence[ArrayLike]


@dataclass(frozen=True, eq=False)
class Table:
    """Checked arrays: inputs (n, d), labels, weights and strata (n,)."""

    x: Floats
    y: Floats
    w: Floats
    strata: Ints

    def __len__(self) -> int:
        return len(self.y)

    def part(self, keep: Bools, name: str) -> Table:
        """Return some of the events, with weights after :func:`part_weights`; `name` is the argument for its error."""
        w = part_weights(self.w, self.strata, keep, name=name)
        return Table(self.x[keep], self.y[keep], w, self.strata[keep])


def network_of(model: Network | Model) -> Network:
    """Return the network of a model, or a network itself."""
    if isinstance(model, Model):
        return model.network
    if isinstance(model, Network):
        return model
    raise InputError("model", f"is {model!r}", "Pass a Network or a Model")


def checked_table(network: Network, data: Data, parameters: ArrayLike | None, name: str) -> Table:
    """Check what is trained on or validated with.

    Strata are the processes of a sample. Without processes they are the labels, if these take no more values than there
    could be classes: a custom loss or a squared error takes any number, and still needs strata where it is given 0 and
    1. Otherwise labels are targets of a regression, and there is one stratum.
    """
    if isinstance(data, Sample):
        return Table(joined(network, data.x, parameters), data.y, data.w, data.process)
    if not isinstance(data, Sequence) or len(data) not in (2, 3):
        raise InputError(name, f"is {type(data).__name__}", "Pass a Sample, (x, y) or (x, y, weights)")
    x, y = joined(network, data[0], parameters), finite_array(data[1], "y")
    w = finite_array(data[2], "weights") if len(data) == 3 else np.ones(y.size)
    if len(x) != y.size:
        raise InputError("y", f"has {y.size} entries for {len(x)} events", "Pass one label for each event")
    if y.size != w.size:
        raise InputError("weights", f"have {w.size} entries for {y.size} events", "Pass one weight for each event")
    labels, strata = np.unique(y, return_inverse=True)
    most = max(2, network.n_outputs)  # classes of so many scores
    return Table(x, y, w, strata if len(labels) <= most else np.zeros(y.size, dtype=np.int64))


def check_data(network: Network, loss: Loss, table: Table) -> None:
    """Raise :class:`InputError` for what cannot be trained on: data that the loss cannot take, or labels all alike."""
    if not isinstance(loss, Loss):
        raise InputError("loss", f"is {loss!r}", "Pass a loss such as BinaryCrossEntropy()")
    loss.check(table.y, table.w, network.n_outputs)
    labels = table.y[table.w != 0]
    if loss.labels != "real" and (labels == labels[:1]).all():
        shown = f"is {labels[0]:g} for all events with a weight" if labels.size else "has no event with a weight"
        raise InputError("y", shown, "Pass events of at least two classes")


def begin(network: Network, table: Table, generator: np.random.Generator, standardise: bool) -> Model:
    """Return a model with random weights, standardised on the events or not."""
    model = initial_model(network, generator)
    if not standardise:
        return model
    mean, scale = standardisation(table.x)
    return replace(model, mean=mean, scale=scale)


def standardisation(x: Floats, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Return means and standard deviations of features (n, d); 1 as deviation of those that are constant.

    With weights (n,), not all zero, their absolute values count.
    """
    shares = None if weights is None else np.abs(weights)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.average(x, axis=0, weights=shares)
        scale = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=shares))
    if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
        problem = f"is too large to be standardised, up to {np.abs(x).max():.3g}"
        raise InputError("x", problem, "Scale the features first")
    constant = scale <= 1e-12 * np.abs(mean)
    return np.where(constant, x[0], mean), np.where(constant, 1.0, scale)


def normalised(loss: Loss, w: Floats) -> Floats:
    """Return the weights, divided by their sum where the loss is a mean."""
    return w / w.sum() if loss.reduction == "mean" else w


def at_least_zero(value: Any, name: str) -> float:
    """Return `value` as a number that may be infinite, or raise :class:`InputError`."""
    endless = isinstance(value, float | np.floating) and value == math.inf
    number = math.inf if endless else finite_number(value, name)
    if number < 0:
        raise InputError(name, f"is {number:g}", "Pass a number of at least zero")
    return number

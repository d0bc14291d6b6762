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
from hepstat.learn.data import Sample
from hepstat.learn.losses import Loss
from hepstat.learn.network import Model, Network, initial_model, joined
from hepstat.types import Bools, Floats, Ints

__all__ = ["Data", "Table", "at_least_zero", "begin", "check_data", "checked_table", "network_of", "normalised"]

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

    def part(self, keep: Bools) -> Table:
        """Return some of the events; those of each stratum are scaled to the weights of all of it."""
        w, strata = self.w[keep].copy(), self.strata[keep]
        n = int(self.strata.max()) + 1
        whole, part = np.bincount(self.strata, self.w, n), np.bincount(strata, w, n)
        w *= np.divide(whole, part, out=np.ones(n), where=part > 0)[strata]
        return Table(self.x[keep], self.y[keep], w, strata)


def network_of(model: Network | Model) -> Network:
    """Return the network of a model, or a network itself."""
    if isinstance(model, Model):
        return model.network
    if isinstance(model, Network):
        return model
    raise InputError("model", f"is {model!r}", "Pass a Network or a Model")


def checked_table(network: Network, data: Data, parameters: ArrayLike | None, name: str) -> Table:
    """Check what is trained on or validated with."""
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
    return Table(x, y, w, strata if len(labels) <= network.n_outputs + 1 else np.zeros(y.size, dtype=np.int64))


def check_data(network: Network, loss: Loss, table: Table) -> None:
    """Raise :class:`InputError` for what cannot be trained on: data that the loss cannot take, or labels all alike."""
    if not isinstance(loss, Loss):
        raise InputError("loss", f"is {loss!r}", "Pass a loss such as BinaryCrossEntropy()")
    loss.check(table.y, table.w, network.n_outputs)
    if loss.labels != "real" and (table.y == table.y[0]).all():
        raise InputError("y", f"is {table.y[0]:g} for all {len(table)} events", "Pass events of at least two classes")


def begin(network: Network, table: Table, generator: np.random.Generator, standardise: bool) -> Model:
    """Return a model with random weights, standardised on the events or not."""
    model = initial_model(network, generator)
    if not standardise:
        return model
    mean, scale = table.x.mean(axis=0), table.x.std(axis=0)
    return replace(model, mean=mean, scale=np.where(scale > 1e-12 * np.abs(mean), scale, 1.0))


def normalised(loss: Loss, w: Floats) -> Floats:
    """Return the weights, divided by their sum where the loss is a mean."""
    return w / w.sum() if loss.reduction == "mean" else w


def at_least_zero(value: Any, name: str) -> float:
    """Return `value` as a number that may be infinite, or raise :class:`InputError`."""
    number = math.inf if isinstance(value, float) and value == math.inf else finite_number(value, name)
    if number < 0:
        raise InputError(name, f"is {number:g}", "Pass a number of at least zero")
    return number

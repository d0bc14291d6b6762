"""Several networks trained together as one whose layers are block-diagonal, and the loss that they share.

Each term has a network of its own, as published (arXiv:2007.10356), while one compiled training takes the steps of all:
units of different networks are connected by weights whose limit is 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from hepstat.kernels.losses.varied import varied_samples
from hepstat.learn import Loss, Model, Network
from hepstat.types import Floats, Ints

__all__ = ["VariedLoss", "joined", "joint_network", "split"]


@dataclass(frozen=True, eq=False)
class VariedLoss(Loss):
    """Squared loss of a classifier c = 1 / (1 + e^s) between a central sample and each of several varied ones.

    With s = sum_k m_jk d_k for sample j and the scores d, central events cost sum_j (1 - c)^2 and varied ones c^2, so
    that the mean has its minimum where e^s is the ratio of varied to central density, each times its sum of weights
    (Chen, Glioti, Panico and Wulzer, arXiv:2007.10356, eq. (8), with sample and label the other way round). Labels are
    0 for central events and j + 1 for those of sample j.

    Parameters
    ----------
    matrix : ndarray, (J, K)
        The terms m.
    """

    labels: ClassVar[Literal["binary", "classes", "real"]] = "real"
    signed_weights: ClassVar[bool] = True
    _kernel = varied_samples

    matrix: Floats

    def constants(self, n_epochs: int = 1) -> Floats:
        """Return the number of samples and the terms, (1, 1 + J K)."""
        return np.concatenate([[len(self.matrix)], self.matrix.ravel()])[None]

    def outputs_for(self, n_classes: int) -> int:
        """Return the number of terms."""
        return int(self.matrix.shape[1])

    def _check_outputs(self, n_outputs: int) -> None:
        assert n_outputs == self.matrix.shape[1]


def joint_network(network: Network, k: int) -> Network:
    """Return a network of k outputs with room for k networks side by side."""
    return replace(network, hidden=tuple(k * units for units in network.hidden), n_outputs=k)


def joined(models: list[Model]) -> tuple[Model, Floats]:
    """Return models of one network and standardisation as one, and the limits of its parameters (n_weights,)."""
    first, k = models[0], len(models)
    network = joint_network(first.network, k)
    theta, limits = np.zeros(network.n_weights), np.zeros(network.n_weights)
    for place, model in zip(_places(first.network, k), models, strict=True):
        theta[place], limits[place] = model.theta, np.inf
    return Model(network, theta, first.mean, first.scale), limits


def split(model: Model, network: Network, k: int) -> list[Model]:
    """Return the k models of a network that :func:`joined` has joined."""
    return [Model(network, model.theta[place], model.mean, model.scale) for place in _places(network, k)]


def _places(network: Network, k: int) -> list[Ints]:
    """Return where the parameters (n_weights,) of each of k networks are in those of the joint one."""
    places: list[list[Ints]] = [[] for _ in range(k)]
    begin = 0
    for layer, (n_in, n_out) in enumerate(zip(network.widths[:-1], network.widths[1:], strict=True)):
        inputs = n_in if layer == 0 else k * n_in  # the features are everybody's
        for i, place in enumerate(places):
            rows, columns = i * n_out + np.arange(n_out), (0 if layer == 0 else i * n_in) + np.arange(n_in)
            place.append(begin + (rows[:, None] * inputs + columns).ravel())
            place.append(begin + k * n_out * inputs + rows)
        begin += k * n_out * (inputs + 1)
    return [np.concatenate(place) for place in places]

"""The gradient of a loss over many events, whose units are shared out to threads."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hepstat.execution import cut, map_ordered
from hepstat.kernels.batch import (
    CHUNK,
    STEP,
    UNIT,
    Events,
    Work,
    batch_gradient,
    evaluate,
    pull_unit,
    score_unit,
    sum_unit,
    take,
)
from hepstat.learn.buffers import new_work
from hepstat.learn.losses import Loss
from hepstat.learn.network import Network
from hepstat.types import Floats, Ints

__all__ = ["BatchGradient"]

Vector = NDArray[Any]


class BatchGradient:
    """Value and gradient of a loss over batches of events; the same bits for any number of threads.

    Parameters
    ----------
    network : Network
        The shape.
    events : Events
        As kernels take them.
    loss : Loss
        What is made small.
    largest : int
        Events of the largest batch, or of the validation sample if it is larger.
    workers : int, optional
        Number of threads; only batches above `UNIT` (16,384) events are divided.
    """

    def __init__(self, network: Network, events: Events, loss: Loss, largest: int, workers: int = 1) -> None:
        self._net = network.net
        self._events = events
        self._loss = loss
        at_once = min(largest, CHUNK) if loss.additive else largest
        self.work = new_work(network, largest, max(at_once, 1))
        self._workers = workers if largest > UNIT else 1
        self._works: SimpleQueue[Work] = SimpleQueue()
        for _ in range(self._workers if self._workers > 1 else 0):
            self._works.put(new_work(network, UNIT, min(largest, CHUNK)))

    def __call__(
        self, theta: Vector, order: Ints, factors: Floats, constants: Floats, key: Vector, step: int, gradient: Vector
    ) -> tuple[float, float]:
        """Fill the gradient; return the value and the largest absolute score (:func:`kernels.batch.batch_gradient`)."""
        address = self._loss.address
        if self._workers == 1 or len(order) <= UNIT:
            return batch_gradient(
                self._net, theta, self._events, order, factors, address, constants, self._loss.additive, self.work, key,
                step, gradient,
            )  # fmt: skip
        stream = step * STEP
        if self._loss.additive:
            return self._sum(theta, order, factors, constants, key, stream, gradient)
        return self._set(theta, order, factors, constants, key, stream, gradient)

    def _sum(
        self, theta: Vector, order: Ints, factors: Floats, constants: Floats, key: Vector, stream: int, gradient: Vector
    ) -> tuple[float, float]:
        """Do units, each with value, gradient and the largest score, and add them in order."""

        def unit(work: Work, low: int, high: int) -> tuple[float, float, Vector]:
            part = np.zeros_like(gradient)
            value, most = sum_unit(
                self._net, theta, self._events, order[low:high], factors[low:high], self._loss.address, constants, work,
                key, stream + low // CHUNK, part,
            )  # fmt: skip
            return value, most, part

        gradient[:] = 0.0
        value, most = 0.0, 0.0
        for more, size, part in self._units(unit, len(order)):
            value, most = value + more, max(most, size)
            gradient += part
        return value, most

    def _set(
        self, theta: Vector, order: Ints, factors: Floats, constants: Floats, key: Vector, stream: int, gradient: Vector
    ) -> tuple[float, float]:
        """Do scores of units, the loss once, and the gradients of units."""
        n, whole = len(order), self.work

        def scores(work: Work, low: int, high: int) -> float:
            return score_unit(
                self._net,
                theta,
                self._events.x,
                order[low:high],
                work,
                key,
                stream + low // CHUNK,
                whole.scores[low:high],
            )

        def pull(work: Work, low: int, high: int) -> Vector:
            part = np.zeros_like(gradient)
            pull_unit(
                self._net, theta, self._events.x, order[low:high], work, key, stream + low // CHUNK,
                whole.slopes[low:high], part,
            )  # fmt: skip
            return part

        most = max(self._units(scores, n))
        take(self._events, order, factors, whole.targets, whole.weights)
        value = evaluate(self._loss.address, constants, n, whole)
        gradient[:] = 0.0
        for part in self._units(pull, n):
            gradient += part
        return value, most

    def _units(self, function: Any, n: int) -> Any:
        """Yield what the function returns for each unit of events, in order; every call has a workspace of its own."""

        def borrow(unit: tuple[int, int]) -> Any:
            work = self._works.get()
            try:
                return function(work, *unit)
            finally:
                self._works.put(work)

        return map_ordered(borrow, cut(n, UNIT), workers=self._workers)

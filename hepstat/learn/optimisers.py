"""Optimisers, learning rates that change in the course of a training, and limits of gradients."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import ClassVar, TypeAlias

import numpy as np

from hepstat.checks import finite_array, finite_number, nonnegative_number, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.kernels.optimise import RULES
from hepstat.types import Floats, Ints

__all__ = [
    "OPTIMISERS",
    "SGD",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Optimiser",
    "RAdam",
    "RMSprop",
    "Schedule",
    "Step",
    "Warmup",
]

Schedule: TypeAlias = Callable[[Ints, int, int], Floats]
"""Factors of the learning rate at the given steps, counted from 1, of n_steps with steps_per_epoch to an epoch."""


@dataclass(frozen=True)
class Constant:
    """The learning rate stays as it is."""

    def __call__(self, step: Ints, n_steps: int, steps_per_epoch: int) -> Floats:
        """Return the factors at these steps."""
        return np.ones(np.shape(step))


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 down to `final`: Loshchilov and Hutter, ICLR 2017 (arXiv:1608.03983), eq. (5), no restart.

    Parameters
    ----------
    final : float, optional
        Factor that the step after the last would have, between 0 and 1.

    Raises
    ------
    InputError
        If it is not.
    """

    final: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= finite_number(self.final, "final") <= 1.0:
            raise InputError("final", f"is {self.final:g}", "Pass a factor between 0 and 1")

    def __call__(self, step: Ints, n_steps: int, steps_per_epoch: int) -> Floats:
        """Return the factors at these steps."""
        done = (np.asarray(step) - 1) / n_steps
        return np.asarray(self.final + (1.0 - self.final) * 0.5 * (1.0 + np.cos(math.pi * done)))


@dataclass(frozen=True)
class Step:
    """The learning rate is multiplied by `factor` after every so many epochs.

    Parameters
    ----------
    every_epochs : int
        At least 1.
    factor : float, optional
        Above 0.

    Raises
    ------
    InputError
        If a number is out of range.
    """

    every_epochs: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        whole_number(self.every_epochs, "every_epochs", at_least=1)
        positive_number(self.factor, "factor")

    def __call__(self, step: Ints, n_steps: int, steps_per_epoch: int) -> Floats:
        """Return the factors at these steps."""
        return np.asarray(float(self.factor) ** ((np.asarray(step) - 1) // (self.every_epochs * steps_per_epoch)))


@dataclass(frozen=True)
class Warmup:
    """The learning rate rises in equal steps to its full value; another schedule follows.

    Parameters
    ----------
    n_steps : int, optional
        Steps of the rise; the last one has the full rate.
    epochs : float, optional
        Their number in epochs instead, rounded to whole steps.
    then : callable, optional
        Schedule of the steps that are left, which it counts from 1.

    Raises
    ------
    InputError
        If not exactly one of the lengths is given, or it is not positive.
    """

    n_steps: int | None = None
    epochs: float | None = None
    then: Schedule = Constant()

    def __post_init__(self) -> None:
        if (self.n_steps is None) == (self.epochs is None):
            raise InputError("n_steps", f"is {self.n_steps} and epochs is {self.epochs}", "Pass one of the two")
        if self.n_steps is not None:
            whole_number(self.n_steps, "n_steps", at_least=1)
        if self.epochs is not None:
            positive_number(self.epochs, "epochs")

    def __call__(self, step: Ints, n_steps: int, steps_per_epoch: int) -> Floats:
        """Return the factors at these steps."""
        rise = self.n_steps if self.n_steps is not None else max(1, round((self.epochs or 0.0) * steps_per_epoch))
        step = np.asarray(step)
        factors = step / rise
        later = step > rise
        if later.any():
            factors[later] = self.then(step[later] - rise, n_steps - rise, steps_per_epoch)
        return np.asarray(factors)


@dataclass(frozen=True, kw_only=True)
class Optimiser(ABC):
    """What all optimisers have; use one of those below.

    The rules are those of ``torch.optim``, and so are the defaults unless it is said otherwise. Weight decay works on
    biases too.

    Parameters
    ----------
    rate : float, optional
        Learning rate, above 0.
    weight_decay : float, optional
        At least 0: this times the parameters is added to the gradient.
    schedule : callable, optional
        Factors of the learning rate: :class:`Constant`, :class:`Cosine`, :class:`Step`, :class:`Warmup`, or a function
        of the numbers of the steps, counted from 1, their total and the steps of an epoch.
    max_norm : float, optional
        The gradient is scaled down to this norm where it is longer.
    max_value : float, optional
        Its entries are then clipped to plus or minus this.

    Raises
    ------
    InputError
        If a number is out of range, or the schedule cannot be called.
    """

    _rule: ClassVar[str]

    rate: float = 1e-3
    weight_decay: float = 0.0
    schedule: Schedule = Constant()
    max_norm: float = math.inf
    max_value: float = math.inf

    def __post_init__(self) -> None:
        positive_number(self.rate, "rate")
        nonnegative_number(self.weight_decay, "weight_decay")
        if not callable(self.schedule):
            raise InputError("schedule", f"is {self.schedule!r}", "Pass a schedule such as Constant()")
        for name in ("max_norm", "max_value"):
            if getattr(self, name) != math.inf:
                positive_number(getattr(self, name), name)

    @property
    def code(self) -> int:
        """Place of the update rule in `hepstat.kernels.optimise.RULES`."""
        return RULES.index(self._rule)

    @property
    def hyper(self) -> Floats:
        """Numbers of the update rule, (4,): decay, memories of the gradient and of its square, eps."""
        return np.array([self.weight_decay, *self._memories()], dtype=float)

    @abstractmethod
    def _memories(self) -> tuple[float, float, float]:
        """Return how much is kept of the gradient and of its square from step to step, and eps."""

    def rates(self, n_steps: int, steps_per_epoch: int) -> Floats:
        """Return the learning rates of all steps, (n_steps,).

        Parameters
        ----------
        n_steps, steps_per_epoch : int
            At least 1.

        Raises
        ------
        InputError
            If a number is out of range, or the schedule's factors are negative, not finite, or not one for each step.
        """
        n_steps = whole_number(n_steps, "n_steps", at_least=1)
        steps_per_epoch = whole_number(steps_per_epoch, "steps_per_epoch", at_least=1)
        factors = finite_array(self.schedule(np.arange(1, n_steps + 1), n_steps, steps_per_epoch), "schedule")
        if factors.shape != (n_steps,) or factors.min() < 0:
            raise InputError(
                "schedule",
                f"gives {factors.size} factors for {n_steps} steps, the smallest {factors.min():g}",
                "It has to give one factor of at least 0 for each step",
            )
        return np.asarray(self.rate * factors)


@dataclass(frozen=True)
class SGD(Optimiser):
    """Gradient descent, with momentum if wanted: v = mu v + g, theta -= rate v.

    Parameters
    ----------
    rate : float, optional
        Learning rate.
    momentum : float, optional
        mu, from 0 to below 1.
    nesterov : bool, optional
        Look ahead, theta -= rate (g + mu v): Sutskever et al., ICML 2013. Needs momentum.
    weight_decay, schedule, max_norm, max_value
        See :class:`Optimiser`.
    """

    _rule: ClassVar[str] = "sgd"

    rate: float = 1e-3
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _memory(self.momentum, "momentum")
        if self.nesterov and self.momentum == 0:
            raise InputError("nesterov", "is True without momentum", "Pass momentum > 0")

    @property
    def code(self) -> int:
        """Place of the update rule in `hepstat.kernels.optimise.RULES`."""
        return RULES.index("nesterov" if self.nesterov else self._rule)

    def _memories(self) -> tuple[float, float, float]:
        return self.momentum, 0.0, 0.0


@dataclass(frozen=True)
class Adam(Optimiser):
    """Adam: Kingma and Ba, ICLR 2015 (arXiv:1412.6980), algorithm 1.

    Parameters
    ----------
    rate : float, optional
        Learning rate.
    beta1, beta2 : float, optional
        How much the running means of the gradient and of its square keep from step to step, from 0 to below 1.
    eps : float, optional
        Added to the root of the latter, above 0.
    weight_decay, schedule, max_norm, max_value
        See :class:`Optimiser`.
    """

    _rule: ClassVar[str] = "adam"

    rate: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        _memory(self.beta1, "beta1")
        _memory(self.beta2, "beta2")
        positive_number(self.eps, "eps")

    def _memories(self) -> tuple[float, float, float]:
        return self.beta1, self.beta2, self.eps


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam whose decay shrinks the parameters: Loshchilov and Hutter, ICLR 2019 (arXiv:1711.05101), algorithm 2.

    They are multiplied by 1 - rate x weight_decay before the step. The arguments are those of :class:`Adam`.
    """

    _rule: ClassVar[str] = "adamw"

    weight_decay: float = field(default=1e-2, kw_only=True)


@dataclass(frozen=True)
class RAdam(Adam):
    """Adam with a rectified adaptive rate: Liu et al., ICLR 2020 (arXiv:1908.03265), algorithm 2.

    Its first steps, while the average of squares is no longer than 5, are those of momentum alone. The arguments are
    those of :class:`Adam`.
    """

    _rule: ClassVar[str] = "radam"


@dataclass(frozen=True)
class RMSprop(Optimiser):
    """The gradient over the root of a running mean of its square (Hinton 2012), with momentum if wanted.

    Parameters
    ----------
    rate : float, optional
        Learning rate; the default of ``torch.optim`` is ten times this.
    alpha : float, optional
        How much the running mean keeps from step to step, from 0 to below 1.
    eps : float, optional
        Added to the root, above 0.
    momentum : float, optional
        From 0 to below 1.
    weight_decay, schedule, max_norm, max_value
        See :class:`Optimiser`.
    """

    _rule: ClassVar[str] = "rmsprop"

    rate: float = 1e-3
    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _memory(self.alpha, "alpha")
        _memory(self.momentum, "momentum")
        positive_number(self.eps, "eps")

    def _memories(self) -> tuple[float, float, float]:
        return self.momentum, self.alpha, self.eps


OPTIMISERS: Mapping[str, Callable[..., Optimiser]] = MappingProxyType(
    {
        "adam": Adam,
        "adamw": AdamW,
        "radam": RAdam,
        "rmsprop": RMSprop,
        "sgd": partial(SGD, momentum=0.9, nesterov=True),
    }
)
"""Optimisers by name, to be called with what is not default; "sgd" has a Nesterov momentum of 0.9."""


def _memory(value: float, name: str) -> None:
    if not 0 <= finite_number(value, name) < 1:
        raise InputError(name, f"is {value:g}", "Pass a number from 0 to below 1")

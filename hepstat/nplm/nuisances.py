"""Nuisances nu, and what an auxiliary measurement A says about them: log A(nu) - log A(0), as kernels take it.

The reference has nu = 0. A toy at a true nu throws an auxiliary measurement around that nu.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicHermiteSpline, CubicSpline

from hepstat.checks import finite_array, finite_number, interval, positive_number
from hepstat.digest import code_digest
from hepstat.errors import InputError
from hepstat.kernels.nplm.nuisances import GAUSSIAN, TABLE
from hepstat.types import Floats

__all__ = ["Constraint", "Gaussian", "LogNormal", "Nuisance", "UserNuisance"]

_CELLS = tuple(2**k for k in range(4, 14))  # of a table, so that a coarse one is contained in a finer one
_PRECISION = 1e-8


class Constraint(NamedTuple):
    """The logarithm of the likelihood of an auxiliary measurement, log A(nu) - log A(0).

    Attributes
    ----------
    kind : int
        0 for -[(nu - a)^2 - a^2] / (2 sigma^2), 1 for a table.
    measured : float
        a, in units of nu; for a table the nu at which its cubic is largest.
    sigma : float
        Standard deviation; for a table the step scale of fits alone.
    low, high : float
        Where nu may be.
    table : ndarray, (m, 2)
        Values and slopes on an even grid from low to high, between which a cubic goes; (0, 2) for kind 0.
    """

    kind: int
    measured: float
    sigma: float
    low: float
    high: float
    table: Floats

    def log_ratio(self, nu: ArrayLike) -> Floats:
        """Return log A(nu) - log A(0), of the shape of `nu`; -inf outside the limits."""
        at = np.asarray(nu, dtype=np.float64)
        if self.kind == GAUSSIAN:
            value = -at * (at - 2.0 * self.measured) / (2.0 * self.sigma**2)
        else:
            value = self._cubic()(at)
        return np.where((at >= self.low) & (at <= self.high), value, -np.inf)

    def _cubic(self) -> Any:
        return CubicHermiteSpline(np.linspace(self.low, self.high, len(self.table)), *self.table.T)


class Nuisance(ABC):
    """What nuisances have in common.

    Attributes
    ----------
    name : str
    sigma : float
        Uncertainty of nu.
    low, high : float
        Where nu may be, around 0.
    central : float
        The auxiliary measurement if all is as in the reference.
    """

    name: str
    sigma: float
    low: float
    high: float
    central: float

    @abstractmethod
    def constraint(self, auxiliary: float) -> Constraint:
        """Return what an auxiliary measurement says about nu.

        Raises
        ------
        InputError
            For a measurement that there cannot be.
        """

    @abstractmethod
    def throw(self, nu: float, generator: np.random.Generator) -> float:
        """Return an auxiliary measurement at this true nu."""

    def pull(self, nu: float, auxiliary: float) -> float:
        """Return how many standard deviations nu is above what the auxiliary measurement has found."""
        constraint = self.constraint(auxiliary)
        return (nu - constraint.measured) / constraint.sigma

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""


@dataclass(frozen=True)
class Gaussian(Nuisance):
    """A nuisance with an auxiliary measurement a of it, normal around nu.

    Parameters
    ----------
    name : str
    sigma : float
        Standard deviation of the measurement.
    low, high : float, optional
        Where nu may be, around 0; anywhere by default.

    Raises
    ------
    InputError
        If something is out of range.
    """

    name: str
    sigma: float
    low: float = -math.inf
    high: float = math.inf
    central: float = field(default=0.0, init=False)

    def __post_init__(self) -> None:
        checked_name(self.name)
        object.__setattr__(self, "sigma", positive_number(self.sigma, f"sigma of {self.name}"))
        _check_limits(self)

    def constraint(self, auxiliary: float) -> Constraint:
        """Return what a measurement says about nu; raises as :meth:`Nuisance.constraint`."""
        measured = finite_number(auxiliary, f"auxiliary measurement of {self.name}")
        return Constraint(GAUSSIAN, measured, self.sigma, self.low, self.high, np.empty((0, 2)))

    def throw(self, nu: float, generator: np.random.Generator) -> float:
        """Return an auxiliary measurement at this true nu."""
        return float(nu + self.sigma * generator.standard_normal())

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {"kind": "Gaussian", "name": self.name, "sigma": self.sigma, "limits": _shown_limits(self)}


@dataclass(frozen=True)
class LogNormal(Nuisance):
    """A factor theta = e^nu above zero with an auxiliary measurement m of it, log-normal around theta.

    Parameters
    ----------
    name : str
    kappa : float
        Above 1: log m is normal around nu with the standard deviation `sigma` = log kappa.
    low, high : float, optional
        Where nu = log theta may be, around 0; anywhere by default.

    Raises
    ------
    InputError
        If something is out of range.
    """

    name: str
    kappa: float
    low: float = -math.inf
    high: float = math.inf
    sigma: float = field(default=0.0, init=False)
    central: float = field(default=1.0, init=False)

    def __post_init__(self) -> None:
        checked_name(self.name)
        kappa = finite_number(self.kappa, f"kappa of {self.name}")
        if not kappa > 1:
            raise InputError(f"kappa of {self.name}", f"is {kappa:g}", "Pass a factor above 1, as 1.1 for 10%")
        object.__setattr__(self, "kappa", kappa)
        object.__setattr__(self, "sigma", math.log(kappa))
        _check_limits(self)

    def constraint(self, auxiliary: float) -> Constraint:
        """Return what a measurement says about nu; raises as :meth:`Nuisance.constraint`, also for m <= 0."""
        measured = math.log(positive_number(auxiliary, f"auxiliary measurement of {self.name}"))
        return Constraint(GAUSSIAN, measured, self.sigma, self.low, self.high, np.empty((0, 2)))

    def throw(self, nu: float, generator: np.random.Generator) -> float:
        """Return an auxiliary measurement at this true nu."""
        return math.exp(nu + self.sigma * generator.standard_normal())

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {"kind": "LogNormal", "name": self.name, "kappa": self.kappa, "limits": _shown_limits(self)}


@dataclass(frozen=True)
class UserNuisance(Nuisance):
    """A nuisance with any likelihood of its auxiliary measurement.

    Parameters
    ----------
    name : str
    sigma : float
        About the uncertainty of nu: in its units steps are taken.
    log_likelihood : callable
        ``log_likelihood(nu, a)`` with nu (n,) gives the logarithms (n,), up to a constant that may depend on a. Smooth:
        cubics between points of an even grid have to follow it to 1e-8 of its largest value (or of 1).
    sample : callable
        ``sample(nu, generator)`` gives an auxiliary measurement, a number.
    low, high : float
        Where nu may be, around 0; the likelihood is above zero there.
    central : float, optional
        The auxiliary measurement if all is as in the reference.

    Raises
    ------
    InputError
        If something is out of range, or the likelihood of the central measurement cannot be used.
    """

    name: str
    sigma: float
    log_likelihood: Callable[[Any, float], Any]
    sample: Callable[[float, np.random.Generator], Any]
    low: float
    high: float
    central: float = 0.0

    def __post_init__(self) -> None:
        checked_name(self.name)
        object.__setattr__(self, "sigma", positive_number(self.sigma, f"sigma of {self.name}"))
        interval((self.low, self.high), f"limits of {self.name}")
        _check_limits(self)
        for name in ("log_likelihood", "sample"):
            if not callable(getattr(self, name)):
                raise InputError(f"{name} of {self.name}", f"is {getattr(self, name)!r}", "Pass a function")
        self.constraint(self.central)

    def constraint(self, auxiliary: float) -> Constraint:
        """Return what a measurement says about nu.

        The grid is doubled until the cubic through its points follows the likelihood halfway between them, too.

        Raises
        ------
        InputError
            If logarithms are not finite, or no table follows them.
        """
        a = finite_number(auxiliary, f"auxiliary measurement of {self.name}")
        zero = self._values(np.zeros(1), a)[0]
        grid = np.linspace(self.low, self.high, _CELLS[0] + 1)
        values = self._values(grid, a) - zero
        for _ in _CELLS:
            cubic = CubicSpline(grid, values)
            half = 0.5 * (grid[:-1] + grid[1:])
            truth = self._values(half, a) - zero
            size = max(1.0, float(np.abs(truth).max()))
            error = float(np.abs(cubic(half) - truth).max()) / size
            if error <= _PRECISION:
                table = np.stack([values, cubic(grid, 1)], axis=1)
                return Constraint(TABLE, _highest(cubic), self.sigma, self.low, self.high, table)
            finer = np.empty(2 * grid.size - 1)
            finer[::2], finer[1::2] = values, truth
            grid, values = np.linspace(self.low, self.high, finer.size), finer
        raise InputError(
            f"log_likelihood of {self.name}",
            f"is off by {error:.1e} of its size between {_CELLS[-1] + 1} points at the measurement {a:g}",
            "Pass a smooth function, or narrower limits",
        )

    def throw(self, nu: float, generator: np.random.Generator) -> float:
        """Return an auxiliary measurement at this true nu; raises InputError if `sample` gives no number."""
        return finite_number(self.sample(nu, generator), f"sample of {self.name}")

    def pull(self, nu: float, auxiliary: float) -> float:
        """Return the signed root of twice what log A loses from its largest value to nu."""
        constraint = self.constraint(auxiliary)
        loss = float(constraint.log_ratio(constraint.measured) - constraint.log_ratio(nu))
        return math.copysign(math.sqrt(2.0 * max(loss, 0.0)), nu - constraint.measured)

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types, with digests of the code of both functions."""
        code = [code_digest(self.log_likelihood), code_digest(self.sample)]
        return {
            "kind": "UserNuisance",
            "name": self.name,
            "sigma": self.sigma,
            "limits": _shown_limits(self),
            "central": self.central,
            "code": code,
        }

    def _values(self, nu: Floats, a: float) -> Floats:
        """Return the logarithms (n,), checked."""
        name = f"log_likelihood of {self.name}"
        values = finite_array(np.array(self.log_likelihood(nu.copy(), a), dtype=np.float64), f"{name} at {a:g}")
        if values.shape != nu.shape:
            raise InputError(name, f"gives shape {values.shape} for {nu.size} values", "Return one logarithm for each")
        return values


def checked_name(name: Any) -> str:
    """Return the name of a nuisance, or raise :class:`InputError`."""
    if not isinstance(name, str) or not name.isidentifier():
        raise InputError("name", f"is {name!r}", "Pass a text such as 'scale', of letters, digits and _")
    return name


def _highest(cubic: CubicSpline) -> float:
    """Return where a cubic is largest: at an end, or where its slope is 0."""
    level = cubic.derivative().roots(extrapolate=False)  # NaN follows the beginning of a flat piece
    at = np.concatenate([cubic.x[[0, -1]], level[np.isfinite(level)]])
    return float(at[np.argmax(cubic(at))])


def _check_limits(nuisance: Nuisance) -> None:
    """Raise InputError unless 0 lies between the limits."""
    low, high = nuisance.low, nuisance.high
    try:
        around = low < 0.0 < high
    except TypeError:
        around = False
    if not around:
        problem = f"are ({low}, {high})"
        raise InputError(f"limits of {nuisance.name}", problem, "Pass numbers around 0, where the reference is")


def _shown_limits(nuisance: Nuisance) -> list[float | str]:
    """Return the limits in JSON types."""
    return [limit if math.isfinite(limit) else str(limit) for limit in (nuisance.low, nuisance.high)]

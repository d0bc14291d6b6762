"""Nuisances and their effects: what changes an expectation, and how it is known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import CubicSpline

from hepstat.checks import finite_array, finite_number, positive_number, rising_edges
from hepstat.errors import InputError
from hepstat.types import Floats

__all__ = ["Effect", "EffectLike", "Nuisance", "bend_matrix", "effect_of"]


@dataclass(frozen=True)
class Nuisance:
    """A parameter that is not of interest, and the auxiliary measurement that constrains it.

    Parameters
    ----------
    name : str
    constraint : {"gaussian", "poisson", "free"}, optional
        "gaussian": measured with standard deviation `width`. "poisson": the logarithm of a factor that is measured by a
        count, which expects `width` exp(alpha) events, as a background from a control region or from finite simulation.
        "free": constrained by the data alone.
    width : float, optional
        See above; 1 by default, as for nuisances in units of their standard deviation.
    centre : float, optional
        Nominal value, which a Gaussian measurement has found; 0 for a Poisson one.
    bounds : (float, float), optional
        Where it may go in fits.

    Raises
    ------
    InputError
        If something is out of range.
    """

    name: str
    _: KW_ONLY
    constraint: Literal["gaussian", "poisson", "free"] = "gaussian"
    width: float = 1.0
    centre: float = 0.0
    bounds: tuple[float, float] = (-np.inf, np.inf)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or self.name == "mu":
            raise InputError("name", f"is {self.name!r}", "Pass a text other than 'mu'")
        if self.constraint not in ("gaussian", "poisson", "free"):
            raise InputError("constraint", f"is {self.constraint!r}", "Choose 'gaussian', 'poisson' or 'free'")
        positive_number(self.width, f"width of {self.name}")
        finite_number(self.centre, f"centre of {self.name}")
        if self.constraint == "poisson" and self.centre != 0:
            raise InputError(f"centre of {self.name}", f"is {self.centre:g}", "A Poisson one is a logarithm around 0")
        low, high = self.bounds
        if not low <= self.centre <= high or not low < high:
            raise InputError(f"bounds of {self.name}", f"are {self.bounds}", "Let them surround the nominal value")


@dataclass(frozen=True, eq=False)
class Effect:
    """What a nuisance changes: factors at some of its values (knots), interpolated in between.

    Logarithms are interpolated by a natural cubic spline, and go on straight outside, unless `confined`. Two factors of
    1/(1 + d) and 1 + d at -1 and 1 are therefore (1 + d)^alpha everywhere.

    Parameters
    ----------
    knots : array_like, (knots,)
        Rising values of the nuisance, its nominal one among them.
    factors : array_like, (knots,) or (knots, bins), optional
        What yields, or the contents of bins, are multiplied with; above zero, and 1 at the nominal value.
    shape : callable, optional
        For events: ``shape(x)`` gives the logarithm (n, knots) of the density at these values over the nominal one.
    confined : bool, optional
        Keep the nuisance between the outer knots in fits. Densities are not normalised anew between and beyond knots:
        beyond, that can make up for any lack of likelihood.

    Raises
    ------
    InputError
        If there are not two rising knots, factors are not above zero, or neither is given.
    """

    knots: ArrayLike
    _: KW_ONLY
    factors: ArrayLike | None = None
    shape: Callable[[Any], Any] | None = None
    confined: bool = False

    def __post_init__(self) -> None:
        knots = rising_edges(self.knots, "knots")
        object.__setattr__(self, "knots", knots)
        if self.factors is None and self.shape is None:
            raise InputError("effect", "has neither factors nor a shape", "Pass one of them")
        if self.shape is not None and not callable(self.shape):
            raise InputError("shape", f"is {self.shape!r}", "Pass a function of events")
        if self.factors is not None:
            factors = finite_array(self.factors, "factors", ndim=2 if np.ndim(self.factors) == 2 else 1)
            if len(factors) != knots.size or not (factors > 0).all():
                problem = f"have shape {factors.shape} and the smallest is {factors.min():g}"
                raise InputError("factors", problem, f"Pass {knots.size} rows of numbers above zero")
            object.__setattr__(self, "factors", factors)

    @classmethod
    def log_normal(cls, relative: float) -> Effect:
        """Return the effect of a relative uncertainty of a yield, such as .1: (1 + relative)^alpha."""
        if not finite_number(relative, "relative") > -1 or relative == 0:
            raise InputError("relative", f"is {relative:g}", "Pass a number above -1 that is not 0")
        return cls((0.0, 1.0), factors=(1.0, 1.0 + relative))

    @classmethod
    def up_down(cls, down: ArrayLike, up: ArrayLike) -> Effect:
        """Return the effect of factors, or of contents over nominal ones (bins,), at -1 and at 1."""
        low, high = np.asarray(down, dtype=np.float64), np.asarray(up, dtype=np.float64)
        return cls((-1.0, 0.0, 1.0), factors=np.stack([low, np.ones_like(low), high]))

    @classmethod
    def scale(cls) -> Effect:
        """Return the effect of a nuisance that is the logarithm of a factor itself: exp(alpha)."""
        return cls((0.0, 1.0), factors=(1.0, np.e))

    @classmethod
    def parameterised(cls, log_ratio: Callable[[Any, float], Any], knots: ArrayLike, nominal: float) -> Effect:
        """Return the effect of a parameter of the density itself, such as a resolution.

        Parameters
        ----------
        log_ratio : callable
            ``log_ratio(x, value)`` gives log p(x | value) (n,) up to what does not depend on the value, as do the
            ``log`` of a :class:`hepstat.ratio.ParameterisedRatio` and of a density itself.
        knots : array_like, (knots,)
            Values to interpolate between, evenly and as fine as the dependence asks for: the likelihood of many events
            notices where the interpolation is off. The parameter is confined to them.
        nominal : float
            One of them.
        """
        values = rising_edges(knots, "knots")
        if not (values == nominal).any():
            raise InputError("nominal", f"is {nominal:g}", f"Choose one of the knots {values.tolist()}")

        def shape(x: Any) -> Floats:
            table = np.stack([np.asarray(log_ratio(x, float(value)), dtype=np.float64) for value in values], axis=-1)
            return table - table[:, values == nominal]

        return cls(values, shape=shape, confined=True)

    def place(self, nominal: float, name: str) -> int:
        """Return which knot is the nominal one, after a check that factors are 1 there."""
        knots = np.asarray(self.knots)
        found = np.flatnonzero(knots == nominal)
        if not found.size:
            problem = f"has the knots {knots.tolist()}, without the nominal {nominal:g}"
            raise InputError(f"effect of {name}", problem, "Let one knot be the centre of the nuisance")
        i = int(found[0])
        if self.factors is not None and not np.allclose(np.asarray(self.factors)[i], 1.0, rtol=1e-12):
            raise InputError(f"effect of {name}", "has factors other than 1 at the nominal value", "Divide by those")
        return i


EffectLike: TypeAlias = Effect | float | tuple[ArrayLike, ArrayLike]


def effect_of(value: EffectLike) -> Effect:
    """Return an effect; a number is a relative uncertainty, a pair the factors at -1 and 1."""
    if isinstance(value, Effect):
        return value
    if isinstance(value, tuple | list) and len(value) == 2:
        return Effect.up_down(*value)
    return Effect.log_normal(finite_number(value, "effect"))


def bend_matrix(knots: Floats) -> Floats:
    """Return the second derivatives at the knots of the natural cubic spline through the values there, by these."""
    n = knots.size
    if n == 2:
        return np.zeros((n, n))
    return np.asarray(CubicSpline(knots, np.eye(n), bc_type="natural")(knots, 2))

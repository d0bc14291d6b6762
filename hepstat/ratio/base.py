"""What every likelihood ratio offers, and ratios whose densities are known."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, interval
from hepstat.errors import InputError
from hepstat.ratio.links import representable
from hepstat.shapes import Shape
from hepstat.types import Floats

__all__ = ["AnalyticRatio", "Ratio", "density_ratio", "shape_ratio"]

Values = Mapping[str, float] | Sequence[float]


class Ratio(ABC):
    """A likelihood ratio r(x) = p_S(x) / p_B(x) of two densities, each normalised to one."""

    @abstractmethod
    def log(self, x: Any) -> Floats:
        """Return log r of events.

        Parameters
        ----------
        x : array_like, (n, d)
            Features; for ratios from functions whatever these take.

        Returns
        -------
        ndarray, (n,)
            Minus infinity where r is zero; never NaN or plus infinity.

        Raises
        ------
        InputError
            For events that have no such ratio, with their number.
        """

    def __call__(self, x: Any) -> Floats:
        """Return r of events (n,); raises as :meth:`log`, and if r overflows."""
        return np.exp(representable(self.log(x)))


@dataclass(frozen=True)
class AnalyticRatio(Ratio):
    """A ratio whose logarithm is a known function.

    Parameters
    ----------
    log_ratio : callable
        Of events, whatever their form; returns (n,).
    """

    log_ratio: Callable[[Any], ArrayLike]

    def log(self, x: Any) -> Floats:
        """Return log r of events (n,); see :meth:`Ratio.log`."""
        values = np.asarray(self.log_ratio(x), dtype=np.float64)
        bad = np.isnan(values) | (values == np.inf)
        if values.ndim != 1 or bad.any():
            shown = f"has shape {values.shape}, {int(bad.sum())} of them NaN or infinite"
            raise InputError("log_ratio", shown, "Return one number for each event, where the background is not zero")
        return values


def density_ratio(signal: Callable[[Any], ArrayLike], background: Callable[[Any], ArrayLike]) -> AnalyticRatio:
    """Return the ratio of two densities.

    Parameters
    ----------
    signal, background : callable
        Densities of events (n,), each normalised to one.

    Returns
    -------
    AnalyticRatio
        It raises InputError for events where the background density is not above zero or that of signal is below.
    """
    return AnalyticRatio(_DensityRatio(signal, background))


def shape_ratio(
    signal: Shape,
    background: Shape,
    range: tuple[float, float],
    *,
    signal_values: Values | None = None,
    background_values: Values | None = None,
) -> AnalyticRatio:
    """Return the ratio of two shapes, each normalised on a range.

    Parameters
    ----------
    signal, background : Shape
    range : tuple of float
        (low, high); outside the ratio is not defined.
    signal_values, background_values : mapping or sequence, optional
        Of their parameters; those that the shapes start from by default.

    Returns
    -------
    AnalyticRatio
        A function of x (n,).
    """
    limits = interval(range, "range")
    parts = [
        _ShapeDensity(shape, {p.name: p.value for p in shape.parameters} if values is None else values, limits)
        for shape, values in ((signal, signal_values), (background, background_values))
    ]
    return density_ratio(*parts)


@dataclass(frozen=True)
class _DensityRatio:
    """Logarithm of the ratio of two densities."""

    signal: Callable[[Any], ArrayLike]
    background: Callable[[Any], ArrayLike]

    def __call__(self, x: Any) -> Floats:
        top, bottom = (
            finite_array(f(x), name) for f, name in ((self.signal, "signal"), (self.background, "background"))
        )
        bad = (bottom <= 0.0) | (top < 0.0)
        if bad.any():
            problem = f"has {int(bad.sum())} of {bad.size} events where background is not above zero, or signal below"
            raise InputError("x", problem, "Pass events in the range of the background")
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(top) - np.log(bottom))


@dataclass(frozen=True)
class _ShapeDensity:
    """The density of a shape with values on a range."""

    shape: Shape
    values: Values
    range: tuple[float, float]

    def __call__(self, x: Any) -> Floats:
        return self.shape.density(x, self.values, self.range)

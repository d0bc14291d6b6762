"""From signal over background to signal plus background over background, and back."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number, nonnegative_number
from hepstat.errors import InputError
from hepstat.ratio.base import Ratio
from hepstat.ratio.links import ClipWarning
from hepstat.types import Floats

__all__ = ["MixtureRatio", "SignalRatio", "mixture_ratio", "signal_ratio"]

_ROUNDING = 1e-12  # of 1 - alpha, by which lambda may be below it where r is 0


def mixture_ratio(r: ArrayLike, alpha: float) -> Floats:
    """Return lambda = p_{S+B} / p_B from r = p_S / p_B.

    Parameters
    ----------
    r : array_like, (n,)
        Ratios of at least zero.
    alpha : float
        Share S / (S + B) of signal in the mixture, above 0 and at most 1.

    Returns
    -------
    ndarray, (n,)
        alpha r + 1 - alpha.

    Raises
    ------
    InputError
        For ratios below zero or not finite, or a share out of range.
    """
    values, alpha = finite_array(r, "r", allow_empty=True), _share(alpha)
    if (values < 0).any():
        raise InputError("r", f"is {values.min():g} at least once", "Pass ratios of at least zero")
    return alpha * values + (1.0 - alpha)


def signal_ratio(lam: ArrayLike, alpha: float, *, floor: float | None = None) -> Floats:
    """Return r = p_S / p_B from lambda = p_{S+B} / p_B.

    Parameters
    ----------
    lam : array_like, (n,)
        Ratios lambda, such as those of a classifier of signal plus background against background.
    alpha : float
        Share S / (S + B) of signal in the mixture, above 0 and at most 1.
    floor : float, optional
        Where lambda is below 1 - alpha, which no mixture can be, r would be negative: it is then an error, or this
        number of at least zero.

    Returns
    -------
    ndarray, (n,)
        [lambda - (1 - alpha)] / alpha: eq. 3.11 of arXiv:1909.03081 with all of the right side of eq. 3.10 divided by
        alpha, which is missing there.

    Raises
    ------
    InputError
        For negative r, with their share, without a floor; for ratios not finite, or a share out of range.

    Warns
    -----
    ClipWarning
        Which share was below the floor, if any.
    """
    values, alpha = finite_array(lam, "lam", allow_empty=True), _share(alpha)
    rest = 1.0 - alpha
    above = values - rest
    r = np.where((above < 0.0) & (above >= -_ROUNDING * rest), 0.0, above / alpha)
    low = r < (0.0 if floor is None else nonnegative_number(floor, "floor"))
    if not low.any():
        return r
    shown = f"{int(low.sum())} of {low.size} ratios ({low.mean():.3g}), down to r = {r.min():.4g}"
    if floor is None:
        raise InputError("lam", f"is below 1 - alpha = {rest:g} for {shown}", "Pass floor=0, or train on")
    warnings.warn(f"{shown}, were raised to {floor:g}", ClipWarning, stacklevel=2)
    return np.where(low, floor, r)


@dataclass(frozen=True, eq=False)
class MixtureRatio(Ratio):
    """p_{S+B} / p_B from a ratio p_S / p_B, see :func:`mixture_ratio`.

    Parameters
    ----------
    ratio : Ratio
        p_S / p_B.
    alpha : float
        S / (S + B).
    """

    ratio: Ratio
    alpha: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", _share(self.alpha))

    def log(self, x: Any) -> Floats:
        """Return log lambda of events (n,); see :meth:`Ratio.log`."""
        rest = -math.inf if self.alpha == 1.0 else math.log1p(-self.alpha)
        return np.asarray(np.logaddexp(self.ratio.log(x) + math.log(self.alpha), rest))


@dataclass(frozen=True, eq=False)
class SignalRatio(Ratio):
    """p_S / p_B from a ratio p_{S+B} / p_B, see :func:`signal_ratio`.

    Parameters
    ----------
    ratio : Ratio
        p_{S+B} / p_B.
    alpha : float
        S / (S + B).
    floor : float, optional
        As in :func:`signal_ratio`.
    """

    ratio: Ratio
    alpha: float
    floor: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "alpha", _share(self.alpha))

    def log(self, x: Any) -> Floats:
        """Return log r of events (n,); see :meth:`Ratio.log`."""
        r = signal_ratio(self.ratio(x), self.alpha, floor=self.floor)
        with np.errstate(divide="ignore"):
            return np.log(r)


def _share(alpha: float) -> float:
    if not 0.0 < finite_number(alpha, "alpha") <= 1.0:
        raise InputError("alpha", f"is {alpha:g}", "Pass S / (S + B), above 0 and at most 1")
    return float(alpha)

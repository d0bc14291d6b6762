"""Whether a feature whose background efficiency is uncertain still helps (arXiv:1909.03081, eqs. 4.1 and 4.2)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepstat.infer.broadcast import finite, refuse
from hepstat.record import Record
from hepstat.types import Bools, Floats

__all__ = ["UncertainFeature", "uncertain_feature"]


@dataclass(frozen=True, eq=False)
class UncertainFeature(Record):
    """Significances with and without an uncertain feature; arrays of the broadcast shape of the arguments.

    Parameters
    ----------
    with_feature, without_feature : array
        Left and right side of eq. 4.1.
    gain : array
        Their ratio, e_S1 / sqrt(e_B1 + delta^2 e_B2 B).
    expansion : array
        What eq. 4.2 compares with 1, the gain to first order in `relative_size`.
    relative_size : array
        u = (delta / e_B1)^2 e_B1 e_B2 B, the systematic variance over the statistical one.
    helps : array of bool
        Whether the gain is above 1.
    largest_background : array
        B at which the gain is 1: (e_S1^2 - e_B1) / (delta^2 e_B2). 0 if the feature never helps, infinite without
        uncertainty.
    largest_background_expansion : array
        The same by eq. 4.2: 2 (1 - sqrt(e_B1) / e_S1) e_B1 / (delta^2 e_B2).
    """

    with_feature: Floats
    without_feature: Floats
    gain: Floats
    expansion: Floats
    relative_size: Floats
    helps: Bools
    largest_background: Floats
    largest_background_expansion: Floats


def uncertain_feature(
    eff_s1: ArrayLike,
    eff_b1: ArrayLike,
    eff_b2: ArrayLike,
    n_background: ArrayLike,
    uncertainty: ArrayLike,
    *,
    relative: bool = True,
    eff_s2: ArrayLike = 1.0,
    n_signal: ArrayLike = 1.0,
) -> UncertainFeature:
    """Say whether a cut on a feature with uncertain background efficiency improves on a cut on another alone.

    Two independent features, the first uncertain for the background; S + B much above 1 and S much below B.

    Parameters
    ----------
    eff_s1, eff_b1 : array_like
        Efficiencies of signal and background for the uncertain feature, within (0, 1].
    eff_b2 : array_like
        Efficiency of background for the other feature, within (0, 1].
    n_background : array_like
        Expected background before the cuts, B, above 0.
    uncertainty : array_like
        Of `eff_b1`, at least 0.
    relative : bool, optional
        Whether that is a share of `eff_b1` (delta / e_B1), or delta itself.
    eff_s2, n_signal : array_like, optional
        Efficiency of signal for the other feature and expected signal, which scale both sides.

    Returns
    -------
    UncertainFeature

    Raises
    ------
    InputError
        For numbers out of range.

    Notes
    -----
    With efficiencies of background and relative uncertainties of 10%, u = B / 10^4: of order 10^4 background events are
    needed for the uncertainty to hurt. The feature must help without uncertainty first, e_S1 > sqrt(e_B1) = .32 here.

    Eq. 4.2 replaces 1/sqrt(1 + u) by 1 - u/2, which is always too small: by 1% at u = .17, by 10% at u = .56, and by a
    third at u = 1.07. It is 0 at u = 2, where eq. 4.1 still has 58% of the gain without uncertainty, and negative
    beyond. So the background above which the feature hurts is underestimated, the more the better the feature is: by a
    factor s (s + 1) / 2 with s = e_S1 / sqrt(e_B1).
    """
    s1, s2 = (_efficiency(value, name) for value, name in ((eff_s1, "eff_s1"), (eff_s2, "eff_s2")))
    b1, b2 = (_efficiency(value, name) for value, name in ((eff_b1, "eff_b1"), (eff_b2, "eff_b2")))
    background, signal = (_above_zero(v, n) for v, n in ((n_background, "n_background"), (n_signal, "n_signal")))
    delta = finite(uncertainty, "uncertainty", 0.0)
    s1, s2, b1, b2, background, signal, delta = np.broadcast_arrays(s1, s2, b1, b2, background, signal, delta)
    delta = np.asarray(delta * b1 if relative else delta)
    size = delta**2 * b2 * background / b1
    first = s1 / np.sqrt(b1)
    with np.errstate(divide="ignore", over="ignore"):
        per_background = np.where(delta > 0, b1 / (delta**2 * b2), np.inf)  # B where the size is 1
    better = first > 1
    exact = np.where(better, first**2 - 1.0, 0.0)
    expanded = np.where(better, 2.0 * (1.0 - 1.0 / first), 0.0)
    return UncertainFeature(
        with_feature=np.asarray(s1 * s2 * signal / np.sqrt(b1 * b2 * background + (delta * b2 * background) ** 2)),
        without_feature=np.asarray(s2 * signal / np.sqrt(b2 * background)),
        gain=np.asarray(first / np.sqrt(1.0 + size)),
        expansion=np.asarray(first * (1.0 - 0.5 * size)),
        relative_size=np.asarray(size),
        helps=np.asarray(first > np.sqrt(1.0 + size)),
        largest_background=np.multiply(exact, per_background, out=np.zeros(size.shape), where=better),
        largest_background_expansion=np.multiply(expanded, per_background, out=np.zeros(size.shape), where=better),
    )


def _efficiency(value: ArrayLike, name: str) -> Floats:
    e = finite(value, name)
    refuse((e <= 0) | (e > 1), e, name, "is no efficiency", "Pass numbers above 0 and at most 1")
    return e


def _above_zero(value: ArrayLike, name: str) -> Floats:
    number = finite(value, name)
    refuse(number <= 0, number, name, "is not above 0", "Pass expected events above 0")
    return number

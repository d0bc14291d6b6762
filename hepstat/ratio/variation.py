"""Systematic variations by reweighting: a varied simulation emulated from the nominal one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import event_weights, positive_number, weighted_events
from hepstat.errors import InputError
from hepstat.ratio.bins import effective_size
from hepstat.ratio.classifier import ClassifierRatio
from hepstat.ratio.closure import Closure, close, ratios_of
from hepstat.ratio.ensemble import EnsembleRatio
from hepstat.ratio.training import learn_ratio
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["Reweighting", "compare_variation", "learn_variation", "reweight"]


def learn_variation(
    nominal: ArrayLike,
    varied: ArrayLike,
    *,
    nominal_weights: ArrayLike | None = None,
    varied_weights: ArrayLike | None = None,
    **options: Any,
) -> ClassifierRatio | EnsembleRatio:
    """Learn the ratio p_varied / p_nominal of two simulations.

    Parameters
    ----------
    nominal, varied : array_like, (n, d)
        Events of both, in any numbers.
    nominal_weights, varied_weights : array_like, (n,), optional
    **options
        Of :func:`learn_ratio`.

    Returns
    -------
    ClassifierRatio or EnsembleRatio
        A ratio of shapes. How the yield varies is the ratio of cross-sections, which no classifier sees: give it to
        :func:`reweight` as part of `total`.
    """
    return learn_ratio(varied, nominal, signal_weights=varied_weights, background_weights=nominal_weights, **options)


@dataclass(frozen=True, eq=False)
class Reweighting(Record):
    """Weights that make a sample look like another.

    Attributes
    ----------
    weights : ndarray, (n,)
    n_effective, n_before : float
        Effective events with these and with the original weights.
    normalisation : float
        By what the products of weights and ratios were multiplied; near one for a good ratio if the sum was kept.
    """

    weights: Floats
    n_effective: float
    n_before: float
    normalisation: float


def reweight(
    ratio: Callable[[Any], Floats], x: Any, weights: ArrayLike | None = None, *, total: float | None = None
) -> Reweighting:
    """Multiply the weights of events by a ratio.

    Parameters
    ----------
    ratio : Ratio or callable
        Of events to r (n,).
    x : array_like, (n, d)
    weights : array_like, (n,), optional
        1 each by default.
    total : float, optional
        Sum of the new weights; by default that of the old.

    Returns
    -------
    Reweighting

    Raises
    ------
    InputError
        For ratios that are negative or not finite, and sums of weights that are not above zero.
    """
    r = ratios_of(ratio, x)
    w = event_weights(r.size, weights, "weights")
    wanted = float(w.sum()) if total is None else positive_number(total, "total")
    new = w * r
    if not new.sum() > 0:
        raise InputError("ratio", f"leaves a sum of weights of {new.sum():g}", "Use ratios above zero")
    scale = wanted / float(new.sum())
    return Reweighting(np.asarray(new * scale), effective_size(new), effective_size(w), scale)


def compare_variation(
    ratio: Callable[[Any], Floats],
    nominal: ArrayLike,
    varied: ArrayLike,
    *,
    nominal_weights: ArrayLike | None = None,
    varied_weights: ArrayLike | None = None,
    bins: int = 20,
    min_events: float = 25.0,
    features: Sequence[str] | None = None,
) -> Closure:
    """Compare the nominal simulation, reweighted, with the varied one, feature by feature.

    Parameters
    ----------
    ratio : Ratio or callable
        p_varied / p_nominal.
    nominal, varied : array_like, (n, d) or (n,)
        Events that did not train the ratio.
    nominal_weights, varied_weights, bins, min_events, features
        As in :func:`diagnose`.

    Returns
    -------
    Closure
        With the varied simulation as target.

    Raises
    ------
    InputError
        As :func:`diagnose`.
    """
    target = weighted_events(varied, varied_weights, "varied")
    other = weighted_events(nominal, nominal_weights, "nominal")
    return close(target, other, ratios_of(ratio, nominal), bins=bins, min_events=min_events, features=features)

"""Fits in which the densities themselves depend on parameters, jointly and in any way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from hepstat.checks import finite_array
from hepstat.errors import FitError, InputError
from hepstat.record import Record
from hepstat.strength.fitting import StrengthFit, fit
from hepstat.strength.model import Model
from hepstat.types import Floats

__all__ = ["ParameterisedFit", "fit_parameterised"]


@dataclass(frozen=True, eq=False)
class ParameterisedFit(Record):
    """What :func:`fit_parameterised` found.

    Parameters
    ----------
    parameters : ndarray, (p,)
        Best parameters of the densities.
    nll : float
        -log L there, `penalty` included.
    mu, mu_error : float
        Of the fit at the best parameters. The error is that for known parameters.
    n_models : int
        Models that were made and fitted.
    """

    parameters: Floats
    nll: float
    mu: float
    mu_error: float
    n_models: int


def fit_parameterised(
    model_at: Callable[[Floats], Model],
    observed: Any,
    start: ArrayLike,
    *,
    bounds: Sequence[tuple[float, float]] | None = None,
    penalty: Callable[[Floats], float] | None = None,
    mu: float | None = None,
    tolerance: float = 1e-6,
) -> ParameterisedFit:
    """Fit parameters of the densities, mu and nuisances, with the densities evaluated anew at every step.

    :meth:`Effect.parameterised` interpolates one parameter between knots, which also works for toys. This is for one
    data set: exact, and for parameters whose effects do not simply multiply, as of a parameterised classifier with
    several.

    Parameters
    ----------
    model_at : callable
        ``model_at(parameters)`` gives the model. All must have the same reference, in density and expected events, or
        their likelihoods do not compare: where the background depends on the parameters too, add a component without
        ratio that does not, if only with a small yield.
    observed : array_like, or sequence of array_like
        See :meth:`Model.data`.
    start : array_like, (p,)
        First parameters.
    bounds : sequence of (float, float), optional
        One pair each.
    penalty : callable, optional
        -log L of auxiliary measurements of the parameters.
    mu : float, optional
        Hold the strength there, for a profile likelihood.
    tolerance : float, optional
        In -log L and, relative to the size of the parameters, in these.

    Returns
    -------
    ParameterisedFit

    Raises
    ------
    InputError
        If data do not fit the models.
    FitError
        If the minimum is not found.

    Notes
    -----
    Nelder-Mead simplex over the parameters, with mu and nuisances at their best for each of them.
    """
    first = finite_array(start, "start")
    if bounds is not None and len(bounds) != first.size:
        raise InputError("bounds", f"has {len(bounds)} pairs", f"Pass {first.size}")
    fits: dict[bytes, tuple[float, StrengthFit]] = {}

    def value(parameters: Floats) -> float:
        key = parameters.tobytes()
        if key not in fits:
            found = fit(model_at(parameters.copy()), observed, mu=mu)
            fits[key] = found.nll + (float(penalty(parameters)) if penalty is not None else 0.0), found
        return fits[key][0]

    scale = np.where(first != 0, np.abs(first), 1.0)
    options = {"xatol": tolerance, "fatol": tolerance, "maxfev": 400 * first.size}
    pairs = None if bounds is None else [(low / s, high / s) for (low, high), s in zip(bounds, scale, strict=True)]
    best = minimize(lambda u: value(u * scale), first / scale, method="Nelder-Mead", bounds=pairs, options=options)
    if not best.success:
        raise FitError(f"the fit of {first.size} parameters has not converged: {best.message}")
    parameters = best.x * scale
    found = fits[parameters.tobytes()][1]
    return ParameterisedFit(parameters, float(best.fun), found.mu, found.mu_error, len(fits))

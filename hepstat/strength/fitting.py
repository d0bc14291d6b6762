"""Fits of a signal strength to one data set, and the data that are expected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from hepstat.checks import finite_array, finite_number
from hepstat.errors import FitError, InputError
from hepstat.infer.significance import p_to_z
from hepstat.infer.statistics import statistic as statistic_from
from hepstat.kernels.newton import AT_EDGE, CONVERGED
from hepstat.kernels.strength import Problem
from hepstat.kernels.strength_toys import fit_once
from hepstat.record import Record
from hepstat.strength.model import Data, Model
from hepstat.types import Floats

__all__ = ["Interval", "StrengthFit", "asimov", "fit", "interval", "profile", "statistic_of"]

TOLERANCE = 1e-12
MAX_EVALUATIONS = 200


@dataclass(frozen=True, eq=False)
class StrengthFit(Record):
    """A fit of mu and nuisances.

    Parameters
    ----------
    mu : float
        Best strength, or the one that was held.
    mu_error : float
        Standard deviation from the curvature; NaN where mu was held or is at a bound.
    nll : float
        -log L at the minimum, up to what does not depend on parameters.
    values, errors : dict of str to float
        Of the nuisances, in their own units.
    correlation : ndarray, (parameters, parameters)
        Of mu and the nuisances; rows of what was held are zero.
    at_bound : tuple of str
        Parameters that ended at a bound.
    """

    mu: float
    mu_error: float
    nll: float
    values: dict[str, float]
    errors: dict[str, float]
    correlation: Floats
    at_bound: tuple[str, ...]

    def pulls(self, model: Model) -> dict[str, float]:
        """Return how far each Gaussian nuisance has moved from its nominal value, in the width of its measurement."""
        return {
            n.name: (self.values[n.name] - n.centre) / n.width for n in model.nuisances if n.constraint == "gaussian"
        }


def fit(
    model: Model, observed: Any, *, mu: float | None = None, auxiliary: Mapping[str, float] | None = None
) -> StrengthFit:
    """Fit mu and the nuisances, or the nuisances at a given mu.

    Parameters
    ----------
    model : Model
    observed : array_like, sequence of array_like, or Data
        See :meth:`Model.data`.
    mu : float, optional
        Hold the strength there.
    auxiliary : mapping of str to float, optional
        Results of the auxiliary measurements; what is nominally expected by default.

    Returns
    -------
    StrengthFit
        Likelihoods of fits to the same data can be subtracted.

    Raises
    ------
    InputError
        If data do not fit the model.
    FitError
        If the minimum is not found, as where data are impossible: events where nothing is expected.
    """
    return fit_data(model, model.data(observed, auxiliary), mu)


def fit_data(model: Model, data: Data, mu: float | None = None, start: Floats | None = None) -> StrengthFit:
    """Fit data in the form of :class:`Data`; `start` (parameters,) is nominal, with mu at 1, by default."""
    held = None if mu is None else finite_number(mu, "mu")
    first = 0 if held is None else 1
    lower, upper = model.bounds
    begin = model.theta(1.0 if held is None else held) if start is None else start.copy()
    if held is None:
        begin[0] = _inside(begin[0], lower[0], upper[0])
    else:
        begin[0] = held
    problem = problem_of(model)._replace(free=np.arange(first, begin.size))
    theta, matrix = np.empty_like(begin), np.empty((begin.size, begin.size))
    value, status, at_limit = fit_once(data.observed, model.dependence, problem, data.centre, begin, theta, matrix)
    if status not in (CONVERGED, AT_EDGE):
        where = "" if held is None else f" at mu = {held:g}"
        raise FitError(
            f"the fit{where} has not found its minimum (status {status}, -log L = {value:g}): events where nothing is "
            "expected have no likelihood, and data beyond the bounds of mu need wider mu_bounds"
        )
    return _result(model, theta, matrix, value, at_limit, held)


def problem_of(model: Model) -> Problem:
    """Return what kernels minimise over."""
    lower, upper = model.bounds
    return Problem(np.arange(lower.size), lower, upper, TOLERANCE, MAX_EVALUATIONS)


def _inside(value: float, low: float, high: float) -> float:
    """Return a value that keeps away from the bounds, where an intensity may be zero."""
    if low < value < high:
        return value
    return 0.5 * (low + high) if np.isfinite(low + high) else low + 1.0 if np.isfinite(low) else high - 1.0


def _result(
    model: Model, theta: Floats, matrix: Floats, value: float, at_limit: int, held: float | None
) -> StrengthFit:
    sigma = np.sqrt(np.diagonal(matrix))
    scale = np.where(sigma > 0, sigma, 1.0)
    names = model.names
    at_bound = tuple(name for i, name in enumerate(names) if at_limit >> i & 1)
    return StrengthFit(
        mu=float(theta[0]),
        mu_error=float(sigma[0]) if held is None and "mu" not in at_bound else np.nan,
        nll=float(value),
        values=dict(zip(names[1:], theta[1:].tolist(), strict=True)),
        errors=dict(zip(names[1:], sigma[1:].tolist(), strict=True)),
        correlation=matrix / np.outer(scale, scale),
        at_bound=at_bound,
    )


def asimov(model: Model, mu: float, nuisances: Mapping[str, float] | None = None) -> Data:
    """Return the data that are expected, without fluctuations (Cowan et al., arXiv:1007.1727, section 3.2).

    Parameters
    ----------
    model : Model
        Unbinned channels need simulated events, which then stand for the data with their weights.
    mu : float
        True strength.
    nuisances : mapping of str to float, optional
        True values; nominal by default.
    """
    return model.asimov(model.theta(mu, nuisances))


def profile(model: Model, observed: Any, mu: ArrayLike, *, auxiliary: Mapping[str, float] | None = None) -> Floats:
    """Return -log L (n,), minimised over the nuisances, at each strength (n,); arguments as in :func:`fit`."""
    data = model.data(observed, auxiliary)
    return np.array([fit_data(model, data, float(value)).nll for value in finite_array(mu, "mu")])


def statistic_of(
    model: Model,
    observed: Any,
    mu: float,
    statistic: str = "q_mu_tilde",
    *,
    auxiliary: Mapping[str, float] | None = None,
) -> float:
    """Return a test statistic of data.

    Parameters
    ----------
    model, observed, auxiliary
        See :func:`fit`.
    mu : float
        Strength under test; not used by q0.
    statistic : str, optional
        One of :data:`hepstat.infer.STATISTICS`.

    Returns
    -------
    float
        Larger the less the data agree with the hypothesis under test.

    Raises
    ------
    InputError, FitError
        As :func:`fit`.
    """
    data = model.data(observed, auxiliary)
    best = fit_data(model, data)
    at_test, at_zero = fit_data(model, data, mu), fit_data(model, data, 0.0)
    return float(
        statistic_from(statistic, nll_best=best.nll, mu_hat=best.mu, mu=mu, nll_mu=at_test.nll, nll_zero=at_zero.nll)
    )


@dataclass(frozen=True)
class Interval(Record):
    """A likelihood interval of mu.

    Parameters
    ----------
    mu : float
        Best strength.
    lower, upper : float
        Where the profile likelihood has risen by half the square of `z`; a bound of mu if it does not before.
    level : float
        Asymptotic confidence level.
    z : float
        The same in standard deviations, two-sided.
    """

    mu: float
    lower: float
    upper: float
    level: float
    z: float


def interval(
    model: Model, observed: Any, *, level: float = 0.6826894921370859, auxiliary: Mapping[str, float] | None = None
) -> Interval:
    """Return the interval of mu in which t_mu is below its asymptotic quantile.

    Parameters
    ----------
    model, observed, auxiliary
        See :func:`fit`.
    level : float, optional
        Confidence level.

    Raises
    ------
    InputError, FitError
        As :func:`fit`.
    """
    if not 0 < finite_number(level, "level") < 1:
        raise InputError("level", f"is {level:g}", "Pass a number between 0 and 1")
    data = model.data(observed, auxiliary)
    best = fit_data(model, data)
    z = float(p_to_z(0.5 * (1.0 - level)))
    lower, upper = model.bounds[0][0], model.bounds[1][0]

    def rise(mu: float) -> float:
        return fit_data(model, data, mu).nll - best.nll - 0.5 * z * z

    step = best.mu_error if np.isfinite(best.mu_error) and best.mu_error > 0 else 1.0
    ends = [_crossing(rise, best.mu, sign * z * step, bound) for sign, bound in ((-1.0, lower), (1.0, upper))]
    return Interval(best.mu, ends[0], ends[1], level, z)


def _crossing(rise: Any, start: float, step: float, bound: float) -> float:
    """Return where `rise` becomes positive from `start` on in the direction of the step, or the bound."""
    inner, outer = start, start
    for _ in range(60):
        outer = start + step
        beyond = outer <= bound if step < 0 else outer >= bound
        outer = bound + 1e-9 * abs(bound - start) * (1.0 if step < 0 else -1.0) if beyond else outer
        if rise(outer) > 0:
            return float(brentq(rise, inner, outer, xtol=1e-10, rtol=1e-12))
        if beyond:
            return float(bound)
        inner, step = outer, 2.0 * step
    raise FitError(f"the likelihood does not rise between {start:g} and {outer:g}: mu is not determined by the data")

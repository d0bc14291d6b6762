"""Fits of a signal strength to one data set, and the data that are expected."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from hepstat.checks import finite_array, finite_number
from hepstat.errors import FitError, InputError
from hepstat.infer.intervals import tail_of
from hepstat.infer.significance import p_to_z
from hepstat.infer.statistics import statistic as statistic_from
from hepstat.kernels.couplings import SPREAD, find_basins
from hepstat.kernels.newton import AT_EDGE, CONVERGED, HESSIAN_NOT_POSITIVE, NOT_FINITE_AT_START, UNDETERMINED
from hepstat.kernels.strength import Problem
from hepstat.kernels.strength_toys import BETTER, fit_once
from hepstat.record import Record
from hepstat.strength.model import Data, Model
from hepstat.strength.parabola import roots
from hepstat.types import Floats

__all__ = ["Interval", "StrengthFit", "asimov", "fit", "interval", "profile", "statistic_of"]

TOLERANCE = 1e-12
MAX_EVALUATIONS = 200

_FOUND = (CONVERGED, AT_EDGE, UNDETERMINED, HESSIAN_NOT_POSITIVE)  # -log L has no doubt about it, parameters may
_EDGE = 1e-9  # bounds keep this close to where data become impossible
_PARTS = 8  # of a standard error, in which a likelihood with several minima is looked at
_IMPOSSIBLE = 1e300  # instead of an infinite -log L


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
        Of the nuisances, in their own units; an error is NaN where nothing depends on a nuisance.
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
        If the minimum is not found, as where data are impossible: events where nothing is expected; or if there are
        many, as with two nuisances that do the same.

    Notes
    -----
    From nominal nuisances and from those that auxiliary measurements point to: the lower minimum of both.
    """
    held = None if mu is None else finite_number(mu, "mu")
    data = model.data(observed, auxiliary)
    end = _lowest(model, data, held, None)
    flat = end.status == HESSIAN_NOT_POSITIVE
    if flat and held is None and model.has_squares:  # may be so in mu alone, where it is like mu^4
        flat = _minimise(model, data, float(end.theta[0]), end.theta).status == HESSIAN_NOT_POSITIVE
    if flat:
        raise FitError("the fit has not found a single minimum: the data do not tell parameters apart")
    return _result(model, _found(end, held), held)


class End(NamedTuple):
    """Where a minimiser has ended."""

    theta: Floats
    matrix: Floats
    value: float
    status: int


def fit_data(model: Model, data: Data, near: StrengthFit | None = None) -> StrengthFit:
    """Fit data in the form of :class:`Data`, also from where another fit has ended; errors are NaN for many minima."""
    return _result(model, _found(_lowest(model, data, None, near), None), None)


def fit_held(model: Model, data: Data, mu: float, near: StrengthFit) -> StrengthFit:
    """Fit nuisances as :func:`fit_data`; data that are impossible at mu have an infinite -log L and those of `near`."""
    end = _lowest(model, data, mu, near)
    if end.status == NOT_FINITE_AT_START:
        return replace(near, mu=mu, mu_error=np.nan, nll=np.inf)
    return _result(model, _found(end, mu), mu)


def fits_at(model: Model, data: Data, strengths: Sequence[float]) -> tuple[StrengthFit, list[StrengthFit]]:
    """Return the best fit, which is none of those at the strengths outdoes, and these."""
    best = fit_data(model, data)
    held = [fit_held(model, data, mu, best) for mu in strengths]
    low, high = model.bounds[0][0], model.bounds[1][0]
    lowest = min((one for one in held if low <= one.mu <= high), key=lambda one: one.nll, default=best)
    if lowest.nll < best.nll - BETTER:
        best = fit_data(model, data, near=lowest)
        again = [fit_held(model, data, mu, best) for mu in strengths]
        held = [min(pair, key=lambda one: one.nll) for pair in zip(held, again, strict=True)]
    return best, held


def problem_of(model: Model) -> Problem:
    """Return what kernels minimise over."""
    lower, upper = model.bounds
    return Problem(np.arange(lower.size), lower, upper, TOLERANCE, MAX_EVALUATIONS)


def _lowest(model: Model, data: Data, mu: float | None, near: StrengthFit | None) -> End:
    """Return the lowest minimum from nominal nuisances, from those that were measured, and from those of `near`.

    Squares of mu make several minima, which :func:`_basins` finds. Where a fit ends on a saddle, as with effects that
    are alike in both directions, it goes on from both sides of it.
    """
    starts = _starts(model, data, mu, near)
    ends = [_minimise(model, data, mu, start) for start in starts]
    aside = np.array([0.0, *(0.1 * n.width if n.constraint == "gaussian" else 0.1 for n in model.nuisances)])
    for end in [end for end in ends if end.status == HESSIAN_NOT_POSITIVE]:
        ends += [_minimise(model, data, mu, np.clip(end.theta + d, *model.bounds)) for d in (-aside, aside)]
    return min(ends, key=lambda end: (end.status not in _FOUND, end.value))


def _starts(model: Model, data: Data, mu: float | None, near: StrengthFit | None) -> list[Floats]:
    lower, upper = model.bounds
    first = 0.5 if (model.dependence.slope < 0).any() else 1.0  # shares of all events may be impossible at 1
    nominal = model.theta(first)
    measured = np.clip(np.append(first, model.measured(data.centre)), lower, upper)
    starts = [nominal] if (measured[1:] == nominal[1:]).all() else [nominal, measured]
    if near is not None:
        starts.append(np.array([near.mu, *near.values.values()]))
    if mu is None:
        starts += [np.array([place, *start[1:]]) for start in starts for place in _basins(model, data, start)]
    for start in starts:
        start[0] = _inside(start[0], lower[0], upper[0]) if mu is None else mu
    return starts


def _basins(model: Model, data: Data, start: Floats) -> Floats:
    """Return strengths from which all minima of the bins are reached at the nuisances of a start; none if it is one."""
    if not model.has_squares:
        return np.empty(0)
    rows = model.parabolas(start)
    places = np.empty(3 * rows.shape[1] + SPREAD)
    n = data.observed.visits.n[: rows.shape[1]].copy()
    lower, upper = (float(bound[0]) for bound in model.bounds)
    return places[: find_basins(rows, n, lower, upper, places, np.empty_like(places))]


def _minimise(model: Model, data: Data, mu: float | None, start: Floats) -> End:
    problem = problem_of(model)._replace(free=np.arange(0 if mu is None else 1, start.size))
    begin = start.copy()
    begin[0] = start[0] if mu is None else mu
    theta, matrix = np.empty_like(begin), np.empty((begin.size, begin.size))
    value, status, _ = fit_once(data.observed, model.dependence, problem, data.centre, begin, theta, matrix)
    return End(theta, matrix, value, status)


def _found(end: End, held: float | None) -> End:
    """Return a minimum, or raise :class:`FitError`."""
    if end.status in _FOUND:
        return end
    where = "" if held is None else f" at mu = {held:g}"
    raise FitError(
        f"the fit{where} has not found its minimum (status {end.status}, -log L = {end.value:g}): events where nothing "
        "is expected have no likelihood, and data beyond the bounds of mu need wider mu_bounds"
    )


def _inside(value: float, low: float, high: float) -> float:
    """Return a value that keeps away from the bounds, where an intensity may be zero."""
    if low < value < high:
        return value
    return 0.5 * (low + high) if np.isfinite(low + high) else low + 1.0 if np.isfinite(low) else high - 1.0


def _result(model: Model, end: End, held: float | None) -> StrengthFit:
    lower, upper = model.bounds
    sigma = np.sqrt(np.diagonal(end.matrix))
    scale = np.where(sigma > 0, sigma, 1.0)
    names, stuck = model.names, ~(sigma > 0) & ((end.theta <= lower) | (end.theta >= upper))
    at_bound = tuple(name for i, name in enumerate(names) if stuck[i] and (i > 0 or held is None))
    return StrengthFit(
        mu=float(end.theta[0]),
        mu_error=float(sigma[0]) if held is None and "mu" not in at_bound else np.nan,
        nll=float(end.value),
        values=dict(zip(names[1:], end.theta[1:].tolist(), strict=True)),
        errors=dict(zip(names[1:], sigma[1:].tolist(), strict=True)),
        correlation=end.matrix / np.outer(scale, scale),
        at_bound=at_bound,
    )


def step_of(model: Model, best: StrengthFit) -> float:
    """Return the error of mu, or the strength of one signal event where it has none."""
    if np.isfinite(best.mu_error) and best.mu_error > 0:
        return best.mu_error
    d, intensity = model.dependence, np.abs(model.fixed.intensity).sum(axis=0)
    linear, square = float(intensity @ np.maximum(d.slope, 0.0)), float(intensity @ d.square)
    return float(2.0 / (linear + np.sqrt(linear * linear + 4.0 * square)))


def last_return(model: Model, data: Data) -> float:
    """Return the largest mu at which a bin expects what it has, or as without signal; 0 without squares of mu.

    Beyond, the likelihood of the data, and of data without signal, falls.
    """
    a, b, c = model.parabolas(model.theta(0.0))
    curved = c > 0
    if not curved.any():
        return 0.0
    excess = np.maximum(data.observed.visits.n[: a.size] - a, 0.0)[curved]
    return max(0.0, float(np.max(roots(-excess, b[curved], c[curved]))))


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
    """Return -log L (n,), minimised over the nuisances, at each strength (n,); arguments as in :func:`fit`.

    It is infinite where data are impossible.
    """
    data = model.data(observed, auxiliary)
    return np.array([one.nll for one in fits_at(model, data, finite_array(mu, "mu").tolist())[1]])


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
        Larger the less the data agree with the hypothesis under test; infinite if they are impossible under it.

    Raises
    ------
    InputError, FitError
        As :func:`fit`; or if 0 or `mu` is out of bounds, where the best fit is not the best.
    """
    data, mu = model.data(observed, auxiliary), finite_number(mu, "mu")
    lower, upper = model.bounds[0][0], model.bounds[1][0]
    if not lower - _EDGE <= min(mu, 0.0) <= max(mu, 0.0) <= upper + _EDGE:
        raise InputError("mu_bounds", f"are ({lower:g}, {upper:g})", f"Let them contain 0 and {mu:g}")
    best, (at_test, at_zero) = fits_at(model, data, (mu, 0.0))
    return float(statistic_of_minima(statistic, best.nll, best.mu, mu, at_test.nll, at_zero.nll))


def statistic_of_minima(
    name: str, nll_best: ArrayLike, mu_hat: ArrayLike, mu: float, nll_mu: ArrayLike, nll_zero: ArrayLike
) -> Any:
    """Return a statistic, infinite where data are impossible at the strength that they are compared with."""
    at_mu, at_zero = (np.where(np.equal(nll, np.inf), _IMPOSSIBLE, nll) for nll in (nll_mu, nll_zero))
    q = statistic_from(name, nll_best=nll_best, mu_hat=mu_hat, mu=mu, nll_mu=at_mu, nll_zero=at_zero)
    return np.where(np.abs(q) > _IMPOSSIBLE, np.copysign(np.inf, q), q)


@dataclass(frozen=True)
class Interval(Record):
    """A likelihood interval of mu: the range around its best value, where there may be others with several minima.

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
    data = model.data(observed, auxiliary)
    z = float(p_to_z(tail_of(level)))
    best = fit_data(model, data)
    step = z * step_of(model, best)
    lower, upper = model.bounds[0][0], model.bounds[1][0]
    best, _ = fits_at(model, data, [mu for mu in (best.mu - step, best.mu + step) if lower < mu < upper])

    def rise(mu: float) -> float:
        return fit_held(model, data, mu, best).nll - best.nll - 0.5 * z * z

    parts = _PARTS if model.has_squares else 1  # not to step over a range that is excluded
    sides = ((-1.0, lower), (1.0, upper))
    ends = [_crossing(rise, best.mu, sign * step / parts, bound, parts) for sign, bound in sides]
    return Interval(best.mu, ends[0], ends[1], level, z)


def _crossing(rise: Callable[[float], float], start: float, step: float, bound: float, parts: int) -> float:
    """Return where `rise` becomes positive from `start` on in the direction of the step, or the bound.

    Steps are doubled after as many as there are parts. Beyond the bound, or where a value is infinite, data are
    impossible.
    """
    inner, wall, tolerance = start, np.inf * step, 1e-10 * abs(step)
    for taken in range(200 * parts):
        outer = inner + step
        beyond = (outer - bound) * step >= 0
        outer = bound - 1e-9 * abs(bound - start) * np.sign(step) if beyond else outer
        value = rise(outer)
        if np.isinf(value):
            if abs(outer - inner) < tolerance:
                return float(outer)
            wall, step = outer, 0.5 * (outer - inner)
            continue
        if value > 0:
            return float(brentq(rise, inner, outer, xtol=tolerance, rtol=1e-12))
        if beyond:
            return float(bound)
        longer = 2.0 * step if taken % parts == parts - 1 else step
        inner, step = outer, longer if np.isinf(wall) else 0.5 * (wall - outer)
    raise FitError(f"the likelihood does not rise between {start:g} and {outer:g}: mu is not determined by the data")

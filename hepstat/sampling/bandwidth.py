"""How wide kernels are: rules, cross-validation, and factors that adapt to the local density."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.optimize import minimize_scalar

from hepstat.checks import positive_number
from hepstat.errors import InputError
from hepstat.ratio.bins import effective_size
from hepstat.sampling.density import Kernels
from hepstat.types import Floats, Ints

__all__ = ["Bandwidth", "Part", "bandwidth_factor", "local_factors"]

Bandwidth = Literal["scott", "silverman", "cross-validation"] | float

_SPAN = 8.0  # a cross-validated factor is within this of Scott's
_EDGE = 0.02  # share of the range, in logarithms, where it counts as at the lower end
_PRECISION = 1e-3  # of the logarithm of the factor


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the events (s, d), with weights (s,), and their numbers (s,) among all."""

    x: Floats
    w: Floats
    index: Ints


def bandwidth_factor(bandwidth: Bandwidth, kernels: Kernels, w: Floats, part: Part) -> float:
    """Return the standard deviation of kernels in units of that of the events.

    Parameters
    ----------
    bandwidth : str or float
    kernels : Kernels
    w : ndarray, (m,)
        Weights of all events.
    part : Part
        Events for cross-validation.

    Raises
    ------
    InputError
        For an unknown rule, or if cross-validation ends at kernels without width.
    """
    c, n = kernels.columns.size, effective_size(w)
    if isinstance(bandwidth, str):
        if bandwidth == "scott":
            return _scott(n, c)
        if bandwidth == "silverman":
            return float((n * (c + 2.0) / 4.0) ** (-1.0 / (c + 4.0)))
        if bandwidth == "cross-validation":
            return _cross_validated(kernels, part) * scaling(n, part, c)
        remedy = "Choose 'scott', 'silverman', 'cross-validation' or a factor"
        raise InputError("bandwidth", f"is {bandwidth!r}", remedy)
    return positive_number(bandwidth, "bandwidth")


def scaling(n: float, part: Part, c: int) -> float:
    """Return by how much narrower kernels of n effective events are than those of a part, n^(-1/(c + 4))."""
    return float((n / effective_size(part.w)) ** (-1.0 / (c + 4.0)))


def local_factors(kernels: Kernels, x: Floats, w: Floats, factor: float, alpha: float, part: Part) -> Floats:
    """Return factors (f_i / g)^-alpha (m,) by which kernels of events are wider, with the geometric mean g of f.

    The pilot density f_i at an event is that of the part together with the event itself, so that it is never zero.
    """
    pilot = factor / scaling(effective_size(w), part, kernels.columns.size)
    widths = np.full(part.w.size, pilot)
    log_f = kernels.log_sums(x, part.x, part.w, widths)
    outside = np.ones(len(x), dtype=np.bool_)
    outside[part.index] = False
    total = np.full(len(x), part.w.sum())
    if outside.any():
        itself = kernels.log_own(x[outside], pilot) + np.log(w[outside])
        log_f[outside] = np.logaddexp(log_f[outside], itself)
        total[outside] += w[outside]
    log_f -= np.log(total)
    return np.asarray(np.exp(-alpha * (log_f - np.average(log_f, weights=w))))


def _scott(n: float, c: int) -> float:
    return float(n ** (-1.0 / (c + 4.0)))


def _cross_validated(kernels: Kernels, part: Part) -> float:
    """Return the factor with the largest likelihood of each event under the kernels of the others."""
    own = np.arange(part.w.size)
    others = np.log(part.w.sum() - part.w)

    def loss(log_factor: float) -> float:
        widths = np.full(part.w.size, np.exp(log_factor))
        log_f = kernels.log_sums(part.x, part.x, part.w, widths, own=own) - others
        known = np.isfinite(log_f)  # an event that is alone with its discrete values says nothing of widths
        if not known.any():
            raise InputError("events", "have discrete values all of their own", "Choose another bandwidth")
        return -float(np.average(log_f[known], weights=part.w[known]))

    start = np.log(_scott(effective_size(part.w), kernels.columns.size))
    low, high = start - np.log(_SPAN), start + np.log(_SPAN)
    found: Any = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": _PRECISION})
    if found.x < low + _EDGE * (high - low):
        problem = "have a cross-validated bandwidth near zero: they repeat, or their values are rounded"
        raise InputError("events", problem, "Use 'scott' or 'silverman', or declare such columns as discrete")
    return float(np.exp(found.x))

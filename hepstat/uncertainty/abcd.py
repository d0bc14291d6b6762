"""The ABCD method: background of a signal region from three control regions of two independent features.

Region A has both features above their cuts, B the first only, C the second only, D neither. Independence of the
features in background means N_A N_D = N_B N_C.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from hepstat.checks import finite_array, finite_number, nonnegative_number
from hepstat.errors import InputError
from hepstat.infer import p_to_z
from hepstat.infer.deviance import unchecked_half_deviance
from hepstat.infer.intervals import tail_of
from hepstat.record import Record
from hepstat.types import Bools, Floats
from hepstat.uncertainty.correlation import event_arrays

__all__ = ["AbcdEstimate", "abcd", "abcd_counts", "region_sums"]


@dataclass(frozen=True, repr=False)
class AbcdEstimate(Record):
    """Background of region A.

    Parameters
    ----------
    estimate : float
        N_B N_C / N_D. Without events in D it is infinite, or NaN if B or C is empty too.
    error : float
        Its standard deviation by propagation; infinite or NaN with the estimate.
    lower, upper : float
        Ends of the interval. Without events in D a propagated one says nothing: NaN.
    level : float
        Its confidence level.
    method : str
        "propagated" or "profile".
    n_b, n_c, n_d : float
        Events, or sums of weights.
    non_closure : float
        Relative systematic uncertainty that is included.
    """

    estimate: float
    error: float
    lower: float
    upper: float
    level: float
    method: str
    n_b: float
    n_c: float
    n_d: float
    non_closure: float

    def __repr__(self) -> str:
        """Show the estimate, its interval and what it is made of."""
        return (
            f"AbcdEstimate({self.estimate:.4g} +- {self.error:.3g}, [{self.lower:.4g}, {self.upper:.4g}] at "
            f"{self.level:g} ({self.method}); B {self.n_b:g}, C {self.n_c:g}, D {self.n_d:g})"
        )


def abcd(
    n_b: float,
    n_c: float,
    n_d: float,
    *,
    variances: ArrayLike | None = None,
    non_closure: float = 0.0,
    method: Literal["profile", "propagated"] = "profile",
    level: float = 0.6827,
) -> AbcdEstimate:
    """Estimate the background of the signal region, N_A = N_B N_C / N_D.

    Parameters
    ----------
    n_b, n_c, n_d : float
        Counts or sums of weights of the control regions, at least 0. From events: ``abcd(*sums[1:],
        variances=squares[1:])`` with what :func:`abcd_counts` returns.
    variances : array_like, (3,), optional
        Sums of squared weights of B, C and D; the counts themselves if left out. A region with a sum W and a variance V
        counts as W^2 / V events.
    non_closure : float, optional
        Relative systematic uncertainty of the method, such as that of :func:`abcd_closure`.
    method : {"profile", "propagated"}, optional
        How the interval is made: of the profile likelihood, right for few events to the accuracy of Wilks' theorem; or
        estimate and error, cut at 0.
    level : float, optional
        Confidence level.

    Returns
    -------
    AbcdEstimate

    Raises
    ------
    InputError
        For negative numbers, or events without variance or the other way round.

    Notes
    -----
    An empty region counts as one event in the error (as one of average weight, where there are weights), since 0 +- 0
    would claim that its mean is known. Then the profile interval is better: it begins at 0 if B or C is empty, and has
    no upper end if D is.

    For means b, c, d with log b + log c - log d + s theta = log N_A fixed, s the non-closure and theta its nuisance
    parameter with a normal constraint, the likelihood is largest at b = n_b + l, c = n_c + l, d = n_d - l, theta = s l,
    with l the multiplier of Lagrange. So every value of l gives N_A and its likelihood ratio in closed form.
    """
    counts = finite_array([n_b, n_c, n_d], "counts of B, C and D")
    squares = counts if variances is None else finite_array(variances, "variances")
    if squares.size != 3 or (counts < 0).any() or ((counts > 0) != (squares > 0)).any():
        problem = f"are {counts} with variances {squares}"
        raise InputError(
            "counts of B, C and D", problem, "Pass numbers of at least 0, with variances above 0 if they are"
        )
    nonclosure = nonnegative_number(non_closure, "non_closure")
    if method not in ("profile", "propagated"):
        raise InputError("method", f"is {method!r}", "Choose 'profile' or 'propagated'")
    tail = tail_of(level)
    overall = squares.sum() / counts.sum() if counts.any() else 1.0
    scales = np.divide(squares, counts, out=np.full(3, overall), where=counts > 0)
    estimate, error = _propagated(counts, scales, nonclosure)
    z = float(p_to_z(tail))
    if method == "profile":
        lower, upper = _profile_interval(counts / scales, scales, nonclosure, z)
    else:
        lower, upper = max(estimate - z * error, 0.0), estimate + z * error
    return AbcdEstimate(
        estimate, error, lower, upper, float(level), method, float(n_b), float(n_c), float(n_d), nonclosure
    )


def abcd_counts(
    x: ArrayLike, y: ArrayLike, x_cut: float, y_cut: float, weights: ArrayLike | None = None
) -> tuple[Floats, Floats]:
    """Return what the regions A, B, C and D hold.

    Parameters
    ----------
    x, y : array_like, (n,)
        The two features of each event.
    x_cut, y_cut : float
        A has x >= x_cut and y >= y_cut, B the former only, C the latter only, D neither.
    weights : array_like, (n,), optional
        At least 0; 1 by default.

    Returns
    -------
    sums, squares : ndarray, (4,)
        Sums of weights and of their squares.

    Raises
    ------
    InputError
        For unusable arrays or cuts.
    """
    first, second, w = event_arrays(x, y, weights, ("x", "y"))
    above = first >= finite_number(x_cut, "x_cut"), second >= finite_number(y_cut, "y_cut")
    return region_sums(*above, w), region_sums(*above, w**2)


def region_sums(first: Bools, second: Bools, w: Floats) -> Floats:
    """Return sums (4,) over A, B, C and D by whether events are above the cuts."""
    return np.asarray(np.bincount(2 * (~first).astype(np.int64) + ~second, w, 4), dtype=np.float64)


def _propagated(counts: Floats, scales: Floats, non_closure: float) -> tuple[float, float]:
    """Return N_B N_C / N_D and its standard deviation."""
    b, c, d = counts
    if d == 0:
        return (math.inf, math.inf) if b > 0 and c > 0 else (math.nan, math.nan)
    sigma_b, sigma_c, sigma_d = np.sqrt(scales * np.where(counts > 0, counts, scales))
    if b == 0 and c == 0:
        return 0.0, float(sigma_b * sigma_c / d)
    estimate = float(b * c / d)
    return estimate, math.hypot(c * sigma_b / d, b * sigma_c / d, estimate * sigma_d / d, estimate * non_closure)


def _profile_interval(n: Floats, scales: Floats, non_closure: float, z: float) -> tuple[float, float]:
    """Return where twice the log likelihood ratio is z^2, for effective counts (3,) of B, C and D."""
    signs = np.array([1.0, 1.0, -1.0])

    def excess(multiplier: float) -> float:
        means = np.maximum(n + signs * multiplier, 0.0)
        deviance = 2.0 * float(unchecked_half_deviance(n - means, means).sum())
        return min(deviance + (non_closure * multiplier) ** 2 - z**2, 1e300)

    def background(multiplier: float) -> float:
        with np.errstate(divide="ignore"):
            logs = np.log(np.maximum(n + signs * multiplier, 0.0) * scales)
        return math.exp(float(signs @ logs) + non_closure**2 * multiplier)

    most_down, most_up = min(n[0], n[1]), n[2]
    lower = background(brentq(excess, -most_down, 0.0)) if most_down > 0 else 0.0
    upper = background(brentq(excess, 0.0, most_up)) if most_up > 0 else math.inf
    return lower, upper

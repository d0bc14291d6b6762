"""Goodness of fit of binned counts, plain and weighted: the saturated likelihood and Pearson's chi2.

Weighted bins are scaled Poisson counts (Bohm and Zech, arXiv:1309.1287): a bin with sum of weights W and sum
of squared weights V counts as W s events with s = W/V. Empty bins, and bins whose sum is not positive, have
no scale of their own and take the overall one, sum W / sum V.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from hepstat.checks import finite_array, whole_number
from hepstat.errors import InputError
from hepstat.fit.data import poisson_scale
from hepstat.infer.deviance import unchecked_half_deviance
from hepstat.types import Floats

__all__ = ["GoodnessOfFit", "goodness_of_fit", "pulls"]

_FEW = 5.0  # expected counts below which the chi2 distribution is doubtful


@dataclass(frozen=True, slots=True)
class GoodnessOfFit:
    """Outcome of a goodness-of-fit test.

    Parameters
    ----------
    statistic : float
        Value of the test statistic; inf where the model excludes something that was observed.
    ndof : int
        Bins that say something, less the fitted parameters.
    p_value : float or None
        Upper tail of chi2 with `ndof` degrees of freedom, or None if there are no degrees of freedom.
    method : str
        ``"saturated"`` or ``"pearson"``.
    warning : str or None
        Why the p-value is missing or doubtful.
    """

    statistic: float
    ndof: int
    p_value: float | None
    method: str
    warning: str | None = None


def goodness_of_fit(
    observed: ArrayLike,
    expected: ArrayLike,
    variances: ArrayLike | None = None,
    *,
    n_parameters: int = 0,
    method: Literal["saturated", "pearson"] = "saturated",
) -> GoodnessOfFit:
    """Test binned data against their fitted expectation.

    Parameters
    ----------
    observed : array_like, shape (n_bins,)
        Counts, or sums of weights.
    expected : array_like, shape (n_bins,)
        Fitted means, at least 0. A bin where both are 0 is left out.
    variances : array_like, shape (n_bins,), optional
        Sums of squared weights; None, or the counts themselves, for plain counts.
    n_parameters : int, optional
        Number of parameters fitted to these data.
    method : {"saturated", "pearson"}
        ``"saturated"``: twice the log ratio to the model that fits every bin exactly (Baker and Cousins
        1984, eq. 16). ``"pearson"``: squared residuals over expected variances; the only one that takes
        bins with a negative sum of weights.

    Returns
    -------
    GoodnessOfFit
        With a warning where bins expect fewer than 5 (effective) counts: the distribution of the
        statistic is then not quite chi2, and toys are the remedy.

    Raises
    ------
    InputError
        If the arrays are unusable, or the method is unknown or does not take negative bins.
    """
    n, mu, scale = _bins(observed, expected, variances)
    used = (n != 0) | (mu > 0)
    ndof = int(used.sum()) - whole_number(n_parameters, "n_parameters")
    if method == "saturated":
        statistic = float((2.0 * _scaled_half_deviance(n, mu, scale)).sum())
    elif method == "pearson":
        statistic = float(np.square(_pearson(n, mu, scale)).sum())
    else:
        raise InputError("method", f"is {method!r}", "Choose 'saturated' or 'pearson'")
    n_few = int(((mu * scale)[used] < _FEW).sum())
    if ndof <= 0:
        reason = f"no degrees of freedom: {int(used.sum())} bins with content, {n_parameters} parameters; no p-value"
        return GoodnessOfFit(statistic, ndof, None, method, reason)
    note: str | None = None
    if n_few:
        effective = "effective " if np.any(scale != 1.0) else ""
        note = (
            f"{n_few} of {int(used.sum())} bins expect fewer than {_FEW:g} {effective}counts: "
            "the chi2 distribution is doubtful, merge bins or throw toys"
        )
    if np.isinf(statistic):
        note = f"the model expects nothing in {int(((mu == 0) & (n != 0)).sum())} bins where data were observed"
    return GoodnessOfFit(statistic, ndof, float(chdtrc(ndof, statistic)), method, note)


def pulls(
    observed: ArrayLike,
    expected: ArrayLike,
    variances: ArrayLike | None = None,
    *,
    kind: Literal["pearson", "deviance", "observed"] = "pearson",
) -> Floats:
    """Residual of each bin in units of its standard deviation.

    Parameters
    ----------
    observed : array_like, shape (n_bins,)
        Counts, or sums of weights.
    expected : array_like, shape (n_bins,)
        Fitted means, at least 0.
    variances : array_like, shape (n_bins,), optional
        Sums of squared weights; None, or the counts themselves, for plain counts.
    kind : {"pearson", "deviance", "observed"}
        ``"pearson"``: residual over the expected standard deviation. ``"deviance"``: signed root of the
        bin's share in the saturated statistic, closer to normal at small counts. ``"observed"``: residual
        over the observed standard deviation, as drawn with data error bars; 0 counts take the expected one.

    Returns
    -------
    ndarray, shape (n_bins,)
        Pulls; 0 where observed and expected are both 0, +-inf where only the mean is 0.

    Raises
    ------
    InputError
        If the arrays are unusable, or the kind is unknown or does not take negative bins.
    """
    n, mu, scale = _bins(observed, expected, variances)
    if kind == "deviance":
        return np.copysign(np.sqrt(2.0 * _scaled_half_deviance(n, mu, scale)), n - mu)
    if kind == "pearson":
        return _pearson(n, mu, scale)
    if kind != "observed":
        raise InputError("kind", f"is {kind!r}", "Choose 'pearson', 'deviance' or 'observed'")
    seen = n if variances is None else finite_array(variances, "variances")
    return _over_sigma(n - mu, np.where(seen > 0, seen, mu / scale))


def _bins(observed: ArrayLike, expected: ArrayLike, variances: ArrayLike | None) -> tuple[Floats, Floats, Floats]:
    """Check the arrays and return them with the effective counts per unit of weight in each bin."""
    n, mu = finite_array(observed, "observed"), finite_array(expected, "expected")
    _same_length(mu, n, "expected")
    _not_negative(mu, "expected", "Fit a model that is positive everywhere")
    if variances is None:
        _not_negative(n, "observed", "Pass the sums of squared weights as variances if these are weighted bins")
        return n, mu, np.ones_like(n)
    v = finite_array(variances, "variances")
    _same_length(v, n, "variances")
    _not_negative(v, "variances", "Pass sums of squared weights")
    if np.any((v == 0) & (n != 0)):
        raise InputError("variances", "is 0 in a bin that is not empty", "Pass sums of squared weights")
    if np.array_equal(n, v):
        return n, mu, np.ones_like(n)  # counts, even if there are none
    if n.sum() <= 0:
        raise InputError("observed", f"has a total weight of {n.sum():g}", "Pass a total above zero")
    return n, mu, poisson_scale(n, v)


def _scaled_half_deviance(n: Floats, mu: Floats, scale: Floats) -> Floats:
    _not_negative(n, "observed", "Merge bins until every sum is positive, or use the Pearson form")
    return unchecked_half_deviance((n - mu) * scale, mu * scale)


def _pearson(n: Floats, mu: Floats, scale: Floats) -> Floats:
    return _over_sigma(n - mu, mu / scale)


def _over_sigma(residual: Floats, variance: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = residual / np.sqrt(variance)
    return np.where(residual == 0, 0.0, pull)


def _same_length(array: Floats, n: Floats, name: str) -> None:
    if array.shape != n.shape:
        raise InputError(name, f"has {array.size} bins, observed has {n.size}", "Pass one entry per bin")


def _not_negative(array: Floats, name: str, remedy: str) -> None:
    bad = array < 0
    if bad.any():
        first = int(np.argmax(bad))
        raise InputError(name, f"is {array[first]:g} in bin {first} ({int(bad.sum())} negative bins)", remedy)

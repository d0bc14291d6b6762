"""Goodness of fit and pulls of a finished fit, from the bins that took part."""

from dataclasses import replace
from typing import Literal

import numpy as np
from scipy.special import chdtrc

from hepstat.fit import FitResult
from hepstat.infer.goodness import GoodnessOfFit, goodness_of_fit, pulls
from hepstat.types import Floats

__all__ = ["fit_goodness", "fit_pulls"]


def fit_goodness(result: FitResult, *, method: Literal["saturated", "pearson"] = "saturated") -> GoodnessOfFit:
    """Test a fit against the bins that it used, or an unbinned fit against bins to show it in.

    Parameters
    ----------
    result : FitResult
    method : {"saturated", "pearson"}
        See :func:`hepstat.infer.goodness_of_fit`; Pearson's is taken where a bin has a negative sum of weights.

    Returns
    -------
    GoodnessOfFit
        With as many degrees of freedom as there are bins with content and constraints, less the floating parameters;
        the statistic contains the constraints' share.

    Raises
    ------
    InputError
        For an unknown method, or weighted bins whose sum is not positive.
    """
    observed, expected, variances = _used(result)
    chosen = "pearson" if (observed < 0).any() else method
    k = result.n_floating - result.n_constraints
    bare = goodness_of_fit(observed, expected, variances, n_parameters=k, method=chosen)
    if result.n_constraints == 0:
        return bare
    statistic = bare.statistic + result.constraint_chi2
    return replace(bare, statistic=statistic, p_value=float(chdtrc(bare.ndof, statistic)) if bare.ndof > 0 else None)


def fit_pulls(result: FitResult) -> Floats:
    """Return Pearson pulls of all bins of a fit (bins,), 0 in bins that it left out."""
    out = np.zeros(result.used.size)
    out[result.used] = pulls(*_used(result))
    return out


def _used(result: FitResult) -> tuple[Floats, Floats, Floats]:
    used = result.used
    observed, variances = result.observed[used], result.variances[used]
    expected = np.maximum(result.expected[used], 0.0)
    return observed, expected, variances

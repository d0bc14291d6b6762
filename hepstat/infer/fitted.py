"""Goodness of fit and pulls of a finished fit, from the bins that took part."""

from typing import Literal

import numpy as np

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
        With as many degrees of freedom as there are bins with content, less the floating parameters.
    """
    observed, expected, variances = _used(result)
    chosen = "pearson" if (observed < 0).any() else method
    return goodness_of_fit(observed, expected, variances, n_parameters=result.n_floating, method=chosen)


def fit_pulls(result: FitResult) -> Floats:
    """Return Pearson pulls of all bins of a fit (bins,), 0 in bins that it left out."""
    out = np.zeros(result.used.size)
    out[result.used] = pulls(*_used(result))
    return out


def _used(result: FitResult) -> tuple[Floats, Floats, Floats | None]:
    used = result.used
    observed, variances = result.observed[used], result.variances[used]
    expected = np.maximum(result.expected[used], 0.0)
    return observed, expected, None if np.array_equal(observed, variances) else variances

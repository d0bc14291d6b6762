"""Closure: whether background reweighted by a ratio looks like signal, feature by feature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.special import chdtrc

from hepstat.checks import column_names, finite_array, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.ratio.bins import Weighted, chi_square, quantile_edges
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["Closure", "close", "ratios_of", "survival"]


@dataclass(frozen=True, eq=False)
class Closure(Record):
    """Shares of a target, and of another sample reweighted to look like it, in bins of d features.

    Attributes
    ----------
    features : tuple of str
        Names of the features.
    edges : ndarray, (d, k + 1)
        Edges of the bins; with fewer bins for a feature, NaN fills its row up, in all arrays.
    target, reweighted, original : ndarray, (d, k)
        Shares of the bins in the target, and in the other sample with and without the ratio, each normalised to one:
        shapes are compared, whatever the normalisation of the ratio.
    target_errors, reweighted_errors : ndarray, (d, k)
        Standard errors.
    chi2, ndf, p : ndarray, (d,)
        Of target and reweighted, with the covariance of shares of weighted events.
    """

    features: tuple[str, ...]
    edges: Floats
    target: Floats
    target_errors: Floats
    reweighted: Floats
    reweighted_errors: Floats
    original: Floats
    chi2: Floats
    ndf: Floats
    p: Floats


def close(
    target: tuple[Floats, Floats],
    other: tuple[Floats, Floats],
    ratios: Floats,
    *,
    bins: int,
    min_events: float,
    features: Sequence[str] | None,
) -> Closure:
    """Return the closure of events (n, d) with weights (n,), the other times its ratios."""
    bins, least = whole_number(bins, "bins", at_least=2), positive_number(min_events, "min_events")
    (x, w), (x_other, w_other) = target, other
    weighted = w_other * ratios
    if not weighted.sum() > 0:
        raise InputError("ratio", f"leaves a sum of weights of {weighted.sum():g}", "Use ratios above zero")
    names = column_names(features, x.shape[1], "features")
    rows = []
    for j in range(x.shape[1]):
        samples = [Weighted(x[:, j], w), Weighted(x_other[:, j], weighted)]
        inner = quantile_edges(samples, bins, least)
        rows.append(_row(samples, Weighted(x_other[:, j], w_other), inner))
    width = max(row.target.size for row in rows)
    columns = {name: [getattr(row, name) for row in rows] for name in _Row._fields}
    return Closure(
        features=names,
        edges=_table(columns["edges"], width + 1),
        target=_table(columns["target"], width),
        target_errors=_table(columns["target_errors"], width),
        reweighted=_table(columns["reweighted"], width),
        reweighted_errors=_table(columns["reweighted_errors"], width),
        original=_table(columns["original"], width),
        chi2=np.array(columns["chi2"]),
        ndf=np.array(columns["ndf"], dtype=np.float64),
        p=np.array(columns["p"]),
    )


class _Row(NamedTuple):
    """The closure of one feature, see :class:`Closure`."""

    edges: Floats
    target: Floats
    target_errors: Floats
    reweighted: Floats
    reweighted_errors: Floats
    original: Floats
    chi2: float
    ndf: int
    p: float


def _row(samples: list[Weighted], original: Weighted, inner: Floats) -> _Row:
    """Return the closure of one feature of the target and the reweighted sample, in bins between inner edges."""
    (f, covariance), (g, covariance_g) = (sample.shares(inner) for sample in samples)
    chi2, ndf = chi_square(f - g, covariance + covariance_g)
    values = np.concatenate([sample.values for sample in samples])
    edges = np.concatenate([[values.min()], inner, [values.max()]])
    errors, errors_g = (np.sqrt(np.maximum(np.diag(matrix), 0.0)) for matrix in (covariance, covariance_g))
    before = original.shares(inner)[0]
    return _Row(edges, f, errors, g, errors_g, before, chi2, ndf, survival(chi2, ndf))


def survival(chi2: float, ndf: int) -> float:
    """Return the probability of a larger chi^2; 1 where there is nothing to compare."""
    return float(chdtrc(ndf, chi2)) if ndf else 1.0


def _table(rows: list[Floats], width: int) -> Floats:
    """Return rows of different lengths as one array (d, width), filled up with NaN."""
    return np.array([np.pad(row, (0, width - row.size), constant_values=np.nan) for row in rows])


def ratios_of(ratio: Callable[[Any], Floats], x: Any) -> Floats:
    """Return the ratios of events (n,), or raise InputError if some are negative or not finite."""
    r = finite_array(ratio(x), "ratio")
    if (r < 0).any():
        raise InputError("ratio", f"is {r.min():g} for one of {int((r < 0).sum())} events", "Pass ratios of at least 0")
    return r

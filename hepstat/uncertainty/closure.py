"""Whether the ABCD method closes: predicted against observed background over many boundaries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc

from hepstat.checks import finite_array, finite_number
from hepstat.errors import InputError
from hepstat.record import Record
from hepstat.types import Floats, Ints
from hepstat.uncertainty.abcd import region_sums
from hepstat.uncertainty.correlation import event_arrays, inverse_covariance, pearson, spearman

__all__ = ["AbcdClosure", "abcd_closure"]


@dataclass(frozen=True, eq=False, repr=False)
class AbcdClosure(Record):
    """Closure of the ABCD method for m boundaries of the first score and k of the second.

    Parameters
    ----------
    thresholds1, thresholds2 : array, (m,) and (k,)
        Boundaries.
    observed, predicted : array, (m, k)
        Sum of weights in A, and N_B N_C / N_D.
    ratio, error : array, (m, k)
        Observed over predicted, and its standard error; NaN if one of the regions is empty.
    chi2, ndof, p : float, int and float
        Test of independence in the table of all (m + 1) (k + 1) cells between the boundaries; each event is in one of
        them. p is NaN without degrees of freedom.
    pearson, spearman : float
        Correlations of the scores.
    non_closure : float
        Relative systematic uncertainty: root of the mean over boundaries of (ratio - 1)^2 less its statistical
        variance, or 0 if that is negative.
    n_events : int
        Events that took part.
    """

    thresholds1: Floats
    thresholds2: Floats
    observed: Floats
    predicted: Floats
    ratio: Floats
    error: Floats
    chi2: float
    ndof: int
    p: float
    pearson: float
    spearman: float
    non_closure: float
    n_events: int

    @property
    def pulls(self) -> Floats:
        """(ratio - 1) / error, (m, k). Those of near boundaries are correlated, as they share events."""
        return (self.ratio - 1.0) / self.error

    def __repr__(self) -> str:
        """Show the test of independence and the non-closure."""
        return (
            f"AbcdClosure(chi2 / ndof = {self.chi2:.1f} / {self.ndof}, p = {self.p:.3g}; non-closure "
            f"{self.non_closure:.2%}; Pearson {self.pearson:.4f}, Spearman {self.spearman:.4f}; {self.n_events} events)"
        )


def abcd_closure(
    score1: ArrayLike,
    score2: ArrayLike,
    thresholds1: ArrayLike,
    thresholds2: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    below1: float | None = None,
    below2: float | None = None,
) -> AbcdClosure:
    """Test the ABCD method on background, simulated or of a validation region.

    Parameters
    ----------
    score1, score2 : array_like, (n,)
        The two features of each event.
    thresholds1, thresholds2 : array_like, (m,) and (k,)
        Rising boundaries; all pairs of them are tried.
    weights : array_like, (n,), optional
        At least 0; 1 by default.
    below1, below2 : float, optional
        Take part only events with scores below these: a validation region without the signal region of data.

    Returns
    -------
    AbcdClosure

    Raises
    ------
    InputError
        For unusable arrays, boundaries that do not rise or are beyond the validation region, or no events there.

    Notes
    -----
    The covariance of cells of the table is what sum w and sum w^2 of rows and columns give under independence, weights
    included (each a factor for the row times one for the column, on average), so that chi2 is that of Pearson for equal
    weights. Rows and columns without events are no degrees of freedom.
    """
    a, b, w = event_arrays(score1, score2, weights, ("score1", "score2"))
    inside = np.ones(a.size, dtype=np.bool_)
    cuts = []
    for name, values, thresholds, limit in (("1", a, thresholds1, below1), ("2", b, thresholds2, below2)):
        cut = finite_array(thresholds, f"thresholds{name}")
        if (np.diff(cut) <= 0).any():
            raise InputError(f"thresholds{name}", f"do not rise: {cut}", "Pass rising boundaries")
        if limit is not None:
            inside &= values < finite_number(limit, f"below{name}")
            if cut[-1] >= limit:
                problem = f"reach {cut[-1]:g}, beyond below{name} = {limit:g}"
                raise InputError(f"thresholds{name}", problem, "Pass boundaries within the validation region")
        cuts.append(cut)
    a, b, w = a[inside], b[inside], w[inside]
    if not w.sum() > 0:
        raise InputError("below1", "and below2 leave no events", "Pass a larger validation region")
    sums = np.array([[region_sums(a >= u, b >= v, w) for v in cuts[1]] for u in cuts[0]])
    squares = np.array([[region_sums(a >= u, b >= v, w**2) for v in cuts[1]] for u in cuts[0]])
    with np.errstate(divide="ignore", invalid="ignore"):
        predicted = sums[..., 1] * sums[..., 2] / sums[..., 3]
        ratio = np.where((sums > 0).all(axis=-1), sums[..., 0] / predicted, np.nan)
        error = ratio * np.sqrt((squares / sums**2).sum(axis=-1))
    chi2, ndof = _independence(np.searchsorted(cuts[0], a, "right"), np.searchsorted(cuts[1], b, "right"), w)
    known = np.isfinite(ratio)
    surplus = float(np.mean((ratio[known] - 1.0) ** 2 - error[known] ** 2)) if known.any() else np.nan
    return AbcdClosure(
        thresholds1=cuts[0],
        thresholds2=cuts[1],
        observed=sums[..., 0],
        predicted=predicted,
        ratio=ratio,
        error=error,
        chi2=chi2,
        ndof=ndof,
        p=float(chdtrc(ndof, chi2)) if ndof else np.nan,
        pearson=pearson(a, b, w),
        spearman=spearman(a, b, w),
        non_closure=float(np.sqrt(np.maximum(surplus, 0.0))),
        n_events=int(inside.sum()),
    )


def _independence(rows: Ints, columns: Ints, w: Floats) -> tuple[float, int]:
    """Return chi2 and degrees of freedom of a table of weights against the product of its margins."""
    n = int(columns.max()) + 1
    tables = (np.bincount(rows * n + columns, v, (int(rows.max()) + 1) * n).reshape(-1, n) for v in (w, w**2))
    table, squares = tables
    some = table.sum(axis=1) > 0, table.sum(axis=0) > 0
    table, squares = (each[some[0]][:, some[1]] for each in (table, squares))
    total = float(table.sum())
    off = table - table.sum(axis=1, keepdims=True) * table.sum(axis=0) / total
    of_rows, of_columns = (inverse_covariance(table.sum(axis=i) / total, squares.sum(axis=i)) for i in (1, 0))
    chi2 = float(squares.sum()) * float(((of_rows @ off @ of_columns) * off).sum())
    return max(chi2, 0.0), (table.shape[0] - 1) * (table.shape[1] - 1)

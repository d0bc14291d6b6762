"""Whether a score says anything about a mass: correlations, shapes of the mass in slices of the score, efficiencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import chdtrc, rel_entr

from hepstat.checks import open_share, rising_edges, whole_number
from hepstat.errors import InputError
from hepstat.infer import toy_p_value
from hepstat.ratio.bins import Weighted, quantiles
from hepstat.record import Record
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Bools, Floats, Ints
from hepstat.uncertainty.correlation import (
    distance_correlation,
    event_arrays,
    inverse_covariance,
    pearson,
    spearman,
    unweighted,
)

__all__ = ["Decorrelation", "decorrelation"]


@dataclass(frozen=True, eq=False, repr=False)
class Decorrelation(Record):
    """How a score depends on a mass.

    Parameters
    ----------
    pearson, spearman : float
        Weighted linear correlation and rank correlation.
    distance : float
        Distance correlation of a part of the events, above 0 even where there is no dependence.
    distance_p : float
        Share of permutations of these events with one at least as large, ``(k + 1) / (n + 1)``.
    n_events, n_distance : int
        Events, and those that the distance correlation is of.
    mass_edges : array, (m + 1,)
        Bins of the mass.
    slice_edges : array, (s + 1,)
        Slices of the score, with equal shares of the weight where scores are not the same.
    shape : array, (m,)
        Share of the weight in each bin, all events.
    slice_shapes, slice_errors : array, (s, m)
        The same for each slice, and standard errors.
    divergence : array, (s,)
        Jensen-Shannon divergence of each slice from all events, in bits: 0 to 1.
    chi2, chi2_p, ndof : array, (s,)
        Of each slice against all other events, p-value and degrees of freedom; p is NaN without these.
    thresholds, inclusive : array, (t,)
        Cuts on the score, and the share of the weight that is at least there.
    efficiency, efficiency_error : array, (t, m)
        The same in each bin of the mass, with standard errors; NaN in empty bins.
    """

    pearson: float
    spearman: float
    distance: float
    distance_p: float
    n_events: int
    n_distance: int
    mass_edges: Floats
    slice_edges: Floats
    shape: Floats
    slice_shapes: Floats
    slice_errors: Floats
    divergence: Floats
    chi2: Floats
    chi2_p: Floats
    ndof: Floats
    thresholds: Floats
    inclusive: Floats
    efficiency: Floats
    efficiency_error: Floats

    def __repr__(self) -> str:
        """Show the correlations and the slice that differs most."""
        return (
            f"Decorrelation(Pearson {self.pearson:.4f}, Spearman {self.spearman:.4f}, distance correlation "
            f"{self.distance:.4f} of {self.n_distance} events (p = {self.distance_p:.3g}); largest divergence of a "
            f"slice {self.divergence.max():.2g} bits, smallest p {np.nan_to_num(self.chi2_p, nan=1.0).min():.2g})"
        )


def decorrelation(
    score: ArrayLike,
    mass: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    rng: Rng,
    bins: int | ArrayLike = 20,
    slices: int = 4,
    efficiencies: Sequence[float] = (0.5, 0.2, 0.1),
    n_permutations: int = 199,
    most: int = 1000,
) -> Decorrelation:
    """Test whether a score is independent of a mass, for events of background.

    Parameters
    ----------
    score, mass : array_like, (n,)
        Of each event.
    weights : array_like, (n,), optional
        At least 0; 1 by default.
    rng : int, SeedSequence or Generator
        Of the part of the events for the distance correlation, and of its permutations.
    bins : int or array_like, optional
        Bins of the mass, with equal shares of the weight, or their edges; events outside of these are left out.
    slices : int, optional
        Slices of the score, at least 2.
    efficiencies : sequence of float, optional
        Cuts on the score by the share of the weight that they keep.
    n_permutations : int, optional
        The p-value is at least 1 / (n_permutations + 1).
    most : int, optional
        Events of the distance correlation, at most. They are drawn in proportion to their weights; time and memory grow
        with the square (1000 events and 199 permutations take about a second).

    Returns
    -------
    Decorrelation

    Raises
    ------
    InputError
        For unusable arrays or options, or a score or a mass with too few different values.

    Notes
    -----
    chi2 compares the share of a slice in each bin with that of the other events, with the covariance that sum w and
    sum w^2 of bins and slices give if these are independent, weights included (each a factor for the slice times one
    for the bin, on average); for equal weights that is the test of homogeneity. The error of
    an efficiency is that of a weighted binomial (:mod:`hepstat.selection`).
    """
    f, m, w = event_arrays(score, mass, weights, ("score", "mass"))
    key, n_permutations = stream_key(rng), whole_number(n_permutations, "n_permutations", at_least=1)
    mass_edges = _edges(m, w, bins, "bins", "mass")
    binned = (m >= mass_edges[0]) & (m <= mass_edges[-1])
    f, m, w = f[binned], m[binned], w[binned]
    if not w.sum() > 0:
        raise InputError("bins", "hold no weight of the events", "Pass edges around the masses")
    part = unweighted(w, whole_number(most, "most", at_least=10), toy_generator(key, 0))
    value, permuted = distance_correlation(
        f[part], m[part], n_permutations=n_permutations, generator=toy_generator(key, 1)
    )
    slice_edges = _edges(f, w, whole_number(slices, "slices", at_least=2), "slices", "score")
    thresholds = _quantiles(f, w, 1.0 - np.array([open_share(e, "efficiencies") for e in efficiencies]))
    bin_of = np.clip(np.searchsorted(mass_edges, m, side="right") - 1, 0, mass_edges.size - 2)
    slice_of = np.clip(np.searchsorted(slice_edges, f, side="right") - 1, 0, slice_edges.size - 2)
    efficiency = [_efficiencies(f >= u, w, bin_of, mass_edges.size - 1) for u in thresholds]
    table, squares = (_table(v, slice_of, bin_of, (slice_edges.size - 1, mass_edges.size - 1)) for v in (w, w**2))
    return Decorrelation(
        pearson=pearson(f, m, w),
        spearman=spearman(f, m, w),
        distance=value,
        distance_p=toy_p_value(permuted, value).p,
        n_events=f.size,
        n_distance=int(part.size),
        mass_edges=mass_edges,
        slice_edges=slice_edges,
        thresholds=thresholds,
        inclusive=np.array([w[f >= u].sum() / w.sum() for u in thresholds]),
        efficiency=np.array([pair[0] for pair in efficiency]).reshape(thresholds.size, mass_edges.size - 1),
        efficiency_error=np.array([pair[1] for pair in efficiency]).reshape(thresholds.size, mass_edges.size - 1),
        **_slices(table, squares),
    )


def _slices(table: Floats, squares: Floats) -> dict[str, Floats]:
    """Compare the shapes of slices with that of all events; sums of weights and of their squares, (s, m)."""
    totals, shape = table.sum(axis=1), table.sum(axis=0) / table.sum()
    shapes = table / totals[:, np.newaxis]
    spread = squares * (1.0 - 2.0 * shapes) + shapes**2 * squares.sum(axis=1)[:, np.newaxis]
    used = shape > 0
    others = table.sum() - totals
    rest = (table.sum(axis=0) - table) / others[:, np.newaxis]
    off = (shapes - rest)[:, used]
    share = squares.sum(axis=1) / squares.sum()
    variance = share / totals**2 + (1.0 - share) / others**2
    inverse = inverse_covariance(shape[used], squares.sum(axis=0)[used])
    chi2 = np.maximum(((off @ inverse) * off).sum(axis=1), 0.0) / variance
    ndof = np.full(totals.size, float(used.sum() - 1))
    middle = 0.5 * (shapes + shape)
    return {
        "shape": shape,
        "slice_shapes": shapes,
        "slice_errors": np.sqrt(np.maximum(spread, 0.0)) / totals[:, np.newaxis],
        "divergence": 0.5 * (rel_entr(shapes, middle) + rel_entr(shape, middle)).sum(axis=1) / np.log(2.0),
        "chi2": chi2,
        "ndof": ndof,
        "chi2_p": np.where(ndof > 0, chdtrc(np.maximum(ndof, 1.0), chi2), np.nan),
    }


def _efficiencies(kept: Bools, w: Floats, bin_of: Ints, n: int) -> tuple[Floats, Floats]:
    """Return weighted efficiencies in bins (n,) and their errors."""
    whole, part = np.bincount(bin_of, w, n), np.bincount(bin_of, w * kept, n)
    squares, kept_squares = np.bincount(bin_of, w**2, n), np.bincount(bin_of, w**2 * kept, n)
    with np.errstate(divide="ignore", invalid="ignore"):
        e = part / whole
        return e, np.sqrt((1.0 - e) ** 2 * kept_squares + e**2 * (squares - kept_squares)) / whole


def _table(values: Floats, rows: Ints, columns: Ints, shape: tuple[int, int]) -> Floats:
    return np.asarray(np.bincount(rows * shape[1] + columns, values, shape[0] * shape[1]).reshape(shape), np.float64)


def _edges(values: Floats, w: Floats, bins: int | ArrayLike, name: str, what: str) -> Floats:
    """Return edges that were given, or those of bins with equal weight."""
    if np.ndim(bins) != 0:
        return rising_edges(bins, name)
    n = whole_number(bins, name, at_least=1)
    edges = np.unique(_quantiles(values, w, np.linspace(0.0, 1.0, n + 1)))
    if edges.size < min(n + 1, 3):
        raise InputError(what, f"has too few different values for {n} {name}", "Pass fewer")
    return edges


def _quantiles(values: Floats, w: Floats, shares: Floats) -> Floats:
    """Return the smallest values, of events with some weight, that have at least these shares of it there or below."""
    return quantiles(Weighted(values[w > 0], w[w > 0]), shares)

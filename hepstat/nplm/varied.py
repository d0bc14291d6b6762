"""The effect of nuisances interpolated from varied samples: ratios in bins of one or two features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.interpolate import RegularGridInterpolator
from scipy.ndimage import distance_transform_edt

from hepstat.checks import features, positive_number, rising_edges, whole_number
from hepstat.digest import numbers_digest
from hepstat.errors import InputError
from hepstat.nplm.effects import Effect, Polynomial, checked_names
from hepstat.nplm.samples import SampleLike, Samples, Terms, VariedLike, checked_samples
from hepstat.ratio.bins import Weighted, quantiles
from hepstat.ratio.closure import survival
from hepstat.types import Floats, Ints

__all__ = ["BinnedEffect", "interpolate_samples"]


@dataclass(frozen=True, eq=False)
class BinnedEffect(Effect):
    """log r(x; nu) = sum_e d_e(x) prod_i u_i^e_i / e_i! with u = nu / scale and d_e known in bins of features.

    Attributes
    ----------
    names, polynomial, reach
        As of every :class:`Effect`; reach is that of the samples.
    edges : tuple of ndarray
        Inner edges of the bins of each feature; outer bins have no end.
    places : tuple of ndarray
        Mean of each feature in its bins, where contents are taken to be.
    contents, errors : ndarray, (bins..., K)
        d_e, and standard errors as if samples were independent: too large for shifted copies.
    smooth : bool
        Whether d_e is interpolated between places; otherwise it is constant in each bin.
    chi2, ndf, p : float
        Of what terms leave of the ratios in bins; nothing is left of as many samples as terms.
    points : ndarray, (J, n_nu)
        Values of the nuisances of the varied samples.
    yields, yields_kept : ndarray, (J,)
        Sums of their weights over the central one, and those of the central sample times r.
    """

    names: tuple[str, ...]
    polynomial: Polynomial
    reach: Floats
    edges: tuple[Floats, ...]
    places: tuple[Floats, ...]
    contents: Floats
    errors: Floats
    smooth: bool
    chi2: float
    ndf: int
    p: float
    points: Floats
    yields: Floats
    yields_kept: Floats

    def planes(self, x: ArrayLike) -> Floats:
        """Return d_e of events (n, d), (n, K); raises InputError for another number of features."""
        events = features(x)
        if events.shape[1] != len(self.edges):
            raise InputError("x", f"has {events.shape[1]} features", f"Pass {len(self.edges)}")
        return _planes(events, self.edges, self.places, self.contents, self.smooth)

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types, with a digest of the numbers."""
        numbers = numbers_digest(*self.edges, *self.places, self.contents, *self.polynomial)
        return {
            "kind": "BinnedEffect",
            "names": list(self.names),
            "reach": self.reach.tolist(),
            "smooth": self.smooth,
            "numbers": numbers,
        }


def interpolate_samples(
    names: str | Sequence[str],
    central: SampleLike,
    varied: VariedLike,
    points: ArrayLike | None = None,
    *,
    order: int = 2,
    mixed: bool = True,
    reach: ArrayLike | None = None,
    bins: int = 20,
    edges: Sequence[ArrayLike] | None = None,
    smooth: bool = True,
    normalise: bool = False,
    min_events: float = 10.0,
) -> BinnedEffect:
    """Interpolate r(x; nu) = n(x|R_nu) / n(x|R_0), shape and normalisation, between samples at some values of nu.

    Parameters
    ----------
    names : str or sequence of str
        Of the nuisances.
    central, varied, points
        Samples of one or two features, as in :func:`learn_effect`, which does more features.
    order : int, optional
        Of the polynomial in nu that goes through the logarithms of ratios.
    mixed : bool, optional
        With products of different nuisances.
    reach : array_like, (n_nu, 2), optional
        Between which values of each nuisance r is used, and fits stay; those of the samples by default. What is
        interpolated goes on as a polynomial beyond them.
    bins : int, optional
        For each feature, with about as many central events in each.
    edges : sequence of array_like, optional
        Inner edges of the bins of each feature instead.
    smooth : bool, optional
        Go straight from bin to bin, between the means of features there; otherwise d_e has steps.
    normalise : bool, optional
        Scale all samples to the same sum of weights: r is one of shapes alone.
    min_events : float, optional
        Effective events that each bin needs of each sample; bins without any event of any sample get the contents of
        the nearest one.

    Returns
    -------
    BinnedEffect
        Shifted at last, all bins alike, so that the central sample times r has the yields of the varied ones.

    Raises
    ------
    InputError
        For samples or points that do not do, more than two features, and bins that a sample leaves empty or almost.
    """
    names = checked_names(names)
    samples = checked_samples(names, central, varied, points, normalise=normalise)
    terms = Terms.at(samples.points, order, mixed)
    inner = _edges(samples, bins, edges)
    places = tuple(_places(column, samples.w, edge) for column, edge in zip(samples.x.T, inner, strict=True))
    sums, squares = _sums(samples, inner)
    filled = _filled(sums, squares, samples, inner, positive_number(min_events, "min_events"))
    shape = tuple(edge.size + 1 for edge in inner)
    fit, errors, chi2 = _fitted(sums[:, filled], squares[:, filled], terms)
    nearest = distance_transform_edt(~filled.reshape(shape), return_distances=False, return_indices=True)
    spread = (np.cumsum(filled) - 1).reshape(shape)[tuple(nearest)]
    contents = fit[spread]
    planes = _planes(samples.x, inner, places, contents, bool(smooth))
    shifts = terms.shifts(samples, planes)
    ndf = int(filled.sum()) * (len(terms.matrix) - len(terms.exponents))
    return BinnedEffect(
        names=names,
        polynomial=terms.polynomial,
        reach=samples.reach(reach),
        edges=inner,
        places=places,
        contents=contents + shifts,
        errors=errors[spread],
        smooth=bool(smooth),
        chi2=chi2 if ndf else 0.0,
        ndf=ndf,
        p=survival(chi2, ndf),
        points=samples.points,
        yields=samples.yields,
        yields_kept=terms.yields(samples, planes + shifts),
    )


def _edges(samples: Samples, bins: int, edges: Sequence[ArrayLike] | None) -> tuple[Floats, ...]:
    """Return inner edges for each feature."""
    d, bins = samples.x.shape[1], whole_number(bins, "bins", at_least=2)
    if d > 2:
        raise InputError("central", f"has {d} features", "Use learn_effect for more than two")
    if edges is None:
        levels = np.arange(1, bins) / bins
        found = [np.unique(quantiles(Weighted(column, samples.w), levels)) for column in samples.x.T]
        return tuple(rising_edges(edge, f"edges of feature {j}") for j, edge in enumerate(found))
    if len(edges) != d:
        raise InputError("edges", f"are {len(edges)} arrays for {d} features", "Pass inner edges for each feature")
    return tuple(rising_edges(edge, f"edges[{j}]") for j, edge in enumerate(edges))


def _index(x: Floats, edges: tuple[Floats, ...]) -> Ints:
    """Return the cells (n,) of events (n, d)."""
    bins = [np.searchsorted(edge, column, side="right") for edge, column in zip(edges, x.T, strict=True)]
    return np.asarray(np.ravel_multi_index(bins, tuple(edge.size + 1 for edge in edges)))


def _places(values: Floats, w: Floats, edges: Floats) -> Floats:
    """Return the mean of a feature in its bins; without events the middle, or the edge of an outer bin."""
    cells, n = np.searchsorted(edges, values, side="right"), edges.size + 1
    total = np.bincount(cells, np.abs(w), n)
    middle = np.concatenate([edges[:1], 0.5 * (edges[1:] + edges[:-1]), edges[-1:]])
    return np.asarray(np.divide(np.bincount(cells, np.abs(w) * values, n), total, out=middle, where=total > 0))


def _sums(samples: Samples, edges: tuple[Floats, ...]) -> tuple[Floats, Floats]:
    """Return sums of weights and of their squares, (1 + J, cells), the central sample first."""
    n = int(np.prod([edge.size + 1 for edge in edges]))
    sums, squares = np.empty((2, 1 + len(samples.varied), n))
    for j, (x, w) in enumerate([(samples.x, samples.w), *samples.varied]):
        cells = _index(x, edges)
        sums[j], squares[j] = np.bincount(cells, w, n), np.bincount(cells, w**2, n)
    return sums, squares


def _filled(sums: Floats, squares: Floats, samples: Samples, edges: tuple[Floats, ...], least: float) -> Any:
    """Return which cells have events; raises InputError for those that have some of one sample and few of another."""
    used = (squares > 0).any(axis=0)
    few = used & ((sums <= 0) | (sums**2 < least * squares))
    for j, bad in enumerate(few):
        if bad.any():
            name = "central" if j == 0 else f"varied at nu = {samples.points[j - 1].tolist()}"
            i = int(np.argmax(bad))
            size = max(float(sums[j, i]), 0.0) ** 2 / float(squares[j, i]) if squares[j, i] > 0 else 0.0
            problem = (
                f"has {size:.3g} effective events in {_shown(i, edges)} and few or none in {int(bad.sum())} bin(s)"
            )
            remedy = "Ratios need some of every sample everywhere: take fewer bins, more events or smaller variations"
            raise InputError(name, problem, remedy)
    return used


def _shown(cell: int, edges: tuple[Floats, ...]) -> str:
    """Return the limits of a cell in words."""
    places = np.unravel_index(cell, tuple(edge.size + 1 for edge in edges))
    full = [np.concatenate([[-np.inf], edge, [np.inf]]) for edge in edges]
    return " and ".join(
        f"{e[i]:.4g} < x{j} < {e[i + 1]:.4g}" for j, (e, i) in enumerate(zip(full, places, strict=True))
    )


def _fitted(sums: Floats, squares: Floats, terms: Terms) -> tuple[Floats, Floats, float]:
    """Return coefficients and their errors (cells, M) by generalised least squares in the logarithms, and chi^2."""
    logs = np.log(sums[1:] / sums[0]).T  # (cells, J)
    variance = (squares / sums**2).T
    covariance = np.apply_along_axis(np.diag, 1, variance[:, 1:]) + variance[:, :1, None]
    inverse, a = np.linalg.inv(covariance), terms.matrix
    found = np.linalg.inv(a.T @ inverse @ a)
    fit = np.einsum("cmk,kj,cji,ci->cm", found, a.T, inverse, logs)
    left = logs - fit @ a.T
    errors = np.sqrt(np.diagonal(found, axis1=1, axis2=2))
    return fit, errors, float(np.einsum("cj,cji,ci->", left, inverse, left))


def _planes(x: Floats, edges: tuple[Floats, ...], places: tuple[Floats, ...], contents: Floats, smooth: bool) -> Floats:
    """Return contents (bins..., K) at events (n, d): those of their cells, or straight between places."""
    if not smooth:
        return np.asarray(contents.reshape(-1, contents.shape[-1])[_index(x, edges)])
    inside = np.clip(x, [place[0] for place in places], [place[-1] for place in places])
    return np.asarray(RegularGridInterpolator(places, contents)(inside))

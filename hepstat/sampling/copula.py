"""Columns with the distributions that they have, joined by a normal distribution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri

from hepstat.checks import whole_number
from hepstat.errors import InputError
from hepstat.infer import mid_ranks
from hepstat.kernels.draws.copula import COPULA, REACH, copula_constants
from hepstat.sampling.base import Column, DrawnSampler, checked_pool, column_numbers
from hepstat.types import Bools, Floats, Ints

__all__ = ["GaussianCopula"]

_TERMS = 200  # of a series in Hermite polynomials
_MOST = 1.0 - 1e-9  # largest correlation of normal numbers that is looked for
_TOP = 1.0 - 2.0**-53  # largest number below 1, where weights are too small to tell a share from it
_LEAST = 1e-9  # eigenvalue of their correlation matrix


class GaussianCopula(DrawnSampler):
    """The distribution of each column as it is, and correlated normal numbers to join them.

    Parameters
    ----------
    events : array_like, (m, d) or (m,)
        Simulated events.
    weights : array_like, (m,), optional
        At least zero.
    discrete : sequence of column, optional
        Columns, by number or name, with values that are not interpolated; constant ones count as such.
    names : sequence of str, optional
        Of the columns; x0, x1, ... by default.
    nodes : int, optional
        Quantiles that a continuous column is interpolated between, evenly spread over normal numbers from -8 to 8.
        They blur it by less than .4 * 16 / `nodes` of the events, and less in the tails.

    Attributes
    ----------
    correlation : ndarray, (d, d)
        Of the normal numbers.
    n_events : int
        Number of events with a weight above zero.

    Raises
    ------
    InputError
        For entries that are not finite, negative weights, or more discrete values than nodes.

    Notes
    -----
    Sklar's theorem; Nelsen, *An Introduction to Copulas* (2006), sections 2.3 and 5; Nataf, C. R. Acad. Sci. 225 (1962)
    42. Correlations are those of normal scores: of a column the quantiles of the normal distribution at the middle of
    each event's step in the distribution function. Events with the same value have one score, which correlates less
    than the normal numbers do; these get the correlation that explains that of the scores, in discrete columns and in
    others where different events share a value, such as a pT that is zero without a jet. A matrix with a negative
    eigenvalue, which can come of this, is replaced by that without it, scaled to ones in the diagonal.

    Values lie between the least and the largest of the events: bounds are kept, and there are no tails beyond. What is
    lost is any dependence that is not that of normal numbers, such as a circle or a correlation of tails.
    """

    def __init__(
        self,
        events: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        discrete: Sequence[Column] | Column = (),
        names: Sequence[str] | None = None,
        nodes: int = 16_385,
    ) -> None:
        x, w, given = checked_pool(events, weights, names)
        g, w = whole_number(nodes, "nodes", at_least=2), w / w.sum()
        d = x.shape[1]
        steps = np.isin(np.arange(d), column_numbers(discrete, given, "discrete")) | (np.ptp(x, axis=0) == 0)
        tied, n_different = steps.copy(), _number_of_different(x)
        sizes, tables, series = np.zeros(d, np.int64), np.zeros((d, 2, g)), np.zeros((d, _TERMS))
        scores = np.empty(x.shape)
        for j in range(d):
            scores[:, j] = ndtri(np.minimum(mid_ranks(x[:, j], w), _TOP))
            series[j, 0] = 1.0
            values, borders = _steps(x[:, j], w)
            tied[j] |= values.size < n_different
            if tied[j]:
                series[j] = _hermite_series(borders)
            if steps[j]:
                if values.size > g:
                    problem = f"holds {given[j]} with {values.size} values"
                    raise InputError("discrete", problem, f"Leave it out, or pass {values.size} nodes or more")
                sizes[j], tables[j, 0, : borders.size], tables[j, 1, : values.size] = values.size, borders, values
            else:
                tables[j, 0] = _quantiles(x[:, j], w, g)
        self.n_events = len(x)
        self.correlation = _positive(_correlations(scores, w, tied, series))
        lower = np.asarray(np.linalg.cholesky(self.correlation))
        super().__init__(copula_constants(lower, sizes, tables), given)

    @property
    def _address(self) -> int:
        return COPULA.address

    def __repr__(self) -> str:
        return f"GaussianCopula({self.n_events} events of {', '.join(self.names)})"


def _quantiles(values: Floats, w: Floats, g: int) -> Floats:
    """Return values at normal numbers from -REACH to REACH (g,), for equal weights those of ``numpy.quantile``."""
    order = np.argsort(values, kind="stable")
    ordered, steps = values[order], w[order]
    middle = np.cumsum(steps) - 0.5 * steps
    levels = (middle - middle[0]) / (middle[-1] - middle[0])
    return np.asarray(np.interp(ndtr(np.linspace(-REACH, REACH, g)), levels, ordered))


def _number_of_different(x: Floats) -> int:
    """Return how many events (m, d) are left if those that repeat others in all columns are not counted."""
    label, found = np.zeros(len(x), np.int64), 1
    for column in x.T:
        place = np.unique(column, return_inverse=True)[1]
        label = np.unique(label * len(x) + place, return_inverse=True)[1]
        found = int(label.max()) + 1
        if found == len(x):
            break
    return found


def _steps(values: Floats, w: Floats) -> tuple[Floats, Floats]:
    """Return the different values of a column (k,), and normal numbers where one gives way to the next (k - 1,)."""
    found, label = np.unique(values, return_inverse=True)
    return found, np.asarray(ndtri(np.minimum(np.cumsum(np.bincount(label, w))[:-1], _TOP)))


def _hermite_series(borders: Floats) -> Floats:
    """Return coefficients (_TERMS,) of the score of a column with ties, of variance 1, in Hermite polynomials.

    These are normalised, and the first is z. Two columns whose normal numbers correlate by r have scores that correlate
    by sum_k a_k b_k r^k (Mehler).
    """
    if not borders.size:
        return np.zeros(_TERMS)
    edges = np.concatenate([[-np.inf], borders, [np.inf]])
    mass = np.diff(ndtr(edges))
    score = ndtri(np.minimum(np.cumsum(mass) - 0.5 * mass, _TOP))
    score = score - mass @ score
    score /= np.sqrt(mass @ score**2)
    phi = np.exp(-0.5 * borders**2) / np.sqrt(2.0 * np.pi)
    jumps = np.diff(score) * phi  # E[s h_k] = sum over borders of the jump of s times phi h_(k-1) / sqrt(k)
    found = np.empty(_TERMS)
    before, now = np.zeros(borders.size), np.ones(borders.size)
    for k in range(1, _TERMS + 1):
        found[k - 1] = jumps @ now / np.sqrt(k)
        before, now = now, (borders * now - np.sqrt(k - 1.0) * before) / np.sqrt(k)
    return found


def _correlations(scores: Floats, w: Floats, tied: Bools, series: Floats) -> Floats:
    """Return the correlations (d, d) of normal numbers that explain those of the scores (m, d)."""
    centred = scores - w @ scores
    spread = np.sqrt(w @ centred**2)
    varying = spread > 0
    centred[:, varying] /= spread[varying]
    found = np.asarray((centred * w[:, None]).T @ centred)
    found[~varying] = found[:, ~varying] = 0.0
    pairs: list[Ints] = list(np.argwhere(np.triu(tied[:, None] | tied, 1)))
    for i, j in pairs:
        found[i, j] = found[j, i] = _explained(float(found[i, j]), series[i] * series[j])
    np.fill_diagonal(found, 1.0)
    return np.clip(found, -1.0, 1.0)


def _explained(target: float, products: Floats) -> float:
    """Return r with sum_k products_k r^k equal to a correlation of scores, or as near as can be."""

    def excess(r: float) -> float:
        return r * float(np.polynomial.polynomial.polyval(r, products)) - target

    if not products.any() or target == 0.0:
        return 0.0
    end = _MOST if target > 0 else -_MOST
    if excess(end) * target <= 0:
        return end
    return float(brentq(excess, min(0.0, end), max(0.0, end), xtol=1e-12))


def _positive(correlation: Floats) -> Floats:
    """Return the matrix, or if it has eigenvalues below _LEAST one with these raised, of ones in the diagonal."""
    values, vectors = np.linalg.eigh(correlation)
    if values[0] >= _LEAST:
        return correlation
    raised = (vectors * np.maximum(values, _LEAST)) @ vectors.T
    unit = np.sqrt(np.diag(raised))
    return np.asarray(raised / np.outer(unit, unit))

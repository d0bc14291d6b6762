"""Poisson means to throw toys from that look as if a signal had been found, for importance sampling.

Toys thrown with a signal sample the tail poorly where a background is fitted: the fit absorbs part of the signal,
so that the statistic fluctuates for reasons that the weight knows nothing of. Tilted means move along the one
direction that the statistic responds to.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import logsumexp

from hepstat.checks import finite_array, finite_number
from hepstat.errors import InputError
from hepstat.infer.broadcast import refuse
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["Tilts", "tilted_means"]

_MOST_EXPONENT = 30.0


@dataclass(frozen=True, eq=False, repr=False)
class Tilts(Record):
    """A mixture of Poisson means to throw toys from: the untilted ones, and one tilt for every place of a signal.

    A toy first draws its row by `probabilities`, then its counts from that row of `means`. Because the untilted row
    takes part, no weight exceeds one over its probability.

    Parameters
    ----------
    means : array of shape (1 + k, bins)
        Poisson means, row 0 without tilt.
    probabilities : array of shape (1 + k,)
        How often every row is drawn; they add up to 1.
    """

    means: Floats
    probabilities: Floats

    @cached_property
    def slopes(self) -> Floats:
        """Logarithm of every row over row 0 (1 + k, bins), 0 in bins without expectation."""
        ratio = np.divide(self.means, self.means[0], out=np.ones_like(self.means), where=self.means[0] > 0)
        return np.asarray(np.log(ratio))

    @cached_property
    def offsets(self) -> Floats:
        """Sum of every row less that of row 0 (1 + k,)."""
        return np.asarray((self.means - self.means[0]).sum(axis=1))

    def log_weights(self, counts: ArrayLike) -> Floats:
        """Return the logarithm of null over sampling density of toys.

        Parameters
        ----------
        counts : array_like, shape (n_toys, bins)
            Counts of every toy, whichever row they come from.

        Returns
        -------
        array of shape (n_toys,)
            ``-log sum_j p_j exp(counts . slopes_j - offsets_j)``.

        Raises
        ------
        InputError
            For counts of another shape.
        """
        n = finite_array(counts, "counts", ndim=2)
        if n.shape[1] != self.means.shape[1]:
            raise InputError("counts", f"has {n.shape[1]} bins", f"Pass {self.means.shape[1]}")
        return np.asarray(-logsumexp(n @ self.slopes.T - self.offsets, b=self.probabilities, axis=1))

    def __repr__(self) -> str:
        """Show the sizes."""
        return (
            f"Tilts({self.means.shape[0] - 1} places, {self.means.shape[1]} bins; "
            f"untilted with probability {self.probabilities[0]:g})"
        )


def tilted_means(
    means: ArrayLike,
    signals: ArrayLike,
    tangents: ArrayLike | None,
    z: ArrayLike,
    *,
    information: ArrayLike | None = None,
    defensive: float = 0.1,
) -> Tilts:
    """Tilt Poisson means so that toys look as if a signal had been found at one of k places.

    At place j the means become ``mu exp(t e_j)`` with the efficient score of a signal there,
    ``e_j = s_j / mu - sum_a c_ja T_a / mu``, where ``(F + I) c_j = sum_i s_ji T_i / mu_i`` and
    ``F_ab = sum_i T_ai T_bi / mu_i``. What a fitted nuisance parameter could follow is projected out: without auxiliary
    measurements e is orthogonal to the tangents, so that the fitted background stays where it is and the weight depends
    on little but the fitted signal. Exponential tilting by the score is the asymptotically efficient way to the tail
    (Siegmund, Ann. Stat. 4 (1976) 673).

    The tilt t > 0 shifts the score by z of its standard deviations, ``sum_i e_i mu_i (exp(t e_i) - 1) = z sqrt(V)``.
    V is that of the score with auxiliary measurements, ``sum_i mu_i e_i^2 + c I c``. These are not tilted: the counts
    carry the whole shift, and auxiliary values are to be thrown as without signal.

    Parameters
    ----------
    means : array_like, shape (bins,)
        Expected counts without signal. Bins that expect nothing are left alone.
    signals : array_like, shape (k, bins)
        Expected counts of a signal at every place, in any unit.
    tangents : array_like, shape (n_nuisances, bins), or None
        Derivatives of the means by the nuisance parameters.
    z : array_like, scalar or shape (k,)
        By how many standard deviations, such as the observed significance.
    information : array_like, shape (n_nuisances, n_nuisances), optional
        Fisher information on the nuisance parameters from auxiliary measurements.
    defensive : float
        Probability of the untilted means; the rest is shared equally.

    Returns
    -------
    Tilts
        The means, their probabilities, and the weights of toys thrown from them. No exponent ``t e`` exceeds 30, so a
        shift that needs more, of means far below one, falls short.

    Raises
    ------
    InputError
        If shapes do not match, a mean is negative, z is not above 0, or a signal cannot be told from the nuisances.
    """
    mu, s = finite_array(means, "means"), finite_array(signals, "signals", ndim=2)
    refuse(mu < 0, mu, "means", "is negative", "Pass expected counts")
    used = mu > 0
    if s.shape[1] != mu.size or not used.any():
        raise InputError(
            "signals", f"has {s.shape[1]} bins, means {int(used.sum())} of {mu.size} above 0", "Match them"
        )
    share = finite_number(defensive, "defensive")
    if not 0.0 < share < 1.0:
        raise InputError("defensive", f"is {share:g}", "Pass a probability between 0 and 1")
    t_ = np.zeros((0, mu.size)) if tangents is None else finite_array(tangents, "tangents", ndim=2, allow_empty=True)
    if t_.shape[1] != mu.size:
        raise InputError("tangents", f"has {t_.shape[1]} bins", f"Pass {mu.size}")
    try:
        far = np.broadcast_to(np.asarray(z, dtype=np.float64), s.shape[:1])
    except ValueError:
        raise InputError("z", f"has shape {np.shape(z)}", f"Pass one number, or {s.shape[0]}") from None
    refuse(~((far > 0) & (far < np.inf)), far, "z", "is not above 0", "Pass a positive significance")
    scores, deviations = _efficient_scores(mu[used], s[:, used], t_[:, used], _auxiliary(information, t_.shape[0]))
    rows = np.tile(mu, (1 + s.shape[0], 1))
    for row, score, shift in zip(rows[1:], scores, far * deviations, strict=True):
        row[used] *= np.exp(_tilt(mu[used], score, float(shift)) * score)
    return Tilts(rows, np.array([share] + [(1.0 - share) / s.shape[0]] * s.shape[0]))


def _efficient_scores(mu: Floats, s: Floats, tangents: Floats, auxiliary: Floats) -> tuple[Floats, Floats]:
    """Return e (k, bins) and its standard deviation (k,): residuals of least squares, never squaring the condition."""
    root = np.sqrt(mu)
    design = np.concatenate([tangents / root, auxiliary], axis=1).T
    wanted = np.concatenate([s / root, np.zeros((s.shape[0], auxiliary.shape[1]))], axis=1).T
    scale = np.linalg.norm(design, axis=0)
    columns = design / np.where(scale > 0, scale, 1.0)
    residual = wanted - columns @ np.linalg.lstsq(columns, wanted, rcond=None)[0]
    deviations = np.linalg.norm(residual, axis=0)
    blind = np.flatnonzero(deviations <= 1e-6 * np.linalg.norm(wanted, axis=0))
    if blind.size:
        raise InputError(
            "signals", f"at place {blind[0]} is empty or cannot be told from the nuisances", "Leave that place out"
        )
    return residual[: mu.size].T / root, deviations


def _auxiliary(information: ArrayLike | None, n: int) -> Floats:
    """Return a root A (n, n) of the information, A A^T, or nothing (n, 0)."""
    if information is None or n == 0:
        return np.zeros((n, 0))
    matrix = finite_array(information, "information", ndim=2)
    if matrix.shape != (n, n):
        raise InputError("information", f"has shape {matrix.shape}", f"Pass ({n}, {n})")
    values, vectors = np.linalg.eigh(0.5 * (matrix + matrix.T))
    if values.min() < -1e-9 * np.abs(values).max():
        raise InputError("information", f"has the eigenvalue {values.min():.3g}", "Pass a matrix without negative ones")
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0)))


def _tilt(mu: Floats, score: Floats, shift: float) -> float:
    """Solve for the tilt that shifts the mean score, as far as the largest exponent allows."""
    from scipy.optimize import brentq  # lazily: it takes longer to import than most that is done with it

    top = float(np.abs(score).max())
    unit = score / top

    def excess(exponent: float) -> float:
        return float((mu * score * np.expm1(exponent * unit)).sum()) - shift

    exponent = _MOST_EXPONENT if excess(_MOST_EXPONENT) <= 0 else float(brentq(excess, 0.0, _MOST_EXPONENT))
    return exponent / top

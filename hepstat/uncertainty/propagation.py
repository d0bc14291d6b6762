"""Systematic shifts of the inputs of a fixed network, with all their correlations, carried to what it says.

A network is neither linear nor monotone: shifts by one standard deviation up and down need not bracket its output
(arXiv:1909.03081, section 4.4). So the directions are shifted one by one, and all of them thrown at once.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, rising_edges, weighted_events, whole_number
from hepstat.errors import InputError
from hepstat.execution import map_ordered
from hepstat.record import Record
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Bools, Floats
from hepstat.uncertainty.accuracy import Functional, functional_value, shown_values, summarise

__all__ = [
    "FeatureCovariance",
    "NonMonotoneWarning",
    "Propagation",
    "Shift",
    "feature_covariance",
    "propagate",
    "relative_shift",
]

Shift = Callable[[Any], Any]

_POINTS = (-1.0, -0.5, 0.5, 1.0)  # standard deviations along each direction
_ROUNDING = 1e-5  # of 1 + |score|, below which networks in single precision say nothing
_LEAST_EIGENVALUE = 1e-10  # of the largest; directions below are not shifted


class NonMonotoneWarning(UserWarning):
    """Shifts of the inputs by one standard deviation do not bracket the scores of many events."""


@dataclass(frozen=True, eq=False)
class FeatureCovariance:
    """Uncertain features: sources of shifts and how these are correlated.

    Attributes
    ----------
    names : tuple of str
        Of the sources.
    shifts : tuple of callable
        Each turns events (n, d) into those shifted up by one standard deviation. Other shifts are in proportion.
    correlation : ndarray, (n_sources, n_sources)
        Of the sources.
    """

    names: tuple[str, ...]
    shifts: tuple[Shift, ...]
    correlation: Floats

    @property
    def directions(self) -> Floats:
        """Independent shifts by one standard deviation, (n_directions, n_sources), the largest first.

        Rows are eigenvectors of the correlation matrix times the roots of their eigenvalues; their outer products add
        up to it.
        """
        values, vectors = np.linalg.eigh(self.correlation)
        kept = values > _LEAST_EIGENVALUE * values[-1]
        return np.asarray((vectors[:, kept] * np.sqrt(values[kept])).T[::-1])

    def displacements(self, x: Floats) -> Floats:
        """Return how one standard deviation of each source moves events (n, d): (n_sources, n, d)."""
        moved = []
        for name, shift in zip(self.names, self.shifts, strict=True):
            there = finite_array(shift(x.copy()), f"events shifted by {name}", ndim=2)
            if there.shape != x.shape:
                problem = f"have shape {there.shape}"
                raise InputError(f"events shifted by {name}", problem, f"Return events of shape {x.shape}")
            moved.append(there - x)
        return np.array(moved)


def relative_shift(fractions: ArrayLike) -> Shift:
    """Return a shift that multiplies the features by 1 + `fractions`, (d,) or a number."""
    factors = 1.0 + np.asarray(fractions, dtype=np.float64)
    return lambda x: x * factors


def feature_covariance(
    sources: Mapping[str, Shift | ArrayLike] | ArrayLike, correlation: ArrayLike | None = None
) -> FeatureCovariance:
    """Say how uncertain features are.

    Parameters
    ----------
    sources : mapping of str to callable or array_like, or array_like (d, d)
        For each source, what one standard deviation does: a function of events (n, d) that returns the shifted ones
        (:func:`relative_shift` makes one), or a vector (d,) that is added to all events. Or the covariance matrix of
        shifts that are common to all events.
    correlation : array_like, (n_sources, n_sources), optional
        Of the sources; independent if left out.

    Returns
    -------
    FeatureCovariance

    Raises
    ------
    InputError
        For no sources, or a matrix that is not symmetric or has negative eigenvalues.
    """
    if isinstance(sources, Mapping):
        if not sources:
            raise InputError("sources", "is empty", "Pass at least one")
        shifts = tuple(_shift(name, source) for name, source in sources.items())
        rho = np.eye(len(shifts)) if correlation is None else _matrix(correlation, "correlation")
        if rho.shape != (len(shifts), len(shifts)) or not np.allclose(np.diag(rho), 1.0):
            problem = f"has shape {rho.shape} and the diagonal {np.diag(rho)}"
            raise InputError("correlation", problem, f"Pass 1 on the diagonal for each of {len(shifts)} sources")
        return FeatureCovariance(tuple(sources), shifts, rho)
    if correlation is not None:
        raise InputError("correlation", "is given beside a covariance matrix", "Leave it out")
    matrix = _matrix(sources, "sources")
    values, vectors = np.linalg.eigh(matrix)
    steps = [vectors[:, i] * math.sqrt(values[i]) for i in np.flatnonzero(values > _LEAST_EIGENVALUE * values[-1])]
    names = tuple(f"direction {i + 1}" for i in range(len(steps)))
    if not steps:
        raise InputError("sources", "is a covariance matrix of zeros", "Pass variances above 0")
    return FeatureCovariance(names, tuple(_added(step) for step in reversed(steps)), np.eye(len(steps)))


@dataclass(frozen=True, eq=False, repr=False)
class Propagation(Record):
    """What uncertain features do to something that is computed from the scores of events.

    Parameters
    ----------
    nominal : array, (k,)
        Without a shift.
    directions : array, (n_directions, n_sources)
        Shift of each source along the independent directions (:attr:`FeatureCovariance.directions`).
    up, down : array, (n_directions, k)
        With each direction shifted by one standard deviation, alone.
    linear_covariance : array, (k, k)
        Sum over directions of the outer products of (up - down) / 2.
    thrown_covariance : array, (k, k)
        Over throws of all directions at once.
    thrown_mean : array, (k,)
        Mean of these throws; away from nominal where the output is not linear.
    n_throws, n_failed : int
        Throws with finite output, which count, and others.
    share_not_bracketed : array, (n_directions,)
        Share of the weight of events (by absolute weights) whose score without a shift, or with one of half a standard
        deviation, is outside of those shifted up and down.
    one_sided : array of bool, (n_directions, k)
        Whether the outputs shifted up and down are on the same side of nominal.
    """

    nominal: Floats
    directions: Floats
    up: Floats
    down: Floats
    linear_covariance: Floats
    thrown_covariance: Floats
    thrown_mean: Floats
    n_throws: int
    n_failed: int
    share_not_bracketed: Floats
    one_sided: Bools

    @property
    def linear_error(self) -> Floats:
        """Standard deviations from shifts of one direction at a time, (k,)."""
        return np.sqrt(np.diag(self.linear_covariance))

    @property
    def thrown_error(self) -> Floats:
        """Standard deviations from throws, (k,); their relative error is about 1 / sqrt(2 n_throws)."""
        return np.sqrt(np.diag(self.thrown_covariance))

    @property
    def ratio(self) -> Floats:
        """Thrown over linear error, (k,): 1 where the output is linear; NaN where neither moves it."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.thrown_error / self.linear_error

    def __repr__(self) -> str:
        """Show values and errors of throws, and where shifts do not bracket."""
        failed = f"; {self.n_failed} throws failed" if self.n_failed else ""
        return (
            f"Propagation({shown_values(self.nominal, self.thrown_error)}; up to "
            f"{self.share_not_bracketed.max():.1%} of events not bracketed{failed})"
        )


def propagate(
    scores_of: Callable[[Any], Any],
    x: ArrayLike,
    covariance: FeatureCovariance,
    output: Functional | ArrayLike,
    *,
    weights: ArrayLike | None = None,
    rng: Rng,
    n: int = 200,
    tolerated: float = 0.01,
    workers: int = 1,
) -> Propagation:
    """Carry the uncertainty of features through a fixed network.

    Parameters
    ----------
    scores_of : callable
        Scores (n_events,) of events (n_events, d), such as a :class:`hepstat.learn.Model`.
    x : array_like, (n_events, d)
        Test events.
    covariance : FeatureCovariance
        From :func:`feature_covariance`.
    output : callable or array_like
        ``output(scores, weights)`` gives a number or (k,); or the edges of a histogram of the scores.
    weights : array_like, (n_events,), optional
        1 by default.
    rng : int, SeedSequence or Generator
        Of the throws; throw i has a stream of its own.
    n : int, optional
        Throws, at least 2.
    tolerated : float, optional
        Share of events not bracketed above which a warning is given.
    workers : int, optional
        Threads that share out the throws.

    Returns
    -------
    Propagation

    Raises
    ------
    InputError
        For unusable events, scores, outputs or options.

    Warns
    -----
    NonMonotoneWarning
        If shifts of one direction do not bracket the scores of too many events. The linear covariance is then
        doubtful, and quantiles of scores are not those of shifted events.
    """
    events, w = weighted_events(finite_array(x, "x", ndim=2), weights, any_sum=True)
    if not isinstance(covariance, FeatureCovariance):
        raise InputError("covariance", f"is {covariance!r}", "Pass what feature_covariance returns")
    key, n = stream_key(rng), whole_number(n, "n", at_least=2)
    value_of = _functional(output)
    moves, directions = covariance.displacements(events), covariance.directions

    def scores(sources: Floats | None) -> Floats:
        shifted = events if sources is None else events + np.tensordot(sources, moves, axes=1)
        f = finite_array(scores_of(shifted), "scores of shifted events")
        if f.size != len(events):
            raise InputError("scores_of", f"gives {f.size} scores for {len(events)} events", "Return one for each")
        return f

    def throw(i: int) -> Floats:
        independent = toy_generator(key, i).standard_normal(len(directions))
        return np.atleast_1d(np.asarray(value_of(scores(independent @ directions), w), dtype=np.float64))

    start = scores(None)
    nominal = functional_value(value_of(start, w), "output")
    down, up, share = [], [], []
    for direction in directions:
        along = np.array([scores(point * direction) for point in _POINTS])
        down.append(functional_value(value_of(along[0], w), "output"))
        up.append(functional_value(value_of(along[-1], w), "output"))
        share.append(float(np.average(_not_bracketed(start, along), weights=np.abs(w))))
    thrown, n_failed = summarise(np.array(list(map_ordered(throw, range(n), workers=workers))), "output")
    _warn(covariance, directions, np.array(share), tolerated)
    half = 0.5 * (np.array(up) - np.array(down))
    return Propagation(
        nominal=nominal,
        directions=directions,
        up=np.array(up),
        down=np.array(down),
        linear_covariance=half.T @ half,
        thrown_covariance=np.atleast_2d(np.cov(thrown, rowvar=False)),
        thrown_mean=thrown.mean(axis=0),
        n_throws=len(thrown),
        n_failed=n_failed,
        share_not_bracketed=np.array(share),
        one_sided=(np.array(up) - nominal) * (np.array(down) - nominal) > 0,
    )


def _not_bracketed(start: Floats, along: Floats) -> Bools:
    """Return which events (n,) have scores in between outside of those at the ends (points, n)."""
    slack = _ROUNDING * (1.0 + np.abs(start))
    low, high = np.minimum(along[0], along[-1]) - slack, np.maximum(along[0], along[-1]) + slack
    between = np.vstack([along[1:-1], start])
    return np.asarray(((between < low) | (between > high)).any(axis=0))


def _warn(covariance: FeatureCovariance, directions: Floats, share: Floats, tolerated: float) -> None:
    worst = int(np.argmax(share))
    if share[worst] > tolerated:
        main = covariance.names[int(np.argmax(np.abs(directions[worst])))]
        warnings.warn(
            f"Shifts by one standard deviation do not bracket the scores of {share[worst]:.1%} of the events "
            f"(direction {worst + 1}, mostly {main}): the output is not monotone, use the throws",
            NonMonotoneWarning,
            stacklevel=3,
        )


def _functional(output: Functional | ArrayLike) -> Functional:
    if callable(output):
        return output
    edges = rising_edges(output, "output")
    return lambda scores, w: np.histogram(scores, edges, weights=w)[0]


def _shift(name: str, source: Any) -> Shift:
    return source if callable(source) else _added(finite_array(source, f"shift of {name}"))


def _added(step: Floats) -> Shift:
    def shift(x: Floats) -> Floats:
        if x.shape[1] != step.size:
            raise InputError("sources", f"shift {step.size} features", f"Pass vectors of {x.shape[1]}")
        return np.asarray(x + step)

    return shift


def _matrix(value: ArrayLike, name: str) -> Floats:
    """Return a symmetric matrix without negative eigenvalues, or raise :class:`InputError`."""
    matrix = finite_array(value, name, ndim=2)
    if matrix.shape[0] != matrix.shape[1] or not np.allclose(matrix, matrix.T):
        raise InputError(name, f"of shape {matrix.shape} is not symmetric", "Pass a symmetric matrix")
    values = np.linalg.eigvalsh(matrix)
    if values[0] < -1e-8 * max(abs(values[-1]), 1e-300):
        raise InputError(name, f"has the negative eigenvalue {values[0]:.3g}", "Pass one that is positive semidefinite")
    return matrix

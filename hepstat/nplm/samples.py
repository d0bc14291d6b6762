"""Samples that were simulated at several values of nuisances, from which an effect is learned or interpolated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gamma

from hepstat.checks import features, finite_array, weighted_events, whole_number
from hepstat.errors import InputError
from hepstat.nplm.effects import Polynomial, checked_reach, monomials, powers
from hepstat.types import Floats, Ints

__all__ = ["SampleLike", "Samples", "Terms", "VariedLike", "checked_samples"]

SampleLike: TypeAlias = ArrayLike | tuple[ArrayLike, ArrayLike]
VariedLike: TypeAlias = Mapping[Any, SampleLike] | Callable[[Any, Any], Any]


@dataclass(frozen=True, eq=False)
class Samples:
    """A central sample at nu = 0 and varied ones, with weights that add up to what is expected.

    Attributes
    ----------
    x : ndarray, (n, d)
    w : ndarray, (n,)
    points : ndarray, (J, n_nu)
        Values of the nuisances of the varied samples.
    varied : tuple of (ndarray, ndarray)
        Their events and weights.
    copies : bool
        Whether varied samples are the central events, shifted, one by one.
    """

    x: Floats
    w: Floats
    points: Floats
    varied: tuple[tuple[Floats, Floats], ...]
    copies: bool

    def reach(self, wanted: ArrayLike | None = None) -> Floats:
        """Return what is wanted, checked, or the lowest and highest values of the nuisances, (n_nu, 2)."""
        if wanted is not None:
            return checked_reach(wanted, self.points.shape[1])
        points = np.vstack([self.points, np.zeros((1, self.points.shape[1]))])  # of one side only, perhaps
        return np.stack([points.min(axis=0), points.max(axis=0)], axis=1)

    @property
    def yields(self) -> Floats:
        """Sums of weights of the varied samples over that of the central one, (J,)."""
        return np.asarray(np.array([w.sum() for _, w in self.varied]) / self.w.sum())


@dataclass(frozen=True, eq=False)
class Terms:
    """The terms u^e / e! of a polynomial of log r in nuisances u = nu / scale.

    Attributes
    ----------
    exponents : ndarray of int64, (M, n_nu)
    scales : ndarray, (n_nu,)
    matrix : ndarray, (J, M)
        The terms at the points of the varied samples.
    """

    exponents: Ints
    scales: Floats
    matrix: Floats

    @classmethod
    def at(cls, points: Floats, order: int, mixed: bool) -> Terms:
        """Return the terms up to an order, in units of the largest value of each nuisance among points (J, n_nu).

        Raises
        ------
        InputError
            If the points cannot tell the terms apart.
        """
        exponents = powers(points.shape[1], whole_number(order, "order", at_least=1), mixed=mixed)
        scales = np.abs(points).max(axis=0)
        matrix = monomials(points / np.where(scales > 0, scales, 1.0), exponents) / _factorials(exponents)
        rank = int(np.linalg.matrix_rank(matrix))
        if rank < len(exponents) or not (scales > 0).all():
            problem = f"at {len(points)} points tell {rank} of {len(exponents)} terms apart"
            remedy = (
                "Pass samples at more values of every nuisance (and at two at once for mixed terms), or lower order"
            )
            raise InputError("varied", problem, remedy)
        return cls(exponents, scales, matrix)

    @property
    def polynomial(self) -> Polynomial:
        """The terms as the polynomial of one plane each."""
        return Polynomial(np.diag(1.0 / _factorials(self.exponents)), self.exponents, self.scales)

    def yields(self, samples: Samples, planes: Floats) -> Floats:
        """Return the yields (J,) of the central sample times r over its own, from its planes (n, M)."""
        return np.asarray(samples.w @ np.exp(planes @ self.matrix.T) / samples.w.sum())

    def shifts(self, samples: Samples, planes: Floats) -> Floats:
        """Return what to add to planes (M,), so that the central sample times r has the yields of the varied ones.

        By least squares in the logarithm where there are more samples than terms.
        """
        off = np.log(samples.yields / self.yields(samples, planes))
        return np.asarray(np.linalg.lstsq(self.matrix, off, rcond=None)[0])


def checked_samples(
    names: Sequence[str],
    central: SampleLike,
    varied: VariedLike,
    points: Any | None = None,
    *,
    normalise: bool = False,
) -> Samples:
    """Return samples, checked.

    Parameters
    ----------
    names : sequence of str
        Of the nuisances.
    central : array_like or (array_like, array_like)
        Events (n, d), or with weights (n,).
    varied : mapping or callable
        {nu: sample}, with nu a number, or a tuple for several nuisances. Or ``shift(x, nu)`` with nu (n_nu,), which
        gives what the central events (n, d) are at nu, each with the weight that it had.
    points : sequence, optional
        With a function, the values of nu (J, n_nu) or (J,).
    normalise : bool, optional
        Scale the weights of all varied samples to the sum of the central ones.

    Raises
    ------
    InputError
        For samples that are not finite, or without weights where numbers of events are no yields; values of nuisances
        that repeat, are all 0 or do not fit the names; points without a function.
    """
    x, w = _sample(central, "central")
    n_nu = len(names)
    if callable(varied):
        if points is None:
            raise InputError("points", "are missing", "Pass the values of nu at which the function shifts events")
        table = finite_array(points, "points", ndim=1 if np.ndim(points) == 1 else 2)
        table = _checked_points(table.reshape(len(table), -1), n_nu)
        pairs = tuple((features(varied(x.copy(), nu.copy()), f"varied at {nu.tolist()}"), w) for nu in table)
    else:
        if not isinstance(varied, Mapping) or not varied:
            raise InputError("varied", f"is {type(varied).__name__}", "Pass {nu: (x, weights), ...}, or a function")
        if points is not None:
            raise InputError("points", "are given with samples", "They are the keys of the samples")
        keys = [np.atleast_1d(finite_array(np.atleast_1d(np.asarray(key)), "varied")) for key in varied]
        if any(key.size != n_nu for key in keys):
            raise InputError("varied", f"has the keys {list(varied)}", f"Pass {n_nu} value(s) for each sample")
        table = _checked_points(np.array(keys), n_nu)
        pairs = tuple(_sample(sample, f"varied[{key}]") for key, sample in varied.items())
        plain = [name for name, s in [("central", central), *varied.items()] if not isinstance(s, tuple)]
        if plain and not normalise:
            remedy = "Pass (x, weights) with weights that add up to expected events, or normalise=True for shapes alone"
            raise InputError(str(plain[0]), "has no weights, and numbers of simulated events are no yields", remedy)
    for nu, (events, _) in zip(table, pairs, strict=True):
        if events.shape[1] != x.shape[1] or (callable(varied) and len(events) != len(x)):
            problem = f"at {nu.tolist()} has shape {events.shape}, the central sample {x.shape}"
            raise InputError("varied", problem, "Pass the same features")
    if normalise:
        pairs = tuple((events, weights * (w.sum() / weights.sum())) for events, weights in pairs)
    return Samples(x, w, table, pairs, callable(varied))


def _sample(sample: SampleLike, name: str) -> tuple[Floats, Floats]:
    """Return events (n, d) and weights (n,)."""
    if isinstance(sample, tuple):
        if len(sample) != 2:
            raise InputError(name, f"is a tuple of {len(sample)}", "Pass (x, weights)")
        return weighted_events(sample[0], sample[1], name)
    return weighted_events(sample, None, name)


def _checked_points(points: Floats, n_nu: int) -> Floats:
    """Return values of nuisances (J, n_nu), or raise :class:`InputError`."""
    if points.shape[1] != n_nu:
        raise InputError("points", f"have shape {points.shape}", f"Pass (J, {n_nu})")
    if (points == 0).all(axis=1).any():
        raise InputError("varied", "has a sample at nu = 0", "That is the central sample")
    if len(np.unique(points, axis=0)) < len(points):
        raise InputError("varied", f"repeats values of {points.tolist()}", "Pass one sample for each")
    return points


def _factorials(exponents: Ints) -> Floats:
    """Return prod_i e_i! of each row, (M,)."""
    return np.asarray(np.prod(gamma(exponents + 1.0), axis=1))

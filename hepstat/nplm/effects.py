"""The effect of nuisances on the reference, log r(x; nu) = log n(x|R_nu) / n(x|R_0), in a form that kernels take.

    log r(x; nu) = sum_k P_k(x) c_k(nu),    c_k(nu) = sum_m C[k, m] prod_i (nu_i / scale_i)^E[m, i]

so that events enter by their planes P (n, K), computed once, and nuisances by a small polynomial.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import features, finite_array
from hepstat.errors import InputError
from hepstat.nplm.nuisances import Nuisance, checked_name
from hepstat.types import Bools, Floats, Ints

__all__ = [
    "CombinedEffect",
    "Effect",
    "Normalisation",
    "Polynomial",
    "checked_names",
    "checked_nu",
    "checked_reach",
    "combine",
    "monomials",
    "powers",
]


class Polynomial(NamedTuple):
    """The coefficients of planes, by nuisances.

    Attributes
    ----------
    coefficients : ndarray, (K, M)
    exponents : ndarray of int64, (M, n_nu)
        Each row has a sum of at least 1, so that there is no effect at nu = 0.
    scales : ndarray, (n_nu,)
        Units of the nuisances.
    """

    coefficients: Floats
    exponents: Ints
    scales: Floats

    def __call__(self, nu: ArrayLike) -> Floats:
        """Return c (..., K) at nuisances (..., n_nu)."""
        return np.asarray(
            monomials(np.asarray(nu, dtype=np.float64) / self.scales, self.exponents) @ self.coefficients.T
        )


class Effect(ABC):
    """What nuisances do to the reference.

    Attributes
    ----------
    names : tuple of str
        Of the nuisances, in their order in nu.
    polynomial : Polynomial
    reach : ndarray, (n_nu, 2)
        Between which values of the nuisances it may be trusted.
    """

    names: tuple[str, ...]
    polynomial: Polynomial
    reach: Floats

    @abstractmethod
    def planes(self, x: ArrayLike) -> Floats:
        """Return the planes (n, K) of events (n, d)."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""

    @property
    def analytic(self) -> bool:
        """Whether log r has neither steps nor kinks in x, so that nodes may stand for events."""
        return False

    @property
    def ones(self) -> Bools:
        """Which planes (K,) are 1 for all events."""
        return np.zeros(len(self.polynomial.coefficients), dtype=np.bool_)

    def log_ratio(self, x: ArrayLike, nu: ArrayLike) -> Floats:
        """Return log r (n,) of events (n, d) at nuisances (n_nu,).

        Raises
        ------
        InputError
            For numbers that are not finite, or not one nuisance for each name.
        """
        return np.asarray(self.planes(x) @ self.polynomial(checked_nu(nu, len(self.names))))


@dataclass(frozen=True)
class Normalisation(Effect):
    """log r = nu: the expected yield is multiplied with e^nu.

    Parameters
    ----------
    name : str
        Of the nuisance.
    """

    name: str

    def __post_init__(self) -> None:
        checked_name(self.name)

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]
        """The nuisance."""
        return (self.name,)

    @property
    def polynomial(self) -> Polynomial:  # type: ignore[override]
        """The nuisance itself."""
        return Polynomial(np.ones((1, 1)), np.ones((1, 1), dtype=np.int64), np.ones(1))

    @property
    def reach(self) -> Floats:  # type: ignore[override]
        """All values."""
        return np.array([[-np.inf, np.inf]])

    @property
    def analytic(self) -> bool:
        """Yes."""
        return True

    @property
    def ones(self) -> Bools:
        """The only plane is 1."""
        return np.ones(1, dtype=np.bool_)

    def planes(self, x: ArrayLike) -> Floats:
        """Return ones (n, 1)."""
        return np.ones((len(features(x)), 1))

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {"kind": "Normalisation", "names": list(self.names)}


@dataclass(frozen=True, eq=False)
class CombinedEffect(Effect):
    """Several effects that add up in log r; made by :func:`combine`.

    Attributes
    ----------
    names, polynomial, reach
        As of every :class:`Effect`.
    effects : tuple of Effect
        In the order of their planes; planes of 1 are one plane, the last.
    """

    names: tuple[str, ...]
    polynomial: Polynomial
    reach: Floats
    effects: tuple[Effect, ...]

    @property
    def analytic(self) -> bool:
        """Whether all of them are."""
        return all(effect.analytic for effect in self.effects)

    @property
    def ones(self) -> Bools:
        """The last one, if an effect has one."""
        k = len(self.polynomial.coefficients)
        return np.asarray(np.arange(k) == (k - 1 if any(effect.ones.any() for effect in self.effects) else k))

    def planes(self, x: ArrayLike) -> Floats:
        """Return the planes (n, K) of events (n, d)."""
        events = features(x)
        columns = [effect.planes(events)[:, ~effect.ones] for effect in self.effects if not effect.ones.all()]
        return np.hstack([*columns, np.ones((len(events), int(self.ones.sum())))])

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        effects = [effect.describe() for effect in self.effects]
        return {"kind": "CombinedEffect", "names": list(self.names), "effects": effects}


def combine(effects: Sequence[Effect], nuisances: Sequence[Nuisance]) -> CombinedEffect:
    """Return the effects as one of all nuisances, in their order.

    Parameters
    ----------
    effects : sequence of Effect
        Several may depend on the same nuisance: their log r add up.
    nuisances : sequence of Nuisance
        With names of their own.

    Returns
    -------
    CombinedEffect
        Its reach is what those of all effects have in common.

    Raises
    ------
    InputError
        If names repeat, an effect has a nuisance that is not among them, or a nuisance has no effect.
    """
    nuisances, effects = tuple(nuisances), tuple(effects)
    for nuisance in nuisances:
        if not isinstance(nuisance, Nuisance):
            raise InputError("nuisances", f"holds {nuisance!r}", "Pass Gaussian, LogNormal or UserNuisance objects")
    names = checked_names([nuisance.name for nuisance in nuisances], "nuisances") if nuisances else ()
    for effect in effects:
        if not isinstance(effect, Effect):
            raise InputError("effects", f"holds {effect!r}", "Pass effects such as Normalisation('norm')")
        unknown = set(effect.names) - set(names)
        if unknown:
            problem = f"depend on {', '.join(sorted(unknown))}, the nuisances are {', '.join(names) or 'none'}"
            raise InputError("effects", problem, "Pass a nuisance for each name")
    idle = [name for name in names if not any(name in effect.names for effect in effects)]
    if idle:
        problem = f"{', '.join(idle)} changes nothing"
        raise InputError("nuisances", problem, "Pass an effect of it, such as Normalisation, or leave it out")
    places = [[names.index(name) for name in effect.names] for effect in effects]
    scales, reach = np.zeros(len(names)), np.tile([-np.inf, np.inf], (len(names), 1))
    for effect, place in zip(effects, places, strict=True):
        scales[place] = np.maximum(scales[place], effect.polynomial.scales)
        reach[place, 0] = np.maximum(reach[place, 0], effect.reach[:, 0])
        reach[place, 1] = np.minimum(reach[place, 1], effect.reach[:, 1])
    return CombinedEffect(names, _joined(effects, places, scales), reach, effects)


def _joined(effects: Sequence[Effect], places: Sequence[Sequence[int]], scales: Floats) -> Polynomial:
    """Return the polynomial of all effects, whose nuisances have these places, in units of `scales` (n_nu,)."""
    rows: dict[tuple[int, ...], int] = {}
    entries: list[tuple[int, int, float]] = []  # plane, monomial, coefficient
    n_planes = sum(int((~effect.ones).sum()) for effect in effects)
    with_ones, k = any(effect.ones.any() for effect in effects), 0
    for effect, place in zip(effects, places, strict=True):
        own = effect.polynomial
        exponents = np.zeros((len(own.exponents), scales.size), dtype=np.int64)
        exponents[:, place] = own.exponents
        matrix = own.coefficients * monomials(scales[place] / own.scales, own.exponents)
        columns = [rows.setdefault(tuple(row), len(rows)) for row in exponents.tolist()]
        for one, line in zip(effect.ones, matrix, strict=True):
            entries += [(n_planes if one else k, m, c) for m, c in zip(columns, line.tolist(), strict=True)]
            k += not one
    coefficients = np.zeros((n_planes + with_ones, len(rows)))
    for plane, m, c in entries:
        coefficients[plane, m] += c
    table = np.array(list(rows), dtype=np.int64).reshape(len(rows), scales.size)
    return Polynomial(coefficients, table, scales)


def monomials(u: Floats, exponents: Ints) -> Floats:
    """Return prod_i u_i^E[m, i], (..., M), of nuisances in units of their scales, (..., n_nu)."""
    return np.asarray(np.prod(u[..., None, :] ** exponents, axis=-1))


def powers(n: int, order: int, *, mixed: bool = True) -> Ints:
    """Return the exponents (M, n) of all monomials of 1 to `order` factors of n nuisances, by rising order.

    Parameters
    ----------
    n, order : int
    mixed : bool, optional
        With those of several nuisances.
    """
    rows = [row for row in product(range(order + 1), repeat=n) if 1 <= sum(row) <= order]
    kept = [row for row in rows if mixed or max(row) == sum(row)]
    return np.array(sorted(kept, key=lambda row: (sum(row), [-entry for entry in row])), dtype=np.int64)


def checked_names(names: str | Sequence[str], argument: str = "names") -> tuple[str, ...]:
    """Return names of nuisances as a tuple; raises InputError if there is none, one is no name, or they repeat."""
    given = tuple(checked_name(name) for name in ([names] if isinstance(names, str) else names))
    if not given or len(set(given)) < len(given):
        raise InputError(argument, f"are called {given}", "Pass a name of its own for each nuisance")
    return given


def checked_nu(nu: ArrayLike, n: int, name: str = "nu") -> Floats:
    """Return values of n nuisances as an array (n,), or raise :class:`InputError`."""
    values = finite_array(np.atleast_1d(np.asarray(nu)), name, allow_empty=n == 0)
    if values.size != n:
        raise InputError(name, f"has {values.size} entries for {n} nuisances", "Pass one for each")
    return values


def checked_reach(reach: ArrayLike, n: int) -> Floats:
    """Return the reach (n, 2) of n nuisances, or raise :class:`InputError`; one pair will do for one nuisance."""
    limits = finite_array(reach, "reach", ndim=1 if np.ndim(reach) == 1 else 2).reshape(-1, np.shape(reach)[-1])
    if limits.shape != (n, 2):
        raise InputError("reach", f"has shape {np.shape(reach)} for {n} nuisances", "Pass (low, high) for each")
    if not ((limits[:, 0] < 0) & (limits[:, 1] > 0)).all():
        raise InputError("reach", f"is {limits.tolist()}", "Pass low < 0 < high: the reference is at 0")
    return limits

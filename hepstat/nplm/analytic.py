"""The effect of nuisances from a formula, log r(x; nu), made separable by empirical interpolation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import KW_ONLY, InitVar, dataclass, field
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import qr, solve_triangular

from hepstat.checks import features, finite_array, positive_number
from hepstat.digest import code_digest, numbers_digest
from hepstat.errors import InputError
from hepstat.nplm.effects import Effect, Polynomial, checked_names, checked_nu, checked_reach, monomials, powers
from hepstat.seeds import stream_key, toy_generator
from hepstat.types import Floats

__all__ = ["AnalyticEffect"]

_POINTS = {1: 33, 2: 17, 3: 11}  # of the grid, for each of so many nuisances
_DEGREES = {1: 20, 2: 14, 3: 10}  # of polynomials, at most
_PLANES = 40  # at most
_EVENTS, _TRIALS = 1000, 64  # events to choose planes by; values of nu at which the error is measured


@dataclass(frozen=True, eq=False)
class AnalyticEffect(Effect):
    """log r(x; nu) as a function written by the user.

    Planes are the function itself at values nu_k, so many that its values elsewhere are combinations of these: the
    columns that a pivoted QR decomposition of a table of events by values chooses (empirical interpolation, Barrault et
    al., C. R. Acad. Sci. Paris I 339 (2004) 667). The combinations are polynomials in nu that vanish at nu = 0.

    Parameters
    ----------
    names : str or sequence of str
        Of one to three nuisances; effects of more add up in :func:`combine`.
    function : callable
        ``function(x, nu)`` with x (n, d) and nu (n_nu,) gives log r (n,), which is 0 at nu = 0.
    reach : array_like, (n_nu, 2)
        Lowest and highest value of each nuisance, around 0.
    x : array_like, (n, d)
        Events of the whole region of features, such as the reference: planes are chosen and the error is measured on
        up to some thousand of them, the outermost of each feature included.
    tolerance : float, optional
        Largest error of log r on events of `x` at nu within reach.

    Attributes
    ----------
    nodes : ndarray, (K, n_nu)
        nu_k.
    error : float
        The largest error, measured at random values of nu and other events than planes were chosen by.

    Raises
    ------
    InputError
        If the function does not return (n,) finite numbers, is not 0 at nu = 0, is 0 everywhere, or is off by more
        than the tolerance.
    """

    names: tuple[str, ...]
    function: Callable[[Any, Any], Any]
    reach: Any
    x: InitVar[ArrayLike]
    _: KW_ONLY
    tolerance: float = 1e-6
    polynomial: Polynomial = field(init=False)
    nodes: Floats = field(init=False)
    error: float = field(init=False)

    def __post_init__(self, x: ArrayLike) -> None:
        names = checked_names(self.names)
        if len(names) not in _POINTS:
            raise InputError("names", f"are {len(names)}", "Pass up to three for one effect, and add effects up")
        if not callable(self.function):
            raise InputError("function", f"is {self.function!r}", "Pass a function of events and nuisances")
        tolerance, reach = positive_number(self.tolerance, "tolerance"), checked_reach(self.reach, len(names))
        for name, value in (("names", names), ("reach", reach), ("tolerance", tolerance)):
            object.__setattr__(self, name, value)
        chosen, others = _some(features(x))
        if np.abs(self._values(chosen, np.zeros(len(names)))).max() > min(tolerance, 1e-9):
            raise InputError("function", "is not 0 at nu = 0", "Pass the ratio to the reference")
        nodes, polynomial = self._separated(chosen)
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "polynomial", polynomial)
        object.__setattr__(self, "error", self._measured(others))
        if self.error > tolerance:
            problem = f"is off by {self.error:.1e} with {len(nodes)} planes, more than the tolerance of {tolerance:g}"
            raise InputError("function", problem, "Narrow the reach, raise the tolerance, or smooth the function")

    @property
    def analytic(self) -> bool:
        """Yes, unless the function has steps or kinks, which nobody checks."""
        return True

    def planes(self, x: ArrayLike) -> Floats:
        """Return the function of events (n, d) at the nodes, (n, K)."""
        events = features(x)
        return np.stack([self._values(events, node) for node in self.nodes], axis=1)

    def exact(self, x: ArrayLike, nu: ArrayLike) -> Floats:
        """Return the function itself (n,), also beyond the reach."""
        return self._values(features(x), checked_nu(nu, len(self.names)))

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types, with digests of the function's code and of what was made of it."""
        return {
            "kind": "AnalyticEffect",
            "names": list(self.names),
            "reach": self.reach.tolist(),
            "code": code_digest(self.function),
            "numbers": numbers_digest(self.nodes, self.polynomial.coefficients),
        }

    def _values(self, x: Floats, nu: Floats) -> Floats:
        """Return the function, checked."""
        values = finite_array(np.asarray(self.function(x, nu.copy())), f"function at nu = {nu.tolist()}")
        if values.size != len(x):
            problem = f"gives {values.size} values for {len(x)} events"
            raise InputError("function", problem, "Return one logarithm for each")
        return values

    def _separated(self, x: Floats) -> tuple[Floats, Polynomial]:
        """Return nodes and polynomials."""
        n = len(self.names)
        unit = np.cos(np.pi * np.arange(_POINTS[n]) / (_POINTS[n] - 1))  # Chebyshev's, with both ends
        middle, half = self.reach.mean(axis=1), 0.5 * (self.reach[:, 1] - self.reach[:, 0])
        grid = middle + half * np.array(list(product(unit, repeat=n)))
        table = np.stack([self._values(x, nu) for nu in grid], axis=1)
        size = float(np.abs(table).max())
        if size == 0.0:
            raise InputError("function", "is 0 everywhere within reach", "Leave the effect out")
        triangle, order = qr(table, mode="r", pivoting=True)
        for k in range(1, min(_PLANES, len(x), len(grid)) + 1):
            shares = np.empty((k, len(grid)))
            shares[:, order] = solve_triangular(triangle[:k, :k], triangle[:k])
            error = float(np.abs(table - table[:, order[:k]] @ shares).max())
            if error <= max(0.1 * self.tolerance, 1e-13 * size):
                break
        scales = np.abs(self.reach).max(axis=1)
        exponents, coefficients = self._fitted(grid / scales, shares, size)
        return grid[order[:k]], Polynomial(coefficients, exponents, scales)

    def _fitted(self, u: Floats, shares: Floats, size: float) -> tuple[Any, Floats]:
        """Return exponents and coefficients of polynomials for shares (K, grid), of no higher degree than needed."""
        n = u.shape[1]
        for degree in range(2, _DEGREES[n] + 1, 2):
            exponents = powers(n, degree)
            basis = monomials(u, exponents)
            coefficients = np.linalg.lstsq(basis, shares.T, rcond=None)[0].T
            if np.abs(coefficients @ basis.T - shares).max() * size <= 1e-5 * self.tolerance:
                break
        return exponents, np.asarray(coefficients, dtype=np.float64)

    def _measured(self, x: Floats) -> float:
        """Return the largest error of log r at random values of nu."""
        generator = toy_generator(stream_key(0), 1)
        trials = generator.uniform(self.reach[:, 0], self.reach[:, 1], size=(_TRIALS, len(self.names)))
        approximate = self.planes(x) @ self.polynomial(trials).T
        return max(
            float(np.abs(column - self._values(x, nu)).max()) for column, nu in zip(approximate.T, trials, strict=True)
        )


def _some(x: Floats) -> tuple[Floats, Floats]:
    """Return the outermost events of each feature and some others, and still others (if there are) with the former."""
    outer = np.unique(np.concatenate([x.argmin(axis=0), x.argmax(axis=0)]))
    order = toy_generator(stream_key(0), 0).permutation(len(x))
    others = order[_EVENTS : 3 * _EVENTS] if len(x) > _EVENTS else order
    return x[np.concatenate([outer, order[:_EVENTS]])], x[np.concatenate([outer, others])]

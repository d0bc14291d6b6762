"""The look-elsewhere effect: how likely a local significance is anywhere in a scan, from few toys.

A field of local significances over position, or over width and position, exceeds a high level with about the
probability of the expected Euler characteristic of the region above it. Its dependence on the level is known, so a few
dozen toys at a low level, where exceeding is common, give the global p-value at a high one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number, open_share
from hepstat.errors import InputError
from hepstat.infer.broadcast import given, numbers, refuse
from hepstat.infer.significance import p_to_z, z_change, z_to_log_p, z_to_p
from hepstat.record import Record
from hepstat.types import Bools, Floats, Ints

__all__ = [
    "GrossVitells",
    "VitellsGross",
    "count_up_crossings",
    "euler_characteristic",
    "gross_vitells",
    "holm",
    "trials_factor",
    "vitells_gross",
]

_MOST_Z = 1e100  # whose square is finite


def count_up_crossings(z: ArrayLike, level: float) -> Ints:
    """Count how often a signed local significance rises to a level along a scan.

    Parameters
    ----------
    z : array_like, shape (..., n_places)
        Signed local significance in the order of the scan. A place with NaN, where a fit failed, is passed over: its
        neighbours count as next to each other.
    level : float
        Level u in units of q0, at least 0: z crosses ``sqrt(u)``.

    Returns
    -------
    array of int, shape (...)
        Places at or above the level whose predecessor is below it. A scan that begins above has not crossed there.

    Raises
    ------
    InputError
        If z is a single number, or the level is negative.
    """
    values, above = _above(z, level, 1)
    known = ~np.isnan(values)
    places = np.where(known, np.arange(values.shape[-1]), -1)
    before = np.maximum.accumulate(places, axis=-1)[..., :-1]  # the last known place before each but the first
    low = (before >= 0) & ~np.take_along_axis(above, np.maximum(before, 0), axis=-1)
    return np.asarray((above[..., 1:] & low).sum(axis=-1), dtype=np.int64)


def euler_characteristic(z: ArrayLike, level: float) -> Ints:
    """Euler characteristic of the region where a signed local significance is at or above a level.

    Connected pieces less holes, as vertices less edges plus faces: places are vertices, neighbours along either axis
    share an edge, and four places in a square a face.

    Parameters
    ----------
    z : array_like, shape (..., n_widths, n_positions)
        Signed local significance. A place with NaN, where a fit failed, lies outside the region: amid a region it makes
        a hole, so leave out toys with many.
    level : float
        Level u in units of q0, at least 0: the region is ``z >= sqrt(u)``.

    Returns
    -------
    array of int, shape (...)
        Euler characteristic.

    Raises
    ------
    InputError
        If z has fewer than two dimensions, or the level is negative.
    """
    _, a = _above(z, level, 2)
    across, along = a[..., 1:] & a[..., :-1], a[..., 1:, :] & a[..., :-1, :]
    faces = across[..., 1:, :] & across[..., :-1, :]
    total = sum(sign * part.sum(axis=(-2, -1)) for sign, part in ((1, a), (-1, across), (-1, along), (1, faces)))
    return np.asarray(total, dtype=np.int64)


class _Asymptotic(Record):
    """Global p-values from the expected Euler characteristic of the region above a level."""

    def _excess(self, root: Floats) -> tuple[Floats, Floats]:
        """Return the factor of exp(-u/2) beside the local p-value, and its standard error, at root = sqrt(u)."""
        raise NotImplementedError

    def p_global(self, z_local: ArrayLike) -> tuple[Any, Any]:
        """Return the probability that noise is as significant as `z_local` anywhere in the scan.

        Parameters
        ----------
        z_local : array_like
            Local significance.

        Returns
        -------
        p, error : float or ndarray
            Within [p_local, 1], and its standard error from the finite number of toys.

        Raises
        ------
        InputError
            If an entry is NaN.
        """
        log_p, log_error = self._log_p(z_local)
        return given(np.exp(log_p)), given(np.exp(log_error))

    def z_global(self, z_local: ArrayLike) -> tuple[Any, Any]:
        """Return the global significance of a local one, and its standard error.

        Computed from the logarithm of p, so that it stays right where p underflows. A probability of 1 gives -inf.

        Parameters
        ----------
        z_local : array_like
            Local significance.

        Returns
        -------
        z, error : float or ndarray
            In standard deviations.

        Raises
        ------
        InputError
            If an entry is NaN.
        """
        log_p, log_error = self._log_p(z_local)
        z = np.asarray(p_to_z(log_p=log_p))
        return given(z), given(z_change(z, log_error))

    def _log_p(self, z_local: ArrayLike) -> tuple[Floats, Floats]:
        z = numbers(z_local, "z_local", -np.inf, np.inf)
        local = np.asarray(z_to_log_p(z))
        finite = np.clip(z, 0.0, _MOST_Z)
        factor, error = self._excess(finite)
        decay = np.where(z > _MOST_Z, -np.inf, -0.5 * finite * finite)
        with np.errstate(divide="ignore"):
            log_p = np.logaddexp(local, np.log(np.maximum(factor, 0.0)) + decay)
            log_error = np.log(error) + decay
        return np.minimum(log_p, 0.0), np.asarray(log_error)


@dataclass(frozen=True)
class GrossVitells(_Asymptotic):
    """Global p-values of a scan in one dimension, from up-crossings of a low level.

    ``p_local + <N(u0)> exp(-(u - u0) / 2)`` with u = Z^2 (Gross and Vitells, arXiv:1005.1891, for one degree of
    freedom); q0 is one-sided, so p_local is half that of chi2. It is an upper bound that becomes exact at high levels.
    Below Z = 0 the second term stays as at 0.

    Parameters
    ----------
    mean : float
        Mean number of up-crossings of the level in toys without signal.
    error : float
        Its standard error, at least that of a single crossing in all toys.
    n_toys : int
        Number of toys.
    level : float
        Level u0 in units of q0.
    """

    mean: float
    error: float
    n_toys: int
    level: float

    def _excess(self, root: Floats) -> tuple[Floats, Floats]:
        grown = np.full(root.shape, np.exp(0.5 * self.level))
        return self.mean * grown, self.error * grown


@dataclass(frozen=True, eq=False)
class VitellsGross(_Asymptotic):
    """Global p-values of a scan in two dimensions, from Euler characteristics at two low levels.

    ``P(chi2_1 > u) / 2 + exp(-u / 2) (N1 + sqrt(u) N2)`` with u = Z^2 (Vitells and Gross, arXiv:1105.4355, for one
    degree of freedom in two dimensions). The first term is halved because q0 is one-sided: only excesses count. It
    holds at high levels, where the region above is one piece or none. Below Z = 0 the second term stays as at 0.

    Parameters
    ----------
    n1, n2 : float
        Coefficients of the expected Euler characteristic.
    covariance : array of shape (2, 2)
        Of `n1` and `n2`.
    means : array of shape (2,)
        Mean Euler characteristic at the levels in toys without signal.
    levels : array of shape (2,)
        Levels in units of q0.
    n_toys : int
        Number of toys.
    """

    n1: float
    n2: float
    covariance: Floats
    means: Floats
    levels: Floats
    n_toys: int

    def _excess(self, root: Floats) -> tuple[Floats, Floats]:
        (a, b), (_, d) = self.covariance
        variance = a + 2.0 * b * root + d * root * root
        return self.n1 + self.n2 * root, np.sqrt(np.maximum(variance, 0.0))


def gross_vitells(crossings: ArrayLike, level: float) -> GrossVitells:
    """Average up-crossings of toys, for global p-values of a scan in one dimension.

    Parameters
    ----------
    crossings : array_like, shape (n_toys,) or (n_toys, 1)
        From :func:`count_up_crossings`, of toys without signal.
    level : float
        The level u0 that they are of, in units of q0; one that most toys cross, such as 0.5.

    Returns
    -------
    GrossVitells
        Gives the p-values.

    Raises
    ------
    InputError
        For fewer than two toys, a negative number, or a negative level.
    """
    counted = np.asarray(crossings)
    n = finite_array(counted[:, 0] if counted.ndim == 2 and counted.shape[1] == 1 else counted, "crossings")
    refuse(n < 0, n, "crossings", "is negative", "Pass the counts")
    _several(n.size, "crossings")
    error = float(np.std(n, ddof=1)) / np.sqrt(n.size)
    return GrossVitells(float(n.mean()), float(max(error, 1.0 / n.size)), n.size, _level(level))


def vitells_gross(euler: ArrayLike, levels: ArrayLike) -> VitellsGross:
    """Solve for the expected Euler characteristic, for global p-values of a scan in two dimensions.

    Parameters
    ----------
    euler : array_like, shape (n_toys, 2)
        From :func:`euler_characteristic`, of toys without signal, at two levels.
    levels : array_like, shape (2,)
        The levels in units of q0, such as 0.5 and 2.

    Returns
    -------
    VitellsGross
        Gives the p-values.

    Raises
    ------
    InputError
        For fewer than two toys, or levels that are negative or equal.
    """
    phi, u = finite_array(euler, "euler", ndim=2), finite_array(levels, "levels")
    if phi.shape[1] != 2 or u.shape != (2,) or u.min() < 0 or u[0] == u[1]:
        raise InputError("levels", f"is {u.tolist()} for euler of shape {phi.shape}", "Pass two different levels >= 0")
    _several(phi.shape[0], "euler")
    means, root = phi.mean(axis=0), np.sqrt(u)
    solve = np.linalg.inv(np.exp(-0.5 * u)[:, np.newaxis] * np.column_stack([np.ones(2), root]))
    n1, n2 = solve @ (means - z_to_p(root))
    spread = np.cov(phi, rowvar=False) / phi.shape[0]
    np.fill_diagonal(spread, np.maximum(np.diag(spread), phi.shape[0] ** -2.0))  # toys that all agree are not exact
    covariance = solve @ spread @ solve.T
    return VitellsGross(float(n1), float(n2), covariance, means, u, phi.shape[0])


def holm(p: ArrayLike, level: float) -> Bools:
    """Return which of many hypotheses are rejected when a level is shared out to all of them.

    Parameters
    ----------
    p : array_like, (n,)
        p-values, however they depend on each other.
    level : float
        Probability of rejecting one or more hypotheses that are true, at most.

    Returns
    -------
    ndarray of bool, (n,)

    Raises
    ------
    InputError
        For p-values or a level out of range.

    Notes
    -----
    S. Holm, Scand. J. Stat. 6 (1979) 65: the smallest p-value is compared with level / n, the next one with
    level / (n - 1), and so on to the first that is larger. It rejects what Bonferroni's level / n does, and more.
    """
    values, share = finite_array(p, "p"), open_share(level, "level")
    if values.min() < 0.0 or values.max() > 1.0:
        raise InputError("p", f"has values from {values.min():g} to {values.max():g}", "Pass numbers from 0 to 1")
    order = np.argsort(values, kind="stable")
    passed = values[order] <= share / np.arange(values.size, 0, -1)
    first = values.size if passed.all() else int(np.argmin(passed))
    rejected = np.zeros(values.size, dtype=np.bool_)
    rejected[order[:first]] = True
    return rejected


def trials_factor(p_global: ArrayLike, p_local: ArrayLike) -> Any:
    """Return by how much looking everywhere makes a p-value larger.

    Parameters
    ----------
    p_global, p_local : array_like
        p-values, the local one above 0.

    Returns
    -------
    float or ndarray
        Their ratio.

    Raises
    ------
    InputError
        If an entry is no probability, or a local one is 0.
    """
    whole, local = numbers(p_global, "p_global", 0.0, 1.0), numbers(p_local, "p_local", 0.0, 1.0)
    refuse(local == 0, local, "p_local", "is 0", "Pass local p-values above 0")
    return given(whole / local)


def _above(z: ArrayLike, level: float, ndim: int) -> tuple[Floats, Bools]:
    """Return z as float64, and where it is at or above the root of the level."""
    values = np.asarray(z, dtype=np.float64)
    if values.ndim < ndim:
        raise InputError("z", f"has shape {values.shape}", f"Pass at least {ndim} dimension(s)")
    return values, values >= np.sqrt(_level(level))


def _level(level: float) -> float:
    if finite_number(level, "level") < 0:
        raise InputError("level", f"is {level:g}", "Pass a level of q0, at least 0")
    return float(level)


def _several(n: int, name: str) -> None:
    if n < 2:
        raise InputError(name, f"has {n} toy", "Pass two or more, so that there is an error")

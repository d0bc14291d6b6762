"""Kernels at events: their covariance, reflection at bounds, and sums of them in logarithms."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from hepstat.checks import finite_number
from hepstat.errors import InputError
from hepstat.execution import cut, map_ordered
from hepstat.kernels.draws.kde import NODES, kernel_log_sums
from hepstat.sampling.base import Column, column_number, column_numbers
from hepstat.types import Floats, Ints

__all__ = ["Bounds", "Kernels", "kernels_of"]

Bounds = Mapping[Column, tuple[float | None, float | None]]

_CHUNK = 512  # points of one piece of work
_REACH = 9.0  # standard deviations beyond which an image adds nothing
_SINGULAR = 1e-10  # least eigenvalue of a correlation matrix, over its largest
_PART = 0.1  # of an eigenvector, from which on a column counts as a part of it


@dataclass(frozen=True, eq=False)
class Kernels:
    """What all kernels share; they differ in their places and widths.

    Attributes
    ----------
    columns, discrete : ndarray of int
        Columns that kernels smear (c,), and those that stay as they are.
    centre : ndarray, (c,)
        Mean of the events.
    covariance, lower : ndarray, (c, c)
        Weighted covariance of the events, zero between a bounded column and any other, and its Cholesky factor.
    bounds : ndarray, (2, d)
        Of all columns, infinite where there is none.
    """

    columns: Ints
    discrete: Ints
    centre: Floats
    covariance: Floats
    lower: Floats
    bounds: Floats

    def embedded(self, matrix: Floats) -> Floats:
        """Return a matrix (c, c) as one of all columns (d, d), zero for those that stay as they are."""
        d = self.bounds.shape[1]
        whole = np.zeros((d, d))
        whole[np.ix_(self.columns, self.columns)] = matrix
        return whole

    def log_sums(
        self, x: Floats, events: Floats, w: Floats, widths: Floats, *, own: Ints | None = None, workers: int = 1
    ) -> Floats:
        """Return logarithms of sum_i w_i K_i(x) (n,), with kernels K_i of integral 1.

        Parameters
        ----------
        x : ndarray, (n, d)
        events, w, widths : ndarray, (m, d), (m,), (m,)
            Places of kernels, and standard deviations in units of those of the events.
        own : ndarray, (n,), optional
            The event to leave out at each point.
        workers : int, optional
            Threads; the bits do not depend on them.
        """
        half, offset = 0.5 / widths**2, np.log(w) + self._log_peaks(widths)
        points, nodes = self._round(x), self._round(events)
        images = self._images(float(widths.max()))
        out = np.full(len(x), -np.inf)

        def fill(job: tuple[Ints, Ints, tuple[Floats, Floats, Floats, int]]) -> None:
            at, left_out, shared = job
            found = np.empty(at.size)
            kernel_log_sums(points[at], *shared, images, left_out, found)
            out[at] = found

        for at, among in _groups(x[:, self.discrete], events[:, self.discrete]):
            left_out = np.full(at.size, -1)
            if own is not None:
                place = np.full(len(events), -1)
                place[among] = np.arange(among.size)
                left_out = place[own[at]]
            shared = _tiles(nodes[among]), _tiles(half[among]), _tiles(offset[among]), among.size
            pieces = [slice(*ends) for ends in cut(at.size, _CHUNK)]
            jobs = [(at[piece], left_out[piece], shared) for piece in pieces]
            for _ in map_ordered(fill, jobs, workers=workers):
                pass
        inside = (x >= self.bounds[0]) & (x <= self.bounds[1])
        out[~inside.all(axis=1)] = -np.inf
        return out

    def log_own(self, x: Floats, width: float) -> Floats:
        """Return logarithms of kernels of one width at their own places (n, d), (n,)."""
        found = np.full(len(x), self._log_peaks(np.array([width]))[0])
        points, more = self._round(x), np.ones(len(x))
        for j, sign, shift, last in self._images(width):
            far = (sign - 1.0) * points[:, int(j)] + shift
            more += np.exp(-0.5 * (far / width) ** 2)
            if last:
                found += np.log(more)
                more = np.ones(len(x))
        return found

    def _log_peaks(self, widths: Floats) -> Floats:
        """Return logarithms of kernels (m,) in their middle, images at bounds left out."""
        c = self.columns.size
        peaks = -c * np.log(widths) - 0.5 * c * math.log(2.0 * math.pi) - np.log(np.diag(self.lower)).sum()
        return np.asarray(peaks)

    def _round(self, x: Floats) -> Floats:
        """Return points (n, c) in units in which kernels are round."""
        found = solve_triangular(self.lower, (x[:, self.columns] - self.centre).T, lower=True)
        return np.ascontiguousarray(found.T)

    def _images(self, widest: float) -> Floats:
        """Return images of a node (t, 4) at bounds, see :func:`kernel_log_sums`, those beyond reach left out."""
        found: list[tuple[float, float, float, float]] = []
        unit = np.diag(self.lower)
        for j, column in enumerate(self.columns):
            low, high = (self.bounds[:, column] - self.centre[j]) / unit[j]
            mirrors: list[tuple[float, float]] = []
            if math.isfinite(low) and math.isfinite(high):
                turn = 2.0 * (high - low)
                most = math.ceil(_REACH * widest / turn + 1.0)
                for k in range(-most, most + 1):
                    mirrors += [(1.0, k * turn)] * (k != 0) + [(-1.0, 2.0 * low + k * turn)]
            else:
                mirrors += [(-1.0, 2.0 * bound) for bound in (low, high) if math.isfinite(bound)]
            found += [(j, sign, shift, float(i == len(mirrors) - 1)) for i, (sign, shift) in enumerate(mirrors)]
        return np.array(found, dtype=np.float64).reshape(-1, 4)


def kernels_of(
    x: Floats, w: Floats, names: tuple[str, ...], bounds: Bounds | None, discrete: Sequence[Column] | Column
) -> Kernels:
    """Return kernels with the weighted covariance of events (m, d).

    Raises
    ------
    InputError
        For events outside of the bounds, bounds that are none, no column to smear, or a singular covariance.
    """
    stay = column_numbers(discrete, names, "discrete")
    columns = np.setdiff1d(np.arange(len(names)), stay)
    if not columns.size:
        raise InputError("discrete", "holds every column", "Use BootstrapSampler, which keeps events as they are")
    limits = _checked_bounds(bounds, names, stay, x)
    if len(x) < 2:
        raise InputError("events", "is a single event", "Pass two or more, with weights above zero")
    chosen = x[:, columns]
    covariance = np.atleast_2d(np.cov(chosen, rowvar=False, aweights=w))
    walls = np.asarray(np.isfinite(limits[:, columns]).any(axis=0))
    joined = ~(walls[:, None] | walls) | np.eye(columns.size, dtype=np.bool_)
    covariance = np.where(joined, covariance, 0.0)
    _refuse_singular(covariance, [names[j] for j in columns], len(x))
    lower = np.asarray(np.linalg.cholesky(covariance))
    centre = np.asarray(np.average(chosen, axis=0, weights=w))
    return Kernels(columns, stay, centre, covariance, lower, limits)


def _checked_bounds(bounds: Bounds | None, names: tuple[str, ...], discrete: Ints, x: Floats) -> Floats:
    """Return lower and upper bounds (2, d), infinite where there is none."""
    limits = np.repeat([[-np.inf], [np.inf]], len(names), axis=1)
    for column, pair in (bounds or {}).items():
        j = column_number(column, names, "bounds")
        name = f"bounds of {names[j]}"
        if j in discrete:
            raise InputError(name, "are given for a discrete column", "Leave them out: its values stay as they are")
        try:
            low, high = pair
        except (TypeError, ValueError):
            raise InputError(name, f"are {pair!r}, not a pair", "Pass (low, high), either may be None") from None
        limits[0, j] = -np.inf if low is None else finite_number(low, name)
        limits[1, j] = np.inf if high is None else finite_number(high, name)
        if not limits[0, j] < limits[1, j]:
            raise InputError(name, f"are ({low}, {high}), which is empty", "Pass low < high")
        out = int(((x[:, j] < limits[0, j]) | (x[:, j] > limits[1, j])).sum())
        if out:
            raise InputError(name, f"leave {out} of {len(x)} events outside", "Widen them, or drop these events")
    return limits


def _refuse_singular(covariance: Floats, names: list[str], m: int) -> None:
    """Raise :class:`InputError` if there is no Cholesky factor, with the names of the columns that are to blame."""
    variance = np.diag(covariance)
    remedy = "Declare such columns as discrete, or drop them"
    constant = [name for name, v in zip(names, variance, strict=True) if not v > 0]
    if constant:
        raise InputError("events", f"do not vary in {', '.join(constant)}", remedy)
    unit = np.sqrt(variance)
    values, vectors = np.linalg.eigh(covariance / np.outer(unit, unit))
    if values[0] > _SINGULAR * values[-1]:
        return
    guilty = np.abs(vectors[:, values <= _SINGULAR * values[-1]]).max(axis=1) > _PART
    listed = ", ".join(name for name, bad in zip(names, guilty, strict=True) if bad)
    problem = f"have a singular covariance: {listed} depend on each other linearly"
    if m <= len(names):
        problem += f", as {m} events are too few for {len(names)} columns"
    raise InputError("events", problem, remedy)


def _tiles(values: Floats) -> Floats:
    """Return values (m,) or (m, c) in tiles of NODES, (t, NODES) or (t, c, NODES), the last filled up with zeros."""
    t = -(-len(values) // NODES)
    filled = np.zeros((t * NODES, *values.shape[1:]))
    filled[: len(values)] = values
    tiles = filled.reshape(t, NODES, *values.shape[1:])
    return np.ascontiguousarray(np.moveaxis(tiles, 1, -1))


def _groups(x: NDArray[np.float64], events: NDArray[np.float64]) -> list[tuple[Ints, Ints]]:
    """Return pairs of points and of events, by their numbers, that have the same values in discrete columns."""
    n = len(x)
    if not x.shape[1]:
        return [(np.arange(n), np.arange(len(events)))] if n else []
    _, label = np.unique(np.concatenate([x, events]), axis=0, return_inverse=True)
    label = label.reshape(-1)
    order = np.argsort(label, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
    pairs = ((part[part < n], part[part >= n] - n) for part in parts)
    return [(at, among) for at, among in pairs if at.size and among.size]

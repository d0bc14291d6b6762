"""Newton's method for functions made of kernels, jointly with nuisances.

The point p (r + n_nu,) holds the coefficients b of orthonormal planes (:class:`hepstat.nplm.nystroem.Basis`), then the
nuisances. With the score g = f + log r of a row, whose weight as reference is w and which stands for n events of data,

    likelihood:  sum [w (e^g - 1) - n g]                        + ridge / 2 |f|^2 - log A(nu)/A(0)
    logistic:    sum [w log(1 + e^g) + n log(1 + e^-g)]         + ridge / 2 |f|^2

is the objective. A matrix is kept for as long as steps with it come close enough, since it is what takes time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import expit

from hepstat.kernels.nplm.nuisances import Effect, Nuisances, auxiliary, fill_effect
from hepstat.nplm.nystroem import Basis, pieces
from hepstat.types import Bools, Floats

__all__ = ["CONVERGED", "LOSSES", "REASONS", "Minimum", "Objective", "Rows", "minimise"]

CONVERGED, USED_UP, STALLED, CONCAVE = range(4)
REASONS = {
    USED_UP: "Newton's method has used up its steps",
    STALLED: "no step makes the objective smaller",
    CONCAVE: "the objective is not convex: negative weights outweigh the others somewhere",
}

_CHEAP = 2e9  # multiplications for planes of all rows, below which all sums use planes and a step a new matrix
_TOLERANCE = 1e-10  # of what a further step would gain, in units of log L
_NEARLY = 1e-7  # what may be left where rounding ends the descent
_ROUNDING = 1e-12  # of the objective, as a share of the number of events
_MOST_STEPS = 200
_HALVINGS = 40
_CLOSE = 0.3  # largest ratio of gains for which the matrix is kept
_LARGEST = 700.0  # of a score whose exponential is finite


class Rows(NamedTuple):
    """Features z (N, d), planes of nuisances (N, K), weights as reference w (N,), numbers of data events n (N,)."""

    z: Floats
    planes: Floats
    w: Floats
    n: Floats


def likelihood(g: Floats, w: Floats, n: Floats) -> tuple[float, Floats, Floats]:
    """Return the sum of w (e^g - 1) - n g, and its first and second derivative by g (N,)."""
    with np.errstate(over="ignore"):
        mean = w * np.exp(np.minimum(g, _LARGEST))
        value = float((w * np.expm1(np.minimum(g, _LARGEST)) - n * g).sum())
    return value, mean - n, mean


def logistic(g: Floats, w: Floats, n: Floats) -> tuple[float, Floats, Floats]:
    """Return the sum of w log(1 + e^g) + n log(1 + e^-g), and its first and second derivative by g (N,)."""
    up, down = expit(g), expit(-g)
    value = float((w * np.logaddexp(0.0, g) + n * np.logaddexp(0.0, -g)).sum())
    return value, w * up - n * down, (w + n) * up * down


LOSSES: dict[str, Callable[[Floats, Floats, Floats], tuple[float, Floats, Floats]]] = {
    "likelihood": likelihood,
    "logistic": logistic,
}


class Sums(NamedTuple):
    """Value, gradient (r + n_nu,), and the matrix (r + n_nu, r + n_nu) without ridge, if wanted."""

    value: float
    slope: Floats
    matrix: Floats | None


@dataclass(frozen=True, eq=False)
class Objective:
    """What is minimised.

    Attributes
    ----------
    rows : Rows
    basis : Basis or None
        None for f = 0.
    ridge : float
    loss : str
        Of :data:`LOSSES`.
    nuisances : Nuisances
        What multiplies with their planes, and what is known of them.
    limits : ndarray, (n_nu, 2)
    """

    rows: Rows
    basis: Basis | None
    ridge: float
    loss: str
    nuisances: Nuisances
    limits: Floats

    @property
    def rank(self) -> int:
        """Number of planes of f."""
        return 0 if self.basis is None else len(self.basis.centres)

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return self.rank + len(self.limits)

    @property
    def is_cheap(self) -> bool:
        """Whether planes are made quickly, so that there is no need to do without them."""
        return len(self.rows.w) * self.rank**2 < _CHEAP

    def sums(self, p: Floats, *, matrix: bool, planes: bool = True) -> Sums:
        """Return the objective at a point, with planes or, quicker and with more rounding, kernels alone."""
        r, basis = self.rank, self.basis
        a = np.empty(0) if basis is None else basis.coefficients(p[:r])
        c, first = self._coefficients(p[r:])
        by_planes = matrix or planes
        value, slope_f, slope_c = 0.0, np.zeros(r), np.zeros(c.size)
        total = np.zeros((self.size, self.size)) if matrix else None
        for piece in pieces(len(self.rows.w)):
            z, own, w, n = (column[piece] for column in self.rows)
            columns = np.empty((0, len(w))) if basis is None else basis.kernels(z).T
            if basis is not None and by_planes:
                columns = basis.orthogonalised(columns)
            part, s, h = LOSSES[self.loss](own @ c + (p[:r] if by_planes else a) @ columns, w, n)
            value += part
            slope_f += columns @ s
            slope_c += s @ own
            if total is not None:
                total += _squares(np.vstack([columns, (own @ first).T]) if c.size else columns, h)
        if basis is not None and not by_planes:
            slope_f = basis.orthogonalised(slope_f)
        value += 0.5 * self.ridge * float(p[:r] @ p[:r])
        slope = np.concatenate([slope_f + self.ridge * p[:r], slope_c @ first])
        for i, nu in enumerate(p[r:]):
            known, gain, bend = auxiliary(self.nuisances, i, nu)
            value -= known
            slope[r + i] -= gain
            if total is not None:
                total[r + i, r + i] += max(-bend, 0.0)
        return Sums(value, slope, total)

    def outward(self, p: Floats, move: Floats) -> Bools:
        """Return which coordinates are nuisances at a limit that a move (r + n_nu,) would cross."""
        nu, crossing = p[self.rank :], np.zeros(self.size, dtype=np.bool_)
        low, high = self.limits.T
        at = move[self.rank :]
        crossing[self.rank :] = ((nu <= low) & (at < 0)) | ((nu >= high) & (at > 0))
        return crossing

    def moved(self, p: Floats, step: Floats) -> Floats:
        """Return the point after a step, nuisances within their limits."""
        there = p + step
        for limit in self.limits.T:  # rounding leaves some just short of it
            nu = there[self.rank :]
            there[self.rank :] = np.where(np.isclose(nu, limit, rtol=1e-12, atol=1e-15), limit, nu)
        there[self.rank :] = np.clip(there[self.rank :], *self.limits.T)
        return there

    def room(self, p: Floats, step: Floats) -> float:
        """Return the largest share of a step, up to 1, that keeps nuisances within their limits."""
        moves = zip(p[self.rank :], step[self.rank :], self.limits, strict=True)
        shares = [((high if move > 0 else low) - nu) / move for nu, move, (low, high) in moves if move != 0]
        return float(min([1.0, *shares]))

    def _coefficients(self, nu: Floats) -> tuple[Floats, Floats]:
        """Return the coefficients of planes (K,), and their derivatives by nuisances (K, n_nu)."""
        k, n = len(self.nuisances.matrix), len(nu)
        effect = Effect(np.zeros(k), np.zeros((k, n)), np.zeros((k, n, n)))
        fill_effect(self.nuisances, nu, effect)
        return effect.coefficients, effect.first


class Minimum(NamedTuple):
    """Where the objective is least.

    p (r + n_nu,); gain: what one more step would gain; steps; status, `CONVERGED` or a key of `REASONS`; dof: effective
    degrees of freedom of f, the trace of H (H + ridge)^-1 with the last matrix H.
    """

    p: Floats
    gain: float
    steps: int
    status: int
    dof: float


def minimise(objective: Objective) -> Minimum:
    """Descend from f = 0 and nu = 0; nuisances at a limit that they would cross stay there."""
    p, gain, dof = np.zeros(objective.size), np.inf, np.nan
    rows = objective.rows
    slack = _ROUNDING * float(np.abs(rows.w).sum() + rows.n.sum())
    now, fresh, steps = objective.sums(p, matrix=True), True, 0
    system, planes = _System(objective), objective.is_cheap
    while steps < _MOST_STEPS:
        if now.matrix is not None and not system.take(now.matrix):
            return Minimum(p, gain, steps, CONCAVE, np.nan)
        dof = system.dof
        step = system.step(p, now.slope)
        before, gain = gain, -0.5 * float(step @ now.slope)
        if gain <= _TOLERANCE:
            return Minimum(p, gain, steps, CONVERGED, dof)
        share, found = objective.room(p, step), None
        if fresh or gain < _CLOSE * before:
            for _ in range(_HALVINGS if fresh and gain > _NEARLY else 1):
                trial = objective.sums(objective.moved(p, share * step), matrix=False, planes=planes)
                if trial.value <= now.value - 1e-4 * share * gain + slack:
                    found = trial
                    break
                share *= 0.5
        if found is None and fresh and not planes:
            planes = True  # what ended the descent may be the rounding of sums without them
            continue
        if found is None and fresh:
            return Minimum(p, gain, steps, CONVERGED if gain <= _NEARLY else STALLED, dof)
        if found is None:
            now, fresh = objective.sums(p, matrix=True), True
            continue
        p, steps, fresh = objective.moved(p, share * step), steps + 1, objective.is_cheap
        now = objective.sums(p, matrix=True) if fresh else found
    return Minimum(p, gain, steps, USED_UP, dof)


class _System:
    """The last matrix with its ridge, and its Cholesky factor without the nuisances that are held at a limit."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._ridge = np.zeros(objective.size)
        self._ridge[: objective.rank] = objective.ridge
        self._matrix = np.empty((0, 0))
        self._factors: dict[bytes, Any] = {}
        self.dof = np.nan

    def take(self, matrix: Floats) -> bool:
        """Take a new matrix; return whether it is positive definite."""
        rank, size = self._objective.rank, self._objective.size
        self._matrix, self._factors = matrix + np.diag(self._ridge), {}
        try:
            factor = self._factor(np.zeros(size, dtype=np.bool_))
        except LinAlgError:
            return False
        inverse = cho_solve(factor, np.eye(size)[:, :rank])[:rank]
        self.dof = float(rank - self._objective.ridge * np.trace(inverse))
        return True

    def step(self, p: Floats, slope: Floats) -> Floats:
        """Return Newton's step from a point."""
        held = self._objective.outward(p, -slope)
        while True:
            step = -np.asarray(cho_solve(self._factor(held), np.where(held, 0.0, slope)))
            crossing = self._objective.outward(p, step)
            if not crossing.any():
                return step
            held |= crossing

    def _factor(self, held: Bools) -> Any:
        key = held.tobytes()
        if key not in self._factors:
            matrix = np.where(held[:, np.newaxis] | held, np.diag(np.diag(self._matrix)), self._matrix)
            self._factors[key] = cho_factor(matrix, lower=True, overwrite_a=True, check_finite=False)
        return self._factors[key]


def _squares(columns: Floats, h: Floats) -> Floats:
    """Return sum_e h_e v_e v_e^T of columns v (m, e)."""
    if (h >= 0).all():
        rooted = columns * np.sqrt(h)
        return np.asarray(rooted @ rooted.T)  # half of the work
    return np.asarray((columns * h) @ columns.T)

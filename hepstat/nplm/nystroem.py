"""Functions made of a Gaussian kernel at centres, f(x) = sum_j a_j exp(-|z - c_j|^2 / (2 width^2)), z the features.

Nystroem's method: of the space that the kernel has, only what centres span is used. Centres near one another say the
same, so that those are chosen, one by one, of which most is left when what others say has been taken away (Cholesky
with pivots), until what is left is nowhere above rounding. The chosen ones, orthogonalised, are the planes of
:meth:`Basis.planes`, in which the norm of f is that of its coefficients, |f|^2 = b^T b.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import solve_triangular
from scipy.linalg.lapack import dpstrf
from scipy.spatial.distance import cdist, pdist

from hepstat.checks import features
from hepstat.errors import InputError
from hepstat.types import Floats

__all__ = ["Basis", "KernelFunction", "Scaling", "choose_basis", "pairwise_width", "pieces"]

PIECE = 2048  # events whose planes are made at a time


class Scaling(NamedTuple):
    """What features are shifted and divided by, (d,) each."""

    mean: Floats
    unit: Floats

    def __call__(self, x: Floats) -> Floats:
        """Return z (n, d)."""
        return np.ascontiguousarray((x - self.mean) / self.unit)


class Basis(NamedTuple):
    """Centres (r, d) in scaled features, and the triangle (r, r) whose square is the kernel between them."""

    centres: Floats
    triangle: Floats
    width: float

    def kernels(self, z: Floats) -> Floats:
        """Return the kernel (n, r) between events (n, d) and centres."""
        return gaussian(z, self.centres, self.width)

    def planes(self, z: Floats) -> Floats:
        """Return orthonormal functions (r, n) of events (n, d)."""
        return self.orthogonalised(self.kernels(z).T)

    def orthogonalised(self, sums: Floats) -> Floats:
        """Return sums over events with planes instead of kernels (r, ...)."""
        return np.asarray(solve_triangular(self.triangle, sums, lower=True, check_finite=False))

    def coefficients(self, b: Floats) -> Floats:
        """Return the coefficients of kernels (r,) from those of planes."""
        return np.asarray(solve_triangular(self.triangle, b, lower=True, trans=1, check_finite=False))


@dataclass(frozen=True, eq=False)
class KernelFunction:
    """A sum of Gaussian kernels, a function of events.

    Attributes
    ----------
    scaling : Scaling
        Of the features.
    centres : ndarray, (r, d)
        In scaled features: those of the centres that were chosen.
    coefficients : ndarray, (r,)
    width : float
        In scaled features.
    norm : float
        In the space of the kernel.
    """

    scaling: Scaling
    centres: Floats
    coefficients: Floats
    width: float
    norm: float

    def __call__(self, x: ArrayLike) -> Floats:
        """Return f (n,) of events (n, d)."""
        events = features(x)
        d = self.scaling.mean.size
        if events.shape[1] != d:
            raise InputError("x", f"has {events.shape[1]} features", f"Pass events with {d}")
        values = np.empty(len(events))
        for piece in pieces(len(events)):
            values[piece] = gaussian(self.scaling(events[piece]), self.centres, self.width) @ self.coefficients
        return values


def gaussian(z: Floats, centres: Floats, width: float) -> Floats:
    """Return the kernel (n, m) between events (n, d) and centres (m, d)."""
    values = cdist(z, centres, "sqeuclidean")
    values *= -0.5 / width**2
    return np.asarray(np.exp(values, out=values))


def choose_basis(candidates: Floats, width: float, tolerance: float = 0.0) -> Basis:
    """Return the basis of candidates (m, d), in scaled features.

    Parameters
    ----------
    candidates : (m, d)
    width : float
    tolerance : float, optional
        Largest share of the square of a kernel, 1, that may be left of any candidate; not below rounding of m numbers.
    """
    least = max(tolerance, len(candidates) * np.finfo(np.float64).eps)
    triangle, order, rank, _ = dpstrf(gaussian(candidates, candidates, width), tol=least, lower=1, overwrite_a=1)
    return Basis(candidates[order[:rank] - 1], np.tril(triangle[:rank, :rank]), width)


def pairwise_width(z: Floats, quantile: float) -> float:
    """Return a quantile of the distances between events (n, d)."""
    return float(np.quantile(pdist(z), quantile))


def pieces(n: int) -> Iterator[slice]:
    """Give slices of `PIECE` events of n."""
    return (slice(low, min(low + PIECE, n)) for low in range(0, n, PIECE))

"""The likelihood of one data set: samples as rows for kernels, and the buffers that evaluations work in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hepstat.kernels.nplm.descent import Search
from hepstat.kernels.nplm.maximise import Memory, Problem, Totals, loss_at
from hepstat.kernels.nplm.nuisances import SIGMA, Nuisances
from hepstat.kernels.nplm.nuisances import Effect as Coefficients
from hepstat.kernels.nplm.rows import BLOCK, Rows, Sums, Work
from hepstat.learn import Network
from hepstat.learn.buffers import aligned
from hepstat.types import Floats

__all__ = ["Buffers", "Likelihood", "Sample", "join"]


@dataclass(frozen=True, eq=False)
class Sample:
    """Events, or nodes that stand for several.

    Attributes
    ----------
    x : ndarray, (n, d)
        Features as the first layer sees them.
    planes : ndarray, (n, K)
        Of the effect of nuisances.
    w : ndarray, (n,)
        Weights as reference.
    n : ndarray, (n,)
        Numbers of data events.
    """

    x: Floats
    planes: Floats
    w: Floats
    n: Floats

    def __len__(self) -> int:
        return len(self.x)


def join(samples: list[Sample], dtype: str) -> Rows:
    """Return the rows of all samples, features in a precision, filled up to whole blocks."""
    size = sum(len(sample) for sample in samples)
    padded = -(-size // BLOCK) * BLOCK
    first = samples[0]
    rows = Rows(
        x=np.zeros((first.x.shape[1], padded), dtype=dtype),
        planes=np.zeros((first.planes.shape[1], padded)),
        w=np.zeros(padded),
        n=np.zeros(padded),
    )
    at = 0
    for sample in samples:
        stop = at + len(sample)
        rows.x[:, at:stop], rows.planes[:, at:stop] = sample.x.T, sample.planes.T
        rows.w[at:stop], rows.n[at:stop] = sample.w, sample.n
        at = stop
    return rows


class Buffers(NamedTuple):
    """What one thread evaluates a likelihood with; matrices are empty where only the gradient is wanted."""

    coefficients: Coefficients
    work: Work
    totals: Totals
    gradient: Floats


@dataclass(frozen=True, eq=False)
class Likelihood:
    """The loss L of a point phi (P + n_nu,): parameters of the network, then nuisances.

    Attributes
    ----------
    network : Network
    rows : Rows
    nuisances : Nuisances
    lower, upper : ndarray, (P + n_nu,)
        Limits of the point.
    """

    network: Network
    rows: Rows
    nuisances: Nuisances
    lower: Floats
    upper: Floats

    @property
    def n_nu(self) -> int:
        """Number of nuisances."""
        return len(self.nuisances.scales)

    @property
    def problem(self) -> Problem:
        """The likelihood as kernels take it."""
        return Problem(self.network.net, self.rows, self.nuisances, self.lower, self.upper)

    @property
    def reference(self) -> Problem:
        """The same without network, f = 0: a likelihood of the nuisances alone."""
        return self.problem._replace(lower=self.lower[self._n_theta :], upper=self.upper[self._n_theta :])

    @property
    def _n_theta(self) -> int:
        return len(self.lower) - self.n_nu

    def buffers(self, *, matrix: bool, with_network: bool = True) -> Buffers:
        """Return new buffers for the gradient, and for the matrix if wanted."""
        dtype, n_planes = self.rows.x.dtype, len(self.nuisances.matrix)
        n_theta = self._n_theta if with_network else 0
        n_sums, n_phi = n_theta + n_planes, n_theta + self.n_nu
        size = sum(self.network.widths) * BLOCK
        edge = n_sums if matrix else 0

        def sums() -> Sums:
            return Sums(np.zeros(1), np.zeros(n_sums), np.zeros((edge, edge)))

        return Buffers(
            coefficients=Coefficients(
                np.zeros(n_planes), np.zeros((n_planes, self.n_nu)), np.zeros((n_planes, self.n_nu, self.n_nu))
            ),
            work=Work(
                values=aligned(size, dtype),
                pulls=aligned(size, dtype),
                theta=np.zeros(n_theta, dtype=dtype),
                scores=aligned(BLOCK, np.float64),
                slopes=aligned(BLOCK, np.float64),
                means=aligned(BLOCK, np.float64),
                jacobian=aligned(edge * BLOCK, dtype),
                row=aligned(2 * BLOCK, dtype),
            ),
            totals=Totals(sums(), sums()),
            gradient=np.zeros(n_phi),
        )

    def search(self, *, with_network: bool = True) -> Search:
        """Return a new search for the minimum; steps are damped in units of 1 for weights, sigma for nuisances."""
        scale = np.concatenate([np.ones(self._n_theta if with_network else 0), self.nuisances.numbers[:, SIGMA]])
        n = len(scale)
        return Search(
            theta=np.zeros(n),
            trial=np.zeros(n),
            gradient=np.zeros(n),
            trial_gradient=np.zeros(n),
            step=np.zeros(n),
            scale=scale,
            hessian=np.zeros((n, n)),
            trial_hessian=np.zeros((n, n)),
            matrix=np.zeros((n, n)),
            pinned=np.zeros(n, np.int64),
            numbers=np.zeros(4),
            codes=np.zeros(2, np.int64),
        )

    def memory(self) -> Memory:
        """Return the memory of Adam before the first step."""
        n = len(self.lower)
        return Memory(np.zeros(n), np.zeros(n), np.zeros(n))

    def loss(self, phi: Floats) -> tuple[float, Floats]:
        """Return the loss at a point and its gradient (P + n_nu,)."""
        b = self.buffers(matrix=False)
        value = loss_at(self.problem, phi, b.coefficients, b.work, b.totals, b.gradient, b.totals.sums.matrix)
        return value, b.gradient

"""The bootstrap with kernels, shrunk so that samples are no wider than the events."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hepstat.errors import InputError
from hepstat.kernels.draws.kde import KDE, kde_constants
from hepstat.ratio.bins import effective_size
from hepstat.sampling.bandwidth import Bandwidth, Part, bandwidth_factor
from hepstat.sampling.base import Column, DrawnSampler, checked_pool
from hepstat.sampling.density import Bounds, kernels_of

__all__ = ["SmoothedBootstrap"]


class SmoothedBootstrap(DrawnSampler):
    """Simulated events drawn with replacement, smeared, and shrunk towards their mean, so that the covariance is kept.

    Parameters
    ----------
    events : array_like, (m, d) or (m,)
        Simulated events.
    weights : array_like, (m,), optional
        At least zero.
    bandwidth : {"scott", "silverman"} or float, optional
        As in :class:`KernelDensity`; for a known kernel density, its ``factor``.
    bounds, discrete, names
        As in :class:`KernelDensity`.

    Attributes
    ----------
    factor : float
        Standard deviation of the smearing before all is shrunk, in units of that of the events.
    shrinkage : float
        By which smeared columns are shrunk, 1 / sqrt(1 + factor^2) up to 1 / n_effective.
    n_events : int
        Number of events with a weight above zero.

    Raises
    ------
    InputError
        As in :class:`KernelDensity`.

    Notes
    -----
    Silverman, *Density Estimation* (1986), section 6.4. :class:`KernelDensity` has events wider by
    1 + factor^2 in covariance, around the places of the simulated ones; here the covariance of a sample is on average
    that of the events exactly, between columns without bounds, at the price that everything moves towards the mean: a
    peak far from it lands in another place. For a column with bounds variance is kept but for what reflection takes
    away, and covariances with it are smaller by the square of the shrinkage. Discrete columns stay as they are, and
    covariances with them are smaller by the shrinkage.
    """

    def __init__(
        self,
        events: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        bandwidth: Bandwidth = "scott",
        bounds: Bounds | None = None,
        discrete: Sequence[Column] | Column = (),
        names: Sequence[str] | None = None,
    ) -> None:
        x, w, given = checked_pool(events, weights, names)
        if bandwidth == "cross-validation":
            problem = "is cross-validated, which is for densities"
            raise InputError("bandwidth", problem, "Pass the factor of such a KernelDensity, or a rule")
        kernels = kernels_of(x, w, given, bounds, discrete)
        self.n_events = len(x)
        self.factor = bandwidth_factor(bandwidth, kernels, w, Part(x, w, np.arange(len(x))))
        more = 1.0 / (1.0 - 1.0 / effective_size(w))  # the covariance of kernels is that without bias
        self.shrinkage = 1.0 / np.sqrt(1.0 + self.factor**2 * more)
        at = x.copy()
        at[:, kernels.columns] = kernels.centre + self.shrinkage * (x[:, kernels.columns] - kernels.centre)
        lower = self.shrinkage * self.factor * kernels.embedded(kernels.lower)
        super().__init__(kde_constants(at, w, np.ones(len(x)), lower, kernels.bounds), given)

    @property
    def _address(self) -> int:
        return KDE.address

    def __repr__(self) -> str:
        return f"SmoothedBootstrap({self.n_events} events of {', '.join(self.names)}; factor {self.factor:.3g})"

"""Kernel density estimates of simulated events, to draw from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import features, finite_number, whole_number
from hepstat.errors import InputError
from hepstat.kernels.draws.kde import KDE, kde_constants, kde_table
from hepstat.ratio.bins import effective_size
from hepstat.sampling.bandwidth import Bandwidth, Part, bandwidth_factor, local_factors
from hepstat.sampling.base import Column, DrawnSampler, checked_pool, read_only
from hepstat.sampling.density import Bounds, Kernels, kernels_of
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats

__all__ = ["KernelDensity"]

_ABRAMSON = 0.5


class KernelDensity(DrawnSampler):
    """A Gaussian kernel at each simulated event.

    Parameters
    ----------
    events : array_like, (m, d) or (m,)
        Simulated events.
    weights : array_like, (m,), optional
        At least zero.
    bandwidth : {"scott", "silverman", "cross-validation"} or float, optional
        The factor: standard deviations of the kernels in units of those of the events. With c smeared columns and an
        effective number n of events, n^(-1/(c + 4)), (n (c + 2) / 4)^(-1/(c + 4)), or that with the largest product
        of densities at events, each without its own kernel, between 1/8 and 8 times the first.
    adaptive : bool or float, optional
        Whether kernels are wider where there are few events: by (f_i / g)^-alpha, with the density f_i at the event
        of a pilot with kernels of one width, and the geometric mean g of f. True is the square root of Abramson, alpha
        = .5; another alpha is above 0 and at most 1.
    bounds : mapping of column to tuple (low, high), optional
        Of columns, given by number or name; either end may be None. What leaves them is reflected.
    discrete : sequence of column, optional
        Columns that stay as they are, such as numbers of jets.
    names : sequence of str, optional
        Of the columns; x0, x1, ... by default.
    subsample : int, optional
        Cross-validation and the pilot use as many events, chosen at random, if there are more.
    rng : int, SeedSequence or Generator, optional
        Of this choice.

    Attributes
    ----------
    factor : float
        What `bandwidth` came to.
    local_factors : ndarray, (m,)
        By which kernels are wider than this, 1 if not adaptive.
    covariance : ndarray, (d, d)
        Of a kernel with local factor 1; zero for discrete columns and between a bounded column and others.
    n_events, n_used : int
        Number of events with a weight above zero, and of those that cross-validation and the pilot have used; all where
        there was neither.
    n_effective : float
        (sum w)^2 / sum w^2.

    Raises
    ------
    InputError
        For entries that are not finite, negative weights, events outside of bounds, columns that depend on each other
        linearly or do not vary, or a cross-validated bandwidth that runs to zero as events repeat.

    Notes
    -----
    Scott, *Multivariate Density Estimation* (1992); Silverman, *Density Estimation* (1986), sections 2.10 (reflection),
    3.4.4 (cross-validation), 4.3 and 5.3 (local factors); Abramson, Ann. Stat. 10 (1982) 1217. The covariance of
    kernels is factor^2 times that of the events, and between columns without bounds it is complete, as in
    ``scipy.stats.gaussian_kde``. Bounded columns have kernels of their own, so that correlations with them are only
    those of the events.

    Samples are wider than the events: their covariance is (1 + factor^2) times as large, which for many columns is a
    lot (1.3 with the rule of Scott for 10^6 events in 20 columns), and peaks, edges and dependences that are no
    straight lines are washed out. :class:`SmoothedBootstrap` keeps the covariance, and :class:`GaussianCopula` the
    distribution of each column. :func:`compare_samples` tells how much it matters.

    A subsample has wider kernels by the power of its size above; a factor from cross-validation is scaled by it. The
    pilot at an event that is no part of the subsample includes its own kernel, too, as it does for all others. As it
    is smoother, local factors differ less: of 20,000 events, their logarithms have a standard deviation of .53 with all
    in the pilot and of .44 with 1000.
    """

    def __init__(
        self,
        events: ArrayLike,
        weights: ArrayLike | None = None,
        *,
        bandwidth: Bandwidth = "scott",
        adaptive: bool | float = False,
        bounds: Bounds | None = None,
        discrete: Sequence[Column] | Column = (),
        names: Sequence[str] | None = None,
        subsample: int = 5000,
        rng: Rng = 1,
    ) -> None:
        x, w, given = checked_pool(events, weights, names)
        alpha = _checked_alpha(adaptive)
        kernels = kernels_of(x, w, given, bounds, discrete)
        needed = alpha > 0 or bandwidth == "cross-validation"
        part = _part(x, w, whole_number(subsample, "subsample", at_least=2) if needed else len(x), rng)
        self.n_events, self.n_used = len(x), part.index.size
        self.n_effective = effective_size(w)
        self.factor = bandwidth_factor(bandwidth, kernels, w, part)
        local = local_factors(kernels, x, w, self.factor, alpha, part) if alpha > 0 else np.ones(len(x))
        self._kernels: Kernels = kernels
        self._weights = w / w.sum()
        lower = self.factor * kernels.embedded(kernels.lower)
        super().__init__(kde_constants(x, w, local, lower, kernels.bounds), given)

    @property
    def _address(self) -> int:
        return KDE.address

    @property
    def events(self) -> Floats:
        """Places of the kernels (m, d), a view."""
        return read_only(kde_table(self._constants)[:, : self.columns])

    @property
    def local_factors(self) -> Floats:
        """Factors (m,) by which the kernels of events are wider, a view."""
        return read_only(kde_table(self._constants)[:, self.columns + 2])

    @property
    def covariance(self) -> Floats:
        """Covariance (d, d) of a kernel with local factor 1."""
        return self.factor**2 * self._kernels.embedded(self._kernels.covariance)

    def log_density(self, x: ArrayLike, *, workers: int = 1) -> Floats:
        """Return the logarithm of the density at points.

        Parameters
        ----------
        x : array_like, (n, d), or (n,) for a single column
            A point costs as many kernels as there are events.
        workers : int, optional
            Threads; the bits do not depend on them.

        Returns
        -------
        ndarray, (n,)
            With discrete columns, of the probability of their values times the density of the others given these; -inf
            where no event has them, and outside of the bounds.

        Raises
        ------
        InputError
            For points that are not finite, or of another number of columns.
        """
        points = features(x, allow_empty=True)
        if points.shape[1] != self.columns:
            raise InputError("x", f"has {points.shape[1]} columns", f"Pass {', '.join(self.names)}")
        widths = self.factor * self.local_factors
        return self._kernels.log_sums(points, self.events, self._weights, widths, workers=workers)

    def __repr__(self) -> str:
        wider = "adaptive, " if (self.local_factors != 1.0).any() else ""
        return f"KernelDensity({self.n_events} events of {', '.join(self.names)}; {wider}factor {self.factor:.3g})"


def _checked_alpha(adaptive: bool | float) -> float:
    """Return the power of local factors, 0 for none."""
    if isinstance(adaptive, bool | np.bool_):
        return _ABRAMSON if adaptive else 0.0
    alpha = finite_number(adaptive, "adaptive")
    if not 0.0 <= alpha <= 1.0:
        raise InputError("adaptive", f"is {alpha:g}", "Pass a power above 0 and at most 1, True or False")
    return alpha


def _part(x: Floats, w: Floats, most: int, rng: Rng) -> Part:
    """Return at most so many of the events, chosen at random."""
    index = np.arange(len(x))
    if len(x) > most:
        index = np.sort(toy_generator(stream_key(rng), 0).choice(len(x), most, replace=False))
    return Part(x[index], w[index], index)

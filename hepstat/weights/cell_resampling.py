"""Cell resampling: negative weights are made up for by the nearest events."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, weighted_events, whole_number
from hepstat.errors import InputError
from hepstat.execution import cut
from hepstat.kernels.cell_resampling import plant_tree, resample_cells
from hepstat.learn.prepared import at_least_zero, standardisation
from hepstat.types import Floats, Ints
from hepstat.weights.resampled import Resampled

__all__ = ["CellResampled", "cell_resample"]

_AT_ONCE = 4096  # seeds of one call of the kernel, which does not listen to Ctrl-C
_FAR = 1e150  # the square of a distance has to fit a number


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class CellResampled(Resampled):
    """A sample after cell resampling: all of its events, see :class:`Resampled`, and the cells.

    Parameters
    ----------
    seeds : ndarray, (cells,)
        The event of negative weight that each cell began with, in the order in which they were filled.
    sizes : ndarray, (cells,)
        Numbers of events.
    radii : ndarray, (cells,)
        Distances of the last event to the seed, in scaled features.
    """

    seeds: Ints
    sizes: Ints
    radii: Floats

    @property
    def unresolved(self) -> Ints:
        """Events whose weight is still negative, since a cell around them would pass the limits."""
        return np.flatnonzero(self.weights < 0)


def cell_resample(
    x: ArrayLike,
    weights: ArrayLike,
    *,
    scale: ArrayLike | None = None,
    max_radius: float = math.inf,
    max_events: int | None = None,
    share: Literal["mean", "absolute"] = "mean",
) -> CellResampled:
    """Return weights without negative ones, for which neighbours have given.

    Events of negative weight have their turns from the most negative on. One that is still negative collects its
    nearest neighbours until the sum of their weights, as they then are, is no longer negative; then all of this cell
    share it. Sums over whole cells do not change, so neither do histograms, up to cells that reach across an edge.

    Parameters
    ----------
    x : array_like, (n, d) or (n,)
        Features in which events are to be close.
    weights : array_like, (n,)
        Of any sign, with a sum above zero.
    scale : array_like, (d,), optional
        Units of the features for distances, which are Euclidean; by default their standard deviations by abs(weights).
    max_radius : float, optional
        Largest distance of an event of a cell to the seed.
    max_events : int, optional
        Most events of a cell. A cell that one of the limits would cut short is not made.
    share : {"mean", "absolute"}, optional
        Whether the members of a cell get equal weights, or in proportion to the absolute values of those before.

    Returns
    -------
    CellResampled
        With all events; the message says what is left negative.

    Raises
    ------
    InputError
        For numbers that are not finite, weights that do not add up to more than zero, or limits out of range.

    Notes
    -----
    Andersen and Maier, arXiv:2109.07851, with ``share="absolute"``. Of seeds with equal weights the one with the lower
    index comes first; of neighbours at equal distances the ones that follow the seed by index, then those before it.

    Events of a cell are correlated, so the sum of the squares of the new weights is no error of a bin: that before is.
    """
    events, w = weighted_events(x, weights)
    scaled = _scaled(events, w, scale)
    radius = at_least_zero(max_radius, "max_radius")
    most = len(events) if max_events is None else whole_number(max_events, "max_events", at_least=2)
    if share not in ("mean", "absolute"):
        raise InputError("share", f"is {share!r}", 'Pass "mean" or "absolute"')
    new = w.copy()
    negative = np.flatnonzero(w < 0)
    seeds = negative[np.argsort(w[negative], kind="stable")]
    sizes, radii = np.zeros(seeds.size, dtype=np.int64), np.zeros(seeds.size)
    tree = plant_tree(scaled)
    for start, stop in cut(seeds.size, _AT_ONCE):
        some = slice(start, stop)
        resample_cells(tree, new, seeds[some], radius * radius, most, share == "absolute", sizes[some], radii[some])
    made = sizes > 0
    cells: dict[str, Any] = {"seeds": seeds[made], "sizes": sizes[made], "radii": radii[made]}
    message = _message(w, new, cells["sizes"], cells["radii"])
    return CellResampled(np.arange(w.size), new, w, "cell resampling", message, **cells)


def _scaled(events: Floats, weights: Floats, scale: ArrayLike | None) -> Floats:
    """Return features in the units of distances."""
    if scale is None:
        units = standardisation(events, weights)[1]
    else:
        units = finite_array(scale, "scale")
        if units.size != events.shape[1]:
            raise InputError("scale", f"has {units.size} entries for {events.shape[1]} features", "Pass one for each")
        if not (units > 0).all():
            raise InputError("scale", f"has an entry of {units.min():g}", "Pass numbers above zero")
    with np.errstate(over="ignore"):
        scaled = events / units
    if not np.abs(scaled).max() < _FAR:
        raise InputError("scale", f"makes features as large as {np.abs(scaled).max():g}", "Pass larger numbers")
    return scaled


def _message(before: Floats, after: Floats, sizes: Ints, radii: Floats) -> str:
    """Return what cells there are and what is left."""
    n = int((before < 0).sum())
    if n == 0:
        return "no weight is negative, nothing was changed"
    made = f"{sizes.size} cells"
    if sizes.size:
        made += f" of {sizes.mean():.3g} events on average, {sizes.max()} at most, up to radius {radii.max():.3g}"
    left = after[after < 0]
    if left.size == 0:
        return f"{made}; none of {n} negative weights is left"
    return f"{made}; {left.size} of {n} negative weights, {left.sum():.6g}, are left: their cells would pass the limits"

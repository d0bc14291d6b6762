"""Positive resampling, which shares out the sum of a cell to all of its events, and unweighting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, positive_number, weighted_events
from hepstat.errors import InputError
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats
from hepstat.weights.cells import Cells, cells_of
from hepstat.weights.resampled import Resampled

__all__ = ["positive_resample", "unweight"]


def positive_resample(
    x: ArrayLike, weights: ArrayLike, *, cells: int | Cells = 100, rng: Rng | None = None
) -> Resampled:
    """Make weights positive cell by cell: each becomes abs(w) sum(w) / sum(abs(w)) of its cell.

    Parameters
    ----------
    x : array_like, (n, d) or (n,)
        Features.
    weights : array_like, (n,)
        Of any sign.
    cells : int or Cells, optional
        Least number of events of cells that :func:`tree_cells` makes; or such cells, those of a histogram
        (:func:`grid_cells`) or given by their numbers (:func:`numbered_cells`).
    rng : int, SeedSequence or Generator, optional
        Unweight the result with random numbers, see :func:`unweight`.

    Returns
    -------
    Resampled
        All events and no negative weight; with `rng` a part of the events, with equal weights. The message has the
        number of cells that were merged.

    Raises
    ------
    InputError
        For entries that are not finite, weights that do not add up to a positive number, or cells of other events.

    Notes
    -----
    Andersen, Gütschow, Maier and Prestel, arXiv:2005.09375. Sums over cells are kept, so histograms with bins made of
    whole cells are; others up to the cells that their edges divide. A cell with a negative sum is merged with its
    sibling, up the tree, until the sum is not negative. Where the density itself is negative that moves yields to
    where they do not belong: ask :func:`diagnose_weights` before.

    The new weights of a cell depend on each other, so the sum of their squares is no variance, and smaller than that of
    the sample: the statistical error of a histogram is still the one before.
    """
    events, w = weighted_events(x, weights)
    found = cells_of(events, cells)
    sums = found.sums(w)
    group = found.merged(sums)
    which = group[found.number]
    net, size = (np.bincount(which, values) for values in (w, np.abs(w)))
    share = np.divide(np.maximum(net, 0.0), size, out=np.zeros(size.size), where=size > 0)
    resampled = Resampled(
        index=np.arange(w.size),
        weights=np.abs(w) * share[which],
        original=w,
        method="positive resampling",
        message=_merging(sums, np.sqrt(found.sums(w**2)), int(group.max()) + 1),
    )
    return resampled if rng is None else _unweighted(resampled, rng)


def unweight(weights: ArrayLike, *, rng: Rng, reference: float | None = None) -> Resampled:
    """Throw events away, so that those that are left have weights of equal size.

    Parameters
    ----------
    weights : array_like, (n,)
        Of any sign, not all zero.
    rng : int, SeedSequence or Generator
        Which events are kept.
    reference : float, optional
        The size of the new weights; the largest of the old ones by default. An event is kept with probability
        abs(w) / reference; one above it always, with its weight.

    Returns
    -------
    Resampled
        The expectation of every sum of weights is as before.

    Raises
    ------
    InputError
        For weights that are not finite, all zero, or so small that none is kept; or a reference not above zero.
    """
    w = finite_array(weights, "weights")
    size = np.abs(w)
    if not size.any():
        raise InputError("weights", f"are all zero, {w.size} of them", "Pass events with weights")
    largest = float(size.max()) if reference is None else positive_number(reference, "reference")
    kept = np.flatnonzero(toy_generator(stream_key(rng), 0).random(w.size) * largest < size)
    if kept.size == 0:
        raise InputError("reference", f"is {largest:g}, which keeps none of {w.size} events", "Pass a smaller one")
    return Resampled(
        index=kept,
        weights=np.sign(w[kept]) * np.maximum(size[kept], largest),
        original=w,
        method="unweighting",
        message=f"{kept.size / w.size:.4g} of the events are kept; {int((size > largest).sum())} exceed {largest:g}",
        noise=size * np.maximum(largest - size, 0.0),
    )


def _unweighted(resampled: Resampled, rng: Rng) -> Resampled:
    """Return positive resampling followed by unweighting; its noise is on top of the statistical error."""
    part = unweight(resampled.weights, rng=rng)
    squares = resampled.original**2
    return replace(
        resampled,
        index=part.index,
        weights=part.weights,
        method="positive resampling with unweighting",
        message=f"{resampled.message}; {part.message}",
        noise=squares if part.noise is None else squares + part.noise,
    )


def _merging(sums: Floats, errors: Floats, left: int) -> str:
    """Say how many of the cells had to be merged."""
    low = sums < 0
    if not low.any():
        return f"No sum of the {sums.size} cells is negative"
    worst = float((sums[low] / errors[low]).min())
    return (
        f"{int(low.sum())} of {sums.size} cells had a negative sum, down to {worst:.1f} standard errors, and were "
        f"merged with others: {left} are left"
    )

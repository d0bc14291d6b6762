"""Net weights of a sample in parts of feature space that were not chosen by weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from hepstat.learn.prepared import standardisation
from hepstat.types import Floats
from hepstat.weights.cells import Cells

__all__ = ["LocalWeights", "neighbour_weights", "tree_weights"]

_NEARBY = 8  # cells among which the largest weight is looked for
_BLOCK = 1_000_000  # neighbours at a time


class LocalWeights(NamedTuple):
    """Cells of a sample (c,).

    Attributes
    ----------
    events, net, error : ndarray, (c,)
        Events, sum of weights, and the root of the sum of squares.
    negative : ndarray, (c,)
        Events with negative weights.
    positive : ndarray, (c,)
        Sum of the positive weights.
    nearby : ndarray, (c,)
        Largest weight here and in cells nearby; that of the sample where there is no positive one.
    low, high : ndarray, (c, d)
        Limits.
    """

    events: Floats
    net: Floats
    error: Floats
    negative: Floats
    positive: Floats
    nearby: Floats
    low: Floats
    high: Floats


def tree_weights(cells: Cells, w: Floats) -> LocalWeights:
    """Return cells of a tree."""
    largest = np.zeros(len(cells))
    np.maximum.at(largest, cells.number, w)
    near = cells.leaf
    for _ in range(round(math.log2(_NEARBY))):
        near = np.maximum(cells.parent[near], 0)
    nearby = cells.of_nodes(largest, np.maximum)[near]
    return LocalWeights(
        events=cells.sums(np.ones(w.size)),
        net=cells.sums(w),
        error=np.sqrt(cells.sums(w**2)),
        negative=cells.sums((w < 0).astype(np.float64)),
        positive=cells.sums(np.maximum(w, 0.0)),
        nearby=np.where(nearby > 0, nearby, w.max()),
        low=cells.low,
        high=cells.high,
    )


def neighbour_weights(x: Floats, w: Floats, k: int, n_places: int, generator: np.random.Generator) -> LocalWeights:
    """Return neighbourhoods of k events around some of them."""
    mean, scale = standardisation(x, w)
    scaled = (x - mean) / scale
    centres = np.sort(generator.permutation(w.size)[:n_places])
    wide = min(_NEARBY * k, w.size)
    columns: list[list[Floats]] = [[] for _ in LocalWeights._fields]
    mixed = generator.permutation(w.size)  # of events at one distance the tree takes those that come first
    tree = cKDTree(scaled[mixed])
    for block in np.array_split(centres, max(1, centres.size * wide // _BLOCK)):
        near = mixed[tree.query(scaled[block], wide)[1].reshape(block.size, wide)]
        own, nearby = near[:, :k], w[near].max(axis=1)
        parts = (
            np.full(block.size, float(k)),
            w[own].sum(axis=1),
            np.sqrt((w[own] ** 2).sum(axis=1)),
            (w[own] < 0).sum(axis=1).astype(np.float64),
            np.maximum(w[own], 0.0).sum(axis=1),
            np.where(nearby > 0, nearby, w.max()),
            x[own].min(axis=1),
            x[own].max(axis=1),
        )
        for column, part in zip(columns, parts, strict=True):
            column.append(part)
    return LocalWeights(*[np.concatenate(column) for column in columns])

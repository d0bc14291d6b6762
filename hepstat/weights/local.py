"""Net weights of a sample in parts of feature space that were not chosen by weights."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

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
    nearby : ndarray, (c,)
        Largest weight here and in cells nearby, at least 0.
    low, high : ndarray, (c, d)
        Limits.
    """

    events: Floats
    net: Floats
    error: Floats
    negative: Floats
    nearby: Floats
    low: Floats
    high: Floats


def tree_weights(cells: Cells, w: Floats) -> LocalWeights:
    """Return cells of a tree."""
    largest = np.zeros(cells.parent.size)
    np.maximum.at(largest, cells.leaf[cells.number], w)
    for node in range(largest.size - 1, 0, -1):
        largest[cells.parent[node]] = max(largest[cells.parent[node]], largest[node])
    near = cells.leaf
    for _ in range(round(math.log2(_NEARBY))):
        near = np.maximum(cells.parent[near], 0)
    return LocalWeights(
        events=cells.sums(np.ones(w.size)),
        net=cells.sums(w),
        error=np.sqrt(cells.sums(w**2)),
        negative=cells.sums((w < 0).astype(np.float64)),
        nearby=largest[near],
        low=cells.low,
        high=cells.high,
    )


def neighbour_weights(x: Floats, w: Floats, k: int, most: int, generator: np.random.Generator) -> LocalWeights:
    """Return neighbourhoods of k events around some of them."""
    mean = np.average(x, axis=0, weights=np.abs(w))
    scale = np.sqrt(np.average((x - mean) ** 2, axis=0, weights=np.abs(w)))
    scaled = (x - mean) / np.where(scale > 0, scale, 1.0)
    centres = np.sort(generator.permutation(w.size)[:most])
    wide = min(_NEARBY * k, w.size)
    columns: list[list[Floats]] = [[] for _ in LocalWeights._fields]
    tree = cKDTree(scaled)
    for block in np.array_split(centres, max(1, centres.size * wide // _BLOCK)):
        near = tree.query(scaled[block], wide)[1].reshape(block.size, wide)
        own = near[:, :k]
        parts = (
            np.full(block.size, float(k)),
            w[own].sum(axis=1),
            np.sqrt((w[own] ** 2).sum(axis=1)),
            (w[own] < 0).sum(axis=1).astype(np.float64),
            np.maximum(w[near].max(axis=1), 0.0),
            x[own].min(axis=1),
            x[own].max(axis=1),
        )
        for column, part in zip(columns, parts, strict=True):
            column.append(part)
    return LocalWeights(*[np.concatenate(column) for column in columns])

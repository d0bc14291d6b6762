"""Cells: feature space cut into parts with enough events each, in a tree by which small parts can be merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import features, finite_array, rising_edges, whole_number
from hepstat.errors import InputError
from hepstat.histogram import Axis
from hepstat.types import Bools, Floats, Ints

__all__ = ["Cells", "cells_of", "grid_cells", "numbered_cells", "tree_cells"]

_NONE = -1


@dataclass(frozen=True, eq=False, repr=False)
class Cells:
    """A partition of events (n,) into c cells, which are the leaves of a binary tree of m nodes.

    Attributes
    ----------
    number : ndarray, (n,)
        The cell of each event, from 0.
    parent : ndarray, (m,)
        The parent of each node, a smaller number than its own; -1 for the root, node 0.
    leaf : ndarray, (c,)
        The node of each cell.
    low, high : ndarray, (c, d)
        Limits of the cells as boxes; d is 0 where cells are given by numbers.
    """

    number: Ints
    parent: Ints
    leaf: Ints
    low: Floats
    high: Floats

    def __len__(self) -> int:
        """Return the number of cells."""
        return int(self.leaf.size)

    def __repr__(self) -> str:
        """Show the numbers of cells and events."""
        counts = np.bincount(self.number, minlength=len(self))
        return f"Cells({len(self)} with {counts.min()} to {counts.max()} of {self.number.size} events)"

    def sums(self, values: Floats) -> Floats:
        """Return the sums of values of events (n,) in the cells, (c,)."""
        return np.asarray(np.bincount(self.number, values, len(self)), dtype=np.float64)

    def depths(self) -> Ints:
        """Return the depth of each node (m,), 0 of the root."""
        depth = np.zeros(self.parent.size, dtype=np.int64)
        for node in range(1, depth.size):
            depth[node] = depth[self.parent[node]] + 1
        return depth

    def coarser(self, depth: int) -> Cells:
        """Return cells that are unions of these, no deeper in the tree than `depth`."""
        depths, node = self.depths(), self.leaf.copy()
        while (deep := depths[node] > depth).any():
            node[deep] = self.parent[node[deep]]
        kept, group = np.unique(node, return_inverse=True)
        low, high = (np.full((kept.size, self.low.shape[1]), end) for end in (np.inf, -np.inf))
        np.minimum.at(low, group, self.low)
        np.maximum.at(high, group, self.high)
        return Cells(group[self.number], self.parent, kept, low, high)

    def of_nodes(self, values: Floats, join: np.ufunc = np.add) -> Floats:
        """Return sums (m,) of all nodes from those of the cells (c,); with `np.maximum` the largest, or 0."""
        totals = np.zeros(self.parent.size)
        totals[self.leaf] = values
        for node in range(self.parent.size - 1, 0, -1):
            totals[self.parent[node]] = join(totals[self.parent[node]], totals[node])
        return totals

    def merged(self, sums: Floats) -> Ints:
        """Return groups of cells (c,), from 0, none of which has a negative sum.

        A cell with a negative sum is merged with its sibling, that with theirs, and so on up the tree, until the sum
        is no longer negative; others stay alone.

        Parameters
        ----------
        sums : ndarray, (c,)
            Of the cells; all together not negative.
        """
        totals = self.of_nodes(sums)
        whole = np.zeros(totals.size, dtype=np.bool_)  # nodes that become one group
        for node in self.leaf[sums < 0]:
            while totals[node] < 0 and node:
                node = self.parent[node]
            whole[node] = True
        top = np.full(totals.size, _NONE, dtype=np.int64)
        for node in range(totals.size):
            above = top[self.parent[node]] if node else _NONE
            top[node] = above if above != _NONE else (node if whole[node] else _NONE)
        groups = np.where(top[self.leaf] == _NONE, self.leaf, top[self.leaf])
        return np.asarray(np.unique(groups, return_inverse=True)[1], dtype=np.int64)


def tree_cells(x: ArrayLike, min_events: int = 100) -> Cells:
    """Cut events at medians of features, again and again, while both halves have enough of them.

    Parameters
    ----------
    x : array_like, (n, d) or (n,)
        Features.
    min_events : int, optional
        Least number of events of a cell.

    Returns
    -------
    Cells
        With min_events to about twice as many events each. Equal values are never divided, so cells do not depend on
        the order of the events, and may be larger where values repeat.

    Raises
    ------
    InputError
        For features that are not finite, or fewer events than `min_events`.

    Notes
    -----
    Cut is the feature with the largest spread between quartiles, in units of that of all events; the next one if
    too many of its values are equal. Weights have no part in this: were cells chosen by them, such as by where the
    sum is negative, the sums of weights in the cells would be biased by that choice.
    """
    events, least = features(x), whole_number(min_events, "min_events", at_least=1)
    n = len(events)
    if n < least:
        raise InputError("min_events", f"is {least}, x has {n} events", "Pass more events, or lower it")
    columns = np.ascontiguousarray(events.T)
    unit = _spreads(columns)
    number = np.empty(n, dtype=np.int64)
    parent: list[int] = [_NONE]
    leaf: list[int] = []
    boxes: list[Floats] = []
    waiting = [(0, np.arange(n), np.array([columns.min(axis=1), columns.max(axis=1)]))]
    while waiting:
        node, rows, box = waiting.pop()
        found = _cut(columns[:, rows], unit, least) if rows.size >= 2 * least else None
        if found is None:
            number[rows] = len(leaf)
            leaf.append(node)
            boxes.append(box)
            continue
        feature, at, below = found
        left, right = box.copy(), box.copy()
        left[1, feature] = right[0, feature] = at
        for part, part_box in ((rows[~below], right), (rows[below], left)):
            waiting.append((len(parent), part, part_box))
            parent.append(node)
    limits = np.array(boxes)
    return Cells(number, np.array(parent), np.array(leaf), limits[:, 0], limits[:, 1])


def grid_cells(x: ArrayLike, edges: Sequence[ArrayLike | Axis] | Axis) -> Cells:
    """Return the bins of a histogram as cells, those outside of its range included.

    Parameters
    ----------
    x : array_like, (n, d) or (n,)
    edges : sequence of array_like or Axis
        Of each feature; for a single feature its axis will do.

    Returns
    -------
    Cells
        Also those without events. Siblings are halves of ranges of bins.

    Raises
    ------
    InputError
        For features that are not finite, edges that do not rise, or too few of them.
    """
    events = features(x)
    given = [edges] if isinstance(edges, Axis) else list(edges)
    if len(given) != events.shape[1]:
        raise InputError("edges", f"are {len(given)} for {events.shape[1]} features", "Pass edges for each feature")
    bounds = [each.edges if isinstance(each, Axis) else rising_edges(each) for each in given]
    shape = [each.size + 1 for each in bounds]
    places = [np.searchsorted(each, column, side="right") for each, column in zip(bounds, events.T, strict=True)]
    ends = [np.concatenate([[-np.inf], each, [np.inf]]) for each in bounds]
    bins = np.indices(shape).reshape(len(shape), -1)
    low = np.stack([end[i] for end, i in zip(ends, bins, strict=True)], axis=1)
    high = np.stack([end[i + 1] for end, i in zip(ends, bins, strict=True)], axis=1)
    number = np.asarray(np.ravel_multi_index(places, shape), dtype=np.int64)
    return Cells(number, *_halved(shape), low, high)


def numbered_cells(numbers: ArrayLike) -> Cells:
    """Return cells given by whole numbers, in the order of which they are neighbours.

    Parameters
    ----------
    numbers : array_like, (n,)
        The cell of each event.

    Raises
    ------
    InputError
        For numbers that are not whole.
    """
    values = finite_array(numbers, "numbers")
    if (values != np.rint(values)).any():
        raise InputError("numbers", f"has {values[values != np.rint(values)][0]:g}", "Pass whole numbers")
    known, number = np.unique(values, return_inverse=True)
    nothing = np.empty((known.size, 0))
    return Cells(np.asarray(number, dtype=np.int64), *_halved([known.size]), nothing, nothing)


def cells_of(x: Floats, cells: int | Cells) -> Cells:
    """Return cells of events (n, d): those given, or of a tree with so many events each at least."""
    if not isinstance(cells, Cells):
        return tree_cells(x, whole_number(cells, "cells", at_least=1))
    if cells.number.size != len(x):
        raise InputError("cells", f"are those of {cells.number.size} events, x has {len(x)}", "Pass cells of x")
    return cells


def _spreads(columns: Floats) -> Floats:
    """Return spreads between quartiles (d,) of features (d, n), between extremes where half of the values are equal."""
    n = columns.shape[1]
    low, high = n // 4, n - 1 - n // 4
    ordered = np.partition(columns, (low, high), axis=1)
    spread = ordered[:, high] - ordered[:, low]
    return np.where(spread > 0, spread, np.ptp(columns, axis=1))


def _cut(columns: Floats, unit: Floats, least: int) -> tuple[int, float, Bools] | None:
    """Return the feature to cut, where, and which events (n,) are below; None if no cut leaves enough on both sides."""
    spreads = np.divide(_spreads(columns), unit, out=np.zeros_like(unit), where=unit > 0)
    n = columns.shape[1]
    for feature in np.argsort(-spreads, kind="stable"):
        if spreads[feature] == 0:
            break
        values = columns[feature]
        at = np.partition(values, n // 2)[n // 2]
        below = values < at
        if below.sum() < least:  # too many equal the median: they go below
            if not (values > at).any():
                continue
            at = values[values > at].min()
            below = values < at
        if least <= below.sum() <= n - least:
            return int(feature), float(at), below
    return None


def _halved(shape: Sequence[int]) -> tuple[Ints, Ints]:
    """Return the parents of nodes, and the nodes of bins, of a grid that is halved along its longest side."""
    parent, leaf = [_NONE], np.empty(shape, dtype=np.int64)
    waiting = [(0, leaf)]
    while waiting:
        node, block = waiting.pop()
        if block.size == 1:
            block[...] = node
            continue
        side = int(np.argmax(block.shape))
        for half in np.array_split(block, 2, axis=side):
            waiting.append((len(parent), half))
            parent.append(node)
    return np.array(parent), leaf.ravel()

"""Cell resampling: negative weights are made up for by the nearest neighbours, event by event (arXiv:2109.07851).

Neighbours come from a balanced k-d tree one at a time, in the order of their distances, until a cell is complete: how
many it will need nobody knows before. Nodes and events wait in one heap.

At equal distances come those that follow the seed by index, then those from index 0 on. So seeds at one place, as there
are with whole numbers as features, find fresh neighbours instead of those that others have used up. A node has bounds
of distance and of this rank, so that not all events at one place have to be looked at. The order has to be exact, hence
distances are computed by IEEE arithmetic to the letter.

The nodes of level l are those from 2^l to 2^(l + 1) - 1, with children 2 i and 2 i + 1; the j-th of them holds the
places from j n >> l to (j + 1) n >> l.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.options import borrowing, strict, strict_part

__all__ = ["Tree", "plant_tree", "resample_cells"]

Array = NDArray[np.float64]
Indices = NDArray[np.int64]

LEAF = 8  # most events of a leaf
SLACK = 8 * np.finfo(np.float64).eps  # sums above minus this share of the sum of absolute values are not negative


class Tree(NamedTuple):
    """Events in a k-d tree.

    Attributes
    ----------
    points : (n, d)
        In the order of the leaves.
    events, place : (n,)
        Which event is at a place in that order, and at which place an event is.
    low, high : (2 leaves, d)
        The box around the events of each node; the first row is unused.
    first, last : (2 leaves,)
        The lowest and the highest index in each node.
    """

    points: Array
    events: Indices
    place: Indices
    low: Array
    high: Array
    first: Indices
    last: Indices


class Heap(NamedTuple):
    """What waits: squares of distances, and nodes or events (as -1 - index), both with room for all."""

    keys: Array
    entries: Indices


@strict
def precedes(x: Array, i: int, j: int, axis: int) -> bool:
    """Return whether event i comes before event j along an axis; those at one place come by index."""
    return bool(x[i, axis] < x[j, axis] or (x[i, axis] == x[j, axis] and i < j))


@strict
def select(x: Array, events: Indices, start: int, stop: int, place: int, axis: int) -> None:
    """Move entries of events[start:stop] so that none behind `place` precedes one before it (Hoare's quickselect)."""
    low, high = start, stop - 1
    while low < high:
        pivot = events[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while precedes(x, events[i], pivot, axis):
                i += 1
            while precedes(x, pivot, events[j], axis):
                j -= 1
            if i <= j:
                events[i], events[j] = events[j], events[i]
                i += 1
                j -= 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            return


@strict
def enclose(x: Array, events: Indices, start: int, stop: int, low: Array, high: Array) -> int:
    """Write the box (d,) around the events events[start:stop] and return its longest side."""
    longest, length = 0, -1.0
    for k in range(x.shape[1]):
        least = most = x[events[start], k]
        for i in range(start + 1, stop):
            value = x[events[i], k]
            least, most = min(least, value), max(most, value)
        low[k], high[k] = least, most
        if most - least > length:
            longest, length = k, most - least
    return longest


@strict
def plant_tree(x: Array) -> Tree:
    """Return a tree of events with features x (n, d), whose nodes are halved at the median of their longest side."""
    n, d = x.shape
    leaves = 1
    while n > LEAF * leaves:
        leaves *= 2
    points, events, place = np.empty((n, d)), np.empty(n, np.int64), np.empty(n, np.int64)
    low, high = np.zeros((2 * leaves, d)), np.zeros((2 * leaves, d))
    first, last = np.full(2 * leaves, n), np.full(2 * leaves, -1)
    for i in range(n):
        events[i] = i
    level = 0
    for node in range(1, 2 * leaves):
        if node >> (level + 1):
            level += 1
        j = node - (1 << level)
        start, stop = (j * n) >> level, ((j + 1) * n) >> level
        axis = enclose(x, events, start, stop, low[node], high[node])
        if node < leaves:
            select(x, events, start, stop, ((2 * j + 1) * n) >> (level + 1), axis)
            continue
        for i in range(start, stop):
            place[events[i]] = i
            first[node], last[node] = min(first[node], events[i]), max(last[node], events[i])
            for k in range(d):
                points[i, k] = x[events[i], k]
    for node in range(leaves - 1, 0, -1):
        first[node] = min(first[2 * node], first[2 * node + 1])
        last[node] = max(last[2 * node], last[2 * node + 1])
    return Tree(points, events, place, low, high, first, last)


@strict_part
def box_distance(tree: Tree, node: int, seed: int) -> float:
    """Return the square of the distance of an event to the box of a node, 0 inside.

    Rounding included it is no more than :func:`distance` to any event in the box.
    """
    total, place = 0.0, tree.place[seed]
    for k in range(tree.points.shape[1]):
        x = tree.points[place, k]
        outside = max(tree.low[node, k] - x, x - tree.high[node, k], 0.0)
        total += outside * outside
    return total


@strict_part
def distance(tree: Tree, place: int, seed: int) -> float:
    """Return the square of the distance of an event to the one at a place."""
    total, own = 0.0, tree.place[seed]
    for k in range(tree.points.shape[1]):
        difference = tree.points[place, k] - tree.points[own, k]
        total += difference * difference
    return total


@borrowing
def rank(tree: Tree, entry: int, seed: int) -> int:
    """Return how far an event is behind the seed, counted on from n - 1 to 0; of a node a lower bound."""
    if entry < 0:
        first = last = -1 - entry
    else:
        first, last = tree.first[entry], tree.last[entry]
    if first >= seed:
        return int(first - seed)
    return int(first - seed + tree.events.shape[0]) if last < seed else 0


@borrowing
def comes_first(tree: Tree, seed: int, key_a: float, a: int, key_b: float, b: int) -> bool:
    """Return whether entry a leaves the heap before b: a node, or an event as -1 - index."""
    return key_a < key_b or (key_a == key_b and rank(tree, a, seed) < rank(tree, b, seed))


@borrowing
def push(tree: Tree, seed: int, heap: Heap, size: int, key: float, entry: int) -> int:
    """Put an entry into the heap and return its new size."""
    i = size
    while i > 0:
        parent = (i - 1) // 2
        if not comes_first(tree, seed, key, entry, heap.keys[parent], heap.entries[parent]):
            break
        heap.keys[i], heap.entries[i] = heap.keys[parent], heap.entries[parent]
        i = parent
    heap.keys[i], heap.entries[i] = key, entry
    return size + 1


@borrowing
def drop(tree: Tree, seed: int, heap: Heap, size: int) -> int:
    """Take the first entry off the heap and return its new size."""
    keys, entries = heap
    size -= 1
    key, entry = keys[size], entries[size]
    i = 0
    while True:
        child = 2 * i + 1
        if child >= size:
            break
        other = child + 1
        if other < size and comes_first(tree, seed, keys[other], entries[other], keys[child], entries[child]):
            child = other
        if not comes_first(tree, seed, keys[child], entries[child], key, entry):
            break
        keys[i], entries[i] = keys[child], entries[child]
        i = child
    keys[i], entries[i] = key, entry
    return size


@borrowing
def open_node(tree: Tree, seed: int, limit: float, heap: Heap, size: int, node: int) -> int:
    """Put into the heap the events of the closest leaf below a node, and the nodes that are left aside.

    Nothing beyond the limit, the square of a distance, is put there. Returns the new size of the heap.
    """
    n, leaves = tree.events.shape[0], tree.first.shape[0] // 2
    while node < leaves:
        node, other = 2 * node, 2 * node + 1
        near, far = box_distance(tree, node, seed), box_distance(tree, other, seed)
        if comes_first(tree, seed, far, other, near, node):
            node, other, far = other, node, near
        if far <= limit:
            size = push(tree, seed, heap, size, far, other)
    j = node - leaves
    for place in range((j * n) // leaves, ((j + 1) * n) // leaves):
        key = distance(tree, place, seed)
        if key <= limit:
            size = push(tree, seed, heap, size, key, -1 - tree.events[place])
    return size


@strict
def add(total: float, rest: float, term: float) -> tuple[float, float]:
    """Return sum and rounding remainder with one term more (Neumaier)."""
    new = total + term
    if abs(total) >= abs(term):
        return new, rest + ((total - new) + term)
    return new, rest + ((term - new) + total)


@borrowing
def grow_cell(
    tree: Tree, weights: Array, seed: int, limit: float, members: Indices, heap: Heap
) -> tuple[int, float, float, float]:
    """Collect a cell around an event of negative weight.

    Returns
    -------
    size : int
        Number of members; 0 if the limit came first.
    reach : float
        Square of the distance to the last.
    sum, absolute : float
        Sums of weights and of their absolute values.
    """
    members[0], heap.keys[0], heap.entries[0] = seed, 0.0, 1  # the heap begins with the root
    count, waiting = 1, int(np.int64(1))  # a literal would compile what it is passed to once more
    total, rest, absolute, absolute_rest = weights[seed], 0.0, -weights[seed], 0.0
    while waiting > 0:
        key, entry = heap.keys[0], heap.entries[0]
        waiting = drop(tree, seed, heap, waiting)
        if entry > 0:
            waiting = open_node(tree, seed, limit, heap, waiting, entry)
            continue
        event = -1 - entry
        if event == seed:
            continue
        if count == members.shape[0]:
            break
        members[count] = event
        count += 1
        total, rest = add(total, rest, weights[event])
        absolute, absolute_rest = add(absolute, absolute_rest, abs(weights[event]))
        if total + rest >= -SLACK * absolute:
            return count, key, max(total + rest, 0.0), absolute + absolute_rest
    return 0, 0.0, 0.0, 0.0


@strict
def resample_cells(
    tree: Tree,
    weights: Array,
    seeds: Indices,
    limit: float,
    most: int,
    absolute: bool,
    sizes: Indices,
    reaches: Array,
) -> None:
    """Share the weights of cells around events of negative weight among their members.

    Parameters
    ----------
    tree : Tree
    weights : (n,), in and out
    seeds : (m,)
        Events in the order of their turns. Those whose weight is no longer negative are passed over.
    limit : float
        Square of the largest distance of a member to its seed, may be infinite.
    most : int
        Largest number of members.
    absolute : bool
        Whether members share in proportion to the absolute values of their weights, instead of equally.
    sizes : (m,), out
        Members of the cell of each seed; 0 where it was passed over, or the limits came first.
    reaches : (m,), out
        Distance of the last member.
    """
    n, nodes = tree.events.shape[0], tree.first.shape[0]
    members = np.empty(min(most, n), np.int64)
    heap = Heap(np.empty(n + nodes), np.empty(n + nodes, np.int64))
    for k in range(seeds.shape[0]):
        size, reach, total, norm = 0, 0.0, 0.0, 1.0
        if weights[seeds[k]] < 0.0:
            size, reach, total, norm = grow_cell(tree, weights, seeds[k], limit, members, heap)
        sizes[k], reaches[k] = size, math.sqrt(reach)
        for i in range(size):
            event = members[i]
            weights[event] = abs(weights[event]) * (total / norm) if absolute else total / size

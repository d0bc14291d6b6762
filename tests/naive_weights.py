"""Resampling of negative weights the slow and obvious way: oracles."""

import math

import numpy as np


def cell_resample(x, weights, scale=1.0, max_radius=math.inf, max_events=None, share="mean"):
    """Return new weights (n,), seeds, sizes and radii of cells, by sorting all events for every seed."""
    scaled, w, n = np.asarray(x) / scale, np.array(weights, float), len(weights)
    cells = []
    for seed in sorted(np.flatnonzero(w < 0), key=lambda i: (weights[i], i)):
        if w[seed] >= 0:
            continue
        distances = np.sqrt(((scaled - scaled[seed]) ** 2).sum(axis=1))
        order = np.lexsort(((np.arange(n) - seed) % n, distances))
        order = np.concatenate([[seed], order[order != seed]])
        for size in range(2, n + 1):
            members, radius = order[:size], distances[order[size - 1]]
            if radius > max_radius or (max_events is not None and size > max_events):
                break
            total, absolute = math.fsum(w[members]), math.fsum(abs(w[members]))
            if total >= -8 * np.finfo(float).eps * absolute:
                total = max(total, 0.0)
                w[members] = total / size if share == "mean" else abs(w[members]) * total / absolute
                cells.append((seed, size, radius))
                break
    seeds, sizes, radii = zip(*cells, strict=True) if cells else ((), (), ())
    return w, np.array(seeds, int), np.array(sizes, int), np.array(radii, float)


def positive_resample(weights, groups):
    """Return |w| sum(w) / sum |w| of each group of events, (n,)."""
    new = np.zeros(len(weights))
    for group in set(groups):
        members = [i for i in range(len(weights)) if groups[i] == group]
        absolute = sum(abs(weights[i]) for i in members)
        for i in members:
            new[i] = abs(weights[i]) * sum(weights[j] for j in members) / absolute if absolute else 0.0
    return new


def merged(parent, leaf, sums):
    """Return the nodes (c,) that cells end in, if those with negative sums are merged with siblings, one at a time."""

    def below(node):
        cells = []
        for i, start in enumerate(leaf):
            while start not in (node, -1):
                start = parent[start]
            cells += [i] if start == node else []
        return cells

    where = list(leaf)
    while True:
        low = [node for node in set(where) if sum(sums[i] for i in below(node)) < 0]
        if not low:
            return where
        above = parent[low[0]]
        for i in below(above):
            where[i] = above


def neighbourhood(x, weights, centre, k):
    """Return the sum of weights and of their squares of k events nearest to one, features over deviations by |w|."""
    size = np.abs(weights)
    mean = (size[:, None] * x).sum(0) / size.sum()
    scale = np.sqrt((size[:, None] * (x - mean) ** 2).sum(0) / size.sum())
    near = sorted(range(len(x)), key=lambda i: float((((x[i] - x[centre]) / scale) ** 2).sum()))[:k]
    return sum(weights[i] for i in near), sum(weights[i] ** 2 for i in near)

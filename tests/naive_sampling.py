"""Sampling the slow and obvious way: oracles."""

import math

import numpy as np
from scipy.stats import multivariate_normal

TURNS = 12


def folded(y, low, high):
    """Return y reflected at bounds, one at a time, until it is inside."""
    while not low <= y <= high:
        y = 2 * low - y if y < low else 2 * high - y
    return y


def images(place, low, high):
    """Return the places whose kernels all end up at bounds: the place itself, and what mirrors make of it."""
    if math.isfinite(low) and math.isfinite(high):
        turn = 2 * (high - low)
        return [sign + k * turn for k in range(-TURNS, TURNS + 1) for sign in (place, 2 * low - place)]
    return [place] + [2 * bound - place for bound in (low, high) if math.isfinite(bound)]


def covariance(x, w, bounds=None, discrete=()):
    """Return the weighted covariance (c, c) of columns that are smeared, without that of a bounded one and another."""
    columns = [j for j in range(x.shape[1]) if j not in discrete]
    found = np.atleast_2d(np.cov(x[:, columns].T, aweights=w))
    for a, i in enumerate(columns):
        for b, j in enumerate(columns):
            if a != b and (i in (bounds or {}) or j in (bounds or {})):
                found[a, b] = 0.0
    return columns, found


def density(at, x, w, widths, bounds=None, discrete=(), shape=None):
    """Return sum_i w_i K_i / sum_i w_i at points (n,), kernel by kernel and image by image."""
    bounds = bounds or {}
    columns, matrix = covariance(x, w, bounds, discrete) if shape is None else shape
    free = [a for a, j in enumerate(columns) if j not in bounds]
    found = np.zeros(len(at))
    for n, point in enumerate(at):
        if any(not bounds[j][0] <= point[j] <= bounds[j][1] for j in bounds):
            continue
        for i, place in enumerate(x):
            if any(place[j] != point[j] for j in discrete):
                continue
            value = w[i]
            if free:
                c = [columns[a] for a in free]
                kernel = multivariate_normal(np.zeros(len(c)), widths[i] ** 2 * matrix[np.ix_(free, free)])
                value *= kernel.pdf(point[c] - place[c])
            for a, j in enumerate(columns):
                if j in bounds:
                    s = widths[i] * math.sqrt(matrix[a, a])
                    heights = [math.exp(-0.5 * ((point[j] - y) / s) ** 2) for y in images(place[j], *bounds[j])]
                    value *= sum(heights) / (s * math.sqrt(2 * math.pi))
            found[n] += value
    return found / w.sum()


def local_factors(x, w, factor, alpha, **options):
    """Return (f_i / g)^-alpha of a pilot with kernels of one width at all events."""
    f = density(x, x, w, np.full(len(x), factor), **options)
    log_g = np.average(np.log(f), weights=w)
    return (f / math.exp(log_g)) ** -alpha


def left_out_likelihood(x, w, factor):
    """Return the mean logarithm of the density at each event under the kernels of the others."""
    shape = covariance(x, w)
    logs = []
    for i in range(len(x)):
        others = np.arange(len(x)) != i
        logs.append(np.log(density(x[i : i + 1], x[others], w[others], np.full(others.sum(), factor), shape=shape)[0]))
    return np.average(logs, weights=w)


def area(below, w_below, above, w_above):
    """Return the weighted share of pairs in the right order, ties one half."""
    total = sum(
        w_below[i] * w_above[j] * ((below[i] < above[j]) + 0.5 * (below[i] == above[j]))
        for i in range(len(below))
        for j in range(len(above))
    )
    return total / (sum(w_below) * sum(w_above))


def distance(x, w_x, y, w_y):
    """Return the largest difference of two weighted distribution functions."""
    return max(abs(w_x[x <= at].sum() / w_x.sum() - w_y[y <= at].sum() / w_y.sum()) for at in np.concatenate([x, y]))


def score_correlation(r, borders, others):
    """Return the correlation of the scores of two discrete columns whose normal numbers correlate by r."""
    from scipy.stats import norm

    def steps(edges):
        edges = [-np.inf, *edges, np.inf]
        mass = np.diff(norm.cdf(edges))
        return np.clip(edges, -40.0, 40.0), mass, norm.ppf(np.cumsum(mass) - 0.5 * mass)

    (a, p, s), (b, q, t) = steps(borders), steps(others)
    normal = multivariate_normal([0, 0], [[1, r], [r, 1]])
    cumulative = np.array([[normal.cdf([u, v]) for v in b] for u in a])
    joint = np.diff(np.diff(cumulative, axis=0), axis=1)
    s, t = s - p @ s, t - q @ t
    return s @ joint @ t / math.sqrt((p @ s**2) * (q @ t**2))

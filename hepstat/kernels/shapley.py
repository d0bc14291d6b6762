"""Coalitions of features: scores of events that have some features of their own and the others of another event.

A pair is an event and a row of the background, pair p of events (n, d) and background (m, d) being event p // m with
row p % m. For a coalition, a pair is scored with the features of the coalition from the event and the others from the
background. A strip of pairs goes through all coalitions before the next strip is begun, so that everything stays in the
nearest cache, and from one coalition to the next only the rows of features that change sides are written: one of them
in the order of a Gray code.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.network import Net, forward, rows
from hepstat.kernels.options import borrowing
from hepstat.kernels.philox import State
from hepstat.kernels.special import sigmoid
from hepstat.kernels.tiles import STRIP_BYTES

__all__ = ["Coalitions", "Lanes", "score_coalitions"]

Array = NDArray[Any]

ONE_STRIP: Any = np.int64(1)


class Coalitions(NamedTuple):
    """Coalitions: members (c, d) of bool, and coefficients (c, d) by which scores add to each feature's share."""

    members: Array
    coefficients: Array


class Lanes(NamedTuple):
    """What one thread works with, for the pairs of a strip.

    strip is one of the network, of s pairs; own and other (d s,) have its features from events and from the background;
    masks (0,) are none; scores (s,) in float64; state is that of a stream, which nothing is drawn from.
    """

    strip: Array
    own: Array
    other: Array
    masks: Array
    scores: Array
    state: State


@borrowing
def gather(x: Array, background: Array, first: int, inside: int, lanes: Lanes) -> None:
    """Fill the features of `inside` pairs from `first` on."""
    length, m = STRIP_BYTES // lanes.own.itemsize, background.shape[0]
    for k in range(x.shape[1]):
        i, b, row = first // m, first % m, k * length
        for e in range(inside):
            lanes.own[row + e] = x[i, k]
            lanes.other[row + e] = background[b, k]
            b += 1
            if b == m:
                i, b = i + 1, 0


@borrowing
def switch(members: Array, c: int, lanes: Lanes) -> None:
    """Write the features of a strip that change sides between coalition c - 1 and c; all for c = 0."""
    length = STRIP_BYTES // lanes.own.itemsize
    for k in range(members.shape[1]):
        if c > 0 and members[c, k] == members[c - 1, k]:
            continue
        row = k * length
        if members[c, k]:
            for e in range(row, row + length):
                lanes.strip[e] = lanes.own[e]
        else:
            for e in range(row, row + length):
                lanes.strip[e] = lanes.other[e]


@borrowing
def score_coalitions(
    net: Net, theta: Array, x: Array, background: Array, weights: Array, coalitions: Coalitions, probability: bool,
    lanes: Lanes, shares: Array, means: Array,
) -> None:  # fmt: skip
    """Add to the shares (d, n m) of each pair, and to the means (n, c) over the background of each coalition.

    x (n, d) and background (m, d) are what the first layer sees, weights (m,) add up to 1. Scores are turned into
    probabilities by the logistic function if asked for. Means are left out if they have no rows.
    """
    n_pairs = x.shape[0] * background.shape[0]
    length = STRIP_BYTES // lanes.strip.itemsize
    last = (rows(net.widths) - 1) * length
    scores = lanes.scores
    for first in range(0, n_pairs, length):
        inside = min(length, n_pairs - first)
        gather(x, background, first, inside, lanes)
        for c in range(coalitions.members.shape[0]):
            switch(coalitions.members, c, lanes)
            forward(net, theta, ONE_STRIP, lanes.state, lanes.strip, lanes.masks)
            for e in range(length):
                scores[e] = lanes.strip[last + e]
            if probability:
                for e in range(length):
                    scores[e] = sigmoid(scores[e])
            for k in range(shares.shape[0]):
                factor = coalitions.coefficients[c, k]
                for e in range(inside):
                    shares[k, first + e] += factor * scores[e]
            if means.shape[0] > 0:
                add_means(first, inside, weights, scores, means[:, c])


@borrowing
def add_means(first: int, inside: int, weights: Array, scores: Array, means: Array) -> None:
    """Add the scores of `inside` pairs from `first` on to the means (n,) of their events."""
    m = weights.shape[0]
    i, b = first // m, first % m
    for e in range(inside):
        means[i] += weights[b] * scores[e]
        b += 1
        if b == m:
            i, b = i + 1, 0

"""The classifier two-sample test: whether a network tells two samples apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import ndtr

from hepstat.infer import mid_ranks
from hepstat.learn import BinaryCrossEntropy, Network, train
from hepstat.ratio.bins import Weighted, effective_size
from hepstat.seeds import Key, toy_generator

__all__ = ["area", "classifier_test"]

_HIDDEN = (32, 32)
_VALIDATION = 0.2
_PATIENCE = 5
_BATCH = 32, 256  # events, so that few events make steps enough and many do not make too many
_BATCHES = 20


def classifier_test(
    reference: Weighted, sample: Weighted, key: Key, epochs: int, most: int
) -> tuple[float, float, float, int]:
    """Return area, its error without any difference, one-sided p-value, and the number of events that it is of.

    Parameters
    ----------
    reference, sample : Weighted
        Events (n, d) and (m, d) with their weights.
    key : tuple
        Of the streams that choose halves (0) and train (1).
    epochs, most : int
        Of the training, and events of each sample.
    """
    generator = toy_generator(key, 0)
    halves = []
    for x, w in (reference, sample):
        order = generator.permutation(len(x))[:most]
        parts = order[: len(order) // 2], order[len(order) // 2 :]
        halves.append([Weighted(x[part], w[part]) for part in parts])
    learnt, judged = [pair[0] for pair in halves], [pair[1] for pair in halves]
    x = np.concatenate([part.values for part in learnt])
    y = np.repeat([0.0, 1.0], [len(part.values) for part in learnt])
    w = np.concatenate([part.weights / part.weights.mean() for part in learnt])
    batch = min(max(_BATCH[0], len(x) // _BATCHES), _BATCH[1])
    options: Any = {"epochs": epochs, "batch_size": batch, "validation": _VALIDATION, "patience": _PATIENCE}
    network = Network(x.shape[1], _HIDDEN)
    model = train(network, (x, y, w), BinaryCrossEntropy(), rng=toy_generator(key, 1), **options).model
    scores = [Weighted(model(part.values), part.weights) for part in judged]
    found, error = area(scores[0], scores[1])
    p = float(ndtr((0.5 - found) / error)) if error > 0 else 1.0  # all scores are equal
    return found, error, p, sum(len(part.values) for part in judged)


def area(below: Weighted, above: Weighted) -> tuple[float, float]:
    """Return the probability that a score of the second sample is above one of the first, and its error at 1/2.

    Ties count one half. The error is that without any difference: for equal weights the one of Mann and Whitney, Ann.
    Math. Stat. 18 (1947) 50, corrected for ties. With c = (F - 1/2)^2 for the joint distribution F of scores, it is the
    mean of c times the sum over both samples of sum s^2 c / sum s c, where the shares s of weight may depend on scores.
    """
    values = np.concatenate([below.values, above.values])
    placed = mid_ranks(values, np.append(below.weights, np.zeros(above.weights.size)))[below.weights.size :]
    found = float(np.average(placed, weights=above.weights))
    shares = [part.weights / part.weights.sum() for part in (below, above)]
    sizes = [effective_size(share) for share in shares]
    both = np.concatenate([n * share for n, share in zip(sizes, shares, strict=True)])
    squares = (mid_ranks(values, both) - 0.5) ** 2
    spread = float(np.average(squares, weights=both)) * sum(sizes) / (sum(sizes) - 1.0)
    parts = zip(shares, np.split(squares, [below.weights.size]), strict=True)
    variances = [spread * float(s**2 @ c) / float(s @ c) for s, c in parts if c.any()]
    return found, math.sqrt(sum(variances))

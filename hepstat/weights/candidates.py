"""Confidences that a negative event is of each of the other classes, learned with the classifier itself."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.special import softmax

from hepstat.errors import InputError
from hepstat.learn import CandidateLabels, CategoricalCrossEntropy, Model, Network, Training, train
from hepstat.learn.prepared import Data, checked_table, network_of
from hepstat.seeds import Rng
from hepstat.types import Floats, Ints

__all__ = ["train_candidates"]


def train_candidates(network: Network | Model, data: Data, *, rng: Rng, **options: Any) -> Training:
    """Train a classifier on weights of any sign, with negative events shared out to the classes that they may be of.

    An event of negative weight stands for K - 1 candidates, one of each other class j, with the weight abs(w) c_j. The
    confidences c are uniform at first and then, after every epoch, what the classifier says without the class of the
    event, c_j = p_j / (1 - p_y). Stable, and biased: it has the optimum of :class:`hepstat.learn.CandidateLabels`,
    which is the same with confidences that are refreshed at every step.

    Parameters
    ----------
    network : Network or Model
        With one output for each class.
    data : sequence of array_like
        (x, y) or (x, y, weights) with x (n, d), y (n,) the numbers of classes from 0 and weights (n,) of any sign.
    rng : int, SeedSequence or Generator
    **options
        Of :func:`hepstat.learn.train`. Validation events have weights of at least zero.

    Returns
    -------
    Training
        Its losses are those of the candidates with the confidences of the time.

    Raises
    ------
    InputError
        As :class:`hepstat.learn.CandidateLabels` and :func:`hepstat.learn.train`; for a network with parameters, or a
        share of the events as validation, which would tear candidates of an event apart.
    TrainingError
        As :func:`hepstat.learn.train`.

    Notes
    -----
    The risk-consistent method of Feng et al. (arXiv:2007.08929) with all classes but y as candidates. What it
    and the classifier-consistent one learn is in :func:`optimum`.
    """
    net = network_of(network)
    if "reweight" in options:
        raise InputError("reweight", "is what confidences are refreshed by", "Leave it out")
    if net.n_parameters:
        raise InputError("network", f"has {net.n_parameters} parameters", "Pass them as features")
    if isinstance(options.get("validation", 0.0), float | int) and options.get("validation", 0.0) != 0:
        problem = f"is {options['validation']!r}, which would tear candidates of one event apart"
        raise InputError("validation", problem, "Pass other events (x, y, weights)")
    table = checked_table(net, data, None, "data")
    CandidateLabels().check(table.y, table.w, net.n_outputs)
    negative = table.w < 0.0
    x, size = table.x[negative], -table.w[negative]
    others = _other_classes(table.y[negative].astype(np.int64), net.n_outputs)
    n_others = others.shape[1]

    def weights(confidences: Floats) -> Floats:
        return np.concatenate([table.w[~negative], (size[:, None] * confidences).ravel()])

    def refreshed(training: Training) -> Floats:
        scores = training.model.scores(x) if len(x) else np.empty((0, net.n_outputs))
        return weights(softmax(np.take_along_axis(scores, others, axis=1), axis=1))

    rows = (
        np.concatenate([table.x[~negative], np.repeat(x, n_others, axis=0)]),
        np.concatenate([table.y[~negative], others.ravel()]),
        weights(np.full(others.shape, 1.0 / n_others)),
    )
    return train(network, rows, CategoricalCrossEntropy(), rng=rng, reweight=refreshed, **options)


def _other_classes(y: Ints, k: int) -> Ints:
    """Return the k - 1 classes (n, k - 1) that are not those of events (n,)."""
    first = np.arange(k - 1)
    return first + (first >= y[:, None])

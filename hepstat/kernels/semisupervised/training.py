"""One training of a pseudo-experiment: features made ready, first weights, epochs, and the responses of events."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels import batch, train
from hepstat.kernels.network import Net, n_parameters
from hepstat.kernels.options import borrowing
from hepstat.kernels.philox import State, next_bits, next_uniform
from hepstat.kernels.semisupervised.classifier import call_classifier
from hepstat.kernels.semisupervised.events import SIDE_BAND, WINDOW, Events, slope_of

__all__ = [
    "BALANCED",
    "BATCH",
    "DECORRELATED",
    "EPOCHS",
    "N_NUMBERS",
    "TOO_FEW",
    "Bench",
    "Spans",
    "Trainings",
    "ask_classifier",
    "find_slopes",
    "gather",
    "label",
    "respond",
    "start_weights",
    "train_network",
]

Array = NDArray[Any]

N_NUMBERS = 12
# Columns of Trainings.numbers.
EPOCHS, BATCH, VALIDATION, PATIENCE, MIN_DELTA, BALANCED, DECORRELATED, RATE, L1, L2, MAX_NORM, MAX_VALUE = range(
    N_NUMBERS
)
SCORE_LIMIT, LOSS_LIMIT = 1e4, 1e4

TOO_FEW: Any = np.int64(-1)
DIVERGED: Any = np.int64(-2)
NO_STREAM: Any = np.int64(-1)
ZERO: Any = np.int64(0)


class Trainings(NamedTuple):
    """How classifiers are trained, one row for each.

    numbers (t, 12) are named by the constants above, hyper (t, 4) those of the optimiser whose rule is rules (t,).
    The layers of a network are widths[starts[i]:starts[i + 1]] and one entry less of codes and rates. loss is the
    address of cross-entropy. classifiers (t,) are addresses of Python's, 0 for a network.
    """

    numbers: Array
    hyper: Array
    rules: Array
    starts: Array
    widths: Array
    codes: Array
    rates: Array
    loss: int
    constants: Array
    classifiers: Array


class Bench(NamedTuple):
    """Room for one training, of events and parameters of the largest.

    raw and other (room, d) are features to train on and to evaluate, inputs (room, d) what the network sees of them;
    targets and weights (room,) those of training;
    moments (3, d) mean, scale and slope by mass of each feature; order, factors, shuffled (room,), batches, rates and
    losses of steps and epochs as in :class:`hepstat.kernels.train.Plan`; scores (room, 1). What a plan says in few
    numbers: starts (2,), keys (2, 2) of which the second is zero, choices (4,), limits (8,), counts (3,).
    """

    raw: Array
    other: Array
    inputs: Array
    targets: Array
    weights: Array
    moments: Array
    order: Array
    factors: Array
    shuffled: Array
    batches: Array
    rates: Array
    step_loss: Array
    epoch_loss: Array
    vectors: train.Vectors
    work: batch.Work
    scores: Array
    starts: Array
    keys: Array
    choices: Array
    limits: Array
    counts: Array


class Spans(NamedTuple):
    """Rows of events [begin, end) and [second, last), one after the other."""

    begin: int
    end: int
    second: int
    last: int


@borrowing
def gather(events: Events, spans: Spans, columns: Array, slopes: Array, centre: float, out: Array) -> int:
    """Fill out (room, d) with the features of events, less slope times mass; return how many there are."""
    n = 0
    for half in range(2):
        low, high = (spans.begin, spans.end) if half == 0 else (spans.second, spans.last)
        for i in range(low, high):
            shift = events.mass[i] - centre
            for k in range(columns.shape[0]):
                out[n, k] = events.table[i, columns[k]] - slopes[k] * shift
            n += 1
    return n


@borrowing
def find_slopes(events: Events, spans: Spans, columns: Array, centre: float, slopes: Array) -> None:
    """Fill slopes (d,) of features by mass, least squares over the side bands."""
    n, sum_m, sum_mm = ZERO, 0.0, 0.0
    for half in range(2):
        low, high = (spans.begin, spans.end) if half == 0 else (spans.second, spans.last)
        for i in range(low, high):
            if events.region[i] == SIDE_BAND:
                shift = events.mass[i] - centre
                n += 1
                sum_m += shift
                sum_mm += shift * shift
    for k in range(columns.shape[0]):
        sum_x, sum_mx = 0.0, 0.0
        for half in range(2):
            low, high = (spans.begin, spans.end) if half == 0 else (spans.second, spans.last)
            for i in range(low, high):
                if events.region[i] == SIDE_BAND:
                    value = events.table[i, columns[k]]
                    sum_x += value
                    sum_mx += value * (events.mass[i] - centre)
        slopes[k] = slope_of(n, sum_m, sum_mm, sum_x, sum_mx)


@borrowing
def standardise(raw: Array, n: int, mean: Array, scale: Array, inputs: Array) -> None:
    """Fill inputs (room, d) with n events in units of scale from the mean."""
    for i in range(n):
        for k in range(raw.shape[1]):
            inputs[i, k] = (raw[i, k] - mean[k]) / scale[k]


@borrowing
def find_moments(raw: Array, n: int, mean: Array, scale: Array) -> None:
    """Fill mean and standard deviation (d,) of n events; 1 for a feature that does not vary."""
    for k in range(raw.shape[1]):
        total = 0.0
        for i in range(n):
            total += raw[i, k]
        mean[k] = total / n
        squares = 0.0
        for i in range(n):
            squares += (raw[i, k] - mean[k]) ** 2
        scale[k] = np.sqrt(squares / n)
        if not scale[k] > 1e-12 * abs(mean[k]):
            scale[k] = 1.0


@borrowing
def label(events: Events, spans: Spans, targets: Array) -> None:
    """Fill targets: 1 in the window, 0 in the side bands."""
    n = 0
    for half in range(2):
        low, high = (spans.begin, spans.end) if half == 0 else (spans.second, spans.last)
        for i in range(low, high):
            targets[n] = 1.0 if events.region[i] == WINDOW else 0.0
            n += 1


@borrowing
def share_weights(targets: Array, low: int, high: int, balanced: bool, weights: Array) -> bool:
    """Fill weights that add up to 1, half of it in each class if balanced; return whether there are both classes."""
    ones = 0.0
    for i in range(low, high):
        ones += targets[i]
    zeros = high - low - ones
    if ones == 0.0 or zeros == 0.0:
        return False
    for i in range(low, high):
        own = ones if targets[i] == 1.0 else zeros
        weights[i] = 0.5 / own if balanced else 1.0 / (high - low)
    return True


@borrowing
def start_weights(state: State, net: Net, theta: Array) -> None:
    """Fill theta (P,): uniform weights after Glorot and Bengio, AISTATS 2010, eq. (16), and biases of zero."""
    at = 0
    for layer in range(net.codes.shape[0]):
        n_in, n_out = net.widths[layer], net.widths[layer + 1]
        edge = np.sqrt(6.0 / (n_in + n_out))
        for _ in range(n_in * n_out):
            theta[at] = edge * (2.0 * next_uniform(state) - 1.0)
            at += 1
        for _ in range(n_out):
            theta[at] = 0.0
            at += 1


@borrowing
def train_network(state: State, net: Net, trainings: Trainings, t: int, n: int, bench: Bench) -> int:
    """Train on the n events in the bench; return the number of epochs, or a failure. Parameters are left in `best`."""
    numbers = trainings.numbers[t]
    n_validation = int(numbers[VALIDATION] * n)
    n_train = n - n_validation
    balanced = numbers[BALANCED] != 0.0
    if n_train < 2 or not share_weights(bench.targets, ZERO, n_train, balanced, bench.weights):
        return int(TOO_FEW)
    if n_validation > 0 and not share_weights(bench.targets, n_train, n, balanced, bench.weights):
        return int(TOO_FEW)
    find_moments(bench.raw, n_train, bench.moments[0], bench.moments[1])
    standardise(bench.raw, n, bench.moments[0], bench.moments[1], bench.inputs)
    count, epochs = n_parameters(net.widths), int(numbers[EPOCHS])
    n_batches = (n_train - 1) // int(numbers[BATCH]) + 1
    steps = epochs * n_batches
    starts, key = bench.starts, bench.keys[0]
    starts[0], starts[1] = 0, n_train
    key[0], key[1] = next_bits(state), next_bits(state)
    for i in range(n):
        bench.order[i] = i
        bench.factors[i] = 1.0
    for i in range(steps):
        bench.rates[i] = numbers[RATE]
    choices, limits, counts = bench.choices, bench.limits, bench.counts
    patience = int(numbers[PATIENCE])
    stops = patience > 0 and n_validation > 0
    choices[train.RULE], choices[train.ADDITIVE], choices[train.SETTLED] = trainings.rules[t], 1, 0
    choices[train.PATIENCE] = patience if stops else epochs + 1
    limits[train.MAX_NORM], limits[train.MAX_VALUE] = numbers[MAX_NORM], numbers[MAX_VALUE]
    limits[train.L1], limits[train.L2], limits[train.MIN_DELTA] = numbers[L1], numbers[L2], numbers[MIN_DELTA]
    limits[train.MAX_SCORE], limits[train.MAX_LOSS], limits[train.BOUNDED] = SCORE_LIMIT, LOSS_LIMIT, 0.0
    counts[train.EPOCHS], counts[train.STEPS], counts[train.BEST] = 0, 0, -1
    plan = train.Plan(
        starts, bench.order[:n], bench.factors[:n], bench.shuffled[:n_train], bench.batches[: n_batches + 1],
        bench.rates[:steps], trainings.constants, trainings.hyper[t], choices, limits, key,
    )  # fmt: skip
    own = bench.vectors
    vectors = train.Vectors(
        own.theta[:count], own.first[:count], own.second[:count], own.gradient[:count], own.best[:count],
        own.is_weight[:count], own.bound[:count],
    )  # fmt: skip
    start_weights(state, net, vectors.theta)
    mark_weights(net, vectors.is_weight)
    for i in range(count):
        vectors.first[i] = 0.0
        vectors.second[i] = 0.0
    counters = train.Counters(bench.step_loss[:steps], bench.epoch_loss[: epochs if n_validation > 0 else 0], counts)
    data = batch.Events(bench.inputs[:n], bench.targets[:n], bench.weights[:n])
    status = train.train_epochs(net, data, trainings.loss, plan, vectors, bench.work, counters, epochs)
    if status not in (train.FINISHED, train.STOPPED_EARLY):
        return int(DIVERGED)
    finite = True
    for i in range(count):
        if not stops:
            vectors.best[i] = vectors.theta[i]
        finite &= np.isfinite(vectors.best[i])
    return int(counts[train.EPOCHS]) if finite else int(DIVERGED)


@borrowing
def mark_weights(net: Net, is_weight: Array) -> None:
    """Fill is_weight (P,): 1 for weights, 0 for biases."""
    at = 0
    for layer in range(net.codes.shape[0]):
        n_in, n_out = net.widths[layer], net.widths[layer + 1]
        for i in range(n_in * n_out):
            is_weight[at + i] = 1.0
        at += n_in * n_out
        for i in range(n_out):
            is_weight[at + i] = 0.0
        at += n_out


@borrowing
def respond(net: Net, theta: Array, moments: Array, raw: Array, n: int, bench: Bench, response: Array) -> None:
    """Fill response (n,) with the scores of n events of raw (room, d); moments (3, d) are those of the training."""
    standardise(raw, n, moments[0], moments[1], bench.inputs)
    for i in range(n):
        bench.order[i] = i
    batch.score_unit(net, theta, bench.inputs, bench.order[:n], bench.work, bench.keys[1], NO_STREAM, bench.scores[:n])
    for i in range(n):
        response[i] = bench.scores[i, 0]


@borrowing
def ask_classifier(
    state: State, address: int, balanced: bool, n: int, n_other: int, bench: Bench, response: Array
) -> int:
    """Let a classifier of Python train on n events, of mean weight 1, and respond to n_other; return 0 or a failure."""
    if n > 0 and not share_weights(bench.targets, ZERO, n, balanced, bench.weights):
        return int(TOO_FEW)
    for i in range(n):
        bench.weights[i] *= n
    d = bench.raw.shape[1]
    call_classifier(
        address, state, bench.raw, bench.targets, bench.weights, n, bench.other, n_other, d, response[:n_other]
    )
    return 0

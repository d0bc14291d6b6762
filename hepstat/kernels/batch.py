"""Value and gradient of a loss over a batch of events, and the order in which events come.

A batch is worked on in chunks of `CHUNK` events, whose values stay in the cache. Up to `UNIT` events add to one
gradient, one chunk after the other; the gradients of larger batches are those of their units, added in order, so that
units may be done by any thread. A loss that is no sum over events sees all scores at once, between a first pass over
the chunks and a second, which computes the values of the layers again.

Events are chosen by `order`, and their weights multiplied by `factors`, which put right that a batch is only a part.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.entry import pointer
from hepstat.kernels.losses.entry import call_loss
from hepstat.kernels.network import Net, backward, forward, load, rows, store, unstore
from hepstat.kernels.options import borrowing
from hepstat.kernels.philox import State, next_bits, seek, wide_product

__all__ = [
    "CHUNK",
    "STEP",
    "UNIT",
    "Events",
    "Work",
    "arrange",
    "batch_gradient",
    "batch_value",
    "evaluate",
    "pull_unit",
    "score_unit",
    "sum_unit",
    "take",
]

Array = NDArray[Any]

CHUNK = 1024
UNIT = 16 * CHUNK
DROPOUT = np.uint64(1 << 63)  # streams of dropout; those below belong to the order of events
STEP = 1 << 20  # chunks of a step, at most
NO_STREAM: Any = np.int64(-1)  # no Python integer: it would be typed as a literal, and kernels be compiled once more


class Events(NamedTuple):
    """Features x (n, d) in the precision of the network, targets y (n,) and weights w (n,) in float64."""

    x: Array
    y: Array
    w: Array


class Work(NamedTuple):
    """What one thread works with.

    strips, pulls, masks are buffers of strips for `CHUNK` events (masks is empty without dropout); ones is a row of a
    strip; sums (16,); scores and slopes (m, k), targets and weights (m,) in float64, for the events that a loss sees
    at once; part (P,) a gradient; state the stream of dropout.
    """

    strips: Array
    pulls: Array
    masks: Array
    ones: Array
    sums: Array
    part: Array
    scores: Array
    slopes: Array
    targets: Array
    weights: Array
    state: State


@borrowing
def arrange(
    starts: Array, balanced: bool, key: Array, epoch: int, state: State, shuffled: Array, order: Array, factors: Array,
    batches: Array,
) -> None:  # fmt: skip
    """Deal the events of an epoch into batches.

    Stratum k is events starts[k] to starts[k + 1]. Each is shuffled, from the stream `epoch` of the key, and dealt to
    all batches in parts whose sizes differ by one at most, each stratum beginning where the one before has ended, so
    that the sizes of batches differ by one at most, too. Batch b is order[batches[b]:batches[b + 1]].

    Factors make the sum over a batch an estimate of that over all events. Each event is in one of the m batches, hence
    m; with `balanced`, the size of the stratum over that of its part, so that every batch has the counts of the whole.
    """
    n_batches = batches.shape[0] - 1
    seek(state, key[0], key[1], np.uint64(epoch))
    n = starts[-1]
    for i in range(n):
        shuffled[i] = i
    if n_batches > 1:
        for k in range(starts.shape[0] - 1):
            low = starts[k]
            for i in range(starts[k + 1] - 1, low, -1):
                j = low + np.int64(wide_product(next_bits(state), np.uint64(i - low + 1))[0])
                shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
    filled = 0
    for b in range(n_batches):
        batches[b] = filled
        offset = starts[0]  # 0, of the type of sizes
        for k in range(starts.shape[0] - 1):
            size = starts[k + 1] - starts[k]
            low, high = dealt(size, n_batches, offset, b), dealt(size, n_batches, offset, b + 1)
            offset = (offset + size) % n_batches
            factor = size / (high - low) if balanced and high > low else float(n_batches)
            for i in range(starts[k] + low, starts[k] + high):
                order[filled] = shuffled[i]
                factors[filled] = factor
                filled += 1
    batches[n_batches] = filled


@borrowing
def dealt(size: int, n_parts: int, offset: int, part: int) -> int:
    """Return how many of `size` things are in the parts before `part`.

    All parts get size // n_parts; what remains goes to one after the other, from part `offset` on and around the end.
    """
    rest = size % n_parts
    around = max(offset + rest - n_parts, 0)
    extra = min(part, around) + min(max(part - offset, 0), rest - around)
    return part * (size // n_parts) + extra


@borrowing
def take(events: Events, order: Array, factors: Array, targets: Array, weights: Array) -> None:
    """Fill targets and weights (n,) of the events `order` (n,)."""
    for i in range(order.shape[0]):
        targets[i] = events.y[order[i]]
        weights[i] = events.w[order[i]] * factors[i]


@borrowing
def evaluate(loss: int, constants: Array, n: int, work: Work) -> float:
    """Return the value of the loss for the first n scores of `work`, and fill its slopes."""
    value: float = call_loss(
        loss,
        pointer(work.scores, 0),
        pointer(work.targets, 0),
        pointer(work.weights, 0),
        pointer(constants, 0),
        n,
        work.scores.shape[1],
        pointer(work.slopes, 0),
    )
    return value


@borrowing
def largest(scores: Array) -> float:
    """Return the largest absolute value, 0 if there is none."""
    most = 0.0
    for i in range(scores.shape[0]):
        for j in range(scores.shape[1]):
            size = abs(scores[i, j])
            most = size if size > most else most
    return most


@borrowing
def score_chunk(net: Net, theta: Array, x: Array, order: Array, work: Work, key: Array, stream: int) -> int:
    """Fill the strips of up to `CHUNK` events; stream >= 0 drops units. Return the number of strips."""
    n_strips = load(x, order, rows(net.widths), work.strips)
    if stream >= 0 and work.masks.shape[0] > 0:
        seek(work.state, key[0], key[1], DROPOUT + np.uint64(stream))
        forward(net, theta, n_strips, work.state, work.strips, work.masks)
    else:
        forward(net, theta, n_strips, work.state, work.strips, work.masks[:0])
    return n_strips


@borrowing
def score_unit(
    net: Net, theta: Array, x: Array, order: Array, work: Work, key: Array, stream: int, scores: Array
) -> float:
    """Fill scores (n, k) of the events `order` (n,), and return the largest absolute value.

    Chunk c has the stream of dropout stream + c; none if stream is negative.
    """
    n, n_rows = order.shape[0], rows(net.widths)
    for low in range(0, n, CHUNK):
        high = min(n, low + CHUNK)
        score_chunk(net, theta, x, order[low:high], work, key, stream + low // CHUNK if stream >= 0 else -1)
        store(work.strips, n_rows, scores[low:high])
    return largest(scores)


@borrowing
def pull_unit(
    net: Net, theta: Array, x: Array, order: Array, work: Work, key: Array, stream: int, slopes: Array, gradient: Array
) -> None:
    """Add the gradient of the events `order` (n,) whose d loss / d score is slopes (n, k)."""
    n, n_rows = order.shape[0], rows(net.widths)
    for low in range(0, n, CHUNK):
        high = min(n, low + CHUNK)
        n_strips = score_chunk(net, theta, x, order[low:high], work, key, stream + low // CHUNK)
        unstore(slopes[low:high], n_rows, work.pulls)
        backward(net, theta, n_strips, work.strips, work.masks, work.pulls, work.ones, work.sums, gradient)


@borrowing
def sum_unit(
    net: Net, theta: Array, events: Events, order: Array, factors: Array, loss: int, constants: Array, work: Work,
    key: Array, stream: int, gradient: Array,
) -> tuple[float, float]:  # fmt: skip
    """Add the gradient of a loss that is a sum over events; return its value and the largest absolute score."""
    n, n_rows = order.shape[0], rows(net.widths)
    value, most = 0.0, 0.0
    for low in range(0, n, CHUNK):
        high = min(n, low + CHUNK)
        m = high - low
        n_strips = score_chunk(net, theta, events.x, order[low:high], work, key, stream + low // CHUNK)
        store(work.strips, n_rows, work.scores[:m])
        take(events, order[low:high], factors[low:high], work.targets, work.weights)
        value += evaluate(loss, constants, m, work)
        most = max(most, largest(work.scores[:m]))
        unstore(work.slopes[:m], n_rows, work.pulls)
        backward(net, theta, n_strips, work.strips, work.masks, work.pulls, work.ones, work.sums, gradient)
    return value, most


@borrowing
def batch_gradient(
    net: Net, theta: Array, events: Events, order: Array, factors: Array, loss: int, constants: Array, additive: bool,
    work: Work, key: Array, step: int, gradient: Array,
) -> tuple[float, float]:  # fmt: skip
    """Fill the gradient (P,) of a loss over the batch `order` (n,); return its value and the largest absolute score.

    The number of the step chooses the units that dropout leaves out.
    """
    n = order.shape[0]
    stream = step * STEP
    gradient[:] = 0.0
    if additive or n <= CHUNK:
        value, most = 0.0, 0.0
        for low in range(0, n, UNIT):
            high, target = min(n, low + UNIT), gradient if low == 0 else work.part
            target[:] = 0.0
            more, size = sum_unit(
                net, theta, events, order[low:high], factors[low:high], loss, constants, work, key,
                stream + low // CHUNK, target,
            )  # fmt: skip
            value += more
            most = max(most, size)
            for i in range(gradient.shape[0] if low > 0 else 0):
                gradient[i] += target[i]
        return value, most
    most = score_unit(net, theta, events.x, order, work, key, stream, work.scores[:n])
    take(events, order, factors, work.targets, work.weights)
    value = evaluate(loss, constants, n, work)
    for low in range(0, n, UNIT):
        work.part[:] = 0.0
        high, chunk = min(n, low + UNIT), low // CHUNK
        slopes = work.slopes[low:high]
        pull_unit(net, theta, events.x, order[low:high], work, key, stream + chunk, slopes, work.part)
        for i in range(gradient.shape[0]):
            gradient[i] += work.part[i]
    return value, most


@borrowing
def batch_value(
    net: Net, theta: Array, events: Events, order: Array, factors: Array, loss: int, constants: Array, additive: bool,
    work: Work, key: Array,
) -> float:  # fmt: skip
    """Return the value of a loss over the events `order` (n,), without dropout."""
    n = order.shape[0]
    size = CHUNK if additive else n
    value = 0.0
    for low in range(0, n, size):
        high = min(n, low + size)
        score_unit(net, theta, events.x, order[low:high], work, key, NO_STREAM, work.scores[: high - low])
        take(events, order[low:high], factors[low:high], work.targets, work.weights)
        value += evaluate(loss, constants, high - low, work)
    return value

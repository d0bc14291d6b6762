"""Whole pseudo-experiments: events, trainings, responses, rejections and fits, one compiled call for many of them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hepstat.kernels.network import Net
from hepstat.kernels.options import borrowing, kernel
from hepstat.kernels.philox import State, next_uniform, seek
from hepstat.kernels.semisupervised.events import TOO_MANY, Events, Sources, throw, throw_mixture
from hepstat.kernels.semisupervised.recipes import Fits, Found, Recipes, find_significances
from hepstat.kernels.semisupervised.rejection import fill_spectra, rank, remove_slope, separation
from hepstat.kernels.semisupervised.training import (
    BALANCED,
    DECORRELATED,
    TOO_FEW,
    Bench,
    Spans,
    Trainings,
    ask_classifier,
    find_slopes,
    gather,
    label,
    respond,
    train_network,
)

__all__ = [
    "BAD_EVENTS",
    "BAD_RESPONSE",
    "FINE",
    "TOO_FEW_EVENTS",
    "TOO_MANY_EVENTS",
    "TRAINING_FAILED",
    "Layout",
    "Outcome",
    "Procedures",
    "Room",
    "Search",
    "Selected",
    "run_experiments",
]

Array = NDArray[Any]

FINE, TOO_FEW_EVENTS, TRAINING_FAILED, BAD_RESPONSE, TOO_MANY_EVENTS, BAD_EVENTS = range(6)
FOLDED, HELD_OUT, THROWN, FIXED, RANDOM = range(5)
WITH_FEATURES, WITH_RESPONSE = 1.0, 2.0  # what decorrelation acts on
# No Python numbers: they would be typed as literals, and kernels be compiled once more.
ZERO: Any = np.int64(0)
EVENTS_SALT = np.uint64(0x9E6C63D0876A9A43)  # so that toys do not repeat the events of a sampler with the same seed
NO: Any = np.bool_(False)


class Procedures(NamedTuple):
    """How responses are made, one row for each of p procedures.

    kinds (p,) are the constants above; folds (p,) numbers of folds, one for training on the very events that are
    evaluated; shares (p, 2) the share of events that is trained on, or those of signal in two mixed samples of sizes
    (p, 2), thrown from mixtures[sources[i]] and the next; salts (p,) make random numbers independent of other
    procedures. A fixed network has theta[starts[i]:starts[i + 1]] and moments (p, 3, d).
    """

    kinds: Array
    folds: Array
    shares: Array
    sizes: Array
    sources: Array
    salts: Array
    mixtures: Sources
    starts: Array
    theta: Array
    moments: Array


class Layout(NamedTuple):
    """What is what in a table of events, and how they are selected.

    column is that of the mass, columns (d,) those of features, limits (4,) of window and side bands, centre their
    middle, edges (bins + 1,) of spectra, rejections (steps,), and whether they are shares of the side bands alone.
    """

    column: int
    columns: Array
    limits: Array
    centre: float
    edges: Array
    rejections: Array
    among_side_bands: bool


class Search(NamedTuple):
    """What is done with events; row p of `trainings` belongs to procedure p."""

    layout: Layout
    procedures: Procedures
    trainings: Trainings
    recipes: Recipes
    fits: Fits


class Room(NamedTuple):
    """Room for an experiment: its events, those of mixed samples, a bench, response and share (p, room), a stream."""

    events: Events
    mixed: Events
    bench: Bench
    response: Array
    share: Array
    state: State


class Selected(NamedTuple):
    """What selections leave: spectra (p * steps, bins), kept (p * steps,), and, by procedure (p,), numbers of interest.

    failures, 0 or a status, area under the ROC curve of window against side bands, correlation of share and mass, mean
    number of epochs.
    """

    spectra: Array
    kept: Array
    failures: Array
    area: Array
    correlation: Array
    epochs: Array


class Outcome(NamedTuple):
    """Results of n experiments.

    status, n_events, n_window (n,); `Selected` of each (n, ...), `Found` of each (n, p * steps, recipes), and the scan
    (n, p * steps, places).
    """

    status: Array
    n_events: Array
    n_window: Array
    selected: Selected
    found: Found
    scan: Array


@borrowing
def network_of(trainings: Trainings, t: int) -> Net:
    """Return the network of a training."""
    low, high = trainings.starts[t], trainings.starts[t + 1]
    return Net(trainings.widths[low:high], trainings.codes[low : high - 1], trainings.rates[low : high - 1])


@borrowing
def train_and_respond(
    state: State, layout: Layout, trainings: Trainings, p: int, source: Events, spans: Spans, low: int, high: int,
    room: Room, response: Array,
) -> int:  # fmt: skip
    """Train on the spans of `source` and fill response[low:high]; return epochs, or the negative of a status."""
    bench, columns = room.bench, layout.columns
    slopes = bench.moments[2]
    for k in range(slopes.shape[0]):
        slopes[k] = 0.0
    if trainings.numbers[p, DECORRELATED] == WITH_FEATURES:
        find_slopes(source, spans, columns, layout.centre, slopes)
    n = gather(source, spans, columns, slopes, layout.centre, bench.raw)
    label(source, spans, bench.targets)
    n_other = gather(room.events, Spans(low, high, high, high), columns, slopes, layout.centre, bench.other)
    address = trainings.classifiers[p]
    if address != 0:
        balanced = trainings.numbers[p, BALANCED] != 0.0
        failed = ask_classifier(state, address, balanced, n, n_other, bench, response[low:high])
        return -TOO_FEW_EVENTS if failed != 0 else 0
    net = network_of(trainings, p)
    epochs = train_network(state, net, trainings, p, n, bench)
    if epochs < 0:
        return -TOO_FEW_EVENTS if epochs == TOO_FEW else -TRAINING_FAILED
    respond(net, bench.vectors.best, bench.moments, bench.other, n_other, bench, response[low:high])
    return epochs


@borrowing
def respond_fixed(
    state: State, layout: Layout, procedures: Procedures, trainings: Trainings, p: int, n: int, room: Room,
    response: Array,
) -> None:  # fmt: skip
    """Fill response (n,) with what a classifier trained beforehand says."""
    bench = room.bench
    slopes = procedures.moments[p, 2]
    gather(room.events, Spans(ZERO, n, n, n), layout.columns, slopes, layout.centre, bench.other)
    address = trainings.classifiers[p]
    if address != 0:
        ask_classifier(state, address, NO, ZERO, n, bench, response)
        return
    net = network_of(trainings, p)
    theta = bench.vectors.theta
    low, high = procedures.starts[p], procedures.starts[p + 1]
    for i in range(high - low):
        theta[i] = procedures.theta[low + i]
    respond(net, theta[: high - low], procedures.moments[p], bench.other, n, bench, response)


@borrowing
def respond_all(
    state: State, layout: Layout, procedures: Procedures, trainings: Trainings, p: int, n: int, room: Room,
    response: Array,
) -> tuple[int, int, float]:  # fmt: skip
    """Fill responses of a procedure; return a status, the first event evaluated and the mean number of epochs."""
    kind = procedures.kinds[p]
    if kind == RANDOM:
        for i in range(n):
            response[i] = next_uniform(state)
        return FINE, 0, 0.0
    if kind == FIXED:
        respond_fixed(state, layout, procedures, trainings, p, n, room, response[:n])
        return FINE, 0, 0.0
    if kind == HELD_OUT:
        first = int(procedures.shares[p, 0] * n)
        epochs = train_and_respond(
            state, layout, trainings, p, room.events, Spans(ZERO, first, first, first), first, n, room, response
        )
        return max(-epochs, FINE), first, float(epochs)
    if kind == THROWN:
        m = throw_mixture(
            state, procedures.mixtures, procedures.sources[p], procedures.sizes[p], procedures.shares[p],
            layout.column, room.mixed,
        )  # fmt: skip
        if m < 0:
            return BAD_EVENTS, 0, 0.0
        epochs = train_and_respond(
            state, layout, trainings, p, room.mixed, Spans(ZERO, m, m, m), ZERO, n, room, response
        )
        return max(-epochs, FINE), 0, float(epochs)
    folds, total = procedures.folds[p], 0.0
    if folds > n:
        return TOO_FEW_EVENTS, 0, 0.0
    for f in range(folds):
        low, high = f * n // folds, (f + 1) * n // folds
        spans = Spans(ZERO, n, n, n) if folds == 1 else Spans(ZERO, low, high, n)
        epochs = train_and_respond(state, layout, trainings, p, room.events, spans, low, high, room, response)
        if epochs < 0:
            return -epochs, 0, 0.0
        total += epochs / folds
    return FINE, 0, total


@borrowing
def correlate(a: Array, b: Array) -> float:
    """Return the correlation of two arrays (n,)."""
    n = a.shape[0]
    mean_a, mean_b = a.sum() / n, b.sum() / n
    aa = bb = ab = 0.0
    for i in range(n):
        u, v = a[i] - mean_a, b[i] - mean_b
        aa += u * u
        bb += v * v
        ab += u * v
    return ab / np.sqrt(aa * bb) if aa > 0.0 and bb > 0.0 else np.nan


@kernel
def select(
    layout: Layout, folds: int, decorrelated: bool, first: int, events: Events, response: Array, share: Array,
    spectra: Array, kept: Array,
) -> float:  # fmt: skip
    """Rank events from `first` on, fold by fold, and fill the spectra (steps, bins) and numbers kept (steps,).

    response and share (n,) are those of all events. Returns the area under the ROC curve of window against side bands,
    NaN if it is not defined, or -1 if a response is not finite.
    """
    n = response.shape[0]
    area, pairs = 0.0, 0.0
    for f in range(folds):
        low, high = first + f * (n - first) // folds, first + (f + 1) * (n - first) // folds
        own, region, ranked = response[low:high], events.region[low:high], share[low:high]
        if not rank(own, region, layout.among_side_bands, ranked):
            return -1.0
        if decorrelated:
            remove_slope(share, events, low, high, layout.centre, response)
            rank(own, region, layout.among_side_bands, ranked)
        fill_spectra(share, events.bins, low, high, layout.rejections, spectra, kept)
        here, number = separation(share, events, low, high)
        if number > 0.0:
            area += here * number
            pairs += number
    return area / pairs if pairs > 0.0 else np.nan


@borrowing
def blank(out: Outcome, i: int) -> None:
    """Put NaN into the results of an experiment."""
    out.found.z[i] = np.nan
    out.found.n_signal[i] = np.nan
    out.found.n_background[i] = np.nan
    out.scan[i] = np.nan
    out.selected.area[i] = np.nan
    out.selected.correlation[i] = np.nan
    out.selected.epochs[i] = np.nan


@borrowing
def run_experiments(
    sources: Sources, search: Search, room: Room, key0: np.uint64, key1: np.uint64, first: int, given: int, out: Outcome
) -> None:
    """Throw and analyse experiments `first`, ``first + 1``, ..., each from its own streams of the key.

    With `given` not negative, the events are the first so many of the room, in random order, and not thrown. Status is
    that of the first procedure if all of them failed.
    """
    state, layout, procedures, trainings = room.state, search.layout, search.procedures, search.trainings
    count, steps = procedures.kinds.shape[0], layout.rejections.shape[0]
    for i in range(out.status.shape[0]):
        blank(out, i)
        n = given
        if given < 0:
            seek(state, key0 ^ EVENTS_SALT, key1, np.uint64(first + i))
            n = throw(state, sources, layout.column, layout.limits, layout.edges, room.events)
        if n < 0:
            out.status[i] = TOO_MANY_EVENTS if n == TOO_MANY else BAD_EVENTS
            continue
        out.n_events[i], out.n_window[i] = n, room.events.region[:n].sum()
        spectra, kept, failures = out.selected.spectra[i], out.selected.kept[i], out.selected.failures[i]
        failed = 0
        for p in range(count):
            low, high = p * steps, (p + 1) * steps
            seek(state, key0 ^ procedures.salts[p], key1, np.uint64(first + i))
            response, share = room.response[p, :n], room.share[p, :n]
            response[:] = np.nan
            share[:] = np.nan
            status, begin, epochs = respond_all(state, layout, procedures, trainings, p, n, room, response)
            if status == FINE:
                decorrelated = trainings.numbers[p, DECORRELATED] == WITH_RESPONSE
                area = select(
                    layout, procedures.folds[p], decorrelated, begin, room.events, response, share, spectra[low:high],
                    kept[low:high],
                )  # fmt: skip
                status = BAD_RESPONSE if area < 0.0 else FINE
            failures[p] = status
            if status == FINE:
                out.selected.area[i, p], out.selected.epochs[i, p] = area, epochs
                out.selected.correlation[i, p] = correlate(share[begin:n], room.events.mass[begin:n])
            else:
                spectra[low:high] = 0.0
                kept[low:high] = 0
                failed += 1
        found = Found(out.found.z[i], out.found.n_signal[i], out.found.n_background[i])
        find_significances(search.fits, search.recipes, spectra, found, out.scan[i])
        out.status[i] = failures[0] if failed == count else FINE

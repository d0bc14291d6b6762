"""A search in the arrays that kernels take, and room for its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from hepstat.errors import InputError
from hepstat.fit.places import CompiledPlaces, compile_places
from hepstat.kernels.philox import STATE_SIZE
from hepstat.kernels.semisupervised.events import Events, Sources
from hepstat.kernels.semisupervised.experiment import RANDOM, Layout, Outcome, Procedures, Room, Search, Selected
from hepstat.kernels.semisupervised.recipes import Fits, Found, Recipes
from hepstat.kernels.semisupervised.training import BATCH, EPOCHS, Bench, Trainings
from hepstat.kernels.train import Vectors
from hepstat.learn import BinaryCrossEntropy, Network
from hepstat.learn.buffers import aligned, new_work
from hepstat.sampling import Sampler
from hepstat.search.scan import Grid
from hepstat.semisupervised.classifiers import ClassifierTraining, UserClassifier
from hepstat.semisupervised.procedures import Procedure
from hepstat.semisupervised.recipes import Recipe
from hepstat.semisupervised.regions import MassRegions
from hepstat.types import Floats

if TYPE_CHECKING:
    from hepstat.semisupervised.search import SemiSupervisedSearch

__all__ = ["PREPARING", "Prepared", "network_type", "new_outcome", "new_room", "prepare", "sources_of"]

PREPARING = Lock()
"""Held while something is prepared that threads share: an address is good only as long as what it is of."""

Precision: TypeAlias = Literal["float32", "float64"]


@dataclass(frozen=True, eq=False)
class Prepared:
    """What kernels need, and what has to be kept alive for their addresses.

    Attributes
    ----------
    search : Search
    networks : list of Network
        One for each procedure; the smallest for those without.
    compiled : CompiledPlaces
    """

    search: Search
    networks: list[Network]
    compiled: CompiledPlaces


def prepare(search: SemiSupervisedSearch) -> Prepared:
    """Return a search in arrays.

    Raises
    ------
    InputError
        If the spectrum does not fit the regions, a model the features, or a recipe the bins.
    """
    dtype: Precision = next(filter(None, map(network_type, search.procedures)), "float32")
    networks = [_network(procedure, len(search.features), dtype) for procedure in search.procedures]
    compiled = _compiled(search)
    layout = Layout(
        search.mass,
        np.array(search.features, dtype=np.int64),
        np.array([*search.regions.window, *search.regions.range]),
        search.regions.centre,
        search.regions.edges,
        search.rejections,
        search.among_side_bands,
    )
    arrays = Search(
        layout,
        _procedures(search.procedures, networks),
        _trainings(search.procedures, networks),
        _recipes(search.recipes, search.regions),
        _fits(compiled, search),
    )
    return Prepared(arrays, networks, compiled)


def network_type(procedure: Procedure) -> Precision | None:
    """Return the precision of the network of a procedure, None if it has no network."""
    if procedure.fixed is not None:
        return procedure.fixed.network.dtype
    if isinstance(procedure.training, ClassifierTraining) and procedure.kind != RANDOM:
        return procedure.training.dtype
    return None


def _network(procedure: Procedure, n_features: int, dtype: Precision) -> Network:
    if procedure.fixed is not None:
        network = procedure.fixed.network
        if network.n_features != n_features:
            problem = f"has {network.n_features} features, the search {n_features}"
            raise InputError("model", problem, "Train it on the features of the search")
        return network
    if isinstance(procedure.training, ClassifierTraining) and procedure.kind != RANDOM:
        return procedure.training.network(n_features)
    return Network(n_features, (), dtype=dtype)


def _procedures(procedures: Sequence[Procedure], networks: Sequence[Network]) -> Procedures:
    samplers: list[Sampler] = []
    sources, sizes, thetas, moments = [], [], [], []
    for procedure, network in zip(procedures, networks, strict=True):
        sources.append(len(samplers))
        sizes.append(procedure.sizes)
        samplers += procedure.samplers
        model, d = procedure.fixed, network.n_features
        thetas.append(np.empty(0) if model is None else model.theta)
        zeros = np.zeros(d)
        moments.append((zeros, zeros, zeros) if model is None else (model.mean, model.scale, zeros))
    return Procedures(
        np.array([procedure.kind for procedure in procedures], dtype=np.int64),
        np.array([procedure.folds for procedure in procedures], dtype=np.int64),
        np.array([procedure.shares for procedure in procedures], dtype=np.float64),
        np.array(sizes, dtype=np.int64),
        np.array(sources, dtype=np.int64),
        np.array([procedure.salt for procedure in procedures], dtype=np.uint64),
        sources_of(samplers, np.zeros(len(samplers))),
        np.cumsum([0, *map(len, thetas)]).astype(np.int64),
        np.concatenate(thetas).astype(networks[0].dtype),
        np.ascontiguousarray(moments, dtype=np.float64),
    )


def sources_of(samplers: Sequence[Sampler], means: Floats) -> Sources:
    """Return samplers with the expected numbers of their events for kernels."""
    draws = [sampler.draw for sampler in samplers]
    lengths = [len(constants) for _, constants in draws]
    constants = draws[0][1] if len(draws) == 1 else np.concatenate([np.empty(0), *(c for _, c in draws)])
    return Sources(
        np.array([address for address, _ in draws], dtype=np.int64),
        np.cumsum([0, *lengths]).astype(np.int64),
        constants,
        np.asarray(means, dtype=np.float64),
    )


def _trainings(procedures: Sequence[Procedure], networks: Sequence[Network]) -> Trainings:
    loss = BinaryCrossEntropy()
    nets = [network.net for network in networks]
    best = [p.training.optimiser if isinstance(p.training, ClassifierTraining) else None for p in procedures]
    users = [p.training.callback.address if isinstance(p.training, UserClassifier) else 0 for p in procedures]

    def padded(rows: Sequence[Any]) -> Any:
        return np.concatenate([np.append(row, 0) for row in rows])

    return Trainings(
        np.ascontiguousarray([p.training.numbers for p in procedures], dtype=np.float64),
        np.array([np.zeros(4) if b is None else b.hyper for b in best]),
        np.array([0 if b is None else b.code for b in best], dtype=np.int64),
        np.cumsum([0, *(len(net.widths) for net in nets)]).astype(np.int64),
        np.concatenate([net.widths for net in nets]),
        padded([net.codes for net in nets]).astype(np.int64),
        padded([net.rates for net in nets]).astype(np.float64),
        loss.address,
        loss.constants(1),
        np.array(users, dtype=np.int64),
    )


def _recipes(recipes: Sequence[Recipe], regions: MassRegions) -> Recipes:
    windows = [recipe.window or regions.window for recipe in recipes]
    ends = [[regions.edge_number(end, "recipes") for end in window] for window in windows]
    first, last = np.array(ends, dtype=np.int64).T
    codes = np.array([recipe.code for recipe in recipes], dtype=np.int64)
    return Recipes(codes, np.ascontiguousarray(first), np.ascontiguousarray(last))


def _compiled(search: SemiSupervisedSearch) -> CompiledPlaces:
    spectrum, regions = search.spectrum, search.regions
    if spectrum.range != regions.range:
        raise InputError("spectrum", f"covers {spectrum.range}, the regions {regions.range}", "Use the same range")
    if spectrum.constraints:
        raise InputError("spectrum", "has auxiliary measurements", "Leave them out: toys do not throw them here")
    grid = Grid(spectrum, [spectrum.values.get("signal_mean", regions.centre)], None, "signal", None)
    held = [name for name in spectrum.yields if name != "n_signal" and spectrum.parameters[name].fixed]
    if held:
        problem = f"fixes {', '.join(held)}, which cannot hold for every rejection"
        raise InputError("spectrum", problem, "Let the yields of the background float")
    floating = [name for name in spectrum.names_of("signal") if not spectrum.parameters[name].fixed]
    if floating:
        raise InputError("spectrum", f"lets {', '.join(floating)} float", "Fix the shape of the signal")
    own = [] if search.positions is None else list(search.positions)
    places = {f"{grid.signal}_mean": np.array([spectrum.values["signal_mean"], *own])}
    if own:
        Grid(spectrum, own, None, "signal", None)  # refuses positions outside of the range
    compiled = compile_places(grid.spectrum, "signal", regions.edges, places, np.ones(len(regions.edges) - 1))
    n_side = int((~regions.in_window).sum())
    if len(compiled.null.problem.free) >= n_side:
        problem = f"floats {len(compiled.null.problem.free)} parameters of the background"
        raise InputError("spectrum", problem, f"Use fewer than the {n_side} bins of the side bands")
    return compiled


def _fits(compiled: CompiledPlaces, search: SemiSupervisedSearch) -> Fits:
    full, null = compiled.full, compiled.null
    spectrum = full.spectrum
    start = full.coordinates(full.starting_point({"n_signal": 0.0}))[0]
    yields = [spectrum.names.index(name) for name in spectrum.yields if name != "n_signal"]
    outside = ~search.regions.in_window
    return Fits(
        model=full.model,
        light=full.model._replace(table=compiled.light.table),
        null=null.problem,
        signal=null.problem._replace(free=np.array([compiled.n_signal])),
        full=full.problem,
        n_signal=compiled.n_signal,
        start=start,
        yields=np.array(yields, dtype=np.int64),
        total=float(start[yields].sum()),
        scales=np.array([outside, np.ones_like(outside)], dtype=np.float64),
        centres=full.centres,
        template=np.ascontiguousarray(compiled.templates[0]),
        templates=np.ascontiguousarray(compiled.templates[1:]),
        places=np.ascontiguousarray(compiled.values[1:]),
        at=np.array([spectrum.names.index("signal_mean")], dtype=np.int64),
    )


def new_room(prepared: Prepared, columns: int, n_events: int) -> Room:
    """Return room for experiments of at most so many events."""
    procedures, trainings = prepared.search.procedures, prepared.search.trainings
    n_mixed = int(procedures.sizes.sum(axis=1).max(initial=0))
    largest, n = max(n_events, n_mixed, 1), len(procedures.kinds)
    return Room(
        _new_events(max(n_events, 1), columns),
        _new_events(n_mixed, columns),
        _new_bench(prepared.networks, trainings.numbers, largest, len(prepared.search.layout.columns)),
        np.empty((n, max(n_events, 1))),
        np.empty((n, max(n_events, 1))),
        np.empty(STATE_SIZE, np.uint64),
    )


def _new_events(room: int, columns: int) -> Events:
    return Events(np.empty((room, columns)), np.empty(room), np.empty(room, np.int64), np.empty(room, np.int64))


def _new_bench(networks: Sequence[Network], numbers: Floats, room: int, d: int) -> Bench:
    dtype = networks[0].dtype
    weights = max(network.n_weights for network in networks)
    epochs, batch = np.maximum(numbers[:, EPOCHS], 1), np.maximum(numbers[:, BATCH], 1)
    n_batches = room // batch + 2
    steps = int((epochs * n_batches).max())
    widest = max(networks, key=lambda network: sum(network.widths))
    dropping = any(any(network.dropouts) for network in networks)
    shape = Network(widest.n_features, widest.hidden, dropout=0.5 if dropping and widest.hidden else 0.0, dtype=dtype)
    theta, first, second, gradient, best, is_weight, bound = (aligned(weights, dtype) for _ in range(7))
    vectors = Vectors(theta, first, second, gradient, best, is_weight, bound)
    work = new_work(shape, room, min(room, 1 << 14))
    return Bench(
        raw=np.empty((room, d)),
        other=np.empty((room, d)),
        inputs=np.empty((room, d), dtype),
        targets=np.empty(room),
        weights=np.empty(room),
        moments=np.empty((3, d)),
        order=np.empty(room, np.int64),
        factors=np.empty(room),
        shuffled=np.empty(room, np.int64),
        batches=np.empty(int(n_batches.max()) + 1, np.int64),
        rates=np.empty(steps),
        step_loss=np.empty(steps),
        epoch_loss=np.empty(int(epochs.max())),
        vectors=vectors,
        work=work._replace(part=aligned(weights, dtype)),
        scores=np.empty((room, 1)),
        starts=np.empty(2, np.int64),
        keys=np.zeros((2, 2), np.uint64),
        choices=np.empty(4, np.int64),
        limits=np.empty(8),
        counts=np.empty(3, np.int64),
    )


def new_outcome(search: SemiSupervisedSearch, n: int) -> Outcome:
    """Return room for the results of n experiments."""
    p, r, s = len(search.procedures), len(search.recipes), len(search.rejections)
    k = 0 if search.positions is None else len(search.positions)
    bins = len(search.regions.edges) - 1
    selected = Selected(
        np.zeros((n, p * s, bins)),
        np.zeros((n, p * s), np.int64),
        np.zeros((n, p), np.int64),
        *(np.full((n, p), np.nan) for _ in range(3)),
    )
    found = Found(*(np.full((n, p * s, r), np.nan) for _ in range(3)))
    status, n_events, n_window = (np.zeros(n, np.int64) for _ in range(3))
    return Outcome(status, n_events, n_window, selected, found, np.full((n, p * s, k), np.nan))

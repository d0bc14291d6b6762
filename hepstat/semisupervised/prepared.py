"""A search in the arrays that kernels take, and room for its events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepstat.checks import whole_number
from hepstat.errors import InputError
from hepstat.fit.places import CompiledPlaces, compile_places
from hepstat.kernels.philox import STATE_SIZE
from hepstat.kernels.semisupervised.events import Events, Sources
from hepstat.kernels.semisupervised.experiment import Layout, Outcome, Procedures, Room, Search, Selected
from hepstat.kernels.semisupervised.recipes import Fits, Found, Recipes
from hepstat.kernels.semisupervised.training import Bench, Trainings
from hepstat.kernels.train import Vectors
from hepstat.learn import BinaryCrossEntropy, Model, Network
from hepstat.learn.buffers import aligned, new_work
from hepstat.sampling import Sampler
from hepstat.search.scan import Grid
from hepstat.semisupervised.classifiers import ClassifierTraining, UserClassifier
from hepstat.semisupervised.procedures import FixedModel, MixedSamples, Procedure
from hepstat.semisupervised.recipes import Recipe
from hepstat.semisupervised.regions import MassRegions
from hepstat.shapes import Spectrum
from hepstat.types import Floats

__all__ = ["Options", "Prepared", "new_outcome", "new_room", "prepare", "sources_of"]


@dataclass(frozen=True, eq=False)
class Options:
    """Options of a search, checked."""

    regions: MassRegions
    spectrum: Spectrum
    procedures: tuple[Procedure, ...]
    recipes: tuple[Recipe, ...]
    mass: int
    features: tuple[int, ...]
    rejections: Floats
    positions: Floats | None
    among_side_bands: bool


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


def prepare(options: Options) -> Prepared:
    """Return a search in arrays.

    Raises
    ------
    InputError
        If the spectrum does not fit the regions, a model the features, or a recipe the bins.
    """
    networks = [_network(procedure, len(options.features)) for procedure in options.procedures]
    compiled = _compiled(options)
    layout = Layout(
        options.mass,
        np.array(options.features, dtype=np.int64),
        np.array([*options.regions.window, *options.regions.range]),
        options.regions.centre,
        options.regions.edges,
        options.rejections,
        options.among_side_bands,
    )
    search = Search(
        layout,
        _procedures(options.procedures, networks),
        _trainings(options.procedures, networks),
        _recipes(options.recipes, options.regions),
        _fits(compiled, options),
    )
    return Prepared(search, networks, compiled)


def _network(procedure: Procedure, n_features: int) -> Network:
    if isinstance(procedure, FixedModel) and procedure.model is not None:
        network = procedure.model.network
        if network.n_features != n_features:
            problem = f"has {network.n_features} features, the search {n_features}"
            raise InputError("model", problem, "Train it on the features of the search")
        return network
    if isinstance(procedure.training, ClassifierTraining):
        return procedure.training.network(n_features)
    return Network(n_features, ())


def _procedures(procedures: Sequence[Procedure], networks: Sequence[Network]) -> Procedures:
    samplers: list[Sampler] = []
    sources, sizes, thetas, moments = [], [], [], []
    for procedure, network in zip(procedures, networks, strict=True):
        mixed = isinstance(procedure, MixedSamples)
        sources.append(len(samplers))
        sizes.append(procedure.n if mixed else (0, 0))  # type: ignore[attr-defined]
        samplers += procedure.samplers if mixed else ()  # type: ignore[attr-defined]
        model: Model | None = getattr(procedure, "model", None)
        d = network.n_features
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
        np.array(constants),
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


def _compiled(options: Options) -> CompiledPlaces:
    spectrum, regions = options.spectrum, options.regions
    if spectrum.range != regions.range:
        raise InputError("spectrum", f"covers {spectrum.range}, the regions {regions.range}", "Use the same range")
    if spectrum.constraints:
        raise InputError("spectrum", "has auxiliary measurements", "Leave them out: toys do not throw them here")
    grid = Grid(spectrum, [spectrum.values.get("signal_mean", regions.centre)], None, "signal", None)
    floating = [name for name in spectrum.names_of("signal") if not spectrum.parameters[name].fixed]
    if floating:
        raise InputError("spectrum", f"lets {', '.join(floating)} float", "Fix the shape of the signal")
    own = [] if options.positions is None else list(options.positions)
    places = {f"{grid.signal}_mean": np.array([spectrum.values["signal_mean"], *own])}
    if own:
        Grid(spectrum, own, None, "signal", None)  # refuses positions outside of the range
    compiled = compile_places(grid.spectrum, "signal", regions.edges, places, np.ones(len(regions.edges) - 1))
    n_side = int((~regions.in_window).sum())
    if len(compiled.null.problem.free) >= n_side:
        problem = f"floats {len(compiled.null.problem.free)} parameters of the background"
        raise InputError("spectrum", problem, f"Use fewer than the {n_side} bins of the side bands")
    return compiled


def _fits(compiled: CompiledPlaces, options: Options) -> Fits:
    full, null = compiled.full, compiled.null
    spectrum = full.spectrum
    start = full.coordinates(full.starting_point({"n_signal": 0.0}))[0]
    yields = [spectrum.names.index(name) for name in spectrum.yields if name != "n_signal"]
    outside = ~options.regions.in_window
    return Fits(
        full.model,
        full.model._replace(table=compiled.light.table),
        null.problem,
        null.problem._replace(free=np.array([compiled.n_signal])),
        full.problem,
        compiled.n_signal,
        start,
        np.array(yields, dtype=np.int64),
        float(start[yields].sum()),
        np.array([outside, np.ones_like(outside)], dtype=np.float64),
        full.centres,
        np.ascontiguousarray(compiled.templates[0]),
        np.ascontiguousarray(compiled.templates[1:]),
        np.ascontiguousarray(compiled.values[1:]),
        np.array([spectrum.names.index("signal_mean")], dtype=np.int64),
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
    epochs, batch = np.maximum(numbers[:, 0], 1), np.maximum(numbers[:, 1], 1)
    n_batches = room // batch + 2
    steps = int((epochs * n_batches).max())
    widest = max(networks, key=lambda network: sum(network.widths))
    dropping = any(any(network.dropouts) for network in networks)
    shape = Network(widest.n_features, widest.hidden, dropout=0.5 if dropping and widest.hidden else 0.0, dtype=dtype)
    theta, first, second, gradient, best, is_weight, bound = (aligned(weights, dtype) for _ in range(7))
    vectors = Vectors(theta, first, second, gradient, best, is_weight, bound)
    work = new_work(shape, room, min(room, 1 << 14))
    return Bench(
        np.empty((room, d)), np.empty((room, d)), np.empty((room, d), dtype), np.empty(room), np.empty(room),
        np.empty((3, d)), np.empty(room, np.int64), np.empty(room), np.empty(room, np.int64),
        np.empty(int(n_batches.max()) + 1, np.int64), np.empty(steps), np.empty(steps), np.empty(int(epochs.max())),
        vectors, work._replace(part=aligned(weights, dtype)), np.empty((room, 1)),
        np.empty(2, np.int64), np.zeros((2, 2), np.uint64), np.empty(4, np.int64), np.empty(8), np.empty(3, np.int64),
    )  # fmt: skip


def new_outcome(options: Options, n: int) -> Outcome:
    """Return room for the results of n experiments."""
    p, r, s = len(options.procedures), len(options.recipes), len(options.rejections)
    k = 0 if options.positions is None else len(options.positions)
    bins = len(options.regions.edges) - 1
    selected = Selected(
        np.zeros((n, p * s, bins)), np.zeros((n, p * s), np.int64), *(np.full((n, p), np.nan) for _ in range(3))
    )
    found = Found(*(np.full((n, p * s, r), np.nan) for _ in range(3)))
    status, n_events, n_window = (np.zeros(n, np.int64) for _ in range(3))
    return Outcome(status, n_events, n_window, selected, found, np.full((n, p * s, k), np.nan))


def columns_of(samplers: Sequence[Sampler]) -> int:
    """Return the number of columns of samplers, which agree, or raise :class:`InputError`."""
    numbers = {whole_number(sampler.columns, "columns", at_least=1) for sampler in samplers}
    if len(numbers) != 1:
        raise InputError("sources", f"have {sorted(numbers)} columns", "Give all of them the same")
    return numbers.pop()

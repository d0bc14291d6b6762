"""Each kernel is compiled once, whatever is fitted or trained; those of training once for each precision."""

from typing import Any

import numba
import numpy as np
import pytest
from semisupervised_events import background, every_procedure, make_search, signal

from hepstat.fit import FitToys, fit, fit_many, likelihood
from hepstat.histogram import Histogram, Regular
from hepstat.kernels import (
    activations,
    assemble,
    batch,
    binned,
    cell_resampling,
    fits,
    network,
    newton,
    optimise,
    ratio_toys,
    scan,
    strength,
    strength_toys,
    throw,
    train,
    unbinned,
)
from hepstat.kernels.draws import entry as draws
from hepstat.kernels.draws import pool, wrapped
from hepstat.kernels.semisupervised import events as events_of_searches
from hepstat.kernels.semisupervised import experiment, recipes, rejection, training
from hepstat.learn import BinaryCrossEntropy, CustomLoss, Model, Network, SoftZ
from hepstat.learn import train as train_model
from hepstat.sampling import BootstrapSampler, UserSampler
from hepstat.search import DiscoveryToys
from hepstat.seeds import stream_key
from hepstat.semisupervised import FixedModel, SemiSupervisedToys
from hepstat.shapes import Exponential, Gaussian, Polynomial, Spectrum
from hepstat.strength import (
    Binned,
    Component,
    DrawnRatios,
    Effect,
    Nuisance,
    RatioTest,
    RatioToys,
    SimulatedRatios,
    StrengthToys,
    Unbinned,
    WrappedNormal,
    asimov,
    counting,
)
from hepstat.strength import Model as StrengthModel
from hepstat.strength import fit as fit_strength
from hepstat.weights import cell_resample


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_one_signature_per_kernel():
    """Integers, float32 and Fortran arrays are converted at the door, and no constant is typed as a literal."""
    spectrum = Spectrum({"signal": Gaussian(5, 1), "background": Exponential(-0.1)}, (0, 10)).fix(signal_sigma=1)
    x = np.linspace(0.1, 9.9, 200)
    h = Histogram(Regular(20, 0, 10)).fill(x)
    for data in (x, x.astype(np.float32), h, h * 0.5):
        fit(spectrum, data)
    fit(spectrum, x, weights=np.ones(x.size, dtype=int))
    fit(Spectrum({"flat": Polynomial(1)}, (0, 10)).constrain_gaussian("flat_a1", 0, 1), np.asfortranarray(x))
    fit_many(spectrum, np.asfortranarray(np.ones((5, 20), dtype=int)), edges=np.arange(0, 10.1, 0.5))
    likelihood(spectrum, h).derivatives(spectrum.values)
    throw_toys(spectrum)
    kernels = (
        assemble.assemble,
        binned.binned_jacobian,
        binned.binned_value,
        fits.fit_binned_toys,
        fits.fit_unbinned_toys,
        newton.judge,
        newton.propose,
        scan.scan_toys,
        throw.throw_bins,
        unbinned.unbinned_sums,
        unbinned.unbinned_value,
    )
    called = [fits.fit_binned_toys, fits.fit_unbinned_toys, scan.scan_toys, throw.throw_bins]
    assert all(kernel.signatures for kernel in called)  # others have none if their callers come from the cache
    assert {kernel.py_func.__name__: len(kernel.signatures) for kernel in kernels if len(kernel.signatures) > 1} == {}


def throw_toys(spectrum: Spectrum) -> None:
    """Throw and fit toys of studies of every kind, with large and small means, numbers of any type, and any key."""
    spectrum, edges = spectrum.start(n_background=500, n_signal=0), np.arange(11)
    known = spectrum.constrain_gaussian("background_slope", -0.1, 0.01)
    many = spectrum.start(n_background=10**6)
    studies = [
        FitToys(known.fix("signal_mean"), edges),
        DiscoveryToys(spectrum, edges, [5]),
        DiscoveryToys(known, edges, np.array([3, 5]), scale=np.full(10, 2), tilt=3, levels=[1]),
        DiscoveryToys(many, edges, np.array([3, 5], dtype=np.float32), [1, 2], keep_scan=True),
    ]
    for study in studies:
        for first in (0, np.int64(3), np.uint64(4)):
            study.block(stream_key(1), first, np.zeros(4, study.dtype))
    for counts in (np.ones((2, 10), dtype=int), np.asfortranarray(np.ones((3, 10)))):
        studies[1].significances(counts)


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_one_signature_of_strengths():
    """Whatever channels, nuisances, sources and number types are, kernels of a signal strength are compiled once."""
    tests = {"all": RatioTest((0,)), "cut": RatioTest((np.float32(1),)), "optimal": RatioTest(None)}  # type: ignore[arg-type]
    for source in ratio_sources():
        for options in ({}, {"mu": 0}, {"n_total": np.int64(30)}):
            study = RatioToys(source, np.int64(2), np.float32(20), tests, **options)
            for first in (0, np.int64(3), np.uint64(4)):
                study.block(stream_key(1), first, np.zeros(4, study.dtype))
    for model, observed in strength_models():
        for mu in (None, 1, np.float32(0.5)):
            fit_strength(model, observed, mu=mu)
        fit_strength(model, asimov(model, 1))
        study = StrengthToys(model, 1, mu_test=np.int64(1))
        for first in (0, np.int64(3), np.uint64(4)):
            study.block(stream_key(1), first, np.zeros(4, study.dtype))
    called = [
        ratio_toys.throw_ratio_toys,
        strength.row_factors,
        strength_toys.throw_strength_toys,
        strength_toys.fit_once,
        pool.alias_table,
        draws.draw_once,
        wrapped.evaluate_wrapped_normal,
    ]
    assert all(kernel.signatures for kernel in called)
    modules = (ratio_toys, strength, strength_toys, pool, draws, wrapped)
    kernels = [kernel for module in modules for kernel in kernels_of(module)]
    assert {kernel.py_func.__name__: len(kernel.signatures) for kernel in kernels if len(kernel.signatures) > 1} == {}


def ratio_sources() -> list[Any]:
    """Return sources of ratios of every kind, from numbers of any type."""
    ratio = np.random.default_rng(1).exponential(size=5000)
    drawn = DrawnRatios(lambda n, rng: rng.exponential(size=n), lambda n, rng: rng.poisson(1.0, n), n_probe=1000)
    weights = np.ones(10_000, dtype=int)[::2]
    simulated = SimulatedRatios(ratio.astype(np.float32), np.arange(5000) % 7, signal_weights=weights)
    return [WrappedNormal(0.1), simulated, drawn]


def strength_models() -> list[tuple[StrengthModel, Any]]:
    """Return models of every kind with data of any type."""
    x = np.random.default_rng(1).random(5000) - 0.5
    signal = Component("s", 5, signal=True, ratio=WrappedNormal(0.1).ratio, events=0.2 * x)
    effects = {"a": 0.1, "p": Effect.scale()}
    known = ["a", Nuisance("p", constraint="poisson", width=20)]
    bins = Binned([Component("s", [1, 2], signal=True), Component("b", np.array([9, 8], dtype=np.float32))])
    free = Unbinned([signal, Component("b", 20, events=x, effects={"a": 0.1})])
    fixed = Unbinned([signal, Component("b", 20, events=x.astype(np.float32))], n_total=12)
    return [
        (StrengthModel(counting(1, 5)), [7]),
        (StrengthModel(counting(1, 5), mu_bounds=(0, 10)), [7]),
        (StrengthModel(counting(1, 5, effects), known), np.array([7], dtype=np.float32)),
        (StrengthModel(bins), np.asfortranarray([12, 9])),
        (StrengthModel(free, ["a"]), x[:24]),
        (StrengthModel(fixed), x[:24:2]),
        (StrengthModel([bins, free], ["a"]), [(12, 9), x[:30]]),
    ]


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_one_signature_of_cells():
    """Whatever arrays and limits of cell resampling are, kernels are compiled once."""
    x, weights = np.random.default_rng(1).normal(size=(200, 2)), np.resize([-1, 3, 2], 200)
    cell_resample(x, weights)
    cell_resample(np.asfortranarray(x, dtype=np.float32), weights[::1], max_radius=1, max_events=np.int64(9))
    cell_resample(x[::2, 0], weights[:100].astype(np.float32), scale=[2], share="absolute")
    assert cell_resampling.plant_tree.signatures  # type: ignore[attr-defined]
    assert cell_resampling.resample_cells.signatures  # type: ignore[attr-defined]
    found = {kernel.py_func.__name__: len(kernel.signatures) for kernel in kernels_of(cell_resampling)}
    assert {name: n for name, n in found.items() if n > 1} == {}


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_one_signature_per_precision():
    """Whatever the data, the loss and the road are, training has one copy of each kernel for each precision."""
    own = CustomLoss(lambda f, y, w: (float(w @ (f - y) ** 2), 2 * w * (f - y)))
    for dtype in ("float32", "float64"):
        for loss in (BinaryCrossEntropy(), SoftZ(5), own):
            train_every_way(Network(3, (4,), dropout=0.1, dtype=dtype), loss)  # type: ignore[arg-type]
    modules = (activations, batch, network, optimise, train)
    found = {kernel.py_func.__name__: precisions(kernel) for module in modules for kernel in kernels_of(module)}
    assert {name: seen for name, seen in found.items() if len(seen) > len(set(seen))} == {}
    assert set(found["train_epochs"]) == {"float32", "float64"}  # others may have none if callers come from the cache


def train_every_way(network: Network, loss: Any) -> None:
    """Train compiled and from Python, with threads, on arrays of any type, on from a model."""
    x = np.random.default_rng(1).normal(size=(33_000, 3))
    y, w = np.arange(len(x)) % 2, np.ones(len(x), dtype=int)
    few = slice(0, 100)
    first = train_model(network, (x[few].astype(np.float32), y[few], w[few]), loss, rng=1, epochs=2, validation=0.2)
    options: dict[str, Any] = {"epochs": np.int64(1), "batch_size": None, "l1": 1, "clip": 1}
    train_model(
        first.model, (np.asfortranarray(x[few]), y[few]), loss, rng=1, compiled=False, validation=0.2, **options
    )
    train_model(network, (x, y, w), loss, rng=1, workers=2, **options)
    Model(network, first.model.theta).scores(np.asfortranarray(x[few].astype(int)))
    first.model(np.empty((0, 3)))


@pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")
def test_one_signature_of_semi_supervised_searches():
    """Whatever procedures, sources and number types are, kernels of such a search are compiled once."""
    events = background(500, np.random.default_rng(1))
    procedures = (*every_procedure(), FixedModel(model=Model(Network(3, (2,)), np.ones(11))))
    for options in ({}, {"positions": [145, 150]}, {"rejections": [0], "mass": np.int64(3)}):
        search = make_search(procedures, **options)
        search.run(np.asfortranarray(events, dtype=np.float32), rng=1)
        pool = BootstrapSampler(events)
        for sources in ({"pool": (pool, 300)}, {"pool": (pool, np.float32(200)), "own": (UserSampler(signal, 4), 9)}):
            study = SemiSupervisedToys(search, sources)
            for first in (0, np.int64(3), np.uint64(4)):
                study.block(stream_key(1), first, np.zeros(2, study.dtype))
    assert experiment.run_experiments.signatures  # type: ignore[attr-defined]
    modules = (events_of_searches, experiment, recipes, rejection, training)
    found = {kernel.py_func.__name__: precisions(kernel) for module in modules for kernel in kernels_of(module)}
    assert {name: seen for name, seen in found.items() if len(seen) > len(set(seen))} == {}


def kernels_of(module: Any) -> list[Any]:
    """Return the kernels that a module defines."""
    found = [entry for entry in vars(module).values() if hasattr(entry, "signatures")]
    return [kernel for kernel in found if kernel.py_func.__module__ == module.__name__]


def precisions(kernel: Any) -> list[str]:
    """Return that of each signature: float32 if it is anywhere in it."""
    return ["float32" if "float32" in str(signature) else "float64" for signature in kernel.signatures]

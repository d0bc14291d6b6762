"""Each kernel is compiled once, whatever is fitted or trained; those of training once for each precision."""

from typing import Any

import numba
import numpy as np
import pytest

from hepstat.fit import FitToys, fit, fit_many, likelihood
from hepstat.histogram import Histogram, Regular
from hepstat.kernels import (
    activations,
    assemble,
    batch,
    binned,
    fits,
    network,
    newton,
    optimise,
    scan,
    throw,
    train,
    unbinned,
)
from hepstat.learn import BinaryCrossEntropy, CustomLoss, Model, Network, SoftZ
from hepstat.learn import train as train_model
from hepstat.search import DiscoveryToys
from hepstat.seeds import stream_key
from hepstat.shapes import Exponential, Gaussian, Polynomial, Spectrum


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
def test_one_signature_per_precision():
    """Whatever the data, the loss and the road are, training has one copy of each kernel for each precision."""
    own = CustomLoss(lambda f, y, w: (float(w @ (f - y) ** 2), 2 * w * (f - y)))
    for dtype in ("float32", "float64"):
        for loss in (BinaryCrossEntropy(), SoftZ(5), own):
            train_every_way(Network(3, (4,), dropout=0.1, dtype=dtype), loss)  # type: ignore[arg-type]
    modules = (activations, batch, network, optimise, train)
    found = {kernel.py_func.__name__: precisions(kernel) for module in modules for kernel in kernels_of(module)}
    assert {name: seen for name, seen in found.items() if len(seen) > len(set(seen))} == {}
    for name in ("train_epochs", "batch_gradient", "batch_value", "score_unit", "pull_unit", "sum_unit", "descend"):
        assert set(found[name]) == {"float32", "float64"}


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


def kernels_of(module: Any) -> list[Any]:
    """Return the kernels that a module defines."""
    found = [entry for entry in vars(module).values() if hasattr(entry, "signatures")]
    return [kernel for kernel in found if kernel.py_func.__module__ == module.__name__]


def precisions(kernel: Any) -> list[str]:
    """Return that of each signature: float32 if it is anywhere in it."""
    return ["float32" if "float32" in str(signature) else "float64" for signature in kernel.signatures]

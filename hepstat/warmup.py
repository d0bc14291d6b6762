"""What compiles kernels ahead of their first use: a little of everything that searches, trainings and tests do."""

from __future__ import annotations

import warnings

import numpy as np

from hepstat.execution import progress_bar
from hepstat.histogram import Histogram, Regular
from hepstat.learn import AsimovZ, BinaryCrossEntropy, CollapseWarning, LovaszZ, Network, SoftZ, train
from hepstat.nplm import Adam, Fast, NewPhysicsTest, Normalisation
from hepstat.nplm import Gaussian as GaussianMeasurement
from hepstat.sampling import KernelDensity
from hepstat.search import demo_events, demo_spectrum, global_significance, scan
from hepstat.semisupervised import ClassifierTraining, CrossFit, MassRegions, SemiSupervisedSearch, SemiSupervisedToys
from hepstat.shapes import Exponential, Gaussian, Spectrum
from hepstat.toys import run

__all__ = ["compile_kernels"]

_BINS = 36


def compile_kernels(progress: str | None = None) -> None:
    """Compile the kernels of searches, trainings, tests and their toys, and cache them.

    Parameters
    ----------
    progress : str, optional
        Label of a progress bar; none by default.
    """
    spectrum, events = demo_spectrum(), demo_events()
    few = np.array([145.0, 150.0])
    with progress_bar(8, progress) as step:
        binned = Histogram(Regular(_BINS, *spectrum.range)).fill(events)
        step(1)
        scanned = scan(spectrum, binned, few)
        step(1)
        global_significance(scanned, spectrum, binned, rng=1, toys=100)
        step(1)
        scan(spectrum, events, few)
        step(1)
        ones = np.ones_like(events)
        scan(spectrum, Histogram(Regular(_BINS, *spectrum.range)).fill(events, weights=ones), few)
        scan(spectrum, events, few, weights=ones)
        step(1)
        _compile_training()
        step(1)
        _compile_machine()
        step(1)
        _compile_semisupervised()
        step(1)


def _compile_machine() -> None:
    """Test a few events by both methods."""
    x = np.random.default_rng(1).random((200, 1))
    nuisances, effects = [GaussianMeasurement("norm", 0.1)], [Normalisation("norm")]
    test = NewPhysicsTest(
        x, expected=20, clip=1, nuisances=nuisances, effects=effects, method=Fast(starts=1, screen=1, finish=1)
    )
    for method in (test.method, Adam(epochs=1)):
        test.replace(method=method).run(x[:20])


def _compile_semisupervised() -> None:
    """Search a few events, and throw a toy from a kernel density of them."""
    regions = MassRegions()
    low, high = regions.range
    spectrum = Spectrum({"background": Exponential(), "signal": Gaussian(150.0, 2.4)}, regions.range)
    spectrum = spectrum.fix(signal_mean=150.0, signal_sigma=2.4)
    training = ClassifierTraining(hidden=(2,), epochs=1)
    search = SemiSupervisedSearch(regions, spectrum, [CrossFit(training)], n_columns=2, rejections=[0.0])
    events = np.random.default_rng(1).uniform((0.0, low), (1.0, high), (400, 2))
    search.run(events, rng=1)
    run(SemiSupervisedToys(search, {"background": (KernelDensity(events), 200.0)}), 1, rng=1)


def _compile_training() -> None:
    """Train a moment in both precisions with every kind of loss that has a kernel of its own."""
    x, y = np.linspace(-1.0, 1.0, 16).reshape(8, 2), np.arange(8.0) % 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)
        for dtype in ("float32", "float64"):
            for loss in (BinaryCrossEntropy(), LovaszZ(1.0), SoftZ(1.0), AsimovZ(1.0)):
                train(Network(2, (), dtype=dtype), (x, y), loss, rng=1, epochs=1)

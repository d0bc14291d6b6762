"""Events of the study of fake signal: simulated ones, what pseudo-experiments are thrown from, and how good that is."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from hepstat.sampling import (
    BootstrapSampler,
    GaussianCopula,
    KernelDensity,
    SampleComparison,
    Sampler,
    SmoothedBootstrap,
    compare_samples,
)
from hepstat.seeds import Key, toy_generator
from hepstat.semisupervised import MassRegions, Recipe
from hepstat.shapes import Gaussian, PolyLogExponential, Spectrum
from hepstat.studies import zgamma
from hepstat.studies.results import Row, row
from hepstat.studies.throwing import Throw
from hepstat.types import Floats

__all__ = [
    "CHOSEN",
    "COLUMNS",
    "FEATURES",
    "PROFILED",
    "RECIPES",
    "REGIONS",
    "SIDE_BANDS",
    "Samples",
    "Sampling",
    "falling",
    "falling_contents",
    "mass_spectrum",
    "samples_of",
    "sampling_rows",
]

SCULPTOR = "mt_llgamma"
COLUMNS = (*zgamma.FEATURES, SCULPTOR, "m_llgamma")
"""Of events: the features that are trained on, the transverse mass, and the mass."""
FEATURES = tuple(range(len(zgamma.FEATURES)))
REGIONS = MassRegions()
RECIPES = (Recipe("side bands", REGIONS.window), Recipe("full range", REGIONS.window), Recipe("profiled"))
SIDE_BANDS, PROFILED = RECIPES[0].name, RECIPES[2].name
_BOUNDS: Any = {
    "m_ll": (81.0, 101.0),
    "pt_llgamma": (0.0, None),
    "cos_star": (0.0, 0.9),
    "cos_helicity": (0.0, 1.0),
    "isolation": (0.0, 0.3),
    "met": (0.0, None),
}
NARROW = 0.1
"""Width of kernels, in widths of the columns; Scott's rule makes them .4."""
CHOSEN = "narrow KDE, mass kept"
_PEAK = 100_000  # events of signal, at most
_KEPT = ("n_jets", "m_llgamma")  # by kernels, which would smear a peak and bend a spectrum at its ends


def mass_spectrum(expected: float = 1.0) -> Spectrum:
    """Return the signal at 150 GeV, of the resolution, above the background of the document."""
    shapes = {"background": PolyLogExponential(), "signal": Gaussian()}
    spectrum = Spectrum(shapes, REGIONS.range).fix(signal_mean=zgamma.MASS, signal_sigma=zgamma.WIDTH)
    return spectrum.start(n_background=expected)


def falling(n: int, rng: np.random.Generator) -> Floats:
    """Return masses (n,) of the background, exp(-(m - 132) / 60) from 132 to 168, by the inverse of its integral."""
    return zgamma.falling(n, *REGIONS.range, rng)


def falling_contents(expected: float) -> Floats:
    """Return what is expected of so many such events in the bins (36,)."""
    edges = np.exp(-(REGIONS.edges - REGIONS.range[0]) / zgamma.SLOPE)
    return np.asarray(expected * -np.diff(edges) / (1.0 - edges[-1]))


@dataclass(frozen=True, eq=False)
class Samples:
    """Simulated events of background (n, columns), and samplers of background and signal."""

    simulated: Floats
    background: Sampler
    signal: Sampler


@lru_cache(maxsize=1)
def samples_of(n: int, key: Key) -> Samples:
    """Return n simulated events of background, and samplers made of these and of some events of signal.

    The kernels are narrow and leave the mass as it is: pseudo-experiments have masses of simulated events. Fluctuations
    of these would be a signal that all pseudo-experiments have in common, so the events have weights, near 1, by which
    bins of the mass contain what the exponential says. What is left of fluctuations, in the masses of those that a
    network selects, is the less the more events there are.
    """
    simulated = _columns(zgamma.background(n, toy_generator(key, 0)))
    peak = _columns(zgamma.signal(min(n, _PEAK), toy_generator(key, 1)))
    return Samples(simulated, _density(simulated, _weights(simulated)), _density(peak))


def _columns(events: Floats) -> Floats:
    """Return COLUMNS of simulated events; the transverse mass is that of the leptons and the photon.

    It is at most the mass, which a network can guess from it and cos_star.
    """
    c = dict(zip(zgamma.COLUMNS, events.T, strict=True))
    x, y = ({who: c[f"pt_{who}"] * turn(c[f"phi_{who}"]) for who in ("l1", "l2", "gamma")} for turn in (np.cos, np.sin))
    pair = np.sqrt(c["m_ll"] ** 2 + (x["l1"] + x["l2"]) ** 2 + (y["l1"] + y["l2"]) ** 2)
    across = sum(x.values()) ** 2 + sum(y.values()) ** 2
    transverse = np.sqrt((pair + c["pt_gamma"]) ** 2 - across)
    return np.column_stack([events[:, zgamma.places(zgamma.FEATURES)], transverse, c["m_llgamma"]])


def _weights(events: Floats) -> Floats:
    at = np.clip(np.searchsorted(REGIONS.edges, events[:, -1], side="right") - 1, 0, len(REGIONS.edges) - 2)
    contents = np.bincount(at, minlength=len(REGIONS.edges) - 1)
    return np.asarray((falling_contents(len(events)) / contents)[at])


def _density(events: Floats, weights: Floats | None = None, bandwidth: Any = NARROW) -> KernelDensity:
    return KernelDensity(events, weights, bandwidth=bandwidth, bounds=_BOUNDS, discrete=_KEPT, names=COLUMNS)


@dataclass(frozen=True, eq=False)
class Sampling:
    """Simulated events that samplers have not seen, samples by sampler, and what compares them."""

    simulated: Floats
    samples: dict[str, Floats]
    compared: dict[str, SampleComparison]
    rows: list[Row]


def sampling_rows(samples: Samples, n: int, throw: Throw) -> Sampling:
    """Compare n events of every sampler with as many simulated ones that it was not made of; rows are in the result."""
    events, smeared = samples.simulated, {**_BOUNDS, "m_llgamma": REGIONS.range}
    narrow: Any = {"bandwidth": NARROW, "bounds": _BOUNDS, "discrete": _KEPT, "names": COLUMNS}
    samplers = {
        CHOSEN: samples.background,
        "KDE, Scott's rule": KernelDensity(events, bounds=smeared, discrete=_KEPT[:1], names=COLUMNS),
        "KDE, Scott's rule, mass kept": _density(events, bandwidth="scott"),
        "smoothed bootstrap": SmoothedBootstrap(events, **narrow),
        "bootstrap": BootstrapSampler(events, names=COLUMNS),
        "copula": GaussianCopula(events, discrete=_KEPT[:1], names=COLUMNS),
    }
    others = _columns(zgamma.background(n, throw.rng("others")))
    drawn = {name: sampler.sample(n, throw.rng("sampled")) for name, sampler in samplers.items()}
    drawn["simulated again"] = _columns(zgamma.background(n, throw.rng("again")))
    compared: dict[str, SampleComparison] = {}
    rows = []
    for name, sample in drawn.items():
        found = compare_samples(others, sample, names=COLUMNS, rng=throw.rng("compared"))
        compared[name] = found
        rows += [
            row(f"{name}: largest difference of a correlation", float(np.nanmax(found.correlation_difference))),
            row(f"{name}: largest distance of a column, widths", float(found.w1.max()),
                note=f"Wasserstein, {COLUMNS[int(found.w1.argmax())]}; smallest KS p-value {found.ks_p.min():.2g}"),
            row(f"{name}: AUC of a classifier that tells it apart", found.auc, found.auc_error, computed=0.5,
                tested=name == "simulated again", note=f"p = {found.classifier_p:.2g}"),
        ]  # fmt: skip
    return Sampling(others, drawn, compared, rows)

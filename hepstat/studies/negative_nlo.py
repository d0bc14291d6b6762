"""A sample with counter-terms: negative weights that only cancel, what resampling makes of them, and what is learned.

The net density is known, as is its ratio to a reference without negative weights. Rows compare samples before and after
resampling with each other, and the ratios learned from them with the true one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepstat.execution import map_ordered
from hepstat.learn import Adam, Cosine, MaximumLikelihoodRatio, Network
from hepstat.ratio import deviation, learn_ratio
from hepstat.seeds import Key, toy_generator
from hepstat.studies.interference import CounterTerms, DoubleSlit
from hepstat.studies.results import Row, mean_and_std, row
from hepstat.types import Floats
from hepstat.weights import (
    Resampled,
    ResamplingClosure,
    cell_resample,
    compare_resampled,
    diagnose_weights,
    learn_resampler,
    positive_resample,
)

__all__ = ["EDGES", "METHODS", "REFERENCE", "TOY", "Treated", "nlo_rows", "quantities"]

TOY = CounterTerms(0.2)
REFERENCE = CounterTerms(0.0, scale=1.2, centre=0.3)
NETWORK = Network(2, (32, 32), "tanh")
ABOVE = 0.02  # deviations count where the net density is above this share of its peak
METHODS = ("signed weights", "positive", "positive, unweighted", "neural", "cells", "drop", "absolute")
EDGES: Mapping[str, Floats] = {
    "first feature": np.linspace(0.0, 5.0, 26),
    "second feature": np.linspace(-3.0, 3.0, 25),
    "radius": np.linspace(0.0, 4.0, 21),
}


@dataclass(frozen=True, eq=False)
class Treated:
    """A sample after one treatment of its negative weights, its histograms, and the ratios learned from it."""

    name: str
    resampled: Resampled
    closure: ResamplingClosure
    ratios: list[Any]


def quantities(x: Floats) -> dict[str, Floats]:
    """Return what histograms are filled with; resampling does not know the radius."""
    return {"first feature": x[:, 0], "second feature": x[:, 1], "radius": np.hypot(x[:, 0], x[:, 1])}


def nlo_rows(n_events: int, epochs: int, trainings: int, key: Key, workers: int = 1) -> tuple[list[Row], list[Treated]]:
    """Resample a sample in all ways, and learn a ratio from each.

    Parameters
    ----------
    n_events : int
        Of the sample, and of the reference.
    epochs, trainings : int
        Of each ratio.
    """
    rng = toy_generator(key, 0)
    (x, w), (reference, _) = TOY.sample(n_events, rng), REFERENCE.sample(n_events, rng)
    resampled = {name: _resample(name, x, w, epochs, toy_generator(key, i)) for i, name in enumerate(METHODS, 1)}
    jobs = [(name, i) for name in METHODS for i in range(trainings)]

    def one(job: tuple[str, int]) -> Any:
        name, i = job
        found = resampled[name]
        loss = MaximumLikelihoodRatio() if (found.weights < 0).any() else None
        return learn_ratio(
            found.take(x), reference, network=NETWORK, rng=toy_generator(key, 100 + i), loss=loss,
            signal_weights=found.weights, epochs=epochs, batch_size=512, optimiser=Adam(1e-2, schedule=Cosine()),
        )  # fmt: skip

    ratios = dict(zip(jobs, map_ordered(one, jobs, workers=workers), strict=True))
    treated = [
        Treated(
            name, found, compare_resampled(quantities(x), found, EDGES), [ratios[name, i] for i in range(trainings)]
        )
        for name, found in resampled.items()
    ]
    rows = [*_diagnosis(x, w, toy_generator(key, 200)), *_sample_rows(treated), *_ratio_rows(treated)]
    return rows, treated


def _resample(name: str, x: Floats, w: Floats, epochs: int, rng: np.random.Generator) -> Resampled:
    """Return the sample after a treatment by name."""
    if name == "positive":
        return positive_resample(x, w)
    if name == "positive, unweighted":
        return positive_resample(x, w, rng=rng)
    if name == "cells":
        return cell_resample(x, w)
    if name == "neural":
        options: Any = {"epochs": epochs, "batch_size": 512, "optimiser": Adam(1e-2, schedule=Cosine())}
        return learn_resampler(x, w, network=NETWORK, rng=rng, **options).resample(x, w, rng=rng)
    kept = np.flatnonzero(w > 0) if name == "drop" else np.arange(w.size)
    new = np.abs(w[kept]) if name == "absolute" else w[kept]
    return Resampled(kept, new, w, name, "")


def _diagnosis(x: Floats, w: Floats, rng: np.random.Generator) -> Iterator[Row]:
    """Yield what diagnostics say of this sample, and of the double slit."""
    found, f = diagnose_weights(x, w), TOY.fraction
    text = f"verdict: {found.verdict}. {found.recommendation}"
    fraction, error = float(found.negative_fraction[0]), float(found.negative_fraction_error[0])
    yield row("counter-terms: negative fraction", fraction, error, computed=f, note=text)
    inflation = 1.0 / (1.0 - 2.0 * f) ** 2
    slope = 4.0 / (1.0 - 2.0 * f) ** 3
    name, note = "counter-terms: variance inflation", "n sum w^2 / (sum w)^2"
    yield row(name, float(found.inflation[0]), slope * error, computed=inflation, note=note)
    name, cells = "counter-terms: cells found negative", found.cell_significant
    yield row(name, float(cells.sum()), note=f"of {cells.size}; verdict {found.verdict}")
    slit = DoubleSlit()
    found = diagnose_weights(*slit.sample(w.size, rng))
    text = f"verdict: {found.verdict}. {found.recommendation}"
    fraction, error = float(found.negative_fraction[0]), float(found.negative_fraction_error[0])
    yield row("double slit, signal: negative fraction", fraction, error, computed=slit.negative_fraction(), note=text)
    cells = found.cell_significant
    name = "double slit, signal: cells found negative"
    yield row(name, float(cells.sum()), note=f"of {cells.size}; verdict {found.verdict}")


def _sample_rows(treated: Sequence[Treated]) -> Iterator[Row]:
    """Yield numbers of the samples after each treatment; those of signed weights are the ones before."""
    for entry in treated:
        text, found = f"counter-terms, {entry.name}", entry.resampled
        yield row(f"{text}: events", float(found.n_after), note=found.message)
        yield row(f"{text}: negative weights", float(found.n_negative[1]))
        note = "computed is that before"
        yield row(f"{text}: sum of weights", found.sum_after, computed=found.sum_before, tested=False, note=note)
        note += "; where weights depend on other events, as in positive and cells, no variance"
        yield row(f"{text}: sum of squares", found.sumw2_after, computed=found.sumw2_before, tested=False, note=note)
        yield row(f"{text}: effective events", found.size_after, computed=found.size_before, tested=False, note=note)
        if entry.name != "signed weights":
            largest = entry.closure.largest_pull
            worst = max(largest, key=lambda name: abs(largest[name]))
            note = f"in {worst}, of {len(largest)} histograms; in units of the {entry.closure.error} error"
            yield row(f"{text}: largest pull of a bin", largest[worst], note=note)


def _ratio_rows(treated: Sequence[Treated]) -> Iterator[Row]:
    """Yield how far learned ratios are from the true one."""
    x, density = _grid()
    truth: Callable[[Any], Floats] = lambda points: TOY.density(points) / REFERENCE.density(points)  # noqa: E731
    note = f"mean |r / true - 1| where the net density is above {ABOVE:g} of its peak, the density as weight"
    for entry in treated:
        off = [deviation(ratio, truth, x, density, above=ABOVE).mean for ratio in entry.ratios]
        yield row(f"counter-terms, {entry.name}: deviation of the learned ratio", *mean_and_std(off), note=note)


def _grid() -> tuple[Floats, Floats]:
    """Return points (n, 2) and the net density there."""
    axes = (np.arange(120) + 0.5) * 0.05, (np.arange(120) + 0.5) * 0.06 - 3.6
    x = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    return x, TOY.density(x)

"""A global sigma that is not known, constrained by Y_0 - Y_1 or not at all (arXiv:1909.03081, sections 3.3, 4.3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from hepstat.learn import Adam, Cosine, Network
from hepstat.ratio import compare_variation, learn_variation, reweight
from hepstat.strength import Binned, Component, Effect, Model, Nuisance, Unbinned, asimov, fit
from hepstat.studies.guide_model import READINGS, log_density, ratio_of, throw
from hepstat.studies.guide_strength import MU, SIGMA, Measured, Size, measure, rows_of
from hepstat.studies.results import Row, row
from hepstat.types import Floats

__all__ = ["Compared", "compare_nuisances", "template_rows"]

READING = "std sqrt(2) sigma"
FACTOR = READINGS[READING]
WRONG = 1.25  # times the true sigma
NEAR = (0.072, 0.076, 0.08, 0.084, 0.088)  # knots where Y_0 - Y_1 tells sigma
FAR = (0.05, 0.06, 0.07, 0.08, 0.09, 0.10, 0.12)  # and where it does not
EDGES = np.linspace(-0.5, 0.5, 21)


@dataclass(frozen=True)
class Compared:
    """Measurements by treatment of sigma, and rows of results."""

    found: dict[str, Measured]
    rows: tuple[Row, ...]


def compare_nuisances(size: Size, rng: np.random.Generator, workers: int) -> Compared:
    """Measure mu with a global sigma that is known, profiled with and without a constraint, or wrong."""
    events = [throw(n, FACTOR * SIGMA, rng, signal=k == 0) for k, n in enumerate((size.n_signal, size.n_background))]
    models = {
        "sigma known": _model(events, size),
        "profiled, constrained by Y0 - Y1": _model(events, size, NEAR, constrained=True),
        "profiled, not constrained": _model(events, size, FAR),
        "sigma 25% too large, not profiled": _model(events, size, sigma=WRONG * SIGMA),
    }
    found: dict[str, Measured] = {}
    rows: list[Row] = []
    for name, model in models.items():
        few = replace(size, toys=max(size.toys // 2, 2)) if model.nuisances else size
        found[name] = measure(model, few, rng, workers)
        truth = MU if "too large" not in name else None
        rows += rows_of(f"global sigma, {READING}: {name}", found[name], mean=truth)
    return Compared(found, tuple(rows))


def _model(
    events: list[Floats], size: Size, knots: tuple[float, ...] = (), sigma: float = SIGMA, *, constrained: bool = False
) -> Model:
    """Return the model of events (n, 2); sigma is a nuisance if there are knots, and Y_0 - Y_1 may tell it."""
    both: dict[str, Effect] = {}
    signal: dict[str, Effect] = {}
    if knots:
        signal = {"sigma": Effect.parameterised(_log_both if constrained else _log_sum, knots, sigma)}
        both = {"sigma": Effect.parameterised(_log_difference, knots, sigma)} if constrained else {}
    components = [
        Component("signal", 1.0, signal=True, ratio=ratio_of(FACTOR * sigma), events=events[0], effects=signal),
        Component("background", 1.0, events=events[1], effects=both),
    ]
    bounds = (knots[0], knots[-1]) if knots else (0.0, 1.0)
    nuisances = [Nuisance("sigma", constraint="free", centre=sigma, bounds=bounds)] if knots else []
    return Model([Unbinned(components, n_total=size.n_total)], nuisances)


def _log_sum(x: Floats, sigma: float) -> Floats:
    return log_density(x[:, 0], FACTOR * sigma)


def _log_difference(x: Floats, sigma: float) -> Floats:
    return log_density(x[:, 1], FACTOR * sigma)


def _log_both(x: Floats, sigma: float) -> Floats:
    return _log_sum(x, sigma) + _log_difference(x, sigma)


def template_rows(n_events: int, epochs: int, n_total: int, rng: np.random.Generator, workers: int) -> Iterator[Row]:
    """Yield how bins of signal vary with sigma by a learned reweighting and by a new simulation, and the errors on mu.

    Parameters
    ----------
    n_events : int
        Simulated events of each sample.
    n_total : int
        Expected events of signal and background together.
    """
    nominal, test = (throw(n_events, FACTOR * SIGMA, rng, signal=True)[:, :1] for _ in range(2))
    n_signal, n_background = MU * n_total, (1.0 - MU) * n_total
    central = _filled(test, np.ones(n_events), n_signal)
    templates: dict[str, list[Floats]] = {"new simulation": [], "reweighted": []}
    for sign, factor in (("down", 2.0 - WRONG), ("up", WRONG)):
        varied, again = (throw(n_events, FACTOR * SIGMA * factor, rng, signal=True)[:, :1] for _ in range(2))
        ratio = learn_variation(
            nominal, varied, network=Network(1, (32, 32), "tanh"), rng=rng, epochs=epochs, batch_size=512,
            optimiser=Adam(rate=1e-2, schedule=Cosine()), workers=workers,
        )  # fmt: skip
        weights = reweight(ratio, test).weights
        filled = _filled(again, np.ones(n_events), n_signal), _filled(test, weights, n_signal)
        for entry, contents in zip(templates.values(), filled, strict=True):
            entry.append(np.maximum(contents, 1e-9) / np.maximum(central, 1e-9))
        text, full = f"template of sigma {sign} by 25%, {READING}", filled[0] > 0.05 * filled[0].max()
        off = np.abs(filled[1][full] / filled[0][full] - 1.0)
        closure = compare_variation(ratio, test, again)
        note = f"closure of the reweighted sample with a new one, p = {closure.p[0]:.2g}"
        yield row(f"{text}: largest deviation of a bin", float(off.max()), note=f"bins above 5% of the largest; {note}")
    background = np.full(central.size, n_background / central.size)
    for name, (down, up) in templates.items():
        effects = {"sigma": Effect.up_down(down, up)}
        components = [
            Component("signal", central, signal=True, effects=effects), Component("background", background)
        ]  # fmt: skip
        model = Model([Binned(components)], [Nuisance("sigma")])
        found = fit(model, asimov(model, 1.0))
        note = "from the curvature for expected data; a Gaussian nuisance of 25%, Poisson numbers of events in 20 bins"
        yield row(f"template of sigma, {READING}: error on mu, {name}", MU * found.mu_error, note=note)


def _filled(x: Floats, weights: Floats, expected: float) -> Floats:
    """Return the contents of bins of Y_0 + Y_1, which add up to `expected`."""
    contents: Any = np.histogram(x[:, 0], EDGES, weights=weights)[0]
    return np.asarray(contents / contents.sum() * expected)

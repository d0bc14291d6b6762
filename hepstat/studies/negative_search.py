"""An analysis-like search: a resonance that interferes with a continuum, and what treatments of negative bins measure.

Two features, mass and an angle; the signal is a coupling g, with B + g SB + g^2 S expected. Templates of 20 bins of a
learned observable are exact, by integration, so that what differs is the treatment of the interference SB alone. Toys
are thrown from the truth at g = 1, and all treatments fit the same ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import chi2

from hepstat.execution import map_ordered
from hepstat.infer import t_mu
from hepstat.learn import Adam, ComplementaryLabel, Cosine, Network, train
from hepstat.ratio import ClassifierRatio
from hepstat.ratio.bins import Weighted, quantiles
from hepstat.seeds import Key, toy_generator
from hepstat.strength import Model, asimov, fit, upper_limit
from hepstat.studies.interference import Resonance
from hepstat.studies.results import Row, row
from hepstat.types import Floats, Ints
from hepstat.weights import Morphing, TreatedBins, absolute_bins, floor_bins, learn_interference, merge_negative_bins

__all__ = ["TOY", "UNBIASED", "Fitted", "Treatment", "events_of", "search_rows", "treatments"]

TOY = Resonance(n_background=2000.0, amplitude=0.3)
TEMPLATES = ("background", "interference", "signal")
COUPLING = 1.0
N_BINS = 20
MASS_EDGES, COSINE_EDGES = np.linspace(400.0, 600.0, 41), np.linspace(-1.0, 1.0, 6)  # cut no cell of the plane
NETWORK = Network(2, (32, 32), "tanh")
TWO = Network(2, (32, 32), "tanh", n_outputs=2)
BOUNDS = (-4.0, 4.0)  # of the coupling in fits
UNBIASED = ("truth", "morphing", "merge", "CCL observable, morphing")
_EXCLUDED = chi2.isf(0.05, 1)  # of t_mu, at 95%


@dataclass(frozen=True, eq=False)
class Treatment:
    """Expected contents, and the bin of each cell of the plane.

    Attributes
    ----------
    name : str
    bins : ndarray of int, (cells,)
    morphing : Morphing
    note : str
    errors_at : float or None
        Coupling at which errors of templates count, if they do.
    """

    name: str
    bins: Ints
    morphing: Morphing
    note: str
    errors_at: float | None = None

    @property
    def model(self) -> Model:
        """The model that is fitted."""
        return self.morphing.model(errors_at=self.errors_at, mu_bounds=BOUNDS)


@dataclass(frozen=True, eq=False)
class Fitted:
    """Fits of one treatment to toys: couplings (n,) and t at the true one (n,), and the expected limit."""

    treatment: Treatment
    couplings: Floats
    statistics: Floats
    limit: float

    @property
    def mean(self) -> float:
        """Mean of the couplings."""
        return float(self.couplings.mean())

    @property
    def std(self) -> float:
        """Standard deviation of the couplings."""
        return float(self.couplings.std(ddof=1))

    @property
    def error(self) -> float:
        """Error of the mean."""
        return self.std / math.sqrt(self.couplings.size)


@dataclass(frozen=True, eq=False)
class Plane:
    """Cells of the plane with what is expected in each."""

    x: Floats
    background: Floats
    interference: Floats
    signal: Floats

    def binned(self, bins: Ints) -> tuple[Floats, Floats, Floats]:
        """Return contents of bins: B, SB and S."""
        return filled(bins, self.background), filled(bins, self.interference), filled(bins, self.signal)


def filled(bins: Ints, weights: Floats) -> Floats:
    """Return sums of weights (n,) in bins."""
    return np.asarray(np.bincount(bins, weights), dtype=np.float64)


def plane() -> Plane:
    """Return 80,000 cells."""
    x, cell = TOY.grid()
    return Plane(x, *(TOY.density(name, x) * cell for name in TEMPLATES))


def search_rows(n_events: int, epochs: int, toys: int, key: Key, workers: int = 1) -> tuple[list[Row], list[Fitted]]:
    """Learn observables, and compare treatments by limits and by fits to toys.

    Parameters
    ----------
    n_events : int
        Simulated of each of B, SB and S, for networks.
    epochs : int
    toys : int
    """
    found, rng = plane(), toy_generator(key, 0)
    chosen = treatments(found, n_events, epochs, rng)
    thrown = events_of(found, toys, toy_generator(key, 1))

    def one(treatment: Treatment) -> Fitted:
        return _fitted(treatment, thrown)

    fitted = list(map_ordered(one, chosen, workers=workers))
    return list(_rows(fitted)), fitted


def treatments(found: Plane, n_events: int, epochs: int, rng: np.random.Generator) -> list[Treatment]:
    """Return all treatments, with observables learned from simulated events."""
    samples = {name: _simulated(name, n_events, rng) for name in TEMPLATES}
    options: Any = {"rng": rng, "epochs": epochs, "batch_size": 1024, "optimiser": Adam(1e-2, schedule=Cosine())}
    (b, w_b), (m, w_m), (s, w_s) = samples.values()
    ratio = learn_interference(
        np.concatenate([m, s]), b, network=NETWORK, signal_weights=np.concatenate([w_m, w_s]), background_weights=w_b,
        **options,
    )  # fmt: skip
    data = np.concatenate([m, b]), np.repeat([1.0, 0.0], [len(m), len(b)]), np.concatenate([w_m, w_b])
    ccl = ClassifierRatio(train(TWO, data, ComplementaryLabel(), **options))  # with odds of 1: of intensities
    return list(_treated(found, ratio(found.x), ccl(found.x)))


def _simulated(name: Any, n: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    x, w = TOY.sample(n, rng, name)
    return x, w * TOY.absolute_yield(name) / n


def _treated(found: Plane, ratio: Floats, odds: Floats) -> Iterator[Treatment]:
    """Yield treatments, with s/b at g = 1 learned for all cells, and odds of interference that CCL has learned."""
    fine = len(COSINE_EDGES) - 1
    cells = np.digitize(found.x[:, 0], MASS_EDGES[1:-1]) * fine + np.digitize(found.x[:, 1], COSINE_EDGES[1:-1])
    own, other = _quantile_bins(ratio, found.background), _quantile_bins(odds, found.background)
    parts = [TOY.contents(name, MASS_EDGES, COSINE_EDGES).ravel() for name in TEMPLATES]
    yield Treatment("truth", cells, Morphing(*parts), f"{parts[0].size} bins of mass and cosine")
    b, m, s = found.binned(own)
    yield Treatment("morphing", own, Morphing(b, m, s), f"{N_BINS} bins of the learned ratio of S + SB + B to B")
    kept = filled(own, np.maximum(found.interference, 0.0))
    yield Treatment("drop", own, Morphing(b, kept, s), "interference without its negative events")
    nothing = np.zeros_like(m)
    absolute, floored = absolute_bins(m, nothing), floor_bins(m, nothing, floor=1e-3)
    yield Treatment("absolute", own, Morphing(b, absolute.contents, s), absolute.message)
    yield Treatment("floor", own, Morphing(b, floored.contents, s), floored.message)
    errors = np.stack([nothing, (floored.contents - m) ** 2, nothing])
    text = f"{floored.message} These errors count in the fit"
    yield Treatment("floor, with errors", own, Morphing(b, floored.contents, s, covariance=errors), text, COUPLING)
    yield _merged(own, (b, m, s), merge_negative_bins(m, nothing))
    learned = filled(own, found.background * ratio) - s
    text = "interference as background times learned s/b, minus S"
    yield Treatment("learned ratio", own, _positive(b, learned, s), text)
    b, m, s = found.binned(other)
    learned = filled(other, found.background * odds)
    text = "interference as background times the odds that the classifier has learned, in bins of these"
    yield Treatment("CCL", other, _positive(b, learned, s), text)
    yield Treatment("CCL observable, morphing", other, Morphing(b, m, s), "bins of the same odds, true templates")


def _merged(bins: Ints, parts: Sequence[Floats], treated: TreatedBins) -> Treatment:
    """Return a treatment with bins merged until the interference is positive."""
    return Treatment("merge", treated.groups[bins], Morphing(*(treated.apply(part) for part in parts)), treated.message)


def _positive(b: Floats, m: Floats, s: Floats) -> Morphing:
    """Return templates with a learned interference, no larger than is possible."""
    return Morphing(b, m, s).repaired()[0]


def _quantile_bins(values: Floats, weights: Floats) -> Ints:
    """Return bins of equal background in an observable."""
    edges = quantiles(Weighted(values, weights), np.arange(1, N_BINS) / N_BINS)
    return np.searchsorted(edges, values, side="right")


def events_of(found: Plane, toys: int, rng: np.random.Generator) -> list[Ints]:
    """Throw toys at the true coupling: cells of their events."""
    expected = found.background + COUPLING * found.interference + COUPLING**2 * found.signal
    total = np.cumsum(expected)
    return [np.searchsorted(total, rng.random(n) * total[-1]) for n in rng.poisson(total[-1], toys)]


def _fitted(treatment: Treatment, thrown: Sequence[Ints]) -> Fitted:
    """Fit all toys, and find the expected limit."""
    model, n_bins = treatment.model, treatment.morphing.n_bins
    couplings, statistics = np.empty(len(thrown)), np.empty(len(thrown))
    for i, cells in enumerate(thrown):
        counts = np.bincount(treatment.bins[cells], minlength=n_bins).astype(np.float64)
        best, held = fit(model, counts), fit(model, counts, mu=COUPLING)
        couplings[i], statistics[i] = best.mu, t_mu(held.nll, best.nll)
    limit = upper_limit(model, asimov(model, 0.0), statistic="q_mu").expected[2]
    return Fitted(treatment, couplings, statistics, float(limit))


def _rows(fitted: Sequence[Fitted]) -> Iterator[Row]:
    """Yield limits, mean and spread of couplings, and how often the true one is excluded."""
    for entry in fitted:
        name, n = entry.treatment.name, entry.couplings.size
        unbiased, text = name in UNBIASED, f"search, {name}"
        yield row(f"{text}: expected limit on g without signal", entry.limit, note=f"95% CLs; {entry.treatment.note}")
        off = (entry.mean - COUPLING) / entry.error
        note = f"true coupling {COUPLING:g}, error of the mean of {n} toys: {off:+.1f} errors off"
        yield row(f"{text}: mean coupling", entry.mean, entry.error, computed=COUPLING, tested=unbiased, note=note)
        yield row(f"{text}: spread of couplings", entry.std, entry.std / math.sqrt(2.0 * n))
        share = float(np.mean(entry.statistics > _EXCLUDED))
        error = math.sqrt(max(share * (1.0 - share), 0.05 * 0.95) / n)
        note = "of two-sided intervals at 95%; asymptotic"
        yield row(
            f"{text}: share of toys that exclude the true coupling", share, error, computed=0.05, tested=unbiased,
            note=note,
        )  # fmt: skip

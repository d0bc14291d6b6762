"""What makes fake signal, and what is left of a true one when it is cured."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hepstat.errors import FitError
from hepstat.histogram import Histogram, Regular
from hepstat.search import scan
from hepstat.semisupervised import (
    ClassifierTraining,
    FakeSignal,
    PowerTable,
    SemiSupervisedSearch,
    SemiSupervisedToys,
    decompose,
    local_significance,
    power_table,
)
from hepstat.shapes import Gaussian
from hepstat.studies import zgamma
from hepstat.studies.fake_signal_events import (
    COLUMNS,
    FEATURES,
    PROFILED,
    REGIONS,
    SCULPTOR,
    SIDE_BANDS,
    Samples,
    falling_contents,
    mass_spectrum,
)
from hepstat.studies.fake_signal_search import (
    CLEAN,
    DECORRELATED,
    Searched,
    SearchSize,
    new_search,
)
from hepstat.studies.results import Row, row
from hepstat.studies.throwing import Throw
from hepstat.toys import ToyTable
from hepstat.types import Floats

__all__ = ["CASES", "Causes", "Powers", "cause_rows", "power_rows", "supervised_yield"]

_ROLES: Any = {
    "in_sample": "in-sample",
    "cross_fitted": "2-fold",
    "independent": "random",
    "decorrelated": DECORRELATED,
}
_KNOWING = (*FEATURES, COLUMNS.index(SCULPTOR))
_MORE = 10
CASES = {
    "default features": (FEATURES, 1),
    f"with {SCULPTOR}": (_KNOWING, 1),
    f"with {SCULPTOR}, x10": (_KNOWING, _MORE),
}
"""Features, and by how much there are more events, for a network to learn what the mass is."""
_TRAININGS, _EVENTS, _AIM = 5, 20_000, 5.0
_STEP, _FIRST, _FOR_TAIL = 8, 4, 1000


@dataclass(frozen=True, eq=False)
class Causes:
    """What each cause adds, by case and recipe, and rows."""

    fake: dict[tuple[str, str], FakeSignal]
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Powers:
    """Toys with signal, what every procedure sees of it, and rows."""

    search: SemiSupervisedSearch
    table: ToyTable
    power: PowerTable
    rows: list[Row] = field(default_factory=list)


def cause_rows(size: SearchSize, samples: Samples, throw: Throw, null: Searched) -> Causes:
    """Tell causes apart, with features that hardly know the mass and with one that does; rows are in the result.

    What a network can learn of the mass depends on the number of events, so there are ten times as many, too.
    """
    found = Causes({})
    for name, (features, more) in CASES.items():
        search, table = null.search, null.table
        if features != FEATURES:
            search = new_search(size, samples, tuple(_ROLES.values()), features, scanned=False)
            sources = {"background": (samples.background, more * size.events)}
            table = throw("null", name, SemiSupervisedToys(search, sources), size.sculpted // (1 if more == 1 else 5))
        for recipe in (SIDE_BANDS, PROFILED):
            fake = decompose(table, search, recipe=recipe, step=_STEP, **_ROLES)
            found.fake[name, recipe] = fake
            found.rows.extend(_cause_rows(f"{name}, {recipe}", fake))
    return found


def _cause_rows(name: str, fake: FakeSignal) -> list[Row]:
    note = f"{fake.n_toys:,} toys; largest over steps"
    parts = zip(fake.causes, fake.largest, fake.largest_error, fake.fixed, fake.fixed_error, strict=True)
    rows = [
        row(f"{name}: {cause}", x, e, note=f"{note}; {y:+.3f} +- {d:.3f} with 80% rejected")
        for cause, x, e, y, d in parts
    ]
    rows += [
        row(f"{name}: all causes", fake.total_largest, fake.total_largest_error, note=note),
        row(f"{name}: sculpting left by decorrelation", fake.remaining[1], fake.remaining_error[1], computed=0.0,
            tested=False, note=note),
        row(f"{name}: sculpting removed by decorrelation", fake.removed[1], fake.removed_error[1], note=note),
    ]  # fmt: skip
    rows += [
        row(f"{name}: AUC - 1/2 of the {role} response", x, e, note=f"correlation with the mass {c:+.4f} +- {d:.4f}")
        for role, x, e, c, d in zip(
            fake.roles, fake.auc_excess, fake.auc_error, fake.correlation, fake.correlation_error, strict=True
        )
    ]
    return rows


def supervised_yield(size: SearchSize, samples: Samples, rng: np.random.Generator) -> tuple[float, int]:
    """Return the signal events of which a supervised network expects 5 sigma locally, and the step where it does.

    Networks are trained as in toys, and what is left of signal and background at each step is put into expected
    spectra, whose fits give the expected significance (arXiv:1007.1727, section 3); the mean of five networks.
    """
    n = size.trained
    shares = []
    for _ in range(_TRAININGS):
        parts = [sampler.sample(n, rng)[:, FEATURES] for sampler in (samples.background, samples.signal)]
        model = ClassifierTraining().fit(np.concatenate(parts), np.repeat([0, 1], n), rng)
        shares.append(
            [model(sampler.sample(_EVENTS, rng)[:, FEATURES]) for sampler in (samples.background, samples.signal)]
        )
    rejections = np.arange(10)[_FIRST:] / 10
    background = falling_contents(size.events)
    peak = Gaussian().integral(REGIONS.edges, [zgamma.MASS, zgamma.WIDTH], REGIONS.range)
    axis = Regular(len(background), *REGIONS.range)

    def expected(yields: float) -> Floats:
        z = np.zeros((_TRAININGS, rejections.size))
        for i, (b, s) in enumerate(shares):
            w = np.repeat([size.events, yields], _EVENTS)
            everything = np.concatenate([b, s])
            order = np.argsort(everything)
            reached = np.cumsum(w[order]) / w.sum()
            for k, rejection in enumerate(rejections):
                threshold = everything[order[np.searchsorted(reached, rejection, side="right")]]
                kept = [float(np.mean(part >= threshold)) for part in (b, s)]
                contents = kept[0] * background + kept[1] * yields * peak
                z[i, k] = _expected_z(Histogram.from_values(axis, values=contents))
        return z

    found, z = 0.1 * size.events, np.zeros((_TRAININGS, rejections.size))
    for _ in range(5):  # nearly linear
        z = expected(found)
        found *= _AIM / float(z.mean(axis=0).max())
    return found, int(z.mean(axis=0).argmax()) + _FIRST


def _expected_z(contents: Histogram) -> float:
    """Return the significance of a spectrum that is as expected, 0 where so few events are left that fits fail."""
    try:
        return float(np.nan_to_num(scan(mass_spectrum(), contents, [zgamma.MASS]).z[0]))
    except FitError:
        return 0.0


def power_rows(size: SearchSize, samples: Samples, throw: Throw, null: Searched) -> Powers:
    """Inject a signal of which a supervised network has 5 sigma on average; rows are in the result.

    What is expected is a little more than the mean of pseudo-experiments, so some of these correct the yield first.
    """
    yields, step = supervised_yield(size, samples, throw.rng("yield"))
    sources: Any = {"background": (samples.background, size.events), "signal": (samples.signal, yields)}
    alone = new_search(size, samples, ("supervised",), scanned=False)
    first = _supervised_z(throw("yield", "supervised", SemiSupervisedToys(alone, sources), size.signal), alone, step)
    expected, yields = yields, yields * _AIM / first[0]
    search = null.search
    sources["signal"] = samples.signal, yields
    table = throw("signal", "all procedures", SemiSupervisedToys(search, sources), size.signal)
    mean, error = _supervised_z(table, search, step)
    share = f"{search.rejections[step]:.0%} rejected"
    options: Any = {}
    if size.null >= _FOR_TAIL:
        options = {"tail": "square", "tail_share": max(0.02, 60.0 / size.null)}
    power = power_table(
        null.table, table, search, over=("steps", "steps and mass"), candidates=CLEAN, rng=throw.rng("power"), **options
    )
    rows = [
        row("signal: events", yields, note=f"beside {size.events:,.0f}; {expected:.1f} by expected spectra"),
        row(f"signal, supervised, profiled, {share}: mean Z", mean, error, computed=_AIM,
            reference_error=first[1], note=f"others with {expected:.1f} events had {first[0]:.2f} +- {first[1]:.2f}"),
    ]  # fmt: skip
    toys = f"{power.n_null:,} toys without and {power.n_signal:,} with signal"
    for i in power.ranked():
        half = 0.5 * (power.median_upper[i] - power.median_lower[i])
        note = f"{toys}, which count up to Z = {power.z_most[i]:.2f}{', extrapolated beyond' if options else ''}"
        rows += [
            row(f"signal, {power.name(i)}: median global Z", power.median[i], half,
                note=f"less than the best by {power.lead[i]:.3f} +- {power.lead_error[i]:.3f}; {note}"),
            row(f"signal, {power.name(i)}: power", power.power[i], power.power_error[i],
                note=f"at a true level of {power.level:.3g}; {power.saturated[i]:.1%} beyond all toys without signal"),
        ]  # fmt: skip
    rows.append(row(f"signal: best is {power.name(power.best)}", power.median[power.best], note=power.message))
    return Powers(search, table, power, rows)


def _supervised_z(table: ToyTable, search: SemiSupervisedSearch, step: int) -> tuple[float, float]:
    """Return the mean profiled significance of the supervised network at a step, and its error."""
    local = local_significance(table, search)
    at = local.procedures.index("supervised"), local.recipes.index(PROFILED), step
    return float(local.mean[at]), float(local.mean_error[at])

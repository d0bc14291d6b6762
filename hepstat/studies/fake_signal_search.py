"""Pseudo-experiments of the study of fake signal: local and global significance of every procedure."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from hepstat.semisupervised import (
    CalibrationReport,
    ClassifierTraining,
    CrossFit,
    HeldOut,
    InSample,
    LocalSignificance,
    MaximumDistribution,
    Procedure,
    RandomResponse,
    SemiSupervisedSearch,
    SemiSupervisedToys,
    calibration_report,
    local_significance,
    maximum,
    reach,
    supervised,
)
from hepstat.studies.fake_signal_events import (
    COLUMNS,
    FEATURES,
    PROFILED,
    RECIPES,
    REGIONS,
    SIDE_BANDS,
    Samples,
    mass_spectrum,
)
from hepstat.studies.results import Row, row
from hepstat.studies.throwing import Throw
from hepstat.toys import ToyTable, run

__all__ = [
    "CLEAN",
    "DECORRELATED",
    "DOCUMENT",
    "RECOMMENDED",
    "SearchSize",
    "Searched",
    "new_search",
    "search_rows",
]

PROCEDURES = ("in-sample", "2-fold", "5-fold", "held-out", "random", "2-fold, decorrelated", "supervised")
DECORRELATED = PROCEDURES[5]
DOCUMENT = "in-sample", SIDE_BANDS
"""The procedure and the recipe of the document, as far as it tells."""
RECOMMENDED = "5-fold", PROFILED
CLEAN = tuple(name for name in PROCEDURES if name != "supervised")
"""Procedures that know nothing of the signal."""
_STEP = 8  # of rejection, for rows
_LEVELS, _THRESHOLDS = (1.0, 2.0, 3.0), (0.1, 0.05, 0.01, 0.00135)


@dataclass(frozen=True)
class SearchSize:
    """How much is run.

    Parameters
    ----------
    events : float
        Expected of background.
    trained : int
        Events of each sample of the supervised training.
    spacing : float
        Between places of the mass scan, from 135 to 165.
    null, signal, sculpted : int
        Toys without signal, with signal, and without but with a feature that knows the mass.
    long : int
        Toys of the document's procedure and of the recommended one alone; 0 for none.
    timed : int
        Toys by which the rate of these is measured.
    """

    events: float
    trained: int
    spacing: float
    null: int
    signal: int
    sculpted: int
    long: int
    timed: int


@dataclass(frozen=True, eq=False)
class Searched:
    """Toys without signal, what they say, and rows.

    Attributes
    ----------
    search, table
        Of all procedures.
    local : LocalSignificance
    largest : dict of tuple to MaximumDistribution
        By procedure and recipe, over steps; with the recipe "mass" over steps and masses.
    calibration : dict of str to CalibrationReport
    rows : list of Row
    """

    search: SemiSupervisedSearch
    table: ToyTable
    local: LocalSignificance
    largest: dict[tuple[str, str], MaximumDistribution]
    calibration: dict[str, CalibrationReport] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)


def new_search(
    size: SearchSize,
    samples: Samples,
    procedures: Sequence[str],
    features: Sequence[int] = FEATURES,
    *,
    scanned: bool = True,
) -> SemiSupervisedSearch:
    """Return the search with procedures by name, with the mass scan or without."""
    how = ClassifierTraining()
    known: dict[str, Procedure] = {
        "in-sample": InSample(how),
        "2-fold": CrossFit(how),
        "5-fold": CrossFit(how, folds=5),
        "held-out": HeldOut(how),
        "random": RandomResponse(),
        DECORRELATED: CrossFit(replace(how, decorrelate="features"), DECORRELATED),
        "supervised": supervised(how, samples.signal, samples.background, size.trained),
    }
    positions = np.arange(135.0, 165.0 + 0.5 * size.spacing, size.spacing)
    chosen = [known[name] for name in procedures]
    return SemiSupervisedSearch(
        REGIONS, mass_spectrum(), chosen, RECIPES, n_columns=len(COLUMNS), features=features,
        positions=positions if scanned else None,
    )  # fmt: skip


def search_rows(size: SearchSize, samples: Samples, throw: Throw) -> Searched:
    """Throw toys without signal; rows are in the result."""
    search = new_search(size, samples, PROCEDURES)
    sources = {"background": (samples.background, size.events)}
    table = throw("null", "all procedures", SemiSupervisedToys(search, sources), size.null)
    found = Searched(search, table, local_significance(table, search), _largest(table, search, PROCEDURES))
    found.rows.extend(_local_rows(found.local))
    for (procedure, recipe), one in found.largest.items():
        if recipe != RECIPES[1].name:
            found.rows.extend(_global_rows(procedure, recipe, one))
    found.calibration.update(_halves(found))
    pair = DOCUMENT[0], RECOMMENDED[0]
    few = new_search(size, samples, pair)
    study = SemiSupervisedToys(few, sources)
    if size.long:
        more = throw("long", "two procedures", study, size.long)
        for (procedure, recipe), one in _largest(more, few, pair).items():
            found.rows.extend(_global_rows(procedure, recipe, one, f"{size.long:,} toys, "))
            report = _calibrated(one, found.largest[procedure, recipe])
            found.calibration[f"{procedure}, {recipe}, by {size.long:,} toys"] = report
    found.rows.extend(_calibration_rows(found.calibration))
    begin = time.perf_counter()
    run(study, size.timed, rng=throw.rng("rate"), workers=throw.workers)
    seconds = time.perf_counter() - begin
    found.rows.append(
        row("pseudo-experiments per second", size.timed / seconds,
            note=f"{pair[0]} and {pair[1]}, {len(RECIPES)} recipes, mass scan, {len(search.rejections)} steps; "
                 f"{throw.workers} threads in this run")
    )  # fmt: skip
    return found


def _largest(
    table: Any, search: SemiSupervisedSearch, procedures: Sequence[str]
) -> dict[tuple[str, str], MaximumDistribution]:
    """Return the largest significances over steps by procedure and recipe, and over steps and masses."""
    found = {}
    for procedure in procedures:
        for recipe in search.recipes:
            found[procedure, recipe.name] = maximum(table, search, procedure=procedure, recipe=recipe.name)
        found[procedure, "mass"] = maximum(table, search, procedure=procedure, over="steps and mass")
    return found


def _local_rows(local: LocalSignificance) -> list[Row]:
    """Return rows of Z where much is rejected: 0 and 1 is what it claims."""
    rows, share = [], f"{local.rejections[_STEP]:.0%} rejected"
    for i, procedure in enumerate(local.procedures):
        for j, recipe in enumerate(local.recipes):
            at = i, j, _STEP
            note = f"KS p of N(0, 1) {local.ks_p[at]:.2g}, of a fitted normal {local.ks_p_normal[at]:.2g}"
            rows += [
                row(f"{procedure}, {recipe}, {share}: mean Z", local.mean[at], local.mean_error[at], note=note),
                row(f"{procedure}, {recipe}, {share}: width of Z", local.width[at], local.width_error[at]),
            ]
    rows.append(
        row("fits that failed", float(local.n_failed.sum()), note=f"of {local.n.size * local.n_toys:,} in all toys")
    )
    return rows


def _global_rows(procedure: str, recipe: str, one: MaximumDistribution, before: str = "") -> list[Row]:
    """Return rows of the largest significance."""
    where = f"{before}{procedure}, " + ("over steps and mass" if recipe == "mass" else f"{recipe}, over steps")
    mean, mean_error, width, _ = one.moments
    rows = [row(f"{where}: mean of largest Z", mean, mean_error, note=f"width {width:.2f}")]
    z = np.array(_LEVELS)
    factors, low, high = one.trials_factor(z)
    p = one.p_global(z)[0]
    bounds = one.gross_vitells(z)[0] if one.crossings else np.full(z.size, np.nan)
    for i, level in enumerate(z):
        note = f"global p {p[i]:.3g}" + (f", bound by up-crossings {bounds[i]:.3g}" if one.crossings else "")
        rows.append(row(f"{where}: trials factor at Z = {level:g}", factors[i], 0.5 * (high[i] - low[i]), note=note))
    far = reach(one)
    at = int(np.flatnonzero(far.z == 3.0)[0])
    low_z, high_z = float(far.z_local_lower[at]), float(far.z_local_upper[at])
    rows.append(
        row(f"{where}: local Z of 3 sigma", float(far.z_local[at]), 0.5 * (high_z - low_z),
            note=f"{low_z:.2f} to {high_z:.2f}; relative error of its p {far.relative_error[at]:.2g}"
                 if np.isfinite(high_z) else f"not reached by {one.n_toys:,} toys")
    )  # fmt: skip
    return rows


def _halves(found: Searched) -> dict[str, CalibrationReport]:
    """Calibrate one half of the toys with the other."""
    records = np.concatenate([part for _, part in found.table.blocks()])
    middle = len(records) // 2
    reports = {}
    for procedure, recipe in (DOCUMENT, RECOMMENDED):
        first, second = (
            maximum(part, found.search, procedure=procedure, recipe=recipe)
            for part in (records[:middle], records[middle:])
        )
        reports[f"{procedure}, {recipe}, by the other half"] = _calibrated(first, second)
    return reports


def _calibrated(first: MaximumDistribution, second: MaximumDistribution) -> CalibrationReport:
    """Calibrate as far as the first toys reach."""
    return calibration_report(first, second, thresholds=[p for p in _THRESHOLDS if p * first.n_toys >= 1.0])


def _calibration_rows(reports: dict[str, CalibrationReport]) -> list[Row]:
    rows = []
    for name, report in reports.items():
        note = f"{report.n_second:,} toys calibrated by {report.n_first:,}; KS p of both {report.ks_p:.2g}"
        for p, rate, error in zip(report.thresholds, report.rates, report.rate_errors, strict=True):
            label = f"calibration, {name}: share beyond {p:g}"
            rows.append(row(label, float(rate), float(error), computed=float(p), note=note))
    return rows

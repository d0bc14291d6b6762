"""Numbers that need no training: widths of local significances by recipe, rejection steps, and the mass scan."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hepstat.fit import fit
from hepstat.histogram import Histogram, Regular
from hepstat.infer import GrossVitells, gross_vitells, moments, p_value, z_to_p
from hepstat.sampling import UserSampler
from hepstat.search import DiscoveryToys
from hepstat.semisupervised import (
    LocalSignificance,
    MaximumDistribution,
    RandomResponse,
    Recipe,
    SemiSupervisedSearch,
    SemiSupervisedToys,
    local_significance,
    maximum,
)
from hepstat.shapes import Spectrum
from hepstat.studies.fake_signal_events import REGIONS, falling, falling_contents, mass_spectrum
from hepstat.studies.results import Row, row
from hepstat.studies.throwing import Throw
from hepstat.types import Floats

__all__ = ["RECIPES", "RecipeSize", "Recipes", "Scan", "falling_spectrum", "nested_maxima", "recipe_rows", "scan_rows"]

WINDOWS = ((132.0, 168.0), (144.0, 156.0), (145.0, 155.0))
RECIPES = (*(Recipe(kind, window) for kind in ("side bands", "full range") for window in WINDOWS), Recipe("profiled"))
WIDTHS = (0.77, 1.34, 1.47, 0.33, 0.58, 0.64, 0.99)
"""Of local significances by RECIPES, from another program."""
_WIDTH_ERROR = 0.01
FACTORS, FACTOR_ERROR = {1.0: 2.58, 2.0: 3.86, 3.0: 5.22}, 0.11
"""Trials factors of rejection steps by Z, from there, too."""
P_GLOBAL = {2.0: (0.264, 0.301), 2.5: (0.0902, 0.0965), 3.0: (0.0235, 0.0242), 3.5: (0.0044, 0.0047),
            4.0: (0.00063, 0.00072)}  # fmt: skip
"""Global p-values of the mass scan by Z, by toys and by up-crossings, from there, too."""
_SCAN_TOYS, _ROUNDED = 120_000, 0.01  # that they are of, and what rounding changes of them
POSITIONS = np.arange(135.0, 165.01, 0.5)
_LEVEL = 0.5


@dataclass(frozen=True)
class RecipeSize:
    """How much is run: expected events, toys of recipes and steps, and of the mass scan."""

    events: float
    toys: int
    scans: int


@dataclass(frozen=True, eq=False)
class Recipes:
    """Local significances by recipe and step, the largest over steps, and rows."""

    local: LocalSignificance
    largest: MaximumDistribution
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Scan:
    """Largest significances of mass scans (n,), their up-crossings, and rows."""

    z: Floats
    crossings: GrossVitells
    rows: list[Row] = field(default_factory=list)


def masses_only(n: int, rng: np.random.Generator) -> Floats:
    """Return events (n, 2) of background: a number that says nothing, and the mass."""
    return np.column_stack([rng.random(n), falling(n, rng)])


def recipe_rows(size: RecipeSize, throw: Throw) -> Recipes:
    """Throw toys of masses with a random response; rows are in the result."""
    search = SemiSupervisedSearch(REGIONS, mass_spectrum(), [RandomResponse()], RECIPES, n_columns=2)
    sources = {"background": (UserSampler(masses_only, 2), size.events)}
    table = throw("masses", "recipes", SemiSupervisedToys(search, sources), size.toys)
    local = local_significance(table, search)
    note, rows = f"{size.events:,.0f} events, {local.n_toys:,} toys, nothing rejected", []
    for i, (recipe, width) in enumerate(zip(RECIPES, WIDTHS, strict=True)):
        at = 0, i, 0
        rows += [
            row(f"recipe {recipe.name}: mean Z", local.mean[at], local.mean_error[at], computed=0.0, note=note),
            row(f"recipe {recipe.name}: width of Z", local.width[at], local.width_error[at], computed=width,
                reference_error=_WIDTH_ERROR, note=f"reference {width:g} +- {_WIDTH_ERROR:g}; {note}"),
        ]  # fmt: skip
    largest = maximum(table, search, procedure="random", recipe="profiled", over="steps")
    mean, mean_error, width, width_error = largest.moments
    ideal = nested_maxima(search.rejections, throw.rng("nested"))
    note = "profiled, random response, rejection from 0 to 90% in steps of 10%"
    rows += [
        row("steps: mean of largest Z", mean, mean_error, computed=0.81, reference_error=0.01, note=note),
        row("steps: width of largest Z", width, width_error, computed=0.88, reference_error=0.01, note=note),
        row("steps: mean of largest Z, normal numbers", float(ideal.mean()), float(ideal.std()) / ideal.size**0.5,
            note="nested, with correlations sqrt(kept / kept before)"),
    ]  # fmt: skip
    z = np.array(list(FACTORS))
    factors, low, high = largest.trials_factor(z)
    for level, factor, error in zip(z, factors, 0.5 * (high - low), strict=True):
        share = float(np.mean(ideal >= level)) / float(z_to_p(level))
        rows.append(
            row(f"steps: trials factor at Z = {level:g}", factor, error, computed=FACTORS[level],
                reference_error=FACTOR_ERROR, note=f"{note}; {share:.2f} for normal numbers")
        )  # fmt: skip
    return Recipes(local, largest, rows)


def nested_maxima(rejections: Floats, rng: np.random.Generator, n: int = 200_000) -> Floats:
    """Return the largest (n,) of normal numbers of nested parts of the same events."""
    kept = 1.0 - rejections[::-1]
    added = np.sqrt(np.diff(kept, prepend=0.0)) * rng.standard_normal((n, kept.size))
    return np.asarray((np.cumsum(added, axis=1) / np.sqrt(kept)).max(axis=1))


def falling_spectrum(expected: float) -> Spectrum:
    """Return the spectrum whose background is nearest to the exponential of simulation, with so many events."""
    contents = falling_contents(expected)
    background = Spectrum({"background": mass_spectrum().components["background"]}, REGIONS.range)
    axis = Regular(contents.size, *REGIONS.range)
    found = fit(background, Histogram.from_values(axis, values=contents))
    return mass_spectrum().start(**{name: found.values[name] for name in found.floating})


def scan_rows(size: RecipeSize, throw: Throw) -> Scan:
    """Throw spectra and scan the mass; rows are in the result."""
    study = DiscoveryToys(falling_spectrum(size.events), REGIONS.edges, POSITIONS, levels=(_LEVEL,))
    table = throw("spectra", "mass scan", study, size.scans)
    z = table["z"][table.ok]
    crossings = gross_vitells(table["crossings"][table.ok][:, 0], _LEVEL)
    counted = table["crossings"][table.ok][:, 0]
    mean, error = moments(counted)[:2]
    note = f"{size.events:,.0f} events, 135 to 165 in steps of .5, {z.size:,} toys"
    rows = [
        row("mass scan: mean up-crossings of q0 = .5", mean, error, computed=1.6, reference_error=0.05,
            note=f"{note}; reference rounded"),
    ]  # fmt: skip
    for level, (toys, bound) in P_GLOBAL.items():
        p = float(p_value(z, level))
        share = float(np.mean(z >= level))
        spread: Any = np.sqrt(max(share, 1.0 / z.size) * (1.0 - share) / z.size)
        formula, formula_error = crossings.p_global(level)
        rows += [
            row(f"mass scan: global p at Z = {level:g}, toys", p, float(spread), computed=toys,
                reference_error=float(np.hypot(np.sqrt(toys / _SCAN_TOYS), _ROUNDED * toys)), note=note),
            row(f"mass scan: global p at Z = {level:g}, up-crossings", float(formula), float(formula_error),
                computed=bound, reference_error=_ROUNDED * bound, note=f"{note}; Gross and Vitells"),
        ]  # fmt: skip
    return Scan(z, crossings, rows)

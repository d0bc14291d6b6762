"""The 5D benchmark: two leptons whose momentum scale is uncertain, a learned effect of it, a Z' and a contact term."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from hepstat.infer import ChiSquareFit
from hepstat.nplm import (
    BinnedObservable,
    Fast,
    Gaussian,
    LearnedEffect,
    NewPhysicsTest,
    Normalisation,
    ProfileLikelihood,
    RivalToys,
    learn_effect,
    same_distribution,
)
from hepstat.strength import Binned, Component, Model, Nuisance
from hepstat.strength import Effect as BinEffect
from hepstat.studies.nplm_benchmarks import NUISANCES
from hepstat.studies.nplm_toys import chi_square_of, z_of
from hepstat.studies.results import Row, row
from hepstat.studies.throwing import Throw, mean_row, median_of, median_row, share_row
from hepstat.studies.two_body import REGIMES, SIGMA_NORM, Contact, Signal, TwoBody, ZPrime
from hepstat.toys import ToyTable
from hepstat.types import Floats

__all__ = ["CLIPS", "POINTS", "PairSize", "Pairs", "pair_rows"]

CLIPS = {"muon": 2.16, "electron": 2.16, "tau": 2.38}
"""Of the publication, for trainings."""
POINTS = {"true": 0.0, "+1 sigma": 1.0, "-1 sigma": -1.0}
"""True value of both nuisances, in standard deviations."""
_STRONGER = {"Z'": 3.0, "contact": 2.5}
"""Signals over those that a fit of the mass sees with 5 sigma, next to nothing for a test of anything in 5D."""
_LEARNED = (-2.0, -1.0, 1.0, 2.0)
_REACH = 3.0
_HIDDEN = (5, 5, 5)


@dataclass(frozen=True)
class PairSize:
    """How much is run.

    Parameters
    ----------
    regimes : tuple of str
    events : int
        Of the reference.
    expected : float
        In data.
    learned, epochs : int
        Events of each sample that the effect is learned from, and epochs.
    null, signal : int
        Toys of each true value of the nuisances, and of each signal.
    fast : Fast
        Settings.
    """

    regimes: tuple[Any, ...]
    events: int
    expected: float
    learned: int
    epochs: int
    null: int
    signal: int
    fast: Fast


@dataclass(frozen=True, eq=False)
class Pairs:
    """Toys of a regime by point and by signal, the chi2 of the former, and rows."""

    toys: dict[str, ToyTable]
    signal: dict[str, ToyTable]
    fit: ChiSquareFit
    rows: list[Row] = field(default_factory=list)


def pair_rows(regime: Any, size: PairSize, throw: Throw) -> Pairs:
    """Run a regime; rows are in the result."""
    benchmark = TwoBody(regime, size.expected)
    x, w = benchmark.reference(size.events, throw.rng(f"{regime} reference"))
    effect = _learned(benchmark, size, throw)
    nuisances = [Gaussian(name, sigma) for name, sigma in zip(NUISANCES, benchmark.sigmas, strict=True)]
    test = NewPhysicsTest(
        x, w, hidden=_HIDDEN, clip=CLIPS[regime], nuisances=nuisances,
        effects=[Normalisation("norm"), effect], method=size.fast,
    )  # fmt: skip
    toys = {}
    for point, value in POINTS.items():
        nu = {name: value * sigma for name, sigma in zip(NUISANCES, benchmark.sigmas, strict=True)}
        toys[point] = throw(f"{regime} {point}", "t", test.toys(benchmark.source(), nu), size.null)
    fit, note = chi_square_of(np.concatenate([table["t"][table.ok] for table in toys.values()]))
    signal, found = {}, Pairs(toys, {}, fit)
    found.rows.extend(_null_rows(regime, test, effect, found, note))
    for name, kind in _signals(regime).items():
        source, data = benchmark.source(kind), f"{regime} {name}"
        signal[name] = throw(data, "t", test.toys(source), size.signal)
        model = _fitted(benchmark, kind, size, throw)
        q = throw(data, "q0", RivalToys(source, {"q0": model}, nuisances=nuisances), size.signal)
        found.rows.extend(_signal_rows(f"5D {regime}, {name}", signal[name], q, fit))
    found.signal.update(signal)
    return found


def _signals(regime: str) -> dict[str, Signal]:
    own = REGIMES[regime]
    return {
        "Z'": ZPrime(expected=_STRONGER["Z'"] * own.z_prime),
        "contact": Contact(_STRONGER["contact"] * own.contact),
    }


def _learned(benchmark: TwoBody, size: PairSize, throw: Throw) -> LearnedEffect:
    """Return the effect of the scale, learned from samples that share their random numbers, or that of a run before."""
    name = f"{benchmark.regime} effect"
    place = throw.place(name.replace(" ", "_") + ".npz")
    if place is not None and place.exists():
        return LearnedEffect.load(place)

    def sample(scale: float) -> tuple[Floats, Floats]:
        return benchmark.shifted(size.learned, (0.0, scale), throw.rng(name))

    effect = learn_effect(
        "scale", sample(0.0), {nu: sample(nu) for nu in _LEARNED}, rng=throw.rng(f"{name} learned"),
        epochs=size.epochs, reach=[[-_REACH, _REACH]], workers=throw.workers,
    )  # fmt: skip
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        effect.save(place)
    return effect


def _fitted(benchmark: TwoBody, kind: Signal, size: PairSize, throw: Throw) -> ProfileLikelihood:
    """Return the search for a signal that is known, by a fit to bins of the mass."""
    edges = np.append(np.geomspace(REGIMES[benchmark.regime].cut, 1000.0, 31), 13_000.0)
    masses = BinnedObservable(benchmark.mass, edges)

    def contents(scale: float, signal: Signal | None = None) -> Floats:
        found = benchmark.shifted(size.learned, (0.0, scale), throw.rng("mass"), signal)
        return np.maximum(masses(*found), 1e-3)

    background = contents(0.0)
    shifts = np.array([-2.0, -1.0, 0.0, 1.0, 2.0])
    factors = np.array([contents(nu) / background for nu in shifts])
    norm = float(np.expm1(SIGMA_NORM))
    known = contents(0.0, kind) - background
    model = Model(
        [Binned([
            Component("signal", known, signal=True, signed=True, effects={"norm": norm}),
            Component("reference", background, effects={"norm": norm, "scale": BinEffect(shifts, factors=factors)}),
        ])],
        [Nuisance(name) for name in NUISANCES],
    )  # fmt: skip
    return ProfileLikelihood(model, masses, _in_units)


def _in_units(auxiliary: Any) -> dict[str, float]:
    """Return auxiliary measurements in units of their errors."""
    return {"norm": auxiliary["norm"] / SIGMA_NORM, "scale": auxiliary["scale"]}


def _null_rows(regime: str, test: NewPhysicsTest, effect: LearnedEffect, found: Pairs, note: str) -> list[Row]:
    name, rows = f"5D {regime}", []
    p = np.concatenate([closure.p for closure in effect.closure])
    report = effect.report
    yields = float(np.abs(report.yields_kept / report.yields - 1.0).max())
    rows += [
        row(f"{name}: smallest p-value of closure", float(p.min()), note=f"of {p.size} histograms, learned effect"),
        row(f"{name}: largest error of a learned yield", yields),
    ]
    for point, table in found.toys.items():
        t, tau = table["t"][table.ok], table["tau"][table.ok]
        rows += [mean_row(f"{name}, {point}: mean t", t), median_row(f"{name}, {point}: median tau", tau)]
    same = same_distribution(found.toys)
    fit, converged = found.fit, np.concatenate([table["converged"] for table in found.toys.values()])
    rows += [
        row(f"{name}: smallest KS p-value of t", float(same.ks_p.min()), note="against true"),
        row(f"{name}: p-value of one distribution of t", same.anderson_p, note="Anderson-Darling"),
        row(f"{name}: p-value of one distribution of tau", same_distribution(found.toys, field="tau").anderson_p),
        row(f"{name}: fitted degrees of freedom", fit.ndof, fit.error, computed=float(test.ndof), tested=False,
            note=f"at the published clip {test.clip:g}, which is for trainings; {note}"),
        share_row(f"{name}: descents that converged", converged == 1),
        row(f"{name}: training as published", note="not run: minutes for each toy, see the benchmarks"),
    ]  # fmt: skip
    return rows


def _signal_rows(name: str, table: ToyTable, q: ToyTable, fit: ChiSquareFit) -> list[Row]:
    z = np.array([z_of(float(t), fit.ndof) for t in table["t"][table.ok]])
    known = np.sqrt(np.maximum(q["q0"][q.ok], 0.0))
    return [
        median_row(f"{name}: median t", table["t"][table.ok]),
        row(f"{name}: median Z", *median_of(z), note=f"chi2 with fitted {fit.ndof:.1f} degrees of freedom"),
        row(f"{name}: median Z of a fit that knows the signal", *median_of(known), note="square root of q0 of m_ll"),
    ]

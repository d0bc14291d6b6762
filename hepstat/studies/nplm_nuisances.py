"""The 1D benchmark with nuisances: t where they are true and where they are not, and a signal beside them."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from hepstat.nplm import Adam, AnalyticEffect, Gaussian, NewPhysicsTest, same_distribution
from hepstat.studies.nplm_benchmarks import NUISANCES, SIGNALS, Exponential
from hepstat.studies.nplm_line import CLIP, PUBLISHED_EPOCHS, LineSize
from hepstat.studies.nplm_toys import chi_square_of, z_of
from hepstat.studies.results import Row, row
from hepstat.studies.throwing import Throw, mean_row, median_row
from hepstat.toys import ToyTable

__all__ = ["POINTS", "SIGMA", "Shifted", "ShiftedSize", "shifted_rows"]

SIGMA = 0.15
POINTS = {
    "true": (0.0, 0.0),
    "norm +1": (1.0, 0.0),
    "norm -1": (-1.0, 0.0),
    "scale +1": (0.0, 1.0),
    "scale -1": (0.0, -1.0),
    "both +1": (1.0, 1.0),
}
"""True nuisances in units of sigma."""
_REACH = 6.0  # of the effect, in sigma


@dataclass(frozen=True)
class ShiftedSize:
    """How much is run: toys for each point by training and by the fast way, and of these with a signal."""

    trained: dict[str, int]
    fast: dict[str, int]
    signal: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Shifted:
    """Toys by method and point ("trained", "fast"), those with a signal by method, and rows."""

    toys: dict[str, dict[str, ToyTable]]
    signal: dict[str, ToyTable]
    rows: list[Row] = field(default_factory=list)


def shifted_rows(line: LineSize, size: ShiftedSize, clip: float, throw: Throw) -> Shifted:
    """Run the benchmark with nuisances; the fast way has the clip that was tuned without them."""
    benchmark = Exponential(line.expected, SIGMA)
    x, w = benchmark.reference(line.events, throw.rng("reference"))
    reach = np.array([[-1.0, 1.0]] * 2) * _REACH * SIGMA
    test = NewPhysicsTest(
        x, w, clip=CLIP, standardise=False,
        nuisances=[Gaussian(name, SIGMA) for name in NUISANCES],
        effects=[AnalyticEffect(NUISANCES, benchmark.log_ratio, reach, x)],
        method=Adam(epochs=line.epochs, initial="glorot", compress=1e-8, history=0),
    )  # fmt: skip
    tests = {"trained": (test, size.trained), "fast": (test.replace(method=line.fast, clip=clip), size.fast)}
    toys, signal = {}, {}
    for k, (method, (own, numbers)) in enumerate(tests.items()):
        toys[method] = {
            point: throw(point, method, own.toys(benchmark.source(), _at(point)), n) for point, n in numbers.items()
        }
        study = own.toys(benchmark.source(SIGNALS["NP1"]))
        signal[method] = throw("NP1 with nuisances", method, study, size.signal[k])
    found = Shifted(toys, signal)
    for method in tests:
        whole = method == "trained" and line.epochs == PUBLISHED_EPOCHS
        found.rows.extend(_rows(method, toys[method], signal[method], whole))
    return found


def _at(point: str) -> dict[str, float]:
    return {name: SIGMA * value for name, value in zip(NUISANCES, POINTS[point], strict=True)}


def _rows(method: str, toys: dict[str, ToyTable], signal: ToyTable, whole: bool) -> list[Row]:
    rows, name = [], f"1D with nuisances, {method}"
    for point, table in toys.items():
        good = table.ok
        stored = whole and point == "norm +1"
        rows += [
            mean_row(f"{name}, {point}: mean t", table["t"][good], published=12.55 if stored else None),
            row(f"{name}, {point}: standard deviation of t", float(table["t"][good].std(ddof=1)),
                float(table["t"][good].std() / np.sqrt(2 * good.sum())), published=4.91 if stored else None,
                reference_error=0.35),
            median_row(f"{name}, {point}: median tau", table["tau"][good], published=65.8 if stored else None),
            median_row(f"{name}, {point}: median Delta", table["delta"][good], published=54.1 if stored else None),
        ]  # fmt: skip
    same = same_distribution(toys)
    shift = int(np.argmax(np.abs(same.shift) / np.maximum(same.shift_error, 1e-12)))
    rows += [
        row(f"{name}: p-value of one distribution of t", same.anderson_p, note=f"Anderson-Darling, {len(toys)} points"),
        row(f"{name}: smallest KS p-value of t", float(same.ks_p.min()), note="against true"),
        row(f"{name}: largest shift of mean t", float(same.shift[shift]), float(same.shift_error[shift]), computed=0.0,
            note=f"at {same.names[shift]}"),
        row(f"{name}: p-value of one distribution of tau", same_distribution(toys, field="tau").anderson_p),
    ]  # fmt: skip
    fit, note = chi_square_of(np.concatenate([table["t"][table.ok] for table in toys.values()]))
    t = signal["t"][signal.ok]
    rows += [
        row(f"{name}: fitted degrees of freedom", fit.ndof, fit.error, note=f"all points, {note}"),
        median_row(f"{name}, NP1: median t", t),
        row(f"{name}, NP1: median Z", z_of(float(np.median(t)), fit.ndof), note="by that chi2"),
    ]  # fmt: skip
    return rows

"""The 1D benchmark of the New Physics Learning Machine without nuisances: trainings, their maxima, other tests."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from scipy.stats import chi2, kstest

from hepstat.nplm import (
    Adam,
    BinnedObservable,
    BumpHunt,
    ClipTuning,
    ComparedTests,
    Fast,
    IdealRatio,
    KernelTest,
    LearnedTest,
    NewPhysicsTest,
    Rival,
    RivalToys,
    compare_tests,
    tune_clip,
)
from hepstat.studies.nplm_benchmarks import SIGNALS, Exponential
from hepstat.studies.nplm_costs import cost_rows
from hepstat.studies.nplm_toys import TrainingToys, chi_square_of, z_of
from hepstat.studies.results import Row, row
from hepstat.studies.throwing import Throw, mean_row, median_row, share_row
from hepstat.toys import ToyTable
from hepstat.types import Floats

__all__ = ["CLIP", "MARKS", "PUBLISHED", "Line", "LineSize", "line_rows"]

CLIP = 9.0
MARKS = (0.05, 0.1, 0.25, 0.5, 1.0)  # of all epochs: 10,000, ..., 200,000
PUBLISHED = (5.41, 8.82, 11.78, 12.59, 12.65)  # mean t there
PUBLISHED_EPOCHS = 200_000
FIRST: dict[str, Literal["uniform", "glorot"]] = {"torch": "uniform", "Keras": "glorot"}
_LEVELS = np.linspace(0.02, 0.5, 25)
_STORED = "published: 100 stored toys, weights as in Keras"
_TESTS = {"trained, clip 9": "t", "fast, tuned clip": "fast", "fast, clip 9": "fast9"}


@dataclass(frozen=True)
class LineSize:
    """How much is run.

    Parameters
    ----------
    events : int
        Of the reference.
    expected : float
        In data.
    epochs : int
        Of a training.
    null, begun : int
        Toys without signal, trained from first weights of both kinds: to the end, and for a tenth of the epochs.
    signal : dict of str to int
        Toys of each signal.
    fast : Fast
        Settings.
    tuned, checked : float, int
        Error of the mean t with which the clip is tuned, and toys to check the result.
    compared, short : int
        Toys with and without compression, and of both precisions, and epochs of them.
    centres : int
        Of the kernel machine.
    """

    events: int
    expected: float
    epochs: int
    null: int
    begun: int
    signal: dict[str, int]
    fast: Fast
    tuned: float
    checked: int
    compared: int
    short: int
    centres: int = 3000


@dataclass(frozen=True, eq=False)
class Line:
    """What was found.

    Parameters
    ----------
    epochs : array of shape (h,)
        Of the histories of trainings.
    trained : dict of str to ToyTable
        By data: "null" and the names of signals.
    compared : dict of str to ComparedTests
        By signal.
    tuning : ClipTuning
        Of the fast way.
    """

    epochs: Floats
    trained: dict[str, ToyTable]
    compared: dict[str, ComparedTests]
    tuning: ClipTuning
    rows: list[Row] = field(default_factory=list)


def line_rows(size: LineSize, throw: Throw) -> Line:
    """Run the benchmark; rows are in the result."""
    benchmark = Exponential(size.expected)
    x, w = benchmark.reference(size.events, throw.rng("reference"))
    test = NewPhysicsTest(x, w, clip=CLIP, standardise=False, method=training(size))
    fast = test.replace(method=size.fast)
    tuning = tune_clip(
        fast, benchmark.source(), low=1.0, high=CLIP, rng=throw.rng("tuning"), precision=size.tuned,
        check_toys=size.checked, max_toys=10_000, path=throw.place("tuning"), workers=throw.workers,
    )  # fmt: skip
    kernels = KernelTest(x, w, penalty=1e-10, centres=size.centres, width=0.3, standardise=False)
    rivals: dict[str, Rival] = {
        "fast9": LearnedTest(fast),
        "fast": LearnedTest(fast.replace(clip=tuning.clip)),
        "kernels": LearnedTest(kernels),
        "bump": _bump_hunt(benchmark),
        **{f"ideal {name}": _ideal(benchmark, name) for name in SIGNALS},
    }
    trained, other = {}, {}
    for name, n in {"null": size.null, **size.signal}.items():
        source = benchmark.source(SIGNALS.get(name))
        trained[name] = throw(name, "trained", TrainingToys(test, source), n)
        other[name] = throw(name, "rivals", RivalToys(source, rivals), n)
    compared = {}
    for name in size.signal:
        tests = {**_TESTS, "ideal": f"ideal {name}", "kernels": "kernels", "bump hunt": "bump"}
        compared[name] = compare_tests(
            (trained["null"], other["null"]), (trained[name], other[name]), tests,
            chi_square=_positive(tests, trained["null"], other["null"]), reference="trained, clip 9", levels=_LEVELS,
        )  # fmt: skip
    line = Line(TrainingToys(test, benchmark.source()).epochs, trained, compared, tuning)
    line.rows.extend(_first_rows(size, test, line, throw))
    line.rows.extend(_trained_rows(size, test, line))
    line.rows.extend(_fast_rows(size, line, other))
    line.rows.extend(_power_rows(line, benchmark, (x, w), throw))
    generator = throw.rng("costs")
    data = [benchmark.throw((), generator) for _ in range(size.compared)]
    line.rows.extend(cost_rows(test, (training(size), size.fast), size.short, data, throw.workers))
    return line


def training(size: LineSize) -> Adam:
    """Return the published training."""
    return Adam(epochs=size.epochs, initial="glorot", compress=1e-8, history=size.epochs // 20)


def _positive(tests: dict[str, str], *tables: ToyTable) -> list[str]:
    """Return which of the tests that chi2 may describe have no value up to 0 without signal, as those of chi2."""
    values = {name: table[name] for table in reversed(tables) for name in table.dtype.names or ()}
    return [test for test in _TESTS if bool(np.all(values[tests[test]] > 0))]


def _ideal(benchmark: Exponential, name: str) -> IdealRatio:
    signal = SIGNALS[name]
    return IdealRatio(functools.partial(benchmark.log_signal_ratio, signal=signal), signal.expected)


def _bump_hunt(benchmark: Exponential) -> BumpHunt:
    edges = np.linspace(0.0, 12.0, 61)
    expected = benchmark.expected * (np.exp(-edges[:-1]) - np.exp(-edges[1:]))
    return BumpHunt(BinnedObservable(0, edges), expected)


def _first_rows(size: LineSize, test: NewPhysicsTest, line: Line, throw: Throw) -> list[Row]:
    """Return rows of t on the way of trainings from first weights as in torch and as in Keras."""
    source, rows = Exponential(size.expected).source(), []
    whole = size.epochs == PUBLISHED_EPOCHS
    few = round(MARKS[1] * size.epochs)
    for kind, initial in FIRST.items():
        method = replace(training(size), initial=initial)
        own, begun = (TrainingToys(test.replace(method=m), source) for m in (method, replace(method, epochs=few)))
        finished = line.trained["null"] if method == test.method else throw("null", initial, own, size.null)
        tables = {"": finished, ", more toys": throw("begun", initial, begun, size.begun)}
        for text, table in tables.items():
            for share, published in zip(MARKS if not text else MARKS[:2], PUBLISHED, strict=False):
                epoch = round(share * size.epochs)
                t = table["history"][table.ok, np.flatnonzero(line.epochs == epoch)[0]]
                note = f"{t.size} toys; {_STORED}" if whole else f"{t.size} toys"
                name = f"1D trained, weights as in {kind}{text}: mean t after {epoch:,} epochs"
                rows.append(mean_row(name, t, published=published if whole else None, note=note))
    return rows


def _trained_rows(size: LineSize, test: NewPhysicsTest, line: Line) -> list[Row]:
    """Return rows of the distribution of t at the end of trainings, and of signals."""
    whole = size.epochs == PUBLISHED_EPOCHS
    null = line.trained["null"]
    t = null["t"][null.ok]
    rows = [
        row("1D trained: standard deviation of t", float(t.std(ddof=1)), float(t.std() / np.sqrt(2 * t.size)),
            computed=float(np.sqrt(2 * test.ndof)), note="that of chi2"),
        row("1D trained: KS p-value of chi2", kstest(t, chi2(test.ndof).cdf).pvalue,
            published=0.5 if whole else None, note="13 degrees of freedom"),
        row("1D trained: largest change of tau by nodes", float(np.abs(null["shift"]).max()),
            note="all events less nodes, at the same point"),
    ]  # fmt: skip
    for name in size.signal:
        table = line.trained[name]
        t = table["t"][table.ok]
        first = name == "NP1" and whole
        rows += [
            median_row(f"1D trained, {name}: median t", t, published=28.8 if first else None,
                       assumed=50, note="published: 50 stored toys"),
            row(f"1D trained, {name}: median Z by chi2", z_of(float(np.median(t)), test.ndof),
                published=2.46 if first else None),
        ]  # fmt: skip
    return rows


def _fast_rows(size: LineSize, line: Line, other: dict[str, ToyTable]) -> list[Row]:
    """Return rows of the other way to the maximum."""
    null, tuning = other["null"], line.tuning
    fast, ends = null["fast9"][null.ok], line.trained["null"]["t"][null.ok]
    fit, note = chi_square_of(fast)
    above = [fast >= ends - 1e-3]
    above += [other[name]["fast9"] >= line.trained[name]["t"] - 1e-3 for name in size.signal]
    calibration = tuning.calibration
    text = "clip tuned" if tuning.reached else "chi2 out of reach, closest clip"
    return [
        share_row("1D fast, clip 9: t at least that of training, null", above[0]),
        share_row("1D fast, clip 9: the same, with signals", np.concatenate(above[1:])),
        mean_row("1D fast, clip 9: mean t", fast, computed=16.4, tested=False, note="60 quasi-Newton starts elsewhere"),
        row("1D fast, clip 9: fitted degrees of freedom", fit.ndof, fit.error, note=note),
        row("1D fast: tuned clip", tuning.clip, tuning.clip_error, note=f"{text}; {tuning.n_toys.sum():.0f} toys"),
        row("1D fast, tuned clip: mean t of other toys", calibration.mean, calibration.mean_error,
            computed=float(tuning.ndof)),
        row("1D fast, tuned clip: KS p-value of chi2", calibration.ks_p, note=f"{calibration.n_toys} other toys"),
    ]  # fmt: skip


def _power_rows(line: Line, benchmark: Exponential, reference: tuple[Floats, Floats], throw: Throw) -> list[Row]:
    """Return rows of all tests at the same true level."""
    rows = []
    published = {"NP1": 4.7, "NP3": 4.4}
    for name, found in line.compared.items():
        x = SIGNALS[name].sample(len(reference[0]), throw.rng("ideal"))
        x = x[x >= 0, np.newaxis]
        z = _ideal(benchmark, name).median_z(reference[0], x, weights=reference[1]).z
        rows.append(row(f"1D {name}: Z of the ideal test", z, published=published.get(name),
                        note="exact distribution, from simulated events"))  # fmt: skip
        for i, (test, median) in enumerate(found.median.items()):
            power = found.power
            rows.append(row(f"1D {name}, {test}: power at level 0.05", float(power.power[i]), float(power.error[i])))
            note = f"{power.n_toys} toys without signal counted, {median.n_beyond} of them beyond"
            if median.fit is not None:
                note = f"chi2 with fitted {median.fit.ndof:.1f} degrees of freedom, KS p = {median.fit.ks_p:.2g}"
            rows.append(row(f"1D {name}, {test}: median Z", median.z, 0.5 * (median.z_upper - median.z_lower),
                            note=note))  # fmt: skip
    return rows

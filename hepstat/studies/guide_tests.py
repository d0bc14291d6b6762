"""Figure 4 of arXiv:1909.03081: a cut, bins and the whole likelihood ratio, by convolution and by toys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from hepstat import binned
from hepstat.infer import PowerCurve, SumDistribution, compare_power, compound_poisson, power_curve
from hepstat.strength import RatioToys, SimulatedRatios, WrappedNormal, standard_tests, yields
from hepstat.studies.guide_model import grid, ratio_of, throw
from hepstat.studies.results import Row, row
from hepstat.toys import run
from hepstat.types import Floats

__all__ = ["LEVEL", "ROWS", "Tested", "exact_power", "learned_rows", "test_rows"]

LEVEL = 0.05
TESTS = standard_tests()
LEARNED = (10.0, 100.0, 0.08)  # the row that learned ratios are tried on
ROWS = {  # signal, background, std of Y_0 + Y_1: powers computed by another program
    (10.0, 100.0, 0.08): (0.2456, 0.4472, 0.4945, 0.5075, 0.5114),
    (20.0, 100.0, 0.08): (0.5955, 0.8987, 0.9318, 0.9389, 0.9409),
    (50.0, 1000.0, 0.08): (0.4641, 0.8087, 0.8642, 0.8770, 0.8811),
    (10.0, 100.0, 0.113): (0.2456, 0.3737, 0.4084, 0.4187, 0.4192),
}
STDS = {0.08: 0.08, 0.113: 0.08 * 2.0**0.5}


@dataclass(frozen=True, eq=False)
class Tested:
    """Rows of results, and curves of power over level by yields and test."""

    rows: tuple[Row, ...]
    curves: dict[tuple[float, float, float], dict[str, PowerCurve]]


def sums(ratio: Any, n_signal: float, n_background: float, std: float) -> tuple[SumDistribution, SumDistribution]:
    """Return the distributions of minus the unbinned log Lambda for signal plus background and for background."""
    y = grid()
    density = ratio_of(std)(y)
    scores = -np.log1p(n_signal / n_background * ratio(y[:, np.newaxis]))
    null, other = (mu * n_signal * density / density.sum() + n_background / y.size for mu in (1.0, 0.0))
    return _pair(scores, null, other, n_signal)


def exact_power(name: str, n_signal: float, n_background: float, std: float, method: Any = "randomised") -> Any:
    """Return true level and power of one of the tests against signal plus background, by convolution."""
    if TESTS[name].edges is None:
        null, other = sums(ratio_of(std), n_signal, n_background, std)
    else:
        bins = yields(TESTS[name], WrappedNormal(std), n_signal, n_background)
        null, other = _pair(-bins.scores, bins.signal + bins.background, bins.background, n_signal)
    return null.test(other, LEVEL, method=method)


def _pair(scores: Floats, null: Floats, other: Floats, n_signal: float) -> tuple[SumDistribution, SumDistribution]:
    """Return distributions of minus log Lambda of both hypotheses on a common grid."""
    first = compound_poisson(scores, null, offset=n_signal)
    return first, compound_poisson(scores, other, offset=n_signal, spacing=first.spacing)


def test_rows(n_toys: int, rng: np.random.Generator, workers: int) -> Tested:
    """Run the tests of figure 4 for all yields; n_toys are those of either hypothesis."""
    found: list[Row] = []
    curves: dict[tuple[float, float, float], dict[str, PowerCurve]] = {}
    for (s, b, shown), computed in ROWS.items():
        std, text = STDS[shown], f"figure 4, S {s:g}, B {b:g}, std {shown:g}"
        reference = dict(zip(TESTS, computed, strict=True))
        for name in TESTS:
            note = "power at level .05, randomised, by convolution"
            found.append(row(f"{text}: {name}", exact_power(name, s, b, std)[1], computed=reference[name], note=note))
        study, statistics = _thrown(WrappedNormal(std), s, b, n_toys, rng, workers)
        found += _toy_rows(text, reference, statistics)
        curves[s, b, shown] = {name: power_curve(*pair) for name, pair in statistics.items()}
        if len(curves) == 1:
            level, power = exact_power("cut", s, b, std, "conservative")
            note = "without randomisation, since counts are whole numbers"
            found.append(row(f"{text}: true level of the cut", level, computed=0.0366, note=note))
            found.append(row(f"{text}: power of the cut at that level", power, computed=0.388, note=note))
            found.append(row(f"{text}: largest difference from pyhf", _from_pyhf(study, n_toys, rng), note=_PYHF))
    return Tested(tuple(found), curves)


_PYHF = "of log Lambda in bins, over all binned tests and toys"
Statistics = dict[str, tuple[Floats, Floats]]


def _thrown(
    source: Any, s: float, b: float, n_toys: int, rng: np.random.Generator, workers: int
) -> tuple[RatioToys, Statistics]:
    """Return the study of signal plus background, and minus log Lambda of toys of both hypotheses by test."""
    studies = [RatioToys(source, s, b, mu=mu, keep_contents=mu == 1.0) for mu in (1.0, 0.0)]
    tables = [run(study, n_toys, rng=rng, workers=workers, max_failed=0.0) for study in studies]
    return studies[0], {name: (-tables[0][name], -tables[1][name]) for name in TESTS}


def _toy_rows(text: str, reference: Mapping[str, float], statistics: Statistics) -> Iterator[Row]:
    """Yield powers from toys, and what they lack to the optimal test on the same toys."""
    found = compare_power(statistics, LEVEL, reference="optimal")
    for i, name in enumerate(found.names):
        yield row(f"{text}: {name}, toys", found.power[i], found.error[i], computed=reference[name])
    for i, name in enumerate(found.names):
        if name != "optimal":
            title, less = f"{text}: {name} minus optimal, toys", reference[name] - reference["optimal"]
            yield row(title, found.difference[i], found.difference_error[i], computed=less, note="on the same toys")


def _from_pyhf(study: RatioToys, n_toys: int, rng: np.random.Generator) -> float:
    """Return the largest difference of log Lambda from that of pyhf over binned tests and toys."""
    table, off = run(study, n_toys, rng=rng), [0.0]
    for name, expected in study.yields.items():
        model = binned.pyhf_model(expected.signal, expected.background)
        off.append(float(np.abs(binned.log_lambda(model, study.contents(table, name)) - table[name]).max()))
    return max(off)


def learned_rows(
    ratios: Mapping[str, Any], n_events: int, n_toys: int, rng: np.random.Generator, workers: int
) -> Iterator[Row]:
    """Yield the power that tests lose with learned ratios, by convolution and by toys drawn from scored events.

    Parameters
    ----------
    ratios : mapping of str to Ratio
        Of events (n, 1).
    n_events : int
        Simulated events of each process that are scored.
    """
    s, b, shown = LEARNED
    std, best = STDS[shown], ROWS[LEARNED][-1]
    events = [throw(n_events, std, rng, signal=signal)[:, :1] for signal in (True, False)]
    seed = int(rng.integers(2**31))  # the same toys for every ratio: events are drawn by number
    statistics = {}
    for name, ratio in {"true": ratio_of(std), **ratios}.items():
        source = SimulatedRatios(*(ratio(x) for x in events))
        statistics[name] = _thrown(source, s, b, n_toys, np.random.default_rng(seed), workers)[1]["optimal"]
    found = compare_power(statistics, LEVEL, reference="true")
    text = f"figure 4, S {s:g}, B {b:g}, std {shown:g}: optimal"
    for i, name in enumerate(found.names):
        if name != "true":
            null, other = sums(ratios[name], s, b, std)
            lost = null.test(other, LEVEL)[1] - best
            yield row(f"{text}, {name} minus true ratio", lost, note="power at level .05, by convolution")
            note = "toys drawn from the same scored events for both"
            title = f"{text}, {name} minus true ratio, toys"
            yield row(title, found.difference[i], found.difference_error[i], computed=lost, note=note)

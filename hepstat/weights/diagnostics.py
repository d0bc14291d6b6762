"""Diagnostics of negative weights: how many, what they cost, whether they only cancel or the density is negative."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincc, ndtr, ndtri

from hepstat.checks import finite_array, open_share, weighted_events, whole_number
from hepstat.errors import InputError
from hepstat.infer import holm
from hepstat.ratio.bins import effective_size
from hepstat.record import Record
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Bools, Floats, Ints
from hepstat.weights.advice import advice
from hepstat.weights.cells import tree_cells
from hepstat.weights.local import LocalWeights, neighbour_weights, tree_weights

__all__ = ["SampleDiagnostics", "WeightDiagnostics", "diagnose_weights"]

_FEWEST = 100  # events of a cell, unless asked otherwise
_TYPICAL = 5.0  # standard errors that the net weight of a typical neighbourhood should be from zero
_POSITIVE = 2.0  # standard errors above zero at which a cell is known to be positive
_PRECISE = 0.9  # share of the cells that must be known to be positive
_COARSEST = 8  # cells at least, if there are enough events
_ENOUGH = 16  # cells that have to be known to be positive: fewer say nothing about what is between their edges

Verdict = Literal["none", "technical", "physical", "unresolved"]


@dataclass(frozen=True, eq=False)
class SampleDiagnostics:
    """One sample of :class:`WeightDiagnostics`: its numbers and its own cells, by the same names."""

    n_events: int
    n_negative: int
    negative_fraction: float
    negative_fraction_error: float
    negative_weight: float
    negative_weight_error: float
    effective_size: float
    inflation: float
    sign_inflation: float
    verdict: str
    limit: float
    resolved: float
    cell_events: Ints
    cell_net: Floats
    cell_error: Floats
    cell_negative: Floats
    cell_negative_error: Floats
    cell_p: Floats
    cell_significant: Bools
    cell_low: Floats
    cell_high: Floats


@dataclass(frozen=True, eq=False, repr=False)
class WeightDiagnostics(Record):
    """What negative weights there are, and what they mean.

    Attributes
    ----------
    samples : tuple of str
        "all", and with labels each class: rows of the following arrays (k,).
    n_events, n_negative : ndarray of int, (k,)
        Events with a weight that is not zero, and those with a negative one.
    negative_fraction, negative_fraction_error : ndarray, (k,)
        Share of the events.
    negative_weight, negative_weight_error : ndarray, (k,)
        Share f of sum abs(w).
    effective_size : ndarray, (k,)
        (sum w)^2 / sum w^2.
    inflation : ndarray, (k,)
        n sum w^2 / (sum w)^2: so many times more events are needed than without weights.
    sign_inflation : ndarray, (k,)
        The factor 1 / (1 - 2 f)^2 in it that is due to signs.
    verdicts : tuple of str, (k,)
        "none": no negative weights. "physical": the net density is negative in some cell. "technical": in none, and
        cells are precise enough to have shown it. "unresolved": neither can be said.
    verdict : str
        The worst of them.
    recommendation : str
        What to do, and why.
    method : str
        "tree" or "neighbours".
    level : float
        Probability of at least one cell found negative by chance, in each sample.
    limits : ndarray, (k,)
        How many standard errors below zero the most negative cell has to be.
    resolved : ndarray, (k,)
        Share of the cells known to be positive, more than two standard errors above zero, or negative.
    cell_sample : ndarray of int, (c,)
        Row of the sample that each cell is of.
    cell_events, cell_net, cell_error : ndarray, (c,)
        Events, sum of weights and its standard error, the root of the sum of squares.
    cell_negative, cell_negative_error : ndarray, (c,)
        Share of negative weights in the events of the cell.
    cell_p : ndarray, (c,)
        Probability of so small a sum where the density is zero, or of a large one being away; 1 if it is positive.
    cell_significant : ndarray of bool, (c,)
        Whether the cell is negative after Holm's correction for the number of cells.
    cell_low, cell_high : ndarray, (c, d)
        Limits of the cells; of neighbourhoods the smallest box around them.
    """

    samples: tuple[str, ...]
    n_events: Ints
    n_negative: Ints
    negative_fraction: Floats
    negative_fraction_error: Floats
    negative_weight: Floats
    negative_weight_error: Floats
    effective_size: Floats
    inflation: Floats
    sign_inflation: Floats
    verdicts: tuple[str, ...]
    verdict: str
    recommendation: str
    method: str
    level: float
    limits: Floats
    resolved: Floats
    cell_sample: Ints
    cell_events: Ints
    cell_net: Floats
    cell_error: Floats
    cell_negative: Floats
    cell_negative_error: Floats
    cell_p: Floats
    cell_significant: Bools
    cell_low: Floats
    cell_high: Floats

    def of(self, name: str) -> SampleDiagnostics:
        """Return one of the samples.

        Raises
        ------
        InputError
            If it is not there.
        """
        if name not in self.samples:
            raise InputError("name", f"is {name!r}", f"Pass one of {', '.join(map(repr, self.samples))}")
        i = self.samples.index(name)
        found: dict[str, Any] = {"verdict": self.verdicts[i], "limit": float(self.limits[i])}
        for field in fields(SampleDiagnostics):
            if field.name.startswith("cell_"):
                found[field.name] = getattr(self, field.name)[self.cell_sample == i]
            elif field.name not in found:
                found[field.name] = getattr(self, field.name)[i].item()
        return SampleDiagnostics(**found)

    def __str__(self) -> str:
        """Return a table of the samples, the verdict and the recommendation."""
        lines = [
            f"Negative weights: {self.verdict}",
            f"  {'sample':<12} {'events':>9} {'negative':>16} {'of abs(w)':>16} {'effective':>10} {'inflation':>9}"
            f" {'by signs':>9}  verdict",
        ]
        for name in self.samples:
            one = self.of(name)
            share = f"{one.negative_fraction:.4f} +- {one.negative_fraction_error:.4f}"
            weight = f"{one.negative_weight:.4f} +- {one.negative_weight_error:.4f}"
            lines.append(
                f"  {name:<12} {one.n_events:9d} {share:>16} {weight:>16} {one.effective_size:10.6g}"
                f" {one.inflation:9.3f} {one.sign_inflation:9.3f}  {one.verdict}"
            )
        lines += [f"  {name}: {self._shown_cells(self.of(name))}" for name in self.samples]
        return "\n".join([*lines, self.recommendation])

    def __repr__(self) -> str:
        """Show the verdicts."""
        shown = ", ".join(
            f"{name}: {verdict} ({share:.3g} of abs(w) negative)"
            for name, verdict, share in zip(self.samples, self.verdicts, self.negative_weight, strict=True)
        )
        return f"WeightDiagnostics({self.verdict}; {shown})"

    def _shown_cells(self, one: SampleDiagnostics) -> str:
        """Return a line about the cells of a sample."""
        if not one.cell_net.size:
            return "no negative weights, no cells"
        lowest, n_significant = float((one.cell_net / one.cell_error).min()), int(one.cell_significant.sum())
        kind = "cells" if self.method == "tree" else "neighbourhoods"
        unseen = ", which large weights seen nearby might cancel" if lowest < -one.limit and not n_significant else ""
        return (
            f"{one.cell_net.size} {kind} of about {np.median(one.cell_events):.0f} events; {n_significant} are negative"
            f" at level {self.level:g}, the lowest is {lowest:+.1f} standard errors from zero ({-one.limit:.1f} needed)"
            f"{unseen}; the sign of {one.resolved:.1%} is known"
        )


def diagnose_weights(
    x: ArrayLike,
    weights: ArrayLike,
    y: ArrayLike | None = None,
    *,
    method: Literal["tree", "neighbours"] = "tree",
    min_events: int | None = None,
    level: float = 0.05,
    n_places: int = 2000,
    rng: Rng = 0,
) -> WeightDiagnostics:
    """Say what the negative weights of a sample are: technical, which only cancel, or physical, a negative density.

    Parameters
    ----------
    x : array_like, (n, d) or (n,)
        Features.
    weights : array_like, (n,)
        Of any sign. With labels, in units that classes share, such as expected events: "all" is their sum.
    y : array_like, (n,), optional
        Labels of classes, which are looked at one by one too.
    method : {"tree", "neighbours"}, optional
        Cells of a tree of medians (:func:`tree_cells`), or the nearest neighbours of some events, with each feature
        over its standard deviation.
    min_events : int, optional
        Events of a cell. By default a tree has cells of 100 to 200, and then twice as many, and so on, up to an eighth
        of all; and there are 100 neighbours, or as many as make the net weight of a typical neighbourhood five
        standard errors.
    level : float, optional
        Probability that the most negative of many cells is taken for a negative density although there is none.
    n_places : int, optional
        Of how many events, at most, neighbourhoods are looked at.
    rng : int, SeedSequence or Generator, optional
        Which events those are.

    Returns
    -------
    WeightDiagnostics
        ``str`` of it is a table with the recommendation. Events with weight zero have no part.

    Raises
    ------
    InputError
        For entries that are not finite, weights that do not add up to a positive number, or fewer than two events.

    Notes
    -----
    In a cell that was not chosen by its weights sum w has the variance sum w^2, so where the density is zero
    sum w / sqrt(sum w^2) is about standard normal. With few effective events it is narrower: it cannot be below
    minus the root of their number. What Gauss misses are rare large weights of which too few are in the cell by chance:
    p-values are not below the probability of at most P/m of them where N/m cancel the rest, with P and N the sums of
    positive and negative weights of the cell and m the largest weight of those nearby. Cells are tested together, by
    Holm's correction, with the level divided by the number of sizes of cells. Shown are the smallest cells of which
    some are negative, or else the smallest, 16 at least, that are precise: "technical" is said down to cells of this
    size, and a negative density in a part of one, whose sum is positive, cannot be seen.

    Events are to be independent: combine those that are generated as a pair of opposite weights.
    """
    if method not in ("tree", "neighbours"):
        raise InputError("method", f"is {method!r}", "Choose 'tree' or 'neighbours'")
    level, places = open_share(level, "level"), whole_number(n_places, "n_places", at_least=1)
    least = None if min_events is None else whole_number(min_events, "min_events", at_least=2)
    events, w_all = weighted_events(x, weights)
    unit = float(np.abs(w_all).max())  # squares of very large or small weights do not fit a number
    samples = _samples(events, w_all / unit, y)
    key = stream_key(rng)
    rows = []
    for i, (name, (part, w)) in enumerate(samples.items()):
        if w.size < 2:
            raise InputError("x", f"has {w.size} event of {name} with a weight", "Pass two events at least")
        numbers = _numbers(w)
        found: list[LocalWeights] = []
        if numbers["n_negative"] > 0 and method == "tree":
            found = _trees(part, w, least)
        elif numbers["n_negative"] > 0:
            fewest = max(_FEWEST, math.ceil(min(_TYPICAL**2 * numbers["inflation"], w.size)))
            k = _size(fewest, w.size) if least is None else min(least, w.size)
            found = [neighbour_weights(part, w, k, places, toy_generator(key, i))]
        rows.append(_judged(numbers, found, level))
    verdicts = tuple(row.verdict for row in rows)
    verdict = next(v for v in ("physical", "unresolved", "technical", "none") if v in verdicts)
    tables: dict[str, Any] = {name: np.array([row.numbers[name] for row in rows]) for name in rows[0].numbers}
    return WeightDiagnostics(
        samples=tuple(samples),
        **tables,
        verdicts=verdicts,
        verdict=verdict,
        recommendation=advice(tuple(samples), verdicts, tables["negative_weight"]),
        method=method,
        level=level,
        limits=np.array([row.limit for row in rows]),
        resolved=np.array([row.resolved for row in rows]),
        **_cell_tables(rows, events.shape[1], unit),
    )


class _Row(NamedTuple):
    """A sample: its numbers, what its cells say, and they."""

    numbers: dict[str, float]
    verdict: Verdict = "none"
    limit: float = 0.0
    resolved: float = 1.0
    p: Floats = np.empty(0)
    significant: Bools = np.empty(0, dtype=np.bool_)
    found: LocalWeights | None = None


def _samples(x: Floats, w: Floats, y: ArrayLike | None) -> dict[str, tuple[Floats, Floats]]:
    """Return events and weights that are not zero, of all and of each class."""
    samples = {"all": (x[w != 0], w[w != 0])}
    if y is None:
        return samples
    labels = finite_array(y, "y")
    if labels.size != w.size:
        raise InputError("y", f"has {labels.size} labels for {w.size} events", "Pass one label for each event")
    for label in np.unique(labels):
        own = labels == label
        own &= w != 0
        samples[f"class {label:g}"] = (x[own], w[own])
    return samples


def _numbers(w: Floats) -> dict[str, float]:
    """Return what can be said of weights (n,), none zero, without features."""
    negative = w < 0
    n, share = w.size, float(negative.mean())
    plus, minus = float(w[~negative].sum()), abs(float(w[negative].sum()))
    plus2, minus2 = float((w[~negative] ** 2).sum()), float((w[negative] ** 2).sum())
    size = effective_size(w)
    return {
        "n_events": n,
        "n_negative": int(negative.sum()),
        "negative_fraction": share,
        "negative_fraction_error": math.sqrt(share * (1.0 - share) / n),
        "negative_weight": minus / (plus + minus),
        "negative_weight_error": math.sqrt(plus**2 * minus2 + minus**2 * plus2) / (plus + minus) ** 2,
        "effective_size": size,
        "inflation": n / size if size > 0 else math.inf,
        "sign_inflation": ((plus + minus) / (plus - minus)) ** 2 if plus > minus else math.inf,
    }


def _trees(x: Floats, w: Floats, least: int | None) -> list[LocalWeights]:
    """Return cells of a tree with so many events; or with few, and with twice as many, and so on."""
    if least is not None:
        return [tree_weights(tree_cells(x, min(least, w.size)), w)]
    finest = tree_cells(x, _size(_FEWEST, w.size))
    deepest = int(finest.depths().max())
    return [
        tree_weights(finest.coarser(d), w) for d in range(deepest, min(deepest, _COARSEST.bit_length() - 1) - 1, -1)
    ]


def _size(fewest: int, n: int) -> int:
    """Return how many events a cell of n has by default: so many, if that leaves enough cells."""
    return max(min(fewest, n // _COARSEST), min(n, 2))


def _judged(numbers: dict[str, float], found: list[LocalWeights], level: float) -> _Row:
    """Return what is found in cells of different sizes: a negative one, or else cells that are known to be positive."""
    rows = [_judged_cells(numbers, cells, level / len(found)) for cells in found]
    by_verdict = {row.verdict: row for row in reversed(rows)}  # the smallest cells of each
    return by_verdict.get("physical") or by_verdict.get("technical") or (rows[-1] if rows else _Row(numbers))


def _judged_cells(numbers: dict[str, float], found: LocalWeights, level: float) -> _Row:
    """Return what cells say, with a probability of `level` to find one negative by chance."""
    pulls = found.net / found.error
    heavy = np.where(found.nearby > 0, found.nearby, 1.0)
    missed = gammaincc(found.positive / heavy + 1.0, (found.positive - found.net) / heavy)
    p = np.where(pulls < 0, np.maximum(ndtr(pulls), missed), ndtr(pulls))
    significant = holm(p, level)
    resolved = float((significant | (pulls > _POSITIVE)).mean())
    seen = resolved >= _PRECISE and numbers["n_events"] >= _ENOUGH * np.median(found.events)
    verdict: Verdict = "physical" if significant.any() else "technical" if seen else "unresolved"
    return _Row(numbers, verdict, -float(ndtri(level / p.size)), resolved, p, significant, found)


def _cell_tables(rows: list[_Row], d: int, unit: float) -> dict[str, Any]:
    """Return the cells of all samples one after the other, with weights in this unit."""
    parts = [(i, row, row.found) for i, row in enumerate(rows) if row.found is not None]

    def joined(arrays: Sequence[Floats | Bools]) -> Floats:
        return np.concatenate([np.empty(0), *arrays])

    events, negative = (joined([getattr(found, name) for _, _, found in parts]) for name in ("events", "negative"))
    share = negative / events
    boxes = [np.concatenate([np.empty((0, d)), *[getattr(f, name) for _, _, f in parts]]) for name in ("low", "high")]
    return {
        "cell_sample": joined([np.full(found.net.size, float(i)) for i, _, found in parts]).astype(np.int64),
        "cell_events": events.astype(np.int64),
        "cell_net": unit * joined([found.net for _, _, found in parts]),
        "cell_error": unit * joined([found.error for _, _, found in parts]),
        "cell_negative": share,
        "cell_negative_error": np.sqrt(share * (1.0 - share) / events),
        "cell_p": joined([row.p for _, row, _ in parts]),
        "cell_significant": joined([row.significant for _, row, _ in parts]).astype(np.bool_),
        "cell_low": boxes[0],
        "cell_high": boxes[1],
    }

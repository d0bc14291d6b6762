"""Diagnostics of negative weights: how many, what they cost, whether they only cancel or the density is negative."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr, ndtri

from hepstat.checks import event_weights, finite_array, open_share, whole_number
from hepstat.errors import InputError
from hepstat.ratio.bins import effective_size
from hepstat.record import Record
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Bools, Floats
from hepstat.weights.advice import advice
from hepstat.weights.cells import tree_cells
from hepstat.weights.local import LocalWeights, neighbour_weights, tree_weights
from hepstat.weights.resampled import features

__all__ = ["NegativeDensityWarning", "WeightDiagnostics", "diagnose_weights"]

_FEWEST = 100  # events of a cell, unless asked otherwise
_TYPICAL = 5.0  # standard errors that the net weight of a typical neighbourhood should be from zero
_POSITIVE = 2.0  # standard errors above zero at which a cell is known to be positive
_PRECISE = 0.9  # share of the cells that must be known to be positive
_COARSEST = 8  # cells at least, if there are enough events

Verdict = Literal["none", "technical", "physical", "unresolved"]


class NegativeDensityWarning(UserWarning):
    """A density is negative in places, and what was asked for makes something positive of it."""


@dataclass(frozen=True, eq=False, repr=False)
class WeightDiagnostics(Record):
    """What negative weights there are, and what they mean.

    Attributes
    ----------
    samples : tuple of str
        "all", and with labels each class: rows of the following arrays (k,).
    n_events, n_negative : ndarray, (k,)
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
    cell_sample : ndarray, (c,)
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
    n_events: Floats
    n_negative: Floats
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
    cell_sample: Floats
    cell_events: Floats
    cell_net: Floats
    cell_error: Floats
    cell_negative: Floats
    cell_negative_error: Floats
    cell_p: Floats
    cell_significant: Bools
    cell_low: Floats
    cell_high: Floats

    def __str__(self) -> str:
        """Return a table of the samples, the verdict and the recommendation."""
        lines = [
            f"Negative weights: {self.verdict}",
            f"  {'sample':<12} {'events':>9} {'negative':>16} {'of abs(w)':>16} {'effective':>10} {'inflation':>9}"
            f" {'by signs':>9}  verdict",
        ]
        for i, name in enumerate(self.samples):
            share = f"{self.negative_fraction[i]:.4f} +- {self.negative_fraction_error[i]:.4f}"
            weight = f"{self.negative_weight[i]:.4f} +- {self.negative_weight_error[i]:.4f}"
            lines.append(
                f"  {name:<12} {self.n_events[i]:9.0f} {share:>16} {weight:>16} {self.effective_size[i]:10.6g}"
                f" {self.inflation[i]:9.3f} {self.sign_inflation[i]:9.3f}  {self.verdicts[i]}"
            )
        lines += [self._shown_cells(i) for i in range(len(self.samples))]
        return "\n".join([*lines, self.recommendation])

    def __repr__(self) -> str:
        """Show the verdicts."""
        shown = ", ".join(
            f"{name}: {verdict} ({share:.3g} of abs(w) negative)"
            for name, verdict, share in zip(self.samples, self.verdicts, self.negative_weight, strict=True)
        )
        return f"WeightDiagnostics({self.verdict}; {shown})"

    def _shown_cells(self, i: int) -> str:
        """Return a line about the cells of a sample."""
        own = self.cell_sample == i
        if not own.any():
            return f"  {self.samples[i]}: no negative weights, no cells"
        pulls = self.cell_net[own] / self.cell_error[own]
        kind = "cells" if self.method == "tree" else "neighbourhoods"
        unseen = ", which large weights seen nearby might cancel" if pulls.min() < -self.limits[i] else ""
        return (
            f"  {self.samples[i]}: {int(own.sum())} {kind} of about {np.median(self.cell_events[own]):.0f} events;"
            f" {int(self.cell_significant[own].sum())} are negative at level {self.level:g}, the lowest is"
            f" {pulls.min():+.1f} standard errors from zero ({-self.limits[i]:.1f} needed)"
            f"{unseen if not self.cell_significant[own].any() else ''};"
            f" the sign of {self.resolved[i]:.1%} is known"
        )


def diagnose_weights(
    x: ArrayLike,
    weights: ArrayLike,
    y: ArrayLike | None = None,
    *,
    cells: Literal["tree", "neighbours"] = "tree",
    min_events: int | None = None,
    level: float = 0.05,
    most: int = 2000,
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
    cells : {"tree", "neighbours"}, optional
        Cells of a tree of medians (:func:`tree_cells`), or the nearest neighbours of some events, with each feature
        over its standard deviation.
    min_events : int, optional
        Events of a cell. By default a tree has cells of 100 to 200, and then twice as many, and so on, up to an eighth
        of all; and there are 100 neighbours, or as many as make the net weight of a typical neighbourhood five
        standard errors.
    level : float, optional
        Probability that the most negative of many cells is taken for a negative density although there is none.
    most : int, optional
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
        For entries that are not finite, weights that do not add up to a positive number, of all events or of a class,
        or fewer than two events.

    Notes
    -----
    In a cell that was not chosen by its weights sum w has the variance sum w^2, so where the density is zero
    sum w / sqrt(sum w^2) is about standard normal. With few effective events it is narrower: it cannot be below
    minus the root of their number. What Gauss misses are rare large weights that are not in the cell by chance. The
    probability for that is exp(-abs(sum w) / m) if events of weight m cancel the rest, so p-values are not below it
    with m the largest positive weight of the cells nearby. Cells are then tested together, by Holm's correction, with
    the level divided by the number of sizes of cells. Shown are the smallest cells of which some are negative, or else
    the smallest that are precise.

    A negative density in a part of a cell, whose sum is positive, cannot be seen.
    """
    if cells not in ("tree", "neighbours"):
        raise InputError("cells", f"is {cells!r}", "Choose 'tree' or 'neighbours'")
    events, level, most = features(x), open_share(level, "level"), whole_number(most, "most", at_least=1)
    least = None if min_events is None else whole_number(min_events, "min_events", at_least=2)
    samples = _samples(events, event_weights(len(events), weights, "weights"), y)
    key = stream_key(rng)
    rows = []
    for i, (name, (part, w)) in enumerate(samples.items()):
        if w.size < 2:
            raise InputError("x", f"has {w.size} event of {name} with a weight", "Pass two events at least")
        numbers = _numbers(w)
        found: list[LocalWeights] = []
        if numbers["n_negative"] > 0 and cells == "tree":
            found = _trees(part, w, least)
        elif numbers["n_negative"] > 0:
            k = _size(numbers["inflation"], w.size) if least is None else min(least, w.size)
            found = [neighbour_weights(part, w, k, most, toy_generator(key, i))]
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
        method=cells,
        level=level,
        limits=np.array([row.limit for row in rows]),
        resolved=np.array([row.resolved for row in rows]),
        **_cell_tables(rows, events.shape[1]),
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
        total = float(w[own].sum())
        if not total > 0:
            raise InputError("weights", f"of class {label:g} add up to {total:g}", "Pass classes with sums above zero")
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
        "n_events": float(n),
        "n_negative": float(negative.sum()),
        "negative_fraction": share,
        "negative_fraction_error": math.sqrt(share * (1.0 - share) / n),
        "negative_weight": minus / (plus + minus),
        "negative_weight_error": math.sqrt(plus**2 * minus2 + minus**2 * plus2) / (plus + minus) ** 2,
        "effective_size": size,
        "inflation": n / size,
        "sign_inflation": ((plus + minus) / (plus - minus)) ** 2,
    }


def _trees(x: Floats, w: Floats, least: int | None) -> list[LocalWeights]:
    """Return cells of a tree with so many events; or with few, and with twice as many, and so on."""
    if least is not None:
        return [tree_weights(tree_cells(x, min(least, w.size)), w)]
    finest = tree_cells(x, max(min(_FEWEST, w.size // _COARSEST), min(w.size, 2)))
    deepest = int(finest.depths().max())
    return [
        tree_weights(finest.coarser(d), w) for d in range(deepest, min(deepest, _COARSEST.bit_length() - 1) - 1, -1)
    ]


def _size(inflation: float, n: int) -> int:
    """Return how many neighbours there are by default."""
    return max(min(max(_FEWEST, math.ceil(_TYPICAL**2 * inflation)), n // _COARSEST), min(n, 2))


def _judged(numbers: dict[str, float], found: list[LocalWeights], level: float) -> _Row:
    """Return what is found in cells of different sizes: a negative one, or else cells that are known to be positive."""
    rows = [_judged_cells(numbers, cells, level / len(found)) for cells in found]
    by_verdict = {row.verdict: row for row in reversed(rows)}  # the smallest cells of each
    return by_verdict.get("physical") or by_verdict.get("technical") or (rows[-1] if rows else _Row(numbers))


def _judged_cells(numbers: dict[str, float], found: LocalWeights, level: float) -> _Row:
    """Return what cells say, with a probability of `level` to find one negative by chance."""
    pulls = found.net / found.error
    missed = np.divide(found.net, found.nearby, out=np.full(pulls.size, -np.inf), where=found.nearby > 0)
    p = np.maximum(ndtr(pulls), np.exp(np.minimum(missed, 0.0)))
    significant = _holm(p, level)
    resolved = float((significant | (pulls > _POSITIVE)).mean())
    verdict: Verdict = "physical" if significant.any() else "technical" if resolved >= _PRECISE else "unresolved"
    return _Row(numbers, verdict, -float(ndtri(level / p.size)), resolved, p, significant, found)


def _holm(p: Floats, level: float) -> Bools:
    """Return which of the hypotheses are rejected by Holm's procedure."""
    order = np.argsort(p, kind="stable")
    passed = p[order] <= level / np.arange(p.size, 0, -1)
    first = p.size if passed.all() else int(np.argmin(passed))
    rejected = np.zeros(p.size, dtype=np.bool_)
    rejected[order[:first]] = True
    return rejected


def _cell_tables(rows: list[_Row], d: int) -> dict[str, Any]:
    """Return the cells of all samples one after the other."""
    parts = [(i, row, row.found) for i, row in enumerate(rows) if row.found is not None]

    def joined(arrays: Sequence[Floats | Bools]) -> Floats:
        return np.concatenate([np.empty(0), *arrays])

    events, negative = (joined([getattr(found, name) for _, _, found in parts]) for name in ("events", "negative"))
    share = negative / events
    boxes = [np.concatenate([np.empty((0, d)), *[getattr(f, name) for _, _, f in parts]]) for name in ("low", "high")]
    return {
        "cell_sample": joined([np.full(found.net.size, float(i)) for i, _, found in parts]),
        "cell_events": events,
        "cell_net": joined([found.net for _, _, found in parts]),
        "cell_error": joined([found.error for _, _, found in parts]),
        "cell_negative": share,
        "cell_negative_error": np.sqrt(share * (1.0 - share) / events),
        "cell_p": joined([row.p for _, row, _ in parts]),
        "cell_significant": joined([row.significant for _, row, _ in parts]).astype(np.bool_),
        "cell_low": boxes[0],
        "cell_high": boxes[1],
    }

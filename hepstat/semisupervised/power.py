"""Power of semi-supervised searches at equal true level: each statistic is calibrated by its toys without signal."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np

from hepstat.checks import open_share, whole_number
from hepstat.errors import InputError
from hepstat.infer import compare_power, p_to_z, z_to_p
from hepstat.infer.tail_fit import TailKind
from hepstat.record import Record
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.semisupervised.calibrated import Judge, Judged, Statistic, influence, median_interval, null_error
from hepstat.semisupervised.columns import (
    SearchLike,
    Toys,
    fields_of,
    place_of,
    refuse_same,
    scan_recipe,
    step_of,
)
from hepstat.semisupervised.maximum import OVER, Over
from hepstat.types import Bools, Floats, Ints

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Criterion", "PowerTable", "power_table"]

Criterion: TypeAlias = Literal["median", "mean", "power"]

_CRITERIA = ("median", "mean", "power")
_ENOUGH = 10  # toys without signal beyond the threshold of a level
_SIGNIFICANT = 2.0  # errors by which a lead has to exceed 0
_EQUAL = 1e-6  # the rounding of significances in single precision


@dataclass(frozen=True, eq=False, repr=False)
class PowerTable(Record):
    """Expected global significance of every procedure, recipe and choice of steps and masses.

    Arrays have one entry for each of the m statistics.

    Parameters
    ----------
    procedures, recipes, over : tuple of str
        What each statistic is; `over` as in :func:`hepstat.semisupervised.maximum`.
    steps : array of int, shape (m,)
        The step of "step" and "mass", which has to be chosen before data are seen; -1 for others.
    median, median_lower, median_upper : array of shape (m,)
        Median global significance of toys with signal, with an interval of one standard deviation from both numbers of
        toys; the upper end is infinite if the median lies beyond the toys without signal.
    mean, mean_error : array of shape (m,)
        Mean global significance, too low where some are saturated.
    power, power_error : array of shape (m,)
        Share of toys with signal that the randomised test of the level rejects, and its standard error.
    saturated : array of shape (m,)
        Share of toys with signal beyond all toys without it: their significance is that of ``1 / (n + 1)``, or one of
        the tail if there is one.
    extrapolated : array of shape (m,)
        Share of toys with signal whose significance is that of the tail; 0 without it.
    criterion : {"median", "mean", "power"}
        What the best one has most of.
    candidates : array of bool, shape (m,)
        Which statistics may be the best.
    best : int
        Number of the best one.
    lead, lead_error : array of shape (m,)
        The criterion of the best one minus that of each, and its standard error on the same toys.
    first : array of shape (m,)
        Share of bootstrap samples of the toys with signal in which each candidate is the best; equal ones share.
    level : float
        Of the power.
    n_null, n_signal : int
        Toys without and with signal. Those that failed count as beyond every value without signal, below with it.
    z_most : float
        Significance of ``1 / (n_null + 1)``.
    tail : str or None
        The tail that extrapolates all statistics alike.
    """

    procedures: tuple[str, ...]
    recipes: tuple[str, ...]
    over: tuple[str, ...]
    steps: Ints
    median: Floats
    median_lower: Floats
    median_upper: Floats
    mean: Floats
    mean_error: Floats
    power: Floats
    power_error: Floats
    saturated: Floats
    extrapolated: Floats
    criterion: str
    candidates: Bools
    best: int
    lead: Floats
    lead_error: Floats
    first: Floats
    level: float
    n_null: int
    n_signal: int
    z_most: float
    tail: str | None

    def name(self, i: int) -> str:
        """Return what the i-th statistic is, in words."""
        step = f" {self.steps[i]}" if self.steps[i] >= 0 else ""
        return f"{self.procedures[i]}, {self.recipes[i]}, {self.over[i]}{step}"

    def ranked(self) -> Ints:
        """Return the numbers of all statistics (m,), the best by the criterion first."""
        return np.argsort(-getattr(self, self.criterion), kind="stable")

    def next_to(self, *, other_procedure: bool = False) -> int | None:
        """Return the number of the candidate next to the best, or next of another procedure; None if there is none."""
        for i in self.ranked():
            other = not other_procedure or self.procedures[i] != self.procedures[self.best]
            if i != self.best and self.candidates[i] and other:
                return int(i)
        return None

    @property
    def message(self) -> str:
        """The recommended statistic, and by how much it leads, in words.

        The best of many has a lead that is a little too large, since it was chosen on these toys.
        """
        i = self.best
        value = f"{self.power[i]:.3f} +- {self.power_error[i]:.3f}"
        if self.criterion == "mean":
            value = f"{self.mean[i]:.2f} +- {self.mean_error[i]:.2f}"
        if self.criterion == "median":
            value = f"{self.median[i]:.2f} in [{self.median_lower[i]:.2f}, {self.median_upper[i]:.2f}]"
        parts = [f"{self.name(i)}: {self.criterion} {'' if self.criterion == 'power' else 'global Z '}{value}"]
        near, far = self.next_to(), self.next_to(other_procedure=True)
        rivals = [near] if near == far or far is None else [near, far]
        parts += [self._lead_over(k) for k in rivals if k is not None]
        parts.append(f"first in {self.first[i]:.0%} of bootstrap samples")
        if self.saturated[i] > 0:
            what = f"extrapolated by the {self.tail} tail" if self.tail else f"counted as Z = {self.z_most:.2f}"
            parts.append(f"{self.saturated[i]:.1%} of its toys lie beyond all toys without signal, {what}")
        return "; ".join(parts)

    def _lead_over(self, k: int) -> str:
        lead, error = self.lead[k], self.lead_error[k]
        if abs(lead) <= _EQUAL:
            return f"is as good as {self.name(k)}"
        ratio = lead / error if error > 0 else math.inf
        verdict = "significant" if ratio >= _SIGNIFICANT else "not significant"
        return f"leads {self.name(k)} by {lead:.3f} +- {error:.3f} ({ratio:.1f} sigma, {verdict})"

    def table(self, most: int | None = 20) -> Table:
        """Return the statistics as a rich table, the best first; at most so many, None for all."""
        from rich.table import Table

        toys = f"{self.n_null:,} toys without signal, {self.n_signal:,} with it"
        table = Table(title=f"Expected global significance at equal true level ({toys})", caption=self.message)
        for name in ("procedure", "recipe", "largest over"):
            table.add_column(name)
        tail = "beyond toys" if self.tail is None else "extrapolated"
        for name in ("median Z", "interval", "mean Z", f"power at {self.level:.3g}", tail, f"lead in {self.criterion}"):
            table.add_column(name, justify="right")
        for i in self.ranked()[:most]:
            step = f" {self.steps[i]}" if self.steps[i] >= 0 else ""
            table.add_row(
                self.procedures[i] + ("" if self.candidates[i] else " (for comparison)"),
                self.recipes[i],
                f"{self.over[i]}{step}",
                f"{self.median[i]:.2f}",
                f"{self.median_lower[i]:.2f} to {self.median_upper[i]:.2f}",
                f"{self.mean[i]:.3f} +- {self.mean_error[i]:.3f}",
                f"{self.power[i]:.3f} +- {self.power_error[i]:.3f}",
                f"{(self.saturated if self.tail is None else self.extrapolated)[i]:.1%}",
                "best" if i == self.best else f"{self.lead[i]:.3f} +- {self.lead_error[i]:.3f}",
            )
        return table

    def __repr__(self) -> str:
        """Show the message."""
        return f"PowerTable({len(self.procedures)} statistics; {self.message})"


def power_table(
    null: Toys,
    signal: Toys,
    search: SearchLike,
    *,
    procedures: Sequence[str] | None = None,
    recipes: Sequence[str] | None = None,
    over: Sequence[Over] | None = None,
    steps: Sequence[int] | None = None,
    candidates: Collection[str] | None = None,
    level: float | None = None,
    criterion: Criterion = "median",
    tail: TailKind | None = None,
    tail_share: float = 0.02,
    bootstraps: int = 200,
    rng: Rng = 0,
) -> PowerTable:
    """Compare what searches expect to see of a signal, at equal true level.

    Parameters
    ----------
    null, signal : ToyTable or structured array, (n_null,) and (n_signal,)
        Toys without and with signal, of streams of their own.
    search : SemiSupervisedSearch
        Names its procedures, recipes and rejections.
    procedures, recipes : sequence of str, optional
        Names of those to compare; all by default.
    over : sequence of {"step", "steps", "mass", "steps and mass"}, optional
        What to take the largest significance over; by default single steps, all steps, and steps and masses where
        these were scanned.
    steps : sequence of int, optional
        The steps of "step" and "mass"; all by default.
    candidates : collection of str, optional
        Procedures that may be the best, such as all but a supervised one, which knows the signal; all by default.
    level : float, optional
        Of the power; by default that of 3 standard deviations, or what 10 toys without signal reach if that is more.
    criterion : {"median", "mean", "power"}
        What the best one has most of.
    tail : {"exponential", "square"}, optional
        Extrapolate all statistics by such a tail, fitted to the share `tail_share` of their toys without signal that
        is highest; by default none is. A fitted shape may end before the signal, so "pareto" is refused.
    bootstraps : int, optional
        Bootstrap samples of the toys with signal.
    rng : int, SeedSequence or Generator, optional
        Of these samples.

    Returns
    -------
    PowerTable

    Raises
    ------
    InputError
        For names that are not there, toys that share their streams, fewer than two of either, or a level that the toys
        without signal do not reach.
    """
    refuse_same(null, signal, "signal")
    if criterion not in _CRITERIA:
        raise InputError("criterion", f"is {criterion!r}", f"Choose from {', '.join(_CRITERIA)}")
    if tail == "pareto":
        raise InputError("tail", "is 'pareto', which may end before the signal", "Choose 'exponential' or 'square'")
    if min(len(null), len(signal)) < 2:
        raise InputError("signal", "or null has fewer than two toys", "Throw more")
    if level is None:
        level = max(float(z_to_p(3.0)), min(_ENOUGH / len(null), 0.5))
    if open_share(level, "level") * (len(null) + 1) < 1:
        raise InputError("level", f"is {level:g}, which {len(null)} toys do not reach", "Throw more, or raise it")
    statistics = _statistics(null, signal, search, procedures, recipes, over, steps)
    allowed = np.array([candidates is None or s.procedure in candidates for s in statistics])
    if not allowed.any():
        raise InputError("candidates", "are none of the procedures", "Name at least one")
    judge = Judge(null, signal, search, tail, tail_share)
    rows, scores = [], np.empty((len(statistics), len(signal)))
    for i, statistic in enumerate(statistics):
        one = judge(statistic)
        rows.append(_row(one, level))
        scores[i] = one.z >= p_to_z(level) if criterion == "power" else one.z
    fields = {name: np.array([getattr(row, name) for row in rows]) for name in _Row._fields}
    values = fields[criterion]
    best = int(np.argmax(np.where(allowed, values, -np.inf)))
    samples = _bootstrap(scores, criterion, whole_number(bootstraps, "bootstraps", at_least=10), rng)
    ranks = np.where(allowed, samples, -np.inf)
    leaders = ranks == ranks.max(axis=1, keepdims=True)
    return PowerTable(
        procedures=tuple(s.procedure for s in statistics),
        recipes=tuple(s.recipe for s in statistics),
        over=tuple(s.over for s in statistics),
        steps=np.array([s.step for s in statistics]),
        **fields,
        criterion=criterion,
        candidates=allowed,
        best=best,
        lead=values[best] - values,
        lead_error=_lead_errors(judge, statistics, best, criterion, scores, samples, level),
        first=np.mean(leaders / leaders.sum(axis=1, keepdims=True), axis=0),
        level=float(level),
        n_null=len(null),
        n_signal=len(signal),
        z_most=float(p_to_z(1.0 / (len(null) + 1.0))),
        tail=tail,
    )


def _statistics(
    null: Toys,
    signal: Toys,
    search: SearchLike,
    procedures: Sequence[str] | None,
    recipes: Sequence[str] | None,
    over: Sequence[Over] | None,
    steps: Sequence[int] | None,
) -> list[Statistic]:
    """Return what to compare, the statistics of a procedure together."""
    scanned = "z_scan" in fields_of(null) and "z_scan" in fields_of(signal)
    kinds = over if over is not None else OVER[:2] + (OVER[3:] if scanned else ())
    for kind in kinds:
        if kind not in OVER:
            raise InputError("over", f"has {kind!r}", f"Choose from {', '.join(OVER)}")
        if kind in OVER[2:] and not scanned:
            raise InputError("over", f"has {kind!r}, but the toys have no mass scan", "Give the search positions")
    methods = [str(each.name) for each in search.procedures] if procedures is None else list(procedures)
    fits = [str(each.name) for each in search.recipes] if recipes is None else list(recipes)
    for argument, names, things in (("procedures", methods, search.procedures), ("recipes", fits, search.recipes)):
        for name in names:
            place_of(things, name, argument)
    numbers = range(len(search.rejections)) if steps is None else [step_of(search, step, "steps") for step in steps]
    found = []
    for method in methods:
        for kind in kinds:
            for fit in fits if kind in OVER[:2] else (scan_recipe(search),):
                places = numbers if kind in ("step", "mass") else (-1,)
                found += [Statistic(method, fit, kind, step) for step in places]
    if not found:
        raise InputError("procedures", "leave nothing to compare", "Name at least one of each")
    return found


class _Row(NamedTuple):
    """What the table says of one statistic."""

    median: float
    median_lower: float
    median_upper: float
    mean: float
    mean_error: float
    power: float
    power_error: float
    saturated: float
    extrapolated: float


def _row(one: Judged, level: float) -> _Row:
    compared = compare_power({"it": (one.null, one.signal)}, level)
    signal_error = one.z.std(ddof=1) / math.sqrt(one.z.size)
    median, lower, upper = median_interval(one)
    return _Row(
        median=median,
        median_lower=lower,
        median_upper=upper,
        mean=float(one.z.mean()),
        mean_error=math.hypot(signal_error, null_error(one, "mean")),
        power=float(compared.power[0]),
        power_error=float(compared.error[0]),
        saturated=float(np.mean(one.signal > one.null.max(where=np.isfinite(one.null), initial=-np.inf))),
        extrapolated=float(np.mean(one.extrapolated)),
    )


def _bootstrap(scores: Floats, criterion: str, n: int, rng: Rng) -> Floats:
    """Return the criterion (n, m) of bootstrap samples of the toys with signal, the same for every statistic."""
    generator, size = toy_generator(stream_key(rng), 0), scores.shape[1]
    if criterion == "median":
        return np.array([np.median(scores[:, generator.integers(size, size=size)], axis=1) for _ in range(n)])
    counts = generator.multinomial(size, np.full(size, 1.0 / size), size=n)
    return np.asarray(counts @ scores.T / size)


def _lead_errors(
    judge: Judge, statistics: list[Statistic], best: int, criterion: str, scores: Floats, samples: Floats, level: float
) -> Floats:
    """Return the standard errors (m,) of the leads: of both kinds of toys, each the same in both statistics."""
    top = judge(statistics[best])
    errors = np.zeros(len(scores))
    for i, statistic in enumerate(statistics):
        if i == best:
            continue
        one = judge(statistic)
        if criterion == "power":
            pair = compare_power({"top": (top.null, top.signal), "it": (one.null, one.signal)}, level, reference="top")
            errors[i] = pair.difference_error[1]
            continue
        counted = (influence(top, criterion) - influence(one, criterion)).std() / math.sqrt(one.null.size)
        difference = scores[best] - scores[i]
        exact = difference.std(ddof=1) / math.sqrt(difference.size)
        of_signal = exact if criterion == "mean" else (samples[:, best] - samples[:, i]).std(ddof=1)
        errors[i] = math.hypot(float(of_signal), float(counted))
    return errors

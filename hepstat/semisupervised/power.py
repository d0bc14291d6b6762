"""Power of semi-supervised searches at equal true level: each statistic is calibrated by its toys without signal."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from hepstat.checks import open_share, whole_number
from hepstat.errors import InputError
from hepstat.infer import p_to_z, z_to_p
from hepstat.infer.tail_fit import TailKind
from hepstat.record import Record
from hepstat.seeds import Rng
from hepstat.semisupervised.calibrated import Judge, Statistic, Summary, summary
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
from hepstat.semisupervised.ranking import Scores, bootstrap, decided_by, first_shares, lead_errors, ordered
from hepstat.types import Bools, Floats, Ints

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["Criterion", "PowerTable", "power_table"]

Criterion: TypeAlias = Literal["median", "mean", "power"]

_CRITERIA = ("median", "mean", "power")
_ENOUGH = 10  # toys without signal beyond the threshold of a level
_SIGNIFICANT = 2.0  # errors by which a lead has to exceed 0
_EQUAL = 1e-6  # the rounding of significances in single precision
_FEW = 3  # candidates, of which the best leads by hardly too much


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
        toys; the upper end is infinite if the median lies beyond the toys without signal and none of these failed.
    mean, mean_error : array of shape (m,)
        Mean global significance, too low where some are saturated, and its standard error. Where many are saturated
        that is about 15% too small.
    power, power_error : array of shape (m,)
        Share of toys with signal that the randomised test of the level rejects, and its standard error.
    saturated : array of shape (m,)
        Share of toys with signal beyond all toys without it that did not fail: their significance is `z_most`, or one
        of the tail if there is one. 0 if all toys without signal failed.
    extrapolated : array of shape (m,)
        Share of toys with signal whose significance is that of the tail; 0 without it.
    criterion : {"median", "mean", "power"}
        What the best one has most of.
    candidates : array of bool, shape (m,)
        Which statistics may be the best.
    best : int
        Number of the best candidate. Among equals, such as medians beyond all toys, that of the largest mean is, then
        of the largest power, then of the largest saturated share, then the first.
    lead, lead_error : array of shape (m,)
        The criterion of the best one minus that of each, and its standard error on the same toys.
    first : array of shape (m,)
        Share of bootstrap samples of the toys with signal in which each candidate is the best, by the same rules; what
        is equal in all respects shares. It does not know of the errors of toys without signal.
    level : float
        Of the power.
    n_null, n_signal : int
        Toys without and with signal. Those that failed count as beyond every value without signal, below with it.
    n_failed : array of int, shape (m,)
        Toys without signal in which each statistic failed.
    z_most : array of shape (m,)
        Significance of ``(n_failed + 1) / (n_null + 1)``, the largest that counting can give.
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
    n_failed: Ints
    z_most: Floats
    tail: str | None

    def name(self, i: int) -> str:
        """Return what the i-th statistic is, in words."""
        step = f" {self.steps[i]}" if self.steps[i] >= 0 else ""
        return f"{self.procedures[i]}, {self.recipes[i]}, {self.over[i]}{step}"

    def ranked(self) -> Ints:
        """Return the numbers of all statistics (m,), the best by the criterion first, equal ones as `best` says."""
        return ordered(vars(self), self.criterion)

    def next_to(self, *, other_procedure: bool = False) -> int | None:
        """Return the number of the candidate next to the best, or next of another procedure; None if there is none."""
        for i in self.ranked():
            other = not other_procedure or self.procedures[i] != self.procedures[self.best]
            if i != self.best and self.candidates[i] and other:
                return int(i)
        return None

    @property
    def message(self) -> str:
        """The recommended statistic, by how much it leads, and what is to be known of that, in words."""
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
        parts += [*self._decided(), f"first in {self.first[i]:.0%} of bootstrap samples of toys with signal"]
        if self.candidates.sum() > _FEW:
            parts.append(f"chosen among {self.candidates.sum()} on the same toys, so it leads by a little too much")
        return "; ".join([*parts, *self._beyond()])

    def _decided(self) -> list[str]:
        """Return what decided among candidates that the criterion does not tell apart, in words."""
        i, values = self.best, getattr(self, self.criterion)
        equal = np.flatnonzero(self.candidates & (values == values[i]) & (np.arange(values.size) != i))
        counted = self.criterion == "median" and self.tail is None and self.saturated[i] > 0
        beyond = counted and values[i] >= self.z_most[i]
        if equal.size == 0:
            return ["its median lies beyond all toys without signal"] if beyond else []
        by = decided_by(vars(self), i, next(int(k) for k in self.ranked() if k in equal))
        what = {None: "order of the list", "saturated": "saturated share"}.get(by, by)
        others = f"{equal.size} other{'s have' if equal.size > 1 else ' has'}"
        where = ", beyond all toys without signal" if beyond else ""
        return [f"{others} the same {self.criterion}{where}: the {what} decided"]

    def _beyond(self) -> list[str]:
        """Return what is beyond toys without signal, in words."""
        i = self.best
        parts, failed = [], self.n_failed[i]
        if self.saturated[i] > 0:
            what = f"extrapolated by the {self.tail} tail" if self.tail else f"counted as Z = {self.z_most[i]:.2f}"
            succeeded = " that did not fail" if failed else ""
            parts.append(f"{self.saturated[i]:.1%} of its toys lie beyond all toys without signal{succeeded}, {what}")
        if failed == self.n_null:
            parts.append("all toys without signal failed, so that it can find nothing")
        elif failed:
            most = float(p_to_z(failed / self.n_null)) if self.tail else self.z_most[i]
            parts.append(f"{failed:,} toys without signal failed, so that no global Z is above {most:.2f}")
        return parts

    def _lead_over(self, k: int) -> str:
        lead, error = self.lead[k], self.lead_error[k]
        if abs(lead) <= _EQUAL:
            return f"is as good as {self.name(k)} in {self.criterion}"
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
        numbers = ["median Z", "interval", "mean Z", f"power at {self.level:.3g}", tail, f"lead in {self.criterion}"]
        failures = bool(self.n_failed.any())
        for name in (*numbers, "failed without signal") if failures else numbers:
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
                *([f"{self.n_failed[i]:,}"] if failures else []),
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
        Names of those to compare, each once; all by default.
    over : sequence of {"step", "steps", "mass", "steps and mass"}, optional
        What to take the largest significance over; by default single steps, all steps, and steps and masses where
        these were scanned.
    steps : sequence of int, optional
        The steps of "step" and "mass"; all by default.
    candidates : collection of str, optional
        Procedures that may be the best, such as all but a supervised one, which knows the signal; all by default.
    level : float, optional
        Of the power; by default that of 3 standard deviations, or what 10 toys without signal reach if that is more,
        counted on top of those that failed in any statistic in which fewer than half did.
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
        For names that are not there or given twice, toys that share their streams, fewer than two of either, or a level
        that the toys without signal do not reach in any of the statistics, such as where more of them failed.
    """
    refuse_same(null, signal, "signal")
    if criterion not in _CRITERIA:
        raise InputError("criterion", f"is {criterion!r}", f"Choose from {', '.join(_CRITERIA)}")
    if tail == "pareto":
        raise InputError("tail", "is 'pareto', which may end before the signal", "Choose 'exponential' or 'square'")
    if min(len(null), len(signal)) < 2:
        raise InputError("signal", "or null has fewer than two toys", "Throw more")
    statistics = _statistics(null, signal, search, procedures, recipes, over, steps)
    allowed = np.array([candidates is None or s.procedure in candidates for s in statistics])
    if not allowed.any():
        raise InputError("candidates", "are none of the procedures", "Name at least one")
    judge = Judge(null, signal, search, tail, tail_share)
    level = _level(level, np.array([judge.n_failed(statistic) for statistic in statistics]), len(null))
    rows, scores = [], Scores(*(np.empty((len(statistics), len(signal))) for _ in Scores._fields))
    for i, statistic in enumerate(statistics):
        one = judge(statistic)
        rows.append(summary(one, level))
        for score, values in zip(scores, (one.z, one.z >= p_to_z(level), one.saturated), strict=True):
            score[i] = values
    fields = {name: np.array([getattr(row, name) for row in rows]) for name in Summary._fields}
    best = next(int(i) for i in ordered(fields, criterion) if allowed[i])
    samples, breakers = bootstrap(scores, criterion, whole_number(bootstraps, "bootstraps", at_least=10), rng)
    return PowerTable(
        procedures=tuple(s.procedure for s in statistics),
        recipes=tuple(s.recipe for s in statistics),
        over=tuple(s.over for s in statistics),
        steps=np.array([s.step for s in statistics]),
        **fields,
        criterion=criterion,
        candidates=allowed,
        best=best,
        lead=fields[criterion][best] - fields[criterion],
        lead_error=lead_errors(judge, statistics, best, criterion, scores, samples, level),
        first=first_shares(samples, breakers, allowed),
        level=level,
        n_null=len(null),
        n_signal=len(signal),
        tail=tail,
    )


def _level(level: float | None, failed: Ints, n: int) -> float:
    """Return the level of the power, or refuse one that n toys without signal do not reach; see :func:`power_table`."""
    if level is None:
        most = int(failed.max(where=failed < n / 2, initial=0))
        return max(float(z_to_p(3.0)), min((most + _ENOUGH) / n, 0.5))
    most = int(failed.max())
    if open_share(level, "level") * (n + 1) < most + 1:
        some = f", {most} of which failed," if most else ""
        raise InputError("level", f"is {level:g}, which {n} toys{some} do not reach", "Throw more, or raise it")
    return float(level)


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
    chosen: dict[str, Sequence[Any]] = {"procedures": methods, "recipes": fits, "over": kinds, "steps": numbers}
    for argument, given in chosen.items():
        if len(set(given)) < len(given):
            raise InputError(argument, f"are {list(given)}", "Name each once")
    found = []
    for method in methods:
        for kind in kinds:
            for fit in fits if kind in OVER[:2] else (scan_recipe(search),):
                places = numbers if kind in ("step", "mass") else (-1,)
                found += [Statistic(method, fit, kind, step) for step in places]
    if not found:
        raise InputError("procedures", "leave nothing to compare", "Name at least one of each")
    return found

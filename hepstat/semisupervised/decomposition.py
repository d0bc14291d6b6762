"""The causes of fake signal, told apart on the same toys: recipe, steps, sculpting of the mass, over-training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hepstat.errors import InputError
from hepstat.infer import moments
from hepstat.record import Record
from hepstat.semisupervised.columns import SearchLike, Toys, column, place_of, step_of
from hepstat.types import Bools, Floats

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["CAUSES", "FakeSignal", "decompose"]

CAUSES = ("recipe bias", "selection over steps", "mass sculpting", "over-training")
_ROLES = ("independent", "cross-fitted", "in-sample", "decorrelated")
_IN_SAMPLE = 2


@dataclass(frozen=True, eq=False, repr=False)
class FakeSignal(Record):
    """What each cause adds to the mean local significance of toys without signal.

    With Z the significance at a fixed step and M the largest over all steps, of in-sample (A), cross-fitted (C) and
    independent (I) responses in the same toy,

    - at the step, ``<Z_A> = <Z_I> + <Z_C - Z_I> + <Z_A - Z_C>``: recipe bias, mass sculpting, over-training;
    - for the largest, ``<M_A> = <Z_I> + <M_I - Z_I> + <M_C - M_I> + <M_A - M_C>``: recipe bias, selection over steps,
      mass sculpting, over-training.

    The causes add up to the total, exactly, since all means are over the same toys. Errors are those of the paired
    differences. The order is a choice: how much the later causes add is told where the earlier ones are at work.

    Arrays `fixed` are at the step, `largest` of the largest over steps.

    Parameters
    ----------
    recipe : str
        Name of the recipe.
    step : int
        The fixed step.
    causes : tuple of str
        The four causes.
    fixed, fixed_error, largest, largest_error : array of shape (4,)
        What each cause adds to the mean, and its standard error; selection adds 0 at a fixed step.
    roles, procedures : tuple of str
        The q = 3 or 4 responses, "independent", "cross-fitted", "in-sample" and "decorrelated", and the procedures
        that play them.
    mean_fixed, mean_fixed_error, width_fixed, width_fixed_error : array of shape (q,)
        Mean and standard deviation of Z. The width of the independent one is that of the recipe: 1 if Z is what it
        claims to be.
    mean_largest, mean_largest_error, width_largest, width_largest_error : array of shape (q,)
        The same of M.
    auc_excess, auc_error : array of shape (q,)
        Mean area under the curve of window against side bands less 1/2. That of a cross-fitted response is above 0
        where features tell the mass, and 0 where they do not; that of an in-sample one is above 0 anyway.
    correlation, correlation_error : array of shape (q,)
        Mean rank correlation of response and mass. It may be 0 though a response selects the middle of the range.
    remaining, remaining_error : array of shape (2,)
        Mass sculpting that decorrelation leaves, ``<Z_D - Z_I>`` and ``<M_D - M_I>``; NaN without it.
    removed, removed_error : array of shape (2,)
        What it removes, ``<Z_C - Z_D>`` and ``<M_C - M_D>``.
    n_toys, n_failed : int
        All toys, and those left out because one of the significances is missing.
    """

    recipe: str
    step: int
    causes: tuple[str, ...]
    fixed: Floats
    fixed_error: Floats
    largest: Floats
    largest_error: Floats
    roles: tuple[str, ...]
    procedures: tuple[str, ...]
    mean_fixed: Floats
    mean_fixed_error: Floats
    width_fixed: Floats
    width_fixed_error: Floats
    mean_largest: Floats
    mean_largest_error: Floats
    width_largest: Floats
    width_largest_error: Floats
    auc_excess: Floats
    auc_error: Floats
    correlation: Floats
    correlation_error: Floats
    remaining: Floats
    remaining_error: Floats
    removed: Floats
    removed_error: Floats
    n_toys: int
    n_failed: int

    @property
    def total_fixed(self) -> float:
        """Mean Z of the in-sample response at the step."""
        return float(self.mean_fixed[_IN_SAMPLE])

    @property
    def total_fixed_error(self) -> float:
        """Its standard error."""
        return float(self.mean_fixed_error[_IN_SAMPLE])

    @property
    def total_largest(self) -> float:
        """Mean of the largest Z of the in-sample response."""
        return float(self.mean_largest[_IN_SAMPLE])

    @property
    def total_largest_error(self) -> float:
        """Its standard error."""
        return float(self.mean_largest_error[_IN_SAMPLE])

    def table(self) -> Table:
        """Return the causes as a rich table."""
        from rich.table import Table

        failed = f", {self.n_failed} left out" if self.n_failed else ""
        table = Table(title=f"Fake signal, {self.recipe}: mean Z of {self.n_toys:,} toys{failed}")
        table.add_column("cause")
        for name in (f"at step {self.step}", "largest over steps"):
            table.add_column(name, justify="right")
        columns = (self.fixed, self.fixed_error, self.largest, self.largest_error)
        for name, a, da, b, db in zip(self.causes, *columns, strict=True):
            table.add_row(name, f"{a:+.3f} +- {da:.3f}", f"{b:+.3f} +- {db:.3f}")
        table.add_section()
        total = _pair(self.total_fixed, self.total_fixed_error, self.total_largest, self.total_largest_error)
        table.add_row("in-sample, all together", *total)
        if "decorrelated" in self.roles:
            for name, x, e in (
                ("sculpting removed by decorrelation", self.removed, self.removed_error),
                ("sculpting left by it", self.remaining, self.remaining_error),
            ):
                table.add_row(name, *_pair(x[0], e[0], x[1], e[1]))
        return table

    def responses(self) -> Table:
        """Return what the responses are like as a rich table."""
        from rich.table import Table

        table = Table(title=f"Responses, {self.recipe}, step {self.step}")
        table.add_column("response")
        for name in ("mean Z", "width of Z", "largest Z", "AUC - 1/2", "correlation with mass"):
            table.add_column(name, justify="right")
        for i, role in enumerate(self.roles):
            rows = (
                (self.mean_fixed, self.mean_fixed_error),
                (self.width_fixed, self.width_fixed_error),
                (self.mean_largest, self.mean_largest_error),
                (self.auc_excess, self.auc_error),
                (self.correlation, self.correlation_error),
            )
            table.add_row(f"{role} ({self.procedures[i]})", *(f"{x[i]:+.4f} +- {e[i]:.4f}" for x, e in rows))
        return table

    def __repr__(self) -> str:
        """Show the causes of the largest significance."""
        rows = zip(self.causes, self.largest, self.largest_error, strict=True)
        causes = ", ".join(f"{name} {x:+.2f} +- {e:.2f}" for name, x, e in rows)
        return f"FakeSignal({self.recipe}: largest Z {self.total_largest:+.2f} = {causes}; {self.n_toys:,} toys)"


def decompose(
    table: Toys,
    search: SearchLike,
    *,
    recipe: str,
    in_sample: str,
    cross_fitted: str,
    independent: str,
    decorrelated: str | None = None,
    step: int | None = None,
) -> FakeSignal:
    """Tell the causes of fake signal apart.

    Parameters
    ----------
    table : ToyTable or structured array, (n,)
        Toys without signal of a search with all procedures, so that they share every toy.
    search : SemiSupervisedSearch
        Names its procedures, recipes and rejections.
    recipe : str
        Name of the recipe.
    in_sample, cross_fitted, independent : str
        Procedures that evaluate events they were trained on, that do not, and whose response knows nothing of events.
    decorrelated : str, optional
        A cross-fitted one whose response is made independent of the mass.
    step : int, optional
        The fixed step; by default that which rejects most.

    Returns
    -------
    FakeSignal

    Raises
    ------
    InputError
        For names that are not there or given twice, or fewer than two toys in which no significance is missing.
    """
    names = (independent, cross_fitted, in_sample, *(() if decorrelated is None else (decorrelated,)))
    arguments = ("independent", "cross_fitted", "in_sample", "decorrelated")
    for i, name in enumerate(names):
        if name in names[:i]:
            raise InputError(arguments[i], f"is {name!r} again", "Pass different procedures")
    at = step_of(search, len(search.rejections) - 1 if step is None else step)
    r = place_of(search.recipes, recipe, "recipe")
    places = [place_of(search.procedures, name, argument) for name, argument in zip(names, arguments, strict=False)]
    fixed, largest, fine = _significances(table, places, r, at)
    if fine.sum() < 2:
        raise InputError("table", f"has {fine.sum()} toys in which no significance is missing", "Throw more")
    i, c, a = fixed[:3]
    causes = [_Mean.of(x) for x in (i, np.zeros_like(i), c - i, a - c)]
    mi, mc, ma = largest[:3]
    causes_of_largest = [_Mean.of(x) for x in (i, mi - i, mc - mi, ma - mc)]
    unknown = [_Mean(np.nan, np.nan)] * 2
    remaining = [_Mean.of(each[3] - each[0]) for each in (fixed, largest)] if decorrelated else unknown
    removed = [_Mean.of(each[1] - each[3]) for each in (fixed, largest)] if decorrelated else unknown
    at_step, at_most = (np.array([moments(x) for x in each]).T for each in (fixed, largest))
    auc = [_Mean.of(column(table, "auc", p)[fine] - 0.5) for p in places]
    correlation = [_Mean.of(column(table, "correlation", p)[fine]) for p in places]
    return FakeSignal(
        recipe=recipe,
        step=at,
        causes=CAUSES,
        **_arrays("fixed", causes),
        **_arrays("largest", causes_of_largest),
        roles=_ROLES[: len(names)],
        procedures=names,
        mean_fixed=at_step[0],
        mean_fixed_error=at_step[1],
        width_fixed=at_step[2],
        width_fixed_error=at_step[3],
        mean_largest=at_most[0],
        mean_largest_error=at_most[1],
        width_largest=at_most[2],
        width_largest_error=at_most[3],
        auc_excess=np.array([each.mean for each in auc]),
        auc_error=np.array([each.error for each in auc]),
        **_arrays("correlation", correlation),
        **_arrays("remaining", remaining),
        **_arrays("removed", removed),
        n_toys=len(table),
        n_failed=int(np.sum(~fine)),
    )


class _Mean(NamedTuple):
    """A mean over toys and its standard error."""

    mean: float
    error: float

    @classmethod
    def of(cls, values: Floats) -> _Mean:
        """Average what is not NaN."""
        return cls(*moments(values[~np.isnan(values)])[:2])


def _arrays(name: str, means: list[_Mean]) -> dict[str, Floats]:
    """Return a field with means and one with their errors."""
    return {name: np.array([each.mean for each in means]), f"{name}_error": np.array([each.error for each in means])}


def _significances(table: Toys, places: list[int], recipe: int, step: int) -> tuple[Floats, Floats, Bools]:
    """Return Z at the step and the largest Z (q, m) of the toys in which none is missing, and which these are (n,).

    The largest is that of the fits that succeeded.
    """
    pairs = []
    for place in places:
        z = column(table, "z", place, recipe)
        pairs.append((z[:, step], np.fmax.reduce(z, axis=1)))
    both = np.array(pairs)  # (q, 2, n)
    fine = ~np.isnan(both).any(axis=(0, 1))
    return both[:, 0, fine], both[:, 1, fine], fine


def _pair(a: float, da: float, b: float, db: float) -> tuple[str, str]:
    return f"{a:+.3f} +- {da:.3f}", f"{b:+.3f} +- {db:.3f}"

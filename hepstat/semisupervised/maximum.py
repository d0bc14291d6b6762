"""The largest local significance over rejection steps, or over steps and masses, and what it means globally."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from hepstat.errors import InputError
from hepstat.infer import (
    GrossVitells,
    Moments,
    ToyPValue,
    binomial_interval,
    gross_vitells,
    moments,
    p_to_z,
    p_value,
    toy_p_value,
    z_to_log_p,
    z_to_p,
)
from hepstat.infer.broadcast import numbers
from hepstat.infer.tail_fit import TailFit, TailKind, fit_tail
from hepstat.record import Record
from hepstat.semisupervised.columns import LEVEL, SearchLike, Toys, column, fields_of, place_of, scan_recipe, step_of
from hepstat.types import Floats

__all__ = ["OVER", "MaximumDistribution", "Over", "maxima", "maximum"]

Over: TypeAlias = Literal["step", "steps", "mass", "steps and mass"]
OVER: tuple[Over, ...] = ("step", "steps", "mass", "steps and mass")
ALL_STEPS = "all steps"


@dataclass(frozen=True, eq=False, repr=False)
class MaximumDistribution(Record):
    """The distribution of the largest local significance T in toys without signal.

    T is the largest of the fits that succeeded, in toys as in data; a toy without any counts as beyond every value.

    Parameters
    ----------
    procedure, recipe : str
        Their names; for masses the recipe is that of the scan.
    over : {"step", "steps", "mass", "steps and mass"}
        What T is the largest over: nothing (a single step), all steps, all masses at a step, all of both.
    step : int
        The step of "step" and "mass"; the first one otherwise.
    n_steps : int
        Number of steps that T is the largest over.
    values : array of shape (n,)
        T of toys that did not fail, rising.
    local : array of shape (m,)
        Local significance at `step` and the mass of the search in the same toys, rising; fits that failed left out.
        None if T is the largest over masses and that of the search is not among them.
    n_toys, n_failed, n_partial : int
        All toys; those without T; those where some but not all fits failed.
    crossings : dict of str to GrossVitells, or None
        Up-crossings of the mass scan of single steps ("step 0", ...) and of all together ("all steps"), in toys where
        it succeeded there; steps where that is fewer than two are left out.
    """

    procedure: str
    recipe: str
    over: str
    step: int
    n_steps: int
    values: Floats
    local: Floats
    n_toys: int
    n_failed: int
    n_partial: int
    crossings: dict[str, GrossVitells] | None

    @property
    def every(self) -> Floats:
        """T of all toys (n_toys,), infinity for those that failed."""
        return np.append(self.values, np.full(self.n_failed, np.inf))

    @property
    def moments(self) -> Moments:
        """Mean of T, its error, standard deviation, its error, of toys that did not fail."""
        return moments(self.values)

    def p_value(self, z: float) -> ToyPValue:
        """Return the global p-value of one local significance, ``(k + 1) / (n + 1)`` with its interval."""
        failed = np.arange(self.n_toys) >= self.values.size
        return toy_p_value(np.append(self.values, np.zeros(self.n_failed)), z, failed=failed)

    def p_global(self, z: ArrayLike, *, tail: TailFit | None = None) -> tuple[Floats, Floats, Floats]:
        """Return global p-values of local significances, and both ends of their intervals of one standard deviation.

        Parameters
        ----------
        z : array_like
            Largest local significances.
        tail : TailFit, optional
            From :meth:`tail`, to be used above its threshold instead of counting. Without it no p-value is below
            ``1 / (n + 1)``, whatever z. Beyond the end of a "pareto" tail of negative shape p is 0, up to what no toy
            of n says.
        """
        values = numbers(z, "z", -np.inf, np.inf)
        p = np.asarray(p_value(self.every, values))
        lower, upper = (np.asarray(end) for end in binomial_interval(self.n_beyond(values), float(self.n_toys)))
        lower, upper = np.minimum(lower, p), np.maximum(upper, p)
        if tail is not None:
            log_p, error = tail.log_p(values)
            far, ended = ~np.isnan(log_p), np.isneginf(log_p)
            error = np.where(ended, 0.0, error)
            with np.errstate(over="ignore"):
                ends = (np.exp(np.minimum(log_p + sign * error, 0.0)) for sign in (0.0, -1.0, 1.0))
                p, lower, upper = (np.where(far, x, y) for x, y in zip(ends, (p, lower, upper), strict=True))
            upper = np.where(ended, binomial_interval(0.0, float(self.n_toys))[1], upper)
        return p, lower, upper

    def z_global(self, z: ArrayLike, *, tail: TailFit | None = None) -> tuple[Floats, Floats, Floats]:
        """Return global significances of local ones, and both ends of their intervals; see :meth:`p_global`.

        The upper end is infinite beyond the last toy, the significance beyond the end of a tail that has one.
        """
        p, lower, upper = self.p_global(z, tail=tail)
        return np.asarray(p_to_z(p)), np.asarray(p_to_z(upper)), np.asarray(p_to_z(lower))

    def trials_factor(
        self, z: ArrayLike, *, against: Literal["claimed", "toys"] = "claimed"
    ) -> tuple[Floats, Floats, Floats]:
        """Return P(T >= z) over the local p-value, and both ends of its interval of one standard deviation.

        Parameters
        ----------
        z : array_like
            Local significances.
        against : {"claimed", "toys"}
            The local p-value is that of N(0, 1), so that the factor holds what is wrong with the recipe, too; or the
            share of the same toys whose significance at `step` is at least z. The latter toys are among the former, so
            that the inverse of the factor is a binomial share of them.

        Returns
        -------
        factor, lower, upper : array
            NaN where no toy is beyond; the upper end is infinite where none is locally. Infinite where it does not fit
            a number.

        Raises
        ------
        InputError
            If z is NaN, or the factor is one against toys that have no local significance.
        """
        values = numbers(z, "z", -np.inf, np.inf)
        k, n = self.n_beyond(values), float(self.n_toys)
        if against not in ("claimed", "toys"):
            raise InputError("against", f"is {against!r}", "Choose 'claimed' or 'toys'")
        if against == "toys" and not self.local.size:
            problem = f"is 'toys', which have no local significance at step {self.step} of the mass of the search"
            raise InputError("against", problem, "Choose 'claimed', or scan that mass, too")
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            if against == "claimed":
                shares = k / n, *(np.asarray(end) for end in binomial_interval(k, n))
                log_local = np.asarray(z_to_log_p(values))  # local p-values underflow above 38
                factor, lower, upper = (np.where(x > 0, np.exp(np.log(x) - log_local), 0.0) for x in shares)
                return np.where(k > 0, factor, np.nan), lower, upper
            inside = np.minimum(self._n_local(values), k)
            lower, upper = (np.asarray(end) for end in binomial_interval(inside, k))
            some = k > 0
            return tuple(np.where(some, x, np.nan) for x in (k / inside, 1.0 / upper, 1.0 / lower))  # type: ignore[return-value]

    def gross_vitells(self, z: ArrayLike, *, step: int | None = None) -> tuple[Floats, Floats]:
        """Return the upper bound of Gross and Vitells (arXiv:1005.1891) on the global p-value, and its standard error.

        Parameters
        ----------
        z : array_like
            Largest local significances.
        step : int, optional
            Bound of the mass scan at this step alone; by default the sum of the bounds of all steps that T is the
            largest over, which counts as often what several steps have in common.

        Raises
        ------
        InputError
            If T is not the largest over masses, or the step is not among its own.
        """
        if self.crossings is None:
            raise InputError("over", f"is {self.over!r}", "Choose 'mass' or 'steps and mass'")
        name = (ALL_STEPS if self.n_steps > 1 else f"step {self.step}") if step is None else f"step {step}"
        if name not in self.crossings:
            known = ", ".join(self.crossings)
            raise InputError("step", f"is {step}, where no two scans are known", f"Choose from {known or 'more toys'}")
        values = numbers(z, "z", -np.inf, np.inf)
        p, error = self.crossings[name].p_global(values)
        others = (self.n_steps - 1) * np.asarray(z_to_p(values)) if name == ALL_STEPS else 0.0
        return np.minimum(p + others, 1.0), np.asarray(error)

    def tail(self, kind: TailKind, *, share: float = 0.02) -> TailFit:
        """Fit a tail to the toys above a high quantile, see :func:`hepstat.infer.fit_tail`."""
        return fit_tail(self.values, kind, share=share, n_failed=self.n_failed)

    def n_beyond(self, z: ArrayLike) -> Floats:
        """Return how many toys are at or beyond each value, failed ones included."""
        found = self.values.size - np.searchsorted(self.values, z) + self.n_failed
        return np.asarray(found, dtype=np.float64)

    def _n_local(self, z: Floats) -> Floats:
        return np.asarray(self.local.size - np.searchsorted(self.local, z), dtype=np.float64)

    def __repr__(self) -> str:
        """Show what T is the largest over, its moments and trials factors."""
        where = f" {self.step}" if self.over in ("step", "mass") else ""
        mean, mean_error, width, width_error = self.moments
        z = np.arange(1.0, 4.0)
        factors, low, high = self.trials_factor(z)
        text = ", ".join(f"{f:.3g} +- {0.5 * (b - a):.2g}" for f, a, b in zip(factors, low, high, strict=True))
        failed = f", {self.n_failed} failed" if self.n_failed else ""
        return (
            f"MaximumDistribution({self.procedure}, {self.recipe}, over {self.over}{where}: mean {mean:.3f} +- "
            f"{mean_error:.3f}, width {width:.3f} +- {width_error:.3f}; trials factor {text} at Z = 1, 2, 3; "
            f"{self.n_toys:,} toys{failed})"
        )


def maximum(
    table: Toys, search: SearchLike, *, procedure: str, recipe: str | None = None, over: Over = "steps", step: int = 0
) -> MaximumDistribution:
    """Take the largest local significance of every toy.

    Parameters
    ----------
    table : ToyTable or structured array, (n,)
        Toys of a search, without signal.
    search : SemiSupervisedSearch
        Names its procedures, recipes and rejections.
    procedure, recipe : str
        Their names. Mass scans are fitted with a profiled background whatever the recipe, so there it may be left out.
    over : {"step", "steps", "mass", "steps and mass"}
        What to take the largest over; "step" is the significance at one step, "mass" the largest there.
    step : int, optional
        For "step" and "mass".

    Returns
    -------
    MaximumDistribution

    Raises
    ------
    InputError
        For names that are not there, masses that were not scanned, or fewer than two toys that did not fail.
    """
    t = maxima(table, search, procedure=procedure, recipe=recipe, over=over, step=step)
    at = step_of(search, step) if over in ("step", "mass") else 0
    p = place_of(search.procedures, procedure, "procedure")
    by_mass = over in ("mass", "steps and mass")
    names = [str(each.name) for each in search.recipes]
    shown = recipe or scan_recipe(search)
    known = shown in names and (not by_mass or _scans_own_mass(search))
    local = column(table, "z", p, names.index(shown), at) if known else np.empty(0)
    fine = ~np.isnan(t)
    if fine.sum() < 2:
        raise InputError("table", f"has {fine.sum()} toys with a fit that succeeded", "Throw more")
    used = slice(None) if over in ("steps", "steps and mass") else slice(at, at + 1)
    each = column(table, "z_scan", p) if by_mass else column(table, "z", p, names.index(shown))
    lost = np.isnan(each[:, used]).any(axis=1)
    return MaximumDistribution(
        procedure=procedure,
        recipe=shown,
        over=over,
        step=at,
        n_steps=each[:, used].shape[1],
        values=np.sort(t[fine]),
        local=np.sort(local[~np.isnan(local)]),
        n_toys=len(table),
        n_failed=int(np.sum(~fine)),
        n_partial=int(np.sum(lost & fine)),
        crossings=_crossings(table, p, used) if by_mass else None,
    )


def maxima(table: Toys, search: SearchLike, *, procedure: str, recipe: str | None, over: Over, step: int = 0) -> Floats:
    """Return the largest local significance (n,) of every toy, NaN where all fits failed; see :func:`maximum`."""
    if over not in OVER:
        raise InputError("over", f"is {over!r}", f"Choose from {', '.join(OVER)}")
    p = place_of(search.procedures, procedure, "procedure")
    at = (step_of(search, step),) if over in ("step", "mass") else ()
    if over in ("mass", "steps and mass"):
        if "z_scan" not in fields_of(table):
            raise InputError("over", f"is {over!r}, but the toys have no mass scan", "Give the search positions")
        if recipe not in (None, scan_recipe(search)):
            raise InputError("recipe", f"is {recipe!r}", "Masses are scanned with a profiled background: leave it out")
        z = column(table, "z_scan", p, *at)
    elif recipe is None:
        raise InputError("recipe", "is missing", f"Choose from {', '.join(str(r.name) for r in search.recipes)}")
    else:
        z = column(table, "z", p, place_of(search.recipes, recipe, "recipe"), *at)
    return z if at else np.fmax.reduce(z, axis=1)  # fmax passes over NaN


def _crossings(table: Toys, procedure: int, used: slice) -> dict[str, GrossVitells]:
    """Return the mean up-crossings at each step, and of all of them if there are several, of scans that succeeded."""
    counted = column(table, "crossings", procedure)
    scanned = (counted >= 0) & ~np.isnan(column(table, "z_scan", procedure))
    steps = range(counted.shape[1])[used]
    groups = {f"step {step}": [step] for step in steps}
    if len(steps) > 1:
        groups[ALL_STEPS] = [step for step in steps if scanned[:, step].sum() > 1]
    found = {}
    for name, chosen in groups.items():
        n = counted[scanned[:, chosen].all(axis=1)][:, chosen].sum(axis=1)
        if chosen and n.size > 1:
            found[name] = gross_vitells(n, LEVEL)
    return found


def _scans_own_mass(search: Any) -> bool:
    """Return whether the mass of the search is among those scanned; a search that knows neither is trusted."""
    positions, spectrum = getattr(search, "positions", None), getattr(search, "spectrum", None)
    if positions is None or spectrum is None:
        return True
    low, high = spectrum.range
    return bool(np.any(np.abs(np.asarray(positions) - spectrum.values["signal_mean"]) <= 1e-9 * (high - low)))

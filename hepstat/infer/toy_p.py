"""p-values from toys: an estimate that is never 0, with its interval, however many toys there are.

A toy counts if its statistic is at least the observed one; larger is more signal-like. A toy whose fit failed has no
statistic. It is not known to lie below the observed one, so unless asked otherwise it counts as if it did not, which
can only make a p-value larger.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_number, open_share, positive_number, whole_number
from hepstat.errors import InputError
from hepstat.infer.intervals import binomial_interval, tail_of
from hepstat.infer.significance import p_to_z
from hepstat.record import Record
from hepstat.seeds import Rng, lasting_seed
from hepstat.toys import Study, ToyTable, run
from hepstat.types import Bools, Floats, Ints

__all__ = ["CountFailed", "ToyPValue", "mask_of", "per_toy", "toy_p_value", "toy_p_value_of", "toy_p_value_to"]

CountFailed: TypeAlias = Literal["exceed", "drop"]

_GROWTH = (1.25, 4.0)  # of the number of toys from one round to the next
_MARGIN = 1.05  # a little more than the projected number, so that one round less is needed


@dataclass(frozen=True, repr=False)
class ToyPValue(Record):
    """A p-value estimated from toys.

    Parameters
    ----------
    p : float
        ``(k + 1) / (n + 1)`` for k of n toys at least as signal-like as the data: the data count as one more toy, so
        that it is never 0, and a test at any level rejects no more often than it says.
    p_lower, p_upper : float
        Clopper-Pearson interval for the true p-value, from k of n, widened to contain `p` if it does not.
    z, z_lower, z_upper : float
        The same in standard deviations, ``z_lower <= z <= z_upper``; `z_upper` is inf for k = 0.
    level : float
        Confidence level of the interval.
    n_toys : int
        Toys that entered, n.
    n_at_least : int
        Toys at least as signal-like as the data, k, with the failed ones if they count.
    n_failed : int
        Toys that failed.
    count_failed : str
        ``"exceed"``: failed toys are among both n and k. ``"drop"``: among neither.
    reached : bool or None
        Whether the aim of :func:`toy_p_value_to` was reached; None where there was none.
    """

    p: float
    p_lower: float
    p_upper: float
    z: float
    z_lower: float
    z_upper: float
    level: float
    n_toys: int
    n_at_least: int
    n_failed: int
    count_failed: str
    reached: bool | None = None

    @property
    def relative_error(self) -> float:
        """Half the width of the interval over `p`."""
        return 0.5 * (self.p_upper - self.p_lower) / self.p

    def __repr__(self) -> str:
        """Show the p-value, its significance, and what became of failed toys."""
        kept = "counted as exceeding" if self.count_failed == "exceed" else "left out"
        failed = f", {self.n_failed} failed, {kept}" if self.n_failed else ""
        short = "" if self.reached in (None, True) else "; stopped short of the aim"
        return (
            f"ToyPValue(p = {self.p:.4g} in [{self.p_lower:.4g}, {self.p_upper:.4g}], "
            f"Z = {self.z:.3f} in [{self.z_lower:.3f}, {self.z_upper:.3f}] at {self.level:g}; "
            f"{self.n_at_least} of {self.n_toys} toys{failed}{short})"
        )


def toy_p_value(
    values: ArrayLike,
    observed: float,
    *,
    failed: ArrayLike | None = None,
    count_failed: CountFailed = "exceed",
    level: float = 0.6827,
) -> ToyPValue:
    """Estimate a p-value from the statistic of toys thrown without signal.

    Parameters
    ----------
    values : array_like, shape (n_toys,)
        Statistic of every toy, larger for more signal-like ones; infinities are allowed.
    observed : float
        The same of the data.
    failed : array_like of bool or int, shape (n_toys,), optional
        Which toys failed, by truth or by a status that is not 0; their values are ignored.
    count_failed : {"exceed", "drop"}
        Whether a failed toy counts as at least as signal-like as the data, which is conservative, or not at all.
        Dropping is right only if toys fail independently of the statistic.
    level : float, optional
        Confidence level of the interval.

    Returns
    -------
    ToyPValue
        With its interval.

    Raises
    ------
    InputError
        If a toy has no value (NaN) though it is not declared as failed, or no toy is left.
    """
    x = per_toy(values, "values")
    tally = _tally(x, finite_number(observed, "observed"), mask_of(failed, x.size))
    return _conclude(tally, count_failed, level)


def toy_p_value_of(
    table: ToyTable,
    name: str,
    observed: float,
    *,
    count_failed: CountFailed = "exceed",
    level: float = 0.6827,
) -> ToyPValue:
    """Estimate a p-value from a table of toys, block by block, so that they need not fit into memory.

    Parameters
    ----------
    table : ToyTable
        Toys thrown without signal.
    name : str
        Field that holds the statistic, larger for more signal-like toys.
    observed, count_failed, level
        See :func:`toy_p_value`. Failed toys are those whose status is not 0.

    Returns
    -------
    ToyPValue
        As if from :func:`toy_p_value`.

    Raises
    ------
    InputError
        If there is no such field, the toys have weights, a toy that has not failed has NaN, or no toy is left.
    """
    refuse_weights(table)
    limit, counts = finite_number(observed, "observed"), np.zeros(3, dtype=np.int64)
    for first, records in chosen(table, name).blocks():
        counts += _tally(np.asarray(records[name], dtype=np.float64), limit, records["status"] != 0, first)
    return _conclude(counts, count_failed, level)


def toy_p_value_to(
    study: Study,
    name: str,
    observed: float,
    *,
    target: float | None,
    rng: Rng,
    decide: float | None = None,
    most: int = 10**7,
    first_round: int = 1000,
    count_failed: CountFailed = "exceed",
    level: float = 0.6827,
    **options: Any,
) -> tuple[ToyPValue, ToyTable]:
    """Throw toys until the p-value is known well enough.

    Toys come in rounds. Each continues the stream of the last, and its size follows from the toys so far and from
    nothing else, so that neither workers nor blocks change the result. The number grows to what the aim is projected to
    need, by a factor of 1.25 to 4 a round.

    Stopping when the estimate looks good biases it a little, because a round that by chance saw more toys at least as
    signal-like as the data has a smaller relative error and stops earlier: towards larger p, by about the square of
    the relative error. For the same reason the interval covers a little less than its level. An aim of 10% or less
    makes both small; for more, throw a number of toys chosen beforehand.

    Parameters
    ----------
    study : Study
        Throws toys without signal.
    name, observed, count_failed, level
        See :func:`toy_p_value_of`.
    target : float or None
        Relative half-width of the interval, ``(p_upper - p_lower) / (2 p)``, at which to stop; None with `decide` only.
    rng : int, SeedSequence or Generator
        See :func:`hepstat.toys.run`. A Generator is drawn from once, for the seed of all rounds.
    decide : float, optional
        Stop, too, once the interval excludes this p-value. Looks repeat, so choose a `level` well above that of the
        decision.
    most : int
        Largest number of toys.
    first_round : int
        Toys of the first round.
    **options
        Passed to :func:`hepstat.toys.run`: workers, executor, path, chunk, progress, max_failed, flush_seconds.

    Returns
    -------
    p : ToyPValue
        With `reached` telling whether the aim was reached, or the toys ended or were interrupted before.
    table : ToyTable
        All toys.

    Raises
    ------
    InputError
        If an argument cannot be used.
    """
    stop = _Stop(target, decide)
    most, n = whole_number(most, "most", at_least=1), whole_number(first_round, "first_round", at_least=1)
    odd = {"n", "first", "resume"} & set(options)
    if odd:
        raise InputError(sorted(odd)[0], "is chosen by the rounds", "Leave it out")
    tail_of(level)
    if isinstance(rng, np.random.Generator):  # it would give every round another stream
        rng = lasting_seed(rng)
    table: ToyTable | None = None
    n = min(n, most)
    while True:
        earlier = table if options.get("path") is None else None  # a folder keeps the toys of earlier rounds
        table = run(study, n, rng=rng, resume=earlier, **options)
        found = toy_p_value_of(table, name, observed, count_failed=count_failed, level=level)
        reached = stop.at(found)
        if reached or n >= most or not table.complete:
            return replace(found, reached=reached), table
        n = min(most, stop.next_size(found, n))


@dataclass(frozen=True, slots=True)
class _Stop:
    """When the rounds of :func:`toy_p_value_to` end."""

    target: float | None
    decide: float | None

    def __post_init__(self) -> None:
        if self.target is None and self.decide is None:
            raise InputError("target", "is None and so is decide", "Pass one of them")
        if self.target is not None:
            positive_number(self.target, "target")
        if self.decide is not None:
            open_share(self.decide, "decide")

    def at(self, found: ToyPValue) -> bool:
        """Tell whether either aim is reached."""
        precise = self.target is not None and found.relative_error <= self.target
        return precise or (self.decide is not None and not found.p_lower <= self.decide <= found.p_upper)

    def next_size(self, found: ToyPValue, n: int) -> int:
        """Project the number of toys that the nearest aim needs from errors that fall with its square root."""
        least, most = _GROWTH
        growth = [most]
        if self.target is not None:
            growth.append(_MARGIN * (found.relative_error / self.target) ** 2)
        if self.decide is not None:
            distance = abs(found.p - self.decide)
            half = 0.5 * (found.p_upper - found.p_lower)
            growth.append(_MARGIN * (half / distance) ** 2 if distance > 0 else most)
        return math.ceil(n * max(least, min(growth)))


def per_toy(values: ArrayLike, name: str, n: int | None = None) -> Floats:
    """Return one number for every toy (n,) as float64; what is NaN is for the caller to judge."""
    try:
        x = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(name, f"is not an array of numbers ({error})", "Pass real numbers only") from None
    if x.ndim != 1 or (n is not None and x.size != n):
        many = "" if n is None else f", ({n},)"
        raise InputError(name, f"has shape {x.shape}", f"Pass one number for every toy{many}")
    return x


def mask_of(failed: ArrayLike | None, n: int) -> Bools:
    """Return which of n toys failed, given truth values or status codes; none if nothing is given."""
    if failed is None:
        return np.zeros(n, dtype=bool)
    mask = np.asarray(failed)
    if mask.dtype.kind not in "biu" or mask.shape != (n,):
        shown = f"has type {mask.dtype} and shape {mask.shape}"
        raise InputError("failed", shown, f"Pass ({n},) truth values or status codes")
    return np.asarray(mask != 0)


def chosen(table: ToyTable, name: str) -> ToyTable:
    """Return the table if it has such a field, or raise :class:`InputError`."""
    if name not in (table.dtype.names or ()):
        raise InputError("name", f"is {name!r}", f"Choose from {', '.join(table.dtype.names or ())}")
    return table


def refuse_weights(table: ToyTable) -> None:
    """Raise :class:`InputError` if the toys have weights, which counting would ignore."""
    if "log_weight" in (table.dtype.names or ()):
        raise InputError("table", "holds weighted toys (log_weight)", "Use weighted_p_value_of")


def _tally(values: Floats, observed: float, failed: Bools, first: int = 0) -> Ints:
    """Return how many toys have a statistic (3,), how many of them reach the observed one, and how many failed."""
    lost = np.flatnonzero(np.isnan(values) & ~failed)
    if lost.size:
        raise InputError(
            "values",
            f"is NaN in {lost.size} toys that are not declared as failed, the first at index {first + lost[0]}",
            "Find out why, or declare them as failed",
        )
    n_failed = int(np.count_nonzero(failed))
    return np.array([values.size - n_failed, np.count_nonzero((values >= observed) & ~failed), n_failed])


def _conclude(tally: Ints, count_failed: CountFailed, level: float) -> ToyPValue:
    n, k, n_failed = (int(count) for count in tally)
    if count_failed not in ("exceed", "drop"):
        raise InputError("count_failed", f"is {count_failed!r}", "Choose 'exceed' or 'drop'")
    if count_failed == "exceed":
        n, k = n + n_failed, k + n_failed
    if n == 0:
        raise InputError("values", f"has no toy to count ({n_failed} failed)", "Throw more toys")
    p = (k + 1) / (n + 1)
    lower, upper = binomial_interval(k, n, level)
    lower, upper = min(lower, p), max(upper, p)
    z, z_lower, z_upper = p_to_z(p), p_to_z(upper), p_to_z(lower)
    return ToyPValue(p, lower, upper, z, z_lower, z_upper, level, n, k, n_failed, count_failed)

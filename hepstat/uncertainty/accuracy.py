"""Accuracy: a network is fixed, and what it says is uncertain through the events that it sees, by their finite number.

Systematic shifts of the events are in :mod:`hepstat.uncertainty.propagation`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, open_share, weighted_events, whole_number
from hepstat.errors import InputError
from hepstat.execution import map_ordered
from hepstat.record import Record
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats

__all__ = [
    "Bootstrap",
    "Functional",
    "bootstrap_test_sample",
    "functional_value",
    "shown_values",
    "summarise",
]

Functional = Callable[[Any, Any], Any]


@dataclass(frozen=True, eq=False, repr=False)
class Bootstrap(Record):
    """Statistical uncertainty of something that is computed from events, by drawing them again.

    Parameters
    ----------
    value : array, (k,)
        From the events themselves.
    replicas : array, (n, k)
        From each drawn sample that gave finite numbers.
    n_failed : int
        Drawn samples that did not; they are left out.
    """

    value: Floats
    replicas: Floats
    n_failed: int

    @property
    def covariance(self) -> Floats:
        """Covariance over the drawn samples, (k, k)."""
        return np.atleast_2d(np.cov(self.replicas, rowvar=False))

    @property
    def error(self) -> Floats:
        """Standard deviation over the drawn samples, (k,)."""
        return np.asarray(self.replicas.std(axis=0, ddof=1))

    @property
    def bias(self) -> Floats:
        """Mean over the drawn samples, less the value (k,): about how far the value is on average from the truth."""
        return np.asarray(self.replicas.mean(axis=0) - self.value)

    def interval(self, level: float = 0.6827) -> tuple[Floats, Floats]:
        """Return the central quantiles of the drawn samples, (k,) each."""
        level = open_share(level, "level")
        low, high = np.quantile(self.replicas, [0.5 - 0.5 * level, 0.5 + 0.5 * level], axis=0)
        return low, high

    def __repr__(self) -> str:
        """Show values and errors."""
        failed = f"; {self.n_failed} failed" if self.n_failed else ""
        return f"Bootstrap({shown_values(self.value, self.error)}; {len(self.replicas)} samples{failed})"


def bootstrap_test_sample(
    statistic: Functional,
    x: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    rng: Rng,
    n: int = 1000,
    total: Literal["poisson", "fixed"] = "poisson",
    workers: int = 1,
) -> Bootstrap:
    """Return the statistical uncertainty of anything that is computed from events (Efron, Ann. Statist. 7 (1979) 1).

    The events stay where they are; their weights are multiplied by how often they are drawn. So scores of a fixed
    network are computed once, and `x` may well be these.

    Parameters
    ----------
    statistic : callable
        ``statistic(x, weights)`` gives a number or (k,): a histogram of scores, an efficiency, a fitted signal
        strength. It is called by several threads.
    x : array_like, (n_events,) or (n_events, d)
        Events, or scores of them.
    weights : array_like, (n_events,), optional
        Of any sign; 1 by default.
    rng : int, SeedSequence or Generator
        Sample i has a stream of its own, so the result does not depend on `workers`.
    n : int, optional
        Samples that are drawn, at least 2. The error of a standard deviation is 1 / sqrt(2 n) of it.
    total : {"poisson", "fixed"}, optional
        Whether the number of events fluctuates, as that of data does and the yields of simulation do, or is fixed.
    workers : int, optional
        Threads.

    Returns
    -------
    Bootstrap

    Raises
    ------
    InputError
        For unusable events or options; if the statistic of the events is not finite, or that of fewer than two samples.
    """
    table, w = weighted_events(x, weights, any_sum=True)
    events = table.ravel() if np.ndim(x) == 1 else table
    if total not in ("poisson", "fixed"):
        raise InputError("total", f"is {total!r}", "Choose 'poisson' or 'fixed'")
    key, n = stream_key(rng), whole_number(n, "n", at_least=2)
    value = functional_value(statistic(events, w), "statistic")

    def one(i: int) -> Floats:
        generator = toy_generator(key, i)
        if total == "poisson":
            counts = generator.poisson(1.0, w.size)
        else:
            counts = generator.multinomial(w.size, np.full(w.size, 1.0 / w.size))
        return np.atleast_1d(np.asarray(statistic(events, w * counts), dtype=np.float64))

    replicas, n_failed = summarise(np.array(list(map_ordered(one, range(n), workers=workers))), "statistic")
    return Bootstrap(value, replicas, n_failed)


def functional_value(value: Any, name: str) -> Floats:
    """Return what a function of events gave as (k,), finite, or raise :class:`InputError`."""
    return finite_array(np.atleast_1d(np.asarray(value)), f"{name} of the events")


def summarise(values: Floats, name: str) -> tuple[Floats, int]:
    """Return the rows of a table (n, k) that are finite, and the number of others; raise if fewer than two are."""
    good = np.isfinite(values).all(axis=1)
    if good.sum() < 2:
        problem = f"is finite for {int(good.sum())} of {good.size} samples"
        raise InputError(name, problem, "Pass one that takes fluctuating events")
    return values[good], int((~good).sum())


def shown_values(values: Floats, errors: Floats) -> str:
    """Return up to three values with their errors in words."""
    shown = [f"{value:.4g} +- {error:.2g}" for value, error in zip(values[:3], errors[:3], strict=True)]
    return ", ".join([*shown, *([f"... {values.size} in all"] if values.size > 3 else [])])

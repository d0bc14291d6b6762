"""Toys of a model of a signal strength: thrown at one truth, fitted without restriction and at two strengths."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

from hepstat.checks import finite_number
from hepstat.digest import numbers_digest
from hepstat.errors import InputError
from hepstat.kernels.draws.pool import alias_table
from hepstat.kernels.newton import CONVERGED
from hepstat.kernels.strength_toys import Pools, Records, Source, throw_strength_toys
from hepstat.seeds import Key
from hepstat.strength.fitting import problem_of, statistic_of_minima
from hepstat.strength.model import Model
from hepstat.strength.sources import warn_if_small
from hepstat.toys.study import PreparedStudy
from hepstat.toys.table import ToyTable
from hepstat.types import Floats, Ints

__all__ = ["StrengthToys", "statistics_of"]

REASONS = {
    1: "a fit has used up its evaluations",
    2: "a fit has stalled",
    3: "data have no likelihood where a fit starts",
}


class StrengthToys(PreparedStudy):
    """Study of a model of a signal strength: throw, fit, keep what test statistics are made of.

    Bins are Poisson counts, events of unbinned channels are drawn from the simulated ones with replacement, auxiliary
    measurements are thrown around the true nuisances. A record has `status` (0, or a key of `reasons`), `n`, `mu_hat`,
    the nuisances at the best fit under their names, and `nll_best`, `nll_test` and `nll_zero`: -log L at the
    minimum, at `mu_test` and at strength 0, infinite where the toy is impossible there. :func:`statistics_of` makes
    test statistics of them. Run it with :func:`hepstat.toys.run`.

    Parameters
    ----------
    model : Model
        Unbinned channels need simulated events.
    mu : float
        Strength that toys are thrown with.
    mu_test : float, optional
        Strength under test.
    nuisances : mapping of str to float, optional
        What is true; nominal values by default. For limits, those of the fit to data at the strength of the toys.

    Raises
    ------
    InputError
        If something does not fit the model, or an expectation is negative.

    Warns
    -----
    SmallSampleWarning
        If simulated samples are too small for toys of this size.
    """

    chunk = 64
    reasons: Mapping[int, str] = REASONS

    def __init__(
        self, model: Model, mu: float, *, mu_test: float = 1.0, nuisances: Mapping[str, float] | None = None
    ) -> None:
        self.model, self.mu = model, finite_number(mu, "mu")
        self.mu_test = finite_number(mu_test, "mu_test")
        self.theta = model.theta(mu, nuisances)
        model.require_expectations(self.theta)
        taken = sorted({"status", "n", "mu_hat", "nll_best", "nll_test", "nll_zero"} & set(model.names))
        if taken:
            raise InputError("nuisances", f"have {taken[0]!r}, a field of the records", "Choose another name")
        for weights, pool in zip(self._weights, model.simulated.pools, strict=True):
            warn_if_small(pool.component.name, float(weights.sum()), weights)

    @cached_property
    def _weights(self) -> list[Floats]:
        return self.model.weights_at(self.theta)

    @property
    def dtype(self) -> np.dtype[Any]:
        """One record."""
        names = [*self.model.names[1:], "nll_best", "nll_test", "nll_zero"]
        return np.dtype([("status", "i2"), ("n", "i8"), ("mu_hat", "f8"), *((name, "f8") for name in names)])

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        rows, d, problem = self.model.simulated.rows, self.model.dependence, problem_of(self.model)
        source, pools = self._source[:2], self._source.pools
        return {
            "name": type(self).__name__,
            "parameters": list(self.model.names),
            "theta": self.theta.tolist(),
            "mu_test": self.mu_test,
            "numbers": numbers_digest(*rows, *d, problem.lower, problem.upper, *source, *pools),
        }

    @cached_property
    def _source(self) -> Source:
        contents = self.model.expected_contents(self.theta)
        return Source(np.arange(contents.size), contents, self._pools(), self.theta, self.model.parabolas(self.theta))

    def _pools(self) -> Pools:
        pools, weights = self.model.simulated.pools, self._weights
        tables = [_alias(w) for w in weights]
        means = np.array([w.sum() for w in weights])
        total, share = np.full(len(pools), -1), np.ones(len(pools))
        for p, pool in enumerate(pools):
            members = [q for q, other in enumerate(pools) if other.channel is pool.channel]
            if pool.channel.n_total is not None:
                total[p] = pool.channel.n_total if p == members[0] else -2
                share[p] = 1.0 if p == members[-1] else means[p] / means[[q for q in members if q >= p]].sum()
        return Pools(
            start=np.cumsum([0, *(w.size for w in weights)]).astype(np.int64),
            row=np.concatenate([np.empty(0, np.int64), *(np.arange(pool.start, pool.stop) for pool in pools)]),
            plain=np.array([not pool.channel.shaped for pool in pools], dtype=bool),
            intensity=self.model.simulated.intensity,
            threshold=np.concatenate([np.empty(0), *(threshold for threshold, _ in tables)]),
            alias=np.concatenate([np.empty(0, np.int64), *(alias for _, alias in tables)]),
            mean=means,
            total=total.astype(np.int64),
            share=share,
        )

    def block(self, key: Key, first: int, out: np.ndarray) -> None:
        """Fill out (n,) with the records of toys `first`, ``first + 1``, ..."""
        n = len(out)
        records = Records(
            np.empty((n, self.theta.size)), np.empty(n), np.empty(n), np.empty(n),
            np.empty(n, np.int64), np.empty(n, np.int64),
        )  # fmt: skip
        throw_strength_toys(
            self.model.simulated.rows,
            self.model.dependence,
            problem_of(self.model),
            self._source,
            self.mu_test,
            *key,
            int(first),
            records,
        )
        out["status"], out["n"], out["mu_hat"] = records.status, records.n_events, records.theta[:, 0]
        for i, name in enumerate(self.model.names[1:]):
            out[name] = records.theta[:, 1 + i]
        for name in ("nll_best", "nll_test", "nll_zero"):
            out[name] = getattr(records, name)


def _alias(weights: Floats) -> tuple[Floats, Ints]:
    """Return the alias table of weights (n,); one that is never asked if all are zero."""
    threshold, alias = np.ones(weights.size), np.zeros(weights.size, np.int64)
    if weights.sum() > 0:
        alias_table(weights, threshold, alias)
    return threshold, alias


def statistics_of(toys: ToyTable, name: str) -> Floats:
    """Return a test statistic (toys,) of toys of :class:`StrengthToys`, NaN for those that failed.

    It is infinite for toys that are impossible under the hypothesis under test.

    Parameters
    ----------
    toys : ToyTable
    name : str
        One of :data:`hepstat.infer.STATISTICS`.

    Raises
    ------
    InputError
        If the toys are of another study, or the name is unknown.
    """
    if "nll_test" not in (toys.dtype.names or ()):
        raise InputError("toys", f"have the fields {', '.join(toys.dtype.names or ())}", "Pass toys of StrengthToys")
    good = toys.status == CONVERGED
    values = np.full(len(toys), np.nan)
    parts = {field: np.asarray(toys[field])[good] for field in ("nll_best", "nll_test", "nll_zero", "mu_hat")}
    values[good] = statistic_of_minima(
        name, parts["nll_best"], parts["mu_hat"], toys.config["mu_test"], parts["nll_test"], parts["nll_zero"]
    )
    return values

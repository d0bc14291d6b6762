"""Local significances of toys: whether a Z that a recipe calls a number of standard deviations is one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array, finite_number
from hepstat.errors import InputError
from hepstat.infer import Moments, binomial_interval, moments, normality_p, p_value_calibration, z_to_p
from hepstat.record import Record
from hepstat.semisupervised.columns import SearchLike, Toys, column, n_failed_toys
from hepstat.types import Floats, Ints

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["LocalSignificance", "TrueLevel", "local_significance"]

_EDGES = np.linspace(-10.0, 10.0, 81)
_LEVELS = (1.0, 2.0, 3.0, 4.0, 5.0)
_REFUSED = 0.01  # p-value of a distribution that toys contradict


@dataclass(frozen=True, eq=False, repr=False)
class TrueLevel(Record):
    """The share of toys beyond a local significance, and what it claims.

    Parameters
    ----------
    z : float
        Local significance.
    claimed : float
        Its one-sided p-value by the standard normal distribution.
    share, lower, upper : array of shape (P, R, S)
        Toys at or beyond `z` of those whose fit succeeded, with the Clopper-Pearson interval of one standard deviation;
        by procedure, recipe and step. NaN where no fit did.
    n_sigma : array of shape (P, R, S)
        Standard deviations between share and claim by the exact binomial tail, positive where the claim is too low.
    """

    z: float
    claimed: float
    share: Floats
    lower: Floats
    upper: Floats
    n_sigma: Floats

    def __repr__(self) -> str:
        """Show the claim and the range of shares."""
        known = self.share[np.isfinite(self.share)]
        ends = f"{known.min():.3g} to {known.max():.3g}" if known.size else "none"
        return f"TrueLevel(Z = {self.z:g} claims {self.claimed:.3g}; toys beyond: {ends})"


@dataclass(frozen=True, eq=False, repr=False)
class LocalSignificance(Record):
    """What toys say of the local significance of every procedure, recipe and rejection step.

    Arrays have the shape (P, R, S) of procedures, recipes and steps, unless said otherwise. A fit that failed is left
    out, and counted.

    Parameters
    ----------
    procedures, recipes : tuple of str
        Their names.
    rejections : array of shape (S,)
        Share of events that each step rejects.
    n_toys, n_failed_toys : int
        All toys, and those that failed as a whole.
    n, n_failed : array of int
        Toys whose fit succeeded, and all others.
    mean, mean_error, width, width_error : array
        Mean and standard deviation of Z. The error of the latter has the fourth moment of the toys, so that it holds
        for distributions that are not normal.
    ks_p : array
        Kolmogorov-Smirnov p-value of the standard normal distribution, which Z claims to have.
    ks_p_normal : array
        That of a normal distribution with fitted mean and width (Lilliefors 1967). What looks normal need not be
        N(0, 1).
    levels : array of shape (L,)
        Local significances.
    beyond : array of int, shape (P, R, S, L)
        Toys at or beyond each of `levels`.
    beyond_sigma : array of shape (P, R, S, L)
        See `n_sigma` of :class:`TrueLevel`.
    edges : array of shape (B + 1,)
        Edges of bins of Z.
    counts : array of int, shape (P, R, S, B)
        Toys in these bins.
    """

    procedures: tuple[str, ...]
    recipes: tuple[str, ...]
    rejections: Floats
    n_toys: int
    n_failed_toys: int
    n: Ints
    n_failed: Ints
    mean: Floats
    mean_error: Floats
    width: Floats
    width_error: Floats
    ks_p: Floats
    ks_p_normal: Floats
    levels: Floats
    beyond: Ints
    beyond_sigma: Floats
    edges: Floats
    counts: Ints

    def true_level(self, z: float) -> TrueLevel:
        """Return the share of toys at or beyond one of `levels`, against what it claims.

        Raises
        ------
        InputError
            If `z` is none of the levels.
        """
        found = np.flatnonzero(np.isclose(self.levels, finite_number(z, "z"), rtol=1e-9, atol=0.0))
        if not found.size:
            raise InputError("z", f"is {z:g}", f"Pass one of levels = {self.levels.tolist()}, or choose others")
        level = float(self.levels[found[0]])
        k, n = self.beyond[..., found[0]].astype(np.float64), self.n.astype(np.float64)
        lower, upper = binomial_interval(k, n)
        some = n > 0
        share, lower, upper = (np.where(some, x, np.nan) for x in (k / np.maximum(n, 1.0), lower, upper))
        return TrueLevel(level, float(z_to_p(level)), share, lower, upper, self.beyond_sigma[..., found[0]])

    def table(self, *, procedure: str | None = None, recipe: str | None = None) -> Table:
        """Return the numbers as a rich table, of one procedure or recipe if it is given.

        Raises
        ------
        InputError
            For a name that is not there.
        """
        from rich.table import Table

        for argument, name, known in (("procedure", procedure, self.procedures), ("recipe", recipe, self.recipes)):
            if name is not None and name not in known:
                raise InputError(argument, f"is {name!r}", f"Choose from {', '.join(known)}")
        failed = f", {self.n_failed_toys:,} failed" if self.n_failed_toys else ""
        table = Table(title=f"Local significance of {self.n_toys:,} toys{failed}")
        last = int(np.flatnonzero(self.levels == 2.0)[0]) if 2.0 in self.levels else 0
        z = float(self.levels[last])
        for name in ("procedure", "recipe"):
            table.add_column(name)
        for name in ("rejected", "mean", "width", "KS p, N(0, 1)", "KS p, normal", f"true level / {z_to_p(z):.3g}"):
            table.add_column(name, justify="right")
        table.add_column("failed fits", justify="right")
        true = self.true_level(z)
        for i, j, k in np.ndindex(self.mean.shape):
            if procedure not in (None, self.procedures[i]) or recipe not in (None, self.recipes[j]):
                continue
            at = i, j, k
            half = 0.5 * (true.upper[at] - true.lower[at])
            table.add_row(
                self.procedures[i],
                self.recipes[j],
                f"{self.rejections[k]:.0%}",
                f"{self.mean[at]:+.3f} +- {self.mean_error[at]:.3f}",
                f"{self.width[at]:.3f} +- {self.width_error[at]:.3f}",
                f"{self.ks_p[at]:.2g}",
                f"{self.ks_p_normal[at]:.2g}",
                f"{true.share[at] / true.claimed:.2f} +- {half / true.claimed:.2f}",
                str(self.n_failed[at]),
            )
        return table

    def __repr__(self) -> str:
        """Show how many distributions are normal, how many of these standard normal, and the largest mean."""
        normal = self.ks_p_normal > _REFUSED
        standard = self.ks_p > _REFUSED
        shape = f"{len(self.procedures)} procedures, {len(self.recipes)} recipes, {self.rejections.size} steps"
        known = np.isfinite(self.mean)
        ends = (
            f"mean {self.mean[known].min():+.2f} to {self.mean[known].max():+.2f}, "
            f"width {self.width[known].min():.2f} to {self.width[known].max():.2f}"
            if known.any()
            else "no fits"
        )
        return (
            f"LocalSignificance({self.n_toys:,} toys, {self.n_failed_toys} failed; {shape}: {normal.sum()} of "
            f"{normal.size} look normal, {standard.sum()} N(0, 1); {ends})"
        )


def local_significance(
    table: Toys, search: SearchLike, *, levels: ArrayLike = _LEVELS, edges: ArrayLike = _EDGES
) -> LocalSignificance:
    """Describe the local significance in toys: moments, normality, and true against claimed level.

    Parameters
    ----------
    table : ToyTable or structured array, (n,)
        Toys of a search, with a field ``z`` (P, R, S).
    search : SemiSupervisedSearch
        Names its procedures, recipes and rejections.
    levels : array_like, (L,), optional
        Local significances whose true level is wanted.
    edges : array_like, (B + 1,), optional
        Edges of bins for pictures.

    Returns
    -------
    LocalSignificance

    Raises
    ------
    InputError
        If fields are missing, or do not have the shape that the search says.
    """
    cuts, bins = finite_array(levels, "levels"), finite_array(edges, "edges")
    shape = len(search.procedures), len(search.recipes), len(search.rejections)
    found: dict[str, Floats] = {name: np.full(shape, np.nan) for name in (*Moments._fields, "ks_p", "ks_p_normal")}
    n, beyond = np.zeros(shape, dtype=np.int64), np.zeros((*shape, cuts.size), dtype=np.int64)
    sigma, counts = np.full((*shape, cuts.size), np.nan), np.zeros((*shape, bins.size - 1), dtype=np.int64)
    for i in range(shape[0]):
        z = column(table, "z", i)
        if z.shape[1:] != shape[1:]:
            raise InputError("table", f"has z of shape {z.shape[1:]} for each procedure", f"The search has {shape[1:]}")
        for j, k in np.ndindex(shape[1:]):
            values = z[:, j, k]
            values = values[~np.isnan(values)]
            at = i, j, k
            n[at] = values.size
            counts[at] = np.histogram(values, bins)[0]
            if values.size < 2 or np.ptp(values) == 0:
                beyond[at] = [np.sum(values >= cut) for cut in cuts]
                continue
            calibrated = p_value_calibration(z_to_p(values), thresholds=z_to_p(cuts))
            beyond[at], sigma[at] = calibrated.n_rejected.astype(np.int64), calibrated.n_sigma
            found["ks_p"][at] = calibrated.ks_p
            found["ks_p_normal"][at] = normality_p(values)
            for name, value in moments(values)._asdict().items():
                found[name][at] = value
    return LocalSignificance(
        procedures=tuple(str(each.name) for each in search.procedures),
        recipes=tuple(str(each.name) for each in search.recipes),
        rejections=finite_array(search.rejections, "search.rejections"),
        n_toys=len(table),
        n_failed_toys=n_failed_toys(table),
        n=n,
        n_failed=len(table) - n,
        levels=cuts,
        beyond=beyond,
        beyond_sigma=sigma,
        edges=bins,
        counts=counts,
        **found,
    )

"""Sensitivity of t to what is true: whether its toys at several true nuisances have one distribution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hepstat.errors import InputError
from hepstat.nplm.calibration import statistic_of_toys
from hepstat.record import Record
from hepstat.seeds import stream_key, toy_generator
from hepstat.toys import ToyTable
from hepstat.types import Floats

__all__ = ["SameDistribution", "same_distribution"]

_PERMUTATIONS = 999
_LEAST = 10  # toys of a set


@dataclass(frozen=True, eq=False, repr=False)
class SameDistribution(Record):
    """Whether a statistic has one distribution in several sets of toys: its sensitivity to what is true in each.

    Parameters
    ----------
    field : str
        The statistic.
    names : tuple of str
        Of the m sets; the others are compared with the first.
    n_toys : array of shape (m,)
        Toys that have not failed.
    mean, mean_error : array of shape (m,)
        Of the statistic.
    shift, shift_error : array of shape (m,)
        Mean less that of the first set; 0 for that itself.
    ks_p : array of shape (m,)
        p-value of the two-sample Kolmogorov-Smirnov test against the first set; 1 for that itself.
    anderson_p : float
        p-value of the Anderson-Darling test of all sets (Scholz and Stephens 1987), by 999 permutations.
    """

    field: str
    names: tuple[str, ...]
    n_toys: Floats
    mean: Floats
    mean_error: Floats
    shift: Floats
    shift_error: Floats
    ks_p: Floats
    anderson_p: float

    def __str__(self) -> str:
        """Return a table."""
        width = max(4, *(len(name) for name in self.names))
        lines = [f"{'set':<{width}}  {'toys':>6} {'mean ' + self.field:>10} {'+-':>6} {'shift':>8} {'+-':>6}   KS p"]
        for i, name in enumerate(self.names):
            mean = f"{self.n_toys[i]:6.0f} {self.mean[i]:10.3f} {self.mean_error[i]:6.3f}"
            shift = f"{self.shift[i]:8.3f} {self.shift_error[i]:6.3f}"
            lines.append(f"{name:<{width}}  {mean} {shift}  {self.ks_p[i]:5.3f}")
        return "\n".join([*lines, f"Anderson-Darling test of all: p = {self.anderson_p:.3g}"])

    def __repr__(self) -> str:
        """Show the tests."""
        tests = ", ".join(f"{name} {p:.3g}" for name, p in zip(self.names[1:], self.ks_p[1:], strict=True))
        return f"SameDistribution({self.field}: KS p against {self.names[0]}: {tests}; all p = {self.anderson_p:.3g})"


def same_distribution(tables: Mapping[str, ToyTable], *, field: str = "t") -> SameDistribution:
    """Test whether a statistic has the same distribution in sets of toys, as at several true nuisances.

    Parameters
    ----------
    tables : mapping of str to ToyTable
        Independent sets of toys; the first is what the others are compared with.
    field : str, optional
        The statistic.

    Returns
    -------
    SameDistribution

    Raises
    ------
    InputError
        If there are fewer than two sets, one has too few values, or two share a key: their toys fluctuate together.
    """
    from scipy.stats import PermutationMethod, anderson_ksamp, ks_2samp

    names = tuple(tables)
    if len(names) < 2 or len({tables[name].key for name in names}) < len(names):
        problem = f"are {len(names)}" if len(names) < 2 else "share a key, so that their toys fluctuate together"
        raise InputError("tables", problem, "Pass two or more, each run with an rng of its own")
    sets = [statistic_of_toys(tables[name], field) for name in names]
    if min(t.size for t in sets) < _LEAST or all(np.ptp(t) == 0 for t in sets):
        raise InputError("tables", f"have too few values of {field}", "Pass 10 good toys or more in each")
    mean = np.array([t.mean() for t in sets])
    error = np.array([t.std(ddof=1) / np.sqrt(t.size) for t in sets])
    permutations = PermutationMethod(n_resamples=_PERMUTATIONS, rng=toy_generator(stream_key(0), 0))
    return SameDistribution(
        field=field,
        names=names,
        n_toys=np.array([float(t.size) for t in sets]),
        mean=mean,
        mean_error=error,
        shift=mean - mean[0],
        shift_error=np.append(0.0, np.hypot(error[1:], error[0])),
        ks_p=np.array([1.0, *(ks_2samp(t, sets[0]).pvalue for t in sets[1:])]),
        anderson_p=float(anderson_ksamp(sets, method=permutations, variant="midrank").pvalue),
    )

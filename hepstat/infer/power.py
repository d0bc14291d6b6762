"""Power of tests from toys: over the level, and of several tests on the same toys."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.infer.broadcast import refuse
from hepstat.infer.discrete import Sample, atoms_of, power_at, power_slope, thresholds
from hepstat.infer.intervals import tail_of
from hepstat.infer.toy_p import per_toy
from hepstat.record import Record
from hepstat.types import Floats

__all__ = ["PowerComparison", "PowerCurve", "compare_power", "power_curve"]


@dataclass(frozen=True, eq=False, repr=False)
class PowerCurve(Record):
    """Power of a test over its level.

    Parameters
    ----------
    levels : array of shape (n,)
        Levels, rising.
    power, error : array of shape (n,)
        Power of the randomised test of each level, and its standard error.
    thresholds : array of shape (n,)
        Values of the statistic above which the test rejects.
    n_toys, n_toys_alternative : int or None
        Toys of either hypothesis; None for an exact distribution.
    """

    levels: Floats
    power: Floats
    error: Floats
    thresholds: Floats
    n_toys: int | None
    n_toys_alternative: int | None

    def __repr__(self) -> str:
        """Show the ends of the curve."""
        ends = (f"{self.power[i]:.4g} +- {self.error[i]:.2g} at {self.levels[i]:g}" for i in (0, -1))
        return f"PowerCurve({self.levels.size} levels: power {' to '.join(ends)})"


@dataclass(frozen=True, eq=False, repr=False)
class PowerComparison(Record):
    """Powers of several tests on the same toys, and how they differ from that of one of them.

    Parameters
    ----------
    names : tuple of str
        Of the m tests.
    level : float
        Level of all of them.
    power, error : array of shape (m,)
        Power of the randomised tests, and its standard error.
    reference : str
        The test that the others are compared with.
    difference, difference_error : array of shape (m,)
        Power minus that of the reference, and its standard error, which the same toys make smaller than those of the
        powers suggest; 0 for the reference itself.
    covariance : array of shape (m, m)
        Of the powers.
    n_toys, n_toys_alternative : int
        Toys of either hypothesis.
    """

    names: tuple[str, ...]
    level: float
    power: Floats
    error: Floats
    reference: str
    difference: Floats
    difference_error: Floats
    covariance: Floats
    n_toys: int
    n_toys_alternative: int

    def __str__(self) -> str:
        """Return a table."""
        width = max(4, *(len(name) for name in self.names))
        lines = [f"{'test':<{width}}  {'power':>7} {'+-':>6}  {'minus ' + self.reference:>12} {'+-':>6}"]
        for i, name in enumerate(self.names):
            powers = f"{self.power[i]:7.4f} {self.error[i]:6.4f}"
            lines.append(f"{name:<{width}}  {powers}  {self.difference[i]:12.4f} {self.difference_error[i]:6.4f}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        """Show the powers."""
        powers = ", ".join(
            f"{name} {p:.4g} +- {e:.2g}" for name, p, e in zip(self.names, self.power, self.error, strict=True)
        )
        return f"PowerComparison(level {self.level:g}: {powers})"


def power_curve(null: Sample, alternative: Sample, levels: ArrayLike | None = None) -> PowerCurve:
    """Compute the power of a test over its level.

    Parameters
    ----------
    null, alternative : array_like of shape (n,) or tuple (values, probabilities)
        Statistic of toys of the hypothesis under test and of the other one, larger values against the former, or exact
        distributions.
    levels : array_like, shape (n,), optional
        Rising, between 0 and 1; 0.005 to 0.995 in steps of 0.005 if left out.

    Returns
    -------
    PowerCurve
        Of randomised tests, so without steps. The error counts toys of the alternative, and those of the null by the
        shift of the threshold; it is 0 where no toy of the alternative lies beyond the threshold, or all.

    Raises
    ------
    InputError
        If the levels do not rise from above 0 to below 1, or an input is no distribution.
    """
    at = finite_array(np.arange(1, 200) / 200.0 if levels is None else levels, "levels")
    refuse((at <= 0) | (at >= 1), at, "levels", "is not between 0 and 1", "Pass probabilities")
    if np.any(np.diff(at) <= 0):
        raise InputError("levels", "do not rise", "Sort them")
    one, other = atoms_of(null, "null"), atoms_of(alternative, "alternative")
    power, error = power_at(one, other, at)
    return PowerCurve(at, power, error, thresholds(one, at, "randomised")[0], one.n_toys, other.n_toys)


def compare_power(
    tests: Mapping[str, tuple[ArrayLike, ArrayLike]], level: float, *, reference: str | None = None
) -> PowerComparison:
    """Compare the powers of tests that saw the same toys.

    Parameters
    ----------
    tests : mapping of str to tuple (null, alternative)
        Statistics of toys of the hypothesis under test (n,) and of the other one (n_alternative,) by the name of the
        test. Toy i is the same data in every test: a toy that failed in one is to be left out of all.
    level : float
        Between 0 and 1; ties at the threshold are rejected by lot.
    reference : str, optional
        Name of the test to compare with; the most powerful one if left out, whose lead is then a little too large.

    Returns
    -------
    PowerComparison
        Errors are those of influence functions: toy i of the alternative contributes its probability of being rejected,
        toy i of the null the same times the slope of power over level, negative, since it shifts the threshold.

    Raises
    ------
    InputError
        If there is no test, numbers of toys differ, or an argument is wrong.
    """
    tail_of(level)
    if not tests:
        raise InputError("tests", "is empty", "Pass at least one")
    names = tuple(tests)
    if reference is not None and reference not in names:
        raise InputError("reference", f"is {reference!r}", f"Choose from {', '.join(names)}")
    null, other = _paired(tests, names, 0), _paired(tests, names, 1)
    at, power = np.array([float(level)]), np.empty(len(names))
    for i, (x, y) in enumerate(zip(null, other, strict=True)):
        one, two = atoms_of(x, f"null of {names[i]}"), atoms_of(y, f"alternative of {names[i]}")
        threshold, lot = thresholds(one, at, "randomised")
        slope = power_slope(one, two, at, x.size)[0]
        x[:] = slope * one.rejection(x, threshold[0], lot[0])
        y[:] = one.rejection(y, threshold[0], lot[0])
        power[i] = y.mean()
    covariance = _covariance(null) + _covariance(other)
    k = int(np.argmax(power)) if reference is None else names.index(reference)
    variances = np.diag(covariance)
    spread = variances + covariance[k, k] - 2.0 * covariance[k]
    return PowerComparison(
        names,
        float(level),
        power,
        np.sqrt(variances),
        names[k],
        power - power[k],
        np.sqrt(np.maximum(spread, 0.0)),
        covariance,
        null.shape[1],
        other.shape[1],
    )


def _paired(tests: Mapping[str, tuple[ArrayLike, ArrayLike]], names: tuple[str, ...], side: int) -> Floats:
    """Return the statistics of all tests (m, n) of one hypothesis."""
    what = ("null", "alternative")[side]
    columns = [per_toy(tests[name][side], f"{what} of {name}") for name in names]
    for name, column in zip(names, columns, strict=True):
        if column.size != columns[0].size:
            shown = f"has {column.size} toys, and {names[0]} has {columns[0].size}"
            raise InputError(f"{what} of {name}", shown, "Pass the same toys for every test")
    return np.array(columns)


def _covariance(contributions: Floats) -> Floats:
    """Return the covariance (m, m) of the means of contributions (m, n) of toys."""
    centred = contributions - contributions.mean(axis=1, keepdims=True)
    return np.asarray(centred @ centred.T / contributions.shape[1] ** 2)

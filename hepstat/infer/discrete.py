"""Tests at a level when the statistic has atoms: values that it takes with a probability above 0.

Larger values of a statistic speak against the hypothesis under test, the null. A test rejects it above a threshold, and
at the threshold with some probability. Distributions are known exactly, as values with their probabilities, or from
toys. Values that differ by rounding, as the same sum does in another order, are tied.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from hepstat.checks import finite_array
from hepstat.errors import InputError
from hepstat.infer.broadcast import given, numbers, refuse
from hepstat.infer.intervals import tail_of
from hepstat.infer.toy_p import per_toy
from hepstat.record import Record
from hepstat.seeds import Rng, stream_key, toy_generator
from hepstat.types import Floats, Ints

__all__ = [
    "Atoms",
    "DiscreteTest",
    "Method",
    "Sample",
    "atoms_of",
    "joined",
    "level_test",
    "p_value",
    "power_at",
    "power_slope",
    "thresholds",
]

Method: TypeAlias = Literal["randomised", "conservative", "mid-p"]
Sample: TypeAlias = ArrayLike | tuple[ArrayLike, ArrayLike]
"""Statistic of toys (n,), or a tuple of two arrays: values (m,) and their probabilities (m,)."""

_METHODS = ("randomised", "conservative", "mid-p")
_ROUNDING = 1e-12  # relative, by which a sum of probabilities may exceed a level
_NORMAL = ndtri((np.arange(40) + 0.5) / 40)  # as standard normal numbers fall
_SUM = 1e-6  # by which probabilities may fail to add up to 1
_TIED = 1e-13  # relative difference of values that is rounding


class Atoms(NamedTuple):
    """A distribution: rising values (m,), their probabilities (m,), and the number of toys, None if it is exact."""

    values: Floats
    probabilities: Floats
    n_toys: int | None

    def tails(self, at: ArrayLike) -> tuple[Floats, Floats]:
        """Return the probabilities of values above `at`, and of `at` itself."""
        sums = np.append(np.cumsum(self.probabilities[::-1])[::-1], 0.0)
        left, right = self.places(at)
        return sums[right], np.where(right > left, np.append(self.probabilities, 0.0)[left], 0.0)

    def places(self, at: ArrayLike) -> tuple[Ints, Ints]:
        """Return how many values are below `at`, and how many are not above it."""
        x = np.asarray(at, dtype=np.float64)
        slack = _slack(self.values, x)
        left, right = np.searchsorted(self.values, x - slack), np.searchsorted(self.values, x + slack, side="right")
        return np.asarray(left), np.asarray(right)

    def rejection(self, values: Floats, threshold: float, at: float) -> Floats:
        """Return the probability of rejecting at each of the values (n,), `at` at the threshold."""
        slack = _slack(self.values, np.asarray(threshold))
        return np.where(values > threshold + slack, 1.0, np.where(values >= threshold - slack, at, 0.0))


@dataclass(frozen=True, eq=False, repr=False)
class DiscreteTest(Record):
    """A test that rejects the null above a threshold, and with some probability at it.

    Parameters
    ----------
    level : float
        Nominal level.
    method : str
        "randomised", "conservative" or "mid-p": see :func:`level_test`.
    threshold : float
        Value above which the null is rejected.
    reject_at_threshold : float
        Probability of rejecting at the threshold itself.
    true_level : float
        Probability of rejecting the null where it is true.
    true_level_error : float
        Standard error of that from the number of toys; 0 for an exact distribution.
    values, probabilities : array of shape (m,)
        Distribution of the statistic under the null.
    n_toys : int or None
        Toys that it came from; None if it is exact.
    """

    level: float
    method: str
    threshold: float
    reject_at_threshold: float
    true_level: float
    true_level_error: float
    values: Floats
    probabilities: Floats
    n_toys: int | None

    def power(self, alternative: Sample) -> tuple[float, float]:
        """Return the probability of rejecting the null where the alternative is true, and its standard error.

        Parameters
        ----------
        alternative : array_like of shape (n,) or tuple (values, probabilities)
            Statistic of toys of the alternative, or its exact distribution.

        Returns
        -------
        power, error : float
            The error counts the toys of the alternative, and those of the null by the shift of the threshold, to
            another tied value too; 0 if both distributions are exact.

        Raises
        ------
        InputError
            For input that is no distribution.
        """
        null, other = Atoms(self.values, self.probabilities, self.n_toys), atoms_of(alternative, "alternative")
        power, error = power_at(null, other, np.array([self.level]), self.method)
        return float(power[0]), float(error[0])

    def __repr__(self) -> str:
        """Show both levels and when the test rejects."""
        error = f" +- {self.true_level_error:.2g}" if self.n_toys else ""
        return (
            f"DiscreteTest({self.method}: rejects above {self.threshold:.6g}, and there with probability "
            f"{self.reject_at_threshold:.4g}; true level {self.true_level:.4g}{error}, nominal {self.level:g})"
        )


def level_test(null: Sample, level: float, *, method: Method = "randomised") -> DiscreteTest:
    """Make the test of a level.

    Parameters
    ----------
    null : array_like of shape (n,) or tuple (values, probabilities)
        Statistic of toys of the hypothesis under test, or its exact distribution; infinities are allowed.
    level : float
        Probability, between 0 and 1, of rejecting the null where it is true.
    method : {"randomised", "conservative", "mid-p"}
        ``"randomised"`` rejects at the threshold by lot, so that the level is exact (Neyman and Pearson 1933);
        ``"conservative"`` never there, so that the true level is at most the nominal one; ``"mid-p"`` where the mid-p
        value, with half of the probability of a tie, is at most the level: close to it, on either side.

    Returns
    -------
    DiscreteTest
        With its true level. From toys, levels are relative frequencies among them.

    Raises
    ------
    InputError
        If the level or the method is wrong, or the null is no distribution.
    """
    tail_of(level)
    atoms = atoms_of(null, "null")
    threshold, at = thresholds(atoms, np.array([float(level)]), method)
    above, equal = atoms.tails(threshold)
    error = np.zeros(1) if atoms.n_toys is None else _spread(above, equal, at) / np.sqrt(atoms.n_toys)
    return DiscreteTest(
        float(level),
        method,
        float(threshold[0]),
        float(at[0]),
        float(above[0] + at[0] * equal[0]),
        float(error[0]),
        *atoms,
    )


def p_value(
    null: Sample,
    observed: ArrayLike,
    kind: Method = "conservative",
    *,
    u: ArrayLike | None = None,
    rng: Rng | None = None,
) -> Any:
    """p-value of each kind, from an exact distribution or from toys.

    Parameters
    ----------
    null : array_like of shape (n,) or tuple (values, probabilities)
        Statistic of toys of the hypothesis under test, or its exact distribution.
    observed : array_like
        Statistic of the data, of any shape.
    kind : {"conservative", "mid-p", "randomised"}
        P(T > t) and all, half, or the share `u` of P(T = t). From n toys, the data count as one more toy, tied with
        themselves: the conservative one is ``(k + 1) / (n + 1)``, the randomised one uniform under the null.
    u : array_like, optional
        For the randomised kind, numbers from 0 to 1 that broadcast against `observed`.
    rng : int, SeedSequence or Generator, optional
        Draws `u` instead.

    Returns
    -------
    float or ndarray
        Of the shape of `observed`.

    Raises
    ------
    InputError
        If an argument is wrong, or the randomised kind has not exactly one of `u` and `rng`.
    """
    atoms, t = atoms_of(null, "null"), numbers(observed, "observed", -np.inf, np.inf)
    share: Any = {"conservative": 1.0, "mid-p": 0.5, "randomised": None}.get(_of_kind(kind, "kind"))
    if share is None:
        if (u is None) == (rng is None):
            raise InputError("u", "needs exactly one of u and rng", "Pass one of them")
        drawn = None if rng is None else toy_generator(stream_key(rng), 0).random(t.shape)
        share = numbers(u if drawn is None else drawn, "u", 0.0, 1.0)
    above, equal = atoms.tails(t)
    if atoms.n_toys is None:
        return given(np.minimum(above + share * equal, 1.0))
    n = atoms.n_toys
    return given((np.rint(n * above) + share * (np.rint(n * equal) + 1.0)) / (n + 1.0))


def atoms_of(sample: Sample, name: str) -> Atoms:
    """Return the distribution of toys, or of values with probabilities, ties joined; raise :class:`InputError`."""
    if isinstance(sample, tuple) and len(sample) == 2 and np.ndim(sample[0]) == 1 and np.ndim(sample[1]) == 1:
        x, p = per_toy(sample[0], f"values of {name}"), finite_array(sample[1], f"probabilities of {name}")
        if x.size != p.size:
            raise InputError(name, f"has {x.size} values and {p.size} probabilities", "Pass one for each")
        refuse(p < 0, p, f"probabilities of {name}", "is negative", "Pass probabilities")
        if abs(p.sum() - 1.0) > _SUM:
            raise InputError(f"probabilities of {name}", f"add up to {p.sum():.8g}", "Pass all values that may occur")
        x, p, n = x[p > 0], p[p > 0], None
    else:
        x = per_toy(np.asarray(sample), name)
        p, n = np.ones(x.size), x.size
    refuse(np.isnan(x), x, name, "is no value of a statistic", "Leave out toys that failed, the same in every test")
    if x.size == 0:
        raise InputError(name, "is empty", "Pass at least one value")
    values, sums = joined(x, p)
    return Atoms(values, sums if n is None else sums / n, n)


def joined(values: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Return the rising values (m,) without ties, and the sums of weights (m,) of those that are tied."""
    rising, place = np.unique(values, return_inverse=True)
    apart = np.append(True, np.diff(rising) > 2.0 * _slack(rising, rising[1:]))
    group = np.cumsum(apart) - 1
    return rising[apart], np.asarray(np.bincount(group[place], weights), dtype=np.float64)


def _slack(rising: Floats, at: Floats) -> Floats:
    """Return by how much values tied with `at` may differ: the rounding of sums of terms as large as these values."""
    typical = np.abs(rising[[rising.size // 4, 3 * rising.size // 4]])
    scale = np.max(typical, where=np.isfinite(typical), initial=0.0)
    return np.where(np.isfinite(at), _TIED * (np.abs(at) + scale), 0.0)


def thresholds(null: Atoms, levels: Floats, method: str) -> tuple[Floats, Floats]:
    """Return the threshold of the test of every level (n,), and the probability of rejecting at it (n,)."""
    _of_kind(method, "method")
    above, equal = null.tails(null.values)
    allowed = levels * (1.0 + _ROUNDING)
    used = above + 0.5 * equal if method == "mid-p" else above
    # `used` falls with the value: the first that is allowed
    place: Ints = used.size - np.searchsorted(used[::-1], allowed, side="right")
    never = place == used.size  # for mid-p only: the largest value is too probable
    place = np.minimum(place, used.size - 1)
    at = np.clip((levels - above[place]) / equal[place], 0.0, 1.0)
    at = {"randomised": at, "conservative": np.zeros_like(at), "mid-p": np.where(never, 0.0, 1.0)}[method]
    return null.values[place], at


def power_at(null: Atoms, other: Atoms, levels: Floats, method: str = "randomised") -> tuple[Floats, Floats]:
    """Return the powers of the tests of all levels (n,), and their standard errors (n,) from both numbers of toys."""
    threshold, at = thresholds(null, levels, method)
    above, equal = other.tails(threshold)
    square = np.zeros_like(above) if other.n_toys is None else _spread(above, equal, at) ** 2 / other.n_toys
    if null.n_toys is not None:
        shift = _shift_of_randomised if method == "randomised" else _shift_of_stepwise
        square += shift(null, other, levels, null.n_toys, method) ** 2
    return above + at * equal, np.sqrt(square)


def power_slope(null: Atoms, other: Atoms, levels: Floats, n_toys: int) -> Floats:
    """Return how fast the power of the randomised test rises with the level (n,).

    It is the ratio of both probabilities at the threshold, here over the levels within two standard errors from n_toys.
    """
    step = 2.0 * np.sqrt(levels * (1.0 - levels) / n_toys)
    low = np.maximum(levels - step, 0.1 * levels)
    high = np.minimum(levels + step, levels + 0.9 * (1.0 - levels))
    powers = [_power(null, other, each, "randomised") for each in (low, high)]
    return np.asarray((powers[1] - powers[0]) / (high - low))


def _power(null: Atoms, other: Atoms, levels: Floats, method: str) -> Floats:
    threshold, at = thresholds(null, levels, method)
    above, equal = other.tails(threshold)
    return above + at * equal


def _shift_of_randomised(null: Atoms, other: Atoms, levels: Floats, n_toys: int, method: str) -> Floats:
    """Return the standard deviation of the power (n,) from the toys of the null: slope times error of the level."""
    threshold, at = thresholds(null, levels, method)
    error = _spread(*null.tails(threshold), at) / np.sqrt(n_toys)
    return np.asarray(power_slope(null, other, levels, n_toys) * error)


def _shift_of_stepwise(null: Atoms, other: Atoms, levels: Floats, n_toys: int, method: str) -> Floats:
    """Return the same for tests whose level is stepwise: the spread of powers at levels as far off as toys may be."""
    error = np.sqrt(levels * (1.0 - levels) / n_toys)
    tried = np.clip(levels + error * _NORMAL[:, None], 0.1 * levels, levels + 0.9 * (1.0 - levels))
    return np.asarray(np.std([_power(null, other, each, method) for each in tried], axis=0))


def _spread(above: Floats, equal: Floats, at: Floats) -> Floats:
    """Return the standard deviation over toys of the probability of rejecting."""
    mean = above + at * equal
    return np.sqrt(np.maximum(above + at**2 * equal - mean**2, 0.0))


def _of_kind(name: str, argument: str) -> str:
    if name not in _METHODS:
        raise InputError(argument, f"is {name!r}", f"Choose from {', '.join(_METHODS)}")
    return name

"""Tests side by side: their statistics in the same toys, powers, and median significances."""

from __future__ import annotations

import copy
import math
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from hepstat.checks import features, finite_number
from hepstat.errors import FitError, InputError
from hepstat.infer import (
    ChiSquareFit,
    PowerComparison,
    PowerCurve,
    chi_square_log_p,
    compare_power,
    fit_chi_square,
    p_to_z,
    power_curve,
    quantile_interval,
    toy_p_value,
)
from hepstat.infer.intervals import tail_of
from hepstat.nplm.nuisances import Nuisance
from hepstat.nplm.rivals import LearnedTest, Rival
from hepstat.nplm.sources import EventSource
from hepstat.nplm.toys import check_names
from hepstat.record import Record
from hepstat.seeds import Key, toy_generator
from hepstat.toys import ToyTable
from hepstat.toys.study import PreparedStudy
from hepstat.toys.table import refuse_differences
from hepstat.types import Floats

__all__ = ["ComparedTests", "MedianZ", "RivalToys", "compare_tests"]

_LEVELS = 40


class RivalToys(PreparedStudy):
    """Study of several tests on the same data; run it with :func:`hepstat.toys.run`.

    A record has `status` (0, or the number of the first test that failed, see `reasons`), `n` (events), the statistic
    of each test under its name, and ``aux_<name>`` for each nuisance. Data and auxiliary measurements are thrown as by
    :meth:`hepstat.nplm.NewPhysicsTest.toys`: toys of the same key and number are the same, and so is t. Some may have
    no events.

    Parameters
    ----------
    source : EventSource
        What data are thrown from.
    tests : mapping of str to Rival
        By name.
    nuisances : sequence of Nuisance, optional
        Those that auxiliary measurements are thrown for; the same as those of each :class:`LearnedTest`.
    nu : mapping of str to float, optional
        True nuisances, 0 where none is given.

    Raises
    ------
    InputError
        If there are no tests, a name is taken, a nuisance is unknown, a :class:`LearnedTest` or the source has others,
        or true nuisances are outside of what they or effects allow.
    """

    chunk: ClassVar[int] = 1

    def __init__(
        self,
        source: EventSource,
        tests: Mapping[str, Rival],
        *,
        nuisances: Sequence[Nuisance] = (),
        nu: Mapping[str, float] | None = None,
    ) -> None:
        self.source, self.tests, self.nuisances = source, dict(tests), tuple(nuisances)
        own = ["status", "n", *(f"aux_{nuisance.name}" for nuisance in self.nuisances)]
        taken = [name for name in self.tests if name in own]
        if taken or not self.tests:
            raise InputError("tests", f"have {taken[0]!r}" if taken else "are none", "Choose other names, at least one")
        names = [nuisance.name for nuisance in self.nuisances]
        unknown = sorted(set(nu or {}) - set(names))
        if unknown:
            raise InputError("nu", f"has {unknown[0]!r}", f"Nuisances are {', '.join(names) or 'none'}")
        check_names(source, tuple(names))
        self.nu = np.array([finite_number((nu or {}).get(name, 0.0), "nu") for name in names])
        for nuisance, value in zip(self.nuisances, self.nu, strict=True):
            if not nuisance.low <= value <= nuisance.high:
                remedy = f"It may be between {nuisance.low:g} and {nuisance.high:g}"
                raise InputError("nu", f"has {nuisance.name} = {value:g}", remedy)
        learned = {name: test.test for name, test in self.tests.items() if isinstance(test, LearnedTest)}
        for name, test in learned.items():
            if [own.describe() for own in test.nuisances] != [given.describe() for given in self.nuisances]:
                remedy = "Pass nuisances=test.nuisances, and run tests with others apart"
                raise InputError("nuisances", f"are not those of {name!r}", remedy)
            test.truth(nu)

    @property
    def dtype(self) -> np.dtype[Any]:
        """One record."""
        floats = [*self.tests, *(f"aux_{nuisance.name}" for nuisance in self.nuisances)]
        return np.dtype([("status", "i2"), ("n", "i8"), *((name, "f8") for name in floats)])

    @property
    def reasons(self) -> Mapping[int, str]:
        """What a status other than 0 means."""
        return {i + 1: f"{name} failed" for i, name in enumerate(self.tests)}

    def describe(self) -> dict[str, Any]:
        """Return the configuration in JSON types."""
        return {
            "name": type(self).__name__,
            "source": self.source.describe(),
            "tests": {name: test.describe() for name, test in self.tests.items()},
            "nuisances": [nuisance.describe() for nuisance in self.nuisances],
            "nu": self.nu.tolist(),
        }

    def block(self, key: Key, first: int, out: np.ndarray) -> None:
        """Fill out (n,) with the records of toys `first`, ``first + 1``, ..."""
        for i in range(len(out)):
            generator, record = toy_generator(key, first + i), out[i]
            x = features(self.source.throw(self.nu, generator), "source.throw", allow_empty=True)
            measured = {n.name: n.throw(float(nu), generator) for n, nu in zip(self.nuisances, self.nu, strict=True)}
            record["n"] = len(x)
            for name, value in measured.items():
                record[f"aux_{name}"] = value
            for number, (name, test) in enumerate(self.tests.items(), start=1):
                record[name] = _value(test, x, measured, copy.deepcopy(generator))
                if np.isnan(record[name]) and record["status"] == 0:
                    record["status"] = number


def _value(test: Rival, x: Floats, auxiliary: Mapping[str, float], generator: np.random.Generator) -> float:
    try:
        return test.value(x, auxiliary, generator)
    except FitError:
        return np.nan


@dataclass(frozen=True, repr=False)
class MedianZ(Record):
    """Median significance of a test where there is a signal.

    Parameters
    ----------
    statistic : float
        Median over toys with the signal.
    z, z_lower, z_upper : float
        Significance of that, with an interval from both numbers of toys; `z_upper` is inf, and `z` the largest that the
        toys can give, if none of those without signal lies beyond and toys are counted. `z` and `z_lower` are -inf if
        all of them do.
    method : {"toys", "fitted chi2"}
        How p-values are found: by counting toys without signal, or by a chi2 distribution fitted to them, which is an
        extrapolation beyond the last of them.
    n_beyond : int
        Toys without signal at or beyond the median.
    fit : ChiSquareFit or None
        The distribution, with the p-value of its fit; None for counting.
    """

    statistic: float
    z: float
    z_lower: float
    z_upper: float
    method: str
    n_beyond: int
    fit: ChiSquareFit | None

    def __repr__(self) -> str:
        """Show the significance and how it was found."""
        fit = "" if self.fit is None else f", {self.fit.ndof:.2f} degrees of freedom, KS p = {self.fit.ks_p:.2g}"
        reach = f"{self.n_beyond} toys beyond"
        return f"MedianZ({self.z:.2f} in [{self.z_lower:.2f}, {self.z_upper:.2f}] by {self.method}{fit}; {reach})"


@dataclass(frozen=True, eq=False, repr=False)
class ComparedTests(Record):
    """Powers and significances of tests on the same toys.

    Parameters
    ----------
    power : PowerComparison
        Powers at one level, and their differences.
    curves : dict of str to PowerCurve
        Power over the level, by test.
    median : dict of str to MedianZ
        Median significance, by test.
    n_failed, n_failed_signal : int
        Toys without and with signal in which a test failed, left out of all.
    """

    power: PowerComparison
    curves: dict[str, PowerCurve]
    median: dict[str, MedianZ]
    n_failed: int
    n_failed_signal: int

    def __str__(self) -> str:
        """Return a table."""
        width = max(4, *(len(name) for name in self.median))
        lines = [f"{'test':<{width}}  {'power':>6} {'+-':>6}  {'Z':>5} {'interval':>14}  by"]
        for i, (name, m) in enumerate(self.median.items()):
            power = f"{self.power.power[i]:6.3f} {self.power.error[i]:6.3f}"
            interval = f"[{m.z_lower:.2f}, {m.z_upper:.2f}]"
            lines.append(f"{name:<{width}}  {power}  {m.z:5.2f} {interval:>14}  {m.method}, {m.n_beyond} toys beyond")
        toys = f"{self.power.n_toys} toys without signal, {self.power.n_toys_alternative} with it"
        failed = f", {self.n_failed} and {self.n_failed_signal} failed" if self.n_failed + self.n_failed_signal else ""
        return "\n".join([*lines, f"power at level {self.power.level:g}; {toys}{failed}"])

    def __repr__(self) -> str:
        """Show powers and significances."""
        medians = ", ".join(f"{name} {m.z:.2f}" for name, m in self.median.items())
        return f"ComparedTests({self.power!r}; median Z {medians})"


def compare_tests(
    null: ToyTable | Sequence[ToyTable],
    signal: ToyTable | Sequence[ToyTable],
    tests: Sequence[str] | Mapping[str, str | tuple[int, str]],
    *,
    level: float = 0.05,
    levels: ArrayLike | None = None,
    reference: str | None = None,
    chi_square: Collection[str] = (),
    interval_level: float = 0.6827,
) -> ComparedTests:
    """Compare tests on the same toys without and with a signal.

    Parameters
    ----------
    null, signal : ToyTable or sequence of ToyTable
        Toys of :class:`RivalToys`, or others with statistics. Several tables hold other tests of the same toys: of the
        same key, numbers, source and true nuisances, as those of :meth:`hepstat.nplm.NewPhysicsTest.toys`.
    tests : sequence of str, or mapping of str to str or (int, str)
        Fields with the statistics; or names of the tests and their fields. Of a field that several tables have, say
        which is meant, as in ``{"network": (0, "t"), "kernels": (1, "t")}``: the number of the table in `null` and
        `signal`, and the field.
    level : float, optional
        At which powers are compared.
    levels : array_like, (n,), optional
        Of the curves; by default 40, from that which 10 toys without signal reach to 0.5.
    reference : str, optional
        Test that the others are compared with; the most powerful one by default.
    chi_square : collection of str, optional
        Tests whose p-values come from a chi2 distribution with degrees of freedom fitted to the toys without signal.
    interval_level : float, optional
        Confidence level of the intervals of median significances.

    Returns
    -------
    ComparedTests
        Toys in which a test failed are left out of all tests.

    Raises
    ------
    InputError
        If toys with and without signal share their key, tables are not of the same toys, fields are missing or in
        several tables, or a statistic that is to follow chi2 is not above 0.
    """
    tail_of(interval_level)
    fields = dict(tests) if isinstance(tests, Mapping) else {name: name for name in tests}
    tables = [(given,) if isinstance(given, ToyTable) else tuple(given) for given in (null, signal)]
    if tables[0] and tables[1] and tables[0][0].key == tables[1][0].key:
        raise InputError("signal", "has the key of null: toys fluctuate together", "Run each with an rng of its own")
    unknown = sorted(set(chi_square) - set(fields))
    if unknown:
        raise InputError("chi_square", f"has {unknown[0]!r}", f"Choose from {', '.join(fields)}")
    (without, n_failed), (with_signal, n_failed_signal) = (
        _columns(given, fields, name) for given, name in zip(tables, ("null", "signal"), strict=True)
    )
    pairs = {name: (without[name], with_signal[name]) for name in fields}
    power = compare_power(pairs, level, reference=reference)
    if levels is None:
        levels = np.geomspace(min(10.0 / power.n_toys, 0.25), 0.5, _LEVELS)
    return ComparedTests(
        power=power,
        curves={name: power_curve(*pair, levels) for name, pair in pairs.items()},
        median={name: _median(*pair, interval_level, name in chi_square) for name, pair in pairs.items()},
        n_failed=n_failed,
        n_failed_signal=n_failed_signal,
    )


def _columns(tables: Sequence[ToyTable], fields: Mapping[str, Any], argument: str) -> tuple[dict[str, Floats], int]:
    """Return the statistics (n,) by test of the toys in which none failed, and how many did."""
    if not tables or not fields:
        raise InputError(argument if fields else "tests", "is empty", "Pass at least one")
    for table in tables[1:]:
        _refuse_others(tables[0], table, argument)
    good = np.all([table.ok for table in tables], axis=0)
    columns = {name: np.asarray(_column(tables, field), dtype=np.float64) for name, field in fields.items()}
    return {name: column[good] for name, column in columns.items()}, int(np.sum(~good))


def _refuse_others(table: ToyTable, other: ToyTable, argument: str) -> None:
    """Raise InputError if toys of both tables are not the same, as far as they say what was thrown."""
    if table.key != other.key or not np.array_equal(table.indices, other.indices):
        raise InputError(argument, "has tables of other toys", "Run all with the same rng, first and n")
    remedy, ours, theirs = "Throw all from the same source at the same nu", _thrown_from(table), _thrown_from(other)
    shared = sorted(ours.keys() & theirs.keys())
    refuse_differences(argument, {k: ours[k] for k in shared}, {k: theirs[k] for k in shared}, remedy)
    fine, fields = table.ok & other.ok, set(table.dtype.names or ()) & set(other.dtype.names or ())
    for name in sorted(name for name in fields if name == "n" or name.startswith("aux_")):
        if not np.array_equal(table[name][fine], other[name][fine]):
            raise InputError(argument, f"has tables of toys with another {name!r}", remedy)


def _thrown_from(table: ToyTable) -> dict[str, Any]:
    """Return what a study says of source and true nuisances; all of them 0 is like none."""
    said = {name: table.config[name] for name in ("source", "nu") if name in table.config}
    return {name: value if name == "source" or any(value) else [] for name, value in said.items()}


def _column(tables: Sequence[ToyTable], field: Any) -> Any:
    """Return the column (n,) that a field, or (number of a table, field), stands for."""
    match field:
        case str(name):
            numbers = range(len(tables))
        case (int(number), str(name)) if 0 <= number < len(tables):
            numbers = range(number, number + 1)
        case _:
            remedy = f"Pass a name, or (number, name) with the number of a table, from 0 to {len(tables) - 1}"
            raise InputError("tests", f"have the field {field!r}", remedy)
    owners = [number for number in numbers if name in (tables[number].dtype.names or ())]
    if not owners:
        known = sorted({own for number in numbers for own in tables[number].dtype.names or ()})
        raise InputError("tests", f"have the field {name!r}", f"Choose from {', '.join(known)}")
    if len(owners) > 1:
        remedy = f"Say which, as {{{name!r}: {(owners[0], name)}}}"
        raise InputError("tests", f"have the field {name!r}, which the tables {owners} have", remedy)
    return tables[owners[0]][name]


def _median(null: Floats, signal: Floats, level: float, by_chi_square: bool) -> MedianZ:
    """Return the significance of the median of `signal`; errors of both samples are added in quadrature."""
    t = np.minimum(signal, sys.float_info.max)
    median, (_, low, high) = float(np.median(t)), quantile_interval(t, 0.5, level)
    ends = max(low, float(t.min())), min(high, float(t.max()))
    if by_chi_square:
        fit = fit_chi_square(null)
        z, at_low, at_high = (_chi_square_z(t, fit.ndof) for t in (median, *ends))
        lower, upper = (_chi_square_z(median, max(fit.ndof + step, 1e-6)) for step in (fit.error, -fit.error))
    else:
        found, first, last = (toy_p_value(null, float(t), level=level) for t in (median, *ends))
        fit, z, at_low, at_high, lower, upper = None, found.z, first.z, last.z, found.z_lower, found.z_upper
    return MedianZ(
        statistic=median,
        z=z,
        z_lower=_end(z, -1, at_low, lower),
        z_upper=_end(z, 1, at_high, upper),
        method="fitted chi2" if by_chi_square else "toys",
        n_beyond=int(np.sum(null >= median)),
        fit=fit,
    )


def _end(z: float, sign: int, *ends: float) -> float:
    """Return the end of an interval below (sign -1) or above z whose distance is that of `ends` in quadrature.

    The outermost of them if z is -inf, where all toys lie beyond.
    """
    if math.isinf(z):
        return sign * max(sign * end for end in ends)
    return z + sign * math.hypot(*(end - z for end in ends))


def _chi_square_z(t: float, ndof: float) -> float:
    return float(p_to_z(log_p=chi_square_log_p(float(t), ndof)))

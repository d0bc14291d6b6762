"""Hypothesis tests and limits of a signal strength, by asymptotics or by toys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from hepstat.checks import finite_array, finite_number, open_share, whole_number
from hepstat.errors import FitError, InputError
from hepstat.infer.asymptotic import asymptotic_cls
from hepstat.infer.cls import CLs, toy_cls
from hepstat.infer.statistics import check_statistic
from hepstat.record import Record
from hepstat.seeds import Rng, lasting_seed, stream_key, toy_generator
from hepstat.strength.fitting import asimov, fit_data, fits_at, last_return, statistic_of, step_of
from hepstat.strength.model import Data, Model
from hepstat.strength.toys import StrengthToys, statistics_of
from hepstat.toys import run
from hepstat.toys.table import ToyTable
from hepstat.types import Floats

__all__ = ["UpperLimit", "hypothesis_test", "limit_toys", "upper_limit"]

_LOOKS = 33  # strengths among which the largest that is not excluded is looked for, where squares of mu make several
_DECIMALS = 6  # of statistics that are compared: equal counts give equal ones, but for rounding in their fits

Method: TypeAlias = Literal["asymptotic", "toys"]
Criterion: TypeAlias = Literal["cl_s", "cl_sb"]


def hypothesis_test(
    model: Model,
    observed: Any,
    mu: float = 1.0,
    *,
    statistic: str = "q_mu_tilde",
    method: Method = "asymptotic",
    auxiliary: Mapping[str, float] | None = None,
    n_toys: int = 10_000,
    rng: Rng | None = None,
    **options: Any,
) -> CLs:
    """Test a signal strength, or with q0 its absence.

    Parameters
    ----------
    model : Model
    observed : array_like, sequence of array_like, or Data
        See :meth:`Model.data`.
    mu : float, optional
        Strength under test. With q0 the test is of no signal, and this is the alternative.
    statistic : str, optional
        One of :data:`hepstat.infer.STATISTICS`.
    method : {"asymptotic", "toys"}, optional
        Asymptotic distributions (arXiv:1007.1727) with the Asimov data of the alternative, nuisances at their
        conditional fit to the data; or toys of both hypotheses, thrown at those.
    auxiliary : mapping of str to float, optional
        Results of the auxiliary measurements; what is nominally expected by default.
    n_toys : int, optional
        Of each hypothesis.
    rng : int, SeedSequence or Generator, optional
        Of the toys, needed for these.
    **options
        Of :func:`hepstat.toys.run`: workers, executor, progress, max_failed.

    Returns
    -------
    CLs
        `cl_sb` is the p-value of the hypothesis under test, `cl_b` that of the alternative, `cl_s` their ratio; for q0
        only the first is a quantity in common use.

    Raises
    ------
    InputError
        If an argument cannot be used.
    FitError
        If a fit to the data fails.
    """
    check_statistic(statistic)
    if method not in ("asymptotic", "toys"):
        raise InputError("method", f"is {method!r}", "Choose 'asymptotic' or 'toys'")
    mu = finite_number(mu, "mu")
    if mu == 0:
        raise InputError("mu", "is 0, and so is that of the other hypothesis", "Pass another strength")
    if mu < 0 and statistic in ("q_mu", "q_mu_tilde"):
        raise InputError("mu", f"is {mu:g}", "Upper limits are tested with strengths above 0; use t_mu for others")
    data = model.data(observed, auxiliary)
    value = statistic_of(model, data, mu, statistic)
    if method == "asymptotic":
        if options:
            raise InputError(sorted(options)[0], "is an option of toys", "Leave it out, or pass method='toys'")
        strength = mu if statistic == "q0" else 0.0
        other = statistic_of(model, asimov(model, strength, _nuisances_at(model, data, strength)), mu, statistic)
        if not np.isfinite(value + other):
            raise FitError(
                "the data, or those of the other hypothesis, are impossible under the one under test (events where "
                "nothing is expected): asymptotic formulas do not apply, use toys"
            )
        return asymptotic_cls(value, other, statistic=statistic, mu=mu)
    tables = limit_toys(model, data, mu, n_toys, rng, discovery=statistic == "q0", **options)
    value = round(value, _DECIMALS)
    null, alternative = (np.round(statistics_of(table, statistic), _DECIMALS) for table in tables)
    failed, failed_alternative = (table.status != 0 for table in tables)
    return toy_cls(
        null, alternative, value, mu=mu, statistic=statistic, failed=failed, failed_alternative=failed_alternative
    )


def limit_toys(
    model: Model, observed: Any, mu: float, n_toys: int, rng: Rng | None, *, discovery: bool = False, **options: Any
) -> tuple[ToyTable, ToyTable]:
    """Throw toys of both hypotheses at the nuisances that fit the data under each.

    Parameters
    ----------
    model, observed
        See :func:`hypothesis_test`.
    mu : float
        Strength under test; of the alternative for a discovery.
    n_toys : int
        Of each hypothesis.
    rng : int, SeedSequence or Generator
    discovery : bool, optional
        The hypothesis under test is that of no signal.
    **options
        Of :func:`hepstat.toys.run`.

    Returns
    -------
    tuple of ToyTable
        Of the hypothesis under test, and of the alternative; from them :func:`statistics_of` makes any statistic.
    """
    if rng is None:
        raise InputError("rng", "is missing", "Pass a seed, such as rng=1")
    n, key, data = whole_number(n_toys, "n_toys", at_least=1), stream_key(rng), model.data(observed)
    tables = []
    for index, strength in enumerate((0.0, mu) if discovery else (mu, 0.0)):
        study = StrengthToys(model, strength, mu_test=mu, nuisances=_nuisances_at(model, data, strength))
        tables.append(run(study, n, rng=lasting_seed(toy_generator(key, index)), **options))
    return tables[0], tables[1]


def _nuisances_at(model: Model, data: Data, mu: float) -> dict[str, float]:
    """Return the nuisances that fit the data at a strength."""
    return fits_at(model, data, (mu,))[1][0].values


@dataclass(frozen=True, eq=False)
class UpperLimit(Record):
    """An upper limit on mu.

    Parameters
    ----------
    observed : float
        Largest strength that is not excluded; with squares of mu some below may be.
    expected : ndarray, (5,)
        The same for data without signal at -2, -1, 0, 1 and 2 standard deviations.
    level : float
        Confidence level.
    criterion : {"cl_s", "cl_sb"}
        What is compared with 1 - level.
    statistic, method : str
    """

    observed: float
    expected: Floats
    level: float
    criterion: str
    statistic: str
    method: str


def upper_limit(
    model: Model,
    observed: Any,
    *,
    level: float = 0.95,
    criterion: Criterion = "cl_s",
    statistic: str = "q_mu_tilde",
    method: Method = "asymptotic",
    mu: ArrayLike | None = None,
    auxiliary: Mapping[str, float] | None = None,
    **options: Any,
) -> UpperLimit:
    """Find the strength whose CLs (or CLs+b) is 1 - level, on the data and expected without signal.

    Parameters
    ----------
    model, observed, auxiliary, statistic, method
        See :func:`hypothesis_test`.
    level : float, optional
        Confidence level.
    criterion : {"cl_s", "cl_sb"}, optional
    mu : array_like, (n,), optional
        With toys, and needed for these: strengths to test, rising; limits are interpolated between the logarithms of
        the values there. All are tested with toys of streams of their own.
    **options
        Of :func:`hypothesis_test`: n_toys, rng, workers, ...

    Returns
    -------
    UpperLimit
        Infinite where no strength up to the bound of mu is excluded; from toys, where the last strength is not, and the
        first strength where it already is.

    Raises
    ------
    InputError
        If an argument cannot be used.
    FitError
        If a fit to the data fails, or no strength is excluded.
    """
    level = open_share(level, "level")
    if criterion not in ("cl_s", "cl_sb"):
        raise InputError("criterion", f"is {criterion!r}", "Choose 'cl_s' or 'cl_sb'")
    if statistic not in ("q_mu", "q_mu_tilde"):
        raise InputError("statistic", f"is {statistic!r}", "Upper limits need q_mu or q_mu_tilde")
    data = model.data(observed, auxiliary)
    if method == "toys":
        roots = _interpolated(*_toy_scan(model, data, mu, criterion, statistic, options), 1.0 - level)
    elif method == "asymptotic":
        roots = _asymptotic_roots(model, data, level, criterion, statistic, options)
    else:
        raise InputError("method", f"is {method!r}", "Choose 'asymptotic' or 'toys'")
    return UpperLimit(float(roots[0]), np.asarray(roots[1:]), level, criterion, statistic, method)


def _asymptotic_roots(
    model: Model, data: Data, level: float, criterion: str, statistic: str, options: Mapping[str, Any]
) -> list[float]:
    """Return the observed and the five expected limits."""
    if options:
        raise InputError(sorted(options)[0], "is an option of toys", "Leave it out, or pass method='toys'")
    known: dict[float, Floats] = {}

    def values(strength: float) -> Floats:
        if strength not in known:
            found = hypothesis_test(model, data, strength, statistic=statistic)
            known[strength] = _observed_and_expected(found, criterion)
        return known[strength]

    best = fit_data(model, data)
    step = step_of(model, best)
    low, high = 1e-6 * step, max(best.mu, 0.0) + 2.0 * step
    top = model.bounds[1][0]
    again = last_return(model, data)
    high = max(high, again + 2.0 * step)
    while high < top and (values(high) > 1.0 - level).any():
        if high > 1e9 * step:
            raise FitError(f"mu = {high:g} is not excluded: the data do not limit the signal")
        high *= 2.0
    high = min(high, top)
    places = np.linspace(low, high, _LOOKS) if again > 0 else np.array([low, high])

    def root(i: int) -> float:
        if values(high)[i] > 1.0 - level:  # all the way to the bound of mu
            return float("inf")
        last = max(np.flatnonzero([values(mu)[i] > 1.0 - level for mu in places.tolist()]), default=0)
        return _root(lambda mu: float(values(mu)[i]) - (1.0 - level), float(places[last]), float(places[last + 1]))

    return [root(i) for i in range(6)]


def _observed_and_expected(found: CLs, criterion: str) -> Floats:
    """Return the criterion of the data, and the five that are expected (6,)."""
    return np.array([getattr(found, criterion), *getattr(found, f"expected_{criterion}")])


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Return where a falling function crosses zero, or `low` if it is below there already."""
    return low if function(low) <= 0 else float(brentq(function, low, high, xtol=1e-4 * low, rtol=1e-10))


def _toy_scan(
    model: Model, data: Data, mu: ArrayLike | None, criterion: str, statistic: str, options: Mapping[str, Any]
) -> tuple[Floats, Floats]:
    """Return strengths (n,) and, for each, the observed and the five expected values of the criterion (n, 6)."""
    if mu is None:
        raise InputError("mu", "is missing", "Pass strengths to test with toys")
    strengths = finite_array(mu, "mu")
    if strengths.size < 2 or (np.diff(strengths) <= 0).any() or strengths[0] <= 0:
        raise InputError("mu", f"is {strengths.tolist()}", "Pass two or more rising strengths above zero")
    if "rng" not in options:
        raise InputError("rng", "is missing", "Pass a seed, such as rng=1")
    key = stream_key(options["rng"])
    found = []
    for i, strength in enumerate(strengths):
        chosen = {**options, "rng": lasting_seed(toy_generator(key, i))}
        test = hypothesis_test(model, data, float(strength), statistic=statistic, method="toys", **chosen)
        found.append(_observed_and_expected(test, criterion))
    return strengths, np.array(found)


def _interpolated(strengths: Floats, values: Floats, target: float) -> list[float]:
    """Return where each column (n, 6) falls below the target for good, between strengths linearly in its logarithm."""
    return [_last_crossing(strengths, np.log(np.maximum(column, 1e-300)), np.log(target)) for column in values.T]


def _last_crossing(x: Floats, y: Floats, target: float) -> float:
    above = np.flatnonzero(y > target)
    if not above.size:
        return float(x[0])
    last = int(above[-1])
    if last == x.size - 1:
        return float("inf")
    share = (y[last] - target) / (y[last] - y[last + 1])
    return float(x[last] + share * (x[last + 1] - x[last]))

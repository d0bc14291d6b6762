"""Nuisances: auxiliary likelihoods against scipy, measurements thrown, tables of user likelihoods, bad input."""

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hepstat.errors import InputError
from hepstat.nplm.nuisances import Gaussian, LogNormal, Nuisance, UserNuisance

NU = np.linspace(-0.7, 0.7, 29)


def log_count(nu: Any, a: float) -> Any:
    """Log likelihood of a count that expects 100 (1 + nu) events."""
    return a * np.log(1.0 + nu) - 100.0 * (1.0 + nu)


def throw_count(nu: float, generator: np.random.Generator) -> int:
    """Throw it."""
    return int(generator.poisson(100.0 * (1.0 + nu)))


def counted(**options: Any) -> UserNuisance:
    """Make a nuisance that a count of 100 measures."""
    given: dict[str, Any] = {"low": -0.9, "high": 0.9, "central": 100.0, **options}
    return UserNuisance("count", 0.1, given.pop("log_likelihood", log_count), throw_count, **given)


def kinds() -> list[Nuisance]:
    """Make one of each."""
    return [Gaussian("scale", 0.15), LogNormal("norm", 1.2), counted()]


def test_likelihoods() -> None:
    """Against scipy's densities of the auxiliary measurement, at a measurement off the centre."""
    densities: list[Any] = [
        lambda nu: stats.norm.logpdf(0.2, nu, 0.15),
        lambda nu: stats.lognorm.logpdf(1.3, math.log(1.2), scale=np.exp(nu)),
        lambda nu: stats.poisson.logpmf(93, 100 * (1 + nu)),
    ]
    for nuisance, a, truth in zip(kinds(), (0.2, 1.3, 93.0), densities, strict=True):
        constraint = nuisance.constraint(a)
        expected = truth(NU) - truth(0.0)
        np.testing.assert_allclose(constraint.log_ratio(NU), expected, atol=1e-8 * np.abs(expected).max() + 1e-13)
        assert constraint.log_ratio(0.0) == pytest.approx(0.0, abs=1e-8)
        assert constraint.low < 0 < constraint.high
    assert kinds()[2].constraint(93).log_ratio([-0.95, 0.95]).tolist() == [-np.inf, -np.inf]


def test_throws_and_pulls() -> None:
    """Measurements scatter around the true nu as they should, so pulls of the truth are normal."""
    generator = np.random.default_rng(1)
    for nuisance in kinds():
        pulls = [nuisance.pull(0.1, nuisance.throw(0.1, generator)) for _ in range(300)]
        assert abs(np.mean(pulls)) < 4 / math.sqrt(300)
        assert abs(np.std(pulls) - 1) < 4 / math.sqrt(600)
    assert LogNormal("norm", 1.2).pull(0.3, math.exp(0.1)) == pytest.approx(0.2 / math.log(1.2))
    assert counted().pull(-0.1, 100.0) == pytest.approx(-math.sqrt(2 * (log_count(0, 100) - log_count(-0.1, 100))))


def test_gaussian_as_table() -> None:
    """A table of a Gaussian has the Gaussian's best nu and pulls, wherever they lie between points of its grid."""
    gaussian = Gaussian("a", 0.1)
    table = UserNuisance("a", 0.1, lambda nu, a: -0.5 * ((nu - a) / 0.1) ** 2, gaussian.throw, -3.0, 2.0)
    for a in (-0.0237, 0.0, 0.0911):
        assert table.constraint(a).measured == pytest.approx(a, abs=1e-12)
        for nu in (-0.2, 0.001, a + 0.005, 0.3):
            assert table.pull(nu, a) == pytest.approx(gaussian.pull(nu, a), abs=1e-6)
    assert table.constraint(2.5).measured == 2.0  # beyond the limits


def test_tables() -> None:
    """Slopes are those of the likelihood."""
    constraint = counted().constraint(93.0)
    grid = np.linspace(-0.9, 0.9, len(constraint.table))
    inside = slice(20, -20)
    np.testing.assert_allclose(constraint.table[inside, 1], (93.0 / (1 + grid) - 100)[inside], rtol=1e-5, atol=1e-3)


def test_descriptions() -> None:
    """They are JSON types and tell nuisances apart, edited functions included."""
    shown = [str(nuisance.describe()) for nuisance in (*kinds(), Gaussian("scale", 0.1), Gaussian("scale", 0.15, -1.0))]
    edited = counted(log_likelihood=lambda nu, a: log_count(nu, a) + 1.0)
    assert len({*shown, str(edited.describe())}) == 6


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Gaussian("", 1.0), "name"),
        (lambda: Gaussian("a b", 1.0), "name"),
        (lambda: Gaussian("a", 0.0), "sigma of a"),
        (lambda: Gaussian("a", 1.0, 0.0), "limits of a"),
        (lambda: LogNormal("a", 1.0), "kappa of a"),
        (lambda: LogNormal("a", 1.1).constraint(0.0), "auxiliary measurement of a"),
        (lambda: Gaussian("a", 1.0).constraint(math.nan), "auxiliary measurement of a"),
        (lambda: counted(low=-math.inf), "limits of count"),
        (lambda: counted(log_likelihood=1), "log_likelihood of count"),
        (lambda: counted(low=-1.5), "NaN"),
        (lambda: counted(log_likelihood=lambda nu, a: -np.abs(nu - 0.012)), "Pass a smooth function"),
        (lambda: counted(log_likelihood=lambda nu, a: 0.0), "dimensions"),
        (lambda: counted(log_likelihood=lambda nu, a: np.where(nu == 0, -np.inf, 0.0)), "infinite"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_bad_input(make: Any, word: str) -> None:
    """Errors name the argument, whose nuisance it is, and the remedy."""
    with pytest.raises(InputError, match=word):
        make()

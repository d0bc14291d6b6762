"""Couplings as strengths: components that scale with mu and its square, negative interference, second minima."""

from typing import Any

import numpy as np
import pytest
from iminuit import Minuit
from scipy.stats import norm

from hepstat.errors import InputError
from hepstat.strength import (
    Binned,
    Component,
    Model,
    StrengthToys,
    Unbinned,
    asimov,
    fit,
    hypothesis_test,
    interval,
    to_pyhf,
    upper_limit,
)
from hepstat.strength.parabola import is_positive, positive_range
from hepstat.toys import run

BACKGROUND = np.array([200.0, 180.0, 160.0, 140.0, 120.0, 100.0])
SIGNAL = np.array([0.5, 2.0, 8.0, 8.0, 2.0, 0.5])
INTERFERENCE = np.array([6.0, 14.0, 20.0, -20.0, -14.0, -6.0])


def coupling(interference: float = 1.0, signal: float = 1.0, effects: Any = None) -> Model:
    """Return B + g SB + g^2 S with the coupling g as strength."""
    effects = effects or {}
    components = [
        Component("B", BACKGROUND, effects=effects),
        Component("SB", interference * INTERFERENCE, signal=True, signed=True, effects=effects),
        Component("S", signal * SIGNAL, signal=True, power=2, effects=effects),
    ]
    return Model(Binned(components), list(effects))


def expected(g: Any, interference: float = 1.0, signal: float = 1.0) -> Any:
    """Return the contents of the bins."""
    g = np.asarray(g)[..., None]
    return BACKGROUND + interference * g * INTERFERENCE + signal * g**2 * SIGNAL


@pytest.mark.parametrize("g", [-1.5, 0.0, 0.3, 1.0, 2.0])
def test_asimov_data_are_fitted(g: float) -> None:
    """Contents are the parabola, and its minimum is found."""
    model = coupling()
    data = asimov(model, g)
    np.testing.assert_allclose(data.observed.visits.n, expected(g), rtol=1e-14)
    found = fit(model, data)
    assert found.mu == pytest.approx(g, abs=1e-6)
    low = interval(model, data)
    assert low.lower < g < low.upper


@pytest.mark.parametrize("seed", range(4))
def test_against_iminuit(seed: int) -> None:
    """Minimum and error with a nuisance that changes everything, by an independent minimiser from many starts."""
    model = coupling(effects={"yield": 0.1})
    n = np.random.default_rng(seed).poisson(expected(1.0))

    def nll(g: float, alpha: float) -> float:
        lam = expected(g) * 1.1**alpha
        return float((lam - n * np.log(lam)).sum() + 0.5 * alpha**2)

    fits = []
    for start in (-2.0, -0.5, 0.5, 2.0):
        minuit = Minuit(nll, g=start, alpha=0.0)
        minuit.errordef, minuit.strategy, minuit.tol = 0.5, 2, 1e-6
        fits.append(minuit.migrad().hesse())
    best = min(fits, key=lambda one: one.fval)
    found = fit(model, n)
    assert found.nll == pytest.approx(best.fval, abs=1e-6)
    assert found.mu == pytest.approx(best.values["g"], abs=1e-3)
    assert found.mu_error == pytest.approx(best.errors["g"], rel=0.02)


def test_the_lower_of_two_minima() -> None:
    """With hardly any interference the two signs of the coupling compete: single fits and toys find the lower one."""
    model, grid = coupling(0.05, 5.0), np.linspace(-4.0, 4.0, 8001)
    table = expected(grid, 0.05, 5.0)
    for n in np.random.default_rng(1).poisson(expected(1.0, 0.05, 5.0), (50, 6)):
        least = (table - n * np.log(table)).sum(axis=1).min()
        assert fit(model, n).nll <= least + 1e-9
    toys = run(StrengthToys(model, 1.0), 1000, rng=1)
    assert (toys.status == 0).all()
    assert (toys["nll_test"] >= toys["nll_best"] - 1e-9).all()
    assert 0.4 < np.mean(toys["mu_hat"] < 0) < 0.5


def test_without_interference_the_vertex_is_no_trap() -> None:
    """At g = 0 the likelihood is even: half of the toys have a minimum there, the others two away from it."""
    model = coupling(0.0, 5.0)
    toys = run(StrengthToys(model, 0.0, mu_test=0.0), 2000, rng=2)
    assert (toys.status == 0).all()
    assert abs(np.mean(np.abs(toys["mu_hat"]) < 1e-6) - 0.5) < 4.0 * 0.5 / np.sqrt(2000)
    n = BACKGROUND + 4.0 * SIGNAL
    table = expected(np.linspace(-2.0, 2.0, 4001), 0.0, 5.0)
    assert fit(model, n).nll <= (table - n * np.log(table)).sum(axis=1).min() + 1e-9


def of_bins(background: Any, interference: Any, signal: Any) -> Model:
    """Return a model of these templates."""
    components = [
        Component("B", background),
        Component("SB", interference, signal=True, signed=True),
        Component("S", signal, signal=True, power=2),
    ]
    return Model(Binned(components))


def test_minima_of_bins_with_different_vertices() -> None:
    """The lowest of several minima is found wherever it is, also by toys."""
    model = of_bins([54.0, 618.0, 112.0], [12.0, -835.0, 67.0], [2.0, 380.0, 21.0])
    assert fit(model, asimov(model, 2.4)).mu == pytest.approx(2.4, abs=1e-6)
    rng, grid = np.random.default_rng(3), np.linspace(-8.0, 8.0, 16_001)
    for i in range(60):
        b, s = rng.uniform(20, 600, 3), rng.uniform(1, 400, 3)
        m = rng.uniform(-1.96, 1.96, 3) * np.sqrt(b * s)
        table = b + np.outer(grid, m) + np.outer(grid**2, s)
        n = rng.poisson(table[rng.integers(5000, 11_000)])
        model = of_bins(b, m, s)
        least = (table - n * np.log(table)).sum(axis=1).min()
        assert fit(model, n).nll <= least + 1e-6
        if i < 3:
            toys = run(StrengthToys(model, 1.0, mu_test=float(grid[8700])), 200, rng=i)
            assert (toys["nll_test"] >= toys["nll_best"] - 1e-9).all()


def test_a_minimum_like_a_fourth_power() -> None:
    """It has no error, and is one minimum all the same."""
    found = fit(of_bins([100.0, 80.0], [-100.0, -80.0], [50.0, 40.0]), [45, 45])
    assert found.mu == pytest.approx(1.0, abs=1e-3)
    assert np.isnan(found.mu_error)


@pytest.mark.parametrize(
    ("n", "z", "lower", "upper"),
    [([118, 91], 1.8, 0.183, 0.757), ([118, 91], 2.0, 0.0985, 0.779), ([109, 85], 1.0, 0.046, 0.528)],
)
def test_intervals_stop_at_a_hump(n: Any, z: float, lower: float, upper: float) -> None:
    """What is excluded between two minima is not in the interval, however narrow it is."""
    model = of_bins([100.0, 80.0], [4.0, 2.0], [50.0, 40.0])
    found = interval(model, n, level=1.0 - 2.0 * norm.sf(z))
    assert (found.lower, found.upper) == pytest.approx((lower, upper), abs=1e-3)


def test_the_largest_coupling_that_is_not_excluded() -> None:
    """Destructive interference leaves a second range beyond an excluded one: the limit is its end, as from toys."""
    b, s = np.array([100.0, 80.0, 60.0]), np.array([20.0, 15.0, 10.0])
    model = of_bins(b, -1.8 * np.sqrt(b * s), s)
    found = upper_limit(model, b, statistic="q_mu")
    assert found.observed == pytest.approx(4.222, abs=1e-3)
    assert hypothesis_test(model, b, 4.2, statistic="q_mu").cl_s > 0.05
    for mu in (4.3, 5.0, 8.0):
        assert hypothesis_test(model, b, mu, statistic="q_mu").cl_s < 0.05
    assert hypothesis_test(model, b, 2.0, statistic="q_mu").cl_s < 0.05
    strengths = [0.1, 1.0, 2.0, 3.5, 4.0, 4.2, 4.4, 4.8]
    toys = upper_limit(model, b, statistic="q_mu", method="toys", mu=strengths, n_toys=1000, rng=1)
    assert toys.observed == pytest.approx(found.observed, abs=0.2)
    other = upper_limit(of_bins([100.0, 80.0], [-100.0, -80.0], [50.0, 40.0]), [60, 45], statistic="q_mu")
    assert other.expected[2] == pytest.approx(2.143, abs=1e-3)


def test_toys_are_unbiased() -> None:
    """The coupling that toys were thrown with comes back, and mu_test may be another."""
    toys = run(StrengthToys(coupling(2.0), 1.0, mu_test=0.5), 2000, rng=1, workers=2)
    values = toys["mu_hat"]
    assert abs(values.mean() - 1.0) < 4.0 * values.std() / np.sqrt(2000)
    assert (toys["nll_test"] >= toys["nll_best"]).all()


@pytest.mark.parametrize(
    ("a", "b", "c", "low", "high"),
    [
        (4.0, 1.0, 0.0, -4.0, np.inf),
        (4.0, -1.0, 0.0, -np.inf, 4.0),
        (1.0, 0.0, 1.0, -np.inf, np.inf),
        (1.0, 2.0, 1.0, -np.inf, np.inf),  # touches zero
        (2.0, -3.0, 1.0, -np.inf, 1.0),
        (2.0, 3.0, 1.0, -1.0, np.inf),
        (0.0, 1.0, 1.0, 0.0, np.inf),
        (0.0, -1.0, 1.0, -np.inf, 0.0),
        (0.0, 0.0, 1.0, -np.inf, np.inf),
        (0.0, 0.0, 0.0, -np.inf, np.inf),
        (0.0, 0.0, -1.0, 0.0, 0.0),
    ],
)
def test_where_a_parabola_is_positive(a: float, b: float, c: float, low: float, high: float) -> None:
    """The range around zero in which a + b mu + c mu^2 is not negative."""
    row = [np.array([value]) for value in (a, b, c)]
    assert positive_range(*row) == pytest.approx((low, high))
    assert is_positive(*row)[0] == (low == -np.inf and high == np.inf)


def test_bad_input() -> None:
    """Powers and signs are for signals in bins, and pyhf has neither."""
    with pytest.raises(InputError, match=r"expected of SB: is -20 somewhere.*signed=True"):
        Component("SB", INTERFERENCE, signal=True)
    with pytest.raises(InputError, match="power of S: is 3"):
        Component("S", SIGNAL, signal=True, power=3)
    with pytest.raises(InputError, match="is no signal"):
        Component("B", BACKGROUND, signed=True)
    with pytest.raises(InputError, match="component s: has a power or signs"):
        Unbinned([Component("s", 1.0, signal=True, power=2, ratio=np.ravel), Component("b", 2.0)])
    with pytest.raises(InputError, match="pyhf has neither"):
        to_pyhf(coupling())
    with pytest.raises(InputError, match="negative expectations in bins"):
        asimov(coupling(20.0), 1.0)

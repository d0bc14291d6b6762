"""Where likelihoods end or have several minima: impossible data, walls, saddles, bounds, scales of mu."""

from typing import Any

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import poisson

from hepstat.errors import FitError, InputError
from hepstat.strength import (
    Binned,
    Component,
    Effect,
    Model,
    Nuisance,
    StrengthToys,
    Unbinned,
    WrappedNormal,
    asimov,
    counting,
    fit,
    hypothesis_test,
    interval,
    profile,
    statistic_of,
    statistics_of,
    upper_limit,
)
from hepstat.toys import run

NOTHING = Model(counting(3, 0))
NARROW = WrappedNormal(0.02)


def narrow(n_total: int | None = None, std: float = 0.02, **options: Any) -> Model:
    """Return a narrow signal on a uniform background: of ratios up to 20, or far more."""
    ratio = WrappedNormal(std).ratio
    signal = Component("s", 30.0, signal=True, ratio=ratio)
    return Model(Unbinned([signal, Component("b", 100.0)], n_total=n_total), **options)


def crooked(rng: np.random.Generator) -> Model:
    """Return a model with effects of any size and direction on both sides."""

    def effects() -> Any:
        return {name: tuple(np.exp(rng.normal(0, 0.15, (2, 3)))) for name in "abc"}

    signal = Component("s", rng.uniform(0, 100, 3), signal=True, effects=effects())
    return Model(Binned([signal, Component("b", rng.uniform(300, 3000, 3), effects=effects())]), list("abc"))


@pytest.mark.parametrize("mu", [0.5, 1.0, 2.0])
def test_toys_without_background(mu: float) -> None:
    """CLs+b of no events is exp(-mu S), CLb is 1: toys with events are impossible at mu = 0, which is no failure."""
    for statistic in ("q_mu", "q_mu_tilde"):
        found = hypothesis_test(NOTHING, [0], mu, statistic=statistic, method="toys", rng=1, n_toys=4000)
        exact = poisson.pmf(0, 3 * mu)
        assert abs(found.cl_sb - exact) <= 5 * np.sqrt(exact / 4000) + 1 / 4000
        assert (found.cl_b, found.n_failed) == (1.0, 0)


def test_impossible_strengths() -> None:
    """Their -log L is infinite in profiles, statistics and toys; a fit there fails, and so do asymptotic formulas."""
    assert profile(NOTHING, [2], [0.0, 1.0]).tolist() == [np.inf, pytest.approx(3 - 2 * np.log(3))]
    assert statistic_of(NOTHING, [2], 1.0, "q0") == np.inf
    assert statistic_of(NOTHING, [2], 1.0, "simple") == -np.inf
    assert np.isfinite(upper_limit(NOTHING, [1]).observed)
    table = run(StrengthToys(NOTHING, 1.0, mu_test=2.0), 100, rng=1)
    np.testing.assert_array_equal(np.isinf(table["nll_zero"]), table["n"] > 0)
    np.testing.assert_array_equal(np.isinf(statistics_of(table, "q0")), table["n"] > 0)
    found = hypothesis_test(NOTHING, [2], statistic="q0", method="toys", rng=1, n_toys=99)
    assert (found.observed, found.cl_sb) == (np.inf, 0.01)
    with pytest.raises(FitError, match="events where nothing"):
        fit(NOTHING, [2], mu=0.0)
    with pytest.raises(FitError, match="asymptotic formulas do not apply"):
        hypothesis_test(NOTHING, [2], statistic="q0")


@pytest.mark.parametrize("n_total", [None, 101])
@pytest.mark.parametrize("level", [0.6827, 0.95, 0.999])
def test_intervals_at_walls(level: float, n_total: int | None) -> None:
    """Between the strengths at which the likelihood of an event gets negative, found by hand."""
    events = np.concatenate([[0.0], (np.arange(100) + 0.5) / 100 - 0.5])
    r = NARROW.ratio(events)
    model = narrow(n_total)
    found = interval(model, events, level=level)

    def by_hand(mu: float) -> float:
        return 30 * mu - np.log1p(0.3 * mu * r).sum() if n_total is None else -np.log1p(mu * (r - 1)).sum()

    walls = (-1 / (0.3 * r.max()), 10.0) if n_total is None else (-1 / (r.max() - 1), 1 / (1 - r.min()))
    walls = (walls[0] * (1 - 1e-12), walls[1] * (1 - 1e-12))

    def rise(mu: float) -> float:
        return by_hand(mu) - by_hand(found.mu) - 0.5 * found.z**2

    assert found.lower == pytest.approx(brentq(rise, walls[0], found.mu), abs=1e-6)
    assert found.upper == pytest.approx(brentq(rise, found.mu, walls[1]), abs=1e-6)


def test_shares_from_the_middle() -> None:
    """Events that a signal can never make leave a share to be fitted, from any start of toys and data."""
    rng = np.random.default_rng(1)
    s, b = rng.normal(0, 0.005, 4000), rng.random(20_000) - 0.5
    ratio = WrappedNormal(0.005).ratio
    assert ratio(b).min() == 0
    data = np.concatenate([s[:20], b[:180]])
    assert fit(narrow(200, std=0.005), data).mu == pytest.approx(0.1, abs=0.03)
    signal = Component("s", 1.0, signal=True, ratio=ratio, events=s)
    model = Model(Unbinned([signal, Component("b", 1.0, events=b)], n_total=20))
    table = run(StrengthToys(model, 0.1), 100, rng=1)
    assert table.n_failed == 0
    assert np.isinf(table["nll_test"]).any()


@pytest.mark.parametrize("scale", [1e-9, 1e-6, 1e3, 1e8, 1e12])
@pytest.mark.parametrize("n", [0, 4])
def test_scales(scale: float, n: int) -> None:
    """A signal so many times as large has limits and intervals so many times smaller, at bounds too."""
    unit, other = Model(counting(1, 3)), Model(counting(scale, 3))
    assert upper_limit(other, [n]).observed * scale == pytest.approx(upper_limit(unit, [n]).observed, rel=1e-6)
    first, second = interval(unit, [n]), interval(other, [n])
    assert second.lower * scale == pytest.approx(first.lower, rel=1e-6)
    assert second.upper * scale == pytest.approx(first.upper, rel=1e-6)


def test_many_bounds() -> None:
    """Those that a fit has reached are named, wherever they stand among many."""
    n = 70
    changes = {f"a{i}": Effect((0, 1), factors=1 + np.outer([0, 0.1], np.arange(n) == i)) for i in range(n)}
    parts = [Component("s", np.ones(n), signal=True), Component("b", np.full(n, 100.0), effects=changes)]
    model = Model(Binned(parts), [Nuisance(name, bounds=(-0.5, 0.5)) for name in changes])
    for place in (3, 63, 66):
        counts = np.where(np.arange(n) == place, 200.0, 100.0)
        assert fit(model, counts, mu=0.0).at_bound == (f"a{place}",)


def test_nuisance_of_the_signal() -> None:
    """Without signal nothing depends on it: its error is NaN, tests go on; two that do the same are no fit."""
    shift = ([1.2, 0.8], [0.8, 1.2])
    parts = [Component("s", [10.0, 5.0], signal=True, effects={"m": shift}), Component("b", [50.0, 50.0])]
    model = Model(Binned(parts), [Nuisance("m", constraint="free", bounds=(-1, 1))])
    found = fit(model, [60, 50], mu=0.0)
    assert np.isnan(found.errors["m"])
    assert found.nll == pytest.approx(100 - 110 * np.log(50))
    test = hypothesis_test(model, [60, 50])
    assert 0 < test.cl_s < 1
    twice = Model(counting(10, 50, {"x": Effect.scale(), "y": Effect.scale()}), [Nuisance("x", constraint="free"), "y"])
    assert fit(twice, [60], mu=0.0).values["x"] == pytest.approx(np.log(1.2))
    free = [Nuisance(name, constraint="free") for name in "xy"]
    twice = Model(counting(10, 50, {"x": Effect.scale(), "y": Effect.scale()}), free)
    with pytest.raises(FitError, match="do not tell parameters apart"):
        fit(twice, [60], mu=0.0)


def test_two_sided_effects() -> None:
    """Alike on both sides, an effect makes two minima and a saddle between them, where fits start."""
    parts = [Component("s", [0.0, 10.0], signal=True), Component("b", [100, 50], effects={"a": ([1.2, 1], [1.2, 1])})]
    model = Model(Binned(parts), ["a"])
    found, other = fit(model, [150, 60]), fit(model, [150, 60], auxiliary={"a": 0.5})
    assert abs(found.values["a"]) > 1
    assert other.values["a"] > 1
    assert found.nll < profile(Model(Binned(parts), [Nuisance("a", bounds=(-0.1, 0.1))]), [150, 60], [1.0])[0] - 5


def test_best_fits_are_best() -> None:
    """A fit with mu free is never worse than one with mu held, in data and in toys, whatever effects do."""
    rng = np.random.default_rng(2)
    for seed in range(8):
        model = crooked(rng)
        table = run(StrengthToys(model, 1.0), 300, rng=seed)
        assert (table["nll_best"] <= np.minimum(table["nll_test"], table["nll_zero"]) + 1e-6).all()
        assert (statistics_of(table, "q_mu_tilde") >= 0).all()
        counts = rng.poisson(model.expected(model.theta(1.0, {"a": 1.0, "b": -1.5})).sum(axis=1))
        auxiliary = dict(zip("abc", rng.normal([1, -1.5, 0]), strict=True))
        assert statistic_of(model, counts, 1.0, "t_mu", auxiliary=auxiliary) >= 0


def test_bounds_around_tests() -> None:
    """Where the best fit may not go, no test is made."""
    for bounds, mu in (((0.5, 5), 1.0), ((0, 0.5), 1.0), ((-1, 5), -2.0)):
        with pytest.raises(InputError, match=f"mu_bounds: are .* Let them contain 0 and {mu:g}"):
            hypothesis_test(Model(counting(10, 50), mu_bounds=bounds), [70], mu, statistic="t_mu")


def test_negative_expectations() -> None:
    """No events can be drawn from a component that expects less than none, and none can be expected of it."""
    x = np.linspace(-0.5, 0.5, 5000)
    parts = [Component("s", 1.0, signal=True, ratio=NARROW.ratio, events=x), Component("b", 5.0, events=x)]
    for n_total, mu in ((None, -0.1), (5, -0.1), (5, 1.1)):
        model = Model(Unbinned(parts, n_total=n_total))
        for make in (StrengthToys, asimov):
            with pytest.raises(InputError, match=f"mu: is {mu:g}, with negative expectations"):
                make(model, mu)
    with pytest.raises(InputError, match="mu: is -6, with negative expectations in count"):
        asimov(Model(counting(10, 50)), -6.0)


def test_asimov_without_signal() -> None:
    """Simulated signal that stands for no events is no wall for the fit."""
    x = np.linspace(-0.5, 0.5, 4001)
    signal = Component("s", 10.0, signal=True, ratio=NARROW.ratio, events=x / 100)
    beside = Component("b", 100.0, events=x[np.abs(x) > 0.03])
    found = fit(Model(Unbinned([signal, beside]), mu_bounds=(-5, 5)), asimov(Model(Unbinned([signal, beside])), 0.0))
    assert found.mu < -10 / NARROW.ratio(np.zeros(1))[0]


def test_failed_toys() -> None:
    """At a strength with negative expectations toys fail with a reason, and have no statistic."""
    study = StrengthToys(Model(counting(4, 1)), 1.0, mu_test=-0.5)
    table = run(study, 50, rng=1)
    assert (table.status == 3).all()
    assert "no likelihood" in study.reasons[3]
    assert np.isnan(statistics_of(table, "q_mu")).all()


def test_names_of_fields() -> None:
    """Records have fields of their own, which no nuisance may be called."""
    with pytest.raises(InputError, match="nuisances: have 'n', a field of the records"):
        StrengthToys(Model(counting(4, 10, {"n": 0.1}), ["n"]), 1.0)


def test_auxiliary_results() -> None:
    """Counts are not negative, free nuisances not measured."""
    model = Model(counting(4, 10, {"x": Effect.scale()}), [Nuisance("x", constraint="poisson", width=20.0)])
    assert fit(model, [0], mu=1.0, auxiliary={"x": 0}).values["x"] < -10
    with pytest.raises(InputError, match="auxiliary x: is -1"):
        fit(model, [10], auxiliary={"x": -1})
    with pytest.raises(InputError, match="auxiliary x: is 1, but x is free"):
        fit(Model(model.channels, [Nuisance("x", constraint="free")]), [10], auxiliary={"x": 1})


def test_shapes_over_nominal_ones() -> None:
    """A density that is not divided by the nominal one is no shape; bins keep to knots as events do."""
    x = np.linspace(-0.5, 0.5, 101)

    def model(offset: float) -> Model:
        effect = Effect([-1, 0, 1], shape=lambda x: offset + np.outer(x, [-0.1, 0, 0.1]), confined=True)
        signal = Component("s", 10.0, signal=True, ratio=NARROW.ratio, events=x / 10)
        return Model(Unbinned([signal, Component("b", 100.0, events=x, effects={"k": effect})]), ["k"])

    with pytest.raises(InputError, match="effect of k on b: is not 0 at the nominal value 0"):
        fit(model(0.5), x)
    channel: Any = model(0.0).channels[0]
    made = Model(channel.binned(lambda x: x, [-0.6, 0.0, 0.6]), ["k"])
    assert [ends[1] for ends in made.bounds] == [-1, 1]

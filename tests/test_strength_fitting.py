"""Fits of mu: by hand where that is possible, by iminuit otherwise; invariants of the likelihood; records."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iminuit import Minuit
from scipy.optimize import brentq

from hepstat.errors import FitError, InputError
from hepstat.strength import (
    Binned,
    Component,
    Effect,
    Interval,
    Model,
    Nuisance,
    StrengthFit,
    Unbinned,
    WrappedNormal,
    counting,
    fit,
    interval,
    profile,
    statistic_of,
)

SOURCE = WrappedNormal(0.08)
RNG = np.random.default_rng(4)
EVENTS = np.concatenate([RNG.normal(0, 0.08, 15), RNG.random(90) - 0.5])
POSITIVE = st.floats(0.5, 50.0)


def bins(signal: Any, background: Any, effects: Any = None, name: str = "bins") -> Binned:
    """Return a binned channel with effects on its background."""
    return Binned([Component("s", signal, signal=True), Component("b", background, effects=effects or {})], name=name)


def unbinned(effects: Any = None, s_effects: Any = None, n_total: int | None = None) -> Unbinned:
    """Return a normal signal on a uniform background."""
    signal = Component("s", 10.0, signal=True, ratio=SOURCE.ratio, effects=s_effects or {})
    return Unbinned([signal, Component("b", 100.0, effects=effects or {})], n_total=n_total)


@given(s=POSITIVE, b=POSITIVE, n=st.integers(1, 200))
@settings(max_examples=60, deadline=None)
def test_a_count(s: float, b: float, n: int) -> None:
    """mu_hat = (n - b)/s with error sqrt(n)/s, -log L = n - n log(n)."""
    found = fit(Model(counting(s, b)), [n])
    assert found.mu == pytest.approx((n - b) / s, abs=2e-6 * np.sqrt(n) / s)
    assert found.mu_error == pytest.approx(np.sqrt(n) / s, rel=1e-4)
    assert found.nll == pytest.approx(n - n * np.log(n), abs=1e-10 * n)
    assert found.at_bound == ()


def test_a_count_of_nothing() -> None:
    """At the bound -b/s, and with a bound at zero at zero."""
    found = fit(Model(counting(2, 5)), [0])
    assert (found.mu, found.nll) == (pytest.approx(-2.5), pytest.approx(0, abs=1e-12))
    assert found.at_bound == ("mu",)
    found = fit(Model(counting(2, 5), mu_bounds=(0, 10)), [3])
    assert (found.mu, found.at_bound) == (0, ("mu",))
    assert np.isnan(found.mu_error)
    assert found.correlation.tolist() == [[0.0]]


def test_no_background() -> None:
    """mu_hat = n/s; without events the bound, which is 0."""
    for n in (0, 1, 7):
        assert fit(Model(counting(2, 0)), [n]).mu == pytest.approx(n / 2, abs=1e-6)


def test_count_with_measured_background() -> None:
    """An on-off measurement: b_hat = m/tau, and mu_hat = (n - m/tau)/s exactly."""
    tau, m, n, s = 3.0, 33, 21, 4.0
    nuisance = Nuisance("off", constraint="poisson", width=30.0)
    model = Model(counting(s, 30.0 / tau, {"off": Effect.scale()}), [nuisance])
    found = fit(model, [n], auxiliary={"off": m})
    assert found.mu == pytest.approx((n - m / tau) / s, abs=1e-6)
    assert found.values["off"] == pytest.approx(np.log(m / 30.0), abs=1e-6)
    assert found.mu_error == pytest.approx(np.sqrt(n + m / tau**2) / s, rel=1e-5)
    assert found.errors["off"] == pytest.approx(1 / np.sqrt(m), rel=1e-5)
    held = fit(model, [n], mu=0.0, auxiliary={"off": m})
    assert held.values["off"] == pytest.approx(np.log((n + m) / (1 + tau) * tau / 30.0), abs=1e-6)
    assert held.mu == 0
    assert np.isnan(held.mu_error)
    both = np.array([0.0, 1.0])
    np.testing.assert_allclose(profile(model, [n], both, auxiliary={"off": m})[0], held.nll, rtol=1e-13)


def cost_of(model: Model, observed: Any) -> Any:
    """Return -log L as a function of the parameters for iminuit, in numpy from the rows of the model."""
    data = model.data(observed)
    d, rows, (row, n), events = model.dependence, data.observed.rows, data.observed.visits, data.observed.events
    assert (row == np.arange(row.size)).all()

    def cost(theta: Any) -> float:
        factors = model._factors(rows, np.asarray(theta))
        total = ((d.intercept + d.slope * theta[0]) * rows.intensity * factors).sum(axis=1)
        if (total <= 0).any():
            return 1e10
        value = rows.exposure @ total - n @ np.log(total)
        shared = model._factors(
            rows._replace(intensity=np.ones((1, d.intercept.size)), change=d.change), np.asarray(theta)
        )
        density = ((d.intercept + d.slope * theta[0]) * shared[0]) @ events.intensity
        if (density <= 0).any():
            return 1e10
        value -= events.n @ np.log(density)
        for kind, width, centre, alpha in zip(d.constraint, d.width, data.centre, theta[1:], strict=True):
            value += [0.5 * ((alpha - centre) / width) ** 2, width * np.exp(alpha) - centre * alpha, 0.0][kind]
        return float(value)

    return cost


def resolution(x: Any, width: float) -> Any:
    """Log density of a narrow normal signal."""
    return -0.5 * (np.asarray(x) / width) ** 2 - np.log(width)


def models() -> dict[str, tuple[Model, Any]]:
    """Return models and data of every kind."""
    rng = np.random.default_rng(8)
    shape = Effect.up_down([0.8, 1.1, 1.05, 0.9], [1.15, 0.9, 1.0, 1.2])
    simulated = [Nuisance(f"bin{i}", constraint="poisson", width=w) for i, w in enumerate((20.0, 50.0))]
    of_bins = {"shape": shape, "norm": 0.1}
    each = {f"bin{i}": Effect([0, 1], factors=np.stack([np.ones(4), np.exp(np.eye(4)[i])])) for i in range(2)}
    width = {"width": Effect.parameterised(resolution, [0.06, 0.07, 0.08, 0.09, 0.1], 0.08)}
    normal = Nuisance("width", centre=0.08, width=0.01)
    inside = Nuisance("width", centre=0.08, width=0.01, bounds=(0.06, 0.1))  # densities have a norm between knots only
    slope = {"slope": Effect([-1, 0, 1], shape=lambda x: np.log1p(x[:, None] * np.array([-0.5, 0.0, 0.5])))}
    free = Nuisance("scale", constraint="free")
    mixed = [
        unbinned({"norm": 0.1, **slope}, width),
        bins([0.0, 1.0], [30.0, 40.0], {"norm": 0.1, "scale": Effect.scale()}),
    ]
    four = bins([1, 4, 8, 2], [30, 25, 20, 12], {**of_bins, **each})
    return {
        "binned": (Model(four, ["shape", "norm", *simulated]), rng.poisson([30, 31, 30, 15])),
        "unbinned": (Model(unbinned({"norm": 0.2, **slope}, width), ["norm", normal, "slope"]), EVENTS),
        "mixed": (Model(mixed, ["norm", normal, "slope", free]), [EVENTS, [35, 44]]),
        "fixed total": (Model(unbinned(slope, width, n_total=105), [inside, "slope"]), EVENTS),
        "no nuisances": (Model([unbinned(), bins([2.0, 3], [5.0, 6])]), [EVENTS, [8, 5]]),
    }


@pytest.mark.parametrize("held", [None, 0.0, 1.7])
@pytest.mark.parametrize("kind", models())
def test_against_iminuit(kind: str, held: float | None) -> None:
    """Minimum to 1e-6, parameters to a thousandth of their errors, errors to 1%."""
    model, observed = models()[kind]
    held = held if held is None or kind != "fixed total" else 0.1 * held
    found = fit(model, observed, mu=held)
    start = model.theta(0.5 if kind == "fixed total" else 1.0)
    minuit = Minuit(cost_of(model, observed), start, name=model.names)
    minuit.errordef, minuit.strategy, minuit.tol = 0.5, 2, 1e-4
    if held is not None:
        minuit.values["mu"], minuit.fixed["mu"] = held, True
    for nuisance in model.nuisances:  # the knots of shapes are no limits here, since limits distort Minuit's errors
        minuit.limits[nuisance.name] = nuisance.bounds
    minuit.migrad(ncall=20_000)
    if minuit.nfit:
        minuit.hesse()
    assert found.nll <= minuit.fval + 1e-6
    assert found.nll == pytest.approx(minuit.fval, abs=1e-5)
    pairs = [(found.mu, found.mu_error, "mu")] if held is None else []
    pairs += [(found.values[n], found.errors[n], n) for n in model.names[1:]]
    for value, error, name in pairs:
        assert value == pytest.approx(minuit.values[name], abs=5e-3 * error)
        assert error == pytest.approx(minuit.errors[name], rel=0.06 if kind == "fixed total" else 0.01)  # limits
    if held is None:
        np.testing.assert_allclose(found.correlation, minuit.covariance.correlation(), atol=0.01)


@given(s=st.lists(POSITIVE, min_size=2, max_size=4), seed=st.integers(0, 1000), mu=st.floats(-0.02, 3.0))
@settings(max_examples=30, deadline=None)
def test_splitting_a_bin(s: Any, seed: int, mu: float) -> None:
    """Two equal halves are one bin but for a constant, whatever the nuisance; the best fit is the same."""
    rng = np.random.default_rng(seed)
    b, n = rng.uniform(5, 50, len(s)), rng.poisson(20, len(s)).astype(float)
    down, up = rng.uniform(0.8, 1.2, (2, len(s)))

    def halved(x: Any) -> Any:
        return np.concatenate([[x[0] / 2, x[0] / 2], x[1:]])

    def doubled(x: Any) -> Any:
        return np.concatenate([x[:1], x])

    whole = Model(bins(s, b, {"a": (down, up)}), ["a"])
    parts = Model(bins(halved(s), halved(b), {"a": (doubled(down), doubled(up))}), ["a"])
    first, second = (fit(*pair, mu=mu) for pair in ((whole, n), (parts, halved(n))))
    assert second.nll - first.nll == pytest.approx(n[0] * np.log(2), abs=1e-8)
    free, split = fit(whole, n), fit(parts, halved(n))
    assert split.mu == pytest.approx(free.mu, abs=1e-5 * free.mu_error)
    assert split.nll - free.nll == pytest.approx(n[0] * np.log(2), abs=1e-8)


def test_ratios_constant_in_cells() -> None:
    """Events with ratios that are constant in cells are counts in these cells."""
    p, q = np.array([0.1, 0.6, 0.3]), np.array([0.5, 0.2, 0.3])
    x = np.random.default_rng(1).choice(3, 80, p=0.1 * p + 0.9 * q).astype(float)
    s, b = 12.0, 70.0
    signal = Component("s", s, signal=True, ratio=lambda x: (p / q)[x.astype(int)], effects={"k": 0.05})
    cells = Component("s", s * p, signal=True, effects={"k": 0.05})
    effects = {"k": 0.1}
    by_events = Model(Unbinned([signal, Component("b", b, effects=effects)]), ["k"])
    by_bins = Model(Binned([cells, Component("b", b * q, effects=effects)]), ["k"])
    counts = np.bincount(x.astype(int), minlength=3)
    mu = np.linspace(-0.3, 2, 7)
    difference = profile(by_events, x, mu) - profile(by_bins, counts, mu)
    np.testing.assert_allclose(difference, (counts * np.log(q * b)).sum(), rtol=1e-10)
    first, second = fit(by_events, x), fit(by_bins, counts)
    assert first.mu == pytest.approx(second.mu, abs=1e-6)
    assert first.mu_error == pytest.approx(second.mu_error, rel=1e-6)


def test_order_of_events() -> None:
    """It does not matter."""
    model, x = models()["unbinned"]
    first, second = fit(model, x), fit(model, np.random.default_rng(1).permutation(x))
    assert second.nll == pytest.approx(first.nll, rel=1e-12)
    assert second.mu == pytest.approx(first.mu, abs=1e-6)


def test_channels_add() -> None:
    """-log L of channels without common nuisances is the sum; two equal ones measure sqrt(2) better."""
    first, second, both = Model(unbinned()), Model(bins([2.0], [5.0])), Model([unbinned(), bins([2.0], [5.0])])
    mu = np.linspace(0, 3, 5)
    total = profile(first, EVENTS, mu) + profile(second, [9], mu)
    np.testing.assert_allclose(profile(both, [EVENTS, [9]], mu), total, rtol=1e-13)
    twice = Model([bins([2.0], [5.0], name="a"), bins([2.0], [5.0], name="b")])
    assert fit(twice, [[9], [9]]).mu_error == pytest.approx(fit(second, [9]).mu_error / np.sqrt(2), rel=1e-6)


def test_no_events() -> None:
    """An unbinned region without events prefers as little signal as it may have."""
    found = fit(Model(unbinned(), mu_bounds=(-1.0, 5.0)), [])
    assert (found.mu, found.at_bound) == (-1, ("mu",))
    assert found.nll == pytest.approx(90)
    assert fit(Model(unbinned()), [], mu=0.0).nll == 100


def test_impossible_data() -> None:
    """Events where nothing is expected have no likelihood, nor has a strength that makes less than nothing."""
    empty = Model(bins([1.0, 0.0], [2.0, 0.0]))
    for options in ({}, {"mu": 1.0}):
        with pytest.raises(FitError, match="events where nothing is expected"):
            fit(empty, [3, 1], **options)
    assert fit(empty, [3, 0]).mu == pytest.approx(1, abs=1e-6)
    with pytest.raises(FitError, match="at mu = -3"):
        fit(Model(counting(1, 2)), [3], mu=-3.0)
    with pytest.raises(FitError, match="at mu = 0"):
        fit(Model(counting(1, 0)), [3], mu=0.0)


def test_shapes_of_events() -> None:
    """A width that the data know better than its measurement moves to where it fits best."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(0, 0.09, 2000), rng.random(500) - 0.5])
    effect = Effect.parameterised(resolution, np.linspace(0.06, 0.12, 13), 0.08)

    def density(x: Any) -> Any:
        return np.exp(resolution(x, 0.08)) / np.sqrt(2 * np.pi)

    signal = Component("s", 2000.0, signal=True, ratio=density, effects={"w": effect})
    found = fit(Model(Unbinned([signal, Component("b", 500.0)]), [Nuisance("w", constraint="free", centre=0.08)]), x)
    assert found.values["w"] == pytest.approx(0.09, abs=5 * found.errors["w"])
    assert 1 < found.errors["w"] / (0.09 / np.sqrt(2 * 2000)) < 2  # without background it would be 1
    assert found.mu == pytest.approx(1, abs=5 * found.mu_error)


def test_interval_by_hand() -> None:
    """Ends where n log(n/lambda) + lambda - n is z^2/2; bounds where it does not get there."""
    n, s, b = 12, 2.0, 5.0
    for level, z in ((0.6826894921370859, 1.0), (0.95, 1.959963984540054)):
        found = interval(Model(counting(s, b)), [n], level=level)

        def rise(mu: float, z: float = z) -> float:
            return b + mu * s - n - n * np.log((b + mu * s) / n) - z * z / 2

        assert found.lower == pytest.approx(brentq(rise, -2.49, 3.5), abs=1e-6)
        assert found.upper == pytest.approx(brentq(rise, 3.5, 20), abs=1e-6)
        assert (found.level, found.z) == (level, pytest.approx(z))
    assert found.mu == pytest.approx(3.5, abs=1e-6)
    assert interval(Model(counting(s, b)), [0]).lower == pytest.approx(-2.5, rel=1e-9)
    assert interval(Model(counting(s, b), mu_bounds=(0, 2)), [n]).upper == 2
    assert interval(Model(counting(s, b), mu_bounds=(3.4, 9)), [n]).lower == 3.4


def test_pulls() -> None:
    """Nuisances move in units of their width."""
    model = Model(counting(1, 100, {"a": Effect([1.0, 2.0], factors=[1, 1.2])}), [Nuisance("a", centre=1.0, width=2.0)])
    found = fit(model, [130], mu=0.0)
    assert found.pulls(model) == {"a": pytest.approx((found.values["a"] - 1) / 2)}
    assert fit(model, [100], mu=0.0).pulls(model)["a"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["q0", "q_mu", "q_mu_tilde", "t_mu", "t_mu_tilde", "simple"])
def test_statistics_of_a_count(name: str) -> None:
    """By the formulas of arXiv:1007.1727, above, between and below."""
    s, b, mu = 4.0, 10.0, 1.0

    def nll(n: float, at: float) -> float:
        return b + at * s - n * np.log(b + at * s)

    for n in (7, 12, 20):
        best = (n - b) / s
        t, zero = 2 * (nll(n, mu) - nll(n, best)), 2 * (nll(n, 0) - nll(n, best))
        tilde = t if best >= 0 else t - zero
        expected = {
            "q0": zero if best > 0 else 0.0,
            "q_mu": t if best <= mu else 0.0,
            "q_mu_tilde": tilde if best <= mu else 0.0,
            "t_mu": t,
            "t_mu_tilde": tilde,
            "simple": t - zero,
        }[name]
        assert statistic_of(Model(counting(s, b)), [n], mu, name) == pytest.approx(expected, abs=1e-9)


def test_records() -> None:
    """Results travel through JSON."""
    model, observed = models()["mixed"]
    for made in (
        fit(model, observed),
        fit(model, observed, mu=1.0),
        interval(model, observed),
        fit(Model(counting(1, 2)), [0]),
    ):
        again = type(made).from_json(made.to_json())
        assert again.to_dict() == made.to_dict()
        assert isinstance(again, StrengthFit | Interval)
    found = fit(model, observed)
    again = StrengthFit.from_dict(found.to_dict())
    assert again.values == found.values
    np.testing.assert_array_equal(again.correlation, found.correlation)
    assert again.at_bound == found.at_bound


def test_bad_input() -> None:
    """Every argument that cannot be used is named."""
    model = Model(counting(1, 2))
    wrong: list[tuple[Any, str]] = [
        (lambda: fit(model, [1], mu=np.nan), "mu"),
        (lambda: profile(model, [1], [np.nan]), "mu"),
        (lambda: profile(model, [1], 1.0), "mu"),
        (lambda: interval(model, [1], level=0.0), "level"),
        (lambda: interval(model, [1], level=1.0), "level"),
        (lambda: statistic_of(model, [1], 1.0, "q"), "name: is 'q'"),
        (lambda: statistic_of(model, [1], np.inf), "mu"),
    ]
    for call, message in wrong:
        with pytest.raises(InputError, match=message):
            call()

"""Models: rows of expectations, data sets, bounds, expected data, bad input."""

from typing import Any

import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.strength import Binned, Component, Effect, Model, Nuisance, Unbinned, WrappedNormal, asimov, counting, fit

SOURCE = WrappedNormal(0.08)
RNG = np.random.default_rng(1)
SIGNAL, BACKGROUND = RNG.normal(0, 0.08, 2000), RNG.random(4000) - 0.5
WEIGHTS = RNG.random(4000)


def unbinned(name: str = "events", n_total: int | None = None, effects: Any = None) -> Unbinned:
    """Return a normal signal on a uniform background."""
    return Unbinned(
        [
            Component("b", 100.0, events=BACKGROUND, weights=WEIGHTS, effects=effects or {}),
            Component("s", 10.0, signal=True, ratio=SOURCE.ratio, events=SIGNAL),
        ],
        name=name,
        n_total=n_total,
    )


def test_rows() -> None:
    """Bins and totals first, in the order of the channels; a component has no intensity in other channels."""
    model = Model([unbinned(), counting(2, 3)])
    np.testing.assert_allclose(model.fixed.intensity, [[100, 10, 0, 0], [0, 0, 2, 3]])
    np.testing.assert_array_equal(model.fixed.exposure, [1, 1])
    assert [extent for _, extent in model.extents] == [slice(0, 1), slice(1, 2)]
    data = model.data([BACKGROUND[:5], [7.0]])
    rows, visits, events = data.observed
    np.testing.assert_array_equal(visits.n, [0, 7])
    np.testing.assert_array_equal(rows.exposure, [1, 1])
    np.testing.assert_array_equal(events.n, np.ones(5))
    np.testing.assert_allclose(
        events.intensity, [np.ones(5), SOURCE.ratio(BACKGROUND[:5]) / 10, np.zeros(5), np.zeros(5)]
    )
    assert model.data(data) is data
    assert model.names == ("mu",)


def test_shared_components() -> None:
    """One component in two channels has its expectation and its effects in both."""
    background = Component("b", 100.0, events=BACKGROUND, effects={"a": 0.1})
    signal = Component("s", 10.0, signal=True, ratio=SOURCE.ratio, events=SIGNAL)
    model = Model([Unbinned([signal, background], name=name) for name in "xy"], ["a"])
    theta = model.theta(2.0, {"a": 1.0})
    np.testing.assert_allclose([w.sum() for w in model.weights_at(theta)], [20, 110, 20, 110])
    np.testing.assert_allclose(model.expected(theta).sum(axis=1), [130, 130])


@pytest.mark.parametrize("mu", [0.0, 0.3, 1.0])
def test_weights(mu: float) -> None:
    """Simulated events stand for what is expected, reweighted by shapes; with a given number for its shares."""
    shape = Effect([-1, 0, 1], shape=lambda x: x[:, None] * np.array([-1.0, 0.0, 1.0]))
    model = Model(unbinned(effects={"t": shape, "n": 0.2}), ["t", "n"])
    background, signal = model.weights_at(model.theta(mu, {"t": 0.5, "n": 1.0}))
    tilted = WEIGHTS * np.exp(0.5 * BACKGROUND)
    np.testing.assert_allclose(background, tilted / tilted.sum() * 120, rtol=1e-12)
    np.testing.assert_allclose(signal, np.full(2000, 10 * mu / 2000), rtol=1e-12)
    shared = Model(unbinned(n_total=50))
    background, signal = shared.weights_at(shared.theta(mu))
    assert background.sum() == pytest.approx(50 * (1 - mu))
    assert signal.sum() == pytest.approx(50 * mu)


def test_bounds() -> None:
    """Mu may fall to where an intensity vanishes; with a given number of events also rise to there."""
    low, high = Model(Binned([Component("s", [1.0, 4.0, 0.0], signal=True), Component("b", [3.0, 2.0, 9.0])])).bounds
    assert low[0] == pytest.approx(-0.5, rel=1e-12)
    assert high[0] == np.inf
    low, _ = Model(unbinned()).bounds
    assert low[0] == pytest.approx(-1 / (SOURCE.ratio(SIGNAL).max() / 10), rel=1e-9) or low[0] > -10 / 4.9
    low, high = Model(unbinned(n_total=50)).bounds
    ratios = SOURCE.ratio(np.concatenate([SIGNAL, BACKGROUND]))
    assert low[0] == pytest.approx(-1 / (ratios.max() - 1), rel=1e-9)
    assert high[0] == pytest.approx(1 / (1 - ratios.min()), rel=1e-9)
    model = Model(counting(1, 1, {"a": 0.1}), [Nuisance("a", bounds=(-3, 4))], mu_bounds=(0, 2))
    np.testing.assert_array_equal(model.bounds, [[0, -3], [2, 4]])


@pytest.mark.parametrize("seed", range(20))
def test_intensities_at_the_bound(seed: int) -> None:
    """Rounding does not make them negative there: data without events are fitted there."""
    s, b = np.random.default_rng(seed).exponential(10, (2, 3))
    model = Model(Binned([Component("s", s, signal=True), Component("b", b)]))
    assert (model.expected(model.theta(model.bounds[0][0])).sum(axis=1) >= 0).all()
    found = fit(model, [0, 0, 0])
    assert found.at_bound == ("mu",)
    assert found.mu == pytest.approx(-(b / s).min(), rel=1e-12)
    assert np.isnan(found.mu_error)


def test_auxiliary() -> None:
    """Nominal results unless others are given, counts of Poisson ones."""
    effects = {"g": 0.1, "p": Effect.scale(), "f": Effect.scale()}
    nuisances = [Nuisance("g"), Nuisance("p", constraint="poisson", width=30.0), Nuisance("f", constraint="free")]
    model = Model(counting(1, 10, effects), nuisances)
    np.testing.assert_allclose(model.data([3.0]).centre, [0, 30, 0])
    np.testing.assert_allclose(model.data([3.0], {"p": 25, "g": 0.5}).centre, [0.5, 25, 0])
    np.testing.assert_allclose(model.expected_centre(model.theta(1, {"g": 0.4, "p": 0.2})), [0.4, 30 * np.exp(0.2), 0])


def test_asimov() -> None:
    """Expected data give back the parameters that they were made with, in bins and by events."""
    effects = {"g": 0.1, "p": Effect.scale()}
    nuisances = [Nuisance("g"), Nuisance("p", constraint="poisson", width=30.0)]
    channels: list[Any] = [counting(5, 20, effects), unbinned(effects={"g": 0.1})]
    for chosen, of in (([channels[0]], nuisances), (channels, nuisances)):
        model = Model(chosen, of)
        data = asimov(model, 1.3, {"g": 0.4, "p": -0.1})
        found = fit(model, data)
        assert found.mu == pytest.approx(1.3, abs=2e-2 if len(chosen) == 2 else 1e-6)  # weights are a finite sample
        assert found.values["p"] == pytest.approx(-0.1, abs=1e-2 if len(chosen) == 2 else 1e-6)
    observed = asimov(Model(unbinned()), 2.0).observed
    assert observed.visits.n.tolist() == [0]
    assert observed.events.n.sum() == pytest.approx(120)


def test_one_channel_alone() -> None:
    """Data of one channel may come alone or as a list of one."""
    model = Model(Binned([Component("s", [1.0, 2.0], signal=True), Component("b", [3.0, 4.0])]))
    for observed in ([3, 5], (3, 5), np.array([3.0, 5.0]), [np.array([3, 5])], [[3, 5]]):
        np.testing.assert_array_equal(model.data(observed).observed.visits.n, [3, 5])
    one = Model(counting(1, 2))
    for observed in ([3], [[3]], np.array([3])):
        np.testing.assert_array_equal(one.data(observed).observed.visits.n, [3])
    free = Model(unbinned())
    for observed in ([], [[]], np.empty(0)):
        assert free.data(observed).observed.events.size == 0


def test_bad_input() -> None:
    """Every argument that cannot be used is named."""
    one = Model(counting(1, 2, {"a": 0.1}), ["a"])
    events = Model(unbinned(n_total=3))
    plain = Component("b", 2.0)

    def of(ratio: Any = abs, shape: Any = None) -> Model:
        effects = {} if shape is None else {"a": Effect([0, 1], shape=shape)}
        signal = Component("s", 1.0, signal=True, ratio=ratio, effects=effects)
        return Model(Unbinned([signal, plain]), ["a"] if effects else [])

    wrong: list[tuple[Any, str]] = [
        (lambda: Model([]), "channels"),
        (lambda: Model([counting(1, 2), counting(1, 2)]), "channels: are called"),
        (lambda: Model(counting(1, 2, {"a": 0.1}), ["a", "a"]), "nuisances: are called"),
        (lambda: Model(counting(1, 2, {"a": 0.1})), "nuisances: 'a' has an effect but is no nuisance"),
        (lambda: Model(counting(1, 2), ["a"]), "nuisances: 'a' has no effect"),
        (lambda: Model(counting(0, 2)), "channels: have no signal"),
        (lambda: Model(Binned([Component("b", [1.0])])), "channels: have no signal"),
        (lambda: Model(counting(1, 2), mu_bounds=(1.0, 1.0)), "mu_bounds"),
        (lambda: one.data([1, 2]), "observed in count: has 2 counts"),
        (lambda: one.data([-1]), "observed in count"),
        (lambda: one.data([np.nan]), "observed in count"),
        (lambda: one.data([1], {"b": 1.0}), "auxiliary: has 'b'"),
        (lambda: one.data([1], {"a": np.inf}), "auxiliary a"),
        (lambda: one.theta(np.nan), "mu"),
        (lambda: one.theta(1.0, {"b": 1.0}), "nuisances: have 'b'"),
        (lambda: one.theta(1.0, {"a": np.nan}), "nuisance a"),
        (lambda: Model([counting(1, 2), unbinned()]).data([[1.0]]), "observed: has 1 entries"),
        (lambda: events.data([0.1, 0.2]), "observed in events: has 2 events"),
        (lambda: Model(unbinned()).data([np.nan]), "observed in events"),
        (lambda: of(lambda x: x[:1]).data([1.0, 2.0]), "ratio of s: gives shape"),
        (lambda: of(lambda x: -x).data([1.0, 2.0]), "ratio of s: is negative or not finite for 2 of 2"),
        (lambda: of(lambda x: x * np.nan).data([1.0]), "ratio of s"),
        (lambda: of(abs, lambda x: x).data([1.0]), "effect of a on s: gives shape"),
        (lambda: of(abs, lambda x: np.full((len(x), 2), np.inf)).data([1.0]), "effect of a on s"),
        (lambda: asimov(of(), 1.0), "events of s: are missing"),
    ]
    for call, message in wrong:
        with pytest.raises(InputError, match=message):
            call()

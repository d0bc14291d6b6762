"""Channels: components, bins of simulated events with their effects, bad input."""

from typing import Any

import naive_strength as naive
import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.strength import Binned, Component, Effect, Model, Unbinned, WrappedNormal, counting, fit

SOURCE = WrappedNormal(0.08)
RNG = np.random.default_rng(1)
SIGNAL, BACKGROUND = RNG.normal(0, 0.08, 3000), RNG.random(5000) - 0.5
WEIGHTS = RNG.random(5000)
EDGES = [0.0, 0.5, 2.0, np.inf]


def tilt(x: Any) -> Any:
    """Log density at -1, 0 and 1 over that at 0: events to the right become more at 1."""
    return x[:, None] * np.array([-0.8, 0.0, 1.0])


def channel(**options: Any) -> Unbinned:
    """Return a normal signal on a uniform background, weighted."""
    effects: dict[str, Any] = {"norm": 0.1, "tilt": Effect([-1, 0, 1], shape=tilt, factors=[0.95, 1, 1.1])}
    return Unbinned(
        [
            Component("s", 10.0, signal=True, ratio=SOURCE.ratio, events=SIGNAL),
            Component("b", 100.0, events=BACKGROUND, weights=WEIGHTS, effects=effects),
        ],
        **options,
    )


def test_binned() -> None:
    """Contents are shares of weights; effects those of reweighted events."""
    made = channel().binned(SOURCE.ratio, EDGES, name="three")
    signal, background = made.components
    r_s, r_b = SOURCE.ratio(SIGNAL), SOURCE.ratio(BACKGROUND)
    np.testing.assert_allclose(signal.expected, np.histogram(r_s, EDGES)[0] / 3000 * 10)
    nominal = np.histogram(r_b, EDGES, weights=WEIGHTS)[0] / WEIGHTS.sum() * 100
    np.testing.assert_allclose(background.expected, nominal)
    assert (made.name, made.n_bins, signal.signal, background.signal) == ("three", 3, True, False)
    tilted: Any = background.effect("tilt")
    for k, factor in ((0, 0.95), (1, 1.0), (2, 1.1)):
        moved = np.histogram(r_b, EDGES, weights=WEIGHTS * np.exp(tilt(BACKGROUND)[:, k]))[0]
        np.testing.assert_allclose(tilted.factors[k], factor * moved / WEIGHTS.sum() * 100 / nominal, rtol=1e-12)
    model = Model(made, ["norm", "tilt"])
    expected = model.expected(model.theta(1.0, {"norm": 2.0, "tilt": 0.5}))[:, 1]
    factors = np.exp(naive.log_factor([-1, 0, 1], np.log(tilted.factors), 0.5))
    np.testing.assert_allclose(expected, nominal * 1.1**2 * factors, rtol=1e-12)


def test_bins_of_any_observable() -> None:
    """Features have bins too; edges that leave events out lose them; the upper edge is outside."""
    made = channel().binned(lambda x: x, [-0.5, 0.0, 0.25])
    inside = (BACKGROUND >= -0.5) & (BACKGROUND < 0.25)
    assert np.sum(made.components[1].expected) == pytest.approx(100 * WEIGHTS[inside].sum() / WEIGHTS.sum())
    assert made.name == "events"
    edge = Unbinned(
        [Component("s", 4.0, signal=True, ratio=abs, events=[1.0, 2.0]), Component("b", 4.0, events=[1, 2])]
    )
    np.testing.assert_allclose(edge.binned(lambda x: x, [0, 1, 2]).components[0].expected, [0, 2])


def test_cut() -> None:
    """One bin from a threshold on."""
    made = channel().cut(SOURCE.ratio, 0.5)
    (expected,) = made.components[1].expected  # type: ignore[misc]
    assert expected == pytest.approx(100 * WEIGHTS[SOURCE.ratio(BACKGROUND) >= 0.5].sum() / WEIGHTS.sum())


def test_weights_are_relative() -> None:
    """Times any number they are the same; zero weights are no events."""
    first = Component("b", 7.0, events=[1.0, 2.0, 3.0], weights=[1, 1, 0])
    second = Component("b", 7.0, events=[1.0, 2.0], weights=[5, 5])
    signal = Component("s", 1.0, signal=True, ratio=abs, events=[1.0])
    for component in (first, second):
        made = Unbinned([signal, component]).binned(lambda x: x, [0, 1.5, 9])
        np.testing.assert_allclose(made.components[1].expected, [3.5, 3.5])


def test_empty_bins() -> None:
    """A bin that no event reaches has factors of 1; effects that empty a bin leave it as it is."""
    shape = Effect([0, 1], shape=lambda x: np.where(x[:, None] > 2, [0.0, -2000.0], [0.0, 0.0]))
    background = Component("b", 4.0, events=[1.0, 1.0, 3.0, 3.0], effects={"a": shape})
    signal = Component("s", 1.0, signal=True, ratio=abs, events=[1.0])
    made = Unbinned([signal, background]).binned(lambda x: x, [0, 2, 4, 6])
    np.testing.assert_allclose(made.components[1].expected, [2, 2, 0])
    np.testing.assert_allclose(made.components[1].effect("a").factors, np.ones((2, 3)))  # type: ignore[union-attr]


def test_counting() -> None:
    """One bin with effects on the background."""
    made = counting(3, 5, {"a": 0.2}, name="c")
    assert (made.n_bins, made.name) == (1, "c")
    assert made.components[1].effect("a") is not None
    assert made.components[0].effect("a") is None
    assert fit(Model(made, ["a"]), [11.0]).mu == pytest.approx(2)


def test_several_features() -> None:
    """Events may have any number of features."""
    x = RNG.normal(size=(50, 3))
    signal = Component("s", 1.0, signal=True, ratio=lambda x: np.exp(x[:, 0]), events=x)
    model = Model(Unbinned([signal, Component("b", 50.0, events=x)]))
    assert model.simulated.intensity.shape == (100, 2)
    np.testing.assert_allclose(model.data(x).observed.events.intensity[0], np.exp(x[:, 0]) / 50)


def test_bad_input() -> None:
    """Every argument that cannot be used is named."""
    s, b = Component("s", [1.0], signal=True), Component("b", [2.0])
    us, ub = Component("s", 1.0, signal=True, ratio=abs), Component("b", 2.0)
    factors = {"a": Effect.up_down([0.9, 0.9], [1.1, 1.1])}
    shape = {"a": Effect([0, 1], shape=lambda x: np.zeros((len(x), 2)))}
    lonely = Unbinned([Component("s", 1.0, signal=True, ratio=abs, events=[5.0]), Component("b", 1.0, events=[1.0])])
    wrong: list[tuple[Any, str]] = [
        (lambda: Component("b", -1.0), "expected of b"),
        (lambda: Component("b", [1.0, -1.0]), "expected of b: is -1 somewhere"),
        (lambda: Component("b", np.nan), "expected of b"),
        (lambda: Component("b", [[1.0]]), "expected of b"),
        (lambda: Component("b", 1.0, ratio=3), "ratio of b"),  # type: ignore[arg-type]
        (lambda: Component("b", 1.0, events=[np.nan]), "events of b"),
        (lambda: Component("b", 1.0, events=[]), "events of b"),
        (lambda: Component("b", 1.0, events=[1.0], weights=[-1.0]), "events of b_weights"),
        (lambda: Component("b", 1.0, events=[1.0], weights=[1.0, 1.0]), "events of b_weights"),
        (lambda: Component("b", 1.0, weights=[1.0]), "weights of b"),
        (lambda: Binned([]), "components"),
        (lambda: Binned([s, s]), "components"),
        (lambda: Binned([s, "b"]), "components"),  # type: ignore[list-item]
        (lambda: Binned([s, Component("b", [1.0, 2.0])]), "expected of b: has shape"),
        (lambda: Binned([s, ub]), "expected of b: has shape"),
        (lambda: Binned([s, Component("b", [1.0], ratio=abs)]), "component b"),
        (lambda: Binned([s, Component("b", [1.0], events=[1.0])]), "component b"),
        (lambda: Binned([s, Component("b", [1.0], effects=shape)]), "component b"),
        (lambda: Unbinned([us, Component("b", 1.0, ratio=abs)]), "components: has 0 without"),
        (lambda: Unbinned([us, ub, Component("c", 1.0)]), "components: has 2 without"),
        (lambda: Unbinned([Component("s", 1.0, signal=True), Component("b", 1.0, ratio=abs)]), "components"),
        (lambda: Unbinned([us, Component("b", 0.0)]), "expected of b"),
        (lambda: Unbinned([us, b]), "expected of b"),
        (lambda: Unbinned([us, Component("b", 1.0, effects=factors)]), "effect of a on b"),
        (lambda: Unbinned([us, ub, Component("c", 1.0, ratio=abs)], n_total=5), "components: are not one"),
        (lambda: Unbinned([us, Component("b", 1.0, effects={"a": 0.1})], n_total=5), "effects"),
        (lambda: Unbinned([us, ub], n_total=0), "n_total"),
        (lambda: Unbinned([us, ub], n_total=2.5), "n_total"),  # type: ignore[arg-type]
        (lambda: Unbinned([us, ub]).binned(abs, [0, 1]), "events of s: are missing"),
        (lambda: Unbinned([us, ub], n_total=5).binned(abs, [0, 1]), "n_total"),
        (lambda: channel().binned(abs, [0, 0]), "edges"),
        (lambda: channel().binned(abs, [0, np.nan]), "edges"),
        (lambda: lonely.binned(abs, [0, 2, 9]), "edges: make a bin with signal and no background"),
        (lambda: counting(-1, 1), "n_signal"),
        (lambda: counting(1, -1), "n_background"),
    ]
    for call, message in wrong:
        with pytest.raises(InputError, match=message):
            call()

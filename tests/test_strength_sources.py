"""Where toys come from: probabilities against scipy and counts, what fixes a source, bad input."""

import pickle
import warnings
from typing import Any

import naive_strength as naive
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.optimize import brentq

from hepstat.errors import InputError, ToyError
from hepstat.strength import (
    DrawnRatios,
    RatioHistogram,
    RatioTest,
    RatioToys,
    SimulatedRatios,
    SmallSampleWarning,
    WrappedNormal,
    effective_size,
)
from hepstat.toys import run

SOURCE = WrappedNormal(0.08)
EDGES = np.array([0.0, 0.5, 2.0, 4.0])
OPTIMAL = {"optimal": RatioTest(None)}


def draw_signal(n: int, rng: Any) -> Any:
    """Ratios of signal events."""
    return SOURCE.ratio(rng.normal(0, SOURCE.std, n))


def draw_background(n: int, rng: Any) -> Any:
    """Ratios of background events."""
    return SOURCE.ratio(rng.random(n) - 0.5)


def sample(n: int, seed: int = 1) -> tuple[Any, Any]:
    """Return ratios of n events of signal and of background."""
    rng = np.random.default_rng(seed)
    return draw_signal(n, rng), draw_background(n, rng)


@pytest.mark.parametrize("std", [0.005, 0.08, 0.113, 0.4, 1.0])
def test_wrapped_probabilities(std: float) -> None:
    """Integrals of both densities between the distances where r is at the edges."""
    source = WrappedNormal(std)
    top, bottom = (float(naive.wrapped_normal(y, std)[0]) for y in (0.0, 0.5))
    edges = np.array([0.0, *np.linspace(bottom, top, 7)[1:-1]])
    reach = [0.5, *(brentq(lambda y, e=e: naive.wrapped_normal(y, std)[0] - e, 0, 0.5) for e in edges[1:]), 0.0]
    signal, background = source.probabilities(edges)
    error = 1e-7 if std == 1 else 1e-9  # that density is flat to 1e-8
    for i in range(edges.size):
        inside, _ = quad(lambda y: naive.wrapped_normal(y, std)[0], reach[i + 1], reach[i])
        assert signal[i] == pytest.approx(2 * inside, abs=error)
        assert background[i] == pytest.approx(2 * (reach[i] - reach[i + 1]), abs=error)
    assert signal.sum() == pytest.approx(1, abs=1e-14)
    assert background.sum() == pytest.approx(1, abs=1e-14)
    np.testing.assert_allclose(source.probabilities(np.array([0.0, 2 * top])), [[1, 0], [1, 0]], rtol=1e-14)
    np.testing.assert_allclose(source.ratio([0.2, 1.2, -0.8]), np.full(3, source.ratio([0.2])[0]), rtol=1e-9)


@pytest.mark.parametrize("kind", ["simulated", "drawn", "histogram"])
def test_probabilities(kind: str) -> None:
    """Shares of events agree with the exact ones, within 5 standard errors; those of a histogram are exact."""
    n = 200_000
    sources: dict[str, Any] = {
        "simulated": SimulatedRatios(*sample(n)),
        "drawn": DrawnRatios(draw_signal, draw_background, n_probe=n),
        "histogram": RatioHistogram.of(SOURCE, [*EDGES, 4.5, np.inf]),
    }
    for found, exact in zip(sources[kind].probabilities(EDGES), SOURCE.probabilities(EDGES), strict=True):
        if kind == "histogram":
            np.testing.assert_allclose(found, exact, rtol=1e-13)
        else:
            assert (np.abs(found - exact) <= 5 * np.sqrt(exact * (1 - exact) / n)).all()
            assert found.sum() == pytest.approx(1)


def test_weighted_probabilities() -> None:
    """Weights are shares; a weight of zero is no event."""
    source = SimulatedRatios([0.1, 1.0, 3.0], [0.2, 0.6, 9.0], signal_weights=[1, 2, 1], background_weights=[3, 1, 0])
    signal, background = source.probabilities(EDGES)
    np.testing.assert_allclose(signal, [0.25, 0.5, 0.25, 0])
    np.testing.assert_allclose(background, [0.75, 0.25, 0, 0])


def test_small_samples() -> None:
    """A warning from a shift of a tenth on; effective size counts."""
    signal, background = sample(5000)
    assert effective_size(np.array([1.0, 1.0, 0.0])) == pytest.approx(2)
    assert effective_size(np.array([3.0, 1.0])) == pytest.approx(16 / 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RatioToys(SimulatedRatios(signal, background), 10, 49, OPTIMAL)
    with pytest.warns(SmallSampleWarning, match="background: toys of 51 events"):
        RatioToys(SimulatedRatios(signal, background), 10, 51, OPTIMAL)
    weights = np.where(np.arange(5000) < 500, 1.0, 0.0)
    with pytest.warns(SmallSampleWarning, match="signal: toys of 10 events"):
        RatioToys(SimulatedRatios(signal, background, signal_weights=weights), 10, 49, OPTIMAL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        RatioToys(SimulatedRatios(signal, background, signal_weights=weights), 10, 49, OPTIMAL, mu=0)


def test_descriptions() -> None:
    """What changes toys changes the description; what does not leaves it."""
    signal, background = sample(50)
    other = background.copy()
    other[7] = np.nextafter(other[7], 9)
    weights = np.ones(50)
    made = [
        WrappedNormal(0.08),
        WrappedNormal(0.09),
        SimulatedRatios(signal, background),
        SimulatedRatios(signal, other),
        SimulatedRatios(signal, background, background_weights=weights * 2),
        DrawnRatios(draw_signal, draw_background, n_probe=100),
        DrawnRatios(draw_background, draw_signal, n_probe=100),
        DrawnRatios(draw_signal, draw_background, n_probe=101),
        DrawnRatios(draw_signal, draw_background, n_probe=100, probe_rng=2),
        RatioHistogram([0, 1, 2], [1, 2], [2, 1]),
        RatioHistogram([0, 1, 2], [1, 2], [2, 2]),
        RatioHistogram([0, 1, np.inf], [1, 2], [2, 1]),
    ]
    texts = [str(source.describe()) for source in made]
    assert len(set(texts)) == len(texts)
    assert SimulatedRatios(signal, background, signal_weights=weights).describe() == made[2].describe()
    assert RatioHistogram([0, 1, 2], [2, 4], [2, 1]).describe() == made[9].describe()
    for source in made:
        assert pickle.loads(pickle.dumps(source)).describe() == source.describe()


def test_errors_of_functions() -> None:
    """An exception comes out as it is at first, with the toys that were finished later on."""

    def broken(n: int, rng: Any) -> Any:
        raise RuntimeError("no more")

    def late(n: int, rng: Any) -> Any:
        if n < 1000 and rng.random() < 0.3:
            raise RuntimeError("no more")
        return np.ones(n)

    with pytest.raises(RuntimeError, match="no more"):
        RatioToys(DrawnRatios(broken, draw_background, n_probe=10), 1, 10)
    for odd in (np.nan, np.inf, -1.0):
        with pytest.raises(InputError, match="background: gives 10 ratios that are negative or not finite"):
            RatioToys(DrawnRatios(draw_signal, lambda n, rng, odd=odd: np.full(n, odd), n_probe=10), 1, 10)
    study = RatioToys(DrawnRatios(late, draw_background, n_probe=1000), 5, 10, {"all": RatioTest((0.0,))})
    with pytest.raises(ToyError, match="RuntimeError: no more") as caught:
        run(study, 100, rng=1, chunk=1, workers=2)
    assert (caught.value.table.status == 0).all()


def test_bad_sources() -> None:
    """Every argument that cannot be used is named."""
    good = np.ones(3)
    wrong: list[tuple[Any, str]] = [
        (lambda: WrappedNormal(0.004), "std"),
        (lambda: WrappedNormal(1.01), "std"),
        (lambda: WrappedNormal(-0.1), "std"),
        (lambda: WrappedNormal(0.1).ratio([np.nan]), "y"),
        (lambda: SimulatedRatios([], good), "signal"),
        (lambda: SimulatedRatios(good, [1.0, np.nan]), "background"),
        (lambda: SimulatedRatios(good, [1.0, -0.1]), "background: has a ratio of -0.1"),
        (lambda: SimulatedRatios(good, good, signal_weights=[1.0, 2.0]), "signal_weights: has 2 entries"),
        (lambda: SimulatedRatios(good, good, signal_weights=[1.0, 2.0, -1.0]), "signal_weights: has 1 negative"),
        (lambda: SimulatedRatios(good, good, signal_weights=np.zeros(3)), "signal_weights"),
        (lambda: DrawnRatios(3, draw_background), "signal"),  # type: ignore[arg-type]
        (lambda: DrawnRatios(draw_signal, draw_background, n_probe=0), "n_probe"),
        (lambda: RatioHistogram(5.0, [1.0], [1.0]), "edges"),
        (lambda: RatioHistogram([0.0], [], []), "edges"),
        (lambda: RatioHistogram([], [], []), "edges"),
        (lambda: RatioHistogram([[0.0, 1.0]], [1.0], [1.0]), "edges"),
        (lambda: RatioHistogram([0.0, np.inf, np.inf], good[:2], good[:2]), "edges"),
        (lambda: RatioHistogram([0.0, 2.0, 1.0], good[:2], good[:2]), "edges"),
        (lambda: RatioHistogram([-1.0, 2.0], good[:1], good[:1]), "edges"),
        (lambda: RatioHistogram([0.0, 1.0], good[:2], good[:1]), "signal"),
        (lambda: RatioHistogram([0.0, 1.0, 2.0], good[:2], [1.0, -1.0]), "background"),
        (lambda: RatioHistogram([0.0, 1.0, 2.0], good[:2], [0.0, 0.0]), "background"),
        (lambda: RatioHistogram([0.0, 1.0, 2.0], good[:2], [1.0, 0.0]), "background: is empty where signal is not"),
        (lambda: RatioHistogram([0.0, 1.0, 2.0], good[:2], good[:2]).probabilities(np.array([0.5])), "edges: has 0.5"),
        (lambda: RatioHistogram([0.0, 1.0, 2.0], good[:2], good[:2]).probabilities(np.array([3.0])), "edges: has 3"),
    ]
    for call, message in wrong:
        with pytest.raises(InputError, match=message):
            call()

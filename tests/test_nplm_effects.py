"""Effects of nuisances: separable forms against the formula, sums of effects, interpolated samples, bad input."""

import pickle
from typing import Any

import numpy as np
import pytest

from hepstat.errors import InputError
from hepstat.nplm.analytic import AnalyticEffect
from hepstat.nplm.effects import Effect, Normalisation, combine
from hepstat.nplm.nuisances import Gaussian
from hepstat.nplm.varied import interpolate_samples

SIGMA = 0.15
X = np.append(np.random.default_rng(1).exponential(size=20_000), 14.0)
W = np.full(X.size, 2000 / X.size)
POINTS = (-0.3, -0.15, 0.15, 0.3)


def scaled(x: Any, nu: Any) -> Any:
    """Log ratio of exponentials, x scaled by e^nu."""
    return -x[:, 0] * np.expm1(-nu[0]) - nu[0]


def benchmark(x: Any, nu: Any) -> Any:
    """The same with a normalisation."""
    return scaled(x, nu) + nu[1]


def stretched(x: Any, nu: Any) -> Any:
    """Shift events."""
    return x * np.exp(nu[0])


def naive(effect: Effect, x: Any, nu: Any) -> Any:
    """Log ratio from planes and the polynomial, term by term."""
    coefficients, exponents, scales = effect.polynomial
    planes, total = effect.planes(x), 0.0
    for k, row in enumerate(coefficients):
        for c, powers in zip(row, exponents, strict=True):
            term = c
            for value, scale, power in zip(nu, scales, powers, strict=True):
                term *= (value / scale) ** power
            total = total + term * planes[:, k]
    return total


def test_benchmark() -> None:
    """The published effect is exact to 1e-10 up to five sigma, by one effect of two nuisances and by two effects."""
    reach = (-5 * SIGMA, 5 * SIGMA)
    both = AnalyticEffect(("scale", "norm"), benchmark, [reach] * 2, X)
    one = AnalyticEffect(("scale",), scaled, reach, X)
    sum_of = combine([Normalisation("norm"), one], [Gaussian("scale", SIGMA), Gaussian("norm", SIGMA)])
    assert max(both.error, one.error) < 1e-11
    assert both.nodes.shape == (2, 2)
    assert sum_of.names == ("scale", "norm")
    assert sum_of.ones.tolist() == [False, False, True]
    np.testing.assert_array_equal(sum_of.reach, [reach, (-np.inf, np.inf)])
    x = X[-2000:, None]
    for nu in np.random.default_rng(2).uniform(*reach, size=(20, 2)):
        truth = benchmark(x, nu)
        for effect in (both, sum_of, pickle.loads(pickle.dumps(sum_of))):
            np.testing.assert_allclose(effect.log_ratio(x, nu), truth, atol=1e-10)
            np.testing.assert_allclose(naive(effect, x, nu), truth, atol=1e-10)
        np.testing.assert_array_equal(both.exact(x, nu), truth)
    for effect in (both, one, sum_of):
        assert (effect.log_ratio(x, np.zeros(len(effect.names))) == 0).all()
    assert one.describe() != AnalyticEffect(("scale",), scaled, (-0.5, 0.5), X).describe()


def test_inseparable() -> None:
    """A function without exact separation gets as many planes as the tolerance asks for, and the error holds."""

    def wave(x: Any, nu: Any) -> Any:
        return np.log1p(0.5 * np.sin(x[:, 0] * (1 + nu[0]))) - np.log1p(0.5 * np.sin(x[:, 0]))

    x = X[X < 4]
    coarse, fine = (AnalyticEffect(("a",), wave, (-0.5, 0.4), x, tolerance=t) for t in (1e-3, 1e-6))
    assert len(coarse.nodes) < len(fine.nodes) < 20
    for nu in (-0.47, -0.1, 0.03, 0.39):
        for effect, tolerance in ((coarse, 1e-3), (fine, 1e-6)):
            assert np.abs(effect.log_ratio(x, nu) - wave(x[:, None], [nu])).max() < tolerance
    with pytest.raises(InputError, match="planes, more than the tolerance of 1e-09"):
        AnalyticEffect(("a",), wave, (-0.9, 0.9), X, tolerance=1e-9)


def test_shared_nuisances() -> None:
    """Effects of the same nuisance add up, whatever their units and order, and what they share is one plane."""

    def mixed(x: Any, nu: Any) -> Any:
        return x[:, 0] * nu[0] * (1 + nu[1]) + nu[1] ** 2

    nuisances = [Gaussian("a", 1.0), Gaussian("b", 1.0)]
    parts = [AnalyticEffect(("b", "a"), mixed, [(-0.5, 0.5), (-2, 1)], X), Normalisation("a"), Normalisation("b")]
    total = combine(parts, nuisances)
    nu = np.array([0.7, -0.3])
    truth = mixed(X[:, None], nu[::-1]) + nu.sum()
    np.testing.assert_allclose(total.log_ratio(X, nu), truth, atol=1e-10)
    assert total.planes(X).shape == (X.size, total.ones.size)
    np.testing.assert_array_equal(total.reach, [(-2, 1), (-0.5, 0.5)])
    assert total.describe() != combine(parts, nuisances[::-1]).describe()  # nu has another order
    nothing = combine([], [])
    assert nothing.planes(X).shape == (X.size, 0)
    assert nothing.log_ratio(X, []).tolist() == [0.0] * X.size


def test_interpolated() -> None:
    """Ratios in bins find the scale within their errors, yields too, and mixed terms in two features."""
    effect = interpolate_samples("scale", (X, W), stretched, POINTS, order=3)
    x = X[np.digitize(X, effect.places[0][[0, -2]]) == 1]
    off = effect.log_ratio(x, 0.15) - scaled(x[:, None], [0.15])
    assert np.sqrt(np.mean(off**2)) < 0.03
    np.testing.assert_allclose(effect.yields_kept, 1.0, atol=2e-3)
    steps = interpolate_samples("scale", (X, W), stretched, POINTS, order=3, smooth=False)
    assert len(np.unique(steps.planes(X), axis=0)) == 20
    assert steps.describe() != effect.describe()
    nearer = interpolate_samples("scale", (X, W), stretched, POINTS, order=3, reach=(-0.2, 0.2))
    np.testing.assert_array_equal(nearer.planes(X), effect.planes(X))
    assert nearer.describe() != effect.describe()  # fits stay nearer, so toys differ
    generator = np.random.default_rng(3)
    independent = {nu: (generator.exponential(np.exp(nu), 20_000), np.full(20_000, 0.11)) for nu in POINTS}
    pulled = interpolate_samples("scale", (X, W), independent, smooth=False, normalise=True)
    assert pulled.p > 1e-3
    np.testing.assert_allclose(pulled.yields, 1.0)
    points = [(-0.3, 0), (0.3, 0), (0, -0.3), (0, 0.3), (0.3, 0.3)]
    x = np.stack([X, generator.normal(size=X.size)], axis=1)
    both = {p: (x, W * np.exp(p[1] * (1 + p[0]))) for p in points}
    norm = interpolate_samples(("a", "b"), (x, W), both, bins=5)
    np.testing.assert_allclose(norm.log_ratio(x, (0.2, -0.2)), -0.2 * 1.2, atol=1e-12)
    assert (norm.chi2, norm.ndf, norm.p) == (0, 0, 1)


def far(x: Any, nu: Any) -> Any:
    """Leave the low region."""
    return x + 2.0 * np.abs(nu[0])


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: AnalyticEffect(tuple("abcd"), scaled, [(-1, 1)] * 4, X), "up to three"),
        (lambda: AnalyticEffect(("a", "a"), scaled, [(-1, 1)] * 2, X), "name of its own"),
        (lambda: AnalyticEffect(("a",), 1, (-1, 1), X), "function"),  # type: ignore[arg-type]
        (lambda: AnalyticEffect(("a",), scaled, (0, 1), X), "reach"),
        (lambda: AnalyticEffect(("a",), scaled, [(-1, 1)] * 2, X), "reach"),
        (lambda: AnalyticEffect(("a",), lambda x, nu: x[:, 0] * nu[0] + 1, (-1, 1), X), "not 0 at nu = 0"),
        (lambda: AnalyticEffect(("a",), lambda x, nu: 0 * x[:, 0], (-1, 1), X), "0 everywhere"),
        (lambda: AnalyticEffect(("a",), lambda x, nu: nu, (-1, 1), X), "values for"),
        (lambda: AnalyticEffect(("a",), lambda x, nu: np.log(1 + 2 * nu[0]) * x[:, 0], (-1, 1), X), "NaN"),
        (lambda: interpolate_samples("bad name!", (X, W), stretched, POINTS), "of letters, digits"),
        (lambda: Normalisation("a").log_ratio(X, [1, 2]), "2 entries for 1"),
        (lambda: combine([Normalisation("a")], [Gaussian("b", 1)]), "depend on a"),
        (lambda: combine([Normalisation("a")], [Gaussian("a", 1), Gaussian("b", 1)]), "b changes nothing"),
        (lambda: combine([Normalisation("a")], [Gaussian("a", 1), Gaussian("a", 2)]), "name of its own"),
        (lambda: combine([scaled], []), "effects"),  # type: ignore[list-item]
        (lambda: interpolate_samples("a", (X, W), far, POINTS), "has 0 effective events in -inf < x0 <"),
        (lambda: interpolate_samples("a", (X, W), stretched), "points"),
        (lambda: interpolate_samples("a", (X, W), stretched, [0.1]), "1 of 2 terms"),
        (lambda: interpolate_samples("a", (X, W), {0.1: X, 0.2: X}), "no yields"),
        (lambda: interpolate_samples("a", (X, W), {0.1: (X, W), 0.0: (X, W)}), "nu = 0"),
        (lambda: interpolate_samples("a", (X, W), {0.1: (X, W), (0.1,): (X, W)}), "repeats"),
        (lambda: interpolate_samples("a", (X, W), {(0.1, 0.2): (X, W)}), "keys"),
        (lambda: interpolate_samples("a", (X, W), {0.1: (X, W), 0.2: (X, -W)}), "varied"),
        (lambda: interpolate_samples("a", np.ones((5, 3)), far, POINTS), "learn_effect"),
        (lambda: interpolate_samples("a", (X, W), stretched, POINTS, edges=[[1.0], [1.0]]), "edges"),
    ],
)
@pytest.mark.filterwarnings("ignore:(invalid value|divide by zero):RuntimeWarning")
def test_bad_input(make: Any, word: str) -> None:
    """Errors say what cannot be used, an emptied region among it."""
    with pytest.raises(InputError, match=word):
        make()

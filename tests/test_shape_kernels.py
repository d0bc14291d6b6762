"""Every shape kernel against the same function in 60 digits, and what all of them promise.

A new shape is one row of SHAPES (two if it has more than one set of constants).
"""

import importlib
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import mpmath as mp
import naive_shapes as naive
import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from hepstat.kernels.entry import planes
from hepstat.kernels.evaluate import evaluate_columns, evaluate_shape


class Shape(NamedTuple):
    """What the tests need to know of a shape.

    `scales` are sizes of change in the parameters at which the density changes by its own size: a derivative is
    right when it is so relatively, or to the absolute error that belongs to value / scale.
    """

    module: str
    density: Callable[..., Any]
    cumulative: Callable[..., Any] | None
    thetas: list[list[float]]
    scales: list[float]
    x: list[float]
    consts: tuple[float, ...] = ()


pytestmark = pytest.mark.kernels

POWERS = (2.0, 2.0, 30.0)
WIDE = [-40.0, -7.3, -3.0, -1.2, -0.1, 0.0, 0.4, 0.9, 1.7, 2.5, 6.1, 11.0, 90.0]

SHAPES = {
    "gaussian": Shape(
        "gaussian",
        naive.gaussian,
        naive.gaussian_cumulative,
        [[0.3, 1.1], [-2.0, 7.0]],
        [1.0, 1.0],
        [-20.0, -3.0, -0.8, 0.3, 0.31, 2.0, 9.0],
    ),
    "breit_wigner": Shape(
        "breit_wigner", naive.breit_wigner, naive.breit_wigner_cumulative, [[0.3, 1.1], [-2.0, 40.0]], [1.0, 1.0], WIDE
    ),
    "voigt": Shape(
        "voigt",
        naive.voigt,
        None,
        [[0.3, 1.1, 0.7], [0.3, 0.002, 1.0], [0.3, 8.0, 0.008], [0.3, 1e-3, 1.0], [0.3, 1.0, 1e-3]],
        [1.0, 1.0, 1.0],
        [*WIDE, 0.7, 0.75, 1.1, 1.3, 4.8, 5.4, 6.9, 8.2, 3e3],
    ),
    "crystal_ball": Shape(
        "crystal_ball",
        naive.crystal_ball,
        naive.crystal_ball_cumulative,
        [[0.3, 1.1, 1.2, 2.5, 1.7, 4.0], [0.3, 0.7, 0.6, 0.8, 3.0, 120.0], [-0.3, 2.0, 2.1, 1.001, 0.5, 1.0]],
        [1.0, 1.0, 1.0, 1.0, 1.0, 1.0],
        WIDE,
    ),
    "power_law_1": Shape(
        "power_law",
        naive.power_law((1.0, 2.0)),
        naive.power_law_cumulative((1.0, 2.0, 30.0)),
        [[2.5], [1.0], [1.0 + 1e-9], [-0.5], [12.0]],
        [1.0],
        [0.5, 1.0, 2.0, 2.1, 11.0, 30.0],
        (1.0, 2.0, 30.0),
    ),
    "power_law_2": Shape(
        "power_law",
        naive.power_law(POWERS),
        naive.power_law_cumulative(POWERS),
        [[2.5, 6.0, 0.4], [1.0, 1.05, 3.0]],
        [1.0, 1.0, 1.0],
        [0.5, 1.0, 2.0, 2.1, 11.0, 30.0],
        POWERS,
    ),
    "power_law_3": Shape(
        "power_law",
        naive.power_law((3.0, 50.0)),
        naive.power_law_cumulative((3.0, 50.0, 1000.0)),
        [[2.5, 6.0, 9.0, 0.4, 0.01]],
        [1.0, 1.0, 1.0, 1.0, 1.0],
        [30.0, 50.0, 51.0, 400.0, 1000.0],
        (3.0, 50.0, 1000.0),
    ),
}
KERNELS = [(name, kind) for name, shape in SHAPES.items() for kind in ("density", "cumulative") if getattr(shape, kind)]


def one(shape: Shape, kind: str, theta: Any, x: Any, order: int) -> Any:
    """Planes of a kernel for theta (p,) and x (n,)."""
    module = importlib.import_module(f"hepstat.kernels.shapes.{shape.module}")
    theta, x, consts = np.array(theta, dtype=float), np.array(x, dtype=float), np.array(shape.consts, dtype=float)
    columns = evaluate_columns(module.columns.address, x, consts, 1) if hasattr(module, "columns") else x[None]
    return evaluate_shape(getattr(module, kind).address, theta, columns, consts, order)


@pytest.mark.parametrize(("name", "kind"), KERNELS)
def test_derivatives(name: str, kind: str) -> None:
    """Value, first and second derivatives against 60 digits."""
    shape = SHAPES[name]
    for theta in shape.thetas:
        ours = one(shape, kind, theta, shape.x, 2)
        exact = np.array([naive.planes(getattr(shape, kind), theta, x) for x in shape.x]).T
        value = 1e-12 if kind == "density" else 1e-13
        np.testing.assert_allclose(ours[0], exact[0], rtol=value, atol=0.0 if kind == "density" else 1e-15)
        p = len(theta)
        per = 1.0 / np.array(shape.scales)
        second = [per[i] * per[j] for j in range(p) for i in range(j + 1)]
        for k, scale in enumerate([*per, *second], start=1):
            size = np.abs(exact[0]) if kind == "density" else np.maximum(np.abs(exact[0]), 1.0)
            error = np.abs(ours[k] - exact[k])
            allowed = 1e-9 * np.abs(exact[k]) + 1e-11 * scale * size
            assert np.all(error <= allowed), (theta, k, np.array(shape.x)[error > allowed], ours[k], exact[k])


@pytest.mark.parametrize(("name", "kind"), KERNELS)
def test_orders_agree(name: str, kind: str) -> None:
    """What order 0 and 1 fill is the beginning of what order 2 fills."""
    shape = SHAPES[name]
    for theta in shape.thetas:
        second = one(shape, kind, theta, shape.x, 2)
        for order in (0, 1):
            ours = one(shape, kind, theta, shape.x, order)
            assert ours.shape == (planes(len(theta), order), len(shape.x))
            size = np.abs(second[: len(ours)]).max(axis=1, keepdims=True)
            assert np.all(np.abs(ours - second[: len(ours)]) <= 1e-14 * size)


@pytest.mark.parametrize(("name", "kind"), KERNELS)
def test_points_are_independent(name: str, kind: str) -> None:
    """The numbers of a point are the same bits whatever the other points of a full block."""
    shape = SHAPES[name]
    random = np.random.default_rng(3)
    theta = shape.thetas[0]
    x, others = random.choice(shape.x, (2, 256))
    mixed = np.where(random.random(256) < 0.5, x, others)
    together, apart = one(shape, kind, theta, x, 2), one(shape, kind, theta, mixed, 2)
    np.testing.assert_array_equal(together[:, x == mixed], apart[:, x == mixed])


@pytest.mark.parametrize("n", [0, 1, 63, 64, 65, 256, 1000])
@pytest.mark.parametrize(("name", "kind"), KERNELS)
def test_any_number_of_points(name: str, kind: str, n: int) -> None:
    """Blocks are cut correctly, an empty one included."""
    shape = SHAPES[name]
    x = np.random.default_rng(4).uniform(min(shape.x), max(shape.x), n)
    theta = shape.thetas[-1]
    for order in (0, 1, 2):
        ours = one(shape, kind, theta, x, order)
        assert ours.shape == (planes(len(theta), order), n)
        half = one(shape, kind, theta, x[n // 2 :], order)
        size = np.abs(ours).max(axis=1, keepdims=True, initial=0.0)
        assert np.all(np.abs(half - ours[:, n // 2 :]) <= 1e-14 * size)


@pytest.mark.parametrize("name", [name for name, kind in KERNELS if kind == "cumulative"])
def test_integral_of_the_density(name: str) -> None:
    """Differences of the cumulative against numerical integration of the density."""
    shape = SHAPES[name]
    edges = np.linspace(min(shape.x), min(max(shape.x), min(shape.x) + 25.0), 6)
    for theta in shape.thetas:
        ours = np.diff(one(shape, "cumulative", theta, edges, 0)[0])
        for low, high, integral in zip(edges[:-1], edges[1:], ours, strict=True):
            breaks = [point for point in [theta[0]] if low < point < high]
            expected, error = scipy.integrate.quad(
                lambda x, theta=theta: one(shape, "density", theta, [x], 0)[0, 0],
                low,
                high,
                points=breaks or None,
                epsabs=1e-13,
                epsrel=1e-10,
                limit=200,
            )
            assert abs(integral - expected) <= 1e-9 * abs(expected) + 1e-12 + error


def ratios(shape: Shape, theta: list[float], x: Any) -> Any:
    """Density relative to its first value."""
    values = one(shape, "density", theta, x, 0)[0]
    return values / values[0]


def test_against_scipy() -> None:
    """A second opinion in double precision."""
    x = np.linspace(-6.0, 9.0, 41)
    mean, size = 0.4, 1.3
    norm = scipy.stats.norm.pdf(x, mean, size)
    np.testing.assert_allclose(ratios(SHAPES["gaussian"], [mean, size], x), norm / norm[0], rtol=1e-12)
    cauchy = scipy.stats.cauchy.pdf(x, mean, size)
    np.testing.assert_allclose(one(SHAPES["breit_wigner"], "density", [mean, 2 * size], x, 0)[0], cauchy, rtol=1e-13)
    profile = scipy.special.voigt_profile(x - mean, size, 0.7)
    np.testing.assert_allclose(one(SHAPES["voigt"], "density", [mean, 1.4, size], x, 0)[0], profile, rtol=1e-12)
    ball = scipy.stats.crystalball.pdf(x, 1.1, 2.3, mean, size)
    theta = [mean, size, 1.1, 2.3, 50.0, 2.0]
    np.testing.assert_allclose(ratios(SHAPES["crystal_ball"], theta, x), ball / ball[0], rtol=1e-12)


FAR = [-1e6, -1e3, -45.0, -38.5, 38.5, 45.0, 1e3, 1e6]


@pytest.mark.parametrize("name", ["gaussian", "breit_wigner", "voigt", "crystal_ball"])
def test_far_from_the_peak(name: str) -> None:
    """Underflow gives zeros, never NaN."""
    shape = SHAPES[name]
    thetas = [*shape.thetas, [0.0, 1e-3, 60.0, 5.0, 70.0, 5.0][: len(shape.scales)]]
    if name == "voigt":
        thetas.append([0.0, 0.0, 1.0])
    for theta in thetas:
        for kind in ("density", "cumulative"):
            if getattr(shape, kind):
                assert np.isfinite(one(shape, kind, theta, FAR, 2)).all()
    if name == "gaussian":
        np.testing.assert_array_equal(one(shape, "density", [0.0, 1.0], FAR, 2)[:, [0, 1, 2, 5, 6, 7]], 0.0)


@pytest.mark.parametrize("x", [-1e5, -30.0, -4.0, -0.3, 0.0, 0.2, 1.0, 12.0, 1e4])
@pytest.mark.parametrize("width", [0.0, 1e-12, 1e-3, 0.1, 1.0, 9.0, 12.3, 12.4, 12.5, 30.0, 1e3, 1e5])
def test_voigt_over_its_whole_domain(x: float, width: float) -> None:
    """Widths from none to far above sigma, from the peak to far outside; both sides of each switch."""
    ours = one(SHAPES["voigt"], "density", [0.0, width, 1.0], [x], 2)[:, 0]
    exact = naive.planes(naive.voigt, [0.0, width, 1.0], x)
    floor = 1e-9 * exact[0] / max(abs(x), width, 1.0) ** np.array([0, 1, 1, 1, 2, 2, 2, 2, 2, 2])
    assert abs(ours[0] - exact[0]) <= 1e-12 * exact[0] + 1e-300
    assert np.all(np.abs(ours - exact) <= 1e-8 * np.abs(exact) + floor + 1e-45), (ours, exact)


def test_voigt_limits() -> None:
    """Gaussian for width = 0, Breit-Wigner for sigma = 0."""
    x = np.linspace(-9.0, 12.0, 57)
    gaussian = one(SHAPES["gaussian"], "density", [0.7, 1.4], x, 0)[0] / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(one(SHAPES["voigt"], "density", [0.7, 0.0, 1.4], x, 0)[0], gaussian, rtol=1e-13)
    for sigma in (0.0, 1e-300, 1e-200, 1e-100, 1e-20):
        voigt = one(SHAPES["voigt"], "density", [0.7, 0.2, sigma], x, 2)
        lorentz = one(SHAPES["breit_wigner"], "density", [0.7, 0.2], x, 2)
        np.testing.assert_allclose(voigt[[0, 1, 2, 4, 5, 6]], lorentz, rtol=1e-11, atol=1e-12)
        assert np.isfinite(voigt).all()


def test_crystal_ball_is_continuous_in_n_at_one() -> None:
    """Integrals of 1/t are a limit, not a special case."""
    shape = SHAPES["crystal_ball"]
    x = [-8.0, -3.0, 3.0, 60.0]
    for kind in ("density", "cumulative"):
        at = one(shape, kind, [0.0, 1.0, 1.0, 1.0, 1.5, 1.0], x, 2)
        for n in (1.0 - 1e-9, 1.0 + 1e-9):
            near = one(shape, kind, [0.0, 1.0, 1.0, n, 1.5, n], x, 2)
            np.testing.assert_allclose(near, at, rtol=1e-6, atol=1e-7)


def test_crystal_ball_without_tails_is_gaussian() -> None:
    """Far thresholds leave the core alone."""
    x = np.linspace(-5.0, 5.0, 21)
    for kind in ("density", "cumulative"):
        ball = one(SHAPES["crystal_ball"], kind, [0.2, 1.3, 30.0, 2.0, 30.0, 2.0], x, 2)
        gaussian = one(SHAPES["gaussian"], kind, [0.2, 1.3], x, 2)
        start = ball[0, 0] - gaussian[0, 0] if kind == "cumulative" else 0.0
        np.testing.assert_allclose(ball[0] - start, gaussian[0], rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(ball[[1, 2, 7, 8, 9]], gaussian[1:], rtol=1e-10, atol=1e-14)
        np.testing.assert_array_equal(ball[[3, 4, 5, 6, *range(10, 28)]], 0.0)


def test_power_law_far_down_a_falling_spectrum() -> None:
    """Bins that hold 1e-20 of the spectrum keep their digits when the cumulative vanishes at the upper end."""
    x = np.geomspace(100.0, 10000.0, 9)
    consts = (1.0, 100.0, 10000.0)
    shape = SHAPES["power_law_1"]._replace(consts=consts)
    ours = np.diff(one(shape, "cumulative", [11.0], x, 0)[0])
    edges = [mp.mpf(edge) / 100 for edge in x]
    expected = [float(10 * (low**-10 - high**-10)) for low, high in itertools.pairwise(edges)]
    np.testing.assert_allclose(ours, expected, rtol=1e-12)

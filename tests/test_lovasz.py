"""The order of errors and the Lovász extension: by definition, by brute force, and what must not change it."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_losses import choquet, convex_closure, delta_z, errors, lovasz_z, submodular

from hepstat.errors import InputError
from hepstat.kernels.losses import lovasz
from hepstat.kernels.losses.entry import evaluate_loss
from hepstat.kernels.sort import descending_order
from hepstat.learn.losses import EpsSchedule, LovaszSet, LovaszZ

KINDS = ["hinge", "sigmoid", "cross-entropy", "focal"]
COMPILED = not numba.config.DISABLE_JIT
BIG = 3.4028234663852886e38  # largest float32


def check_order(m):
    """Compare with numpy's stable sort."""
    m = np.asarray(m, dtype=float)
    order, _, n_positive = descending_order(m, np.zeros((2, m.size), np.uint64))
    np.testing.assert_array_equal(order, np.argsort(-m, kind="stable"))
    assert n_positive == np.count_nonzero(m)


# numbers that tie, that float32 cannot tell apart or hold, and any others
NUMBERS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.0, 1.0 + 1e-12, 1.0 + 2e-12, 5e-324, 1e-310, 1e-44, 1e-40, BIG, 1e39, 1e308, np.inf]),
    st.floats(0.0, np.inf),
    st.floats(0.0, 1.0).map(lambda x: 0.5 + 1e-9 * x),
)


@pytest.mark.kernels
@settings(deadline=None, max_examples=150 if COMPILED else 25)
@given(st.lists(NUMBERS, max_size=300))
def test_order(m):
    """Falling, equal numbers by index, zeros counted."""
    check_order(m)


@pytest.mark.kernels
@pytest.mark.parametrize("n", [0, 1, 2, 63, 64, 65, 1000, 100_000 if COMPILED else 2000])
@pytest.mark.parametrize(
    "draw",
    [
        lambda rng, n: rng.random(n),
        lambda rng, n: 1.0 + 1e-9 * rng.random(n),
        lambda rng, n: 1e39 * rng.exponential(size=n),
        lambda rng, n: 1e-310 * rng.random(n),
        lambda rng, n: np.floor(5 * rng.random(n)),
        lambda rng, n: np.exp(100 * rng.normal(size=n)),
        lambda rng, n: np.sort(rng.random(n)),
        lambda rng, n: np.full(n, 0.3),
        lambda rng, n: np.zeros(n),
        lambda rng, n: np.where(rng.random(n) < 0.5, 0.0, 1.0 + 1e-9 * np.floor(100 * rng.random(n))),
    ],
    ids=[
        "uniform",
        "one key",
        "above float32",
        "subnormal",
        "ties",
        "wide",
        "rising",
        "equal",
        "zero",
        "zeros, one key",
    ],
)
def test_order_of_many(draw, n):
    """All lengths and kinds of numbers."""
    check_order(draw(np.random.default_rng(n), n))


@pytest.mark.kernels
@pytest.mark.parametrize("n", [10, 500])
def test_order_with_nan_is_a_permutation(n):
    """NaN does no harm, wherever it ends up."""
    m = np.random.default_rng(1).random(n)
    m[::3] = np.nan
    order, _, _ = descending_order(m, np.zeros((2, n), np.uint64))
    np.testing.assert_array_equal(np.sort(order)[order.size - 2 :], [n - 2, n - 1])


def draw_events(seed, n, *, n_signals=1):
    """Scores, labels and weights of a few processes."""
    rng = np.random.default_rng(seed)
    y = np.zeros(n)
    y[: n // 2] = 1
    f = rng.normal(size=n) + y - 0.5
    w = rng.choice(rng.uniform(0.1, 5.0, 2 + n_signals), n)
    mixed = rng.permutation(n)
    return f[mixed], y[mixed], w[mixed]


def evaluate(f, y, w, eps, kind="hinge", gamma=2.0):
    """Call the kernel without any checks."""
    constants = np.array([eps, float(KINDS.index(kind)), gamma])
    value, gradient = evaluate_loss(lovasz.lovasz_z.address, f[:, None], y, w, constants)
    return value, gradient[:, 0]


@pytest.mark.kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("n", [2, 12, 500])
def test_agrees_with_the_algorithm(kind, n):
    """Value, and slope by the scores, with the published algorithm and a numerical slope of the errors."""
    f, y, w = draw_events(n, n)
    m, h = errors(kind, f, y), 1e-6
    value, g = lovasz_z(m, y, w, 3.0)
    slope = (errors(kind, f + h, y) - errors(kind, f - h, y)) / (2 * h)
    ours, gradient = evaluate(f, y, w, 3.0, kind)
    assert ours == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(gradient, g * slope, rtol=1e-6, atol=1e-9 * np.abs(g).max())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(3))
def test_slope(kind, seed):
    """The gradient is the slope of the value."""
    f, y, w = draw_events(seed, 9)
    loss, h = LovaszZ(2.0, kind), 1e-5
    _, gradient = loss(f, y, w)
    steps = h * np.eye(f.size)
    slopes = [(loss(f + step, y, w)[0] - loss(f - step, y, w)[0]) / (2 * h) for step in steps]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_extension_by_definition(seed):
    """The integral over level sets for 12 events; for 7 the convex closure over all distributions of subsets."""
    f, y, w = draw_events(seed, 12, n_signals=2)
    m = errors("sigmoid", f, y)
    assert evaluate(f, y, w, 2.0, "sigmoid")[0] == pytest.approx(choquet(delta_z(y, w, 2.0), m), rel=1e-12)
    f, y, w, m = f[:7], y[:7], w[:7], m[:7]
    assert evaluate(f, y, w, 2.0, "sigmoid")[0] == pytest.approx(convex_closure(delta_z(y, w, 2.0), m), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_submodular_for_all_sets(seed):
    """Several signals and backgrounds, all subsets; not with negative weights, which are refused."""
    f, y, w = draw_events(seed, 12, n_signals=2)
    assert submodular(delta_z(y, w, 1.0), 12)
    w[y == 1] *= np.where(np.arange(np.count_nonzero(y)) == 0, -0.5, 1.0)
    assert not submodular(delta_z(y, w, 1.0), 12)
    with pytest.raises(InputError, match=r"^weights: .*negative"):
        LovaszZ(1.0)(f, y, w)


@pytest.mark.kernels
@settings(deadline=None, max_examples=60 if COMPILED else 15)
@given(st.integers(0, 10**6), st.integers(2, 120), st.sampled_from(KINDS), st.floats(1e-3, 1e3))
def test_invariances(seed, n, kind, scale):
    """Order of events, events without weight, and the unit of weights and eps, by the root of which the loss grows."""
    f, y, w = draw_events(seed, n)
    value, gradient = evaluate(f, y, w, 1.5, kind)
    mixed = np.random.default_rng(seed).permutation(n)
    other, moved = evaluate(f[mixed], y[mixed], w[mixed], 1.5, kind)
    assert other == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(moved, gradient[mixed], rtol=1e-9, atol=1e-14)
    more = (np.append(f, [0.3, -0.2]), np.append(y, [1.0, 0.0]), np.append(w, [0.0, 0.0]))
    other, longer = evaluate(*more, 1.5, kind)
    assert other == pytest.approx(value, rel=1e-12)
    np.testing.assert_allclose(longer[:n], gradient, rtol=1e-9, atol=1e-14)
    np.testing.assert_array_equal(longer[n:], 0.0)
    other, larger = evaluate(f, y, scale * w, 1.5 * scale, kind)
    assert other == pytest.approx(np.sqrt(scale) * value, rel=1e-10)
    np.testing.assert_allclose(larger, np.sqrt(scale) * gradient, rtol=1e-9, atol=1e-14 * np.sqrt(scale))


@pytest.mark.kernels
def test_ties():
    """Tied events may come in any order: the value is the same; the gradient takes them by index."""
    rng = np.random.default_rng(4)
    y, w = np.tile([1.0, 0.0], 50), rng.uniform(0.1, 1.0, 100)
    f = np.tile([0.0, 0.0, 0.5, -0.5], 25)  # two errors, 1 and 0.5
    value = evaluate(f, y, w, 2.0)[0]
    for _ in range(10):
        p = rng.permutation(100)
        assert evaluate(f[p], y[p], w[p], 2.0)[0] == pytest.approx(value, rel=1e-13)
    slope = np.where(y == 1, -1, 1)
    np.testing.assert_allclose(evaluate(f, y, w, 2.0)[1], slope * lovasz_z(errors("hinge", f, y), y, w, 2.0)[1])


@pytest.mark.kernels
@pytest.mark.parametrize("kind", KINDS)
def test_batches_of_one_kind(kind):
    """No signal: nothing; no background: modular; nothing at all: nothing; one event: itself."""
    f, _, w = draw_events(5, 80)
    value, gradient = evaluate(f, np.zeros(80), w, 4.0, kind)
    assert value == 0.0
    np.testing.assert_array_equal(gradient, 0.0)
    m = errors(kind, f, np.ones(80))
    assert evaluate(f, np.ones(80), w, 4.0, kind)[0] == pytest.approx(m @ w / 2.0, rel=1e-12)
    assert evaluate(np.empty(0), np.empty(0), np.empty(0), 4.0, kind)[0] == 0.0
    assert evaluate(f[:1], np.ones(1), w[:1], 4.0, kind)[0] == pytest.approx(m[0] * w[0] / 2.0, rel=1e-12)


@pytest.mark.kernels
@pytest.mark.parametrize("kind", KINDS)
def test_far_scores_and_nan(kind):
    """Scores of 10^4 are finite; NaN is not hidden."""
    y, w = np.tile([1.0, 0.0], 40), np.ones(80)
    for f in (np.full(80, 1e4), np.full(80, -1e4), np.where(y == 1, 1e4, -1e4)):
        value, gradient = evaluate(f, y, w, 1.0, kind)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
    assert (value, np.abs(gradient).max()) == (0.0, 0.0)
    f[7] = np.nan
    value, gradient = evaluate(f, y, w, 1.0, kind)
    assert np.isnan(value)
    assert np.isnan(gradient).all()


def test_slopes_by_the_errors_keep_their_digits():
    """In a million events each g is some 10^-6 of the sum, and right to rounding of the signal that is left."""
    n = 10**6 if COMPILED else 1000
    y = np.tile([1.0, 0.0], n // 2)
    w = np.full(n, 1.0 / n)
    f = np.where(y == 1, -1.0, 1.0) * np.linspace(0.0, 1.0, n)
    _, gradient = evaluate(f, y, w, 1.0)
    i = np.arange(n)[::-1] // 2  # pairs before, signal second: the largest error is the last event, background
    signal = 0.5 - i / n
    low, high = 1.0 + i / n, 1.0 + (i + 1) / n
    expected = np.where(y == 1, -w / np.sqrt(high), signal * w / (np.sqrt(low * high) * (np.sqrt(low) + np.sqrt(high))))
    np.testing.assert_allclose(gradient, expected, rtol=1e-9, atol=1e-11 / n)


@pytest.mark.parametrize("kind", KINDS)
def test_any_figure_of_merit(kind):
    """With s / sqrt(b + eps) it is the same loss, also from an array of ties."""
    for n in (2, 60, 400):
        f, y, w = draw_events(n, n)
        ours = LovaszZ(2.0, kind, gamma=1.5)(f, y, w)
        own = LovaszSet(lambda s, b: s / np.sqrt(b + 2.0), kind, gamma=1.5)(f, y, w)
        assert own[0] == pytest.approx(ours[0], rel=1e-11)
        np.testing.assert_allclose(own[1], ours[1], rtol=1e-7, atol=1e-12)


def test_modular_merit():
    """A difference s - b: errors times weights."""
    f, y, w = draw_events(3, 50)
    value, gradient = LovaszSet(lambda s, b: s - b)(f, y, w)
    m = errors("hinge", f, y)
    assert value == pytest.approx(m @ w, rel=1e-12)
    np.testing.assert_allclose(gradient, np.where(m > 0, np.where(y == 1, -w, w), 0.0), rtol=1e-10)


BAD_MERITS = {
    "falls with s": (lambda s, b: -s, "falls with s between s = "),
    "rises with b": (lambda s, b: s + b, "rises with b between s = "),
    "infinite": (lambda s, b: s / np.where(b > 0, b, np.nan), "is nan at s = .*, b = 0"),
    "number": (lambda s, b: 1.0, r"returned shape \(\)"),
    "too short": (lambda s, b: s[1:], "returned shape"),
}


@pytest.mark.parametrize("name", BAD_MERITS)
def test_bad_figure_of_merit(name):
    """What it must be is checked where it is seen."""
    function, message = BAD_MERITS[name]
    with pytest.raises(InputError, match=message):
        LovaszSet(function)(*draw_events(1, 20))


def test_exceptions_of_a_figure_of_merit():
    """They come out unchanged, and once only."""

    def broken(s, b):
        raise ZeroDivisionError("mine")

    loss = LovaszSet(broken)
    with pytest.raises(ZeroDivisionError, match="mine"):
        loss(*draw_events(1, 20))
    loss.raise_error()


def test_schedule():
    """Geometric, then constant; the final value is what a call takes."""
    loss = LovaszZ(EpsSchedule(1e4, 100.0, 4), "cross-entropy")
    eps = loss.constants(7)[:, 0]
    np.testing.assert_allclose(eps, [1e4, 1e4 / 10**0.5, 1e3, 1e3 / 10**0.5, 100, 100, 100])
    np.testing.assert_array_equal(loss.constants(2)[:, 1:], [[2.0, 2.0]] * 2)
    assert loss.constants().shape == (1, 3)
    assert LovaszZ(3).constants(9).shape == (1, 3)
    events = draw_events(2, 30)
    assert loss(*events)[0] == LovaszZ(100.0, "cross-entropy")(*events)[0]


def test_published_landscape():
    """Two events, truth (1, 0), cross-sections (1, 10): by hand."""
    y, w = np.array([1.0, 0.0]), np.array([1.0, 10.0])
    assert LovaszZ(1.0)([2.0, -2.0], y, w)[0] == 0.0
    assert LovaszZ(1.0)([0.0, -2.0], y, w)[0] == pytest.approx(1.0)
    assert LovaszZ(1.0)([2.0, 0.0], y, w)[0] == pytest.approx(1.0 - 11**-0.5)
    assert LovaszZ(1.0)([0.0, 0.5], y, w)[0] == pytest.approx(1.5 * (1 - 11**-0.5) + 11**-0.5)
